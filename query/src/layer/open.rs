//! The records of one statement: its decision, then how it ended.

use std::time::Instant;

use dataos_model::{
    fault::Fault,
    query::QueryRequest,
    record::{Entry, Receipt},
    seams::{BoxFuture, Record},
};

use super::Performed;
use crate::certificate;

/// A recorded decision whose outcome is not recorded yet. Dropped before its end, it records that
/// the caller went away.
pub(super) struct Open<'a> {
    record: &'a dyn Record,
    request: &'a QueryRequest,
    started: Instant,
    pending: Option<BoxFuture<Result<Receipt, Fault>>>,
    receipt: Option<Receipt>,
    is_ended: bool,
}

impl<'a> Open<'a> {
    /// Queues the decision's record.
    pub(super) fn new(
        record: &'a dyn Record,
        request: &'a QueryRequest,
        started: Instant,
        decision: Entry,
    ) -> Self {
        let pending = Some(record.append(decision));
        Self {
            record,
            request,
            started,
            pending,
            receipt: None,
            is_ended: false,
        }
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

    fn outcome(&self) -> Entry {
        let completes = self.receipt.as_ref().map(|receipt| receipt.index);
        certificate::outcome(self.request, completes, self.started.elapsed().as_micros())
    }

    /// Records how it ended.
    pub(super) fn end(mut self, performed: Result<Performed, Fault>) -> Result<Performed, Fault> {
        self.is_ended = true;
        let entry = match &performed {
            Ok(performed) => {
                let entry = self
                    .outcome()
                    .with_fact("status", "ok")
                    .with_fact("rows", performed.encoded.row_count)
                    .with_fact("bytes", performed.encoded.byte_count)
                    .with_fact("truncated", performed.is_truncated);
                match performed.rows_written {
                    Some(count) => entry.with_fact("rows_written", count),
                    None => entry,
                }
            }
            Err(fault) => {
                let reason = certificate::reason(fault);
                let mut entry = self.outcome().with_fact("status", "failed");
                entry.reason = reason;
                entry
            }
        };
        // Queued before the call returns, and written even if nobody waits for it.
        self.record.append_behind(entry);
        performed
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.is_ended {
            self.record
                .append_behind(self.outcome().with_fact("status", "cancelled"));
        }
    }
}
