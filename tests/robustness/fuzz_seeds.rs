//! The seeds that fuzzing starts from, made of the scenarios and of whole transcripts.
//!
//! `FUZZ_SEEDS=write cargo test --test robustness fuzz_seeds` writes `fuzz/seeds`; without it, the test is
//! that they are as they would be written.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};

use base16ct::lower;
use msnp9_conntype::msnp::udp_echo::{Other, Packet};
use msnp9_conntype::packet::call::{Token, called};
use support::answer::{Answer, POLICY};
use support::capture::{ETHERNET, RAW, Talk, ethernet, pcap, pcapng};
use support::scenarios::{self, Scenario};

/// Target and name to bytes.
type Seeds = BTreeMap<(&'static str, String), Vec<u8>>;

#[test]
fn the_seeds_are_those_that_the_scenarios_make() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let seeds = seeds();
    if std::env::var_os("FUZZ_SEEDS").is_some_and(|what| what == "write") {
        let _ = std::fs::remove_dir_all(&dir);
        for ((target, name), bytes) in &seeds {
            std::fs::create_dir_all(dir.join(target)).unwrap();
            std::fs::write(dir.join(target).join(name), bytes).unwrap();
        }
    }
    let mut found = Seeds::new();
    for target in names(&dir) {
        for name in names(&dir.join(&target)) {
            let bytes = std::fs::read(dir.join(&target).join(&name)).unwrap();
            let known = seeds.keys().map(|(known, _)| *known);
            let target = known.into_iter().find(|known| *known == target);
            found.insert((target.unwrap_or("stray"), name), bytes);
        }
    }
    assert!(found == seeds, "FUZZ_SEEDS=write makes them anew");
    // A target without seeds would begin with nothing.
    let targets: BTreeSet<_> = seeds
        .keys()
        .map(|(target, _)| format!("{target}.rs"))
        .collect();
    let there = names(&dir.with_file_name("targets"));
    assert_eq!(targets, there.into_iter().collect());
}

