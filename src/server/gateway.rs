//! The HTTP gateway: the same sessions, carried by requests and answers.
//!
//! A session is at home in the table, or out with the one request that works on it; a second
//! request meanwhile is refused, as Microsoft's gateway did. Its id changes with each answer.
//! Sources: hypothetic.org, general/http_connections and general/http_examples.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use super::conversation::Conversation;
use super::http::{Method, Request, Response};
use super::limits::{Permit, Stats};
use super::passport;
use super::registry::Place;
use super::session::{Role, Why};
use super::shared::Shared;
use super::web::Web;
use crate::conntype::normalise;
use crate::msnp::percent_decode;

/// The one page there is.
pub(super) const PAGE: &str = "/gateway/gateway.dll";

/// How long a session lives without a request; clients poll every two to five seconds.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// How long a poll may wait, if its client wants it to wait at all: longer would hold up what
/// the client wants to say, since it may only ask one thing at a time.
const POLL_TIME: Duration = Duration::from_secs(2);

/// How often the dead are looked for.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// The sessions behind the gateway.
#[derive(Debug, Default)]
pub(super) struct Gateway {
    visits: Mutex<HashMap<u64, Slot>>,
}

#[derive(Debug)]
enum Slot {
    Home(Box<Visit>),
    /// A request works on it.
    Out,
}

/// One session.
#[derive(Debug)]
struct Visit {
    talk: Conversation,
    place: Option<Place>,
    /// The second half of the id, which the next request must know.
    nonce: u64,
    /// The address that opened it; an id is good from there only.
    owner: IpAddr,
    opened: Instant,
    used: Instant,
    /// It counts among the connections, though it is none.
    _permit: Permit,
}

/// What a request says about its session.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    id: Option<String>,
    is_poll: bool,
    /// How long an answer may take, seconds.
    lifespan: u64,
    /// What kind of server is wanted; `NS`, or nothing.
    server: Option<String>,
}

impl Query {
    /// Reads `Action=open&Server=NS&IP=…` and its like; keys in any case, the first counts.
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

/// A session on its way. Whatever becomes of the request, the slot is not left behind.
struct Out<'a> {
    gateway: &'a Gateway,
    serial: u64,
    visit: Option<Box<Visit>>,
}

impl Drop for Out<'_> {
    fn drop(&mut self) {
        let mut visits = self.gateway.lock();
        match self.visit.take() {
            Some(visit) => drop(visits.insert(self.serial, Slot::Home(visit))),
            None => drop(visits.remove(&self.serial)),
        }
    }
}

impl Gateway {
    /// Answers a request.
    pub(super) async fn answer(
        &self,
        request: &Request,
        web: &Web,
        closing: watch::Receiver<bool>,
    ) -> Response {
        if !request.path.eq_ignore_ascii_case(PAGE) {
            return Response::empty("404 Not Found");
        }
        if request.method != Method::Post {
            let mut response = Response::empty("405 Method Not Allowed");
            response.headers.push_str("Allow: POST\r\n");
            return response;
        }
        let query = Query::parse(&request.query);
        let found = match &query.id {
            Some(id) => self.fetch(id, web),
            None if query.is_poll => Err("400 Bad Request"),
            None => self.open(&query, web),
        };
        match found {
            Ok(out) => out.work(request, &query, web, closing).await,
            Err(status) => Response::empty(status),
        }
    }

    /// Takes a session out of the table.
    fn fetch(&self, id: &str, web: &Web) -> Result<Out<'_>, &'static str> {
        const UNKNOWN: &str = "400 Bad Request";
        let (serial, nonce) = id.split_once('.').ok_or(UNKNOWN)?;
        let (Ok(serial), Ok(nonce)) = (serial.parse(), nonce.parse::<u64>()) else {
            return Err(UNKNOWN);
        };
        let mut visits = self.lock();
        let slot = visits.get_mut(&serial).ok_or(UNKNOWN)?;
        let visit = match std::mem::replace(slot, Slot::Out) {
            Slot::Home(visit)
                if visit.nonce == nonce && visit.owner == normalise(web.peer.ip()) =>
            {
                visit
            }
            // Out with another request, or somebody guesses: as it was.
            other => {
                *slot = other;
                return Err(UNKNOWN);
            }
        };
        drop(visits);
        let mut out = Out {
            gateway: self,
            serial,
            visit: Some(visit),
        };
        if out
            .visit
            .as_ref()
            .is_some_and(|visit| visit.is_dead(&web.shared))
        {
            out.visit = None;
            Stats::count(&web.shared.stats.timeouts);
            return Err(UNKNOWN);
        }
        Ok(out)
    }

