//! The HTTP gateway: sessions carried by requests and responses.
//!
//! A second request for a session that is being processed is rejected, and the session id changes
//! with each response, as with Microsoft's gateway.
//! Sources: hypothetic.org, general/http_connections and general/http_examples.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::message::{BAD_REQUEST, Method, Request, Response};
use super::site::own_authority;
use crate::conntype::normalise;
use crate::msnp::percent_decode;
use crate::server::limits::Permit;
use crate::server::open_session::OpenSession;
use crate::server::session::{EndReason, LOGIN_TIME, Role, SessionDriver};
use crate::server::state::{ConnectionInfo, ServerState};
use crate::server::stats::Stats;
use crate::server::sync::{lock, stopped};
use crate::server::ticket::random;

/// The path of the gateway.
pub(crate) const PAGE: &str = "/gateway/gateway.dll";

/// How long a session lives without a request; clients poll every two to five seconds.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// How long a poll that may wait does wait: the client cannot send anything meanwhile.
const POLL_TIME: Duration = Duration::from_secs(2);

/// How often expired sessions are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// The status for an unknown session, and for one that is being processed.
const UNKNOWN_SESSION: &str = BAD_REQUEST;
const UNAVAILABLE: &str = "503 Service Unavailable";

/// The sessions behind the gateway by the first half of their id. A locked session is being
/// processed.
#[derive(Debug, Default)]
pub(crate) struct Gateway {
    sessions: Mutex<HashMap<u64, Arc<tokio::sync::Mutex<GatewaySession>>>>,
}

/// A session whose request is being processed.
type Locked = OwnedMutexGuard<GatewaySession>;

/// A session behind the gateway.
#[derive(Debug)]
struct GatewaySession {
    id: u64,
    driver: SessionDriver,
    /// The second half of the id, which the next request must state.
    nonce: u64,
    /// The address that opened the session; requests from others are rejected.
    owner: IpAddr,
    open: OpenSession,
    last_used: Instant,
    /// It counts as a connection.
    _permit: Permit,
}

/// The parameters of a request.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    id: Option<String>,
    is_poll: bool,
    /// How long the response may take, seconds.
    lifespan: u64,
    /// The requested kind of server: `NS`, or none given.
    server: Option<String>,
}

impl Query {
    /// Parses a query such as `Action=open&Server=NS&IP=…`. Keys ignore case; the first one counts.
    fn parse(text: &str) -> Self {
        let mut query = Self::default();
        for (key, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = percent_decode(value);
            match &*key.to_ascii_lowercase() {
                "action" => query.is_poll |= value.eq_ignore_ascii_case("poll"),
                "sessionid" => drop(query.id.get_or_insert_with(|| value.into_owned())),
                "server" => drop(query.server.get_or_insert_with(|| value.into_owned())),
                "lifespan" => query.lifespan = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        query
    }
}

impl Gateway {
    /// Answers a request.
    pub(super) async fn answer(
        &self,
        request: &Request,
        info: &ConnectionInfo,
        closing: &mut watch::Receiver<bool>,
    ) -> Response {
        if !request.path.eq_ignore_ascii_case(PAGE) {
            return Response::new("404 Not Found");
        }
        if request.method != Method::Post {
            return Response::new("405 Method Not Allowed").with_header("Allow", "POST");
        }
        let query = Query::parse(&request.query);
        let found = match &query.id {
            Some(id) => self.find(id, info),
            None => self.open(&query, info),
        };
        let mut session = match found {
            Ok(session) => session,
            Err(status) => return Response::new(status),
        };
        let done = session.process(request, &query, info, closing).await;
        if !matches!(done, Ok((_, false))) {
            lock(&self.sessions).remove(&session.id);
        }
        done.map_or_else(Response::new, |(response, _)| response)
    }

    /// The session with this id, locked.
    fn find(&self, id: &str, info: &ConnectionInfo) -> Result<Locked, &'static str> {
        let (id, nonce) = id.split_once('.').ok_or(UNKNOWN_SESSION)?;
        let id = id.parse().map_err(|_| UNKNOWN_SESSION)?;
        let mut sessions = lock(&self.sessions);
        let session = sessions.get(&id).ok_or(UNKNOWN_SESSION)?;
        let session = Arc::clone(session)
            .try_lock_owned()
            .map_err(|_| UNKNOWN_SESSION)?;
        if nonce.parse() != Ok(session.nonce) || session.owner != normalise(info.peer.ip()) {
            return Err(UNKNOWN_SESSION);
        }
        if session.is_expired() {
            sessions.remove(&id);
            Stats::count(&info.state.stats.timeouts);
            return Err(UNKNOWN_SESSION);
        }
        Ok(session)
    }

    /// Opens a session and locks it.
    fn open(&self, query: &Query, info: &ConnectionInfo) -> Result<Locked, &'static str> {
        let state = &info.state;
        // There is no switchboard server (`SB`).
        let is_ns = |kind: &String| kind.eq_ignore_ascii_case("NS");
        if query.is_poll || !query.server.as_ref().is_none_or(is_ns) {
            return Err(BAD_REQUEST);
        }
        let permit = state.admit(info.peer).map_err(|limit| {
            debug!(peer = %info.peer, reason = %limit, "gateway session refused");
            UNAVAILABLE
        })?;
        let id = random().map(u64::from_be_bytes).ok_or(UNAVAILABLE)?;
        let nonce = random().map(u64::from_be_bytes).ok_or(UNAVAILABLE)?;
        let seed = random().map(u128::from_be_bytes).ok_or(UNAVAILABLE)?;
        let driver = SessionDriver::new(Role::Gateway, seed);
        let now = Instant::now();
        Stats::count(&state.stats.gateway_sessions);
        let session = Arc::new(tokio::sync::Mutex::new(GatewaySession {
            id,
            driver,
            nonce,
            owner: normalise(info.peer.ip()),
            open: OpenSession::new(Role::Gateway, &state.stats, now),
            last_used: now,
            _permit: permit,
        }));
        // Locked before others can find it.
        let locked = Arc::clone(&session).try_lock_owned();
        lock(&self.sessions).insert(id, session);
        locked.map_err(|_| UNAVAILABLE)
    }

