//! Drives the login over a connection, and looks at the connection's own end.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::dial::{Connected, Dialer, Errand, words};
use super::gateway::{Ends, Gateway};
use super::tweener::Tweener;
use super::{Plan, Trail};
use crate::address::Address;
use crate::conntype::{Observation, PathKind, Warning};
use crate::failure::{Failure, Stage};
use crate::msnp::{
    CodecError, Decoder, ErrorClass, Login, LoginError, LoginStage, LooksLike, Options, Outgoing,
    Profile, Side, Step,
};
use crate::secret::{self, ExposeSecret, SecretString};

/// How long a server that has signed us in may keep the profile back before it is asked another
/// way. Every server that sends one unasked does so at once; a slow line needs some of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a failure of the Passport servers waits for one of the notification server, which
/// says more: on the same network both come together.
const SECOND_THOUGHT: Duration = Duration::from_millis(50);

/// How long signing out may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long a run goes on without a word of what it waits for; most are through by then.
const FIRST_NEWS: Duration = Duration::from_millis(400);

/// How often it is told after that.
const NEWS: Duration = Duration::from_secs(1);

/// How long before the deadline signing out is given up; the shortest run has ten times as much.
const MARGIN: Duration = Duration::from_millis(10);

/// How much is read at a time, in bytes; a whole login fits.
const CHUNK: usize = 4096;

/// Logs in, looks at what the server sees of the connection, and signs out.
///
/// # Errors
/// [`Failure`] for whatever keeps the profile from us; the plan's time being up is one of them.
pub async fn observe<'a>(
    plan: &'a Plan,
    trail: &'a Trail,
    until: Instant,
) -> Result<Seen<'a>, Failure> {
    // Kept beyond its deadline: what it waits for is told only while it waits.
    let mut attempt = pin!(attempt(plan, trail, until));
    let mut news = Instant::now() + FIRST_NEWS;
    loop {
        tokio::select! {
            biased;
            done = attempt.as_mut() => return done,
            () = sleep_until(until) => return Err(trail.timed_out()),
            () = sleep_until(news), if trail.is_watched() => {
                trail.tell_progress();
                news += NEWS;
            }
        }
    }
}

/// What was observed. The connection stays open until this is dropped: a NAT forgets a mapping
/// when its connection closes, and a second look wants to meet it.
pub struct Seen<'a> {
    /// The observation.
    pub observation: Observation,
    _wire: Option<Wire<'a>>,
}

async fn attempt<'a>(
    plan: &'a Plan,
    trail: &'a Trail,
    until: Instant,
) -> Result<Seen<'a>, Failure> {
    let dialer = Dialer { plan, trail };
    let mut tweener = Tweener::new(dialer);
    let mut server = Server::new(dialer, until);
    let mut policy = get_ready(&mut server, &mut tweener).await?;
    loop {
        let ticket = tokio::select! {
            ticket = tweener.ticket(&policy) => ticket?,
            // Nothing is expected here; a server that hangs up is noticed.
            step = server.step() => match step? {
                Next::Policy(other) => { policy = other; continue }
                Next::Profile(_) => return Err(server.misled("a profile before the ticket")),
            },
        };
        match server.sign_in(&ticket).await? {
            Next::Profile(profile) => return server.observation(profile).await,
            Next::Policy(another) => policy = another,
        }
    }
}

/// Gets the policy and whatever leads to the ticket. Neither needs the other yet, so both get
/// ready at the same time.
async fn get_ready(server: &mut Server<'_>, tweener: &mut Tweener<'_>) -> Result<String, Failure> {
    let mut ready = pin!(tweener.prepare());
    let policy = {
        let mut policy = pin!(server.policy());
        tokio::select! {
            // First come, first served: a local port that was asked for is taken before the system
            // gives it to a Passport connection.
            biased;
            policy = &mut policy => policy?,
            done = &mut ready => return match done {
                Ok(()) => policy.await,
                // Where both servers are wrong, the notification server is the one to name.
                Err(failure) => match timeout(SECOND_THOUGHT, policy).await {
                    Ok(Err(first)) => Err(first),
                    _ => Err(failure),
                },
            },
        }
    };
    tokio::select! {
        biased;
        done = &mut ready => done.map(|()| policy),
        // Nothing is expected here; a server that hangs up is noticed.
        step = server.step() => match step? {
            Next::Policy(another) => ready.await.map(|()| another),
            Next::Profile(_) => Err(server.misled("a profile before the ticket")),
        },
    }
}

