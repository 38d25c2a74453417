//! Drives the login over a connection, and observes the connection's own ends.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::Plan;
use super::error::{ended, garbled, stage_of};
use super::gateway::Gateway;
use super::tickets::{Carrier, Kept, Manner};
use crate::address::Address;
use crate::conntype::Observation;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::msnp::{Decoder, Login, LoginStage, Options, Outgoing, Profile, Retry, Side, Step};
use crate::run_log::{Ends, Event, OpenStep, Purpose, RunLog};
use crate::secret::{self, SecretString};
use crate::transport::{Dialer, Established, connect, describe};

/// How long a server that has accepted the ticket may keep the profile back, and one that got a
/// ticket of an earlier login its answer, before it is asked another way. Every server that sends
/// them unasked does so at once; a slow line needs some of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long signing out may take.
const SIGN_OUT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long before the deadline signing out is given up; the shortest run has ten times as much.
const DEADLINE_MARGIN: Duration = Duration::from_millis(10);

/// How much is read at a time, in bytes; a whole login fits.
const READ: usize = 4096;

/// An observation. The connection stays open until this is dropped: a NAT forgets a mapping when
/// its connection closes, and a second observation is to meet it.
pub struct Observed<'a> {
    /// What was observed.
    pub observation: Observation,
    _wire: Option<Wire<'a>>,
}

/// What carries the commands.
enum Wire<'a> {
    Tcp(Established),
    Gateway(Box<Gateway<'a>>),
}

impl Wire<'_> {
    /// Reads into the decoder; `Ok(Ok(0))` is the end. Safe to drop while it waits.
    async fn read(&mut self, decoder: &mut Decoder) -> Result<io::Result<usize>, Failure> {
        match self {
            Self::Tcp(wire) => {
                let space = decoder.space();
                space.reserve(READ);
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
            Self::Tcp(wire) => Some(wire.ends.clone()),
            Self::Gateway(gateway) => gateway.ends(),
        }
    }
}

/// What the login has reached that its caller has to act on.
pub(super) enum Reached {
    /// The server requires a ticket for this policy.
    Policy(String),
    /// The profile is there.
    Profile(Profile),
    /// The server did not take the ticket of an earlier login.
    Refused,
}

/// The notification server's side of the run.
pub(super) struct Session<'a> {
    plan: &'a Plan,
    log: &'a RunLog,
    until: Instant,
    login: Login,
    decoder: Decoder,
    at: Address,
    wire: Option<Wire<'a>>,
    /// A ticket to hand in once more.
    kept: Option<Kept>,
    /// How it was handed in.
    manner: Manner,
}

impl<'a> Session<'a> {
    pub(super) fn new(plan: &'a Plan, log: &'a RunLog, until: Instant) -> Self {
        Self {
            login: Login::new(Options {
                account: plan.account.clone(),
                dialects: plan.dialects.clone(),
                lockstep: plan.lockstep,
            }),
            decoder: Decoder::new(Side::Server),
            at: plan.server.clone(),
            wire: None,
            kept: None,
            manner: Manner::Asked,
            plan,
            log,
            until,
        }
    }

    /// Hands the ticket in and waits for the profile; `None` where the server refers to another one
    /// after that, and all begins again.
    pub(super) async fn sign_in(
        &mut self,
        ticket: &SecretString,
    ) -> Result<Option<Profile>, Failure> {
        let out = self.login.ticket(ticket);
        self.finish(Some(out)).await
    }

    /// Signs in with the ticket of an earlier login, ahead where the server has taken one so far.
    /// `None` where it does not take this one, whatever it does instead: all begins again.
    pub(super) async fn reuse(&mut self, kept: Kept) -> Result<Option<Profile>, Failure> {
        let kept = self.kept.insert(kept);
        let ticket = kept.ticket.clone();
        secret::remember_ticket(&ticket);
        let done = match self.negotiate().await {
            Ok(Some(Reached::Policy(_))) => {
                let out = self.login.reuse(&ticket);
                self.finish(Some(out)).await
            }
            Ok(Some(_)) => Ok(None),
            Ok(None) => self.finish(None).await,
            Err(failure) => Err(failure),
        };
        self.kept = None;
        match done {
            Err(failure) if self.login.is_reusing() => {
                let why = failure.message;
                tracing::info!(why, "the server does not take the ticket again");
                let step = self.login.without_ticket();
                self.act(step).await.map(|_| None)
            }
            done => done,
        }
    }

    /// How the ticket of an earlier login was handed in.
    pub(super) const fn manner(&self) -> Manner {
        self.manner
    }

