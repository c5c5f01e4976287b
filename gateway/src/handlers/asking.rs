//! Questions to the PDP about somebody: who may ask them, how they become requests, and their
//! records. AuthZEN, the original's authorize call and the commands for people meet here.

use std::{borrow::Borrow, sync::Arc, time::Duration};

use dataos_model::{
    action::Action,
    decision::{Decision, Effect, Reason, Request},
    entity::{Entity, EntityType, EntityUid},
    fault::{Fault, FaultKind},
    hash::Hash,
    principal::Principal,
    record::{Entry, Receipt},
    seams::BoxFuture,
};
use dataos_pdp::authzen::{
    Evaluation, Mode, Semantic, Supplied, enforceable, entity_asked, principal_asked,
};

use crate::{
    decide, record,
    recording::Level,
    serve::{Call, Gateway},
};

/// Time for the decisions of a batch.
const DECISIONS_TIMEOUT: Duration = Duration::from_secs(30);

/// A record that is being written.
pub(super) type Pending = BoxFuture<Result<Receipt, Fault>>;

/// Whether a question about `subject` is one about the caller.
pub(super) fn is_own(call: &Call, subject: &EntityUid) -> bool {
    call.principal.uid == *subject
}

/// Asks whether the caller may do `action` on the policy set, and records the answer.
///
/// # Errors
/// The denial, or a record that is not written.
pub(super) async fn permitted(
    gateway: &Gateway,
    call: &Call,
    action: Action,
    about: &str,
) -> Result<(), Fault> {
    let target = decide::policy_set();
    let request = decide::request(&call.principal, action, target, &call.context);
    let decision = decide::ask(&gateway.seams.decide, &request).await;
    let level = Level::of_decision(&decision);
    let entry = record::decision(call, &request, &decision, level);
    let entry = entry.with_fact("asked_about", about);
    durable(vec![gateway.seams.record.append(entry)]).await?;
    if decision.is_allowed() {
        return Ok(());
    }
    Err(decide::denial(&decision).with_hint(format!(
        "asking about somebody else needs a policy that permits you `{action}`"
    )))
}

/// Waits until records are durable, and gives their receipts.
///
/// # Errors
/// One of them is not written: nothing may be answered.
pub(super) async fn durable(pending: Vec<Pending>) -> Result<Vec<Receipt>, Fault> {
    let mut failed = None;
    let mut receipts = Vec::with_capacity(pending.len());
    for record in pending {
        match record.await {
            Ok(receipt) => receipts.push(receipt),
            Err(fault) => failed = Some(fault),
        }
    }
    let Some(fault) = failed else {
        return Ok(receipts);
    };
    tracing::error!(%fault, "a decision was not recorded, so not answered");
    Err(
        Fault::unavailable("the audit log does not take records, so nothing is answered")
            .with_reason("not_recorded"),
    )
}

/// A question, ready for the PDP or answered already because it cannot be put.
#[derive(Debug)]
pub(super) enum Question {
    /// To be asked.
    Asked(Box<Request>),
    /// Denied without asking.
    Denied(Reason, String),
}

impl Question {
    /// What the PDP is asked, if it is.
    pub(super) fn request(&self) -> Option<&Request> {
        match self {
            Self::Asked(request) => Some(request),
            Self::Denied(..) => None,
        }
    }
}

/// The principal of a question; `None` if it is not known and may not be supplied.
///
/// # Errors
/// Properties that count and do not fit.
pub(super) fn principal(
    gateway: &Gateway,
    call: &Call,
    subject: &EntityUid,
    sent: &serde_json::Map<String, serde_json::Value>,
) -> Result<Option<Principal>, Fault> {
    if is_own(call, subject) {
        // Nobody vouches for itself: what was verified counts.
        return Ok(Some((*call.principal).clone()));
    }
    let stored = gateway.seams.explore.entity(subject);
    let supplied = Supplied {
        stored: stored.as_deref(),
        sent,
        mode: mode(gateway, call, subject),
    };
    principal_asked(subject, supplied)
}

/// The resource of a question as it is sent along: by the enforcement point if it may, else by the
/// gateway for what it is the authority on.
///
/// # Errors
/// Properties that count and do not fit.
pub(super) async fn resource(
    gateway: &Gateway,
    call: &Call,
    resource: &EntityUid,
    sent: &serde_json::Map<String, serde_json::Value>,
) -> Result<Option<Entity>, Fault> {
    let stored = gateway.seams.explore.entity(resource);
    let supplied = Supplied {
        stored: stored.as_deref(),
        sent,
        mode: mode(gateway, call, resource),
    };
    match entity_asked(resource, supplied)? {
        Some(entity) => Ok(Some(entity)),
        None if stored.is_some() => Ok(None),
        None => decide::known(resource, gateway.seams.resources.as_ref()).await,
    }
}

