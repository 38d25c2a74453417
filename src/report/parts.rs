//! What a report for a person says, apart from its layout: one source of sentences for the
//! terminal and the page in a browser.

use std::fmt::Display;

use super::meaning::Meaning;
use super::text::{clean, join, sentence};
use super::{
    ConclusionReport, Expected, ObservationReport, Probes, Report, Timing, Why, conclusion,
    invitation, words,
};
use crate::conntype::{Label, OrderMatch, PortOrder, PortUnknown, Sameness, Warning, swap_port};
use crate::run_log::Purpose;

pub(super) const PATH: &str = "The path to the server";
pub(super) const COMPARED: &str = "What was compared";
pub(super) const HERE: &str = "here";
pub(super) const THERE: &str = "the server says";
pub(super) const OBSERVATIONS: &str = "Individual observations";
pub(super) const MEANING: &str = "What it means";
pub(super) const FILE_TRANSFER: &str = "File transfer";
pub(super) const VOICE: &str = "Voice and webcam";
pub(super) const CONCLUSION: &str = "Will it work?";
pub(super) const INVITATION: &str = "The invitation of an official client";
pub(super) const CLIENTS: &str = "What clients of the time would have said";
pub(super) const TRY: &str = "What to try";

/// How many stages the timing names.
const SLOWEST: usize = 3;

/// The longest value of a profile's field that is shown whole, in columns.
const LONGEST_VALUE: usize = 60;

/// How something is meant, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Odd,
    Bad,
    Note,
    Quiet,
}

impl Tone {
    /// Of a label.
    pub(super) const fn of(label: Label) -> Self {
        match label {
            Label::DirectConnect => Self::Good,
            Label::UnknownConnect => Self::Bad,
            _ => Self::Odd,
        }
    }
}

/// One comparison.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) here: String,
    pub(super) there: String,
    pub(super) outcome: &'static str,
    pub(super) tone: Tone,
}

/// Something worth knowing, with the word that leads it.
pub(super) struct Note {
    pub(super) lead: &'static str,
    pub(super) tone: Tone,
    pub(super) text: String,
}

/// Why there is this label.
pub(super) fn why(report: &Report) -> Option<String> {
    match &report.reason {
        Why::Rule(reason) => Some(sentence(&words::reason(reason))),
        Why::Failed { .. } => None,
    }
}

/// Which labels it may be as well.
pub(super) fn alternatives(report: &Report) -> Option<String> {
    let others = join(&report.alternatives, "or");
    (!others.is_empty()).then(|| match report.is_single() {
        true => format!(
            "It may also be {others}: --second-server HOST asks another server from the same \
             local port, which settles that."
        ),
        false => format!("It may also be {others}; the observations do not settle that."),
    })
}

/// The comparisons of address and port.
pub(super) fn comparisons(report: &Report) -> Option<[Row; 2]> {
    let (observed, compared) = (report.observed.as_ref()?, report.comparison.as_ref()?);
    let row = |name, local: Option<String>, read: Option<String>, raw: &Option<String>, outcome| {
        let raw = raw
            .as_ref()
            .map(|raw| format!("'{}'", clean(raw, LONGEST_VALUE)));
        let (outcome, tone) = outcome;
        Row {
            name,
            here: local.unwrap_or_default(),
            there: read.or(raw).unwrap_or_else(|| "nothing".to_owned()),
            outcome,
            tone,
        }
    };
    let outcome = |sameness| match sameness {
        Sameness::Same => ("same", Tone::Good),
        Sameness::Different => ("different", Tone::Odd),
        Sameness::Unknown => ("unknown", Tone::Quiet),
    };
    let (ip, port) = (&observed.client_ip, &observed.client_port);
    let number = match port.number {
        Err(PortUnknown::Zero) => Some(0),
        number => number.ok(),
    };
    let how = match compared.order_matched {
        Some(OrderMatch::Swapped) => ("same, bytes exchanged", Tone::Good),
        _ => outcome(compared.port),
    };
    let local = report.local;
    Some([
        row(
            "address",
            local.map(|local| local.ip().to_string()),
            ip.ip.map(|ip| ip.to_string()),
            &ip.raw,
            outcome(compared.ip),
        ),
        row(
            "port",
            local.map(|local| local.port().to_string()),
            number.map(|number| number.to_string()),
            &port.raw,
            how,
        ),
    ])
}

