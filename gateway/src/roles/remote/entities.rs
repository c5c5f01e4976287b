//! The entity snapshot and the accounts of the gateway.

use std::sync::Arc;

use async_trait::async_trait;
use dataos_model::{
    entity::EntityChange,
    fault::Fault,
    hash::Hash,
    principal::Principal,
    seams::{EntitySink, Identities},
};
use tokio::{runtime::Handle, task::block_in_place};

use crate::roles::{link::Link, method::Method};

/// Hands entities over a link.
#[derive(Debug)]
pub(crate) struct RemoteSink(pub(crate) Arc<Link>);

impl EntitySink for RemoteSink {
    /// Waits in place: what is handed over is part of a transaction, which goes on when it is seen.
    fn apply(&self, changes: Vec<EntityChange>) -> Result<Hash, Fault> {
        block_in_place(|| Handle::current().block_on(self.0.call(Method::ApplyEntities, &changes)))
    }
}

/// Asks over a link.
#[derive(Debug)]
pub(crate) struct RemoteIdentities(pub(crate) Arc<Link>);

#[async_trait]
impl Identities for RemoteIdentities {
    async fn principal(&self, user: &str) -> Result<Principal, Fault> {
        self.0.call(Method::GetPrincipal, &user).await
    }
}
