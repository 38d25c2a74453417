//! A STUN server with two addresses and two ports, honest or not.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::parallel::joined;

/// What a server does that it should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Nothing: it keeps to RFC 5780.
    None,
    /// It names no other address.
    Plain,
    /// It answers from the address that was asked, whatever it is asked for.
    IgnoresChange,
    /// It does not answer where it is to answer from elsewhere.
    DropsChange,
    /// It answers such requests with error 420.
    RefusesChange,
    /// It answers everything with error 500.
    Errs,
    /// Its other address is its own.
    OtherIsItself,
    /// Its other address is another network's.
    OtherIsElsewhere,
    /// MAPPED-ADDRESS was rewritten on the way; XOR-MAPPED-ADDRESS was not.
    Rewritten,
    /// Many other packets come before each answer.
    Floods,
    /// It repeats another number than that of the request.
    WrongNumber,
    /// Its answers are cut short.
    Truncated,
    /// It does not answer.
    Silent,
}

/// The address that stands for the outside of a NAT.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2)];

/// A server, until dropped. It sees every client at [`OUTSIDE`].
pub struct StunServer {
    /// Where it is asked.
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl StunServer {
    /// Starts at ports that the system picks.
    pub fn start(lie: Lie) -> Self {
        let sockets = (0..100).find_map(|_| bind().ok());
        let sockets = Arc::new(sockets.expect("two ports that are free at both addresses"));
        let address = sockets[0][0].local_addr().expect("an address");
        let stop = Arc::<AtomicBool>::default();
        let threads = (0..4).map(|at| {
            let (sockets, stop) = (Arc::clone(&sockets), Arc::clone(&stop));
            std::thread::spawn(move || answer_all(&sockets, at / 2, at % 2, lie, &stop))
        });
        Self {
            address,
            threads: threads.collect(),
            stop,
        }
    }
}

impl Drop for StunServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            joined(thread);
        }
    }
}

/// The sockets, by address and by port.
fn bind() -> io::Result<[[UdpSocket; 2]; 2]> {
    let open = |ip: Ipv4Addr, port: u16| {
        let socket = UdpSocket::bind((ip, port))?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        io::Result::Ok(socket)
    };
    let first = [open(ADDRESSES[0], 0)?, open(ADDRESSES[0], 0)?];
    let ports = [first[0].local_addr()?.port(), first[1].local_addr()?.port()];
    let second = [open(ADDRESSES[1], ports[0])?, open(ADDRESSES[1], ports[1])?];
    Ok([first, second])
}

fn answer_all(sockets: &[[UdpSocket; 2]; 2], ip: usize, port: usize, lie: Lie, stop: &AtomicBool) {
    let mut buffer = [0; 1500];
    while !stop.load(Ordering::Relaxed) {
        let Ok((len, from)) = sockets[ip][port].recv_from(&mut buffer) else {
            continue;
        };
        let request = &buffer[..len];
        if len < 20 || request[..2] != [0, 1] || lie == Lie::Silent {
            continue;
        }
        let flags = request.get(27).copied().unwrap_or(0);
        let is_changed = flags != 0;
        let (to_ip, to_port) = match lie {
            Lie::IgnoresChange => (ip, port),
            Lie::DropsChange if is_changed => continue,
            _ => (
                ip ^ usize::from(flags >> 2 & 1),
                port ^ usize::from(flags >> 1 & 1),
            ),
        };
        let other = sockets[1 - ip][1 - port].local_addr().expect("an address");
        let answer = answer(request, from, other, is_changed, lie);
        let via = &sockets[to_ip][to_port];
        if lie == Lie::Floods {
            for junk in [
                &[0; 0][..],
                &[1; 20],
                &answer[..answer.len() - 4],
                &[0; 1400],
            ] {
                for _ in 0..20 {
                    let _ = via.send_to(junk, from);
                }
            }
        }
        let _ = via.send_to(&answer, from);
    }
}

fn answer(
    request: &[u8],
    from: SocketAddr,
    other: SocketAddr,
    is_changed: bool,
    lie: Lie,
) -> Vec<u8> {
    let mut body = Vec::new();
    let mut add = |kind: u16, value: &[u8]| {
        body.extend(kind.to_be_bytes());
        body.extend(u16::try_from(value.len()).expect("short").to_be_bytes());
        body.extend(value);
    };
    let code = match lie {
        Lie::Errs => Some([0, 0, 5, 0]),
        Lie::RefusesChange if is_changed => Some([0, 0, 4, 20]),
        _ => None,
    };
    if let Some(code) = code {
        add(0x0009, &code);
    } else {
        let outside = SocketAddr::new(OUTSIDE.into(), from.port());
        let rewritten = SocketAddr::new([192, 168, 1, 1].into(), 1);
        let mapped = if lie == Lie::Rewritten {
            rewritten
        } else {
            outside
        };
        add(0x0001, &address(mapped, [0; 6]));
        add(
            0x0020,
            &address(outside, [0x21, 0x12, 0x21, 0x12, 0xa4, 0x42]),
        );
        let named = match lie {
            Lie::Plain => None,
            Lie::OtherIsItself => Some(SocketAddr::new(ADDRESSES[0].into(), other.port())),
            Lie::OtherIsElsewhere => Some(SocketAddr::new([192, 168, 9, 9].into(), 9)),
            _ => Some(other),
        };
        if let Some(named) = named {
            add(0x802c, &address(named, [0; 6]));
        }
    }
    let kind: u16 = if code.is_some() { 0x0111 } else { 0x0101 };
    let mut answer = kind.to_be_bytes().to_vec();
    answer.extend(u16::try_from(body.len()).expect("short").to_be_bytes());
    answer.extend(&request[4..20]);
    answer.extend(body);
    match lie {
        Lie::WrongNumber => answer[19] ^= 1,
        Lie::Truncated => answer.truncate(answer.len() - 4),
        _ => {}
    }
    answer
}

/// An address attribute, masked: two bytes for the port, four for the address.
fn address(end: SocketAddr, mask: [u8; 6]) -> [u8; 8] {
    let IpAddr::V4(ip) = end.ip() else {
        panic!("IPv4 alone");
    };
    let [one, two] = end.port().to_be_bytes();
    let [a, b, c, d] = ip.octets();
    let mut value = [0, 1, one, two, a, b, c, d];
    for (byte, mask) in value[2..].iter_mut().zip(mask) {
        *byte ^= mask;
    }
    value
}
