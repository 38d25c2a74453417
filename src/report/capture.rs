//! The sessions of a capture: the document, the page, the labels.

mod page;
mod reasons;

use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use super::model::{Endpoint, code};
use super::{
    Context, ErrorReport, Expected, Format, InvitationReport, ObservationReport, Party, Report,
    SCHEMA_VERSION, ServerReport, Tool, json,
};
use crate::address::Address;
use crate::capture::{
    self, Conversation, Counts, Ended, Found, Hops, Judged, Place, Session, judge,
};
use crate::conntype::{Label, PathKind, PortOrder};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::invitation::{MOST_INVITATIONS, Seen};
use crate::mask::{self, Mask};
use crate::report::human::Style;
use crate::secret;

pub use reasons::of_file;
use reasons::{failure, none};

/// The most sessions that are listed.
pub const MOST_LISTED: usize = 1000;

/// The sessions of a capture.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CaptureReport {
    /// The version of this document. Added keys and values keep it.
    #[cfg_attr(test, schemars(extend("const" = SCHEMA_VERSION)))]
    pub schema_version: u32,
    /// The program that made the document.
    pub tool: Tool,
    /// Whether addresses, ports, host names and accounts are masked (`--redact`).
    pub redacted: bool,
    /// The file.
    pub file: FileReport,
    /// The sessions with notification servers, in the order of the capture; the first 1000 of them.
    pub sessions: Vec<SessionReport>,
    /// Invitations of conversations that belong to none of these sessions, as far as can be told.
    pub invitations: Vec<InvitationReport>,
    /// How many sessions there are, those that are not listed included.
    pub sessions_found: u64,
    /// How many of them have each label.
    pub labels: Vec<LabelCount>,
    /// The labels of `--expect`. Null where none were given. Sessions whose connection type is not
    /// known count only where there is no other.
    pub expected: Option<Expected<Label>>,
    /// Why the file could not be read to its end, or has no session. Null where it could and has.
    pub error: Option<ErrorReport>,
    /// The exit code of the process.
    #[serde(serialize_with = "code")]
    pub exit_code: Exit,
}

/// The file of a capture.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FileReport {
    /// Its format. Null where it is none that is read.
    pub format: Option<capture::Format>,
    /// Whether it is compressed with gzip.
    pub compressed: bool,
    /// What was counted in it.
    #[serde(flatten)]
    pub counts: Counts,
}

/// How many sessions have a label.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LabelCount {
    /// The label.
    pub label: Label,
    /// The number of sessions, from 1.
    pub sessions: u64,
}

/// One session, as a login is reported, and how it was captured.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SessionReport {
    /// The report.
    #[serde(flatten)]
    pub report: Report,
    /// How the session was captured.
    pub session: CapturedReport,
    /// The account that signed in, where that was captured.
    #[serde(skip)]
    account: Option<String>,
    /// What was observed of the client.
    #[serde(skip)]
    seen: Seen,
}

/// How a session was captured.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CapturedReport {
    /// Its place in the list.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub number: u64,
    /// The client's end in the packets. On the client's side it is `local`.
    #[serde(serialize_with = "end")]
    #[cfg_attr(test, schemars(with = "Endpoint"))]
    pub client: SocketAddr,
    /// The other end in the packets: the server's, or the proxy's.
    #[serde(serialize_with = "end")]
    #[cfg_attr(test, schemars(with = "Endpoint"))]
    pub server: SocketAddr,
    /// The side it was captured on.
    pub side: Place,
    /// How many routers the packets of each end had passed, from their time to live. Null where there
    /// was no packet.
    pub hops: Hops,
    /// Whether the profile agrees with the client's end in the packets. Null where that is not known.
    pub profile_agrees: Option<bool>,
}

/// Collects the sessions of a capture, as many as are listed.
#[derive(Debug, Default)]
pub struct Sessions {
    listed: Vec<SessionReport>,
    conversations: Vec<Conversation>,
    found: u64,
    labels: [u64; Label::ALL.len()],
}

