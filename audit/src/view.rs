//! What readers see: the tree, the packs, and for entries that are not sealed yet where each lies and
//! a filter to find it by. Everything here is durable: the committer publishes a batch after its sync
//! and before it wakes anyone, the sealer a pack once it was read back.

use std::{collections::VecDeque, sync::Arc};

use dataos_proof::{
    Digest,
    checkpoint::Checkpoint,
    frame::segment_first,
    tile::{LeafTile, TileTree},
};

use crate::sealed::pack::Pack;

/// Entries in a block: the unit of the search filter.
pub(crate) const BLOCK_ENTRIES: usize = 256;

/// Words of 64 bits in the filter of a block. With a few hundred distinct terms, as requests have,
/// fewer than one block in ten thousand is read in vain; with nine of them in each entry, one in 25.
const FILTER_WORDS: usize = 256;

/// Where an entry lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Number of the segment since the start.
    pub(crate) segment: u32,
    /// Offset of the frame in it.
    pub(crate) offset: u32,
    /// Length of the frame.
    pub(crate) length: u32,
}

/// Up to [`BLOCK_ENTRIES`] consecutive entries.
#[derive(Debug)]
pub(crate) struct Block {
    places: Vec<Place>,
    first_time_ms: i64,
    last_time_ms: i64,
    filter: Box<[u64; FILTER_WORDS]>,
}

/// The newest checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct Newest {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) note: String,
    pub(crate) time_ms: i64,
}

/// A copy of what is needed to read one block from disk.
#[derive(Debug)]
pub(crate) struct BlockCopy {
    /// Index of the first entry.
    pub(crate) first: u64,
    pub(crate) places: Vec<Place>,
    pub(crate) leaves: Vec<Digest>,
}

/// A segment file.
#[derive(Debug)]
struct Segment {
    name: String,
    /// Bytes in use.
    bytes: u64,
}

/// All of it. Guarded by one lock, which nobody holds while they read or write a file.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) tree: TileTree,
    /// All packs in order; the first begins with entry 0, each next where the one before ends.
    packs: Vec<Arc<Pack>>,
    /// Number of the first block that is kept; those before are sealed.
    first_block: u64,
    blocks: VecDeque<Block>,
    /// Number of segments that were removed since the start.
    removed: u32,
    segments: VecDeque<Segment>,
    /// Bytes in use in all segments and packs.
    pub(crate) bytes: u64,
    pub(crate) newest: Newest,
}

/// Where a search goes on.
#[derive(Debug)]
pub(crate) enum Next {
    /// In entries that are not sealed.
    Tail(BlockCopy),
    /// In a pack.
    Pack(Arc<Pack>),
    /// There is nothing more.
    End,
}

/// What was kept of entries that are sealed now.
#[derive(Debug)]
pub(crate) struct Forgotten {
    _tiles: Vec<Vec<Digest>>,
    _blocks: Vec<Block>,
}

impl View {
    /// A log whose first tiles have these roots, with the leaves behind them. They are sealed, and
    /// the packs follow by [`View::adopt`].
    pub(crate) fn new(newest: Newest, roots: &[Digest], leaves: &[Digest]) -> Self {
        let mut tree = TileTree::new();
        roots.iter().for_each(|root| _ = tree.push_tile(*root));
        let mut view = Self {
            tree,
            packs: Vec::new(),
            first_block: roots.len() as u64,
            blocks: VecDeque::new(),
            removed: 0,
            segments: VecDeque::new(),
            bytes: 0,
            newest,
        };
        leaves
            .iter()
            .for_each(|leaf| view.push(*leaf, i64::MIN, (0, 0), &[]));
        view
    }

    /// Adds a segment: the next entries lie there.
    pub(crate) fn add_segment(&mut self, name: &str) {
        let name = name.to_owned();
        self.segments.push_back(Segment { name, bytes: 0 });
    }

    /// Counts bytes in the newest segment.
    pub(crate) fn add_bytes(&mut self, bytes: u64) {
        self.bytes += bytes;
        if let Some(segment) = self.segments.back_mut() {
            segment.bytes += bytes;
        }
    }

    /// The file name of a segment, unless it was removed.
    pub(crate) fn segment(&self, number: u32) -> Option<&str> {
        let position = usize::try_from(number.checked_sub(self.removed)?).ok()?;
        self.segments
            .get(position)
            .map(|segment| segment.name.as_str())
    }

    /// The oldest segment, if all of its entries are sealed and a later one has entries: then the
    /// newest signed checkpoint stays.
    pub(crate) fn removable(&self) -> Option<String> {
        let next = segment_first(&self.segments.get(1)?.name)?;
        let is_sealed = next <= self.sealed() && next < self.tree.size();
        let oldest = self.segments.front().filter(|_| is_sealed)?;
        Some(oldest.name.clone())
    }

    /// Forgets the oldest segment: its file is gone.
    pub(crate) fn remove_segment(&mut self) {
        if let Some(segment) = self.segments.pop_front() {
            self.removed += 1;
            self.bytes -= segment.bytes;
        }
    }

