//! Every kind of verdict.

use super::*;

/// Every kind of verdict.
pub(in crate::report::human::tests) fn verdicts() -> Vec<(&'static str, Report)> {
    let home = "192.168.1.5:51234";
    let public = "203.0.113.7:51234";
    let symmetric = seen(home, "203.0.113.7", "40321");
    let v6 = "[2001:db8:1f:ac00:98d2:4cff:fe3b:71a]:51234";
    vec![
        ("direct", of(&seen(public, "203.0.113.7", "51234"))),
        (
            "direct-lan",
            with(
                &Observation {
                    peer: Some(peer("192.168.1.2")),
                    ..seen(home, "192.168.1.5", "51234")
                },
                at("192.168.1.2:1863"),
            ),
        ),
        (
            "direct-loopback",
            with(
                &Observation {
                    peer: Some(peer("127.0.0.1")),
                    ..seen("127.0.0.1:51234", "127.0.0.1", "51234")
                },
                at("127.0.0.1:1863"),
            ),
        ),
        (
            "direct-order-open",
            of(&seen("203.0.113.7:1028", "203.0.113.7", "1028")),
        ),
        ("direct-v6", {
            let context = Context {
                server: Some(ServerReport {
                    requested: name("messenger.example"),
                    address: Some("[2001:db8:77::9]:1863".parse().unwrap()),
                    referrals: Vec::new(),
                }),
                ..context()
            };
            with(
                &seen(v6, "2001:db8:1f:ac00:98d2:4cff:fe3b:71a", "51234"),
                context,
            )
        }),
        ("ip-restrict", of(&seen(home, "203.0.113.7", "51234"))),
        (
            "ip-restrict-swapped",
            of(&seen("192.168.1.5:1033", "203.0.113.7", "2308")),
        ),
        (
            "ip-restrict-vpn",
            of(&seen(public, "198.51.100.80", "51234")),
        ),
        (
            "ip-restrict-server-proxy",
            of(&seen(home, "10.0.0.1", "51234")),
        ),
        ("port-restrict", of(&seen(public, "203.0.113.7", "40321"))),
        ("port-restrict-wrong-order", {
            of(&Observation {
                order: PortOrder::Plain,
                ..seen("203.0.113.7:1033", "203.0.113.7", "2308")
            })
        }),
        ("symmetric", of(&symmetric)),
        ("symmetric-order-given", {
            of(&Observation {
                order: PortOrder::Swapped,
                ..symmetric.clone()
            })
        }),
        (
            "symmetric-carrier-grade",
            of(&seen("100.72.3.4:51234", "203.0.113.7", "40321")),
        ),
        ("symmetric-private-chain", {
            with(
                &Observation {
                    peer: Some(peer("10.20.0.9")),
                    ..seen(home, "10.20.0.5", "40321")
                },
                at("10.20.0.9:1863"),
            )
        }),
        (
            "symmetric-confirmed",
            two_logins(&symmetric, &seen(home, "203.0.113.7", "40322")),
        ),
        ("symmetric-login-failed", {
            let failure = Failure::new(
                Stage::Connect,
                ErrorCode::ConnectionRefused,
                "second.example:1863 (198.51.100.10): connection refused",
            );
            let second = Context {
                server: Some(ServerReport {
                    requested: name("second.example"),
                    address: None,
                    referrals: Vec::new(),
                }),
                ..Context::default()
            };
            let verdict = classify(&symmetric);
            let first = ObservationReport::of(&name("messenger.example"), &symmetric, &verdict);
            let missing = Warning::ObservationMissing(Missing::LoginFailed);
            with(
                &symmetric,
                Context {
                    warnings: vec![Warning::SignedOutElsewhere, missing],
                    observations: [first]
                        .into_iter()
                        .chain(ObservationReport::failed(&failure, &second))
                        .collect(),
                    ..context()
                },
            )
        }),
        ("symmetric-v6-long-names", {
            let long = "a-rather-long-name-of-a-dispatch-server.messenger.some-provider.example";
            let context = Context {
                server: Some(ServerReport {
                    requested: name(long),
                    address: Some(
                        "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ff09]:1863"
                            .parse()
                            .unwrap(),
                    ),
                    referrals: vec![
                        name("dispatch.messenger.example"),
                        name(&format!("ns-1.{long}")),
                    ],
                }),
                ..context()
            };
            let client_ip = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff";
            with(
                &seen(
                    "[fd12:3456:789a:bcde:f012:3456:789a:bcde]:51234",
                    client_ip,
                    "40321",
                ),
                context,
            )
        }),
        ("symmetric-nat64", of(&seen(v6, "203.0.113.7", "40321"))),
        (
            "logins-disagree",
            two_logins(
                &seen(home, "203.0.113.7", "51234"),
                &seen("192.168.1.5:51236", "203.0.113.7", "40321"),
            ),
        ),
        (
            "symmetric-second-inside",
            two_logins(&symmetric, &seen(home, "192.168.1.5", "51234")),
        ),
        (
            "symmetric-two-addresses",
            two_logins(&symmetric, &seen(home, "203.0.113.8", "40321")),
        ),
        (
            "symmetric-port-kept-once",
            two_logins(&seen(home, "203.0.113.7", "51234"), &symmetric),
        ),
        (
            "unknown-connect-disagree",
            two_logins(
                &seen(public, "203.0.113.7", "51234"),
                &seen(public, "198.51.100.80", "51234"),
            ),
        ),
        (
            "unknown-connect-loopback",
            of(&seen(home, "127.0.0.1", "40321")),
        ),
        ("ip-restrict-servers-address", {
            with(
                &Observation {
                    peer: Some(peer("192.168.1.2")),
                    ..seen(home, "192.168.1.2", "51234")
                },
                at("192.168.1.2:1863"),
            )
        }),
        ("offline", {
            let seen = Observation::new(home.parse().unwrap(), Some("203.0.113.7"), Some("51234"));
            with(&seen, Context::default())
        }),
        ("offline-proxy", {
            let seen = Observation {
                path: PathKind::Socks5,
                ..Observation::new(home.parse().unwrap(), Some("203.0.113.7"), Some("51234"))
            };
            with(&seen, Context::default())
        }),
        ("unknown-nat-settled", two_logins(&symmetric, &symmetric)),
        ("unknown-nat-no-port", {
            of(&Observation {
                client_port: Field::client_port(None),
                ..symmetric.clone()
            })
        }),
        (
            "unknown-nat-proxy-last-hop",
            proxied(
                PathKind::Socks5,
                "203.0.113.99",
                &["203.0.113.99"],
                Some("203.0.113.99:40960"),
            ),
        ),
        (
            "unknown-nat-proxy-beyond",
            proxied(
                PathKind::HttpConnect,
                "203.0.113.7",
                &["198.51.100.20"],
                None,
            ),
        ),
        (
            "unknown-nat-proxy-dual-homed",
            proxied(PathKind::Socks5, "203.0.113.7", &["192.168.1.1"], None),
        ),
        (
            "unknown-nat-proxy-unknown",
            proxied(PathKind::Socks4, "203.0.113.7", &[], None),
        ),
        (
            "unknown-nat-gateway",
            gateway("203.0.113.7", "0", "198.51.100.20"),
        ),
        ("unknown-nat-gateway-proxy", {
            let mut report = proxied(
                PathKind::HttpGateway,
                "203.0.113.99",
                &["203.0.113.99"],
                None,
            );
            report.dialect = Some(Dialect::MSNP8);
            report
        }),
        (
            "unknown-connect-gateway",
            gateway("192.168.1.5", "0", "192.168.1.2"),
        ),
        (
            "unknown-connect-constant",
            of(&seen(home, "24.111.111.111", "60712")),
        ),
        (
            "unknown-connect-observed-constant",
            two_logins(
                &symmetric,
                &seen("192.168.1.5:51235", "203.0.113.7", "40321"),
            ),
        ),
        ("unknown-connect-no-address", {
            of(&Observation {
                client_ip: Field::client_ip(None),
                ..symmetric.clone()
            })
        }),
        (
            "unknown-connect-hostile",
            of(&seen(
                home,
                "\x1b[2J\x1b]0;gotcha\x07\u{202e}1.2.3.4",
                "\u{9b}31m99999",
            )),
        ),
        ("expected-and-verbose", {
            let expected = vec![Label::DirectConnect, Label::IpRestrictNat];
            with(
                &symmetric,
                Context {
                    expected,
                    ..context()
                },
            )
        }),
        ("expected-and-met", {
            let expected = vec![Label::SymmetricNat];
            with(
                &symmetric,
                Context {
                    expected,
                    ..context()
                },
            )
        }),
    ]
}