fn names(dir: &PathBuf) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|why| panic!("{}: {why}", dir.display()));
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn seeds() -> Seeds {
    let mut seeds = Seeds::new();
    let mut add = |target, name: &str, bytes: Vec<u8>| {
        seeds.insert((target, name.to_owned()), bytes);
    };
    for (at, payload) in profiles().into_iter().enumerate() {
        add(
            "profile",
            &format!("scenario-{at:02}"),
            payload.into_bytes(),
        );
    }
    let profile = Answer::profile(at("203.0.113.7:1033"), "sso$$").bytes;
    let saved: String = String::from_utf8_lossy(&profile)
        .lines()
        .map(|line| format!("12:00:00 <<< {line}\n"))
        .collect();
    add("profile", "transcript", saved.into_bytes());

    for (name, how, wire) in servers(&profile) {
        add("login", name, led_by(how, &wire));
        // The same bytes as commands; here the two low bits are the side and the search.
        add("codec", name, led_by(how & !3, &wire));
        add(
            "codec",
            &format!("{name}-search"),
            led_by(how & !3 | 2, &wire),
        );
    }
    for (name, how, wire) in clients() {
        add("server_session", name, led_by(how, wire.as_bytes()));
        add("codec", name, led_by(how & !3 | 1, wire.as_bytes()));
    }
    for (name, gateway, request) in requests() {
        add(
            "server_http",
            name,
            led_by(u8::from(gateway), request.as_bytes()),
        );
    }
    let client = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 7), 1033);
    let other = Other {
        discard_port: 9,
        address: SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 9), 7001),
    };
    let request = Packet::request([1, 2, 3, 4]);
    let answer = Packet {
        client,
        other: Some(other),
        ..request
    };
    for (name, packet) in [("request", request), ("answer", answer)] {
        add("udp_echo", name, packet.bytes().to_vec());
    }
    let answer = "010100302112a442b7e7a701bc34d686fa87dfae000100080001a147c0000201002000080001a147e112a643802c000800010d97c633640900050008000100000a000001";
    let bytes = lower::decode_vec(answer).unwrap();
    add("stun", "answer", bytes);
    for (name, hex) in [
        ("nat-pmp", "0080000000000001cb007107"),
        (
            "pcp",
            "028100000000007800000001000000000000000000000000000102030405060708090a0b110000000747100000000000000000000000ffffcb007107",
        ),
    ] {
        add("router", name, lower::decode_vec(hex).unwrap());
    }
    let router = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";
    let service = "urn:schemas-upnp-org:service:WANIPConnection:1";
    for (name, text) in [
        (
            "ssdp",
            format!("HTTP/1.1 200 OK\r\nST: {router}\r\nLOCATION: http://192.168.1.1:5000/\r\n\r\n"),
        ),
        (
            "description",
            format!("<root><service><serviceType>{service}</serviceType><controlURL>/a&amp;b</controlURL></service></root>"),
        ),
        (
            "address",
            "<Body><GetExternalIPAddressResponse><NewExternalIPAddress>203.0.113.7</NewExternalIPAddress></GetExternalIPAddressResponse></Body>".to_owned(),
        ),
    ] {
        add("router", name, text.into_bytes());
    }
    let token = Token([7; 16]);
    for (name, line) in [
        ("request", format!("CALL 1 5000 5001 {token}")),
        ("seen", "SEEN [2001:db8::7]:1033".to_owned()),
        ("done", "DONE connected sent".to_owned()),
        ("refused", "REFUSED busy".to_owned()),
    ] {
        add("call", name, format!("{line}\r\n").into_bytes());
    }
    add("call", "called", called(token));
    for (name, header) in proxy_headers() {
        add("proxy_header", name, header);
    }
    for (name, text) in invitations() {
        add("invitation", name, text.as_bytes().to_vec());
    }
    for (name, file) in captures() {
        // The first byte: the size of the pieces.
        add("capture", name, [vec![99], file].concat());
    }
    let steps = [
        [0, 0, 100, 0, 0, 1],
        [200, 0, 100, 0, 0, 1],
        [0, 0, 250, 0, 201, 1],
        [0, 4, 9, 0, 0, 0],
    ];
    add(
        "reassembly",
        "steps",
        [&[255, 255, 255, 255][..], steps.as_flattened()].concat(),
    );
    for (target, texts) in words() {
        for (at, text) in texts.iter().enumerate() {
            add(target, &format!("word-{at:02}"), text.as_bytes().to_vec());
        }
    }
    seeds
}

