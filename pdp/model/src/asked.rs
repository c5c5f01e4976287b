//! A question to the PDP as text, whole: what a record of its decision keeps, so that it can be
//! decided again under other policies. One line of JSON, the same for the same question.
//!
//! | key | value |
//! | --- | --- |
//! | `p` | the principal: uid, groups, roles, tags, attributes |
//! | `a` | the action's name |
//! | `r` | the resource's uid |
//! | `e` | the resource as it was supplied: parents, attributes, tags; absent if the snapshot held it |
//! | `c` | the context |
//!
//! A uid is `[type, id]`. Values of policies: `true`, numbers and text stand for themselves, others are
//! objects of one key: `decimal` (units of 10^-4), `datetime` and `duration` (ms), `ip` (address and
//! prefix length), `set`, `record`, `entity`. What is empty is left out.

use std::{collections::BTreeMap, str::FromStr};

use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::{
    access::AccessRequest,
    action::Action,
    decision::Request,
    entity::Entity,
    json::{self, Bounds},
    principal::{Authentication, Principal},
    values_json::{Fields, Malformed, Uid, object, text, to_text, uid, values},
};

/// A question, as it is written.
#[derive(Serialize)]
struct Question<'a> {
    p: Who<'a>,
    a: &'a str,
    r: Uid<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<Supplied<'a>>,
    #[serde(skip_serializing_if = "Fields::is_empty")]
    c: Fields<'a>,
}

/// A question about datasets, as it is written.
#[derive(Serialize)]
struct AccessQuestion<'a> {
    p: Who<'a>,
    a: &'a str,
    d: Vec<String>,
    #[serde(skip_serializing_if = "Fields::is_empty")]
    c: Fields<'a>,
}

#[derive(Serialize)]
struct Who<'a> {
    u: Uid<'a>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    g: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    r: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    t: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    a: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Supplied<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    p: Vec<Uid<'a>>,
    #[serde(skip_serializing_if = "Fields::is_empty")]
    a: Fields<'a>,
    #[serde(skip_serializing_if = "Fields::is_empty")]
    t: Fields<'a>,
}

/// The question as text.
pub fn write(request: &Request) -> String {
    let supplied = request.resource_entity.as_ref().map(|entity| Supplied {
        p: entity.parents.iter().map(Uid).collect(),
        a: Fields(&entity.attributes),
        t: Fields(&entity.tags),
    });
    to_text(&Question {
        p: who_asks(&request.principal),
        a: request.action.name(),
        r: Uid(&request.resource),
        e: supplied,
        c: Fields(&request.context),
    })
}

/// A question about datasets as text: `p`, `a` and `c` as above, and `d`, a list of their addresses.
pub fn write_access(request: &AccessRequest) -> String {
    to_text(&AccessQuestion {
        p: who_asks(&request.principal),
        a: request.action.name(),
        d: request.datasets.iter().map(ToString::to_string).collect(),
        c: Fields(&request.context),
    })
}

fn who_asks(principal: &Principal) -> Who<'_> {
    Who {
        u: Uid(&principal.uid),
        g: &principal.groups,
        r: &principal.roles,
        t: &principal.tags,
        a: &principal.attributes,
    }
}

/// The question of a text.
///
/// # Errors
/// A text that [`write`] cannot have written, or an action that no loaded schema declares.
pub fn read(text: &str) -> Result<Request, Malformed> {
    let whole = json::parse(text.as_bytes(), &Bounds::SMALL).map_err(|_| Malformed("no JSON"))?;
    let whole = object(&whole)?;
    let (principal, action) = (who(whole)?, action(whole)?);
    let resource = uid(whole.get("r"))?;
    let resource_entity = match whole.get("e") {
        None => None,
        Some(supplied) => {
            let supplied = object(supplied)?;
            let parents = supplied.get("p").and_then(Json::as_array);
            let parents = parents
                .into_iter()
                .flatten()
                .map(|parent| uid(Some(parent)));
            let mut entity =
                Entity::new(resource.clone()).with_parents(parents.collect::<Result<Vec<_>, _>>()?);
            entity.attributes = values(supplied.get("a"))?;
            entity.tags = values(supplied.get("t"))?;
            Some(entity)
        }
    };
    Ok(Request {
        principal,
        action,
        resource,
        resource_entity,
        context: values(whole.get("c"))?,
    })
}

/// The question about datasets of a text.
///
/// # Errors
/// A text that [`write_access`] cannot have written, or an action that no loaded schema declares.
pub fn read_access(text: &str) -> Result<AccessRequest, Malformed> {
    let whole = json::parse(text.as_bytes(), &Bounds::SMALL).map_err(|_| Malformed("no JSON"))?;
    let whole = object(&whole)?;
    let address = |text: String| text.parse().map_err(|_| Malformed("no dataset's address"));
    let datasets = names(whole.get("d"))?.into_iter().map(address);
    Ok(AccessRequest {
        principal: who(whole)?,
        action: action(whole)?,
        datasets: datasets.collect::<Result<_, _>>()?,
        context: values(whole.get("c"))?,
    })
}

