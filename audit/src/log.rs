//! The log as others see it: opened, appended to, read, closed.

use std::{
    cell::Cell,
    io,
    sync::{Arc, Mutex, PoisonError, RwLock},
    thread::{self, JoinHandle},
};

use async_trait::async_trait;
use bytes::Bytes;
use dataos_model::{
    clock::{Clock, Timestamp},
    fault::Fault,
    hash::Hash,
    record::{
        Entry, EntryKind, LogStatus, Receipt, RecordPage, RecordQuery, RecordSummary, StoredEntry,
    },
    seams::{BoxFuture, Record, Records},
    secret::Secret,
};
use dataos_proof::{
    note::VerifierKey,
    proof::TlogProof,
    tile::{BundlePath, TilePath},
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::oneshot,
};

use crate::{
    checkpoint, codec,
    commit::{self, Batch, Committed, Committer},
    config::AuditConfig,
    contents::{self, Contents},
    directory::Directory,
    disk::{Disk, SystemDisk},
    gate::Gate,
    key::LogKey,
    queue::{Pending, Queue, Rank, refusal},
    recover::{self, Recovered, RecoveryReport},
    sealed::seal::Sealer,
    search::Reader,
    segment::SegmentWriter,
    spare::Spare,
};

/// An open audit log. [`AuditLog::close`] ends it; dropping it also drains the queue, but leaves no
/// shutdown entry, so that the next start reports a crash.
#[derive(Debug)]
pub struct AuditLog {
    verifier: VerifierKey,
    report: RecoveryReport,
    queue: Arc<Queue>,
    committer: Arc<Mutex<Committer>>,
    reader: Reader,
    /// Taken by whoever ends the log.
    running: Mutex<Option<Running>>,
}

/// What runs while the log is open.
#[derive(Debug)]
struct Running {
    committer: JoinHandle<()>,
    spare: Arc<Spare>,
    spare_thread: JoinHandle<()>,
    keeper: Arc<Gate>,
    keeper_thread: JoinHandle<()>,
    sealer: Arc<Gate>,
    sealer_thread: JoinHandle<()>,
    /// Dropped last: others may open the folder from then on.
    _directory: Directory,
}

