//! The rows of a result that is kept, and pages of them in each format.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use datafusion::arrow::{array::RecordBatch, datatypes::SchemaRef};
use dataos_model::{
    fault::Fault,
    query::{Certificate, QueryAnswer, ResultColumn, RowFormat, RowPart, RowStream, RowsEnd},
    record::Receipt,
};

use crate::encode::{Encoder, reader, unreadable};

/// Rows that one step of a page encodes.
const STEP_ROWS: usize = 1 << 10;

/// A result.
#[derive(Debug)]
pub(crate) struct KeptRows {
    schema: SchemaRef,
    /// With the number of the first row of each.
    batches: Vec<(u64, RecordBatch)>,
    pub(crate) columns: Vec<ResultColumn>,
    pub(crate) certificate: Certificate,
    pub(crate) receipt: Receipt,
    pub(crate) row_count: u64,
    pub(crate) byte_count: u64,
    pub(crate) is_truncated: bool,
}

impl KeptRows {
    /// Of an answer in Arrow.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn new(answer: QueryAnswer) -> Result<Self, Fault> {
        let byte_count = answer.chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let reader = reader(answer.chunks)?;
        let schema = reader.schema();
        let (mut batches, mut row_count) = (Vec::new(), 0);
        for batch in reader {
            let batch = batch.map_err(unreadable)?;
            let rows = batch.num_rows() as u64;
            batches.push((row_count, batch));
            row_count += rows;
        }
        Ok(Self {
            schema,
            batches,
            columns: answer.columns,
            certificate: answer.certificate,
            receipt: answer.receipt,
            row_count,
            byte_count,
            is_truncated: answer.is_truncated,
        })
    }

    /// At most `STEP_ROWS` rows from row `from` on, of those before `until`.
    fn step(&self, from: u64, until: u64) -> Option<RecordBatch> {
        let place = self.batches.partition_point(|(first, _)| *first <= from);
        let (first, batch) = self.batches.get(place.checked_sub(1)?)?;
        let at = usize::try_from(from - first).ok()?;
        let wanted = usize::try_from(until.saturating_sub(from)).unwrap_or(usize::MAX);
        let count = batch.num_rows().checked_sub(at)?.min(wanted).min(STEP_ROWS);
        (count > 0).then(|| batch.slice(at, count))
    }
}

/// Rows of a kept result on their way.
pub(crate) struct PageRows {
    rows: Arc<KeptRows>,
    encoder: Encoder,
    waiting: VecDeque<Bytes>,
    at: u64,
    until: u64,
    end: RowsEnd,
    is_closed: bool,
}

impl std::fmt::Debug for PageRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageRows")
            .field("at", &self.at)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

impl PageRows {
    /// The rows from `from` to before `until`.
    ///
    /// # Errors
    /// A schema that the format has no place for.
    pub(crate) fn new(
        rows: Arc<KeptRows>,
        (from, until): (u64, u64),
        format: RowFormat,
    ) -> Result<Self, Fault> {
        Ok(Self {
            encoder: Encoder::new(format, &rows.schema, u64::MAX)?,
            end: RowsEnd {
                row_count: until.saturating_sub(from),
                is_truncated: until < rows.row_count || rows.is_truncated,
            },
            rows,
            waiting: VecDeque::new(),
            at: from,
            until,
            is_closed: false,
        })
    }

    fn part(&mut self) -> Result<RowPart, Fault> {
        loop {
            if let Some(chunk) = self.waiting.pop_front() {
                return Ok(RowPart::Chunk(chunk));
            }
            if self.is_closed {
                return Ok(RowPart::End(self.end));
            }
            match self.rows.step(self.at, self.until) {
                Some(batch) => {
                    self.at += batch.num_rows() as u64;
                    self.encoder.push(&batch)?;
                }
                None => {
                    self.encoder.close()?;
                    self.is_closed = true;
                }
            }
            self.waiting.extend(self.encoder.take());
        }
    }
}

impl RowStream for PageRows {
    fn poll_part(&mut self, _context: &mut Context<'_>) -> Poll<Result<RowPart, Fault>> {
        Poll::Ready(self.part())
    }

    fn end(&self) -> Option<RowsEnd> {
        Some(self.end)
    }
}
