//! Behaviour under a disk that fails or waits.

use std::{
    fs::File,
    path::Path,
    sync::{
        Condvar,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dataos_model::fault::FaultKind;

use super::*;

mod full;
mod lead;
mod power_cut;
#[expect(
    dead_code,
    reason = "shared with the tests of the PDP, which use all of it"
)]
#[path = "../../../pdp/tests/it/spread.rs"]
mod spread;

/// What a disk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Works,
    WritesFail,
    SyncsFail,
    /// Writes fail for want of room, even where it was reserved.
    WritesFindNoRoom,
    /// There is no room for another segment.
    Full,
    /// Making another segment fails.
    SparesFail,
    /// Syncs wait until the mode changes.
    Waits,
}

#[derive(Debug)]
struct TestDisk {
    mode: Mutex<Mode>,
    changed: Condvar,
    writes: AtomicU64,
    /// Writes by other threads than the log's.
    led: AtomicU64,
}

impl TestDisk {
    fn new() -> Arc<Self> {
        let (mode, changed) = (Mutex::new(Mode::Works), Condvar::new());
        Arc::new(Self {
            mode,
            changed,
            writes: AtomicU64::new(0),
            led: AtomicU64::new(0),
        })
    }

    fn led(&self) -> u64 {
        self.led.load(Ordering::SeqCst)
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
        self.changed.notify_all();
    }
}

impl Disk for TestDisk {
    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        match *self.mode.lock().unwrap() {
            Mode::Full => Err(io::Error::from(io::ErrorKind::StorageFull)),
            Mode::SparesFail => Err(io::Error::from_raw_os_error(5)),
            _ => SystemDisk.allocate(file, bytes),
        }
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        let thread = std::thread::current();
        let is_own = thread.name().is_some_and(|name| name.starts_with("audit-"));
        self.led.fetch_add(u64::from(!is_own), Ordering::SeqCst);
        let mode = *self.mode.lock().unwrap();
        match mode {
            Mode::WritesFail => Err(io::Error::from_raw_os_error(5)),
            Mode::WritesFindNoRoom => Err(io::Error::from(io::ErrorKind::StorageFull)),
            _ => SystemDisk.write(file, bytes, offset),
        }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let mode = self.mode.lock().unwrap();
        let mode = *self
            .changed
            .wait_while(mode, |mode| *mode == Mode::Waits)
            .unwrap();
        if mode == Mode::SyncsFail {
            Err(io::Error::from_raw_os_error(5))
        } else {
            SystemDisk.sync(file)
        }
    }

    fn rename(&self, directory: &Path, from: &str, to: &str) -> io::Result<()> {
        SystemDisk.rename(directory, from, to)
    }
}

#[derive(Debug)]
pub(crate) struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp(1)
    }
}

fn open_on(folder: &Path, disk: &Arc<TestDisk>, queue_entries: usize) -> Arc<AuditLog> {
    let config = AuditConfig {
        segment_bytes: 4 << 20,
        queue_entries,
        ..AuditConfig::new(folder, "logs.example/test")
    };
    let disk = Arc::clone(disk);
    let as_disk = Arc::clone(&disk) as _;
    let log = AuditLog::open_on(
        &config,
        &Secret::new([7; 32]),
        Arc::new(FixedClock),
        as_disk,
    )
    .unwrap();
    disk.led.store(0, Ordering::SeqCst);
    log
}

/// Longest wait for what takes a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the next segment is there, or was found not to be possible.
fn wait_for_spare(log: &AuditLog) {
    let running = log.running.lock().unwrap();
    let (spare, started) = (&running.as_ref().unwrap().spare, Instant::now());
    while !spare.is_settled() {
        assert!(started.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn entry(number: usize) -> Entry {
    Entry::new(EntryKind::Config, format!("request-{number}"))
}

/// A failed write or sync ends the log: the waiting callers and all later ones are refused, nothing
/// is written any more, reading goes on, and the next start has what was acknowledged.
#[tokio::test]
async fn a_failed_write_or_sync_stops_the_log_for_good() {
    let failures = [
        (Mode::WritesFail, "Input/output error"),
        (Mode::SyncsFail, "Input/output error"),
        (Mode::WritesFindNoRoom, "no storage space"),
    ];
    for (failure, why) in failures {
        let folder = tempfile::tempdir().unwrap();
        let disk = TestDisk::new();
        let log = open_on(folder.path(), &disk, 100);
        log.append(entry(0)).await.unwrap();
        // It writes too, and would be counted below.
        wait_for_spare(&log);
        disk.set(failure);
        let waiting: Vec<_> = (1..10).map(|number| log.append(entry(number))).collect();
        for answer in waiting {
            let fault = answer.await.unwrap_err();
            assert_eq!(fault.kind, FaultKind::Unavailable);
            assert_eq!(fault.reason, "audit_stopped");
        }
        disk.set(Mode::Works);
        let writes = disk.writes.load(Ordering::SeqCst);
        assert_eq!(
            log.append(entry(10)).await.unwrap_err().reason,
            "audit_stopped"
        );
        assert!(log.status().stopped.unwrap().contains(why));
        assert_eq!(
            (log.status().size, log.get(0).await.unwrap().entry),
            (1, entry(0))
        );
        assert!(log.close().is_err());
        assert_eq!(
            disk.writes.load(Ordering::SeqCst),
            writes,
            "nothing is tried again"
        );
        drop(log);
        let log = open_on(folder.path(), &disk, 100);
        assert!(!log.recovery().was_closed);
        assert_eq!(log.get(0).await.unwrap().entry, entry(0));
        log.append(entry(11)).await.unwrap();
    }
}

/// While a sync hangs, the queue fills and then refuses at once; nothing is dropped.
#[tokio::test]
async fn a_full_queue_refuses_at_once_and_drops_nothing() {
    const QUEUE: usize = 10;
    let folder = tempfile::tempdir().unwrap();
    let disk = TestDisk::new();
    let log = open_on(folder.path(), &disk, QUEUE);
    log.append(entry(0)).await.unwrap();
    disk.set(Mode::Waits);
    let (mut waiting, mut refused) = (vec![log.append(entry(1))], 0);
    // The committer takes the first; the rest stays in the queue.
    while log.queue.len() > 0 {
        std::thread::yield_now();
    }
    for number in 2..30 {
        let mut answer = log.append(entry(number));
        let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
        match answer.as_mut().poll(context) {
            std::task::Poll::Pending => waiting.push(answer),
            std::task::Poll::Ready(answer) => {
                assert_eq!(answer.unwrap_err().reason, "audit_queue_full");
                refused += 1;
            }
        }
    }
    assert_eq!((waiting.len(), refused), (1 + QUEUE, 28 - QUEUE));
    assert_eq!(log.status().size, 1, "nothing is visible before its sync");
    disk.set(Mode::Works);
    for (index, answer) in (1..).zip(waiting) {
        assert_eq!(answer.await.unwrap().index, index);
    }
    log.append(entry(99)).await.unwrap();
    assert_eq!(log.status().size, 2 + 1 + QUEUE as u64);
}
