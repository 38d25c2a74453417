//! Invitations in bytes: a message, a transcript, or what a client wrote to its log.

use super::field::{Field, Name};
use super::{Form, Invitation};
use crate::secret::excerpt;

/// The most invitations that are read.
pub const MOST_INVITATIONS: usize = 64;

/// The longest line that is looked at, in bytes; the rest of a longer one is passed over.
const LONGEST_LINE: usize = 4096;

/// What a message begins with. The headers of MIME come before those of MSNSLP.
const BEGINNINGS: [&[u8]; 4] = [
    b"INVITE MSNMSGR:",
    b"MSNSLP/1.0 ",
    b"MIME-Version:",
    b"MSG ",
];

/// Finds every invitation with a connection field: in messages of MSNSLP, behind binary headers or not,
/// of `text/x-msmsgsinvite`, and in the fields alone.
///
/// Lines end in CR LF, LF or NUL. Names count in any case, and reversed with their values, as newer
/// clients send them. The first of a repeated field counts. At most [`MOST_INVITATIONS`] are read.
#[must_use]
pub fn find_invitations(bytes: &[u8]) -> Vec<Invitation> {
    let mut found = Vec::new();
    let mut message = Message::default();
    for line in bytes.split(|byte| matches!(byte, b'\n' | b'\r' | 0)) {
        let line = &line[..line.len().min(LONGEST_LINE)];
        if begins(line) {
            found.extend(std::mem::take(&mut message).invitation());
            if found.len() == MOST_INVITATIONS {
                return found;
            }
        }
        message.line(line);
    }
    found.extend(message.invitation());
    found
}

/// Whether a message begins in a line; binary headers may precede it.
fn begins(line: &[u8]) -> bool {
    BEGINNINGS.iter().enumerate().any(|(at, beginning)| {
        // The last ones are too common to be looked for within a line.
        match at < 2 {
            true => memchr::memmem::find(line, beginning).is_some(),
            false => line.starts_with(beginning),
        }
    })
}

/// A message as far as it was read.
#[derive(Default)]
struct Message {
    form: Option<Form>,
    from: Option<String>,
    fields: Vec<Field>,
    is_invitation: bool,
}

impl Message {
    fn line(&mut self, line: &[u8]) {
        let Some(colon) = memchr::memchr(b':', line) else {
            return;
        };
        let (before, value) = (&line[..colon], &line[colon + 1..]);
        // What stands before the name is the end of a binary header, or a log's own.
        let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        let start = before.iter().rposition(|byte| !is_of_name(byte));
        let word = &before[start.map_or(0, |at| at + 1)..];
        let Ok(word) = std::str::from_utf8(word) else {
            return;
        };
        let value = String::from_utf8_lossy(value);
        self.header(word, &value);
        let name = |word: &str| {
            let mut names = Name::ALL.iter();
            names.find(|name| name.as_str().eq_ignore_ascii_case(word))
        };
        let found = name(word)
            .map(|name| (*name, value.into_owned()))
            .or_else(|| {
                let reversed = |text: &str| text.chars().rev().collect::<String>();
                let text = String::from_utf8_lossy(&line[colon + 1..]);
                name(&reversed(word)).map(|name| (*name, reversed(&text)))
            });
        if let Some((name, value)) = found
            && !self.fields.iter().any(|field| field.name == name)
        {
            self.is_invitation |= name.is_own();
            self.fields.push(Field::of(name, &value));
        }
    }

    /// Reads a header that tells what the message is, or who sends it.
    fn header(&mut self, word: &str, value: &str) {
        let has = |part: &str| value.to_ascii_lowercase().contains(part);
        let form = match word.to_ascii_lowercase().as_str() {
            "content-type" if has("x-msnmsgr-transrespbody") => Some(Form::Response),
            "content-type" if has("x-msnmsgr-transreqbody") || has("x-msnmsgr-sessionreqbody") => {
                Some(Form::Request)
            }
            "content-type" if has("text/x-msmsgsinvite") => Some(Form::FileTransfer),
            "session-protocol" if has("sm1") => Some(Form::Voice),
            _ => None,
        };
        self.form = form.or(self.form);
        if word.eq_ignore_ascii_case("from") && self.from.is_none() {
            let account = value.trim().strip_prefix("<msnmsgr:");
            let account = account.and_then(|rest| rest.split(['>', ';']).next());
            self.from = account.map(|account| excerpt(account, 129));
        }
    }

    fn invitation(self) -> Option<Invitation> {
        self.is_invitation.then(|| Invitation {
            form: self.form.unwrap_or(Form::Fields),
            from: self.from,
            fields: self.fields,
        })
    }
}
