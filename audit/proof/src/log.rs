//! Verification of a whole log from its segments. Entries that the log has sealed are not in segments:
//! `dataos_audit::verify_directory` proves a folder with sealed files, and goes on from them here.
//!
//! What is checked: checksums, the run of indexes, that times never decrease, that details match
//! their hash in the entry, that the tree over all entries has the root that each checkpoint signs,
//! and the signatures. The last batch is special: a crash can leave its writing unfinished, and that
//! cannot be told from damage to it by the segments alone. It is reported as [`LogSummary::torn`];
//! a checkpoint kept elsewhere (the log's `checkpoint` file, a receipt's) settles the question.

use std::io::Read;

use crate::{
    Digest,
    checkpoint::Checkpoint,
    entry::{EntryRef, Kind, details_hash},
    frame::{self, BatchFrame, EntryFrame, FRAME_HEADER_BYTES, Frame, SEGMENT_HEADER_BYTES},
    note::VerifierKey,
    tree::{Frontier, leaf_hash},
};

mod damage;

pub use damage::{Damage, DamageKind};

/// Largest segment that is read, in bytes: it is held in memory.
pub const SEGMENT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What a log holds, when it verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSummary {
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Digest,
    /// Number of batches.
    pub batches: u64,
    /// Number of segments.
    pub segments: u64,
    /// Bytes in use, without the zeros at the ends of segments.
    pub bytes: u64,
    /// Time of the first entry, in milliseconds.
    pub first_time_ms: Option<i64>,
    /// Time of the newest entry.
    pub last_time_ms: Option<i64>,
    /// Kind of the newest entry; a log that was closed ends in `shutdown`.
    pub last_kind: Option<Kind>,
    /// The newest checkpoint, a signed note.
    pub checkpoint: Option<String>,
    /// What follows the newest whole batch and is not one: writing was cut off, is going on, or the
    /// newest batch was damaged.
    pub torn: Option<Damage>,
}

/// Which signatures to check. Each covers everything before it, so the newest is enough to trust
/// the entries; every one is needed to know that no receipt's checkpoint was tampered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signatures {
    /// Of each batch: about 50 microseconds each.
    Every,
    /// Of the newest batch.
    Newest,
}

/// A batch that was found whole.
#[derive(Debug)]
pub struct WholeBatch<'a> {
    /// The segment that holds it.
    pub file: &'a str,
    /// Its entries: offset and length of the frame in the segment, leaf hash, and the frame.
    pub entries: &'a [PlacedEntry<'a>],
    /// Its end.
    pub end: BatchFrame<'a>,
    /// Offset behind it.
    pub offset_after: u64,
}

/// An entry and where it lies.
#[derive(Clone, Copy, Debug)]
pub struct PlacedEntry<'a> {
    /// Offset of the frame in the segment.
    pub offset: u64,
    /// Length of the frame.
    pub length: usize,
    /// Hash of the leaf.
    pub leaf: Digest,
    /// The frame.
    pub frame: EntryFrame<'a>,
}

/// What stands at an offset of a segment.
enum Step<'a> {
    /// A batch, and the offset behind it.
    Whole(BatchFrame<'a>, usize),
    /// Nothing more.
    End,
    /// Something that a cut-off write may have left.
    Torn(Damage),
}

/// Reads segments in order and keeps what has been proven so far.
#[derive(Debug)]
pub struct Scanner<'k> {
    key: &'k VerifierKey,
    signatures: Signatures,
    known: Vec<Checkpoint>,
    frontier: Frontier,
    summary: LogSummary,
    /// Where the newest batch begins; the place to name if its signature fails.
    newest: (String, u64),
    /// Where it ends; the place to name if entries are missing behind it.
    end: (String, u64),
}

/// Verifies a whole log: `segments` yields file names and their bytes in order of name.
///
/// # Errors
/// The first damage.
pub fn verify_segments<R: Read>(
    segments: impl IntoIterator<Item = (String, R)>,
    key: &VerifierKey,
) -> Result<LogSummary, Damage> {
    verify_segments_against(segments, key, Vec::new())
}

/// The same, and that the log continues each of the `known` checkpoints (verified before).
///
/// # Errors
/// The first damage.
pub fn verify_segments_against<R: Read>(
    segments: impl IntoIterator<Item = (String, R)>,
    key: &VerifierKey,
    known: Vec<Checkpoint>,
) -> Result<LogSummary, Damage> {
    let mut scanner = Scanner::new(key, Signatures::Every, known);
    scanner.segments(segments, &mut |_| {})?;
    scanner.finish()
}

