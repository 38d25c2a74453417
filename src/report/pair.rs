//! Whether two people can connect directly: the page and its document.

use serde::Serialize;
use serde_json::Value;

use super::page::{HEADING, PLAIN, Page};
use super::text::sentence;
use super::{SCHEMA_VERSION, json};
use crate::conntype::{Listener, PeerClient, PeerLabel, Side, meet};

/// The column of the text beside a name.
const INDENT: usize = 14;

/// The document.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Document {
    /// The version of this document. Added keys and values keep it.
    #[cfg_attr(test, schemars(extend("const" = SCHEMA_VERSION)))]
    schema_version: u32,
    /// The pair that was asked for, or every pair.
    pairs: Vec<PairReport>,
}

/// Two people.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct PairReport {
    /// The first of them.
    first: SideReport,
    /// The second.
    second: SideReport,
    /// Whether they can connect directly. Null where that does not show.
    direct: Option<bool>,
    /// Who listens, so that the other one connects. Null where that does not show.
    listener: Option<Listener>,
    /// Who listens where both run one of these clients.
    clients: Vec<ClientReport>,
}

/// One of the two.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SideReport {
    /// The connection type.
    #[cfg_attr(test, schemars(with = "String"))]
    label: PeerLabel,
    /// Whether the router opens ports on request.
    upnp: bool,
    /// Whether a call over TCP arrived. Null where none was tested.
    called: Option<bool>,
    /// Whether others can call it over TCP. Null where that does not show.
    callable: Option<bool>,
}

/// What a client does.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ClientReport {
    /// The client.
    client: PeerClient,
    /// Who listens.
    listener: Listener,
}

impl From<Side> for SideReport {
    fn from(side: Side) -> Self {
        let Side {
            label,
            upnp,
            called,
        } = side;
        Self {
            label,
            upnp,
            called,
            callable: side.is_callable(),
        }
    }
}

impl PairReport {
    fn of((first, second): (Side, Side)) -> Self {
        let listener = meet(first, second);
        let clients = PeerClient::ALL.into_iter().map(|client| ClientReport {
            client,
            listener: client.listener(first, second),
        });
        Self {
            first: first.into(),
            second: second.into(),
            direct: listener.map(|listener| listener != Listener::Neither),
            listener,
            clients: clients.collect(),
        }
    }
}

/// The pair as a document, or every pair.
#[must_use]
pub fn json(pair: Option<(Side, Side)>) -> String {
    let every = || {
        let sides = sides();
        let firsts = sides.iter().enumerate();
        let pairs =
            firsts.flat_map(|(at, first)| sides[at..].iter().map(|second| (*first, *second)));
        pairs.map(PairReport::of).collect()
    };
    json::render(&Document {
        schema_version: SCHEMA_VERSION,
        pairs: pair.map_or_else(every, |pair| vec![PairReport::of(pair)]),
    })
}

/// The pair as a page, or the table of every pair.
#[must_use]
pub fn text(pair: Option<(Side, Side)>, width: usize) -> String {
    let mut page = Page::new(width, false);
    match pair {
        Some((first, second)) => one(&mut page, first, second),
        None => every(&mut page),
    }
    page.finish()
}

fn one(page: &mut Page, first: Side, second: Side) {
    let found = match meet(first, second) {
        Some(Listener::Neither) => "not directly: neither can be called".to_owned(),
        Some(listener) => format!("directly: {}", listens(listener)),
        None => "not known".to_owned(),
    };
    let heading = format!("{} and {}: {found}", named(first), named(second));
    page.text(0, &heading);
    page.blank();
    for (lead, side) in [("  first", first), ("  second", second)] {
        let callable = match side.is_callable() {
            Some(true) => "can be called",
            Some(false) => "cannot be called",
            None => "whether it can be called does not show",
        };
        page.item(
            lead,
            HEADING,
            INDENT,
            &format!("{}: {callable}", named(side)),
        );
    }
    page.blank();
    for client in PeerClient::ALL {
        let mut said = listens(client.listener(first, second)).to_owned();
        if client == PeerClient::Miranda {
            let weights = [first, second].map(Side::miranda_weight);
            said += &format!(" (weights {} and {})", weights[0], weights[1]);
        }
        page.item(
            &format!("  {}", name(client)),
            PLAIN,
            INDENT,
            &sentence(&said),
        );
    }
}

/// The table of every pair, with letters, so that it has room everywhere.
fn every(page: &mut Page) {
    let sides = sides();
    page.text(
        0,
        "Who can listen, so that the other one connects: '<' the one of the row, '^' the one of the column, \
         '+' either, '-' neither, so not directly, '?' not known. 'pair LABEL LABEL' adds what clients of \
         the time do.",
    );
    page.blank();
    let letter = |at: usize| char::from(b'a' + u8::try_from(at).unwrap_or_default());
    let heads: String = (0..sides.len())
        .map(|at| format!(" {}", letter(at)))
        .collect();
    page.heading(&format!("{:26}{heads}", ""), PLAIN);
    for (at, &row) in sides.iter().enumerate() {
        let cells = sides.iter().map(|&column| match meet(row, column) {
            Some(Listener::First) => " <",
            Some(Listener::Second) => " ^",
            Some(Listener::Either) => " +",
            Some(Listener::Neither) => " -",
            None => " ?",
        });
        let cells: String = cells.collect();
        page.heading(&format!("{} {:24}{cells}", letter(at), named(row)), PLAIN);
    }
}

