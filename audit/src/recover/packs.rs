//! Taking up the packs: those before the first segment are what the log stands on, and any damage of
//! theirs stops the start; those that the segments still cover are compared with the segments, and
//! made again if they differ.

use std::{fs, path::Path, sync::Arc};

use dataos_model::fault::Fault;
use dataos_proof::{
    Digest,
    checkpoint::Checkpoint,
    frame::{segment_first, segment_name},
    tile::{LeafTile, TileTree},
    tree::Frontier,
};

use super::{damaged, remove_if_present};
use crate::{
    directory::Directory,
    disk::Disk,
    key::LogKey,
    sealed::{
        BLOCK_ROWS, FILE_SUFFIX, INDEX_SUFFIX, TILE_ROWS,
        build::BadPack,
        file::SealedFile,
        file_name, first_of, index_name, is_unfinished,
        pack::{self, Pack, proven_tile},
    },
    view::View,
};

const TILE: u64 = TILE_ROWS as u64;

/// What lies before the first segment.
#[derive(Debug, Default)]
pub(super) struct Base {
    /// The tree before the first segment.
    pub(super) frontier: Frontier,
    /// The root of each whole tile of it.
    pub(super) roots: Vec<Digest>,
    /// The leaves behind the last whole tile.
    pub(super) leaves: Vec<Digest>,
    pub(super) last_time_ms: Option<i64>,
    /// All packs that follow one another from entry 0 on.
    pub(super) packs: Vec<Loaded>,
}

/// A pack and the root of each of its tiles.
#[derive(Debug)]
pub(super) struct Loaded {
    first: u64,
    pack: Result<(Pack, Vec<Digest>), BadPack>,
    /// Whether the segments hold all of its entries too.
    is_covered: bool,
}

impl Base {
    /// Number of entries in packs that the log cannot do without: those that begin before the first
    /// segment.
    pub(super) fn standing(&self) -> u64 {
        let needed = self.packs.iter().filter(|loaded| !loaded.is_covered);
        let needed = needed.filter_map(|loaded| loaded.pack.as_ref().ok());
        needed.map(|(pack, _)| pack.end()).max().unwrap_or(0)
    }
}

/// Opens all packs, and removes what a crash of the sealer left.
pub(super) fn load(
    directory: &Directory,
    key: &LogKey,
    known: Option<&Checkpoint>,
    disk: &dyn Disk,
) -> Result<Base, Fault> {
    let path = directory.path();
    let names = directory.names()?;
    for name in names.iter().filter(|name| is_unfinished(name)) {
        remove_if_present(&path.join(name))?;
    }
    let start = names
        .iter()
        .find_map(|name| segment_first(name))
        .unwrap_or(0);
    let of = |suffix| names.iter().filter_map(move |name| first_of(name, suffix));
    let firsts: Vec<u64> = of(FILE_SUFFIX).collect();
    if let Some(lost) = of(INDEX_SUFFIX).find(|first| !firsts.contains(first)) {
        let message = format!(
            "the audit log in {} is damaged: {} is missing, but its index is there",
            path.display(),
            file_name(lost)
        );
        return Err(damaged(message));
    }
    // For an index that is made again: the newest signature that is known before the segments are read.
    let note = directory
        .checkpoint()?
        .filter(|note| Checkpoint::open(note, key.verifier()).is_ok());
    let note = note.unwrap_or_default();
    let (mut packs, mut next) = (Vec::new(), 0);
    for first in firsts {
        if first != next {
            return Err(gap(path, &file_name(first), next, first));
        }
        let is_covered = first >= start;
        let pack = pack::open(path, first, &note, disk);
        let pack = match pack {
            Err(bad) if !is_covered => return Err(bad_pack(path, first, &bad)),
            pack => pack,
        };
        match &pack {
            Ok((pack, _)) => next = pack.end(),
            // What follows is covered by the segments too, and is made again.
            Err(_) => next = u64::MAX,
        }
        packs.push(Loaded {
            first,
            pack,
            is_covered,
        });
        if next == u64::MAX {
            break;
        }
    }
    if next < start {
        return Err(gap(path, &segment_name(start), next, start));
    }
    let base = stand_on(path, packs, start)?;
    match known {
        Some(known) if known.size <= start => check_known(path, &base, known)?,
        _ => {}
    }
    Ok(base)
}

/// The tree over the entries before `start`.
fn stand_on(path: &Path, packs: Vec<Loaded>, start: u64) -> Result<Base, Fault> {
    let mut base = Base {
        packs,
        ..Base::default()
    };
    let opened = base
        .packs
        .iter()
        .filter_map(|loaded| loaded.pack.as_ref().ok());
    let roots = opened.flat_map(|(_, roots)| roots.iter().copied());
    base.roots = roots
        .take(usize::try_from(start / TILE).unwrap_or(usize::MAX))
        .collect();
    for root in &base.roots {
        base.frontier.push_subtree(TILE_ROWS.ilog2(), *root);
    }
    let rest = usize::try_from(start % TILE).unwrap_or(0);
    if rest > 0 {
        base.leaves = leaf_tile(path, &base.packs, start - start % TILE)?.hashes;
        base.leaves.truncate(rest);
        base.leaves
            .iter()
            .for_each(|leaf| base.frontier.push(*leaf));
    }
    // Only a bound: times of the last block before the first segment.
    let before = start.checked_sub(1).and_then(|last| {
        let mut opened = base
            .packs
            .iter()
            .filter_map(|loaded| loaded.pack.as_ref().ok());
        let (pack, _) = opened.find(|(pack, _)| pack.end() > last)?;
        let block = (last - pack.first()) / u64::from(BLOCK_ROWS);
        pack.index
            .blocks
            .get(usize::try_from(block).ok()?)
            .map(|block| block.0)
    });
    base.last_time_ms = before;
    Ok(base)
}

