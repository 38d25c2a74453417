//! The verdict on a session: where it was captured, and what its profile then says.

use std::net::SocketAddr;
use std::time::SystemTime;

use serde::Serialize;

use super::conversation::Conversation;
use super::opening::Before;
use super::session::Ended;
use crate::address::Address;
use crate::conntype::{Observation, PathKind, PortOrder, Proxy, Sameness, Verdict, classify};
use crate::msnp::{Dialect, Profile};
use crate::secret::SecretString;

/// What is found in a capture.
#[derive(Clone, Debug)]
pub enum Found {
    /// A session with a notification server.
    Session(Session),
    /// A session with a switchboard server that has invitations in it.
    Conversation(Conversation),
}

/// A session with a notification server, as it was captured.
#[derive(Clone, Debug)]
pub struct Session {
    /// The place of its beginning among those of all connections, from 1.
    pub number: u64,
    /// When its first packet was captured; `None` where the file does not say.
    pub started_at: Option<SystemTime>,
    /// The client's end.
    pub client: SocketAddr,
    /// The other end: the server's, or that of the proxy.
    pub server: SocketAddr,
    /// The kind of path, as far as the connection shows it.
    pub path: PathKind,
    /// SOCKS' BND.ADDR and BND.PORT; `None` where there is none that is usable.
    pub bound: Option<SocketAddr>,
    /// Whether it begins with a header of the PROXY protocol.
    pub is_balanced: bool,
    /// How many routers its packets had passed.
    pub hops: Hops,
    /// The dialect agreed on.
    pub dialect: Option<Dialect>,
    /// The account, where the login was captured.
    pub account: Option<String>,
    /// The ticket, where it was captured: kept so that it can be hidden where the server repeats it.
    pub ticket: Option<SecretString>,
    /// The profile, or why there is none.
    pub profile: Result<Profile, Ended>,
}

/// How many routers a packet of each end had passed where it was captured, 0 to 127; `None` where
/// there was no packet. Systems begin at 64, 128 or 255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Hops {
    /// From the client.
    pub client: Option<u8>,
    /// From the server.
    pub server: Option<u8>,
}

impl Hops {
    /// The number, from a packet's time to live or hop limit.
    #[must_use]
    pub const fn of(hops_left: u8) -> u8 {
        match hops_left {
            0..=64 => 64 - hops_left,
            65..=128 => 128 - hops_left,
            129.. => 255 - hops_left,
        }
    }
}

/// Where a capture was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// On the client's side: its end is the one that it sees itself.
    Client,
    /// On the server's side: the client's end is the one that the server sees.
    Server,
    /// In between, as far as the packets show.
    Unknown,
}

/// What a session gives.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Where it was captured.
    pub place: Place,
    /// Whether the profile agrees with the client's end in the packets; `None` where one of them is
    /// not known or they cannot be compared.
    pub agrees: Option<bool>,
    /// The verdict and what it is drawn from, or why there is none.
    pub verdict: Result<Box<(Observation, Verdict)>, NoVerdict>,
}

/// Why a session has no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoVerdict {
    /// It has no profile.
    NoProfile(Ended),
    /// It was captured on the server's side, where the client's own end does not show.
    ServerSide,
    /// The same, and the profile contradicts the packets.
    ServerDisagrees {
        /// `ClientIP` and `ClientPort`, as texts.
        told: (String, String),
    },
    /// It comes from a balancer, whose end is none of the client's.
    Balanced,
    /// Nothing shows where it was captured.
    PlaceUnknown,
}

/// Judges a session. `place` is where it was captured, if that is known.
#[must_use]
pub fn judge(session: &Session, place: Option<Place>, order: PortOrder) -> Judged {
    let place = place.unwrap_or_else(|| place_of(session.hops));
    let none = |agrees, why| Judged {
        place,
        agrees,
        verdict: Err(why),
    };
    let profile = match &session.profile {
        Ok(profile) => profile,
        Err(why) => return none(None, NoVerdict::NoProfile(why.clone())),
    };
    let proxy = (session.path != PathKind::Tcp).then(|| Proxy {
        name: Address {
            host: session.server.ip().to_string(),
            port: session.server.port(),
        },
        addresses: vec![session.server.ip()],
        bound: session.bound,
    });
    let seen = Observation {
        order,
        path: session.path,
        proxy,
        peer: Some(session.server),
        ..Observation::new(
            session.client,
            profile.client_ip.as_deref(),
            profile.client_port.as_deref(),
        )
    };
    let verdict = classify(&seen);
    let agrees = match (verdict.comparison.ip, verdict.comparison.port) {
        (Sameness::Same, Sameness::Same) => Some(true),
        (Sameness::Different, _) | (_, Sameness::Different) => Some(false),
        _ => None,
    };
    if session.is_balanced {
        return none(agrees, NoVerdict::Balanced);
    }
    match place {
        Place::Client => Judged {
            place,
            agrees,
            verdict: Ok(Box::new((seen, verdict))),
        },
        Place::Server if agrees == Some(false) => {
            let text = |raw: Option<String>| raw.unwrap_or_else(|| "nothing".to_owned());
            let told = (text(seen.client_ip.raw), text(seen.client_port.raw));
            none(agrees, NoVerdict::ServerDisagrees { told })
        }
        Place::Server => none(agrees, NoVerdict::ServerSide),
        Place::Unknown => none(agrees, NoVerdict::PlaceUnknown),
    }
}

