//! Tiles (C2SP tlog-tiles): paths, bytes, and a tree that is kept as tiles of height 8.
//!
//! A tile at level L holds 256 hashes of complete subtrees of height 8 L; the last of a level may be
//! partial. Kept this way a tree costs 32.13 bytes a leaf, serves every tile as it stands, and yields
//! any proof with a few hundred hashes of work. A prefix of the leaves can be forgotten: then it costs
//! 0.13 bytes a leaf, and whoever asks for a proof gives the few leaf tiles that it needs.

use std::{fmt, str::FromStr};

use crate::{
    Digest,
    checkpoint::parse_decimal,
    tree::{empty_root, node_hash},
    wire::Cursor,
};

/// Hashes in a full tile.
pub const TILE_WIDTH: usize = 256;

/// Levels of a tree within a tile.
const TILE_HEIGHT: u32 = 8;

/// Longest position in a path, in bytes; the longest has seven elements of four characters and a width.
const POSITION_BYTES_MAX: usize = 56;

/// The name of a hash tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TilePath {
    /// Level of the tile, 0 for leaf hashes, at most 63.
    pub level: u8,
    /// Position within the level.
    pub index: u64,
    /// Number of hashes, 1 to 256; 256 is a full tile.
    pub width: u16,
}

/// The text names no hash tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tile path has the form tile/LEVEL/INDEX or tile/LEVEL/INDEX.p/WIDTH, see tlog-tiles")]
pub struct TilePathError;

/// The name of an entry bundle: the entries below a tile of level 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundlePath {
    /// Position: its first entry divided by 256.
    pub index: u64,
    /// Number of entries, 1 to 256; 256 is a full bundle.
    pub width: u16,
}

/// The text names no entry bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a bundle has the form tile/entries/INDEX or tile/entries/INDEX.p/WIDTH, see tlog-tiles")]
pub struct BundlePathError;

/// A tree of leaf hashes, kept as tiles.
#[derive(Clone, Debug, Default)]
pub struct TileTree {
    size: u64,
    /// Number of leaf tiles at the start that are not kept.
    forgotten: u64,
    /// By level, by position; all but the last of a level are full. Level 0 begins behind what is
    /// forgotten.
    levels: Vec<Vec<Vec<Digest>>>,
}

/// A full tile of leaf hashes that was forgotten and read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafTile {
    /// Position among the leaf tiles.
    pub index: u64,
    /// Its 256 hashes.
    pub hashes: Vec<Digest>,
}

/// A tree together with leaf tiles that it has forgotten. They are taken as they are: whoever gives
/// them has compared them with [`TileTree::tile_root`].
#[derive(Clone, Copy, Debug)]
pub struct TreeWith<'a> {
    tree: &'a TileTree,
    given: &'a [LeafTile],
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}", self.level)?;
        write_position(f, self.index, self.width)
    }
}

impl fmt::Display for BundlePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries")?;
        write_position(f, self.index, self.width)
    }
}

fn write_position(f: &mut fmt::Formatter<'_>, index: u64, width: u16) -> fmt::Result {
    let mut groups = vec![index % 1000];
    let mut rest = index / 1000;
    while rest > 0 {
        groups.push(rest % 1000);
        rest /= 1000;
    }
    for (position, group) in groups.iter().enumerate().rev() {
        write!(f, "/{}{group:03}", if position > 0 { "x" } else { "" })?;
    }
    if usize::from(width) < TILE_WIDTH {
        write!(f, ".p/{width}")?;
    }
    Ok(())
}

impl FromStr for TilePath {
    type Err = TilePathError;

    fn from_str(text: &str) -> Result<Self, TilePathError> {
        let path = parse_path(text).ok_or(TilePathError)?;
        // One path for each tile: anything but the canonical form is refused.
        if path.to_string() == text {
            Ok(path)
        } else {
            Err(TilePathError)
        }
    }
}

impl FromStr for BundlePath {
    type Err = BundlePathError;

    fn from_str(text: &str) -> Result<Self, BundlePathError> {
        let rest = text.strip_prefix("tile/entries/");
        let (index, width) = rest.and_then(parse_position).ok_or(BundlePathError)?;
        let path = Self { index, width };
        if path.to_string() == text {
            Ok(path)
        } else {
            Err(BundlePathError)
        }
    }
}