impl Sessions {
    /// Adds what was found.
    pub fn add(&mut self, found: Found, place: Option<Place>, order: PortOrder) {
        match found {
            Found::Session(session) => self.session(&session, judge(&session, place, order)),
            Found::Conversation(said) if self.conversations.len() < MOST_LISTED => {
                self.conversations.push(said);
            }
            Found::Conversation(_) => {}
        }
    }

    fn session(&mut self, session: &Session, judged: Judged) {
        let label = match &judged.verdict {
            Ok(both) => both.1.label,
            Err(_) => Label::UnknownConnect,
        };
        self.found += 1;
        if let Some(at) = Label::ALL.iter().position(|one| *one == label) {
            self.labels[at] += 1;
        }
        if self.listed.len() < MOST_LISTED {
            self.listed.push(SessionReport::of(session, judged));
        }
    }
}

impl SessionReport {
    fn of(session: &Session, judged: Judged) -> Self {
        // Before the texts are made, in which the server may have repeated them.
        let sso = session.profile.iter().filter_map(|one| one.sso.as_ref());
        sso.chain(&session.ticket).for_each(secret::remember_ticket);
        let server = address_of(session.server);
        let referrals = match &session.profile {
            Err(Ended::Referred(to)) => vec![to.clone()],
            _ => Vec::new(),
        };
        let context = Context {
            started_at: session.started_at,
            // At the other end of another path is not the server.
            server: (session.path == PathKind::Tcp).then(|| ServerReport {
                requested: server.clone(),
                address: Some(session.server),
                referrals,
            }),
            dialect: session.dialect,
            path: session.path,
            local: (judged.place == Place::Client).then_some(session.client),
            ..Context::default()
        };
        let account = session.account.clone();
        let seen = match &judged.verdict {
            Ok(both) => Seen::of(&both.1),
            Err(_) => Seen {
                local: context.local,
                ..Seen::default()
            },
        };
        let session = CapturedReport {
            number: session.number,
            client: session.client,
            server: session.server,
            side: judged.place,
            hops: session.hops,
            profile_agrees: judged.agrees,
        };
        let report = match judged.verdict {
            Ok(both) => {
                let (seen, verdict) = *both;
                let observations = vec![ObservationReport::of(&server, &seen, &verdict)];
                let context = Context {
                    observations,
                    ..context
                };
                Report {
                    clients: None,
                    ..Report::of_verdict(&verdict, &seen, context)
                }
            }
            Err(why) => Report::of_failure(&failure(&why), context),
        };
        Self {
            report,
            session,
            account,
            seen,
        }
    }

    fn masked(self, mask: &mut Mask) -> Self {
        let Self {
            report,
            session:
                CapturedReport {
                    number,
                    client,
                    server,
                    side,
                    hops,
                    profile_agrees,
                },
            account,
            seen,
        } = self;
        let session = CapturedReport {
            number,
            client: mask.socket(client),
            server: mask.socket(server),
            side,
            hops,
            profile_agrees,
        };
        let report = report.masked(mask);
        Self {
            report,
            session,
            account,
            seen,
        }
    }
}

fn end<S: Serializer>(end: &SocketAddr, to: S) -> Result<S::Ok, S::Error> {
    Endpoint::from(*end).serialize(to)
}

fn address_of(end: SocketAddr) -> Address {
    Address {
        host: end.ip().to_string(),
        port: end.port(),
    }
}

