//! An answer on its way: rows are read from the layer's Arrow stream one batch at a time, and what was
//! sent is let go.

use std::io;

use datafusion::arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Int64Type,
};
use dataos_model::{fault::Fault, query::QueryAnswer};
use tokio::io::AsyncWrite;

use super::{
    message::Format,
    reply::{Field, Output, format_of},
    value,
};
use crate::{
    column::column_type,
    encode::{Reader, reader, unreadable},
};

/// Rows that were decided, and not all sent yet.
pub(super) struct Held {
    pub(super) fields: Vec<Field>,
    reader: Reader,
    batch: Option<RecordBatch>,
    /// The next row of `batch`.
    at: usize,
    /// Rows that were sent.
    pub(super) sent: u64,
    pub(super) is_truncated: bool,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held")
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

impl Held {
    /// The rows of an answer.
    ///
    /// # Errors
    /// The answer is not what the layer says it is.
    pub(super) fn new(answer: QueryAnswer) -> Result<Self, Fault> {
        let reader = reader(answer.chunks)?;
        let schema = reader.schema();
        let fields = answer
            .columns
            .iter()
            .zip(schema.fields())
            .map(|(column, field)| Field {
                name: column.name.clone(),
                kind: value::kind(&column_type(field.data_type())),
            });
        Ok(Self {
            fields: fields.collect(),
            reader,
            batch: None,
            at: 0,
            sent: 0,
            is_truncated: answer.is_truncated,
        })
    }

    /// Sends the next rows, at most `rows_max`; says whether there may be more.
    ///
    /// # Errors
    /// The peer does not take them; in the inner result, a row that cannot be written.
    pub(super) async fn send<W: AsyncWrite + Unpin>(
        &mut self,
        output: &mut Output<W>,
        formats: &[Format],
        rows_max: Option<usize>,
    ) -> io::Result<Result<bool, Fault>> {
        let mut left = rows_max.unwrap_or(usize::MAX);
        loop {
            match self.has_row() {
                Ok(false) => return Ok(Ok(false)),
                Ok(true) if left == 0 => return Ok(Ok(true)),
                Ok(true) => {}
                Err(fault) => return Ok(Err(fault)),
            }
            if let Err(fault) = self.write(output, formats) {
                return Ok(Err(fault));
            }
            left -= 1;
            output.make_room().await?;
        }
    }

    /// The one number that a write answers.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn count(&mut self) -> Result<u64, Fault> {
        self.has_row()?;
        let column = self
            .batch
            .as_ref()
            .and_then(|batch| batch.columns().first());
        let numbers = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
        let numbers = numbers.filter(|numbers| !numbers.is_empty());
        numbers
            .and_then(|numbers| u64::try_from(numbers.value(0)).ok())
            .ok_or_else(|| Fault::internal("a write that counted no rows"))
    }

    /// Sees to it that `batch` holds the next row, if there is one.
    fn has_row(&mut self) -> Result<bool, Fault> {
        loop {
            if self
                .batch
                .as_ref()
                .is_some_and(|batch| self.at < batch.num_rows())
            {
                return Ok(true);
            }
            self.at = 0;
            self.batch = self.reader.next().transpose().map_err(unreadable)?;
            if self.batch.is_none() {
                return Ok(false);
            }
        }
    }

    fn write<W: AsyncWrite + Unpin>(
        &mut self,
        output: &mut Output<W>,
        formats: &[Format],
    ) -> Result<(), Fault> {
        let Some(batch) = &self.batch else {
            return Ok(());
        };
        output.row(batch.num_columns(), |body| {
            let mut columns = batch.columns().iter().enumerate();
            columns.try_for_each(|(index, column)| {
                value::put(body, column.as_ref(), self.at, format_of(formats, index))
            })
        })?;
        self.at += 1;
        self.sent += 1;
        Ok(())
    }
}
