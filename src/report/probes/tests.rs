use std::net::{SocketAddr, SocketAddrV4};
use std::time::{Duration, UNIX_EPOCH};

use support::document::{self, Document};

use super::*;
use crate::conntype::{
    Call, Calls, Facts, ListenEvidence, MappingProtocol, NoExternal, OpenedPorts, Opening,
    PortMappingEvidence, UdpEvidence, UdpTest, conclude,
};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::report::human::{self, Style};
use crate::report::json;
use crate::report::{Format, github, render_probe};

fn at(end: &str) -> SocketAddrV4 {
    end.parse().unwrap()
}

fn server() -> Address {
    Address::parse("echo.example", 7001).unwrap()
}

fn evidence(second: UdpTest, third: UdpTest) -> UdpEvidence {
    UdpEvidence {
        server: at("203.0.113.80:7001"),
        other: Some(at("198.51.100.9:7001")),
        local: at("192.168.1.5:5000"),
        client_ip: None,
        first: UdpTest::Answered(at("203.0.113.7:40001")),
        second,
        third,
        round_trip: Some(Duration::from_micros(20_126)),
        ignored: 2,
    }
}

fn report(outcome: &Result<UdpEvidence, Failure>, expected: &[UdpLabel]) -> ProbeReport {
    let probes = Probes {
        udp_echo: Some(UdpEchoReport::of(&server(), outcome)),
        ..Probes::default()
    };
    ProbeReport::new(probes, None, UNIX_EPOCH, expected.to_vec())
}

/// A call over TCP with this outcome.
fn called(tcp: Call) -> ListenReport {
    let end = SocketAddr::from(([203, 0, 113, 7], 5000));
    let own = Calls {
        tcp_port: 5000,
        udp_port: 5000,
        tcp,
        udp: Call::Lost,
    };
    let evidence = ListenEvidence {
        server: end,
        local: end,
        seen: end,
        own,
        mapped: None,
    };
    ListenReport::of(&server(), &Ok(evidence))
}

fn port_restricted() -> ProbeReport {
    let third = UdpTest::Answered(at("203.0.113.7:40001"));
    report(&Ok(evidence(UdpTest::NoAnswer, third)), &[])
}

#[test]
fn the_document_fits_its_schema_and_tells_each_test() {
    let text = json::render(&port_restricted());
    let read = document::read(Document::Probe, &text).unwrap();
    assert_eq!(read["label"], "Port-Restrict-NAT");
    let udp_echo = &read["probes"]["udp_echo"];
    assert_eq!(udp_echo["outside"]["port"], 40001);
    assert_eq!(udp_echo["tests"]["second"]["outcome"], "no-answer");
    assert_eq!(udp_echo["tests"]["third"]["outside"]["ip"], "203.0.113.7");
    assert_eq!(udp_echo["round_trip_ms"], 20.13);
    assert!(udp_echo["error"].is_null());
    assert_eq!(read["exit_code"], 0);
}

#[test]
fn what_the_tests_do_not_tell_is_an_error() {
    let failure = Failure::new(Stage::UdpEcho, ErrorCode::ConnectionRefused, "refused");
    let open = evidence(UdpTest::NoAnswer, UdpTest::NoAnswer);
    let lone = UdpEvidence {
        other: None,
        second: UdpTest::NotRun,
        third: UdpTest::NotRun,
        ..open
    };
    let shut = evidence(UdpTest::NoAnswer, UdpTest::Refused);
    for (outcome, code) in [
        (Err(failure), "connection-refused"),
        (Ok(open), "timeout"),
        (Ok(lone), "no-usable-address"),
        (Ok(shut), "connection-refused"),
    ] {
        let text = json::line(&report(&outcome, &[]));
        let read = document::read(Document::Probe, &text).unwrap();
        assert_eq!(read["label"], "Unknown-Connect");
        assert_eq!(read["probes"]["udp_echo"]["error"]["code"], code);
        assert_eq!(read["exit_code"], 3, "{code}");
    }
}

#[test]
fn expected_labels_give_the_exit_code() {
    let outcome = Ok(evidence(UdpTest::NoAnswer, UdpTest::NoAnswer));
    let code = |expected: &[UdpLabel]| report(&outcome, expected).exit_code.code();
    assert_eq!(code(&[UdpLabel::UnknownConnect]), 0);
    assert_eq!(code(&[UdpLabel::Firewall]), 3);
    let silent = Ok(UdpEvidence {
        first: UdpTest::NoAnswer,
        ..evidence(UdpTest::NotRun, UdpTest::NotRun)
    });
    let code = |expected: &[UdpLabel]| report(&silent, expected).exit_code.code();
    assert_eq!(code(&[]), 0);
    assert_eq!(code(&[UdpLabel::DirectConnect, UdpLabel::Firewall]), 0);
    assert_eq!(code(&[UdpLabel::DirectConnect]), 1);
}

