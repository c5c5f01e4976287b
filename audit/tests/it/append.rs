//! Appending: receipts, order, time, concurrency.

use std::sync::Arc;

use dataos_audit::AuditLog;
use dataos_model::{
    fault::FaultKind,
    record::{Entry, EntryKind, RecordQuery},
    seams::{Record, Records},
    secret::Secret,
};
use dataos_proof::{entry::Effect, receipt};

use crate::scene::{SEED, SetClock, config, entry, key, open, verify};

#[tokio::test]
async fn a_receipt_shows_the_decision_and_verifies_offline() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    for number in 0..10 {
        let receipt = log.append(entry(number)).await.unwrap();
        assert_eq!(receipt.index, number);
        assert!(receipt.text.len() <= 600, "{}", receipt.text.len());
        let verified = receipt::verify(&receipt.text, &key()).unwrap();
        let header = &verified.entry.header;
        assert_eq!(
            (verified.index, header.time_ms),
            (number, 1_790_000_000_000)
        );
        assert_eq!(header.request_id, format!("request-{number}"));
        assert_eq!(
            header.effect,
            Some(if number % 3 == 0 {
                Effect::Deny
            } else {
                Effect::Allow
            })
        );
        assert_eq!(header.request_digest, entry(number).request_digest.0);
        assert_eq!(header.policy_set, entry(number).policy_set.0);
        assert_eq!(log.get(number).await.unwrap().entry, entry(number));
    }
    log.close().unwrap();
    assert_eq!(verify(folder.path()).unwrap().size, 11);
}

/// 64 tasks, 10 000 answers: each receipt verifies, each index is given once, each acknowledged
/// entry is at once to be found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_receipts_of_concurrent_callers_verify() {
    const TASKS: u64 = 64;
    const EACH: u64 = 157;
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut receipts = Vec::new();
                for number in task * EACH..(task + 1) * EACH {
                    let receipt = log.append(entry(number)).await.unwrap();
                    if number % 50 == 0 {
                        let query = RecordQuery {
                            request_id: Some(format!("request-{number}")),
                            limit: 2,
                            ..RecordQuery::default()
                        };
                        let page = log.search(&query).await.unwrap();
                        assert_eq!(page.entries.len(), 1);
                        assert_eq!(page.entries[0].index, receipt.index);
                    }
                    receipts.push((number, receipt));
                }
                receipts
            })
        })
        .collect();
    let mut receipts = Vec::new();
    for task in tasks {
        receipts.extend(task.await.unwrap());
    }
    log.close().unwrap();
    let mut seen = vec![false; receipts.len()];
    for (number, receipt) in receipts {
        let verified = receipt::verify(&receipt.text, &key()).unwrap();
        assert_eq!(verified.index, receipt.index);
        assert_eq!(
            verified.entry.header.request_id,
            format!("request-{number}")
        );
        assert!(!std::mem::replace(
            &mut seen[usize::try_from(receipt.index).unwrap()],
            true
        ));
    }
    let summary = verify(folder.path()).unwrap();
    assert_eq!((summary.size, summary.torn), (TASKS * EACH + 1, None));
    assert!(
        summary.batches < summary.size / 4,
        "batches are shared: {}",
        summary.batches
    );
}

#[tokio::test]
async fn an_entry_is_written_even_if_nobody_waits() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    for number in 0..100 {
        drop(log.append(entry(number)));
    }
    log.close().unwrap();
    assert_eq!(verify(folder.path()).unwrap().size, 101);
    let log = open(folder.path());
    assert_eq!(log.get(99).await.unwrap().entry, entry(99));
}

#[tokio::test]
async fn times_never_decrease() {
    let folder = tempfile::tempdir().unwrap();
    let clock = SetClock::new(5000);
    let log = AuditLog::open(
        config(folder.path()),
        Secret::new(SEED),
        Arc::clone(&clock) as _,
    )
    .unwrap();
    log.append(entry(0)).await.unwrap();
    clock.set(1000);
    log.append(entry(1)).await.unwrap();
    clock.set(6000);
    log.append(entry(2)).await.unwrap();
    let mut times = Vec::new();
    for index in 0..3 {
        times.push(log.get(index).await.unwrap().time.0);
    }
    assert_eq!(times, [5000, 5000, 6000]);
    log.close().unwrap();
    // Not across a restart either.
    clock.set(2000);
    let log = AuditLog::open(config(folder.path()), Secret::new(SEED), clock).unwrap();
    let receipt = log.append(entry(3)).await.unwrap();
    assert_eq!(log.get(receipt.index).await.unwrap().time.0, 6000);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_the_log_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let with_reason = |bytes: usize| {
        let mut entry = Entry::new(EntryKind::Decision, "r");
        entry.reason = "x".repeat(bytes);
        entry
    };
    let large = with_reason(70_000);
    let fault = log.append(large).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::TooLarge);
    let almost = with_reason(65_000);
    log.append(almost.clone()).await.unwrap();
    assert_eq!(log.get(0).await.unwrap().entry, almost);
    assert_eq!(log.status().size, 1);
}

/// Many segments: the log goes from one to the next without a gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_follow_one_another() {
    let folder = tempfile::tempdir().unwrap();
    let config = dataos_audit::AuditConfig {
        segment_bytes: 4 << 20,
        ..config(folder.path())
    };
    let open = || AuditLog::open(config.clone(), Secret::new(SEED), SetClock::new(1)).unwrap();
    let log = open();
    let large = |number: u64| {
        let mut large = entry(number);
        large.reason = "x".repeat(60_000);
        large
    };
    for round in 0..4 {
        let waiting: Vec<_> = (0..64)
            .map(|number| log.append(large(round * 64 + number)))
            .collect();
        for receipt in waiting {
            let receipt = receipt.await.unwrap();
            receipt::verify(&receipt.text, &key()).unwrap();
        }
    }
    for index in [0, 63, 64, 128, 255] {
        assert_eq!(log.get(index).await.unwrap().entry, large(index));
    }
    log.close().unwrap();
    let summary = verify(folder.path()).unwrap();
    assert_eq!(summary.size, 257);
    assert!(summary.segments >= 4, "{}", summary.segments);
    let log = open();
    assert_eq!(log.recovery().segments, summary.segments);
    let receipt = log.append(entry(999)).await.unwrap();
    assert_eq!(receipt.index, 257);
    log.close().unwrap();
    assert_eq!(verify(folder.path()).unwrap().size, 259);
}
