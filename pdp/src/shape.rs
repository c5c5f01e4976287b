//! What the schema says of values, in a form that is checked in well under a microsecond.
//!
//! A shape only ever says a certain yes. Whatever it does not know or does not accept is put to
//! Cedar, which has the last word and the message.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dataos_model::{
    action::Action,
    entity::{Entity, EntityType, EntityUid, NAMESPACE},
    value::Value,
    vocabulary::Vocabulary,
};
use foldhash::fast::RandomState;
use serde_json::Value as Json;

/// Types nested deeper than this are left to Cedar.
const DEPTH_MAX: usize = 16;

/// Shapes of all actions and entity types.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    actions: HashMap<Action, ActionShape, RandomState>,
    entities: HashMap<EntityType, EntityShape, RandomState>,
}

#[derive(Debug)]
struct ActionShape {
    principals: BTreeSet<EntityType>,
    resources: BTreeSet<EntityType>,
    context: RecordShape,
}

#[derive(Debug)]
struct EntityShape {
    parents: BTreeSet<EntityType>,
    attributes: RecordShape,
    tags: Option<TypeShape>,
}

#[derive(Clone, Debug, PartialEq)]
enum TypeShape {
    Bool,
    Long,
    String,
    Decimal,
    DateTime,
    Duration,
    Ip,
    Set(Box<TypeShape>),
    Record(RecordShape),
    Entity(EntityType),
    /// Only Cedar knows, such as the ids of an enumerated type.
    Unknown,
}

/// Attributes with whether they must be there; no others may be.
#[derive(Clone, Debug, Default, PartialEq)]
struct RecordShape {
    attributes: BTreeMap<String, (TypeShape, bool)>,
}

impl Shapes {
    /// Reads the JSON form of a schema; what is not understood has no shape.
    pub(crate) fn read(document: &Json, vocabulary: &Vocabulary) -> Self {
        let actions = vocabulary.actions().filter_map(|action| {
            let (namespace, id) = match action {
                Action::Own(own) => own.parts(),
                ours => (NAMESPACE, ours.name()),
            };
            let reader = Reader {
                document,
                namespace,
            };
            Some((action, reader.action(id)?))
        });
        let namespaces = document.as_object().into_iter().flat_map(|all| all.keys());
        let readers = namespaces.map(|namespace| Reader {
            document,
            namespace,
        });
        let entities = readers.flat_map(|reader| {
            let declared = reader.section("entityTypes");
            declared.filter_map(move |(name, json)| {
                let of = EntityType::within(reader.namespace, name);
                Some((of, reader.entity(json)?))
            })
        });
        Self {
            actions: actions.collect(),
            entities: entities.collect(),
        }
    }

    /// Whether a request certainly fits.
    pub(crate) fn accepts(
        &self,
        action: Action,
        principal: &EntityUid,
        resource: &EntityUid,
        context: &BTreeMap<String, Value>,
    ) -> bool {
        self.actions.get(&action).is_some_and(|shape| {
            shape.principals.contains(&principal.entity_type)
                && shape.resources.contains(&resource.entity_type)
                && shape.context.accepts(context)
        })
    }

    /// Whether the action certainly applies to this type of principal.
    pub(crate) fn accepts_principal(&self, action: Action, principal: &EntityType) -> bool {
        let shape = self.actions.get(&action);
        shape.is_some_and(|shape| shape.principals.contains(principal))
    }

    /// Whether an entity certainly fits.
    pub(crate) fn accepts_entity(&self, entity: &Entity) -> bool {
        self.entities
            .get(&entity.uid.entity_type)
            .is_some_and(|shape| {
                shape.attributes.accepts(&entity.attributes)
                    && entity.parents.iter().all(|parent| {
                        shape.parents.contains(&parent.entity_type)
                            && self.entities.contains_key(&parent.entity_type)
                    })
                    && entity
                        .tags
                        .values()
                        .all(|value| shape.tags.as_ref().is_some_and(|tag| tag.accepts(value)))
            })
    }
}

impl RecordShape {
    fn accepts(&self, fields: &BTreeMap<String, Value>) -> bool {
        let fits = |(name, value): (&String, &Value)| {
            let attribute = self.attributes.get(name);
            attribute.is_some_and(|(shape, _)| shape.accepts(value))
        };
        let is_there = |(name, (_, is_required)): (&String, &(TypeShape, bool))| {
            !is_required || fields.contains_key(name)
        };
        fields.iter().all(fits) && self.attributes.iter().all(is_there)
    }
}

impl TypeShape {
    fn accepts(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Bool, Value::Bool(_))
            | (Self::Long, Value::Long(_))
            | (Self::String, Value::String(_))
            | (Self::Decimal, Value::Decimal(_))
            | (Self::DateTime, Value::DateTime(_))
            | (Self::Duration, Value::Duration(_))
            | (Self::Ip, Value::Ip(_)) => true,
            (Self::Set(element), Value::Set(items)) => {
                items.iter().all(|item| element.accepts(item))
            }
            (Self::Record(shape), Value::Record(fields)) => shape.accepts(fields),
            (Self::Entity(of), Value::Entity(uid)) => uid.entity_type == *of,
            _ => false,
        }
    }
}

