//! The list of known networks.

use serde_json::json;

use super::page::{HEADING, PLAIN, Page};
use super::{SCHEMA_VERSION, json};
use crate::networks::NETWORKS;

/// The list for a person.
#[must_use]
pub fn text(width: usize) -> String {
    let mut page = Page::new(width, false);
    for network in &NETWORKS {
        page.heading(network.name, HEADING);
        page.item("  server", PLAIN, 10, network.server);
        page.item("  nexus", PLAIN, 10, network.nexus);
        if let Some(login) = network.login {
            page.item("  login", PLAIN, 10, login);
        }
    }
    page.blank();
    page.text(
        0,
        "These addresses come from public client code and have changed before. --server, \
         --nexus-url and --login-url override them.",
    );
    page.finish()
}

/// The list as a JSON document.
#[must_use]
pub fn json() -> String {
    json::render(&json!({
        "schema_version": SCHEMA_VERSION,
        "networks": NETWORKS,
        "source": "public client code",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::human::tests::snapshot;

    #[test]
    fn the_list_matches_its_snapshots_and_keeps_to_the_width() {
        for width in [40, 50, 80] {
            let page = text(width);
            snapshot(&format!("networks-{width}"), &page);
            let widest = page.lines().map(textwrap::core::display_width).max();
            assert!(widest <= Some(width), "{page}");
        }
    }
}