fn mode(gateway: &Gateway, call: &Call, uid: &EntityUid) -> Mode {
    let caller = &call.principal.uid;
    let vocabulary = gateway.seams.explore.vocabulary();
    let rules = &gateway.authzen;
    // A service is somebody else than a user of the same name.
    if caller.entity_type == EntityType::SERVICE {
        let enforcement_point = format!("service:{}", caller.id);
        return rules.mode(&enforcement_point, &uid.entity_type, &vocabulary);
    }
    rules.mode(&caller.id, &uid.entity_type, &vocabulary)
}

/// The question of an evaluation.
///
/// # Errors
/// What was sent does not fit.
pub(super) async fn question(
    gateway: &Gateway,
    call: &Call,
    evaluation: &Evaluation,
) -> Result<Question, Fault> {
    let action = match evaluation.action() {
        Ok(action) => action,
        Err(fault) => return Ok(Question::Denied(Reason::ActionUnknown, fault.message)),
    };
    let subject = &evaluation.subject;
    let Some(principal) = principal(gateway, call, subject, &evaluation.subject_properties)? else {
        let detail = format!("{subject} is not known");
        return Ok(Question::Denied(Reason::EntityMissing, detail));
    };
    let sent = &evaluation.resource_properties;
    Ok(Question::Asked(Box::new(Request {
        principal,
        action,
        resource: evaluation.resource.clone(),
        resource_entity: resource(gateway, call, &evaluation.resource, sent).await?,
        context: evaluation.context(&gateway.authzen.context)?,
    })))
}

/// Decisions on all questions, in order, under one policy set. Obligations are for the one who asks.
pub(super) async fn decisions<Q: Borrow<Question>>(
    gateway: &Gateway,
    questions: &[Q],
) -> Vec<Decision> {
    let requests: Vec<Request> = questions
        .iter()
        .filter_map(|question| match question.borrow() {
            Question::Asked(request) => Some((**request).clone()),
            Question::Denied(..) => None,
        })
        .collect();
    let asked = if requests.is_empty() {
        Ok(Vec::new())
    } else {
        let asked = gateway.advice.decide_all(&requests);
        tokio::time::timeout(DECISIONS_TIMEOUT, asked).await
    };
    let mut decided = asked.unwrap_or_default().into_iter();
    questions
        .iter()
        .map(|question| match question.borrow() {
            Question::Denied(reason, detail) => denied(gateway, *reason, detail),
            Question::Asked(_) => decided.next().unwrap_or_else(|| {
                denied(
                    gateway,
                    Reason::Internal,
                    "the decision did not come in time",
                )
            }),
        })
        .collect()
}

/// A deny that no policy determined.
fn denied(gateway: &Gateway, reason: Reason, detail: &str) -> Decision {
    Decision {
        effect: Effect::Deny,
        reason,
        policies: Vec::new(),
        errors: Vec::new(),
        obligations: Vec::new(),
        policy_set: gateway.seams.policies.info().hash,
        entities: Hash::default(),
        detail: detail.to_owned(),
    }
}

/// A decision that somebody asked for, with its record durable.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) decision: Decision,
    /// Index of the record.
    pub(super) log_index: u64,
}

/// A question that can be put, and the obligations that the enforcement point supports.
#[derive(Debug)]
pub(super) struct Prepared {
    evaluation: Evaluation,
    supported: Option<Vec<String>>,
    question: Question,
}

/// Decides and records one question of the caller, if it may ask it.
///
/// # Errors
/// The caller may not ask it, it does not fit, or its record is not written.
pub(super) async fn one(
    gateway: &Arc<Gateway>,
    call: &Call,
    evaluation: Evaluation,
) -> Result<Decided, Fault> {
    if !is_own(call, &evaluation.subject) {
        let about = evaluation.subject.to_string();
        permitted(gateway, call, Action::AskDecision, &about).await?;
    }
    let item = prepare(gateway, call, Ok(evaluation)).await?;
    let decided = decisions(gateway, std::slice::from_ref(&item.question)).await;
    let decision = decided
        .into_iter()
        .next()
        .ok_or_else(|| Fault::internal("no decision came"))?;
    let decision = enforceable(decision, item.supported.as_deref());
    let entry = entry(call, &item.evaluation, item.question.request(), &decision);
    let receipts = durable(vec![append(gateway, entry)]).await?;
    Ok(Decided {
        decision,
        log_index: receipts.first().map_or(0, |receipt| receipt.index),
    })
}

