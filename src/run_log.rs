//! What happened during a run, in order: kept outside the work, so that a deadline or a signal
//! that ends the work cannot take it away.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::address::Address;
use crate::conntype::{PathKind, Proxy};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::msnp::Dialect;

/// Called again and again with what is being waited for and how long the run has taken.
pub type Progress = Box<dyn Fn(&str, Duration) + Send + Sync>;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The notification or dispatch server; its session may run over the gateway's connection.
    Notification,
    /// The Passport nexus.
    Nexus,
    /// The Passport login server.
    Login,
    /// The HTTP gateway.
    Gateway,
    /// The tests of UDP echo.
    UdpEcho,
    /// The tests with STUN servers.
    Stun,
    /// The gateway, asked about its mappings of ports.
    PortMapping,
    /// The server that calls back.
    CallBack,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Notification => "notification",
            Self::Nexus => "nexus",
            Self::Login => "login",
            Self::Gateway => "gateway",
            Self::UdpEcho => "udp-echo",
            Self::Stun => "stun",
            Self::PortMapping => "port-mapping",
            Self::CallBack => "call-back",
        })
    }
}

impl Purpose {
    /// The stage of the run that a step on this connection belongs to.
    #[must_use]
    pub const fn stage(self, step: Stage) -> Stage {
        match (self, step) {
            (Self::Notification, step) => step,
            (Self::UdpEcho, _) => Stage::UdpEcho,
            (Self::Stun, _) => Stage::Stun,
            (Self::PortMapping, _) => Stage::PortMapping,
            (Self::CallBack, _) => Stage::CallBack,
            // A proxy that cannot be reached is the same for every connection.
            (_, Stage::Proxy) => Stage::Proxy,
            (Self::Nexus, _) => Stage::Nexus,
            (Self::Login, _) => Stage::Login,
            (Self::Gateway, _) => Stage::Gateway,
        }
    }
}

/// The two ends of a connection, and what lies between them.
#[derive(Clone, Debug)]
pub struct Ends {
    /// The local end.
    pub local: SocketAddr,
    /// The end that packets go to: the server's, or the first proxy's or gateway's.
    pub peer: SocketAddr,
    /// The kind of path.
    pub path: PathKind,
    /// The proxy, where there is one.
    pub proxy: Option<Proxy>,
}

/// One event.
#[derive(Clone, Debug)]
pub enum Event {
    /// A login to this server begins; what follows belongs to it.
    LoginBegan(Address),
    /// A step begins. Steps of one connection do not overlap.
    Began {
        /// The connection it belongs to.
        purpose: Purpose,
        /// The kind of step.
        step: Stage,
        /// What is waited for, with its address.
        what: String,
    },
    /// The step that began with the entry of this index has ended.
    Ended(usize),
    /// The connection that carries the login, or the one below it, is established.
    Connected(Ends),
    /// The HTTP gateway in use, by its address or, behind a proxy, its name.
    Gateway(Address),
    /// The gateway is told the host alone: the port of this server is not sent.
    PortNotSent(Address),
    /// A server referred to this one.
    Referred(Address),
    /// The dialect agreed on.
    Agreed(Dialect),
    /// The account and the password are about to be sent.
    CredentialsSent {
        /// The Passport server.
        to: Address,
        /// Whether the server, an option or a preset names that host.
        named: bool,
    },
    /// The notification server accepted the ticket.
    SignedIn,
}

/// An event and its time.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When it happened.
    pub at: Instant,
    /// What happened.
    pub event: Event,
}

/// The log of one run, which has one login or several.
pub struct RunLog {
    started: Instant,
    progress: Option<Progress>,
    entries: Mutex<Vec<Entry>>,
}

/// A step that is under way; it ends when this is dropped.
#[must_use]
pub struct OpenStep<'a> {
    log: &'a RunLog,
    index: usize,
}

impl Drop for OpenStep<'_> {
    fn drop(&mut self) {
        self.log.note(Event::Ended(self.index));
    }
}

impl RunLog {
    /// A log that starts now. `progress` is told what is being waited for.
    #[must_use]
    pub fn new(progress: Option<Progress>) -> Self {
        Self {
            started: Instant::now(),
            progress,
            entries: Mutex::default(),
        }
    }

