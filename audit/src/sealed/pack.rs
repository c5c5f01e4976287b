//! A pack that is open: its index, and its Parquet file when it is needed.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use dataos_proof::{
    Digest,
    tile::LeafTile,
    tree::{Frontier, leaf_hash},
};

use super::{
    NEW_SUFFIX, TILE_ROWS, TILE_TWIGS, TWIG_ROWS,
    build::{BadPack, build},
    columns::Rows,
    file::SealedFile,
    file_name,
    index::{Index, IndexError},
    index_name,
    writer::DiskWriter,
};
use crate::{disk::Disk, row::Row};

/// Sealed files that are kept open: 300 KB each for 2^20 entries.
const OPEN_FILES_MAX: usize = 128;

/// What a started log keeps of a pack: times, directories and figures, 40 KB for 2^20 entries.
#[derive(Debug)]
pub(crate) struct Pack {
    pub(crate) index: Index,
}

/// Whole twigs, read back and proven.
#[derive(Debug)]
pub(crate) struct ProvenRows {
    /// Index of the first entry of the pack.
    first: u64,
    /// Ascending.
    twigs: Vec<u32>,
    rows: Rows,
    /// The hashes of all rows.
    pub(crate) leaves: Vec<Digest>,
}

/// The Parquet files that were used last.
#[derive(Debug, Default)]
pub(crate) struct OpenFiles(Mutex<VecDeque<Arc<SealedFile>>>);

impl Pack {
    pub(crate) fn first(&self) -> u64 {
        self.index.first
    }

    pub(crate) fn end(&self) -> u64 {
        self.index.first + u64::from(self.index.count)
    }

    pub(crate) fn first_time_ms(&self) -> i64 {
        self.index.blocks.first().map_or(i64::MIN, |block| block.0)
    }

    pub(crate) fn last_time_ms(&self) -> i64 {
        self.index.blocks.last().map_or(i64::MAX, |block| block.1)
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.index.file_bytes + self.index.index_bytes
    }
}

impl ProvenRows {
    /// The entry with this index.
    pub(crate) fn row(&self, index: u64) -> Result<Row<'_>, String> {
        let missing = || "the row is missing".to_owned();
        let row = index
            .checked_sub(self.first)
            .and_then(|row| u32::try_from(row).ok());
        let row = row.ok_or_else(missing)?;
        let twig = self.twigs.binary_search(&(row / TWIG_ROWS));
        let position = twig.map_err(|_| missing())? * TWIG_ROWS as usize;
        self.rows.row(position + (row % TWIG_ROWS) as usize)
    }
}

impl OpenFiles {
    /// The Parquet file of a pack.
    pub(crate) fn get(&self, directory: &Path, pack: &Pack) -> Result<Arc<SealedFile>, String> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files = lock();
        let known = files.iter().position(|file| file.first == pack.first());
        if let Some(file) = known.and_then(|at| files.remove(at)) {
            files.push_front(Arc::clone(&file));
            return Ok(file);
        }
        drop(files);
        let file = SealedFile::open(&directory.join(file_name(pack.first())), pack.first())?;
        if file.count() != pack.index.count || file.bytes() != pack.index.file_bytes {
            return Err("it is not the file that was sealed".to_owned());
        }
        let file = Arc::new(file);
        let mut files = lock();
        files.push_front(Arc::clone(&file));
        files.truncate(OPEN_FILES_MAX);
        Ok(file)
    }
}

/// Reads twigs, which ascend and lie in one row group, and compares each with its root, of which
/// `roots` are as many. The error names the first entry of the twig.
pub(crate) fn proven_rows(
    file: &SealedFile,
    twigs: &[u32],
    roots: &[Digest],
) -> Result<ProvenRows, BadPack> {
    let (rows, leaves) = read_twigs(file, twigs)?;
    for (position, (leaves, twig)) in leaves.chunks(TWIG_ROWS as usize).zip(twigs).enumerate() {
        if roots.get(position) != Some(&root_of(leaves)) {
            return Err(BadPack {
                index: file.first + u64::from(twig * TWIG_ROWS),
                why: "the entries, 16 from here on, are not those that the tree holds".to_owned(),
            });
        }
    }
    Ok(ProvenRows {
        first: file.first,
        twigs: twigs.to_vec(),
        rows,
        leaves,
    })
}

