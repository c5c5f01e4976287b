//! Takes secret values out of a document before it is kept.

use serde_json::Value;

/// What stands in the place of a secret value.
pub(crate) const BLANK: &str = "***";

/// Words in a key that make its value a secret, in whatever place it was put by mistake.
const SECRET_WORDS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "token",
    "credential",
    "accesskey",
    "secretkey",
    "apikey",
];

/// The document without secret values: the keys stay, so that it still says what there is.
pub(super) fn blanked(mut document: Value, resource_type: &str) -> Value {
    match resource_type {
        "secret" => {
            if let Some(data) = document.pointer_mut("/secret/data") {
                blank(data);
            }
        }
        "depot" => {
            if let Some(depot) = document.pointer_mut("/depot") {
                blank_named(depot);
            }
        }
        _ => {}
    }
    document
}

/// Blanks every scalar.
fn blank(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(blank),
        Value::Object(members) => members.values_mut().for_each(blank),
        other => *other = Value::from(BLANK),
    }
}

/// Blanks what stands under `connectionSecret[].data`, under a telling key, or in a URL with a
/// password.
fn blank_named(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(blank_named),
        Value::Object(members) => {
            for (key, member) in members {
                let key = key.to_lowercase().replace(['_', '-', '.'], "");
                if key == "data" || SECRET_WORDS.iter().any(|word| key.contains(word)) {
                    blank(member);
                } else {
                    blank_named(member);
                }
            }
        }
        Value::String(text) if text.contains("://") && text.contains('@') => {
            *value = Value::from(BLANK);
        }
        _ => {}
    }
}
