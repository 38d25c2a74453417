//! The required result of each combination, from the documented exit codes.

use super::fault::{CODES, Fault};
use support::answer::Step;

/// Could not be reached in time: DNS, TCP, TLS, timeout.
pub(super) const UNREACHABLE: i32 = 3;
/// The credentials were refused.
pub(super) const CREDENTIALS: i32 = 4;
/// The server answered, but not with a usable profile.
pub(super) const NO_PROFILE: i32 = 5;

/// The required result of a combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// `Unknown-Connect` with this exit code.
    Fails(i32),
    /// The same with either of two, and why both are right.
    FailsEither([i32; 2], &'static str),
    /// The same, but only after waiting for what does not come.
    FailsLate(i32),
    /// The right label, and why.
    Succeeds(&'static str),
    /// Not possible, and why.
    LeftOut(&'static str),
}

use Rule::{Fails, FailsEither, FailsLate, LeftOut, Succeeds};

/// The rule for a combination.
pub(super) fn rule(step: Step, fault: Fault) -> Rule {
    if let Some(why) = left_out(step, fault) {
        return LeftOut(why);
    }
    if let Some(why) = harmless(step, fault) {
        return Succeeds(why);
    }
    if let Some(rule) = intermediary_rule(step, fault) {
        return rule;
    }
    match fault {
        // A server that says too little, or too slowly, is one that time runs out for; but one
        // that has signed us in has answered, and only the profile is missing.
        Fault::Silence | Fault::Slow | Fault::Shorter if waits(step, fault) => match step {
            Step::Profile => FailsLate(NO_PROFILE),
            _ => FailsLate(UNREACHABLE),
        },
        // After the sign-in, what cannot be read is skipped: there may be payloads that nobody
        // has listed. So the profile is waited for still.
        Fault::Garbage if step == Step::Profile => FailsLate(NO_PROFILE),
        Fault::Code(code) if !step.is_http() => {
            let blames = CODES
                .iter()
                .any(|(known, blames)| *known == code && *blames);
            Fails(if blames { CREDENTIALS } else { NO_PROFILE })
        }
        Fault::Refused => Fails(UNREACHABLE),
        Fault::Reset if matches!(step, Step::Connect | Step::Again) => FailsEither(
            [UNREACHABLE, NO_PROFILE],
            "the reset may come while the client still connects",
        ),
        _ if step.is_tls() => Fails(UNREACHABLE),
        // A web server that closes without HTTP was not reached. A notification server that hangs
        // up was.
        Fault::Close | Fault::Reset if step.is_http() => Fails(UNREACHABLE),
        _ => Fails(NO_PROFILE),
    }
}

/// The rules of those in front of the servers, where they differ.
fn intermediary_rule(step: Step, fault: Fault) -> Option<Rule> {
    Some(match (step, fault) {
        (Step::GatewayOpen | Step::GatewayProfile, fault) => match fault {
            // The rest of the commands never comes.
            Fault::Longer if step == Step::GatewayOpen => FailsLate(UNREACHABLE),
            Fault::Longer => FailsLate(NO_PROFILE),
            _ => return None,
        },
        (Step::Socks5Reply | Step::Socks4Reply, Fault::LongLine | Fault::TextAfter) => FailsEither(
            [UNREACHABLE, NO_PROFILE],
            "it is taken for what the server says: TLS or not, commands or not",
        ),
        (Step::HttpConnect, _) => match fault {
            Fault::Silence | Fault::Slow => FailsLate(UNREACHABLE),
            _ => Fails(UNREACHABLE),
        },
        (step, _) if step.is_socks() => match fault {
            Fault::Silence | Fault::Slow => FailsLate(UNREACHABLE),
            _ => Fails(UNREACHABLE),
        },
        _ => return None,
    })
}

/// Whether the client has to wait for something that never comes.
fn waits(step: Step, fault: Fault) -> bool {
    match fault {
        // What is missing of the configuration or the record is taken from what comes behind it.
        Fault::Shorter => step != Step::UsrS && !step.is_tls(),
        _ => true,
    }
}

fn left_out(step: Step, fault: Fault) -> Option<&'static str> {
    let opens = step.is_tls()
        || matches!(
            step,
            Step::Connect
                | Step::Again
                | Step::HttpConnect
                | Step::Socks5Method
                | Step::Socks4Reply
                | Step::GatewayOpen
        );
    Some(match fault {
        Fault::Refused if !opens => "the connection stands already",
        Fault::Slow if step.is_quiet() => "nothing is said here that could be slow",
        Fault::Longer | Fault::Shorter if !has_payload(step) => "no payload is announced",
        Fault::OtherTrid if step.is_http() || step.is_tls() || step.is_socks() => {
            "HTTP, TLS and SOCKS have no transactions"
        }
        Fault::OtherTrid if step.is_quiet() => "nothing is answered here",
        Fault::OtherTrid if step == Step::Profile => "a MSG has no transaction id",
        Fault::Code(_) | Fault::Out if step.is_tls() => "TLS has alerts of its own instead",
        Fault::Out if step.is_http() => "HTTP knows no OUT",
        Fault::Flood if step.is_http() || step.is_tls() || step.is_socks() => {
            "commands are no more than garbage there"
        }
        Fault::Code(_) | Fault::Out if step.is_socks() => "SOCKS has codes of its own instead",
        _ => return None,
    })
}

const fn has_payload(step: Step) -> bool {
    match step {
        Step::UsrS | Step::Profile => true,
        Step::HttpConnect => false,
        _ => step.is_http() || step.is_tls(),
    }
}

/// A page of Passport, of which only the headers count.
const fn is_page(step: Step) -> bool {
    step.is_http() && step.intermediary().is_none()
}

/// The combinations that do not keep the login from succeeding.
fn harmless(step: Step, fault: Fault) -> Option<&'static str> {
    Some(match (step, fault) {
        (Step::Xfr, Fault::TextAfter) => "the connection is left at the referral",
        (Step::UsrOk, Fault::TextAfter) => "what cannot be read is skipped after the sign-in",
        (Step::Profile, Fault::TextAfter) => "nothing is read after the profile",
        (Step::Socks5Method | Step::Socks5Reply, Fault::Nul) => "the byte is NUL anyway",
        (Step::Socks5Method, Fault::Slow) => "two bytes are never very slow",
        (Step::GatewayOpen | Step::GatewayProfile, Fault::TextAfter) => {
            "a response ends where it says; another connection goes on"
        }
        (_, Fault::TextAfter | Fault::Longer) if is_page(step) => {
            "a response ends where it says; only its headers count"
        }
        (_, Fault::Shorter) if is_page(step) => {
            "only the headers count: a body that does not come is not waited for"
        }
        (Step::Cvr, Fault::HalfUtf8 | Fault::Nul) => "no client reads the parameters of CVR",
        (Step::UsrS, Fault::HalfUtf8 | Fault::Nul) => "no client of MSNP9 reads configuration",
        (Step::UsrS, Fault::OtherTrid) => "the transaction id of GCF means nothing",
        _ => return None,
    })
}
