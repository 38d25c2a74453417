//! The server's side of a session, sans-IO: bytes in, bytes out.
//!
//! ```text
//!   driver (bytes, registration, counters) ──► login ──► contacts ──► challenge
//!      └─────────────────────────────────────────┴───────────┴──► outcome
//! ```
//! `login` answers commands up to the profile, `contacts` those after it.
//! Sources: hypothetic.org, notification/{authentication,getting_details,changing_details,
//! pings_challenges}; yellows111, commands; the replies of servers in use.

use std::time::Duration;

mod challenge;
mod contacts;
mod driver;
mod login;
mod outcome;

/// How long a client may take to sign in: three round trips and a login page, over a slow line.
pub(super) const LOGIN_TIME: Duration = Duration::from_secs(30);

pub(super) use driver::{Processed, SessionDriver};
pub use login::Role;
pub(super) use outcome::EndReason;
