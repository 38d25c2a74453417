//! What went wrong: where, why, and what to do about it.

use std::fmt;

/// The stages of a run, in the order of a plain login. Stages of the two servers overlap in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Looking up the notification server's name, or the proxy's.
    Resolve,
    /// The TCP connection.
    Connect,
    /// The proxy's handshake.
    Proxy,
    /// The HTTP gateway.
    Gateway,
    /// VER, CVR and USR I: what is spoken, and by whom.
    Negotiate,
    /// The Passport nexus, which names the login server.
    Nexus,
    /// The Passport login server, which gives the ticket.
    Login,
    /// USR S: the ticket goes in.
    SignIn,
    /// Waiting for the profile.
    Profile,
    /// Reading the profile.
    Verdict,
}

impl Stage {
    /// The word for it in JSON and in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Proxy => "proxy",
            Self::Gateway => "gateway",
            Self::Negotiate => "negotiate",
            Self::Nexus => "nexus",
            Self::Login => "login",
            Self::SignIn => "sign-in",
            Self::Profile => "profile",
            Self::Verdict => "verdict",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whose fault it is, as far as an exit code tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Something on the way could not be reached in time: DNS, TCP, TLS, proxy, deadline.
    Unreachable,
    /// The credentials were refused.
    Credentials,
    /// The server answered, but not with a usable profile.
    NoProfile,
    /// SIGINT, Ctrl-C on a terminal, ended the run.
    Interrupted,
    /// SIGTERM ended the run.
    Terminated,
}

/// Why there is no verdict: one line for a person, one word for a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: {message}; {remedy}")]
pub struct Failure {
    /// Where it happened.
    pub stage: Stage,
    /// A stable word, such as `connection-refused`.
    pub code: &'static str,
    /// What happened, with the address it happened at.
    pub message: String,
    /// What to try.
    pub remedy: String,
    /// What exit code it comes to.
    pub class: Class,
}

impl Failure {
    /// Something on the way could not be reached.
    pub fn unreachable(
        stage: Stage,
        code: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(
            Class::Unreachable,
            stage,
            code,
            message.into(),
            remedy.into(),
        )
    }

    /// The credentials were refused.
    pub fn credentials(
        stage: Stage,
        code: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(
            Class::Credentials,
            stage,
            code,
            message.into(),
            remedy.into(),
        )
    }

    /// The server answered, but not with what is needed.
    pub fn no_profile(
        stage: Stage,
        code: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Class::NoProfile, stage, code, message.into(), remedy.into())
    }

    /// A signal ended the run; `class` says which.
    pub fn interrupted(class: Class, stage: Stage, message: impl Into<String>) -> Self {
        let remedy = "run it again and let it finish".to_owned();
        Self::new(class, stage, "interrupted", message.into(), remedy)
    }

    fn new(
        class: Class,
        stage: Stage,
        code: &'static str,
        message: String,
        remedy: String,
    ) -> Self {
        // What a hostile server says may stand in the message; it stays one line of text.
        let line = |text: String| {
            text.chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect()
        };
        Self {
            stage,
            code,
            message: line(message),
            remedy: line(remedy),
            class,
        }
    }
}
