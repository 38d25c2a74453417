use std::net::SocketAddr;

use super::*;
use crate::conntype::{
    Destination, PathKind, PortOrder, PortUnknown, Sameness, classify, normalise, settle, swap_port,
};

const HERE: &str = "192.168.1.5";
const OUT: &str = "203.0.113.7";
const PORT: u16 = 46412;
/// A port whose two bytes are equal.
const EVEN: u16 = 51657;

const NOTHING: Beside = Beside {
    udp: None,
    udp_ports: None,
    called: None,
};

fn login(port: u16, client_ip: Option<&str>, client_port: Option<&str>) -> Observation {
    let local = SocketAddr::new(HERE.parse().unwrap(), port);
    Observation::new(local, client_ip, client_port)
}

/// A login by the words of the tables below.
fn named(address: &str, port: &str) -> Observation {
    let client_ip = match address {
        "same" => Some(HERE),
        "other" => Some(OUT),
        "missing" => None,
        text => Some(text),
    };
    let (local, client_port) = match port {
        "plain" => (PORT, Some(PORT.to_string())),
        "swapped" => (PORT, Some(swap_port(PORT).to_string())),
        "both" => (EVEN, Some(EVEN.to_string())),
        "other" => (PORT, Some("50155".to_owned())),
        "missing" => (PORT, None),
        text => (PORT, Some(text.to_owned())),
    };
    login(local, client_ip, client_port.as_deref())
}

fn said(client: Client, seen: &Observation, beside: &Beside) -> ClientSays {
    client.says(seen, &classify(seen), beside)
}

fn names(labels: &[ClientLabel]) -> String {
    let letter = |label: &ClientLabel| match label.as_str() {
        "Direct-Connect" => 'D',
        "IP-Restrict-NAT" => 'I',
        "Port-Restrict-NAT" => 'P',
        "Symmetric-NAT" => 'S',
        "Unknown-NAT" => 'N',
        "Firewall" => 'F',
        "Unknown-Connect" => '?',
        "Unkown-Connect" => 'u',
        "DIRECT" => 'd',
        "NAT" => 'n',
        other => panic!("{other}"),
    };
    labels.iter().map(letter).collect()
}

/// Every observation: addresses, ports, paths and orders.
fn grid() -> Vec<Observation> {
    let addresses = [
        "same",
        "other",
        "missing",
        "",
        "host",
        "0.0.0.0",
        "127.0.0.1",
        "2001:db8::7",
        "::ffff:192.168.1.5",
        "24.111.111.111",
    ];
    let ports = [
        "plain", "swapped", "both", "other", "missing", "0", "", "x1", "70000", "46412.", "19637.",
        "60712",
    ];
    let paths = [
        PathKind::Tcp,
        PathKind::Socks4,
        PathKind::Socks5,
        PathKind::HttpConnect,
        PathKind::HttpGateway,
    ];
    let orders = [PortOrder::Auto, PortOrder::Plain, PortOrder::Swapped];
    let mut grid = Vec::new();
    for address in addresses {
        for port in ports {
            for path in paths {
                grid.extend(orders.map(|order| Observation {
                    path,
                    order,
                    ..named(address, port)
                }));
            }
        }
    }
    grid
}

/// What other probes may have found.
fn beside() -> Vec<Beside> {
    let labels = UdpLabel::ALL.map(Some).into_iter().chain([None]);
    let both = labels.flat_map(|udp| [None, Some((1, 1)), Some((1, 2))].map(|ports| (udp, ports)));
    let all = both.flat_map(|(udp, udp_ports)| {
        [None, Some(false), Some(true)].map(|called| Beside {
            udp,
            udp_ports,
            called,
        })
    });
    all.collect()
}

#[test]
fn a_label_is_known_or_the_reason_is_and_who_disagrees_goes_wrong() {
    for seen in grid() {
        let verdict = classify(&seen);
        for beside in beside() {
            for client in Client::ALL {
                let says = client.says(&seen, &verdict, &beside);
                let at = format!("{seen:?} {verdict:?} {says:?}");
                assert!(!says.possible.is_empty(), "{at}");
                assert_eq!(says.label.is_some(), says.possible.len() == 1, "{at}");
                assert_eq!(says.label.is_some(), says.reason.is_none(), "{at}");
                assert!(says.label.is_none_or(|one| says.possible == [one]), "{at}");
                let is_wrong = !says.goes_wrong.is_empty();
                match says.agrees {
                    Some(true) => assert!(!is_wrong, "{at}"),
                    Some(false) => assert!(is_wrong, "{at}"),
                    None => {}
                }
                if !verdict.label.determined() {
                    assert_eq!(says.agrees, None, "{at}");
                }
            }
        }
    }
}

