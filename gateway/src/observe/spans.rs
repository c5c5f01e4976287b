//! Spans of calls, for a collector of traces. A call that is sampled has a span, and below it one for
//! each step: its decision, its handler, its record.
//!
//! Nothing waits for a collector. Spans wait in memory, bounded, and are counted when they are dropped.

mod otlp;

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::Notify;
use uuid::Uuid;

use otlp::Collector;

use super::CallFigures;
use crate::{config::TelemetryConfig, limits::TraceParent};

/// Spans that wait to be sent; further ones are dropped.
const WAITING_MAX: usize = 8192;
/// Spans in one request to the collector.
const BATCH_MAX: usize = 512;
/// How long a span waits for others.
const EVERY: Duration = Duration::from_secs(1);
/// How long the last spans may take when the process ends.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Where spans go, if anywhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans(Option<Arc<Outbox>>);

/// Spans on their way, and what became of those before.
#[derive(Debug)]
struct Outbox {
    collector: Collector,
    /// The share of calls that are sampled, of those whose client decided nothing: of 2^32.
    share: u64,
    waiting: Mutex<Vec<Finished>>,
    /// Signalled when a batch is full.
    is_full: Notify,
    is_away: AtomicBool,
    sent: AtomicU64,
    dropped: AtomicU64,
    rejected: AtomicU64,
}

/// The span of a call that goes on.
#[derive(Debug)]
pub(crate) struct Span {
    outbox: Arc<Outbox>,
    trace_id: String,
    span_id: String,
    parent_id: Option<String>,
    time: Time,
}

