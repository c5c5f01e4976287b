//! One write to a table at a time, so that none is made of rows that another has replaced meanwhile.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use dataos_model::{dataset::DatasetId, fault::Fault};
use tokio::sync::OwnedMutexGuard;

/// The right to write a table; it ends when it is dropped.
pub(crate) type Turn = OwnedMutexGuard<()>;

/// Who writes which table. Tables that nobody writes or waits for are forgotten.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<DatasetId, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for the turn, at most `time_max`.
    ///
    /// # Errors
    /// Other writes to the table took longer.
    pub(crate) async fn take(
        &self,
        dataset: &DatasetId,
        time_max: Duration,
    ) -> Result<Turn, Fault> {
        let lock = self.lock(dataset);
        tokio::time::timeout(time_max, lock.lock_owned())
            .await
            .map_err(|_| {
                Fault::unavailable(format!("`{dataset}` is being written and did not get free"))
                    .with_reason("busy")
                    .with_hint("try again later")
            })
    }

    fn lock(&self, dataset: &DatasetId) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(dataset).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        locks.insert(dataset.clone(), Arc::downgrade(&lock));
        lock
    }
}
