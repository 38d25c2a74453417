use std::net::Ipv4Addr;

use super::*;
use crate::conntype::{NoExternal, StunTransport, UdpTest};

fn end(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn login(label: Label, client_ip: &str) -> LoginFacts {
    LoginFacts {
        label,
        client_ip: Some(client_ip.parse().unwrap()),
        local: end("192.168.1.5:5000"),
        path: PathKind::Tcp,
    }
}

fn udp(second: UdpTest, third: UdpTest, outside: &str) -> UdpEvidence {
    UdpEvidence {
        server: "198.51.100.1:7001".parse().unwrap(),
        other: None,
        local: "192.168.1.5:5001".parse().unwrap(),
        client_ip: None,
        first: UdpTest::Answered(outside.parse().unwrap()),
        second,
        third,
        round_trip: None,
        ignored: 0,
    }
}

fn lenient() -> UdpEvidence {
    let outside = UdpTest::Answered("203.0.113.7:5001".parse().unwrap());
    udp(outside, UdpTest::NotRun, "203.0.113.7:5001")
}

fn strict() -> UdpEvidence {
    let outside = UdpTest::Answered("203.0.113.7:5001".parse().unwrap());
    udp(UdpTest::NoAnswer, outside, "203.0.113.7:5001")
}

fn per_destination() -> UdpEvidence {
    let outside = UdpTest::Answered("203.0.113.7:6001".parse().unwrap());
    udp(UdpTest::NoAnswer, outside, "203.0.113.7:5001")
}

fn blocked() -> UdpEvidence {
    UdpEvidence {
        first: UdpTest::NoAnswer,
        ..udp(UdpTest::NotRun, UdpTest::NotRun, "203.0.113.7:5001")
    }
}

fn router(external: &str) -> PortMappingEvidence {
    PortMappingEvidence {
        gateway: Ipv4Addr::new(192, 168, 1, 1),
        local: Ipv4Addr::new(192, 168, 1, 5),
        upnp: Ok(external.parse().unwrap()),
        nat_pmp: Err(NoExternal::Closed),
        pcp: Err(NoExternal::Closed),
        seen: vec!["203.0.113.7".parse().unwrap()],
        opens: None,
        ignored: 0,
    }
}

fn calls(tcp: Call, udp: Call) -> Calls {
    Calls {
        tcp_port: 5000,
        udp_port: 5000,
        tcp,
        udp,
    }
}

fn listen(tcp: Call, udp: Call, mapped: Option<Calls>) -> ListenEvidence {
    ListenEvidence {
        server: end("198.51.100.1:7001"),
        local: end("192.168.1.5:5000"),
        seen: end("203.0.113.7:5000"),
        own: calls(tcp, udp),
        mapped,
    }
}

/// The words of file transfer, of voice, and of the change.
fn words(facts: &Facts<'_>) -> String {
    let found = conclude(facts);
    let word = |value: serde_json::Value| value.as_str().unwrap_or("-").to_owned();
    let of = |finding: Finding| {
        let outlook = match finding.outlook {
            Outlook::OnlyIfTheOtherSideCanBeCalled => "only".to_owned(),
            outlook => outlook.to_string(),
        };
        let reason = word(serde_json::to_value(finding.reason).unwrap());
        format!("{outlook}: {reason}")
    };
    let change = word(serde_json::to_value(found.change).unwrap());
    format!("{}; {}; {change}", of(found.file_transfer), of(found.voice))
}

#[test]
fn the_evidence_decides() {
    use Call::{Arrived, Lost, Refused, Untested};
    let nat = Some(login(Label::IpRestrictNat, "203.0.113.7"));
    let direct = Some(LoginFacts {
        local: end("203.0.113.7:5000"),
        ..login(Label::DirectConnect, "203.0.113.7")
    });
    let proxied = Some(LoginFacts {
        path: PathKind::Socks5,
        ..login(Label::UnknownNat, "203.0.113.7")
    });
    let (lenient, strict) = (lenient(), strict());
    let (per_destination, blocked) = (per_destination(), blocked());
    let (only, double) = (router("203.0.113.7"), router("10.0.0.2"));
    let (carrier, beyond) = (router("100.64.0.9"), router("198.51.100.7"));
    let mute = PortMappingEvidence {
        upnp: Err(NoExternal::NoAnswer),
        ..only.clone()
    };
    let forbids = PortMappingEvidence {
        opens: Some(false),
        ..only.clone()
    };
    let both = listen(Arrived, Arrived, None);
    let neither = listen(Lost, Lost, None);
    let refused = listen(Refused, Lost, None);
    let untested = listen(Untested, Untested, None);
    let through = listen(Lost, Lost, Some(calls(Arrived, Arrived)));
    let in_vain = listen(Lost, Lost, Some(calls(Lost, Lost)));
    let near = ListenEvidence {
        seen: end("192.168.1.5:5000"),
        ..both
    };
    let none = Facts::default();
    for (facts, want) in [
        (none, "not-known: no-evidence; not-known: no-evidence; -"),
        // The TCP flow says nothing of UDP.
        (
            Facts { login: nat, ..none },
            "only: behind-nat; not-known: no-evidence; forward-ports",
        ),
        (
            Facts {
                login: direct,
                ..none
            },
            "likely: nothing-rewritten; not-known: no-evidence; -",
        ),
        (
            Facts {
                login: proxied,
                ..none
            },
            "through-the-server: proxy; not-known: no-evidence; connect-without-proxy",
        ),
        (
            Facts {
                login: nat,
                udp_echo: Some(&lenient),
                ..none
            },
            "only: behind-nat; likely: udp-let-in; forward-ports",
        ),
        (
            Facts {
                udp_echo: Some(&strict),
                ..none
            },
            "only: behind-nat; only: udp-filtered; forward-ports",
        ),
        (
            Facts {
                login: nat,
                udp_echo: Some(&per_destination),
                ..none
            },
            "only: behind-nat; only: udp-mapped-per-destination; forward-ports",
        ),
        (
            Facts {
                login: direct,
                udp_echo: Some(&blocked),
                ..none
            },
            "likely: nothing-rewritten; not-known: udp-unanswered; allow-udp",
        ),
        (
            Facts {
                login: nat,
                port_mapping: Some(&only),
                ..none
            },
            "likely: router-opens-ports; likely: router-opens-ports; use-upnp",
        ),
        (
            Facts {
                login: nat,
                port_mapping: Some(&mute),
                ..none
            },
            "only: behind-nat; not-known: no-evidence; forward-ports",
        ),
        (
            Facts {
                login: nat,
                port_mapping: Some(&double),
                ..none
            },
            "only: nat-beyond-router; only: nat-beyond-router; bridge-one-router",
        ),
        (
            Facts {
                login: nat,
                port_mapping: Some(&carrier),
                udp_echo: Some(&lenient),
                ..none
            },
            "only: nat-beyond-router; likely: udp-let-in; ask-provider-for-address",
        ),
        (
            Facts {
                login: nat,
                port_mapping: Some(&beyond),
                ..none
            },
            "only: nat-beyond-router; only: nat-beyond-router; -",
        ),
        (
            Facts {
                login: nat,
                port_mapping: Some(&forbids),
                ..none
            },
            "only: behind-nat; not-known: no-evidence; forward-ports",
        ),
        // A call that arrives decides, whatever else was found out.
        (
            Facts {
                login: nat,
                udp_echo: Some(&per_destination),
                listen: Some(&both),
                ..none
            },
            "direct: call-arrived; direct: call-arrived; -",
        ),
        (
            Facts {
                listen: Some(&near),
                ..none
            },
            "likely: call-arrived-from-nearby; likely: call-arrived-from-nearby; -",
        ),
        (
            Facts {
                login: nat,
                listen: Some(&neither),
                ..none
            },
            "only: call-did-not-arrive; only: call-did-not-arrive; forward-ports",
        ),
        (
            Facts {
                login: direct,
                listen: Some(&refused),
                ..none
            },
            "only: call-did-not-arrive; only: call-did-not-arrive; allow-in-firewall",
        ),
        (
            Facts {
                login: nat,
                listen: Some(&neither),
                port_mapping: Some(&only),
                ..none
            },
            "likely: router-opens-ports; likely: router-opens-ports; use-upnp",
        ),
        (
            Facts {
                login: nat,
                listen: Some(&untested),
                ..none
            },
            "only: behind-nat; not-known: no-evidence; forward-ports",
        ),
        (
            Facts {
                login: nat,
                listen: Some(&through),
                port_mapping: Some(&only),
                ..none
            },
            "direct: call-arrived-through-router; direct: call-arrived-through-router; use-upnp",
        ),
        (
            Facts {
                login: nat,
                listen: Some(&in_vain),
                port_mapping: Some(&only),
                ..none
            },
            "only: call-did-not-arrive; only: call-did-not-arrive; forward-ports",
        ),
        // Who is told the outside end of UDP gets in there.
        (
            Facts {
                login: nat,
                udp_echo: Some(&lenient),
                listen: Some(&neither),
                ..none
            },
            "only: call-did-not-arrive; likely: udp-let-in; forward-ports",
        ),
    ] {
        assert_eq!(words(&facts), want, "{facts:?}");
    }
}

#[test]
fn the_webcam_is_the_more_cautious_of_both() {
    let login = Some(login(Label::IpRestrictNat, "203.0.113.7"));
    let (lenient, only) = (lenient(), router("203.0.113.7"));
    let facts = Facts {
        login,
        udp_echo: Some(&lenient),
        ..Facts::default()
    };
    let found = conclude(&facts);
    assert_eq!(found.webcam, found.file_transfer);
    let facts = Facts {
        port_mapping: Some(&only),
        ..facts
    };
    let found = conclude(&facts);
    assert_eq!(found.webcam.outlook, Outlook::Likely);
}

#[test]
fn contradictions_are_told() {
    let (lenient, strict) = (lenient(), strict());
    let elsewhere = udp(UdpTest::NoAnswer, UdpTest::NoAnswer, "198.51.100.7:5001");
    let stun = StunEvidence {
        transport: StunTransport::Udp,
        server: end("198.51.100.1:3478"),
        other: None,
        local: end("192.168.1.5:5002"),
        client_ip: None,
        outside: None,
        mapped: [None; 3],
        alike: None,
        let_in: Default::default(),
        control: Default::default(),
        came_back: None,
        round_trip: None,
        ignored: 0,
    };
    let lost = calls(Call::Lost, Call::Refused);
    let in_vain = listen(Call::Lost, Call::Lost, Some(lost));
    let login = Some(login(Label::IpRestrictNat, "203.0.113.7"));
    let none = Facts {
        login,
        ..Facts::default()
    };
    let told = |facts: Facts<'_>| conclude(&facts).disagreements;
    assert_eq!(told(none), []);
    assert_eq!(
        told(Facts {
            udp_echo: Some(&lenient),
            ..none
        }),
        []
    );
    let differ = Facts {
        udp_echo: Some(&elsewhere),
        ..none
    };
    assert_eq!(told(differ), [Disagreement::Addresses]);
    let two = Facts {
        udp_echo: Some(&strict),
        stun: &[&stun],
        ..none
    };
    assert_eq!(stun.label(), Some(UdpLabel::Firewall));
    assert_eq!(told(two), [Disagreement::UdpLabels]);
    let vain = Facts {
        listen: Some(&in_vain),
        ..none
    };
    assert_eq!(told(vain), [Disagreement::OpenedPortsNotReached]);
}