fn parse_path(text: &str) -> Option<TilePath> {
    let (level, rest) = text.strip_prefix("tile/")?.split_once('/')?;
    let level = u8::try_from(parse_decimal(level)?)
        .ok()
        .filter(|level| *level <= 63)?;
    let (index, width) = parse_position(rest)?;
    Some(TilePath {
        level,
        index,
        width,
    })
}

fn parse_position(text: &str) -> Option<(u64, u16)> {
    if text.len() > POSITION_BYTES_MAX {
        return None;
    }
    let (index, width) = match text.split_once(".p/") {
        None => (text, 256),
        Some((index, width)) => (index, u16::try_from(parse_decimal(width)?).ok()?),
    };
    let mut number = 0_u64;
    for group in index.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        number = number
            .checked_mul(1000)?
            .checked_add(digits.parse().ok()?)?;
    }
    (1..=256).contains(&width).then_some((number, width))
}

/// The bytes of an entry bundle: each entry behind its length, two bytes, big-endian. `None` if an entry
/// is longer than that can say.
pub fn bundle<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend_from_slice(&u16::try_from(entry.len()).ok()?.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Some(bytes)
}

/// The entries of a bundle; `None` if the bytes are none.
pub fn bundle_entries(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut cursor = Cursor::new(bytes);
    let mut entries = Vec::new();
    while !cursor.is_empty() {
        let length = cursor.u16()?;
        entries.push(cursor.take(usize::from(length))?);
    }
    (entries.len() <= TILE_WIDTH).then_some(entries)
}

impl TileTree {
    /// The tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Number of leaves at the start whose hashes are not kept; a multiple of 256.
    pub fn forgotten(&self) -> u64 {
        self.forgotten * TILE_WIDTH as u64
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Digest) {
        self.size += 1;
        self.push_at(0, leaf);
    }

    /// Appends a full tile of leaves by its root, without the leaves. False, and nothing is done, if
    /// the leaves so far do not end with a full tile or some of them are kept.
    pub fn push_tile(&mut self, root: Digest) -> bool {
        if self.size != self.forgotten() {
            return false;
        }
        self.size += TILE_WIDTH as u64;
        self.forgotten += 1;
        if self.levels.is_empty() {
            self.levels.push(Vec::new());
        }
        self.push_at(1, root);
        true
    }

    /// Forgets the hashes of the first `leaves` leaves, as far as they fill tiles, and returns the
    /// tiles: many thousands take a while to drop, which nobody should do who holds a lock.
    pub fn forget(&mut self, leaves: u64) -> Vec<Vec<Digest>> {
        let tiles = leaves.min(self.size) / TILE_WIDTH as u64;
        let more = tiles.saturating_sub(self.forgotten);
        let Some((kept, count)) = self.levels.first_mut().zip(usize::try_from(more).ok()) else {
            return Vec::new();
        };
        self.forgotten += more;
        kept.drain(..count.min(kept.len())).collect()
    }

    /// Root of a full tile of leaves.
    pub fn tile_root(&self, tile: u64) -> Option<Digest> {
        self.with(&[]).nodes(1, tile, 1)?.first().copied()
    }

    /// The tree with leaf tiles that it has forgotten.
    pub fn with<'a>(&'a self, given: &'a [LeafTile]) -> TreeWith<'a> {
        TreeWith { tree: self, given }
    }

    /// The hash of a leaf that is kept.
    pub fn leaf(&self, index: u64) -> Option<Digest> {
        self.with(&[]).nodes(0, index, 1)?.first().copied()
    }

    /// [`TreeWith::tile`] of what is kept.
    pub fn tile(&self, path: &TilePath) -> Option<Vec<u8>> {
        self.with(&[]).tile(path)
    }

    /// [`TreeWith::root`] of what is kept.
    pub fn root(&self, size: u64) -> Option<Digest> {
        self.with(&[]).root(size)
    }

    /// [`TreeWith::inclusion`] of what is kept.
    pub fn inclusion(&self, index: u64, size: u64) -> Option<Vec<Digest>> {
        self.with(&[]).inclusion(index, size)
    }

    /// [`TreeWith::consistency`] of what is kept.
    pub fn consistency(&self, old_size: u64, new_size: u64) -> Option<Vec<Digest>> {
        self.with(&[]).consistency(old_size, new_size)
    }

