//! Formats and proofs of the audit log: everything that a third party needs to verify it offline.
//!
//! Enters: bytes and texts that may be hostile (receipts, notes, tiles, log segments) and the log's
//! public key. Leaves: decoded entries, Merkle proofs, and verdicts that name file, offset, index and
//! kind of the first damage. Never done here: files, sockets, clocks, threads; a panic on any input;
//! more than 63 hashes of work for one receipt.
//!
//! The formats are those of C2SP (signed-note, tlog-checkpoint, tlog-tiles, tlog-proof) over an
//! RFC 6962 tree, so that a verifier written by somebody else accepts them unchanged; the entry, the
//! compact [`receipt`] and the [`frame`] of the write-ahead log are ours and are laid out in their
//! modules.
//!
//! **What is signed.** The log's Ed25519 key signs one C2SP checkpoint per committed batch: origin
//! (which equals the key's name), tree size and root. Nothing else is ever signed. A receipt is the
//! proof that its entry is included in the tree of such a checkpoint.

pub mod wire;

pub mod entry;

pub mod tree;

pub mod tile;

pub mod note;

pub mod checkpoint;

pub mod cosignature;

pub mod proof;

pub mod receipt;

pub mod frame;

pub mod log;

pub use log::verify_segments;

/// A SHA-256 digest.
pub type Digest = [u8; 32];
