//! Free text: what looks like an address, a host, an account or a known port is replaced. Where
//! that is doubtful, it is.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Mask, SHORT, key};

/// Smaller numbers are seconds, error codes and counts.
const FIRST_BARE_PORT: u16 = 1024;

/// The longest IPv6 address, in bytes, and what ends a sentence.
const LONGEST_V6: usize = 48;

/// Ends of file names; none of them is a top-level domain.
const FILES: [&str; 8] = ["asp", "aspx", "dll", "html", "pem", "php", "srf", "txt"];

/// Paths that every Passport server and gateway has.
const PATHS: [&str; 4] = ["/", "/rdr/pprdr.asp", "/login2.srf", "/gateway/gateway.dll"];

/// The path of a URL at the beginning of the text: writes what is shown of it, and how many bytes it
/// had.
fn path_after(text: &str, shown: &mut String) -> usize {
    let is_path = |c: char| !c.is_whitespace() && !['\'', '"', '<', '>', ')'].contains(&c);
    let path = run(text, is_path).trim_end_matches([',', ';', ':', '.']);
    if !path.starts_with(['/', '?', '#']) {
        return 0;
    }
    *shown += if PATHS.contains(&path) { path } else { "/…" };
    path.len()
}

impl Mask {
    /// The text with the accounts registered, addresses of both families, `host:port`, hosts in
    /// URLs, their paths, e-mail addresses, names with a dot, and known ports replaced.
    #[must_use]
    pub fn text(&mut self, text: &str) -> String {
        self.scan(text, FIRST_BARE_PORT)
    }

    /// The text of a profile's `ClientPort`, in which every number is a port.
    #[must_use]
    pub fn port_text(&mut self, text: &str) -> String {
        for digits in text.split(|c: char| !c.is_ascii_digit()) {
            digits.parse().map(|port| self.port(port)).ok();
        }
        self.scan(text, 1)
    }

    /// The text masked; numbers from `least` on are ports if such a port is known.
    fn scan(&mut self, text: &str, least: u16) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut at = 0;
        while let Some(next) = text[at..].chars().next() {
            let (before, rest) = text.split_at(at);
            let is_word = next.is_alphanumeric() || next == ':';
            at += match self.form(before, rest, &mut shown) {
                0 if is_word => self.word(before, rest, least, &mut shown),
                taken => taken,
            };
            let (before, word) = text[..at].split_at(before.len());
            if !word.is_empty() && (before.ends_with("://") || before.ends_with("://[")) {
                at += path_after(&text[at..], &mut shown);
            }
            if at == before.len() {
                shown.push(next);
                at += next.len_utf8();
            }
        }
        shown
    }

    /// Takes one word or value from the beginning of `text` and writes what is shown of it; how
    /// many bytes it had. `before` is what precedes it.
    fn word(&mut self, before: &str, text: &str, least: u16, shown: &mut String) -> usize {
        if let Some(length) = e_mail(text) {
            *shown += &self.account(&text[..length]);
            return length + self.port_after(&text[length..], shown);
        }
        if let Some((length, ip)) = v6(text) {
            *shown += &self.ip(ip.into()).to_string();
            return length + self.after_v6(before, &text[length..], shown);
        }
        let word = run(text, is_host).trim_end_matches(['.', '-', '_']);
        let after = &text[word.len()..];
        if let Some(ip) = v4(word) {
            *shown += &self.ip(ip.into()).to_string();
            return word.len() + self.port_after(after, shown);
        }
        let has_letter = word.contains(char::is_alphabetic);
        let is_name = self.names.contains_key(&key(word)) && word.len() >= SHORT
            || before.ends_with("://")
            || has_letter && (is_named_port(after) || is_dotted_name(before, word));
        if is_name && !word.is_empty() {
            *shown += &self.name(word);
            return word.len() + self.port_after(after, shown);
        }
        match word.parse() {
            Ok(port) if is_said(before) => *shown += &self.port(port).to_string(),
            _ => self.parts(word, least, shown),
        }
        word.len()
    }

    /// A registered account or host at the beginning of the text: writes its mask, and how many
    /// bytes it had.
    fn form(&mut self, before: &str, text: &str, shown: &mut String) -> usize {
        if !is_edge(before, text) {
            return 0;
        }
        let found = self.forms.iter().find_map(|(form, mask)| {
            let mut rest = text.chars();
            let mut lower = rest.by_ref().flat_map(char::to_lowercase);
            let is_there = form.chars().all(|expected| lower.next() == Some(expected));
            let length = text.len() - rest.as_str().len();
            let (taken, rest) = text.split_at(length);
            (is_there && is_edge(taken, rest)).then_some((length, mask))
        });
        let Some((length, mask)) = found else {
            return 0;
        };
        *shown += mask;
        length + self.port_after(&text[length..], shown)
    }

    /// `:port` at the beginning of the text: writes its mask, and how many bytes it had.
    fn port_after(&mut self, text: &str, shown: &mut String) -> usize {
        let Some((length, port)) = port(text) else {
            return 0;
        };
        *shown += &format!(":{}", self.port(port));
        length
    }

    /// What may follow an IPv6 address: a zone, the end of brackets and a port.
    fn after_v6(&mut self, before: &str, text: &str, shown: &mut String) -> usize {
        let mut taken = 0;
        if let Some(zone) = text.strip_prefix('%') {
            *shown += "%zone";
            taken = 1 + run(zone, is_host).trim_end_matches('.').len();
        }
        if before.ends_with('[') && text[taken..].starts_with(']') {
            shown.push(']');
            taken += 1;
            taken += self.port_after(&text[taken..], shown);
        }
        taken
    }

    /// A word that is nothing as a whole, with the accounts, hosts, IPv4 addresses and ports
    /// within it masked.
    fn parts(&mut self, word: &str, least: u16, shown: &mut String) {
        let mut at = 0;
        while let Some(next) = word[at..].chars().next() {
            let (before, rest) = word.split_at(at);
            at += self.form(before, rest, shown);
            if at > before.len() {
                continue;
            }
            let numbers = run(rest, |c| c.is_ascii_digit() || c == '.');
            let end = numbers.match_indices('.').nth(3).map(|(end, _)| end);
            let four = numbers[..end.unwrap_or(numbers.len())].trim_end_matches('.');
            let digits = run(rest, |c| c.is_ascii_digit());
            let port = digits.parse().ok().filter(|port| *port >= least);
            at += if let Some(ip) = v4(four) {
                *shown += &self.ip(ip.into()).to_string();
                four.len()
            } else if let Some(mask) = port.and_then(|port| self.ports.get(&port)) {
                *shown += &mask.to_string();
                digits.len()
            } else {
                let as_is = digits.len().max(next.len_utf8());
                *shown += &rest[..as_is];
                as_is
            };
        }
    }
}

