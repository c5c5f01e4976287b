//! The policies in force at the gateway, as who puts some of them in force needs them.

use std::sync::Arc;

use async_trait::async_trait;
use dataos_model::{
    clock::Timestamp,
    entity::Entity,
    fault::Fault,
    hash::Hash,
    policy::{PolicyInfo, PolicySetInfo, PolicyText},
    seams::Policies,
};

use crate::roles::{link::Link, method::Method};

/// Asks over a link. What is shown of the set is asked of the gateway by others, so here there is none of it.
#[derive(Debug)]
pub(crate) struct RemotePolicies(pub(crate) Arc<Link>);

impl RemotePolicies {
    /// All policies of applied resources are in force in this run of the gateway's process.
    pub(crate) async fn restored(&self, process: u128) -> Result<(), Fault> {
        self.0.call(Method::PoliciesRestored, &process).await
    }
}

#[async_trait]
impl Policies for RemotePolicies {
    fn info(&self) -> PolicySetInfo {
        PolicySetInfo {
            hash: Hash::default(),
            activated_at: Timestamp::default(),
            count: 0,
            load_error: None,
            warnings: Vec::new(),
        }
    }

    async fn hash(&self) -> Result<Hash, Fault> {
        self.0.call(Method::PolicySet, &()).await
    }

    fn list(&self) -> Vec<PolicyInfo> {
        Vec::new()
    }

    fn entities(&self) -> Vec<Arc<Entity>> {
        Vec::new()
    }

    async fn check(&self, texts: &[PolicyText]) -> Result<(), Fault> {
        self.0.call(Method::CheckPolicies, &texts).await
    }

    async fn put(&self, text: PolicyText) -> Result<Hash, Fault> {
        self.0.call(Method::PutPolicy, &text).await
    }

    async fn remove(&self, source: &str) -> Result<Hash, Fault> {
        self.0.call(Method::RemovePolicy, &source).await
    }
}
