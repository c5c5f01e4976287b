//! One evaluation: subject, action, resource, context. Unknown fields are ignored, null counts as
//! not sent, everything else that does not fit is an error that names the field.

use std::collections::BTreeMap;

use dataos_model::{
    action::Action,
    entity::{EntityType, EntityUid},
    fault::{Fault, FaultKind, Location},
    hash::Hash,
    json::{self, Bounds},
    value::Value,
    vocabulary::Vocabulary,
};
use serde_json::{Map, Value as Json};

use super::{
    BODY_BYTES_MAX, DEPTH_MAX, PROPERTIES_MAX, VALUES_MAX,
    names::{self, at},
    value::value,
};

/// A JSON object.
pub(super) type Fields = Map<String, Json>;

/// A subject or resource as it was sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Party {
    /// `type`.
    pub kind: Option<String>,
    /// `id`.
    pub id: Option<String>,
    /// `properties`.
    pub properties: Map<String, Json>,
}

/// An action as it was sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operation {
    /// `name`.
    pub name: Option<String>,
    /// `properties`.
    pub properties: Map<String, Json>,
}

/// One question, complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Who.
    pub subject: EntityUid,
    /// What was sent about it.
    pub subject_properties: Map<String, Json>,
    /// What, by the whole name where there is such an action.
    pub action: String,
    /// What was sent about it.
    pub action_properties: Map<String, Json>,
    /// On what.
    pub resource: EntityUid,
    /// What was sent about it.
    pub resource_properties: Map<String, Json>,
    /// Facts about the call.
    pub context: Map<String, Json>,
}

/// Any part of an evaluation may be missing: defaults, and items of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Parts {
    pub(super) subject: Option<Party>,
    pub(super) action: Option<Operation>,
    pub(super) resource: Option<Party>,
    pub(super) context: Option<Fields>,
}

/// The object of a request body.
pub(super) fn body(bytes: &[u8]) -> Result<Fields, Fault> {
    const BOUNDS: Bounds = Bounds {
        bytes_max: BODY_BYTES_MAX,
        depth_max: DEPTH_MAX,
        values_max: VALUES_MAX,
    };
    let parsed = json::parse(bytes, &BOUNDS).map_err(|error| {
        let kind = if error.is_too_large {
            FaultKind::TooLarge
        } else {
            FaultKind::Invalid
        };
        let message = format!("the request body is not taken: {}", error.problem);
        Fault::new(kind, message).at(Location {
            line: (error.line > 0).then_some(error.line),
            column: (error.line > 0).then_some(error.column),
            ..Location::default()
        })
    })?;
    match parsed {
        Json::Object(fields) => Ok(fields),
        _ => Err(Fault::invalid("the request body is not a JSON object")),
    }
}

fn ill_typed(field: &str, expected: &str) -> Fault {
    Fault::invalid(format!("`{field}` is not {expected}")).at(at(field))
}

/// A field that is sent and not null.
fn sent<'a>(fields: &'a Fields, name: &str) -> Option<&'a Json> {
    fields.get(name).filter(|value| !value.is_null())
}

pub(super) fn object(fields: &Fields, name: &str, path: &str) -> Result<Option<Fields>, Fault> {
    match sent(fields, name) {
        None => Ok(None),
        Some(Json::Object(inner)) => Ok(Some(inner.clone())),
        Some(_) => Err(ill_typed(path, "an object")),
    }
}

pub(super) fn text(fields: &Fields, name: &str, path: &str) -> Result<Option<String>, Fault> {
    match sent(fields, name) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(ill_typed(path, "text")),
    }
}

fn bounded(fields: Option<Fields>, path: &str) -> Result<Fields, Fault> {
    let fields = fields.unwrap_or_default();
    if fields.len() > PROPERTIES_MAX {
        let message = format!("`{path}` has more than {PROPERTIES_MAX} entries");
        return Err(Fault::new(FaultKind::TooLarge, message).at(at(path)));
    }
    Ok(fields)
}

