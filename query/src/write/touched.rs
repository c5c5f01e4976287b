//! The rows that a change touches: found by governed queries, held by their numbers.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array},
        compute::{concat, interleave, take_record_batch},
        datatypes::{Int64Type, SchemaRef},
    },
    execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation},
};
use dataos_model::fault::Fault;
use dataos_sql::{BoundStep, StepKind};

use super::parquet_file::{fitted, placed, rows};
use crate::{engine::failure::fault, execute::Planned};

/// Bytes that the number of a row takes here, about.
const NUMBER_BYTES: usize = 48;

/// Rows by their numbers, and what becomes of each.
#[derive(Debug)]
pub(crate) struct Touched {
    schema: SchemaRef,
    places: HashMap<i64, Place>,
    steps: Vec<Values>,
    /// Rows that are added.
    pub(crate) added: Vec<RecordBatch>,
    reservation: MemoryReservation,
}

/// The step that touches a row, and the row among those of the step.
#[derive(Clone, Copy, Debug)]
struct Place {
    step: usize,
    at: usize,
}

/// The new values of one step.
#[derive(Debug)]
struct Values {
    kind: StepKind,
    /// For each column of the table, the values if the step writes it.
    columns: Vec<Option<ArrayRef>>,
}

/// What became of some rows.
#[derive(Debug)]
pub(crate) struct Applied {
    /// The rows that stay, changed or not.
    pub(crate) kept: RecordBatch,
    /// Those of them that were changed.
    pub(crate) updated: RecordBatch,
    /// The rows that go, as they were.
    pub(crate) removed: RecordBatch,
}

impl Touched {
    /// Of a table of this schema.
    pub(crate) fn new(schema: SchemaRef, memory: &Arc<dyn MemoryPool>) -> Self {
        Self {
            schema,
            places: HashMap::new(),
            steps: Vec::new(),
            added: Vec::new(),
            reservation: MemoryConsumer::new("rows of a change").register(memory),
        }
    }

    /// How many rows.
    pub(crate) fn count(&self) -> u64 {
        let added = self.added.iter().map(RecordBatch::num_rows).sum::<usize>();
        (self.places.len() + added) as u64
    }

