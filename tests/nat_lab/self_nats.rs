//! The lab itself: what its NATs do with UDP, asked with plain sockets.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::alone;
use crate::exact_nat::{ExactNat, LetsIn, Maps};
use crate::self_guards::check;
use support::lab::{Error, Topology};

/// Longer than any packet takes: what does not arrive is known by what arrives after it.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
#[ignore = "needs root and makes network namespaces: run scripts/nat-lab"]
fn an_exact_nat_maps_and_filters_as_it_says() -> Result<(), Error> {
    let _alone = alone();
    for maps in [Maps::Alike, Maps::ByAddress, Maps::ByAddressAndPort] {
        for lets_in in [
            LetsIn::Everybody,
            LetsIn::Addresses,
            LetsIn::AddressesAndPorts,
        ] {
            for hairpins in [true, false] {
                let nat = ExactNat {
                    maps,
                    lets_in,
                    hairpins,
                };
                let net = nat.build()?;
                tried(nat, &net).map_err(|e| Error::new(format!("{nat:?}: {e}")))?;
            }
        }
    }
    Ok(())
}

fn tried(nat: ExactNat, net: &Topology) -> Result<(), Error> {
    let servers = Servers::new(net)?;
    let client = Client::new(net, 41_100)?;
    let mut ends = Vec::new();
    for at in 0..4 {
        ends.push(servers.outside_of(&client, at)?);
    }
    // The address, and the address and port, of the first, second, third and fourth.
    let alike = |one: usize, two: usize| ends[one] == ends[two];
    let as_said = match nat.maps {
        Maps::Alike => alike(0, 1) && alike(0, 2) && alike(0, 3),
        Maps::ByAddress => alike(0, 1) && alike(2, 3) && !alike(0, 2),
        Maps::ByAddressAndPort => {
            let pairs = (0..4).flat_map(|one| (0..one).map(move |two| (one, two)));
            pairs.into_iter().all(|(one, two)| !alike(one, two))
        }
    };
    check(as_said, || format!("outside ends {ends:?}"))?;
    // Whoever was sent to gets in by any mapping of the inside end.
    let got_in = servers.got_in(&client, ends[0])?;
    check(got_in == [1, 2, 3], || format!("of all four: {got_in:?}"))?;

    let client = Client::new(net, 41_101)?;
    let end = servers.outside_of(&client, 0)?;
    let got_in = servers.got_in(&client, end)?;
    let want: &[usize] = match nat.lets_in {
        LetsIn::Everybody => &[1, 2, 3],
        LetsIn::Addresses => &[1],
        LetsIn::AddressesAndPorts => &[],
    };
    check(got_in == want, || format!("of the first: {got_in:?}"))?;

    let other = Client::new(net, 41_102)?;
    let ends = [end, servers.outside_of(&other, 0)?];
    // Each opens the filter for the other, if there is one.
    for _ in 0..2 {
        client.0.send_to(b"hairpin", ends[1])?;
        other.0.send_to(b"hairpin", ends[0])?;
    }
    let came = [
        servers.came_from(&client, 0)?,
        servers.came_from(&other, 0)?,
    ];
    let back = came.iter().flatten().count() > 0;
    let outside = came.iter().flatten().all(|from| from.ip() == end.ip());
    // Toward each other they have ports that they were not told of, and did not send to.
    let unknown = nat.maps != Maps::Alike && nat.lets_in == LetsIn::AddressesAndPorts;
    check(back == (nat.hairpins && !unknown) && outside, || {
        format!("hairpinned: {came:?}")
    })
}

/// Two ports at each of two addresses.
struct Servers(Vec<UdpSocket>);

struct Client(UdpSocket);

impl Client {
    fn new(net: &Topology, port: u16) -> Result<Self, Error> {
        let socket = net.client.udp(SocketAddr::from(([192, 168, 1, 5], port)))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(socket))
    }
}

impl Servers {
    fn new(net: &Topology) -> Result<Self, Error> {
        let ends = [80, 81].map(|ip| [3478, 3479].map(|port| ([203, 0, 113, ip], port)));
        let sockets = ends.into_iter().flatten().map(|end| {
            let socket = net.server.udp(SocketAddr::from(end))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(socket)
        });
        sockets.collect::<Result<_, Error>>().map(Self)
    }

    /// The client's end as this server sees it.
    fn outside_of(&self, client: &Client, at: usize) -> Result<SocketAddr, Error> {
        client.0.send_to(b"hello", self.0[at].local_addr()?)?;
        Ok(self.0[at].recv_from(&mut [0; 16])?.1)
    }

    /// Which servers but the first reach the client at the outside end that the first one sees.
    fn got_in(&self, client: &Client, end: SocketAddr) -> Result<Vec<usize>, Error> {
        for server in &self.0[1..] {
            server.send_to(b"knock", end)?;
        }
        let came = self.came_before(client, end)?;
        let mut got_in = Vec::new();
        for from in came {
            let at = |server: &UdpSocket| server.local_addr().is_ok_and(|addr| addr == from);
            got_in.extend(self.0.iter().position(at));
        }
        Ok(got_in)
    }

    /// Who reached the client besides the servers.
    fn came_from(&self, client: &Client, at: usize) -> Result<Vec<SocketAddr>, Error> {
        let end = self.outside_of(client, at)?;
        self.came_before(client, end)
    }

    /// The senders of what arrives before an answer of the first server, which always gets in.
    fn came_before(&self, client: &Client, end: SocketAddr) -> Result<Vec<SocketAddr>, Error> {
        self.0[0].send_to(b"last", end)?;
        let mut came = Vec::new();
        loop {
            let mut packet = [0; 16];
            match client.0.recv_from(&mut packet) {
                Ok((4, _)) if packet.starts_with(b"last") => return Ok(came),
                Ok((_, from)) => came.push(from),
                // The router itself refuses what it does not send back in.
                Err(e) if e.kind() == ErrorKind::ConnectionRefused => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}
