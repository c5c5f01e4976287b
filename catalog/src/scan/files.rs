//! A folder of data files as a depot, or a bucket whose keys name files in folders.
//!
//! | path | dataset |
//! | --- | --- |
//! | `root/x.EXT` | `main/x` |
//! | `root/x.EXT/` holding parts | `main/x` |
//! | `root/a/x.EXT` | `a/x` |
//! | `root/a/x.EXT/` or `root/a/x/` holding parts | `a/x` |
//!
//! `EXT` is `parquet`, `csv`, `json`, `ndjson`, `jsonl` or `avro` in any case. A folder of parts holds files of
//! one format and nothing else; of parts in several generations (`gen-2-x.parquet`, written when rows were
//! changed) the newest are the dataset. Names that begin with `.` or `_` are not looked at: engines keep
//! unfinished and helper files under them. Other files are left alone, but for data formats that one
//! would expect to be read: those are named in the report. Links may not lead out of the folder.

pub(super) mod bucket;
mod folder;
pub(super) mod part;
mod walk;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use dataos_model::{
    clock::Timestamp,
    dataset::DatasetId,
    depot::{DatasetSource, FileFormat},
    fault::Fault,
    hash::Hash,
};

use self::{
    bucket::Objects,
    folder::LocalFolder,
    part::{LocalFile, Part},
    walk::Walked,
};
use super::{Survey, Unreadable, avro, csv, json, parquet, parts, schema_problem};
use crate::change::Record;

/// Most datasets that are read at a time.
const READS_MAX: usize = 8;

/// A dataset as the folder's listing shows it.
#[derive(Clone, Debug)]
struct Candidate {
    id: DatasetId,
    format: FileFormat,
    /// Sorted.
    paths: Vec<PathBuf>,
    /// Its path below the root, for messages.
    shown: String,
}

/// Where the files are.
#[derive(Clone, Debug)]
enum Place {
    Folder,
    Bucket(Arc<Objects>),
}

impl Place {
    fn part(&self, path: &Path) -> Result<Box<dyn Part>, String> {
        match self {
            Self::Folder => Ok(Box::new(LocalFile(path.to_owned()))),
            Self::Bucket(objects) => match objects.part(path) {
                Some(part) => Ok(Box::new(part)),
                None => Err("it was not listed".to_owned()),
            },
        }
    }

    fn source(&self, format: FileFormat, paths: &[PathBuf]) -> DatasetSource {
        match self {
            Self::Folder => DatasetSource::Files {
                format,
                paths: paths.to_owned(),
            },
            Self::Bucket(objects) => DatasetSource::Objects {
                format,
                keys: objects.keys(paths),
            },
        }
    }
}

/// Reads the folder. Files whose identity is as catalogued are not opened.
pub(super) async fn survey(
    depot: &str,
    root: &Path,
    known: BTreeMap<DatasetId, Arc<Record>>,
    now: Timestamp,
) -> Result<Survey, Fault> {
    let (depot, root) = (depot.to_owned(), root.to_owned());
    let listed = move || LocalFolder::open(&depot, &root).map(|folder| walk::walk(&depot, folder));
    let walked = tokio::task::spawn_blocking(listed)
        .await
        .map_err(|error| Fault::internal(format!("folder walk: {error}")))??;
    Ok(read_all(walked, Place::Folder, known, now).await)
}

/// Reads what is new or changed.
async fn read_all(
    walked: Walked,
    place: Place,
    known: BTreeMap<DatasetId, Arc<Record>>,
    now: Timestamp,
) -> Survey {
    let mut survey = Survey {
        unreadable: walked.unreadable,
        is_whole: walked.is_whole,
        ..Survey::default()
    };
    for group in walked.candidates.chunks(READS_MAX) {
        // Each in a task of its own, so that a reader that panics on a hostile file costs that file only.
        let start = |candidate: &Candidate| {
            let (candidate, place) = (candidate.clone(), place.clone());
            let known = known.get(&candidate.id).cloned();
            tokio::task::spawn_blocking(move || read(candidate, &place, known, now))
        };
        let reads: Vec<_> = group.iter().map(start).collect();
        for (candidate, read) in group.iter().zip(reads) {
            let read = read.await;
            match read.unwrap_or_else(|_| Err("its reader failed on it".to_owned())) {
                Ok(record) => survey.found.push(record),
                Err(reason) => survey.unreadable.push(Unreadable {
                    name: candidate.shown.clone(),
                    reason,
                    id: Some(candidate.id.clone()),
                }),
            }
        }
    }
    survey
}

fn read(
    candidate: Candidate,
    place: &Place,
    known: Option<Arc<Record>>,
    now: Timestamp,
) -> Result<Arc<Record>, String> {
    let Candidate {
        id, format, paths, ..
    } = candidate;
    let parts = paths.iter().map(|path| place.part(path));
    let parts: Vec<Box<dyn Part>> = parts.collect::<Result<_, _>>()?;
    let (fingerprint, size_bytes) = fingerprint(&paths, &parts)?;
    let source = place.source(format, &paths);
    if let Some(known) = known
        && known.fingerprint == Some(fingerprint)
        && known.source == source
    {
        return Ok(known);
    }
    let (schema, row_count) = match format {
        FileFormat::Parquet => parts::read(&parts, parquet::read),
        FileFormat::Csv => csv::read(&parts),
        FileFormat::Json => json::read(&parts),
        FileFormat::Avro => parts::read(&parts, avro::read),
    }?;
    if let Some(problem) = schema_problem(&schema) {
        return Err(problem);
    }
    Ok(Arc::new(Record {
        id,
        schema,
        source,
        owner: None,
        row_count,
        size_bytes: Some(size_bytes),
        scanned_at: now,
        fingerprint: Some(fingerprint),
    }))
}

/// Digest over what changes when a file is written, and the sum of sizes.
fn fingerprint(paths: &[PathBuf], parts: &[Box<dyn Part>]) -> Result<(Hash, u64), String> {
    let mut size_bytes = 0;
    let mut texts = Vec::with_capacity(paths.len() * 2);
    for (path, part) in paths.iter().zip(parts) {
        size_bytes += part.size()?;
        texts.push(path.to_string_lossy().into_owned());
        texts.push(part.version()?);
    }
    Ok((Hash::of_parts(texts), size_bytes))
}