    /// Runs a step and takes up the rows that it finds.
    ///
    /// # Errors
    /// A failure of its query, a value that does not fit its column, a row found twice, or more rows
    /// than memory holds.
    pub(crate) async fn find(&mut self, step: &BoundStep, planned: &Planned) -> Result<(), Fault> {
        let written: Vec<usize> = step
            .rows
            .columns
            .iter()
            .map(|column| self.schema.index_of(&column.name))
            .collect::<Result<_, _>>()
            .map_err(|_| Fault::internal("a change of a column that is not there"))?;
        let mut found = vec![Vec::new(); written.len()];
        let mut at = 0;
        let mut batches = planned.start()?;
        if step.kind == StepKind::Insert {
            let places = (0..self.schema.fields().len())
                .map(|column| written.iter().position(|written| *written == column));
            let places: Vec<Option<usize>> = places.collect();
            while let Some(batch) = batches.next().await {
                let batch = batch.map_err(|error| fault(&error, planned.detail))?;
                let batch = placed(&batch, &self.schema, &places)?;
                self.grow(batch.get_array_memory_size(), planned)?;
                self.added.push(batch);
            }
            return Ok(());
        }
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| fault(&error, planned.detail))?;
            self.number(&batch, &mut at)?;
            let values = batch.columns().iter().skip(1);
            for ((values, column), found) in values.zip(&written).zip(&mut found) {
                let values = fitted(values, self.schema.field(*column))?;
                self.grow(values.get_array_memory_size(), planned)?;
                found.push(values);
            }
            self.grow(batch.num_rows().saturating_mul(NUMBER_BYTES), planned)?;
        }
        let mut columns = vec![None; self.schema.fields().len()];
        for (column, found) in written.into_iter().zip(found) {
            let parts: Vec<&dyn Array> = found.iter().map(AsRef::as_ref).collect();
            if let (Some(place), false) = (columns.get_mut(column), parts.is_empty()) {
                *place = Some(concat(&parts).map_err(|_| too_many())?);
            }
        }
        self.steps.push(Values {
            kind: step.kind,
            columns,
        });
        Ok(())
    }

    /// Notes the rows of a batch of the step that comes next.
    fn number(&mut self, batch: &RecordBatch, at: &mut usize) -> Result<(), Fault> {
        let numbers = batch.columns().first();
        let numbers = numbers.and_then(|column| column.as_primitive_opt::<Int64Type>());
        let numbers = numbers.ok_or_else(|| Fault::internal("rows without numbers"))?;
        for number in numbers {
            let number = number.ok_or_else(|| Fault::internal("a row without a number"))?;
            let place = Place {
                step: self.steps.len(),
                at: *at,
            };
            if self.places.insert(number, place).is_some() {
                return Err(
                    Fault::invalid("a row of the table to change is found more than once")
                        .with_reason("row_found_twice")
                        .with_hint("let each row match at most one row of the other tables"),
                );
            }
            *at += 1;
        }
        Ok(())
    }

    fn grow(&self, bytes: usize, planned: &Planned) -> Result<(), Fault> {
        self.reservation
            .try_grow(bytes)
            .map_err(|error| fault(&error, planned.detail))
    }

    /// Carries the change out on rows as they are stored, the first of which has number `first`.
    ///
    /// # Errors
    /// A NULL where there must be none.
    pub(crate) fn apply(&self, raw: &RecordBatch, first: i64) -> Result<Applied, Fault> {
        let place = |row: usize| {
            let number = i64::try_from(row).ok()?.checked_add(first)?;
            self.places.get(&number)
        };
        let (removed, kept): (Vec<_>, Vec<_>) = (0..raw.num_rows())
            .map(|row| (row, place(row).copied()))
            .partition(|(_, place)| self.removes(*place));
        let columns: Vec<ArrayRef> = (0..self.schema.fields().len())
            .map(|column| self.column(raw, column, &kept))
            .collect::<Result<_, _>>()?;
        let updated: UInt64Array = (0..)
            .zip(&kept)
            .filter(|(_, (_, place))| place.is_some())
            .map(|(at, _)| Some(at))
            .collect();
        let removed: UInt64Array = removed.iter().map(|(row, _)| Some(*row as u64)).collect();
        let kept = rows(&self.schema, columns, kept.len())?;
        let taken = |rows: &RecordBatch, at| take_record_batch(rows, at).map_err(|_| too_many());
        Ok(Applied {
            updated: taken(&kept, &updated)?,
            removed: taken(raw, &removed)?,
            kept,
        })
    }

    fn removes(&self, place: Option<Place>) -> bool {
        let step = place.and_then(|place| self.steps.get(place.step));
        step.is_some_and(|step| step.kind == StepKind::Delete)
    }

    /// A column of the rows that stay: new values where there are, else those that are stored.
    fn column(
        &self,
        raw: &RecordBatch,
        column: usize,
        kept: &[(usize, Option<Place>)],
    ) -> Result<ArrayRef, Fault> {
        let stored = raw.columns().get(column);
        let stored = stored.ok_or_else(|| Fault::internal("a stored row lacks a column"))?;
        let mut sources: Vec<&dyn Array> = vec![stored.as_ref()];
        let mut of_step = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let values = step.columns.get(column).and_then(Option::as_ref);
            of_step.push(values.map(|values| {
                sources.push(values.as_ref());
                sources.len() - 1
            }));
        }
        let places: Vec<(usize, usize)> = kept
            .iter()
            .map(|(row, place)| {
                let new = place.and_then(|place| {
                    let source = of_step.get(place.step).copied().flatten()?;
                    Some((source, place.at))
                });
                new.unwrap_or((0, *row))
            })
            .collect();
        interleave(&sources, &places).map_err(|_| too_many())
    }
}

fn too_many() -> Fault {
    Fault::internal("the rows of a change cannot be put together")
}
