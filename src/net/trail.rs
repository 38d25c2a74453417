//! What happened so far: kept outside the run, so that a deadline cannot take it away.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::Plan;
use crate::address::Address;
use crate::conntype::{PathKind, Proxy, Warning};
use crate::failure::{Class, Failure, Stage};
use crate::msnp::Dialect;
use crate::report::{Context, Server, Timing};

/// Is told every second what is being waited for, and how long the run has taken.
pub type Progress = Box<dyn Fn(&str, Duration)>;

/// The trail of one run.
pub struct Trail {
    started: Instant,
    progress: Option<Progress>,
    spans: RefCell<Vec<Span>>,
    warnings: RefCell<Vec<Warning>>,
    referrals: RefCell<Vec<Address>>,
    credentials_to: RefCell<Vec<Address>>,
    dialect: Cell<Option<Dialect>>,
    local: Cell<Option<SocketAddr>>,
    peer: Cell<Option<SocketAddr>>,
    path: Cell<PathKind>,
    proxy: RefCell<Option<Proxy>>,
    gateway: RefCell<Option<String>>,
}

/// A stage's time.
struct Span {
    stage: Stage,
    what: String,
    start: Instant,
    end: Option<Instant>,
}

/// Ends its stage when it goes.
pub(super) struct Open<'a> {
    trail: &'a Trail,
    index: usize,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(span) = self.trail.spans.borrow_mut().get_mut(self.index) {
            span.end = Some(Instant::now());
        }
    }
}

impl Trail {
    /// A trail that begins now. `progress` is told what is waited for.
    #[must_use]
    pub fn new(progress: Option<Progress>) -> Self {
        Self {
            started: Instant::now(),
            progress,
            spans: RefCell::default(),
            warnings: RefCell::default(),
            referrals: RefCell::default(),
            credentials_to: RefCell::default(),
            dialect: Cell::default(),
            local: Cell::default(),
            peer: Cell::default(),
            path: Cell::default(),
            proxy: RefCell::default(),
            gateway: RefCell::default(),
        }
    }

    /// A stage begins; `what` says what is waited for, with its address.
    pub(super) fn enter(&self, stage: Stage, what: impl Into<String>) -> Open<'_> {
        let what = what.into();
        tracing::debug!(stage = stage.as_str(), "{what}");
        let mut spans = self.spans.borrow_mut();
        spans.push(Span {
            stage,
            what,
            start: Instant::now(),
            end: None,
        });
        Open {
            trail: self,
            index: spans.len() - 1,
        }
    }

    pub(super) fn referred_to(&self, to: &Address) {
        self.referrals.borrow_mut().push(to.clone());
    }

    pub(super) fn agreed_on(&self, dialect: Option<Dialect>) {
        self.dialect.set(dialect);
    }

    /// The account and the password are about to go to this server.
    pub(super) fn credentials_to(&self, to: &Address, plan: &Plan) {
        let mut sent = self.credentials_to.borrow_mut();
        if sent.contains(to) {
            return;
        }
        sent.push(to.clone());
        let is_known = plan
            .credential_hosts
            .iter()
            .any(|host| host.eq_ignore_ascii_case(&to.host));
        if !is_known {
            self.warn(Warning::CredentialsElsewhere(to.to_string()));
        }
    }

    pub(super) fn warn(&self, warning: Warning) {
        let mut warnings = self.warnings.borrow_mut();
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    pub(super) fn connected(
        &self,
        local: SocketAddr,
        peer: SocketAddr,
        path: PathKind,
        proxy: Option<&Proxy>,
    ) {
        self.local.set(Some(local));
        self.peer.set(Some(peer));
        self.path.set(path);
        *self.proxy.borrow_mut() = proxy.cloned();
    }

    /// What the run waits for right now, and in which stage.
    fn waiting(&self) -> (Stage, String) {
        let spans = self.spans.borrow();
        // Of two servers that are both waited for, the notification server is the one in front.
        let passport = |span: &&Span| matches!(span.stage, Stage::Nexus | Stage::Login);
        let open = || spans.iter().rev().filter(|span| span.end.is_none());
        let waiting = open()
            .find(|span| !passport(span))
            .or_else(|| open().next());
        waiting.map_or_else(
            || (Stage::Connect, "the first connection".to_owned()),
            |span| (span.stage, span.what.clone()),
        )
    }

    /// Whether somebody wants to be told what is waited for.
    pub(super) const fn is_watched(&self) -> bool {
        self.progress.is_some()
    }

    /// Tells what is waited for.
    pub(super) fn tell_progress(&self) {
        if let Some(progress) = &self.progress {
            progress(&self.waiting().1, self.started.elapsed());
        }
    }

    /// The HTTP gateway is there: its own end, or its name where a proxy knows the rest.
    pub(super) fn gateway_at(&self, at: String) {
        *self.gateway.borrow_mut() = Some(at);
    }

    /// The failure of a run that a signal ended.
    #[must_use]
    pub fn interrupted(&self, class: Class) -> Failure {
        let (stage, what) = self.waiting();
        Failure::interrupted(
            class,
            stage,
            format!("interrupted while waiting for {what}"),
        )
    }

    /// The failure of a run whose time is up.
    #[must_use]
    pub fn timed_out(&self) -> Failure {
        let (stage, what) = self.waiting();
        let seconds = self.started.elapsed().as_secs_f64();
        Failure::unreachable(
            stage,
            "timeout",
            format!("no answer within {seconds:.1} s while waiting for {what}"),
            match stage {
                Stage::Resolve | Stage::Connect | Stage::Nexus | Stage::Login => {
                    "check the address, and whether a firewall drops the port; --timeout gives \
                     it longer"
                }
                Stage::Proxy => {
                    "check the proxy's address, scheme and port; --timeout gives it longer"
                }
                _ => "try again later, or give it longer with --timeout",
            },
        )
    }

    /// What the report needs to know besides the verdict.
    #[must_use]
    pub fn context(&self, requested: &Address) -> Context {
        let milliseconds = |from: Instant, to: Instant| {
            (to.saturating_duration_since(from).as_secs_f64() * 1e5).round() / 1e2
        };
        let now = Instant::now();
        Context {
            server: Some(Server {
                requested: requested.to_string(),
                // The far end of our connection is the server's only where nothing is between.
                address: self.peer.get().filter(|_| self.path.get().is_end_to_end()),
                referrals: self
                    .referrals
                    .borrow()
                    .iter()
                    .map(Address::to_string)
                    .collect(),
            }),
            dialect: self.dialect.get().map(|dialect| dialect.to_string()),
            path: self.path.get(),
            local: self.local.get(),
            proxy: self.proxy.borrow().clone(),
            gateway: self.gateway.borrow().clone(),
            timings: self
                .spans
                .borrow()
                .iter()
                .map(|span| Timing {
                    stage: span.stage.as_str(),
                    start: milliseconds(self.started, span.start),
                    took: milliseconds(span.start, span.end.unwrap_or(now)),
                })
                .collect(),
            warnings: self.warnings.borrow().clone(),
            credentials_to: self
                .credentials_to
                .borrow()
                .iter()
                .map(Address::to_string)
                .collect(),
            ..Context::default()
        }
    }
}
