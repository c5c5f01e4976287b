//! Opening and closing: locks, formats, keys, what a restart finds.

use std::fs;

use dataos_audit::AuditLog;
use dataos_model::{
    fault::FaultKind,
    record::EntryKind,
    seams::{Record, Records},
    secret::Secret,
};

use crate::scene::{ORIGIN, SEED, SetClock, config, entry, key, open, try_open, verify};

#[tokio::test]
async fn a_closed_log_opens_again_with_everything() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    assert!(log.recovery().was_closed);
    assert_eq!(log.status().size, 0);
    for number in 0..20 {
        log.append(entry(number)).await.unwrap();
    }
    let before = log.status();
    log.close().unwrap();
    log.close().unwrap();
    assert!(log.status().stopped.is_some());
    assert_eq!(
        log.append(entry(0)).await.unwrap_err().kind,
        FaultKind::Unavailable
    );
    // Reading goes on.
    assert_eq!(log.get(3).await.unwrap().entry, entry(3));

    let log = open(folder.path());
    let report = log.recovery();
    assert_eq!(
        (report.entries, report.was_closed, &report.torn),
        (21, true, &None)
    );
    assert_eq!(log.get(20).await.unwrap().entry.kind, EntryKind::Shutdown);
    let after = log.status();
    assert_eq!((after.size, after.stopped), (21, None));
    assert_eq!(after.origin, ORIGIN);
    assert_eq!(after.verifier_key, key().to_string());
    assert!(after.bytes > before.bytes);
    assert_eq!(log.append(entry(21)).await.unwrap().index, 21);
}

#[tokio::test]
async fn a_log_that_was_not_closed_is_reported_as_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.append(entry(0)).await.unwrap();
    drop(log);
    let log = open(folder.path());
    assert!(!log.recovery().was_closed);
    assert_eq!(log.recovery().entries, 1);
}

#[test]
fn a_second_opener_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let fault = try_open(folder.path()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Conflict);
    assert!(
        fault.message.contains("in use by another process"),
        "{fault}"
    );
    log.close().unwrap();
    open(folder.path());
}

#[test]
fn other_formats_and_keys_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).close().unwrap();
    let check = |file: &str, text: &str, kind: FaultKind, part: &str| {
        let path = folder.path().join(file);
        let before = fs::read(&path).unwrap();
        fs::write(&path, text).unwrap();
        let fault = try_open(folder.path()).unwrap_err();
        assert_eq!(fault.kind, kind, "{fault}");
        assert!(fault.to_string().contains(part), "{fault}");
        fs::write(&path, before).unwrap();
    };
    check(
        "format",
        "dataos-audit 4\n",
        FaultKind::Unsupported,
        "format 4",
    );
    check(
        "format",
        "dataos-audit 1\n",
        FaultKind::Unsupported,
        "format 1",
    );
    check("format", "dataos-audit x\n", FaultKind::Damaged, "format");
    check("checkpoint", "", FaultKind::Damaged, "checkpoint");
    check(
        "checkpoint",
        &"x".repeat(1 << 20),
        FaultKind::Damaged,
        "too long",
    );
    open(folder.path()).close().unwrap();

    let other = |origin: &str, seed: [u8; 32]| {
        let config = dataos_audit::AuditConfig {
            origin: origin.to_owned(),
            ..config(folder.path())
        };
        AuditLog::open(config, Secret::new(seed), SetClock::new(1)).unwrap_err()
    };
    assert_eq!(other(ORIGIN, [8; 32]).kind, FaultKind::Damaged);
    assert_eq!(other("logs.example/other", SEED).kind, FaultKind::Damaged);
    assert_eq!(other("not a name", SEED).kind, FaultKind::Invalid);
    let short = AuditLog::open(
        config(folder.path()),
        Secret::new([1; 31]),
        SetClock::new(1),
    );
    assert_eq!(short.unwrap_err().kind, FaultKind::Invalid);
    fs::remove_file(folder.path().join("format")).unwrap();
    assert_eq!(
        try_open(folder.path()).unwrap_err().kind,
        FaultKind::Damaged
    );
}

/// An older copy of the folder, restored under a newer checkpoint.
#[tokio::test]
async fn a_log_that_was_cut_short_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.append(entry(0)).await.unwrap();
    log.close().unwrap();
    let segment = folder.path().join("segment-00000000000000000000.wal");
    let old = fs::read(&segment).unwrap();
    let log = open(folder.path());
    log.append(entry(1)).await.unwrap();
    log.close().unwrap();
    fs::write(&segment, &old).unwrap();
    let fault = try_open(folder.path()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Damaged);
    assert!(
        fault
            .message
            .contains("signed checkpoint shows that it had 4"),
        "{fault}"
    );
    assert_eq!(fs::read(&segment).unwrap(), old);
    assert!(verify(folder.path()).is_err());
    fs::remove_file(&segment).unwrap();
    assert_eq!(
        try_open(folder.path()).unwrap_err().kind,
        FaultKind::Damaged
    );
}