impl<'k> Scanner<'k> {
    /// A scanner that has seen nothing; the log must continue each of the `known` checkpoints.
    pub fn new(key: &'k VerifierKey, signatures: Signatures, known: Vec<Checkpoint>) -> Self {
        let summary = LogSummary {
            size: 0,
            root: Frontier::new().root(),
            batches: 0,
            segments: 0,
            bytes: 0,
            first_time_ms: None,
            last_time_ms: None,
            last_kind: None,
            checkpoint: None,
            torn: None,
        };
        Self {
            key,
            signatures,
            known,
            frontier: Frontier::new(),
            summary,
            newest: (String::new(), 0),
            end: (String::new(), 0),
        }
    }

    /// Begins behind entries that were proven otherwise: the tree over them, and the time of the last.
    #[must_use]
    pub fn after(mut self, frontier: Frontier, last_time_ms: Option<i64>) -> Self {
        self.frontier = frontier;
        self.summary.last_time_ms = last_time_ms;
        self
    }

    /// Number of entries so far.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The tree so far.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Reads segments to their end, file names and their bytes in order of name, and hands each whole
    /// batch to `visit`.
    ///
    /// # Errors
    /// The first damage; see [`Scanner::segment`].
    pub fn segments<R: Read>(
        &mut self,
        segments: impl IntoIterator<Item = (String, R)>,
        visit: &mut dyn FnMut(&WholeBatch<'_>),
    ) -> Result<(), Damage> {
        for (file, mut reader) in segments {
            let mut bytes = Vec::new();
            let read = reader
                .by_ref()
                .take(SEGMENT_BYTES_MAX + 1)
                .read_to_end(&mut bytes);
            let kind = match read {
                Ok(read) if read as u64 <= SEGMENT_BYTES_MAX => None,
                Ok(_) => Some(DamageKind::TooLarge),
                Err(error) => Some(DamageKind::Unreadable(error.to_string())),
            };
            if let Some(kind) = kind {
                return Err(self.at(&file, 0, kind));
            }
            self.segment(&file, &bytes, visit)?;
        }
        Ok(())
    }

    /// Reads the next segment, hands each whole batch to `visit`, and returns the offset behind the
    /// last one.
    ///
    /// # Errors
    /// Damage that a cut-off write at the end of the log does not explain.
    pub fn segment(
        &mut self,
        file: &str,
        bytes: &[u8],
        visit: &mut dyn FnMut(&WholeBatch<'_>),
    ) -> Result<u64, Damage> {
        // What looked torn has a segment behind it, so it was whole once.
        if let Some(damage) = self.summary.torn.take() {
            return Err(damage);
        }
        let first = frame::read_segment_header(bytes).map_err(|error| self.at(file, 0, error))?;
        if first != self.size() || frame::segment_first(file).is_some_and(|named| named != first) {
            let kind = DamageKind::Index {
                expected: self.size(),
                found: first,
            };
            return Err(self.at(file, 0, kind));
        }
        self.summary.segments += 1;
        let mut offset = SEGMENT_HEADER_BYTES;
        let mut entries = Vec::new();
        loop {
            match self.batch(file, bytes, offset, &mut entries)? {
                Step::Whole(end, after) => {
                    self.accept(file, &entries, &end, offset)?;
                    let offset_after = after as u64;
                    visit(&WholeBatch {
                        file,
                        entries: &entries,
                        end,
                        offset_after,
                    });
                    self.newest = (file.to_owned(), offset as u64);
                    offset = after;
                }
                Step::End => break,
                Step::Torn(damage) => {
                    let rest = bytes.get(offset..).unwrap_or_default();
                    if self.has_later_batch(rest) {
                        return Err(damage);
                    }
                    self.summary.torn = Some(damage);
                    break;
                }
            }
        }
        self.summary.bytes += offset as u64;
        self.end = (file.to_owned(), offset as u64);
        Ok(offset as u64)
    }

    /// Checks what only the end of the log can show.
    ///
    /// # Errors
    /// A newest checkpoint that does not verify, or a log that is shorter than a known one.
    pub fn finish(self) -> Result<LogSummary, Damage> {
        let found = self.size();
        let ((file, offset), (end_file, end)) = (&self.newest, &self.end);
        if let (Signatures::Newest, Some(note)) = (self.signatures, &self.summary.checkpoint) {
            Checkpoint::open(note, self.key).map_err(|error| self.at(file, *offset, error))?;
        }
        if let Some(known) = self.known.iter().find(|known| known.size > found) {
            let kind = DamageKind::Shorter {
                expected: known.size,
                found,
            };
            return Err(match self.summary.torn {
                // The place where the missing entries would be.
                Some(damage) => Damage { kind, ..damage },
                None => self.at(end_file, *end, kind),
            });
        }
        Ok(LogSummary {
            size: found,
            root: self.frontier.root(),
            ..self.summary
        })
    }

    /// Collects the entries of the next batch and finds its end.
    fn batch<'a>(
        &self,
        file: &str,
        bytes: &'a [u8],
        start: usize,
        entries: &mut Vec<PlacedEntry<'a>>,
    ) -> Result<Step<'a>, Damage> {
        entries.clear();
        let mut offset = start;
        loop {
            let rest = bytes.get(offset..).unwrap_or_default();
            let index = self.size() + entries.len() as u64;
            let at = |kind| Damage {
                file: file.to_owned(),
                offset: offset as u64,
                index,
                kind,
            };
            match frame::read(rest) {
                Ok(None) if !is_zero(rest) => return Ok(Step::Torn(at(DamageKind::AfterEnd))),
                Ok(None) if entries.is_empty() => return Ok(Step::End),
                Ok(None) => return Ok(Step::Torn(at(DamageKind::Unfinished))),
                Err(error) if error.can_be_torn() => return Ok(Step::Torn(at(error.into()))),
                Err(error) => return Err(at(error.into())),
                Ok(Some((Frame::Batch(end), length))) => {
                    return Ok(Step::Whole(end, offset + length));
                }
                Ok(Some((Frame::Entry(frame), length))) => {
                    if frame.index != index {
                        return Err(at(DamageKind::Index {
                            expected: index,
                            found: frame.index,
                        }));
                    }
                    let leaf = leaf_hash(frame.entry);
                    entries.push(PlacedEntry {
                        offset: offset as u64,
                        length,
                        leaf,
                        frame,
                    });
                    offset += length;
                }
            }
        }
    }

