//! Values of messages as the JSON that evaluations carry.

use std::collections::BTreeMap;

use dataos_model::fault::{Fault, FaultKind};
use serde_json::{Map, Value as Json, json};

use super::wire::{Value, value::Kind};
use crate::authzen::{DEPTH_MAX, PROPERTIES_MAX, at, value};

/// Names that evaluations keep for references and numbers.
const RESERVED: [&str; 2] = ["__entity", "__extn"];

/// Named values of an entity, an action or the context.
///
/// # Errors
/// Too many, too deep, without a kind, or not of the kind that they say.
pub(super) fn object(
    values: BTreeMap<String, Value>,
    path: &str,
) -> Result<Map<String, Json>, Fault> {
    if values.len() > PROPERTIES_MAX {
        let message = format!("`{path}` has more than {PROPERTIES_MAX} entries");
        return Err(Fault::new(FaultKind::TooLarge, message).at(at(path)));
    }
    fields(values, path, 1)
}

pub(super) fn nested_too_deep(path: &str) -> Fault {
    let message = format!("`{path}` has values more than {DEPTH_MAX} deep");
    Fault::invalid(message).at(at(path))
}

fn fields(
    values: BTreeMap<String, Value>,
    path: &str,
    depth: usize,
) -> Result<Map<String, Json>, Fault> {
    let named = values.into_iter().map(|(name, value)| {
        let path = format!("{path}.{name}");
        if RESERVED.contains(&name.as_str()) {
            return Err(Fault::invalid(format!("`{path}`: the name is reserved")).at(at(path)));
        }
        Ok((name, json_of(value, &path, depth)?))
    });
    named.collect()
}

fn json_of(sent: Value, path: &str, depth: usize) -> Result<Json, Fault> {
    if depth > DEPTH_MAX {
        return Err(nested_too_deep(path));
    }
    let checked = |json: Json, what: &str| match value(&json, path) {
        Ok(_) => Ok(json),
        Err(_) => Err(Fault::invalid(format!("`{path}` is not {what}")).at(at(path))),
    };
    let extension =
        |function: &str, argument: String| json!({"__extn": {"fn": function, "arg": argument}});
    match sent.kind {
        None => Err(Fault::invalid(format!("`{path}` has no value")).at(at(path))),
        Some(Kind::Boolean(is_true)) => Ok(Json::Bool(is_true)),
        Some(Kind::Integer(number)) => Ok(json!(number)),
        Some(Kind::Text(text)) => Ok(Json::String(text)),
        Some(Kind::Decimal(text)) => checked(extension("decimal", text), "a decimal, such as 12.5"),
        Some(Kind::Ip(text)) => checked(extension("ip", text), "an address or range"),
        Some(Kind::Entity(named)) => {
            let is_whole = !named.r#type.is_empty() && !named.id.is_empty();
            let json = json!({"__entity": {"type": named.r#type, "id": named.id}});
            checked(
                if is_whole {
                    json
                } else {
                    json!({"__entity": {}})
                },
                "a reference",
            )
        }
        Some(Kind::Set(set)) => {
            let items = set.values.into_iter();
            let items = items.map(|item| json_of(item, path, depth + 1));
            Ok(Json::Array(items.collect::<Result<_, _>>()?))
        }
        Some(Kind::Record(record)) => Ok(Json::Object(fields(record.fields, path, depth + 1)?)),
    }
}