    /// Removes expired sessions until the server stops.
    pub(crate) async fn keep_swept(
        self: Arc<Self>,
        state: Arc<ServerState>,
        mut closing: watch::Receiver<bool>,
    ) {
        let mut stopped = pin!(stopped(&mut closing));
        while timeout(SWEEP_INTERVAL, &mut stopped).await.is_err() {
            self.sweep(&state);
        }
    }

    fn sweep(&self, state: &ServerState) {
        lock(&self.sessions).retain(|_, session| {
            let is_expired = session.try_lock().is_ok_and(|session| session.is_expired());
            if is_expired {
                Stats::count(&state.stats.timeouts);
            }
            !is_expired
        });
    }
}

impl GatewaySession {
    fn is_expired(&self) -> bool {
        let is_late = !self.driver.is_signed_in() && self.open.age() > LOGIN_TIME;
        is_late || self.last_used.elapsed() > IDLE_TIME
    }

    /// Passes the input of a request to the session. Returns the response, and whether the session
    /// has ended; the error is the status of a session that fails.
    async fn process(
        &mut self,
        request: &Request,
        query: &Query,
        info: &ConnectionInfo,
        closing: &mut watch::Receiver<bool>,
    ) -> Result<(Response, bool), &'static str> {
        let mut body = Vec::new();
        let mut last_words = self.driver.is_evicted().then_some("OUT OTH\r\n");
        if last_words.is_none() {
            let context = info.context(Instant::now());
            let processed = self.driver.receive(&request.body, &context, &mut body);
            if processed.has_signed_in {
                self.open.record_login(context.instant);
            }
            match processed.end {
                Some(EndReason::GatewayPing) => return Err(BAD_REQUEST),
                Some(_) => last_words = Some(""),
                None => {}
            }
        }
        // Before the login the server sends nothing unasked, and the client has more to send.
        let may_wait = query.is_poll && query.lifespan > 0 && self.driver.is_signed_in();
        if last_words.is_none() && body.is_empty() && may_wait {
            tokio::select! {
                biased;
                () = stopped(closing) => {}
                () = poll_fn(|cx| self.driver.poll_evicted(cx)) => last_words = Some("OUT OTH\r\n"),
                () = sleep(POLL_TIME.min(Duration::from_secs(query.lifespan))) => {}
            }
        }
        if last_words.is_none() && *closing.borrow() {
            let is_signed_in = self.driver.is_signed_in();
            last_words = Some(if is_signed_in { "OUT SSD\r\n" } else { "" });
        }
        body.extend_from_slice(last_words.unwrap_or_default().as_bytes());
        self.nonce = random().map(u64::from_be_bytes).ok_or(UNAVAILABLE)?;
        self.last_used = Instant::now();
        let session = format!(
            "SessionID={}.{}; GW-IP={}{}",
            self.id,
            self.nonce,
            own_authority(None, request.host.as_deref(), info.local, 80),
            last_words.map_or("", |_| "; Session=close")
        );
        let response = Response::new("200 OK")
            .with_header("X-MSN-Messenger", &session)
            .with_header("Content-Type", "application/x-msn-messenger");
        Ok((Response { body, ..response }, last_words.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_parsed_in_every_form() {
        let open = Query::parse("Action=open&Server=NS&IP=messenger.hotmail.com");
        assert_eq!(open.server.as_deref(), Some("NS"));
        assert!(open.id.is_none() && !open.is_poll);
        let poll = Query::parse("action=poll&SESSIONID=1.2&Lifespan=3&SessionID=9");
        assert_eq!(poll.id.as_deref(), Some("1.2"));
        assert_eq!((poll.is_poll, poll.lifespan), (true, 3));
        assert_eq!(Query::parse("SessionID=1%2E2").id.as_deref(), Some("1.2"));
        assert_eq!(Query::parse("&&=&x&Lifespan=-1"), Query::default());
    }

    proptest::proptest! {
        #[test]
        fn any_query_is_handled(text in ".*") {
            let _ = Query::parse(&text);
        }
    }
}
