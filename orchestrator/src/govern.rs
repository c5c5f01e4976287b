//! Asks before acting: a decision, and its record on disk, before anything is executed.

use std::{sync::Arc, time::Duration};

use dataos_model::{
    action::Action,
    decision::{Decision, Request},
    entity::{Entity, EntityUid},
    fault::{Fault, FaultKind},
    hash::Hash,
    principal::Principal,
    record::{Entry, EntryKind},
    seams::{Decide, Record},
};

/// Longest wait for a decision and its record; then the action does not happen.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// An action that is about to be executed.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) action: Action,
    pub(crate) resource: EntityUid,
    /// The resource, if the entity snapshot does not hold it as it is meant here.
    pub(crate) entity: Option<Entity>,
    pub(crate) request_id: &'a str,
    pub(crate) facts: Vec<(&'static str, String)>,
}

/// Proof that a question was answered yes, and on disk: what the outcome completes.
#[derive(Debug)]
pub(crate) struct Permission {
    index: u64,
    entry: Entry,
}

/// Decides and records.
#[derive(Clone, Debug)]
pub(crate) struct Governor {
    pub(crate) decide: Arc<dyn Decide>,
    pub(crate) record: Arc<dyn Record>,
}

impl Governor {
    /// Whether the action may be executed; the decision is on disk when this returns.
    ///
    /// # Errors
    /// Denied, or not decided or not recorded in time: in each case the action must not happen.
    pub(crate) async fn ask(&self, question: Question<'_>) -> Result<Permission, Fault> {
        let what = format!("{} on {}", question.action, question.resource);
        match tokio::time::timeout(ASK_TIMEOUT, self.answer(question)).await {
            Ok(answer) => answer,
            Err(_) => Err(Fault::new(
                FaultKind::Timeout,
                format!("{what} was not decided in time"),
            )
            .with_hint("nothing was done; look at the health of policy engine and audit log")),
        }
    }

    async fn answer(&self, question: Question<'_>) -> Result<Permission, Fault> {
        let mut request = Request::new(
            question.principal,
            question.action,
            question.resource.clone(),
        );
        request.resource_entity = question.entity;
        let decision = self.decide.decide(&request).await;
        let uid = &question.principal.uid;
        let mut entry = Entry::decision(question.request_id, &request, &decision);
        entry.request_digest = Hash::of_parts([
            uid.to_string(),
            question.action.to_string(),
            question.resource.to_string(),
        ]);
        for (name, value) in question.facts {
            entry = entry.with_fact(name, value);
        }
        let receipt = self.record.append(entry.clone()).await.map_err(|fault| {
            Fault::unavailable(format!(
                "the decision could not be recorded: {}",
                fault.message
            ))
            .with_hint("nothing was done; look at the health of the audit log")
        })?;
        if decision.is_allowed() {
            Ok(Permission {
                index: receipt.index,
                entry,
            })
        } else {
            Err(denied(&decision, question.action, &question.resource))
        }
    }

    /// Records how an allowed action ended. A failure is logged: the action has happened.
    pub(crate) async fn outcome(
        &self,
        permission: &Permission,
        kind: EntryKind,
        facts: &[(&str, String)],
    ) {
        let asked = &permission.entry;
        let mut entry = Entry::new(kind, asked.request_id.clone());
        entry.action.clone_from(&asked.action);
        entry.principal.clone_from(&asked.principal);
        entry.resource.clone_from(&asked.resource);
        entry.request_digest = asked.request_digest;
        entry.completes = Some(permission.index);
        for (name, value) in facts {
            entry = entry.with_fact(name, value);
        }
        if let Err(fault) = self.record.append(entry).await {
            tracing::error!(resource = asked.resource, %fault, "an outcome could not be recorded");
        }
    }
}

fn denied(decision: &Decision, action: Action, resource: &EntityUid) -> Fault {
    let mut text = format!(
        "{action} on {resource} is denied ({})",
        decision.reason.code()
    );
    if !decision.detail.is_empty() {
        text = format!("{text}: {}", decision.detail);
    }
    let mut fault = Fault::denied(decision.reason.code(), text);
    fault.policies = decision
        .policies
        .iter()
        .map(|policy| policy.id.clone())
        .collect();
    fault
}
