//! Names to addresses, addresses to connections.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::task::JoinSet;

use super::{Bind, Family, Plan, Trail, proxy};
use crate::address::Address;
use crate::conntype::{PathKind, Proxy};
use crate::failure::{Failure, Stage};
use crate::secret::{self, ExposeSecret};

/// How long one address may keep the next one waiting (RFC 8305 §8 recommends 250 ms).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How many addresses of one name are tried.
const MAX_ADDRESSES: usize = 16;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// The notification or dispatch server.
    Notification,
    /// The Passport nexus.
    Nexus,
    /// The Passport login server.
    Login,
    /// The HTTP gateway.
    Gateway,
}

impl Errand {
    /// The stage that something counts to which is `stage` for the notification server.
    pub(super) const fn stage(self, stage: Stage) -> Stage {
        match self {
            Self::Notification => stage,
            Self::Nexus => Stage::Nexus,
            Self::Login => Stage::Login,
            Self::Gateway => Stage::Gateway,
        }
    }
}

/// A connection that stands.
pub(super) struct Connected {
    pub(super) stream: TcpStream,
    /// Our end.
    pub(super) local: SocketAddr,
    /// The end our packets go to: the server's, or the proxy's.
    pub(super) peer: SocketAddr,
    pub(super) path: PathKind,
    pub(super) proxy: Option<Proxy>,
}

/// Opens connections as the plan has it.
#[derive(Clone, Copy)]
pub(super) struct Dialer<'a> {
    pub(super) plan: &'a Plan,
    pub(super) trail: &'a Trail,
}

