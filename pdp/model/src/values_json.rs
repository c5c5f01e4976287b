//! Values of policies and names of entities as JSON, one form for each: what the log keeps of questions
//! and of what they were decided from. [`crate::asked`] describes the form.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json};

use crate::{
    entity::{EntityType, EntityUid},
    value::{IpRange, Value},
};

/// A text that the log cannot have written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the recorded text is malformed: {0}")]
pub struct Malformed(pub(crate) &'static str);

/// Values by name, as they are written.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a BTreeMap<String, Value>);

/// A name, as it is written.
#[derive(Clone, Copy)]
pub(crate) struct Uid<'a>(pub(crate) &'a EntityUid);

/// A value, as it is written.
struct Written<'a>(&'a Value);

impl Fields<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, Written(value))))
    }
}

impl Serialize for Uid<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.0.entity_type.name(), &self.0.id).serialize(serializer)
    }
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Bool(value) => value.serialize(serializer),
            Value::Long(value) => value.serialize(serializer),
            Value::String(value) => value.serialize(serializer),
            Value::Decimal(value) => of_kind(serializer, "decimal", value),
            Value::DateTime(value) => of_kind(serializer, "datetime", value),
            Value::Duration(value) => of_kind(serializer, "duration", value),
            Value::Ip(range) => {
                let range = format!("{}/{}", range.address, range.prefix_bits);
                of_kind(serializer, "ip", &range)
            }
            Value::Set(values) => {
                let values: Vec<Written<'_>> = values.iter().map(Written).collect();
                of_kind(serializer, "set", &values)
            }
            Value::Record(fields) => of_kind(serializer, "record", &Fields(fields)),
            Value::Entity(uid) => of_kind(serializer, "entity", &Uid(uid)),
        }
    }
}

/// An object of one key.
fn of_kind<S: Serializer, T: Serialize + ?Sized>(
    serializer: S,
    kind: &'static str,
    value: &T,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map([(kind, value)])
}

/// As text. Texts as keys and numbers that are whole can always be written.
pub(crate) fn to_text(form: &impl Serialize) -> String {
    serde_json::to_string(form).unwrap_or_default()
}

fn to_json(form: &impl Serialize) -> Json {
    serde_json::to_value(form).unwrap_or_default()
}

/// Puts values under a key, unless there are none.
pub(crate) fn put_values(
    into: &mut Map<String, Json>,
    key: &str,
    values: &BTreeMap<String, Value>,
) {
    if !values.is_empty() {
        into.insert(key.to_owned(), to_json(&Fields(values)));
    }
}

/// A name.
pub(crate) fn uid_json(uid: &EntityUid) -> Json {
    to_json(&Uid(uid))
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
