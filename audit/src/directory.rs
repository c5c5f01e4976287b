//! The folder of a log: its lock, its format, its segments, its newest checkpoint.
//!
//! ```text
//! lock                                held (flock) while the log is open
//! format                              "dataos-audit 3"
//! checkpoint                          a signed checkpoint, at most a second old; only ever grows
//! segment-00000000000000000000.wal    entries, see dataos_proof::frame
//! sealed-00000000000000000000.parquet older entries, see sealed
//! sealed-00000000000000000000.index   finds and proves them; made again if it is missing
//! contents/                           what has no room in an entry, see contents
//! spare.new                           the next segment, being zeroed
//! torn-00000000000000000042-4711      what a crash left behind the last whole batch
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use dataos_model::fault::{Fault, FaultKind};
use dataos_proof::{frame::segment_first, note::NOTE_BYTES_MAX};

/// The version of the folder's format that this build reads and writes.
pub(crate) const FORMAT: u32 = 3;

/// The folder of a log. Holds the lock until dropped.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    lock: File,
}

impl Drop for Directory {
    /// Not left to the closing of the file: a process that was just forked has it open until it runs
    /// its own program, and would hold the lock for as long.
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(path = %self.path.display(), %error, "the lock was not released at once");
        }
    }
}

impl Directory {
    /// Creates the folder if it is absent, locks it, and checks its format.
    pub(crate) fn open(path: &Path) -> Result<Self, Fault> {
        let failed = |what: &str, error: &io::Error| {
            let message = format!("cannot {what} the audit log at {}: {error}", path.display());
            Fault::unavailable(message)
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| failed("create", &error))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options
            .open(path.join("lock"))
            .map_err(|error| failed("open", &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!(
                    "the audit log at {} is in use by another process",
                    path.display()
                );
                let hint = "stop that process, or give this one another data directory";
                return Err(Fault::new(FaultKind::Conflict, message).with_hint(hint));
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", &error)),
        }
        let directory = Self {
            path: path.to_owned(),
            lock,
        };
        directory.check_format()?;
        Ok(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn check_format(&self) -> Result<(), Fault> {
        let path = self.path.join("format");
        let shown = path.display();
        let damaged = |why: &str| {
            Fault::new(FaultKind::Damaged, format!("{shown}: {why}"))
                .with_hint("restore the folder from a backup, or start a new one")
        };
        match fs::read_to_string(&path) {
            Ok(text) => {
                let line = text.strip_suffix('\n');
                let version = line.and_then(|line| line.strip_prefix("dataos-audit "));
                let version: u32 = version
                    .and_then(|version| version.parse().ok())
                    .ok_or_else(|| damaged("this is not the format file of an audit log"))?;
                if version == FORMAT {
                    return Ok(());
                }
                let message = format!(
                    "{shown}: the audit log has format {version}; this build knows format {FORMAT}"
                );
                let hint = "start it with the version that wrote it, or a later one";
                Err(Fault::new(FaultKind::Unsupported, message).with_hint(hint))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !self.segments()?.is_empty() {
                    return Err(damaged("the file is missing, but there are segments"));
                }
                replace(&self.path, "format", &format!("dataos-audit {FORMAT}\n"))
                    .map_err(|error| Fault::unavailable(format!("cannot write {shown}: {error}")))
            }
            Err(error) => Err(Fault::unavailable(format!("cannot read {shown}: {error}"))),
        }
    }

    /// The names of all files, in order.
    pub(crate) fn names(&self) -> Result<Vec<String>, Fault> {
        names(&self.path).map_err(|error| {
            Fault::unavailable(format!(
                "cannot read folder {}: {error}",
                self.path.display()
            ))
        })
    }

    /// The names of all segments, in order.
    pub(crate) fn segments(&self) -> Result<Vec<String>, Fault> {
        let mut names = self.names()?;
        names.retain(|name| segment_first(name).is_some());
        Ok(names)
    }

    /// The newest checkpoint that was put aside, if any.
    pub(crate) fn checkpoint(&self) -> Result<Option<String>, Fault> {
        let path = self.path.join("checkpoint");
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > NOTE_BYTES_MAX as u64 => {
                let message = format!("{}: this is too long for a checkpoint", path.display());
                return Err(Fault::new(FaultKind::Damaged, message));
            }
            _ => {}
        }
        match fs::read_to_string(&path) {
            Ok(note) => Ok(Some(note)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Fault::unavailable(format!(
                "cannot read {}: {error}",
                path.display()
            ))),
        }
    }
}

/// The names of all files of a folder, in order.
pub(crate) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(directory)?.map(|file| Ok(file?.file_name()));
    let names = names.collect::<io::Result<Vec<_>>>()?;
    let names = names.into_iter().filter_map(|name| name.into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    Ok(names)
}

/// Replaces a small file so that after a crash either the old or the new text is there.
pub(crate) fn replace(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    let new = directory.join(format!("{name}.new"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, directory.join(name))?;
    sync_directory(directory)
}

/// Makes creations and renames in the folder durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