    fn push_at(&mut self, lowest: usize, hash: Digest) {
        let mut hash = hash;
        for level in lowest.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let Some(tiles) = self.levels.get_mut(level) else {
                return;
            };
            match tiles.last_mut() {
                Some(tile) if tile.len() < TILE_WIDTH => tile.push(hash),
                _ => {
                    let mut tile = Vec::with_capacity(TILE_WIDTH);
                    tile.push(hash);
                    tiles.push(tile);
                }
            }
            match tiles.last() {
                Some(tile) if tile.len() == TILE_WIDTH => hash = complete_root(tile),
                _ => return,
            }
        }
    }
}

impl<'a> TreeWith<'a> {
    /// The bytes of a tile; none if the tree does not have that many hashes there.
    pub fn tile(&self, path: &TilePath) -> Option<Vec<u8>> {
        let start = path.index.checked_mul(TILE_WIDTH as u64)?;
        let hashes = self.nodes(usize::from(path.level), start, usize::from(path.width))?;
        Some(hashes.concat())
    }

    /// Root of the tree of the first `size` leaves.
    pub fn root(&self, size: u64) -> Option<Digest> {
        if size == 0 {
            Some(empty_root())
        } else {
            self.range(0, size)
        }
    }

    /// Inclusion proof of leaf `index` in the tree of the first `size` leaves (RFC 6962, 2.1.1).
    pub fn inclusion(&self, index: u64, size: u64) -> Option<Vec<Digest>> {
        self.path(index, size, 1)
    }

    /// The end of that proof: what follows the root of the full tile of leaves around `index`. What
    /// comes before is [`complete_path`] within the tile. None if the tile does not end by `size`.
    pub fn inclusion_of_tile(&self, index: u64, size: u64) -> Option<Vec<Digest>> {
        const WIDTH: u64 = TILE_WIDTH as u64;
        let end = (index / WIDTH).checked_add(1)?.checked_mul(WIDTH)?;
        (end <= size).then_some(())?;
        self.path(index, size, WIDTH)
    }

    /// The siblings on the way to leaf `index`, from the complete subtree of `width` around it up.
    fn path(&self, index: u64, size: u64, width: u64) -> Option<Vec<Digest>> {
        if index >= size || size > self.tree.size {
            return None;
        }
        let (mut low, mut high, mut proof) = (0, size, Vec::new());
        while high - low > width {
            let middle = low + split(high - low);
            if index < middle {
                proof.push(self.range(middle, high)?);
                high = middle;
            } else {
                proof.push(self.range(low, middle)?);
                low = middle;
            }
        }
        proof.reverse();
        Some(proof)
    }

    /// Proof that the tree of `new_size` leaves begins with that of `old_size` (RFC 6962, 2.1.2).
    pub fn consistency(&self, old_size: u64, new_size: u64) -> Option<Vec<Digest>> {
        if old_size > new_size || new_size > self.tree.size {
            return None;
        }
        if old_size == 0 {
            return Some(Vec::new());
        }
        let (mut low, mut high, mut proof) = (0, new_size, Vec::new());
        while old_size != high {
            let middle = low + split(high - low);
            if old_size <= middle {
                proof.push(self.range(middle, high)?);
                high = middle;
            } else {
                proof.push(self.range(low, middle)?);
                low = middle;
            }
        }
        // The old tree itself is known to the verifier, a part of it is not.
        if low != 0 {
            proof.push(self.range(low, high)?);
        }
        proof.reverse();
        Some(proof)
    }

    /// Hash over the leaves `low .. high`, where `low` is a multiple of a power of two that is at
    /// least `high - low`.
    fn range(&self, low: u64, high: u64) -> Option<Digest> {
        let mut peaks = Vec::new();
        let mut start = low;
        while start < high {
            let height = (high - start).ilog2();
            peaks.push(self.subtree(height, start >> height)?);
            start += 1 << height;
        }
        let mut peaks = peaks.into_iter().rev();
        let smallest = peaks.next()?;
        Some(peaks.fold(smallest, |right, left| node_hash(&left, &right)))
    }

    /// Root of the complete subtree of this height at this position.
    fn subtree(&self, height: u32, position: u64) -> Option<Digest> {
        let within = height % TILE_HEIGHT;
        let level = usize::try_from(height / TILE_HEIGHT).ok()?;
        Some(complete_root(self.nodes(
            level,
            position << within,
            1 << within,
        )?))
    }