#[test]
fn what_clients_decide_by_is_read_from_the_probes() {
    let toward_third = port_restricted().probes.beside();
    assert_eq!(toward_third.udp, Some(UdpLabel::PortRestrictNat));
    assert_eq!(toward_third.udp_ports, Some((40001, 40001)));
    assert_eq!(toward_third.called, None);
    let probes = Probes {
        listen: Some(called(Call::Arrived)),
        ..Probes::default()
    };
    assert_eq!(probes.beside().called, Some(true));
    assert_eq!(Probes::default().beside(), Beside::default());
}

#[test]
fn the_report_for_a_person_tells_the_tests() {
    insta::assert_snapshot!(human::probe(&port_restricted(), Style::default()));
}

#[test]
fn without_a_test_of_udp_the_exit_code_says_whether_anything_ran() {
    let refused = || {
        let failure = Failure::new(Stage::CallBack, ErrorCode::CallRefused, "busy");
        Some(ListenReport::of(&server(), &Err(failure)))
    };
    let no_router = || {
        let failure = Failure::new(Stage::PortMapping, ErrorCode::NoRouter, "none");
        Some(PortMappingReport::of(
            &Err(failure),
            false,
            Opening::default(),
        ))
    };
    let called = || Some(called(Call::Lost));
    for (port_mapping, listen, exit) in [
        (None, refused(), 5),
        (no_router(), None, 3),
        (no_router(), refused(), 3),
        (no_router(), called(), 0),
        (None, called(), 0),
    ] {
        let probes = Probes {
            port_mapping,
            listen,
            ..Probes::default()
        };
        let report = ProbeReport::new(probes, None, UNIX_EPOCH, Vec::new());
        assert_eq!(report.exit_code.code(), exit);
        assert!(!report.determined);
    }
}

/// A report with everything in it, and one with hostile text wherever there may be some.
fn whole() -> [ProbeReport; 2] {
    let outcome = Ok(evidence(
        UdpTest::NoAnswer,
        UdpTest::Answered(at("203.0.113.7:40001")),
    ));
    let evil = "\x1b[31m\u{202e}\r\n|%0A::error::]]></system-out>\"'<b>\\*#";
    let failure = Failure::new(Stage::CallBack, ErrorCode::CallRefused, evil);
    let facts = Facts {
        udp_echo: outcome.as_ref().ok(),
        ..Facts::default()
    };
    let conclusion = || Some(conclude(&facts).into());
    let hostile_server = Address {
        host: evil.to_owned(),
        port: 7001,
    };
    [server(), hostile_server].map(|server| {
        let listen = ListenReport::of(&server, &Err(failure.clone()));
        let probes = Probes {
            udp_echo: Some(UdpEchoReport::of(&server, &outcome)),
            listen: Some(listen),
            ..Probes::default()
        };
        ProbeReport::new(probes, conclusion(), UNIX_EPOCH, vec![UdpLabel::Firewall])
    })
}

#[test]
fn every_format_shows_a_probe() {
    for report in whole() {
        for format in Format::ALL {
            let text = render_probe(&report, format, Style::default());
            let name = format.words().0;
            let is_hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!text.contains(is_hidden), "{name}: {text:?}");
            assert!(text.ends_with('\n'), "{name}: {text:?}");
            let lines = text.lines().count();
            assert!(lines == 1 || !format.is_a_line(), "{name}: {text}");
            if format != Format::Report {
                assert!(text.contains("Port-Restrict-NAT"), "{name}: {text}");
            }
            let tells = !matches!(format, Format::Label | Format::Github);
            let told = text.contains("other-side-can-be-called")
                || text.contains("other side can be called");
            assert_eq!(told, tells, "{name}: {text}");
        }
        let xml = |format| render_probe(&report, format, Style::default());
        let junit = xml(Format::Junit);
        let junit = roxmltree::Document::parse(&junit).unwrap();
        let case = junit
            .descendants()
            .find(|node| node.has_tag_name("testcase"));
        let failure = case
            .unwrap()
            .children()
            .find(|node| node.has_tag_name("failure"));
        assert_eq!(
            failure.unwrap().attribute("type"),
            Some("Port-Restrict-NAT")
        );
        let html = xml(Format::Html);
        let html = html.strip_prefix("<!DOCTYPE html>\n").unwrap();
        let html = roxmltree::Document::parse(html).unwrap();
        let ids: Vec<_> = html
            .descendants()
            .filter_map(|node| node.attribute("id"))
            .collect();
        for id in ["label", "probe-1", "probe-2", "conclusion", "evidence"] {
            assert!(ids.contains(&id), "{ids:?}");
        }
        let metrics = xml(Format::Prometheus);
        assert!(
            metrics.contains("\nmsnp9_conntype_probe_exit_code 1\n"),
            "{metrics}"
        );
        let summary = github::summary_of_probe(&report);
        assert!(summary.contains("#### Will it work?"), "{summary}");
        assert!(!summary.contains("<b>"), "{summary}");
    }
}

