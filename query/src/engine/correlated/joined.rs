//! Rows beside those that a query has for each of them.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use datafusion::{
    arrow::{
        array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array},
        compute::{cast, concat_batches, take_arrays},
        datatypes::{Fields, Schema, SchemaRef},
    },
    catalog::TableProvider,
    common::{DataFusionError, Result, ScalarValue},
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryReservation},
};
use futures::{Stream, TryStreamExt as _, stream};
use tokio::sync::OnceCell;

use super::{
    apply::Rows,
    query::{Planned, Query},
    run::Tables,
};
use crate::engine::{failure::MANY_ROWS, wanted::nobody_waits};

/// What one partition has at hand while it runs.
pub(super) struct Run {
    pub(super) query: Arc<Query>,
    pub(super) planned: OnceCell<Option<Planned>>,
    pub(super) schema: SchemaRef,
    pub(super) is_over: Arc<AtomicBool>,
    pub(super) memory: MemoryReservation,
    pub(super) context: Arc<TaskContext>,
}

impl Run {
    /// The rows of the first side, each with what the query has for it.
    pub(super) fn over(
        self,
        rows: SendableRecordBatchStream,
        tables: Tables,
    ) -> impl Stream<Item = Result<RecordBatch>> {
        let run = Arc::new(self);
        rows.and_then(move |first| {
            let (run, tables) = (Arc::clone(&run), Arc::clone(&tables));
            async move { Ok(stream::iter(run.joined(first, &tables.0).await?)) }
        })
        .try_flatten()
    }

    async fn joined(
        &self,
        first: RecordBatch,
        tables: &[Arc<dyn TableProvider>],
    ) -> Result<Joined> {
        let (sets, set_of) = self.sets(&first)?;
        let fields = self.schema.fields().iter().skip(first.num_columns());
        let schema = Arc::new(Schema::new(fields.cloned().collect::<Fields>()));
        let memory = self.memory.new_empty();
        let plan = || self.query.planned(tables, &self.is_over);
        let planned = self.planned.get_or_try_init(plan).await?.as_ref();
        let (mut found, mut ranges) = (Vec::new(), Vec::with_capacity(sets.len()));
        let mut count = 0;
        for values in &sets {
            if self.is_over.load(Ordering::Relaxed) {
                return Err(nobody_waits());
            }
            tokio::task::yield_now().await;
            let start = count;
            for batch in self
                .query
                .run(
                    values,
                    (tables, planned),
                    (&self.is_over, &self.context),
                    &memory,
                )
                .await?
            {
                count += batch.num_rows();
                found.push(of_types(&batch, &schema)?);
            }
            if self.query.rows == Rows::OneOrNull && count - start > 1 {
                return Err(DataFusionError::Execution(MANY_ROWS.to_owned()));
            }
            ranges.push(start..count);
        }
        // Put together they are there twice for a moment.
        let once = memory.size();
        memory.try_grow(once)?;
        let all = concat_batches(&schema, &found)?;
        drop(found);
        memory.shrink(once);
        Ok(Joined {
            found: all,
            first,
            ranges: set_of
                .into_iter()
                .filter_map(|set| ranges.get(set).cloned())
                .collect(),
            has_nulls: self.query.rows != Rows::All,
            at: (0, 0),
            rows_max: self.context.session_config().batch_size(),
            schema: Arc::clone(&self.schema),
            _memory: memory,
        })
    }

    /// The different sets of values for which the query is run, and which of them each row has.
    fn sets(&self, first: &RecordBatch) -> Result<(Vec<Vec<ScalarValue>>, Vec<usize>)> {
        let columns = self.query.parameters.iter();
        let columns = columns.map(|column| column.evaluate(first)?.into_array(first.num_rows()));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let (mut sets, mut set_of) = (Vec::new(), Vec::with_capacity(first.num_rows()));
        let mut known = HashMap::new();
        for row in 0..first.num_rows() {
            let values = columns
                .iter()
                .map(|column| ScalarValue::try_from_array(column, row));
            let values = values.collect::<Result<Vec<_>>>()?;
            let next = sets.len();
            let set = match self.query.is_volatile {
                true => next,
                false => *known.entry(values.clone()).or_insert(next),
            };
            if set == next {
                sets.push(values);
            }
            set_of.push(set);
        }
        Ok((sets, set_of))
    }
}

/// The same rows in the types that they are to have.
fn of_types(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    rows(Arc::clone(schema), columns, batch.num_rows())
}

/// A batch, which may have no column.
pub(super) fn rows(schema: SchemaRef, columns: Vec<ArrayRef>, count: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    Ok(RecordBatch::try_new_with_options(
        schema, columns, &options,
    )?)
}

/// The rows of a batch beside those that the query has for each, some at a time.
struct Joined {
    first: RecordBatch,
    found: RecordBatch,
    /// Which rows of the query each row has.
    ranges: Vec<Range<usize>>,
    /// Whether a row that has none stands beside NULLs.
    has_nulls: bool,
    /// The next row, and how many of its rows of the query were given.
    at: (usize, usize),
    rows_max: usize,
    schema: SchemaRef,
    _memory: MemoryReservation,
}

impl Joined {
    fn batch(&self, first: Vec<u32>, found: Vec<Option<u32>>) -> Result<RecordBatch> {
        let count = first.len();
        let first = UInt32Array::from(first);
        let found = UInt32Array::from(found);
        let first = take_arrays(self.first.columns(), &first, None)?;
        let found = take_arrays(self.found.columns(), &found, None)?;
        let columns = first.into_iter().chain(found);
        rows(Arc::clone(&self.schema), columns.collect(), count)
    }

    /// The numbers of the next rows of both sides.
    fn next_pairs(&mut self) -> Result<(Vec<u32>, Vec<Option<u32>>)> {
        let (mut first, mut found) = (Vec::new(), Vec::new());
        while let Some(range) = self.ranges.get(self.at.0) {
            if first.len() >= self.rows_max {
                break;
            }
            let row = index(self.at.0)?;
            match range.clone().nth(self.at.1) {
                Some(pair) => {
                    first.push(row);
                    found.push(Some(index(pair)?));
                    self.at.1 += 1;
                    continue;
                }
                None if range.is_empty() && self.has_nulls => {
                    first.push(row);
                    found.push(None);
                }
                None => {}
            }
            self.at = (self.at.0 + 1, 0);
        }
        Ok((first, found))
    }
}

impl Iterator for Joined {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_pairs() {
            Ok((first, _)) if first.is_empty() => None,
            Ok((first, found)) => Some(self.batch(first, found)),
            Err(error) => Some(Err(error)),
        }
    }
}

fn index(row: usize) -> Result<u32> {
    u32::try_from(row).map_err(|_| {
        let message = "queries have too many rows for a batch of rows around them";
        DataFusionError::ResourcesExhausted(message.to_owned())
    })
}
