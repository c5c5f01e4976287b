//! The data directory: one folder holds everything, one process uses it at a time.
//!
//! `format` names the layout and its version, `lock` is held while a process runs, `metadata` is there
//! if accounts, catalog and resources are kept elsewhere. Whatever is not understood is left untouched
//! and refused with what to do next.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use dataos_model::fault::{Fault, FaultKind};
use dataos_store::Metadata;

/// What `format` says before the version.
const FORMAT_NAME: &str = "dataos-data";
/// The version that this program reads and writes.
const FORMAT_VERSION: u32 = 1;

/// Names the engine that holds the metadata of this data directory, if it is not the embedded one.
const METADATA_FILE: &str = "metadata";
/// What that file says.
const METADATA_POSTGRES: &str = "postgresql\n";

/// A data directory that belongs to this process until it is dropped.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    /// Locked; released by the operating system even after a crash.
    lock: File,
}

impl Drop for DataDirectory {
    /// As of the audit log: a process that was just forked has the file open too.
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(path = %self.path.display(), %error, "the lock was not released at once");
        }
    }
}

impl DataDirectory {
    /// Creates or opens the directory and locks it.
    ///
    /// # Errors
    /// In use by another process, of a newer format, damaged, not ours, or not writable.
    pub(crate) fn open(path: &Path) -> Result<Self, Fault> {
        let failed = |what: &str, error: std::io::Error| {
            Fault::unavailable(format!(
                "data directory {}: {what}: {error}",
                path.display()
            ))
            .with_hint("name a folder that you may write with --data-dir")
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| failed("cannot be created", error))?;
        let path = path
            .canonicalize()
            .map_err(|error| failed("cannot be opened", error))?;
        let is_new = read_format(&path)?;
        let lock = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(|error| failed("cannot be locked", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("data directory {} is in use", path.display());
                return Err(Fault::new(FaultKind::Conflict, message)
                    .with_hint("stop the other `dataos`, or choose another --data-dir"));
            }
            Err(TryLockError::Error(error)) => return Err(failed("cannot be locked", error)),
        }
        if is_new {
            let text = format!("{FORMAT_NAME} {FORMAT_VERSION}\n");
            write_atomic(&path.join("format"), text.as_bytes(), 0o600)
                .map_err(|error| failed("cannot be written", error))?;
        }
        Ok(Self { path, lock })
    }

    /// The folder, absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses metadata elsewhere than where this directory's are: a start would find none, and let
    /// in a new administrator without the policies of the old one.
    ///
    /// # Errors
    /// They are elsewhere, or the mark is damaged.
    pub(crate) fn check_metadata(&self, metadata: &Metadata) -> Result<(), Fault> {
        let shown = self.path.display();
        let conflict = |problem: &str, hint: &str| {
            let message = format!("metadata of data directory {shown} {problem}");
            Err(Fault::new(FaultKind::Conflict, message).with_hint(hint))
        };
        let mark = match fs::read_to_string(self.path.join(METADATA_FILE)) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => Some(error.to_string()),
        };
        let is_embedded = self.path.join("accounts.db").exists();
        match (mark.as_deref(), metadata) {
            (None, Metadata::Embedded) | (Some(METADATA_POSTGRES), Metadata::Postgres(_)) => Ok(()),
            (None, Metadata::Postgres(_)) if !is_embedded => Ok(()),
            (None, Metadata::Postgres(_)) => conflict(
                "is in its SQLite files, and the setting `metadata_url` names a database",
                "unset it, or start with a new data directory",
            ),
            (Some(METADATA_POSTGRES), Metadata::Embedded) => conflict(
                "is in PostgreSQL, and the setting `metadata_url` is not set",
                "set it to the database that was used before",
            ),
            (Some(text), _) => Err(Fault::new(
                FaultKind::Damaged,
                format!("data directory {shown}: file `{METADATA_FILE}` says {text:?}"),
            )
            .with_hint("nothing was changed; restore it from a backup")),
        }
    }

    /// Remembers where metadata is, once it has been opened there.
    ///
    /// # Errors
    /// The mark cannot be written.
    pub(crate) fn note_metadata(&self, metadata: &Metadata) -> Result<(), Fault> {
        let path = self.path.join(METADATA_FILE);
        if *metadata == Metadata::Embedded || path.exists() {
            return Ok(());
        }
        write_atomic(&path, METADATA_POSTGRES.as_bytes(), 0o600).map_err(|error| {
            Fault::unavailable(format!("{} cannot be written: {error}", path.display()))
                .with_hint("check space and permissions of the disk")
        })
    }
}

/// Whether `folder` is a data directory, or lies inside one, or holds `own`.
pub(crate) fn touches_data_directory(folder: &Path, own: &Path) -> bool {
    let is_ours = |path: &Path| {
        fs::read_to_string(path.join("format")).is_ok_and(|text| text.starts_with(FORMAT_NAME))
    };
    folder.ancestors().any(is_ours) || own.starts_with(folder) || folder.starts_with(own)
}