    /// Number of entries in packs.
    pub(crate) fn sealed(&self) -> u64 {
        self.packs.last().map_or(0, |pack| pack.end())
    }

    /// Time of the oldest and of the newest entry.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        let sealed = self.packs.first().zip(self.packs.last());
        let sealed = sealed.map(|(first, last)| (first.first_time_ms(), last.last_time_ms()));
        let tail = self.blocks.front().zip(self.blocks.back());
        let tail = tail.map(|(first, last)| (first.first_time_ms, last.last_time_ms));
        let (oldest, newest) = (sealed.or(tail)?.0, tail.or(sealed)?.1);
        Some((oldest, newest))
    }

    /// All packs.
    pub(crate) fn packs(&self) -> &[Arc<Pack>] {
        &self.packs
    }

    /// The pack with entry `index`.
    pub(crate) fn pack_of(&self, index: u64) -> Option<&Arc<Pack>> {
        let position = self.packs.partition_point(|pack| pack.end() <= index);
        self.packs.get(position)
    }

    /// The roots of the tiles of 256 entries from `first` on.
    pub(crate) fn tile_roots(&self, first: u64, tiles: u32) -> Vec<Digest> {
        let start = first / BLOCK_ENTRIES as u64;
        let roots = (start..).take(tiles as usize);
        roots.map_while(|tile| self.tree.tile_root(tile)).collect()
    }

    /// The first entry of the first tile from `first` on whose root is another one, or that is not there.
    pub(crate) fn differs_at(&self, first: u64, roots: &[Digest]) -> Option<u64> {
        let tiles = u32::try_from(roots.len()).unwrap_or(u32::MAX);
        let known = self.tile_roots(first, tiles);
        let differs = roots
            .iter()
            .zip(&known)
            .position(|(root, known)| root != known);
        let tile = differs.or((known.len() != roots.len()).then_some(known.len()))?;
        Some(first + (tile * BLOCK_ENTRIES) as u64)
    }

    /// Takes over the next pack, and forgets what is kept of its entries. Returns that: it takes a
    /// while to drop, which is better done without the lock.
    pub(crate) fn adopt(&mut self, pack: Arc<Pack>) -> Forgotten {
        let end = pack.end();
        self.bytes += pack.bytes();
        self.packs.push(pack);
        let gone = (end / BLOCK_ENTRIES as u64).saturating_sub(self.first_block);
        let gone = usize::try_from(gone)
            .unwrap_or(usize::MAX)
            .min(self.blocks.len());
        self.first_block += gone as u64;
        Forgotten {
            _tiles: self.tree.forget(end),
            _blocks: self.blocks.drain(..gone).collect(),
        }
    }

    /// Takes a pack whose index was made again.
    pub(crate) fn replace(&mut self, pack: Arc<Pack>) {
        let (first, bytes) = (pack.first(), pack.bytes());
        if let Some(old) = self.packs.iter_mut().find(|old| old.first() == first) {
            self.bytes = self.bytes.saturating_sub(old.bytes()) + bytes;
            *old = pack;
        }
    }

    /// The inclusion proof of an entry in the newest checkpoint; given the tile of its leaf if it is
    /// sealed.
    pub(crate) fn inclusion(&self, index: u64, given: &[LeafTile]) -> Option<Vec<Digest>> {
        let size = self.newest.checkpoint.size;
        self.tree.with(given).inclusion(index, size)
    }

    /// The end of that proof for an entry of a tile that the newest checkpoint covers; see
    /// [`TileTree::inclusion_of_tile`](dataos_proof::tile::TreeWith::inclusion_of_tile).
    pub(crate) fn inclusion_of_tile(&self, index: u64) -> Option<Vec<Digest>> {
        let size = self.newest.checkpoint.size;
        self.tree.with(&[]).inclusion_of_tile(index, size)
    }

    /// Adds the next entry, in the newest segment.
    pub(crate) fn push(
        &mut self,
        leaf: Digest,
        time_ms: i64,
        (offset, length): (u64, usize),
        terms: &[u64],
    ) {
        self.tree.push(leaf);
        // Segments are at most 256 MiB and at most a billion, so these fit.
        let place = Place {
            segment: u32::try_from(self.segments.len().saturating_sub(1))
                .map_or(u32::MAX, |position| self.removed.saturating_add(position)),
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
            length: u32::try_from(length).unwrap_or(u32::MAX),
        };
        let full = self
            .blocks
            .back()
            .is_none_or(|block| block.places.len() == BLOCK_ENTRIES);
        if full {
            self.blocks.push_back(Block {
                places: Vec::with_capacity(BLOCK_ENTRIES),
                first_time_ms: time_ms,
                last_time_ms: time_ms,
                filter: Box::new([0; FILTER_WORDS]),
            });
        }
        if let Some(block) = self.blocks.back_mut() {
            block.places.push(place);
            block.last_time_ms = time_ms;
            terms.iter().for_each(|term| block.add(*term));
        }
    }

    /// A copy of the block with entry `index`, unless it is sealed.
    pub(crate) fn block_of(&self, index: u64) -> Option<BlockCopy> {
        let number = index / BLOCK_ENTRIES as u64;
        let position = usize::try_from(number.checked_sub(self.first_block)?).ok()?;
        let places = self.blocks.get(position)?.places.clone();
        let first = number * BLOCK_ENTRIES as u64;
        let leaves = (first..)
            .zip(&places)
            .map_while(|(index, _)| self.tree.leaf(index))
            .collect();
        Some(BlockCopy {
            first,
            places,
            leaves,
        })
    }

    /// The newest block or pack with entries below `before` that may hold an entry with all `terms`
    /// at a time from `from_ms` on and before `to_ms`. Of packs the terms are not asked.
    pub(crate) fn next(
        &self,
        before: u64,
        terms: &[u64],
        from_ms: Option<i64>,
        to_ms: Option<i64>,
    ) -> Next {
        match self.candidate(before, terms, from_ms, to_ms) {
            Some(block) => return Next::Tail(block),
            None if before == 0 => return Next::End,
            None => {}
        }
        let end = self.packs.partition_point(|pack| pack.first() < before);
        let packs = self.packs.iter().take(end).rev();
        // Times never decrease, so before a pack that is too old there are only older ones.
        let recent =
            packs.take_while(|pack| from_ms.is_none_or(|from| pack.last_time_ms() >= from));
        let mut fitting = recent.filter(|pack| to_ms.is_none_or(|to| pack.first_time_ms() < to));
        fitting
            .next()
            .map_or(Next::End, |pack| Next::Pack(Arc::clone(pack)))
    }

    fn candidate(
        &self,
        before: u64,
        terms: &[u64],
        from_ms: Option<i64>,
        to_ms: Option<i64>,
    ) -> Option<BlockCopy> {
        let end = before
            .div_ceil(BLOCK_ENTRIES as u64)
            .checked_sub(self.first_block)?;
        let end = usize::try_from(end)
            .unwrap_or(usize::MAX)
            .min(self.blocks.len());
        let numbers = (self.first_block..self.first_block + end as u64).rev();
        let blocks = numbers.zip(self.blocks.range(..end).rev());
        let recent =
            blocks.take_while(|(_, block)| from_ms.is_none_or(|from| block.last_time_ms >= from));
        let mut fitting = recent.filter(|(_, block)| {
            to_ms.is_none_or(|to| block.first_time_ms < to)
                && terms.iter().all(|term| block.may_hold(*term))
        });
        fitting
            .next()
            .and_then(|(number, _)| self.block_of(number * BLOCK_ENTRIES as u64))
    }
}

