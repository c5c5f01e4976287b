//! A body whose parts are made while it is sent, and the record of how that ended.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use dataos_model::{
    fault::Fault,
    query::{RowPart, RowStream, RowsEnd},
    record::Entry,
    seams::Record,
};
use http::{HeaderMap, HeaderValue};
use hyper::body::Frame;

use super::{ROW_COUNT, TRUNCATED, events::Events};

/// An answer that ends before its end: the connection or stream is cut, so that no client takes what it
/// has for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut off")]
pub(crate) struct CutOff(#[source] pub(crate) Fault);

/// What such a body is made of.
pub(super) enum Source {
    Rows(Box<dyn RowStream>),
    Events(Events),
}

/// Parts on their way into a body.
pub(crate) struct Streamed {
    source: Source,
    sent_bytes: u64,
    outcome: Option<Outcome>,
    has_ended: bool,
}

/// The record of how an answer ended, but for its end.
struct Outcome {
    record: Arc<dyn Record>,
    entry: Entry,
    started: Instant,
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed")
            .field("sent_bytes", &self.sent_bytes)
            .finish_non_exhaustive()
    }
}

impl Streamed {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            sent_bytes: 0,
            outcome: None,
            has_ended: false,
        }
    }

    /// Records its end with this entry.
    pub(super) fn record(&mut self, record: Arc<dyn Record>, entry: Entry, started: Instant) {
        self.outcome = Some(Outcome {
            record,
            entry,
            started,
        });
    }

    /// Asks what may go on for ever to end in order; what has an end of its own is left to it.
    pub(super) fn wind_up(&self) {
        if let Source::Events(events) = &self.source {
            events.wind_up();
        }
    }

    /// The next part; nothing comes behind trailers.
    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        match &mut self.source {
            Source::Rows(rows) => {
                let part = ready!(rows.poll_part(context));
                Poll::Ready(Some(self.row_frame(part)))
            }
            Source::Events(events) => {
                let (text, ended) = ready!(events.poll_part(context));
                self.sent_bytes += text.len() as u64;
                if let Some(reason) = ended {
                    self.end(|entry| entry.with_fact("ended", reason), true);
                }
                Poll::Ready(Some(Ok(Frame::data(text))))
            }
        }
    }

    fn row_frame(&mut self, part: Result<RowPart, Fault>) -> Result<Frame<Bytes>, CutOff> {
        match part {
            Ok(RowPart::Chunk(chunk)) => {
                self.sent_bytes += chunk.len() as u64;
                Ok(Frame::data(chunk))
            }
            Ok(RowPart::End(end)) => {
                self.end(|entry| entry.with_fact("rows", end.row_count), true);
                Ok(Frame::trailers(trailers(end)))
            }
            Err(fault) => {
                tracing::warn!(%fault, "an answer was cut off");
                let reason = fault.reason.clone();
                self.end(|entry| entry.with_fact("reason", reason), false);
                Err(CutOff(fault))
            }
        }
    }

    fn end(&mut self, with: impl FnOnce(Entry) -> Entry, is_complete: bool) {
        self.has_ended = true;
        let Some(outcome) = self.outcome.take() else {
            return;
        };
        let mut entry = with(outcome.entry)
            .with_fact("bytes", self.sent_bytes)
            .with_fact("complete", is_complete)
            .with_fact("latency_us", outcome.started.elapsed().as_micros());
        if let Source::Events(events) = &self.source {
            entry = entry.with_fact("events", events.count());
        }
        outcome.record.append_behind(entry);
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(|entry| entry.with_fact("problem", "cancelled"), false);
        }
    }
}

fn trailers(end: RowsEnd) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert(ROW_COUNT, HeaderValue::from(end.row_count));
    trailers.insert(TRUNCATED, truncated(end.is_truncated));
    trailers
}

/// Whether rows were left out.
pub(crate) fn truncated(is_truncated: bool) -> HeaderValue {
    HeaderValue::from_static(if is_truncated { "true" } else { "false" })
}
