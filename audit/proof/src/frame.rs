//! Frames of the write-ahead log: how entries and batches lie in a segment file.
//!
//! A segment is named `segment-<index of its first entry, 20 digits>.wal`. Integers are big-endian.
//!
//! | bytes | segment header |
//! | --- | --- |
//! | 8 | `DATAOSWL` |
//! | 4 | version of the format, 1 |
//! | 8 | index of the first entry |
//! | 4 | CRC-32C of the 20 bytes before |
//!
//! Then frames follow without gaps; the rest of the file is zero.
//!
//! | bytes | frame |
//! | --- | --- |
//! | 4 | length of the body |
//! | 4 | CRC-32C of length, index and body |
//! | 8 | index of the entry; for the end of a batch the number of entries in the log |
//! | 1 | first byte of the body: 1 entry, 2 end of a batch |
//! | n | the rest of the body |
//!
//! An entry goes on with the length of the entry (2), the entry ([`crate::entry`]), the salt (16) and
//! the details. The end of a batch goes on with the index of its first entry (8), the number of its
//! entries (4), its time in milliseconds (8) and the checkpoint after it, a signed note.
//!
//! Entries that no end of batch follows were never acknowledged and do not count.

use crate::{
    entry::{ENTRY_BYTES_MAX, Salt},
    wire::Cursor,
};

/// The version of the format that this module writes and reads.
pub const VERSION: u32 = 1;

/// Bytes of a segment header.
pub const SEGMENT_HEADER_BYTES: usize = 24;

/// Bytes of a frame before its body.
pub const FRAME_HEADER_BYTES: usize = 16;

/// Longest details of an entry.
pub const DETAILS_BYTES_MAX: usize = 65_535;

/// Longest body of a frame.
pub const BODY_BYTES_MAX: usize = 3 + ENTRY_BYTES_MAX + 16 + DETAILS_BYTES_MAX;

const MAGIC: &[u8; 8] = b"DATAOSWL";
const ENTRY: u8 = 1;
/// The first byte of a batch frame's body.
pub(crate) const BATCH: u8 = 2;

/// An entry as it lies in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryFrame<'a> {
    /// Position in the log.
    pub index: u64,
    /// Canonical bytes of the entry: the leaf of the tree.
    pub entry: &'a [u8],
    /// Salt of the details.
    pub salt: &'a Salt,
    /// The details that the entry commits to.
    pub details: &'a [u8],
}