/// Where a capture was taken: on the side from which packets come that no router has passed. Where both
/// ends are that near, no router is between them, and the client's end is its own.
const fn place_of(hops: Hops) -> Place {
    match (hops.client, hops.server) {
        (Some(0), _) => Place::Client,
        (Some(_), Some(0)) => Place::Server,
        _ => Place::Unknown,
    }
}

impl Session {
    /// A session of which nothing is known but its ends.
    pub(super) fn new(number: u64, ends: [SocketAddr; 2], why: Ended) -> Self {
        let [client, server] = ends;
        Self {
            number,
            started_at: None,
            client,
            server,
            path: PathKind::Tcp,
            bound: None,
            is_balanced: false,
            hops: Hops::default(),
            dialect: None,
            account: None,
            ticket: None,
            profile: Err(why),
        }
    }

    pub(super) fn with(self, before: Before, hops: Hops, started_at: Option<SystemTime>) -> Self {
        Self {
            path: before.path,
            bound: before.bound,
            is_balanced: before.is_balanced,
            hops,
            started_at,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conntype::{Label, ProxyRelation};

    fn session(hops: (u8, u8), ip: &str, port: &str) -> Session {
        let ends = ["192.168.1.5:1033", "203.0.113.9:1863"].map(|end| end.parse().unwrap());
        Session {
            hops: Hops {
                client: Some(hops.0),
                server: Some(hops.1),
            },
            profile: Ok(Profile {
                client_ip: Some(ip.to_owned()),
                client_port: Some(port.to_owned()),
                sso: None,
            }),
            ..Session::new(1, ends, Ended::CaptureEnds)
        }
    }

    fn label(judged: &Judged) -> Result<Label, NoVerdict> {
        let verdict = judged.verdict.as_ref();
        verdict.map(|both| both.1.label).map_err(Clone::clone)
    }

    #[test]
    fn routers_that_were_passed_tell_the_side() {
        for (left, passed) in [
            (64, 0),
            (63, 1),
            (128, 0),
            (117, 11),
            (255, 0),
            (250, 5),
            (32, 32),
        ] {
            assert_eq!(Hops::of(left), passed, "{left}");
        }
        let told = ("198.51.100.1".to_owned(), "1033".to_owned());
        for (hops, asked, place, verdict) in [
            ((0, 5), None, Place::Client, Ok(Label::IpRestrictNat)),
            ((0, 0), None, Place::Client, Ok(Label::IpRestrictNat)),
            (
                (5, 0),
                None,
                Place::Server,
                Err(NoVerdict::ServerDisagrees { told }),
            ),
            ((2, 3), None, Place::Unknown, Err(NoVerdict::PlaceUnknown)),
            (
                (2, 3),
                Some(Place::Client),
                Place::Client,
                Ok(Label::IpRestrictNat),
            ),
        ] {
            let session = session(hops, "198.51.100.1", "1033");
            let judged = judge(&session, asked, PortOrder::Auto);
            assert_eq!((judged.place, label(&judged)), (place, verdict), "{hops:?}");
            assert_eq!(judged.agrees, Some(false));
        }
    }

    #[test]
    fn on_the_servers_side_there_is_no_label() {
        for (ip, port, agrees) in [
            ("192.168.1.5", "1033", Some(true)),
            ("192.168.1.5", "2308", Some(true)),
            ("192.168.1.5", "0", None),
        ] {
            let judged = judge(&session((3, 0), ip, port), None, PortOrder::Auto);
            assert_eq!(label(&judged), Err(NoVerdict::ServerSide), "{port}");
            assert_eq!(judged.agrees, agrees, "{port}");
        }
    }

    #[test]
    fn a_balancer_is_not_the_client() {
        let mut session = session((0, 0), "198.51.100.1", "1033");
        session.is_balanced = true;
        let judged = judge(&session, None, PortOrder::Auto);
        assert_eq!(label(&judged), Err(NoVerdict::Balanced));
    }

    #[test]
    fn behind_a_proxy_the_other_end_is_the_proxys() {
        let mut session = session((0, 2), "203.0.113.9", "1033");
        session.path = PathKind::Socks5;
        let judged = judge(&session, None, PortOrder::Auto);
        let both = judged.verdict.unwrap();
        assert_eq!(both.1.label, Label::UnknownNat);
        assert_eq!(both.1.proxy, Some(ProxyRelation::LastHop));
    }
}