/// Reads what is declared in one namespace, in which names without a namespace are looked up.
#[derive(Clone, Copy)]
struct Reader<'a> {
    document: &'a Json,
    namespace: &'a str,
}

impl<'a> Reader<'a> {
    fn section(self, name: &str) -> impl Iterator<Item = (&'a String, &'a Json)> {
        self.document
            .get(self.namespace)
            .and_then(|namespace| namespace.get(name)?.as_object())
            .into_iter()
            .flatten()
    }

    /// What a name means: the reader of its namespace, the name in it, and the declaration.
    fn named(self, section: &str, name: &'a str) -> Option<(Self, &'a str, &'a Json)> {
        let (namespace, base) = name.rsplit_once("::").unwrap_or((self.namespace, name));
        let json = self.document.get(namespace)?.get(section)?.get(base)?;
        let document = self.document;
        let reader = Self {
            document,
            namespace,
        };
        Some((reader, base, json))
    }

    fn action(self, id: &str) -> Option<ActionShape> {
        let declared = self.document.get(self.namespace)?.get("actions")?.get(id)?;
        let applies = declared.get("appliesTo")?;
        Some(ActionShape {
            principals: self.types(applies.get("principalTypes")?)?,
            resources: self.types(applies.get("resourceTypes")?)?,
            context: match applies.get("context") {
                None => RecordShape::default(),
                Some(context) => self.record(context)?,
            },
        })
    }

    fn entity(self, json: &'a Json) -> Option<EntityShape> {
        if json.get("enum").is_some() {
            return None;
        }
        Some(EntityShape {
            parents: match json.get("memberOfTypes") {
                None => BTreeSet::new(),
                Some(types) => self.types(types)?,
            },
            attributes: match json.get("shape") {
                None => RecordShape::default(),
                Some(shape) => self.record(shape)?,
            },
            tags: match json.get("tags") {
                None => None,
                Some(tags) => Some(self.shape(tags, 0)?),
            },
        })
    }

    /// Types of entities; only Cedar knows the ids of enumerated ones.
    fn types(self, json: &'a Json) -> Option<BTreeSet<EntityType>> {
        let names = json.as_array()?.iter().map(Json::as_str);
        let types = names.map(|name| match self.entity_shape(name?)? {
            TypeShape::Entity(of) => Some(of),
            _ => None,
        });
        types.collect()
    }

    fn entity_shape(self, name: &'a str) -> Option<TypeShape> {
        let (reader, base, json) = self.named("entityTypes", name)?;
        Some(match json.get("enum") {
            Some(_) => TypeShape::Unknown,
            None => TypeShape::Entity(EntityType::within(reader.namespace, base)),
        })
    }

    fn record(self, json: &'a Json) -> Option<RecordShape> {
        match self.shape(json, 0)? {
            TypeShape::Record(shape) => Some(shape),
            _ => None,
        }
    }

    fn shape(self, json: &'a Json, depth: usize) -> Option<TypeShape> {
        if depth > DEPTH_MAX {
            return None;
        }
        let name = || json.get("name")?.as_str();
        match json.get("type")?.as_str()? {
            "Boolean" | "Bool" => Some(TypeShape::Bool),
            "Long" => Some(TypeShape::Long),
            "String" => Some(TypeShape::String),
            "Extension" => extension(name()?),
            "Set" => {
                let element = self.shape(json.get("element")?, depth + 1)?;
                Some(TypeShape::Set(Box::new(element)))
            }
            "Entity" => self.entity_shape(name()?),
            "Record" => {
                if json.get("additionalAttributes").and_then(Json::as_bool) == Some(true) {
                    return None;
                }
                let attributes = json.get("attributes")?.as_object()?.iter();
                let attributes = attributes.map(|(name, json)| {
                    let is_required = match json.get("required") {
                        None => true,
                        Some(required) => required.as_bool()?,
                    };
                    Some((name.clone(), (self.shape(json, depth + 1)?, is_required)))
                });
                Some(TypeShape::Record(RecordShape {
                    attributes: attributes.collect::<Option<_>>()?,
                }))
            }
            "EntityOrCommon" => self.reference(name()?, depth),
            other => self.reference(other, depth),
        }
    }

    /// A name: a common type before an entity type before a built-in one, as Cedar resolves it.
    fn reference(self, name: &'a str, depth: usize) -> Option<TypeShape> {
        if let Some((reader, _, common)) = self.named("commonTypes", name) {
            return reader.shape(common, depth + 1);
        }
        if let Some(shape) = self.entity_shape(name) {
            return Some(shape);
        }
        match name.strip_prefix("__cedar::").unwrap_or(name) {
            "Bool" | "Boolean" => Some(TypeShape::Bool),
            "Long" => Some(TypeShape::Long),
            "String" => Some(TypeShape::String),
            other => extension(other),
        }
    }
}

fn extension(name: &str) -> Option<TypeShape> {
    match name.strip_prefix("__cedar::").unwrap_or(name) {
        "decimal" => Some(TypeShape::Decimal),
        "datetime" => Some(TypeShape::DateTime),
        "duration" => Some(TypeShape::Duration),
        "ipaddr" => Some(TypeShape::Ip),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
