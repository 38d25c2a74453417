//! Being called: this host opens ports and asks a server to call them, by TCP and UDP.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::exchange::{Numbers, local};
use crate::address::Address;
use crate::conntype::{Call, Calls, ListenEvidence, OpenedPorts, normalise};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::packet::call::{
    MAX_LINE, Refusal, Reply, Request, TcpOutcome, Token, UdpOutcome, called, is_called,
};
use crate::run_log::{Purpose, RunLog};
use crate::transport::{
    Dialer, Established, Listener, Proxies, Route, connect, describe, resolve_udp,
};

/// How long the server may take for its calls; it waits three seconds for an answer.
const CALLS: Duration = Duration::from_secs(6);

/// How long what was called may still be on its way when the server says that it is done.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

/// How long a server may be busy with an earlier call before it is asked again, and again.
const BUSY: [Duration; 4] = [Duration::from_millis(300); 4];

/// How long a caller may take to say what it has to say.
const SAYING: Duration = Duration::from_secs(1);

/// A pause after an error of a socket, which would otherwise be reported without end.
const PAUSE: Duration = Duration::from_millis(10);

/// The most callers that are heard at the same time.
const MOST_CALLERS: usize = 8;

/// Which server is to call, and where.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub server: Address,
    /// The port of this host to be called at, by TCP and UDP; 0 leaves both to the system.
    pub port: u16,
    /// The local address and the family; proxies are not used.
    pub route: Route,
}

/// Open ports, and the server that calls them.
pub(crate) struct Host<'a> {
    plan: Plan,
    pub(crate) listener: Listener,
    server: SocketAddr,
    log: &'a RunLog,
    until: Instant,
    /// One call at a time: the server makes no two for one client.
    turn: Mutex<()>,
}

/// Both ends of the connection that asks.
#[derive(Clone, Copy)]
struct Ends {
    local: SocketAddr,
    seen: SocketAddr,
}

/// Both ends, as soon as the server tells.
#[derive(Default)]
struct Seen {
    ends: Cell<Option<Ends>>,
    told: Notify,
}

/// How the server says that its calls went.
type Outcomes = (Option<TcpOutcome>, Option<UdpOutcome>);

impl<'a> Host<'a> {
    /// Finds the server and opens the ports.
    ///
    /// # Errors
    /// [`Failure`] where the server is not found, or a port is in use.
    pub(crate) async fn open(
        plan: &Plan,
        log: &'a RunLog,
        until: Instant,
    ) -> Result<Self, Failure> {
        let plan = Plan {
            route: Route {
                proxies: Proxies::default(),
                ..plan.route.clone()
            },
            ..plan.clone()
        };
        let server = resolve_udp(&plan.route, &plan.server, Purpose::CallBack, log);
        let server = timeout_at(until, server).await.map_err(|_| late(log))??;
        let ip = local(&plan.route, server);
        let listener = Listener::open(ip, plan.port).await.map_err(|error| {
            let why = format!("open port {} at {ip}: {}", plan.port, describe(&error));
            Failure::new(Stage::CallBack, ErrorCode::BindFailed, why)
        })?;
        Ok(Self {
            plan,
            listener,
            server,
            log,
            until,
            turn: Mutex::default(),
        })
    }

    /// Whether the server calls over IPv4.
    pub(crate) const fn is_ipv4(&self) -> bool {
        self.server.is_ipv4()
    }

    /// Has the ports of this host called.
    ///
    /// # Errors
    /// [`Failure`] where the server does not call, or the time is up.
    pub(crate) async fn own(&self) -> Result<ListenEvidence, Failure> {
        let (tcp, udp) = self.listener.ports().map_err(|error| {
            Failure::new(Stage::CallBack, ErrorCode::BindFailed, describe(&error))
        })?;
        let (ends, own) = self.called(tcp, udp).await?;
        Ok(ListenEvidence {
            server: self.server,
            local: ends.local,
            seen: ends.seen,
            own,
            mapped: None,
        })
    }

    /// Has the ports called that a router opened.
    ///
    /// # Errors
    /// As [`Self::own`].
    pub(crate) async fn mapped(&self, opened: OpenedPorts) -> Result<Calls, Failure> {
        Ok(self.called(opened.tcp, opened.udp).await?.1)
    }

    async fn called(&self, tcp: u16, udp: u16) -> Result<(Ends, Calls), Failure> {
        let calls = async {
            let _turn = self.turn.lock().await;
            let what = format!("calls of {}", self.plan.server);
            let _step = self.log.begin(Purpose::CallBack, Stage::CallBack, what);
            self.calls(tcp, udp).await
        };
        timeout_at(self.until, calls)
            .await
            .map_err(|_| late(self.log))?
    }

