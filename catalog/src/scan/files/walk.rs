//! Which files form which dataset, wherever the files are.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use dataos_model::{
    dataset::DatasetId,
    depot::{FileFormat, generation},
};

use super::Candidate;
use crate::{entities::MAIN_COLLECTION, names, scan::Unreadable};

/// Data formats that a user may expect to be read.
const FOREIGN_FORMATS: &[&str] = &[
    "arrow", "bz2", "feather", "gz", "orc", "tsv", "xls", "xlsx", "xz", "zip", "zst",
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

/// Folders and what is in them.
pub(super) trait Folders {
    /// The folder that is the depot's.
    fn root(&self) -> &Path;

    /// What is in a folder, without what is hidden, and what of it was not looked at.
    fn list(&mut self, folder: &Path, skipped: &mut Vec<Skipped>) -> Vec<Entry>;

    /// Whether a folder is there, be it a hidden one.
    fn has_folder(&self, folder: &Path) -> bool;
}

/// One entry of a folder.
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) is_folder: bool,
}

/// What was not looked at, and why.
#[derive(Debug)]
pub(super) struct Skipped {
    pub(super) path: PathBuf,
    pub(super) reason: String,
    /// Whether datasets that are known may lie behind it.
    pub(super) may_hide: bool,
}

/// Whether a name is one of those that engines keep unfinished and helper files under.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

struct Walk<F> {
    depot: String,
    folders: F,
    candidates: BTreeMap<DatasetId, Vec<Candidate>>,
    unreadable: Vec<Unreadable>,
    is_whole: bool,
}

/// Looks at all folders.
pub(super) fn walk(depot: &str, folders: impl Folders) -> Walked {
    let root = folders.root().to_owned();
    let mut walk = Walk {
        depot: depot.to_owned(),
        folders,
        candidates: BTreeMap::new(),
        unreadable: Vec::new(),
        is_whole: true,
    };
    for entry in walk.list(&root) {
        if !entry.is_folder {
            walk.file(MAIN_COLLECTION, entry);
        } else if format_of(&entry.name).is_some() {
            walk.parts(MAIN_COLLECTION, entry);
        } else {
            walk.collection(&entry);
        }
    }
    walk.finish()
}

impl<F: Folders> Walk<F> {
    fn collection(&mut self, folder: &Entry) {
        if let Some(format) = self.table_format(&folder.path) {
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
            if entry.is_folder {
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
                        "`.{extension}` files are not read; Parquet, CSV, one-object-a-line JSON and Avro are"
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
        if let Some(format) = self.table_format(&folder.path) {
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
            let is_part = !entry.is_folder && part.is_some();
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
        let mut skipped = Vec::new();
        let mut entries = self.folders.list(folder, &mut skipped);
        for Skipped {
            path,
            reason,
            may_hide,
        } in skipped
        {
            self.is_whole &= !may_hide;
            self.refuse(&path, reason, None);
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    /// The table format whose log lies in a folder: its files alone are not the table.
    fn table_format(&self, folder: &Path) -> Option<&'static str> {
        let has = |name: &str| self.folders.has_folder(&folder.join(name));
        if has("_delta_log") {
            Some("Delta Lake")
        } else if has(".hoodie") {
            Some("Hudi")
        } else if has("metadata") && has("data") {
            Some("Iceberg")
        } else {
            None
        }
    }

    fn refuse(&mut self, path: &Path, reason: String, id: Option<DatasetId>) {
        let name = self.shown(path);
        self.unreadable.push(Unreadable { name, reason, id });
    }

    fn shown(&self, path: &Path) -> String {
        let below = path
            .strip_prefix(self.folders.root())
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
        "avro" => FileFormat::Avro,
        _ => return None,
    };
    Some((stem, format))
}

fn extension_of(name: &str) -> Option<String> {
    name.rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase())
}
