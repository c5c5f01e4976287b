//! The index file of a pack: what finds its entries and proves them, without the entries.
//!
//! Integers are big-endian. `DATAOSIX`, version 3 (4), first entry (8), number of entries (4); then
//! length (8) and CRC-32C (4) of each of the nine sections; then the CRC-32C (4) of all that. Then
//! the sections, one behind the other:
//!
//! | section | holds |
//! | --- | --- |
//! | summary | root (32), length (8) and CRC-32C (4) of the Parquet file, the newest checkpoint when it was sealed |
//! | blocks | first and last time of each 1024 entries (8 + 8) |
//! | hashes | root of each 256 entries (32) |
//! | signature directory, term directory | see [`buckets`] |
//! | signatures | of each request id and trace id: fingerprint and block, one u32 |
//! | terms | of each text of a field: field (1), length (2), text, number of entries (4), length of the set (4), then the set if it has at most 32 bytes, else its offset (8) and CRC-32C (4) |
//! | sets | the larger sets of entries, see [`postings`] |
//! | twigs | root of each 16 entries (32) |
//!
//! The hashes that file records depend on the root, which nobody knows while they choose their
//! texts, so nobody can fill one bucket. Ids that were made to have one hash before that are one record a
//! block, as one id that is used again is.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use dataos_proof::{Digest, tree::Frontier, wire::Cursor};
use roaring::RoaringBitmap;
use sha2::{Digest as _, Sha256};
use siphasher::sip::SipHasher24;

use super::{
    BLOCK_ROWS, PACK_ENTRIES_MAX, TILE_ROWS, TILE_TWIGS, TWIG_ROWS,
    buckets::{self, bucket_of},
    build::short_hash,
    postings::{self, RowSet},
};
use crate::codec::id_of;

const MAGIC: &[u8; 8] = b"DATAOSIX";
/// Within a version the same entries give the same bytes: verification compares them.
const VERSION: u32 = 3;
const SECTIONS: usize = 9;
const HEADER_BYTES: usize = 8 + 4 + 8 + 4 + SECTIONS * 12 + 4;

/// Sections that are held in memory: all but signatures, terms, sets and twigs.
const LOADED: usize = 5;

/// Most bytes of the sections that are held in memory.
const LOADED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Sets up to this size stand in the record of their term.
const INLINE_BYTES_MAX: usize = 32;

/// Records in a bucket of signatures: four kilobytes.
const SIGNATURES_PER_BUCKET: usize = 960;

/// Bytes in a bucket of terms, on average.
const TERM_BUCKET_BYTES: usize = 3072;

/// The file is compared in pieces of this size.
const PIECE_BYTES: usize = 256 * 1024;

/// What has a signature.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Key {
    Request = 0,
    Trace = 1,
}

/// What has sets of entries by text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Field {
    Kind = 0,
    Effect = 1,
    Action = 2,
    Principal = 3,
    Resource = 4,
    Policy = 5,
}

impl Field {
    pub(crate) const ALL: [Self; 6] = [
        Self::Kind,
        Self::Effect,
        Self::Action,
        Self::Principal,
        Self::Resource,
        Self::Policy,
    ];
}

/// Why an index file is of no use. It is made again from its Parquet file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It has other bytes than were written.
    #[error("{0} of it is damaged")]
    Damaged(&'static str),
    /// A later version.
    #[error("its version {0} is not known; this build reads version 3")]
    Version(u32),
}

/// The parts of an index that are written as they are.
pub(crate) struct Parts<'a> {
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) root: Digest,
    pub(crate) file_bytes: u64,
    pub(crate) file_checksum: u32,
    pub(crate) note: &'a str,
    pub(crate) blocks: &'a [(i64, i64)],
    pub(crate) hashes: &'a [Digest],
    pub(crate) twigs: &'a [Digest],
}

