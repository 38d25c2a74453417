//! HTTP/1.1 requests over connections of our own, one at a time on each.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::dial::{Connected, Dialer, Errand, words};
use super::gateway::Ends;
use super::{Url, tls};
use crate::failure::{Failure, Stage};

/// The longest head of a response, in bytes.
const MAX_HEAD: usize = 32 * 1024;

/// The longest body that is read, in bytes: error pages are, so that the connection stays
/// usable.
const MAX_BODY: usize = 64 * 1024;

/// How much is read at a time, in bytes; a response's head has to fit.
pub(super) const READ: usize = 8 * 1024;

/// How long a page's body may take after its headers, which are all that we came for. What is not
/// there by then costs us the connection.
const BODY_TIME: Duration = Duration::from_millis(50);

/// The name that clients of the time gave themselves.
const USER_AGENT: HeaderValue = HeaderValue::from_static("MSMSGS");

/// A connection to an HTTP server, kept alive between requests.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// What moves the bytes; gone once it was asked why it ended.
    driver: Option<Driver>,
    origin: Url,
    ends: Ends,
    /// Whether the server asked for a certificate of ours: then that is why it does not answer.
    wants_certificate: bool,
}

/// What is asked, besides the address.
#[derive(Clone, Default)]
pub(super) struct Request {
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// A body makes it a POST.
    pub(super) body: Option<Bytes>,
    /// Whether the whole address goes into the request, as a proxy wants it.
    pub(super) absolute: bool,
}

/// What came back.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// Empty where it is longer than can be used, or a page's that did not come in time.
    pub(super) body: Bytes,
}

/// A request that got no response.
pub(super) struct Unanswered {
    pub(super) failure: Failure,
    /// Nothing came back on a connection that may have been closed before we asked: asking again
    /// on a new one does no harm.
    pub(super) stale: bool,
}

impl Connection {
    /// Connects to the server of `url`, over TLS where it says `https`.
    pub(super) async fn open(
        dialer: &Dialer<'_>,
        connector: &tls::Connector,
        url: &Url,
        errand: Errand,
    ) -> Result<Self, Failure> {
        let Connected {
            stream,
            local,
            peer,
            proxy,
            ..
        } = dialer.connect(&url.address, errand).await?;
        let ends = Ends { local, peer, proxy };
        if !url.https {
            return Self::over(stream, ends, url, errand).await;
        }
        let stream = connector.handshake(stream, &url.address, errand).await?;
        let mut connection = Self::over(stream, ends, url, errand).await?;
        connection.wants_certificate = connector.was_asked();
        Ok(connection)
    }

    /// Speaks HTTP over a stream that stands.
    pub(super) async fn over<T>(
        stream: T,
        ends: Ends,
        url: &Url,
        errand: Errand,
    ) -> Result<Self, Failure>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let started = start(stream).await;
        let (sender, driver) =
            started.map_err(|error| broken(&error, url, errand.stage(Stage::Connect)))?;
        Ok(Self {
            sender,
            driver: Some(driver),
            origin: url.clone(),
            ends,
            wants_certificate: false,
        })
    }

    /// The two ends of the connection below.
    pub(super) const fn ends(&self) -> &Ends {
        &self.ends
    }

    /// Whether a request to `url` can go over this connection.
    pub(super) fn leads_to(&self, url: &Url) -> bool {
        self.origin.same_origin(url) && !self.sender.is_closed()
    }

    /// One request and its response, body and all.
    pub(super) async fn ask(
        &mut self,
        url: &Url,
        ask: Request,
        stage: Stage,
    ) -> Result<Response, Unanswered> {
        let is_page = ask.body.is_none();
        let method = if is_page { Method::GET } else { Method::POST };
        let uri = if ask.absolute {
            url.to_string()
        } else {
            url.path.clone()
        };
        let mut request = hyper::Request::builder()
            .method(method)
            .uri(uri)
            .header(hyper::header::HOST, url.authority())
            .header(hyper::header::USER_AGENT, USER_AGENT)
            .header(hyper::header::ACCEPT, "*/*");
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(ask.body.unwrap_or_default()))
            .map_err(|error| {
                let failure = Failure::no_profile(
                    stage,
                    "bad-address",
                    format!("{url} cannot be asked for: {error}"),
                    "check the nexus, login and gateway addresses",
                );
                Unanswered {
                    failure,
                    stale: false,
                }
            })?;
        let stale = |error: &hyper::Error| {
            error.is_canceled() || error.is_closed() || error.is_incomplete_message()
        };
        let response = match self.sender.ready().await {
            Ok(()) => self.sender.send_request(request).await,
            Err(error) => Err(error),
        };
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                let stale = stale(&error);
                let error = cause(error, self.driver.take()).await;
                let failure = match self.wants_certificate {
                    true => tls::client_certificate(&url.address, stage),
                    false => broken(&error, url, stage),
                };
                return Err(Unanswered { failure, stale });
            }
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY).collect();
        // A page's body that is too long, cut or slow costs us the connection, not the header we
        // came for. Only what is posted is answered by the body, and only where all is well.
        let body = match is_page || head.status != StatusCode::OK {
            true => timeout(BODY_TIME, body).await.ok().and_then(Result::ok),
            false => Some(body.await.map_err(|_| Unanswered {
                failure: Failure::no_profile(
                    stage,
                    "bad-answer",
                    format!("{}: its answer is cut, or too long", url.address),
                    "check the address; if it is right, try again",
                ),
                stale: false,
            })?),
        };
        Ok(Response {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.map(|body| body.to_bytes()).unwrap_or_default(),
        })
    }
}