/// The labels that each client may give over TCP, without other probes: D Direct-Connect, I IP-, P
/// Port-Restrict-NAT, S Symmetric-NAT, N Unknown-NAT, F Firewall, ? Unknown-Connect, u the same
/// misspelt, d DIRECT, n NAT.
const TABLE: &str = "
    address  port     official  amsn  msnpsharp  papyon  digsby  jml
    same     plain    D         DF    PS         P       PS      d
    same     swapped  D         DF    PS         P       DI      n
    same     both     D         DF    PS         P       DI      d
    same     other    P         DF    PS         P       PS      n
    same     0        P?        DF    DI         P       PS      n
    same     missing  P?        DF    ?          u       PS      n
    same     x1       P?        DF    ?          P       DIPS    n
    other    plain    I         I     PS         S       PS      n
    other    swapped  I         I     PS         S       DI      n
    other    both     I         I     PS         S       DI      n
    other    other    SN        I     PS         S       PS      n
    other    0        SN?       I     DI         S       PS      n
    other    missing  SN?       I     ?          u       PS      n
    other    x1       SN?       I     ?          S       DIPS    n
    missing  plain    ?         DF    ?          u       P       n
    missing  swapped  ?         DF    ?          u       D       n
    missing  both     ?         DF    ?          u       D       n
    missing  other    ?         DF    ?          u       P       n
    missing  0        ?         DF    ?          u       P       n
    missing  missing  ?         DF    ?          u       P       n
    missing  x1       ?         DF    ?          u       DP      n
    host     plain    ?         I     ?          S       S       n
    host     swapped  ?         I     ?          S       I       n
    host     both     ?         I     ?          S       I       n
    host     other    ?         I     ?          S       S       n
    host     0        ?         I     ?          S       S       n
    host     missing  ?         I     ?          u       S       n
    host     x1       ?         I     ?          S       IS      n
";

#[test]
fn the_table_of_labels_is_that_of_the_descriptions() {
    let clients = Client::ALL
        .into_iter()
        .filter(|one| *one != Client::Miranda);
    let clients: Vec<_> = clients.collect();
    let mut rows = 0;
    for row in TABLE.trim().lines().skip(1) {
        let words: Vec<_> = row.split_whitespace().collect();
        let [address, port, labels @ ..] = &words[..] else {
            panic!("{row}");
        };
        let seen = named(address, port);
        let found = clients
            .iter()
            .map(|client| names(&said(*client, &seen, &NOTHING).possible));
        assert_eq!(found.collect::<Vec<_>>(), labels, "{row}");
        rows += 1;
    }
    assert_eq!(rows, 4 * 7);
}

#[test]
fn relays_get_the_labels_that_running_clients_gave() {
    let called = Beside {
        called: Some(true),
        ..NOTHING
    };
    for (client, want) in [
        (Client::Amsn, ["D", "D", "I", "I"]),
        (Client::Jml, ["d", "n", "n", "n"]),
        (Client::Papyon, ["P", "P", "S", "S"]),
        (Client::Official, ["D", "P", "I", "SN"]),
    ] {
        // A relay that rewrites nothing, the port, the address, both.
        let relays = [
            ("same", "plain"),
            ("same", "other"),
            ("other", "plain"),
            ("other", "other"),
        ];
        let found =
            relays.map(|(ip, port)| names(&said(client, &named(ip, port), &called).possible));
        assert_eq!(found, want, "{client:?}");
    }
}

#[test]
fn what_is_told_of_each_client_holds_everywhere() {
    for seen in grid() {
        let verdict = classify(&seen);
        let of = |client: Client| client.says(&seen, &verdict, &NOTHING);
        let may = |client, letters: &str| {
            let found = names(&of(client).possible);
            found.chars().any(|one| letters.contains(one))
        };
        let zero = seen.client_port.value == Err(PortUnknown::Zero);
        // Its port test is never true.
        assert!(!may(Client::Papyon, "DI"), "{seen:?}");
        // Its port test is true only where ClientPort is 0.
        assert!(!may(Client::MsnpSharp, "DI") || zero, "{seen:?}");
        // It ignores the port.
        assert!(!may(Client::Amsn, "PSN"), "{seen:?}");
        let direct = seen.client_ip.value == Ok(normalise(seen.local.ip()))
            && seen.client_port.value == Ok(seen.local.port());
        let want = if direct { "d" } else { "n" };
        assert_eq!(names(&of(Client::Jml).possible), want, "{seen:?}");
        // Ours is the official table, but where values describe another connection.
        let table = of(Client::Official);
        let is_believed = table.goes_wrong.contains(&Fault::ProfileBelieved);
        assert!(table.agrees != Some(false) || is_believed, "{seen:?}");
        // UDP alone decides.
        assert_eq!(of(Client::Miranda).label, None, "{seen:?}");
    }
}

