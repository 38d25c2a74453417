//! The initial profile: what the server sees of the connection.

use std::net::IpAddr;

use super::MAX_PAYLOAD;
use crate::secret::SecretString;

/// The content type that tells the profile from every other message.
const CONTENT_TYPE: &[u8] = b"text/x-msmsgsprofile";

/// The two fields of the initial profile that say what the server sees.
///
/// The profile holds single sign-on secrets too. `MSPAuth` is kept so that it can be hidden where
/// the server repeats it; nothing else is read.
/// Source: hypothetic.org, notification/messages ("Initial profile").
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// `ClientIP`, trimmed; `None` where the profile has no such field.
    pub client_ip: Option<String>,
    /// `ClientPort`, trimmed; `None` where the profile has no such field.
    pub client_port: Option<String>,
    /// `MSPAuth`, trimmed; `None` where the profile has no such field.
    pub sso: Option<SecretString>,
}

impl PartialEq for Profile {
    /// Compares what the server sees; secrets are not compared.
    fn eq(&self, other: &Self) -> bool {
        (&self.client_ip, &self.client_port) == (&other.client_ip, &other.client_port)
    }
}

impl Eq for Profile {}

impl Profile {
    /// Reads a message's payload; `None` where it is another message.
    ///
    /// Field names and the content type are compared without case, line ends may be LF or CR LF,
    /// fields may come in any order and be missing, the first of a repeated field counts. The
    /// fields end at the first empty line: what follows is a message's body.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        Self::of_fields(payload.split(|byte| *byte == b'\n'))
    }

    /// Reads the fields of a message, one a line, up to the first empty line.
    fn of_fields<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut profile = Self::default();
        let mut is_profile = None;
        for line in unfolded(lines.take_while(|line| !line.trim_ascii().is_empty())) {
            let Some((name, value)) = field(&line) else {
                continue;
            };
            let text = || String::from_utf8_lossy(value).into_owned();
            match name.to_ascii_lowercase().as_slice() {
                b"content-type" => {
                    is_profile.get_or_insert_with(|| is_profile_type(value));
                }
                b"mspauth" => {
                    profile
                        .sso
                        .get_or_insert_with(|| SecretString::from(text()));
                }
                b"clientip" => {
                    profile.client_ip.get_or_insert_with(text);
                }
                b"clientport" => {
                    profile.client_port.get_or_insert_with(text);
                }
                _ => {}
            }
        }
        is_profile?.then_some(profile)
    }
}

/// The fields, each on one line: a line that begins with a blank goes on with the one before it
/// (RFC 5322 §2.2.3).
fn unfolded<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut fields: Vec<Vec<u8>> = Vec::new();
    for line in lines {
        match fields.last_mut() {
            Some(field) if line.starts_with(b" ") || line.starts_with(b"\t") => {
                field.truncate(field.trim_ascii_end().len());
                field.push(b' ');
                field.extend_from_slice(line.trim_ascii());
            }
            _ => fields.push(line.to_vec()),
        }
    }
    fields
}

/// `name: value`, both trimmed.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
}

fn is_profile_type(value: &[u8]) -> bool {
    value
        .get(..CONTENT_TYPE.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(CONTENT_TYPE))
}

/// Finds the last profile in a saved payload or in a transcript that contains one.
///
/// Uses the header fields after the last `MSG` command that a profile follows; without one, the first
/// header block. Ignores the bodies of messages.
///
/// Removes line prefixes such as a time or a direction. The prefix is what precedes the command or
/// `Content-Type:`. From a line with another prefix, the same number of bytes is removed.
#[must_use]
pub fn find_profile(saved: &[u8]) -> Option<Profile> {
    // Some editors begin a file with a byte order mark.
    let saved = saved.strip_prefix(b"\xef\xbb\xbf").unwrap_or(saved);
    let lines: Vec<&[u8]> = saved
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .collect();
    let mut found = None;
    let mut is_any = false;
    let mut at = 0;
    while let Some(&line) = lines.get(at) {
        let rest = &lines[at + 1..];
        if let Some((before, length)) = message_at(line) {
            let block = Block::after(&line[..before], rest);
            found = block.profile().or(found);
            is_any = true;
            at += 1 + block.lines_of(length);
        } else if !is_any && let Some(before) = content_type_at(line) {
            let prefix = &line[..before];
            let is_field = |line: &&&[u8]| is_field(bare(prefix, line));
            let first = at - lines[..at].iter().rev().take_while(is_field).count();
            let lines = &lines[first..];
            found = Block { prefix, lines }.profile();
            is_any = true;
            at += 1;
        } else {
            at += 1;
        }
    }
    found
}

