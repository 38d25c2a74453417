//! Being called and the router's ports together: the ports that the router opens are those that are
//! called.

use tokio::time::Instant;

use super::{listen, port_mapping};
use crate::conntype::{Call, Calls, ListenEvidence, OpenedPorts, PortMappingEvidence};
use crate::failure::Failure;
use crate::run_log::RunLog;

/// What each came to, `None` where it was not asked for.
#[derive(Debug, Default)]
pub struct Reach {
    /// What the router says.
    pub port_mapping: Option<Result<PortMappingEvidence, Failure>>,
    /// What came of the calls.
    pub listen: Option<Result<ListenEvidence, Failure>>,
}

/// Asks the router, and has this host called: as it is, and through what the router opens.
pub async fn observe(
    mapping: Option<&port_mapping::Plan>,
    calls: Option<&listen::Plan>,
    log: &RunLog,
    until: Instant,
) -> Reach {
    let host = match calls {
        Some(plan) => Some(listen::Host::open(plan, log, until).await),
        None => None,
    };
    let open = host.as_ref().and_then(|host| host.as_ref().ok());
    let mut mapped = None;
    let meanwhile = async |opened: OpenedPorts| {
        let Some(host) = open else { return };
        mapped = Some(Calls {
            tcp_port: opened.tcp,
            udp_port: opened.udp,
            tcp: Call::Untested,
            udp: Call::Untested,
        });
        // The router opened them for IPv4.
        if host.is_ipv4()
            && let Ok(calls) = host.mapped(opened).await
        {
            mapped = Some(calls);
        }
    };
    let port_mapping = async {
        let listener = open.map(|host| &host.listener);
        Some(port_mapping::observe(mapping?, listener, log, until, meanwhile).await)
    };
    let own = async { Some(open?.own().await) };
    let (port_mapping, own) = tokio::join!(port_mapping, own);
    let listen = match host {
        Some(Err(failure)) => Some(Err(failure)),
        _ => own.map(|own| own.map(|own| ListenEvidence { mapped, ..own })),
    };
    Reach {
        port_mapping,
        listen,
    }
}
