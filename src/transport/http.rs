//! HTTP/1.1 requests over connections of our own, one at a time on each.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::dial::{Dialer, Established};
use super::driver::{Driver, cause, handshake, is_closed, is_not_http};
use super::error::describe;
use super::proxy::connect;
use super::{Url, tls};
use crate::failure::{ErrorCode, Failure, Stage};
use crate::run_log::{Ends, Purpose};

/// The longest body that is read, in bytes: error pages are, so that the connection stays
/// usable.
const MAX_BODY: usize = 64 * 1024;

/// How long a page's body may take after its headers, which are all that we came for. What is not
/// there by then costs us the connection.
const BODY_TIME: Duration = Duration::from_millis(50);

/// The name that clients of the time gave themselves.
const USER_AGENT: HeaderValue = HeaderValue::from_static("MSMSGS");

/// A connection to an HTTP server, kept alive between requests.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// What moves the bytes; gone once it was asked why it ended.
    driver: Option<Driver>,
    origin: Url,
    ends: Ends,
    purpose: Purpose,
    /// Whether the server asked for a client certificate: then that is why it does not answer.
    wants_certificate: bool,
}

/// What is requested, besides the URL.
#[derive(Clone, Default)]
pub(crate) struct Request {
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// A body makes it a POST.
    pub(crate) body: Option<Bytes>,
    /// Whether the request names the whole URL, as a proxy requires it.
    pub(crate) absolute: bool,
    /// Whether the body is what is requested, whatever the status: it is waited for then.
    pub(crate) reads_body: bool,
}

/// A response.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Empty where it is too long, or where a page's body did not come in time.
    pub(crate) body: Bytes,
}

/// A request that got no response.
pub(crate) struct Unanswered {
    pub(crate) failure: Failure,
    /// Nothing came back on a connection that may have been closed before the request: asking
    /// again on a new one does no harm.
    pub(crate) stale: bool,
}

impl Connection {
    /// Connects to the server of `url`, over TLS where it says `https`.
    pub(crate) async fn open(
        dialer: &Dialer<'_>,
        connector: &tls::Connector,
        url: &Url,
        purpose: Purpose,
    ) -> Result<Self, Failure> {
        let Established { stream, ends } = connect(dialer, &url.address, purpose).await?;
        if !url.https {
            return Self::over(stream, ends, url, purpose).await;
        }
        let stream = {
            let what = format!("the TLS handshake with {}", url.address);
            let _step = dialer.log.begin(purpose, Stage::Tls, what);
            connector.handshake(stream, &url.address, purpose).await?
        };
        let mut connection = Self::over(stream, ends, url, purpose).await?;
        connection.wants_certificate = connector.was_asked();
        Ok(connection)
    }

    /// Speaks HTTP over an established stream.
    pub(crate) async fn over<T>(
        stream: T,
        ends: Ends,
        url: &Url,
        purpose: Purpose,
    ) -> Result<Self, Failure>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let started = handshake(stream).await;
        let (sender, driver) =
            started.map_err(|error| failed(&error, url, purpose.stage(Stage::Request)))?;
        Ok(Self {
            sender,
            driver: Some(driver),
            origin: url.clone(),
            ends,
            purpose,
            wants_certificate: false,
        })
    }

    /// The two ends of the connection below.
    pub(crate) const fn ends(&self) -> &Ends {
        &self.ends
    }

    /// Whether a request to `url` can go over this connection.
    pub(crate) fn leads_to(&self, url: &Url) -> bool {
        self.origin.same_origin(url) && !self.sender.is_closed()
    }

    /// One request and its response, body and all.
    pub(crate) async fn ask(&mut self, url: &Url, ask: Request) -> Result<Response, Unanswered> {
        let stage = self.purpose.stage(Stage::Request);
        let unanswered = |code, message: String| Unanswered {
            failure: Failure::new(stage, code, message),
            stale: false,
        };
        let is_page = ask.body.is_none();
        let reads_body = ask.reads_body;
        let method = if is_page { Method::GET } else { Method::POST };
        let uri = match ask.absolute {
            true => url.to_string(),
            false => url.path.clone(),
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
                let message = format!("{url} cannot be requested: {error}");
                unanswered(ErrorCode::BadUrl, message)
            })?;
        let response = match self.sender.ready().await {
            Ok(()) => self.sender.send_request(request).await,
            Err(error) => Err(error),
        };
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                let stale = is_closed(&error);
                let error = cause(error, self.driver.take()).await;
                let failure = match self.wants_certificate {
                    true => tls::client_certificate(&url.address, stage),
                    false => failed(&error, url, stage),
                };
                return Err(Unanswered { failure, stale });
            }
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY).collect();
        // A page is requested for its headers, usually: a body that is too long, incomplete or slow
        // costs the connection and nothing else. A POST is answered by the body, where all is well.
        let is_answer = reads_body || (!is_page && head.status == StatusCode::OK);
        let body = match is_answer {
            false => timeout(BODY_TIME, body).await.ok().and_then(Result::ok),
            true => Some(body.await.map_err(|_| {
                let message = format!("{}: the response is incomplete or too long", url.address);
                unanswered(ErrorCode::BadAnswer, message)
            })?),
        };
        Ok(Response {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.map(|body| body.to_bytes()).unwrap_or_default(),
        })
    }
}

/// The failure of a request without a response.
fn failed(error: &hyper::Error, url: &Url, stage: Stage) -> Failure {
    let at = &url.address;
    if is_not_http(error) {
        let message = format!("{at} does not speak HTTP");
        return Failure::new(stage, ErrorCode::NotHttp, message);
    }
    let io = error.source().and_then(|inner| inner.downcast_ref());
    // With TLS 1.3 a server says only after the handshake what it dislikes about the client.
    if let Some(error) = io.and_then(tls::tls_error) {
        return tls::failed(error, at, stage);
    }
    let why = match io {
        Some(error) => describe(error),
        None if is_closed(error) => "closed without an answer".to_owned(),
        None => error.to_string(),
    };
    Failure::new(stage, ErrorCode::NoHttpAnswer, format!("{at}: {why}"))
}
