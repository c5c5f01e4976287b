//! Digests of domain values: one canonical byte string per value, hashed.

use std::collections::BTreeMap;

use dataos_model::{
    entity::{Entity, EntityUid},
    hash::Hash,
    value::Value,
};

/// Digest of everything that decisions can see of an entity.
pub(crate) fn entity_digest(entity: &Entity) -> Hash {
    let mut parents: Vec<&EntityUid> = entity.parents.iter().collect();
    parents.sort_unstable();
    parents.dedup();
    let mut writer = Writer::default();
    writer.uid(&entity.uid);
    writer.count(parents.len());
    parents.iter().for_each(|parent| writer.uid(parent));
    writer.map(&entity.attributes);
    writer.map(&entity.tags);
    match &entity.schema {
        None => writer.text(""),
        Some(schema) => writer.text(&schema.hash().to_string()),
    }
    Hash::of(writer.bytes)
}

/// Writes values so that no two differ and agree in bytes: each starts with its kind and each text
/// with its length.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn count(&mut self, count: usize) {
        self.bytes.extend((count as u64).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes.extend(text.as_bytes());
    }

    fn number(&mut self, kind: u8, number: i64) {
        self.bytes.push(kind);
        self.bytes.extend(number.to_be_bytes());
    }

    fn uid(&mut self, uid: &EntityUid) {
        self.text(uid.entity_type.name());
        self.text(&uid.id);
    }

    fn map(&mut self, map: &BTreeMap<String, Value>) {
        self.count(map.len());
        for (name, value) in map {
            self.text(name);
            self.value(value);
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Bool(value) => self.number(0, i64::from(*value)),
            Value::Long(value) => self.number(1, *value),
            Value::String(text) => {
                self.bytes.push(2);
                self.text(text);
            }
            Value::Decimal(units) => self.number(3, *units),
            Value::DateTime(milliseconds) => self.number(4, *milliseconds),
            Value::Duration(milliseconds) => self.number(5, *milliseconds),
            Value::Ip(range) => {
                self.number(6, i64::from(range.prefix_bits));
                self.text(&range.address.to_string());
            }
            Value::Set(items) => {
                self.bytes.push(7);
                self.count(items.len());
                items.iter().for_each(|item| self.value(item));
            }
            Value::Record(fields) => {
                self.bytes.push(8);
                self.map(fields);
            }
            Value::Entity(uid) => {
                self.bytes.push(9);
                self.uid(uid);
            }
        }
    }
}
