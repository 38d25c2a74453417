//! Names to addresses, addresses to connections.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::task::JoinSet;

use super::error::describe;
use super::{Bind, Family, Route};
use crate::address::Address;
use crate::conntype::{PathKind, Proxy};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::run_log::{Ends, Event, Purpose, RunLog};

/// How long one address may keep the next one waiting (RFC 8305 §8 recommends 250 ms).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How many addresses of one name are tried.
const MAX_ADDRESSES: usize = 16;

/// An established connection.
pub(crate) struct Established {
    pub(crate) stream: TcpStream,
    pub(crate) ends: Ends,
}

/// Opens connections along a route.
#[derive(Clone, Copy)]
pub(crate) struct Dialer<'a> {
    pub(crate) route: &'a Route,
    pub(crate) log: &'a RunLog,
}

impl Dialer<'_> {
    /// Connects to `to` itself.
    pub(super) async fn direct(
        &self,
        to: &Address,
        purpose: Purpose,
    ) -> Result<Established, Failure> {
        let addresses = self.resolve(to, purpose).await?;
        let stream = self.race(to, &addresses, purpose, Stage::Connect).await?;
        self.established(stream, PathKind::Tcp, None, to, purpose)
    }

    /// Takes note of a connection and of its ends.
    pub(super) fn established(
        &self,
        stream: TcpStream,
        path: PathKind,
        proxy: Option<Proxy>,
        to: &Address,
        purpose: Purpose,
    ) -> Result<Established, Failure> {
        // Each write is complete; nothing is gained by waiting for a second one.
        let ends = stream
            .set_nodelay(true)
            .and_then(|()| Ok((stream.local_addr()?, stream.peer_addr()?)));
        let (local, peer) =
            ends.map_err(|error| failed(&error, &to.to_string(), purpose.stage(Stage::Connect)))?;
        let ends = Ends {
            local,
            peer,
            path,
            proxy,
        };
        if purpose == Purpose::Notification {
            self.log.note(Event::Connected(ends.clone()));
        }
        Ok(Established { stream, ends })
    }

    /// The addresses of a name, of the family that is wanted, the families taking turns.
    pub(super) async fn resolve(
        &self,
        to: &Address,
        purpose: Purpose,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let mut usable = match to.ip() {
            Some(ip) => vec![SocketAddr::new(ip, to.port)],
            None => self.look_up(to, purpose).await?,
        };
        let bind = self.route.bind.ip;
        usable.retain(|address| {
            let ip = address.ip();
            self.route.family.has(ip) && bind.is_none_or(|bind| bind.is_ipv4() == ip.is_ipv4())
        });
        if usable.is_empty() {
            return Err(self.no_usable_address(to, bind, purpose));
        }
        Ok(take_turns(&usable))
    }

    /// The failure of a server that has no address of the family that is asked for, or that the
    /// local address has.
    fn no_usable_address(&self, to: &Address, bind: Option<IpAddr>, purpose: Purpose) -> Failure {
        let why = match (bind, self.route.family) {
            (Some(ip), _) => format!("has no address of the same family as the local address {ip}"),
            (None, Family::V4) => "has no IPv4 address, and only IPv4 may be used".to_owned(),
            (None, _) => "has no IPv6 address, and only IPv6 may be used".to_owned(),
        };
        Failure::new(
            purpose.stage(Stage::Resolve),
            ErrorCode::NoUsableAddress,
            format!("{} {why}", to.host),
        )
    }

    async fn look_up(&self, to: &Address, purpose: Purpose) -> Result<Vec<SocketAddr>, Failure> {
        let what = format!("the address of {}", to.host);
        let _step = self.log.begin(purpose, Stage::Resolve, what);
        let fail = |why: &str| {
            Failure::new(
                purpose.stage(Stage::Resolve),
                ErrorCode::NameNotFound,
                format!("look up {}: {why}", to.host),
            )
        };
        let found: Vec<_> = lookup_host((to.host.as_str(), to.port))
            .await
            .map_err(|error| fail(&describe(&error)))?
            .collect();
        match found.is_empty() {
            true => Err(fail("the name has no address")),
            false => Ok(found),
        }
    }

    /// The address of a server beyond a proxy that is not asked to look names up itself, and one
    /// of the other family where there are both: only the proxy knows whether it has both.
    pub(super) async fn resolve_beyond(
        &self,
        to: &Address,
        purpose: Purpose,
        v4_only: bool,
    ) -> Result<(SocketAddr, Option<SocketAddr>), Failure> {
        let mut found = self.look_up(to, purpose).await?;
        found.retain(|at| self.route.family.has(at.ip()));
        if found.is_empty() {
            return Err(self.no_usable_address(to, None, purpose));
        }
        found.retain(|at| !v4_only || at.is_ipv4());
        let Some(&first) = found.first() else {
            return Err(Failure::new(
                purpose.stage(Stage::Resolve),
                ErrorCode::NoUsableAddress,
                format!(
                    "{} has no IPv4 address, and SOCKS4 carries no other",
                    to.host
                ),
            ));
        };
        let other = |at: &SocketAddr| at.is_ipv4() != first.is_ipv4();
        Ok((first, found.into_iter().find(other)))
    }

    /// Tries the addresses one after the other, each a little later than the one before, until
    /// one answers (RFC 8305 §5). `step` is what this is to the run: the connection, or the proxy.
    pub(super) async fn race(
        &self,
        to: &Address,
        addresses: &[SocketAddr],
        purpose: Purpose,
        step: Stage,
    ) -> Result<TcpStream, Failure> {
        let proxy = match step {
            Stage::Proxy => "the proxy ",
            _ => "",
        };
        let what = format!("a connection to {proxy}{to}");
        let _step = self.log.begin(purpose, step, what);
        let stage = purpose.stage(step);
        let bind = match purpose {
            Purpose::Notification | Purpose::Gateway | Purpose::Stun => self.route.bind,
            _ => Bind {
                port: 0,
                share: false,
                ..self.route.bind
            },
        };
        let shown = |at: SocketAddr| match to.ip() {
            Some(_) => to.to_string(),
            None => format!("{to} ({})", at.ip()),
        };
        let mut left: VecDeque<_> = addresses.iter().copied().collect();
        let mut last = None;
        // One address, or one port that two attempts cannot share: no race.
        if addresses.len() == 1 || bind.port != 0 {
            for at in left.drain(..) {
                match connect_one(at, bind).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = Some(failed(&error, &shown(at), stage)),
                }
            }
        }
        let mut attempts = JoinSet::new();
        loop {
            if let Some(next) = left.pop_front() {
                attempts.spawn(async move { (next, connect_one(next, bind).await) });
            }
            let delay = async {
                match left.is_empty() {
                    true => std::future::pending().await,
                    false => tokio::time::sleep(ATTEMPT_DELAY).await,
                }
            };
            tokio::select! {
                done = attempts.join_next() => match done {
                    Some(Ok((_, Ok(stream)))) => return Ok(stream),
                    Some(Ok((at, Err(error)))) => last = Some(failed(&error, &shown(at), stage)),
                    Some(Err(_)) => {}
                    None if left.is_empty() => break,
                    None => {}
                },
                () = delay => {}
            }
        }
        Err(last.unwrap_or_else(|| {
            let error = io::Error::other("no address could be tried");
            failed(&error, &to.to_string(), stage)
        }))
    }
}

