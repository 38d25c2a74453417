//! The handshake with a proxy; maintained crates speak the protocols.

mod choice;

use std::net::SocketAddr;

use base64::prelude::{BASE64_STANDARD as STANDARD, Engine as _};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_socks::tcp::{Socks4Stream, Socks5Stream};
use tokio_socks::{Error as SocksError, TargetAddr};

use super::dial::{Connected, Dialer, Errand, words};
use super::gateway::Ends;
use super::http::{Driver, READ, cause, is_no_http};
use super::{ProxyPlan, ProxyScheme};
use crate::address::Address;
use crate::conntype::{PathKind, Proxy};
use crate::failure::{Failure, Stage};
use crate::secret::{self, ExposeSecret, SecretString};

pub use choice::{BadProxy, Proxies};

/// What a proxy comes to that would, but does not.
const REFUSED: &str = "proxy-refused";

/// Connects to `to` through the proxy.
pub(super) async fn connect(
    dialer: &Dialer<'_>,
    plan: &ProxyPlan,
    to: &Address,
    errand: Errand,
) -> Result<Connected, Failure> {
    let v4_only = match (plan.scheme, to.ip()) {
        (ProxyScheme::Socks5, None) => false,
        (ProxyScheme::Socks4, None) => true,
        _ => return connect_to(dialer, plan, to, to, errand).await,
    };
    let (first, other) = dialer.resolve_beyond(to, errand, v4_only).await?;
    let told = |at: SocketAddr| Address {
        host: at.ip().to_string(),
        port: at.port(),
    };
    let done = connect_to(dialer, plan, to, &told(first), errand).await;
    match (done, other) {
        (Err(failure), Some(other)) if failure.code == REFUSED => {
            let done = connect_to(dialer, plan, to, &told(other), errand).await;
            done.map_err(|_| failure)
        }
        (done, _) => done,
    }
}

/// Connects to `to`, which the proxy is told as `target`.
async fn connect_to(
    dialer: &Dialer<'_>,
    plan: &ProxyPlan,
    to: &Address,
    target: &Address,
    errand: Errand,
) -> Result<Connected, Failure> {
    let (stream, ends) = reach(dialer, plan, errand).await?;
    let stage = errand.stage(Stage::Proxy);
    let _open = dialer.trail.enter(
        stage,
        format!("the proxy {} to connect to {to}", plan.address),
    );
    let (stream, bound) = match plan.scheme {
        ProxyScheme::Http => (tunnel(stream, plan, target, stage).await?, None),
        ProxyScheme::Socks5 | ProxyScheme::Socks5h => socks5(stream, plan, target, stage).await?,
        ProxyScheme::Socks4 | ProxyScheme::Socks4a => socks4(stream, plan, target, stage).await?,
    };
    let proxy = ends.proxy.map(|proxy| Proxy { bound, ..proxy });
    dialer.standing(stream, path_kind(plan.scheme), proxy, to, errand)
}

/// Connects to the proxy itself.
pub(super) async fn reach(
    dialer: &Dialer<'_>,
    plan: &ProxyPlan,
    errand: Errand,
) -> Result<(TcpStream, Ends), Failure> {
    let at = &plan.address;
    let addresses = dialer.resolve(at, errand).await?;
    let stream = dialer.race(at, &addresses, errand, Stage::Proxy).await?;
    let in_use = stream.peer_addr().ok().map(|peer| peer.ip());
    let mut ips: Vec<_> = addresses.iter().map(|address| address.ip()).collect();
    // The one in use first; the rest in the order they came.
    ips.sort_by_key(|ip| Some(*ip) != in_use);
    ips.dedup();
    let proxy = Some(Proxy {
        name: at.to_string(),
        addresses: ips,
        bound: None,
    });
    // A handshake that fails is to be told with the proxy it failed at.
    let Connected {
        stream,
        local,
        peer,
        proxy,
        ..
    } = dialer.standing(stream, path_kind(plan.scheme), proxy, at, errand)?;
    Ok((stream, Ends { local, peer, proxy }))
}

const fn path_kind(scheme: ProxyScheme) -> PathKind {
    match scheme {
        ProxyScheme::Http => PathKind::HttpConnect,
        ProxyScheme::Socks5 | ProxyScheme::Socks5h => PathKind::Socks5,
        ProxyScheme::Socks4 | ProxyScheme::Socks4a => PathKind::Socks4,
    }
}