/// The leaves of the tile that begins with entry `first`, from its pack.
fn leaf_tile(path: &Path, packs: &[Loaded], first: u64) -> Result<LeafTile, Fault> {
    let mut opened = packs.iter().filter_map(|loaded| loaded.pack.as_ref().ok());
    let (pack, roots) = opened
        .find(|(pack, _)| pack.end() > first)
        .ok_or_else(|| damaged(format!("entry {first} is in no sealed file")))?;
    let tile = (first - pack.first()) / TILE;
    let root = roots
        .get(usize::try_from(tile).unwrap_or(usize::MAX))
        .copied();
    let tile = u32::try_from(tile).unwrap_or(u32::MAX);
    SealedFile::open(&path.join(file_name(pack.first())), pack.first())
        .map_err(|why| BadPack { index: first, why })
        .and_then(|file| proven_tile(&file, tile, root))
        .map_err(|bad| bad_pack(path, pack.first(), &bad))
}

/// A checkpoint that ends before the first segment must be one of this tree.
fn check_known(path: &Path, base: &Base, known: &Checkpoint) -> Result<(), Fault> {
    let mut tree = TileTree::new();
    base.roots.iter().for_each(|root| _ = tree.push_tile(*root));
    base.leaves.iter().for_each(|leaf| tree.push(*leaf));
    let rest = known.size % TILE;
    let given = match rest {
        0 => Vec::new(),
        _ => vec![leaf_tile(path, &base.packs, known.size - rest)?],
    };
    if tree.with(&given).root(known.size) == Some(known.root) {
        return Ok(());
    }
    let size = known.size;
    Err(damaged(format!(
        "the audit log in {} is damaged: at {size} entries the sealed files have another root than a \
         signed checkpoint: a fork",
        path.display()
    )))
}

/// Compares the packs with the tree that the segments gave, and hands them to the readers.
pub(super) fn adopt(path: &Path, view: &mut View, packs: Vec<Loaded>) -> Result<(), Fault> {
    let mut is_given_up = false;
    for Loaded {
        first,
        pack,
        is_covered,
    } in packs
    {
        let compared = match pack {
            _ if is_given_up => Err(BadPack {
                index: first,
                why: "the sealed file before it is not usable".to_owned(),
            }),
            Err(bad) => Err(bad),
            // Only what is durable is sealed: segments that end before are an older copy.
            Ok((pack, _)) if pack.end() > view.tree.size() => {
                let (found, expected) = (view.tree.size(), pack.end());
                return Err(damaged(format!(
                    "the audit log in {} is damaged: the segments end at {found} entries, but the \
                     sealed files hold {expected}",
                    path.display()
                )));
            }
            Ok((pack, roots)) => compare(view, &pack, &roots).map(|()| pack),
        };
        match compared {
            Ok(pack) => drop(view.adopt(Arc::new(pack))),
            Err(bad) if is_covered => {
                let name = file_name(first);
                tracing::warn!(
                    name,
                    entry = bad.index,
                    why = bad.why,
                    "a sealed file is made again"
                );
                remove_if_present(&path.join(index_name(first)))?;
                remove_if_present(&path.join(name))?;
                is_given_up = true;
            }
            Err(bad) => return Err(bad_pack(path, first, &bad)),
        }
    }
    if is_given_up {
        remove_rest(path, view.sealed())?;
    }
    Ok(())
}

/// Removes packs behind one that was given up; the segments cover them too.
fn remove_rest(path: &Path, from: u64) -> Result<(), Fault> {
    let names = fs::read_dir(path).into_iter().flatten();
    let names = names.filter_map(|file| file.ok()?.file_name().into_string().ok());
    for name in names {
        let first = first_of(&name, FILE_SUFFIX).or(first_of(&name, INDEX_SUFFIX));
        if first.is_some_and(|first| first >= from) {
            remove_if_present(&path.join(name))?;
        }
    }
    Ok(())
}

fn compare(view: &View, pack: &Pack, roots: &[Digest]) -> Result<(), BadPack> {
    match view.differs_at(pack.first(), roots) {
        None => Ok(()),
        Some(index) => Err(BadPack {
            index,
            why: "the entries, 256 from here on, are not those of the segments".to_owned(),
        }),
    }
}

/// `file` begins with entry `found`.
fn gap(path: &Path, file: &str, expected: u64, found: u64) -> Fault {
    damaged(format!(
        "the audit log in {} is damaged: {file}, offset 0, entry {expected}: entries {expected} to {} \
         are in no file; {} is missing",
        path.display(),
        found.saturating_sub(1),
        file_name(expected)
    ))
}

fn bad_pack(path: &Path, first: u64, bad: &BadPack) -> Fault {
    damaged(format!(
        "the audit log in {} is damaged: {}, entry {}: {}",
        path.display(),
        file_name(first),
        bad.index,
        bad.why
    ))
}
