//! What decisions are made from, as the log keeps it: the entities and the policies in force, whole or
//! as the change from one version to the next. With the question of a decision ([`crate::asked`]) this
//! is all that it takes to make the decision again.
//!
//! An entry of kind `state` has the hash of the version that it leads to in its field of that name, and
//! these facts:
//!
//! | fact | value |
//! | --- | --- |
//! | `state` | `entities` or `policies` |
//! | `before` | hash of the version that the changes are made to; absent if they are the whole |
//! | `part` | 0, 1, ...: a whole is told in parts of about [`PART_BYTES`] |
//! | `last` | `true` for the last part, and for every change |
//! | `changes` | lines of JSON |
//!
//! A line is one change. Uids and values are as in questions:
//!
//! | line | meaning |
//! | --- | --- |
//! | `{"u":uid,"p":[uid],"a":{..},"t":{..},"s":[[name,type,nullable]]}` | an entity: parents, attributes, tags, columns |
//! | `{"gone":uid}` | an entity that is no more |
//! | `{"file":path,"text":..}`, `{"applied":name,"text":..}` | a text of policies or of the schema; without `text` it is no more |
//! | `{"link":id,"template":id,"principal":uid,"resource":uid}` | a link; without `template` it is no more |

use serde_json::{Map, Value as Json, json};

use crate::{
    dataset::{Column, DatasetSchema},
    entity::{Entity, EntityChange, EntityUid},
    hash::Hash,
    json::{self, Bounds},
    policy::PolicyLink,
    record::{Entry, EntryKind},
    values_json::{Malformed, object, put_values, text, uid, uid_json, values},
};

/// A part of a whole is ended when it has so many bytes; a line can be longer.
pub const PART_BYTES: usize = 1 << 20;

/// The fact that says what changed.
const STATE: &str = "state";
/// The fact with the version before.
const BEFORE: &str = "before";
/// The fact with the number of the part.
const PART: &str = "part";
/// The fact that ends the parts.
const LAST: &str = "last";
/// The fact with the lines.
pub const CHANGES: &str = "changes";

/// Bounds of one line: a text of policies has at most 1 MiB, which JSON may write six times as long.
const LINE: Bounds = Bounds {
    bytes_max: 8 << 20,
    depth_max: 64,
    values_max: 1_000_000,
};

/// What a version is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateOf {
    /// The entity snapshot.
    Entities,
    /// The policy set with its schema.
    Policies,
}

impl StateOf {
    /// The word in entries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Entities => "entities",
            Self::Policies => "policies",
        }
    }
}

/// A text of the policy set, or of its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceChange {
    /// Path within the folder, or the name of what was applied.
    pub name: String,
    /// Whether it is a file of the folder.
    pub is_file: bool,
    /// The text; none if it is no more.
    pub text: Option<String>,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Of the entities.
    Entity(EntityChange),
    /// Of the texts.
    Source(SourceChange),
    /// Of the links: its id, and the link unless it is no more.
    Link(String, Option<PolicyLink>),
}

/// An entry of kind `state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// What it is about.
    pub of: StateOf,
    /// The version that the lines change; none if they are the whole.
    pub before: Option<Hash>,
    /// The version that they lead to.
    pub after: Hash,
    /// Number of the part.
    pub part: u64,
    /// Whether no part follows.
    pub is_last: bool,
    /// The changes.
    pub lines: String,
}

impl StateChange {
    /// The entry.
    pub fn entry(self, request_id: impl Into<String>) -> Entry {
        let mut entry = Entry::new(EntryKind::State, request_id)
            .with_fact(STATE, self.of.name())
            .with_fact(PART, self.part)
            .with_fact(LAST, self.is_last)
            .with_fact(CHANGES, self.lines);
        if let Some(before) = self.before {
            entry = entry.with_fact(BEFORE, before);
        }
        entry.action = "state".to_owned();
        match self.of {
            StateOf::Entities => entry.entities = self.after,
            StateOf::Policies => entry.policy_set = self.after,
        }
        entry
    }