/// A span of a step below that of its call; ended when it is dropped.
#[derive(Debug)]
#[must_use = "the step ends when it is dropped"]
pub(crate) struct Step(Option<(Arc<Span>, &'static str, Time)>);

/// When something began. What it took is measured by a clock that is never set.
#[derive(Clone, Copy, Debug)]
struct Time {
    began: SystemTime,
    clock: Instant,
}

/// A span that ended.
#[derive(Debug)]
struct Finished {
    trace_id: String,
    span_id: String,
    parent_id: Option<String>,
    name: String,
    is_call: bool,
    began: SystemTime,
    took: Duration,
    attributes: Vec<(&'static str, Value)>,
    has_failed: bool,
}

/// The value of an attribute.
#[derive(Debug)]
enum Value {
    Text(String),
    Number(u64),
    Flag(bool),
}

impl Time {
    fn now() -> Self {
        Self {
            began: SystemTime::now(),
            clock: Instant::now(),
        }
    }
}

/// A random span id.
fn span_id() -> String {
    let (_, id) = Uuid::new_v4().as_u64_pair();
    format!("{id:016x}")
}

impl Spans {
    /// Spans for the collector of the configuration, if it names one.
    ///
    /// # Errors
    /// A file that the configuration names cannot be read, or does not hold what it should.
    pub(crate) fn new(config: Option<&TelemetryConfig>) -> Result<Self, String> {
        let Some(config) = config else {
            return Ok(Self(None));
        };
        Ok(Self(Some(Arc::new(Outbox {
            collector: Collector::new(config)?,
            share: config.share_of_2_32(),
            waiting: Mutex::default(),
            is_full: Notify::new(),
            is_away: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        }))))
    }

    /// Sends spans for as long as the process runs.
    pub(crate) async fn keep_sending(self) {
        let Some(outbox) = self.0 else {
            return;
        };
        loop {
            let _ = tokio::time::timeout(EVERY, outbox.is_full.notified()).await;
            outbox.send_all().await;
        }
    }

    /// The span of a call that begins, if it is sampled: as its client says, else by chance.
    pub(crate) fn begin(&self, parent: Option<&TraceParent>) -> Option<Arc<Span>> {
        let outbox = self.0.as_ref()?;
        let id = Uuid::new_v4();
        let is_sampled = match parent {
            Some(parent) => parent.is_sampled,
            None => id.as_u128() & 0xffff_ffff < u128::from(outbox.share),
        };
        is_sampled.then(|| {
            Arc::new(Span {
                outbox: Arc::clone(outbox),
                trace_id: match parent {
                    Some(parent) => parent.trace_id.clone(),
                    None => id.simple().to_string(),
                },
                span_id: span_id(),
                parent_id: parent.map(|parent| parent.span_id.clone()),
                time: Time::now(),
            })
        })
    }

    /// Whether the collector does not take what it is sent; nothing if there is none.
    pub(crate) fn is_away(&self) -> Option<bool> {
        let outbox = self.0.as_ref()?;
        Some(outbox.is_away.load(Ordering::Relaxed))
    }

    /// What became of spans, as Prometheus reads it.
    pub(crate) fn prometheus(&self) -> String {
        let Some(outbox) = &self.0 else {
            return String::new();
        };
        let name = "dataos_spans_total";
        let counts = [
            ("sent", &outbox.sent),
            ("dropped", &outbox.dropped),
            ("rejected", &outbox.rejected),
        ];
        let lines = counts.iter().map(|(result, count)| {
            let count = count.load(Ordering::Relaxed);
            format!("{name}{{result=\"{result}\"}} {count}\n")
        });
        format!("# TYPE {name} counter\n{}", lines.collect::<String>())
    }

    /// Sends what still waits, for as long as that is worth it.
    pub(crate) async fn end(&self) {
        if let Some(outbox) = &self.0 {
            let _ = tokio::time::timeout(END_TIMEOUT, outbox.send_all()).await;
        }
    }
}

impl Span {
    /// The trace, for records.
    pub(crate) fn trace_id(&self) -> &str {
        &self.trace_id
    }

    /// Ends the span of a call. `index` is that of its record.
    pub(crate) fn end(&self, call: &CallFigures<'_>, index: Option<u64>) {
        let status = call.status.as_u16();
        let mut attributes = vec![
            ("http.request.method", Value::Text(call.method.to_owned())),
            ("http.route", Value::Text(call.route.to_owned())),
            ("http.response.status_code", Value::Number(status.into())),
            ("http.response.body.size", Value::Number(call.bytes)),
            ("dataos.request_id", Value::Text(call.request_id.to_owned())),
            ("dataos.denied", Value::Flag(call.is_denied)),
        ];
        if let Some(principal) = call.principal {
            attributes.push(("user.id", Value::Text(principal.uid.id.clone())));
        }
        if let Some(index) = index {
            attributes.push(("dataos.record", Value::Number(index)));
        }
        let has_failed = call.status.is_server_error();
        if has_failed {
            attributes.push(("error.type", Value::Text(status.to_string())));
        }
        self.outbox.push(Finished {
            trace_id: self.trace_id.clone(),
            span_id: self.span_id.clone(),
            parent_id: self.parent_id.clone(),
            name: format!("{} {}", call.method, call.route),
            is_call: true,
            began: self.time.began,
            took: self.time.clock.elapsed(),
            attributes,
            has_failed,
        });
    }
}

impl Step {
    /// A step of a call begins; without a span it is nothing.
    pub(crate) fn of(span: Option<&Arc<Span>>, name: &'static str) -> Self {
        Self(span.map(|span| (Arc::clone(span), name, Time::now())))
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some((span, name, time)) = self.0.take() {
            span.outbox.push(Finished {
                trace_id: span.trace_id.clone(),
                span_id: span_id(),
                parent_id: Some(span.span_id.clone()),
                name: name.to_owned(),
                is_call: false,
                began: time.began,
                took: time.clock.elapsed(),
                attributes: Vec::new(),
                has_failed: false,
            });
        }
    }
}

impl Outbox {
    fn push(&self, span: Finished) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.push(span);
        let is_full = waiting.len() == BATCH_MAX;
        drop(waiting);
        if is_full {
            self.is_full.notify_one();
        }
    }

    /// The spans that waited longest, at most a batch.
    fn take(&self) -> Vec<Finished> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() <= BATCH_MAX {
            return mem::take(&mut waiting);
        }
        waiting.drain(..BATCH_MAX).collect()
    }

    async fn send_all(&self) {
        loop {
            let batch = self.take();
            if batch.is_empty() {
                return;
            }
            let count = batch.len() as u64;
            let result = self.collector.send(&batch).await;
            let was_away = self.is_away.swap(result.is_err(), Ordering::Relaxed);
            match result {
                Ok(rejected) => {
                    self.rejected.fetch_add(rejected, Ordering::Relaxed);
                    let taken = count.saturating_sub(rejected);
                    self.sent.fetch_add(taken, Ordering::Relaxed);
                    if was_away {
                        tracing::info!("the collector of traces takes spans again");
                    }
                }
                Err(why) => {
                    self.dropped.fetch_add(count, Ordering::Relaxed);
                    if !was_away {
                        tracing::warn!(why, "spans are dropped: the collector does not take them");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
