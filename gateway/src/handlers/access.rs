//! Access for people: may somebody do this, who may, on what, and why did a decision come out so.
//!
//! Everyone asks about themselves; about others who is permitted `ask_decision`. What stands in a
//! policy is shown to who is permitted `view_policy`, others see ids and descriptions.

mod explained;
mod why;

use std::sync::Arc;

use dataos_model::{
    action::{Action, UnknownAction},
    decision::Request,
    entity::{EntityType, EntityUid},
    fault::{Fault, Location},
    vocabulary::Vocabulary,
};
use dataos_pdp::authzen::{
    Evaluation, PageRequest, SearchRequest, Sought, action_named, principal_named, resource_named,
    type_name, type_named,
};
use serde_json::{Map, Value, json};

pub(crate) use why::why;

use super::{
    asking::{self, Question},
    authzen::search,
    bounded,
};
use crate::{
    respond::Answer,
    serve::{Call, Gateway},
};

/// Results of one type where nobody says how many.
const FOUND_DEFAULT: usize = 100;
/// Results of each type where many types are looked at.
const FOUND_EACH: usize = 10;
const FOUND_MAX: usize = dataos_model::explain::PAGE_MAX;

fn missing(name: &str, hint: &str) -> Fault {
    Fault::invalid(format!("`{name}` is missing"))
        .at(Location {
            field: Some(name.to_owned()),
            ..Location::default()
        })
        .with_hint(hint)
}

/// The principal that is asked about; `me` and nothing are the caller.
fn principal(call: &Call) -> Result<EntityUid, Fault> {
    match call.head.query.get("principal") {
        None | Some("me") => Ok(call.principal.uid.clone()),
        Some(text) => principal_named(text),
    }
}

/// The action that is asked about, on resources of a type if it is known.
fn action(call: &Call, of: Option<&EntityType>, vocabulary: &Vocabulary) -> Result<Action, Fault> {
    const HINT: &str = "name an action, such as select or view_asset";
    let text = call.head.query.get("action");
    let text = text.ok_or_else(|| missing("action", HINT))?;
    action_named(text, of, vocabulary)?.ok_or_else(|| {
        let known: Vec<&str> = vocabulary.actions().map(Action::name).collect();
        Fault::invalid(UnknownAction(text.to_owned()).to_string())
            .with_reason("action_unknown")
            .at(Location {
                field: Some("action".to_owned()),
                ..Location::default()
            })
            .with_hint(format!("one of {}", known.join(", ")))
    })
}

fn resource(call: &Call, vocabulary: &Vocabulary) -> Result<EntityUid, Fault> {
    const HINT: &str = "name a resource, such as dataos://depot:collection/dataset";
    let text = call.head.query.get("resource");
    resource_named(text.ok_or_else(|| missing("resource", HINT))?, vocabulary)
}

/// The facts about the call that the question supposes.
fn context(call: &Call) -> Map<String, Value> {
    let purpose = call.head.query.get("purpose");
    purpose
        .map(|purpose| ("purpose".to_owned(), json!(purpose)))
        .into_iter()
        .collect()
}

/// May somebody do this?
pub(crate) async fn can(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let vocabulary = gateway.seams.explore.vocabulary();
    let resource = resource(&call, &vocabulary)?;
    let action = action(&call, Some(&resource.entity_type), &vocabulary)?;
    let evaluation = Evaluation {
        subject: principal(&call)?,
        subject_properties: Map::new(),
        action: action.name().to_owned(),
        action_properties: Map::new(),
        resource,
        resource_properties: Map::new(),
        context: context(&call),
    };
    if !asking::is_own(&call, &evaluation.subject) {
        let about = evaluation.subject.to_string();
        asking::permitted(&gateway, &call, Action::AskDecision, &about).await?;
    }
    let request = match asking::question(&gateway, &call, &evaluation).await? {
        Question::Asked(request) => *request,
        Question::Denied(reason, detail) => {
            return Err(Fault::not_found(detail)
                .with_reason(reason.code())
                .with_hint("see `dataos-ctl user get` for who is known"));
        }
    };
    let shown = explained(&gateway, &call, &evaluation, &request).await?;
    Ok(Answer::ok(&shown))
}

/// The decision with its reasons, recorded as a question of the caller.
async fn explained(
    gateway: &Arc<Gateway>,
    call: &Call,
    evaluation: &Evaluation,
    request: &Request,
) -> Result<Value, Fault> {
    let explanation = gateway.seams.explore.explain(request).await;
    let entry = asking::entry(call, evaluation, Some(request), &explanation.decision);
    let entry = entry.with_fact("explained", true);
    asking::durable(vec![asking::append(gateway, entry)]).await?;
    Ok(explained::shown(gateway, call, request, &explanation).await)
}