impl Party {
    fn read(fields: &Fields, path: &str) -> Result<Self, Fault> {
        let properties = object(fields, "properties", &format!("{path}.properties"))?;
        Ok(Self {
            kind: text(fields, "type", &format!("{path}.type"))?,
            id: text(fields, "id", &format!("{path}.id"))?,
            properties: bounded(properties, &format!("{path}.properties"))?,
        })
    }

    /// Its type.
    ///
    /// # Errors
    /// It was not sent.
    pub(super) fn kind(&self, path: &str) -> Result<&str, Fault> {
        required(self.kind.as_deref(), &format!("{path}.type"))
    }

    /// The entity that it names.
    ///
    /// # Errors
    /// Type or id was not sent, or is too long, or the type means several own types.
    pub(super) fn uid(&self, path: &str, vocabulary: &Vocabulary) -> Result<EntityUid, Fault> {
        let id = required(self.id.as_deref(), &format!("{path}.id"))?;
        names::entity_named(self.kind(path)?, id, vocabulary, path)
    }
}

fn required<'a>(text: Option<&'a str>, path: &str) -> Result<&'a str, Fault> {
    text.ok_or_else(|| missing(path))
}

pub(super) fn missing(path: &str) -> Fault {
    Fault::invalid(format!("`{path}` is missing")).at(at(path))
}

impl Operation {
    fn read(fields: &Fields) -> Result<Self, Fault> {
        let properties = object(fields, "properties", "action.properties")?;
        Ok(Self {
            name: text(fields, "name", "action.name")?,
            properties: bounded(properties, "action.properties")?,
        })
    }

    /// Its name as the schema writes it, if there is such an action for such a resource.
    ///
    /// # Errors
    /// It was not sent, or means several own actions.
    pub(super) fn known_name(
        &self,
        of: &EntityType,
        vocabulary: &Vocabulary,
    ) -> Result<String, Fault> {
        let sent = self.name()?;
        let action = names::action_named(sent, Some(of), vocabulary)?;
        Ok(action.map_or_else(|| sent.to_owned(), |action| action.name().to_owned()))
    }

    /// Its name.
    ///
    /// # Errors
    /// It was not sent.
    fn name(&self) -> Result<&str, Fault> {
        required(self.name.as_deref(), "action.name")
    }
}

impl Parts {
    pub(super) fn read(fields: &Fields) -> Result<Self, Fault> {
        let party = |name: &str| {
            object(fields, name, name)?
                .map(|inner| Party::read(&inner, name))
                .transpose()
        };
        let context =
            object(fields, "context", "context")?.map(|context| bounded(Some(context), "context"));
        Ok(Self {
            subject: party("subject")?,
            action: object(fields, "action", "action")?
                .map(|inner| Operation::read(&inner))
                .transpose()?,
            resource: party("resource")?,
            context: context.transpose()?,
        })
    }

    /// The same with what is not given taken from `defaults`: whole objects, and of an object that is
    /// given the type, id or name that it lacks.
    pub(super) fn or(self, defaults: &Self) -> Self {
        Self {
            subject: party_or(self.subject, defaults.subject.as_ref()),
            action: match (self.action, &defaults.action) {
                (Some(given), Some(default)) => Some(Operation {
                    name: given.name.or_else(|| default.name.clone()),
                    ..given
                }),
                (given, default) => given.or_else(|| default.clone()),
            },
            resource: party_or(self.resource, defaults.resource.as_ref()),
            context: self.context.or_else(|| defaults.context.clone()),
        }
    }

    pub(super) fn complete(self, vocabulary: &Vocabulary) -> Result<Evaluation, Fault> {
        let subject = self.subject.ok_or_else(|| missing("subject"))?;
        let action = self.action.ok_or_else(|| missing("action"))?;
        let resource = self.resource.ok_or_else(|| missing("resource"))?;
        let uid = resource.uid("resource", vocabulary)?;
        Ok(Evaluation {
            subject: subject.uid("subject", vocabulary)?,
            action: action.known_name(&uid.entity_type, vocabulary)?,
            resource: uid,
            subject_properties: subject.properties,
            action_properties: action.properties,
            resource_properties: resource.properties,
            context: self.context.unwrap_or_default(),
        })
    }
}