/// The end of a batch: what makes the entries before it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchFrame<'a> {
    /// Number of entries in the log after the batch.
    pub size: u64,
    /// Index of the first entry of the batch.
    pub first: u64,
    /// Number of entries in the batch.
    pub count: u32,
    /// Time of the batch and of its entries, in milliseconds.
    pub time_ms: i64,
    /// The checkpoint after the batch, a signed note.
    pub note: &'a str,
}

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// An entry.
    Entry(EntryFrame<'a>),
    /// The end of a batch.
    Batch(BatchFrame<'a>),
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes end within a frame.
    #[error("the file ends within a frame")]
    Short,
    /// A length that no frame has.
    #[error("a frame claims {0} bytes; the longest has {BODY_BYTES_MAX}")]
    TooLong(u32),
    /// Bytes that are not what was written.
    #[error("the checksum of a frame does not match")]
    Checksum,
    /// A frame type that this build does not know.
    #[error("frame type {0} is not known")]
    Type(u8),
    /// A body that does not hold what its type says.
    #[error("the body of a frame is malformed: {0}")]
    Body(&'static str),
    /// The segment header is not one.
    #[error("the file does not begin with a segment header")]
    Header,
    /// A segment of a later version.
    #[error("segment version {0} is not known; this build reads version 1")]
    Version(u32),
}

impl FrameError {
    /// Whether a write that was cut off by a crash can leave this behind.
    pub fn can_be_torn(self) -> bool {
        matches!(self, Self::Short | Self::TooLong(_) | Self::Checksum)
    }
}

/// The file name of the segment that begins with entry `first`.
pub fn segment_name(first: u64) -> String {
    format!("segment-{first:020}.wal")
}

/// The first entry of the segment with this file name, if it is one.
pub fn segment_first(name: &str) -> Option<u64> {
    let first = name
        .strip_prefix("segment-")?
        .strip_suffix(".wal")?
        .parse()
        .ok()?;
    (segment_name(first) == name).then_some(first)
}

/// The header of the segment that begins with entry `first`.
pub fn segment_header(first: u64) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut header = [0; SEGMENT_HEADER_BYTES];
    let fields = MAGIC
        .iter()
        .copied()
        .chain(VERSION.to_be_bytes())
        .chain(first.to_be_bytes());
    header
        .iter_mut()
        .zip(fields)
        .for_each(|(byte, value)| *byte = value);
    let checksum = crc32c::crc32c(header.get(..20).unwrap_or_default()).to_be_bytes();
    header
        .iter_mut()
        .skip(20)
        .zip(checksum)
        .for_each(|(byte, value)| *byte = value);
    header
}

/// Reads a segment header: the index of the first entry.
///
/// # Errors
/// Bytes that are no header, or one of a later version.
pub fn read_segment_header(bytes: &[u8]) -> Result<u64, FrameError> {
    let mut cursor = Cursor::new(bytes);
    if cursor.take(MAGIC.len()) != Some(MAGIC) {
        return Err(FrameError::Header);
    }
    let version = cursor.u32().ok_or(FrameError::Short)?;
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    let first = cursor.u64().ok_or(FrameError::Short)?;
    if bytes.get(..SEGMENT_HEADER_BYTES) != Some(&segment_header(first)) {
        return Err(FrameError::Header);
    }
    Ok(first)
}

impl EntryFrame<'_> {
    /// Appends the frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        // The entry's length fits: `Entry::encode` keeps it below ENTRY_BYTES_MAX.
        let length = u16::try_from(self.entry.len())
            .unwrap_or(u16::MAX)
            .to_be_bytes();
        write(
            out,
            self.index,
            &[&[ENTRY], &length, self.entry, self.salt, self.details],
        );
    }
}

impl BatchFrame<'_> {
    /// Appends the frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (first, count) = (self.first.to_be_bytes(), self.count.to_be_bytes());
        let time = self.time_ms.to_be_bytes();
        write(
            out,
            self.size,
            &[&[BATCH], &first, &count, &time, self.note.as_bytes()],
        );
    }
}

fn write(out: &mut Vec<u8>, index: u64, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let start = out.len() + FRAME_HEADER_BYTES;
    let index = index.to_be_bytes();
    let checksum_at = out.len() + 4;
    out.extend_from_slice(&length);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&index);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    let checksum = checksum(&length, &index, out.get(start..).unwrap_or_default()).to_be_bytes();
    if let Some(field) = out.get_mut(checksum_at..checksum_at + 4) {
        field.copy_from_slice(&checksum);
    }
}

fn checksum(length: &[u8; 4], index: &[u8; 8], body: &[u8]) -> u32 {
    let checksum = crc32c::crc32c_append(crc32c::crc32c(length), index);
    crc32c::crc32c_append(checksum, body)
}

/// Reads the frame at the start of `bytes`, and how many bytes it takes; none where the zeros that
/// end a segment begin, or the bytes end.
///
/// # Errors
/// Bytes that are no frame.
pub fn read(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    if bytes.iter().take(FRAME_HEADER_BYTES).all(|byte| *byte == 0) {
        return Ok(None);
    }
    let mut cursor = Cursor::new(bytes);
    let length: [u8; 4] = cursor.array().ok_or(FrameError::Short)?;
    let expected = cursor.u32().ok_or(FrameError::Short)?;
    let index: [u8; 8] = cursor.array().ok_or(FrameError::Short)?;
    let claimed = u32::from_be_bytes(length);
    let body_bytes = usize::try_from(claimed)
        .ok()
        .filter(|bytes| *bytes <= BODY_BYTES_MAX);
    let body_bytes = body_bytes.ok_or(FrameError::TooLong(claimed))?;
    let body = cursor.take(body_bytes).ok_or(FrameError::Short)?;
    if checksum(&length, &index, body) != expected {
        return Err(FrameError::Checksum);
    }
    let frame = read_body(u64::from_be_bytes(index), body)?;
    Ok(Some((frame, FRAME_HEADER_BYTES + body_bytes)))
}