impl Dialer<'_> {
    /// Connects to `to`, through the proxy where there is one.
    pub(super) async fn connect(&self, to: &Address, errand: Errand) -> Result<Connected, Failure> {
        if let Some(plan) = self.plan.proxies.toward(to) {
            if let Some((_, password)) = &plan.credentials {
                secret::remember(password.expose_secret());
            }
            return proxy::connect(self, plan, to, errand).await;
        }
        let addresses = self.resolve(to, errand).await?;
        let stage = errand.stage(Stage::Connect);
        let stream = self.race(to, &addresses, errand, stage).await?;
        self.standing(stream, PathKind::Tcp, None, to, errand)
    }

    /// Wraps a stream that stands.
    pub(super) fn standing(
        &self,
        stream: TcpStream,
        path: PathKind,
        proxy: Option<Proxy>,
        to: &Address,
        errand: Errand,
    ) -> Result<Connected, Failure> {
        // Each write is a whole thought; nothing is gained by waiting for a second one.
        let ends = stream
            .set_nodelay(true)
            .and_then(|()| Ok((stream.local_addr()?, stream.peer_addr()?)));
        let (local, peer) =
            ends.map_err(|error| refused(&error, &to.to_string(), errand.stage(Stage::Connect)))?;
        if errand == Errand::Notification {
            self.trail.connected(local, peer, path, proxy.as_ref());
        }
        Ok(Connected {
            stream,
            local,
            peer,
            path,
            proxy,
        })
    }

    /// The addresses of a name, of the family that is wanted, the families taking turns.
    pub(super) async fn resolve(
        &self,
        to: &Address,
        errand: Errand,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let found: Vec<SocketAddr> = match to.ip() {
            Some(ip) => vec![SocketAddr::new(ip, to.port)],
            None => self.look_up(to, errand).await?,
        };
        let usable = |address: &&SocketAddr| {
            let ip = address.ip();
            self.plan.family.has(ip) && self.plan.bind.ip.is_none_or(|bind| same_family(bind, ip))
        };
        let usable: Vec<_> = found.iter().filter(usable).copied().collect();
        if usable.is_empty() {
            return Err(self.no_usable_address(to, self.plan.bind.ip, errand));
        }
        Ok(take_turns(&usable))
    }

    /// The failure of a server that has no address of the family that is asked for, or that the
    /// local address has.
    fn no_usable_address(&self, to: &Address, bind: Option<IpAddr>, errand: Errand) -> Failure {
        let (why, remedy) = match (bind, self.plan.family) {
            (Some(ip), _) => (
                format!("has no address that goes with the local address {ip}"),
                "use a server of the same family (IPv4 or IPv6), or leave out --bind",
            ),
            (None, Family::V4) => (
                "has no IPv4 address, which -4 asks for".to_owned(),
                "leave out -4, or use another server",
            ),
            (None, _) => (
                "has no IPv6 address, which -6 asks for".to_owned(),
                "leave out -6, or use another server",
            ),
        };
        Failure::unreachable(
            errand.stage(Stage::Resolve),
            "no-usable-address",
            format!("{} {why}", to.host),
            remedy,
        )
    }

    async fn look_up(&self, to: &Address, errand: Errand) -> Result<Vec<SocketAddr>, Failure> {
        let stage = errand.stage(Stage::Resolve);
        let _open = self
            .trail
            .enter(stage, format!("the address of {}", to.host));
        let fail = |why: String| {
            Failure::unreachable(
                stage,
                "name-not-found",
                format!("look up {}: {why}", to.host),
                "check the spelling of the name and the DNS of this host",
            )
        };
        let found: Vec<_> = lookup_host((to.host.as_str(), to.port))
            .await
            .map_err(|error| fail(words(&error)))?
            .collect();
        if found.is_empty() {
            Err(fail("the name has no address".to_owned()))
        } else {
            Ok(found)
        }
    }

    /// The address of a server beyond a proxy that is not asked to look names up itself, and one
    /// of the other family where there are both: whether the proxy has both, it alone knows.
    pub(super) async fn resolve_beyond(
        &self,
        to: &Address,
        errand: Errand,
        v4_only: bool,
    ) -> Result<(SocketAddr, Option<SocketAddr>), Failure> {
        let mut found = self.look_up(to, errand).await?;
        found.retain(|at| self.plan.family.has(at.ip()));
        if found.is_empty() {
            return Err(self.no_usable_address(to, None, errand));
        }
        found.retain(|at| !v4_only || at.is_ipv4());
        let Some(&first) = found.first() else {
            return Err(Failure::unreachable(
                errand.stage(Stage::Resolve),
                "no-usable-address",
                format!(
                    "{} has no IPv4 address, and SOCKS4 carries no other",
                    to.host
                ),
                "use socks4a://, socks5:// or another server",
            ));
        };
        let other = |at: &SocketAddr| at.is_ipv4() != first.is_ipv4();
        Ok((first, found.into_iter().find(other)))
    }

    /// Tries the addresses one after the other, each a little later than the one before, until
    /// one answers (RFC 8305 §5). `stage` is what it counts to if none does.
    pub(super) async fn race(
        &self,
        to: &Address,
        addresses: &[SocketAddr],
        errand: Errand,
        stage: Stage,
    ) -> Result<TcpStream, Failure> {
        let proxy = if stage == Stage::Proxy {
            "the proxy "
        } else {
            ""
        };
        let _open = self
            .trail
            .enter(stage, format!("a connection to {proxy}{to}"));
        let bind = match errand {
            Errand::Notification | Errand::Gateway => self.plan.bind,
            Errand::Nexus | Errand::Login => Bind {
                port: 0,
                share: false,
                ..self.plan.bind
            },
        };
        let shown = |at: SocketAddr| {
            if to.ip().is_some() {
                to.to_string()
            } else {
                format!("{to} ({})", at.ip())
            }
        };
        let mut left: VecDeque<_> = addresses.iter().copied().collect();
        let mut last = None;
        // One address, or one port that two attempts cannot share: no race.
        if addresses.len() == 1 || bind.port != 0 {
            for at in left.drain(..) {
                match connect_one(at, bind).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = Some(refused(&error, &shown(at), stage)),
                }
            }
        }
        let mut attempts = JoinSet::new();
        loop {
            if let Some(next) = left.pop_front() {
                attempts.spawn(async move { (next, connect_one(next, bind).await) });
            }
            let delay = async {
                if left.is_empty() {
                    std::future::pending().await
                } else {
                    tokio::time::sleep(ATTEMPT_DELAY).await
                }
            };
            tokio::select! {
                done = attempts.join_next() => match done {
                    Some(Ok((_, Ok(stream)))) => return Ok(stream),
                    Some(Ok((at, Err(error)))) => last = Some(refused(&error, &shown(at), stage)),
                    Some(Err(_)) => {}
                    None if left.is_empty() => break,
                    None => {}
                },
                () = delay => {}
            }
        }
        Err(last.unwrap_or_else(|| {
            refused(
                &io::Error::other("no address could be tried"),
                &to.to_string(),
                stage,
            )
        }))
    }
}