/// Who may do this?
pub(crate) async fn who_can(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let vocabulary = gateway.seams.explore.vocabulary();
    let of = match call.head.query.get("type") {
        Some(kind) => type_named(kind, &vocabulary, "type")?,
        None => EntityType::USER,
    };
    let resource = resource(&call, &vocabulary)?;
    let action = action(&call, Some(&resource.entity_type), &vocabulary)?;
    let request = SearchRequest {
        action: Some(action.name().to_owned()),
        resource: Some(resource),
        ..looking_for(&call, Sought::Subject, &of, FOUND_DEFAULT)?
    };
    search::may_search(&gateway, &call, &request).await?;
    let group = group(&gateway, &call, request).await?;
    Ok(Answer::ok(&json!({"groups": [group]})))
}

/// On what may somebody do this, or anything?
pub(crate) async fn what_can(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let principal = principal(&call)?;
    let vocabulary = gateway.seams.explore.vocabulary();
    let wanted = call.head.query.get("type");
    let wanted = wanted.map(|kind| type_named(kind, &vocabulary, "type"));
    let wanted = wanted.transpose()?;
    let actions = match call.head.query.get("action") {
        Some(_) => vec![action(&call, wanted.as_ref(), &vocabulary)?],
        None => vocabulary.actions().collect(),
    };
    let is_one = actions.len() == 1;
    let limit = if is_one { FOUND_DEFAULT } else { FOUND_EACH };
    if call.head.query.get("token").is_some() && (!is_one || wanted.is_none()) {
        return Err(missing(
            "type",
            "a next page is one of a single action and type: give `action` and `type`",
        ));
    }
    let mut groups = Vec::new();
    let mut is_asked = false;
    for action in actions {
        for entity_type in vocabulary.resource_types(action) {
            let is_wanted = wanted.as_ref().is_none_or(|wanted| wanted == entity_type);
            // Rows and cells exist only inside a query.
            let is_seen = ![EntityType::ROW, EntityType::CELL].contains(entity_type);
            if !is_wanted || !is_seen {
                continue;
            }
            let request = SearchRequest {
                subject: Some(principal.clone()),
                action: Some(action.name().to_owned()),
                ..looking_for(&call, Sought::Resource, entity_type, limit)?
            };
            if !is_asked {
                search::may_search(&gateway, &call, &request).await?;
                is_asked = true;
            }
            let group = group(&gateway, &call, request).await?;
            if is_one || has_results(&group) {
                groups.push(group);
            }
        }
    }
    Ok(Answer::ok(
        &json!({"principal": principal.to_string(), "groups": groups}),
    ))
}

fn has_results(group: &Value) -> bool {
    let results = group.get("results").and_then(Value::as_array);
    results.is_some_and(|found| !found.is_empty())
}

/// A search that names nothing yet.
fn looking_for(
    call: &Call,
    sought: Sought,
    of: &EntityType,
    limit: usize,
) -> Result<SearchRequest, Fault> {
    let limit = match call.head.query.get("limit") {
        Some(_) => Some(bounded(call, "limit", limit, FOUND_MAX)?),
        None if call.head.query.get("token").is_some() => None,
        None => Some(limit),
    };
    Ok(SearchRequest {
        sought,
        kind: type_name(of),
        of: of.clone(),
        subject: None,
        subject_properties: Map::new(),
        action: None,
        action_properties: Map::new(),
        resource: None,
        resource_properties: Map::new(),
        context: context(call),
        page: PageRequest {
            limit,
            token: call.head.query.get("token").map(str::to_owned),
        },
        digest: dataos_model::hash::Hash::default(),
    })
}

/// One page of one search.
async fn group(
    gateway: &Arc<Gateway>,
    call: &Call,
    mut request: SearchRequest,
) -> Result<Value, Fault> {
    let named = |uid: &Option<EntityUid>| uid.as_ref().map(ToString::to_string);
    request.digest = dataos_model::hash::Hash::of_parts([
        request.sought.name().to_owned(),
        request.kind.clone(),
        named(&request.subject).unwrap_or_default(),
        request.action.clone().unwrap_or_default(),
        named(&request.resource).unwrap_or_default(),
        Value::Object(request.context.clone()).to_string(),
    ]);
    let page = search::page(gateway, call, &request).await?;
    let results: Vec<&str> = page.results.iter().map(|found| found.id.as_str()).collect();
    Ok(json!({
        "type": request.kind,
        "action": request.action,
        "resource": named(&request.resource),
        "results": results,
        "next_token": page.next_token,
        "total": page.total,
        "note": page.note,
    }))
}