/// The task that moves a connection's bytes; it ends with this.
pub(super) struct Driver(JoinHandle<hyper::Result<()>>);

impl Driver {
    pub(super) fn spawn(work: impl Future<Output = hyper::Result<()>> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn start<T>(stream: T) -> hyper::Result<(SendRequest<Full<Bytes>>, Driver)>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = Builder::new()
        // Servers of that age compare header names to the letter.
        .title_case_headers(true)
        .max_header_size(MAX_HEAD)
        // Small pieces: a peer that never stops talking must not keep the thread to itself.
        .read_buf_exact_size(Some(READ))
        .handshake(TokioIo::new(stream))
        .await?;
    let driver = Driver::spawn(async move {
        let ended = connection.await;
        if let Err(error) = &ended {
            tracing::debug!(%error, "HTTP connection ended");
        }
        ended
    });
    Ok((sender, driver))
}

/// Why a request failed. One that came too late for its connection knows only that it did; the
/// reason was told to the connection's driver.
pub(super) async fn cause(error: hyper::Error, driver: Option<Driver>) -> hyper::Error {
    let is_late = error.is_canceled() || error.is_closed() || error.is_incomplete_message();
    match driver {
        Some(mut driver) if is_late => match (&mut driver.0).await {
            Ok(Err(reason)) => reason,
            _ => error,
        },
        _ => error,
    }
}

/// Whether the other end talks something else: what came is no HTTP, or came before a request did,
/// as servers do that speak first.
pub(super) fn is_no_http(error: &hyper::Error) -> bool {
    let inner = std::error::Error::source(error).and_then(|inner| inner.downcast_ref());
    if let Some(inner) = inner {
        return is_no_http(inner);
    }
    // hyper has no question for "unexpected message"; it is what remains, without a source.
    let known = error.is_canceled()
        || error.is_closed()
        || error.is_incomplete_message()
        || error.is_body_write_aborted()
        || error.is_user();
    error.is_parse() || !(known || std::error::Error::source(error).is_some())
}

/// The failure of a request without a response.
fn broken(error: &hyper::Error, url: &Url, stage: Stage) -> Failure {
    let at = &url.address;
    if is_no_http(error) {
        return Failure::no_profile(
            stage,
            "no-http",
            format!("{at} answers something that is no HTTP"),
            "check the address and the port",
        );
    }
    let io = std::error::Error::source(error).and_then(|inner| inner.downcast_ref());
    // With TLS 1.3 a server says only after the handshake what it dislikes of the client.
    if let Some(tls) = io.and_then(tls::tls_error) {
        let (code, why, remedy) = tls::explain(tls);
        return Failure::unreachable(stage, code, format!("{at}: {why}"), remedy);
    }
    let why = match io {
        Some(error) => words(error),
        None if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => {
            "closed without an answer".to_owned()
        }
        None => error.to_string(),
    };
    Failure::unreachable(
        stage,
        "no-http-answer",
        format!("{at}: {why}"),
        "try again; if it stays so, the server or something on the way refuses the request",
    )
}
