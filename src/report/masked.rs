//! A report with masks in place of what identifies somebody.
//!
//! Every struct is taken apart by its fields, so that a new one cannot be forgotten.

use std::net::SocketAddr;

use super::{
    ErrorReport, Hop, HopAddress, ObservationReport, Observed, ObservedIp, ObservedPort,
    PathReport, ProxyReport, Report, ServerReport, Why, invitation,
};
use crate::address::Address;
use crate::conntype::{Comparison, Unsettled, Warning};
use crate::failure::Failure;
use crate::mask::{self, Mask};

impl Report {
    /// The report with the mask of this process, where it has one.
    #[must_use]
    pub fn to_share(self) -> Self {
        match mask::with(|mask| self.clone().masked(mask)) {
            Some(masked) => masked,
            None => self,
        }
    }

    /// The report as it may be shown to strangers. One that is masked already stays as it is.
    #[must_use]
    pub fn masked(self, mask: &mut Mask) -> Self {
        if self.redacted {
            return self;
        }
        let Self {
            schema_version,
            tool,
            started_at,
            redacted: _,
            label,
            determined,
            alternatives,
            reason,
            local,
            observed,
            comparison,
            mapping,
            clients,
            server,
            dialect,
            credentials_sent_to,
            path,
            observations,
            probes,
            conclusion,
            invitations,
            invitation_to_send,
            timings_ms,
            expected,
            warnings,
            error,
            exit_code,
        } = self;
        // Values come before texts, which then show what is known by them.
        let local = local.map(|end| mask.socket(end));
        let observed = observed.map(|seen| seen.masked(mask));
        let comparison = comparison.map(|compared| comparison_of(compared, mask));
        let server = server.map(|server| server.masked(mask));
        let credentials_sent_to = addresses(credentials_sent_to, mask);
        let path = path.masked(mask);
        let warnings = warnings.into_iter().map(|one| warning(one, mask)).collect();
        let observations = observations
            .into_iter()
            .map(|one| one.masked(mask))
            .collect();
        let probes = probes.masked(mask);
        let invitations =
            invitations.map(|all| all.into_iter().map(|one| one.masked(mask)).collect());
        let invitation_to_send = invitation_to_send.map(|sent| invitation::masked(sent, mask));
        Self {
            schema_version,
            tool,
            started_at,
            redacted: true,
            label,
            determined,
            alternatives,
            reason: match reason {
                Why::Rule(reason) => Why::Rule(reason),
                Why::Failed { code, text } => Why::Failed {
                    code,
                    text: mask.text(&text),
                },
            },
            local,
            observed,
            comparison,
            mapping,
            clients,
            server,
            dialect,
            credentials_sent_to,
            path,
            observations,
            probes,
            conclusion,
            invitations,
            invitation_to_send,
            timings_ms,
            expected,
            warnings,
            error: error.map(|error| error.masked(mask)),
            exit_code,
        }
    }
}

impl Observed {
    fn masked(self, mask: &mut Mask) -> Self {
        let Self {
            client_ip: ObservedIp { raw: raw_ip, ip },
            client_port:
                ObservedPort {
                    raw: raw_port,
                    number,
                    order,
                    port,
                },
        } = self;
        Self {
            client_ip: ObservedIp {
                ip: ip.map(|ip| mask.ip(ip)),
                raw: raw_ip.map(|raw| mask.text(&raw)),
            },
            client_port: ObservedPort {
                number: number.map(|number| mask.port(number)),
                order,
                port: port.map(|port| mask.port(port)),
                raw: raw_port.map(|raw| mask.port_text(&raw)),
            },
        }
    }
}

fn comparison_of(compared: Comparison, mask: &mut Mask) -> Comparison {
    let Comparison {
        local,
        client_ip,
        client_port,
        ip,
        port,
        order_matched,
        order_asked,
        outside_port,
    } = compared;
    Comparison {
        local: mask.socket(local),
        client_ip: client_ip.map(|ip| mask.ip(ip)),
        client_port: client_port.map(|port| mask.port(port)),
        ip,
        port,
        order_matched,
        order_asked,
        outside_port: outside_port.map(|port| mask.port(port)),
    }
}

