//! A NAT on loopback for the packets of UDP echo.
//!
//! It stands before both addresses of a server and rewrites what the packets say of them, so that a
//! client asks it in place of the server.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::relay::OUTSIDE;
use crate::msnp::udp_echo::{LEN, Other, Packet};

/// How the NAT maps and filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// One outside end for each client, open to everybody.
    Open,
    /// One outside end for each client, open to those that were sent to.
    Filtered,
    /// Another outside end for each destination.
    MappedForEach,
}

/// The most outside ends, and the most packets that wait for one: a run of the tests needs four.
const MOST: usize = 16;

/// A NAT that does not relay yet.
pub(super) struct Nat {
    /// What stands for each address of the server.
    inside: [UdpSocket; 2],
    ends: [SocketAddrV4; 2],
    servers: [SocketAddrV4; 2],
    behaviour: Behaviour,
}

/// An outside end.
struct Outside {
    socket: Arc<UdpSocket>,
    client: SocketAddr,
    /// Which addresses of the server it has sent to.
    asked: [bool; 2],
}

/// What arrived at an outside end.
struct Arrived {
    key: Key,
    packet: Packet,
    from: SocketAddr,
}

/// The client of an outside end, and the destination where each has one of its own.
type Key = (SocketAddr, Option<usize>);

impl Nat {
    /// A NAT before `servers`, on ports that the system chooses.
    pub(super) async fn bind(servers: [SocketAddrV4; 2], behaviour: Behaviour) -> io::Result<Self> {
        let open = async |ip: Ipv4Addr| {
            let socket = UdpSocket::bind((ip, 0)).await?;
            match socket.local_addr()? {
                SocketAddr::V4(end) => Ok((socket, end)),
                SocketAddr::V6(_) => Err(io::Error::from(io::ErrorKind::AddrNotAvailable)),
            }
        };
        let [(one, at_one), (two, at_two)] =
            [open(*servers[0].ip()).await?, open(*servers[1].ip()).await?];
        Ok(Self {
            inside: [one, two],
            ends: [at_one, at_two],
            servers,
            behaviour,
        })
    }

    /// What stands for the server's first address.
    pub(super) const fn address(&self) -> SocketAddrV4 {
        self.ends[0]
    }

    /// Relays until it is dropped.
    pub(super) async fn run(self) {
        let mut outsides: HashMap<Key, Outside> = HashMap::new();
        let mut readers = JoinSet::new();
        let (arrivals, mut arrived) = mpsc::channel(MOST);
        let mut buffers = [[0; LEN]; 2];
        loop {
            let [one, two] = &mut buffers;
            let (to, received) = tokio::select! {
                Some(one) = arrived.recv() => {
                    self.let_in(&outsides, &one).await;
                    continue;
                }
                received = self.inside[0].recv_from(one) => (0, received),
                received = self.inside[1].recv_from(two) => (1, received),
            };
            let Ok((len, client)) = received else {
                continue;
            };
            let Some(packet) = Packet::parse(&buffers[to][..len]) else {
                continue;
            };
            let key = (
                client,
                (self.behaviour == Behaviour::MappedForEach).then_some(to),
            );
            if !outsides.contains_key(&key) {
                if outsides.len() == MOST {
                    continue;
                }
                let Ok(socket) = UdpSocket::bind((OUTSIDE, 0)).await.map(Arc::new) else {
                    continue;
                };
                readers.spawn(read(Arc::clone(&socket), key, arrivals.clone()));
                let asked = [false; 2];
                let outside = Outside {
                    socket,
                    client,
                    asked,
                };
                outsides.insert(key, outside);
            }
            if let Some(outside) = outsides.get_mut(&key) {
                outside.asked[to] = true;
                let packet = renamed(packet, &self.ends, &self.servers);
                let _ = outside
                    .socket
                    .send_to(&packet.bytes(), self.servers[to])
                    .await;
            }
        }
    }

    /// Passes on what arrived at an outside end, if that is open to its sender.
    async fn let_in(&self, outsides: &HashMap<Key, Outside>, arrived: &Arrived) {
        let from = self
            .servers
            .iter()
            .position(|at| SocketAddr::V4(*at) == arrived.from);
        let outside = outsides.get(&arrived.key);
        if let Some((from, outside)) = from.zip(outside)
            && (outside.asked[from] || self.behaviour == Behaviour::Open)
        {
            let packet = renamed(arrived.packet, &self.servers, &self.ends);
            let _ = self.inside[from]
                .send_to(&packet.bytes(), outside.client)
                .await;
        }
    }
}

/// Hands on what arrives at an outside end.
async fn read(socket: Arc<UdpSocket>, key: Key, to: mpsc::Sender<Arrived>) {
    let mut buffer = [0; LEN];
    while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
        let Some(packet) = Packet::parse(&buffer[..len]) else {
            continue;
        };
        if to.send(Arrived { key, packet, from }).await.is_err() {
            break;
        }
    }
}

/// The packet with the server's other address in the words of the other side.
fn renamed(packet: Packet, from: &[SocketAddrV4; 2], to: &[SocketAddrV4; 2]) -> Packet {
    let other = packet.other.map(|other| {
        let at = from.iter().position(|end| *end == other.address);
        let address = at.map_or(other.address, |at| to[at]);
        Other { address, ..other }
    });
    Packet { other, ..packet }
}
