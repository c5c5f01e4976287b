//! Reading from packs: the index says which rows can match, their blocks are read and proven.

use std::{sync::Arc, thread};

use dataos_model::{
    fault::Fault,
    record::{RecordQuery, StoredEntry},
};
use roaring::RoaringBitmap;

use super::{Reader, View, damaged};
use crate::{
    codec,
    row::Row,
    sealed::{
        BLOCK_ROWS, TILE_ROWS,
        build::BadPack,
        file_name,
        index::{Field, IndexError, Key},
        index_name,
        pack::{self, Pack, ProvenRows, proven_rows},
    },
};

/// Blocks that the system reads from disk while one is decoded.
const BLOCKS_AHEAD: usize = 8;

/// Blocks that are decoded side by side for one page.
const BLOCKS_AT_ONCE: usize = 4;

/// Tiles of a block.
const BLOCK_TILES: u32 = BLOCK_ROWS / TILE_ROWS;

impl Reader {
    /// Hands matching entries of a pack below `before` to `take`, newest first. Returns where it
    /// stopped if `take` has enough or the budget is used up.
    pub(super) fn visit_pack(
        &self,
        pack: &Arc<Pack>,
        query: &RecordQuery,
        before: u64,
        budget: &mut usize,
        take: &mut dyn FnMut(StoredEntry) -> bool,
    ) -> Result<Option<u64>, Fault> {
        let mut rows = self.candidates(pack, query)?;
        let end = before.min(pack.end()) - pack.first();
        rows.remove_range(u32::try_from(end).unwrap_or(u32::MAX)..);
        let mut ahead = self.blocks_ahead(pack, &rows);
        // One block often fills the page; a page that needs many gets them side by side.
        let mut at_once = 1;
        while let Some(last) = rows.max() {
            let (mut blocks, mut start) = (Vec::new(), last + 1);
            while let Some(last) = rows
                .range(..start)
                .next_back()
                .filter(|_| blocks.len() < at_once)
            {
                ahead.next();
                start = last / BLOCK_ROWS * BLOCK_ROWS;
                blocks.push(rows.range(start..=last).collect::<Vec<u32>>());
            }
            rows.remove_range(start..);
            for found in self.read_blocks(pack, query, &blocks) {
                for stored in found? {
                    let index = stored.index;
                    if !take(stored) {
                        return Ok(Some(index));
                    }
                }
            }
            *budget = budget.saturating_sub(blocks.len() * BLOCK_ROWS as usize);
            if *budget == 0 {
                return Ok(Some(pack.first() + u64::from(start)));
            }
            at_once = (at_once * 2).min(BLOCKS_AT_ONCE);
        }
        Ok(None)
    }

    /// The matching entries of each block, the newest first, given the rows that can match.
    fn read_blocks(
        &self,
        pack: &Pack,
        query: &RecordQuery,
        blocks: &[Vec<u32>],
    ) -> Vec<Result<Vec<StoredEntry>, Fault>> {
        let (Some(first), others) = (blocks.first(), blocks.get(1..).unwrap_or_default()) else {
            return Vec::new();
        };
        thread::scope(|scope| {
            let others = others.iter();
            let others: Vec<_> = others
                .map(|rows| scope.spawn(move || self.read_block(pack, query, rows)))
                .collect();
            let mut read = vec![self.read_block(pack, query, first)];
            let others = others.into_iter().map(|other| {
                let joined = other.join();
                joined.unwrap_or_else(|_| Err(Fault::internal("reading a sealed block failed")))
            });
            read.extend(others);
            read
        })
    }