impl ServerReport {
    fn masked(self, mask: &mut Mask) -> Self {
        let Self {
            requested,
            address,
            referrals,
        } = self;
        Self {
            requested: mask.address(&requested),
            address: socket(address, mask),
            referrals: addresses(referrals, mask),
        }
    }
}

impl PathReport {
    fn masked(self, mask: &mut Mask) -> Self {
        let Self { kind, proxy, hops } = self;
        Self {
            kind,
            proxy: proxy.map(|proxy| proxy.masked(mask)),
            hops: hops.into_iter().map(|hop| hop.masked(mask)).collect(),
        }
    }
}

impl ProxyReport {
    fn masked(self, mask: &mut Mask) -> Self {
        let Self {
            name,
            addresses,
            bound,
            relation,
        } = self;
        Self {
            name: mask.address(&name),
            addresses: addresses.into_iter().map(|ip| mask.ip(ip)).collect(),
            bound: socket(bound, mask),
            relation,
        }
    }
}

impl Hop {
    fn masked(self, mask: &mut Mask) -> Self {
        let Self {
            role,
            address,
            rewrites,
        } = self;
        Self {
            role,
            address: address.map(|address| match address {
                HopAddress::Name(name) => HopAddress::Name(mask.address(&name)),
                HopAddress::Socket(end) => HopAddress::Socket(mask.socket(end)),
                HopAddress::Ip(ip) => HopAddress::Ip(mask.ip(ip)),
            }),
            rewrites,
        }
    }
}

impl ObservationReport {
    fn masked(self, mask: &mut Mask) -> Self {
        let Self {
            server,
            address,
            local,
            observed,
            label,
            error,
        } = self;
        Self {
            server: mask.address(&server),
            address: socket(address, mask),
            local: socket(local, mask),
            observed: observed.map(|seen| seen.masked(mask)),
            label,
            error: error.map(
                |Failure {
                     stage,
                     code,
                     message,
                 }| Failure {
                    stage,
                    code,
                    message: mask.text(&message),
                },
            ),
        }
    }
}

impl ErrorReport {
    /// The error with its message masked. The remedy is of this program's own words.
    #[must_use]
    pub fn masked(self, mask: &mut Mask) -> Self {
        let Self {
            stage,
            code,
            message,
            remedy,
        } = self;
        Self {
            stage,
            code,
            message: mask.text(&message),
            remedy,
        }
    }
}

fn warning(warning: Warning, mask: &mut Mask) -> Warning {
    match warning {
        Warning::ClientIpNotGlobal(ip) => Warning::ClientIpNotGlobal(mask.ip(ip)),
        Warning::ClientIpIsServer(ip) => Warning::ClientIpIsServer(mask.ip(ip)),
        Warning::OutsidePortAmbiguous(plain, swapped) => {
            Warning::OutsidePortAmbiguous(mask.port(plain), mask.port(swapped))
        }
        Warning::PortNotSent(to) => Warning::PortNotSent(mask.address(&to)),
        Warning::CredentialsElsewhere(to) => Warning::CredentialsElsewhere(mask.address(&to)),
        Warning::Unsettled(why) => Warning::Unsettled(match why {
            Unsettled::NotTranslated(ip) => Unsettled::NotTranslated(mask.ip(ip)),
            Unsettled::OtherSide(a, b) => Unsettled::OtherSide(mask.ip(a), mask.ip(b)),
            Unsettled::TwoOutsideAddresses(a, b) => {
                Unsettled::TwoOutsideAddresses(mask.ip(a), mask.ip(b))
            }
            Unsettled::SameAddress
            | Unsettled::PortUnknown
            | Unsettled::Undetermined(_)
            | Unsettled::KnownConstant => why,
        }),
        Warning::OrderUndecided
        | Warning::TcpFlowOnly
        | Warning::SignedOutElsewhere
        | Warning::ObservationMissing(_)
        | Warning::ObservationsDisagree(_) => warning,
    }
}

fn socket(end: Option<SocketAddr>, mask: &mut Mask) -> Option<SocketAddr> {
    end.map(|end| mask.socket(end))
}

fn addresses(list: Vec<Address>, mask: &mut Mask) -> Vec<Address> {
    list.iter().map(|at| mask.address(at)).collect()
}

#[cfg(test)]
mod tests;