/// An index that is open: its small sections.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) root: Digest,
    /// Length of the Parquet file.
    pub(crate) file_bytes: u64,
    /// CRC-32C of the Parquet file.
    pub(crate) file_checksum: u32,
    /// Length of the index file.
    pub(crate) index_bytes: u64,
    /// The newest checkpoint when the pack was sealed; empty if there was none.
    pub(crate) note: String,
    /// First and last time of each block.
    pub(crate) blocks: Vec<(i64, i64)>,
    signature_directory: buckets::Directory,
    term_directory: buckets::Directory,
    /// Offset and length of each of the large sections, and its checksum.
    signatures: Section,
    terms: Section,
    sets: Section,
    twigs: Section,
}

/// Where a section lies.
#[derive(Clone, Copy, Debug)]
struct Section {
    offset: u64,
    length: u64,
    checksum: u32,
}

/// A text of a field, and the entries that have it.
#[derive(Debug)]
pub(crate) struct Term {
    pub(crate) field: Field,
    pub(crate) text: String,
    pub(crate) count: u32,
    set: Set,
}

#[derive(Debug)]
enum Set {
    Inline(Vec<u8>),
    Apart(Section),
}

/// The hash by which an id is filed in the pack with this root: SipHash-2-4, its key the root's first half.
pub(crate) fn keyed(root: &Digest, short: &[u8]) -> u64 {
    let (key, _) = root.split_first_chunk().unwrap_or((&[0; 16], &[]));
    SipHasher24::new_with_key(key).hash(short)
}

/// The hash by which a text is filed: of its id, where it is the text of an entity, so that both the
/// id and the whole text find it.
pub(crate) fn term_hash(root: &Digest, field: Field, text: &str) -> u64 {
    let named = id_of(text).unwrap_or(text);
    let digest = Sha256::new()
        .chain_update([field as u8])
        .chain_update(named)
        .finalize();
    keyed(root, &digest)
}

/// Bits that number the blocks of a pack.
fn block_bits(blocks: usize) -> u32 {
    blocks.max(2).next_power_of_two().ilog2()
}

/// The hash of an id, and behind it its record: fingerprint and block in one. One number, since
/// millions are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Signature(u128);

impl Signature {
    /// That of an id in one of `blocks` blocks.
    pub(crate) fn new(hash: u64, block: u16, blocks: usize) -> Self {
        let record = (hash as u32) << block_bits(blocks) | u32::from(block);
        Self(u128::from(hash) << 32 | u128::from(record))
    }

    fn hash(self) -> u64 {
        (self.0 >> 32) as u64
    }

    fn record(self) -> u32 {
        self.0 as u32
    }

    /// Sorts, and leaves each once. Their hashes are evenly spread: dealt out by their first bits, each
    /// share is sorted within the processor's cache.
    pub(crate) fn sort(signatures: &[Self]) -> Vec<Self> {
        const SHARES: usize = 1024;
        let share = |signature: &Self| bucket_of(signature.hash(), SHARES);
        let mut ends = vec![0_usize; SHARES + 1];
        for signature in signatures {
            if let Some(end) = ends.get_mut(share(signature) + 1) {
                *end += 1;
            }
        }
        let mut before = 0;
        for end in &mut ends {
            before += *end;
            *end = before;
        }
        // Now where each share begins; where it ends, once all are dealt out.
        let mut sorted = vec![Self(0); signatures.len()];
        for signature in signatures {
            if let Some(end) = ends.get_mut(share(signature))
                && let Some(place) = sorted.get_mut(*end)
            {
                *place = *signature;
                *end += 1;
            }
        }
        let mut start = 0;
        for end in ends {
            if let Some(share) = sorted.get_mut(start..end) {
                share.sort_unstable();
            }
            start = end;
        }
        sorted.dedup();
        sorted
    }
}

/// The record of a term; a large set goes to `sets`.
pub(crate) fn term_record(
    field: Field,
    text: &str,
    count: u64,
    set: &[u8],
    sets: &mut Vec<u8>,
) -> Vec<u8> {
    let mut record = vec![field as u8];
    // Texts lie in details, which have at most 65,535 bytes.
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    record.extend_from_slice(&length.to_be_bytes());
    record.extend_from_slice(text.as_bytes());
    record.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
    record.extend_from_slice(&u32::try_from(set.len()).unwrap_or(u32::MAX).to_be_bytes());
    if set.len() <= INLINE_BYTES_MAX {
        record.extend_from_slice(set);
    } else {
        record.extend_from_slice(&(sets.len() as u64).to_be_bytes());
        record.extend_from_slice(&crc32c::crc32c(set).to_be_bytes());
        sets.extend_from_slice(set);
    }
    record
}

