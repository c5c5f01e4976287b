//! The committer: gives entries their place, makes them durable and wakes callers. Its thread calls it, or on a
//! quiet log the caller whose turn it is; never two at once.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use dataos_model::{clock::Clock, fault::Fault, record::Receipt as RecordReceipt};
use dataos_proof::{
    checkpoint::Checkpoint,
    entry::stamp,
    frame::{BatchFrame, EntryFrame},
    note::SignatureBytes,
    receipt::Receipt,
    tree::{Frontier, Growth, leaf_hash},
};

use crate::{
    codec::Prepared,
    contents::Contents,
    full,
    key::LogKey,
    pace::Pace,
    queue::{Pending, Queue, Rank, Turn, refusal},
    segment::{Reserved, SegmentWriter},
    spare::is_no_room,
    view::{Newest, View},
};

/// Most entries in one batch.
const BATCH_ENTRIES_MAX: usize = 4096;

/// A batch takes no more entries once it has this many bytes; with the last entry and its end it
/// still fits the smallest segment.
const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Kept free in the last segment of a full disk for what the log has to say about itself: that the
/// disk is full, that it no longer is, that the log was closed.
const KEPT_BYTES: usize = 64 * 1024;

/// Bytes of the last segment that an entry of this rank must leave.
fn kept_bytes(rank: Rank) -> usize {
    match rank {
        Rank::New | Rank::Completion => KEPT_BYTES,
        Rank::Last => 0,
    }
}

/// Everything of one batch that its receipts share.
#[derive(Debug)]
struct Signed {
    growth: Growth,
    signature: SignatureBytes,
    key_id: u32,
}

/// What a caller gets when its entry is durable: enough to build the receipt on its own task.
#[derive(Debug)]
pub(crate) struct Committed {
    index: u64,
    /// All of it: who made it frees it, or the threads of callers and committer contend for the memory.
    prepared: Prepared,
    batch: Arc<Signed>,
}

impl Committed {
    /// The receipt.
    pub(crate) fn receipt(self) -> Result<RecordReceipt, Fault> {
        let proof = self.batch.growth.inclusion(self.index);
        let proof = proof.ok_or_else(|| Fault::internal("an entry is not in its own batch"))?;
        let receipt = Receipt {
            index: self.index,
            tree_size: self.batch.growth.size(),
            key_id: self.batch.key_id,
            signature: self.batch.signature,
            entry: self.prepared.entry,
            proof,
        };
        Ok(RecordReceipt {
            index: self.index,
            text: receipt.encode(),
        })
    }
}

/// The committer; `queue` and `view` are shared with others.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) queue: Arc<Queue>,
    pub(crate) view: Arc<RwLock<View>>,
    pub(crate) contents: Contents,
    pub(crate) writer: SegmentWriter,
    pub(crate) frontier: Frontier,
    pub(crate) key: LogKey,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) last_time_ms: i64,
    pub(crate) batch: Batch,
}

/// A batch on its way; one after another in the same memory.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    entries: Vec<Pending>,
    leaves: Vec<[u8; 32]>,
    /// Offset of each frame from the start of the batch, and its length.
    places: Vec<(u64, usize)>,
    bytes: Vec<u8>,
    time_ms: i64,
}

/// Most bytes of memory that a batch leaves to the next one.
const BATCH_BYTES_KEPT: usize = 256 * 1024;

impl Batch {
    fn clear(&mut self, time_ms: i64) {
        self.entries.clear();
        self.leaves.clear();
        self.places.clear();
        self.bytes.clear();
        self.bytes.shrink_to(BATCH_BYTES_KEPT);
        self.time_ms = time_ms;
    }
}

/// The thread: commits until the queue is closed and empty, which it is after a write that failed too.
pub(crate) fn run(committer: &Mutex<Committer>, queue: &Queue) {
    let mut pace = Pace::default();
    loop {
        let waiting = queue.take(pace.rests());
        if waiting.is_empty() {
            return;
        }
        pace.took(waiting.len());
        with(committer, queue, |committer| committer.commit_all(waiting));
        pace.committed();
    }
}

