//! The label of UDP, from the three tests of MSN's network detection.

use std::net::{IpAddr, SocketAddrV4};
use std::time::Duration;

use super::label::spelled;

/// The connection type of UDP, as the official client's network detection names it. It says how a
/// NAT filters and maps, which the label of the TCP flow does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UdpLabel {
    /// The server sees the local address.
    DirectConnect,
    /// An answer from another address gets in once something was sent to that address.
    IpRestrictNat,
    /// It does not, and the outside port is the same toward both addresses.
    PortRestrictNat,
    /// It does not, and the outside port differs.
    SymmetricNat,
    /// No answer at all.
    Firewall,
    /// UDP leaves with the local address, TCP with another one, as behind a proxy for TCP.
    IsaLike,
    /// The tests do not tell.
    UnknownConnect,
}

impl UdpLabel {
    /// Every label.
    pub const ALL: [Self; 7] = [
        Self::DirectConnect,
        Self::IpRestrictNat,
        Self::PortRestrictNat,
        Self::SymmetricNat,
        Self::Firewall,
        Self::IsaLike,
        Self::UnknownConnect,
    ];

    /// The spelling of the official client.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DirectConnect => "Direct-Connect",
            Self::IpRestrictNat => "IP-Restrict-NAT",
            Self::PortRestrictNat => "Port-Restrict-NAT",
            Self::SymmetricNat => "Symmetric-NAT",
            Self::Firewall => "Firewall",
            Self::IsaLike => "ISALike",
            Self::UnknownConnect => "Unknown-Connect",
        }
    }

    /// The label where UDP leaves with the local address, `ip`. A `ClientIP` of the other family, from a
    /// login over IPv6 beside UDP over IPv4, says nothing about it.
    pub(super) fn of_kept(ip: IpAddr, client_ip: Option<IpAddr>) -> Self {
        let client_ip = client_ip.filter(|seen| seen.is_ipv4() == ip.is_ipv4());
        match client_ip.is_some_and(|seen| seen != ip) {
            true => Self::IsaLike,
            false => Self::DirectConnect,
        }
    }
}

spelled!(UdpLabel);

/// What one test observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UdpTest {
    /// It was not needed, or what it needs was missing.
    #[default]
    NotRun,
    /// Nothing came back.
    NoAnswer,
    /// An ICMP error came back.
    Refused,
    /// An answer, with this host's end as its sender sees it.
    Answered(SocketAddrV4),
}

/// What the tests observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpEvidence {
    /// The server's address.
    pub server: SocketAddrV4,
    /// The server's other address, as it names it.
    pub other: Option<SocketAddrV4>,
    /// The local end.
    pub local: SocketAddrV4,
    /// `ClientIP` of a profile, where there is one.
    pub client_ip: Option<IpAddr>,
    /// Test 1: the server is asked for an answer.
    pub first: UdpTest,
    /// Test 2: the other address answers what the server was asked, from a port that nothing was
    /// sent to.
    pub second: UdpTest,
    /// Test 3: the other address is asked, from the port of test 1.
    pub third: UdpTest,
    /// The time from the request of test 1 to its answer.
    pub round_trip: Option<Duration>,
    /// Packets that answer no request: of another form, sender or number.
    pub ignored: u32,
}

impl UdpEvidence {
    /// This host's end as the server sees it; `None` where it did not answer.
    #[must_use]
    pub const fn outside(&self) -> Option<SocketAddrV4> {
        match self.first {
            UdpTest::Answered(end) => Some(end),
            UdpTest::NoAnswer | UdpTest::NotRun | UdpTest::Refused => None,
        }
    }

