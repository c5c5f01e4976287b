//! The audit log: tamper-evident record of every decision and outcome.
//!
//! Enters: [`dataos_model::record::Entry`] values, through the seam
//! [`Record`](dataos_model::seams::Record). Leaves: receipts, once the entry is on disk; pages of
//! entries, proofs, checkpoints and tiles, through the seam [`Records`](dataos_model::seams::Records).
//! Never done here: an acknowledgement before the sync; a retry of a failed sync; a change or removal
//! of an acknowledged entry; HTTP, policies, SQL.
//!
//! An entry's way: the caller's task encodes it, hashes the details and queues it ([`codec`],
//! [`queue`]); one committer thread takes whatever has queued up during the previous sync, gives each
//! entry its index, makes the tree grow, signs one checkpoint, writes all with one `pwrite` and one
//! `fdatasync` ([`commit`]), publishes the batch to readers ([`view`]), and wakes the callers, who
//! build their receipts on their own tasks. A batch without its end never happened. The formats are
//! those of [`dataos_proof`].
//!
//! An entry's later life: once a pack is full (2^20 entries by default), a thread writes the oldest
//! entries to a compressed file of columns that anyone's Parquet reader opens, reads it back, makes
//! every leaf again and compares it with the tree; only then the segments go ([`sealed`]). Reading is
//! the same before and after: a search looks through the tail, then through the packs, newest first
//! ([`search`]); what a pack returns is proven against the tree like the rest.
//!
//! Memory: for entries that are not sealed, 32.2 bytes of hashes, 12 bytes of position and 8.2 bytes
//! of search filter each; for sealed ones 0.2 bytes each. The entries themselves stay on disk. The
//! sealer holds about 100 MB while it works on a pack of 2^20 entries.
//!
//! ```no_run
//! # fn demo(clock: std::sync::Arc<dyn dataos_model::clock::Clock>)
//! # -> Result<(), dataos_model::fault::Fault> {
//! use dataos_audit::{AuditConfig, AuditLog};
//! use dataos_model::secret::Secret;
//!
//! let config = AuditConfig::new("/var/lib/dataos/audit", "gateway.example/log");
//! let log = AuditLog::open(config, Secret::new([7; 32]), clock)?;
//! // Hand `log` out as `Arc<dyn Record>` and `Arc<dyn Records>`; then, at the end:
//! log.close()
//! # }
//! ```

mod config;

mod key;

mod details;
mod row;

mod codec;

mod disk;

mod directory;

mod contents;

mod gate;

mod full;
mod queue;
mod view;

mod spare;

mod segment;

mod checkpoint;

mod sealed;

mod recover;

mod commit;
mod pace;

mod search;

mod log;

mod verify;
mod walk;

pub use config::AuditConfig;
pub use log::AuditLog;
pub use recover::{RecoveryReport, TornTail};
pub use verify::{DirectorySummary, Indexes, verify_directory};
pub use walk::{fill_in, read_directory};
