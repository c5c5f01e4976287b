//! The catalog of another role. What is kept of it is asked about again each time it is used, so that every
//! change that was acknowledged is seen.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use dataos_model::{
    dataset::DatasetId,
    depot::{AssetSnapshot, Dataset, Depot},
    fault::Fault,
    lineage::WriteLineage,
    seams::{Assets, Lineage, ScanReport},
};

use crate::roles::{link::Link, method::Method};

/// Asks over a link.
#[derive(Debug)]
pub(crate) struct RemoteAssets {
    link: Arc<Link>,
    /// What was seen last; held for a moment, never across a call.
    known: Mutex<Option<Arc<AssetSnapshot>>>,
}

impl RemoteAssets {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        let known = Mutex::default();
        Self { link, known }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Arc<AssetSnapshot>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Assets for RemoteAssets {
    async fn snapshot(&self) -> Result<Arc<AssetSnapshot>, Fault> {
        let known = self.known().clone();
        let version = known.as_ref().map(|known| (known.transaction, known.hash));
        let changed: Option<AssetSnapshot> = self.link.call(Method::Snapshot, &version).await?;
        match (changed, known) {
            (Some(changed), _) => {
                let changed = Arc::new(changed);
                *self.known() = Some(Arc::clone(&changed));
                Ok(changed)
            }
            (None, Some(known)) => Ok(known),
            (None, None) => Err(Fault::internal("the catalog says that nothing changed")),
        }
    }

    async fn register_depot(&self, depot: Depot) -> Result<(), Fault> {
        self.link.call(Method::RegisterDepot, &depot).await
    }

    async fn remove_depot(&self, name: &str) -> Result<(), Fault> {
        self.link.call(Method::RemoveDepot, &name).await
    }

    async fn scan(&self, depot: &str) -> Result<ScanReport, Fault> {
        self.link.call(Method::Scan, &depot).await
    }

    async fn set_tags(
        &self,
        dataset: &DatasetId,
        column: Option<&str>,
        tags: Vec<String>,
    ) -> Result<(), Fault> {
        let arguments = (dataset, column, tags);
        self.link.call(Method::SetTags, &arguments).await
    }

    async fn stage_write(&self, target: Dataset, lineage: WriteLineage) -> Result<u64, Fault> {
        self.link.call(Method::StageWrite, &(target, lineage)).await
    }

    async fn settle_write(&self, stage: u64, target: Dataset) -> Result<(), Fault> {
        self.link.call(Method::SettleWrite, &(stage, target)).await
    }

    async fn retract_write(&self, stage: u64) -> Result<(), Fault> {
        self.link.call(Method::RetractWrite, &stage).await
    }

    async fn search(
        &self,
        text: &str,
        limit: usize,
        is_visible: &(dyn for<'a> Fn(&'a DatasetId) -> bool + Send + Sync),
    ) -> Result<Vec<DatasetId>, Fault> {
        let snapshot = self.snapshot().await?;
        let visible = snapshot.datasets.keys().filter(|id| is_visible(id));
        let visible: BTreeSet<&DatasetId> = visible.collect();
        self.link
            .call(Method::SearchAssets, &(text, limit, visible))
            .await
    }

    async fn lineage(&self, dataset: &DatasetId) -> Result<Lineage, Fault> {
        self.link.call(Method::GetLineage, dataset).await
    }
}
