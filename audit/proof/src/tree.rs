//! RFC 6962 hashing, growth of the tree, inclusion and consistency proofs.
//!
//! Leaf SHA-256(0x00, entry), node SHA-256(0x01, left, right), empty tree SHA-256(""). Nodes are
//! named by level (0 = leaves) and position within the level, so node (l, p) covers the leaves
//! `p << l .. (p + 1) << l`, fewer at the right edge.

use sha2::{Digest as _, Sha256};

use crate::Digest;

/// Most hashes in any proof: a tree of 2^64 leaves is 64 levels high, the root is not part of it.
pub const PROOF_HASHES_MAX: usize = 63;

/// Hash of a leaf with these entry bytes.
pub fn leaf_hash(entry: &[u8]) -> Digest {
    Sha256::new()
        .chain_update([0])
        .chain_update(entry)
        .finalize()
        .into()
}

/// Hash of an inner node.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// Root of the tree without leaves.
pub fn empty_root() -> Digest {
    Sha256::digest([]).into()
}

/// The complete subtrees of a tree, largest first: all that is needed to make it grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// One hash for each bit set in `size`, the highest bit first.
    peaks: Vec<Digest>,
}

/// The part of a tree that a run of new leaves made: enough to prove each of them against the tree
/// that ends with the run, in time proportional to the proof.
#[derive(Clone, Debug)]
pub struct Growth {
    first: u64,
    size: u64,
    levels: Vec<Level>,
}

/// The nodes of one level from `start` on; the last may be incomplete.
#[derive(Clone, Debug)]
struct Level {
    start: u64,
    nodes: Vec<Digest>,
}

impl Frontier {
    /// The tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root hash.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        let Some(smallest) = peaks.next() else {
            return empty_root();
        };
        peaks.fold(*smallest, |right, left| node_hash(left, &right))
    }

    /// Appends one leaf.
    pub fn push(&mut self, leaf: Digest) {
        self.push_subtree(0, leaf);
    }

    /// Appends a complete subtree of 2^`height` leaves by its root. False, and nothing is done, if
    /// the size is no multiple of its width.
    pub fn push_subtree(&mut self, height: u32, root: Digest) -> bool {
        let Some(width) = 1_u64.checked_shl(height) else {
            return false;
        };
        if !self.size.is_multiple_of(width) {
            return false;
        }
        let mut hash = root;
        // Each trailing one bit of the old size is a subtree that this one completes.
        for _ in 0..(self.size >> height).trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += width;
        true
    }

    /// Appends a run of leaves and keeps what proves them.
    pub fn grow(&mut self, leaves: Vec<Digest>) -> Growth {
        let first = self.size;
        let size = first + leaves.len() as u64;
        let mut levels: Vec<Level> = Vec::new();
        let mut level = Level {
            start: first,
            nodes: leaves,
        };
        for depth in 0..u64::BITS {
            // If the run begins with a right child, its sibling is a peak of the old tree.
            if first >> depth & 1 == 1
                && let Some(peak) = self.peaks.pop()
            {
                level.nodes.insert(0, peak);
                level.start -= 1;
            }
            let is_top = level.start == 0 && level.nodes.len() <= 1;
            let parent = level.parent();
            levels.push(level);
            if is_top {
                break;
            }
            level = parent;
        }
        let growth = Growth {
            first,
            size,
            levels,
        };
        self.peaks = growth.peaks();
        self.size = size;
        growth
    }
}

impl Growth {
    /// Index of the first leaf of the run.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Number of leaves of the tree that ends with the run.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of that tree.
    pub fn root(&self) -> Digest {
        let top = self.levels.last().and_then(|level| level.nodes.first());
        top.copied().unwrap_or_else(empty_root)
    }

    /// The inclusion proof of one leaf of the run, from the leaf's sibling up.
    pub fn inclusion(&self, index: u64) -> Option<Vec<Digest>> {
        if index < self.first || index >= self.size {
            return None;
        }
        // A last node without sibling moves up unchanged, so its level adds nothing to the proof.
        let found = (0..)
            .zip(&self.levels)
            .filter_map(|(depth, level)| level.at((index >> depth) ^ 1));
        let mut siblings = Vec::with_capacity(self.levels.len());
        siblings.extend(found);
        Some(siblings)
    }

    /// The complete subtrees of the tree: a complete node of each level whose bit is set in the size.
    fn peaks(&self) -> Vec<Digest> {
        let levels = (0_u32..).zip(&self.levels);
        let complete = levels.filter(|(depth, _)| self.size >> depth & 1 == 1);
        let mut peaks: Vec<Digest> = complete
            .filter_map(|(depth, level)| level.at((self.size >> depth) - 1))
            .collect();
        peaks.reverse();
        peaks
    }
}

impl Level {
    fn at(&self, position: u64) -> Option<Digest> {
        let offset = usize::try_from(position.checked_sub(self.start)?).ok()?;
        self.nodes.get(offset).copied()
    }

    /// The level above; `start` is even.
    fn parent(&self) -> Self {
        let pairs = self.nodes.chunks(2).filter_map(|pair| match pair {
            [left, right] => Some(node_hash(left, right)),
            [alone] => Some(*alone),
            _ => None,
        });
        Self {
            start: self.start / 2,
            nodes: pairs.collect(),
        }
    }
}

/// The root that follows from a leaf and its inclusion proof; none if the proof does not have the
/// length that index and size demand.
pub fn root_of_inclusion(leaf: &Digest, index: u64, size: u64, proof: &[Digest]) -> Option<Digest> {
    if index >= size {
        return None;
    }
    // RFC 9162, 2.1.3.2: `node` and `last` are the positions of our node and of the last node.
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    (last == 0).then_some(hash)
}

/// Whether `proof` shows that the tree (`new_size`, `new_root`) begins with (`old_size`, `old_root`).
pub fn is_consistent(
    old_size: u64,
    old_root: &Digest,
    new_size: u64,
    new_root: &Digest,
    proof: &[Digest],
) -> bool {
    if old_size == 0 {
        return proof.is_empty() && *old_root == empty_root();
    }
    if old_size == new_size {
        return proof.is_empty() && old_root == new_root;
    }
    if old_size > new_size {
        return false;
    }
    roots_of_consistency(old_size, old_root, new_size, proof) == Some((*old_root, *new_root))
}

/// RFC 9162, 2.1.4.2: both roots as they follow from the proof.
fn roots_of_consistency(
    old_size: u64,
    old_root: &Digest,
    new_size: u64,
    proof: &[Digest],
) -> Option<(Digest, Digest)> {
    // A tree that is one complete subtree is the first node of its own proof.
    let (seed, path) = match proof.split_first() {
        _ if old_size.is_power_of_two() => (old_root, proof),
        Some((seed, path)) => (seed, path),
        None => return None,
    };
    let shift = (old_size - 1).trailing_ones();
    let (mut node, mut last) = ((old_size - 1) >> shift, (new_size - 1) >> shift);
    let (mut old, mut new) = (*seed, *seed);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            new = node_hash(&new, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    (last == 0).then_some((old, new))
}

#[cfg(test)]
mod tests;
