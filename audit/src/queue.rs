//! The queue between callers and the committer: bounded, first in first out, shut to new work while
//! the disk is full, closed for good once the log stops.
//!
//! What waits is committed by whoever took it: as a rule the committer's thread, and on a quiet log the caller
//! whose entry came alone ([`Turn`]), which saves two changes of thread. Nobody takes before the one who took
//! last is done.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dataos_model::{
    fault::Fault,
    record::{Entry, EntryKind},
};
use tokio::sync::oneshot;

use crate::{
    codec::{self, Prepared},
    commit::Committed,
    full::{self, Full},
};

/// Most bytes that may wait: entries near the size limit fill memory before they fill the queue.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Longest time that entries for which nobody waits are held back for one that somebody waits for. They
/// share its sync: outcomes would otherwise cost as many syncs as decisions, and delay them.
const BEHIND_MAX: Duration = Duration::from_millis(20);

/// Longest rest between two batches, and how many entries end it.
const REST_MAX: Duration = Duration::from_micros(300);
const REST_ENTRIES: usize = 16;

/// For how long nothing was committed on a log that is quiet. A busy one has gaps of 100 us too; who led in one
/// would hold up the others, and hand over his runtime's thread, for the sake of one entry.
const QUIET: Duration = Duration::from_micros(500);

/// What an entry may still use of a disk that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Nothing: it begins something.
    New,
    /// The reserve: it ends what an earlier entry began.
    Completion,
    /// The last bytes: it says how the log itself fares.
    Last,
}

impl Rank {
    /// The rank of a caller's entry.
    pub(crate) fn of(entry: &Entry) -> Self {
        if entry.kind == EntryKind::Outcome || entry.completes.is_some() {
            Self::Completion
        } else {
            Self::New
        }
    }
}

/// An entry that waits, and who waits for it.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) prepared: Prepared,
    pub(crate) rank: Rank,
    pub(crate) waiter: oneshot::Sender<Result<Committed, Fault>>,
    /// Whether somebody waits.
    pub(crate) is_awaited: bool,
}

impl Pending {
    /// An entry of the log's own, for which nobody waits.
    pub(crate) fn own(entry: &Entry) -> Result<Self, Fault> {
        let (waiter, _) = oneshot::channel();
        Ok(Self {
            prepared: codec::prepare(entry)?,
            rank: Rank::Last,
            waiter,
            is_awaited: false,
        })
    }
}

/// The turn of a caller to commit what it took. The committer waits until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    queue: &'a Queue,
    pub(crate) waiting: VecDeque<Pending>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.is_led = false;
        state.worked_at = Some(Instant::now());
        let wakes = state.is_closed || !state.pending.is_empty();
        drop(state);
        if wakes {
            self.queue.changed.notify_one();
        }
    }
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Queue {
    entries_max: usize,
    state: Mutex<State>,
    /// Signalled when there is something for the committer to do: see [`Queue::take`].
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pending: VecDeque<Pending>,
    bytes: usize,
    /// How many of them somebody waits for.
    awaited: usize,
    /// Whether the committer sleeps until anything comes.
    is_idle: bool,
    /// Whether it rests until [`REST_ENTRIES`] wait, whoever waits for them.
    is_resting: bool,
    /// Whether the committer commits what it took.
    is_working: bool,
    /// Whether a caller does.
    is_led: bool,
    /// When the newest commit ended.
    worked_at: Option<Instant>,
    /// Set by `close` and `stop`, never unset.
    is_closed: bool,
    /// Why the log takes no entries any more.
    stopped: Option<String>,
    /// Set while the disk is full.
    full: Option<Full>,
}

impl State {
    fn take(&mut self) -> VecDeque<Pending> {
        self.bytes = 0;
        self.awaited = 0;
        std::mem::take(&mut self.pending)
    }

    /// Ends the state of a full disk, with an entry that counts what was refused.
    fn end_full(&mut self) {
        if let Some(full) = self.full.take() {
            let refused = full.refused;
            tracing::warn!(refused, "the audit log is no longer full");
            self.pending.extend(Pending::own(&full.ended()).ok());
        }
    }
}

impl Queue {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self {
            entries_max,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change of the state is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry at the end.
    pub(crate) fn push(&self, pending: Pending) -> Result<(), Fault> {
        self.push_to(self.lock(), pending)
    }

