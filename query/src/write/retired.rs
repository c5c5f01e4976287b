//! Files that a change replaced. They go when no statement runs that began before the change, as such
//! a statement may still open them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Statements that run, and files that wait for their ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retired(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Number of the next statement.
    next: u64,
    running: BTreeSet<u64>,
    /// Files, and the number from which on no statement knows them.
    waiting: Vec<(u64, PathBuf)>,
}

/// A statement that runs.
#[derive(Debug)]
pub(crate) struct Running {
    of: Retired,
    number: u64,
}

impl Retired {
    /// A statement begins; it has not looked into the catalog yet.
    pub(crate) fn begin(&self) -> Running {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.running.insert(number);
        drop(state);
        let of = self.clone();
        Running { of, number }
    }

    /// The catalog names these files no more.
    pub(crate) fn retire(&self, files: impl IntoIterator<Item = PathBuf>) {
        let mut state = self.state();
        let from = state.next;
        state
            .waiting
            .extend(files.into_iter().map(|file| (from, file)));
        drop(state);
        self.clear();
    }

    /// Whether a file waits here for its end.
    pub(crate) fn holds(&self, file: &Path) -> bool {
        self.state()
            .waiting
            .iter()
            .any(|(_, waiting)| waiting == file)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the files that nobody can open any more.
    fn clear(&self) {
        let mut state = self.state();
        let oldest = state.running.first().copied().unwrap_or(u64::MAX);
        let (gone, waiting) = std::mem::take(&mut state.waiting)
            .into_iter()
            .partition(|(from, _)| *from <= oldest);
        state.waiting = waiting;
        drop(state);
        let gone: Vec<(u64, PathBuf)> = gone;
        for (_, file) in gone {
            if let Err(error) = std::fs::remove_file(&file) {
                // Of an older generation, it is no part of the table; the next write tries again.
                tracing::warn!(file = %file.display(), %error, "a replaced file stays");
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.of.state().running.remove(&self.number);
        self.of.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_outlive_the_statements_that_may_open_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, name).unwrap();
            path
        };
        let retired = Retired::default();
        let (early, one) = (retired.begin(), file("one"));
        retired.retire([one.clone()]);
        let (late, two) = (retired.begin(), file("two"));
        retired.retire([two.clone()]);
        assert!(one.exists() && two.exists() && retired.holds(&one));
        drop(early);
        assert!(!one.exists() && two.exists() && !retired.holds(&one));
        drop(late);
        assert!(!two.exists());
        let three = file("three");
        retired.retire([three.clone()]);
        assert!(!three.exists());
    }
}
