//! Who may do what, and why: `can`, `who-can`, `what-can`, `why`.

use serde_json::Value;

use super::{items, rows, shown};
use crate::{
    arguments::{Can, WhatCan, WhoCan},
    client::{Client, segment},
    failure::Failure,
    output::{Answer, Human},
};

/// Exit code of a question that is answered with no.
const DENIED: u8 = 3;

/// The answer, and 3 for a deny, so that scripts need not read it.
pub(crate) async fn can(client: &Client, can: &Can) -> Result<(Answer, u8), Failure> {
    let mut query = vec![
        ("principal", can.principal.clone()),
        ("action", can.action.clone()),
        ("resource", can.resource.clone()),
    ];
    query.extend(can.purpose.clone().map(|purpose| ("purpose", purpose)));
    let explanation = client.get("/api/v1/access/can", &query).await?;
    let is_allowed = explanation.get("decision") == Some(&Value::Bool(true));
    let mut lines = Vec::new();
    explain(&explanation, &mut lines);
    let mut answer = Answer::lines(lines, explanation);
    if !is_allowed {
        answer = answer.hint(format!(
            "dataos-ctl who-can {} {}",
            can.action, can.resource
        ));
    }
    Ok((answer, if is_allowed { 0 } else { DENIED }))
}

/// Lines about one explanation.
fn explain(explanation: &Value, lines: &mut Vec<String>) {
    let is_allowed = explanation.get("decision") == Some(&Value::Bool(true));
    let word = if is_allowed { "allow" } else { "deny" };
    lines.push(format!(
        "{word}: {} may {}{} {}",
        shown(explanation, "principal"),
        if is_allowed { "" } else { "not " },
        shown(explanation, "action"),
        shown(explanation, "resource"),
    ));
    lines.push(format!("reason: {}", shown(explanation, "reason")));
    if !shown(explanation, "detail").is_empty() {
        lines.push(format!("  {}", shown(explanation, "detail")));
    }
    for policy in items(explanation, "policies") {
        lines.push(headline("policy", policy));
        details(policy, lines);
    }
    for obligation in items(explanation, "obligations") {
        lines.push(format!("obligation: {}", super::plain(obligation)));
    }
    for error in items(explanation, "errors") {
        let (policy, message) = (shown(error, "policy"), shown(error, "message"));
        lines.push(
            format!("skipped: {policy} failed {message}")
                .trim_end()
                .to_owned(),
        );
    }
    for near in items(explanation, "nearest") {
        lines.push(headline("nearest", near));
        details(near, lines);
        if !shown(near, "failed").is_empty() {
            lines.push(format!("  failed: {}", shown(near, "failed")));
        }
        for missing in items(near, "missing") {
            lines.push(format!("  missing: {}", super::plain(missing)));
        }
        match near.get("suffices").and_then(Value::as_bool) {
            Some(true) => lines.push("  with that, it is allowed".to_owned()),
            Some(false) => lines.push("  that alone does not suffice".to_owned()),
            None => {}
        }
    }
    if explanation.get("redacted") == Some(&Value::Bool(true)) {
        lines.push("what stands in policies is shown to who is permitted `view_policy`".to_owned());
    }
}

/// `policy: id (permit) from file.cedar:3`.
fn headline(word: &str, policy: &Value) -> String {
    let mut line = format!(
        "{word}: {} ({})",
        shown(policy, "id"),
        shown(policy, "effect")
    );
    if !shown(policy, "source").is_empty() {
        line = format!("{line} from {}", shown(policy, "source"));
    }
    line
}

fn details(policy: &Value, lines: &mut Vec<String>) {
    let description = shown(policy, "description");
    if !description.is_empty() {
        lines.push(format!("  {description}"));
    }
    for (name, value) in policy
        .get("annotations")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        if name != "description" {
            lines.push(format!("  @{name}: {}", super::plain(value)));
        }
    }
}

pub(crate) async fn who_can(client: &Client, who: &WhoCan) -> Result<Answer, Failure> {
    let mut query = vec![
        ("action", who.action.clone()),
        ("resource", who.resource.clone()),
        ("type", who.principal_type.clone()),
        ("limit", who.limit.to_string()),
    ];
    query.extend(who.purpose.clone().map(|purpose| ("purpose", purpose)));
    query.extend(who.token.clone().map(|token| ("token", token)));
    let found = client.get("/api/v1/access/who-can", &query).await?;
    let table = items(&found, "groups")
        .iter()
        .flat_map(|group| {
            let of_type = shown(group, "type");
            let ids = items(group, "results").iter();
            ids.map(move |id| vec![of_type.clone(), super::plain(id)])
        })
        .collect();
    let answer = Answer::table(&["TYPE", "PRINCIPAL"], table, found);
    Ok(with_notes(answer, |token| format!("--token {token}")))
}

