//! What can be wrong with a log, and where.

use std::fmt;

use crate::{checkpoint::CheckpointError, entry::EntryError, frame::FrameError};

/// The first thing that is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// In which file.
    pub file: String,
    /// At which offset in it.
    pub offset: u64,
    /// At which entry.
    pub index: u64,
    /// What it is.
    pub kind: DamageKind,
}

/// What can be wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DamageKind {
    /// A file that cannot be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
    /// A file over the bound.
    #[error("the file is larger than any segment")]
    TooLarge,
    /// Bytes that are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Entries that no end of batch follows.
    #[error("the last batch has no end")]
    Unfinished,
    /// Data behind the end of the segment.
    #[error("data follows the end of the segment")]
    AfterEnd,
    /// An entry that is not canonical.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// An index out of the run: something was removed, repeated or swapped.
    #[error("entry {found} stands where {expected} belongs")]
    Index {
        /// The index that belongs here.
        expected: u64,
        /// The index that is here.
        found: u64,
    },
    /// A sealed file that does not read back.
    #[error("the sealed file does not read back: {0}")]
    SealedFile(String),
    /// Sealed entries that are not those that were written: the 256 from the named entry on.
    #[error("the sealed entries, 256 from here on, do not have the hash that the index holds")]
    SealedEntries,
    /// What an entry names by its digest, kept beside the log.
    #[error("what the entry keeps beside the log is not there as it was: {0}")]
    Content(String),
    /// Details that the entry does not commit to.
    #[error("the details do not match their hash in the entry")]
    Details,
    /// A time before that of an earlier entry, or other than its batch's.
    #[error("the time of the entry is out of order")]
    Time,
    /// A batch that does not describe the entries before it.
    #[error("the end of the batch does not fit the entries before it")]
    Batch,
    /// A checkpoint that does not verify.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A root other than the signed one: an entry was changed and its checksum renewed.
    #[error("the entries do not have the root that the checkpoint signs")]
    Root,
    /// The log ends before a checkpoint that is known to have been signed.
    #[error("the log has {found} entries, but a signed checkpoint shows that it had {expected}")]
    Shorter {
        /// Entries that the known checkpoint covers.
        expected: u64,
        /// Entries found.
        found: u64,
    },
    /// The log contradicts a checkpoint that is known to have been signed.
    #[error("at {size} entries the log has another root than a signed checkpoint: a fork")]
    Fork {
        /// Size of the known checkpoint.
        size: u64,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            offset,
            index,
            kind,
        } = self;
        write!(f, "{file}, offset {offset}, entry {index}: {kind}")?;
        if let (DamageKind::Index { expected: 0, .. }, 0) = (kind, *offset) {
            f.write_str(
                " (what is before lies in sealed files, if there are any: verify the whole folder \
                 with `dataos-ctl audit verify --log`)",
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Damage {}
