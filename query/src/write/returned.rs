//! RETURNING: a governed SELECT over the rows that a write is about to write or remove.
//!
//! It runs before anything takes effect, so what fails in it undoes the write. The rows pass the same
//! masks as the table's.

use std::sync::Arc;

use datafusion::{
    arrow::{array::RecordBatch, datatypes::Schema},
    datasource::MemTable,
    execution::memory_pool::{MemoryConsumer, MemoryReservation},
};
use dataos_model::{
    fault::{Fault, FaultKind},
    query::RowFormat,
};
use dataos_sql::Bound;

use crate::{
    column::arrow_schema,
    encode::Encoded,
    engine::failure::{Detail, fault},
    execute::{First, Planned, Planner, Progress, planned},
    grant::Grant,
};

/// How rows are to be returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) format: RowFormat,
    pub(crate) rows_max: u64,
    pub(crate) bytes_max: u64,
}

/// Rows that were written or removed, as the caller sees them.
#[derive(Debug)]
pub(crate) struct Returned {
    pub(crate) encoded: Encoded,
    pub(crate) schema: Arc<Schema>,
}

/// Rows for RETURNING while they are gathered.
#[derive(Debug)]
pub(crate) struct Returning<'a> {
    bound: &'a Bound,
    grant: &'a Grant,
    planner: Planner<'a>,
    rows: Vec<RecordBatch>,
    reservation: MemoryReservation,
}

impl<'a> Returning<'a> {
    /// For the RETURNING of a write to the dataset of `grant`.
    pub(crate) fn new(bound: &'a Bound, grant: &'a Grant, planner: Planner<'a>) -> Self {
        let memory = planner.sessions.memory();
        Self {
            bound,
            grant,
            planner,
            rows: Vec::new(),
            reservation: MemoryConsumer::new("rows to return").register(memory),
        }
    }

    /// Adds raw rows.
    ///
    /// # Errors
    /// More than memory holds.
    pub(crate) fn add(&mut self, rows: RecordBatch) -> Result<(), Fault> {
        self.reservation
            .try_grow(rows.get_array_memory_size())
            .map_err(|error| fault(&error, Detail::Hidden))?;
        self.rows.push(rows);
        Ok(())
    }

    /// The statement over the rows so far.
    ///
    /// # Errors
    /// It does not fit the types of the columns.
    pub(crate) async fn planned(&self) -> Result<Planned, Fault> {
        let schema = arrow_schema(&self.grant.dataset.schema);
        let table = MemTable::try_new(schema, vec![self.rows.clone()])
            .map_err(|error| fault(&error, Detail::Hidden))?;
        planned(self.planner, self.bound, First::Rows(Arc::new(table))).await
    }

    /// Answers it.
    ///
    /// # Errors
    /// An expression that fails, or more rows than may be answered: all or nothing is returned.
    pub(crate) async fn answer(&self, wanted: Wanted) -> Result<Returned, Fault> {
        let planned = self.planned().await?;
        let Wanted {
            format,
            rows_max,
            bytes_max,
        } = wanted;
        let progress = Progress::default();
        let (encoded, is_truncated) = planned
            .encoded(format, rows_max, bytes_max, &progress)
            .await?;
        if is_truncated {
            return Err(Fault::new(
                FaultKind::TooLarge,
                format!("the write would return more than {rows_max} rows, and was not done"),
            )
            .with_reason("result_rows")
            .with_hint("leave RETURNING out, or change fewer rows at a time"));
        }
        let schema = planned.schema();
        Ok(Returned { encoded, schema })
    }
}