impl Parts<'_> {
    /// The bytes of the file; signatures and terms are in order.
    pub(crate) fn write(
        &self,
        signatures: &[Signature],
        terms: &[(u64, Vec<u8>)],
        sets: &[u8],
    ) -> Vec<u8> {
        let mut summary = self.root.to_vec();
        summary.extend_from_slice(&self.file_bytes.to_be_bytes());
        summary.extend_from_slice(&self.file_checksum.to_be_bytes());
        summary.extend_from_slice(self.note.as_bytes());
        let times = self
            .blocks
            .iter()
            .flat_map(|(first, last)| [first.to_be_bytes(), last.to_be_bytes()]);
        let blocks: Vec<u8> = times.flatten().collect();
        let term_bytes: usize = terms.iter().map(|(_, record)| record.len()).sum();
        let signature_buckets = signatures.len().div_ceil(SIGNATURES_PER_BUCKET).max(1);
        let records = signatures.iter();
        let records = records.map(|one| (one.hash(), one.record().to_be_bytes()));
        let (signature_directory, signatures) = buckets::write(records, signature_buckets);
        let term_buckets = term_bytes.div_ceil(TERM_BUCKET_BYTES).max(1);
        let records = terms.iter().map(|(hash, record)| (*hash, record));
        let (term_directory, terms) = buckets::write(records, term_buckets);
        let sections: [&[u8]; SECTIONS] = [
            &summary,
            &blocks,
            &self.hashes.concat(),
            &signature_directory,
            &term_directory,
            &signatures,
            &terms,
            sets,
            &self.twigs.concat(),
        ];
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&self.first.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        for section in sections {
            out.extend_from_slice(&(section.len() as u64).to_be_bytes());
            out.extend_from_slice(&crc32c::crc32c(section).to_be_bytes());
        }
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_be_bytes());
        sections
            .iter()
            .for_each(|section| out.extend_from_slice(section));
        out
    }
}