/// The lines of a transcript from the first of a message's payload on.
struct Block<'a> {
    prefix: &'a [u8],
    lines: &'a [&'a [u8]],
}

impl<'a> Block<'a> {
    /// What follows a command that has `prefix` before it. Its payload has the same, or nothing,
    /// or what stands before its content type.
    fn after(prefix: &'a [u8], lines: &'a [&'a [u8]]) -> Self {
        let prefix = lines
            .iter()
            .take_while(|line| !bare(prefix, line).trim_ascii().is_empty())
            .find_map(|line| Some(&line[..content_type_at(line)?]))
            .unwrap_or(prefix);
        Self { prefix, lines }
    }

    fn profile(&self) -> Option<Profile> {
        Profile::of_fields(self.lines.iter().map(|line| bare(self.prefix, line)))
    }

    /// How many lines a payload of `length` bytes takes; each ended in CR LF on the wire.
    fn lines_of(&self, length: usize) -> usize {
        let mut room = length;
        self.lines
            .iter()
            .take_while(|line| {
                let begins = room > 0;
                room = room.saturating_sub(bare(self.prefix, line).len() + 2);
                begins
            })
            .count()
    }
}

/// A transcript's line without what stands before every line.
fn bare<'a>(prefix: &[u8], line: &'a [u8]) -> &'a [u8] {
    line.strip_prefix(prefix)
        .or_else(|| line.get(prefix.len()..))
        .unwrap_or_default()
}

fn is_field(line: &[u8]) -> bool {
    let is_folded = line.starts_with(b" ") || line.starts_with(b"\t");
    is_folded || field(line).is_some_and(|(name, _)| !name.is_empty() && !name.contains(&b' '))
}

/// Where `MSG sender nick length` begins in a line, which it ends, and the length.
fn message_at(line: &[u8]) -> Option<(usize, usize)> {
    const NAME: &[u8] = b"MSG ";
    let at = line.windows(NAME.len()).position(|w| w == NAME)?;
    let mut words = line[at + NAME.len()..]
        .trim_ascii_end()
        .split(|byte| *byte == b' ');
    let (_sender, _nick, length) = (words.next()?, words.next()?, words.next()?);
    let length = std::str::from_utf8(length).ok()?.parse().ok()?;
    (words.next().is_none() && length <= MAX_PAYLOAD).then_some((at, length))
}

/// Where `Content-Type:` begins in a line.
fn content_type_at(line: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-type:";
    line.windows(NAME.len())
        .position(|w| w.eq_ignore_ascii_case(NAME))
}

/// Writes the profile as Microsoft's servers did: same fields, same order.
///
/// `client_port` is printed as it is given, in whatever order of bytes. `None` leaves a field
/// out. `sso` becomes `MSPAuth`.
pub(crate) struct ClassicProfile<'a> {
    /// Unix time of the login, seconds.
    pub(crate) login_time: u64,
    /// The address the server sees.
    pub(crate) client_ip: Option<IpAddr>,
    /// The number to print as the port the server sees.
    pub(crate) client_port: Option<u16>,
    /// Opaque text for `MSPAuth`, without the `$$` at its end.
    pub(crate) sso: &'a str,
    /// Whether the dialect is MSNP10 or later.
    pub(crate) has_migrated: bool,
}

