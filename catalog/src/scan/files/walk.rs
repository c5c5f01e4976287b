//! The listing of a folder depot: which files form which dataset.

use std::{
    collections::BTreeMap,
    fs::FileType,
    path::{Path, PathBuf},
};

use dataos_model::{
    dataset::DatasetId,
    depot::{FileFormat, generation},
    fault::Fault,
};

use super::Candidate;
use crate::{entities::MAIN_COLLECTION, names, scan::Unreadable};

/// Most directory entries looked at in one scan.
const ENTRIES_MAX: usize = 200_000;

/// Data formats that a user may expect to be read.
const FOREIGN_FORMATS: &[&str] = &[
    "arrow", "avro", "bz2", "feather", "gz", "orc", "tsv", "xls", "xlsx", "xz", "zip", "zst",
];

/// What the walk found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Datasets by listing, in order of their ids.
    pub(super) candidates: Vec<Candidate>,
    /// What is no dataset, and why.
    pub(super) unreadable: Vec<Unreadable>,
    /// Whether every folder could be listed to its end.
    pub(super) is_whole: bool,
}

/// One entry of a folder.
struct Entry {
    path: PathBuf,
    name: String,
    file_type: FileType,
}

struct Walk {
    depot: String,
    root: PathBuf,
    entries_left: usize,
    candidates: BTreeMap<DatasetId, Vec<Candidate>>,
    unreadable: Vec<Unreadable>,
    is_whole: bool,
}

/// Lists the folder.
///
/// # Errors
/// The folder itself cannot be listed: its files are unknown, not gone.
pub(super) fn walk(depot: &str, root: &Path) -> Result<Walked, Fault> {
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
    let mut walk = Walk {
        depot: depot.to_owned(),
        root: root.clone(),
        entries_left: ENTRIES_MAX,
        candidates: BTreeMap::new(),
        unreadable: Vec::new(),
        is_whole: true,
    };
    for entry in walk.list(&root) {
        if !entry.file_type.is_dir() {
            walk.file(MAIN_COLLECTION, entry);
        } else if format_of(&entry.name).is_some() {
            walk.parts(MAIN_COLLECTION, entry);
        } else {
            walk.collection(&entry);
        }
    }
    Ok(walk.finish())
}

impl Walk {
    fn collection(&mut self, folder: &Entry) {
        if let Some(format) = table_format(&folder.path) {
            return self.refuse(
                &folder.path,
                format!("a {format} table; it is not read yet"),
                None,
            );
        }
        let Some(collection) = names::from_file(&folder.name) else {
            let reason = "its name has no letter or digit, or is too long".to_owned();
            return self.refuse(&folder.path, reason, None);
        };
        for entry in self.list(&folder.path) {
            if entry.file_type.is_dir() {
                self.parts(&collection, entry);
            } else {
                self.file(&collection, entry);
            }
        }
    }

    fn file(&mut self, collection: &str, entry: Entry) {
        match format_of(&entry.name) {
            Some((stem, format)) => {
                let stem = stem.to_owned();
                self.add(
                    collection,
                    &stem,
                    format,
                    &entry.path,
                    vec![entry.path.clone()],
                );
            }
            None => {
                let extension = extension_of(&entry.name).unwrap_or_default();
                if FOREIGN_FORMATS.contains(&extension.as_str()) {
                    let reason = format!(
                        "`.{extension}` files are not read; Parquet, CSV and one-object-a-line JSON are"
                    );
                    self.refuse(&entry.path, reason, None);
                }
            }
        }
    }

    /// A folder of parts; an empty one is no dataset yet.
    fn parts(&mut self, collection: &str, folder: Entry) {
        let stem = format_of(&folder.name).map_or(folder.name.as_str(), |(stem, _)| stem);
        let id = names::from_file(stem).map(|name| DatasetId::new(&self.depot, collection, name));
        if let Some(format) = table_format(&folder.path) {
            return self.refuse(
                &folder.path,
                format!("a {format} table; it is not read yet"),
                id,
            );
        }
        let mut format = format_of(&folder.name).map(|(_, format)| format);
        let mut paths = Vec::new();
        for entry in self.list(&folder.path) {
            let part = format_of(&entry.name).map(|(_, format)| format);
            let is_part = !entry.file_type.is_dir() && part.is_some();
            if !is_part || format.is_some_and(|format| Some(format) != part) {
                let reason = format!(
                    "it holds `{}`; a folder of parts holds files of one format and nothing else",
                    names::shown(&entry.name)
                );
                return self.refuse(&folder.path, reason, id);
            }
            format = part;
            paths.push(entry.path);
        }
        // Older parts were replaced, and are there only until they are taken away.
        let newest = paths.iter().map(|path| generation(path)).max();
        paths.retain(|path| Some(generation(path)) == newest);
        if let (Some(format), false) = (format, paths.is_empty()) {
            self.add(collection, stem, format, &folder.path, paths);
        }
    }