    /// Who carries the session, if tickets may go there ahead.
    pub(super) fn carrier(&self) -> Option<Carrier> {
        let dialect = self.login.dialect().filter(|_| !self.login.is_lockstep())?;
        let address = self.at.clone();
        Some(Carrier { address, dialect })
    }

    /// Sends the ticket, unless it was sent ahead, and waits for the profile.
    async fn finish(&mut self, ticket: Option<Outgoing>) -> Result<Option<Profile>, Failure> {
        let step = self.begin(Stage::SignIn, "the sign-in at");
        if let Some(out) = ticket {
            self.send(&out).await?;
        }
        while self.login.stage() == LoginStage::SignIn {
            if let Some(Reached::Profile(profile)) = self.read().await? {
                return Ok(Some(profile));
            }
        }
        drop(step);
        if self.login.stage() != LoginStage::Profile {
            return Ok(None);
        }
        // From here on the server may send unlisted commands with payloads.
        self.decoder.resynchronise();
        self.log.note(Event::SignedIn);
        let _step = self.begin(Stage::Profile, "the profile from");
        loop {
            match timeout(self.patience(), self.profile()).await {
                Ok(done) => return done,
                Err(_) => match self.login.request_profile() {
                    Some(out) => self.send(&out).await?,
                    None => {
                        return Err(Failure::new(
                            Stage::Profile,
                            ErrorCode::NoProfile,
                            format!(
                                "{} accepted the login but sends no profile, even after SYN and CHG",
                                self.at
                            ),
                        ));
                    }
                },
            }
        }
    }

    /// How long the server may keep something back that can be had in another way.
    fn patience(&self) -> Duration {
        PATIENCE.min(self.until.duration_since(Instant::now()) / 3)
    }

    /// Reads until the profile, or until the server refers to another: `None`. Safe to drop while
    /// it waits for the server.
    async fn profile(&mut self) -> Result<Option<Profile>, Failure> {
        while self.login.stage() == LoginStage::Profile {
            if let Some(Reached::Profile(profile)) = self.read().await? {
                return Ok(Some(profile));
            }
        }
        Ok(None)
    }

    /// Connects where there is no connection, and negotiates until the server requires a ticket for
    /// a policy. Safe to drop while it waits for the server.
    pub(super) async fn policy(&mut self) -> Result<String, Failure> {
        match self.negotiate().await? {
            Some(Reached::Policy(policy)) => Ok(policy),
            // Only a ticket that is kept leads elsewhere.
            _ => Err(self.disconnected()),
        }
    }

    /// The same, with a ticket to hand in once more: `None` where it was sent ahead, and the server
    /// has answered what came before.
    async fn negotiate(&mut self) -> Result<Option<Reached>, Failure> {
        loop {
            if self.wire.is_none() {
                self.connect().await?;
            }
            // While the ticket is fetched nothing is waited for here.
            let _step = (self.login.stage() != LoginStage::Ticket)
                .then(|| self.begin(Stage::Negotiate, "an answer from"));
            while self.wire.is_some() {
                if self.login.stage() == LoginStage::SignIn {
                    return Ok(None);
                }
                match self.read().await? {
                    // The login accepts a profile only after the ticket.
                    Some(Reached::Profile(_)) | None => {}
                    reached => return Ok(reached),
                }
            }
        }
    }

