//! The schemas, derived from the types; what serde prints by hand is described here.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::Document;
use crate::address::Address;
use crate::conntype::{
    Label, Missing, PortUnknown as Port, Reason, UdpLabel, Unsettled as Open, Warning,
};
use crate::exit::Exit;
use crate::failure::ErrorCode;
use crate::msnp::Dialect;
use crate::report::capture::CaptureReport;
use crate::report::human::tests::all;
use crate::report::pair;
use crate::report::text::sentence;
use crate::report::{
    ProbeReport, Report, SCHEMA_VERSION, Why, accounts, demo, explain, json, networks, words,
};
use crate::server::Addresses;

/// What `demo` prints: one report for each path; with `--path`, or where it ends early, one report.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "for its schema")]
enum Demo<'a> {
    Paths(demo::Paths<'a>),
    Failed(Box<Report>),
}

/// What `serve` prints: its addresses in one line or, with `--json`, why it cannot start.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "for its schema")]
enum Serve {
    Ready(Addresses),
    Failed(json::NotServed),
}

/// Words for programs.
const WORD: &str = "^[a-z0-9]+(-[a-z0-9]+)*$";

/// The end of `host:port`.
const PORT: &str = ":[1-9][0-9]{0,4}$";

fn derived(document: Document) -> String {
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with_transform(RecursiveTransform(publish));
    let generator = settings.into_generator();
    let mut schema = match document {
        Document::Report => generator.into_root_schema_for::<Report>(),
        Document::Demo => generator.into_root_schema_for::<Demo<'_>>(),
        Document::Probe => generator.into_root_schema_for::<ProbeReport>(),
        Document::Explain => generator.into_root_schema_for::<explain::Document>(),
        Document::Pair => generator.into_root_schema_for::<pair::Document>(),
        Document::Capture => generator.into_root_schema_for::<CaptureReport>(),
        Document::Networks => generator.into_root_schema_for::<networks::Document>(),
        Document::Serve => generator.into_root_schema_for::<Serve>(),
        Document::Accounts => generator.into_root_schema_for::<accounts::Document<'_>>(),
    };
    let word = document.as_str();
    let version = SCHEMA_VERSION;
    schema.insert(
        "$id".into(),
        json!(format!("urn:msnp9-conntype:{word}:v{version}")),
    );
    schema.insert(
        "title".into(),
        json!(format!("msnp9-conntype: {word}, version {version}")),
    );
    format!("{:#}\n", schema.as_value())
}

/// What schemars derives, as it is published: formats that JSON Schema has, descriptions in one
/// line, and values that may be added.
fn publish(schema: &mut Schema) {
    match schema.get("format").and_then(Value::as_str) {
        Some("ip") => {
            schema.remove("format");
            let formats = json!([{ "format": "ipv4" }, { "format": "ipv6" }]);
            schema.insert("anyOf".into(), formats);
        }
        Some("double" | "uint" | "uint8" | "uint16" | "uint32") => drop(schema.remove("format")),
        _ => {}
    }
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text
            .split("\n\n")
            .next()
            .unwrap_or_default()
            .replace('\n', " ");
    }
    let has_words = |one: &Value| one["const"].is_string();
    let words = match schema.get("oneOf") {
        Some(Value::Array(words)) if words.iter().all(has_words) => words.clone(),
        _ => return,
    };
    schema.remove("oneOf");
    let words = words.iter().map(|one| {
        let text = |key: &str| one[key].as_str().unwrap_or_default().replace('\n', " ");
        (text("const"), text("description"))
    });
    let open = open(words, WORD);
    schema
        .ensure_object()
        .extend(open.as_object().unwrap().clone());
}

/// These words, each with its description, and words to come.
fn open(words: impl IntoIterator<Item = (String, String)>, pattern: &str) -> Schema {
    let mut known = Vec::<(String, String)>::new();
    for (word, description) in words {
        match known.iter_mut().find(|(other, _)| *other == word) {
            Some((_, other)) => *other += &format!(" {description}"),
            None => known.push((word, description)),
        }
    }
    let known = known.iter();
    let mut any: Vec<_> = known
        .map(|(word, description)| json!({ "const": word, "description": description }))
        .collect();
    any.push(json!({ "pattern": pattern, "description": "A later version may add values." }));
    json_schema!({ "type": "string", "anyOf": any })
}

/// A code, and a sentence for a person.
fn said(codes: &Schema) -> Schema {
    let mut codes = codes.clone();
    codes.insert("description".into(), json!("A stable code."));
    json_schema!({
        "type": "object",
        "required": ["code", "text"],
        "properties": {
            "code": codes,
            "text": { "type": "string", "description": "The same for a person. Its words may change." },
        },
    })
}