/// Headers of the PROXY protocol, versions 1 and 2.
fn proxy_headers() -> [(&'static str, Vec<u8>); 6] {
    let v1 = |line: &str| format!("PROXY {line}\r\n").into_bytes();
    let v2 = |command, family, rest: &[u8]| {
        let length = u8::try_from(rest.len()).unwrap();
        let fixed = [command, family, 0, length];
        [b"\r\n\r\n\0\r\nQUIT\n", &fixed[..], rest].concat()
    };
    let ends = [203, 0, 113, 7, 192, 0, 2, 1, 4, 9, 7, 71];
    let tlvs = [&ends[..], &[4, 0, 2, 0, 0]].concat();
    [
        ("v1", v1("TCP4 203.0.113.7 192.0.2.1 1033 1863")),
        ("v1-unknown", v1("UNKNOWN")),
        ("v1-v6", v1("TCP6 2001:db8::7 2001:db8::1 1033 1863")),
        ("v2", v2(0x21, 0x11, &ends)),
        ("v2-local", v2(0x20, 0, &[])),
        ("v2-tlv", v2(0x21, 0x11, &tlvs)),
    ]
}

/// Invitations of each form.
fn invitations() -> [(&'static str, &'static str); 4] {
    [
        (
            "request",
            "INVITE MSNMSGR:c@d.e MSNSLP/1.0\r\nFrom: <msnmsgr:a@b.c>\r\n\
             Content-Type: application/x-msnmsgr-transreqbody\r\n\r\nBridges: TRUDPv1 TCPv1\r\nNetID: -1580793919\r\n\
             Conn-Type: Port-Restrict-NAT\r\nTCP-Conn-Type: Symmetric-NAT\r\nUPnPNat: true\r\nICF: false\r\n\r\n\0",
        ),
        (
            "response",
            "MSNSLP/1.0 200 OK\r\n\r\nListening: true\r\nIPv4Internal-AddrsAndPorts: 192.168.1.5:6891\r\n\
             srddA-lanretxE4vPI: 7.311.0.302\r\ntroP-lanretxE4vPI: 1986\r\n\r\n",
        ),
        (
            "voice",
            "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsinvite\r\n\r\nSession-Protocol: SM1\r\n\
             Public-IP: 203.0.113.7\r\nPrivate-IP: 192.168.1.5\r\nUPnP: FALSE\r\n",
        ),
        ("file", "Connectivity: N\r\nPortX-Internal: 12\r\n"),
    ]
}

/// Files of packets with a session.
fn captures() -> Vec<(&'static str, Vec<u8>)> {
    let talk = Talk::session(
        "192.168.1.5:1033",
        "203.0.113.9:1863",
        "198.51.100.1",
        "1033",
    );
    let v6 = Talk::session(
        "[2001:db8::5]:1033",
        "[2001:db8::9]:1863",
        "2001:db8::5",
        "2308",
    );
    let frames: Vec<_> = talk
        .packets
        .iter()
        .map(|packet| ethernet(packet, &[7]))
        .collect();
    vec![
        ("raw", pcap(RAW, &talk.packets, usize::MAX)),
        ("cut", pcap(RAW, &talk.packets, 68)),
        ("vlan", pcap(ETHERNET, &frames, usize::MAX)),
        ("ipv6", pcapng(101, &v6.packets, true)),
        ("middle", pcapng(101, &talk.packets[4..], false)),
    ]
}

/// The payloads of the scenarios, each once.
fn profiles() -> BTreeSet<String> {
    let field = |name: &str, value: &Option<String>| {
        let line = |value: &String| format!("{name}: {value}\r\n");
        value.as_ref().map(line).unwrap_or_default()
    };
    let payload = |case: &Scenario| {
        let ip = field("ClientIP", &case.client_ip);
        let port = field("ClientPort", &case.client_port);
        format!("Content-Type: text/x-msmsgsprofile\r\n{ip}{port}\r\n")
    };
    scenarios::classify().iter().map(payload).collect()
}

/// What servers say in whole logins. The first byte: one command at a time, one dialect only,
/// and the size of the pieces.
fn servers(profile: &[u8]) -> Vec<(&'static str, u8, Vec<u8>)> {
    let join = |answers: &[Answer]| {
        let bytes = answers.iter().map(|answer| answer.bytes.clone());
        bytes.collect::<Vec<_>>().concat()
    };
    let start = [Answer::ver("1"), Answer::cvr("2")];
    let policy = join(&[start.to_vec(), vec![Answer::policy("3")]].concat());
    let (ns, here) = (at("192.0.2.2:1863"), at("192.0.2.1:1863"));
    let referral = join(&[start.to_vec(), vec![Answer::referral("3", ns, here)]].concat());
    let second = join(&[Answer::ver("4"), Answer::cvr("5"), Answer::policy("6")]);
    let ok = Answer::ok("4").bytes;
    let between = b"SBS 0 null\r\nCHL 0 15570131571988941333\r\nUBX a@b.c 4\r\n<x/>\
        XYZ 0 9\r\n<a>\r\n</a>NLN NLN a@b.c Zo\xc3\xab 0\r\nNOT 3\r\nabcIPG 2\r\nab";
    let stay = b"XFR 3 NS 0\r\n";
    vec![
        ("honest", 0xfc, [&policy, &*ok, profile].concat()),
        ("pieces", 0x08, [&policy, &*ok, profile].concat()),
        ("lockstep", 0xfd, [&policy, &*ok, profile].concat()),
        (
            "dialect",
            0xfe,
            b"VER 1 MSNP10\r\nCVR 2 6\r\nUSR 3 TWN S a=b\r\n".to_vec(),
        ),
        ("crowded", 0xfc, [&policy, &*ok, between, profile].concat()),
        (
            "configured",
            0xfc,
            [&policy, &*Answer::configuration(4).bytes, &*ok].concat(),
        ),
        ("referral", 0xfc, [&referral, &*second].concat()),
        (
            "begin-again",
            0xfc,
            [&*join(&start), stay, &*second].concat(),
        ),
        ("error", 0xfc, [&policy, &b"911 4\r\n"[..]].concat()),
        ("impatient", 0xfc, b"VER 1 MSNP9\r\n715 2\r\n".to_vec()),
        ("no-dialect", 0xfc, b"VER 1 0\r\nVER 4 MSNP12\r\n".to_vec()),
        ("signed-out", 0xfc, [&policy, &*ok, b"OUT OTH\r\n"].concat()),
        ("web", 0xfc, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
    ]
}

/// What clients say. The first byte: the kind of session, and the size of the pieces.
fn clients() -> Vec<(&'static str, u8, String)> {
    let hello = |dialect| {
        format!(
            "VER 1 {dialect} CVR0\r\nCVR 2 0x0409 winnt 5.1 i386 MSNMSGR 6.0.0602 MSMSGS \
             user@example.com\r\nUSR 3 TWN I user@example.com\r\nUSR 4 TWN S TICKET\r\n"
        )
    };
    let online = "SYN 5 0\r\nCHG 6 NLN 0\r\nCHG 7 HDN 4 %3Cx%3E\r\nPNG\r\nURL 8 INBOX\r\n\
        ADD 9 FL other@example.com Other 0\r\nREM 10 FL other@example.com\r\n\
        REA 11 user@example.com New%20Name\r\nGTC 12 A\r\nBLP 13 AL\r\nPRP 14 PHH 1\r\n\
        ADG 15 Group 0\r\nREG 16 0 Name 0\r\nRMG 17 0\r\nLST 18 RL\r\nXFR 19 SB\r\n\
        QRY 20 msmsgs@msnmsgr.com 32\r\n8f2f5a91b72102cd28355e9fc9000d6eOUT\r\n";
    let late = "SYN 5 0 0\r\nADC 6 FL N=o@example.com F=O\r\nUUX 7 4\r\n<x/>SBP 8 1 MFN x\r\n\
        UUN 9 a@b.c 1 1\r\nxFQY 10 2\r\n<>\r\n";
    vec![
        ("client-8", 0xfc, format!("{}{online}", hello("MSNP8"))),
        (
            "client-9",
            0xfc,
            format!("{}{online}", hello("MSNP9 MSNP8")),
        ),
        ("client-pieces", 0x10, format!("{}{online}", hello("MSNP9"))),
        ("client-10", 0xfc, format!("{}{online}", hello("MSNP10"))),
        ("client-12", 0xfc, format!("{}{late}", hello("MSNP12"))),
        (
            "client-gateway",
            0xfe,
            format!("{}{online}", hello("MSNP9")),
        ),
        ("client-dispatch", 0xff, hello("MSNP9")),
        (
            "client-old",
            0xfc,
            "VER 1 MSNP7 CVR0\r\nINF 2\r\n".to_owned(),
        ),
        (
            "client-refused",
            0xfc,
            hello("MSNP9").replace("TICKET", "t=00&p=00"),
        ),
        ("client-early", 0xfc, online.to_owned()),
    ]
}

/// What web clients ask; whether it is the gateway that they ask.
fn requests() -> Vec<(&'static str, bool, String)> {
    let get = |path: &str, more: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: login.example:8443\r\n{more}\r\n")
    };
    let authorization = format!(
        "Authorization: Passport1.4 OrgVerb=GET,OrgURL=http%3A%2F%2Fmessenger%2Emsn%2Ecom,\
         sign-in=user%40example.com,pwd=secret,{POLICY}\r\n"
    );
    let post = |query: &str, body: &str| {
        format!(
            "POST /gateway/gateway.dll?{query} HTTP/1.1\r\nHost: gateway.example\r\n\
             Content-Type: application/x-msn-messenger\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let open = "Action=open&Server=NS&IP=messenger.hotmail.com";
    let poll = "Action=poll&Lifespan=3&SessionID=1.2";
    let nexus = get("/rdr/pprdr.asp", "");
    vec![
        ("nexus", false, nexus.clone()),
        ("nexus-old", false, "GET /rdr/pprdr.asp\r\n\r\n".to_owned()),
        (
            "nexus-mock",
            false,
            get("/nexus-mock", "Connection: close\r\n"),
        ),
        ("login", false, get("/login2.srf", &authorization)),
        (
            "login-twice",
            false,
            get("/login2.srf?id=2", &authorization) + &nexus,
        ),
        ("login-nobody", false, get("/login.srf", "")),
        ("old-http", false, nexus.replace("1.1", "1.0")),
        ("head", false, nexus.replace("GET", "HEAD")),
        (
            "proxy-form",
            false,
            get("http://login.example/login", "Expect: 100-continue\r\n"),
        ),
        ("gateway-open", true, post(open, "VER 1 MSNP9 CVR0\r\n")),
        (
            "gateway-two",
            true,
            post(open, "VER 1 MSNP9 CVR0\r\n") + &post(poll, ""),
        ),
        ("gateway-ping", true, post(open, "PNG\r\n")),
        ("gateway-get", true, get("/gateway/gateway.dll", "")),
    ]
}

fn words() -> [(&'static str, Vec<String>); 4] {
    let authorization = "Passport1.4 OrgVerb=GET,OrgURL=http%3A%2F%2Fmessenger%2Emsn%2Ecom";
    [
        (
            "passport_client",
            [
                "DARealm=Passport.Net,DALogin=login.passport.com/login2.srf,ConfigVersion=15",
                "DALogin=https://login.example/login",
                "Passport1.4 da-status=success,tname=MSPAuth,from-PP='t=a&p=b',ru=http://m.example",
                "Passport1.4 da-status=success,from-PP='0123456789abcdef'",
                "Passport1.4 da-status=redir",
                "Passport1.4 da-status=failed,srealm=Passport.NET,ts=-3,prompt,cbtxt=Wrong%20word",
                "Passport1.4 da-status=failed-noretry",
            ]
            .map(str::to_owned)
            .to_vec(),
        ),
        (
            "passport_server",
            vec![
                format!("{authorization},sign-in=user%40example.com,pwd=secret,{POLICY}"),
                format!("{authorization},sign-in=user@example.com,pwd=a%2Cb,pwd=c,tpf={POLICY}"),
                "Passport1.4 Passport1.4 sign-in=a@b.c,pwd=x".to_owned(),
                "user@example.com\npä,ss=%/+ w".to_owned(),
            ],
        ),
        (
            "words",
            [
                "192.0.2.1:1863",
                "[2001:db8::1]:1863",
                "fe80::1%eth0",
                "ns.example",
                "https://login.example:8443/login2.srf?lc=1033",
                "http://[::1]/",
                "/login2.srf?id=2",
                "Zoë%20%25+",
            ]
            .map(str::to_owned)
            .to_vec(),
        ),
        (
            "gateway_client",
            [
                "SessionID=954547325.13160; GW-IP=207.46.110.18",
                "SessionID=1.2;GW-IP=gateway.example:80; Session=close",
            ]
            .map(str::to_owned)
            .to_vec(),
        ),
    ]
}

fn led_by(how: u8, bytes: &[u8]) -> Vec<u8> {
    [&[how], bytes].concat()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
