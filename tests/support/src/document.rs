//! The JSON documents of the tool: each is read here, and held to its schema.

use std::sync::OnceLock;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, ValidationError, Validator};
pub use msnp9_conntype::report::Document;
use serde_json::Value;

/// Reads the one document in a text. It has to fit its schema, and to have no key and no value that
/// the schema does not list.
///
/// # Errors
///
/// What is wrong with it.
pub fn read(kind: Document, text: &str) -> Result<Value, String> {
    static STRICT: [OnceLock<Validator>; Document::ALL.len()] =
        [const { OnceLock::new() }; Document::ALL.len()];
    let document = serde_json::from_str(text)
        .map_err(|error| format!("this is not one JSON document ({error}):\n{text}"))?;
    let schema = STRICT[kind as usize].get_or_init(|| {
        let mut schema = schema_of(kind);
        close(&mut schema);
        validator(&schema)
    });
    let mut wrong = Vec::new();
    for error in schema.iter_errors(&document) {
        say(&error, &mut wrong);
    }
    match wrong.is_empty() {
        true => Ok(document),
        false => Err(format!(
            "the document does not fit docs/schema ({}):\n{}\n{text}",
            kind.as_str(),
            wrong.join("\n"),
        )),
    }
}

/// Says what is wrong; where several schemas are possible, of each.
fn say(error: &ValidationError<'_>, wrong: &mut Vec<String>) {
    match error.kind() {
        ValidationErrorKind::AnyOf { context } => {
            context.iter().flatten().for_each(|error| say(error, wrong));
        }
        _ => wrong.push(format!("{}: {error}", error.instance_path())),
    }
}

/// Whether a document fits its schema, as a consumer sees it.
pub fn fits(kind: Document, document: &Value) -> bool {
    validator(&schema_of(kind)).is_valid(document)
}

fn schema_of(kind: Document) -> Value {
    serde_json::from_str(&kind.schema()).expect("a schema is JSON")
}

fn validator(schema: &Value) -> Validator {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .build(schema)
        .expect("a schema is valid")
}

/// Takes out of a schema what leaves room for later versions: keys and values that are not listed.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") {
                object.insert("additionalProperties".into(), false.into());
            }
            if let Some(Value::Array(any)) = object.get_mut("anyOf") {
                let is_list = any.iter().any(|one| one.get("const").is_some());
                any.retain(|one| !is_list || one.get("const").is_some());
            }
            object.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
