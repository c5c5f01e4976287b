//! The records of one statement: its decision, then how it ended.

use std::{sync::Arc, time::Instant};

use dataos_model::{
    fault::Fault,
    query::{QueryRequest, RowsEnd},
    record::{Entry, Receipt},
    seams::{BoxFuture, Record},
};

use super::{Inner, Performed};
use crate::{
    certificate,
    figures::{Figures, Outcome},
};

/// A recorded decision whose outcome is not recorded yet. Dropped before its end, it records that
/// the caller went away.
pub(super) struct Open {
    record: Arc<dyn Record>,
    figures: Arc<Figures>,
    request: Arc<QueryRequest>,
    started: Instant,
    pending: Option<BoxFuture<Result<Receipt, Fault>>>,
    receipt: Option<Receipt>,
    /// Bytes of rows that were handed out, if they go out while they are read.
    streamed: Option<u64>,
    /// Whether the rows were there, and nothing was run.
    is_cached: bool,
    is_ended: bool,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open")
            .field("request_id", &self.request.request_id)
            .finish_non_exhaustive()
    }
}

impl Open {
    /// Queues the decision's record.
    pub(super) fn new(
        inner: &Inner,
        request: &Arc<QueryRequest>,
        started: Instant,
        decision: Entry,
    ) -> Self {
        let record = Arc::clone(&inner.seams.record);
        let pending = Some(record.append(decision));
        Self {
            record,
            figures: Arc::clone(&inner.figures),
            request: Arc::clone(request),
            started,
            pending,
            receipt: None,
            streamed: None,
            is_cached: false,
            is_ended: false,
        }
    }

    /// Rows go out from now on; so many bytes of them did.
    pub(super) fn stream(&mut self, byte_count: u64) {
        self.streamed = Some(self.streamed.unwrap_or_default() + byte_count);
    }

    /// Waits until the decision is durable.
    pub(super) async fn durable(&mut self) -> Result<Receipt, Fault> {
        if let Some(pending) = self.pending.take() {
            match pending.await {
                Ok(receipt) => self.receipt = Some(receipt),
                Err(error) => {
                    tracing::error!(request_id = %self.request.request_id, %error,
                        "a decision was not recorded");
                }
            }
        }
        self.receipt.clone().ok_or_else(|| {
            Fault::unavailable("the decision could not be recorded, so nothing is answered")
                .with_reason("not_recorded")
                .with_hint("ask the operator to look at the audit log's health")
        })
    }

    /// The rows are there, and nothing is run.
    pub(super) fn cached(&mut self) {
        self.is_cached = true;
    }

    /// Records how it ended.
    pub(super) fn end(mut self, performed: Result<Performed, Fault>) -> Result<Performed, Fault> {
        match &performed {
            Ok(performed) => {
                self.is_cached = performed.is_cached;
                let entry = self
                    .outcome("ok")
                    .with_fact("rows", performed.encoded.row_count)
                    .with_fact("bytes", performed.encoded.byte_count)
                    .with_fact("truncated", performed.is_truncated);
                let entry = match performed.rows_written {
                    Some(count) => entry.with_fact("rows_written", count),
                    None => entry,
                };
                self.close(Outcome::Ok, entry);
            }
            Err(fault) => self.fail(fault),
        }
        performed
    }

    /// Records that all rows went out.
    pub(super) fn end_rows(self, end: RowsEnd) {
        let entry = self
            .outcome("ok")
            .with_fact("rows", end.row_count)
            .with_fact("truncated", end.is_truncated)
            .with_fact("complete", true);
        self.close(Outcome::Ok, entry);
    }

    /// Records that it failed.
    pub(super) fn fail(self, fault: &Fault) {
        self.figures.note_fault(fault);
        let mut entry = self.partial(self.outcome("failed"));
        entry.reason = certificate::reason(fault);
        self.close(Outcome::Failed, entry);
    }

    fn outcome(&self, status: &str) -> Entry {
        let completes = self.receipt.as_ref().map(|receipt| receipt.index);
        let latency_us = self.started.elapsed().as_micros();
        let entry = certificate::outcome(&self.request, completes, latency_us);
        let mut entry = entry.with_fact("status", status);
        if self.is_cached {
            entry = entry.with_fact("cached", true);
        }
        match self.streamed {
            Some(byte_count) => entry.with_fact("bytes", byte_count),
            None => entry,
        }
    }

    /// Says that rows went out, and not all.
    fn partial(&self, entry: Entry) -> Entry {
        match self.streamed {
            Some(_) => entry.with_fact("complete", false),
            None => entry,
        }
    }

    fn close(mut self, outcome: Outcome, entry: Entry) {
        self.is_ended = true;
        self.figures.note_ended(outcome);
        // Queued before the call returns, and written even if nobody waits for it.
        self.record.append_behind(entry);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.is_ended {
            self.figures.note_ended(Outcome::Cancelled);
            self.record
                .append_behind(self.partial(self.outcome("cancelled")));
        }
    }
}
