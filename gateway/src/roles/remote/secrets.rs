//! The secrets of the gateway. Nothing is kept here.

use std::sync::Arc;

use async_trait::async_trait;
use dataos_model::{
    fault::{Fault, FaultKind},
    seams::Secrets,
    secret::{Secret, SecretName},
};

use crate::roles::{link::Link, method::Method};

/// Asks over a link.
#[derive(Debug)]
pub(crate) struct RemoteSecrets(pub(crate) Arc<Link>);

#[async_trait]
impl Secrets for RemoteSecrets {
    async fn get(&self, name: &SecretName) -> Result<Secret, Fault> {
        let bytes: Vec<u8> = self.0.call(Method::GetSecret, name).await?;
        Ok(Secret::new(bytes))
    }

    async fn put(&self, _name: &SecretName, _secret: Secret) -> Result<(), Fault> {
        Err(read_only())
    }

    async fn remove(&self, _name: &SecretName) -> Result<(), Fault> {
        Err(read_only())
    }
}

fn read_only() -> Fault {
    Fault::new(FaultKind::Unsupported, "this role writes no secrets")
}
