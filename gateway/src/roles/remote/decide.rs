//! The decision point of the gateway. Where it cannot be asked, all is denied.

use std::sync::Arc;

use async_trait::async_trait;
use dataos_model::{
    access::{AccessRequest, DatasetAccess},
    decision::{Decision, Request},
    fault::Fault,
    seams::Decide,
};

use crate::roles::{link::Link, method::Method};

/// Asks over a link.
#[derive(Debug)]
pub(crate) struct RemoteDecide(pub(crate) Arc<Link>);

#[async_trait]
impl Decide for RemoteDecide {
    async fn decide(&self, request: &Request) -> Decision {
        let decided = self.0.call(Method::Decide, request).await;
        decided.unwrap_or_else(|fault| Decision::unasked(&fault))
    }

    async fn decide_all(&self, requests: &[Request]) -> Vec<Decision> {
        if requests.is_empty() {
            return Vec::new();
        }
        let decided = self.0.call(Method::DecideAll, &requests).await;
        let decided = decided.and_then(|all: Vec<Decision>| counted(all, requests.len()));
        decided.unwrap_or_else(|fault| vec![Decision::unasked(&fault); requests.len()])
    }

    async fn access_all(&self, requests: &[AccessRequest]) -> Vec<Vec<Arc<DatasetAccess>>> {
        let decided = self.0.call(Method::Access, &requests).await;
        let decided = decided.and_then(|all: Vec<Vec<DatasetAccess>>| {
            let all = counted(all, requests.len())?;
            let each = all.into_iter().zip(requests);
            each.map(|(answers, request)| counted(answers, request.datasets.len()))
                .collect::<Result<Vec<_>, _>>()
        });
        let decided = decided.unwrap_or_else(|fault| {
            let denied = |request: &AccessRequest| request.denied(&Decision::unasked(&fault));
            requests.iter().map(denied).collect()
        });
        let shared = |answers: Vec<_>| answers.into_iter().map(Arc::new).collect();
        decided.into_iter().map(shared).collect()
    }
}

/// Callers pair answers with questions, so that one too few would leave a question without its deny.
fn counted<T>(answers: Vec<T>, questions: usize) -> Result<Vec<T>, Fault> {
    if answers.len() == questions {
        return Ok(answers);
    }
    let message = format!("{questions} questions got {} decisions", answers.len());
    Err(Fault::internal(message))
}