    /// Checks a batch against everything before it and makes it part of that.
    fn accept(
        &mut self,
        file: &str,
        entries: &[PlacedEntry<'_>],
        end: &BatchFrame<'_>,
        start: usize,
    ) -> Result<(), Damage> {
        let first = self.size();
        let fits = end.first == first
            && u64::from(end.count) == entries.len() as u64
            && end.size == first + entries.len() as u64
            && end.count > 0;
        if !fits {
            return Err(self.at(file, start as u64, DamageKind::Batch));
        }
        for placed in entries {
            self.entry(placed, end)
                .map_err(|kind| self.at(file, placed.offset, kind))?;
        }
        let note = end.note;
        let checkpoint = match self.signatures {
            Signatures::Every => Checkpoint::open(note, self.key),
            Signatures::Newest => Checkpoint::read(note, self.key),
        };
        let checkpoint = checkpoint.map_err(|error| self.at(file, start as u64, error))?;
        if (checkpoint.size, checkpoint.root) != (end.size, self.frontier.root()) {
            return Err(self.at(file, start as u64, DamageKind::Root));
        }
        self.summary.batches += 1;
        self.summary.checkpoint = Some(note.to_owned());
        Ok(())
    }

    fn entry(&mut self, placed: &PlacedEntry<'_>, end: &BatchFrame<'_>) -> Result<(), DamageKind> {
        let frame = &placed.frame;
        let header = EntryRef::decode(frame.entry)?;
        let is_in_order = self
            .summary
            .last_time_ms
            .is_none_or(|last| last <= header.time_ms);
        if header.time_ms != end.time_ms || !is_in_order {
            return Err(DamageKind::Time);
        }
        if details_hash(frame.salt, frame.details) != *header.details_hash {
            return Err(DamageKind::Details);
        }
        self.frontier.push(placed.leaf);
        let size = self.size();
        if let Some(known) = self.known.iter().find(|known| known.size == size)
            && known.root != self.frontier.root()
        {
            return Err(DamageKind::Fork { size });
        }
        self.summary.first_time_ms.get_or_insert(header.time_ms);
        self.summary.last_time_ms = Some(header.time_ms);
        self.summary.last_kind = Some(header.kind);
        Ok(())
    }

    /// Whether a batch after the next one lies in `rest`: then what is before it was whole once. The
    /// next batch's own end proves nothing: sectors of one write may reach the disk in any order.
    fn has_later_batch(&self, rest: &[u8]) -> bool {
        let types = rest.iter().enumerate().skip(FRAME_HEADER_BYTES);
        let candidates = types.filter(|(_, byte)| **byte == frame::BATCH);
        candidates.into_iter().any(|(position, _)| {
            let bytes = rest
                .get(position - FRAME_HEADER_BYTES..)
                .unwrap_or_default();
            let Ok(Some((Frame::Batch(end), _))) = frame::read(bytes) else {
                return false;
            };
            end.first > self.size() && Checkpoint::open(end.note, self.key).is_ok()
        })
    }

    fn at(&self, file: &str, offset: u64, kind: impl Into<DamageKind>) -> Damage {
        Damage {
            file: file.to_owned(),
            offset,
            index: self.size(),
            kind: kind.into(),
        }
    }
}

/// Whether only zeros are left; by blocks, since it looks at most of a fresh segment.
fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes
        .chunks(ZEROS.len())
        .all(|block| ZEROS.get(..block.len()) == Some(block))
}

#[cfg(test)]
mod tests;