type Bound = Option<SocketAddr>;

async fn socks5(
    stream: TcpStream,
    plan: &ProxyPlan,
    to: &Address,
    stage: Stage,
) -> Result<(TcpStream, Bound), Failure> {
    let target = socks_target(to);
    let done = match &plan.credentials {
        Some((user, password)) => {
            let password = password.expose_secret();
            Socks5Stream::connect_with_password_and_socket(stream, target, user, password).await
        }
        None => Socks5Stream::connect_with_socket(stream, target).await,
    };
    let done = done.map_err(|error| socks_failure(&error, plan, to, stage))?;
    let bound = meaningful(&done.target_addr());
    Ok((done.into_inner(), bound))
}

async fn socks4(
    stream: TcpStream,
    plan: &ProxyPlan,
    to: &Address,
    stage: Stage,
) -> Result<(TcpStream, Bound), Failure> {
    let target = socks_target(to);
    let done = match &plan.credentials {
        Some((user, _)) => Socks4Stream::connect_with_userid_and_socket(stream, target, user).await,
        None => Socks4Stream::connect_with_socket(stream, target).await,
    };
    let done = done.map_err(|error| socks_failure(&error, plan, to, stage))?;
    let bound = meaningful(&done.target_addr());
    Ok((done.into_inner(), bound))
}

fn socks_target(to: &Address) -> TargetAddr<'static> {
    match to.ip() {
        Some(ip) => TargetAddr::Ip((ip, to.port).into()),
        None => TargetAddr::Domain(to.host.clone().into(), to.port),
    }
}

/// BND.ADDR and BND.PORT, unless they are the zeros that many proxies send.
fn meaningful(bound: &TargetAddr<'_>) -> Bound {
    match bound {
        TargetAddr::Ip(end) if !end.ip().is_unspecified() && end.port() != 0 => Some(*end),
        _ => None,
    }
}

fn socks_failure(error: &SocksError, plan: &ProxyPlan, to: &Address, stage: Stage) -> Failure {
    let at = &plan.address;
    let name = scheme_name(plan.scheme);
    let cannot = format!("the proxy {at} cannot connect to {to}");
    let check = match (plan.scheme, to.ip()) {
        // One that does not know it takes the name for the address 0.0.0.1.
        (ProxyScheme::Socks4a, None) => {
            "check the proxy's rules, and whether it knows SOCKS4a: with socks4:// the name is \
             looked up here"
        }
        _ => "check the proxy's rules, and whether it reaches the server",
    };
    let (code, message, remedy) = match error {
        SocksError::PasswordAuthFailure(_)
        | SocksError::AuthorizationRequired
        | SocksError::NoAcceptableAuthMethods
        | SocksError::IdentdAuthFailure
        | SocksError::InvalidUserIdAuthFailure => return wrong_password(plan, stage),
        SocksError::InvalidAuthValues(_) => (
            "proxy-password",
            format!("{name} cannot carry an empty user or password to the proxy {at}"),
            GIVE_PASSWORD,
        ),
        SocksError::InvalidResponseVersion
        | SocksError::InvalidReservedByte
        | SocksError::UnknownAddressType
        | SocksError::UnknownAuthMethod => (
            "no-proxy",
            format!("{at} talks something that is not {name}"),
            "check the proxy's scheme and port",
        ),
        SocksError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => (
            "proxy-closed",
            format!("the proxy {at} closed the connection during the handshake"),
            "check the proxy's scheme and port, and its rules",
        ),
        SocksError::Io(error) => (
            "proxy-failed",
            format!("the proxy {at}: {}", words(error)),
            "check the proxy's scheme and port",
        ),
        SocksError::InvalidTargetAddress(why) => (
            "proxy-target",
            format!("{name} cannot carry {to}: {why}"),
            "use a shorter name, or the server's address",
        ),
        // It never got as far as the proxy.
        SocksError::AddressTypeNotSupported if name == "SOCKS4" => (
            "proxy-target",
            format!("{name} cannot carry {to}: it knows IPv4 only"),
            "use socks5:// or a server with an IPv4 address",
        ),
        SocksError::GeneralSocksServerFailure => {
            (REFUSED, format!("{cannot}, and does not say why"), check)
        }
        other => (
            REFUSED,
            format!("{cannot}: {}", other.to_string().to_lowercase()),
            check,
        ),
    };
    Failure::unreachable(stage, code, message, remedy)
}