/// Whether the directory is new; an error if it holds what this program must not touch.
fn read_format(path: &Path) -> Result<bool, Fault> {
    let damaged = |problem: String| {
        Fault::new(
            FaultKind::Damaged,
            format!("data directory {}: {problem}", path.display()),
        )
        .with_hint("nothing was changed; restore it from a backup or choose another --data-dir")
    };
    match fs::read_to_string(path.join("format")) {
        Ok(text) => {
            let version = text
                .strip_suffix('\n')
                .and_then(|line| line.strip_prefix(FORMAT_NAME))
                .and_then(|rest| rest.strip_prefix(' '))
                .and_then(|version| version.parse::<u32>().ok());
            match version {
                Some(FORMAT_VERSION) => Ok(false),
                Some(newer) if newer > FORMAT_VERSION => Err(Fault::new(
                    FaultKind::Unsupported,
                    format!(
                        "data directory {} has format {newer}, this program knows {FORMAT_VERSION}",
                        path.display()
                    ),
                )
                .with_hint("nothing was changed; use the newer `dataos`")),
                _ => Err(damaged(format!("file `format` says {text:?}"))),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut entries = fs::read_dir(path).map_err(|e| damaged(e.to_string()))?;
            // A lock without a format is left by a start that was killed in between; the identity of a role
            // is there before its first start.
            let foreign = entries.find_map(|entry| match entry {
                Ok(entry) if entry.file_name() == "lock" || entry.file_name() == "identity" => None,
                Ok(entry) => Some(entry.file_name().to_string_lossy().into_owned()),
                Err(error) => Some(error.to_string()),
            });
            match foreign {
                None => Ok(true),
                Some(name) => Err(damaged(format!(
                    "holds `{name}` and no file `format`, so it is not ours"
                ))),
            }
        }
        Err(error) => Err(damaged(format!("file `format`: {error}"))),
    }
}

/// Writes a file so that a crash leaves the old or the new content, never a part.
pub(crate) fn write_atomic(path: &Path, content: &[u8], mode: u32) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    if let Err(error) = fs::remove_file(&temporary)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(mode)
        .open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use dataos_model::fault::FaultKind;
    use dataos_store::Metadata;

    use super::{DataDirectory, touches_data_directory};

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let first = DataDirectory::open(&path).unwrap();
        let second = DataDirectory::open(&path).unwrap_err();
        assert_eq!(second.kind, FaultKind::Conflict);
        assert!(second.to_string().contains("is in use"), "{second}");
        drop(first);
        assert!(DataDirectory::open(&path).is_ok());
    }

    #[test]
    fn what_is_not_understood_is_refused_and_left_alone() {
        let cases = [
            ("format", "dataos-data 2\n", FaultKind::Unsupported),
            ("format", "dataos-data 1", FaultKind::Damaged),
            ("format", "dataos-data\n", FaultKind::Damaged),
            ("format", "", FaultKind::Damaged),
            ("format", "something else\n", FaultKind::Damaged),
            ("letter.txt", "dear", FaultKind::Damaged),
        ];
        for (name, content, kind) in cases {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(name), content).unwrap();
            let fault = DataDirectory::open(folder.path()).unwrap_err();
            assert_eq!(fault.kind, kind, "{content:?}: {fault}");
            assert!(fault.hint.is_some());
            assert_eq!(
                fs::read_to_string(folder.path().join(name)).unwrap(),
                content
            );
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn metadata_stays_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = Metadata::Postgres("postgresql://localhost/meta".parse().unwrap());
        let old = DataDirectory::open(&folder.path().join("old")).unwrap();
        fs::write(old.path().join("accounts.db"), "").unwrap();
        assert!(old.check_metadata(&Metadata::Embedded).is_ok());
        let fault = old.check_metadata(&elsewhere).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Conflict, "{fault}");

        let new = DataDirectory::open(&folder.path().join("new")).unwrap();
        new.note_metadata(&Metadata::Embedded).unwrap();
        assert!(new.check_metadata(&elsewhere).is_ok());
        new.note_metadata(&elsewhere).unwrap();
        assert!(new.check_metadata(&elsewhere).is_ok());
        let fault = new.check_metadata(&Metadata::Embedded).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Conflict, "{fault}");
        fs::write(new.path().join("metadata"), "x").unwrap();
        let fault = new.check_metadata(&elsewhere).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Damaged, "{fault}");
    }

    #[test]
    fn a_data_directory_is_no_folder_of_data() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        let other = folder.path().join("files");
        fs::create_dir_all(other.join("deep")).unwrap();
        let open = DataDirectory::open(&own).unwrap();
        assert!(touches_data_directory(&own, open.path()));
        assert!(touches_data_directory(&own.join("audit"), open.path()));
        assert!(touches_data_directory(folder.path(), open.path()));
        assert!(!touches_data_directory(&other.join("deep"), open.path()));
    }
}