    /// The label. The rule is that of Miranda IM, except that the outside address counts beside the
    /// port: a NAT with several addresses may map to another one.
    #[must_use]
    pub fn label(&self) -> UdpLabel {
        let outside = match self.first {
            UdpTest::Answered(outside) => outside,
            UdpTest::NoAnswer => return UdpLabel::Firewall,
            UdpTest::NotRun | UdpTest::Refused => return UdpLabel::UnknownConnect,
        };
        if outside.ip() == self.local.ip() {
            return UdpLabel::of_kept((*outside.ip()).into(), self.client_ip);
        }
        match (self.second, self.third) {
            (UdpTest::Answered(_), _) => UdpLabel::IpRestrictNat,
            (UdpTest::NoAnswer, UdpTest::Answered(toward)) => match toward == outside {
                true => UdpLabel::PortRestrictNat,
                false => UdpLabel::SymmetricNat,
            },
            _ => UdpLabel::UnknownConnect,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "192.168.1.5:1033";
    const OUT: &str = "203.0.113.7:1033";

    fn seen(end: &str) -> UdpTest {
        UdpTest::Answered(end.parse().unwrap())
    }

    fn label(local: &str, first: UdpTest, second: UdpTest, third: UdpTest) -> UdpLabel {
        evidence(local, first, second, third).label()
    }

    fn evidence(local: &str, first: UdpTest, second: UdpTest, third: UdpTest) -> UdpEvidence {
        UdpEvidence {
            server: "203.0.113.80:7001".parse().unwrap(),
            other: None,
            local: local.parse().unwrap(),
            client_ip: None,
            first,
            second,
            third,
            round_trip: None,
            ignored: 0,
        }
    }

    #[test]
    fn the_tests_give_the_label() {
        use UdpTest::{NoAnswer, NotRun, Refused};
        for (first, second, third, want) in [
            (NoAnswer, NotRun, NotRun, UdpLabel::Firewall),
            (Refused, NotRun, NotRun, UdpLabel::UnknownConnect),
            (NotRun, NotRun, NotRun, UdpLabel::UnknownConnect),
            (seen(HOME), NotRun, NotRun, UdpLabel::DirectConnect),
            (seen(OUT), seen(OUT), NoAnswer, UdpLabel::IpRestrictNat),
            (seen(OUT), seen(OUT), seen(OUT), UdpLabel::IpRestrictNat),
            (seen(OUT), NoAnswer, seen(OUT), UdpLabel::PortRestrictNat),
            (
                seen(OUT),
                NoAnswer,
                seen("203.0.113.7:1034"),
                UdpLabel::SymmetricNat,
            ),
            (
                seen(OUT),
                NoAnswer,
                seen("203.0.113.8:1033"),
                UdpLabel::SymmetricNat,
            ),
            (seen(OUT), NoAnswer, NoAnswer, UdpLabel::UnknownConnect),
            (seen(OUT), NoAnswer, Refused, UdpLabel::UnknownConnect),
            (seen(OUT), NoAnswer, NotRun, UdpLabel::UnknownConnect),
            // Whether the answer would have passed is not known.
            (seen(OUT), NotRun, seen(OUT), UdpLabel::UnknownConnect),
        ] {
            let got = label(HOME, first, second, third);
            assert_eq!(got, want, "{first:?} {second:?} {third:?}");
        }
    }

    #[test]
    fn another_client_ip_matters_where_udp_keeps_the_address() {
        let label = |end: &str, client_ip: Option<&str>| {
            let first = evidence(HOME, seen(end), UdpTest::NotRun, UdpTest::NotRun);
            let client_ip = client_ip.map(|ip| ip.parse().unwrap());
            UdpEvidence { client_ip, ..first }.label()
        };
        assert_eq!(label(HOME, Some("203.0.113.7")), UdpLabel::IsaLike);
        assert_eq!(label(HOME, Some("192.168.1.5")), UdpLabel::DirectConnect);
        assert_eq!(label(HOME, None), UdpLabel::DirectConnect);
        let over_ipv6 = label(HOME, Some("2001:db8::5"));
        assert_eq!(over_ipv6, UdpLabel::DirectConnect);
        assert_eq!(label(OUT, Some("192.168.1.5")), UdpLabel::UnknownConnect);
    }
}
