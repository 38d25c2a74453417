//! The presets of `--network`.
//!
//! The addresses come from the public code of clients that use these networks, and have changed
//! before. Options override them.

/// The addresses of a network.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Network {
    /// URL of the Passport login page, which saves a round trip. Null where it is not known.
    pub(crate) login: Option<&'static str>,
    /// The name for `--network`.
    pub(crate) name: &'static str,
    /// URL of the Passport nexus.
    pub(crate) nexus: &'static str,
    /// The dispatch or notification server, as `host:port`.
    pub(crate) server: &'static str,
    /// Whether its login server decodes the account, so that a refusal is about the password.
    #[serde(skip)]
    pub(crate) decodes: bool,
}

/// The known networks.
pub(crate) const NETWORKS: [Network; 2] = [
    Network {
        name: "escargot",
        server: "msnmsgr.escargot.chat:1863",
        nexus: "https://msnmsgr.escargot.chat/rdr/pprdr.asp",
        login: Some("https://msnmsgr.escargot.chat/login"),
        decodes: true,
    },
    Network {
        name: "crosstalk",
        server: "ms.msgrsvcs.ctsrv.gay:1863",
        nexus: "https://pp.login.ugnet.gay/rdr/pprdr.asp",
        login: None,
        decodes: false,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::transport::Url;

    #[test]
    fn every_network_has_valid_addresses() {
        for network in &NETWORKS {
            Address::parse(network.server, 1).unwrap();
            assert!(network.nexus.parse::<Url>().unwrap().https);
            assert!(
                network
                    .login
                    .is_none_or(|login| login.parse::<Url>().unwrap().https)
            );
        }
    }
}
