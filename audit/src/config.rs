//! What the log needs to know.

use std::path::PathBuf;

use dataos_model::fault::Fault;

use crate::sealed::{BLOCK_ROWS, PACK_ENTRIES_MAX};

/// Smallest segment; the largest batch fits in it with room to spare.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// Largest segment: offsets are 32 bits wide, and verification holds one segment in memory.
const SEGMENT_BYTES_MAX: u64 = dataos_proof::log::SEGMENT_BYTES_MAX;

/// Most entries that may wait for the committer.
const QUEUE_ENTRIES_MAX: usize = 1024 * 1024;

/// Configuration of an [`AuditLog`](crate::AuditLog).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// Folder of the log; created if absent, locked while open.
    pub directory: PathBuf,
    /// Name of the log in checkpoints and keys, such as `gateway.example/log`.
    pub origin: String,
    /// Size to which segments grow, in bytes; 4 MiB to 256 MiB. The first is 4 MiB, each next twice
    /// as large up to this size, so that a small log stays small.
    pub segment_bytes: u64,
    /// Most entries that may wait for the committer; one more is refused at once.
    pub queue_entries: usize,
    /// Entries of a sealed pack: a power of two from 1024 to 4,194,304. So many of the oldest entries
    /// that are not sealed yet are moved to one compressed file, and their segments deleted.
    pub seal_entries: u64,
}

impl AuditConfig {
    /// The defaults for a log of this name in this folder.
    pub fn new(directory: impl Into<PathBuf>, origin: impl Into<String>) -> Self {
        Self {
            directory: directory.into(),
            origin: origin.into(),
            segment_bytes: 64 * 1024 * 1024,
            queue_entries: 8192,
            seal_entries: 1 << 20,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Fault> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return Err(Fault::invalid(format!(
                "the segment size of the audit log is {} bytes; it must be between 4 and 256 MiB",
                self.segment_bytes
            )));
        }
        if !(1..=QUEUE_ENTRIES_MAX).contains(&self.queue_entries) {
            return Err(Fault::invalid(format!(
                "the queue of the audit log has room for {} entries; it must be 1 to {}",
                self.queue_entries, QUEUE_ENTRIES_MAX
            )));
        }
        let fits = self.seal_entries.is_power_of_two()
            && (u64::from(BLOCK_ROWS)..=u64::from(PACK_ENTRIES_MAX)).contains(&self.seal_entries);
        if !fits {
            return Err(Fault::invalid(format!(
                "the audit log is to seal packs of {} entries; it must be a power of two from \
                 {BLOCK_ROWS} to {PACK_ENTRIES_MAX}",
                self.seal_entries
            )));
        }
        Ok(())
    }
}