/// What carries the commands.
enum Wire<'a> {
    Tcp(Connected),
    Gateway(Box<Gateway<'a>>),
}

impl Wire<'_> {
    /// Reads into the decoder; `Ok(Ok(0))` is the end. Safe to drop while it waits.
    async fn read(&mut self, decoder: &mut Decoder) -> Result<io::Result<usize>, Failure> {
        match self {
            Self::Tcp(wire) => {
                let space = decoder.space();
                space.reserve(CHUNK);
                Ok(wire.stream.read_buf(space).await)
            }
            Self::Gateway(gateway) => {
                let bytes = gateway.read().await?;
                decoder.feed(&bytes);
                Ok(Ok(bytes.len()))
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Tcp(wire) => {
                // What the server said before it hung up says more than that a write failed:
                // read on.
                if let Err(error) = wire.stream.write_all(bytes).await {
                    tracing::debug!(%error, "write failed");
                }
                Ok(())
            }
            Self::Gateway(gateway) => gateway.write(bytes).await,
        }
    }

    /// The ends of the connection, as they are now.
    fn ends(&self) -> Option<Ends> {
        match self {
            Self::Tcp(wire) => Some(Ends {
                local: wire.local,
                peer: wire.peer,
                proxy: wire.proxy.clone(),
            }),
            Self::Gateway(gateway) => gateway.ends(),
        }
    }
}

/// What the driver has to act on; everything else is dealt with where it comes up.
enum Next {
    Policy(String),
    Profile(Profile),
}

/// The notification server's side of the run.
struct Server<'a> {
    dialer: Dialer<'a>,
    login: Login,
    decoder: Decoder,
    at: Address,
    wire: Option<Wire<'a>>,
    until: Instant,
}

impl<'a> Server<'a> {
    fn new(dialer: Dialer<'a>, until: Instant) -> Self {
        let plan = dialer.plan;
        Self {
            login: Login::new(Options {
                account: plan.account.clone(),
                dialects: plan.dialects.clone(),
                lockstep: plan.lockstep,
            }),
            decoder: Decoder::new(Side::Server),
            at: plan.server.clone(),
            wire: None,
            dialer,
            until,
        }
    }

    /// Connects and negotiates until the server wants a ticket.
    async fn policy(&mut self) -> Result<String, Failure> {
        match self.step().await? {
            Next::Policy(policy) => Ok(policy),
            Next::Profile(_) => Err(self.misled("a profile before the ticket")),
        }
    }

    /// Hands the ticket in and waits for the profile.
    async fn sign_in(&mut self, ticket: &SecretString) -> Result<Next, Failure> {
        let trail = self.dialer.trail;
        let open = trail.enter(Stage::SignIn, format!("the sign-in at {}", self.at));
        let out = self.login.ticket(ticket);
        self.send(&out).await?;
        while self.login.stage() == LoginStage::SignIn {
            if let Some(next) = self.read().await? {
                return Ok(next);
            }
        }
        drop(open);
        if self.login.stage() != LoginStage::Profile {
            // Referred after the ticket: all begins again.
            return self.step().await;
        }
        // What comes now may hold commands nobody has listed, with payloads.
        self.decoder.resynchronise();
        trail.warn(Warning::SignedOutElsewhere);
        let _open = trail.enter(Stage::Profile, format!("the profile from {}", self.at));
        loop {
            let patience = PATIENCE.min(self.until.duration_since(Instant::now()) / 3);
            match timeout(patience, self.profile()).await {
                Ok(Ok(Some(next))) => return Ok(next),
                // Sent on elsewhere: all begins again.
                Ok(Ok(None)) => return self.step().await,
                Ok(Err(failure)) => return Err(failure),
                Err(_) => match self.login.nudge() {
                    Some(out) => self.send(&out).await?,
                    None => return Err(no_profile(&self.at)),
                },
            }
        }
    }

    /// Reads until the profile, or until the server sends us on: `None`. Safe to drop while it
    /// waits for the server.
    async fn profile(&mut self) -> Result<Option<Next>, Failure> {
        while self.login.stage() == LoginStage::Profile {
            if let Some(next) = self.read().await? {
                return Ok(Some(next));
            }
        }
        Ok(None)
    }