#[test]
fn a_masked_report_holds_no_value() {
    let mut mask = Mask::default();
    for n in 0..200 {
        for net in [[9, 9, 9], [192, 168, 9]] {
            mask.ip([net[0], net[1], net[2], n].into());
        }
    }
    let failure = Failure::new(
        Stage::UdpEcho,
        ErrorCode::NameNotFound,
        "look up echo.example",
    );
    let third = UdpTest::Answered(at("203.0.113.8:40002"));
    for outcome in [
        Ok(evidence(UdpTest::NoAnswer, third)),
        Ok(evidence(UdpTest::NoAnswer, UdpTest::NoAnswer)),
        Err(failure),
    ] {
        let mut report = report(&outcome, &[]);
        report.probes = report.probes.masked(&mut mask);
        let text = json::render(&report) + &human::probe(&report, Style::default());
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
        let words: Vec<_> = text.split(|c| !is_part(c)).collect();
        for value in [
            "echo.example",
            "203.0.113.80",
            "198.51.100.9",
            "192.168.1.5",
            "203.0.113.7",
            "203.0.113.8",
            "40001",
            "40002",
            "5000",
        ] {
            assert!(!words.contains(&value), "{value}: {text}");
        }
    }
}

#[test]
fn what_the_router_and_the_caller_tell_is_masked() {
    let mut mask = Mask::default();
    let ip = |text: &str| text.parse().unwrap();
    let evidence = PortMappingEvidence {
        gateway: ip("192.168.7.1"),
        local: ip("192.168.7.5"),
        upnp: Ok(ip("203.0.113.77")),
        nat_pmp: Err(NoExternal::Closed),
        pcp: Ok(ip("203.0.113.78")),
        seen: Vec::new(),
        opens: Some(true),
        ignored: 0,
    };
    let opening = Opening {
        opened: Some(OpenedPorts {
            by: MappingProtocol::Pcp,
            tcp: 41_001,
            udp: 41_002,
        }),
        closed: Some(true),
    };
    let calls = |tcp_port, udp_port| Calls {
        tcp_port,
        udp_port,
        tcp: Call::Arrived,
        udp: Call::Lost,
    };
    let end = |text: &str| text.parse::<SocketAddr>().unwrap();
    let listen = ListenEvidence {
        server: end("198.51.100.99:7071"),
        local: end("192.168.7.5:41003"),
        seen: end("203.0.113.79:41004"),
        own: calls(41_005, 41_006),
        mapped: Some(calls(41_001, 41_002)),
    };
    let caller = Address {
        host: "caller.example".to_owned(),
        port: 7071,
    };
    let probes = Probes {
        port_mapping: Some(PortMappingReport::of(&Ok(evidence), true, opening)),
        listen: Some(ListenReport::of(&caller, &Ok(listen))),
        ..Probes::default()
    };
    let show = |probes: Probes| {
        let report = ProbeReport::new(probes, None, UNIX_EPOCH, Vec::new());
        json::render(&report) + &human::probe(&report, Style::default())
    };
    let values = [
        "192.168.7.1",
        "192.168.7.5",
        "203.0.113.77",
        "203.0.113.78",
        "203.0.113.79",
        "198.51.100.99",
        "caller.example",
        "7071",
        "41001",
        "41002",
        "41003",
        "41004",
        "41005",
        "41006",
    ];
    let plain = show(probes.clone());
    let masked = show(probes.masked(&mut mask));
    for value in values {
        assert!(plain.contains(value), "{value}: {plain}");
        assert!(!masked.contains(value), "{value}: {masked}");
    }
}
