//! Who may, on what, and what: the three searches.

use std::collections::BTreeMap;

use dataos_model::{
    action::Action,
    entity::{EntityType, EntityUid},
    fault::Fault,
    hash::Hash,
    json,
    value::Value,
    vocabulary::Vocabulary,
};
use serde_json::{Map, Value as Json};

use super::{
    names,
    page::PageRequest,
    wire::{Evaluation, Fields, Parts, body, missing},
};

/// What is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought {
    /// Subjects of a type.
    Subject,
    /// Resources of a type.
    Resource,
    /// Actions.
    Action,
}

impl Sought {
    /// The word of the path.
    pub fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Resource => "resource",
            Self::Action => "action",
        }
    }
}

/// A search, complete.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchRequest {
    /// What is searched for.
    pub sought: Sought,
    /// The type that is searched for as it was sent, for subjects and resources.
    pub kind: String,
    /// The type that this is.
    pub of: EntityType,
    /// Who, unless subjects are searched for.
    pub subject: Option<EntityUid>,
    /// What was sent about it.
    pub subject_properties: Map<String, Json>,
    /// What, by the whole name where there is such an action, unless actions are searched for.
    pub action: Option<String>,
    /// What was sent about it.
    pub action_properties: Map<String, Json>,
    /// On what, unless resources are searched for.
    pub resource: Option<EntityUid>,
    /// What was sent about it.
    pub resource_properties: Map<String, Json>,
    /// Facts about the call.
    pub context: Map<String, Json>,
    /// Which page.
    pub page: PageRequest,
    /// Digest of all but the page: two requests with one digest ask the same.
    pub digest: Hash,
}

impl SearchRequest {
    /// Reads the body of a search. An id of what is searched for is ignored.
    ///
    /// # Errors
    /// Malformed JSON, a bound exceeded, or a field that is missing or of another type.
    pub fn read(sought: Sought, bytes: &[u8], vocabulary: &Vocabulary) -> Result<Self, Fault> {
        let fields = body(bytes)?;
        let parts = Parts::read(&fields)?;
        let subject = parts.subject.ok_or_else(|| missing("subject"))?;
        let resource = parts.resource.ok_or_else(|| missing("resource"))?;
        let action = match (sought, parts.action) {
            (Sought::Action, _) => None,
            (_, Some(action)) => Some(action),
            (_, None) => return Err(missing("action")),
        };
        let (kind, path) = match sought {
            Sought::Subject => (subject.kind("subject")?.to_owned(), "subject"),
            Sought::Resource => (resource.kind("resource")?.to_owned(), "resource"),
            Sought::Action => (String::new(), "action"),
        };
        let of = names::type_named(&kind, vocabulary, path)?;
        let named = match sought {
            Sought::Resource => None,
            _ => Some(resource.uid("resource", vocabulary)?),
        };
        let applies_to = named.as_ref().map_or(&of, |uid| &uid.entity_type);
        Ok(Self {
            sought,
            kind,
            subject: match sought {
                Sought::Subject => None,
                _ => Some(subject.uid("subject", vocabulary)?),
            },
            action: match &action {
                Some(action) => Some(action.known_name(applies_to, vocabulary)?),
                None => None,
            },
            resource: named,
            of,
            subject_properties: subject.properties,
            action_properties: action.map(|action| action.properties).unwrap_or_default(),
            resource_properties: resource.properties,
            context: parts.context.unwrap_or_default(),
            page: PageRequest::read(&fields)?,
            digest: digest(sought, fields),
        })
    }

    /// The type that is searched for.
    pub fn entity_type(&self) -> EntityType {
        self.of.clone()
    }

    /// The question whether one result is allowed.
    pub fn evaluation(&self, found: EntityUid) -> Option<Evaluation> {
        let mut found = Some(found);
        Some(Evaluation {
            subject: self.subject.clone().or_else(|| found.take())?,
            resource: self.resource.clone().or_else(|| found.take())?,
            action: self.action.clone()?,
            subject_properties: self.subject_properties.clone(),
            action_properties: self.action_properties.clone(),
            resource_properties: self.resource_properties.clone(),
            context: self.context.clone(),
        })
    }

    /// As for an evaluation.
    ///
    /// # Errors
    /// As for an evaluation.
    pub fn context(&self, known: &[String]) -> Result<BTreeMap<String, Value>, Fault> {
        super::wire::context(&self.context, &self.action_properties, known)
    }

    /// The action that is asked about, if there is one of that name.
    pub fn action(&self) -> Option<Action> {
        self.action.as_ref()?.parse().ok()
    }

    /// As for an evaluation.
    pub fn properties_digest(&self) -> Option<Hash> {
        super::wire::digest(&[
            &self.subject_properties,
            &self.action_properties,
            &self.resource_properties,
            &self.context,
        ])
    }
}

fn digest(sought: Sought, mut fields: Fields) -> Hash {
    fields.retain(|name, _| name != "page");
    Hash::of_parts([
        sought.name().to_owned(),
        json::canonical(&Json::Object(fields)),
    ])
}