/// Commits what a caller took.
pub(crate) fn lead(committer: &Mutex<Committer>, queue: &Queue, mut turn: Turn<'_>) {
    let waiting = std::mem::take(&mut turn.waiting);
    with(committer, queue, |committer| committer.commit_all(waiting));
}

/// Nobody else has it: who calls has taken from the queue. One that panicked has left its work undone; then
/// nothing is written any more.
fn with(committer: &Mutex<Committer>, queue: &Queue, work: impl FnOnce(&mut Committer)) {
    match committer.lock() {
        Ok(mut committer) => work(&mut committer),
        Err(_) => drop(queue.stop("writing it failed unexpectedly")),
    }
}

impl Committer {
    /// Commits all that was taken from the queue; stops the log if a write fails.
    fn commit_all(&mut self, mut waiting: VecDeque<Pending>) {
        if let Err(error) = self.keep_contents(&mut waiting) {
            return self.stop(&error, Vec::new(), waiting);
        }
        let mut batch = std::mem::take(&mut self.batch);
        while !waiting.is_empty() {
            self.watch_room(&mut waiting);
            self.collect(&mut waiting, &mut batch);
            if batch.entries.is_empty() {
                continue;
            }
            if let Err(error) = self.commit(&mut batch) {
                return self.stop(&error, batch.entries, waiting);
            }
            // What found no room; it is looked at again, entry by entry.
            let back = batch.entries.drain(..).rev();
            back.for_each(|pending| waiting.push_front(pending));
        }
        self.batch = batch;
    }

    /// Makes durable what entries name and have no room for. Refuses those for whose contents there is no
    /// room on the disk either.
    fn keep_contents(&self, waiting: &mut VecDeque<Pending>) -> io::Result<()> {
        let has_contents = |pending: &Pending| !pending.prepared.contents.is_empty();
        if !waiting.iter().any(has_contents) {
            return Ok(());
        }
        let mut failed = Ok(());
        for mut pending in std::mem::take(waiting) {
            let contents = std::mem::take(&mut pending.prepared.contents);
            let mut keep = contents.iter();
            match keep.try_for_each(|content| self.contents.keep(content)) {
                Ok(()) => waiting.push_back(pending),
                Err(error) if is_no_room(&error) => self.queue.refuse(pending),
                Err(error) => {
                    waiting.push_back(pending);
                    failed = Err(error);
                }
            }
        }
        failed
    }

    /// Turns new work away once the last segment for which there is room is nearly used up, and says
    /// so in it. What is queued already, and what completes earlier entries, has the rest of it.
    fn watch_room(&self, waiting: &mut VecDeque<Pending>) {
        if !self.writer.is_low() || !self.queue.fill() {
            return;
        }
        tracing::error!("the audit log is full: {}", full::WHY);
        waiting.extend(Pending::own(&full::began()).ok());
        waiting.rotate_right(1);
        // The segment may have come before it was known that somebody waits for it.
        if !self.writer.is_low() {
            self.queue.resume();
        }
    }

    /// Most bytes of the end of a batch: its fields, and a note that has the name twice.
    fn end_bytes_max(&self) -> usize {
        2 * self.key.verifier().name().len() + 512
    }

