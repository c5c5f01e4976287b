//! A full disk: what callers are told, and the entries that say so in the log itself.

use std::time::Instant;

use dataos_model::{
    fault::Fault,
    record::{Entry, EntryKind},
};

/// The log takes no new work until the next segment is there.
#[derive(Debug)]
pub(crate) struct Full {
    since: Instant,
    /// Entries that were refused since then.
    pub(crate) refused: u64,
}

impl Full {
    pub(crate) fn new() -> Self {
        Self {
            since: Instant::now(),
            refused: 0,
        }
    }

    /// The entry that ends it: how much is missing from the log, and for how long.
    pub(crate) fn ended(&self) -> Entry {
        entry("ended")
            .with_fact("refused", self.refused)
            .with_fact("duration_ms", self.since.elapsed().as_millis())
    }
}

/// The entry that begins it.
pub(crate) fn began() -> Entry {
    entry("began")
}

fn entry(what: &str) -> Entry {
    // No request caused it, so it has no request id but its name.
    Entry::new(EntryKind::Gap, "disk-full").with_fact("disk_full", what)
}

/// Why the log takes no new entries for now.
pub(crate) const WHY: &str =
    "the disk has no room for another segment; free some, and it goes on within a second";

/// What a caller is told.
pub(crate) fn refusal() -> Fault {
    Fault::unavailable("the audit log takes no new entries: its disk is full")
        .with_reason("audit_disk_full")
        .with_hint("try again later; the operator has to free space on the disk of the log")
}
