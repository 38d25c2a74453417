//! Which proxy a connection goes through, and how one is written.

use hyper_util::client::proxy::matcher::Matcher;
use percent_encoding::percent_decode_str;

use crate::address::Address;
use crate::conntype::PathKind;
use crate::secret::SecretString;

/// How to speak to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyScheme {
    /// SOCKS5, names looked up here.
    Socks5,
    /// SOCKS5, names looked up by the proxy.
    Socks5h,
    /// SOCKS4, names looked up here.
    Socks4,
    /// SOCKS4a, names looked up by the proxy.
    Socks4a,
    /// HTTP CONNECT.
    Http,
}

impl ProxyScheme {
    /// The protocol's name.
    #[must_use]
    pub const fn protocol(self) -> &'static str {
        match self {
            Self::Socks5 | Self::Socks5h => "SOCKS5",
            Self::Socks4 | Self::Socks4a => "SOCKS4",
            Self::Http => "HTTP",
        }
    }

    /// The kind of path through such a proxy.
    #[must_use]
    pub const fn path(self) -> PathKind {
        match self {
            Self::Http => PathKind::HttpConnect,
            Self::Socks5 | Self::Socks5h => PathKind::Socks5,
            Self::Socks4 | Self::Socks4a => PathKind::Socks4,
        }
    }
}

/// A proxy to go through.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// How to speak to it.
    pub scheme: ProxyScheme,
    /// Where it is.
    pub address: Address,
    /// User and password, where it requires them.
    pub credentials: Option<(String, SecretString)>,
}

/// The proxies of one run.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    proxy: Option<ProxySettings>,
    /// `NO_PROXY`: what is reached directly.
    except: Option<String>,
}

/// Why a text does not name a proxy. The text may hold a password, so it is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProxy {
    /// No scheme, or an unknown one.
    #[error("invalid proxy scheme (expected socks5, socks5h, socks4, socks4a or http)")]
    Scheme,
    /// The address is invalid.
    #[error("invalid proxy address (expected scheme://[user[:password]@]host[:port])")]
    Address,
    /// The user or the password cannot be sent.
    #[error("the proxy's user or password holds a line break or a NUL character, or is too long")]
    Credentials,
}

impl ProxySettings {
    /// Reads `scheme://[user[:password]@]host[:port]`; user and password may be percent-encoded.
    /// Without a port it is 1080 for SOCKS and 80 for HTTP.
    ///
    /// # Errors
    /// [`BadProxy`], which never repeats the text.
    pub fn parse(text: &str) -> Result<Self, BadProxy> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(BadProxy::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "socks5" => ProxyScheme::Socks5,
            "socks5h" => ProxyScheme::Socks5h,
            "socks4" => ProxyScheme::Socks4,
            "socks4a" => ProxyScheme::Socks4a,
            "http" => ProxyScheme::Http,
            _ => return Err(BadProxy::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, host) = match rest.rsplit_once('@') {
            Some((credentials, host)) => (Some(read_credentials(credentials)?), host),
            None => (None, rest),
        };
        let default_port = if scheme == ProxyScheme::Http {
            80
        } else {
            1080
        };
        let address = Address::parse(host, default_port).map_err(|_| BadProxy::Address)?;
        Ok(Self {
            scheme,
            address,
            credentials,
        })
    }
}

fn read_credentials(text: &str) -> Result<(String, SecretString), BadProxy> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy();
    let (user, password) = (decoded(user), decoded(password));
    // 255 bytes is what SOCKS5 can carry (RFC 1929).
    let fits = |text: &str| {
        text.len() <= 255 && !text.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
    };
    if !fits(&user) || !fits(&password) {
        return Err(BadProxy::Credentials);
    }
    Ok((user.into_owned(), SecretString::from(password.into_owned())))
}

impl Proxies {
    /// Everything goes through this one.
    #[must_use]
    pub const fn always(proxy: ProxySettings) -> Self {
        Self {
            proxy: Some(proxy),
            except: None,
        }
    }

