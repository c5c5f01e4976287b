//! What follows from one answer of the PDP's about a dataset, made once.
//!
//! The PDP answers the same question with the same answer for as long as nothing it depends on changes, and the
//! catalog keeps a dataset until it changes. So what two such make is found by which two they are: nothing is
//! believed to be equal, and nobody has to tell of a change.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use dataos_model::{access::DatasetAccess, depot::Dataset, fault::Fault};
use dataos_sql::{TableView, ViewColumn};
use foldhash::quality::RandomState;

use crate::grant::Grant;

/// Most columns of all that are kept; when they are reached, all are dropped.
const COLUMNS_MAX: usize = 1 << 16;

/// A grant, and what others make of it.
#[derive(Debug)]
pub(crate) struct Shown {
    /// As the engine carries it out.
    pub(crate) grant: Arc<Grant>,
    /// As binding may know it.
    pub(crate) view: TableView,
    /// The answer in short, as records keep it.
    pub(crate) in_short: String,
}

impl Shown {
    fn new(dataset: &Arc<Dataset>, access: Arc<DatasetAccess>) -> Result<Self, Fault> {
        let in_short = access.in_short();
        let grant = Grant::new(dataset, access)?;
        Ok(Self {
            view: view(&grant),
            grant: Arc::new(grant),
            in_short,
        })
    }

    /// What it weighs.
    fn column_count(&self) -> usize {
        1 + self.dataset.schema.columns.len() + self.columns.len()
    }
}

impl Deref for Shown {
    type Target = Grant;

    fn deref(&self) -> &Grant {
        &self.grant
    }
}

fn view(grant: &Grant) -> TableView {
    let columns = grant.columns.iter().map(|column| ViewColumn {
        name: column.name.clone(),
        column_type: column.shown_type.clone(),
        is_masked: column.is_masked(),
        is_condition_only: grant.is_condition_only(&column.name),
    });
    TableView {
        dataset: grant.dataset.id.clone(),
        columns: columns.collect(),
        minimums: grant.minimums.clone(),
        is_view: grant.view().is_some(),
    }
}

/// What was made of answers before.
#[derive(Debug, Default)]
pub(crate) struct AllShown(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// By where dataset and answer lie, which are held here, so that nothing else can lie there.
    shown: HashMap<(usize, usize), Arc<Shown>, RandomState>,
    column_count: usize,
}

impl AllShown {
    /// What an answer about a dataset comes to.
    ///
    /// # Errors
    /// As [`Grant::new`].
    pub(crate) fn of(
        &self,
        dataset: &Arc<Dataset>,
        access: Arc<DatasetAccess>,
    ) -> Result<Arc<Shown>, Fault> {
        let key = (Arc::as_ptr(dataset).addr(), Arc::as_ptr(&access).addr());
        let locked = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = locked().shown.get(&key) {
            return Ok(Arc::clone(known));
        }
        let shown = Arc::new(Shown::new(dataset, access)?);
        let column_count = shown.column_count();
        let mut kept = locked();
        if kept.column_count + column_count > COLUMNS_MAX {
            *kept = Kept::default();
        }
        if column_count <= COLUMNS_MAX && kept.shown.insert(key, Arc::clone(&shown)).is_none() {
            kept.column_count += column_count;
        }
        Ok(shown)
    }
}

#[cfg(test)]
mod tests;
