//! Reading from packs: the index says which rows can match, their blocks are read and proven.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use dataos_model::{
    fault::Fault,
    record::{RecordQuery, StoredEntry},
};
use dataos_proof::{Digest, tile::LeafTile};
use roaring::RoaringBitmap;

use super::{Reader, View, damaged};
use crate::{
    codec,
    row::Row,
    sealed::{
        BLOCK_ROWS, TILE_ROWS, TILE_TWIGS, TWIG_ROWS,
        build::BadPack,
        file_name,
        index::{Field, IndexError, Key},
        index_name,
        pack::{self, Pack, ProvenRows, proven_rows, proven_tile},
    },
};

/// Threads that decode row groups side by side for one page.
const READERS: usize = 2;

/// Row groups that the system reads from disk while the readers decode.
const GROUPS_AHEAD: usize = 4;

/// Most blocks that are read before it is seen whether they fill the page, if the index does not say
/// which rows match.
const BLOCKS_AT_ONCE: usize = 8;

impl Reader {
    /// Hands matching entries of a pack in a range to `take`, newest first; `wanted` are enough.
    /// Returns where it stopped if `take` has enough or the budget is used up.
    pub(super) fn visit_pack(
        &self,
        pack: &Arc<Pack>,
        query: &RecordQuery,
        (range, wanted): (Range<u64>, usize),
        budget: &mut usize,
        take: &mut dyn FnMut(StoredEntry) -> bool,
    ) -> Result<Option<u64>, Fault> {
        let mut rows = self.candidates(pack, query)?;
        let row = |index: u64| {
            let row = index.min(pack.end()).saturating_sub(pack.first());
            u32::try_from(row).unwrap_or(u32::MAX)
        };
        rows.remove_range(row(range.end)..);
        rows.remove_range(..row(range.start));
        let is_exact = query.text.is_none() && query.request_id.is_none() && query.trace.is_none();
        let mut at_once = if is_exact { usize::MAX } else { 1 };
        while !rows.is_empty() {
            let wanted = if is_exact { wanted.max(1) } else { usize::MAX };
            let affordable = budget.div_ceil(BLOCK_ROWS as usize).max(1);
            let (mut newest, blocks) = newest(&rows, wanted, at_once.min(affordable));
            newest.reverse();
            let start = newest.first().copied().unwrap_or_default();
            rows.remove_range(start..);
            for found in self.read_rows(pack, query, &newest) {
                for stored in found? {
                    let index = stored.index;
                    if !take(stored) {
                        return Ok(Some(index));
                    }
                }
            }
            *budget = budget.saturating_sub(blocks * BLOCK_ROWS as usize);
            if *budget == 0 {
                return Ok(Some(pack.first() + u64::from(start)));
            }
            at_once = at_once.saturating_mul(2);
            if !is_exact {
                at_once = at_once.min(BLOCKS_AT_ONCE);
            }
        }
        Ok(None)
    }

