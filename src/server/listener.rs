//! Listening sockets: accept connections.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpListener;
use tokio::spawn;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use super::arrival::{Admission, Arrival, Service};
use super::state::ServerState;
use super::stats::Stats;
use super::sync::stopped;
use super::tcp;

/// The length of the queue of connections that are not accepted yet.
const BACKLOG: i32 = 1024;

/// The first and the longest pause after a failure to accept.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Whether connections have the options of their listening socket: two system calls in ten of a login
/// would be to set them.
const INHERITS_OPTIONS: bool = cfg!(target_os = "linux");

/// Opens a listening socket. An IPv6 socket accepts IPv6 only, so that `0.0.0.0` and `[::]` can be
/// used together. A connection that is silent for `silence` is probed.
pub(super) fn open(address: SocketAddr, silence: Duration) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // On other systems this option lets programs take over ports in use.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if INHERITS_OPTIONS {
        set_options(&SockRef::from(&socket), silence);
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Sets the options of a connection.
fn set_options(socket: &SockRef<'_>, silence: Duration) {
    // Replies are single writes, which Nagle's algorithm could only delay.
    let _ = socket.set_tcp_nodelay(true);
    tcp::enable_keepalive(socket, silence);
}

/// Accepts connections until the server stops. Each of them has a clone of `closing` until it ends.
pub(super) async fn run(
    listener: TcpListener,
    service: Service,
    state: Arc<ServerState>,
    closing: watch::Receiver<bool>,
) {
    // Whoever reads the metrics is no client, and no balancer is in between.
    let has_balancers =
        !state.config.proxy_protocol_from.is_empty() && !matches!(service, Service::Metrics(_));
    // That of a wildcard differs from connection to connection.
    let own = listener.local_addr().ok();
    let own = own.filter(|own| !own.ip().is_unspecified());
    let mut pause = PAUSES.0;
    let mut stop = closing.clone();
    let mut stopped = pin!(stopped(&mut stop));
    // Checked here because accepting comes first below: without a pause in it, the stop would never be
    // polled. Fails if the server is dropped.
    while matches!(closing.has_changed(), Ok(false)) {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = &mut stopped => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if concerns_one_connection(&error) => continue,
            Err(error) => {
                warn!(%error, ?pause, "cannot accept connections");
                Stats::count(&state.stats.accept_errors);
                // The listener stays readable: without a pause this loop would spin.
                tokio::select! {
                    () = &mut stopped => break,
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(PAUSES.1);
                continue;
            }
        };
        pause = PAUSES.0;
        if !INHERITS_OPTIONS {
            set_options(&SockRef::from(&stream), state.config.limits.idle_timeout);
        }
        let local = match own {
            Some(own) => own,
            None => match stream.local_addr() {
                Ok(local) => local,
                Err(_) => continue,
            },
        };
        let arrival = Arrival {
            stream,
            service: service.clone(),
            peer,
            local,
            state: Arc::clone(&state),
            closing: closing.clone(),
        };
        if has_balancers {
            spawn(arrival.serve());
            continue;
        }
        match arrival.admit() {
            Admission::Admitted(admitted) => drop(spawn(admitted.serve())),
            Admission::Refused(refused) => drop(spawn(refused.close())),
            Admission::Closed => {}
        }
    }
}

/// Whether accepting failed because a connection was closed before it was accepted.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn connections_have_the_options_of_their_listening_socket() {
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = open(any, Duration::from_secs(120)).unwrap();
        let to = listener.local_addr().unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(to), listener.accept());
        let (stream, _) = accepted.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(
            socket.tcp_keepalive_time().unwrap(),
            Duration::from_secs(120)
        );
        assert_eq!(
            socket.tcp_keepalive_interval().unwrap(),
            Duration::from_secs(30)
        );
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
    }
}
