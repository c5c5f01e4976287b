//! The stream between TLS and the HTTP library: nothing malformed passes, nobody holds a connection
//! for nothing, and a refusal is read by the peer before its connection ends.
//!
//! A malformed head of HTTP/1 is replaced by a plain one, whose call is answered with the refusal in
//! its turn, behind the answers to earlier heads. A flood of HTTP/2 frames is replaced by a frame
//! that no peer may send, so that the library says goodbye (GOAWAY) itself.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::wire::Wire;
use crate::{
    config::Limits,
    limits::{
        Refusal,
        wire::{Broken, Frames, FramesSent, Messages, Sent},
    },
};

/// Bytes read at a time of HTTP/1.
const READ_BYTES: usize = 4 << 10;
/// Stands for a malformed head; the answer to it is the refusal.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";
/// DATA on stream 0 is a connection error (RFC 9113, 6.1).
const NO_FRAMES: [u8; READ_BYTES] = [0; READ_BYTES];
/// Enough of it to fill up the longest frame that has begun, and one more.
const NO_FRAME_BYTES_MAX: usize = (16 << 10) + 64;
/// How soon a busy connection looks whether it is idle.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Longest time, and most bytes, that are read of a peer behind our last word so that it can read that:
/// closing with bytes unread would reset the connection and with it the answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 256 << 10;

/// What is spoken on a connection.
#[derive(Debug)]
enum Spoken {
    Http1(Messages),
    Http2(Box<(Frames, FramesSent)>),
}