impl CaptureReport {
    /// The report of a capture. `ended` is why the reading ended before the file did.
    #[must_use]
    pub fn new(
        sessions: Sessions,
        file: FileReport,
        ended: Option<Failure>,
        expected: Vec<Label>,
    ) -> Self {
        let Sessions {
            mut listed,
            conversations,
            found,
            labels,
        } = sessions;
        let unknown = conversations
            .into_iter()
            .filter_map(|said| attach(said, &mut listed));
        let invitations = unknown.flatten().take(MOST_LISTED).collect();
        listed.sort_by_key(|one| one.session.number);
        for (number, one) in (1..).zip(&mut listed) {
            one.session.number = number;
        }
        let counts = Label::ALL.into_iter().zip(labels);
        let labels: Vec<_> = counts
            .filter(|(_, sessions)| *sessions > 0)
            .map(|(label, sessions)| LabelCount { label, sessions })
            .collect();
        let ended = ended.or_else(|| (found == 0).then(|| none(&file)));
        let known = labels.iter().map(|count| count.label);
        let known: Vec<_> = known.filter(|label| label.determined()).collect();
        let met = match known.is_empty() {
            true => expected.contains(&Label::UnknownConnect),
            false => known.iter().all(|label| expected.contains(label)),
        };
        let expected = (!expected.is_empty()).then_some(Expected {
            labels: expected,
            met,
        });
        let failed = ended.as_ref().map(|failure| failure.code.exit());
        let met = expected.as_ref().map(|expected| expected.met);
        Self {
            schema_version: SCHEMA_VERSION,
            tool: Tool::THIS,
            redacted: false,
            file,
            sessions: listed,
            invitations,
            sessions_found: found,
            labels,
            expected,
            error: ended.as_ref().map(ErrorReport::from),
            exit_code: Exit::settle(!known.is_empty(), failed, met),
        }
    }

    /// The report with the mask of this process, where it has one.
    #[must_use]
    pub fn to_share(self) -> Self {
        let masked = mask::with(|mask| {
            let sessions = self.sessions.iter().cloned();
            let sessions: Vec<_> = sessions.map(|one| one.masked(mask)).collect();
            let invitations = self.invitations.iter().cloned();
            let invitations: Vec<_> = invitations.map(|one| one.masked(mask)).collect();
            let error = self.error.clone().map(|error| error.masked(mask));
            (sessions, invitations, error)
        });
        match masked {
            None => self,
            Some((sessions, invitations, error)) => Self {
                sessions,
                invitations,
                error,
                redacted: true,
                ..self
            },
        }
    }

    /// The formats that it has.
    pub const FORMATS: [Format; 4] = [Format::Label, Format::Json, Format::Ndjson, Format::Report];

    /// The result in this format, a newline at its end.
    #[must_use]
    pub fn render(&self, format: Format, style: Style) -> String {
        match format {
            Format::Json => json::render(self),
            Format::Ndjson => json::line(self),
            Format::Report => self.page(style),
            _ => self.label_lines(),
        }
    }

    /// The label of each session that is listed, one a line. Without a session, the one that says so.
    fn label_lines(&self) -> String {
        let labels = self.sessions.iter().map(|one| one.report.label);
        let labels: Vec<_> = labels.map(|label| format!("{label}\n")).collect();
        match labels.is_empty() {
            true => format!("{}\n", Label::UnknownConnect),
            false => labels.concat(),
        }
    }
}

/// Adds the invitations of a conversation to the session of its client: that of the same account at the
/// same address, or the only one at that address. The invitations, where there is none.
fn attach(said: Conversation, sessions: &mut [SessionReport]) -> Option<Vec<InvitationReport>> {
    let is_near = |one: &SessionReport| one.session.client.ip() == said.client.ip();
    let is_own =
        |one: &SessionReport| is_near(one) && one.account.is_some() && one.account == said.account;
    let at = sessions.iter().rposition(is_own).or_else(|| {
        let mut near = (0..sessions.len()).filter(|at| sessions.get(*at).is_some_and(is_near));
        // Another account is somebody else.
        let only = near
            .next()
            .filter(|at| sessions[*at].account.is_none() || said.account.is_none());
        only.filter(|_| near.next().is_none())
    });
    let session = at.and_then(|at| sessions.get_mut(at));
    let nothing = Seen::default();
    let seen = session.as_ref().map_or(&nothing, |session| &session.seen);
    let invitations = said.invitations.iter().map(|(is_own, one)| match is_own {
        true => InvitationReport::of(one, Some(Party::Client), seen),
        false => InvitationReport::of(one, Some(Party::Contact), &nothing),
    });
    let invitations: Vec<_> = invitations.collect();
    match session {
        Some(session) => {
            let told = session.report.invitations.get_or_insert_default();
            told.extend(
                invitations
                    .into_iter()
                    .take(MOST_INVITATIONS.saturating_sub(told.len())),
            );
            None
        }
        None => Some(invitations),
    }
}