fn read_body(index: u64, body: &[u8]) -> Result<Frame<'_>, FrameError> {
    let mut cursor = Cursor::new(body);
    match cursor.u8().ok_or(FrameError::Body("it is empty"))? {
        ENTRY => {
            let short = FrameError::Body("an entry frame is too short");
            let length = cursor.u16().ok_or(short)?;
            let entry = cursor.take(usize::from(length)).ok_or(short)?;
            let salt = cursor
                .take(16)
                .and_then(|salt| salt.try_into().ok())
                .ok_or(short)?;
            Ok(Frame::Entry(EntryFrame {
                index,
                entry,
                salt,
                details: cursor.rest(),
            }))
        }
        BATCH => {
            let short = FrameError::Body("a batch frame is too short");
            let first = cursor.u64().ok_or(short)?;
            let count = cursor.u32().ok_or(short)?;
            let time_ms = cursor.i64().ok_or(short)?;
            let note = std::str::from_utf8(cursor.rest())
                .map_err(|_| FrameError::Body("the checkpoint is not UTF-8"))?;
            Ok(Frame::Batch(BatchFrame {
                size: index,
                first,
                count,
                time_ms,
                note,
            }))
        }
        other => Err(FrameError::Type(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<u8> {
        let mut bytes = Vec::new();
        EntryFrame {
            index: 7,
            entry: b"entry",
            salt: &[9; 16],
            details: b"details",
        }
        .write(&mut bytes);
        BatchFrame {
            size: 8,
            first: 7,
            count: 1,
            time_ms: -5,
            note: "note\n",
        }
        .write(&mut bytes);
        bytes
    }

    #[test]
    fn frames_read_back_and_every_change_is_found() {
        let bytes = frames();
        let (first, length) = read(&bytes).unwrap().unwrap();
        let Frame::Entry(entry) = first else {
            panic!("{first:?}")
        };
        assert_eq!(
            (entry.index, entry.entry, entry.details),
            (7, &b"entry"[..], &b"details"[..])
        );
        let (second, rest) = read(&bytes[length..]).unwrap().unwrap();
        let Frame::Batch(batch) = second else {
            panic!("{second:?}")
        };
        assert_eq!(
            (batch.size, batch.first, batch.count, batch.time_ms),
            (8, 7, 1, -5)
        );
        assert_eq!(length + rest, bytes.len());
        for position in 0..length {
            for change in 1..=u8::MAX {
                let mut changed = bytes.clone();
                changed[position] ^= change;
                assert!(read(&changed).is_err(), "byte {position} ^ {change:#x}");
            }
        }
        for end in FRAME_HEADER_BYTES..length {
            assert_eq!(read(&bytes[..end]), Err(FrameError::Short));
        }
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[0; 100]), Ok(None));
    }

    #[test]
    fn segment_headers_and_names_read_back() {
        let header = segment_header(42);
        assert_eq!(read_segment_header(&header), Ok(42));
        for position in 0..header.len() {
            let mut changed = header;
            changed[position] ^= 1;
            assert!(read_segment_header(&changed).is_err(), "{position}");
            assert!(
                read_segment_header(&header[..position]).is_err(),
                "{position}"
            );
        }
        assert_eq!(segment_first(&segment_name(u64::MAX)), Some(u64::MAX));
        assert_eq!(segment_first("segment-1.wal"), None);
        assert_eq!(segment_first("segment-00000000000000000001.wal.old"), None);
        assert_eq!(segment_first("checkpoint"), None);
    }
}
