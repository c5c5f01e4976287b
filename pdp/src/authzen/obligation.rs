//! Obligations of policies as the AuthZEN profile for obligations writes them.

use dataos_model::annotation::{Call, Literal};
use serde_json::{Map, Value as Json, json};

/// Types of obligations that an answer may carry.
pub const OBLIGATION_TYPES: &[&str] = &["step-up", "notification", "session_termination", "custom"];

/// Operator of `@obligation`, type of the profile, and the properties that the type demands.
const STANDARD: &[(&str, &str, &[&str])] = &[
    ("step_up", "step-up", &["acr_value"]),
    ("notification", "notification", &["to", "body"]),
    ("session_termination", "session_termination", &["subject"]),
];

/// The type of an obligation: one of the profile's own if it has what that demands, else `custom`.
pub(super) fn type_of(call: &Call) -> &'static str {
    STANDARD
        .iter()
        .find(|(operator, _, demanded)| {
            call.operator == *operator
                && demanded
                    .iter()
                    .all(|name| matches!(call.parameters.get(*name), Some(Literal::Text(_))))
        })
        .map_or("custom", |(_, name, _)| name)
}

/// Obligations with ids that are unique in the answer.
pub fn obligations(calls: &[Call]) -> Vec<Json> {
    calls
        .iter()
        .enumerate()
        .map(|(index, call)| {
            let kind = type_of(call);
            let mut properties = Map::new();
            if kind == "custom" {
                properties.insert("operator".to_owned(), json!(call.operator));
            }
            for (name, literal) in &call.parameters {
                properties.insert(name.clone(), literal_json(literal));
            }
            json!({"id": format!("obl-{}", index + 1), "type": kind, "properties": properties})
        })
        .collect()
}

fn literal_json(literal: &Literal) -> Json {
    match literal {
        Literal::Integer(value) => json!(value),
        Literal::Bool(value) => json!(value),
        // As text: a binary number would not be the one that was written.
        Literal::Decimal(text) | Literal::Text(text) => json!(text),
        Literal::List(items) => Json::Array(items.iter().map(literal_json).collect()),
    }
}
