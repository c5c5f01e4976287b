//! What the stream of a connection and the calls on it know of each other.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::{
    limits::Refusal,
    respond::{AnswerBody, CutOff},
};

/// Shared by both sides of one connection.
#[derive(Debug)]
pub(super) struct Wire {
    opened: Instant,
    /// The connection takes no further calls.
    is_last: Arc<AtomicBool>,
    /// Calls that began.
    calls: AtomicU64,
    /// Calls without an answer yet.
    calls_open: AtomicUsize,
    /// Answers that are not sent whole yet.
    answers_open: AtomicUsize,
    /// An answer was given up before its end.
    is_cut: AtomicBool,
    /// When the last call or answer ended, in milliseconds since `opened`.
    busy_until_ms: AtomicU64,
    /// The number of the call that stands for a malformed head, and why that is refused.
    refusal: Mutex<Option<(u64, Refusal)>>,
}

impl Wire {
    pub(super) fn new(is_last: Arc<AtomicBool>) -> Self {
        Self {
            opened: Instant::now(),
            is_last,
            calls: AtomicU64::new(0),
            calls_open: AtomicUsize::new(0),
            answers_open: AtomicUsize::new(0),
            is_cut: AtomicBool::new(false),
            busy_until_ms: AtomicU64::new(0),
            refusal: Mutex::new(None),
        }
    }

    /// Says that the call behind `heads` good ones will stand for a malformed head.
    pub(super) fn refuse(&self, heads: u64, refusal: Refusal) {
        let mut slot = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some((heads, refusal));
    }

    /// A call begins; with a refusal if it stands for a malformed head.
    pub(super) fn begin(self: &Arc<Self>) -> (OpenCall, Option<Refusal>) {
        let number = self.calls.fetch_add(1, Ordering::AcqRel);
        self.calls_open.fetch_add(1, Ordering::AcqRel);
        let slot = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        let refusal = slot.as_ref().filter(|(refused, _)| *refused == number);
        let refusal = refusal.map(|(_, refusal)| refusal.clone());
        (OpenCall(Arc::clone(self)), refusal)
    }

    /// Whether the connection takes no further calls.
    pub(super) fn is_last(&self) -> bool {
        self.is_last.load(Ordering::Relaxed)
    }

    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    pub(super) fn has_calls(&self) -> bool {
        self.calls_open.load(Ordering::Acquire) > 0
    }

    pub(super) fn has_answers(&self) -> bool {
        self.answers_open.load(Ordering::Acquire) > 0
    }

    /// Whether an answer is not whole: one that was given up, or that is still being sent.
    pub(super) fn is_cut(&self) -> bool {
        self.has_answers() || self.is_cut.load(Ordering::Acquire)
    }

    /// Whether there was ever a call.
    pub(super) fn has_spoken(&self) -> bool {
        self.calls.load(Ordering::Acquire) > 0
    }

    /// When the last call or answer ended, as an age of the connection.
    pub(super) fn busy_until(&self) -> Duration {
        Duration::from_millis(self.busy_until_ms.load(Ordering::Acquire))
    }

    fn note_cut(&self) {
        self.is_cut.store(true, Ordering::Release);
    }

    fn note_end(&self) {
        let age_ms = u64::try_from(self.age().as_millis()).unwrap_or(u64::MAX);
        self.busy_until_ms.fetch_max(age_ms, Ordering::AcqRel);
    }
}

/// A call that has no answer yet.
#[derive(Debug)]
pub(super) struct OpenCall(Arc<Wire>);

impl OpenCall {
    /// The answer is there; its body is open until it is sent or given up.
    pub(super) fn answered(self, body: AnswerBody) -> OpenAnswer {
        self.0.answers_open.fetch_add(1, Ordering::AcqRel);
        OpenAnswer {
            body,
            wire: Arc::clone(&self.0),
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.note_end();
        self.0.calls_open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The body of an answer that is being sent.
#[derive(Debug)]
pub(super) struct OpenAnswer {
    body: AnswerBody,
    wire: Arc<Wire>,
}

impl Drop for OpenAnswer {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            self.wire.note_cut();
        }
        self.wire.note_end();
        self.wire.answers_open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Body for OpenAnswer {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.wire.is_last() {
            // What may go on for ever looks a few times a second, and is asked here each time.
            self.body.wind_up();
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if matches!(frame, Some(Err(_))) {
            self.wire.note_cut();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