    fn push_to(&self, mut state: MutexGuard<'_, State>, pending: Pending) -> Result<(), Fault> {
        let wakes = self.add(&mut state, pending)?;
        drop(state);
        if wakes {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Adds an entry at the end. On a quiet log it is the caller's turn to commit what waits.
    pub(crate) fn push_or_lead(&self, pending: Pending) -> Result<Option<Turn<'_>>, Fault> {
        let mut state = self.lock();
        let is_quiet = state
            .worked_at
            .is_none_or(|worked_at| worked_at.elapsed() >= QUIET);
        if !is_quiet || state.is_working || state.is_led || state.is_resting {
            self.push_to(state, pending)?;
            return Ok(None);
        }
        self.add(&mut state, pending)?;
        state.is_led = true;
        let waiting = state.take();
        Ok(Some(Turn {
            queue: self,
            waiting,
        }))
    }

    /// Adds an entry; whether the committer is to be woken for it.
    fn add(&self, state: &mut State, pending: Pending) -> Result<bool, Fault> {
        if state.is_closed {
            return Err(refusal(state.stopped.as_deref()));
        }
        if let Some(full) = &mut state.full
            && pending.rank == Rank::New
        {
            full.refused += 1;
            return Err(full::refusal());
        }
        let bytes = state.bytes + pending.prepared.bytes();
        if state.pending.len() >= self.entries_max || bytes > QUEUE_BYTES_MAX {
            let message = format!(
                "the audit log cannot keep up: {} entries wait to be written",
                state.pending.len()
            );
            return Err(Fault::unavailable(message)
                .with_reason("audit_queue_full")
                .with_hint("try again in a second"));
        }
        let was_due = self.is_due(state);
        state.bytes = bytes;
        state.awaited += usize::from(pending.is_awaited);
        state.pending.push_back(pending);
        // Who leads wakes it at the end.
        Ok(!state.is_led && (state.is_idle || !was_due && self.is_due(state)))
    }

    /// Whether what waits is to be written at once: somebody waits for it, or it is half of what may wait.
    fn is_due(&self, state: &State) -> bool {
        let enough = if state.is_resting { REST_ENTRIES } else { 1 };
        state.awaited >= enough
            || state.is_closed
            || state.pending.len() >= self.entries_max.div_ceil(2)
            || state.bytes >= QUEUE_BYTES_MAX / 2
    }

    /// Takes everything that waits; waits for it if need be. Empty once closed and drained. Who rests
    /// first takes more at once.
    pub(crate) fn take(&self, rests: bool) -> VecDeque<Pending> {
        let mut state = self.lock();
        if std::mem::take(&mut state.is_working) {
            state.worked_at = Some(Instant::now());
        }
        if rests {
            state = self.rest(state);
        }
        let mut deadline = Instant::now() + BEHIND_MAX;
        while state.is_led || !self.is_due(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            state = if !left.is_zero() {
                let waited = self.changed.wait_timeout(state, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            } else if state.is_led || state.pending.is_empty() {
                state.is_idle = true;
                let waited = self.changed.wait(state);
                let mut state = waited.unwrap_or_else(PoisonError::into_inner);
                state.is_idle = false;
                deadline = Instant::now() + BEHIND_MAX;
                state
            } else {
                break;
            };
        }
        state.is_working = true;
        state.take()
    }

    /// Waits for [`REST_ENTRIES`] that somebody waits for, or for [`REST_MAX`].
    fn rest<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.is_resting = true;
        let deadline = Instant::now() + REST_MAX;
        while !self.is_due(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.is_resting = false;
        state
    }

    /// Adds a last entry, if one is given, beyond any bound, and takes no more; false if the queue
    /// was closed before.
    pub(crate) fn close(&self, last: Option<Pending>) -> bool {
        let mut state = self.lock();
        if state.is_closed {
            return false;
        }
        state.is_closed = true;
        state.stopped = Some("it is closed".to_owned());
        state.end_full();
        state.pending.extend(last);
        drop(state);
        self.changed.notify_one();
        true
    }

    /// Takes no more, and returns what still waited: it will not be written.
    pub(crate) fn stop(&self, why: &str) -> VecDeque<Pending> {
        let mut state = self.lock();
        state.is_closed = true;
        state.stopped = Some(why.to_owned());
        state.full = None;
        std::mem::take(&mut state.pending)
    }

    /// Refuses new work from now on, since the disk is full; false if it is refused already.
    pub(crate) fn fill(&self) -> bool {
        let mut state = self.lock();
        if state.is_closed || state.full.is_some() {
            return false;
        }
        state.full = Some(Full::new());
        true
    }

    /// Refuses an entry that was queued and does not fit the full disk.
    pub(crate) fn refuse(&self, pending: Pending) {
        if let Some(full) = &mut self.lock().full {
            full.refused += 1;
        }
        let _ = pending.waiter.send(Err(full::refusal()));
    }

    /// Takes new work again, if it was refused because the disk was full.
    pub(crate) fn resume(&self) {
        let mut state = self.lock();
        if !state.is_closed {
            state.end_full();
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Why the log takes no new work for now, if it does not.
    pub(crate) fn full(&self) -> Option<String> {
        self.lock().full.as_ref().map(|_| full::WHY.to_owned())
    }

    /// Number of entries that wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().pending.len()
    }

    /// Why the log takes no entries any more, if it does not.
    pub(crate) fn stopped(&self) -> Option<String> {
        self.lock().stopped.clone()
    }
}

/// What a caller is told when the log takes no entries.
pub(crate) fn refusal(why: Option<&str>) -> Fault {
    let why = why.unwrap_or("it is closed");
    Fault::unavailable(format!("the audit log takes no entries: {why}"))
        .with_reason("audit_stopped")
        .with_hint("repair the cause and start the process again")
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    fn pending(id: &str, is_awaited: bool) -> Pending {
        let entry = Entry::new(EntryKind::Outcome, id);
        Pending {
            is_awaited,
            ..Pending::own(&entry).unwrap()
        }
    }

    fn taker(queue: &Arc<Queue>) -> thread::JoinHandle<(usize, Duration)> {
        let queue = Arc::clone(queue);
        thread::spawn(move || {
            let started = Instant::now();
            (queue.take(false).len(), started.elapsed())
        })
    }

    #[test]
    fn an_entry_that_nobody_waits_for_goes_with_the_next_one() {
        let queue = Arc::new(Queue::new(100));
        queue.push(pending("behind", false)).unwrap();
        let taken = taker(&queue);
        queue.push(pending("awaited", true)).unwrap();
        assert_eq!(taken.join().unwrap().0, 2);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn an_entry_that_nobody_waits_for_is_taken_soon() {
        let queue = Arc::new(Queue::new(100));
        queue.push(pending("behind", false)).unwrap();
        let (count, waited) = taker(&queue).join().unwrap();
        assert_eq!(count, 1);
        assert!(waited >= BEHIND_MAX, "{waited:?}");
        // The committer may sleep already.
        let taken = taker(&queue);
        thread::sleep(2 * BEHIND_MAX);
        queue.push(pending("later", false)).unwrap();
        assert_eq!(taken.join().unwrap().0, 1);
    }

    #[test]
    fn a_rest_ends_when_enough_wait() {
        let queue = Arc::new(Queue::new(1000));
        queue.push(pending("first", true)).unwrap();
        queue.lock().is_resting = true;
        for number in 1..REST_ENTRIES {
            assert!(!queue.is_due(&queue.lock()));
            queue.push(pending(&number.to_string(), true)).unwrap();
        }
        assert!(queue.is_due(&queue.lock()));
        queue.lock().is_resting = false;
        assert_eq!(queue.take(true).len(), REST_ENTRIES);
        assert!(!queue.lock().is_resting);
    }

    #[test]
    fn a_rest_is_short_and_takes_what_there_is() {
        let queue = Queue::new(100);
        queue.push(pending("only", true)).unwrap();
        let started = Instant::now();
        assert_eq!(queue.take(true).len(), 1);
        assert!(started.elapsed() >= REST_MAX);
    }

    #[test]
    fn a_caller_has_the_turn_on_a_quiet_log_alone() {
        let queue = Queue::new(100);
        let turn = queue.push_or_lead(pending("first", true)).unwrap();
        drop(turn.unwrap());
        // Something was committed just now.
        queue.lock().worked_at = Some(Instant::now() + Duration::from_secs(60));
        assert!(queue.push_or_lead(pending("busy", true)).unwrap().is_none());
        queue.lock().worked_at = Some(Instant::now() - QUIET);
        let turn = queue.push_or_lead(pending("quiet", true)).unwrap();
        assert_eq!(turn.unwrap().waiting.len(), 2);
    }

    #[test]
    fn half_of_what_may_wait_is_taken_at_once() {
        let queue = Arc::new(Queue::new(8));
        for number in 0..4 {
            queue.push(pending(&number.to_string(), false)).unwrap();
        }
        assert!(queue.is_due(&queue.lock()));
        assert_eq!(queue.take(false).len(), 4);
        assert!(!queue.is_due(&queue.lock()));
    }
}
