//! Builds the index of a pack from its Parquet file: every leaf is made again from the columns, so
//! the hashes in the index are those of what the file holds, not of what it should hold.
//!
//! Memory: one row group of entries (16,384), 32 bytes for each request or trace id, each different
//! text once, and twelve bytes for each entry and field; about 150 MB for 2^20 usual entries.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hasher as _,
};

use dataos_model::record::TRACE_ID;
use dataos_proof::{
    Digest,
    tree::{Frontier, leaf_hash},
};
use roaring::RoaringBitmap;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::{
    BLOCK_ROWS, PACK_ENTRIES_MAX, TILE_ROWS, TWIG_ROWS,
    file::SealedFile,
    index::{self, Field, Index, IndexError, Key, Parts, Signature},
    postings,
};
use crate::row::Row;

/// An index and what follows from it.
#[derive(Debug)]
pub(crate) struct Built {
    /// The bytes of the index file.
    pub(crate) bytes: Vec<u8>,
    /// The root of each 256 entries.
    pub(crate) hashes: Vec<Digest>,
}

/// Why a file cannot be indexed: what is wrong, and at which entry.
#[derive(Debug)]
pub(crate) struct BadPack {
    pub(crate) index: u64,
    pub(crate) why: String,
}

/// What has been read of a file.
#[derive(Default)]
pub(crate) struct Builder {
    blocks: Vec<(i64, i64)>,
    hashes: Vec<Digest>,
    twigs: Vec<Digest>,
    tile: Frontier,
    twig: Frontier,
    /// Each request and trace id by its hash, with its block; once for each block, and ascending
    /// within one.
    keys: Vec<(u128, u16)>,
    /// Those of the block that is being read.
    block_keys: Vec<u128>,
    texts: [Texts; Field::ALL.len()],
}

/// The texts of a field, and in which rows they stand. Rows are written down as they come and sorted
/// by text at the end: that costs a fraction of a set for each text that grows row by row.
#[derive(Default)]
struct Texts {
    numbers: HashMap<String, u32, foldhash::fast::RandomState>,
    /// Row and number of the text.
    posts: Vec<(u32, u32)>,
}

