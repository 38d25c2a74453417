//! Sockets that the standard library cannot make, and who listens inside a host.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpStream};
use std::os::fd::AsRawFd as _;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, getsockopt, setsockopt,
    socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::{Error, Host};

/// Waits until something listens for TCP on `addr` inside the host, a wildcard address included.
///
/// It reads the kernel's table instead of connecting, so that the listener's first connection is
/// the test's own.
///
/// # Errors
///
/// When nothing listens there after `timeout`.
pub fn wait_for_port(host: &Host, addr: SocketAddr, timeout: Duration) -> Result<(), Error> {
    wait_for_socket(host, addr, "tcp", TCP_LISTEN, timeout)
}

/// Waits until a UDP socket is bound to `addr` inside the host, a wildcard address included.
///
/// # Errors
///
/// When there is none after `timeout`.
pub fn wait_for_udp_port(host: &Host, addr: SocketAddr, timeout: Duration) -> Result<(), Error> {
    wait_for_socket(host, addr, "udp", UDP_UNCONNECTED, timeout)
}

/// Connects from a local port that other connections may use, too, toward other addresses.
pub(crate) fn connect_from(port: u16, to: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let (family, any) = match to {
        SocketAddr::V4(_) => (AddressFamily::Inet, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        SocketAddr::V6(_) => (AddressFamily::Inet6, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    // On Linux the time limit for sending is that of `connect`, too.
    let limit = TimeVal::new(
        timeout.as_secs().cast_signed(),
        timeout.subsec_micros().into(),
    );
    setsockopt(&fd, sockopt::SendTimeout, &limit)?;
    bind(
        fd.as_raw_fd(),
        &SockaddrStorage::from(SocketAddr::new(any, port)),
    )?;
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(to)) {
        Err(Errno::EINPROGRESS) => return Err(io::ErrorKind::TimedOut.into()),
        other => other?,
    }
    setsockopt(&fd, sockopt::SendTimeout, &TimeVal::new(0, 0))?;
    Ok(TcpStream::from(fd))
}

/// Where a connection was going before an nftables `redirect` or `dnat` sent it to us.
pub(crate) fn original_destination(stream: &TcpStream) -> io::Result<SocketAddr> {
    if stream.local_addr()?.is_ipv4() {
        let to = getsockopt(stream, sockopt::OriginalDst)?;
        let ip = Ipv4Addr::from(u32::from_be(to.sin_addr.s_addr));
        return Ok(SocketAddrV4::new(ip, u16::from_be(to.sin_port)).into());
    }
    let to = getsockopt(stream, sockopt::Ip6tOriginalDst)?;
    let ip = Ipv6Addr::from(to.sin6_addr.s6_addr);
    Ok(SocketAddrV6::new(ip, u16::from_be(to.sin6_port), 0, 0).into())
}

/// The states of a listening TCP socket and of a plain UDP socket in `/proc/net`.
const TCP_LISTEN: &str = "0A";
const UDP_UNCONNECTED: &str = "07";

/// How often the table is read: far below what a test notices, far above what reading costs.
const TURN: Duration = Duration::from_millis(2);

fn wait_for_socket(
    host: &Host,
    addr: SocketAddr,
    protocol: &str,
    state: &str,
    timeout: Duration,
) -> Result<(), Error> {
    let deadline = Instant::now() + timeout;
    let found = host.inside(|| {
        while Instant::now() < deadline {
            if sockets(protocol, state).any(|bound| serves(bound, addr)) {
                return true;
            }
            thread::sleep(TURN);
        }
        false
    })?;
    if found {
        return Ok(());
    }
    let name = host.name();
    Err(Error::new(format!(
        "no {protocol} socket on {addr} inside {name} after {timeout:?}"
    )))
}

/// Whether a socket bound here takes what is sent there. An IPv6 wildcard takes IPv4, as is the
/// default of Linux.
fn serves(bound: SocketAddr, addr: SocketAddr) -> bool {
    let any = match bound.ip() {
        IpAddr::V4(ip) => ip.is_unspecified() && addr.is_ipv4(),
        IpAddr::V6(ip) => ip.is_unspecified(),
    };
    bound.port() == addr.port() && (any || bound.ip() == addr.ip())
}

/// The sockets of this thread's namespace in a state.
fn sockets(protocol: &str, state: &str) -> impl Iterator<Item = SocketAddr> {
    // `/proc/net` would be the main thread's namespace.
    let table = |suffix| fs::read_to_string(format!("/proc/thread-self/net/{protocol}{suffix}"));
    let text = [table(""), table("6")]
        .into_iter()
        .flatten()
        .collect::<String>();
    let rows: Vec<SocketAddr> = text
        .lines()
        .filter_map(|row| bound_address(row, state))
        .collect();
    rows.into_iter()
}

/// `0: 0100007F:0747 00000000:0000 0A …` → `127.0.0.1:1863`.
fn bound_address(row: &str, state: &str) -> Option<SocketAddr> {
    let mut words = row.split_whitespace().skip(1);
    let (local, _remote, in_state) = (words.next()?, words.next()?, words.next()?);
    if in_state != state {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Each group of 32 bits is printed as a number, though it stands in memory as on the wire.
    let bytes: Vec<u8> = (0..address.len() / 8)
        .filter_map(|i| u32::from_str_radix(address.get(i * 8..i * 8 + 8)?, 16).ok())
        .flat_map(u32::to_ne_bytes)
        .collect();
    let ip = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    Some(SocketAddr::new(ip, port))
}