impl Block {
    fn add(&mut self, term: u64) {
        for (word, bit) in bits(term) {
            if let Some(word) = self.filter.get_mut(word) {
                *word |= bit;
            }
        }
    }

    fn may_hold(&self, term: u64) -> bool {
        bits(term).all(|(word, bit)| self.filter.get(word).is_some_and(|word| word & bit != 0))
    }
}

/// The four bits of a term in a filter: word and mask.
fn bits(term: u64) -> impl Iterator<Item = (usize, u64)> {
    (0..4).map(move |part| {
        let bit = usize::from((term >> (16 * part)) as u16) % (FILTER_WORDS * 64);
        (bit / 64, 1 << (bit % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(entries: u64) -> View {
        let checkpoint = Checkpoint {
            origin: "o".to_owned(),
            size: 0,
            root: [0; 32],
        };
        let mut view = View::new(
            Newest {
                checkpoint,
                note: String::new(),
                time_ms: 0,
            },
            &[],
            &[],
        );
        view.add_segment("segment");
        for index in 0..entries {
            let time_ms = i64::try_from(index / 10).unwrap();
            view.push(
                [0; 32],
                time_ms,
                (index * 100, 100),
                &[index.wrapping_mul(0x9E37_79B9_7F4A_7C15)],
            );
        }
        view
    }

    #[test]
    fn candidates_go_down_and_never_miss() {
        let view = view(1000);
        for index in 0..1000_u64 {
            let term = index.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let (mut before, mut found) = (u64::MAX, false);
            while let Some(block) = view.candidate(before, &[term], None, None) {
                assert!(block.first < before);
                found |= (block.first..block.first + block.places.len() as u64).contains(&index);
                before = block.first;
            }
            assert!(found, "{index}");
        }
        let first = |before, from, to| {
            view.candidate(before, &[], from, to)
                .map(|block| block.first)
        };
        assert_eq!(first(u64::MAX, None, None), Some(768));
        assert_eq!(first(768, None, None), Some(512));
        assert_eq!(first(0, None, None), None);
        assert_eq!(first(u64::MAX, Some(100), None), None);
        assert_eq!(first(u64::MAX, None, Some(25)), Some(0));
        assert_eq!(first(256, Some(26), None), None);
    }
}
