//! Networks whose addresses are known.
//!
//! The addresses come from the public code of clients that use these networks. They have changed
//! before and will change again; every option overrides them.

/// A network's settings.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Network {
    /// The word for `--network`.
    pub(super) name: &'static str,
    /// The server to begin with.
    pub(super) server: &'static str,
    /// The Passport nexus.
    pub(super) nexus: &'static str,
    /// The Passport login page, where it is known: it saves a round trip.
    pub(super) login: Option<&'static str>,
    /// Whether its login server decodes the account, so that a refusal is about the password.
    #[serde(skip)]
    pub(super) decodes: bool,
}

impl Network {
    /// Its Passport addresses.
    pub(super) fn urls(&self) -> impl Iterator<Item = &'static str> + use<> {
        [self.nexus].into_iter().chain(self.login)
    }
}

/// Every network that is known.
pub(super) const NETWORKS: [Network; 2] = [
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

/// The network of that name, in any case.
pub(super) fn find(name: &str) -> Option<&'static Network> {
    NETWORKS
        .iter()
        .find(|network| network.name.eq_ignore_ascii_case(name))
}

/// What `--network list` shows.
pub(super) fn list() -> String {
    let mut text = String::new();
    for Network {
        name,
        server,
        nexus,
        login,
        ..
    } in &NETWORKS
    {
        text.push_str(&format!("{name}\n  server  {server}\n  nexus   {nexus}\n"));
        if let Some(login) = login {
            text.push_str(&format!("  login   {login}\n"));
        }
    }
    text.push_str(
        "\nThese addresses come from public client code, and are not ours to keep right: they \
         have\nchanged before. Any of --server, --nexus-url and --login-url overrides them.\n",
    );
    text
}

/// The same as a JSON document.
pub(super) fn json() -> String {
    let document = serde_json::json!({
        "schema_version": crate::report::SCHEMA_VERSION,
        "networks": NETWORKS,
        "source": "public client code",
    });
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::transport::Url;

    #[test]
    fn every_network_has_addresses_that_read() {
        for network in &NETWORKS {
            assert_eq!(find(&network.name.to_uppercase()), Some(network));
            Address::parse(network.server, 1).unwrap();
            assert!(network.nexus.parse::<Url>().unwrap().https);
            assert!(
                network
                    .login
                    .is_none_or(|login| login.parse::<Url>().unwrap().https)
            );
            assert!(list().contains(network.server));
        }
        assert_eq!(find("msn"), None);
    }
}
