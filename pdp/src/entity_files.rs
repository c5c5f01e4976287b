//! Entities of one's own types as Cedar's JSON: in files `entities/*.json` of the policies folder, and
//! one by one.
//!
//! The format, the schema and the messages are Cedar's. Read strictly: no key twice, no field that
//! means nothing, only own types. Entities of our types belong to the rooms that push them.

use std::{collections::BTreeMap, error::Error, sync::Arc};

use cedar_policy::{Entity as CedarEntity, Schema};
use dataos_model::{
    entity::{Entity, EntityChange, EntityType, EntityUid},
    fault::{Fault, FaultKind},
    hash::Hash,
    json::{self, Bounds},
    value::Value,
};
use serde_json::{Map, Value as Json, json};

use crate::{
    convert::{datetime_value, decimal_text, duration_value},
    digest::entity_digest,
    entities::Snapshot,
    problem::Problem,
    residual::{decimal, ip},
    version::check_entity,
};

/// Folder of the entity files within the policies folder.
pub const ENTITIES_FOLDER: &str = "entities";
/// Longest entity file, in bytes.
pub const ENTITY_FILE_BYTES_MAX: usize = 16 << 20;
/// Most entities in all files.
pub const FILE_ENTITIES_MAX: usize = 100_000;
/// Deepest nesting of an entity file.
const DEPTH_MAX: usize = 24;
/// Most JSON values in an entity file.
const VALUES_MAX: usize = 4_000_000;
/// What an entity has.
const FIELDS: [&str; 4] = ["uid", "attrs", "parents", "tags"];

/// Whether a path within the folder is that of an entity file.
pub(crate) fn is_entity_file(path: &str) -> bool {
    let inner = path.strip_prefix(ENTITIES_FOLDER);
    inner.is_some_and(|inner| inner.starts_with('/')) && path.ends_with(".json")
}

/// The entities of all files, with the file of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileEntities(BTreeMap<EntityUid, (String, Arc<Entity>)>);

impl FileEntities {
    /// Reads all files. All entities or none.
    pub(crate) fn read(files: &BTreeMap<String, String>, schema: &Schema) -> Result<Self, Problem> {
        const BOUNDS: Bounds = Bounds {
            bytes_max: ENTITY_FILE_BYTES_MAX,
            depth_max: DEPTH_MAX,
            values_max: VALUES_MAX,
        };
        let mut found: BTreeMap<EntityUid, (String, Arc<Entity>)> = BTreeMap::new();
        for (file, text) in files {
            let parsed = json::parse(text.as_bytes(), &BOUNDS).map_err(|error| Problem {
                position: (error.line > 0).then_some((error.line, error.column)),
                ..Problem::whole(file, error.problem)
            })?;
            let Json::Array(items) = parsed else {
                return Err(Problem::whole(file, "not a list of entities"));
            };
            for (position, item) in items.into_iter().enumerate() {
                let refused = |message: String| {
                    Problem::whole(file, format!("entity {}: {message}", position + 1))
                };
                let entity = read_entity(item, schema).map_err(refused)?;
                let uid = entity.uid.clone();
                let read = (file.clone(), Arc::new(entity));
                if let Some((other, _)) = found.insert(uid.clone(), read) {
                    return Err(refused(format!("{uid} is in {other} already")));
                }
                if found.len() > FILE_ENTITIES_MAX {
                    let message = format!("more than {FILE_ENTITIES_MAX} (FILE_ENTITIES_MAX)");
                    return Err(refused(message));
                }
            }
        }
        Ok(Self(found))
    }

    /// The entities.
    pub(crate) fn entities(&self) -> impl Iterator<Item = &Arc<Entity>> {
        self.0.values().map(|(_, entity)| entity)
    }

    /// The file that an entity is in.
    pub(crate) fn file(&self, uid: &EntityUid) -> Option<&str> {
        self.0.get(uid).map(|(file, _)| file.as_str())
    }

    /// Digest of all that decisions can see of them.
    pub(crate) fn hash(&self) -> Hash {
        Hash::of_parts(self.entities().map(|entity| entity_digest(entity).0))
    }

    /// What changes in a snapshot that holds the entities of `self` when it is to hold those of
    /// `next` instead.
    ///
    /// # Errors
    /// An entity that the snapshot has from elsewhere.
    pub(crate) fn changes(
        &self,
        next: &Self,
        snapshot: &Snapshot,
    ) -> Result<Vec<EntityChange>, Fault> {
        let gone = self.0.keys().filter(|uid| !next.0.contains_key(*uid));
        let mut changes: Vec<EntityChange> = gone.cloned().map(EntityChange::Remove).collect();
        for (uid, (file, entity)) in &next.0 {
            let known = self.0.get(uid);
            if known.is_none() && snapshot.get(uid).is_some() {
                let message = format!("{uid} of {file} is applied over REST already");
                return Err(Fault::new(FaultKind::Conflict, message)
                    .with_hint("delete it there first, or take it out of the file"));
            }
            if known.is_none_or(|(_, known)| known != entity) {
                changes.push(EntityChange::Upsert(entity.as_ref().clone()));
            }
        }
        Ok(changes)
    }
}

