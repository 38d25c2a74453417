//! Counters.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::{Histogram, LONG, SHORT};

/// The log target of the counters at the end of a run.
pub(crate) const SUMMARY_TARGET: &str = "msnp9_conntype::summary";

macro_rules! stats {
    (
        plain { $($(#[doc = $help:literal])+ $plain:ident,)* }
        labelled { $(
            $(#[doc = $family_help:literal])+
            $family:ident by $label:ident {
                $($(#[doc = $doc:literal])+ $counter:ident = $value:literal,)+
            }
        )* }
        totals { $($(#[doc = $total_doc:literal])+ $total:ident = $first:ident $(+ $more:ident)*,)* }
    ) => {
        /// Counters of a running server, the sessions that are open, and how long things took.
        #[derive(Debug, Default)]
        pub struct Stats {
            $($(#[doc = $help])+ pub(super) $plain: AtomicU64,)*
            $($($(#[doc = $doc])+ pub(super) $counter: AtomicU64,)+)*
            pub(super) open: OpenSessions,
            pub(super) durations: Durations,
        }

        /// A snapshot of [`Stats`].
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counts {
            $($(#[doc = $total_doc])+ pub $total: u64,)*
            $($(#[doc = $help])+ pub $plain: u64,)*
        }

        impl Counts {
            /// Logs the counters as fields of one event.
            pub(crate) fn log(&self) {
                tracing::info!($($total = self.$total,)* $($plain = self.$plain,)* "counters");
            }

            /// Logs the counters as fields of the last event of a run.
            pub(crate) fn log_summary(&self) {
                tracing::info!(
                    target: SUMMARY_TARGET,
                    $($total = self.$total,)*
                    $($plain = self.$plain,)*
                    "stopped"
                );
            }
        }

        impl Stats {
            /// A snapshot of all counters.
            #[must_use]
            pub fn counts(&self) -> Counts {
                let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
                Counts {
                    $($total: read(&self.$first) $(+ read(&self.$more))*,)*
                    $($plain: read(&self.$plain),)*
                }
            }

            /// Every counter, in the order of [`Self::families`].
            #[cfg(test)]
            pub(super) fn all(&self) -> Vec<&AtomicU64> {
                vec![$($(&self.$counter,)+)* $(&self.$plain,)*]
            }

            /// Every counter, as metrics.
            pub(super) fn families(&self) -> Vec<Family> {
                let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
                vec![
                    $(Family {
                        name: stringify!($family),
                        help: concat!($($family_help),+).trim_start(),
                        label: Some(stringify!($label)),
                        samples: vec![$(($value, read(&self.$counter)),)+],
                    },)*
                    $(Family {
                        name: stringify!($plain),
                        help: concat!($($help),+).trim_start(),
                        label: None,
                        samples: vec![("", read(&self.$plain))],
                    },)*
                ]
            }
        }
    };
}

// Each counter is a metric by its place here: a plain one of its own name, the others as the values
// of a label. The totals are what is logged.
stats! {
    plain {
        /// Failures to accept a connection, for example for lack of file descriptors.
        accept_errors,
        /// Hashes computed to check passwords.
        password_hashes,
        /// Sessions ended because their account signed in elsewhere.
        evictions,
        /// Clients referred to the notification server by the dispatch server.
        referrals,
        /// HTTP requests answered by Passport and the gateway.
        http_requests,
        /// Sessions opened through the gateway.
        gateway_sessions,
        /// Connections and sessions ended for invalid input.
        protocol_errors,
        /// Connections and sessions ended because the client did not send or read in time.
        timeouts,
    }
    labelled {
        /// Connections of clients accepted.
        connections by service {
            /// Connections to the notification server accepted.
            accepted_notification = "notification",
            /// Connections to the dispatch server accepted.
            accepted_dispatch = "dispatch",
            /// Connections to Passport accepted.
            accepted_passport = "passport",
            /// Connections to the gateway accepted.
            accepted_gateway = "gateway",
            /// Connections to ask for a call accepted.
            accepted_call_back = "call-back",
        }
        /// Connections and gateway sessions refused because of a limit, or for their PROXY header.
        refused_connections by reason {
            /// Those refused because of the total limit.
            refused_total = "total",
            /// Those refused because of the limit per address.
            refused_per_address = "per_address",
            /// Those refused for their PROXY header: none, one that is invalid, or one from an
            /// address that is not a balancer's.
            refused_headers = "header",
        }
        /// Logins to the notification server and the gateway: sessions that were signed in, had a
        /// wrong account or ticket, or were rejected because of earlier failures.
        logins by outcome {
            /// Sessions signed in.
            logins = "signed_in",
            /// Sessions with a wrong account or ticket.
            failed_tickets = "refused",
            /// Sessions rejected by the throttle, without checking their ticket.
            refused_tickets = "throttled",
        }
        /// Logins at the login page: those that got a ticket, had a wrong account or password, or
        /// were rejected because of earlier failures or because too many passwords are being checked.
        passport_logins by outcome {
            /// Tickets issued.
            tickets = "ticket",
            /// Logins at the login page with a wrong account or password.
            failed_logins = "refused",
            /// Logins at the login page rejected without checking the password.
            refused_logins = "throttled",
        }
        /// Packets of UDP echo: answered, ignored because they ask for nothing that is given, or
        /// without an answer because of the limits of their rate.
        udp_echo_packets by outcome {
            /// Packets of UDP echo answered.
            udp_answered = "answered",
            /// Packets of UDP echo without an answer: they ask for nothing that is given.
            udp_ignored = "ignored",
            /// Packets of UDP echo without an answer because of the limits of their rate.
            udp_limited = "limited",
        }
        /// Requests for a call: granted, or refused for their form, their sender or a limit.
        calls by outcome {
            /// Calls to clients that asked for one.
            calls = "granted",
            /// Requests for a call refused: for their form, their sender or a limit.
            refused_calls = "refused",
        }
    }
    totals {
        /// Connections accepted.
        accepted = accepted_notification + accepted_dispatch + accepted_passport
            + accepted_gateway + accepted_call_back,
        /// Connections and gateway sessions refused because of the total limit.
        refused_total = refused_total,
        /// Connections and gateway sessions refused because of the limit per address.
        refused_per_address = refused_per_address,
        /// Connections refused for their PROXY header: none, one that is invalid, or one from an
        /// address that is not a balancer's.
        refused_headers = refused_headers,
        /// Logins rejected without checking their password or ticket: by the throttle, or because too
        /// many passwords are being checked.
        refused_logins = refused_logins + refused_tickets,
        /// Tickets issued.
        tickets = tickets,
        /// Sessions signed in.
        logins = logins,
        /// Logins with a wrong account, password or ticket.
        failed_logins = failed_logins + failed_tickets,
        /// Packets of UDP echo answered.
        udp_answered = udp_answered,
        /// Packets of UDP echo without an answer: they ask for nothing that is given.
        udp_ignored = udp_ignored,
        /// Packets of UDP echo without an answer because of the limits of their rate.
        udp_limited = udp_limited,
        /// Calls to clients that asked for one.
        calls = calls,
        /// Requests for a call refused: for their form, their sender or a limit.
        refused_calls = refused_calls,
    }
}

/// A metric with its samples.
#[derive(Debug)]
pub(super) struct Family {
    /// The name, without prefix and unit.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// The label that tells the samples apart, unless there is only one.
    pub(super) label: Option<&'static str>,
    /// By the value of the label.
    pub(super) samples: Vec<(&'static str, u64)>,
}

/// The sessions that are open, by service.
#[derive(Debug, Default)]
pub(super) struct OpenSessions {
    pub(super) notification: AtomicU64,
    pub(super) gateway: AtomicU64,
    pub(super) dispatch: AtomicU64,
}

impl OpenSessions {
    /// Them as a metric.
    pub(super) fn family(&self) -> Family {
        let Self {
            notification,
            gateway,
            dispatch,
        } = self;
        let read = |gauge: &AtomicU64| gauge.load(Ordering::Relaxed);
        Family {
            name: "sessions",
            help: "Sessions that are open, signed in or not.",
            label: Some("service"),
            samples: vec![
                ("notification", read(notification)),
                ("gateway", read(gateway)),
                ("dispatch", read(dispatch)),
            ],
        }
    }
}

/// How long things took.
#[derive(Debug)]
pub(super) struct Durations {
    pub(super) login: Histogram,
    pub(super) tls_handshake: Histogram,
    pub(super) session: Histogram,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            login: Histogram::new(&SHORT),
            tls_handshake: Histogram::new(&SHORT),
            session: Histogram::new(&LONG),
        }
    }
}

impl Durations {
    /// Each with its name and what it is.
    pub(super) const fn all(&self) -> [(&'static str, &'static str, &Histogram); 3] {
        let Self {
            login,
            tls_handshake,
            session,
        } = self;
        [
            (
                "login_duration",
                "Time from accepting the connection, or opening the gateway session, to signed in.",
                login,
            ),
            (
                "tls_handshake_duration",
                "Time of the TLS handshakes of Passport that succeeded.",
                tls_handshake,
            ),
            (
                "session_duration",
                "Time from accepting the connection, or opening the gateway session, to its end.",
                session,
            ),
        ]
    }
}

impl Stats {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// One line of text.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            accepted,
            logins,
            failed_logins,
            timeouts,
            protocol_errors,
            ..
        } = self;
        let refused = self.refused_total
            + self.refused_per_address
            + self.refused_headers
            + self.refused_logins;
        write!(
            f,
            "connections: {accepted}, logins: {logins}, logins refused: {failed_logins}, turned \
             away: {refused}, timed out: {timeouts}, protocol errors: {protocol_errors}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_one_line() {
        let stats = Stats::default();
        Stats::count(&stats.accepted_gateway);
        let line = stats.counts().to_string();
        assert!(line.starts_with("connections: 1, logins: 0, "), "{line}");
        assert!(!line.contains('\n'));
    }
}