/// Every side of which the router matters, with and without it.
fn sides() -> Vec<Side> {
    let with = |label| {
        let side = |upnp| Side {
            label,
            upnp,
            called: None,
        };
        let is_other = side(true).is_callable() != side(false).is_callable();
        [Some(side(false)), is_other.then(|| side(true))]
    };
    PeerLabel::ALL
        .into_iter()
        .flat_map(with)
        .flatten()
        .collect()
}

fn named(side: Side) -> String {
    match side.upnp {
        true => format!("{}+upnp", side.label),
        false => side.label.to_string(),
    }
}

const fn listens(listener: Listener) -> &'static str {
    match listener {
        Listener::First => "the first listens",
        Listener::Second => "the second listens",
        Listener::Either => "either can listen",
        Listener::Neither => "nobody listens",
    }
}

const fn name(client: PeerClient) -> &'static str {
    match client {
        PeerClient::Kopete => "Kopete",
        PeerClient::Miranda => "Miranda",
        PeerClient::MsnpSharp => "MSNPSharp",
    }
}

/// What a document of a login or of `probe` says of its side; `None` if it is neither.
#[must_use]
pub fn side_of(document: &Value) -> Option<Side> {
    document.get("schema_version")?.as_u64()?;
    let label = document.get("label")?.as_str()?;
    let label = PeerLabel::ALL
        .into_iter()
        .find(|known| known.as_str() == label)?;
    let router = &document["probes"]["port_mapping"];
    let offers = ["upnp", "nat_pmp", "pcp"].into_iter().any(|protocol| {
        let told = &router[protocol];
        told["external"].is_string() || told["reason"] == "only-when-opening"
    });
    let is_refused = router["tried"] == true && router["opened"].is_null();
    let listen = &document["probes"]["listen"];
    let mapped = listen["mapped"]["tcp"].as_str();
    let is_in_vain = matches!(mapped, Some("lost" | "refused" | "elsewhere"));
    // A call within the network says nothing of what comes from beyond.
    let reason = &document["conclusion"]["reason"]["file_transfer"];
    let is_near = reason == "call-arrived-from-nearby";
    Some(Side {
        label,
        upnp: router["relation"] == "only-nat" && offers && !is_refused && !is_in_vain,
        called: listen["tcp"].as_bool().filter(|_| !is_near),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use support::document::{self, Document};

    use super::*;
    use crate::report::human::tests::snapshot;

    #[test]
    fn the_table_has_every_pair_on_a_narrow_terminal() {
        snapshot("pair-50", &text(None, 50));
        let read = document::read(Document::Pair, &json(None)).unwrap();
        assert_eq!(read["pairs"].as_array().unwrap().len(), 66);
    }

    #[test]
    fn a_pair_is_told_with_what_clients_do() {
        let side = |label, upnp| Side {
            label,
            upnp,
            called: None,
        };
        let pair = Some((
            side(PeerLabel::IpRestrictNat, true),
            side(PeerLabel::SymmetricNat, false),
        ));
        snapshot("pair-80", &text(pair, 80));
        let read = document::read(Document::Pair, &json(pair)).unwrap();
        assert_eq!(read["pairs"][0]["listener"], "first");
        assert_eq!(read["pairs"][0]["clients"][2]["listener"], "neither");
    }

    #[test]
    fn a_report_tells_its_side() {
        let document = |router: Value, tcp: Value| {
            json!({
                "schema_version": 1,
                "label": "IP-Restrict-NAT",
                "probes": {"port_mapping": router, "listen": {"tcp": tcp}},
            })
        };
        let router = |relation: &str, tried: bool, opened: Value| {
            json!({
                "relation": relation,
                "upnp": {"external": null, "reason": "no-answer"},
                "nat_pmp": {"external": "203.0.113.7", "reason": null},
                "pcp": null,
                "tried": tried,
                "opened": opened,
            })
        };
        for (document, upnp, called) in [
            (document(Value::Null, Value::Null), false, None),
            (
                document(router("only-nat", false, Value::Null), json!(false)),
                true,
                Some(false),
            ),
            (
                document(router("only-nat", true, Value::Null), json!(true)),
                false,
                Some(true),
            ),
            (
                document(router("only-nat", true, json!({})), Value::Null),
                true,
                None,
            ),
            (
                document(router("carrier-nat", false, Value::Null), Value::Null),
                false,
                None,
            ),
        ] {
            let side = side_of(&document).unwrap();
            assert_eq!((side.upnp, side.called), (upnp, called), "{document}");
        }
        let mut lost = document(router("only-nat", true, json!({})), json!(false));
        lost["probes"]["listen"]["mapped"] = json!({"tcp": "lost"});
        assert!(!side_of(&lost).unwrap().upnp);
        let mut near = document(Value::Null, json!(true));
        near["conclusion"] = json!({"reason": {"file_transfer": "call-arrived-from-nearby"}});
        assert_eq!(side_of(&near).unwrap().called, None);
        for other in [
            json!(null),
            json!([]),
            json!({"label": "Symmetric-NAT"}),
            json!({"schema_version": 1, "label": "x"}),
        ] {
            assert_eq!(side_of(&other), None, "{other}");
        }
    }
}
