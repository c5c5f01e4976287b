//! The texts that the policies in force come from: listed, shown, applied and taken away; and
//! candidates of a whole folder, checked and tested against what is known here.

use std::{collections::BTreeMap, sync::Arc};

use dataos_model::{
    fault::{Fault, Location},
    hash::Hash,
    record::{Entry, EntryKind},
};
use dataos_pdp::analysis::{self, Texts};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body;
use crate::{
    applied::{AppliedText, Changed, Precondition},
    policy_code::{FixtureStatements, wire},
    respond::Answer,
    serve::{CANDIDATES_MAX, Call, Gateway},
};

/// The texts of a policies folder.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FolderBody {
    schema: String,
    #[serde(default)]
    fragments: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
    #[serde(default)]
    entities: BTreeMap<String, String>,
    #[serde(default)]
    tests: BTreeMap<String, String>,
}

/// How sources of policies that links make start.
const LINK: &str = "link:";

/// Where the policies of one text come from, and which they are.
#[derive(Default)]
struct Source {
    policies: Vec<String>,
    templates: Vec<String>,
    texts: Vec<String>,
}

pub(crate) async fn list(gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    let applied = gateway.applied.texts.list().await;
    let texts: Vec<Value> = sources(&gateway)
        .iter()
        .map(|(name, source)| summary(name, source, applied.get(name)))
        .collect();
    Ok(Answer::ok(&json!({"texts": texts})))
}

pub(crate) async fn get(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let name = call.parameters.get("path")?;
    let applied = gateway.applied.texts.get(name).await;
    let source = sources(&gateway).remove(name);
    if applied.is_none() && source.is_none() {
        let fault = Fault::not_found(format!("no policy comes from `{name}`"));
        return Err(fault.with_hint("dataos-ctl policy list shows where each policy comes from"));
    }
    let source = source.unwrap_or_default();
    let mut value = summary(name, &source, applied.as_ref());
    let cedar = match &applied {
        Some(text) => text.cedar.clone(),
        None => source.texts.join("\n\n"),
    };
    if let Some(fields) = value.as_object_mut() {
        fields.insert("cedar".to_owned(), json!(cedar));
    }
    let answer = Answer::ok(&value);
    match &applied {
        Some(text) => tagged(answer, text.tag),
        None => Ok(answer),
    }
}

pub(crate) async fn put(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let name = call.parameters.get("path")?;
    let cedar = std::str::from_utf8(&call.body)
        .map_err(|error| Fault::invalid(format!("the policy text is not UTF-8: {error}")))?;
    let before = gateway.seams.policies.info().hash;
    let condition = precondition(&call)?;
    let changed = gateway
        .applied
        .texts
        .put(name, cedar.to_owned(), &condition)
        .await?;
    recorded(
        &gateway,
        &call,
        "policy_text_put",
        ("text", name),
        before,
        &changed,
    )
    .await?;
    let status = if changed.is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let source = sources(&gateway).remove(name).unwrap_or_default();
    let value = json!({
        "name": name,
        "etag": changed.tag.to_string(),
        "policies": source.policies,
        "templates": source.templates,
        "policy_set": changed.policy_set.to_string(),
    });
    tagged(Answer::json(status, &value), changed.tag)
}

pub(crate) async fn delete(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let name = call.parameters.get("path")?;
    let before = gateway.seams.policies.info().hash;
    let changed = gateway
        .applied
        .texts
        .delete(name, &precondition(&call)?)
        .await?;
    recorded(
        &gateway,
        &call,
        "policy_text_deleted",
        ("text", name),
        before,
        &changed,
    )
    .await?;
    Ok(Answer::no_content())
}

pub(crate) async fn check(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let texts = texts(&call)?;
    let entities = gateway.seams.policies.entities();
    let report = blocking(&gateway, move || analysis::check(&texts, &entities)).await?;
    let (errors, warnings) = (report.errors(), report.warnings());
    Ok(Answer::ok(&wire::report(&report))
        .with_fact("errors", errors)
        .with_fact("warnings", warnings))
}

