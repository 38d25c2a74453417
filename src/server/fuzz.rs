//! A server without sockets, for the fuzz targets. Nothing else uses it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::sync::watch;
use tokio::time::Instant;

use super::config::Config;
use super::http::{self, HttpService};
use super::proxy_header::{self, Source};
use super::session::SessionDriver;
use super::state::{ConnectionInfo, RequestContext, ServerState};
use super::ticket::{ShortKey, TicketKey, TicketKeys};
use crate::secret::ExposeSecret as _;

pub use super::session::Role as Kind;

/// The length of the header of the PROXY protocol that the input begins with.
///
/// # Errors
/// Its refusal, as text.
pub fn proxy_header_length(input: &[u8]) -> Result<Option<usize>, String> {
    proxy_header::length(input).map_err(|bad| bad.to_string())
}

/// The client that a whole header of the PROXY protocol names, if it names one.
///
/// # Errors
/// Its refusal, as text.
pub fn proxied_client(header: &[u8]) -> Result<Option<SocketAddr>, String> {
    match proxy_header::parse(header) {
        Ok(Source::Client { from, .. }) => Ok(Some(from)),
        Ok(Source::Balancer | Source::Unknown) => Ok(None),
        Err(bad) => Err(bad.to_string()),
    }
}

/// Unix time of all requests.
const NOW: u64 = 1_700_000_000;

/// The client.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), 1033);

/// The buffer of the pipe in either direction, in bytes.
const PIPE: usize = 1 << 20;

/// A connection to a server without sockets, whose ticket key is fixed.
pub struct Harness(Arc<ConnectionInfo>);

impl Harness {
    /// A server with this configuration.
    ///
    /// # Errors
    /// [`ShortKey`] never happens.
    pub fn new(config: Config) -> Result<Self, ShortKey> {
        let keys = TicketKeys::new(TicketKey::new(&[7; 32])?, []);
        Ok(Self(Arc::new(ConnectionInfo {
            peer: PEER,
            local: SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
            knows_client: true,
            state: Arc::new(ServerState::new(config, keys, Vec::new())),
            _permit: None,
        })))
    }

    /// A ticket that a session accepts.
    #[must_use]
    pub fn ticket(&self, account: &str) -> String {
        let ticket = self.0.state.tickets.issue(account, NOW + 60, 1);
        ticket.expose_secret().to_owned()
    }

    /// Runs one session on these pieces of input: the replies, and whether it ended.
    pub fn session<'a>(
        &self,
        kind: Kind,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> (Vec<u8>, bool) {
        let context = RequestContext {
            unix_time: NOW,
            ..self.0.context(Instant::now())
        };
        let mut driver = SessionDriver::new(kind, 1);
        let mut out = Vec::new();
        for piece in pieces {
            if driver.receive(piece, &context, &mut out).end.is_some() {
                return (out, true);
            }
        }
        (out, false)
    }

    /// Runs one HTTP connection to the gateway or to the Passport pages: the responses.
    pub async fn http(&self, gateway: bool, input: &[u8]) -> Vec<u8> {
        let service = match gateway {
            true => HttpService::Gateway(Arc::default()),
            false => HttpService::Passport,
        };
        let info = Arc::clone(&self.0);
        let (mut near, far) = duplex(PIPE);
        let (_open, closing) = watch::channel(false);
        let client = async {
            let _ = near.write_all(input).await;
            let _ = near.shutdown().await;
            let mut responses = Vec::new();
            let _ = near.read_to_end(&mut responses).await;
            responses
        };
        tokio::join!(client, http::serve(far, service, info, closing)).0
    }
}
