//! The page of a capture, for a person.

use super::{CaptureReport, SessionReport};
use crate::report::human::Style;
use crate::report::page::{BAD, HEADING, PLAIN, Page, QUIET};
use crate::report::parts::{self, Tone};
use crate::report::text::{join, sentence};

/// The column of the text beside a session's number.
const INDENT: usize = 6;

impl CaptureReport {
    /// The page for a person, a newline at its end.
    #[must_use]
    pub fn page(&self, style: Style) -> String {
        let mut page = Page::new(style.width, style.colour);
        if self.sessions_found > 0 {
            page.text(0, &self.summary());
        }
        for one in &self.sessions {
            page.blank();
            one.show(&mut page);
        }
        for one in &self.invitations {
            page.blank();
            page.heading(&one.heading(), HEADING);
            one.sentences().iter().for_each(|said| page.text(2, said));
        }
        if let Some(error) = &self.error {
            if self.sessions_found > 0 {
                page.blank();
            }
            page.item("capture:", BAD, 9, &error.message);
            page.item("remedy:", HEADING, 9, &error.remedy);
        }
        let notes = self.expected_note().into_iter();
        for (at, note) in notes.chain(parts::redacted(self.redacted)).enumerate() {
            if at == 0 {
                page.blank();
            }
            page.led(note.lead, note.tone.look(), 2, &note.text);
        }
        page.finish()
    }

    /// How many sessions there are, and with which labels.
    fn summary(&self) -> String {
        let labels = self.labels.iter();
        let labels: Vec<_> = labels
            .map(|count| format!("{} {}", count.sessions, count.label))
            .collect();
        let (found, listed) = (self.sessions_found, self.sessions.len());
        let more = match found > listed as u64 {
            true => format!(" The first {listed} are listed."),
            false => String::new(),
        };
        let noun = if found == 1 { "session" } else { "sessions" };
        let packets = self.file.counts.packets;
        format!(
            "{found} {noun} in {packets} packets: {}.{more}",
            labels.join(", ")
        )
    }

    fn expected_note(&self) -> Option<parts::Note> {
        let expected = self.expected.as_ref()?;
        let labels = join(&expected.labels, "or");
        let (tone, how) = match expected.met {
            true => (Tone::Good, "met"),
            false => (Tone::Bad, "not met"),
        };
        Some(parts::Note {
            lead: "expected:",
            tone,
            text: format!("{labels} ({how})"),
        })
    }
}

impl SessionReport {
    fn show(&self, page: &mut Page) {
        let Self {
            report, session, ..
        } = self;
        let lead = format!("{:>4}  ", session.number);
        let at = report.started_at.map(|at| {
            let at = humantime::format_rfc3339_seconds(at);
            format!(", {at}")
        });
        let (client, server) = (session.client, session.server);
        let ends = format!("{client} to {server}{}", at.unwrap_or_default());
        page.item(&lead, QUIET, INDENT, &ends);
        let label = report.label;
        page.item(&" ".repeat(INDENT), PLAIN, INDENT, label.as_str());
        for row in parts::comparisons(report).into_iter().flatten() {
            let parts::Row {
                name,
                here,
                there,
                outcome,
                ..
            } = row;
            page.text(
                INDENT,
                &format!("{name} {here}, the server says {there}: {outcome}"),
            );
        }
        let others = join(&report.alternatives, "or");
        if !others.is_empty() {
            page.text(INDENT, &format!("It may also be {others}."));
        }
        if let Some(error) = &report.error {
            page.text(INDENT, &sentence(&error.message));
            page.text(INDENT, &sentence(&error.remedy));
        }
        for one in report.invitations.iter().flatten() {
            page.text(INDENT, &one.heading());
            one.sentences()
                .iter()
                .for_each(|said| page.text(INDENT + 2, said));
        }
    }
}
