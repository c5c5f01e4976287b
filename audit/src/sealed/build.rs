//! Builds the index of a pack from its Parquet file: every leaf is made again from the columns, so
//! the hashes in the index are those of what the file holds, not of what it should hold.
//!
//! Memory: one row group of entries (16,384), 32 bytes for each request or trace id, each different
//! text once, and two bytes or less for each entry and field; about 100 MB for 2^20 usual entries.

use std::collections::HashMap;

use dataos_model::record::TRACE_ID;
use dataos_proof::{
    Digest,
    tree::{Frontier, leaf_hash},
};
use roaring::RoaringBitmap;
use sha2::{Digest as _, Sha256};

use super::{
    BLOCK_ROWS, PACK_ENTRIES_MAX, TILE_ROWS,
    file::SealedFile,
    index::{self, Field, Key, Parts},
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
struct Builder {
    blocks: Vec<(i64, i64)>,
    hashes: Vec<Digest>,
    tile: Frontier,
    /// Each request and trace id by its hash, with its block.
    keys: Vec<([u8; 16], u16)>,
    texts: [HashMap<String, RoaringBitmap>; Field::ALL.len()],
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
        builder.add(number, row)
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
    fn add(&mut self, number: u32, row: &Row<'_>) -> Result<(), String> {
        match self.blocks.last_mut() {
            Some((_, last)) if !number.is_multiple_of(BLOCK_ROWS) => *last = row.time_ms,
            _ => self.blocks.push((row.time_ms, row.time_ms)),
        }
        self.tile.push(leaf_hash(&row.leaf()?));
        if self.tile.size() == u64::from(TILE_ROWS) {
            self.hashes.push(std::mem::take(&mut self.tile).root());
        }
        // A pack has at most 2^22 entries, hence at most 2^12 blocks.
        let block = (number / BLOCK_ROWS) as u16;
        self.keys
            .push((short_hash(Key::Request, row.request_id), block));
        if let Some(trace) = row.fact(TRACE_ID) {
            self.keys.push((short_hash(Key::Trace, trace), block));
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
        Ok(())
    }

    fn post(&mut self, field: Field, text: &str, number: u32) {
        let Some(texts) = self.texts.get_mut(field as usize) else {
            return;
        };
        match texts.get_mut(text) {
            Some(rows) => _ = rows.insert(number),
            None => _ = texts.insert(text.to_owned(), RoaringBitmap::from_iter([number])),
        }
    }

    fn finish(mut self, file: &SealedFile, file_checksum: u32, note: &str) -> Built {
        let mut root = Frontier::new();
        self.hashes.iter().for_each(|hash| root.push(*hash));
        let root = root.root();
        // Twice in a block is once.
        self.keys.sort_unstable();
        self.keys.dedup();
        let blocks = self.blocks.len();
        let signatures = self.keys.iter().map(|(short, block)| {
            let hash = index::keyed(&root, short);
            (hash, index::signature(hash, *block, blocks).to_be_bytes())
        });
        let mut signatures: Vec<(u64, [u8; 4])> = signatures.collect();
        signatures.sort_unstable();
        signatures.dedup();
        let (mut terms, mut sets) = (Vec::new(), Vec::new());
        for (field, texts) in Field::ALL.iter().zip(&mut self.texts) {
            let mut texts: Vec<_> = std::mem::take(texts).into_iter().collect();
            texts.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            for (text, mut rows) in texts {
                let hash = index::term_hash(&root, *field, &text);
                let set = postings::encode(&mut rows);
                terms.push((
                    hash,
                    index::term_record(*field, &text, rows.len(), &set, &mut sets),
                ));
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
        };
        let bytes = parts.write(&mut signatures, &mut terms, &sets);
        Built {
            bytes,
            hashes: self.hashes,
        }
    }
}

/// The half of SHA-256 that stands for an id.
pub(crate) fn short_hash(key: Key, text: &str) -> [u8; 16] {
    let digest = Sha256::new()
        .chain_update([key as u8])
        .chain_update(text)
        .finalize();
    let mut short = [0; 16];
    short
        .iter_mut()
        .zip(digest)
        .for_each(|(to, from)| *to = from);
    short
}
