//! Bytes to commands: bounded, without copies, linear whatever size the pieces come in.

use std::fmt;

use bytes::{Buf, BytesMut};

use super::Command;

/// The longest line accepted, in bytes, its end included. Tickets are the longest words seen, at
/// about 1.5 KiB.
pub const MAX_LINE: usize = 8 * 1024;

/// The longest payload accepted, in bytes. The longest profile seen has 1462.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// How far to look for the next command after something unreadable, in bytes.
const MAX_SKIP: usize = MAX_PAYLOAD;

/// Whose commands are read: the payload commands of the two directions differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Commands that a server sends.
    Server,
    /// Commands that a client sends.
    Client,
}

/// What bytes that are not MSNP look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LooksLike {
    /// An HTTP response or request.
    Http,
    /// A TLS record.
    Tls,
    /// An SSH greeting.
    Ssh,
    /// Nothing known.
    Unknown,
}

impl fmt::Display for LooksLike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Tls => "TLS",
            Self::Ssh => "SSH",
            Self::Unknown => "a protocol other than MSNP",
        })
    }
}

/// Why decoding cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// A line that does not end.
    #[error("a line is longer than {MAX_LINE} bytes")]
    LineTooLong,
    /// A payload larger than anything real.
    #[error("{command} announces a payload of {announced} bytes; the limit is {MAX_PAYLOAD}")]
    PayloadTooLong {
        /// The command.
        command: String,
        /// The length as it stood in the line, cut after 20 characters.
        announced: String,
    },
    /// A payload command whose length is not a number.
    #[error("{command} has no payload length")]
    NoLength {
        /// The command.
        command: String,
    },
    /// The input is not MSNP.
    #[error("the other end speaks {0}")]
    NotMsnp(LooksLike),
}

/// Cuts a stream of bytes into commands.
///
/// Feed it, then call [`decode`](Self::decode) until it returns `None`. A command borrows from
/// the buffer; nothing is copied out. What was read of an unfinished line is never read again.
#[derive(Debug)]
pub struct Decoder {
    side: Side,
    buffer: BytesMut,
    /// Length of the command returned last; it is removed before the next one is looked for.
    spent: usize,
    /// How far the unfinished line has been searched for its end.
    searched: usize,
    /// A complete line that waits for its payload.
    pending: Option<Head>,
    resync: bool,
    /// Within a line that is skipped, whose end has not come yet.
    skipping: bool,
    skipped: usize,
}

/// A line that was found: where it ends, and how long the whole command is.
#[derive(Clone, Copy, Debug)]
struct Head {
    /// Length of the line with its end.
    line: usize,
    /// Length of the payload.
    payload: usize,
}

impl Decoder {
    /// A decoder for the commands that `side` sends.
    #[must_use]
    pub fn new(side: Side) -> Self {
        Self {
            side,
            buffer: BytesMut::new(),
            spent: 0,
            searched: 0,
            pending: None,
            resync: false,
            skipping: false,
            skipped: 0,
        }
    }

    /// From here on, look for the next command where something unreadable comes, instead of
    /// giving up: an unknown command's payload may stand there.
    pub const fn resynchronise(&mut self) {
        self.resync = true;
    }

    /// Appends bytes that were received.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.space().extend_from_slice(bytes);
    }

    /// The buffer to read into; only append to it.
    pub fn space(&mut self) -> &mut BytesMut {
        self.release();
        &mut self.buffer
    }

    /// Whether a command has begun and not ended: a connection that closes here was cut.
    #[must_use]
    pub fn is_midway(&self) -> bool {
        self.buffer.len() > self.spent
    }

    fn release(&mut self) {
        self.buffer.advance(self.spent);
        self.spent = 0;
    }

    /// The next complete command, or `None` where more bytes are needed.
    ///
    /// # Errors
    /// [`CodecError`]; the stream cannot be read on after one.
    pub fn decode(&mut self) -> Result<Option<Command<'_>>, CodecError> {
        self.release();
        let Some(head) = self.head()? else {
            return Ok(None);
        };
        let whole = head.line + head.payload;
        if self.buffer.len() < whole {
            self.pending = Some(head);
            return Ok(None);
        }
        self.pending = None;
        self.searched = 0;
        self.spent = whole;
        let (line, payload) = self.buffer[..whole].split_at(head.line);
        Ok(Some(Command::new(trim_end(line), payload)))
    }

    /// Finds the line that begins the buffer.
    fn head(&mut self) -> Result<Option<Head>, CodecError> {
        if self.pending.is_some() {
            return Ok(self.pending);
        }
        loop {
            let looks = foreign(&self.buffer);
            if self.skipping || (self.resync && looks.is_some()) {
                if !self.skip_line()? {
                    return Ok(None);
                }
                continue;
            }
            if let Some(looks) = looks {
                return Err(CodecError::NotMsnp(looks));
            }
            let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) else {
                self.searched = self.buffer.len();
                if self.searched >= MAX_LINE {
                    return Err(CodecError::LineTooLong);
                }
                return Ok(None);
            };
            let line = self.searched + at + 1;
            if line > MAX_LINE {
                return Err(CodecError::LineTooLong);
            }
            let text = trim_end(&self.buffer[..line]);
            if text.is_empty() {
                self.buffer.advance(line);
                self.searched = 0;
                continue;
            }
            let payload = payload_length(self.side, text)?;
            return Ok(Some(Head { line, payload }));
        }
    }

    /// Drops everything up to the next line; false where that line is not there yet.
    fn skip_line(&mut self) -> Result<bool, CodecError> {
        self.searched = 0;
        let end = memchr::memchr(b'\n', &self.buffer);
        let drop = end.map_or(self.buffer.len(), |at| at + 1);
        self.buffer.advance(drop);
        self.skipping = end.is_none();
        self.skipped += drop;
        if self.skipped > MAX_SKIP {
            return Err(CodecError::NotMsnp(LooksLike::Unknown));
        }
        Ok(end.is_some())
    }
}