    /// Takes entries from the front, as many as fit a batch, and lays them out. Refuses what does not
    /// even fit alone.
    fn collect(&mut self, waiting: &mut VecDeque<Pending>, batch: &mut Batch) {
        // Never backwards: a clock that steps back must not make the order of entries a lie.
        let time_ms = self.clock.now().0.max(self.last_time_ms);
        self.last_time_ms = time_ms;
        batch.clear(time_ms);
        let first = self.frontier.size();
        // Only a full disk has a last segment.
        let (last, end_bytes) = (self.writer.last_bytes(), self.end_bytes_max());
        while batch.entries.len() < BATCH_ENTRIES_MAX && batch.bytes.len() < BATCH_BYTES_MAX {
            let Some(mut pending) = waiting.pop_front() else {
                break;
            };
            let bytes = batch.bytes.len() + pending.prepared.frame_bytes() + end_bytes;
            if last.is_some_and(|last| (bytes + kept_bytes(pending.rank)) as u64 > last) {
                if batch.entries.is_empty() {
                    self.queue.refuse(pending);
                    continue;
                }
                waiting.push_front(pending);
                break;
            }
            let prepared = &mut pending.prepared;
            stamp(&mut prepared.entry, time_ms);
            batch.leaves.push(leaf_hash(&prepared.entry));
            let offset = batch.bytes.len();
            EntryFrame {
                index: first + batch.entries.len() as u64,
                entry: &prepared.entry,
                salt: &prepared.salt,
                details: &prepared.details,
            }
            .write(&mut batch.bytes);
            batch
                .places
                .push((offset as u64, batch.bytes.len() - offset));
            batch.entries.push(pending);
        }
    }

    /// Signs, writes, syncs, publishes, wakes; in this order. Leaves the entries in the batch if the
    /// disk turns out to be full.
    fn commit(&mut self, batch: &mut Batch) -> io::Result<()> {
        let first = self.frontier.size();
        let bytes = batch.bytes.len() + self.end_bytes_max();
        let new_segment = match self.writer.reserve(bytes as u64, first)? {
            Reserved::Present => None,
            Reserved::New(name) => Some(name),
            Reserved::Nothing => return Ok(()),
        };
        let growth = self.frontier.grow(batch.leaves.clone());
        let origin = self.key.verifier().name().to_owned();
        let checkpoint = Checkpoint {
            origin,
            size: growth.size(),
            root: growth.root(),
        };
        let (note, signature) = self.key.sign(&checkpoint).map_err(io::Error::other)?;
        BatchFrame {
            size: growth.size(),
            first,
            count: u32::try_from(batch.entries.len()).unwrap_or(u32::MAX),
            time_ms: batch.time_ms,
            note: &note,
        }
        .write(&mut batch.bytes);
        let start = self.writer.offset();
        self.writer.write(&batch.bytes)?;
        self.publish(
            batch,
            new_segment,
            start,
            Newest {
                checkpoint,
                note,
                time_ms: batch.time_ms,
            },
        );
        let key_id = self.key.verifier().id();
        let signed = Arc::new(Signed {
            growth,
            signature,
            key_id,
        });
        for (index, pending) in (first..).zip(batch.entries.drain(..)) {
            let batch = Arc::clone(&signed);
            let committed = Committed {
                index,
                prepared: pending.prepared,
                batch,
            };
            // A caller that has gone away does not need its receipt; the entry stays.
            let _ = pending.waiter.send(Ok(committed));
        }
        Ok(())
    }

    fn publish(&self, batch: &Batch, new_segment: Option<String>, start: u64, newest: Newest) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = new_segment {
            view.add_segment(&name);
            view.add_bytes(start);
        }
        let leaves = batch.leaves.iter().zip(&batch.places).zip(&batch.entries);
        for ((leaf, (offset, length)), pending) in leaves {
            let terms = &pending.prepared.terms;
            view.push(*leaf, batch.time_ms, (start + offset, *length), terms);
        }
        view.add_bytes(batch.bytes.len() as u64);
        view.newest = newest;
    }

    /// After a failed write or sync nothing is known about the batch on disk: it is neither
    /// acknowledged nor tried again. The next start reads back what is there.
    fn stop(&self, error: &io::Error, batch: Vec<Pending>, waiting: VecDeque<Pending>) {
        let why = format!("a write failed: {error}");
        tracing::error!(%error, "the audit log stops: a write failed");
        let queued = self.queue.stop(&why);
        for pending in batch.into_iter().chain(waiting).chain(queued) {
            let _ = pending.waiter.send(Err(refusal(Some(&why))));
        }
    }
}
