//! Policy templates in force, and the links that make policies of them. Templates are put and deleted
//! as texts.

use std::sync::Arc;

use dataos_model::{fault::Fault, policy::TemplateInfo};
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    body,
    policy_texts::{precondition, recorded, tagged},
};
use crate::{
    applied::{AppliedLink, LinkFields},
    respond::Answer,
    serve::{Call, Gateway},
};

pub(crate) async fn templates(gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    let templates = gateway.seams.policies.templates();
    let templates: Vec<Value> = templates.iter().map(template_shown).collect();
    Ok(Answer::ok(&json!({"templates": templates})))
}

pub(crate) async fn template(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let id = call.parameters.get("id")?;
    let templates = gateway.seams.policies.templates();
    let found = templates.iter().find(|template| template.id == id);
    let found = found.ok_or_else(|| Fault::not_found(format!("there is no template `{id}`")))?;
    Ok(Answer::ok(&template_shown(found)))
}

fn template_shown(template: &TemplateInfo) -> Value {
    let annotations: serde_json::Map<String, Value> = template
        .annotations
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    json!({
        "id": template.id,
        "effect": template.effect,
        "source": template.source,
        "slots": template.slots,
        "links": template.links,
        "annotations": annotations,
        "text": template.text,
    })
}

pub(crate) async fn list(gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    let links = gateway.applied.links.list().await;
    let links: Vec<Value> = links.iter().map(|(id, link)| shown(id, link)).collect();
    Ok(Answer::ok(&json!({"links": links})))
}

pub(crate) async fn get(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let id = call.parameters.get("id")?;
    let link = gateway.applied.links.get(id).await;
    let link = link.ok_or_else(|| Fault::not_found(format!("no link `{id}` is applied")))?;
    tagged(Answer::ok(&shown(id, &link)), link.tag)
}

pub(crate) async fn put(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let id = call.parameters.get("id")?;
    let fields: LinkFields = body(&call)?;
    let before = gateway.seams.policies.info().hash;
    let condition = precondition(&call)?;
    let links = &gateway.applied.links;
    let vocabulary = gateway.seams.explore.vocabulary();
    let changed = links.put(id, fields, &condition, &vocabulary).await?;
    recorded(
        &gateway,
        &call,
        "policy_link_put",
        ("link", id),
        before,
        &changed,
    )
    .await?;
    let status = if changed.is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let value = json!({
        "id": id,
        "etag": changed.tag.to_string(),
        "policy_set": changed.policy_set.to_string(),
    });
    tagged(Answer::json(status, &value), changed.tag)
}

pub(crate) async fn delete(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let id = call.parameters.get("id")?;
    let before = gateway.seams.policies.info().hash;
    let condition = precondition(&call)?;
    let changed = gateway.applied.links.delete(id, &condition).await?;
    recorded(
        &gateway,
        &call,
        "policy_link_deleted",
        ("link", id),
        before,
        &changed,
    )
    .await?;
    Ok(Answer::no_content())
}

fn shown(id: &str, link: &AppliedLink) -> Value {
    json!({
        "id": id,
        "template": link.fields.template,
        "principal": link.fields.principal,
        "resource": link.fields.resource,
        "etag": link.tag.to_string(),
    })
}
