//! The way to a server: directly, or through a proxy. Maintained crates speak the protocols.

mod socks;
mod tunnel;

pub(crate) use tunnel::{authorization, requires_password};

use super::dial::{Dialer, Established};
use super::{ProxyScheme, ProxySettings};
use crate::address::Address;
use crate::conntype::Proxy;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::run_log::Purpose;
use crate::secret::{self, ExposeSecret};

/// Connects to `to`, through the proxy where there is one.
pub(crate) async fn connect(
    dialer: &Dialer<'_>,
    to: &Address,
    purpose: Purpose,
) -> Result<Established, Failure> {
    let Some(settings) = dialer.route.proxies.toward(to) else {
        return dialer.direct(to, purpose).await;
    };
    let v4_only = match (settings.scheme, to.ip()) {
        (ProxyScheme::Socks5, None) => false,
        (ProxyScheme::Socks4, None) => true,
        _ => return connect_to(dialer, settings, to, to, purpose).await,
    };
    let (first, other) = dialer.resolve_beyond(to, purpose, v4_only).await?;
    let done = connect_to(dialer, settings, to, &first.into(), purpose).await;
    match (done, other) {
        (Err(failure), Some(other)) if failure.code == ErrorCode::ProxyRefused => {
            let done = connect_to(dialer, settings, to, &other.into(), purpose).await;
            done.map_err(|_| failure)
        }
        (done, _) => done,
    }
}

/// Connects to `to`; `target` is the address that the proxy gets.
async fn connect_to(
    dialer: &Dialer<'_>,
    settings: &ProxySettings,
    to: &Address,
    target: &Address,
    purpose: Purpose,
) -> Result<Established, Failure> {
    let Established { stream, ends } = reach(dialer, settings, purpose).await?;
    let what = format!("the proxy {} to connect to {to}", settings.address);
    let _step = dialer.log.begin(purpose, Stage::Proxy, what);
    let stage = purpose.stage(Stage::Proxy);
    let (bound, stream) = match settings.scheme {
        ProxyScheme::Http => (
            None,
            tunnel::connect(stream, settings, target, stage).await?,
        ),
        _ => socks::connect(stream, settings, target, stage).await?,
    };
    let proxy = ends.proxy.map(|proxy| Proxy { bound, ..proxy });
    dialer.established(stream, ends.path, proxy, to, purpose)
}

/// Connects to the proxy itself.
pub(crate) async fn reach(
    dialer: &Dialer<'_>,
    settings: &ProxySettings,
    purpose: Purpose,
) -> Result<Established, Failure> {
    if let Some((_, password)) = &settings.credentials {
        secret::remember(password.expose_secret());
    }
    let at = &settings.address;
    let addresses = dialer.resolve(at, purpose).await?;
    let stream = dialer.race(at, &addresses, purpose, Stage::Proxy).await?;
    let in_use = stream.peer_addr().ok().map(|peer| peer.ip());
    let mut ips: Vec<_> = addresses.iter().map(|address| address.ip()).collect();
    // The one in use first; the rest in the order they came.
    ips.sort_by_key(|ip| Some(*ip) != in_use);
    ips.dedup();
    let proxy = Some(Proxy {
        name: at.clone(),
        addresses: ips,
        bound: None,
    });
    // A handshake that fails is reported with the proxy it failed at.
    dialer.established(stream, settings.scheme.path(), proxy, at, purpose)
}

/// The failure of a proxy that requires a password, or another one than it got.
pub(crate) fn wrong_password(settings: &ProxySettings, stage: Stage) -> Failure {
    let at = &settings.address;
    let message = match settings.credentials {
        Some(_) => format!("the proxy {at} refused the user or the password given for it"),
        None => format!("the proxy {at} requires a user and a password"),
    };
    Failure::new(stage, ErrorCode::ProxyPassword, message)
}
