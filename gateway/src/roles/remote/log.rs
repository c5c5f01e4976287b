//! The audit log of the gateway.
//!
//! Entries go in the order in which they were appended: one call is under way at a time, and what arrives
//! meanwhile is the next call, so that many share one sync of the log. A call whose outcome is not known is
//! never made again: an entry twice would be a decision that nobody made.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use dataos_model::{
    fault::{Fault, FaultKind},
    record::{Entry, LogStatus, Receipt, RecordPage, RecordQuery, StoredEntry},
    seams::{BoxFuture, Record, Records},
};
use tokio::{
    sync::{Notify, oneshot},
    task::AbortHandle,
};

use crate::roles::{
    link::{Link, Unanswered},
    method::Method,
    served::{Appended, ENTRIES_MAX},
};

/// Most entries that wait to be sent; further ones are refused.
const QUEUE_ENTRIES_MAX: usize = 16_384;
/// Bytes of entries after which a call takes no further one.
const CALL_BYTES: usize = 8 << 20;
/// What an entry takes beside its facts, about.
const ENTRY_BYTES: usize = 1 << 10;
/// How long what nobody waits for is kept back when the gateway is away.
const AWAY_PAUSE: Duration = Duration::from_millis(250);

/// Appends over a link.
#[derive(Debug)]
pub(crate) struct RemoteRecord {
    queue: Arc<Queue>,
    sender: AbortHandle,
}

#[derive(Debug)]
struct Queue {
    link: Arc<Link>,
    /// Held for a moment, never across a call.
    waiting: Mutex<VecDeque<Queued>>,
    arrived: Notify,
    /// Entries that nobody waited for and that did not reach the log.
    lost: AtomicU64,
}

#[derive(Debug)]
struct Queued {
    entry: Entry,
    /// Whoever waits for it.
    tell: Option<oneshot::Sender<Result<Receipt, Fault>>>,
}

impl Drop for RemoteRecord {
    fn drop(&mut self) {
        self.sender.abort();
    }
}

impl RemoteRecord {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        let queue = Arc::new(Queue {
            link,
            waiting: Mutex::default(),
            arrived: Notify::new(),
            lost: AtomicU64::new(0),
        });
        let sender = tokio::spawn(Arc::clone(&queue).keep_sending()).abort_handle();
        Self { queue, sender }
    }

    /// Waits until all that was appended is sent, so long at most.
    pub(crate) async fn flush(&self, time_max: Duration) {
        let emptied = async {
            while !self.queue.waiting().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(time_max, emptied).await.is_err() {
            let left = self.queue.waiting().len();
            tracing::error!(left, "entries of the audit log did not reach the gateway");
        }
    }
}

impl Record for RemoteRecord {
    fn append(&self, entry: Entry) -> BoxFuture<Result<Receipt, Fault>> {
        let (tell, told) = oneshot::channel();
        let tell = Some(tell);
        if !self.queue.put(Queued { entry, tell }) {
            return Box::pin(async { Err(full()) });
        }
        Box::pin(async {
            told.await
                .unwrap_or_else(|_| Err(Fault::unavailable("this process ends")))
        })
    }

    fn append_behind(&self, entry: Entry) {
        if !self.queue.put(Queued { entry, tell: None }) {
            self.queue.lose(1);
        }
    }
}

impl Queue {
    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Queued>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there was room.
    fn put(&self, queued: Queued) -> bool {
        let mut waiting = self.waiting();
        let has_room = waiting.len() < QUEUE_ENTRIES_MAX;
        if has_room {
            waiting.push_back(queued);
            self.arrived.notify_one();
        }
        has_room
    }

    /// Takes the entries of the next call.
    fn next(&self) -> Vec<Queued> {
        let mut waiting = self.waiting();
        let mut bytes = 0;
        let fits = |queued: &&Queued| {
            let fits = bytes < CALL_BYTES;
            bytes += ENTRY_BYTES + queued.entry.facts.values().map(String::len).sum::<usize>();
            fits
        };
        let count = waiting.iter().take(ENTRIES_MAX).take_while(fits).count();
        waiting.drain(..count).collect()
    }

