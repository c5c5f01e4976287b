//! Why a recorded decision came out so: the recorded request, asked again.

use std::sync::Arc;

use dataos_model::{
    action::Action,
    fault::{Fault, FaultKind},
    record::{EntryKind, RecordQuery, StoredEntry},
    vocabulary::Vocabulary,
};
use dataos_pdp::authzen::{Evaluation, principal_named, resource_named};
use serde_json::{Map, Value, json};

use super::explained;
use crate::{
    handlers::{
        asking::{self, Question},
        wire,
    },
    respond::Answer,
    serve::{Call, Gateway},
};

/// Most decisions of one request that are explained.
const DECISIONS_MAX: usize = 20;
/// Most resources of one decision that are explained; a query may be about many tables.
const RESOURCES_MAX: usize = 20;

/// Explains the decision at an index of the log, or all decisions of a request.
pub(crate) async fn why(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let id = call.parameters.get("id")?.to_owned();
    let entries = recorded(&gateway, &id).await?;
    let own = call.principal.uid.to_string();
    let is_own = !entries.is_empty() && entries.iter().all(|entry| entry.entry.principal == own);
    if !is_own {
        // Both the question and the record are about somebody else. Whoever may not see them does
        // not learn whether there is such a decision.
        asking::permitted(&gateway, &call, Action::AskDecision, &id).await?;
        reads_log(&gateway, &call).await?;
    }
    if entries.is_empty() {
        return Err(Fault::not_found(format!("the log has no decision `{id}`")).with_hint(
            "give the index of an entry or a request id, as `dataos-ctl audit search` shows them",
        ));
    }
    let mut decisions = Vec::new();
    for entry in &entries {
        decisions.push(explain(&gateway, &call, entry).await?);
    }
    let active = gateway.seams.policies.info().hash.to_string();
    Ok(
        Answer::ok(&json!({"decisions": decisions, "policy_set": active}))
            .with_fact("decisions", decisions.len()),
    )
}

async fn reads_log(gateway: &Gateway, call: &Call) -> Result<(), Fault> {
    use crate::decide;
    let target = decide::audit_log();
    let request = decide::request(&call.principal, Action::SearchAudit, target, &call.context);
    let decision = decide::ask(&gateway.seams.decide, &request).await;
    if decision.is_allowed() {
        return Ok(());
    }
    Err(decide::denial(&decision)
        .with_hint("decisions about others are records of the log: that needs `search_audit`, too"))
}

/// The decisions of an index or a request id, oldest first.
async fn recorded(gateway: &Gateway, id: &str) -> Result<Vec<StoredEntry>, Fault> {
    let mut entries = match id.parse() {
        Ok(index) => match gateway.seams.records.get(index).await {
            Ok(entry) => vec![entry],
            Err(fault) if fault.kind == FaultKind::NotFound => Vec::new(),
            Err(fault) => return Err(fault),
        },
        Err(_) => {
            let query = RecordQuery {
                request_id: Some(id.to_owned()),
                kind: Some(EntryKind::Decision),
                limit: DECISIONS_MAX,
                ..RecordQuery::default()
            };
            gateway.seams.records.search(&query).await?.entries
        }
    };
    entries.retain(|entry| entry.entry.kind == EntryKind::Decision);
    entries.sort_by_key(|entry| entry.index);
    Ok(entries)
}

async fn explain(
    gateway: &Arc<Gateway>,
    call: &Call,
    stored: &StoredEntry,
) -> Result<Value, Fault> {
    let entry = &stored.entry;
    let mut explanations = Vec::new();
    let mut notes = Vec::new();
    match evaluations(stored) {
        Err(note) => notes.push(note),
        Ok(evaluations) => {
            for evaluation in evaluations {
                match asking::question(gateway, call, &evaluation).await? {
                    Question::Denied(_, detail) => notes.push(detail),
                    Question::Asked(request) => {
                        let explanation = gateway.seams.explore.explain(&request).await;
                        let shown = explained::shown(gateway, call, &request, &explanation).await;
                        explanations.push(shown);
                    }
                }
            }
        }
    }
    Ok(json!({
        "recorded": {
            "index": stored.index,
            "time": wire::time(stored.time),
            "request_id": entry.request_id,
            "principal": entry.principal,
            "action": entry.action,
            "resource": entry.resource,
            "effect": entry.effect.map(|effect| effect.to_string()),
            "reason": entry.reason,
            "policies": entry.policies,
            "obligations": entry.obligations,
            "policy_set": entry.policy_set.to_string(),
            "asked_by": entry.facts.get("asked_by"),
        },
        "now": explanations,
        "notes": notes,
    }))
}

/// The questions of a record; a note if it holds none that can be asked again.
fn evaluations(stored: &StoredEntry) -> Result<Vec<Evaluation>, String> {
    let entry = &stored.entry;
    if entry.action.parse::<Action>().is_err() {
        return Err(format!("`{}` is not decided by policies", entry.action));
    }
    let subject = principal_named(&entry.principal)
        .map_err(|_| "the record names no principal".to_owned())?;
    let context: Map<String, Value> = [
        ("method", "method"),
        ("network", "peer"),
        ("purpose", "purpose"),
    ]
    .iter()
    .filter_map(|(name, fact)| Some(((*name).to_owned(), json!(entry.facts.get(*fact)?))))
    .collect();
    let resources = resources(&entry.resource);
    if resources.is_empty() {
        return Err("the record names no resource that can be asked about".to_owned());
    }
    let evaluation = |resource| Evaluation {
        subject: subject.clone(),
        subject_properties: Map::new(),
        action: entry.action.clone(),
        action_properties: Map::new(),
        resource,
        resource_properties: Map::new(),
        context: context.clone(),
    };
    Ok(resources.into_iter().map(evaluation).collect())
}

/// The resources of a record; a query names all its tables.
fn resources(text: &str) -> Vec<dataos_model::entity::EntityUid> {
    let ours = Vocabulary::default();
    if let Ok(one) = resource_named(text, &ours) {
        return vec![one];
    }
    let parts = text.split("\", DataOS::");
    let last = parts.clone().count().saturating_sub(1);
    parts
        .enumerate()
        .take(RESOURCES_MAX)
        .filter_map(|(position, part)| {
            let head = if position == 0 { "" } else { "DataOS::" };
            let tail = if position == last { "" } else { "\"" };
            resource_named(&format!("{head}{part}{tail}"), &ours).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use dataos_model::entity::EntityType;

    #[test]
    fn a_record_of_a_query_names_its_tables() {
        let (a, b) = (
            EntityType::DATASET.id("a:b/c"),
            EntityType::DATASET.id("d:e/f, \"g"),
        );
        for (text, expected) in [
            (a.to_string(), vec![a.clone()]),
            (format!("{a}, {b}"), vec![a.clone(), b.clone()]),
            (format!("{b}, {a}, {b}"), vec![b.clone(), a, b]),
            (String::new(), vec![]),
        ] {
            assert_eq!(super::resources(&text), expected, "{text}");
        }
    }
}