/// Tells of a refusal that is no call; given its reason code.
pub(super) type Tell = Box<dyn Fn(&'static str) + Send + Sync>;

/// A stream that refuses what is malformed, too slow or too much.
pub(super) struct Guarded<S: AsyncRead + AsyncWrite + Unpin> {
    inner: S,
    wire: Arc<Wire>,
    limits: Limits,
    tell: Tell,
    spoken: Spoken,
    /// Checked bytes that the HTTP library has not read, from `passed_at`.
    passed: Vec<u8>,
    passed_at: usize,
    /// What is wrong with a body; it ends with this error.
    broken_body: Option<Refusal>,
    /// Nothing more is read for the HTTP library.
    is_refused: bool,
    /// The age of the connection when the running head began.
    head_since: Option<Duration>,
    /// The age of the connection when part of an answer was last taken by the peer's side.
    sent_at: Duration,
    timer: Pin<Box<Sleep>>,
    /// Writing waits for the peer.
    is_unsent: bool,
    /// Bytes of [`NO_FRAMES`] that were given to the HTTP library.
    no_frame_bytes: usize,
    /// Bytes read behind our last word.
    lingered_bytes: usize,
    /// When the lingering ends.
    lingers_until: Option<Duration>,
    /// Our side is closed.
    is_shut: bool,
}

/// Why time is up.
enum Late {
    Head,
    Idle,
    Send,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guarded<S> {
    pub(super) fn new(
        inner: S,
        is_http2: bool,
        wire: Arc<Wire>,
        limits: Limits,
        tell: Tell,
    ) -> Self {
        Self {
            inner,
            wire,
            limits,
            tell,
            spoken: if is_http2 {
                Spoken::Http2(Box::default())
            } else {
                Spoken::Http1(Messages::default())
            },
            passed: Vec::new(),
            passed_at: 0,
            broken_body: None,
            is_refused: false,
            head_since: None,
            sent_at: Duration::ZERO,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            is_unsent: false,
            no_frame_bytes: 0,
            lingered_bytes: 0,
            lingers_until: None,
            is_shut: false,
        }
    }

    /// Ready when time is up; else the task is woken when it will be, or may be.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<Late> {
        let age = self.wire.age();
        // Each is looked at once, as calls of HTTP/2 end on other threads; a call becomes an answer before it
        // is none, so that one of the two is seen.
        let has_calls = self.wire.has_calls();
        let is_sending = self.is_unsent || self.wire.has_answers();
        let (until, late) = if is_sending {
            let since = self.sent_at.max(self.wire.busy_until());
            (since + self.limits.send_timeout, Late::Send)
        } else if has_calls {
            // The call has its own times.
            (Duration::MAX, Late::Idle)
        } else if let Some(since) = self.head_since {
            // While there was a call, nobody read the head behind it.
            let since = since.max(self.wire.busy_until());
            (since + self.limits.head_timeout, Late::Head)
        } else if self.wire.has_spoken() {
            let since = self.wire.busy_until();
            (since + self.limits.idle_timeout, Late::Idle)
        } else {
            (self.limits.head_timeout, Late::Idle)
        };
        if until <= age {
            return Poll::Ready(late);
        }
        // The library does not read again when a call or an answer ends, so look again by ourselves.
        let again = match is_sending || has_calls {
            true => until.min(age + LOOK_AGAIN),
            false => until,
        };
        if self.poll_until(again, context).is_ready() {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Ready at this age of the connection.
    fn poll_until(&mut self, until: Duration, context: &mut Context<'_>) -> Poll<()> {
        let Some(left) = until.checked_sub(self.wire.age()) else {
            return Poll::Ready(());
        };
        let at = tokio::time::Instant::now() + left;
        self.timer.as_mut().reset(at);
        self.timer.as_mut().poll(context)
    }

    /// Reads of HTTP/1 until there is something to pass on.
    fn poll_messages(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.passed_at < self.passed.len() {
                self.pass_on(buffer);
                return Poll::Ready(Ok(()));
            }
            if let Some(refusal) = self.broken_body.take() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, refusal)));
            }
            if self.is_refused {
                ready!(self.poll_linger(context));
                // Its end is no end of the call that is being answered.
                return Poll::Pending;
            }
            let mut space = [MaybeUninit::uninit(); READ_BYTES];
            let mut read = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.inner).poll_read(context, &mut read) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() => self.take(read.filled()),
                Poll::Ready(ended) => return Poll::Ready(ended),
                Poll::Pending => match ready!(self.poll_late(context)) {
                    Late::Idle => return Poll::Ready(Ok(())),
                    Late::Send => return Poll::Ready(Err(self.send_late())),
                    Late::Head => self.head_late(),
                },
            }
        }
    }

    fn pass_on(&mut self, buffer: &mut ReadBuf<'_>) {
        let rest = self.passed.get(self.passed_at..).unwrap_or_default();
        let part = rest.get(..buffer.remaining()).unwrap_or(rest);
        buffer.put_slice(part);
        self.passed_at += part.len();
        if self.passed_at == self.passed.len() {
            // An idle connection holds none of it.
            self.passed = Vec::new();
            self.passed_at = 0;
        }
    }

    fn take(&mut self, input: &[u8]) {
        let Spoken::Http1(messages) = &mut self.spoken else {
            return;
        };
        let taken = messages.take(input, &mut self.passed);
        self.head_since = match messages.is_within_head() {
            true => self.head_since.or_else(|| Some(self.wire.age())),
            false => None,
        };
        if let Err(broken) = taken {
            self.refuse(broken);
        }
    }

    fn head_late(&mut self) {
        let refusal = Refusal::new(
            http::StatusCode::REQUEST_TIMEOUT,
            "head_timeout",
            "the request head did not arrive in time",
        );
        if let Spoken::Http1(messages) = &mut self.spoken {
            let broken = messages.refuse(refusal);
            self.refuse(broken);
        }
    }

    fn refuse(&mut self, broken: Broken) {
        self.is_refused = true;
        self.head_since = None;
        if !broken.in_head {
            self.broken_body = Some(broken.refusal);
        } else if let Spoken::Http1(messages) = &self.spoken {
            self.wire.refuse(messages.heads(), broken.refusal);
            self.passed.extend_from_slice(STAND_IN);
        }
    }

    fn send_late(&self) -> io::Error {
        (self.tell)("send_timeout");
        io::Error::new(io::ErrorKind::TimedOut, "the peer does not read its answer")
    }

    /// Reads of HTTP/2, counting frames.
    fn poll_frames(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_refused {
            if self.no_frame_bytes >= NO_FRAME_BYTES_MAX {
                ready!(self.poll_linger(context));
                return Poll::Ready(Ok(()));
            }
            let room = buffer.remaining().min(READ_BYTES);
            buffer.put_slice(NO_FRAMES.get(..room).unwrap_or_default());
            self.no_frame_bytes += room;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                let now_s = self.wire.age().as_secs();
                let new = buffer.filled().get(before..).unwrap_or_default();
                if let Spoken::Http2(frames) = &mut self.spoken
                    && let Err(flood) = frames.0.take(new, now_s)
                {
                    (self.tell)(flood.reason);
                    self.is_refused = true;
                    buffer.set_filled(before + flood.passed_bytes);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => match ready!(self.poll_late(context)) {
                Late::Send => Poll::Ready(Err(self.send_late())),
                Late::Idle | Late::Head => Poll::Ready(Ok(())),
            },
        }
    }

    /// Reads and forgets; ready when the peer ends, or has had its time or bytes.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let age = self.wire.age();
        let until = *self.lingers_until.get_or_insert(age + LINGER);
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        while self.lingered_bytes < LINGER_BYTES_MAX {
            let mut read = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.inner).poll_read(context, &mut read) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    self.lingered_bytes += read.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.poll_until(until, context),
            }
        }
        Poll::Ready(())
    }

    /// Notes what was written.
    fn note_sent(&mut self, parts: &[IoSlice<'_>], mut bytes: usize) {
        let mut sent = Sent {
            has_answer: matches!(self.spoken, Spoken::Http1(_)),
            refused: None,
        };
        if let Spoken::Http2(frames) = &mut self.spoken {
            for part in parts {
                let part = part.get(..bytes).unwrap_or(part);
                bytes -= part.len();
                let here = frames.1.take(part);
                sent.has_answer |= here.has_answer;
                sent.refused = sent.refused.or(here.refused);
            }
        }
        if sent.has_answer {
            self.sent_at = self.wire.age();
        }
        if let Some(reason) = sent.refused
            && !self.is_refused
        {
            (self.tell)(reason);
        }
    }

    /// What waits for its peer waits so long and no longer.
    fn poll_unsent<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.is_unsent = true;
        match self.poll_late(context) {
            Poll::Ready(Late::Send) => Poll::Ready(Err(self.send_late())),
            _ => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.spoken {
            Spoken::Http1(_) => this.poll_messages(context, buffer),
            Spoken::Http2(_) => this.poll_frames(context, buffer),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_write_vectored(context, parts) {
            Poll::Ready(Ok(bytes)) => {
                this.is_unsent = false;
                this.note_sent(parts, bytes);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.poll_unsent(context),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_flush(context) {
            Poll::Pending => this.poll_unsent(context),
            done => {
                this.is_unsent = false;
                done
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_shut {
            ready!(Pin::new(&mut this.inner).poll_shutdown(context))?;
            this.is_shut = true;
        }
        // What the peer of HTTP/1 sent before it heard of the end would reset the connection; that of HTTP/2 has
        // heard of it before.
        if this.is_refused || matches!(this.spoken, Spoken::Http1(_)) {
            ready!(this.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Drop for Guarded<S> {
    fn drop(&mut self) {
        // Where the library gave up, nobody has said goodbye yet. Behind an answer that is not whole nobody
        // may: to some clients its end is that of the connection.
        if !self.is_shut && !self.wire.is_cut() {
            let mut context = Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut self.inner).poll_shutdown(&mut context);
        }
    }
}

#[cfg(test)]
mod tests;