/// The rows of a table of a page, from the one with this heading: the code and what it means.
fn rows(page: &str, heading: &str) -> Vec<(String, String)> {
    let (_, table) = page.split_once(heading).unwrap();
    let rows = table.lines().skip(2).map_while(|row| {
        let (code, meaning) = row.strip_prefix("| `")?.split_once("` | ")?;
        Some((code.to_owned(), meaning.trim_end_matches(" |").to_owned()))
    });
    rows.collect()
}

const REASONS: [Reason; 14] = [
    Reason::NothingRewritten,
    Reason::AddressRewritten,
    Reason::PortRewritten,
    Reason::BothRewritten,
    Reason::MappingDependsOnDestination,
    Reason::MappingIndependentOfDestination,
    Reason::PortKeptTowardOne,
    Reason::ObservationsDisagree,
    Reason::AddressRewrittenPortUnknown(Port::Absent),
    Reason::AddressOursPortUnknown(Port::Absent),
    Reason::AddressUnknown,
    Reason::LoopbackElsewhere,
    Reason::KnownConstant,
    Reason::ObservedConstant,
];

fn warnings() -> Vec<Warning> {
    let ip = std::net::Ipv4Addr::LOCALHOST.into();
    let server = Address::parse("server.example", 1863).unwrap();
    let unsettled = [
        Open::NotTranslated(ip),
        Open::OtherSide(ip, ip),
        Open::TwoOutsideAddresses(ip, ip),
        Open::SameAddress,
        Open::PortUnknown,
        Open::Undetermined(Reason::AddressUnknown),
        Open::KnownConstant,
    ];
    let mut all = vec![
        Warning::ClientIpNotGlobal(ip),
        Warning::ClientIpIsServer(ip),
        Warning::OutsidePortAmbiguous(1, 256),
        Warning::OrderUndecided,
        Warning::TcpFlowOnly,
        Warning::SignedOutElsewhere,
        Warning::PortNotSent(server.clone()),
        Warning::CredentialsElsewhere(server),
        Warning::ObservationMissing(Missing::LoginFailed),
        Warning::ObservationsDisagree(Label::UnknownNat),
    ];
    all.extend(unsettled.map(Warning::Unsettled));
    all
}

/// Describes a type that serde prints by hand.
macro_rules! describe {
    ($($name:ident: $text:literal, $schema:expr;)+) => {$(
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let make: fn(&mut SchemaGenerator) -> Schema = $schema;
                let mut schema = make(generator);
                schema.insert("description".into(), json!($text));
                schema
            }
        }
    )+};
}

describe! {
    Address: "A name or an address, and a port, as `host:port`; an IPv6 address in brackets.",
        |_| json_schema!({ "type": "string", "pattern": PORT });
    Dialect: "A version of the protocol.", |_| open(
        Dialect::ALL.map(|one| (one.to_string(), format!("Version {} of the protocol.", &one.to_string()[4..]))),
        "^MSNP[0-9]+$",
    );
    Exit: "0: determined, and met `--expect` if given; 1: determined, but not among `--expect`, or \
           `serve` cannot start; 3: a server could not be reached in time; 4: the credentials were \
           refused; 5: the server answered, but not with a usable profile; 70: a bug in this \
           program; 130, 143: interrupted by SIGINT, SIGTERM.",
        |_| json_schema!({ "type": "integer", "minimum": 0, "maximum": 255 });
    Label: "A connection type. No other is added in this version.",
        |_| json_schema!({ "type": "string", "enum": Label::ALL });
    UdpLabel: "A connection type of UDP. No other is added in this version.",
        |_| json_schema!({ "type": "string", "enum": UdpLabel::ALL });
    Warning: "Something worth knowing that does not change the label.", |_| said(&open(
        rows(include_str!("../../../docs/labels.md"), "| code | meaning |"),
        WORD,
    ));
    Why: "Why there is this label: a rule, or the code and the message of `error`.", |generator| {
        let is_error = |code: &str| ErrorCode::ALL.iter().any(|error| error.to_string() == code);
        let rules = REASONS.iter().filter(|reason| !is_error(reason.code()));
        let rules = rules.map(|reason| {
            let text = words::reason(reason).replace(": the profile has no ClientPort", "");
            (reason.code().to_owned(), sentence(&text))
        });
        let rules = open(rules, WORD);
        said(&json_schema!({ "anyOf": [rules, generator.subschema_for::<ErrorCode>()] }))
    };
}