async fn connect_one(to: SocketAddr, bind: Bind) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if bind.share || bind.port != 0 {
        // Two sockets may share a local port toward two servers, if both say so beforehand.
        socket.set_reuseaddr(true)?;
    }
    if bind != Bind::default() {
        let any = match to.is_ipv4() {
            true => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            false => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let local = SocketAddr::new(bind.ip.unwrap_or(any), bind.port);
        socket.bind(local).map_err(|error| {
            io::Error::new(
                error.kind(),
                BindFailed {
                    local,
                    why: words(&error),
                },
            )
        })?;
    }
    let connected = socket.connect(to).await;
    connected.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable if bind.port != 0 => {
            io::Error::new(error.kind(), PortTaken(bind.port))
        }
        _ => error,
    })
}

/// The local end could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the local address {local}: {why}")]
pub(super) struct BindFailed {
    local: SocketAddr,
    why: String,
}

/// The local port leads to the very same place already.
#[derive(Debug, thiserror::Error)]
#[error("the local port {0} is in use toward this very address")]
pub(super) struct PortTaken(u16);

/// The failure that a connection attempt came to.
pub(super) fn refused(error: &io::Error, to: &str, stage: Stage) -> Failure {
    if let Some(bind) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<BindFailed>())
    {
        return Failure::unreachable(
            stage,
            "bind-failed",
            bind.to_string(),
            "choose an address of this host and a port that is free, or leave out --bind",
        );
    }
    if error
        .get_ref()
        .is_some_and(<dyn std::error::Error + Send + Sync>::is::<PortTaken>)
    {
        return Failure::unreachable(
            stage,
            "local-port-in-use",
            format!("connect {to}: {error}"),
            match stage {
                Stage::Proxy => "another look from the same port needs a path without a proxy",
                _ => "name a server at another address, or leave the port to the system",
            },
        );
    }
    let (code, remedy) = match error.kind() {
        io::ErrorKind::ConnectionRefused => (
            "connection-refused",
            match stage {
                Stage::Nexus => "nothing listens there: check --nexus-url, or give --login-url",
                Stage::Login => "nothing listens there: check --login-url, or ask the nexus",
                Stage::Gateway => "nothing listens there: check --http-gateway",
                Stage::Proxy => {
                    "nothing listens there: check the proxy's address and port, and that it runs"
                }
                _ => {
                    "nothing listens there: check the port (1863 is usual) and that the server runs"
                }
            },
        ),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            ("unreachable", "check the address and this host's routes")
        }
        io::ErrorKind::AddrNotAvailable => (
            "unreachable",
            "this host has no address to reach it from: check its network, or try -4 or -6",
        ),
        io::ErrorKind::TimedOut => (
            "timeout",
            "check the address, and whether a firewall drops the port",
        ),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => (
            "connection-reset",
            "something on the way cuts the connection: a firewall, perhaps",
        ),
        io::ErrorKind::PermissionDenied => (
            "not-permitted",
            "a firewall of this host forbids the connection",
        ),
        _ => (
            "connection-failed",
            "check the address and this host's network",
        ),
    };
    Failure::unreachable(
        stage,
        code,
        format!("connect {to}: {}", words(error)),
        remedy,
    )
}

/// An error of the system without its number.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let text = text
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(text);
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_lowercase().chain(chars).collect())
        .unwrap_or_default()
}

const fn same_family(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}

/// The system's order, but so that the two families take turns (RFC 8305 §4).
fn take_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else {
        return Vec::new();
    };
    let (mine, other): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses
        .iter()
        .partition(|a| a.is_ipv4() == first.is_ipv4());
    let (mut mine, mut other) = (mine.into_iter(), other.into_iter());
    let mut turns = Vec::with_capacity(addresses.len());
    loop {
        let before = turns.len();
        turns.extend(mine.next());
        turns.extend(other.next());
        if turns.len() == before || turns.len() >= MAX_ADDRESSES {
            turns.truncate(MAX_ADDRESSES);
            return turns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_in_the_systems_order() {
        let read = |texts: &[&str]| {
            texts
                .iter()
                .map(|t| t.parse().unwrap())
                .collect::<Vec<SocketAddr>>()
        };
        let mixed = read(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let turns = read(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(take_turns(&mixed), turns);
        assert_eq!(take_turns(&[]), []);
        let many: Vec<_> = (0..40)
            .map(|n| SocketAddr::from(([10, 0, 0, n], 1)))
            .collect();
        assert_eq!(take_turns(&many).len(), MAX_ADDRESSES);
    }

    #[test]
    fn an_error_is_words_without_a_number() {
        let error = io::Error::from_raw_os_error(111);
        assert_eq!(words(&error), "connection refused");
    }
}
