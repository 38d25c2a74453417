//! What to do about a failure, with the options that help.

use crate::failure::{ErrorCode, Stage};

/// What to do about a bug in this program.
pub(super) const BUG: &str = "report it, with the command line and the output of -vv";

/// What to try after a failure, in words that follow "; ".
#[must_use]
pub const fn remedy(code: ErrorCode, stage: Stage) -> &'static str {
    match code {
        ErrorCode::NameNotFound => "check the spelling of the name and the DNS of this host",
        ErrorCode::NoUsableAddress => {
            "use a server of that family, or leave out the option that asks for it (-4, -6, \
             --bind, a socks4:// proxy)"
        }
        ErrorCode::ConnectionRefused => match stage {
            Stage::Nexus => "nothing listens there: check --nexus-url, or give --login-url",
            Stage::Login => "nothing listens there: check --login-url, or ask the nexus",
            Stage::Gateway => "nothing listens there: check --http-gateway",
            Stage::UdpEcho => {
                "check the port (usually 7001) and that the server runs; a firewall that rejects UDP \
                 looks the same"
            }
            Stage::Stun => {
                "check the port (usually 3478) and that the server runs; a firewall that rejects UDP \
                 looks the same"
            }
            Stage::CallBack => {
                "nothing listens there: check the port (usually 7001) and that the server runs"
            }
            Stage::Proxy => {
                "nothing listens there: check the proxy's address and port, and that it runs"
            }
            _ => "nothing listens there: check the port (usually 1863) and that the server runs",
        },
        ErrorCode::Unreachable => {
            "check the address and this host's routes; where one family is missing, -4 or -6 \
             chooses the other"
        }
        ErrorCode::Timeout => match stage {
            Stage::Resolve | Stage::Connect | Stage::Nexus | Stage::Login => {
                "check the address, and whether a firewall drops the port; --timeout allows more \
                 time"
            }
            Stage::Proxy => {
                "check the proxy's address, scheme and port; --timeout allows more time"
            }
            _ => "try again later, or allow more time with --timeout",
        },
        ErrorCode::ConnectionReset => {
            "something on the way, such as a firewall, resets the connection"
        }
        ErrorCode::NotPermitted => "a firewall of this host forbids the connection",
        ErrorCode::ConnectionFailed => "check the address and this host's network",
        ErrorCode::BindFailed if matches!(stage, Stage::CallBack) => {
            "choose a port that is free with --listen-test=PORT, or leave the number out"
        }
        ErrorCode::BindFailed => {
            "choose an address of this host and a port that is free, or leave out --bind"
        }
        ErrorCode::LocalPortInUse => match stage {
            Stage::Proxy => "another observation from the same port needs a path without a proxy",
            _ => "name a server at another address, or leave the port to the system",
        },
        ErrorCode::NoRouter => {
            "connect this host to a network with IPv4; behind no router there are no ports to open"
        }
        ErrorCode::CallRefused => {
            "check the address: a server of this program that calls back has to be there; where it is \
             busy, try again in a minute"
        }
        ErrorCode::NoLoopback => {
            "the demo needs the loopback addresses 127.0.0.1 and 127.0.0.2: bring the loopback \
             interface up (ip link set lo up), or give it the second address"
        }
        ErrorCode::ProxyRefused => {
            "check the proxy's rules (many HTTP proxies allow port 443 only), and whether it \
             reaches the server; a proxy without SOCKS4a needs socks4://"
        }
        ErrorCode::ProxyPassword => {
            "give them as --proxy scheme://user:password@host:port, or in MSNP9_PROXY"
        }
        ErrorCode::ProxyTarget => "use socks5://, a shorter name, or the server's address",
        ErrorCode::ProxyClosed => "check the proxy's scheme and port, and its rules",
        ErrorCode::ProxyFailed | ErrorCode::NotAProxy => "check the proxy's scheme and port",
        ErrorCode::NotTls => "check the port: Passport needs HTTPS (usually 443)",
        ErrorCode::TlsTooOld => {
            "a server that speaks only TLS 1.0 or 1.1 cannot be used: it has to be updated to \
             TLS 1.2 or later"
        }
        ErrorCode::TlsNoCommonCipher => {
            "the server has to offer a current cipher suite and key exchange (ECDHE with AES-GCM \
             or ChaCha20-Poly1305)"
        }
        ErrorCode::TlsClientCertificate => {
            "a server that requires client certificates cannot be used; ask its operator for \
             another address"
        }
        ErrorCode::TlsUnknownName | ErrorCode::CertificateWrongName => {
            "use the name that the server's certificate is for"
        }
        ErrorCode::TlsRefused => "the server may be full, or refuse this address: try again later",
        ErrorCode::TlsFailed => {
            "check that an HTTPS server is there and that nothing on the way changes TLS, then \
             try again"
        }
        ErrorCode::BadName => "use the server's ASCII name or its address",
        ErrorCode::CertificateExpired => {
            "check this computer's clock; if it is right, the operator has to renew the \
             certificate"
        }
        ErrorCode::CertificateNotYetValid => "check this computer's clock",
        ErrorCode::CertificateUntrusted => {
            "if you trust that authority, or the certificate itself, give it with --ca-file; a \
             renewed certificate has to be given again"
        }
        ErrorCode::CertificateWeak => {
            "the operator of the server has to replace it: RSA with 2048 bits or more, or ECDSA, \
             signed with SHA-256 or better"
        }
        ErrorCode::CertificateRefused => {
            "the operator of the server has to replace the certificate; if you trust it as it is, \
             give the certificate itself with --ca-file"
        }
        ErrorCode::NotHttp => "check the address and the port",
        ErrorCode::NoHttpAnswer => {
            "try again; if the error persists, the server or something on the way refuses the \
             request"
        }
        ErrorCode::BadAnswer => "check the address; if it is right, try again",
        ErrorCode::BadUrl => "check the nexus, login and gateway URLs",
        ErrorCode::PlainHttp => "use an https:// URL, or allow this with --insecure-http",
        ErrorCode::BadRedirect | ErrorCode::TooManyRedirects => "check --login-url or --nexus-url",
        ErrorCode::NexusWithoutHeader => {
            "check --nexus-url, or name the login page with --login-url"
        }
        ErrorCode::NexusWithoutLogin => "name the login page with --login-url",
        ErrorCode::BadPolicy => "try another server",
        ErrorCode::WrongPassword => "check the account's spelling and its password",
        ErrorCode::LoginFailed | ErrorCode::LoginWithoutTicket => {
            "check --login-url or --nexus-url; if they are right, try again later"
        }
        ErrorCode::ServerBusy => match stage {
            Stage::Login => "try again in a minute or later",
            _ => "try again later",
        },
        ErrorCode::NotAGateway | ErrorCode::GatewayRefused | ErrorCode::GatewayClosed => {
            "check --http-gateway; its path is usually /gateway/gateway.dll"
        }
        ErrorCode::SpeaksHttp => {
            "that is the port of a web server; the notification server's is usually 1863"
        }
        ErrorCode::SpeaksTls => "that is an HTTPS port; the notification server's is usually 1863",
        ErrorCode::NotMsnp => "check the server's address and port",
        ErrorCode::Malformed => "the server's replies are invalid; try another server",
        ErrorCode::NoDialect => {
            "this server needs another version of the protocol; try another server"
        }
        ErrorCode::OtherScheme => "use a server with a Passport 1.4 login",
        ErrorCode::BadReferral | ErrorCode::ReferralLoop => {
            "name the notification server itself with --server, not the dispatch server"
        }
        ErrorCode::ProtocolError => "try another --dialect, or another server",
        ErrorCode::ServerError => "try again later, or use the dispatch server of the network",
        ErrorCode::CredentialsRefused => {
            "check the account and its password; some networks require an account to be confirmed \
             first"
        }
        ErrorCode::SignedOut => "try again later",
        ErrorCode::SignedInElsewhere => {
            "the account was signed in elsewhere during the login; use a test account"
        }
        ErrorCode::Closed => "the server hung up: check that it is an MSNP server, and try again",
        ErrorCode::ConnectionLost => {
            "the server or something on the way cut the connection: try again, or try another \
             server"
        }
        ErrorCode::NoProfile => match stage {
            Stage::Verdict => {
                "give the payload of the MSG that follows USR OK, or a transcript that holds it"
            }
            _ => {
                "this server does not report what it sees; use another, for example your own \
                 (msnp9-conntype serve)"
            }
        },
        ErrorCode::NoInvitation => {
            "give the message of the invitation, with its fields such as NetID and Conn-Type"
        }
        // The hints of the evidence say more.
        ErrorCode::AddressOursPortUnknown
        | ErrorCode::AddressUnknown
        | ErrorCode::ClientIpLoopback
        | ErrorCode::KnownConstant
        | ErrorCode::ObservedConstant
        | ErrorCode::ObservationsDisagree => "the remedy depends on the evidence",
        ErrorCode::Inconclusive => {
            "also ask a STUN server that answers from two addresses (RFC 5780), or UDP echo with \
             --udp-echo"
        }
        ErrorCode::NotACapture => {
            "give a file that tcpdump -w, Wireshark or dumpcap wrote: pcap or pcapng, plain or with gzip"
        }
        ErrorCode::CaptureCut | ErrorCode::CaptureDamaged => {
            "what was read until then counts; copy the file again, or capture again"
        }
        ErrorCode::LinkType => {
            "capture on an Ethernet interface, on 'any', or on the loopback interface"
        }
        ErrorCode::NoSession => {
            "capture while the client signs in, without a filter or with 'tcp'; a session that began \
             earlier or is encrypted cannot be read"
        }
        ErrorCode::BeginsBefore => "begin to capture before the client signs in",
        ErrorCode::CaptureEnds => "let the capture run until the client has signed in",
        ErrorCode::EndsEarly => "capture again while the client signs in",
        ErrorCode::NoLogin => {
            "look at the other sessions: a client signs in at the last server that it is referred to"
        }
        ErrorCode::BytesMissing | ErrorCode::ConflictingBytes => {
            "capture again, nearer to the client and with a larger buffer (tcpdump -B)"
        }
        ErrorCode::PacketsCut => "capture whole packets (tcpdump -s 0)",
        ErrorCode::IpFragments => "capture where the packets are whole, on the client's own host",
        ErrorCode::Encrypted | ErrorCode::OverHttp => {
            "let the client sign in over plain TCP, or ask the server with a login of this program"
        }
        ErrorCode::TooManySessions => "cut the capture into shorter ones (editcap -c)",
        ErrorCode::ServerSide => {
            "capture on the client's host; if this was, say so with --side client"
        }
        ErrorCode::ServerDisagrees => {
            "check whether the server sends what it sees, and whether a balancer is in front of it; if \
             the capture is of the client's host, say so with --side client"
        }
        ErrorCode::BehindBalancer => "capture on the client's host",
        ErrorCode::SideUnknown => {
            "capture on the client's host; if this was on the client's side of every NAT, say so with \
             --side client"
        }
        ErrorCode::CannotListen => {
            "choose another port (0 picks a free one), or an address of this machine; ports below \
             1024 need a privilege"
        }
        ErrorCode::NoRandomness | ErrorCode::System => "see the message",
        ErrorCode::TooFewOpenFiles => "raise the limit with 'ulimit -n'",
        ErrorCode::Interrupted | ErrorCode::Terminated => "run it again and let it finish",
        ErrorCode::Bug => BUG,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The table of `docs/errors.md`.
    fn table() -> String {
        let mut table = String::from("| `error.code` | stages | exit | meaning | what to do |\n");
        table.push_str("|---|---|---|---|---|\n");
        for &code in ErrorCode::ALL {
            let stages: Vec<_> = code.stages().iter().map(ToString::to_string).collect();
            let mut remedies: Vec<_> = code.stages().iter().map(|s| remedy(code, *s)).collect();
            let mut met = HashSet::new();
            remedies.retain(|remedy| met.insert(*remedy));
            table.push_str(&format!(
                "| `{code}` | {} | {} | {} | {} |\n",
                stages.join(", "),
                code.exit().code(),
                code.meaning(),
                remedies.join(" / "),
            ));
        }
        table
    }

    #[test]
    fn every_error_is_documented() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
        let page = std::fs::read_to_string(path).unwrap();
        let lines: Vec<_> = page.lines().collect();
        let first = lines.iter().position(|l| l.starts_with("| `error.code`"));
        let (before, rest) = lines.split_at(first.unwrap());
        let after = rest.iter().skip_while(|line| line.starts_with('|'));
        let table = table();
        let wanted = before
            .iter()
            .copied()
            .chain(table.lines())
            .chain(after.copied());
        let wanted = wanted.collect::<Vec<_>>().join("\n") + "\n";
        if std::env::var("ERRORS").is_ok_and(|what| what == "write") {
            std::fs::write(path, wanted).unwrap();
        } else {
            assert!(
                page == wanted,
                "ERRORS=write cargo test --lib remedy makes it anew"
            );
        }
    }
}