impl ClassicProfile<'_> {
    /// Appends the payload of the message.
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        let mut append = |pieces: &[&str]| append(out, pieces);
        append(&[
            "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsprofile; charset=UTF-8\r\nLoginTime: ",
            digits.format(self.login_time),
            "\r\nEmailEnabled: 0\r\nMemberIdHigh: 1\r\nMemberIdLow: 2\r\n\
             lang_preference: 1033\r\npreferredEmail: \r\ncountry: US\r\nPostalCode: \r\n\
             Gender: \r\nKid: 0\r\nAge: \r\nBDayPre: \r\nBirthday: \r\nWallet: \r\nFlags: 1027\r\n\
             sid: 507\r\nkv: 11\r\nMSPAuth: ",
            self.sso,
            "$$\r\n",
        ]);
        match self.client_ip {
            Some(IpAddr::V4(ip)) => {
                let mut before = "ClientIP: ";
                for octet in ip.octets() {
                    append(&[before, digits.format(octet)]);
                    before = ".";
                }
                append(&["\r\n"]);
            }
            Some(IpAddr::V6(ip)) => append(&["ClientIP: ", &ip.to_string(), "\r\n"]),
            None => {}
        }
        if let Some(port) = self.client_port {
            append(&["ClientPort: ", digits.format(port), "\r\n"]);
        }
        if self.has_migrated {
            append(&["ABCHMigrated: 1\r\n"]);
        }
        append(&["\r\n"]);
    }
}

