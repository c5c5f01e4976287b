//! The rooms that policies do not come to: they stand still.

use std::sync::Arc;

use async_trait::async_trait;
use dataos_model::{
    clock::{Clock, Timestamp},
    dataset::DatasetId,
    depot::{AssetSnapshot, Dataset, Depot},
    fault::Fault,
    lineage::WriteLineage,
    principal::Principal,
    query::{QueryAnswer, QueryRequest},
    record::{Entry, Receipt},
    seams::{Assets, BoxFuture, Identities, Lineage, Record, RunQuery, ScanReport, Secrets},
    secret::{Secret, SecretName},
};

use super::world::admin;

/// The rooms that policies do not come to.
#[derive(Debug)]
pub(super) struct Rest;

impl Record for Rest {
    fn append(&self, _: Entry) -> BoxFuture<Result<Receipt, Fault>> {
        Box::pin(async {
            Ok(Receipt {
                index: 0,
                text: String::new(),
            })
        })
    }
}

impl Clock for Rest {
    fn now(&self) -> Timestamp {
        Timestamp(43_200_000)
    }
}

#[async_trait]
impl Identities for Rest {
    async fn principal(&self, _: &str) -> Result<Principal, Fault> {
        Ok(admin())
    }
}

#[async_trait]
impl Secrets for Rest {
    async fn get(&self, _: &SecretName) -> Result<Secret, Fault> {
        unreachable!("policies have no secrets")
    }

    async fn put(&self, _: &SecretName, _: Secret) -> Result<(), Fault> {
        unreachable!("policies have no secrets")
    }

    async fn remove(&self, _: &SecretName) -> Result<(), Fault> {
        unreachable!("policies have no secrets")
    }
}

#[async_trait]
impl RunQuery for Rest {
    async fn run(&self, _: QueryRequest) -> Result<QueryAnswer, Fault> {
        unreachable!("policies run no queries")
    }
}

#[async_trait]
impl Assets for Rest {
    async fn snapshot(&self) -> Result<Arc<AssetSnapshot>, Fault> {
        Ok(Arc::default())
    }

    async fn register_depot(&self, _: Depot) -> Result<(), Fault> {
        unreachable!("policies register no depot")
    }

    async fn remove_depot(&self, _: &str) -> Result<(), Fault> {
        unreachable!("policies remove no depot")
    }

    async fn scan(&self, _: &str) -> Result<ScanReport, Fault> {
        unreachable!("policies scan nothing")
    }

    async fn set_tags(&self, _: &DatasetId, _: Option<&str>, _: Vec<String>) -> Result<(), Fault> {
        unreachable!("policies set no tags")
    }

    async fn stage_write(&self, _: Dataset, _: WriteLineage) -> Result<u64, Fault> {
        unreachable!("policies write nothing")
    }

    async fn settle_write(&self, _: u64, _: Dataset) -> Result<(), Fault> {
        unreachable!("policies write nothing")
    }

    async fn retract_write(&self, _: u64) -> Result<(), Fault> {
        unreachable!("policies write nothing")
    }

    async fn search(
        &self,
        _: &str,
        _: usize,
        _: &(dyn for<'a> Fn(&'a DatasetId) -> bool + Send + Sync),
    ) -> Result<Vec<DatasetId>, Fault> {
        unreachable!("policies search nothing")
    }

    async fn lineage(&self, _: &DatasetId) -> Result<Lineage, Fault> {
        unreachable!("policies have no lineage")
    }
}
