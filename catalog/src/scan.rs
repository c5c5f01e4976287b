//! Reading the structure of a depot. Values are looked at to infer types and never kept.

mod avro;
mod cell;
mod csv;
pub(crate) mod diff;
mod files;
mod json;
mod parquet;
mod parts;
mod store;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dataos_model::{
    audit_table,
    clock::Timestamp,
    dataset::{DatasetId, DatasetSchema},
    depot::{DatasetSource, Depot, DepotSource},
    fault::Fault,
    seams::Secrets,
};

use crate::{
    change::{Edge, Record},
    names,
};

/// Most columns of a dataset.
pub(crate) const COLUMNS_MAX: usize = 10_000;

/// Most tables and views of a database.
pub(crate) const RELATIONS_MAX: usize = 100_000;
/// Most columns of all of its tables together.
pub(crate) const ALL_COLUMNS_MAX: usize = 2_000_000;

/// What one look at a depot found.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Datasets that could be read.
    pub(crate) found: Vec<Arc<Record>>,
    /// Of the datasets that the source itself derives from others (views): the edges into them.
    pub(crate) derived: BTreeMap<DatasetId, BTreeSet<Edge>>,
    /// What could not be read.
    pub(crate) unreadable: Vec<Unreadable>,
    /// Whether all of the source was seen, so that what is missing is gone.
    pub(crate) is_whole: bool,
}

impl Survey {
    /// Of a database with more tables or columns than are taken.
    pub(crate) fn of_too_many(depot: &str) -> Self {
        let reason = format!(
            "more than {RELATIONS_MAX} tables or {ALL_COLUMNS_MAX} columns; none was catalogued"
        );
        Self {
            unreadable: vec![Unreadable {
                name: depot.to_owned(),
                reason,
                id: None,
            }],
            ..Self::default()
        }
    }
}

/// A thing that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Its name in the source.
    pub(crate) name: String,
    /// Why.
    pub(crate) reason: String,
    /// The dataset that it is, if that is known; it is not gone.
    pub(crate) id: Option<DatasetId>,
}

/// Reads a depot. `known` are its datasets as catalogued; files that did not change are not read.
///
/// # Errors
/// The depot cannot be reached at all.
pub(crate) async fn survey(
    depot: &Depot,
    known: BTreeMap<DatasetId, Arc<Record>>,
    secrets: &dyn Secrets,
    now: Timestamp,
) -> Result<Survey, Fault> {
    match &depot.source {
        DepotSource::Files { root, .. } => files::survey(&depot.name, root, known, now).await,
        DepotSource::Postgres { .. } => store::postgres::survey(depot, secrets, now).await,
        DepotSource::MySql { .. } => store::mysql::survey(depot, secrets, now).await,
        DepotSource::Sqlite { path } => store::sqlite::survey(&depot.name, path, now).await,
        DepotSource::S3(bucket) => {
            files::bucket::survey(&depot.name, bucket, secrets, known, now).await
        }
        DepotSource::System => Ok(system(now)),
    }
}

/// The platform's own datasets: the audit log.
fn system(now: Timestamp) -> Survey {
    let audit = Record {
        id: audit_table::id(),
        schema: audit_table::schema(),
        source: DatasetSource::AuditLog,
        owner: None,
        row_count: None,
        size_bytes: None,
        scanned_at: now,
        fingerprint: None,
    };
    Survey {
        found: vec![Arc::new(audit)],
        is_whole: true,
        ..Survey::default()
    }
}

/// Why a schema cannot be catalogued, if it cannot.
fn schema_problem(schema: &DatasetSchema) -> Option<String> {
    let columns = &schema.columns;
    if columns.is_empty() {
        return Some("it has no columns".to_owned());
    }
    if columns.len() > COLUMNS_MAX {
        return Some(format!(
            "it has {} columns; at most {COLUMNS_MAX} are read",
            columns.len()
        ));
    }
    let mut seen = BTreeSet::new();
    for column in columns {
        if let Some(problem) = names::column_problem(&column.name) {
            return Some(problem);
        }
        if !seen.insert(&column.name) {
            return Some(format!(
                "column `{}` appears twice",
                names::shown(&column.name)
            ));
        }
    }
    None
}