    /// Begins a step of the session, whatever carries it.
    fn begin(&self, stage: Stage, what: &str) -> OpenStep<'a> {
        let what = format!("{what} {}", self.at);
        self.log.begin(Purpose::Notification, stage, what)
    }

    async fn connect(&mut self) -> Result<(), Failure> {
        let dialer = Dialer {
            route: &self.plan.route,
            log: self.log,
        };
        self.wire = Some(match &self.plan.gateway {
            Some(url) => {
                let gateway = Gateway::connect(dialer, url, &self.at).await?;
                Wire::Gateway(Box::new(gateway))
            }
            None => Wire::Tcp(connect(&dialer, &self.at, Purpose::Notification).await?),
        });
        self.decoder = Decoder::new(Side::Server);
        let out = match &self.kept {
            Some(Kept {
                ticket,
                carrier: Some(Carrier { address, dialect }),
            }) if *address == self.at => self.login.connected_again(&self.at, *dialect, ticket),
            _ => self.login.connected(&self.at),
        };
        self.manner = match self.login.is_reusing() {
            true => Manner::Ahead,
            false => Manner::Asked,
        };
        self.send(&out).await
    }

    /// Handles one command that is there, or reads more bytes. `None` where there is nothing to
    /// act on yet.
    async fn read(&mut self) -> Result<Option<Reached>, Failure> {
        let dialect = self.login.dialect();
        let step = match self.decoder.decode() {
            Ok(Some(command)) => {
                tracing::trace!(?command, "from the server");
                self.login.receive(&command)
            }
            Ok(None) => return self.fill().await,
            Err(error) => return Err(garbled(&error, &self.at, self.login.stage())),
        };
        if let Some(agreed) = self
            .login
            .dialect()
            .filter(|agreed| dialect != Some(*agreed))
        {
            self.log.note(Event::Agreed(agreed));
        }
        let step = step.map_err(|error| ended(&error, &self.at, self.login.stage()))?;
        self.act(step).await
    }

    async fn fill(&mut self) -> Result<Option<Reached>, Failure> {
        let patience = self.patience();
        let Some(wire) = &mut self.wire else {
            return Err(self.disconnected());
        };
        let read = wire.read(&mut self.decoder);
        let read = match self.login.is_reusing() {
            // It may be what the server is silent about.
            true => match timeout(patience, read).await {
                Ok(read) => read,
                Err(_) => return Err(self.log.timed_out()),
            },
            false => read.await,
        };
        match read? {
            Ok(1..) => Ok(None),
            Ok(0) => self.closed(None).await,
            Err(error) => self.closed(Some(describe(&error))).await,
        }
    }

    async fn closed(&mut self, error: Option<String>) -> Result<Option<Reached>, Failure> {
        let midway = self.decoder.is_midway();
        let stage = self.login.stage();
        match (self.login.closed(midway), error) {
            (Ok(step), _) => self.act(step).await,
            (Err(why), None) => Err(ended(&why, &self.at, stage)),
            (Err(_), Some(error)) => Err(Failure::new(
                stage_of(stage),
                ErrorCode::ConnectionLost,
                format!("{}: {error} before {stage}", self.at),
            )),
        }
    }

    async fn act(&mut self, step: Step) -> Result<Option<Reached>, Failure> {
        match step {
            Step::Wait => {}
            Step::Send(out) => self.send(&out).await?,
            Step::NeedTicket(policy) => return Ok(Some(Reached::Policy(policy))),
            Step::Profile(profile) => return Ok(Some(Reached::Profile(profile))),
            Step::Refer(to) => {
                tracing::info!(%to, "referred");
                self.log.note(Event::Referred(to.clone()));
                self.at = to;
                self.wire = None;
            }
            Step::Reconnect(why) => {
                tracing::info!(?why, "connecting to the same server again");
                if let Some(Wire::Tcp(wire)) = self.wire.take()
                    && self.plan.route.bind.port != 0
                {
                    // Closed in the usual way, the two ends could not meet again for a minute.
                    let _ = wire.stream.set_zero_linger();
                }
                return Ok((why == Retry::NewTicket).then_some(Reached::Refused));
            }
        }
        Ok(None)
    }

    async fn send(&mut self, out: &Outgoing) -> Result<(), Failure> {
        let Some(wire) = &mut self.wire else {
            return Err(self.disconnected());
        };
        tracing::debug!(commands = out.names(), "to the server");
        wire.write(out.bytes()).await
    }

    /// Observes the socket that carried the login, and signs out.
    pub(super) async fn observation(mut self, profile: Profile) -> Result<Observed<'a>, Failure> {
        let Some(ends) = self.wire.as_ref().and_then(Wire::ends) else {
            return Err(self.disconnected());
        };
        // The login is complete whether the server reads this or not. The kernel takes so few
        // bytes at once; a gateway has to be asked, but not for longer than there is time: the
        // observation would be lost.
        let latest = (Instant::now() + SIGN_OUT_TIMEOUT).min(self.until - DEADLINE_MARGIN);
        let _step = self.begin(Stage::Profile, "the end of the session at");
        let _ = timeout_at(latest, self.send(&Login::sign_out())).await;
        if let Some(sso) = &profile.sso {
            secret::remember_ticket(sso);
        }
        let (ip, port) = (profile.client_ip.as_deref(), profile.client_port.as_deref());
        let observation = Observation {
            order: self.plan.order,
            path: ends.path,
            proxy: ends.proxy,
            peer: Some(ends.peer),
            ..Observation::new(ends.local, ip, port)
        };
        Ok(Observed {
            observation,
            _wire: self.wire,
        })
    }

    /// The login state machine asks for a connection that is gone: a bug.
    fn disconnected(&self) -> Failure {
        let message = format!("the connection to {} is gone", self.at);
        Failure::new(stage_of(self.login.stage()), ErrorCode::Bug, message)
    }
}