/// What the start of a line is if it is not a command, as early as that can be told.
fn foreign(start: &[u8]) -> Option<LooksLike> {
    let name = &start[..start.len().min(3)];
    // An empty line is skipped elsewhere.
    if matches!(name, [] | [b'\n', ..] | [b'\r'] | [b'\r', b'\n', ..]) {
        return None;
    }
    let is_name = name
        .iter()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let ends = matches!(start.get(3), None | Some(b' ' | b'\t' | b'\r' | b'\n'));
    if is_name && ends {
        return None;
    }
    Some(match start {
        [b'H', b'T', b'T', b'P', ..] | [b'G', b'E', b'T', ..] | [b'P', b'O', b'S', b'T', ..] => {
            LooksLike::Http
        }
        [0x14..=0x17, 3, ..] | [0x14..=0x17] => LooksLike::Tls,
        [b'S', b'S', b'H', b'-', ..] => LooksLike::Ssh,
        _ => LooksLike::Unknown,
    })
}

/// The line without its end (LF or CR LF) and trailing blanks.
fn trim_end(line: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let end = line
        .iter()
        .rposition(|byte| !blank(byte))
        .map_or(0, |at| at + 1);
    &line[..end]
}

/// Whether a command carries a payload.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Carries {
    Nothing,
    /// Always; the last parameter is the length.
    Always,
    /// When the last of at least two parameters is a number.
    WhenNumeric,
}

/// The payload commands of MSNP8 to MSNP13 and those of later versions that occur (hypothetic.org,
/// general/commands; the tables of servers seen agree).
fn carries(side: Side, line: &[u8]) -> Carries {
    let Some(name) = line.first_chunk::<3>() else {
        return Carries::Nothing;
    };
    match (side, name) {
        (Side::Server, b"MSG" | b"NOT" | b"IPG" | b"UBX") => Carries::Always,
        (Side::Client, b"MSG" | b"QRY" | b"UUX") => Carries::Always,
        (
            Side::Server,
            b"GCF" | b"UBN" | b"UBM" | b"ADL" | b"RML" | b"FQY" | b"241" | b"NFY" | b"PUT" | b"DEL"
            | b"SDG",
        )
        | (
            Side::Client,
            b"PGD" | b"PAG" | b"ADL" | b"RML" | b"FQY" | b"UUN" | b"UUM" | b"PUT" | b"DEL" | b"SDG"
            | b"VAS" | b"SDC",
        ) => Carries::WhenNumeric,
        _ => Carries::Nothing,
    }
}

fn payload_length(side: Side, line: &[u8]) -> Result<usize, CodecError> {
    let carries = carries(side, line);
    if carries == Carries::Nothing {
        return Ok(0);
    }
    let command = Command::new(line, &[]);
    let word = command.args().last().unwrap_or_default();
    let numeric = !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    if carries == Carries::WhenNumeric && (!numeric || command.args().nth(1).is_none()) {
        return Ok(0);
    }
    let name = command.name().to_owned();
    if !numeric {
        return Err(CodecError::NoLength { command: name });
    }
    let length = std::str::from_utf8(word)
        .ok()
        .and_then(|text| text.parse().ok());
    match length {
        Some(length) if length <= MAX_PAYLOAD => Ok(length),
        _ => Err(CodecError::PayloadTooLong {
            command: name,
            announced: String::from_utf8_lossy(&word[..word.len().min(20)]).into_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