pub(crate) async fn what_can(client: &Client, what: &WhatCan) -> Result<Answer, Failure> {
    let mut query = vec![("principal", what.principal.clone())];
    query.extend(what.action.clone().map(|action| ("action", action)));
    query.extend(what.resource_type.clone().map(|of_type| ("type", of_type)));
    query.extend(what.limit.map(|limit| ("limit", limit.to_string())));
    query.extend(what.purpose.clone().map(|purpose| ("purpose", purpose)));
    query.extend(what.token.clone().map(|token| ("token", token)));
    let found = client.get("/api/v1/access/what-can", &query).await?;
    let table = items(&found, "groups")
        .iter()
        .flat_map(|group| {
            let (action, of_type) = (shown(group, "action"), shown(group, "type"));
            let ids = items(group, "results").iter();
            ids.map(move |id| vec![action.clone(), of_type.clone(), super::plain(id)])
        })
        .collect();
    let answer = Answer::table(&["ACTION", "TYPE", "RESOURCE"], table, found);
    Ok(with_notes(answer, |token| {
        format!("--token {token}, with the action and --type of the list")
    }))
}

/// Says where a list is not whole, and why one is empty.
fn with_notes(mut answer: Answer, next: impl Fn(&str) -> String) -> Answer {
    let mut found = Vec::new();
    for group in items(&answer.json, "groups") {
        let about = format!("{} {}", shown(group, "action"), shown(group, "type"));
        let token = shown(group, "next_token");
        if !token.is_empty() {
            found.push(format!(
                "{about}: there are more; next page: {}",
                next(&token)
            ));
        }
        if !shown(group, "note").is_empty() {
            found.push(format!("{about}: {}", shown(group, "note")));
        }
    }
    if let Human::Table { notes, .. } = &mut answer.human {
        *notes = found;
    }
    answer
}

pub(crate) async fn why(client: &Client, id: &str) -> Result<Answer, Failure> {
    let path = format!("/api/v1/access/why/{}", segment(id));
    let answer = client.get(&path, &[]).await?;
    let active = shown(&answer, "policy_set");
    let mut lines = Vec::new();
    for decision in items(&answer, "decisions") {
        let recorded = decision.get("recorded").unwrap_or(&Value::Null);
        let fields = [
            "index",
            "time",
            "effect",
            "principal",
            "action",
            "resource",
            "reason",
        ];
        let row = rows(std::slice::from_ref(recorded), &fields);
        let parts = row.into_iter().flatten().collect::<Vec<_>>().join("  ");
        lines.push(format!("recorded: {parts}"));
        if !shown(recorded, "policies").is_empty() {
            lines.push(format!("  policies then: {}", shown(recorded, "policies")));
        }
        let set = shown(recorded, "policy_set");
        // All zeros: refused before any policy was asked.
        if set != active && set.contains(|digit| digit != '0') {
            lines.push("  the policies changed since; below is what they say now".to_owned());
        }
        for explanation in items(decision, "now") {
            let mut inner = Vec::new();
            explain(explanation, &mut inner);
            lines.extend(inner.into_iter().map(|line| format!("  {line}")));
        }
        for note in items(decision, "notes") {
            lines.push(format!("  note: {}", super::plain(note)));
        }
        lines.push(String::new());
    }
    Ok(Answer::lines(lines, answer))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn an_explanation_reads_from_decision_to_what_is_missing() {
        let explanation = json!({
            "principal": "DataOS::User::\"ana\"", "action": "select",
            "resource": "DataOS::Dataset::\"crm:main/people\"", "decision": false,
            "reason": "no_permit", "detail": "no policy permits this", "policies": [],
            "obligations": [], "errors": [], "redacted": false,
            "nearest": [{
                "id": "crm.readers", "effect": "permit", "source": "crm.cedar:3",
                "description": "Readers read.", "annotations": {"description": "x", "priority": "10"},
                "failed": "principal in DataOS::Role::\"reader\"",
                "missing": ["principal in DataOS::Role::\"reader\""], "suffices": true,
            }],
        });
        let mut lines = Vec::new();
        super::explain(&explanation, &mut lines);
        assert_eq!(
            lines,
            [
                "deny: DataOS::User::\"ana\" may not select DataOS::Dataset::\"crm:main/people\"",
                "reason: no_permit",
                "  no policy permits this",
                "nearest: crm.readers (permit) from crm.cedar:3",
                "  Readers read.",
                "  @priority: 10",
                "  failed: principal in DataOS::Role::\"reader\"",
                "  missing: principal in DataOS::Role::\"reader\"",
                "  with that, it is allowed",
            ]
        );
    }
}
