//! A pack that is open: its index, and its Parquet file when it is needed.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use dataos_proof::{
    Digest,
    tree::{Frontier, leaf_hash},
};

use super::{
    NEW_SUFFIX, TILE_ROWS,
    build::{BadPack, build},
    columns::Rows,
    file::SealedFile,
    file_name,
    index::{Index, IndexError},
    index_name,
};
use crate::disk::Disk;

/// Sealed files whose parsed footer is kept: two megabytes each for 2^20 entries.
const OPEN_FILES_MAX: usize = 16;

/// What a started log keeps of a pack: times, directories and figures, 40 KB for 2^20 entries.
#[derive(Debug)]
pub(crate) struct Pack {
    pub(crate) index: Index,
}

/// A run of whole tiles, read back and proven.
#[derive(Debug)]
pub(crate) struct ProvenRows {
    /// Index of the first entry.
    pub(crate) first: u64,
    pub(crate) rows: Rows,
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

/// Reads whole tiles within one row group and compares each with its root in the tree. The error
/// names the first entry of the tile.
pub(crate) fn proven_rows(
    file: &SealedFile,
    tiles: Range<u32>,
    roots: &[Digest],
) -> Result<ProvenRows, BadPack> {
    let start = tiles.start * TILE_ROWS;
    let first = file.first + u64::from(start);
    let bad = |index, why: String| BadPack { index, why };
    let rows = file
        .rows(start..tiles.end * TILE_ROWS)
        .map_err(|why| bad(first, why))?;
    let mut leaves = Vec::with_capacity(rows.len());
    for (tile, root) in (0..tiles.len()).zip(roots) {
        let mut found = Frontier::new();
        let at = first + tile as u64 * u64::from(TILE_ROWS);
        for position in (tile * TILE_ROWS as usize..).take(TILE_ROWS as usize) {
            let leaf = rows.row(position).and_then(|row| {
                let expected = first + position as u64;
                if row.index == expected {
                    row.leaf()
                } else {
                    Err("an entry is out of order".to_owned())
                }
            });
            let leaf = leaf_hash(&leaf.map_err(|why| bad(first + position as u64, why))?);
            found.push(leaf);
            leaves.push(leaf);
        }
        if found.root() != *root {
            let why = "the entries, 256 from here on, are not those that the tree holds";
            return Err(bad(at, why.to_owned()));
        }
    }
    if leaves.len() != rows.len() {
        return Err(bad(
            first,
            "the tree does not hold these entries".to_owned(),
        ));
    }
    Ok(ProvenRows {
        first,
        rows,
        leaves,
    })
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
    let mut file = super::file::DiskWriter::create(&directory.join(&new), disk)?;
    file.write_all(bytes)?;
    file.finish()?;
    disk.rename(directory, &new, &name)
}
