//! Obligations bind the enforcement point: one that it does not know is a refusal, never a shrug.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    access::{AccessRequest, DatasetAccess},
    annotation::Call,
    decision::{Decision, Effect, Reason, Request},
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

    fn has_unknown(&self, decision: &Decision) -> bool {
        let mut obligations = decision.obligations.iter();
        decision.is_allowed() && obligations.any(|call| !(self.is_known)(call))
    }

    fn checked(&self, mut decision: Decision) -> Decision {
        if self.has_unknown(&decision) {
            let unknown = decision.obligations.iter();
            let unknown = unknown.filter(|call| !(self.is_known)(call));
            let unknown: Vec<String> = unknown.map(|call| format!("`{call}`")).collect();
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

    fn checked_access(&self, answer: Arc<DatasetAccess>) -> Arc<DatasetAccess> {
        if answer.decision.is_allowed() && !self.has_unknown(&answer.decision) {
            return answer;
        }
        Arc::new(DatasetAccess {
            schema_hash: answer.schema_hash,
            ..DatasetAccess::denied(&answer.dataset, self.checked(answer.decision.clone()))
        })
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

    async fn access_all(&self, requests: &[AccessRequest]) -> Vec<Vec<Arc<DatasetAccess>>> {
        let answers = self.decide.access_all(requests).await.into_iter();
        let checked = |answer| self.checked_access(answer);
        answers
            .map(|answers| answers.into_iter().map(checked).collect())
            .collect()
    }
}
