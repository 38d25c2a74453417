//! The shell around the pure core: the one place that opens sockets.
//!
//! ```text
//!   Plan ─► observe ─┬─► Dialer ─► (proxy) ─► TCP or gateway ─► session ─► msnp::Login ─► Observation
//!                    └─► Tweener ─► Dialer ─► TLS ─► http ─► msnp::passport ─► ticket
//! ```
//! What happened on the way is kept in the [`Trail`], so that a run that fails half-way, or runs
//! into its deadline, can still tell how far it got.

mod dial;
#[doc(hidden)]
pub mod fuzz;
mod gateway;
mod http;
mod plan;
mod proxy;
mod session;
mod tls;
mod trail;
mod tweener;
mod url;

pub use plan::{Bind, Family, Passport, Plan, ProxyPlan, ProxyScheme};
pub use proxy::{BadProxy, Proxies};
pub use session::{Seen, observe};
pub use tls::{BadPem, read_certificates};
pub use trail::{Progress, Trail};
pub use url::{BadUrl, Url};
