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
    let mut is_failing = false;
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
            let replaced = replace(directory, "checkpoint", &newest.note);
            let is_news = is_news(&mut is_failing, replaced.is_err());
            match replaced {
                Ok(()) => {
                    written = newest.checkpoint.size;
                    if is_news {
                        tracing::info!("the checkpoint file is written again");
                    }
                }
                Err(error) if is_news => {
                    tracing::error!(%error, "cannot write the checkpoint file; tried again each second");
                }
                Err(_) => {}
            }
        }
        if is_last {
            return;
        }
    }
}

/// Whether an attempt went another way than the one before: a full disk is one line, not one each
/// second.
fn is_news(is_failing: &mut bool, failed: bool) -> bool {
    std::mem::replace(is_failing, failed) != failed
}

#[cfg(test)]
mod tests {
    use super::is_news;

    #[test]
    fn a_run_of_failures_is_told_once_and_so_is_its_end() {
        let mut is_failing = false;
        let told = [false, true, true, true, false, false, true]
            .map(|failed| is_news(&mut is_failing, failed));
        assert_eq!(told, [false, true, false, false, true, false, true]);
    }
}
