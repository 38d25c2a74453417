//! HTTP messages on a stream.

use std::future::poll_fn;
use std::io::{self, Write as _};
use std::time::Duration;

use secrecy::zeroize::{Zeroize as _, Zeroizing};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::message::{self, HEAD_TOO_LARGE, MAX_HEAD, Method, Request, Response};
use crate::server::input;
use crate::server::linger::linger;

/// How long a request may take to arrive, and how long a connection is kept for the next one.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// How long closing TLS may take when the server stops.
const CLOSE_TIME: Duration = Duration::from_millis(100);

/// How long a client may take to read a response.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// Why no request was received.
#[derive(Debug)]
pub(super) enum NoRequest {
    /// The client has closed its end, or is idle.
    Closed,
    /// The connection is lost, or closed without the alert of TLS: nobody would read an answer.
    Lost,
    /// Part of a request arrived, and then nothing.
    TimedOut,
    /// The request is invalid; it is answered with this status.
    Rejected(&'static str),
}

impl From<io::Error> for NoRequest {
    fn from(_: io::Error) -> Self {
        Self::Lost
    }
}

/// The server's end of one HTTP connection.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    /// Input that is not processed yet; it may contain passwords and tickets.
    buffer: Zeroizing<Vec<u8>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Zeroizing::default(),
        }
    }

    /// Waits for a complete request.
    pub(super) async fn receive(&mut self) -> Result<Request, NoRequest> {
        match timeout(REQUEST_TIME, self.read()).await {
            Ok(received) => received,
            Err(_) if self.buffer.is_empty() => Err(NoRequest::Closed),
            Err(_) => Err(NoRequest::TimedOut),
        }
    }

    async fn read(&mut self) -> Result<Request, NoRequest> {
        let mut searched = 0_usize;
        let end = loop {
            // Some clients end a body with a line end that they do not count.
            let is_blank = |byte: &&u8| matches!(**byte, b'\r' | b'\n');
            self.consume(self.buffer.iter().take_while(is_blank).count());
            // The end may begin up to two bytes before the new input.
            match message::head_end(&self.buffer, searched.saturating_sub(2)) {
                Some(end) if end <= MAX_HEAD => break end,
                None if self.buffer.len() < MAX_HEAD => {}
                _ => return Err(NoRequest::Rejected(HEAD_TOO_LARGE)),
            }
            searched = self.buffer.len();
            self.fill().await?;
        };
        let parsed = message::parse(&self.buffer[..end]);
        self.consume(end);
        let mut head = parsed.map_err(NoRequest::Rejected)?;
        if head.wants_continue && self.buffer.len() < head.length {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        while self.buffer.len() < head.length {
            self.fill().await?;
        }
        head.request.body = Zeroizing::new(self.buffer[..head.length].to_vec());
        self.consume(head.length);
        Ok(head.request)
    }

    /// Removes what is processed. An empty buffer is freed, which wipes it.
    fn consume(&mut self, length: usize) {
        match length == self.buffer.len() {
            true => self.buffer = Zeroizing::default(),
            false => drop(self.buffer.drain(..length)),
        }
    }

    async fn fill(&mut self) -> Result<(), NoRequest> {
        let length = poll_fn(|cx| input::poll_read(&mut self.stream, cx)).await?;
        if length == 0 {
            return Err(NoRequest::Closed);
        }
        input::with(length, |input| {
            let before = self.buffer.len();
            if self.buffer.capacity() - before < length {
                // Not by growing in place, which could leave a copy behind.
                let capacity = (before + length).max(2 * before);
                let mut larger = Zeroizing::new(Vec::with_capacity(capacity));
                larger.extend_from_slice(&self.buffer);
                self.buffer = larger;
            }
            self.buffer.extend_from_slice(input);
            input.zeroize();
        });
        Ok(())
    }

    /// Writes the response to `request` in one piece; whether another request may follow.
    pub(super) async fn respond(
        &mut self,
        response: &Response,
        request: Option<&Request>,
    ) -> io::Result<bool> {
        let connection = match request {
            Some(request) if request.keeps_alive && request.is_http_1_0 => {
                "Connection: keep-alive\r\n"
            }
            Some(request) if request.keeps_alive => "",
            _ => "Connection: close\r\n",
        };
        let Response {
            status,
            headers,
            body,
        } = response;
        let capacity = headers.len() + body.len() + 256;
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        // Always 1.1: some clients compare this line with a fixed text.
        let _ = write!(
            bytes,
            "HTTP/1.1 {status}\r\n{}Content-Length: {}\r\n{connection}\r\n",
            **headers,
            body.len()
        );
        if request.is_none_or(|request| request.method != Method::Head) {
            bytes.extend_from_slice(body);
        }
        self.send(&bytes).await?;
        Ok(request.is_some_and(|request| request.keeps_alive))
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

    /// Closes at once, after the closing alert of TLS.
    pub(super) async fn close(mut self) {
        let _ = timeout(CLOSE_TIME, self.stream.shutdown()).await;
    }

    /// Closes so that the client receives what was written.
    pub(super) async fn finish(mut self) {
        linger(&mut self.stream).await;
    }
}

#[cfg(test)]
mod tests;
