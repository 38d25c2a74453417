//! Connections: names, dialing, proxies, TLS, HTTP. The one room that opens the client's sockets.
//!
//! ```text
//!   url  route (proxies)  error  driver      values, and what several files need
//!     └─────────┬───────────┘      │
//!             dial                 │         names, addresses
//!               └──► proxy ◄───────┤         the way to a server, with a proxy's handshake
//!                      └─► http ◄──┘ ◄ tls   requests over connections of our own
//! ```
//! It knows nothing of MSNP: what a connection is for is only passed on to the
//! [`RunLog`](crate::run_log::RunLog).

mod dial;
mod driver;
mod error;
mod gateway;
mod http;
mod listen;
mod proxies;
mod proxy;
mod route;
mod tls;
mod udp;
mod url;

pub use proxies::{BadProxy, Proxies, ProxyScheme, ProxySettings};
pub use route::{Bind, Family, Route};
pub use tls::{BadPem, read_certificates};
pub use url::{BadUrl, Url};

pub(crate) use dial::{Dialer, Established};
pub(crate) use error::describe;
pub(crate) use gateway::gateway;
pub(crate) use http::{Connection, Request, Response};
pub(crate) use listen::Listener;
pub(crate) use proxy::{authorization, connect, reach, requires_password, wrong_password};
pub(crate) use tls::Connector;
pub(crate) use udp::{UdpSocket, resolve as resolve_udp, resolve_v4};
