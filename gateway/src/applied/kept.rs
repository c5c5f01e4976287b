//! Texts in a folder of the data directory, one file each, written whole or not at all.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use dataos_model::fault::Fault;

use crate::data_directory::write_atomic;

const FILE_MODE: u32 = 0o600;

/// A folder of texts.
#[derive(Debug)]
pub(super) struct Kept {
    folder: PathBuf,
    /// How its files end.
    end: &'static str,
}

impl Kept {
    /// The folder, made if there is none, and its texts by name.
    ///
    /// # Errors
    /// It cannot be made or read.
    pub(super) fn open(
        folder: PathBuf,
        end: &'static str,
    ) -> Result<(Self, BTreeMap<String, String>), Fault> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|error| unusable(&folder, &error))?;
        let mut texts = BTreeMap::new();
        for entry in fs::read_dir(&folder).map_err(|error| unusable(&folder, &error))? {
            let path = entry.map_err(|error| unusable(&folder, &error))?.path();
            let file = path.file_name().and_then(|name| name.to_str());
            let Some(name) = file.and_then(|file| file.strip_suffix(end)) else {
                // Left by a write that was interrupted.
                continue;
            };
            let text = fs::read_to_string(&path).map_err(|error| unusable(&path, &error))?;
            texts.insert(name.to_owned(), text);
        }
        Ok((Self { folder, end }, texts))
    }

    /// Why a kept text does not fit any more what has changed since, with the way out.
    pub(super) fn unfit(&self, name: &str, what: &str, changed: &str, fault: Fault) -> Fault {
        let path = self.path(name);
        let hint = format!(
            "take back the last change of the {changed}, or move {} away",
            path.display()
        );
        Fault {
            message: format!("{what}: {}", fault.message),
            ..fault
        }
        .with_hint(hint)
    }

    /// The file of a name.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{}", self.end))
    }

    /// Replaces a text, or removes it; durable when it returns.
    ///
    /// # Errors
    /// The disk cannot be written.
    pub(super) fn write(&self, name: &str, text: Option<&str>) -> Result<(), Fault> {
        let path = self.path(name);
        let written = match text {
            Some(text) => write_atomic(&path, text.as_bytes(), FILE_MODE),
            None => remove(&path, &self.folder),
        };
        written.map_err(|error| unusable(&path, &error))
    }
}

/// Removes a file, and makes that durable.
fn remove(path: &Path, folder: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::File::open(folder)?.sync_all(),
    }
}

fn unusable(path: &Path, error: &io::Error) -> Fault {
    Fault::unavailable(format!("{}: {error}", path.display()))
        .with_hint("check space and permissions of the data directory")
}
