//! The runs that are reported: every kind of verdict, every class of failure.

mod failures;
mod verdicts;

use std::net::{IpAddr, SocketAddr};

use crate::address::Address;
use crate::conntype::{
    Destination, Field, Label, Missing, Observation, PathKind, PortOrder, Proxy, Warning, classify,
    settle,
};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::mask::Mask;
use crate::msnp::Dialect;
use crate::report::{Context, ObservationReport, Report, ServerReport, Timing};
use crate::run_log::Purpose;
pub(super) use verdicts::verdicts;

/// A login to a server on the internet, by TCP.
fn seen(local: &str, client_ip: &str, client_port: &str) -> Observation {
    Observation {
        peer: Some(peer("198.51.100.9")),
        ..Observation::new(local.parse().unwrap(), Some(client_ip), Some(client_port))
    }
}

/// A server's address, at the usual port.
fn peer(text: &str) -> SocketAddr {
    (ip(text), 1863).into()
}

/// A server's name, at the usual port.
fn name(host: &str) -> Address {
    Address {
        host: host.to_owned(),
        port: 1863,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn context() -> Context {
    Context {
        server: Some(ServerReport {
            requested: name("messenger.example"),
            address: Some("198.51.100.9:1863".parse().unwrap()),
            referrals: Vec::new(),
        }),
        dialect: Some(Dialect::MSNP9),
        timings: [
            (Purpose::Notification, Stage::Resolve, 0.0, 11.6),
            (Purpose::Notification, Stage::Connect, 11.6, 28.4),
            (Purpose::Nexus, Stage::Connect, 0.5, 40.0),
            (Purpose::Nexus, Stage::Tls, 40.5, 40.0),
            (Purpose::Nexus, Stage::Request, 80.5, 60.0),
            (Purpose::Notification, Stage::Negotiate, 40.0, 31.1),
            (Purpose::Login, Stage::Request, 140.5, 201.7),
            (Purpose::Notification, Stage::SignIn, 342.2, 35.0),
            (Purpose::Notification, Stage::Profile, 377.2, 1.3),
        ]
        .map(|(connection, stage, start, took)| Timing {
            observation: 0,
            connection,
            stage,
            start,
            took,
        })
        .to_vec(),
        ..Context::default()
    }
}

fn of(seen: &Observation) -> Report {
    with(seen, context())
}

fn with(seen: &Observation, context: Context) -> Report {
    let context = Context {
        path: seen.path,
        local: Some(seen.local),
        proxy: seen.proxy.clone(),
        ..context
    };
    Report::of_verdict(&classify(seen), seen, context)
}

/// A server that was asked for by its address.
fn at(address: &str) -> Context {
    Context {
        server: Some(ServerReport {
            requested: Address::parse(address, 1863).unwrap(),
            address: Some(address.parse().unwrap()),
            referrals: Vec::new(),
        }),
        ..context()
    }
}

/// A run of two logins; the second one goes to another server where the local port is the same,
/// else to the same one.
fn two_logins(first: &Observation, second: &Observation) -> Report {
    let (a, b) = (classify(first), classify(second));
    let (second_name, destination) = match first.local == second.local {
        true => ("second.example", Destination::OtherAddress),
        false => ("messenger.example", Destination::Same),
    };
    let observations = vec![
        ObservationReport::of(&name("messenger.example"), first, &a),
        ObservationReport::of(&name(second_name), second, &b),
    ];
    let context = Context {
        observations,
        ..context()
    };
    Report::of_verdict(&settle(a, &b, destination), first, context)
}

pub(super) fn proxied(
    path: PathKind,
    client_ip: &str,
    addresses: &[&str],
    bound: Option<&str>,
) -> Report {
    let seen = Observation {
        path,
        proxy: Some(Proxy {
            name: Address::parse("proxy.example:1080", 0).unwrap(),
            addresses: addresses.iter().map(|text| ip(text)).collect(),
            bound: bound.map(|text| text.parse().unwrap()),
        }),
        peer: addresses.first().map(|text| (ip(text), 1080).into()),
        ..seen("192.168.1.5:51234", client_ip, "40960")
    };
    let mut context = context();
    if let Some(server) = &mut context.server {
        server.address = None;
    }
    if path == PathKind::HttpGateway {
        context.gateway = Some(Address::parse("gateway.example", 80).unwrap());
    }
    with(&seen, context)
}

pub(super) fn gateway(client_ip: &str, client_port: &str, gateway: &str) -> Report {
    let seen = Observation {
        path: PathKind::HttpGateway,
        peer: Some((ip(gateway), 80).into()),
        ..seen("192.168.1.5:51234", client_ip, client_port)
    };
    let mut context = context();
    if let Some(server) = &mut context.server {
        server.address = None;
    }
    context.gateway = Some(SocketAddr::new(ip(gateway), 80).into());
    with(&seen, context)
}

/// Every report there is a snapshot of.
pub(crate) fn all() -> Vec<(&'static str, Report)> {
    let mut all = verdicts();
    all.extend(failures::failures());
    let redacted = two_logins(
        &seen("192.168.178.20:51234", "8.8.4.4", "62789"),
        &seen("192.168.178.20:51234", "8.8.4.4", "51235"),
    );
    all.push(("redacted", redacted.masked(&mut Mask::default())));
    all
}