    /// What the environment says: `HTTPS_PROXY`, else `ALL_PROXY`, and `NO_PROXY`, in upper or
    /// lower case. `variable` reads the environment.
    ///
    /// # Errors
    /// [`BadProxy`] where the variable's value is invalid.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, BadProxy> {
        let read = |name: &str| {
            let value = variable(name).or_else(|| variable(&name.to_ascii_lowercase()));
            value.filter(|value| !value.trim().is_empty())
        };
        let proxy = read("HTTPS_PROXY").or_else(|| read("ALL_PROXY"));
        Ok(Self {
            proxy: proxy.map(|text| ProxySettings::parse(&text)).transpose()?,
            except: read("NO_PROXY"),
        })
    }

    /// The proxy on the way to `to`, if there is one.
    #[must_use]
    pub fn toward(&self, to: &Address) -> Option<&ProxySettings> {
        let proxy = self.proxy.as_ref()?;
        let Some(except) = &self.except else {
            return Some(proxy);
        };
        // The matcher applies the asterisk to names only.
        if except.split(',').any(|entry| entry.trim() == "*") {
            return None;
        }
        // The matcher says only whether to use a proxy; which one is known here.
        let matcher = Matcher::builder()
            .all("http://proxy.invalid")
            .no(except.as_str())
            .build();
        // An address that cannot be matched is no exception.
        let Ok(target) = format!("https://{to}").parse() else {
            return Some(proxy);
        };
        matcher.intercept(&target).map(|_| proxy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::ExposeSecret;

    fn to(text: &str) -> Address {
        Address::parse(text, 1863).unwrap()
    }

    #[test]
    fn proxies_are_read_in_every_spelling() {
        let read = |text| ProxySettings::parse(text).map(|p| (p.scheme, p.address.to_string()));
        assert_eq!(
            read("socks5://h"),
            Ok((ProxyScheme::Socks5, "h:1080".into()))
        );
        assert_eq!(
            read("SOCKS5H://h:99/"),
            Ok((ProxyScheme::Socks5h, "h:99".into()))
        );
        assert_eq!(
            read("socks4a://[::1]:99"),
            Ok((ProxyScheme::Socks4a, "[::1]:99".into()))
        );
        assert_eq!(
            read("http://h:3128"),
            Ok((ProxyScheme::Http, "h:3128".into()))
        );
        for bad in [
            "https://h",
            "ftp://h",
            "h:1080",
            "",
            "socks5://",
            "socks5://h:x",
            "http://h/x",
        ] {
            assert!(ProxySettings::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn user_and_password_are_decoded_and_not_repeated() {
        let proxy = ProxySettings::parse("http://us%40er:p%3Aw:x@h:1").unwrap();
        let (user, password) = proxy.credentials.clone().unwrap();
        assert_eq!(
            (user.as_str(), password.expose_secret()),
            ("us@er", "p:w:x")
        );
        assert!(!format!("{proxy:?}").contains("p:w"));
        for bad in [
            "ftp://u:marker@h",
            "http://u:marker@h:x",
            "http://u:marker%0d@h",
        ] {
            assert!(
                !ProxySettings::parse(bad)
                    .unwrap_err()
                    .to_string()
                    .contains("marker")
            );
        }
    }

    #[test]
    fn no_proxy_is_honoured() {
        let environment = |name: &str| match name {
            "all_proxy" => Some("socks5://a".to_owned()),
            "NO_PROXY" => Some("example.com,10.0.0.0/8".to_owned()),
            _ => None,
        };
        let proxies = Proxies::from_environment(environment).unwrap();
        assert!(proxies.toward(&to("ns.other")).is_some());
        for without in ["example.com", "ns.example.com", "10.1.2.3"] {
            assert!(proxies.toward(&to(without)).is_none(), "{without}");
        }
        let never = |name: &str| match name {
            "NO_PROXY" => Some("x, *".to_owned()),
            _ => environment(name),
        };
        let proxies = Proxies::from_environment(never).unwrap();
        for without in ["ns.other", "203.0.113.80", "[2001:db8::1]"] {
            assert!(proxies.toward(&to(without)).is_none(), "{without}");
        }
        let none = Proxies::from_environment(|_| None).unwrap();
        assert!(none.toward(&to("ns")).is_none());
        assert!(Proxies::from_environment(|_| Some("x://".into())).is_err());
    }
}
