//! All that an answer depends on: the governed text, what its caller is shown of each dataset, under which
//! policies and entities, in which form, and the files that it is read from.
//!
//! What a key cannot hold has none: databases and the audit log, which do not tell whether they changed, objects
//! of a store, whose versions cost a question each,
//! functions that answer otherwise each time, masks with a secret key, and files that were written just now.

use std::path::PathBuf;

use dataos_model::{
    access::CellOutcome,
    clock::Timestamp,
    depot::DatasetSource,
    hash::Hash,
    query::{Certificate, RowFormat},
};
use dataos_sql::Bound;

use crate::{
    grant::Grant,
    rights::Grants,
    source::version::{FileVersion, versions},
    views::BoundView,
};

/// Most files behind one statement; of more, their look-up costs as much as it spares.
const FILES_MAX: usize = 1_000;

/// A statement that may run, and how its rows are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) bound: &'a Bound,
    pub(crate) views: &'a [BoundView],
    pub(crate) grants: &'a Grants,
    pub(crate) certificate: &'a Certificate,
    pub(crate) format: RowFormat,
    pub(crate) rows_max: u64,
    pub(crate) now: Timestamp,
}

/// The key of a result.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    id: Hash,
    files: Vec<FileVersion>,
}

impl Key {
    /// The key of a statement; none if its answer depends on more than a key can hold.
    pub(crate) async fn of(asked: Asked<'_>) -> Option<Self> {
        let Asked {
            bound,
            views,
            grants,
            certificate,
            format,
            rows_max,
            now,
        } = asked;
        let is_repeatable =
            bound.is_repeatable() && views.iter().all(|view| view.bound.is_repeatable());
        if !is_repeatable || grants.all().any(|grant| has_keyed_mask(grant)) {
            return None;
        }
        let files = versions(paths(grants)?).await.ok()?;
        if !files.iter().all(|file| file.is_settled(now)) {
            return None;
        }
        let mut parts = vec![
            certificate.governed_sql.clone(),
            certificate.engine.clone(),
            format!("{} {}", certificate.policy_set, certificate.entities),
            format!("{format:?} {rows_max} {:?}", bound.columns),
            tables(bound),
        ];
        for view in views {
            let dataset = &view.dataset;
            parts.push(format!("{dataset} {:?}", view.bound.columns));
            // Whose rights they are, and the text, which the caller is not told where they are not his.
            parts.push(format!("{:?} {:?}", view.reader, view.behind));
            parts.push(view.bound.emit().to_owned());
            parts.push(tables(&view.bound));
        }
        for (rights, grant) in grants.each() {
            parts.push(format!("{rights:?}"));
            parts.push(serde_json::to_string(grant.access.as_ref()).ok()?);
            parts.push(format!("{:?}", grant.dataset.schema));
            parts.push(format!("{:?}", grant.dataset.source));
        }
        parts.push(format!("{files:?}"));
        let id = Hash::of_parts(parts);
        Some(Self { id, files })
    }

    pub(super) fn id(&self) -> Hash {
        self.id
    }

    /// Whether its files are as they were.
    pub(super) async fn still_holds(&self) -> bool {
        let paths = self.files.iter().map(|file| file.path().to_owned());
        versions(paths.collect()).await.as_ref() == Ok(&self.files)
    }
}

/// Which dataset each table of the governed text is.
fn tables(bound: &Bound) -> String {
    let tables = bound.tables.iter();
    let tables = tables.map(|table| format!("{} {:?};", table.governed_name, table.dataset));
    tables.collect()
}

fn has_keyed_mask(grant: &Grant) -> bool {
    let mut rules = grant.columns.iter().flat_map(|column| &column.rules);
    rules.any(|rule| matches!(&rule.outcome, CellOutcome::Masked(mask) if mask.is_keyed()))
}

/// The files of all datasets; none if one of them is not in files, or there are too many.
fn paths(grants: &Grants) -> Option<Vec<PathBuf>> {
    let mut all = Vec::new();
    for grant in grants.all() {
        match &grant.dataset.source {
            DatasetSource::Files { format: _, paths } => all.extend(paths.iter().cloned()),
            DatasetSource::View { .. } => {}
            DatasetSource::Objects { .. }
            | DatasetSource::Table { .. }
            | DatasetSource::AuditLog => return None,
        }
    }
    (all.len() <= FILES_MAX).then_some(all)
}
