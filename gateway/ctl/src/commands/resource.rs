//! Resources: apply, plan, get, delete, log.

use std::{collections::BTreeSet, env};

use serde_json::{Value, json};

use super::{items, rows, shown};
use crate::{
    arguments::{Apply, Delete, Get, Log},
    client::{Client, segment},
    failure::Failure,
    manifest,
    output::{Answer, Human, Output},
};

fn manifests(apply: &Apply) -> Result<String, Failure> {
    let variables = |name: &str| env::var(name).ok();
    let variables: Option<manifest::Variables<'_>> = if apply.disable_interpolation {
        None
    } else {
        Some(&variables)
    };
    manifest::read(&apply.manifest_file, apply.recursive, variables)
}

pub(crate) async fn apply(
    client: &Client,
    apply: &Apply,
    output: &Output,
) -> Result<Answer, Failure> {
    let mut query = vec![("workspace", apply.workspace.clone())];
    query.extend(apply.plan.clone().map(|plan| ("plan", plan)));
    let answer = client
        .post_yaml("/api/v1/resources", &query, manifests(apply)?)
        .await?;
    for outcome in items(&answer, "outcomes") {
        for warning in items(outcome, "warnings") {
            output.note(&format!(
                "warning: {}: {}",
                shown(outcome, "id"),
                super::plain(warning)
            ));
        }
    }
    let table = rows(items(&answer, "outcomes"), &["id", "change", "revision"]);
    Ok(Answer::table(&["RESOURCE", "CHANGE", "REVISION"], table, answer).hint("dataos-ctl get"))
}

pub(crate) async fn plan(
    client: &Client,
    apply: &Apply,
    output: &Output,
) -> Result<Answer, Failure> {
    let query = [("workspace", apply.workspace.clone())];
    let answer = client
        .post_yaml("/api/v1/resources/plan", &query, manifests(apply)?)
        .await?;
    for warning in items(&answer, "warnings") {
        output.note(&format!("warning: {}", super::plain(warning)));
    }
    let mut lines = Vec::new();
    for change in items(&answer, "changes") {
        lines.push(format!(
            "{:<8} {}",
            shown(change, "action"),
            shown(change, "id")
        ));
        lines.extend(
            items(change, "fields")
                .iter()
                .map(|field| format!("  {}", super::plain(field))),
        );
    }
    lines.push(format!("plan {}", shown(&answer, "hash")));
    let hint = format!(
        "apply exactly this: dataos-ctl apply --plan {} -f ...",
        shown(&answer, "hash")
    );
    Ok(Answer::lines(lines, answer).hint(hint))
}

pub(crate) async fn get(client: &Client, get: &Get) -> Result<Answer, Failure> {
    if let Some(id) = &get.identifier {
        let resource = client
            .get(&format!("/api/v1/resources/{}", segment(id)), &[])
            .await?;
        return Ok(Answer::lines(detail(&resource), resource));
    }
    let query: Vec<(&str, String)> = [
        ("type", &get.resource_type),
        ("name", &get.name),
        ("workspace", &get.workspace),
        ("owner", &get.owner),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.clone().map(|value| (name, value)))
    .collect();
    let answer = client.get("/api/v1/resources", &query).await?;
    let fields = [
        "name",
        "version",
        "type",
        "workspace",
        "status",
        "runtime",
        "owner",
    ];
    let table = rows(items(&answer, "resources"), &fields);
    let header = [
        "NAME",
        "VERSION",
        "TYPE",
        "WORKSPACE",
        "STATUS",
        "RUNTIME",
        "OWNER",
    ];
    Ok(Answer::table(&header, table, answer))
}

fn detail(resource: &Value) -> Vec<String> {
    let mut lines: Vec<String> = [
        "id",
        "owner",
        "tags",
        "status",
        "runtime",
        "message",
        "revision",
        "updated_at",
    ]
    .iter()
    .map(|field| (field, shown(resource, field)))
    .filter(|(_, value)| !value.is_empty())
    .map(|(field, value)| format!("{field}: {value}"))
    .collect();
    for node in items(resource, "nodes") {
        lines.push(format!(
            "node {}: {} (stack {}, attempt {}) {}",
            shown(node, "job"),
            shown(node, "phase"),
            shown(node, "stack"),
            shown(node, "attempt"),
            shown(node, "message")
        ));
    }
    lines.push("---".to_owned());
    lines.push(shown(resource, "manifest").trim_end().to_owned());
    lines
}

pub(crate) async fn delete(client: &Client, delete: &Delete) -> Result<Answer, Failure> {
    let ids = match (&delete.identifier, &delete.manifest_file) {
        (Some(id), _) => vec![id.clone()],
        (None, Some(file)) => {
            let text = manifest::read(file, false, Some(&|name: &str| env::var(name).ok()))?;
            let query = [("workspace", delete.workspace.clone())];
            let plan = client
                .post_yaml("/api/v1/resources/plan", &query, text)
                .await?;
            items(&plan, "changes")
                .iter()
                .rev()
                .map(|change| shown(change, "id"))
                .collect()
        }
        (None, None) => return Err(Failure::usage("give -i or -f")),
    };
    let mut outcomes = Vec::new();
    let mut seen = BTreeSet::new();
    for id in ids.iter().filter(|id| seen.insert((*id).clone())) {
        outcomes.push(
            client
                .delete(&format!("/api/v1/resources/{}", segment(id)))
                .await?,
        );
    }
    let table = rows(&outcomes, &["id", "change"]);
    Ok(Answer::table(
        &["RESOURCE", "CHANGE"],
        table,
        json!({"outcomes": outcomes}),
    ))
}

pub(crate) async fn log(client: &Client, log: &Log) -> Result<Answer, Failure> {
    let mut query = vec![("lines", log.tail_lines.to_string())];
    query.extend(log.node.clone().map(|job| ("job", job)));
    let path = format!("/api/v1/resources/{}/log", segment(&log.identifier));
    let answer = client.get(&path, &query).await?;
    let lines = items(&answer, "lines").iter().map(super::plain).collect();
    Ok(Answer {
        human: Human::Lines(lines),
        json: answer,
        hints: Vec::new(),
    })
}