fn party_or(given: Option<Party>, default: Option<&Party>) -> Option<Party> {
    match (given, default) {
        (Some(given), Some(default)) => Some(Party {
            kind: given.kind.or_else(|| default.kind.clone()),
            id: given.id.or_else(|| default.id.clone()),
            ..given
        }),
        (given, default) => given.or_else(|| default.cloned()),
    }
}

impl Evaluation {
    /// Reads the body of a single evaluation.
    ///
    /// # Errors
    /// Malformed JSON, a bound exceeded, a field that is missing or of another type, or a name that
    /// means several own types or actions.
    pub fn read(bytes: &[u8], vocabulary: &Vocabulary) -> Result<Self, Fault> {
        Parts::read(&body(bytes)?)?.complete(vocabulary)
    }

    /// The action, if there is one of that name.
    ///
    /// # Errors
    /// `Unsupported` with the reason `action_unknown`.
    pub fn action(&self) -> Result<Action, Fault> {
        action(&self.action)
    }

    /// Attributes of the context that policies may read: of what was sent as context and as
    /// properties of the action, the names in `known`.
    ///
    /// # Errors
    /// A value that policies cannot compare, or a name given twice with different values.
    pub fn context(&self, known: &[String]) -> Result<BTreeMap<String, Value>, Fault> {
        context(&self.context, &self.action_properties, known)
    }

    /// Types of obligations that the enforcement point says it can carry out, if it says so.
    ///
    /// # Errors
    /// A list that holds something else than text.
    pub fn supported_obligations(&self) -> Result<Option<Vec<String>>, Fault> {
        const PATH: &str = "context.supported_obligations";
        let wrong = || ill_typed(PATH, "a list of text");
        match sent(&self.context, "supported_obligations") {
            None => Ok(None),
            Some(Json::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
                .collect::<Result<_, _>>()
                .map(Some),
            Some(_) => Err(wrong()),
        }
    }

    /// Digest of all that was sent beside the names: what a decision may have rested on.
    pub fn properties_digest(&self) -> Option<Hash> {
        digest(&[
            &self.subject_properties,
            &self.action_properties,
            &self.resource_properties,
            &self.context,
        ])
    }
}

/// Digest of several objects; nothing if all are empty.
pub(super) fn digest(objects: &[&Fields]) -> Option<Hash> {
    if objects.iter().all(|object| object.is_empty()) {
        return None;
    }
    let texts = objects
        .iter()
        .map(|object| json::canonical(&Json::Object((*object).clone())));
    Some(Hash::of_parts(texts))
}

pub(super) fn action(name: &str) -> Result<Action, Fault> {
    name.parse()
        .map_err(|error: dataos_model::action::UnknownAction| {
            Fault::new(FaultKind::Unsupported, error.to_string())
                .with_reason("action_unknown")
                .at(at("action.name"))
        })
}

pub(super) fn context(
    context: &Fields,
    action_properties: &Fields,
    known: &[String],
) -> Result<BTreeMap<String, Value>, Fault> {
    let mut attributes = BTreeMap::new();
    for name in known {
        let given = |fields: &Fields, path: &str| match fields.get(name) {
            Some(json) => value(json, &format!("{path}.{name}")),
            None => Ok(None),
        };
        let stated = given(context, "context")?;
        let of_action = given(action_properties, "action.properties")?;
        if stated.is_some() && of_action.is_some() && stated != of_action {
            let message = format!("`{name}` differs in context and action.properties");
            return Err(Fault::invalid(message).at(at(format!("context.{name}"))));
        }
        if let Some(value) = stated.or(of_action) {
            attributes.insert(name.clone(), value);
        }
    }
    Ok(attributes)
}
