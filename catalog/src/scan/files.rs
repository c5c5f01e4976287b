//! A folder of data files as a depot.
//!
//! | path | dataset |
//! | --- | --- |
//! | `root/x.EXT` | `main/x` |
//! | `root/x.EXT/` holding parts | `main/x` |
//! | `root/a/x.EXT` | `a/x` |
//! | `root/a/x.EXT/` or `root/a/x/` holding parts | `a/x` |
//!
//! `EXT` is `parquet`, `csv`, `json`, `ndjson` or `jsonl` in any case. A folder of parts holds files of
//! one format and nothing else; of parts in several generations (`gen-2-x.parquet`, written when rows were
//! changed) the newest are the dataset. Names that begin with `.` or `_` are not looked at: engines keep
//! unfinished and helper files under them. Other files are left alone, but for data formats that one
//! would expect to be read: those are named in the report. Links may not lead out of the folder.

mod walk;

use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use dataos_model::{
    clock::Timestamp,
    dataset::{DatasetId, DatasetSchema},
    depot::{DatasetSource, FileFormat},
    fault::Fault,
    hash::Hash,
};

use super::{Survey, Unreadable, csv, json, parquet, schema_problem};
use crate::change::Record;

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

/// Reads the folder. Files whose identity is as catalogued are not opened.
pub(super) async fn survey(
    depot: &str,
    root: &Path,
    known: BTreeMap<DatasetId, Arc<Record>>,
    now: Timestamp,
) -> Result<Survey, Fault> {
    let (depot, root) = (depot.to_owned(), root.to_owned());
    let walked = tokio::task::spawn_blocking(move || walk::walk(&depot, &root))
        .await
        .map_err(|error| Fault::internal(format!("folder walk: {error}")))??;
    let mut survey = Survey {
        unreadable: walked.unreadable,
        is_whole: walked.is_whole,
        ..Survey::default()
    };
    for candidate in walked.candidates {
        let known = known.get(&candidate.id).cloned();
        let (id, shown) = (candidate.id.clone(), candidate.shown.clone());
        // In a task of its own, so that a reader that panics on a hostile file costs that file only.
        let read = tokio::task::spawn_blocking(move || read(candidate, known, now)).await;
        match read.unwrap_or_else(|_| Err("its reader failed on it".to_owned())) {
            Ok(record) => survey.found.push(record),
            Err(reason) => {
                survey.unreadable.push(Unreadable {
                    name: shown,
                    reason,
                    id: Some(id),
                });
            }
        }
    }
    Ok(survey)
}

fn read(
    candidate: Candidate,
    known: Option<Arc<Record>>,
    now: Timestamp,
) -> Result<Arc<Record>, String> {
    let (fingerprint, size_bytes) = fingerprint(&candidate.paths)?;
    let source = DatasetSource::Files {
        format: candidate.format,
        paths: candidate.paths.clone(),
    };
    if let Some(known) = known
        && known.fingerprint == Some(fingerprint)
        && known.source == source
    {
        return Ok(known);
    }
    let (schema, row_count) = read_files(candidate.format, &candidate.paths)?;
    if let Some(problem) = schema_problem(&schema) {
        return Err(problem);
    }
    Ok(Arc::new(Record {
        id: candidate.id,
        schema,
        source,
        owner: None,
        row_count,
        size_bytes: Some(size_bytes),
        scanned_at: now,
        fingerprint: Some(fingerprint),
    }))
}

fn read_files(
    format: FileFormat,
    paths: &[PathBuf],
) -> Result<(DatasetSchema, Option<u64>), String> {
    match format {
        FileFormat::Parquet => parquet::read(paths),
        FileFormat::Csv => csv::read(paths),
        FileFormat::Json => json::read(paths),
    }
}

/// Digest over what changes when a file is written: path, size, times, inode; and the sum of sizes.
fn fingerprint(paths: &[PathBuf]) -> Result<(Hash, u64), String> {
    let mut size_bytes = 0;
    let mut parts = Vec::with_capacity(paths.len() * 2);
    for path in paths {
        let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
        size_bytes += metadata.len();
        parts.push(path.to_string_lossy().into_owned());
        parts.push(format!(
            "{} {} {} {} {} {}",
            metadata.len(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
            metadata.ino()
        ));
    }
    Ok((Hash::of_parts(parts), size_bytes))
}
