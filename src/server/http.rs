//! As much HTTP/1 as clients of the time need, with bounds, and with header names in exact case.
//!
//! Parsing is pure; [`Connection`] puts it on a stream.

use std::io::{self, Write as _};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::secret::SecretString;

/// The longest request line with its headers, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// The most headers; the most seen are eleven.
const MAX_HEADERS: usize = 64;

/// The longest body, in bytes: a good deal more than a client has to say at once.
const MAX_BODY: usize = 32 * 1024;

/// How long a request may take to come, and a connection may be kept for the next one.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// How long the last word may take when the server ends.
const CLOSE_TIME: Duration = Duration::from_millis(100);

/// How long a client may take to read an answer.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// What is asked for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    /// The path, always with a `/` before it.
    pub(super) path: String,
    /// What stands after the `?`.
    pub(super) query: String,
    /// Where the client thinks it is: the target's authority, else `Host`.
    pub(super) host: Option<String>,
    /// The `Authorization` header.
    pub(super) authorization: Option<SecretString>,
    /// The body.
    pub(super) body: Vec<u8>,
    /// Whether the client would like to send another one on the same connection.
    keeps: bool,
    /// Whether it must be told about that: HTTP/1.0 closes unless something else is said.
    is_old: bool,
}

/// The methods that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Post,
    Other,
}

/// What is answered.
pub(super) struct Response {
    /// Code and reason.
    pub(super) status: &'static str,
    /// Header lines, each with its end.
    pub(super) headers: String,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) const fn empty(status: &'static str) -> Self {
        Self {
            status,
            headers: String::new(),
            body: Vec::new(),
        }
    }
}

/// A head without its body.
#[derive(Debug)]
struct Head {
    request: Request,
    length: usize,
    wants_continue: bool,
}

/// Why a request is not even looked at: the status that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unfit(&'static str);

const BAD_REQUEST: Unfit = Unfit("400 Bad Request");

/// Reads a whole head, empty line included.
fn parse(head: &[u8]) -> Result<Head, Unfit> {
    let mut space = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let too_many = |error| match error {
        httparse::Error::TooManyHeaders => Unfit("431 Request Header Fields Too Large"),
        _ => BAD_REQUEST,
    };
    let line_end = memchr::memchr(b'\n', head).ok_or(BAD_REQUEST)?;
    let line = head[..line_end].trim_ascii_end();
    if let Some(target) = versionless(line) {
        let rest = &head[line_end + 1..];
        let headers = match httparse::parse_headers(rest, &mut space).map_err(too_many)? {
            httparse::Status::Complete((_, headers)) => headers,
            httparse::Status::Partial => return Err(BAD_REQUEST),
        };
        let mut head = build(Method::Get, target, headers)?;
        head.request.keeps = false;
        return Ok(head);
    }
    let mut request = httparse::Request::new(&mut space);
    if request.parse(head).map_err(too_many)?.is_partial() {
        return Err(BAD_REQUEST);
    }
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("POST") => Method::Post,
        _ => Method::Other,
    };
    let mut head = build(method, request.path.unwrap_or("/"), request.headers)?;
    if request.version == Some(0) {
        let asks = header(request.headers, "Connection")
            .is_some_and(|value| contains_word(value, b"keep-alive"));
        head.request.keeps = asks;
        head.request.is_old = true;
        head.wants_continue = false;
    }
    Ok(head)
}

/// The target of a request that ends after it: `GET /rdr/pprdr.asp` and a line end.
fn versionless(line: &[u8]) -> Option<&str> {
    let target = std::str::from_utf8(line.strip_prefix(b"GET ")?)
        .ok()?
        .trim();
    (!target.is_empty() && !target.contains(' ')).then_some(target)
}

fn build(method: Method, target: &str, headers: &[httparse::Header<'_>]) -> Result<Head, Unfit> {
    if headers
        .iter()
        .any(|header| header.name.eq_ignore_ascii_case("Transfer-Encoding"))
    {
        return Err(Unfit("501 Not Implemented"));
    }
    let length = length(headers)?;
    let text = |value: &[u8]| String::from_utf8_lossy(value).trim().to_owned();
    let (authority, rest) = split_target(target);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let closes = header(headers, "Connection").is_some_and(|value| contains_word(value, b"close"));
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
            body: Vec::new(),
            keeps: !closes,
            is_old: false,
        },
        length,
        wants_continue: header(headers, "Expect")
            .is_some_and(|value| contains_word(value, b"100-continue")),
    })
}

/// `http://host/path` comes through proxies, `/path` without one.
fn split_target(target: &str) -> (Option<&str>, &str) {
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            (Some(&rest[..end]), &rest[end..])
        }
        _ => (None, target),
    }
}

