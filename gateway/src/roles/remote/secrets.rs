//! The secrets of the gateway. Nothing is kept here.

use std::sync::Arc;

use async_trait::async_trait;
use dataos_model::{
    fault::Fault,
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

    async fn put(&self, name: &SecretName, secret: Secret) -> Result<(), Fault> {
        self.0
            .call(Method::PutSecret, &(name, secret.expose()))
            .await
    }

    async fn remove(&self, name: &SecretName) -> Result<(), Fault> {
        self.0.call(Method::RemoveSecret, name).await
    }
}
