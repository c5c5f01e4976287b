//! Until the policies of applied resources are in force, nothing is decided: a permit of the folder alone could
//! show what one of them hides.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use dataos_model::{
    access::{AccessRequest, DatasetAccess},
    decision::{Decision, Request},
    fault::Fault,
    seams::Decide,
};

/// The decision point behind a gate.
#[derive(Debug)]
pub(crate) struct Gate {
    decide: Arc<dyn Decide>,
    is_open: AtomicBool,
}

impl Gate {
    /// Closed where the orchestrator is a process of its own: it opens the gate when it has put them in force.
    pub(crate) fn new(decide: Arc<dyn Decide>, is_open: bool) -> Arc<Self> {
        let is_open = AtomicBool::new(is_open);
        Arc::new(Self { decide, is_open })
    }

    /// From now on, and for as long as the process runs.
    pub(crate) fn open(&self) {
        if !self.is_open.swap(true, Ordering::AcqRel) {
            tracing::info!("the policies of applied resources are in force");
        }
    }

    /// Whether decisions are made.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    fn closed() -> Decision {
        let message =
            "the role `orchestrator` has not put the policies of applied resources in force";
        Decision::unasked(&Fault::unavailable(message))
    }
}

#[async_trait]
impl Decide for Gate {
    async fn decide(&self, request: &Request) -> Decision {
        match self.is_open() {
            true => self.decide.decide(request).await,
            false => Self::closed(),
        }
    }

    async fn decide_all(&self, requests: &[Request]) -> Vec<Decision> {
        match self.is_open() {
            true => self.decide.decide_all(requests).await,
            false => vec![Self::closed(); requests.len()],
        }
    }

    async fn access_all(&self, requests: &[AccessRequest]) -> Vec<Vec<Arc<DatasetAccess>>> {
        if self.is_open() {
            return self.decide.access_all(requests).await;
        }
        let denied = |request: &AccessRequest| {
            let denied = request.denied(&Self::closed()).into_iter();
            denied.map(Arc::new).collect()
        };
        requests.iter().map(denied).collect()
    }
}
