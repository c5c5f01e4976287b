//! Obligations bind the enforcement point: one that it does not know is a refusal, never a shrug.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    access::{AccessRequest, DatasetAccess},
    annotation::Call,
    decision::{Decision, Effect, Reason, Request},
    predicate::Predicate,
    seams::Decide,
};

/// A decision point as an enforcement point may use it: a permit under an obligation that the
/// enforcement point does not know comes out as a deny with the reason `obligation_unknown`.
#[derive(Clone, Debug)]
pub struct Obliged {
    decide: Arc<dyn Decide>,
    is_known: fn(&Call) -> bool,
}

impl Obliged {
    /// For an enforcement point that carries out the obligations for which `is_known` holds.
    pub fn new(decide: Arc<dyn Decide>, is_known: fn(&Call) -> bool) -> Self {
        Self { decide, is_known }
    }

    fn checked(&self, mut decision: Decision) -> Decision {
        if !decision.is_allowed() {
            return decision;
        }
        let unknown = decision.obligations.iter();
        let unknown = unknown.filter(|call| !(self.is_known)(call));
        let unknown: Vec<String> = unknown.map(|call| format!("`{call}`")).collect();
        if !unknown.is_empty() {
            decision.effect = Effect::Deny;
            decision.reason = Reason::ObligationUnknown;
            decision.detail = format!(
                "a policy permits this under the obligation {}, which this enforcement point does \
                 not know",
                unknown.join(", ")
            );
        }
        decision
    }

    fn checked_access(&self, answer: DatasetAccess) -> DatasetAccess {
        let decision = self.checked(answer.decision);
        if decision.is_allowed() {
            return DatasetAccess { decision, ..answer };
        }
        DatasetAccess {
            dataset: answer.dataset,
            decision,
            schema_hash: answer.schema_hash,
            rows: Predicate::NEVER,
            row_policies: Vec::new(),
            columns: Vec::new(),
        }
    }
}

#[async_trait]
impl Decide for Obliged {
    async fn decide(&self, request: &Request) -> Decision {
        self.checked(self.decide.decide(request).await)
    }

    async fn decide_all(&self, requests: &[Request]) -> Vec<Decision> {
        let decisions = self.decide.decide_all(requests).await;
        decisions.into_iter().map(|d| self.checked(d)).collect()
    }

    async fn access_all(&self, requests: &[AccessRequest]) -> Vec<Vec<DatasetAccess>> {
        let answers = self.decide.access_all(requests).await.into_iter();
        let checked = |answer| self.checked_access(answer);
        answers
            .map(|answers| answers.into_iter().map(checked).collect())
            .collect()
    }
}