impl Index {
    /// Opens the index of the pack that begins with entry `first`: the small sections, and the root
    /// of each 256 entries.
    pub(crate) fn open(path: &Path, first: u64) -> Result<(Self, Vec<Digest>), IndexError> {
        let damaged = IndexError::Damaged;
        let file = File::open(path)?;
        let index_bytes = file.metadata()?.len();
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0)?;
        let (named, count, sections) = read_header(&header)?;
        let end = sections.last().map_or(0, |last| last.offset + last.length);
        if named != first || end != index_bytes {
            return Err(damaged("the header"));
        }
        let [
            summary,
            blocks,
            hashes,
            signature_directory,
            term_directory,
            signatures,
            terms,
            sets,
            twigs,
        ] = sections;
        let loaded = signatures.offset - summary.offset;
        let loaded = usize::try_from(loaded).map_err(|_| damaged("the header"))?;
        let mut bytes = vec![0; loaded];
        file.read_exact_at(&mut bytes, summary.offset)?;
        let section = |section: Section, name| {
            let start = usize::try_from(section.offset - summary.offset).unwrap_or(usize::MAX);
            let length = usize::try_from(section.length).unwrap_or(usize::MAX);
            let bytes = bytes.get(start..).and_then(|rest| rest.get(..length));
            bytes
                .filter(|bytes| crc32c::crc32c(bytes) == section.checksum)
                .ok_or(damaged(name))
        };
        let (root, file_bytes, file_checksum, note) =
            read_summary(section(summary, "the summary")?).ok_or(damaged("the summary"))?;
        let blocks =
            read_blocks(section(blocks, "the times")?, count).ok_or(damaged("the times"))?;
        let hashes = section(hashes, "the hashes")?.as_chunks::<32>().0.to_vec();
        let mut folded = Frontier::new();
        hashes.iter().for_each(|hash| folded.push(*hash));
        if hashes.len() as u64 != u64::from(count / TILE_ROWS) || folded.root() != root {
            return Err(damaged("the hashes"));
        }
        let directory = |of: Section, data: Section, name| {
            buckets::Directory::read(section(of, name)?, data.length).ok_or(damaged(name))
        };
        let index = Self {
            path: path.to_owned(),
            first,
            count,
            root,
            file_bytes,
            file_checksum,
            index_bytes,
            note,
            blocks,
            signature_directory: directory(
                signature_directory,
                signatures,
                "the signature directory",
            )?,
            term_directory: directory(term_directory, terms, "the term directory")?,
            signatures,
            terms,
            sets,
            twigs,
        };
        Ok((index, hashes))
    }

    /// Checks the large sections too.
    pub(crate) fn check(&self) -> Result<(), IndexError> {
        let sections = [
            (self.signatures, "the signatures"),
            (self.terms, "the terms"),
            (self.sets, "the sets"),
            (self.twigs, "the twigs"),
        ];
        let file = File::open(&self.path)?;
        for (section, name) in sections {
            read(&file, section, name)?;
        }
        Ok(())
    }

    /// The roots of the twigs of each of these tiles, one tile after the other; the tiles have these
    /// roots.
    pub(crate) fn twigs(&self, tiles: &[u32], roots: &[Digest]) -> Result<Vec<Digest>, IndexError> {
        const TILE_BYTES: usize = TILE_TWIGS * size_of::<Digest>();
        let file = File::open(&self.path)?;
        let mut twigs = Vec::with_capacity(tiles.len() * TILE_TWIGS);
        for (tile, root) in tiles.iter().zip(roots) {
            let mut bytes = [0; TILE_BYTES];
            let start = u64::from(*tile) * TILE_BYTES as u64;
            file.read_exact_at(&mut bytes, self.twigs.offset + start)?;
            let (read, _) = bytes.as_chunks::<32>();
            let mut folded = Frontier::new();
            read.iter().for_each(|twig| folded.push(*twig));
            if folded.root() != *root {
                return Err(IndexError::Damaged("the twigs"));
            }
            twigs.extend_from_slice(read);
        }
        Ok(twigs)
    }

    /// The blocks that may hold an entry with this id.
    pub(crate) fn blocks_of(&self, key: Key, text: &str) -> Result<Vec<u32>, IndexError> {
        let hash = keyed(&self.root, &short_hash(key, text).to_be_bytes());
        let bucket = self.bucket(&self.signature_directory, self.signatures, hash)?;
        let bits = block_bits(self.blocks.len());
        let wanted = Signature::new(hash, 0, self.blocks.len()).record() >> bits;
        let (records, _) = bucket.as_chunks::<4>();
        let records = records.iter().map(|record| u32::from_be_bytes(*record));
        let fitting = records.filter(|record| record >> bits == wanted);
        Ok(fitting.map(|record| record & ((1 << bits) - 1)).collect())
    }

    /// A block of an entry that is not found by its id, given all hashes and signatures of a pack.
    pub(crate) fn lacks(&self, signatures: &[Signature]) -> Result<Option<u32>, IndexError> {
        let all = read(&File::open(&self.path)?, self.signatures, "the signatures")?;
        let has = |signature: &Signature| {
            let (start, length, _) = self.signature_directory.find(signature.hash())?;
            let bucket = all.get(usize::try_from(start).ok()?..)?.get(..length)?;
            let record = signature.record().to_be_bytes();
            bucket.as_chunks::<4>().0.contains(&record).then_some(())
        };
        let mut signatures = signatures.iter();
        let lacking = signatures.find(|signature| has(signature).is_none());
        let bits = block_bits(self.blocks.len());
        Ok(lacking.map(|signature| signature.record() & ((1 << bits) - 1)))
    }

    /// Whether the file has exactly these bytes.
    pub(crate) fn is(&self, bytes: &[u8]) -> io::Result<bool> {
        let mut file = File::open(&self.path)?;
        let (mut piece, mut rest) = (vec![0; PIECE_BYTES], bytes);
        loop {
            let read = file.read(&mut piece)?;
            match rest.split_at_checked(read) {
                Some((expected, later)) if piece.get(..read) == Some(expected) => rest = later,
                _ => return Ok(false),
            }
            if read == 0 {
                return Ok(rest.is_empty());
            }
        }
    }

    /// The rows that have this text, or an entity with this id, in this field.
    pub(crate) fn rows_of(&self, field: Field, text: &str) -> Result<RoaringBitmap, IndexError> {
        let is_entity = matches!(field, Field::Principal | Field::Resource);
        let fits = |term: &Term| {
            term.field == field
                && (term.text == text || is_entity && id_of(&term.text) == Some(text))
        };
        // The whole text is filed by its id; what has the whole text as its id is filed by it.
        let mut hashes = vec![term_hash(&self.root, field, text)];
        if is_entity && id_of(text).is_some() {
            let digest = Sha256::new()
                .chain_update([field as u8])
                .chain_update(text)
                .finalize();
            hashes.push(keyed(&self.root, &digest));
        }
        let mut rows = RoaringBitmap::new();
        for hash in hashes {
            let bucket = self.bucket(&self.term_directory, self.terms, hash)?;
            for term in self.read_terms(&bucket)?.iter().filter(|term| fits(term)) {
                rows |= self.set(term)?;
            }
        }
        Ok(rows)
    }

    /// Every term.
    pub(crate) fn all_terms(&self) -> Result<Vec<Term>, IndexError> {
        let file = File::open(&self.path)?;
        self.read_terms(&read(&file, self.terms, "the terms")?)
    }

    /// The sets of all terms, in one read; see [`Index::count_in`].
    pub(crate) fn all_sets(&self) -> Result<Vec<u8>, IndexError> {
        let file = File::open(&self.path)?;
        read(&file, self.sets, "the sets")
    }

    /// The rows of a term.
    pub(crate) fn set(&self, term: &Term) -> Result<RoaringBitmap, IndexError> {
        let rows = match &term.set {
            Set::Inline(bytes) => postings::decode(bytes, self.count),
            Set::Apart(section) => {
                let file = File::open(&self.path)?;
                postings::decode(&read(&file, *section, "a set")?, self.count)
            }
        };
        rows.filter(|rows| rows.len() == u64::from(term.count))
            .ok_or(IndexError::Damaged("a set"))
    }

    /// How many of these rows a term has; `sets` are [`Index::all_sets`].
    pub(crate) fn count_in(
        &self,
        term: &Term,
        rows: &RowSet,
        sets: &[u8],
    ) -> Result<u64, IndexError> {
        let bytes = match &term.set {
            Set::Inline(bytes) => Some(bytes.as_slice()),
            Set::Apart(section) => {
                let start = usize::try_from(section.offset - self.sets.offset).ok();
                let length = usize::try_from(section.length).unwrap_or(usize::MAX);
                let rest = start.and_then(|start| sets.get(start..));
                rest.and_then(|rest| rest.get(..length))
            }
        };
        bytes
            .and_then(|bytes| rows.count_in(bytes))
            .ok_or(IndexError::Damaged("the sets"))
    }

    fn bucket(
        &self,
        directory: &buckets::Directory,
        data: Section,
        hash: u64,
    ) -> Result<Vec<u8>, IndexError> {
        let damaged = IndexError::Damaged("a directory");
        let (start, length, checksum) = directory.find(hash).ok_or(damaged)?;
        let section = Section {
            offset: data.offset + start,
            length: length as u64,
            checksum,
        };
        read(&File::open(&self.path)?, section, "a bucket")
    }

    fn read_terms(&self, bytes: &[u8]) -> Result<Vec<Term>, IndexError> {
        let (mut terms, mut cursor) = (Vec::new(), Cursor::new(bytes));
        while !cursor.is_empty() {
            let term = read_term(&mut cursor, self.sets);
            terms.push(term.ok_or(IndexError::Damaged("the terms"))?);
        }
        Ok(terms)
    }
}