/// An entity of an own type from Cedar's JSON form.
pub(crate) fn read_entity(json: Json, schema: &Schema) -> Result<Entity, String> {
    let fields = json.as_object().ok_or("not an object")?;
    if let Some(name) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(format!(
            "unknown field `{name}`; an entity has {}",
            FIELDS.join(", ")
        ));
    }
    check_values(&json)?;
    let read = CedarEntity::from_json_value(json, Some(schema)).map_err(|error| chain(&error))?;
    let explicit = read.to_json_value().map_err(|error| chain(&error))?;
    let uid = uid(explicit.get("uid").unwrap_or(&Json::Null))?;
    if uid.entity_type.is_ours() {
        return Err(format!(
            "{uid}: only entities of types of one's own are kept here; users, datasets and the like \
             are known from where they are managed"
        ));
    }
    let parents = explicit.get("parents").and_then(Json::as_array);
    let parents = parents.into_iter().flatten().map(self::uid);
    let mut entity = Entity::new(uid).with_parents(parents.collect::<Result<Vec<_>, _>>()?);
    entity.parents.sort();
    entity.attributes = values(explicit.get("attrs"))?;
    entity.tags = values(explicit.get("tags"))?;
    check_entity(&entity, schema)?;
    Ok(entity)
}

/// Refuses what Cedar has no values for, in clearer words than it does.
fn check_values(json: &Json) -> Result<(), String> {
    match json {
        Json::Null => Err("null is no value; leave the field out".to_owned()),
        Json::Number(number) if number.as_i64().is_none() => Err(format!(
            "{number} is no integer of 64 bits; write a number with a fraction as \
             {{\"__extn\": {{\"fn\": \"decimal\", \"arg\": \"1.5\"}}}}"
        )),
        Json::Array(items) => items.iter().try_for_each(check_values),
        Json::Object(fields) => fields.values().try_for_each(check_values),
        _ => Ok(()),
    }
}

/// The message of an error with those of what caused it.
fn chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let text = inner.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        source = inner.source();
    }
    message
}

fn uid(json: &Json) -> Result<EntityUid, String> {
    let text = |name: &str| json.get(name).and_then(Json::as_str);
    let (Some(of), Some(id)) = (text("type"), text("id")) else {
        return Err(format!("`{json}` names no entity"));
    };
    let (namespace, name) = of.rsplit_once("::").unwrap_or(("", of));
    Ok(EntityType::within(namespace, name).id(id))
}

fn values(json: Option<&Json>) -> Result<BTreeMap<String, Value>, String> {
    let fields = json.and_then(Json::as_object).into_iter().flatten();
    fields
        .map(|(name, json)| Ok((name.clone(), value(json)?)))
        .collect()
}

/// A value of Cedar's explicit JSON form.
fn value(json: &Json) -> Result<Value, String> {
    let unknown = || format!("`{json}` is no value that policies compare");
    match json {
        Json::Bool(value) => Ok(Value::Bool(*value)),
        Json::Number(number) => number.as_i64().map(Value::Long).ok_or_else(unknown),
        Json::String(text) => Ok(Value::String(text.clone())),
        Json::Array(items) => {
            let items: Result<_, _> = items.iter().map(value).collect();
            Ok(Value::Set(items?))
        }
        Json::Object(fields) => {
            if let Some(named) = fields.get("__entity") {
                return uid(named).map(Value::Entity);
            }
            let Some(extension) = fields.get("__extn") else {
                return values(Some(json)).map(Value::Record);
            };
            let text = |name: &str| extension.get(name).and_then(Json::as_str);
            let argument = text("arg").ok_or_else(unknown)?;
            match text("fn") {
                Some("decimal") => decimal(argument),
                Some("ip") => ip(argument),
                Some("datetime") => datetime_value(argument),
                Some("duration") => duration_value(argument),
                _ => None,
            }
            .ok_or_else(unknown)
        }
        Json::Null => Err(unknown()),
    }
}

/// An entity in Cedar's JSON form, which [`Pdp::read_entity`](crate::Pdp::read_entity) takes.
pub fn entity_json(entity: &Entity) -> Json {
    let mut parents: Vec<&EntityUid> = entity.parents.iter().collect();
    parents.sort();
    let parents: Vec<Json> = parents.into_iter().map(uid_json).collect();
    json!({
        "uid": uid_json(&entity.uid),
        "attrs": map_json(&entity.attributes),
        "parents": parents,
        "tags": map_json(&entity.tags),
    })
}

fn uid_json(uid: &EntityUid) -> Json {
    json!({"type": uid.entity_type.whole_name(), "id": uid.id})
}

fn map_json(fields: &BTreeMap<String, Value>) -> Json {
    let fields = fields.iter();
    let fields: Map<String, Json> = fields
        .map(|(name, of)| (name.clone(), value_json(of)))
        .collect();
    Json::Object(fields)
}

fn value_json(value: &Value) -> Json {
    let extension =
        |function: &str, argument: String| json!({"__extn": {"fn": function, "arg": argument}});
    match value {
        Value::Bool(value) => json!(value),
        Value::Long(value) => json!(value),
        Value::String(text) => json!(text),
        Value::Decimal(units) => extension("decimal", decimal_text(*units)),
        Value::DateTime(milliseconds) => extension("datetime", instant_text(*milliseconds)),
        Value::Duration(milliseconds) => extension("duration", format!("{milliseconds}ms")),
        Value::Ip(range) => extension("ip", format!("{}/{}", range.address, range.prefix_bits)),
        Value::Set(items) => Json::Array(items.iter().map(value_json).collect()),
        Value::Record(fields) => map_json(fields),
        Value::Entity(uid) => json!({"__entity": uid_json(uid)}),
    }
}

/// `2024-05-01T12:00:00.000Z`. Cedar's text has years of four digits, and so has what was read.
fn instant_text(milliseconds: i64) -> String {
    use time::OffsetDateTime;
    let nanoseconds = i128::from(milliseconds) * 1_000_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds);
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    )
}