    /// `count` hashes of a level from `start` on, all in one tile.
    fn nodes(&self, level: usize, start: u64, count: usize) -> Option<&'a [Digest]> {
        let tile = start / TILE_WIDTH as u64;
        let offset = usize::try_from(start % TILE_WIDTH as u64).ok()?;
        let forgotten = if level == 0 { self.tree.forgotten } else { 0 };
        let hashes = match tile.checked_sub(forgotten) {
            Some(kept) => self
                .tree
                .levels
                .get(level)?
                .get(usize::try_from(kept).ok()?)?,
            None => &self.given.iter().find(|given| given.index == tile)?.hashes,
        };
        hashes.get(offset..offset + count)
    }
}

/// The largest power of two below `count`; `count` is at least 2.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// The siblings on the way from one of a power of two of hashes to their root.
pub fn complete_path(hashes: &[Digest], position: usize) -> Vec<Digest> {
    let (mut hashes, mut position, mut path) = (hashes.to_vec(), position, Vec::new());
    while hashes.len() > 1 {
        path.extend(hashes.get(position ^ 1));
        hashes = parents(&hashes);
        position /= 2;
    }
    path
}

/// Root over a power of two of hashes.
fn complete_root(hashes: &[Digest]) -> Digest {
    let mut hashes = hashes.to_vec();
    while hashes.len() > 1 {
        hashes = parents(&hashes);
    }
    hashes.first().copied().unwrap_or_else(empty_root)
}

