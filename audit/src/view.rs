//! What readers see: the tree, where each entry lies, and a filter to find entries by. Everything
//! here is durable: the committer publishes a batch after its sync and before it wakes anyone.

use dataos_proof::{Digest, checkpoint::Checkpoint, tile::TileTree};

/// Entries in a block: the unit of the search filter.
pub(crate) const BLOCK_ENTRIES: usize = 256;

/// Words of 64 bits in the filter of a block. With a few hundred distinct terms, as requests have,
/// fewer than one block in a thousand is read in vain; with nine of them in each entry, one in five.
const FILTER_WORDS: usize = 128;

/// Where an entry lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Position of the segment in the list of segments.
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

/// All of it. Guarded by one lock, which nobody holds while they read or write a file.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) tree: TileTree,
    blocks: Vec<Block>,
    /// File name of each segment.
    segments: Vec<String>,
    /// Bytes in use in all segments.
    pub(crate) bytes: u64,
    pub(crate) newest: Newest,
}

impl View {
    pub(crate) fn new(newest: Newest) -> Self {
        let (tree, blocks, segments) = (TileTree::new(), Vec::new(), Vec::new());
        Self {
            tree,
            blocks,
            segments,
            bytes: 0,
            newest,
        }
    }

    /// Adds a segment: the next entries lie there.
    pub(crate) fn add_segment(&mut self, name: &str) {
        self.segments.push(name.to_owned());
    }

    /// The file name of a segment.
    pub(crate) fn segment(&self, position: u32) -> Option<&str> {
        self.segments
            .get(usize::try_from(position).ok()?)
            .map(String::as_str)
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
            segment: u32::try_from(self.segments.len().saturating_sub(1)).unwrap_or(u32::MAX),
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
            length: u32::try_from(length).unwrap_or(u32::MAX),
        };
        let full = self
            .blocks
            .last()
            .is_none_or(|block| block.places.len() == BLOCK_ENTRIES);
        if full {
            self.blocks.push(Block {
                places: Vec::with_capacity(BLOCK_ENTRIES),
                first_time_ms: time_ms,
                last_time_ms: time_ms,
                filter: Box::new([0; FILTER_WORDS]),
            });
        }
        if let Some(block) = self.blocks.last_mut() {
            block.places.push(place);
            block.last_time_ms = time_ms;
            terms.iter().for_each(|term| block.add(*term));
        }
    }

    /// A copy of the block with entry `index`.
    pub(crate) fn block_of(&self, index: u64) -> Option<BlockCopy> {
        let number = usize::try_from(index).ok()? / BLOCK_ENTRIES;
        let places = self.blocks.get(number)?.places.clone();
        let first = (number * BLOCK_ENTRIES) as u64;
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

    /// The newest block with entries below `before` that may hold an entry with all `terms` at a
    /// time from `from_ms` on and before `to_ms`.
    pub(crate) fn candidate(
        &self,
        before: u64,
        terms: &[u64],
        from_ms: Option<i64>,
        to_ms: Option<i64>,
    ) -> Option<BlockCopy> {
        let end = usize::try_from(before.div_ceil(BLOCK_ENTRIES as u64)).unwrap_or(usize::MAX);
        let end = end.min(self.blocks.len());
        let blocks = (0..end).rev().zip(self.blocks.get(..end)?.iter().rev());
        // Times never decrease, so before a block that is too old there are only older ones.
        let recent =
            blocks.take_while(|(_, block)| from_ms.is_none_or(|from| block.last_time_ms >= from));
        let mut fitting = recent.filter(|(_, block)| {
            to_ms.is_none_or(|to| block.first_time_ms < to)
                && terms.iter().all(|term| block.may_hold(*term))
        });
        fitting
            .next()
            .and_then(|(number, _)| self.block_of((number * BLOCK_ENTRIES) as u64))
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
        let mut view = View::new(Newest {
            checkpoint,
            note: String::new(),
            time_ms: 0,
        });
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