/// Makes the questions of a batch ready, if the caller may ask them.
///
/// # Errors
/// The caller may not ask about others, or the record of that is not written.
pub(super) async fn prepared(
    gateway: &Arc<Gateway>,
    call: &Call,
    items: Vec<Result<Evaluation, Fault>>,
) -> Result<Vec<Result<Prepared, Fault>>, Fault> {
    let others = items.iter().flatten();
    let others = others.filter(|item| !is_own(call, &item.subject)).count();
    if others > 0 {
        let about = format!("{others} evaluations");
        permitted(gateway, call, Action::AskDecision, &about).await?;
    }
    let mut prepared = Vec::with_capacity(items.len());
    for item in items {
        prepared.push(prepare(gateway, call, item).await);
    }
    Ok(prepared)
}

async fn prepare(
    gateway: &Gateway,
    call: &Call,
    item: Result<Evaluation, Fault>,
) -> Result<Prepared, Fault> {
    let evaluation = item?;
    Ok(Prepared {
        question: question(gateway, call, &evaluation).await?,
        supported: evaluation.supported_obligations()?,
        evaluation,
    })
}

/// Decides and records the questions of a batch up to where it stops.
///
/// # Errors
/// A record is not written.
pub(super) async fn several(
    gateway: &Arc<Gateway>,
    call: &Call,
    items: Vec<Result<Prepared, Fault>>,
    semantic: Semantic,
) -> Result<Vec<Result<Decided, Fault>>, Fault> {
    let questions: Vec<&Question> = items.iter().flatten().map(|item| &item.question).collect();
    let mut decided = decisions(gateway, &questions).await.into_iter();
    let (mut outcomes, mut pending) = (Vec::with_capacity(items.len()), Vec::new());
    for (position, item) in items.into_iter().enumerate() {
        let outcome = item.and_then(|item| {
            let decision = decided.next();
            let decision = decision.ok_or_else(|| Fault::internal("no decision came"))?;
            let decision = enforceable(decision, item.supported.as_deref());
            let entry = entry(call, &item.evaluation, item.question.request(), &decision);
            pending.push(append(gateway, entry.with_fact("item", position)));
            Ok(decision)
        });
        let is_permitted = outcome.as_ref().is_ok_and(Decision::is_allowed);
        outcomes.push(outcome);
        if semantic.stops_at(is_permitted) {
            break;
        }
    }
    let mut receipts = durable(pending).await?.into_iter();
    let outcomes = outcomes.into_iter().map(|outcome| {
        outcome.map(|decision| Decided {
            decision,
            log_index: receipts.next().map_or(0, |receipt| receipt.index),
        })
    });
    Ok(outcomes.collect())
}

/// The record of a decision that somebody asked for.
pub(super) fn entry(
    call: &Call,
    evaluation: &Evaluation,
    request: Option<&Request>,
    decision: &Decision,
) -> Entry {
    let (subject, resource) = (&evaluation.subject, &evaluation.resource);
    let mut entry = match request {
        Some(request) => Entry::decision(&call.request_id, request, decision),
        None => Entry::decided(&call.request_id, subject, resource, decision),
    };
    // It may be none of ours: it is recorded as it was sent.
    entry.action.clone_from(&evaluation.action);
    entry.request_digest = call.digest;
    let way = record::authentication_name(call.principal.authentication);
    entry = entry
        .with_fact("asked_by", &call.principal.uid)
        .with_fact("authentication", way);
    if let Some(digest) = evaluation.properties_digest() {
        entry = entry.with_fact("properties_digest", digest);
    }
    if let Some(purpose) = evaluation.context.get("purpose").and_then(|p| p.as_str()) {
        let purpose: String = purpose.chars().take(PURPOSE_CHARACTERS_MAX).collect();
        entry = entry.with_fact("purpose", purpose);
    }
    entry
}

/// Longest purpose in a record.
const PURPOSE_CHARACTERS_MAX: usize = 256;

/// Queues the record of a decision that somebody asked for.
pub(super) fn append(gateway: &Arc<Gateway>, entry: Entry) -> Pending {
    gateway.seams.record.append(entry)
}

/// Whether a fault says that the question does not fit the schema, so that nothing is found.
pub(super) fn finds_nothing(fault: &Fault) -> bool {
    matches!(
        fault.kind,
        FaultKind::Invalid | FaultKind::NotFound | FaultKind::Unsupported
    )
}