fn parents(hashes: &[Digest]) -> Vec<Digest> {
    let (pairs, _) = hashes.as_chunks::<2>();
    pairs
        .iter()
        .map(|[left, right]| node_hash(left, right))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Frontier, leaf_hash};

    #[test]
    fn bundles_have_one_path_each_and_read_back() {
        for (index, width, text) in [
            (0, 256, "tile/entries/000"),
            (1_234_067, 256, "tile/entries/x001/x234/067"),
            (12, 7, "tile/entries/012.p/7"),
        ] {
            let path = BundlePath { index, width };
            assert_eq!((path.to_string().as_str(), text.parse()), (text, Ok(path)));
        }
        for bad in [
            "tile/0/000",
            "tile/entries/",
            "tile/entries/00",
            "tile/entries/x000/001",
        ] {
            assert_eq!(bad.parse::<BundlePath>(), Err(BundlePathError), "{bad}");
        }
        for bad in [
            "tile/entries/000.p/0",
            "tile/entries/000.p/256",
            "tile/entries/000.p/07",
        ] {
            assert_eq!(bad.parse::<BundlePath>(), Err(BundlePathError), "{bad}");
        }
        assert_eq!("tile/entries/000".parse::<TilePath>(), Err(TilePathError));
        let entries: Vec<&[u8]> = vec![b"a", b"", b"three"];
        let bytes = bundle(entries.iter().copied()).unwrap();
        assert_eq!(bytes, b"\0\x01a\0\0\0\x05three");
        assert_eq!(bundle_entries(&bytes), Some(entries));
        for length in [1, 2, 4, 6, bytes.len() - 1] {
            assert_eq!(bundle_entries(&bytes[..length]), None, "{length}");
        }
        assert_eq!(bundle_entries(&[0; 2 * 257]), None);
        assert_eq!(bundle([&[0; 65_536][..]]), None);
    }

    /// A tree that forgot a prefix, or never had it, gives what the whole tree gives, once it is
    /// handed the tile.
    #[test]
    fn forgotten_leaves_change_nothing_but_what_must_be_given() {
        const SIZE: u64 = 1500;
        let leaves: Vec<Digest> = (0..SIZE)
            .map(|number| leaf_hash(&number.to_be_bytes()))
            .collect();
        let mut whole = TileTree::new();
        leaves.iter().for_each(|leaf| whole.push(*leaf));
        let mut forgot = whole.clone();
        forgot.forget(1100);
        let mut loaded = TileTree::new();
        assert!((0..4).all(|tile| loaded.push_tile(whole.tile_root(tile).unwrap())));
        leaves[1024..].iter().for_each(|leaf| loaded.push(*leaf));
        assert!(!loaded.push_tile([0; 32]));
        for tree in [forgot, loaded] {
            assert_eq!((tree.forgotten(), tree.size()), (1024, SIZE));
            for index in 0..SIZE {
                let given = [index, 700].map(|leaf| leaf / 256).map(|tile| {
                    let hashes = leaves[tile as usize * 256..]
                        .iter()
                        .take(256)
                        .copied()
                        .collect();
                    LeafTile {
                        index: tile,
                        hashes,
                    }
                });
                let with = tree.with(&given);
                assert_eq!(with.inclusion(index, SIZE), whole.inclusion(index, SIZE));
                assert_eq!(tree.inclusion(index, SIZE).is_some(), index >= 1024);
                if let Some(rest) = tree.with(&[]).inclusion_of_tile(index, SIZE) {
                    let tile = &leaves[(index / 256 * 256) as usize..][..256];
                    let twigs: Vec<Digest> = tile.chunks(16).map(complete_root).collect();
                    let at = (index % 256) as usize;
                    let mut path = complete_path(&tile[at / 16 * 16..][..16], at % 16);
                    path.extend(complete_path(&twigs, at / 16));
                    path.extend(rest);
                    assert_eq!(Some(path), whole.inclusion(index, SIZE));
                } else {
                    assert!(index >= SIZE / 256 * 256);
                }
                assert_eq!(with.consistency(700, SIZE), whole.consistency(700, SIZE));
                assert_eq!(with.root(700), whole.root(700));
            }
            assert_eq!(tree.root(SIZE), whole.root(SIZE));
            assert_eq!(tree.root(700), None);
            let path = |text: &str| text.parse::<TilePath>().unwrap();
            assert_eq!(
                tree.tile(&path("tile/1/000.p/5")),
                whole.tile(&path("tile/1/000.p/5"))
            );
            assert_eq!(tree.tile(&path("tile/0/000")), None);
            assert_eq!(
                tree.tile(&path("tile/0/004")),
                whole.tile(&path("tile/0/004"))
            );
        }
    }

    #[test]
    fn a_frontier_takes_whole_subtrees() {
        let leaves: Vec<Digest> = (0..77_u32)
            .map(|number| leaf_hash(&number.to_be_bytes()))
            .collect();
        let mut by_leaf = Frontier::new();
        leaves.iter().for_each(|leaf| by_leaf.push(*leaf));
        let mut by_subtree = Frontier::new();
        for run in leaves.chunks(8) {
            let root = Frontier::new().grow(run.to_vec()).root();
            if run.len() == 8 {
                assert!(by_subtree.push_subtree(3, root));
            } else {
                run.iter().for_each(|leaf| by_subtree.push(*leaf));
                assert!(!by_subtree.push_subtree(3, root));
            }
        }
        assert_eq!(by_leaf, by_subtree);
    }

    #[test]
    fn paths_print_and_parse() {
        let check = |level, index, width, text: &str| {
            let path = TilePath {
                level,
                index,
                width,
            };
            assert_eq!(path.to_string(), text);
            assert_eq!(text.parse(), Ok(path));
        };
        check(0, 0, 256, "tile/0/000");
        check(1, 0, 3, "tile/1/000.p/3");
        check(0, 1_234_067, 256, "tile/0/x001/x234/067");
        check(63, 1_000, 255, "tile/63/x001/000.p/255");
        check(
            0,
            u64::MAX,
            1,
            "tile/0/x018/x446/x744/x073/x709/x551/615.p/1",
        );
    }

    #[test]
    fn other_paths_are_refused() {
        for text in [
            "",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/00/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/0/x000/000",
            "tile/0/001/000",
            "tile/0/x001",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000/",
            "/tile/0/000",
            "tile/entries/000",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
            "tile/0/+01",
        ] {
            assert_eq!(text.parse::<TilePath>(), Err(TilePathError), "{text}");
        }
    }

    #[test]
    fn nothing_beyond_the_tree_is_served() {
        let mut tree = TileTree::new();
        (0..257_u32).for_each(|number| tree.push(crate::tree::leaf_hash(&number.to_be_bytes())));
        let length = |text: &str| tree.tile(&text.parse().unwrap()).map(|tile| tile.len());
        assert_eq!(length("tile/0/000"), Some(8192));
        assert_eq!(length("tile/0/000.p/10"), Some(320));
        assert_eq!(length("tile/0/001.p/1"), Some(32));
        assert_eq!(length("tile/0/001.p/2"), None);
        assert_eq!(length("tile/0/001"), None);
        assert_eq!(length("tile/1/000.p/1"), Some(32));
        assert_eq!(length("tile/2/000.p/1"), None);
        assert_eq!(tree.leaf(257), None);
        assert_eq!(tree.root(258), None);
        assert_eq!(tree.inclusion(257, 257), None);
        assert_eq!(tree.inclusion(0, 258), None);
        assert_eq!(tree.consistency(3, 258), None);
        assert_eq!(tree.consistency(4, 3), None);
    }
}