/// Whether the next number is said to be a port.
fn is_said(before: &str) -> bool {
    let before = before.trim_end();
    [" port", "Port"].iter().any(|word| before.ends_with(word))
}

/// Whether a word may end between the two. Other scripts write words side by side.
fn is_edge(before: &str, after: &str) -> bool {
    let is_ascii = |c: Option<char>| c.filter(|c| c.is_alphanumeric()).map(|c| c.is_ascii());
    let (left, right) = (
        is_ascii(before.chars().next_back()),
        is_ascii(after.chars().next()),
    );
    left.is_none() || left != right
}

/// The longest beginning of a text of such characters.
fn run(text: &str, is_one: impl Fn(char) -> bool) -> &str {
    let end = text.find(|c| !is_one(c)).unwrap_or(text.len());
    &text[..end]
}

fn is_host(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '-' | '_')
}

/// `:port` at the beginning: its length and the port.
fn port(text: &str) -> Option<(usize, u16)> {
    let digits = run(text.strip_prefix(':')?, |c| c.is_ascii_digit());
    let length = 1 + digits.len();
    let port = digits.parse().ok().filter(|port| *port != 0)?;
    let goes_on = text[length..].starts_with(char::is_alphanumeric);
    (!goes_on).then_some((length, port))
}

/// Whether a word with a port after it may be a host: `T23:50:40` is a time.
fn is_named_port(after: &str) -> bool {
    let rest = port(after).map(|(length, _)| after[length..].strip_prefix(':').unwrap_or_default());
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// The length of `local@host` at the beginning.
fn e_mail(text: &str) -> Option<usize> {
    let local = run(text, |c| is_host(c) || matches!(c, '%' | '+'));
    let host = text[local.len()..].strip_prefix('@')?;
    let host = run(host, is_host).trim_end_matches(['.', '-', '_']);
    (!host.is_empty()).then_some(local.len() + 1 + host.len())
}

/// An IPv6 address at the beginning, and its length.
fn v6(text: &str) -> Option<(usize, Ipv6Addr)> {
    let word = run(text, |c| c.is_ascii_hexdigit() || matches!(c, ':' | '.'));
    let mut word = &word[..word.len().min(LONGEST_V6)];
    if text[word.len()..].starts_with(char::is_alphanumeric) {
        return None;
    }
    loop {
        if let Ok(ip) = word.parse() {
            return Some((word.len(), ip));
        }
        // A sentence or a message goes on after it.
        word = word.strip_suffix(['.', ':'])?;
    }
}

/// An IPv4 address, also with zeros before its numbers.
fn v4(word: &str) -> Option<Ipv4Addr> {
    let mut parts = word.split('.');
    let mut next = || {
        let digits = parts.next().filter(|part| part.len() <= 3)?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u8>().ok().filter(|_| is_number)
    };
    let ip = Ipv4Addr::new(next()?, next()?, next()?, next()?);
    parts.next().is_none().then_some(ip)
}

/// Whether a word is a host name by its dots: no version, no file.
fn is_dotted_name(before: &str, word: &str) -> bool {
    let Some((_, end)) = word.rsplit_once('.') else {
        return false;
    };
    let is_path = before.ends_with(['/', '\\']);
    let is_file = FILES.contains(&end.to_lowercase().as_str());
    let is_domain = end.chars().count() >= 2 && !end.contains(|c: char| c.is_ascii_digit());
    is_domain && !is_path && !is_file
}
