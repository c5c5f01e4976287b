//! Values of policies and names of entities as JSON, one form for each: what the log keeps of questions
//! and of what they were decided from. [`crate::asked`] describes the form.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::{
    entity::{EntityType, EntityUid},
    value::{IpRange, Value},
};

/// A text that the log cannot have written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the recorded text is malformed: {0}")]
pub struct Malformed(pub(crate) &'static str);

/// Puts values under a key, unless there are none.
pub(crate) fn put_values(
    into: &mut Map<String, Json>,
    key: &str,
    values: &BTreeMap<String, Value>,
) {
    if !values.is_empty() {
        into.insert(key.to_owned(), record_json(values));
    }
}

fn record_json(values: &BTreeMap<String, Value>) -> Json {
    let fields = values
        .iter()
        .map(|(name, value)| (name.clone(), value_json(value)));
    Json::Object(fields.collect())
}

/// A name.
pub(crate) fn uid_json(uid: &EntityUid) -> Json {
    json!([uid.entity_type.name(), uid.id])
}

fn value_json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => json!(value),
        Value::Long(value) => json!(value),
        Value::String(value) => json!(value),
        Value::Decimal(value) => json!({"decimal": value}),
        Value::DateTime(value) => json!({"datetime": value}),
        Value::Duration(value) => json!({"duration": value}),
        Value::Ip(range) => json!({"ip": format!("{}/{}", range.address, range.prefix_bits)}),
        Value::Set(values) => json!({"set": values.iter().map(value_json).collect::<Vec<_>>()}),
        Value::Record(fields) => json!({"record": record_json(fields)}),
        Value::Entity(uid) => json!({"entity": uid_json(uid)}),
    }
}

/// What has to be an object.
pub(crate) fn object(json: &Json) -> Result<&Map<String, Json>, Malformed> {
    json.as_object().ok_or(Malformed("an object is expected"))
}

/// What has to be a text.
pub(crate) fn text(json: &Json) -> Result<String, Malformed> {
    let text = json.as_str().ok_or(Malformed("a text is expected"))?;
    Ok(text.to_owned())
}

/// The name that must be there.
pub(crate) fn uid(json: Option<&Json>) -> Result<EntityUid, Malformed> {
    match json.and_then(Json::as_array).map(Vec::as_slice) {
        Some([entity_type, id]) => Ok(EntityType::named(text(entity_type)?).id(text(id)?)),
        _ => Err(Malformed("a uid is a type and an id")),
    }
}

/// Values that may be left out.
pub(crate) fn values(json: Option<&Json>) -> Result<BTreeMap<String, Value>, Malformed> {
    let fields = json.and_then(Json::as_object);
    let fields = fields.into_iter().flatten();
    fields
        .map(|(name, json)| Ok((name.clone(), value(json)?)))
        .collect()
}

fn value(json: &Json) -> Result<Value, Malformed> {
    let number = |json: &Json| json.as_i64().ok_or(Malformed("a whole number is expected"));
    Ok(match json {
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(_) => Value::Long(number(json)?),
        Json::String(value) => Value::String(value.clone()),
        Json::Object(fields) => {
            let mut fields = fields.iter();
            let (Some((kind, json)), None) = (fields.next(), fields.next()) else {
                return Err(Malformed("a value is an object of one key"));
            };
            match kind.as_str() {
                "decimal" => Value::Decimal(number(json)?),
                "datetime" => Value::DateTime(number(json)?),
                "duration" => Value::Duration(number(json)?),
                "ip" => Value::Ip(ip(&text(json)?).ok_or(Malformed("an IP range is expected"))?),
                "set" => {
                    let items = json.as_array().ok_or(Malformed("a set is a list"))?;
                    Value::Set(items.iter().map(value).collect::<Result<_, _>>()?)
                }
                "record" => Value::Record(values(Some(json))?),
                "entity" => Value::Entity(uid(Some(json))?),
                _ => return Err(Malformed("an unknown kind of value")),
            }
        }
        Json::Null | Json::Array(_) => return Err(Malformed("no value")),
    })
}

fn ip(text: &str) -> Option<IpRange> {
    let (address, prefix_bits) = text.split_once('/')?;
    Some(IpRange {
        address: address.parse().ok()?,
        prefix_bits: prefix_bits.parse().ok()?,
    })
}