    fn add(
        &mut self,
        collection: &str,
        stem: &str,
        format: FileFormat,
        path: &Path,
        paths: Vec<PathBuf>,
    ) {
        let Some(name) = names::from_file(stem) else {
            let reason = "its name has no letter or digit, or is too long".to_owned();
            return self.refuse(path, reason, None);
        };
        let id = DatasetId::new(&self.depot, collection, name);
        let shown = self.shown(path);
        let candidate = Candidate {
            id: id.clone(),
            format,
            paths,
            shown,
        };
        self.candidates.entry(id).or_default().push(candidate);
    }

    /// The entries of a folder, sorted, without hidden ones.
    fn list(&mut self, folder: &Path) -> Vec<Entry> {
        let mut entries = Vec::new();
        let listing = match std::fs::read_dir(folder) {
            Ok(listing) => listing,
            Err(error) => {
                self.is_whole = false;
                self.refuse(folder, error.to_string(), None);
                return entries;
            }
        };
        for item in listing {
            let Some(left) = self.entries_left.checked_sub(1) else {
                self.is_whole = false;
                let reason = format!("more than {ENTRIES_MAX} files; the rest was not looked at");
                self.refuse(folder, reason, None);
                break;
            };
            self.entries_left = left;
            let entry = item.map_err(|error| error.to_string()).and_then(|item| {
                Ok((
                    item.path(),
                    item.file_type().map_err(|error| error.to_string())?,
                ))
            });
            match entry {
                Ok((path, file_type)) => entries.extend(self.entry(path, file_type)),
                Err(reason) => {
                    self.is_whole = false;
                    self.refuse(folder, reason, None);
                }
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    fn entry(&mut self, path: PathBuf, file_type: FileType) -> Option<Entry> {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .map(str::to_owned);
        let Some(name) = name else {
            self.refuse(&path, "its name is not UTF-8".to_owned(), None);
            return None;
        };
        if name.starts_with(['.', '_']) {
            return None;
        }
        let file_type = match file_type.is_symlink() {
            false => file_type,
            true => match self.follow(&path) {
                Ok(file_type) => file_type,
                Err(reason) => {
                    self.is_whole = false;
                    self.refuse(&path, reason, None);
                    return None;
                }
            },
        };
        (file_type.is_dir() || file_type.is_file()).then_some(Entry {
            path,
            name,
            file_type,
        })
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

    fn refuse(&mut self, path: &Path, reason: String, id: Option<DatasetId>) {
        let name = self.shown(path);
        self.unreadable.push(Unreadable { name, reason, id });
    }

    fn shown(&self, path: &Path) -> String {
        let below = path
            .strip_prefix(&self.root)
            .unwrap_or(path)
            .to_string_lossy()
            .into_owned();
        if below.is_empty() {
            ".".to_owned()
        } else {
            below
        }
    }

    fn finish(mut self) -> Walked {
        let mut candidates = Vec::with_capacity(self.candidates.len());
        for (id, mut same) in std::mem::take(&mut self.candidates) {
            if same.len() > 1 {
                let names: Vec<_> = same.iter().map(|c| format!("`{}`", c.shown)).collect();
                let reason = format!("several files have the name {id}: {}", names.join(", "));
                let name = same.first().map(|c| c.shown.clone()).unwrap_or_default();
                self.unreadable.push(Unreadable {
                    name,
                    reason,
                    id: Some(id),
                });
            } else {
                candidates.append(&mut same);
            }
        }
        Walked {
            candidates,
            unreadable: self.unreadable,
            is_whole: self.is_whole,
        }
    }
}

/// Name without extension, and format, of a data file.
fn format_of(name: &str) -> Option<(&str, FileFormat)> {
    let (stem, _) = name.rsplit_once('.')?;
    let format = match extension_of(name)?.as_str() {
        "parquet" => FileFormat::Parquet,
        "csv" => FileFormat::Csv,
        "json" | "ndjson" | "jsonl" => FileFormat::Json,
        _ => return None,
    };
    Some((stem, format))
}

fn extension_of(name: &str) -> Option<String> {
    name.rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase())
}

/// The table format whose log lies in a folder: its files alone are not the table.
fn table_format(folder: &Path) -> Option<&'static str> {
    if folder.join("_delta_log").is_dir() {
        Some("Delta Lake")
    } else if folder.join(".hoodie").is_dir() {
        Some("Hudi")
    } else if folder.join("metadata").is_dir() && folder.join("data").is_dir() {
        Some("Iceberg")
    } else {
        None
    }
}