fn read_header(bytes: &[u8; HEADER_BYTES]) -> Result<(u64, u32, [Section; SECTIONS]), IndexError> {
    let damaged = || IndexError::Damaged("the header");
    let mut cursor = Cursor::new(bytes);
    let mut read = || -> Option<(u32, u64, u32, [Section; SECTIONS], u32)> {
        (cursor.take(MAGIC.len())? == MAGIC).then_some(())?;
        let (version, first, count) = (cursor.u32()?, cursor.u64()?, cursor.u32()?);
        let mut sections = [Section {
            offset: 0,
            length: 0,
            checksum: 0,
        }; SECTIONS];
        let mut offset = HEADER_BYTES as u64;
        for section in &mut sections {
            let (length, checksum) = (cursor.u64()?, cursor.u32()?);
            *section = Section {
                offset,
                length,
                checksum,
            };
            offset = offset.checked_add(length)?;
        }
        Some((version, first, count, sections, cursor.u32()?))
    };
    let (version, first, count, sections, checksum) = read().ok_or_else(damaged)?;
    if version != VERSION {
        return Err(IndexError::Version(version));
    }
    let covered = bytes.get(..HEADER_BYTES - 4).unwrap_or_default();
    let loaded: u64 = sections
        .iter()
        .take(LOADED)
        .map(|section| section.length)
        .sum();
    let fits = crc32c::crc32c(covered) == checksum
        && count.is_power_of_two()
        && (BLOCK_ROWS..=PACK_ENTRIES_MAX).contains(&count)
        && first.is_multiple_of(u64::from(count))
        && sections.last().map(|twigs| twigs.length) == Some(u64::from(count / TWIG_ROWS) * 32)
        && loaded <= LOADED_BYTES_MAX;
    if fits {
        Ok((first, count, sections))
    } else {
        Err(damaged())
    }
}

