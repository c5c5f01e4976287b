//! The checkpoint file: a signed checkpoint, at most a second old, beside the segments. It shows at
//! the next start that the log was not cut short, and is what a backup tool compares.

use std::{
    path::Path,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use crate::{directory::replace, gate::Gate, view::View};

/// Longest time for which a new checkpoint stays in memory only.
const PERIOD: Duration = Duration::from_secs(1);

/// The thread: writes the newest checkpoint once a period, if it is not the last one written, and
/// once more when the gate is closed.
pub(crate) fn keep(gate: &Gate, directory: &Path, view: &RwLock<View>, written: u64) {
    let mut written = written;
    loop {
        let is_last = gate.wait(PERIOD);
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
