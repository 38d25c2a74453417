//! The name under which a client reaches this server.

use std::net::SocketAddr;

use crate::address::Address;
use crate::conntype::normalise;

/// `host` or `host:port`: the configured name, else the `host` the client used, else the address it
/// connected to. The default port of the scheme is omitted.
pub(crate) fn own_authority(
    configured: Option<&Address>,
    host: Option<&str>,
    local: SocketAddr,
    default_port: u16,
) -> String {
    let address = configured
        .cloned()
        // Parsed because it is echoed in a header.
        .or_else(|| Address::parse(host?, default_port).ok())
        .unwrap_or_else(|| Address {
            host: normalise(local.ip()).to_string(),
            port: local.port(),
        });
    let shown = address.to_string();
    match shown.strip_suffix(&format!(":{default_port}")) {
        Some(bare) if address.port == default_port => bare.to_owned(),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_site_is_one_that_the_client_can_reach() {
        let local = "192.0.2.1:8443".parse().unwrap();
        let configured = Address::parse("login.example", 443).unwrap();
        let cases: [(Option<&Address>, Option<&str>, &str); 7] = [
            (Some(&configured), Some("other"), "login.example"),
            (None, Some("other"), "other"),
            (None, Some("other:443"), "other"),
            (None, Some("other:8443"), "other:8443"),
            (None, Some("bad\r\nhost"), "192.0.2.1:8443"),
            (None, Some("a,DALogin=evil"), "192.0.2.1:8443"),
            (None, None, "192.0.2.1:8443"),
        ];
        for (configured, host, want) in cases {
            assert_eq!(own_authority(configured, host, local, 443), want);
        }
        let v6 = "[::1]:443".parse().unwrap();
        assert_eq!(own_authority(None, None, v6, 443), "[::1]");
    }
}