/// The byte order in which the server's port was read, where that is worth a sentence.
pub(super) fn order_note(report: &Report) -> Option<String> {
    let compared = report.comparison.as_ref()?;
    let number = report.observed.as_ref()?.client_port.number.ok()?;
    let swapped = swap_port(number);
    let local = report.local?.port();
    match (compared.port, compared.order_matched, compared.order_asked) {
        (_, Some(OrderMatch::Swapped), _) => Some(format!(
            "{number} is {swapped} with its two bytes exchanged, as Microsoft's servers sent it."
        )),
        (_, Some(OrderMatch::Either), PortOrder::Auto) => Some(format!(
            "The two bytes of {number} are equal, so this server's byte order is not known."
        )),
        (Sameness::Different, ..) if number == swapped => None,
        (Sameness::Different, _, PortOrder::Plain) => {
            Some(format!("{number} was read as it is (--port-order plain)."))
        }
        (Sameness::Different, _, PortOrder::Swapped) => Some(format!(
            "{number} was read as {swapped}, its two bytes exchanged (--port-order swapped)."
        )),
        (Sameness::Different, _, PortOrder::Auto) => Some(format!(
            "{number} is either the port as it is, or {swapped} with its two bytes exchanged, as \
             Microsoft's servers sent it. Neither is {local}; --port-order sets the order."
        )),
        _ => None,
    }
}

/// What one login observed, or why it failed.
pub(super) fn observation(one: &ObservationReport) -> String {
    fn known<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(|| "nothing".to_owned(), |value| value.to_string())
    }
    match (&one.observed, &one.label, &one.error) {
        (Some(observed), Some(label), _) => format!(
            "{} saw {} as {}, ClientPort {}: {label}",
            one.server,
            known(one.local),
            known(observed.client_ip.ip),
            known(observed.client_port.number.ok()),
        ),
        (.., Some(error)) => format!("{} failed: {}", one.server, error.message),
        _ => one.server.to_string(),
    }
}

/// The warnings, except those that the comparison has covered.
pub(super) fn warnings(report: &Report) -> impl Iterator<Item = Note> {
    let is_covered = |warning: &&Warning| {
        let is_order = matches!(
            warning,
            Warning::OutsidePortAmbiguous(..) | Warning::OrderUndecided
        );
        is_order && report.observed.is_some()
    };
    let warnings = report.warnings.iter().filter(move |one| !is_covered(one));
    warnings.map(|warning| {
        let (lead, tone) = match warning {
            // It comes with every label.
            Warning::TcpFlowOnly => ("note:", Tone::Note),
            _ => ("warning:", Tone::Odd),
        };
        let text = words::warning(warning);
        Note { lead, tone, text }
    })
}

/// What each probe besides the login found: a heading, and sentences.
pub(super) fn probes(probes: &Probes) -> Vec<(String, Vec<String>)> {
    let udp_echo = probes.udp_echo.iter();
    let udp_echo = udp_echo.map(|found| (format!("UDP echo: {}", found.label), found.sentences()));
    let stun = probes.stun.iter().flatten();
    let stun = stun.map(|found| (found.heading(), found.sentences()));
    let port_mapping = probes.port_mapping.iter().map(|found| {
        let heading = format!("Port mapping: {}", found.heading());
        (heading, found.sentences())
    });
    let listen = probes.listen.iter().map(|found| {
        let heading = format!("Being called: {}", found.heading());
        (heading, found.sentences())
    });
    let others = port_mapping.chain(listen);
    udp_echo.chain(stun).chain(others).collect()
}

