//! A door for the fuzz targets to what has no name outside. Nothing else goes through it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::sync::watch;

use super::config::{Config, ServerError};
use super::conversation::Conversation;
use super::desk::Moment;
use super::gateway::Gateway;
use super::session::{Referral, Role};
use super::shared::Shared;
use super::web::{self, Site, Web};
use super::{Server, TicketKey};
use crate::secret::ExposeSecret as _;

/// When it all takes place, Unix time.
const NOW: u64 = 1_700_000_000;

/// Whoever asks.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), 1033);

/// How much may be on its way in either direction, in bytes.
const PIPE: usize = 1 << 20;

/// What a session is for.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A session over TCP.
    Notification,
    /// A session behind the gateway.
    Gateway,
    /// A referral.
    Dispatch,
}

/// A server without a socket.
pub struct Door(Arc<Shared>);

impl Door {
    /// A server that does as `config` says, but listens nowhere, and signs its tickets alike
    /// each time.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn new(config: Config) -> Result<Self, ServerError> {
        let server = Server::bind(Config {
            listen: Vec::new(),
            dispatch_listen: Vec::new(),
            passport_listen: Vec::new(),
            gateway_listen: Vec::new(),
            ticket_key: TicketKey::new(&[7; 32]).ok(),
            ..config
        })?;
        Ok(Self(server.shared))
    }

    /// A ticket that a session accepts.
    #[must_use]
    pub fn ticket(&self, account: &str) -> String {
        let ticket = self.0.desk.tickets.issue(account, NOW + 60, 1);
        ticket.expose_secret().to_owned()
    }

    /// One session, given its input in these pieces: the answers, and whether it ended.
    pub fn session<'a>(
        &self,
        kind: Kind,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> (Vec<u8>, bool) {
        let role = match kind {
            Kind::Notification => Role::Notification,
            Kind::Gateway => Role::Gateway,
            Kind::Dispatch => Role::Dispatch(Box::new(Referral {
                to: "ns.example:1863".to_owned(),
                here: "192.0.2.1:1863".to_owned(),
            })),
        };
        let moment = Moment {
            now: NOW,
            peer: PEER,
            clock: tokio::time::Instant::now(),
        };
        let mut talk = Conversation::new(role, 1);
        let mut out = Vec::new();
        for piece in pieces {
            let taken = talk.take(piece, &self.0.desk, &moment, &mut out);
            if taken.end.is_some() {
                return (out, true);
            }
        }
        (out, false)
    }

    /// One HTTP connection, to the gateway or to the Passport pages: the answers.
    pub async fn http(&self, gateway: bool, input: &[u8]) -> Vec<u8> {
        let site = match gateway {
            true => Site::Gateway(Arc::new(Gateway::default())),
            false => Site::Passport,
        };
        let web = Web {
            site,
            peer: PEER,
            local: SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
            shared: Arc::clone(&self.0),
        };
        let (mut near, far) = duplex(PIPE);
        let (_open, closing) = watch::channel(false);
        let client = async {
            let _ = near.write_all(input).await;
            let _ = near.shutdown().await;
            let mut answers = Vec::new();
            let _ = near.read_to_end(&mut answers).await;
            answers
        };
        tokio::join!(client, web::serve(far, web, closing)).0
    }
}