    async fn calls(&self, tcp: u16, udp: u16) -> Result<(Ends, Calls), Failure> {
        let token = Token(Numbers::new().at(0));
        let asked = Request::new(Some(tcp), Some(udp), token).map_err(|_| {
            let why = format!("ports below 1024 are not called: {tcp} for TCP, {udp} for UDP");
            Failure::new(Stage::CallBack, ErrorCode::CallRefused, why)
        })?;
        let arrived = Arrived::default();
        let seen = Seen::default();
        let mut arrivals = pin!(arrived.wait(&self.listener, token));
        let mut asking = pin!(self.ask(asked, &seen));
        let (tcp, udp) = tokio::select! {
            biased;
            // Then the server has no more to tell.
            () = async { (&mut arrivals).await; seen.told.notified().await } => (None, None),
            done = &mut asking => {
                let (tcp, udp) = done?;
                let is_due = (tcp == Some(TcpOutcome::Connected) && !arrived.tcp.get())
                    || (udp == Some(UdpOutcome::Sent) && !arrived.udp.get());
                if is_due {
                    let _ = timeout(ON_ITS_WAY, arrivals).await;
                }
                (tcp, udp)
            }
        };
        let ends = seen
            .ends
            .get()
            .ok_or_else(|| self.refused("it closes the connection"))?;
        let calls = Calls {
            tcp_port: asked.tcp().unwrap_or_default(),
            udp_port: asked.udp().unwrap_or_default(),
            tcp: match (arrived.tcp.get(), tcp) {
                (true, _) => Call::Arrived,
                (_, Some(TcpOutcome::Connected)) => Call::Elsewhere,
                (_, Some(TcpOutcome::Refused)) => Call::Refused,
                (_, Some(TcpOutcome::Timeout | TcpOutcome::Unreachable)) => Call::Lost,
                (_, Some(TcpOutcome::Failed) | None) => Call::Untested,
            },
            udp: match (arrived.udp.get(), udp) {
                (true, _) => Call::Arrived,
                (_, Some(UdpOutcome::Sent)) => Call::Lost,
                (_, Some(UdpOutcome::Failed) | None) => Call::Untested,
            },
        };
        Ok((ends, calls))
    }

    /// Asks the server, again where it is busy with an earlier call.
    async fn ask(&self, asked: Request, seen: &Seen) -> Result<Outcomes, Failure> {
        for wait in BUSY {
            match self.ask_once(asked, seen).await? {
                Err(Refusal::Busy) => sleep(wait).await,
                answer => return answer.map_err(|why| self.refused(refusal(why))),
            }
        }
        Err(self.refused(refusal(Refusal::Busy)))
    }

    /// Asks the server, and notes both ends of the connection as soon as it says what it sees.
    async fn ask_once(
        &self,
        asked: Request,
        seen: &Seen,
    ) -> Result<Result<Outcomes, Refusal>, Failure> {
        let dialer = Dialer {
            route: &self.plan.route,
            log: &RunLog::new(None),
        };
        let to = Address::from(self.server);
        let connected = timeout(CALLS, connect(&dialer, &to, Purpose::CallBack)).await;
        let Established { stream, ends } = connected.map_err(|_| late(self.log))??;
        let lost = |error: io::Error| {
            let why = format!("{}: {}", self.plan.server, describe(&error));
            Failure::new(Stage::CallBack, ErrorCode::ConnectionReset, why)
        };
        let mut stream = BufReader::with_capacity(MAX_LINE, stream);
        let line = format!("{asked}\r\n");
        stream.write_all(line.as_bytes()).await.map_err(lost)?;
        let mut is_seen = false;
        loop {
            let mut line = Vec::new();
            let mut bounded = (&mut stream).take(MAX_LINE as u64);
            let read = timeout(CALLS, bounded.read_until(b'\n', &mut line)).await;
            read.map_err(|_| late(self.log))?.map_err(lost)?;
            match Reply::parse(&line) {
                Some(Reply::Seen(end)) if !is_seen => {
                    is_seen = true;
                    seen.ends.set(Some(Ends {
                        local: ends.local,
                        seen: SocketAddr::new(normalise(end.ip()), end.port()),
                    }));
                    seen.told.notify_one();
                }
                Some(Reply::Done { tcp, udp }) if is_seen => return Ok(Ok((tcp, udp))),
                Some(Reply::Refused(why)) => return Ok(Err(why)),
                _ if line.is_empty() => return Err(self.refused("it closes the connection")),
                _ => return Err(self.refused("its answer is none of this protocol")),
            }
        }
    }

    fn refused(&self, why: &str) -> Failure {
        let why = format!("{} does not call back: {why}", self.plan.server);
        Failure::new(Stage::CallBack, ErrorCode::CallRefused, why)
    }
}

const fn refusal(why: Refusal) -> &'static str {
    match why {
        Refusal::Malformed => "it does not understand the request",
        Refusal::Version => "it speaks another version",
        Refusal::Port => "it does not call such ports",
        Refusal::Busy => "it is busy",
        Refusal::Rate => "it was asked too often",
        Refusal::Address => "it does not call such addresses",
    }
}

/// Which calls arrived.
#[derive(Default)]
struct Arrived {
    tcp: Cell<bool>,
    udp: Cell<bool>,
}

impl Arrived {
    /// Waits until both did. Callers that do not know the token are ignored.
    async fn wait(&self, listener: &Listener, token: Token) {
        let tcp = async {
            let mut callers = FuturesUnordered::new();
            while !self.tcp.get() {
                tokio::select! {
                    accepted = listener.tcp.accept(), if callers.len() < MOST_CALLERS => {
                        match accepted {
                            Ok((stream, _)) => callers.push(knows(stream, token)),
                            Err(_) => sleep(PAUSE).await,
                        }
                    }
                    Some(knows) = callers.next() => self.tcp.set(knows),
                }
            }
        };
        let udp = async {
            let mut buffer = [0; MAX_LINE];
            while !self.udp.get() {
                match listener.udp.receive(&mut buffer).await {
                    Ok((len, _)) => self.udp.set(is_called(&buffer[..len], token)),
                    Err(_) => sleep(PAUSE).await,
                }
            }
        };
        tokio::join!(tcp, udp);
    }
}

/// Whether a caller says what only the server knows.
async fn knows(mut stream: TcpStream, token: Token) -> bool {
    let wanted = called(token);
    let mut said = vec![0; wanted.len()];
    let read = timeout(SAYING, stream.read_exact(&mut said)).await;
    matches!(read, Ok(Ok(_))) && is_called(&said, token)
}

fn late(log: &RunLog) -> Failure {
    let took = log.started().elapsed().as_secs_f64();
    let why = format!("the calls had not ended after {took:.1} s");
    Failure::new(Stage::CallBack, ErrorCode::Timeout, why)
}
