//! Writes and syncs that fail in the kernel's stead: the log stops, says so, and tries nothing again.

use std::fs;

use crate::{
    child::{Acknowledged, Appender, is_child},
    shim,
};

const EIO: &str = "5";
const ENOSPC: &str = "28";
const EROFS: &str = "30";

/// Which call fails, on which file, how, and how many succeed before.
const CASES: &[(&str, &str, &str, u64)] = &[
    ("pwrite", "/segment-", EIO, 0),
    ("pwrite", "/segment-", EIO, 1),
    ("pwrite", "/segment-", EIO, 30),
    ("pwrite", "/segment-", EROFS, 7),
    // The room was reserved: this is no full disk but one that lies.
    ("pwrite", "/segment-", ENOSPC, 7),
    ("sync", "/segment-", EIO, 0),
    ("sync", "/segment-", EIO, 1),
    ("sync", "/segment-", EIO, 30),
    ("sync", "/segment-", EROFS, 7),
    ("sync", "/segment-", ENOSPC, 7),
    // The second segment, while it is zeroed and while it gets its header; the first takes five
    // calls of each kind.
    ("pwrite", "/spare.new", EIO, 5),
    ("pwrite", "/spare.new", EROFS, 8),
    ("sync", "/spare.new", EIO, 6),
    ("pwrite", "/spare.new", EIO, 9),
    ("sync", "/spare.new", EIO, 9),
];

#[test]
fn a_failed_write_or_sync_stops_the_log_and_is_not_tried_again() {
    if is_child() {
        return;
    }
    let tools = tempfile::tempdir().unwrap();
    let library = shim::compile(tools.path());
    for (number, (call, file, errno, after)) in CASES.iter().enumerate() {
        let what = format!("error {errno} from {call} on {file} after {after}");
        let folder = tempfile::tempdir().unwrap();
        let report = tools.path().join(format!("report-{number}"));
        let after = after.to_string();
        let mut acknowledged = Acknowledged::default();
        let child = Appender::start(
            "errors::a_failed_write_or_sync_stops_the_log_and_is_not_tried_again",
            folder.path(),
            &[
                ("LD_PRELOAD", library.to_str().unwrap()),
                ("DATAOS_SHIM", call),
                ("DATAOS_SHIM_AFTER", &after),
                ("DATAOS_SHIM_FILE", file),
                ("DATAOS_SHIM_ERRNO", errno),
                ("DATAOS_SHIM_REPORT", report.to_str().unwrap()),
            ],
        );
        let said = child.wait();
        acknowledged.add(&said);
        let calls = fs::read_to_string(&report).unwrap_or_default();
        assert_eq!(calls, "F", "{what}: one failure, and no call after it");
        assert_eq!(said.other.len(), 16 + 3, "{what}: {:?}", said.other);
        let (ends, rest) = said.other.split_at(16);
        assert!(
            ends.iter().all(|end| end == "audit_stopped"),
            "{what}: {ends:?}"
        );
        assert_eq!(rest[0], "later audit_stopped", "{what}");
        assert!(rest[1].contains("a write failed"), "{what}: {}", rest[1]);
        assert_eq!(rest[2], "closed false", "{what}");
        acknowledged
            .check(folder.path())
            .unwrap_or_else(|why| panic!("{what}: {why}"));
        // And the next process goes on.
        let child = Appender::start(
            "errors::a_failed_write_or_sync_stops_the_log_and_is_not_tried_again",
            folder.path(),
            &[],
        );
        child.wait_until_appending();
        acknowledged.add(&child.kill());
        acknowledged
            .check(folder.path())
            .unwrap_or_else(|why| panic!("{what}: {why}"));
    }
}