/// Appends the pieces one after the other. `write!` would be a tenth of what a login takes of the
/// server.
pub(crate) fn append(out: &mut Vec<u8>, pieces: &[&str]) {
    for piece in pieces {
        out.extend_from_slice(piece.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classic() -> String {
        let profile = ClassicProfile {
            login_time: 1_700_000_000,
            client_ip: Some(IpAddr::from([203, 0, 113, 7])),
            client_port: Some(2308),
            sso: "testticket",
            has_migrated: false,
        };
        let mut payload = Vec::new();
        profile.append_to(&mut payload);
        String::from_utf8(payload).unwrap()
    }

    fn both(profile: Option<Profile>) -> (Option<String>, Option<String>) {
        let profile = profile.expect("a profile");
        (profile.client_ip, profile.client_port)
    }

    fn pair(ip: &str, port: &str) -> (Option<String>, Option<String>) {
        (Some(ip.into()), Some(port.into()))
    }

    #[test]
    fn the_classic_form_has_its_known_length_and_reads_back() {
        assert_eq!(classic().len(), 366);
        assert_eq!(
            both(Profile::parse(classic().as_bytes())),
            pair("203.0.113.7", "2308")
        );
    }

    #[test]
    fn another_message_is_no_profile() {
        for other in [
            "Content-Type: text/x-msmsgsemailnotification\r\n\r\n",
            "",
            "ClientIP: 1.1.1.1\r\nClientPort: 1\r\n",
        ] {
            assert!(Profile::parse(other.as_bytes()).is_none(), "{other}");
        }
    }

    #[test]
    fn order_case_line_ends_and_repeats_do_not_matter() {
        let odd = b"clientip:203.0.113.7\nCLIENTPORT :  516. \nClientPort: 9\ncontent-TYPE: Text/X-MSMSGSprofile\n";
        assert_eq!(both(Profile::parse(odd)), pair("203.0.113.7", "516."));
    }

    #[test]
    fn a_missing_field_is_not_an_empty_one() {
        let profile = Profile::parse(b"Content-Type: text/x-msmsgsprofile\r\nClientPort:\r\n");
        assert_eq!(both(profile), (None, Some(String::new())));
    }

    #[test]
    fn a_transcript_may_have_something_before_each_line() {
        let bare = format!(
            "USR 7 OK a@b.c A 1 0\r\nMSG Hotmail Hotmail 366\r\n{}NLN x\r\n",
            classic()
        );
        assert_eq!(
            both(find_profile(bare.as_bytes())),
            pair("203.0.113.7", "2308")
        );

        let marked: String = bare.lines().map(|line| format!("S: {line}\n")).collect();
        assert_eq!(
            both(find_profile(marked.as_bytes())),
            pair("203.0.113.7", "2308")
        );

        let timed: String = bare
            .lines()
            .enumerate()
            .map(|(n, line)| format!("12:00:{n:02} <<< {line}\n"))
            .collect();
        assert_eq!(
            both(find_profile(timed.as_bytes())),
            pair("203.0.113.7", "2308")
        );
    }

    #[test]
    fn fields_of_other_messages_in_a_transcript_do_not_count() {
        let two = format!(
            "ClientIP: 9.9.9.9\r\n\r\n{}ClientIP: 8.8.8.8\r\n",
            classic()
        );
        assert_eq!(
            both(find_profile(two.as_bytes())),
            pair("203.0.113.7", "2308")
        );
        assert!(find_profile(b"nothing here").is_none());
    }

    #[test]
    fn fields_in_the_body_of_a_message_do_not_count() {
        let lies = "Content-Type: text/x-msmsgsprofile\r\nClientIP: 9.9.9.9\r\nClientPort: 9\r\n";
        let mail = "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsemailnotification\r\n";
        for payload in [
            format!("{mail}\r\n{lies}\r\n"),
            format!("{mail}{lies}\r\n"),
            format!("\r\n{lies}"),
        ] {
            assert!(Profile::parse(payload.as_bytes()).is_none(), "{payload}");
            let before = format!("MSG Hotmail Hotmail {}\r\n{payload}", payload.len());
            assert!(find_profile(before.as_bytes()).is_none(), "{before}");
            let profile = format!("MSG Hotmail Hotmail 366\r\n{}", classic());
            // A command in a body is none.
            let nested = format!("{mail}\r\nMSG Hotmail Hotmail 99\r\n{lies}\r\n");
            let nested = format!("MSG a a {}\r\n{nested}", nested.len());
            for text in [
                format!("{before}{profile}"),
                format!("{profile}{before}"),
                format!("{profile}{nested}"),
            ] {
                let marked: String = text.lines().map(|line| format!("S: {line}\n")).collect();
                for text in [text, marked] {
                    let found = both(find_profile(text.as_bytes()));
                    assert_eq!(found, pair("203.0.113.7", "2308"), "{text}");
                }
            }
        }
        // The same without the command.
        let saved = format!("{mail}\r\n{lies}");
        assert!(find_profile(saved.as_bytes()).is_none());
        let own = format!("{}ClientIP: 9.9.9.9\r\n{lies}", classic());
        assert_eq!(
            both(find_profile(own.as_bytes())),
            pair("203.0.113.7", "2308")
        );
        assert_eq!(
            both(Profile::parse(own.as_bytes())),
            pair("203.0.113.7", "2308")
        );
    }

    #[test]
    fn byte_order_marks_and_folded_fields_are_read() {
        let folded = "Content-Type:\r\n text/x-msmsgsprofile;\r\n\tcharset=UTF-8\r\nClientIP:\r\n \
                      203.0.113.7\r\nClientPort: \r\n\t2308\r\n\r\n";
        assert_eq!(
            both(Profile::parse(folded.as_bytes())),
            pair("203.0.113.7", "2308")
        );
        for text in [classic(), folded.to_owned()] {
            let marked = format!("\u{feff}{text}");
            assert_eq!(
                both(find_profile(marked.as_bytes())),
                pair("203.0.113.7", "2308")
            );
        }
        let late = format!("MIME-Version:\r\n 1.0\r\n{folded}");
        assert_eq!(
            both(find_profile(late.as_bytes())),
            pair("203.0.113.7", "2308")
        );
    }

    #[test]
    fn the_last_profile_of_a_transcript_counts() {
        let first = classic().replace("203.0.113.7", "203.0.113.8");
        let text = format!(
            "<<< MSG Hotmail Hotmail {}\r\n{first}>>> OUT\r\n<<< MSG Hotmail Hotmail 366\r\n{}",
            first.len(),
            classic()
        );
        assert_eq!(
            both(find_profile(text.as_bytes())),
            pair("203.0.113.7", "2308")
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_do_no_harm(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = Profile::parse(&bytes);
            let _ = find_profile(&[b"Content-Type: text/x-msmsgsprofile\n", &bytes[..]].concat());
            let _ = find_profile(&[&bytes[..], b"Content-Type: text/x-msmsgsprofile\n", &bytes[..]].concat());
            let _ = find_profile(&[b"> MSG a a 100\n", &bytes[..], b"\n> MSG b b 9\n", &bytes[..]].concat());
        }
    }
}