/// What to do where a proxy wants a password, or another one.
const GIVE_PASSWORD: &str =
    "give them as --proxy scheme://user:password@host:port, or in MSNP9_PROXY";

/// The failure of a proxy that wants a password, or another one than it got.
pub(super) fn wrong_password(plan: &ProxyPlan, stage: Stage) -> Failure {
    let at = &plan.address;
    let message = match plan.credentials {
        Some(_) => format!("the proxy {at} refused the user or the password given for it"),
        None => format!("the proxy {at} wants a user and a password"),
    };
    Failure::unreachable(stage, "proxy-password", message, GIVE_PASSWORD)
}

const fn scheme_name(scheme: ProxyScheme) -> &'static str {
    match scheme {
        ProxyScheme::Socks5 | ProxyScheme::Socks5h => "SOCKS5",
        ProxyScheme::Socks4 | ProxyScheme::Socks4a => "SOCKS4",
        ProxyScheme::Http => "HTTP",
    }
}

/// An HTTP CONNECT tunnel (RFC 9110 §9.3.6).
async fn tunnel(
    stream: TcpStream,
    plan: &ProxyPlan,
    to: &Address,
    stage: Stage,
) -> Result<TcpStream, Failure> {
    let at = &plan.address;
    let failed = |error: &hyper::Error| {
        let (code, message) = match is_no_http(error) {
            true => ("no-proxy", format!("{at} talks something that is not HTTP")),
            false => (
                "proxy-closed",
                format!("the proxy {at} closed the connection without an answer to CONNECT"),
            ),
        };
        Failure::unreachable(stage, code, message, "check the proxy's scheme and port")
    };
    let (mut sender, connection) = http1::Builder::new()
        .title_case_headers(true)
        .max_header_size(16 * 1024)
        .read_buf_exact_size(Some(READ))
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    let driver = Driver::spawn(connection.with_upgrades());
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(to.to_string())
        .header(HOST, to.to_string());
    if let Some(value) = authorization(plan) {
        request = request.header(PROXY_AUTHORIZATION, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| {
        Failure::unreachable(
            stage,
            "proxy-target",
            format!("{to} cannot be asked for: {error}"),
            "check the server's address",
        )
    })?;
    let response = match sender.send_request(request).await {
        Ok(response) => response,
        Err(error) => return Err(failed(&cause(error, Some(driver)).await)),
    };
    match response.status() {
        status if status.is_success() => {}
        status if wants_password(status.as_u16()) => return Err(wrong_password(plan, stage)),
        status => {
            return Err(Failure::unreachable(
                stage,
                REFUSED,
                format!("the proxy {at} answers HTTP {status} to CONNECT {to}"),
                "check the proxy's rules (many allow port 443 only), and whether it reaches the \
                 server",
            ));
        }
    }
    let upgraded = hyper::upgrade::on(response)
        .await
        .map_err(|error| failed(&error))?;
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner()),
        _ => Err(Failure::unreachable(
            stage,
            "no-proxy",
            format!("the proxy {at} sent bytes of its own into the tunnel"),
            "check the proxy's scheme and port",
        )),
    }
}

/// Whether a proxy that answers so wants a password, or another one: tinyproxy says 401 where the
/// password is wrong, 407 only where there is none.
pub(super) const fn wants_password(status: u16) -> bool {
    matches!(status, 401 | 407)
}

/// `Basic` credentials (RFC 7617), where the proxy has some.
pub(super) fn authorization(plan: &ProxyPlan) -> Option<HeaderValue> {
    let (user, password) = plan.credentials.as_ref()?;
    let pair = SecretString::from(format!("{user}:{}", password.expose_secret()));
    let text = SecretString::from(format!("Basic {}", STANDARD.encode(pair.expose_secret())));
    for form in [text.expose_secret(), password.expose_secret()] {
        secret::remember(form.trim_start_matches("Basic "));
    }
    // Base64 is made of visible ASCII only, so this cannot fail.
    let mut value = HeaderValue::from_str(text.expose_secret()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_in_bnd_addr_mean_nothing() {
        let bound = |text: &str| meaningful(&TargetAddr::Ip(text.parse().unwrap()));
        assert_eq!(bound("0.0.0.0:0"), None);
        assert_eq!(bound("0.0.0.0:5"), None);
        assert_eq!(bound("10.0.0.1:0"), None);
        assert!(bound("10.0.0.1:5").is_some());
    }
}