#[test]
fn a_client_goes_wrong_for_the_reason_that_matters_here() {
    use Fault::{
        BytesAlwaysExchanged, BytesNeverExchanged, LocalPortZero, PortIgnored,
        TextComparedWithNumber, UnusableValueCompared,
    };
    let cases: &[(&str, &str, Client, &[Fault])] = &[
        ("same", "plain", Client::Amsn, &[]),
        ("same", "other", Client::Amsn, &[PortIgnored]),
        ("other", "plain", Client::Amsn, &[]),
        ("other", "other", Client::Amsn, &[PortIgnored]),
        ("other", "missing", Client::Amsn, &[PortIgnored]),
        ("host", "plain", Client::Amsn, &[UnusableValueCompared]),
        (
            "same",
            "plain",
            Client::MsnpSharp,
            &[LocalPortZero, BytesAlwaysExchanged],
        ),
        ("same", "swapped", Client::MsnpSharp, &[LocalPortZero]),
        ("other", "other", Client::MsnpSharp, &[]),
        ("other", "0", Client::MsnpSharp, &[LocalPortZero]),
        ("other", "missing", Client::MsnpSharp, &[]),
        ("same", "plain", Client::Papyon, &[TextComparedWithNumber]),
        (
            "other",
            "swapped",
            Client::Papyon,
            &[TextComparedWithNumber, BytesNeverExchanged],
        ),
        ("same", "other", Client::Papyon, &[]),
        ("other", "other", Client::Papyon, &[]),
        ("other", "0", Client::Papyon, &[UnusableValueCompared]),
        ("same", "missing", Client::Papyon, &[]),
        ("same", "plain", Client::Digsby, &[BytesAlwaysExchanged]),
        ("same", "swapped", Client::Digsby, &[]),
        ("same", "both", Client::Digsby, &[]),
        ("other", "missing", Client::Digsby, &[UnusableValueCompared]),
        (
            "missing",
            "swapped",
            Client::Digsby,
            &[UnusableValueCompared],
        ),
        ("2001:db8::7", "0", Client::Digsby, &[UnusableValueCompared]),
        ("same", "plain", Client::Jml, &[]),
        ("same", "swapped", Client::Jml, &[BytesNeverExchanged]),
        ("other", "swapped", Client::Jml, &[]),
        ("same", "0", Client::Jml, &[UnusableValueCompared]),
        ("missing", "plain", Client::Jml, &[UnusableValueCompared]),
        (
            "::ffff:192.168.1.5",
            "plain",
            Client::Amsn,
            &[Fault::AddressAsText],
        ),
        (
            "24.111.111.111",
            "60712",
            Client::Papyon,
            &[Fault::ProfileBelieved],
        ),
        ("24.111.111.111", "60712", Client::Miranda, &[]),
    ];
    for (address, port, client, want) in cases {
        let says = said(*client, &named(address, port), &NOTHING);
        assert_eq!(says.goes_wrong, *want, "{address} {port} {client:?}");
    }
    let proxied = Observation {
        path: PathKind::Socks5,
        ..named("other", "plain")
    };
    let says = said(Client::Papyon, &proxied, &NOTHING);
    assert_eq!(says.goes_wrong, [Fault::PortOfOtherConnection]);
    let over_ipv6 = "[2001:db8::5]:46412".parse().unwrap();
    let direct = Observation::new(over_ipv6, Some("2001:db8::5"), Some("19637"));
    let says = said(Client::Digsby, &direct, &NOTHING);
    assert_eq!(says.goes_wrong, [Fault::AddressNotOfSocket]);
    assert_eq!(names(&says.possible), "I");
}

#[test]
fn a_label_that_follows_from_two_logins_is_beyond_a_client_that_looks_at_one() {
    let first = named("other", "plain");
    let second = classify(&named("other", "other"));
    let verdict = settle(classify(&first), &second, Destination::OtherAddress);
    assert_eq!(verdict.label, Label::SymmetricNat);
    assert_eq!(verdict.comparison.port, Sameness::Same);
    let says = Client::Official.says(&first, &verdict, &NOTHING);
    assert_eq!(says.agrees, Some(false));
    assert_eq!(says.goes_wrong, [Fault::OneLoginOnly]);
}

#[test]
fn miranda_says_what_udp_echo_found() {
    let seen = named("other", "plain");
    let of = |udp, udp_ports| {
        let beside = Beside {
            udp: Some(udp),
            udp_ports,
            ..NOTHING
        };
        said(Client::Miranda, &seen, &beside)
    };
    let same = of(UdpLabel::IpRestrictNat, None);
    assert_eq!((same.agrees, same.goes_wrong.len()), (Some(true), 0));
    let other = of(UdpLabel::Firewall, None);
    assert_eq!(names(&other.possible), "F");
    assert_eq!(other.goes_wrong, [Fault::AboutUdp]);
    // Another address with the same port is no other mapping to it.
    let pooled = of(UdpLabel::SymmetricNat, Some((1033, 1033)));
    assert_eq!(names(&pooled.possible), "P");
    let mapped = of(UdpLabel::SymmetricNat, Some((1033, 1034)));
    assert_eq!(names(&mapped.possible), "S");
    let none = of(UdpLabel::UnknownConnect, None);
    assert_eq!(none.reason, Some(LabelUnknown::NeedsUdpEcho));
    assert_eq!(none.possible.len(), UdpLabel::ALL.len());
    // It never says Unknown-NAT, and that says nothing of this login.
    let no_port = said(Client::Miranda, &named("other", "missing"), &NOTHING);
    assert_eq!((no_port.agrees, no_port.goes_wrong.len()), (None, 0));
}
