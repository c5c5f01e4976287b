//! Decisions as AuthZEN answers.

use dataos_model::{
    decision::{Decision, Effect, Reason},
    fault::{Fault, FaultKind},
};
use serde_json::{Map, Value as Json, json};

use super::obligation::{OBLIGATION_TYPES, obligations, type_of};

/// The decision as it may be handed to an enforcement point that can carry out `supported`
/// obligations: a permit that it could not honour becomes a deny. `None` says nothing.
#[must_use]
pub fn enforceable(mut decision: Decision, supported: Option<&[String]>) -> Decision {
    let Some(supported) = supported.filter(|_| decision.is_allowed()) else {
        return decision;
    };
    // Types that this PDP does not issue do not count, as the profile demands.
    let can = |kind: &str| {
        OBLIGATION_TYPES.contains(&kind) && supported.iter().any(|supported| supported == kind)
    };
    let unknown = decision.obligations.iter().find(|call| !can(type_of(call)));
    if let Some(call) = unknown {
        decision.detail = format!("the caller does not support the obligation `{call}`");
        decision.effect = Effect::Deny;
        decision.reason = Reason::ObligationUnknown;
    }
    decision
}

/// The answer to one evaluation.
pub fn answer(decision: &Decision) -> Json {
    let mut context = Map::new();
    context.insert("reason".to_owned(), json!(decision.reason.code()));
    if !decision.detail.is_empty() {
        context.insert("detail".to_owned(), json!(decision.detail));
    }
    if !decision.policies.is_empty() {
        let ids: Vec<&str> = decision.policies.iter().map(|p| p.id.as_str()).collect();
        context.insert("policies".to_owned(), json!(ids));
    }
    context.insert(
        "policy_set".to_owned(),
        json!(decision.policy_set.to_string()),
    );
    if !decision.obligations.is_empty() {
        let obligations = obligations(&decision.obligations);
        context.insert("obligations".to_owned(), Json::Array(obligations));
    }
    json!({"decision": decision.is_allowed(), "context": context})
}

/// The answer to an item that could not be evaluated: closed, with what is wrong.
pub fn item_error(fault: &Fault) -> Json {
    let status = match fault.kind {
        FaultKind::Invalid | FaultKind::TooLarge | FaultKind::Unsupported => 400,
        FaultKind::Denied => 403,
        FaultKind::NotFound => 404,
        _ => 500,
    };
    let message = if status == 500 {
        "the item could not be evaluated".to_owned()
    } else {
        fault.message.clone()
    };
    let mut error = Map::new();
    error.insert("status".to_owned(), json!(status));
    error.insert("message".to_owned(), json!(message));
    if let Some(field) = fault
        .location
        .as_ref()
        .and_then(|place| place.field.as_ref())
    {
        error.insert("field".to_owned(), json!(field));
    }
    let mut context = Map::new();
    if !fault.reason.is_empty() {
        context.insert("reason".to_owned(), json!(fault.reason));
    }
    context.insert("error".to_owned(), Json::Object(error));
    json!({"decision": false, "context": context})
}