    fn read_block(
        &self,
        pack: &Pack,
        query: &RecordQuery,
        rows: &[u32],
    ) -> Result<Vec<StoredEntry>, Fault> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Ok(Vec::new());
        };
        let proven = self.tiles(pack, first / TILE_ROWS, last / TILE_ROWS + 1)?;
        let mut found = Vec::new();
        for row in rows.iter().rev() {
            let index = pack.first() + u64::from(*row);
            let stored = self.row(&proven, index, |row| {
                Ok(codec::matches(query, row).then(|| row.stored()))
            })?;
            found.extend(stored);
        }
        Ok(found)
    }

    /// Asks the system to read the blocks with these rows, the newest first: a few at once, then one
    /// more each time it is asked.
    fn blocks_ahead(&self, pack: &Pack, rows: &RoaringBitmap) -> impl Iterator<Item = ()> + use<> {
        let file = self.files.get(&self.directory, pack).ok();
        let (rows, mut end) = (rows.clone(), u32::MAX);
        let mut asked = std::iter::from_fn(move || {
            let block = rows.range(..end).next_back()? / BLOCK_ROWS;
            end = block * BLOCK_ROWS;
            file.as_ref()?.will_need(end);
            Some(())
        });
        asked.by_ref().take(BLOCKS_AHEAD).for_each(drop);
        asked
    }

    /// The rows of a pack that the index allows for a query: all that match, and with ids, times and
    /// free text some that do not.
    pub(super) fn candidates(
        &self,
        pack: &Arc<Pack>,
        query: &RecordQuery,
    ) -> Result<RoaringBitmap, Fault> {
        self.with_index(pack, |pack| {
            let mut rows = blocks_in_time(pack, query);
            let ids = [
                (Key::Request, &query.request_id),
                (Key::Trace, &query.trace),
            ];
            for (key, text) in ids {
                if let Some(text) = text {
                    let mut fitting = RoaringBitmap::new();
                    for block in pack.index.blocks_of(key, text)? {
                        let start = block.saturating_mul(BLOCK_ROWS);
                        fitting.insert_range(start..start.saturating_add(BLOCK_ROWS));
                    }
                    rows &= fitting;
                }
            }
            for (field, text) in wanted(query) {
                if rows.is_empty() {
                    break;
                }
                rows &= pack.index.rows_of(field, text)?;
            }
            Ok(rows)
        })
    }

    /// Asks the index of a pack; makes it again, once, if it is damaged.
    pub(super) fn with_index<T>(
        &self,
        pack: &Arc<Pack>,
        ask: impl Fn(&Pack) -> Result<T, IndexError>,
    ) -> Result<T, Fault> {
        let error = match ask(pack) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let name = self.directory.join(index_name(pack.first()));
        tracing::warn!(path = %name.display(), %error, "an index of the audit log is made again");
        let note = &pack.index.note;
        let rebuilt = pack::rebuild(&self.directory, pack.first(), note, &*self.disk);
        let (rebuilt, hashes) = rebuilt.map_err(|bad| self.bad_pack(pack, &bad))?;
        let differs = |view: &View| view.differs_at(pack.first(), &hashes);
        if self.with_view(differs).is_some() {
            let why = "its entries are not those that the tree holds".to_owned();
            let index = pack.first();
            return Err(self.bad_pack(pack, &BadPack { index, why }));
        }
        let rebuilt = Arc::new(rebuilt);
        self.with_view_mut(|view| view.replace(Arc::clone(&rebuilt)));
        ask(&rebuilt).map_err(|error| damaged(format!("{}: {error}", name.display())))
    }

    /// The tile with entry `index`.
    pub(super) fn tile_of(&self, pack: &Pack, index: u64) -> Result<ProvenRows, Fault> {
        let row = u32::try_from(index - pack.first()).unwrap_or(u32::MAX);
        let tile = row / TILE_ROWS;
        self.tiles(pack, tile, tile + 1)
    }

    /// Tiles of one block, read back and proven.
    fn tiles(&self, pack: &Pack, start: u32, end: u32) -> Result<ProvenRows, Fault> {
        debug_assert!(end - start <= BLOCK_TILES);
        let first = pack.first() + u64::from(start * TILE_ROWS);
        let roots = self.with_view(|view| view.tile_roots(first, end - start));
        let file = self.files.get(&self.directory, pack);
        let read = file
            .map_err(|why| BadPack { index: first, why })
            .and_then(|file| proven_rows(&file, start..end, &roots));
        read.map_err(|bad| self.bad_pack(pack, &bad))
    }

    /// What is wanted of one entry among proven ones.
    pub(super) fn row<T>(
        &self,
        proven: &ProvenRows,
        index: u64,
        read: impl FnOnce(&Row<'_>) -> Result<T, String>,
    ) -> Result<T, Fault> {
        let position = usize::try_from(index - proven.first).unwrap_or(usize::MAX);
        let read = proven.rows.row(position).and_then(|row| read(&row));
        read.map_err(|why| damaged(format!("entry {index}: {why}")))
    }

    pub(super) fn bad_pack(&self, pack: &Pack, bad: &BadPack) -> Fault {
        let path = self.directory.join(file_name(pack.first()));
        damaged(format!(
            "{}, entry {}: {}",
            path.display(),
            bad.index,
            bad.why
        ))
    }

    /// The Parquet file of a pack, to read times from.
    pub(super) fn times(&self, pack: &Pack, block: u32) -> Result<Vec<i64>, Fault> {
        let start = block * BLOCK_ROWS;
        let index = pack.first() + u64::from(start);
        let file = self.files.get(&self.directory, pack);
        let times = file.and_then(|file| file.times(start..start + BLOCK_ROWS));
        times.map_err(|why| self.bad_pack(pack, &BadPack { index, why }))
    }
}

/// The conditions that sets of entries answer.
pub(super) fn wanted(query: &RecordQuery) -> Vec<(Field, &str)> {
    let texts = [
        (Field::Principal, &query.principal),
        (Field::Resource, &query.resource),
        (Field::Policy, &query.policy),
        (Field::Action, &query.action),
    ];
    let mut wanted: Vec<(Field, &str)> = texts
        .iter()
        .filter_map(|(field, text)| Some((*field, text.as_deref()?)))
        .collect();
    wanted.extend(query.effect.map(|effect| (Field::Effect, effect.name())));
    wanted.extend(query.kind.map(|kind| (Field::Kind, kind.name())));
    wanted
}

/// The rows of the blocks that reach into the times of a query.
fn blocks_in_time(pack: &Pack, query: &RecordQuery) -> RoaringBitmap {
    let blocks = &pack.index.blocks;
    let start = query
        .from
        .map_or(0, |from| blocks.partition_point(|(_, last)| *last < from.0));
    let end = query.to.map_or(blocks.len(), |to| {
        blocks.partition_point(|(first, _)| *first < to.0)
    });
    let row = |block: usize| {
        u32::try_from(block)
            .unwrap_or(u32::MAX)
            .saturating_mul(BLOCK_ROWS)
    };
    let mut rows = RoaringBitmap::new();
    if start < end {
        rows.insert_range(row(start)..row(end));
    }
    rows
}
