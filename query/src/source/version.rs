//! Which version of a file is there.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use dataos_model::clock::Timestamp;

/// A file that was written so recently may be written again without a sign of it: clocks of file systems are
/// coarse.
const SETTLED_MS: i64 = 2_000;

/// A file as it was; another one for what was written or put in its place later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileVersion {
    path: PathBuf,
    device: u64,
    inode: u64,
    size_bytes: u64,
    /// When its content changed, and when anything of it did, in nanoseconds.
    changed_ns: [i128; 2],
}

impl FileVersion {
    /// Of a regular file that is there.
    fn of(path: PathBuf) -> Result<Self, PathBuf> {
        let found = match path.metadata() {
            Ok(found) if found.is_file() => found,
            _ => return Err(path),
        };
        let at = |seconds: i64, nanoseconds: i64| {
            i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
        };
        Ok(Self {
            path,
            device: found.dev(),
            inode: found.ino(),
            size_bytes: found.size(),
            changed_ns: [
                at(found.mtime(), found.mtime_nsec()),
                at(found.ctime(), found.ctime_nsec()),
            ],
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether each later change of it will show.
    pub(crate) fn is_settled(&self, now: Timestamp) -> bool {
        let settled_ns = i128::from(now.0 - SETTLED_MS) * 1_000_000;
        self.changed_ns
            .iter()
            .all(|changed_ns| *changed_ns <= settled_ns)
    }
}

/// The files as they are, in one look.
///
/// # Errors
/// The first that is no regular file or cannot be looked at.
pub(crate) async fn versions(paths: Vec<PathBuf>) -> Result<Vec<FileVersion>, PathBuf> {
    let look = move || paths.into_iter().map(FileVersion::of).collect();
    // A look ends without an answer when the runtime does.
    let looked_at = tokio::task::spawn_blocking(look).await;
    looked_at.unwrap_or_else(|_| Err(PathBuf::new()))
}
