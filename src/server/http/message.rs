//! HTTP/1 messages, as far as clients of the time use them: bounded, and with header names in exact
//! case. Pure.

use secrecy::zeroize::Zeroizing;

use crate::secret::SecretString;

/// The longest request line with its headers, in bytes.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// The most headers; clients of the time send up to eleven.
const MAX_HEADERS: usize = 64;

/// The longest body, in bytes: far more than a client sends at once.
const MAX_BODY: usize = 32 * 1024;

/// A request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    /// The path; it starts with `/`.
    pub(super) path: String,
    /// The part after the `?`.
    pub(super) query: String,
    /// The server as the client names it: the target's authority, else `Host`.
    pub(super) host: Option<String>,
    /// The `Authorization` header.
    pub(super) authorization: Option<SecretString>,
    /// The body; behind the gateway it may contain a ticket.
    pub(super) body: Zeroizing<Vec<u8>>,
    /// Whether the client may send another request on the same connection.
    pub(super) keeps_alive: bool,
    /// HTTP/1.0 closes the connection unless the answer says otherwise.
    pub(super) is_http_1_0: bool,
}

/// The methods that are distinguished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Post,
    Other,
}

/// A response.
pub(super) struct Response {
    /// Code and reason.
    pub(super) status: &'static str,
    /// Header lines with their line ends; one may contain a ticket.
    pub(super) headers: Zeroizing<String>,
    pub(super) body: Vec<u8>,
}

impl Response {
    /// A response without headers and body.
    pub(super) fn new(status: &'static str) -> Self {
        Self {
            status,
            headers: Zeroizing::default(),
            body: Vec::new(),
        }
    }

    /// Adds a header. A secret one must be the last, because growing could leave a copy behind.
    pub(super) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.reserve(name.len() + value.len() + 4);
        for part in [name, ": ", value, "\r\n"] {
            self.headers.push_str(part);
        }
        self
    }
}

/// A head without its body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) request: Request,
    pub(super) length: usize,
    pub(super) wants_continue: bool,
}

pub(super) const BAD_REQUEST: &str = "400 Bad Request";
pub(super) const HEAD_TOO_LARGE: &str = "431 Request Header Fields Too Large";

/// Parses a complete head, including its empty line. The error is the status that rejects it.
pub(super) fn parse(head: &[u8]) -> Result<Head, &'static str> {
    let line_end = memchr::memchr(b'\n', head).ok_or(BAD_REQUEST)?;
    let line = head[..line_end].trim_ascii_end();
    if is_versionless(line) {
        let rest = &head[line_end..];
        return parse(&Zeroizing::new([line, b" HTTP/1.0", rest].concat()));
    }
    let mut space = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut space);
    match request.parse(head) {
        Ok(status) if status.is_complete() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(HEAD_TOO_LARGE),
        Ok(_) | Err(_) => return Err(BAD_REQUEST),
    }
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("POST") => Method::Post,
        _ => Method::Other,
    };
    let headers = &*request.headers;
    if header(headers, "Transfer-Encoding").is_some() {
        return Err("501 Not Implemented");
    }
    let length = content_length(headers)?;
    let is_http_1_0 = request.version == Some(0);
    // Owned at once, so that no second copy of a secret is left behind.
    let text = |value: &[u8]| String::from_utf8_lossy(value.trim_ascii()).into_owned();
    let (authority, rest) = split_target(request.path.unwrap_or("/"));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    Ok(Head {
        request: Request {
            method,
            path: format!("/{}", path.trim_start_matches('/')),
            query: query.to_owned(),
            host: authority
                .map(str::to_owned)
                .or_else(|| header(headers, "Host").map(text))
                .filter(|host| !host.is_empty()),
            authorization: header(headers, "Authorization")
                .map(|value| SecretString::from(text(value))),
            body: Zeroizing::default(),
            keeps_alive: match is_http_1_0 {
                true => contains_token(headers, "Connection", b"keep-alive"),
                false => !contains_token(headers, "Connection", b"close"),
            },
            is_http_1_0,
        },
        length,
        wants_continue: !is_http_1_0 && contains_token(headers, "Expect", b"100-continue"),
    })
}

/// Whether a request line ends after the target: `GET /rdr/pprdr.asp`.
fn is_versionless(line: &[u8]) -> bool {
    let target = line.strip_prefix(b"GET ").unwrap_or_default();
    !target.is_empty() && !target.contains(&b' ')
}

/// Splits off the authority of an absolute target, which clients send to proxies.
fn split_target(target: &str) -> (Option<&str>, &str) {
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            (Some(&rest[..end]), &rest[end..])
        }
        _ => (None, target),
    }
}

fn content_length(headers: &[httparse::Header<'_>]) -> Result<usize, &'static str> {
    let mut values = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("Content-Length"))
        .map(|header| header.value.trim_ascii());
    let digits = values.next().unwrap_or(b"0");
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    // Contradicting lengths are an attack.
    if !is_number || values.any(|other| other != digits) {
        return Err(BAD_REQUEST);
    }
    match String::from_utf8_lossy(digits).parse() {
        Ok(length) if length <= MAX_BODY => Ok(length),
        _ => Err("413 Content Too Large"),
    }
}

/// The value of the first header with this name.
fn header<'a>(headers: &'a [httparse::Header<'_>], name: &str) -> Option<&'a [u8]> {
    headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value)
}

/// Whether the comma-separated value of a header contains a token.
fn contains_token(headers: &[httparse::Header<'_>], name: &str, token: &[u8]) -> bool {
    header(headers, name).is_some_and(|value| {
        value
            .split(|byte| *byte == b',')
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
    })
}

/// Where the empty line after a head ends, searched from `from` on.
pub(super) fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(b'\n', &bytes[from..])
        .map(|at| from + at + 1)
        .find_map(|next| match &bytes[next..] {
            [b'\n', ..] => Some(next + 1),
            [b'\r', b'\n', ..] => Some(next + 2),
            _ => None,
        })
}

/// A request for tests of the pages.
#[cfg(test)]
pub(super) fn test_request(method: Method, path: &str) -> Request {
    Request {
        method,
        path: path.to_owned(),
        query: String::new(),
        host: None,
        authorization: None,
        body: Zeroizing::default(),
        keeps_alive: true,
        is_http_1_0: false,
    }
}

#[cfg(test)]
mod tests;