    /// When the log was started.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// A copy of everything noted so far.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    /// Notes an event.
    pub fn note(&self, event: Event) {
        let at = Instant::now();
        self.lock().push(Entry { at, event });
    }

    /// Begins a step; `what` names what is waited for, with its address.
    pub fn begin(&self, purpose: Purpose, step: Stage, what: impl Into<String>) -> OpenStep<'_> {
        let what = what.into();
        tracing::info!(stage = step.to_string(), "waiting for {what}");
        let mut entries = self.lock();
        entries.push(Entry {
            at: Instant::now(),
            event: Event::Began {
                purpose,
                step,
                what,
            },
        });
        OpenStep {
            log: self,
            index: entries.len() - 1,
        }
    }

    /// Whether progress is reported.
    #[must_use]
    pub const fn has_progress(&self) -> bool {
        self.progress.is_some()
    }

    /// Reports what is being waited for.
    pub fn report_progress(&self) {
        if let Some(progress) = &self.progress {
            progress(&self.waiting_for().1, self.started.elapsed());
        }
    }

    /// The failure of a run that a signal ended.
    #[must_use]
    pub fn interrupted(&self, signal: ErrorCode) -> Failure {
        let (stage, what) = self.waiting_for();
        Failure::new(
            stage,
            signal,
            format!("interrupted while waiting for {what}"),
        )
    }

    /// The failure of a run whose time is up.
    #[must_use]
    pub fn timed_out(&self) -> Failure {
        let (stage, what) = self.waiting_for();
        let seconds = self.started.elapsed().as_secs_f64();
        Failure::new(
            stage,
            ErrorCode::Timeout,
            format!("no answer within {seconds:.1} s while waiting for {what}"),
        )
    }

    /// What is being waited for right now, and the stage it belongs to.
    fn waiting_for(&self) -> (Stage, String) {
        let entries = self.lock();
        let mut open = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate() {
            match &entry.event {
                Event::Began {
                    purpose,
                    step,
                    what,
                } => drop(open.insert(index, (*purpose, *step, what))),
                Event::Ended(began) => drop(open.remove(began)),
                _ => {}
            }
        }
        // Where several servers are waited for, the notification server is named.
        let is_passport = |purpose| matches!(purpose, Purpose::Nexus | Purpose::Login);
        let is_beside = |purpose| !matches!(purpose, Purpose::Notification | Purpose::Gateway);
        let mut latest_first = open.values().rev();
        let waiting = latest_first
            .clone()
            .find(|(purpose, ..)| !is_beside(*purpose))
            .or_else(|| {
                latest_first
                    .clone()
                    .find(|(purpose, ..)| is_passport(*purpose))
            })
            .or_else(|| latest_first.next());
        if let Some((purpose, step, what)) = waiting {
            return (purpose.stage(*step), (*what).clone());
        }
        let server = entries.iter().rev().find_map(|entry| match &entry.event {
            Event::LoginBegan(server) => Some(server.to_string()),
            _ => None,
        });
        let server = server.unwrap_or_else(|| "the server".to_owned());
        (Stage::Connect, format!("the login at {server}"))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_may_be_shared_between_threads() {
        const fn is_shared<T: Send + Sync>() {}
        is_shared::<RunLog>();
    }

    #[tokio::test(start_paused = true)]
    async fn the_notification_server_is_named_before_passport() {
        let log = RunLog::new(None);
        assert_eq!(log.timed_out().stage, Stage::Connect);
        let negotiate = log.begin(Purpose::Notification, Stage::Negotiate, "an answer");
        let nexus = log.begin(Purpose::Nexus, Stage::Tls, "the nexus");
        assert_eq!(log.timed_out().stage, Stage::Negotiate);
        drop(negotiate);
        assert_eq!(log.timed_out().stage, Stage::Nexus);
        assert!(log.timed_out().message.ends_with("the nexus"));
        drop(nexus);
        let gateway = log.begin(Purpose::Gateway, Stage::Request, "the gateway");
        let code = ErrorCode::Terminated;
        assert_eq!(log.interrupted(code).stage, Stage::Gateway);
        drop(gateway);
    }
}