impl AuditLog {
    /// Opens the log in the configured folder, or creates it. `key` is the 32-byte Ed25519 seed of
    /// the log's key. Reads and proves all entries first.
    ///
    /// # Errors
    /// A folder that is in use, of a later format, damaged, or shorter than its checkpoint; a key of
    /// the wrong length, or of another log; an origin that is no key name.
    pub fn open(
        config: AuditConfig,
        key: Secret,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, Fault> {
        Self::open_on(&config, &key, clock, Arc::new(SystemDisk))
    }

    pub(crate) fn open_on(
        config: &AuditConfig,
        key: &Secret,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
    ) -> Result<Arc<Self>, Fault> {
        config.check()?;
        let seed: &[u8; 32] = key.expose().try_into().map_err(|_| {
            Fault::invalid("the key of the audit log must be an Ed25519 seed of 32 bytes")
        })?;
        let key = LogKey::from_seed(&config.origin, seed)?;
        let directory = Directory::open(&config.directory)?;
        let recovered = recover::recover(&directory, &key, &*disk)?;
        log_report(&recovered.report);
        Ok(Arc::new(Self::start(
            config, directory, recovered, key, clock, disk,
        )?))
    }

    /// Starts the threads on a log that was read and proven.
    fn start(
        config: &AuditConfig,
        directory: Directory,
        recovered: Recovered,
        key: LogKey,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, Fault> {
        let Recovered {
            report,
            view,
            frontier,
            active,
            last_time_ms,
            checkpoint_size,
        } = recovered;
        let path = &config.directory;
        let verifier = key.verifier().clone();
        let queue = Arc::new(Queue::new(config.queue_entries));
        let view = Arc::new(RwLock::new(view));
        let spare = Arc::new(Spare::default());
        let spare_thread = {
            let (spare, path, disk) = (Arc::clone(&spare), path.clone(), Arc::clone(&disk));
            let queue = Arc::clone(&queue);
            let on_ready = move || queue.resume();
            spawn("audit-spare", move || spare.run(&path, &*disk, &on_ready))?
        };
        let keeper = Arc::new(Gate::default());
        let keeper_thread = {
            let (keeper, path, view) = (Arc::clone(&keeper), path.clone(), Arc::clone(&view));
            spawn("audit-checkpoint", move || {
                checkpoint::keep(&keeper, &path, &view, checkpoint_size)
            })?
        };
        let reader = Reader::new(path, Arc::clone(&view), Arc::clone(&disk));
        let (sealer, sealer_thread) = start_sealer(config, &reader, &disk)?;
        let contents = Contents::new(path, Arc::clone(&disk));
        let committer = Arc::new(Mutex::new(Committer {
            queue: Arc::clone(&queue),
            view: Arc::clone(&view),
            contents,
            writer: SegmentWriter::new(
                path,
                disk,
                active,
                Arc::clone(&spare),
                config.segment_bytes,
            ),
            frontier,
            key,
            clock,
            last_time_ms,
            batch: Batch::default(),
        }));
        let committer_thread = {
            let (committer, queue) = (Arc::clone(&committer), Arc::clone(&queue));
            spawn("audit-commit", move || commit::run(&committer, &queue))?
        };
        let running = Running {
            committer: committer_thread,
            spare,
            spare_thread,
            keeper,
            keeper_thread,
            sealer,
            sealer_thread,
            _directory: directory,
        };
        Ok(Self {
            verifier,
            report,
            queue,
            committer,
            reader,
            running: Mutex::new(Some(running)),
        })
    }

    /// What was found when the log was opened.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.report
    }

    /// The log's public key, as auditors need it.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Writes what is queued and a shutdown entry, and ends the log. Blocks for a few syncs. Closing
    /// twice does nothing.
    ///
    /// # Errors
    /// The log had stopped before, or stopped on the way; what was acknowledged is safe.
    pub fn close(&self) -> Result<(), Fault> {
        let prepared = codec::prepare(&Entry::new(EntryKind::Shutdown, "shutdown"))?;
        let (waiter, mut answer) = oneshot::channel();
        let rank = Rank::Last;
        self.queue.close(Some(Pending {
            prepared,
            rank,
            waiter,
            is_awaited: true,
        }));
        let Some(running) = self.take_running() else {
            return Ok(());
        };
        running.end();
        match answer.try_recv() {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(fault)) => Err(fault),
            Err(_) => Err(refusal(self.queue.stopped().as_deref())),
        }
    }

