//! The orchestrator in a process of its own.

use std::sync::Arc;

use async_trait::async_trait;
use dataos_model::{
    fault::Fault,
    hash::Hash,
    principal::Principal,
    resource::{ApplyOutcome, Plan, ResourceFilter, ResourceId, ResourceView},
    seams::Resources,
};

use crate::roles::{link::Link, method::Method};

/// Asks over a link.
#[derive(Debug)]
pub(crate) struct RemoteResources(pub(crate) Arc<Link>);

#[async_trait]
impl Resources for RemoteResources {
    async fn apply(
        &self,
        principal: &Principal,
        request_id: &str,
        workspace: &str,
        manifests: &str,
        plan: Option<Hash>,
    ) -> Result<Vec<ApplyOutcome>, Fault> {
        let arguments = (principal, request_id, workspace, manifests, plan);
        self.0.call(Method::Apply, &arguments).await
    }

    async fn plan(
        &self,
        principal: &Principal,
        workspace: &str,
        manifests: &str,
    ) -> Result<Plan, Fault> {
        let arguments = (principal, workspace, manifests);
        self.0.call(Method::PlanResources, &arguments).await
    }

    async fn list(&self, filter: &ResourceFilter) -> Result<Vec<ResourceView>, Fault> {
        self.0.call(Method::ListResources, filter).await
    }

    async fn get(&self, id: &ResourceId) -> Result<ResourceView, Fault> {
        self.0.call(Method::GetResource, id).await
    }

    async fn delete(
        &self,
        principal: &Principal,
        request_id: &str,
        id: &ResourceId,
    ) -> Result<ApplyOutcome, Fault> {
        let arguments = (principal, request_id, id);
        self.0.call(Method::DeleteResource, &arguments).await
    }

    async fn log(
        &self,
        id: &ResourceId,
        job: Option<&str>,
        lines: usize,
    ) -> Result<Vec<String>, Fault> {
        let arguments = (id, job, lines);
        self.0.call(Method::ResourceLog, &arguments).await
    }
}