pub(crate) async fn test(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let texts = texts(&call)?;
    let entities = gateway.seams.policies.entities();
    let statements = FixtureStatements::new(tokio::runtime::Handle::current());
    let report = blocking(&gateway, move || {
        analysis::test(&texts, &entities, Some(&statements))
    })
    .await?;
    let (cases, failed) = (report.cases.len(), report.failed());
    Ok(Answer::ok(&wire::test_report(&report))
        .with_fact("cases", cases)
        .with_fact("failed", failed))
}

/// Work that takes long, on a thread of its own; few at a time, so that calls do not wait for it.
async fn blocking<T: Send + 'static>(
    gateway: &Gateway,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    let place = Arc::clone(&gateway.candidates).try_acquire_owned();
    let place = place.map_err(|_| {
        Fault::unavailable(format!(
            "{CANDIDATES_MAX} candidates are being looked at (CANDIDATES_MAX)"
        ))
        .with_hint("try again later, or run `dataos-ctl policy` without --server")
    })?;
    // The place goes with the work, which goes on if the caller does not wait for it.
    let work = move || {
        let _place = place;
        work()
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Fault::internal(format!("policies were not looked at: {error}")))
}

fn texts(call: &Call) -> Result<Texts, Fault> {
    let FolderBody {
        schema,
        fragments,
        files,
        entities,
        tests,
    } = body(call)?;
    match tests.keys().find(|path| !Texts::is_test(path)) {
        None => Ok(Texts {
            schema,
            fragments,
            files,
            entities,
            tests,
        }),
        Some(path) => Err(Fault::invalid(format!(
            "`{path}` is no test file; write tests/NAME.yaml"
        ))
        .at(Location {
            field: Some("tests".to_owned()),
            ..Location::default()
        })),
    }
}

/// Policies and templates by the text that they come from: a path within the folder, or a name. A
/// policy of a link comes from no text.
fn sources(gateway: &Gateway) -> BTreeMap<String, Source> {
    let mut sources: BTreeMap<String, Source> = BTreeMap::new();
    for policy in gateway.seams.policies.list() {
        if policy.source.starts_with(LINK) {
            continue;
        }
        let source = sources.entry(text_name(&policy.source)).or_default();
        source.policies.push(policy.id);
        source.texts.push(policy.text);
    }
    for template in gateway.seams.policies.templates() {
        let source = sources.entry(text_name(&template.source)).or_default();
        source.templates.push(template.id);
        source.texts.push(template.text);
    }
    sources
}

/// The text of a source, which names a line too if it is a file.
fn text_name(source: &str) -> String {
    let file = source.rsplit_once(':').map(|(file, _line)| file);
    file.filter(|file| is_file(file))
        .unwrap_or(source)
        .to_owned()
}

fn is_file(name: &str) -> bool {
    std::path::Path::new(name)
        .extension()
        .is_some_and(|end| end == "cedar")
}

fn summary(name: &str, source: &Source, applied: Option<&AppliedText>) -> Value {
    let origin = match applied {
        Some(_) => "applied",
        None if is_file(name) => "file",
        None => "resource",
    };
    json!({
        "name": name,
        "origin": origin,
        "etag": applied.map(|text| text.tag.to_string()),
        "policies": source.policies,
        "templates": source.templates,
    })
}

pub(super) fn precondition(call: &Call) -> Result<Precondition, Fault> {
    let head = &call.head;
    Precondition::parse(head.if_match.as_deref(), head.if_none_match.as_deref())
}

pub(super) fn tagged(answer: Answer, tag: Hash) -> Result<Answer, Fault> {
    let value = HeaderValue::from_str(&format!("\"{tag}\""))
        .map_err(|_| Fault::internal("a digest that is no header value"))?;
    Ok(answer.with_header(header::ETAG, value))
}

/// A change of policies is an entry of its own, under the set that it led to.
pub(super) async fn recorded(
    gateway: &Gateway,
    call: &Call,
    action: &str,
    (kind, name): (&str, &str),
    before: Hash,
    changed: &Changed,
) -> Result<(), Fault> {
    let mut entry = Entry::new(EntryKind::PolicyChange, &call.request_id)
        .with_fact("before", before)
        .with_fact(kind, changed.tag);
    entry.action = action.to_owned();
    entry.principal = call.principal.uid.to_string();
    entry.resource = format!("policy {kind} {name}");
    entry.policy_set = changed.policy_set;
    entry.request_digest = call.digest;
    gateway.seams.record.append(entry).await.map(drop)
}
