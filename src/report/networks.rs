//! The list of known networks.

use serde::Serialize;

use super::page::{HEADING, PLAIN, Page};
use super::{SCHEMA_VERSION, json};
use crate::networks::{NETWORKS, Network};

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

/// The networks that `--network` knows.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Document {
    /// One entry for each network.
    networks: &'static [Network],
    /// The version of this document. Added keys and values keep it.
    #[cfg_attr(test, schemars(extend("const" = SCHEMA_VERSION)))]
    schema_version: u32,
    /// Where the addresses come from, in words for a person.
    source: &'static str,
}

/// The list as a JSON document.
#[must_use]
pub fn json() -> String {
    json::render(&Document {
        networks: &NETWORKS,
        schema_version: SCHEMA_VERSION,
        source: "public client code",
    })
}

#[cfg(test)]
mod tests {
    use support::document;

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

    #[test]
    fn the_document_has_every_network() {
        let read = document::read(document::Document::Networks, &json()).unwrap();
        let networks = read["networks"].as_array().unwrap();
        assert_eq!(networks.len(), NETWORKS.len());
        assert_eq!(networks[0]["name"], NETWORKS[0].name);
    }
}
