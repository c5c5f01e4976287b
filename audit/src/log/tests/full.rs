//! A full disk: new work is turned away, what was begun can end, and the log goes on by itself.

use std::task::{Context, Poll, Waker};

use super::*;

/// Bytes of a large entry, roughly.
const LARGE_BYTES: usize = 60_000;

fn large(kind: EntryKind, number: usize) -> Entry {
    // No fact, since a large one is kept beside the log.
    let mut entry = Entry::new(kind, format!("request-{number}"));
    entry.reason = "x".repeat(LARGE_BYTES);
    entry
}

/// A log with one entry, on a disk that has no room for a second segment.
fn open_full(folder: &Path, disk: &Arc<TestDisk>) -> Arc<AuditLog> {
    open_on(folder, disk, 1000).close().unwrap();
    disk.set(Mode::Full);
    let log = open_on(folder, disk, 1000);
    // Only to make the count of entries below certain.
    wait_for_spare(&log);
    log
}

/// The answer if it is there at once, as it must be.
fn at_once(mut answer: BoxFuture<Result<Receipt, Fault>>) -> Option<Result<Receipt, Fault>> {
    let context = &mut Context::from_waker(Waker::noop());
    match answer.as_mut().poll(context) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

/// Appends entries one by one until one is refused; how many were taken.
async fn fill(log: &AuditLog, kind: EntryKind) -> usize {
    for number in 0.. {
        if let Err(fault) = log.append(large(kind, number)).await {
            let (kind, reason) = (fault.kind, fault.reason.as_str());
            assert_eq!((kind, reason), (FaultKind::Unavailable, "audit_disk_full"));
            return number;
        }
    }
    unreachable!("the segment has an end");
}

/// Facts of all gap entries, oldest first.
async fn gaps(log: &AuditLog) -> Vec<std::collections::BTreeMap<String, String>> {
    let query = RecordQuery {
        kind: Some(EntryKind::Gap),
        limit: 100,
        ..RecordQuery::default()
    };
    let page = log.search(&query).await.unwrap();
    let facts = page
        .entries
        .into_iter()
        .rev()
        .map(|stored| stored.entry.facts);
    facts.collect()
}

fn wait_until_resumed(log: &AuditLog) {
    let started = Instant::now();
    while log.status().full.is_some() {
        assert!(started.elapsed() < PATIENCE, "the log does not go on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn new_work_is_refused_at_once_and_taken_again_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let disk = TestDisk::new();
    let log = open_full(folder.path(), &disk);
    let taken = fill(&log, EntryKind::Decision).await;
    // Three quarters of 4 MiB, and the entry that found it so.
    assert!((50..=54).contains(&taken), "{taken} entries of 60 kB");
    let status = log.status();
    assert_eq!(status.stopped, None);
    assert!(status.full.unwrap().contains("no room for another segment"));
    for number in 0..9 {
        let refused = at_once(log.append(entry(number))).expect("nobody waits for a full disk");
        assert_eq!(refused.unwrap_err().reason, "audit_disk_full");
    }
    // What was begun can end.
    log.append(large(EntryKind::Outcome, 0)).await.unwrap();

    disk.set(Mode::Works);
    wait_until_resumed(&log);
    log.append(entry(99)).await.unwrap();
    let gaps = gaps(&log).await;
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    assert_eq!(gaps[0]["disk_full"], "began");
    assert_eq!(gaps[1]["disk_full"], "ended");
    assert_eq!(gaps[1]["refused"], "10", "one in `fill`, nine after it");
    assert!(gaps[1]["duration_ms"].parse::<u64>().is_ok());
    log.close().unwrap();
    // The shutdown entries of both runs, the two gaps, the outcome, the last entry.
    let log = open_on(folder.path(), &disk, 100);
    assert!(log.recovery().was_closed);
    assert_eq!(log.recovery().entries, taken as u64 + 6);
}

/// Even when the outcomes have used up the reserve, the log can say why it ends.
#[tokio::test]
async fn a_full_log_can_be_closed_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let disk = TestDisk::new();
    let log = open_full(folder.path(), &disk);
    fill(&log, EntryKind::Decision).await;
    let outcomes = fill(&log, EntryKind::Outcome).await;
    assert!((10..20).contains(&outcomes), "{outcomes} outcomes in 1 MiB");
    log.close().unwrap();
    drop(log);
    let log = open_on(folder.path(), &disk, 100);
    assert!(log.recovery().was_closed);
    let gaps = gaps(&log).await;
    assert_eq!((gaps.len(), gaps[1]["refused"].as_str()), (2, "2"));
}

/// Everything that is queued when the room ends is answered, one way or the other.
#[tokio::test]
async fn a_burst_beyond_the_room_is_answered_whole() {
    let folder = tempfile::tempdir().unwrap();
    let disk = TestDisk::new();
    let log = open_full(folder.path(), &disk);
    log.append(entry(0)).await.unwrap();
    disk.set(Mode::Waits);
    let burst: Vec<_> = (0..200)
        .map(|number| log.append(large(EntryKind::Decision, number)))
        .collect();
    disk.set(Mode::Full);
    let (mut taken, mut refused) = (0, 0);
    for answer in burst {
        match answer.await {
            Ok(_) => taken += 1,
            Err(fault) => {
                assert_eq!(fault.reason, "audit_disk_full");
                refused += 1;
            }
        }
    }
    // What was in flight may use the reserve, but not the last bytes.
    assert!((60..=69).contains(&taken), "{taken} taken");
    disk.set(Mode::Works);
    wait_until_resumed(&log);
    log.append(entry(1)).await.unwrap();
    let gaps = gaps(&log).await;
    assert_eq!(gaps[1]["refused"], refused.to_string());
}

/// A disk that fails is not a disk that is full: nothing is tried again.
#[tokio::test]
async fn an_error_in_the_next_segment_stops_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let disk = TestDisk::new();
    open_on(folder.path(), &disk, 10).close().unwrap();
    disk.set(Mode::SparesFail);
    let log = open_on(folder.path(), &disk, 10);
    let started = Instant::now();
    let fault = loop {
        assert!(started.elapsed() < PATIENCE, "the log goes on");
        if let Err(fault) = log.append(entry(0)).await {
            break fault;
        }
    };
    assert_eq!(fault.reason, "audit_stopped");
    assert!(log.status().stopped.unwrap().contains("Input/output error"));
    assert!(log.close().is_err());
}

/// A content for which there is no room is refused with its entry; others go on.
#[tokio::test]
async fn an_entry_whose_content_finds_no_room_is_refused_alone() {
    let folder = tempfile::tempdir().unwrap();
    let disk = TestDisk::new();
    let log = open_on(folder.path(), &disk, 100);
    wait_for_spare(&log);
    let large = || entry(1).with_fact("body", "x".repeat(100_000));
    disk.set(Mode::WritesFindNoRoom);
    let fault = log.append(large()).await.unwrap_err();
    assert_eq!(fault.reason, "audit_disk_full");
    disk.set(Mode::Works);
    let left = std::fs::read_dir(folder.path().join("contents")).unwrap();
    assert_eq!((left.count(), log.status().size), (0, 0));
    log.append(entry(0)).await.unwrap();
    log.append(large()).await.unwrap();
    disk.set(Mode::WritesFail);
    let other = entry(2).with_fact("body", "y".repeat(100_000));
    let fault = log.append(other).await.unwrap_err();
    assert_eq!(fault.reason, "audit_stopped");
    assert_eq!(log.status().size, 2);
}
