//! Declared resources.

use std::{str::from_utf8, sync::Arc};

use dataos_model::{
    action::Action,
    decision::Request,
    fault::{Fault, Location},
    hash::Hash,
    resource::{ApplyOutcome, ResourceFilter, ResourceId, ResourceView},
};
use serde_json::{Value, json};

use super::{bounded, wire};
use crate::{
    decide::{PUBLIC_WORKSPACE, resource_request},
    respond::Answer,
    serve::{Call, Gateway},
};

/// Most lines of a log in one answer.
const LINES_MAX: usize = 10_000;
const LINES_DEFAULT: usize = 300;

pub(crate) async fn list(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let text = |name: &str| call.head.query.get(name).map(str::to_owned);
    let filter = ResourceFilter {
        resource_type: text("type"),
        name: text("name"),
        workspace: text("workspace"),
        owner: text("owner"),
    };
    let views = gateway.seams.resources.list(&filter).await?;
    let requests: Vec<Request> = views
        .iter()
        .map(|view| resource_request(&call.principal, Action::GetResource, view, &call.context))
        .collect();
    let decisions = gateway.seams.decide.decide_all(&requests).await;
    let resources: Vec<Value> = views
        .iter()
        .zip(decisions)
        .filter(|(_, decision)| decision.is_allowed())
        .map(|(view, _)| resource(view))
        .collect();
    Ok(Answer::ok(&json!({"resources": resources})))
}

pub(crate) async fn apply(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let plan = match call.head.query.get("plan") {
        None => None,
        Some(text) => Some(text.parse::<Hash>().map_err(|error| {
            Fault::invalid(format!("`plan`: {error}")).at(Location {
                field: Some("plan".to_owned()),
                ..Location::default()
            })
        })?),
    };
    let outcomes = gateway
        .seams
        .resources
        .apply(
            &call.principal,
            &call.request_id,
            workspace(&call),
            manifests(&call)?,
            plan,
        )
        .await?;
    let shown: Vec<Value> = outcomes.iter().map(outcome).collect();
    Ok(Answer::ok(&json!({"outcomes": shown})).with_fact("documents", outcomes.len()))
}

pub(crate) async fn plan(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let plan = gateway
        .seams
        .resources
        .plan(&call.principal, workspace(&call), manifests(&call)?)
        .await?;
    let changes: Vec<Value> = plan
        .changes
        .iter()
        .map(|change| {
            json!({
                "id": change.id.to_string(),
                "action": change.action,
                "fields": change.fields,
            })
        })
        .collect();
    Ok(Answer::ok(&json!({
        "hash": plan.hash.to_string(),
        "changes": changes,
        "warnings": plan.warnings,
    })))
}

pub(crate) async fn get(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let view = gateway.seams.resources.get(&id(&call)?).await?;
    Ok(Answer::ok(&resource(&view)))
}

pub(crate) async fn delete(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let done = gateway
        .seams
        .resources
        .delete(&call.principal, &call.request_id, &id(&call)?)
        .await?;
    Ok(Answer::ok(&outcome(&done)))
}

pub(crate) async fn log(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let lines = bounded(&call, "lines", LINES_DEFAULT, LINES_MAX)?;
    let job = call.head.query.get("job");
    let lines = gateway.seams.resources.log(&id(&call)?, job, lines).await?;
    Ok(Answer::ok(&json!({"lines": lines})))
}

fn id(call: &Call) -> Result<ResourceId, Fault> {
    call.parameters.get("rid")?.parse()
}

fn workspace(call: &Call) -> &str {
    call.head.query.get("workspace").unwrap_or(PUBLIC_WORKSPACE)
}

fn manifests(call: &Call) -> Result<&str, Fault> {
    from_utf8(&call.body).map_err(|_| Fault::invalid("the manifests are not UTF-8"))
}

fn outcome(outcome: &ApplyOutcome) -> Value {
    json!({
        "id": outcome.id.to_string(),
        "change": outcome.change,
        "revision": outcome.revision,
        "warnings": outcome.warnings,
    })
}

fn resource(view: &ResourceView) -> Value {
    let nodes: Vec<Value> = view
        .nodes
        .iter()
        .map(|node| {
            json!({
                "job": node.job,
                "stack": node.stack,
                "dependencies": node.dependencies,
                "attempt": node.attempt,
                "phase": node.phase,
                "started_at": node.started_at.map(wire::time),
                "finished_at": node.finished_at.map(wire::time),
                "message": node.message,
            })
        })
        .collect();
    json!({
        "id": view.id.to_string(),
        "type": view.id.resource_type,
        "version": view.id.version,
        "name": view.id.name,
        "workspace": view.id.workspace,
        "owner": view.owner,
        "tags": view.tags,
        "description": view.description,
        "status": view.status,
        "runtime": view.runtime,
        "message": view.message,
        "revision": view.revision,
        "updated_at": wire::time(view.updated_at),
        "manifest": view.manifest,
        "nodes": nodes,
    })
}