    fn lose(&self, count: u64) {
        if count > 0 {
            let lost = self.lost.fetch_add(count, Ordering::Relaxed) + count;
            tracing::error!(
                lost,
                "entries that nobody waits for did not reach the audit log"
            );
        }
    }

    async fn keep_sending(self: Arc<Self>) {
        loop {
            let batch = self.next();
            if batch.is_empty() {
                self.arrived.notified().await;
                continue;
            }
            let (entries, tells): (Vec<Appended>, Vec<_>) = batch
                .into_iter()
                .map(|Queued { entry, tell }| {
                    let is_awaited = tell.is_some();
                    (Appended { entry, is_awaited }, tell)
                })
                .unzip();
            match self.send(&entries).await {
                Ok(receipts) => {
                    for (tell, receipt) in tells.into_iter().zip(receipts) {
                        if let (Some(tell), Some(receipt)) = (tell, receipt) {
                            // Whoever went away need not know.
                            let _ = tell.send(receipt);
                        }
                    }
                }
                Err(unanswered) => self.unsent(entries, tells, &unanswered).await,
            }
        }
    }

    async fn send(
        &self,
        entries: &Vec<Appended>,
    ) -> Result<Vec<Option<Result<Receipt, Fault>>>, Unanswered> {
        let ended = |fault| Unanswered {
            fault,
            may_have_run: true,
        };
        let answer = self.link.answer(Method::Append, entries).await?;
        let receipts: Vec<_> = answer.value().map_err(ended)?;
        if receipts.len() == entries.len() {
            return Ok(receipts);
        }
        Err(ended(Fault::internal("not every entry got its receipt")))
    }

    /// Whoever waits is refused at once. What nobody waits for is kept if it cannot be in the log.
    async fn unsent(
        &self,
        entries: Vec<Appended>,
        tells: Vec<Option<oneshot::Sender<Result<Receipt, Fault>>>>,
        unanswered: &Unanswered,
    ) {
        let mut behind = VecDeque::new();
        for (appended, tell) in entries.into_iter().zip(tells) {
            match tell {
                Some(tell) => {
                    let _ = tell.send(Err(unanswered.fault.clone()));
                }
                None => behind.push_back(Queued {
                    entry: appended.entry,
                    tell: None,
                }),
            }
        }
        if behind.is_empty() {
            return;
        }
        let count = behind.len();
        if unanswered.may_have_run {
            return self.lose(count as u64);
        }
        let kept = {
            let mut waiting = self.waiting();
            let has_room = waiting.len() + count <= QUEUE_ENTRIES_MAX;
            if has_room {
                behind.append(&mut waiting);
                *waiting = behind;
            }
            has_room
        };
        if !kept {
            self.lose(count as u64);
        }
        // Those that somebody waits for meanwhile are refused as soon as the pause is over.
        tokio::time::sleep(AWAY_PAUSE).await;
    }
}

fn full() -> Fault {
    let message = format!("{QUEUE_ENTRIES_MAX} entries wait for the audit log");
    Fault::unavailable(message)
        .with_reason("overloaded")
        .with_hint("try again later")
}

/// Searches over a link; nothing else of the log is read by roles.
#[derive(Debug)]
pub(crate) struct RemoteRecords(pub(crate) Arc<Link>);

#[async_trait]
impl Records for RemoteRecords {
    async fn search(&self, query: &RecordQuery) -> Result<RecordPage, Fault> {
        self.0.call(Method::SearchLog, query).await
    }

    async fn get(&self, _index: u64) -> Result<StoredEntry, Fault> {
        Err(not_asked_for())
    }

    async fn proof(&self, _index: u64) -> Result<String, Fault> {
        Err(not_asked_for())
    }

    async fn checkpoint(&self) -> Result<String, Fault> {
        Err(not_asked_for())
    }

    async fn tile(&self, _path: &str) -> Result<Bytes, Fault> {
        Err(not_asked_for())
    }

    fn status(&self) -> LogStatus {
        LogStatus::default()
    }
}

fn not_asked_for() -> Fault {
    Fault::new(FaultKind::Unsupported, "no role asks the log for this")
}