async fn connect_one(to: SocketAddr, bind: Bind) -> io::Result<TcpStream> {
    let (socket, any) = match to.is_ipv4() {
        true => (TcpSocket::new_v4()?, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        false => (TcpSocket::new_v6()?, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    };
    if bind.share || bind.port != 0 {
        // Two sockets may share a local port toward two servers, if both say so beforehand.
        socket.set_reuseaddr(true)?;
    }
    if bind != Bind::default() {
        let local = SocketAddr::new(bind.ip.unwrap_or(any), bind.port);
        socket.bind(local).map_err(|error| {
            let why = describe(&error);
            io::Error::new(error.kind(), LocalEndError::Bind { local, why })
        })?;
    }
    let connected = socket.connect(to).await;
    connected.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable if bind.port != 0 => {
            io::Error::new(error.kind(), LocalEndError::InUse(bind.port))
        }
        _ => error,
    })
}

/// What is wrong with the local end that was asked for.
#[derive(Debug, thiserror::Error)]
enum LocalEndError {
    /// It cannot be bound.
    #[error("cannot use the local address {local}: {why}")]
    Bind { local: SocketAddr, why: String },
    /// The port has a connection to the same place already.
    #[error("the local port {0} is in use toward this very address")]
    InUse(u16),
}

/// The failure that a connection attempt came to.
fn failed(error: &io::Error, to: &str, stage: Stage) -> Failure {
    let local = error.get_ref().and_then(|inner| inner.downcast_ref());
    let code = match (local, error.kind()) {
        (Some(LocalEndError::Bind { .. }), _) => {
            return Failure::new(stage, ErrorCode::BindFailed, error.to_string());
        }
        (Some(LocalEndError::InUse(_)), _) => ErrorCode::LocalPortInUse,
        (None, io::ErrorKind::ConnectionRefused) => ErrorCode::ConnectionRefused,
        (
            None,
            io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::AddrNotAvailable,
        ) => ErrorCode::Unreachable,
        (None, io::ErrorKind::TimedOut) => ErrorCode::Timeout,
        (None, io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted) => {
            ErrorCode::ConnectionReset
        }
        (None, io::ErrorKind::PermissionDenied) => ErrorCode::NotPermitted,
        (None, _) => ErrorCode::ConnectionFailed,
    };
    Failure::new(stage, code, format!("connect {to}: {}", describe(error)))
}

/// The system's order, but so that the two families take turns (RFC 8305 §4).
fn take_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let begins_with_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses
        .iter()
        .partition(|address| address.is_ipv4() == begins_with_v4);
    (0..first.len().max(second.len()))
        .flat_map(|turn| [first.get(turn), second.get(turn)])
        .flatten()
        .copied()
        .take(MAX_ADDRESSES)
        .collect()
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
}
