//! The catalog of another role. What is kept of it is asked about again each time it is used, so that every
//! change that was acknowledged is seen.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use dataos_model::{
    dataset::DatasetId,
    depot::{AssetSnapshot, Dataset, Depot},
    fault::{Fault, FaultKind},
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

    async fn register_depot(&self, _depot: Depot) -> Result<(), Fault> {
        Err(not_asked_for())
    }

    async fn remove_depot(&self, _name: &str) -> Result<(), Fault> {
        Err(not_asked_for())
    }

    async fn scan(&self, _depot: &str) -> Result<ScanReport, Fault> {
        Err(not_asked_for())
    }

    async fn set_tags(
        &self,
        _dataset: &DatasetId,
        _column: Option<&str>,
        _tags: Vec<String>,
    ) -> Result<(), Fault> {
        Err(not_asked_for())
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
        _text: &str,
        _limit: usize,
        _is_visible: &(dyn for<'a> Fn(&'a DatasetId) -> bool + Send + Sync),
    ) -> Vec<DatasetId> {
        Vec::new()
    }

    async fn lineage(&self, _dataset: &DatasetId) -> Result<Lineage, Fault> {
        Err(not_asked_for())
    }
}

fn not_asked_for() -> Fault {
    Fault::new(FaultKind::Unsupported, "no role asks the catalog for this")
}
