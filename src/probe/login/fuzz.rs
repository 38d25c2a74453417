//! Public for the fuzz targets only.

use super::gateway::SessionHeader;

/// Reads `X-MSN-Messenger`: the id, the host, and whether the session has ended.
#[must_use]
pub fn session_header(text: &str) -> (Option<&str>, Option<&str>, bool) {
    let SessionHeader { id, host, closes } = SessionHeader::parse(text);
    (id, host, closes)
}