    /// Begins a session; it is out at once.
    fn open(&self, query: &Query, web: &Web) -> Result<Out<'_>, &'static str> {
        let shared = &web.shared;
        // Switchboards are another kind of server, and none is here.
        if query
            .server
            .as_ref()
            .is_some_and(|kind| !kind.eq_ignore_ascii_case("NS"))
        {
            return Err("400 Bad Request");
        }
        let permit = shared.admit(web.peer).map_err(|full| {
            debug!(peer = %web.peer, ?full, "no gateway session");
            "503 Service Unavailable"
        })?;
        const NO_ID: &str = "503 Service Unavailable";
        let (serial, nonce) = shared.nonce().map(halves).ok_or(NO_ID)?;
        let talk = Conversation::new(Role::Gateway, shared.nonce().ok_or(NO_ID)?);
        Stats::count(&shared.stats.gateway_sessions);
        let now = Instant::now();
        let visit = Visit {
            talk,
            owner: normalise(web.peer.ip()),
            place: None,
            nonce,
            opened: now,
            used: now,
            _permit: permit,
        };
        self.lock().insert(serial, Slot::Out);
        Ok(Out {
            gateway: self,
            serial,
            visit: Some(Box::new(visit)),
        })
    }

    /// Ends the sessions that nobody asks for any more.
    pub(super) fn sweep(&self, shared: &Shared) {
        let mut dead = Vec::new();
        let mut visits = self.lock();
        visits.retain(|_, slot| match slot {
            Slot::Home(visit) if visit.is_dead(shared) => {
                dead.push(std::mem::replace(slot, Slot::Out));
                false
            }
            _ => true,
        });
        drop(visits);
        // They go here, without this lock: their places have one of their own.
        for _ in dead {
            Stats::count(&shared.stats.timeouts);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Slot>> {
        // Nothing is half done when a holder of this lock panics.
        self.visits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit {
    fn is_dead(&self, shared: &Shared) -> bool {
        let is_late = self.place.is_none() && self.opened.elapsed() > shared.limits.login_timeout;
        is_late || self.used.elapsed() > IDLE_TIME
    }
}

impl Out<'_> {
    /// Hands the session what the request brought, and answers with what it has to say.
    async fn work(
        mut self,
        request: &Request,
        query: &Query,
        web: &Web,
        mut closing: watch::Receiver<bool>,
    ) -> Response {
        let shared = &web.shared;
        let Some(visit) = &mut self.visit else {
            return Response::empty("400 Bad Request");
        };
        let mut body = Vec::new();
        // For as long as it is signed in here only. What was missed is heard now.
        let mut end = visit.evicted().then_some("OUT OTH\r\n");
        if end.is_none() {
            let moment = shared.moment(web.peer);
            let taken = visit
                .talk
                .take(&request.body, &shared.desk, &moment, &mut body);
            if taken.signed_in
                && let Some(account) = visit.talk.signed_in()
            {
                info!(peer = %web.peer, account, "signed in through the gateway");
                visit.place = Some(shared.sign_in(account));
            }
            if let Some(why) = taken.end {
                shared.count_end(why, web.peer, visit.talk.account());
                if why == Why::Ping {
                    self.visit = None;
                    return Response::empty("400 Bad Request");
                }
                end = Some("");
            }
        }
        // Before the login there is nothing that could come by itself, and much to be said soon.
        let may_wait = query.is_poll && query.lifespan > 0 && visit.place.is_some();
        if end.is_none() && body.is_empty() && may_wait {
            let patience = POLL_TIME.min(Duration::from_secs(query.lifespan));
            tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => {}
                () = Place::lost(&mut visit.place) => end = Some("OUT OTH\r\n"),
                () = sleep(patience) => {}
            }
        }
        if end.is_none() && *closing.borrow() {
            end = Some(if visit.place.is_some() {
                "OUT SSD\r\n"
            } else {
                ""
            });
        }
        let close = match end {
            Some(words) => {
                body.extend_from_slice(words.as_bytes());
                "; Session=close"
            }
            None => "",
        };
        if !shared.gateway_keeps_id {
            let Some(nonce) = shared.nonce() else {
                self.visit = None;
                return Response::empty("503 Service Unavailable");
            };
            visit.nonce = halves(nonce).1;
        }
        visit.used = Instant::now();
        let host = request.host.as_deref();
        let headers = format!(
            "X-MSN-Messenger: SessionID={}.{}; GW-IP={}{close}\r\n\
             Content-Type: application/x-msn-messenger\r\n",
            self.serial,
            visit.nonce,
            passport::site(shared.gateway_host.as_ref(), host, web.local, 80),
        );
        if end.is_some() {
            self.visit = None;
        }
        Response {
            status: "200 OK",
            headers,
            body,
        }
    }
}

impl Visit {
    fn evicted(&mut self) -> bool {
        self.place
            .as_mut()
            .is_some_and(|place| place.evicted.try_recv().is_ok())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves of a random number"
)]
const fn halves(nonce: u128) -> (u64, u64) {
    ((nonce >> 64) as u64, nonce as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_read_in_every_form() {
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
        fn any_query_does_no_harm(text in ".*") {
            let _ = Query::parse(&text);
        }
    }
}
