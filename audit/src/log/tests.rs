//! Behaviour under a disk that fails or waits.

use std::{
    fs::File,
    sync::{
        Condvar,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dataos_model::fault::FaultKind;

use super::*;

/// What a disk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Works,
    WritesFail,
    SyncsFail,
    /// Writes beyond what the first segment has fail: there is no room.
    Full,
    /// Syncs wait until the mode changes.
    Waits,
}

#[derive(Debug)]
struct TestDisk {
    mode: Mutex<Mode>,
    changed: Condvar,
    writes: AtomicU64,
}

impl TestDisk {
    fn new() -> Arc<Self> {
        let (mode, changed) = (Mutex::new(Mode::Works), Condvar::new());
        Arc::new(Self {
            mode,
            changed,
            writes: AtomicU64::new(0),
        })
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
        self.changed.notify_all();
    }
}

impl Disk for TestDisk {
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        let mode = *self.mode.lock().unwrap();
        match mode {
            Mode::WritesFail => Err(io::Error::from_raw_os_error(5)),
            Mode::Full if offset + bytes.len() as u64 > file.metadata()?.len() => {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
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
}

#[derive(Debug)]
struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp(1)
    }
}

fn open_on(folder: &std::path::Path, disk: &Arc<TestDisk>, queue_entries: usize) -> Arc<AuditLog> {
    let config = AuditConfig {
        segment_bytes: 4 << 20,
        queue_entries,
        ..AuditConfig::new(folder, "logs.example/test")
    };
    let disk = Arc::clone(disk);
    AuditLog::open_on(&config, &Secret::new([7; 32]), Arc::new(FixedClock), disk).unwrap()
}

fn entry(number: usize) -> Entry {
    Entry::new(EntryKind::Config, format!("request-{number}"))
}

/// A failed write or sync ends the log: the waiting callers and all later ones are refused, nothing
/// is written any more, reading goes on, and the next start has what was acknowledged.
#[tokio::test]
async fn a_failed_write_or_sync_stops_the_log_for_good() {
    for failure in [Mode::WritesFail, Mode::SyncsFail] {
        let folder = tempfile::tempdir().unwrap();
        let disk = TestDisk::new();
        let log = open_on(folder.path(), &disk, 100);
        log.append(entry(0)).await.unwrap();
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
        assert!(log.status().stopped.unwrap().contains("Input/output error"));
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

/// With no room for the next segment, the log takes entries until the present one is full.
#[tokio::test]
async fn a_full_disk_stops_the_log_when_the_segment_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let disk = TestDisk::new();
    let log = open_on(folder.path(), &disk, 100);
    disk.set(Mode::Full);
    let large = |number| entry(number).with_fact("padding", "x".repeat(60_000));
    let mut count = 0;
    let fault = loop {
        match log.append(large(count)).await {
            Ok(receipt) => assert_eq!(receipt.index, count as u64),
            Err(fault) => break fault,
        }
        count += 1;
    };
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Unavailable, "audit_stopped")
    );
    assert!(
        (60..=70).contains(&count),
        "{count} entries of 60 kB in 4 MiB"
    );
    let started = Instant::now();
    assert!(log.append(entry(0)).await.is_err());
    assert!(started.elapsed() < Duration::from_secs(1));
    drop(log);
    disk.set(Mode::Works);
    let log = open_on(folder.path(), &disk, 100);
    assert_eq!(log.recovery().entries, count as u64);
    assert_eq!(log.append(large(count)).await.unwrap().index, count as u64);
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
