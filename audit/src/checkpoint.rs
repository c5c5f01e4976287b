//! The checkpoint file: a signed checkpoint, at most a second old, beside the segments. It shows at
//! the next start that the log was not cut short, and is what a backup tool compares.

use std::{
    path::Path,
    sync::{Condvar, Mutex, PoisonError, RwLock},
    time::Duration,
};

use crate::{directory::replace, view::View};

/// Longest time for which a new checkpoint stays in memory only.
const PERIOD: Duration = Duration::from_secs(1);

/// Tells the thread when to end.
#[derive(Debug, Default)]
pub(crate) struct CheckpointKeeper {
    is_closed: Mutex<bool>,
    changed: Condvar,
}

impl CheckpointKeeper {
    /// Ends the thread, after it has written the newest checkpoint.
    pub(crate) fn close(&self) {
        *self
            .is_closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// The thread: writes the newest checkpoint once a period, if it is not the last one written.
    pub(crate) fn run(&self, directory: &Path, view: &RwLock<View>, written: u64) {
        let mut written = written;
        loop {
            let is_closed = self
                .is_closed
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let waited = self
                .changed
                .wait_timeout_while(is_closed, PERIOD, |closed| !*closed);
            let is_last = *waited.unwrap_or_else(PoisonError::into_inner).0;
            let newest = view
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .newest
                .clone();
            if newest.checkpoint.size > written {
                // Each attempt writes a new file, so a failed sync is not repeated; entries go on,
                // since their durability does not depend on this file.
                match replace(directory, "checkpoint", &newest.note) {
                    Ok(()) => written = newest.checkpoint.size,
                    Err(error) => tracing::error!(%error, "cannot write the checkpoint file"),
                }
            }
            if is_last {
                return;
            }
        }
    }
}