    /// What an entry of kind `state` says, whose large facts are in their place.
    ///
    /// # Errors
    /// Facts that [`Self::entry`] cannot have written.
    pub fn of_entry(entry: &Entry) -> Result<Self, Malformed> {
        let fact = |name: &str| entry.facts.get(name).map(String::as_str);
        let (of, after) = match fact(STATE) {
            Some("entities") => (StateOf::Entities, entry.entities),
            Some("policies") => (StateOf::Policies, entry.policy_set),
            _ => return Err(Malformed("a state of nothing known")),
        };
        let before = fact(BEFORE).map(str::parse).transpose();
        let part = fact(PART).and_then(|part| part.parse().ok());
        Ok(Self {
            of,
            before: before.map_err(|_| Malformed("a version is a digest"))?,
            after,
            part: part.ok_or(Malformed("a part without a number"))?,
            is_last: fact(LAST) == Some("true"),
            lines: fact(CHANGES).ok_or(Malformed("no changes"))?.to_owned(),
        })
    }

    /// The changes.
    pub fn changes(&self) -> impl Iterator<Item = Result<Change, Malformed>> {
        self.lines.lines().map(read)
    }
}

/// A change as a line, without its end.
pub fn write(change: &Change) -> String {
    let mut line = Map::new();
    match change {
        Change::Entity(EntityChange::Upsert(entity)) => put_entity(&mut line, entity),
        Change::Entity(EntityChange::Remove(uid)) => put(&mut line, "gone", uid_json(uid)),
        Change::Source(source) => {
            let key = if source.is_file { "file" } else { "applied" };
            put(&mut line, key, json!(source.name));
            if let Some(text) = &source.text {
                put(&mut line, "text", json!(text));
            }
        }
        Change::Link(id, link) => {
            put(&mut line, "link", json!(id));
            if let Some(link) = link {
                put(&mut line, "template", json!(link.template));
                for (key, slot) in [("principal", &link.principal), ("resource", &link.resource)] {
                    if let Some(uid) = slot {
                        put(&mut line, key, uid_json(uid));
                    }
                }
            }
        }
    }
    Json::Object(line).to_string()
}

/// The change of a line.
///
/// # Errors
/// A line that [`write`] cannot have written.
pub fn read(line: &str) -> Result<Change, Malformed> {
    let line = json::parse(line.as_bytes(), &LINE).map_err(|_| Malformed("no JSON"))?;
    let line = object(&line)?;
    if line.contains_key("u") {
        return Ok(Change::Entity(EntityChange::Upsert(entity(line)?)));
    }
    if line.contains_key("gone") {
        return Ok(Change::Entity(EntityChange::Remove(uid(line.get("gone"))?)));
    }
    if let Some(id) = line.get("link") {
        let id = text(id)?;
        let link = line.get("template").map(|template| {
            Ok(PolicyLink {
                id: id.clone(),
                template: text(template)?,
                principal: slot(line.get("principal"))?,
                resource: slot(line.get("resource"))?,
            })
        });
        return Ok(Change::Link(id, link.transpose()?));
    }
    let (name, is_file) = match (line.get("file"), line.get("applied")) {
        (Some(name), None) => (name, true),
        (None, Some(name)) => (name, false),
        _ => return Err(Malformed("a change of nothing known")),
    };
    Ok(Change::Source(SourceChange {
        name: text(name)?,
        is_file,
        text: line.get("text").map(text).transpose()?,
    }))
}

fn put(line: &mut Map<String, Json>, key: &str, value: Json) {
    line.insert(key.to_owned(), value);
}

fn put_entity(line: &mut Map<String, Json>, entity: &Entity) {
    put(line, "u", uid_json(&entity.uid));
    if !entity.parents.is_empty() {
        let parents = entity.parents.iter().map(uid_json).collect();
        put(line, "p", Json::Array(parents));
    }
    put_values(line, "a", &entity.attributes);
    put_values(line, "t", &entity.tags);
    if let Some(schema) = &entity.schema {
        let columns = schema.columns.iter().map(|column| {
            json!([
                column.name,
                column.column_type.to_string(),
                column.is_nullable
            ])
        });
        put(line, "s", columns.collect());
    }
}

