//! The access log as JSON: one line a call, written together. A line of its own for each would cost more
//! than the decision that it tells of.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::CallFigures;

/// The target of these lines, for filters such as `dataos::call=off`.
pub(super) const TARGET: &str = "dataos::call";

/// How long a line waits for others.
const EVERY: Duration = Duration::from_millis(50);
/// Most bytes that wait; lines beyond are counted, for when nobody reads what we write.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// The lines of this process, once logging was started with JSON.
static LINES: OnceLock<Arc<Lines>> = OnceLock::new();

#[derive(Debug, Default)]
struct Lines {
    waiting: Mutex<Waiting>,
    /// Signalled when there is something to write.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    dropped: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: &'a str,
    level: &'static str,
    request_id: &'a str,
    method: &'a str,
    route: &'static str,
    status: u16,
    denied: bool,
    principal: &'a str,
    bytes: u64,
    took_us: u64,
    target: &'static str,
}

#[derive(Serialize)]
struct Dropped<'a> {
    timestamp: &'a str,
    level: &'static str,
    message: &'static str,
    lines: u64,
    target: &'static str,
}

/// Writes what waits when the process is done.
#[derive(Debug)]
#[must_use = "lines that still wait are written when it is dropped"]
pub struct LogEnd(());

impl LogEnd {
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl Drop for LogEnd {
    fn drop(&mut self) {
        if let Some(lines) = LINES.get() {
            lines.write();
        }
    }
}

/// From now on, lines of calls are JSON and written together.
pub(super) fn start() -> io::Result<()> {
    let lines: Arc<Lines> = Arc::default();
    let written = Arc::clone(&lines);
    if LINES.set(lines).is_ok() {
        let thread = thread::Builder::new().name("dataos-log".to_owned());
        thread.spawn(move || written.keep_writing())?;
    }
    Ok(())
}

/// Takes the line of a call; false if lines are not written here.
pub(super) fn add(call: &CallFigures<'_>, took_us: u64) -> bool {
    let Some(lines) = LINES.get() else {
        return false;
    };
    lines.add(&Line {
        timestamp: &now(),
        level: "INFO",
        request_id: call.request_id,
        method: call.method,
        route: call.route,
        status: call.status.as_u16(),
        denied: call.is_denied,
        principal: call.principal(),
        bytes: call.bytes,
        took_us,
        target: TARGET,
    });
    true
}

fn now() -> String {
    let now = OffsetDateTime::now_utc();
    now.format(&Rfc3339).unwrap_or_default()
}

impl Lines {
    fn add(&self, line: &impl Serialize) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.bytes.len() >= WAITING_BYTES_MAX {
            waiting.dropped += 1;
            return;
        }
        let is_first = waiting.bytes.is_empty();
        waiting.put(line);
        drop(waiting);
        if is_first {
            self.changed.notify_one();
        }
    }

    fn keep_writing(&self) {
        loop {
            let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = self
                .changed
                .wait_while(waiting, |waiting| waiting.bytes.is_empty());
            drop(waiting);
            thread::sleep(EVERY);
            self.write();
        }
    }

    /// Writes all that waits. That nobody reads it is no reason to stop.
    fn write(&self) {
        let _ = io::stderr().write_all(&self.take());
    }

    fn take(&self) -> Vec<u8> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = mem::take(&mut waiting.dropped);
        if dropped > 0 {
            waiting.put(&Dropped {
                timestamp: &now(),
                level: "WARN",
                message: "lines of calls were dropped: they are read too slowly",
                lines: dropped,
                target: TARGET,
            });
        }
        mem::take(&mut waiting.bytes)
    }
}

impl Waiting {
    fn put(&mut self, line: &impl Serialize) {
        // Writing to memory does not fail, and every key is a text.
        let _ = serde_json::to_writer(&mut self.bytes, line);
        self.bytes.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_and_what_was_dropped_is_counted() {
        let lines = Lines::default();
        let long = "x".repeat(1 << 20);
        (0..7).for_each(|_| lines.add(&long));
        let taken = lines.take();
        let taken = String::from_utf8(taken).unwrap();
        let taken: Vec<&str> = taken.lines().collect();
        assert_eq!(taken.len(), 5);
        let last: serde_json::Value = serde_json::from_str(taken[4]).unwrap();
        assert_eq!(
            (&last["level"], &last["lines"]),
            (&"WARN".into(), &3.into())
        );
        lines.add(&"next");
        assert_eq!(lines.take(), b"\"next\"\n");
    }
}
