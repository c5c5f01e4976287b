//! Packs: runs of entries that were moved from the write-ahead log to a compressed file of columns.
//!
//! ```text
//! sealed-00000000000000000000.parquet    the entries, see columns; anyone's Parquet reader opens it
//! sealed-00000000000000000000.index      what finds and proves them, see index
//! ```
//!
//! A pack has a power of two of entries and begins at a multiple of that, so it is one complete
//! subtree. The Parquet file is as good as the segments that it replaces: nothing is deleted before
//! every leaf was made again from it and compared with the tree. The index file is made from the
//! Parquet file and can be made again at any time.

mod buckets;
pub(crate) mod build;
pub(crate) mod columns;
pub(crate) mod file;
pub(crate) mod index;
mod layout;
pub(crate) mod pack;
pub(crate) mod postings;
pub(crate) mod seal;
mod varint;
pub(crate) mod writer;

#[cfg(test)]
mod tests;

/// Rows of a block: one page of each column, the least that is read.
pub(crate) const BLOCK_ROWS: u32 = 1024;

/// Rows of a row group: what the writer holds in memory, and what shares dictionaries. About one
/// megabyte, so that the pages of a block lie close together.
pub(crate) const ROW_GROUP_ROWS: u32 = 16 * BLOCK_ROWS;

/// Leaves of a tile: the index keeps the root of each.
pub(crate) const TILE_ROWS: u32 = 256;

/// Leaves of a twig: what is hashed to prove one entry. The index file has the root of each.
pub(crate) const TWIG_ROWS: u32 = 16;

/// Twigs of a tile.
pub(crate) const TILE_TWIGS: usize = (TILE_ROWS / TWIG_ROWS) as usize;

/// Entries of the largest pack.
pub(crate) const PACK_ENTRIES_MAX: u32 = 1 << 22;

const PREFIX: &str = "sealed-";
pub(crate) const FILE_SUFFIX: &str = ".parquet";
pub(crate) const INDEX_SUFFIX: &str = ".index";

/// What an unfinished file ends in.
pub(crate) const NEW_SUFFIX: &str = ".new";

/// Name of the Parquet file of the pack that begins with entry `first`.
pub(crate) fn file_name(first: u64) -> String {
    format!("{PREFIX}{first:020}{FILE_SUFFIX}")
}

/// Name of its index file.
pub(crate) fn index_name(first: u64) -> String {
    format!("{PREFIX}{first:020}{INDEX_SUFFIX}")
}

/// The first entry of the pack that a file with this name belongs to.
pub(crate) fn first_of(name: &str, suffix: &str) -> Option<u64> {
    let first = name
        .strip_prefix(PREFIX)?
        .strip_suffix(suffix)?
        .parse()
        .ok()?;
    (format!("{PREFIX}{first:020}{suffix}") == name).then_some(first)
}

/// Whether the name is that of a file whose writing was cut off.
pub(crate) fn is_unfinished(name: &str) -> bool {
    let name = name.strip_suffix(NEW_SUFFIX).unwrap_or_default();
    first_of(name, FILE_SUFFIX)
        .or(first_of(name, INDEX_SUFFIX))
        .is_some()
}
