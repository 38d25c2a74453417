//! What a login needs: checked settings, ready to be carried out.

use std::time::Duration;

use crate::address::Address;
use crate::conntype::PortOrder;
use crate::msnp::{Account, Dialect};
use crate::secret::SecretString;
use crate::transport::{Route, Url};

/// One login.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The notification or dispatch server.
    pub server: Address,
    /// Who logs in.
    pub account: Account,
    /// The password.
    pub password: SecretString,
    /// Where the ticket comes from.
    pub passport: Passport,
    /// Whether the login server is known to decode the account: a refusal is about the password.
    pub decodes_sign_in: bool,
    /// The hosts that may get the credentials: the server, and what options or a preset name.
    pub credential_hosts: Vec<String>,
    /// What to offer, best first; empty leaves it to the login.
    pub dialects: Vec<Dialect>,
    /// Whether to send one command at a time.
    pub lockstep: bool,
    /// How to read the byte order of `ClientPort`.
    pub order: PortOrder,
    /// How connections leave this host.
    pub route: Route,
    /// The HTTP gateway to go through, where the server is not reached by TCP.
    pub gateway: Option<Url>,
    /// Whether the password may travel without encryption.
    pub insecure_http: bool,
    /// The time of the whole run.
    pub timeout: Duration,
}

/// Where the ticket comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passport {
    /// From the login server that this nexus names.
    Nexus(Url),
    /// From this login page.
    Login(Url),
}

impl Passport {
    /// The page that is requested first.
    #[must_use]
    pub const fn url(&self) -> &Url {
        let (Self::Nexus(url) | Self::Login(url)) = self;
        url
    }
}
