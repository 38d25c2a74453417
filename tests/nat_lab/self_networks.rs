//! The lab itself: which address and port a server sees on each network, asked with plain sockets.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::alone;
use crate::self_guards::check;
use support::lab::proxies;
use support::lab::topology::{self, Failure, Port, Sees, Verdict};
use support::lab::{Error, Observer, Topology, ask};

/// The port of a notification server.
const PORT: u16 = 1863;

/// Longer than any of these networks takes to connect: the lossy one may lose several SYNs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough to distinguish silence from an answer, in a network without delay.
const SILENCE: Duration = Duration::from_millis(1500);

#[test]
#[ignore = "needs root and makes network namespaces: run scripts/nat-lab"]
fn every_network_shows_the_server_the_address_it_promises() -> Result<(), Error> {
    let _alone = alone();
    let networks: &[fn() -> Result<Topology, Error>] = &[
        topology::direct,
        topology::masquerade,
        topology::masquerade_random,
        topology::own_port_rewritten,
        topology::one_to_one,
        topology::carrier_grade,
        topology::endpoint_independent,
        topology::endpoint_dependent,
        topology::hairpin,
        || topology::transparent_redirect(PORT, |router, at, _| proxies::relay(router, at, None)),
        || topology::drops(PORT),
        || topology::rejects(PORT),
        || topology::firewall("ICMP port unreachable", PORT, Verdict::PortUnreachable),
        || topology::firewall("ICMP host unreachable", PORT, Verdict::HostUnreachable),
        || topology::firewall("ICMP prohibited", PORT, Verdict::AdminProhibited),
        topology::mtu_576,
        topology::slow_and_lossy,
        topology::ipv6_direct,
        topology::ipv6_prefix_translation,
        topology::nat64,
        topology::ipv6_only_client,
        topology::dual_stack,
        topology::proxy_only,
        topology::proxy_behind_nat,
    ];
    for build in networks {
        let net = build()?;
        let connect =
            dial_all(&net).map_err(|e| Error::new(format!("{} ({}): {e}", net.name, net.sees)))?;
        // A lost first packet would be repeated after a second.
        let at_once = connect < Duration::from_millis(900);
        let silent = net.sees == Sees::Nothing(Failure::Silence);
        check(at_once || silent, || {
            format!("{}: {connect:?} to connect", net.name)
        })?;
    }
    Ok(())
}

/// Dials every address of the server from one local port; how long the first took.
fn dial_all(net: &Topology) -> Result<Duration, Error> {
    let observer = Observer::start(&net.server, &[net.listen(PORT)])?;
    let Sees::From(_, port) = net.sees else {
        return dial_in_vain(net);
    };
    let (started, mut connect) = (Instant::now(), None);
    let mut ports = Vec::new();
    for addr in net.dial_all(PORT) {
        let stream = net.client.connect_from(41_100, addr, PATIENCE)?;
        connect.get_or_insert_with(|| started.elapsed());
        let (local, seen) = (stream.local_addr()?, ask(&stream)?);
        check(net.sees.fits(local, seen), || {
            format!("{local} was seen as {seen}")
        })?;
        let recorded = observer.seen().last().map(|sighting| sighting.peer);
        check(recorded == Some(seen), || {
            format!("greeted {seen}, recorded {recorded:?}")
        })?;
        ports.push(seen.port());
    }
    let as_said = match port {
        Port::Kept | Port::ChangedAlike => ports.windows(2).all(|pair| pair[0] == pair[1]),
        Port::ChangedPerServer => ports.windows(2).all(|pair| pair[0] != pair[1]),
        Port::Changed => true,
    };
    check(as_said, || format!("outside ports {ports:?}"))?;
    Ok(connect.unwrap_or_default())
}

/// Dials a server that must not be reached; how long that took.
fn dial_in_vain(net: &Topology) -> Result<Duration, Error> {
    let Sees::Nothing(failure) = net.sees else {
        return Err(Error::new("it can be reached"));
    };
    let started = Instant::now();
    let error = match net.client.connect(net.dial(PORT), SILENCE) {
        Ok(stream) => {
            return Err(Error::new(format!(
                "reached from {:?}",
                stream.local_addr()
            )));
        }
        Err(e) => e,
    };
    let took = started.elapsed();
    let kind = match failure {
        Failure::Silence => ErrorKind::TimedOut,
        Failure::Refused => ErrorKind::ConnectionRefused,
        Failure::HostUnreachable => ErrorKind::HostUnreachable,
        Failure::NetworkUnreachable => ErrorKind::NetworkUnreachable,
    };
    check(error.kind() == kind, || format!("failed with {error}"))?;
    let at_once = failure != Failure::Silence;
    check(at_once == (took < SILENCE), || {
        format!("failed after {took:?}")
    })?;
    Ok(took)
}