    /// The matching entries among some rows, newest first, by row group. A row group is decoded once,
    /// and of it only the pages that are needed.
    fn read_rows(
        &self,
        pack: &Arc<Pack>,
        query: &RecordQuery,
        rows: &[u32],
    ) -> Vec<Result<Vec<StoredEntry>, Fault>> {
        let file = match self.files.get(&self.directory, pack) {
            Ok(file) => file,
            Err(why) => {
                let index = pack.first();
                return vec![Err(self.bad_pack(pack, &BadPack { index, why }))];
            }
        };
        let groups = rows.chunk_by(|row, next| file.group_of(*row) == file.group_of(*next));
        let groups: Vec<&[u32]> = groups.rev().collect();
        let ahead = |groups: &[&[u32]]| groups.iter().for_each(|rows| file.will_need(rows));
        ahead(groups.get(..GROUPS_AHEAD).unwrap_or(&groups));
        let next = AtomicUsize::new(0);
        let work = || {
            let mut read = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(rows) = groups.get(number) else {
                    return read;
                };
                ahead(
                    groups
                        .get(number + GROUPS_AHEAD..)
                        .and_then(|rest| rest.get(..1))
                        .unwrap_or_default(),
                );
                read.push((number, self.read_group(pack, query, rows)));
            }
        };
        let mut read = thread::scope(|scope| {
            let others = (1..READERS.min(groups.len())).map(|_| scope.spawn(work));
            let others: Vec<_> = others.collect();
            let mut read = work();
            for other in others {
                let failed = |_| vec![(0, Err(Fault::internal("reading a sealed file failed")))];
                read.extend(other.join().unwrap_or_else(failed));
            }
            read
        });
        read.sort_unstable_by_key(|(number, _)| *number);
        read.into_iter().map(|(_, found)| found).collect()
    }

    /// The matching entries among some rows of one row group, newest first.
    fn read_group(
        &self,
        pack: &Arc<Pack>,
        query: &RecordQuery,
        rows: &[u32],
    ) -> Result<Vec<StoredEntry>, Fault> {
        let mut twigs: Vec<u32> = rows.iter().map(|row| row / TWIG_ROWS).collect();
        twigs.dedup();
        let (proven, _) = self.proven(pack, &twigs)?;
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

    /// The twig with entry `index`, and the roots of all twigs of its tile.
    pub(super) fn twig_of(
        &self,
        pack: &Arc<Pack>,
        index: u64,
    ) -> Result<(ProvenRows, Vec<Digest>), Fault> {
        let row = u32::try_from(index - pack.first()).unwrap_or(u32::MAX);
        self.proven(pack, &[row / TWIG_ROWS])
    }

    /// The leaves of the tile with entry `index`.
    pub(super) fn leaves_of(&self, pack: &Pack, index: u64) -> Result<LeafTile, Fault> {
        let tile = u32::try_from(index - pack.first()).unwrap_or(u32::MAX) / TILE_ROWS;
        let root = self.with_view(|view| view.tree.tile_root(index / u64::from(TILE_ROWS)));
        let file = self.files.get(&self.directory, pack);
        let read = file
            .map_err(|why| BadPack { index, why })
            .and_then(|file| proven_tile(&file, tile, root));
        read.map_err(|bad| self.bad_pack(pack, &bad))
    }

    /// Twigs of one row group, which ascend, read back and proven, and the roots of all twigs of
    /// their tiles.
    fn proven(&self, pack: &Arc<Pack>, twigs: &[u32]) -> Result<(ProvenRows, Vec<Digest>), Fault> {
        let of = |twig: &u32| (twig / TILE_TWIGS as u32, *twig as usize % TILE_TWIGS);
        let mut tiles: Vec<u32> = twigs.iter().map(|twig| of(twig).0).collect();
        tiles.dedup();
        let first = pack.first() / u64::from(TILE_ROWS);
        let roots: Vec<Digest> = self.with_view(|view| {
            let roots = tiles
                .iter()
                .map(|tile| view.tree.tile_root(first + u64::from(*tile)));
            roots.map_while(|root| root).collect()
        });
        let known = self.with_index(pack, |pack| pack.index.twigs(&tiles, &roots))?;
        let roots = twigs.iter().map_while(|twig| {
            let (tile, position) = of(twig);
            known.get(tiles.binary_search(&tile).ok()? * TILE_TWIGS + position)
        });
        let roots: Vec<Digest> = roots.copied().collect();
        let index = pack.first() + u64::from(twigs.first().map_or(0, |twig| twig * TWIG_ROWS));
        let file = self.files.get(&self.directory, pack);
        let read = file
            .map_err(|why| BadPack { index, why })
            .and_then(|file| proven_rows(&file, twigs, &roots));
        let rows = read.map_err(|bad| self.bad_pack(pack, &bad))?;
        Ok((rows, known))
    }

    /// What is wanted of one entry among proven ones.
    pub(super) fn row<T>(
        &self,
        proven: &ProvenRows,
        index: u64,
        read: impl FnOnce(&Row<'_>) -> Result<T, String>,
    ) -> Result<T, Fault> {
        let read = proven.row(index).and_then(|row| read(&row));
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

/// The newest rows, newest first: so many, or those in so many blocks. And the number of blocks.
fn newest(rows: &RoaringBitmap, wanted: usize, blocks_max: usize) -> (Vec<u32>, usize) {
    let (mut newest, mut blocks) = (Vec::<u32>::new(), 0);
    for row in rows.iter().rev().take(wanted) {
        let is_next = newest
            .last()
            .is_none_or(|last| last / BLOCK_ROWS != row / BLOCK_ROWS);
        if is_next && blocks == blocks_max {
            break;
        }
        blocks += usize::from(is_next);
        newest.push(row);
    }
    (newest, blocks)
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