fn who(whole: &Map<String, Json>) -> Result<Principal, Malformed> {
    let who = object(whole.get("p").ok_or(Malformed("no principal"))?)?;
    Ok(Principal {
        groups: names(who.get("g"))?,
        roles: names(who.get("r"))?,
        tags: names(who.get("t"))?,
        attributes: attributes(who.get("a"))?,
        ..Principal::new(uid(who.get("u"))?, Authentication::Internal)
    })
}

fn action(whole: &Map<String, Json>) -> Result<Action, Malformed> {
    let action = whole.get("a").and_then(Json::as_str);
    let action = action.ok_or(Malformed("no action"))?;
    Action::from_str(action).map_err(|_| Malformed("an action that is not declared"))
}

fn names(json: Option<&Json>) -> Result<Vec<String>, Malformed> {
    let items = json.and_then(Json::as_array);
    items.into_iter().flatten().map(text).collect()
}

fn attributes(json: Option<&Json>) -> Result<BTreeMap<String, String>, Malformed> {
    let fields = json.and_then(Json::as_object);
    let fields = fields.into_iter().flatten();
    fields
        .map(|(name, value)| Ok((name.clone(), text(value)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        entity::EntityType,
        value::{IpRange, Value},
    };

    fn question() -> Request {
        let mut principal =
            Principal::new(EntityType::USER.id("a \"b\""), Authentication::Internal);
        principal.groups = vec!["g1".to_owned(), "g2".to_owned()];
        principal.tags = vec!["users:dataos:analyst".to_owned()];
        principal
            .attributes
            .insert("region".to_owned(), "EMEA".to_owned());
        let uid = EntityType::API_PATH.id("/x");
        let mut request = Request::new(&principal, Action::Call, uid.clone());
        let mut entity = Entity::new(uid).with_parents([EntityType::TAG.id("t")]);
        let range = IpRange {
            address: "10.0.0.0".parse().unwrap(),
            prefix_bits: 8,
        };
        let record = BTreeMap::from([("set".to_owned(), Value::Long(1))]);
        entity.attributes = BTreeMap::from([
            ("b".to_owned(), Value::Bool(true)),
            ("n".to_owned(), Value::Long(i64::MIN)),
            ("d".to_owned(), Value::Decimal(-15_000)),
            ("i".to_owned(), Value::Ip(range)),
            (
                "s".to_owned(),
                Value::Set([Value::from("x"), Value::from("y")].into()),
            ),
            ("r".to_owned(), Value::Record(record)),
            (
                "e".to_owned(),
                Value::Entity(EntityType::named("Shop::Item").id("1")),
            ),
        ]);
        request.context = BTreeMap::from([
            ("at".to_owned(), Value::DateTime(1_700_000_000_000)),
            ("for".to_owned(), Value::Duration(5)),
        ]);
        request.resource_entity = Some(entity);
        request
    }

    #[test]
    fn questions_read_back_whole() {
        let whole = question();
        assert_eq!(read(&write(&whole)).unwrap(), whole);
        let plain = Request::new(
            &Principal::anonymous(),
            Action::Call,
            EntityType::API_PATH.id("/"),
        );
        let mut again = read(&write(&plain)).unwrap();
        again.principal.authentication = plain.principal.authentication;
        assert_eq!(again, plain);
    }

    #[test]
    fn questions_about_datasets_read_back_whole() {
        let question = question();
        let access = AccessRequest {
            principal: question.principal,
            action: Action::Select,
            datasets: vec!["lake:main/a".parse().unwrap(), "b:c/d e".parse().unwrap()],
            context: question.context,
        };
        let text = write_access(&access);
        assert_eq!(read_access(&text), Ok(access));
        assert!(read_access(&text.replace("lake:", "lake")).is_err());
        assert!(read_access(&text.replace("select", "fly")).is_err());
    }

    #[test]
    fn other_texts_are_refused() {
        let good = write(&question());
        for length in 0..good.len() {
            let cut = good.get(..length);
            assert!(cut.is_none_or(|cut| read(cut).is_err()), "{length}");
        }
        for (from, to) in [
            ("\"call\"", "\"fly\""),
            ("[\"ApiPath\",\"/x\"]", "\"/x\""),
            ("{\"decimal\":-15000}", "{\"decimal\":1.5}"),
            ("{\"decimal\":-15000}", "{\"decimal\":1,\"set\":[]}"),
            ("{\"decimal\":-15000}", "null"),
            ("10.0.0.0/8", "10.0.0/8"),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good, "{from}");
            assert!(read(&bad).is_err(), "{to}");
        }
    }
}
