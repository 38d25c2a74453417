//! Counters.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// The log target of the counters at the end of a run.
pub(crate) const SUMMARY_TARGET: &str = "msnp9_conntype::summary";

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of a running server.
        #[derive(Debug, Default)]
        pub struct Stats {
            $($(#[$doc])* pub(super) $name: AtomicU64,)*
        }

        /// A snapshot of [`Stats`].
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counts {
            /// Logs the counters as fields of one event.
            pub(crate) fn log(&self) {
                tracing::info!($($name = self.$name,)* "counters");
            }

            /// Logs the counters as fields of the last event of a run.
            pub(crate) fn log_summary(&self) {
                tracing::info!(target: SUMMARY_TARGET, $($name = self.$name,)* "stopped");
            }
        }

        impl Stats {
            /// A snapshot of all counters.
            #[must_use]
            pub fn counts(&self) -> Counts {
                Counts {
                    $($name: self.$name.load(Ordering::Relaxed),)*
                }
            }
        }
    };
}

stats! {
    /// Connections accepted.
    accepted,
    /// Connections and gateway sessions refused because of the total limit.
    refused_total,
    /// Connections and gateway sessions refused because of the limit per address.
    refused_per_address,
    /// Connections refused for their PROXY header: none, one that is invalid, or one from an
    /// address that is not a balancer's.
    refused_headers,
    /// Logins rejected by the throttle, without checking their password or ticket.
    refused_logins,
    /// Failures to accept a connection, for example for lack of file descriptors.
    accept_errors,
    /// Tickets issued.
    tickets,
    /// Sessions signed in.
    logins,
    /// Logins with a wrong account, password or ticket.
    failed_logins,
    /// Sessions ended because their account signed in elsewhere.
    evictions,
    /// Clients referred to the notification server by the dispatch server.
    referrals,
    /// HTTP requests answered, including those to the gateway.
    http_requests,
    /// Sessions opened through the gateway.
    gateway_sessions,
    /// Packets of UDP echo answered.
    udp_answered,
    /// Packets of UDP echo without an answer: they ask for nothing that is given.
    udp_ignored,
    /// Packets of UDP echo without an answer because of the limits of their rate.
    udp_limited,
    /// Calls to clients that asked for one.
    calls,
    /// Requests for a call refused: for their form, their sender or a limit.
    refused_calls,
    /// Connections and sessions ended for invalid input.
    protocol_errors,
    /// Connections and sessions ended because the client did not send or read in time.
    timeouts,
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
        Stats::count(&stats.accepted);
        let line = stats.counts().to_string();
        assert!(line.starts_with("connections: 1, logins: 0, "), "{line}");
        assert!(!line.contains('\n'));
    }
}
