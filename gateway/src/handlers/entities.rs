//! Entities of one's own types: listed, shown, applied and taken away.

use std::sync::Arc;

use dataos_model::{
    entity::{Entity, EntityType, EntityUid},
    explain::PAGE_MAX,
    fault::{Fault, Location},
    hash::Hash,
    record::{Entry, EntryKind},
    seams::Explore,
};
use dataos_pdp::{authzen, entity_json};
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    bounded,
    policy_texts::{precondition, tagged},
};
use crate::{
    applied::EntityChanged,
    respond::Answer,
    serve::{Call, Gateway},
};

/// Entities of a page where nobody says how many.
const PAGE_DEFAULT: usize = 100;

/// A page of all entities of own types, or of one of them.
pub(crate) async fn list(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let limit = bounded(&call, "limit", PAGE_DEFAULT, PAGE_MAX)?;
    let pdp = gateway.applied.entities.pdp();
    let vocabulary = pdp.vocabulary();
    let wanted = match call.head.query.get("type") {
        None => None,
        Some(name) => Some(own_type(&gateway, name, "type")?),
    };
    let after = match call.head.query.get("token") {
        None => None,
        Some(token) => Some(authzen::resource_named(token, &vocabulary).map_err(|_| {
            Fault::invalid("`token` is not that of a page").at(Location {
                field: Some("token".to_owned()),
                ..Location::default()
            })
        })?),
    };
    let mut found: Vec<Arc<Entity>> = Vec::new();
    let is_wanted = |of: &&EntityType| wanted.as_ref().is_none_or(|wanted| wanted == *of);
    for of in vocabulary.types().filter(is_wanted) {
        let behind = after.as_ref().filter(|after| after.entity_type == *of);
        let is_before = after.as_ref().is_some_and(|after| *of < after.entity_type);
        if !is_before {
            // One more tells whether there is a next page.
            let missing = (limit + 1).saturating_sub(found.len());
            found.extend(pdp.entities_of(of, behind.map(|uid| uid.id.as_str()), missing));
        }
    }
    let has_more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| has_more);
    let next_token = last.map_or_else(String::new, |entity| entity.uid.to_string());
    let mut entities = Vec::with_capacity(found.len());
    for entity in &found {
        entities.push(shown(
            entity,
            gateway.applied.entities.tag(&entity.uid).await,
        ));
    }
    Ok(Answer::ok(
        &json!({"entities": entities, "next_token": next_token}),
    ))
}

/// One entity; with its ETag if it is applied here.
pub(crate) async fn get(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let uid = named(&gateway, &call)?;
    let entity = gateway.applied.entities.pdp().entity(&uid);
    let is_own = !uid.entity_type.is_ours();
    let entity = entity.filter(|_| is_own).ok_or_else(|| {
        Fault::not_found(format!("{uid} is no known entity of an own type"))
            .with_hint("dataos-ctl entities list shows the entities of own types")
    })?;
    let tag = gateway.applied.entities.tag(&uid).await;
    let answer = Answer::ok(&shown(&entity, tag));
    match tag {
        Some(tag) => tagged(answer, tag),
        None => Ok(answer),
    }
}

pub(crate) async fn put(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let uid = named(&gateway, &call)?;
    let condition = precondition(&call)?;
    let changed = gateway
        .applied
        .entities
        .put(&uid, &call.body, &condition)
        .await?;
    recorded(&gateway, &call, "entity_put", &uid, &changed).await?;
    let status = if changed.is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let value = json!({
        "uid": uid.to_string(),
        "etag": changed.tag.to_string(),
        "entities": changed.entities.to_string(),
    });
    tagged(Answer::json(status, &value), changed.tag)
}

pub(crate) async fn delete(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let uid = named(&gateway, &call)?;
    let condition = precondition(&call)?;
    let changed = gateway.applied.entities.delete(&uid, &condition).await?;
    recorded(&gateway, &call, "entity_deleted", &uid, &changed).await?;
    Ok(Answer::no_content())
}

/// The entity that the path names, its type shortly or whole.
fn named(gateway: &Gateway, call: &Call) -> Result<EntityUid, Fault> {
    let vocabulary = gateway.applied.entities.pdp().vocabulary();
    let of = authzen::type_named(call.parameters.get("type")?, &vocabulary, "path")?;
    let id = call.parameters.get("path")?;
    if id.is_empty() {
        return Err(Fault::invalid("the path names no entity").with_hint("add its id"));
    }
    Ok(of.id(id))
}

fn own_type(gateway: &Gateway, name: &str, field: &str) -> Result<EntityType, Fault> {
    let vocabulary = gateway.applied.entities.pdp().vocabulary();
    let of = authzen::type_named(name, &vocabulary, field)?;
    if vocabulary.has_type(&of) {
        return Ok(of);
    }
    let known: Vec<&str> = vocabulary.types().map(EntityType::name).collect();
    Err(Fault::invalid(format!("`{name}` is no type of one's own"))
        .at(Location {
            field: Some(field.to_owned()),
            ..Location::default()
        })
        .with_hint(format!("own types: {}", known.join(", "))))
}

fn shown(entity: &Entity, tag: Option<Hash>) -> Value {
    let origin = if tag.is_some() { "applied" } else { "file" };
    json!({
        "entity": entity_json(entity),
        "origin": origin,
        "etag": tag.map(|tag| tag.to_string()),
    })
}

/// A change of entities is an entry of its own, with the snapshot that it led to.
async fn recorded(
    gateway: &Gateway,
    call: &Call,
    action: &str,
    uid: &EntityUid,
    changed: &EntityChanged,
) -> Result<(), Fault> {
    let mut entry = Entry::new(EntryKind::ResourceChange, &call.request_id)
        .with_fact("entity", changed.tag)
        .with_fact("entities", changed.entities);
    entry.action = action.to_owned();
    entry.principal = call.principal.uid.to_string();
    entry.resource = uid.to_string();
    entry.policy_set = gateway.seams.policies.info().hash;
    entry.request_digest = call.digest;
    gateway.seams.record.append(entry).await.map(drop)
}