/// Reads the whole file. `note` is the newest checkpoint, kept with the index. Stops early, without
/// a result, once `is_cancelled`.
pub(crate) fn build(
    file: &SealedFile,
    note: &str,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Option<Built>, BadPack> {
    let mut builder = Builder::default();
    let is_read = read_all(file, is_cancelled, &mut |number, row| {
        builder.add(number, row).map(drop)
    })?;
    let checksum = file.checksum().map_err(|error| BadPack {
        index: file.first,
        why: error.to_string(),
    })?;
    Ok(is_read.then(|| builder.finish(file, checksum, note)))
}

/// Hands every row of a file with its number to `visit`, in order; checks that the file has the size
/// and the entries of a pack, and that times never decrease. False once `is_cancelled`.
pub(crate) fn read_all(
    file: &SealedFile,
    is_cancelled: &dyn Fn() -> bool,
    visit: &mut dyn FnMut(u32, &Row<'_>) -> Result<(), String>,
) -> Result<bool, BadPack> {
    let count = file.count();
    if !count.is_power_of_two() || !(BLOCK_ROWS..=PACK_ENTRIES_MAX).contains(&count) {
        return Err(BadPack {
            index: file.first,
            why: format!("it has {count} rows, which no sealed file has"),
        });
    }
    let mut last_time_ms = None;
    for group in file.row_groups() {
        let start = group.start;
        let bad = |row: u32, why| BadPack {
            index: file.first + u64::from(start + row),
            why,
        };
        let rows = file.rows(group).map_err(|why| bad(0, why))?;
        for (position, number) in (0..rows.len()).zip(0_u32..) {
            if number.is_multiple_of(BLOCK_ROWS) && is_cancelled() {
                return Ok(false);
            }
            let visited = rows.row(position).and_then(|row| {
                if row.index != file.first + u64::from(start + number) {
                    return Err(format!("entry {} stands here", row.index));
                }
                if last_time_ms.is_some_and(|last| last > row.time_ms) {
                    return Err("the time of the entry is out of order".to_owned());
                }
                last_time_ms = Some(row.time_ms);
                visit(start + number, &row)
            });
            visited.map_err(|why| bad(number, why))?;
        }
    }
    Ok(true)
}

impl Builder {
    /// Takes the next row; returns its leaf.
    pub(crate) fn add_leaf(&mut self, number: u32, row: &Row<'_>) -> Result<Digest, String> {
        match self.blocks.last_mut() {
            Some((_, last)) if !number.is_multiple_of(BLOCK_ROWS) => *last = row.time_ms,
            _ => self.blocks.push((row.time_ms, row.time_ms)),
        }
        let leaf = leaf_hash(&row.leaf()?);
        self.twig.push(leaf);
        if self.twig.size() == u64::from(TWIG_ROWS) {
            let root = std::mem::take(&mut self.twig).root();
            self.twigs.push(root);
            self.tile.push_subtree(TWIG_ROWS.ilog2(), root);
        }
        if self.tile.size() == u64::from(TILE_ROWS) {
            self.hashes.push(std::mem::take(&mut self.tile).root());
        }
        Ok(leaf)
    }

    /// The same, and takes note of what finds the row.
    pub(crate) fn add(&mut self, number: u32, row: &Row<'_>) -> Result<Digest, String> {
        let leaf = self.add_leaf(number, row)?;
        self.block_keys
            .push(short_hash(Key::Request, row.request_id));
        if let Some(trace) = row.fact(TRACE_ID) {
            self.block_keys.push(short_hash(Key::Trace, trace));
        }
        if (number + 1).is_multiple_of(BLOCK_ROWS) {
            self.block_keys.sort_unstable();
            self.block_keys.dedup();
            // A pack has at most 2^22 entries, hence at most 2^12 blocks.
            let block = (number / BLOCK_ROWS) as u16;
            let keys = self.block_keys.drain(..);
            self.keys.extend(keys.map(|key| (key, block)));
        }
        let details = &row.details;
        self.post(Field::Kind, row.kind.name(), number);
        if let Some(effect) = row.effect {
            self.post(Field::Effect, effect.name(), number);
        }
        self.post(Field::Action, row.action, number);
        self.post(Field::Principal, details.principal, number);
        self.post(Field::Resource, details.resource, number);
        for policy in &details.policies {
            self.post(Field::Policy, policy, number);
        }
        Ok(leaf)
    }

    /// The root of each tile so far.
    pub(crate) fn roots(&self) -> &[Digest] {
        &self.hashes
    }

    /// First and last time of all rows.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        Some((self.blocks.first()?.0, self.blocks.last()?.1))
    }

    /// The first row that an index does not find as it should, given all rows of its pack.
    pub(crate) fn differs_from(&self, index: &Index) -> Result<Option<u32>, IndexError> {
        let mut first = index
            .lacks(&self.signatures(&index.root))?
            .map(|block| block * BLOCK_ROWS);
        let mut found = |row: Option<u32>| {
            if let Some(row) = row {
                first = Some(first.map_or(row, |first: u32| first.min(row)));
            }
        };
        let mut sets: Vec<_> = self.texts.iter().map(Texts::sets).collect();
        for term in index.all_terms()? {
            let sets = sets.get_mut(term.field as usize);
            let rows = sets.and_then(|sets| sets.remove(term.text.as_str()));
            let rows: RoaringBitmap = rows.unwrap_or_default().into_iter().collect();
            found((rows ^ index.set(&term)?).min());
        }
        // What the index does not know at all.
        let rest = sets.iter().flat_map(|sets| sets.values());
        rest.for_each(|rows| found(rows.first().copied()));
        Ok(first)
    }

    /// What finds the ids in the index with this root.
    fn signatures(&self, root: &Digest) -> Vec<Signature> {
        let signatures = self.keys.iter().map(|(short, block)| {
            let hash = index::keyed(root, &short.to_be_bytes());
            Signature::new(hash, *block, self.blocks.len())
        });
        Signature::sort(&signatures.collect::<Vec<_>>())
    }

    fn post(&mut self, field: Field, text: &str, number: u32) {
        if let Some(texts) = self.texts.get_mut(field as usize) {
            texts.post(text, number);
        }
    }

    /// The index, once all rows of the file are in.
    pub(crate) fn finish(self, file: &SealedFile, file_checksum: u32, note: &str) -> Built {
        let mut root = Frontier::new();
        self.hashes.iter().for_each(|hash| root.push(*hash));
        let root = root.root();
        let signatures = self.signatures(&root);
        let (mut terms, mut sets) = (Vec::new(), Vec::new());
        for (field, texts) in Field::ALL.iter().zip(&self.texts) {
            for (text, rows) in texts.sets() {
                let hash = index::term_hash(&root, *field, text);
                let (count, set) = (rows.len() as u64, postings::encode(&rows));
                let record = index::term_record(*field, text, count, &set, &mut sets);
                terms.push((hash, record));
            }
        }
        let parts = Parts {
            first: file.first,
            count: file.count(),
            root,
            file_bytes: file.bytes(),
            file_checksum,
            note,
            blocks: &self.blocks,
            hashes: &self.hashes,
            twigs: &self.twigs,
        };
        terms.sort_unstable();
        let bytes = parts.write(&signatures, &terms, &sets);
        Built {
            bytes,
            hashes: self.hashes,
        }
    }
}

impl Texts {
    fn post(&mut self, text: &str, row: u32) {
        let number = match self.numbers.get(text) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
                self.numbers.insert(text.to_owned(), number);
                number
            }
        };
        self.posts.push((row, number));
    }

    /// The rows of each text, ascending, each once.
    fn sets(&self) -> BTreeMap<&str, Vec<u32>> {
        let mut counts = vec![0; self.numbers.len()];
        for (_, number) in &self.posts {
            if let Some(count) = counts.get_mut(*number as usize) {
                *count += 1;
            }
        }
        let mut sets: Vec<Vec<u32>> = counts.into_iter().map(Vec::with_capacity).collect();
        for (row, number) in &self.posts {
            // One that names a policy twice is there already.
            if let Some(set) = sets.get_mut(*number as usize)
                && set.last() != Some(row)
            {
                set.push(*row);
            }
        }
        let numbers = self.numbers.iter();
        let named = numbers.map(|(text, number)| {
            let set = sets.get_mut(*number as usize);
            (text.as_str(), set.map(std::mem::take).unwrap_or_default())
        });
        named.collect()
    }
}

/// What stands for an id until the root is known: SipHash-2-4 of 128 bits, its key zero.
pub(crate) fn short_hash(key: Key, text: &str) -> u128 {
    let mut hasher = SipHasher24::new();
    hasher.write(&[key as u8]);
    hasher.write(text.as_bytes());
    hasher.finish128().as_u128()
}