/// Reads the leaves of a tile and compares it with its root. The error names its first entry.
pub(crate) fn proven_tile(
    file: &SealedFile,
    tile: u32,
    root: Option<Digest>,
) -> Result<LeafTile, BadPack> {
    let first = tile * TILE_TWIGS as u32;
    let twigs: Vec<u32> = (first..).take(TILE_TWIGS).collect();
    let (_, hashes) = read_twigs(file, &twigs)?;
    let index = file.first + u64::from(tile * TILE_ROWS);
    if root != Some(root_of(&hashes)) {
        let why = "the entries, 256 from here on, are not those that the tree holds".to_owned();
        return Err(BadPack { index, why });
    }
    Ok(LeafTile {
        index: index / u64::from(TILE_ROWS),
        hashes,
    })
}

/// The rows of some twigs, and the leaf of each.
fn read_twigs(file: &SealedFile, twigs: &[u32]) -> Result<(Rows, Vec<Digest>), BadPack> {
    let index = |row: u32| file.first + u64::from(row);
    let first = index(twigs.first().copied().unwrap_or_default() * TWIG_ROWS);
    let rows = file.twigs(twigs);
    let rows = rows.map_err(|why| BadPack { index: first, why })?;
    let mut leaves = Vec::with_capacity(rows.len());
    let numbers = twigs
        .iter()
        .flat_map(|twig| (twig * TWIG_ROWS..).take(TWIG_ROWS as usize));
    for (position, number) in numbers.enumerate() {
        let index = index(number);
        let leaf = rows.row(position).and_then(|row| {
            if row.index == index {
                row.leaf()
            } else {
                Err("an entry is out of order".to_owned())
            }
        });
        leaves.push(leaf_hash(&leaf.map_err(|why| BadPack { index, why })?));
    }
    Ok((rows, leaves))
}

fn root_of(leaves: &[Digest]) -> Digest {
    let mut tree = Frontier::new();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.root()
}

/// Opens a pack by its index file; makes that file again, with `note` as its checkpoint, if it is
/// missing or damaged. Also returns the root of each 256 entries.
pub(crate) fn open(
    directory: &Path,
    first: u64,
    note: &str,
    disk: &dyn Disk,
) -> Result<(Pack, Vec<Digest>), BadPack> {
    let path = directory.join(index_name(first));
    let file_bytes = std::fs::metadata(directory.join(file_name(first))).map(|file| file.len());
    let file_bytes = file_bytes.map_err(|error| BadPack {
        index: first,
        why: format!("it cannot be read: {error}"),
    })?;
    let why = match Index::open(&path, first) {
        Ok((index, hashes)) if index.file_bytes == file_bytes => {
            return Ok((Pack { index }, hashes));
        }
        Ok(_) => "it belongs to another file".to_owned(),
        Err(error) => error.to_string(),
    };
    tracing::warn!(path = %path.display(), why, "an index of the audit log is made again");
    rebuild(directory, first, note, disk)
}

/// Makes the index file of a pack from its Parquet file.
pub(crate) fn rebuild(
    directory: &Path,
    first: u64,
    note: &str,
    disk: &dyn Disk,
) -> Result<(Pack, Vec<Digest>), BadPack> {
    let bad = |why: String| BadPack { index: first, why };
    let file = SealedFile::open(&directory.join(file_name(first)), first).map_err(bad)?;
    let built = build(&file, note, &|| false)?.ok_or_else(|| bad("it was not read".to_owned()))?;
    write_index(directory, first, &built.bytes, disk)
        .map_err(|error| bad(format!("its index cannot be written: {error}")))?;
    let opened = Index::open(&directory.join(index_name(first)), first);
    let (index, hashes) = opened.map_err(|error: IndexError| bad(error.to_string()))?;
    Ok((Pack { index }, hashes))
}

/// Writes an index file so that it is there whole or not at all.
pub(crate) fn write_index(
    directory: &Path,
    first: u64,
    bytes: &[u8],
    disk: &dyn Disk,
) -> io::Result<()> {
    let name = index_name(first);
    let new = format!("{name}{NEW_SUFFIX}");
    let mut file = DiskWriter::create(&directory.join(&new), disk)?;
    file.write_all(bytes)?;
    file.finish()?;
    disk.rename(directory, &new, &name)
}