#[test]
#[ignore = "needs root and makes network namespaces: run scripts/nat-lab"]
fn a_firewall_lets_other_ports_through() -> Result<(), Error> {
    let _alone = alone();
    let net = topology::drops(PORT)?;
    let observer = Observer::start(&net.server, &[net.listen(PORT + 1)])?;
    let stream = net.client.connect(net.dial(PORT + 1), PATIENCE)?;
    check(ask(&stream)? == stream.local_addr()?, || {
        format!("{:?}", observer.seen())
    })
}

#[test]
#[ignore = "needs root and makes network namespaces: run scripts/nat-lab"]
fn a_redirected_server_sees_the_relay_and_other_ports_the_nat() -> Result<(), Error> {
    let _alone = alone();
    // A relay with a fixed server, as the command of a test's own would be.
    let net = topology::transparent_redirect(PORT, |router, at, to| {
        proxies::relay(router, at, Some(to))
    })?;
    let _observer = Observer::start(&net.server, &[net.listen(PORT), net.listen(PORT + 1)])?;
    let diverted = net.client.connect(net.dial(PORT), PATIENCE)?;
    check(diverted.peer_addr()? == net.dial(PORT), || {
        "the client notices".to_owned()
    })?;
    check(
        net.sees.fits(diverted.local_addr()?, ask(&diverted)?),
        || "not the relay".to_owned(),
    )?;
    let plain = net.client.connect(net.dial(PORT + 1), PATIENCE)?;
    let (local, seen) = (plain.local_addr()?, ask(&plain)?);
    check(seen.port() == local.port(), || {
        format!("{local} was seen as {seen}")
    })
}

#[test]
#[ignore = "needs root and makes network namespaces: run scripts/nat-lab"]
fn one_to_one_and_prefix_translation_let_connections_in() -> Result<(), Error> {
    let _alone = alone();
    for (build, outside) in [
        (
            topology::one_to_one as fn() -> Result<Topology, Error>,
            "203.0.113.50:6891",
        ),
        (topology::ipv6_prefix_translation, "[2001:db8:5::5]:6891"),
    ] {
        let net = build()?;
        let outside: SocketAddr = outside.parse().map_err(|_| Error::new(outside))?;
        let _observer = Observer::start(&net.client, &[net.listen(6891)])?;
        let stream = net.server.connect(outside, PATIENCE)?;
        check(ask(&stream)? == stream.local_addr()?, || {
            format!("{outside}")
        })?;
    }
    Ok(())
}

#[test]
#[ignore = "needs root and makes network namespaces: run scripts/nat-lab"]
fn bulk_data_passes_a_small_mtu() -> Result<(), Error> {
    let _alone = alone();
    let net = topology::mtu_576()?;
    let _observer = Observer::start(&net.server, &[net.listen(PORT)])?;
    let stream = net.client.connect(net.dial(PORT), PATIENCE)?;
    ask(&stream)?;
    echo(&stream, 300_000)?;
    for (host, to) in [(&net.client, "203.0.113.80"), (&net.server, "198.51.100.5")] {
        let ip = host.spawn("ip", ["route", "get", to])?;
        ip.wait_for_line("mtu 576", PATIENCE)?;
    }
    Ok(())
}

#[test]
#[ignore = "needs root and makes network namespaces: run scripts/nat-lab"]
fn bulk_gets_through_the_slow_and_lossy_line() -> Result<(), Error> {
    let _alone = alone();
    let net = topology::slow_and_lossy()?;
    let _observer = Observer::start(&net.server, &[net.listen(PORT)])?;
    let started = Instant::now();
    let stream = net.client.connect(net.dial(PORT), PATIENCE)?;
    let took = started.elapsed();
    check(took >= Duration::from_millis(400), || {
        format!("connected after {took:?}")
    })?;
    ask(&stream)?;
    echo(&stream, 20_000)?;
    let carried = net.line.as_ref().map(crate::lab::Line::carried);
    check(carried.is_some_and(|c| c.delivered > 30), || {
        format!("{carried:?}")
    })
}

/// Sends `size` bytes and reads them back.
fn echo(stream: &TcpStream, size: usize) -> Result<(), Error> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let sent: Vec<u8> = (0..size)
        .map(|i| i.to_le_bytes()[0] ^ i.to_le_bytes()[1])
        .collect();
    let mut back = vec![0; size];
    thread::scope(|scope| {
        let writer = scope.spawn(|| (&mut &*stream).write_all(&sent));
        (&mut &*stream).read_exact(&mut back)?;
        writer
            .join()
            .unwrap_or_else(|_| Err(ErrorKind::Other.into()))
    })?;
    check(sent == back, || {
        "what came back is not what was sent".to_owned()
    })
}
