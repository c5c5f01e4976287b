//! An explanation as the caller may see it.

use std::collections::BTreeMap;

use dataos_model::{
    action::Action,
    decision::{PolicyRef, Request},
    explain::{Explanation, NearMiss},
    policy::PolicyInfo,
};
use serde_json::{Map, Value, json};

use crate::{
    decide,
    serve::{Call, Gateway},
};

/// Policies by id, for a caller who may see what stands in them.
type Texts = Option<BTreeMap<String, PolicyInfo>>;

/// The decision, the policies that determined it, and for a deny what came near.
pub(super) async fn shown(
    gateway: &Gateway,
    call: &Call,
    request: &Request,
    explanation: &Explanation,
) -> Value {
    let texts = texts(gateway, call).await;
    let decision = &explanation.decision;
    let policies: Vec<Value> = decision
        .policies
        .iter()
        .map(|p| policy(p, &texts))
        .collect();
    let nearest: Vec<Value> = explanation
        .nearest
        .iter()
        .map(|n| near(n, &texts))
        .collect();
    let obligations: Vec<String> = decision
        .obligations
        .iter()
        .map(ToString::to_string)
        .collect();
    let errors: Vec<Value> = decision
        .errors
        .iter()
        .map(|(id, message)| match texts {
            Some(_) => json!({"policy": id, "message": message}),
            None => json!({"policy": id}),
        })
        .collect();
    json!({
        "principal": request.principal.uid.to_string(),
        "action": request.action.name(),
        "resource": request.resource.to_string(),
        "decision": decision.is_allowed(),
        "reason": decision.reason.code(),
        "detail": decision.detail,
        "policies": policies,
        "obligations": obligations,
        "errors": errors,
        "nearest": nearest,
        "redacted": texts.is_none(),
        "policy_set": decision.policy_set.to_string(),
        "entities": decision.entities.to_string(),
    })
}

async fn texts(gateway: &Gateway, call: &Call) -> Texts {
    let target = decide::policy_set();
    let request = decide::request(&call.principal, Action::ViewPolicy, target, &call.context);
    let decision = decide::ask(&gateway.seams.decide, &request).await;
    decision.is_allowed().then(|| {
        let policies = gateway.seams.policies.list().into_iter();
        policies.map(|policy| (policy.id.clone(), policy)).collect()
    })
}

fn policy(reference: &PolicyRef, texts: &Texts) -> Value {
    let mut shown = Map::new();
    shown.insert("id".to_owned(), json!(reference.id));
    let effect = if reference.effect_is_permit {
        "permit"
    } else {
        "forbid"
    };
    shown.insert("effect".to_owned(), json!(effect));
    shown.insert("description".to_owned(), json!(reference.description));
    if let Some(texts) = texts {
        shown.insert("source".to_owned(), json!(reference.source));
        let known = texts.get(&reference.id);
        let annotations = known.into_iter().flat_map(|policy| &policy.annotations);
        let annotations: Map<String, Value> = annotations
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        shown.insert("annotations".to_owned(), Value::Object(annotations));
    }
    Value::Object(shown)
}

/// What a permit lacked is part of its text.
fn near(near: &NearMiss, texts: &Texts) -> Value {
    let mut shown = policy(&near.policy, texts);
    if let Some(fields) = shown.as_object_mut()
        && texts.is_some()
    {
        if let Some((line, column)) = near.position {
            fields.insert(
                "position".to_owned(),
                json!({"line": line, "column": column}),
            );
        }
        fields.insert("failed".to_owned(), json!(near.failed));
        fields.insert("missing".to_owned(), json!(near.missing));
        fields.insert("suffices".to_owned(), json!(near.suffices));
    }
    shown
}