    /// Goes on until there is something to act on. Safe to drop while it waits for the server.
    async fn step(&mut self) -> Result<Next, Failure> {
        let trail = self.dialer.trail;
        loop {
            if self.wire.is_none() {
                self.connect().await?;
            }
            // While the ticket is fetched nothing is waited for here.
            let _open = (self.login.stage() != LoginStage::Ticket)
                .then(|| trail.enter(Stage::Negotiate, format!("an answer from {}", self.at)));
            while self.wire.is_some() {
                if let Some(next) = self.read().await? {
                    return Ok(next);
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<(), Failure> {
        self.wire = Some(match &self.dialer.plan.gateway {
            Some(url) => {
                let gateway = Gateway::connect(self.dialer, url, &self.at).await?;
                Wire::Gateway(Box::new(gateway))
            }
            None => Wire::Tcp(self.dialer.connect(&self.at, Errand::Notification).await?),
        });
        self.decoder = Decoder::new(Side::Server);
        let out = self.login.connected(&self.at);
        self.send(&out).await
    }

    /// Deals with one command that is there, or reads more bytes. `None` where there is nothing
    /// to act on yet.
    async fn read(&mut self) -> Result<Option<Next>, Failure> {
        let step = match self.decoder.decode() {
            Ok(Some(command)) => {
                tracing::trace!(?command, "from the server");
                self.login.receive(&command)
            }
            Ok(None) => return self.fill().await,
            Err(error) => return Err(garbled(&error, &self.at, self.login.stage())),
        };
        self.trail_dialect();
        let step = step.map_err(|error| refused(&error, &self.at, self.login.stage()))?;
        self.act(step).await
    }

    async fn fill(&mut self) -> Result<Option<Next>, Failure> {
        let Some(wire) = &mut self.wire else {
            return Err(self.misled("nothing, without a connection"));
        };
        match wire.read(&mut self.decoder).await? {
            Ok(1..) => Ok(None),
            Ok(0) => self.closed(None).await,
            Err(error) => self.closed(Some(words(&error))).await,
        }
    }

    async fn closed(&mut self, error: Option<String>) -> Result<Option<Next>, Failure> {
        let midway = self.decoder.is_midway();
        match (self.login.closed(midway), error) {
            (Ok(step), _) => self.act(step).await,
            (Err(why), None) => Err(refused(&why, &self.at, self.login.stage())),
            (Err(_), Some(error)) => Err(Failure::no_profile(
                stage_of(self.login.stage()),
                "connection-lost",
                format!("{}: {error} before {}", self.at, self.login.stage()),
                "the server or something on the way cut the connection: try again, or another server",
            )),
        }
    }

    async fn act(&mut self, step: Step) -> Result<Option<Next>, Failure> {
        match step {
            Step::Wait => {}
            Step::Send(out) => self.send(&out).await?,
            Step::NeedTicket(policy) => return Ok(Some(Next::Policy(policy))),
            Step::Profile(profile) => return Ok(Some(Next::Profile(profile))),
            Step::Refer(referral) => {
                tracing::info!(to = %referral.to, "referred");
                self.dialer.trail.referred_to(&referral.to);
                self.at = referral.to;
                self.wire = None;
            }
            Step::Reconnect(why) => {
                tracing::info!(?why, "asking the same server again");
                self.wire = None;
            }
        }
        Ok(None)
    }

    async fn send(&mut self, out: &Outgoing) -> Result<(), Failure> {
        let Some(wire) = &mut self.wire else {
            return Err(self.misled("nothing, without a connection"));
        };
        tracing::debug!(commands = out.shown(), "to the server");
        wire.write(out.bytes()).await
    }

    /// Looks at the very socket that carried the login, and signs out.
    async fn observation(mut self, profile: Profile) -> Result<Seen<'a>, Failure> {
        let plan = self.dialer.plan;
        let Some(Ends { local, peer, proxy }) = self.wire.as_ref().and_then(Wire::ends) else {
            return Err(self.misled("a profile, but the connection is gone"));
        };
        let path = match &self.wire {
            Some(Wire::Tcp(wire)) => wire.path,
            _ => PathKind::HttpGateway,
        };
        // Whether the server reads it or not, we are through. The kernel takes so few bytes at
        // once; a gateway has to be asked, but not for longer than there is time: what was seen
        // would be lost.
        let enough = (Instant::now() + GOODBYE).min(self.until - MARGIN);
        let _ = timeout_at(enough, self.send(&Login::goodbye())).await;
        if let Some(sso) = &profile.sso {
            secret::remember(sso.expose_secret());
        }
        let observation = Observation {
            local,
            client_ip: profile.client_ip,
            client_port: profile.client_port,
            order: plan.order,
            path,
            proxy,
            peer: Some(peer),
        };
        Ok(Seen {
            observation,
            _wire: self.wire,
        })
    }

    fn trail_dialect(&self) {
        self.dialer.trail.agreed_on(self.login.dialect());
    }

    fn misled(&self, what: &str) -> Failure {
        Failure::no_profile(
            stage_of(self.login.stage()),
            "out-of-order",
            format!("{} sent {what}", self.at),
            "ask another server",
        )
    }
}

const fn stage_of(stage: LoginStage) -> Stage {
    match stage {
        LoginStage::Version | LoginStage::ClientVersion | LoginStage::Account => Stage::Negotiate,
        LoginStage::Ticket => Stage::Login,
        LoginStage::SignIn => Stage::SignIn,
        LoginStage::Profile => Stage::Profile,
    }
}

fn no_profile(at: &Address) -> Failure {
    Failure::no_profile(
        Stage::Profile,
        "no-profile",
        format!("{at} signed us in but sends no profile, not after SYN and CHG either"),
        "this server does not tell what it sees; ask another, your own (msnp9-conntype serve) for one",
    )
}

/// The failure that bytes come to which are no MSNP.
fn garbled(error: &CodecError, at: &Address, stage: LoginStage) -> Failure {
    let (code, remedy) = match error {
        CodecError::NotMsnp(LooksLike::Http) => (
            "talks-http",
            "that is a web server's port: the notification server's is 1863, usually",
        ),
        CodecError::NotMsnp(LooksLike::Tls) => (
            "talks-tls",
            "that is an HTTPS port: the notification server's is 1863, usually",
        ),
        CodecError::NotMsnp(_) => (
            "talks-something-else",
            "check the server's address and port",
        ),
        _ => (
            "malformed",
            "the server's replies are invalid; try another server",
        ),
    };
    let message = match error {
        CodecError::NotMsnp(looks) => format!("{at} talks {looks}"),
        other => format!("{at}: {other}"),
    };
    Failure::no_profile(stage_of(stage), code, message, remedy)
}

/// The failure that the end of a login comes to, which waited for `waiting`.
fn refused(error: &LoginError, at: &Address, waiting: LoginStage) -> Failure {
    let message = format!("{at}: {error}");
    let failed = |stage, code, remedy| Failure::no_profile(stage, code, message.clone(), remedy);
    match error {
        LoginError::Refused { code, stage } => match code.class() {
            ErrorClass::Credentials => Failure::credentials(
                stage_of(*stage),
                "credentials-refused",
                message,
                "check the account and its password; on some networks an account has to be \
                 confirmed first",
            ),
            ErrorClass::Busy => failed(stage_of(*stage), "server-busy", "try again later"),
            ErrorClass::Server => failed(
                stage_of(*stage),
                "server-error",
                "try again later, or ask the dispatch server of the network",
            ),
            ErrorClass::Protocol => failed(
                stage_of(*stage),
                "protocol-error",
                "try another --dialect, or another server",
            ),
        },
        LoginError::NoDialect { .. } => failed(
            Stage::Negotiate,
            "no-dialect",
            "this server needs another generation of the protocol; ask another server",
        ),
        LoginError::Closed { stage, .. } => failed(
            stage_of(*stage),
            "closed",
            "the server hung up: check that it is an MSNP server, and try again",
        ),
        LoginError::SignedOut { reason } if reason.as_deref() == Some("OTH") => failed(
            Stage::Profile,
            "signed-in-elsewhere",
            "the account was signed in elsewhere meanwhile; use a test account",
        ),
        LoginError::SignedOut { .. } => failed(stage_of(waiting), "signed-out", "try again later"),
        LoginError::ReferralLoop { .. } | LoginError::TooManyReferrals { .. } => failed(
            Stage::Negotiate,
            "referral-loop",
            "name the notification server itself with --server, not the dispatch server",
        ),
        LoginError::BadReferral { .. } => failed(
            Stage::Negotiate,
            "bad-referral",
            "name the notification server itself with --server, not the dispatch server",
        ),
        LoginError::OtherScheme { .. } => failed(
            Stage::Negotiate,
            "other-scheme",
            "ask a server with a Passport 1.4 login",
        ),
        _ => failed(
            stage_of(waiting),
            "malformed",
            "the server's replies are invalid; try another server",
        ),
    }
}