    fn take_running(&self) -> Option<Running> {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Running {
    /// Waits for the committer, then for the threads that serve it. A thread that panicked has
    /// nothing more to give.
    fn end(self) {
        self.sealer.close();
        let _ = self.committer.join();
        self.spare.close();
        let _ = self.spare_thread.join();
        self.keeper.close();
        let _ = self.keeper_thread.join();
        let _ = self.sealer_thread.join();
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.queue.close(None);
        if let Some(running) = self.take_running() {
            running.end();
        }
    }
}

impl Record for AuditLog {
    fn append(&self, entry: Entry) -> BoxFuture<Result<Receipt, Fault>> {
        appended(&entry, |pending| self.queue.push(pending))
    }

    fn append_awaited(&self, entry: Entry) -> BoxFuture<Result<Receipt, Fault>> {
        if !may_block() {
            return self.append(entry);
        }
        appended(&entry, |pending| {
            if let Some(turn) = self.queue.push_or_lead(pending)? {
                tokio::task::block_in_place(|| commit::lead(&self.committer, &self.queue, turn));
            }
            Ok(())
        })
    }

    fn append_behind(&self, entry: Entry) {
        // A full disk counts what it refuses; what completes a decision is missed by who looks for it.
        let _ = pending(&entry, false).and_then(|(pending, _)| self.queue.push(pending));
    }
}

/// What the committer answers.
type Answer = oneshot::Receiver<Result<Committed, Fault>>;

/// An entry on its way, and where its answer comes.
fn pending(entry: &Entry, is_awaited: bool) -> Result<(Pending, Answer), Fault> {
    let (waiter, answer) = oneshot::channel();
    let pending = Pending {
        prepared: codec::prepare(entry)?,
        rank: Rank::of(entry),
        waiter,
        is_awaited,
    };
    Ok((pending, answer))
}

/// Puts an entry into the queue at once; its receipt comes when it is durable.
fn appended(
    entry: &Entry,
    push: impl FnOnce(Pending) -> Result<(), Fault>,
) -> BoxFuture<Result<Receipt, Fault>> {
    let queued = pending(entry, true).and_then(|(pending, answer)| {
        push(pending)?;
        Ok(answer)
    });
    Box::pin(async move {
        match queued?.await {
            Ok(committed) => committed?.receipt(),
            Err(_) => Err(refusal(Some("the committer ended"))),
        }
    })
}

/// Whether this thread may wait for a disk: others then do the work of the runtime that it belongs to.
fn may_block() -> bool {
    Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

#[async_trait]
impl Records for AuditLog {
    async fn search(&self, query: &RecordQuery) -> Result<RecordPage, Fault> {
        let (reader, query) = (self.reader.clone(), query.clone());
        blocking(move || reader.search(&query)).await
    }

    async fn summary(&self, query: &RecordQuery) -> Result<RecordSummary, Fault> {
        let (reader, query) = (self.reader.clone(), query.clone());
        blocking(move || reader.summary(&query)).await
    }

    async fn get(&self, index: u64) -> Result<StoredEntry, Fault> {
        let reader = self.reader.clone();
        blocking(move || reader.get(index)).await
    }

    async fn content(&self, digest: Hash) -> Result<Bytes, Fault> {
        let reader = self.reader.clone();
        blocking(move || contents::read(reader.directory(), digest)).await
    }

    async fn proof(&self, index: u64) -> Result<String, Fault> {
        let reader = self.reader.clone();
        let (canonical, hashes, checkpoint) = blocking(move || reader.proof(index)).await?;
        Ok(TlogProof {
            extra: Some(canonical),
            index,
            hashes,
            checkpoint,
        }
        .to_string())
    }

    async fn checkpoint(&self) -> Result<String, Fault> {
        Ok(self.reader.with_view(|view| view.newest.note.clone()))
    }

    async fn tile(&self, path: &str) -> Result<Bytes, Fault> {
        let parsed: TilePath = path
            .parse()
            .map_err(|error| Fault::not_found(format!("{path}: {error}")))?;
        let reader = self.reader.clone();
        let tile = blocking(move || reader.tile(&parsed)).await?;
        let tile = tile.ok_or_else(|| Fault::not_found(format!("the log has no tile {path}")))?;
        Ok(tile.into())
    }

    async fn bundle(&self, path: &str) -> Result<Bytes, Fault> {
        let parsed: BundlePath = path
            .parse()
            .map_err(|error| Fault::not_found(format!("{path}: {error}")))?;
        let reader = self.reader.clone();
        Ok(blocking(move || reader.bundle(&parsed)).await?.into())
    }

    fn status(&self) -> LogStatus {
        let (stopped, full) = (self.queue.stopped(), self.queue.full());
        self.reader.with_view(|view| LogStatus {
            size: view.newest.checkpoint.size,
            sealed: view.sealed(),
            bytes: view.bytes,
            root: Hash(view.newest.checkpoint.root),
            checkpoint_at: Timestamp(view.newest.time_ms),
            origin: self.verifier.name().to_owned(),
            verifier_key: self.verifier.to_string(),
            stopped,
            full,
        })
    }
}

/// Runs what reads files where it may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|error| Err(Fault::internal(format!("reading the log failed: {error}"))))
}

/// Starts the thread that seals, and gives what ends it.
fn start_sealer(
    config: &AuditConfig,
    reader: &Reader,
    disk: &Arc<dyn Disk>,
) -> Result<(Arc<Gate>, JoinHandle<()>), Fault> {
    let gate = Arc::new(Gate::default());
    let sealer = Sealer {
        gate: Arc::clone(&gate),
        reader: reader.clone(),
        directory: config.directory.clone(),
        disk: Arc::clone(disk),
        seal_entries: config.seal_entries,
        stint: Cell::default(),
    };
    Ok((gate, spawn("audit-seal", move || sealer.run())?))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Fault> {
    let spawned: io::Result<_> = thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map_err(|error| Fault::unavailable(format!("cannot start a thread: {error}")))
}

fn log_report(report: &RecoveryReport) {
    let RecoveryReport {
        entries,
        segments,
        packs,
        was_closed,
        torn,
    } = report;
    if *was_closed {
        tracing::info!(entries, segments, packs, "audit log opened");
    } else {
        tracing::warn!(
            entries,
            segments,
            packs,
            ?torn,
            "audit log opened; it was not closed: a crash"
        );
    }
}

#[cfg(test)]
pub(crate) mod tests;