/// What other evidence than the login's says: the probes, invitations, and what one would hold.
pub(super) fn evidence(report: &Report) -> Vec<(String, Vec<String>)> {
    let invitations = report.invitations.iter().flatten();
    let invitations = invitations.map(|one| (one.heading(), one.sentences()));
    let sent = report.invitation_to_send.iter();
    let sent = sent.map(|sent| (INVITATION.to_owned(), invitation::lines(sent)));
    let mut evidence = probes(&report.probes);
    evidence.extend(invitations.chain(sent));
    evidence
}

/// What file transfer and the like can expect: as the probes conclude, or else as the label means.
pub(super) fn outlooks(report: &Report, meaning: &Meaning) -> Vec<(&'static str, String)> {
    match &report.conclusion {
        Some(_) => Vec::new(),
        None => vec![
            (FILE_TRANSFER, meaning.file_transfer.to_owned()),
            (VOICE, meaning.voice.to_owned()),
        ],
    }
}

/// What the probes conclude: each with how it goes and why, and what would help.
pub(super) struct Conclusion {
    pub(super) outlooks: Vec<(&'static str, String)>,
    pub(super) advice: Vec<String>,
}

impl Conclusion {
    pub(super) fn of(found: &ConclusionReport) -> Self {
        let outlooks = found.outlooks().into_iter();
        let outlooks = outlooks.map(|(what, how)| (what, sentence(&conclusion::sentence(how))));
        Self {
            outlooks: outlooks.collect(),
            advice: found.advice(),
        }
    }
}

/// The labels expected, and whether the label is one of them.
pub(super) fn expected(report: &Report) -> Option<Note> {
    expected_of(report.expected.as_ref(), report.label)
}

/// The same, of labels of any kind.
pub(super) fn expected_of<L: Display>(expected: Option<&Expected<L>>, label: L) -> Option<Note> {
    let expected = expected?;
    let labels = join(&expected.labels, "or");
    let (tone, text) = match expected.met {
        true => (Tone::Good, format!("{labels} (met)")),
        false => (Tone::Bad, format!("{labels} (not met: {label})")),
    };
    let lead = "expected:";
    Some(Note { lead, tone, text })
}

/// What is not as it was observed, where the report is masked.
pub(super) fn redacted(is_redacted: bool) -> Option<Note> {
    is_redacted.then(|| Note {
        lead: "redacted:",
        tone: Tone::Note,
        text: "addresses, ports, host names and the account are masked, each with the same mask \
               throughout; private addresses stay private, and exchanged bytes stay exchanged"
            .to_owned(),
    })
}

/// The total time and the longest stages; `None` where nothing was timed.
pub(super) fn timing(timings: &[Timing]) -> Option<Note> {
    let mut slowest: Vec<_> = timings.iter().collect();
    slowest.sort_by(|a, b| b.took.total_cmp(&a.took));
    let slowest: Vec<_> = slowest
        .iter()
        .take(SLOWEST)
        .map(|timing| format!("{} {:.0} ms", step(timing), timing.took))
        .collect();
    let longest = slowest.join(", ");
    (!timings.is_empty()).then(|| Note {
        lead: "time:",
        tone: Tone::Note,
        text: format!("{:.0} ms in total; longest: {longest}", total(timings)),
    })
}

/// The milliseconds from the start to the end of the last step.
pub(super) fn total(timings: &[Timing]) -> f64 {
    let ends = timings.iter().map(|timing| timing.start + timing.took);
    ends.fold(0.0, f64::max)
}

/// The name of a step; those of the notification server have none before it.
pub(super) fn step(timing: &Timing) -> String {
    match timing.connection {
        Purpose::Nexus | Purpose::Login | Purpose::Gateway => {
            format!("{} {}", timing.connection, timing.stage)
        }
        _ => timing.stage.to_string(),
    }
}
