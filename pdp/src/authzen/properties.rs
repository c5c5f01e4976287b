//! What is done with properties that an enforcement point sends about a subject or resource.
//!
//! By default nothing: what the entity snapshot holds counts, and an entity that it does not hold is
//! not known. An operator may let one enforcement point fill in what is not held, or override it, for
//! the types that it is the authority on.

use std::{collections::BTreeMap, str::FromStr};

use dataos_model::{
    entity::{Entity, EntityType, EntityUid},
    fault::Fault,
    principal::{Authentication, Principal},
    value::Value,
};
use serde_json::{Map, Value as Json};

use super::{
    names::{self, at},
    value::value,
};

/// Most names in `groups`, `roles`, `tags` or `parents`.
const PARENTS_MAX: usize = 256;

/// What is done with sent properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    #[default]
    Ignore,
    /// They add what the snapshot does not hold.
    Fill,
    /// They replace what the snapshot holds, name by name.
    Override,
}

impl FromStr for Mode {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        match text {
            "ignore" => Ok(Self::Ignore),
            "fill" => Ok(Self::Fill),
            "override" => Ok(Self::Override),
            _ => Err(Fault::invalid(format!(
                "`{text}` is not ignore, fill or override"
            ))),
        }
    }
}

/// What is known and what was sent about one entity.
#[derive(Clone, Copy, Debug)]
pub struct Supplied<'a> {
    /// As the snapshot holds it.
    pub stored: Option<&'a Entity>,
    /// As it was sent.
    pub sent: &'a Map<String, Json>,
    /// What counts.
    pub mode: Mode,
}

/// The principal that is asked about; `None` if it is not known and may not be supplied.
///
/// `groups`, `roles` and `tags` are memberships; every other property is an attribute, as text.
///
/// # Errors
/// A property that does not fit, where properties count.
pub fn principal_asked(
    uid: &EntityUid,
    supplied: Supplied<'_>,
) -> Result<Option<Principal>, Fault> {
    let mut principal = match (supplied.stored, supplied.mode) {
        (Some(stored), _) => Principal::stored(stored),
        (None, Mode::Ignore) => return Ok(None),
        (None, _) => Principal::new(uid.clone(), Authentication::Internal),
    };
    if supplied.mode == Mode::Ignore {
        return Ok(Some(principal));
    }
    // A membership is a right more than a fact: where the principal is known, filling adds none.
    let takes_memberships = supplied.mode == Mode::Override || supplied.stored.is_none();
    for (name, json) in supplied.sent {
        let path = format!("subject.properties.{name}");
        let memberships = match name.as_str() {
            "groups" => Some(&mut principal.groups),
            "roles" => Some(&mut principal.roles),
            "tags" => Some(&mut principal.tags),
            _ => None,
        };
        if let Some(memberships) = memberships {
            if takes_memberships && !json.is_null() {
                *memberships = texts(json, &path)?;
            }
            continue;
        }
        let is_known = principal.attributes.contains_key(name);
        if json.is_null() || (is_known && supplied.mode == Mode::Fill) {
            continue;
        }
        principal
            .attributes
            .insert(name.clone(), text(json, &path)?);
    }
    Ok(Some(principal))
}

/// Text of an attribute of a principal, as tokens give it.
fn text(json: &Json, path: &str) -> Result<String, Fault> {
    match json {
        Json::String(text) => Ok(text.clone()),
        Json::Bool(value) => Ok(value.to_string()),
        Json::Number(number) if number.is_i64() || number.is_u64() => Ok(number.to_string()),
        _ => Err(Fault::invalid(
            "an attribute of a principal is text, true, false or a whole number",
        )
        .at(at(path))),
    }
}

fn texts(json: &Json, path: &str) -> Result<Vec<String>, Fault> {
    let wrong = || Fault::invalid("not a list of text").at(at(path));
    let items = json.as_array().ok_or_else(wrong)?;
    if items.len() > PARENTS_MAX {
        return Err(Fault::invalid(format!("more than {PARENTS_MAX} items")).at(at(path)));
    }
    items
        .iter()
        .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
        .collect()
}

/// The resource as it is to be sent to the PDP; `None` if the snapshot alone counts.
///
/// `parents` is a list of `{type, id}`; every other property is an attribute.
///
/// # Errors
/// A property that does not fit, where properties count.
pub fn entity_asked(uid: &EntityUid, supplied: Supplied<'_>) -> Result<Option<Entity>, Fault> {
    if supplied.mode == Mode::Ignore {
        return Ok(None);
    }
    let mut entity = match supplied.stored {
        Some(stored) => stored.clone(),
        None => Entity::new(uid.clone()),
    };
    let takes_parents = supplied.mode == Mode::Override || supplied.stored.is_none();
    let mut attributes: BTreeMap<String, Value> = BTreeMap::new();
    for (name, json) in supplied.sent {
        let path = format!("resource.properties.{name}");
        if name == "parents" {
            if takes_parents && !json.is_null() {
                entity.parents = parents(json, &path)?;
            }
            continue;
        }
        let is_known = entity.attributes.contains_key(name);
        if is_known && supplied.mode == Mode::Fill {
            continue;
        }
        if let Some(value) = value(json, &path)? {
            attributes.insert(name.clone(), value);
        }
    }
    entity.attributes.extend(attributes);
    Ok(Some(entity))
}

fn parents(json: &Json, path: &str) -> Result<Vec<EntityUid>, Fault> {
    let wrong = || Fault::invalid("not a list of {type, id}").at(at(path));
    let items = json.as_array().ok_or_else(wrong)?;
    if items.len() > PARENTS_MAX {
        return Err(Fault::invalid(format!("more than {PARENTS_MAX} items")).at(at(path)));
    }
    let uid = |item: &Json| {
        let part = |name: &str| item.get(name).and_then(Json::as_str);
        let (kind, id) = (
            part("type").ok_or_else(wrong)?,
            part("id").ok_or_else(wrong)?,
        );
        let uid = names::entity(kind, id, path)?;
        // Only what a resource can be in: a parent of another kind would be a right for free.
        if [EntityType::USER, EntityType::SERVICE].contains(&uid.entity_type) {
            return Err(wrong());
        }
        Ok(uid)
    };
    items.iter().map(uid).collect()
}