#[test]
fn the_files_are_those_that_the_types_make() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema");
    let mut names = BTreeSet::new();
    for document in Document::ALL {
        let name = format!("{}.v{SCHEMA_VERSION}.json", document.as_str());
        let schema = derived(document);
        if std::env::var_os("SCHEMA").is_some_and(|what| what == "write") {
            std::fs::write(dir.join(&name), &schema).unwrap();
        } else {
            assert!(
                document.schema() == schema,
                "docs/schema/{name}: SCHEMA=write cargo test --lib schema makes it anew"
            );
        }
        names.insert(name);
    }
    let files = std::fs::read_dir(dir).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.collect::<BTreeSet<_>>(), names);
}

/// Calls `see` with every object of a schema, and with where it is.
fn each(at: &str, schema: &Value, see: &mut impl FnMut(&str, &Value)) {
    match schema {
        Value::Object(object) => {
            see(at, schema);
            for (key, inner) in object {
                each(&format!("{at}/{key}"), inner, see);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| each(at, item, see)),
        _ => {}
    }
}

#[test]
fn every_key_is_required_and_described_and_others_are_allowed() {
    for document in Document::ALL {
        let schema: Value = serde_json::from_str(&document.schema()).unwrap();
        let mut wrong = Vec::new();
        each(document.as_str(), &schema, &mut |at, schema| {
            let text = schema["description"].as_str();
            if text.is_some_and(|text| text.contains("[`") || text.contains('\n')) {
                wrong.push(format!("{at}: written for rustdoc"));
            }
            let Some(properties) = schema["properties"].as_object() else {
                return;
            };
            if !schema["additionalProperties"].is_null() {
                wrong.push(format!("{at}: keys may be added"));
            }
            let required = schema["required"].as_array().unwrap();
            for (key, property) in properties {
                if !required.iter().any(|name| name == key) {
                    wrong.push(format!("{at}: {key} is not required"));
                }
                let text = property["description"].as_str();
                if !text.is_some_and(|text| text.ends_with('.')) {
                    wrong.push(format!("{at}: {key} has no description"));
                }
            }
        });
        assert_eq!(wrong, Vec::<String>::new());
    }
}

/// The codes of a list that may be added to.
fn codes(schema: &Value) -> BTreeSet<&str> {
    let any = schema["anyOf"].as_array().unwrap();
    any.iter().filter_map(|one| one["const"].as_str()).collect()
}

#[test]
fn every_code_is_in_the_schema() {
    let schema: Value = serde_json::from_str(&Document::Report.schema()).unwrap();
    let at = |pointer| schema.pointer(pointer).unwrap();
    let all = warnings();
    let given: BTreeSet<_> = all.iter().map(Warning::code).collect();
    assert_eq!(codes(at("/$defs/Warning/properties/code")), given);

    let errors: Vec<_> = ErrorCode::ALL.iter().map(ToString::to_string).collect();
    let errors: BTreeSet<_> = errors.iter().map(String::as_str).collect();
    assert_eq!(codes(at("/$defs/ErrorCode")), errors);
    let rules = codes(at("/$defs/Why/properties/code/anyOf/0"));
    for reason in REASONS {
        assert!(rules.contains(reason.code()) || errors.contains(reason.code()));
    }
}

#[test]
fn what_a_later_version_may_add_fits_the_schema_and_not_the_tests() {
    use support::document::{fits, read};

    const KIND: support::Document = support::Document::Report;
    let all = all();
    let (_, report) = all.iter().find(|(name, _)| *name == "direct").unwrap();
    let report = serde_json::to_value(report).unwrap();
    read(KIND, &report.to_string()).unwrap();
    for (may_be_added, at, key, value) in [
        (true, "", "later", json!(1)),
        (true, "/path/hops/0", "later", json!(null)),
        (true, "/path", "kind", json!("socks6")),
        (true, "/reason", "code", json!("no-reason")),
        (true, "", "dialect", json!("MSNP13")),
        (false, "", "label", json!("Firewall")),
        (false, "", "schema_version", json!(2)),
        (false, "", "started_at", json!("today")),
        (false, "/path", "kind", json!("SOCKS")),
        (false, "/local", "ip", json!("here")),
        (false, "/local", "port", json!(0)),
        (false, "/server", "address", json!("here")),
    ] {
        let mut changed = report.clone();
        changed.pointer_mut(at).unwrap()[key] = value;
        assert_eq!(fits(KIND, &changed), may_be_added, "{at}/{key}");
        read(KIND, &changed.to_string()).unwrap_err();
    }
    for key in report.as_object().unwrap().keys() {
        let mut changed = report.clone();
        changed.as_object_mut().unwrap().remove(key);
        assert!(!fits(KIND, &changed), "{key}");
    }
}

#[test]
fn the_example_of_the_page_fits() {
    let page = include_str!("../../../docs/json.md");
    let (_, rest) = page.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    support::document::read(support::Document::Report, example).unwrap();
}
