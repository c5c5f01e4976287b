//! The policies folder is watched; a change is loaded as a whole or not at all, and recorded.

use std::{path::Path, sync::Arc, time::Duration};

use dataos_model::{
    fault::Fault,
    hash::Hash,
    principal::Principal,
    record::{Entry, EntryKind},
    seams::{Policies, Record},
};
use dataos_pdp::Pdp;
use notify::{Event, EventKind, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// Quiet time after a change before it is loaded: editors and git write several files.
const QUIET: Duration = Duration::from_millis(200);

/// Watches `folder`; the future runs as long as it is polled.
///
/// # Errors
/// The folder cannot be watched.
pub(crate) fn watch(
    folder: &Path,
    pdp: Arc<Pdp>,
    record: Arc<dyn Record>,
) -> Result<impl Future<Output = ()> + Send + 'static, Fault> {
    // One slot: any number of changes while one is waiting are one reload.
    let (changed, mut changes) = mpsc::channel::<()>(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let is_change = match &event {
            Ok(event) => !matches!(event.kind, EventKind::Access(_)),
            // Events may have been lost, so look.
            Err(_) => true,
        };
        if is_change {
            // Full means that a reload is due anyway; closed that we are stopping.
            let _ = changed.try_send(());
        }
    })
    .and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::Recursive)?;
        Ok(watcher)
    })
    .map(Some)
    .map_err(|error| {
        Fault::unavailable(format!("{} cannot be watched: {error}", folder.display()))
    })?;
    Ok(async move {
        let held = watcher.take();
        while changes.recv().await.is_some() {
            tokio::time::sleep(QUIET).await;
            // Changes of the quiet time belong to this reload.
            while changes.try_recv().is_ok() {}
            reload(&pdp, record.as_ref()).await;
        }
        drop(held);
    })
}

async fn reload(pdp: &Arc<Pdp>, record: &dyn Record) {
    let (before, entities_before) = (pdp.info(), pdp.file_entities_hash());
    let loading = Arc::clone(pdp);
    let loaded = tokio::task::spawn_blocking(move || loading.reload()).await;
    let entities = pdp.file_entities_hash();
    let is_same = entities == entities_before && before.load_error.is_none();
    let entry = match loaded {
        Ok(Ok(hash)) if hash == before.hash && is_same => return,
        Ok(Ok(hash)) => entry(hash, "policies_loaded")
            .with_fact("before", before.hash)
            .with_fact("entities", entities),
        Ok(Err(fault)) => {
            let mut entry = entry(before.hash, "policies_refused").with_fact("problem", &fault);
            entry.reason = "load_failed".to_owned();
            entry
        }
        Err(error) => {
            tracing::error!(%error, "loading the policies was stopped");
            return;
        }
    };
    if let Err(fault) = record.append(entry).await {
        tracing::error!(%fault, "a change of policies was not recorded");
    }
}

fn entry(policy_set: Hash, action: &str) -> Entry {
    let mut entry = Entry::new(EntryKind::PolicyChange, crate::limits::new_request_id());
    entry.action = action.to_owned();
    entry.principal = Principal::platform().uid.to_string();
    entry.resource = "policies folder".to_owned();
    entry.policy_set = policy_set;
    entry
}
