//! An HTTP CONNECT tunnel (RFC 9110 §9.3.6).

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http_body_util::Full;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::wrong_password;
use crate::address::Address;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::secret::{self, ExposeSecret, Zeroizing};
use crate::transport::ProxySettings;
use crate::transport::driver::{cause, handshake, is_not_http};

pub(super) async fn connect(
    stream: TcpStream,
    settings: &ProxySettings,
    to: &Address,
    stage: Stage,
) -> Result<TcpStream, Failure> {
    let at = &settings.address;
    let failed = |error: &hyper::Error| match is_not_http(error) {
        true => Failure::new(
            stage,
            ErrorCode::NotAProxy,
            format!("{at} does not speak HTTP"),
        ),
        false => Failure::new(
            stage,
            ErrorCode::ProxyClosed,
            format!("the proxy {at} closed the connection without an answer to CONNECT"),
        ),
    };
    let (mut sender, driver) = handshake(stream).await.map_err(|error| failed(&error))?;
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(to.to_string())
        .header(HOST, to.to_string());
    if let Some(value) = authorization(settings) {
        request = request.header(PROXY_AUTHORIZATION, value);
    }
    let request = request.body(Full::default()).map_err(|error| {
        Failure::new(
            stage,
            ErrorCode::ProxyTarget,
            format!("{to} cannot be requested: {error}"),
        )
    })?;
    let response = match sender.send_request(request).await {
        Ok(response) => response,
        Err(error) => return Err(failed(&cause(error, Some(driver)).await)),
    };
    match response.status() {
        status if status.is_success() => {}
        status if requires_password(status.as_u16()) => {
            return Err(wrong_password(settings, stage));
        }
        status => {
            return Err(Failure::new(
                stage,
                ErrorCode::ProxyRefused,
                format!("the proxy {at} answers HTTP {status} to CONNECT {to}"),
            ));
        }
    }
    let upgraded = hyper::upgrade::on(response)
        .await
        .map_err(|error| failed(&error))?;
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner()),
        _ => Err(Failure::new(
            stage,
            ErrorCode::NotAProxy,
            format!("the proxy {at} sent bytes of its own into the tunnel"),
        )),
    }
}

/// Whether a proxy with this status requires a password, or another one: tinyproxy answers 401
/// where the password is wrong, 407 only where there is none.
pub(crate) const fn requires_password(status: u16) -> bool {
    matches!(status, 401 | 407)
}

/// `Basic` credentials (RFC 7617), where the proxy has some.
pub(crate) fn authorization(settings: &ProxySettings) -> Option<HeaderValue> {
    let (user, password) = settings.credentials.as_ref()?;
    // Joined at once: a string that grows leaves copies behind.
    let pair = Zeroizing::new([user, ":", password.expose_secret()].concat());
    let encoded = Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes()));
    secret::remember(&encoded);
    let text = Zeroizing::new(["Basic ", &encoded].concat());
    // Base64 consists of visible ASCII, so this cannot fail.
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
