//! SOCKS4, SOCKS4a and SOCKS5 (RFC 1928, RFC 1929).

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio_socks::tcp::{Socks4Stream, Socks5Stream};
use tokio_socks::{Error as SocksError, TargetAddr};

use super::wrong_password;
use crate::address::Address;
use crate::failure::{ErrorCode, Failure, Stage};
use crate::secret::ExposeSecret;
use crate::transport::error::describe;
use crate::transport::{ProxyScheme, ProxySettings};

/// Asks the proxy for a connection to `to`: the proxy's own end toward it, where it named one, and
/// the stream.
pub(super) async fn connect(
    stream: TcpStream,
    settings: &ProxySettings,
    to: &Address,
    stage: Stage,
) -> Result<(Option<SocketAddr>, TcpStream), Failure> {
    let target = match to.ip() {
        Some(ip) => TargetAddr::Ip((ip, to.port).into()),
        None => TargetAddr::Domain(to.host.as_str().into(), to.port),
    };
    let credentials = settings.credentials.as_ref();
    let done = match settings.scheme {
        ProxyScheme::Socks4 | ProxyScheme::Socks4a => {
            let done = match credentials {
                Some((user, _)) => {
                    Socks4Stream::connect_with_userid_and_socket(stream, target, user).await
                }
                None => Socks4Stream::connect_with_socket(stream, target).await,
            };
            done.map(|done| (meaningful(&done.target_addr()), done.into_inner()))
        }
        _ => {
            let done = match credentials {
                Some((user, password)) => {
                    let password = password.expose_secret();
                    Socks5Stream::connect_with_password_and_socket(stream, target, user, password)
                        .await
                }
                None => Socks5Stream::connect_with_socket(stream, target).await,
            };
            done.map(|done| (meaningful(&done.target_addr()), done.into_inner()))
        }
    };
    done.map_err(|error| failed(&error, settings, to, stage))
}

/// BND.ADDR and BND.PORT, unless they are the zeros that many proxies send.
fn meaningful(bound: &TargetAddr<'_>) -> Option<SocketAddr> {
    match bound {
        TargetAddr::Ip(end) if !end.ip().is_unspecified() && end.port() != 0 => Some(*end),
        _ => None,
    }
}

fn failed(error: &SocksError, settings: &ProxySettings, to: &Address, stage: Stage) -> Failure {
    let at = &settings.address;
    let name = settings.scheme.protocol();
    let cannot = format!("the proxy {at} cannot connect to {to}");
    let (code, message) = match error {
        SocksError::PasswordAuthFailure(_)
        | SocksError::AuthorizationRequired
        | SocksError::NoAcceptableAuthMethods
        | SocksError::IdentdAuthFailure
        | SocksError::InvalidUserIdAuthFailure => return wrong_password(settings, stage),
        SocksError::InvalidAuthValues(_) => (
            ErrorCode::ProxyPassword,
            format!("{name} cannot carry an empty user or password to the proxy {at}"),
        ),
        SocksError::InvalidResponseVersion
        | SocksError::InvalidReservedByte
        | SocksError::UnknownAddressType
        | SocksError::UnknownAuthMethod => {
            (ErrorCode::NotAProxy, format!("{at} does not speak {name}"))
        }
        SocksError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => (
            ErrorCode::ProxyClosed,
            format!("the proxy {at} closed the connection during the handshake"),
        ),
        SocksError::Io(error) => (
            ErrorCode::ProxyFailed,
            format!("the proxy {at}: {}", describe(error)),
        ),
        SocksError::InvalidTargetAddress(why) => (
            ErrorCode::ProxyTarget,
            format!("{name} cannot carry {to}: {why}"),
        ),
        // It never got as far as the proxy.
        SocksError::AddressTypeNotSupported if name == ProxyScheme::Socks4.protocol() => (
            ErrorCode::ProxyTarget,
            format!("{name} cannot carry {to}: it knows IPv4 only"),
        ),
        SocksError::GeneralSocksServerFailure => (
            ErrorCode::ProxyRefused,
            format!("{cannot}, and does not say why"),
        ),
        other => (
            ErrorCode::ProxyRefused,
            format!("{cannot}: {}", other.to_string().to_lowercase()),
        ),
    };
    Failure::new(stage, code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_in_bnd_addr_are_ignored() {
        let bound = |text: &str| meaningful(&TargetAddr::Ip(text.parse().unwrap()));
        assert_eq!(bound("0.0.0.0:0"), None);
        assert_eq!(bound("0.0.0.0:5"), None);
        assert_eq!(bound("10.0.0.1:0"), None);
        assert!(bound("10.0.0.1:5").is_some());
    }
}