fn entity(line: &Map<String, Json>) -> Result<Entity, Malformed> {
    let parents = line.get("p").and_then(Json::as_array);
    let parents = parents.into_iter().flatten().map(|item| uid(Some(item)));
    let columns = line.get("s").map(|columns| {
        let columns = columns.as_array().ok_or(Malformed("columns are a list"))?;
        let columns = columns.iter().map(column).collect::<Result<_, _>>()?;
        Ok(DatasetSchema { columns })
    });
    Ok(Entity {
        uid: uid(line.get("u"))?,
        parents: parents.collect::<Result<_, _>>()?,
        attributes: values(line.get("a"))?,
        tags: values(line.get("t"))?,
        schema: columns.transpose()?,
    })
}

fn column(column: &Json) -> Result<Column, Malformed> {
    match column.as_array().map(Vec::as_slice) {
        Some([name, column_type, Json::Bool(is_nullable)]) => Ok(Column {
            name: text(name)?,
            column_type: text(column_type)?
                .parse()
                .map_err(|_| Malformed("an unknown column type"))?,
            is_nullable: *is_nullable,
        }),
        _ => Err(Malformed("a column is a name, a type and a flag")),
    }
}

fn slot(json: Option<&Json>) -> Result<Option<EntityUid>, Malformed> {
    json.map(|json| uid(Some(json))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dataset::ColumnType, entity::EntityType, value::Value};

    fn changes() -> Vec<Change> {
        let mut orders = Entity::new(EntityType::DATASET.id("lake:main/orders \"x\"\n"))
            .with_parents([EntityType::TAG.id("PII")]);
        orders.attributes.insert("rows".into(), Value::Long(7));
        orders.tags.insert("owner".into(), Value::from("ann"));
        let nested = ColumnType::List(Box::new(ColumnType::Text));
        orders.schema = Some(DatasetSchema {
            columns: vec![Column {
                name: "c".to_owned(),
                column_type: nested,
                is_nullable: true,
            }],
        });
        let source = |is_file, text: Option<&str>| {
            Change::Source(SourceChange {
                name: "a/b.cedar".to_owned(),
                is_file,
                text: text.map(str::to_owned),
            })
        };
        let link = PolicyLink {
            id: "l".to_owned(),
            template: "t".to_owned(),
            principal: Some(EntityType::USER.id("ann")),
            resource: None,
        };
        vec![
            Change::Entity(EntityChange::Upsert(orders)),
            Change::Entity(EntityChange::Upsert(Entity::new(EntityType::TAG.id("PII")))),
            Change::Entity(EntityChange::Remove(
                EntityType::named("Shop::Item").id("1"),
            )),
            source(true, Some("permit(principal,\n action, resource);")),
            source(true, None),
            source(false, Some("")),
            Change::Link("l".to_owned(), Some(link)),
            Change::Link("l".to_owned(), None),
        ]
    }

    #[test]
    fn changes_read_back_from_their_entry() {
        let lines: Vec<String> = changes().iter().map(write).collect();
        for (of, before) in [
            (StateOf::Entities, None),
            (StateOf::Policies, Some(Hash([3; 32]))),
        ] {
            let change = StateChange {
                of,
                before,
                after: Hash([4; 32]),
                part: 2,
                is_last: before.is_some(),
                lines: lines.join("\n"),
            };
            let entry = change.clone().entry("r");
            let read = StateChange::of_entry(&entry).unwrap();
            assert_eq!(read, change);
            let read: Vec<Change> = read.changes().collect::<Result<_, _>>().unwrap();
            assert_eq!(read, changes());
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for change in changes() {
            let line = write(&change);
            assert_eq!(line.lines().count(), 1);
            for length in 0..line.len() {
                let cut = line.get(..length);
                assert!(cut.is_none_or(|cut| read(cut).is_err()), "{line} {length}");
            }
        }
        for bad in [
            "{}",
            r#"{"file":"a","applied":"a"}"#,
            r#"{"u":["User"]}"#,
            r#"{"u":["User","a"],"s":[["c","text"]]}"#,
            r#"{"u":["User","a"],"s":[["c","texts",true]]}"#,
            r#"{"link":1}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