fn read_summary(bytes: &[u8]) -> Option<(Digest, u64, u32, String)> {
    let mut cursor = Cursor::new(bytes);
    let (root, bytes, checksum) = (cursor.array()?, cursor.u64()?, cursor.u32()?);
    let note = String::from_utf8(cursor.rest().to_vec()).ok()?;
    Some((root, bytes, checksum, note))
}

/// The times of all blocks, if they never decrease.
fn read_blocks(bytes: &[u8], count: u32) -> Option<Vec<(i64, i64)>> {
    let (mut blocks, mut cursor, mut last) = (Vec::new(), Cursor::new(bytes), i64::MIN);
    for _ in 0..count / BLOCK_ROWS {
        let block = (cursor.i64()?, cursor.i64()?);
        (last <= block.0 && block.0 <= block.1).then_some(())?;
        last = block.1;
        blocks.push(block);
    }
    cursor.is_empty().then_some(blocks)
}

fn read_term(cursor: &mut Cursor<'_>, sets: Section) -> Option<Term> {
    let code = usize::from(cursor.u8()?);
    let field = *Field::ALL.get(code)?;
    let length = usize::from(cursor.u16()?);
    let text = std::str::from_utf8(cursor.take(length)?).ok()?.to_owned();
    let (count, length) = (cursor.u32()?, cursor.u32()?);
    let inline = usize::try_from(length)
        .ok()
        .filter(|length| *length <= INLINE_BYTES_MAX);
    let set = match inline {
        Some(length) => Set::Inline(cursor.take(length)?.to_vec()),
        None => {
            let (offset, checksum) = (cursor.u64()?, cursor.u32()?);
            let end = offset.checked_add(u64::from(length))?;
            (end <= sets.length).then_some(())?;
            Set::Apart(Section {
                offset: sets.offset + offset,
                length: u64::from(length),
                checksum,
            })
        }
    };
    Some(Term {
        field,
        text,
        count,
        set,
    })
}

/// Reads a part of the file; its length was checked against that of the file.
fn read(file: &File, section: Section, name: &'static str) -> Result<Vec<u8>, IndexError> {
    let length = usize::try_from(section.length).map_err(|_| IndexError::Damaged(name))?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, section.offset)?;
    if crc32c::crc32c(&bytes) == section.checksum {
        Ok(bytes)
    } else {
        Err(IndexError::Damaged(name))
    }
}