fn length(headers: &[httparse::Header<'_>]) -> Result<usize, Unfit> {
    let mut found = None;
    for header in headers {
        if !header.name.eq_ignore_ascii_case("Content-Length") {
            continue;
        }
        let value = header.value.trim_ascii();
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(BAD_REQUEST);
        }
        // Two lengths that differ are somebody's trick.
        if found.replace(value).is_some_and(|before| before != value) {
            return Err(BAD_REQUEST);
        }
    }
    let length = match found.map(std::str::from_utf8) {
        None => 0,
        Some(Ok(digits)) => digits.parse().unwrap_or(usize::MAX),
        Some(Err(_)) => return Err(BAD_REQUEST),
    };
    if length > MAX_BODY {
        return Err(Unfit("413 Content Too Large"));
    }
    Ok(length)
}

/// The first header of this name.
fn header<'a>(headers: &'a [httparse::Header<'_>], name: &str) -> Option<&'a [u8]> {
    headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value)
}

fn contains_word(value: &[u8], word: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(word))
}

/// Where the empty line after a head ends, looking from `from` on.
fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(b'\n', &bytes[from..])
        .map(|at| from + at + 1)
        .find_map(|next| match &bytes[next..] {
            [b'\n', ..] => Some(next + 1),
            [b'\r', b'\n', ..] => Some(next + 2),
            _ => None,
        })
}

/// What comes of waiting for a request.
#[derive(Debug)]
pub(super) enum Received {
    Request(Request),
    /// The client is done.
    Closed,
    /// It sent part of a request and then nothing.
    TimedOut,
    /// It sent something that is no request; this status says why.
    Unfit(&'static str),
}

/// One HTTP connection, the server's end.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    buffer: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// Waits for a whole request.
    pub(super) async fn receive(&mut self) -> Received {
        match timeout(REQUEST_TIME, self.read()).await {
            Ok(Ok(Ok(request))) => Received::Request(request),
            Ok(Ok(Err(Unfit(status)))) => Received::Unfit(status),
            Ok(Err(_)) => Received::Closed,
            Err(_) if self.buffer.is_empty() => Received::Closed,
            Err(_) => Received::TimedOut,
        }
    }

    async fn read(&mut self) -> io::Result<Result<Request, Unfit>> {
        let mut searched = 0_usize;
        let end = loop {
            // Some clients end a body with a line end that they do not count.
            let blanks = self
                .buffer
                .iter()
                .take_while(|byte| matches!(byte, b'\r' | b'\n'))
                .count();
            self.buffer.advance(blanks);
            // An end may straddle what is new: up to two bytes back.
            if let Some(end) = head_end(&self.buffer, searched.saturating_sub(2)) {
                break end;
            }
            searched = self.buffer.len();
            if searched >= MAX_HEAD {
                return Ok(Err(Unfit("431 Request Header Fields Too Large")));
            }
            self.fill().await?;
        };
        let parsed = parse(&self.buffer[..end]);
        self.buffer.advance(end);
        let mut head = match parsed {
            Ok(head) => head,
            Err(unfit) => return Ok(Err(unfit)),
        };
        if head.wants_continue && self.buffer.len() < head.length {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        while self.buffer.len() < head.length {
            self.fill().await?;
        }
        head.request.body = self.buffer[..head.length].to_vec();
        self.buffer.advance(head.length);
        Ok(Ok(head.request))
    }

    async fn fill(&mut self) -> io::Result<()> {
        self.buffer.reserve(2048);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Writes an answer to `request`, in one piece; whether another request may follow.
    pub(super) async fn respond(
        &mut self,
        response: &Response,
        request: Option<&Request>,
    ) -> io::Result<bool> {
        let keeps = request.is_some_and(|request| request.keeps);
        let connection = match request {
            _ if !keeps => "Connection: close\r\n",
            Some(request) if request.is_old => "Connection: keep-alive\r\n",
            _ => "",
        };
        let Response {
            status,
            headers,
            body,
        } = response;
        let mut bytes = Vec::with_capacity(headers.len() + body.len() + 128);
        // Always 1.1: there are clients that compare this line with their own idea of it.
        let _ = write!(
            bytes,
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n{connection}\r\n",
            body.len()
        );
        if request.is_none_or(|request| request.method != Method::Head) {
            bytes.extend_from_slice(body);
        }
        self.send(&bytes).await?;
        Ok(keeps)
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout(WRITE_TIME, write)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Closes at once, with a word where TLS has one.
    pub(super) async fn close(mut self) {
        let _ = timeout(CLOSE_TIME, self.stream.shutdown()).await;
    }

    /// Closes so that what was written arrives.
    pub(super) async fn finish(mut self) {
        super::stream::linger(&mut self.stream).await;
    }
}

/// A request as tests of pages want it.
#[cfg(test)]
pub(super) fn tests_request(method: Method, path: &str) -> Request {
    Request {
        method,
        path: path.to_owned(),
        query: String::new(),
        host: None,
        authorization: None,
        body: Vec::new(),
        keeps: true,
        is_old: false,
    }
}

#[cfg(test)]
mod tests;
