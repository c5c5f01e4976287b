//! A folder of this machine.

use std::{
    fs::FileType,
    path::{Path, PathBuf},
};

use dataos_model::fault::Fault;

use super::walk::{Entry, Folders, Skipped, is_hidden};

/// Most directory entries looked at in one scan.
const ENTRIES_MAX: usize = 200_000;

/// The folder and what is below it.
#[derive(Debug)]
pub(super) struct LocalFolder {
    root: PathBuf,
    entries_left: usize,
}

impl LocalFolder {
    /// # Errors
    /// The folder itself cannot be listed: its files are unknown, not gone.
    pub(super) fn open(depot: &str, root: &Path) -> Result<Self, Fault> {
        let unreachable = |error: std::io::Error| {
            Fault::unavailable(format!(
                "depot `{depot}`: folder {}: {error}",
                root.display()
            ))
            .with_reason("depot_unreachable")
            .with_hint("check that the folder is there and readable; nothing was dropped")
        };
        let root = root.canonicalize().map_err(unreachable)?;
        std::fs::read_dir(&root).map_err(unreachable)?;
        Ok(Self {
            root,
            entries_left: ENTRIES_MAX,
        })
    }

    fn entry(&self, path: PathBuf, file_type: FileType) -> Result<Option<Entry>, Skipped> {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name.map(str::to_owned) else {
            return Err(Skipped {
                path,
                reason: "its name is not UTF-8".to_owned(),
                may_hide: false,
            });
        };
        if is_hidden(&name) {
            return Ok(None);
        }
        let file_type = match file_type.is_symlink() {
            false => file_type,
            true => match self.follow(&path) {
                Ok(file_type) => file_type,
                Err(reason) => {
                    return Err(Skipped {
                        path,
                        reason,
                        may_hide: true,
                    });
                }
            },
        };
        let is_folder = file_type.is_dir();
        Ok((is_folder || file_type.is_file()).then_some(Entry {
            path,
            name,
            is_folder,
        }))
    }

    fn follow(&self, link: &Path) -> Result<FileType, String> {
        let goal = link.canonicalize().map_err(|error| error.to_string())?;
        if !goal.starts_with(&self.root) {
            return Err("a link that leads out of the depot's folder".to_owned());
        }
        goal.metadata()
            .map(|metadata| metadata.file_type())
            .map_err(|error| error.to_string())
    }
}

impl Folders for LocalFolder {
    fn root(&self) -> &Path {
        &self.root
    }

    fn list(&mut self, folder: &Path, skipped: &mut Vec<Skipped>) -> Vec<Entry> {
        let mut entries = Vec::new();
        let unread = |reason: String| Skipped {
            path: folder.to_owned(),
            reason,
            may_hide: true,
        };
        let listing = match std::fs::read_dir(folder) {
            Ok(listing) => listing,
            Err(error) => {
                skipped.push(unread(error.to_string()));
                return entries;
            }
        };
        for item in listing {
            let Some(left) = self.entries_left.checked_sub(1) else {
                let reason = format!("more than {ENTRIES_MAX} files; the rest was not looked at");
                skipped.push(unread(reason));
                break;
            };
            self.entries_left = left;
            let found = item.and_then(|item| Ok((item.path(), item.file_type()?)));
            let entry = match found {
                Ok((path, file_type)) => self.entry(path, file_type),
                Err(error) => Err(unread(error.to_string())),
            };
            match entry {
                Ok(entry) => entries.extend(entry),
                Err(problem) => skipped.push(problem),
            }
        }
        entries
    }

    fn has_folder(&self, folder: &Path) -> bool {
        folder.is_dir()
    }
}
