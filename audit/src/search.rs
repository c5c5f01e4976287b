//! Reading entries back from disk, each checked against the tree.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use dataos_model::{
    fault::{Fault, FaultKind},
    record::{PAGE_ENTRIES_MAX, RecordPage, RecordQuery, StoredEntry},
};
use dataos_proof::{
    Digest,
    frame::{self, EntryFrame, Frame},
    tile::{self, BundlePath, LeafTile, TILE_WIDTH, TilePath},
    tree::leaf_hash,
};

use crate::{
    codec,
    disk::Disk,
    row::Row,
    sealed::pack::{OpenFiles, ProvenRows},
    view::{BlockCopy, Next, Place, View},
};

mod packs;
mod summary;

/// Most entries that one search reads; a page that hits this is short, and has a cursor.
const SEARCH_ENTRIES_MAX: usize = 250_000;

/// What reading needs.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    directory: PathBuf,
    view: Arc<RwLock<View>>,
    files: Arc<OpenFiles>,
    disk: Arc<dyn Disk>,
}

/// The segment that was read last, kept open.
#[derive(Debug, Default)]
struct OpenSegment(Option<(u32, String, File)>);

/// Where an entry was found.
enum Found<T> {
    /// In a segment.
    Unsealed(T),
    /// In a pack, with the tile around it.
    Sealed(Box<ProvenRows>),
}

/// Why a block was not read.
enum BlockError {
    /// Its segment is gone: by now the entries are sealed.
    Moved,
    /// It is damaged.
    Fault(Fault),
}

impl Reader {
    pub(crate) fn new(directory: &Path, view: Arc<RwLock<View>>, disk: Arc<dyn Disk>) -> Self {
        Self {
            directory: directory.to_owned(),
            view,
            files: Arc::default(),
            disk,
        }
    }

    /// The folder of the log.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Looks at the view.
    pub(crate) fn with_view<T>(&self, look: impl FnOnce(&View) -> T) -> T {
        look(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the view.
    pub(crate) fn with_view_mut<T>(&self, change: impl FnOnce(&mut View) -> T) -> T {
        change(&mut self.view.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// A page of matching entries, newest first.
    pub(crate) fn search(&self, query: &RecordQuery) -> Result<RecordPage, Fault> {
        let limit = match query.limit {
            0 => PAGE_ENTRIES_MAX,
            limit => limit.min(PAGE_ENTRIES_MAX),
        };
        let mut page = RecordPage::default();
        let mut budget = SEARCH_ENTRIES_MAX;
        let rest = self.visit(query, 0, &mut budget, &mut |stored| {
            page.entries.push(stored);
            page.entries.len() < limit
        })?;
        page.next_before = rest;
        Ok(page)
    }

    /// Hands matching entries from `floor` on to `take`, newest first, until it has enough or the
    /// budget of entries to read is used up. Returns the cursor behind the last one, if there may be
    /// more. `floor` is where a pack ends, or 0.
    fn visit(
        &self,
        query: &RecordQuery,
        floor: u64,
        budget: &mut usize,
        take: &mut dyn FnMut(StoredEntry) -> bool,
    ) -> Result<Option<u64>, Fault> {
        let terms = codec::wanted_terms(query);
        let (from, to) = (query.from.map(|time| time.0), query.to.map(|time| time.0));
        let mut before = query.before.unwrap_or(u64::MAX);
        let mut open = OpenSegment::default();
        let more = |before: u64| (before > floor).then_some(before);
        loop {
            if before <= floor {
                return Ok(None);
            }
            match self.with_view(|view| view.next(before, &terms, from, to)) {
                Next::End => return Ok(None),
                Next::Tail(block) => {
                    let read = &mut |frame: &EntryFrame<'_>| {
                        let row = codec::read(frame)?;
                        Ok(codec::matches(query, &row).then(|| row.stored()))
                    };
                    let stored = match self.block(&block, before, &mut open, read) {
                        Ok(stored) => stored,
                        Err(BlockError::Moved) => continue,
                        Err(BlockError::Fault(fault)) => return Err(fault),
                    };
                    for stored in stored.into_iter().rev().flatten() {
                        let index = stored.index;
                        if !take(stored) {
                            return Ok(more(index));
                        }
                    }
                    before = block.first;
                    *budget = budget.saturating_sub(block.places.len());
                }
                Next::Pack(pack) if pack.end() <= floor => return Ok(None),
                Next::Pack(pack) => match self.visit_pack(&pack, query, before, budget, take)? {
                    Some(index) => return Ok(more(index)),
                    None => before = pack.first(),
                },
            }
            if *budget == 0 {
                return Ok(more(before));
            }
        }
    }

    /// One entry.
    pub(crate) fn get(&self, index: u64) -> Result<StoredEntry, Fault> {
        match self.find(index, &mut |frame| Ok(codec::read(frame)?.stored()))? {
            Found::Unsealed(stored) => Ok(stored),
            Found::Sealed(tile) => self.row(&tile, index, |row| Ok(row.stored())),
        }
    }

    /// The canonical bytes of one entry, whose hash is its leaf; and the leaf's tile if it is sealed.
    pub(crate) fn canonical(&self, index: u64) -> Result<(Vec<u8>, Option<LeafTile>), Fault> {
        match self.find(index, &mut |frame| Ok(frame.entry.to_vec()))? {
            Found::Unsealed(canonical) => Ok((canonical, None)),
            Found::Sealed(tile) => {
                let canonical = self.row(&tile, index, |row| row.leaf())?;
                let index = tile.first / TILE_WIDTH as u64;
                let hashes = tile.leaves;
                Ok((canonical, Some(LeafTile { index, hashes })))
            }
        }
    }

    /// The inclusion proof of an entry in the newest checkpoint with its canonical bytes and the
    /// checkpoint.
    pub(crate) fn proof(&self, index: u64) -> Result<(Vec<u8>, Vec<Digest>, String), Fault> {
        loop {
            let (canonical, tile) = self.canonical(index)?;
            let given = tile.into_iter().collect::<Vec<_>>();
            let (proof, checkpoint, forgotten) = self.with_view(|view| {
                let proof = view.inclusion(index, &given);
                (proof, view.newest.note.clone(), view.tree.forgotten())
            });
            match proof {
                Some(hashes) => return Ok((canonical, hashes, checkpoint)),
                // It was sealed in between.
                None if given.is_empty() && index < forgotten => {}
                None => return Err(self.missing(index)),
            }
        }
    }

    /// The bytes of a hash tile.
    pub(crate) fn tile(&self, path: &TilePath) -> Result<Option<Vec<u8>>, Fault> {
        let first = path.index.checked_mul(TILE_WIDTH as u64);
        let first = first.filter(|_| path.level == 0);
        let is_forgotten = |view: &View| first.is_some_and(|first| first < view.tree.forgotten());
        let (tile, is_sealed) = self.with_view(|view| (view.tree.tile(path), is_forgotten(view)));
        let Some(first) = first.filter(|_| is_sealed) else {
            return Ok(tile);
        };
        let given: Vec<LeafTile> = self.canonical(first)?.1.into_iter().collect();
        Ok(self.with_view(|view| view.tree.with(&given).tile(path)))
    }

    /// The bytes of an entry bundle.
    pub(crate) fn bundle(&self, path: &BundlePath) -> Result<Vec<u8>, Fault> {
        let missing = || Fault::not_found(format!("the log has no bundle {path}"));
        let first = path.index.checked_mul(TILE_WIDTH as u64);
        let first = first.ok_or_else(missing)?;
        let end = first + u64::from(path.width);
        if end > self.with_view(|view| view.tree.size()) {
            return Err(missing());
        }
        let entries = match self.find(first, &mut |frame| Ok(frame.entry.to_vec()))? {
            Found::Sealed(tile) => (first..end)
                .map(|index| self.row(&tile, index, |row| row.leaf()))
                .collect::<Result<Vec<_>, _>>()?,
            // One by one: each is where it is now, whatever is sealed meanwhile.
            Found::Unsealed(_) => (first..end)
                .map(|index| self.canonical(index).map(|(canonical, _)| canonical))
                .collect::<Result<Vec<_>, _>>()?,
        };
        let bytes = tile::bundle(entries.iter().map(Vec::as_slice));
        bytes.ok_or_else(|| Fault::internal("an entry is too long for a bundle"))
    }

    /// Hands the 256 entries from `start` on, which is a multiple of 256, to `take`, while they are
    /// not sealed. Returns how many there were.
    pub(crate) fn unsealed_block(
        &self,
        start: u64,
        take: &mut dyn FnMut(&Row<'_>) -> Result<(), String>,
    ) -> Result<usize, Fault> {
        let block = self.with_view(|view| view.block_of(start));
        let block = block.ok_or_else(|| self.missing(start))?;
        let read = &mut |frame: &EntryFrame<'_>| take(&codec::read(frame)?);
        match self.block(&block, u64::MAX, &mut OpenSegment::default(), read) {
            Ok(entries) => Ok(entries.len()),
            Err(BlockError::Moved) => Err(self.missing(start)),
            Err(BlockError::Fault(fault)) => Err(fault),
        }
    }

    fn missing(&self, index: u64) -> Fault {
        let size = self.with_view(|view| view.tree.size());
        Fault::not_found(format!("the log has {size} entries; there is no {index}"))
    }

    fn find<T>(&self, index: u64, read: ReadFrame<'_, T>) -> Result<Found<T>, Fault> {
        loop {
            let (pack, block) = self.with_view(|view| {
                let block = view.block_of(index).filter(|_| index < view.tree.size());
                (view.pack_of(index).cloned(), block)
            });
            if let Some(pack) = pack {
                return Ok(Found::Sealed(Box::new(self.tile_of(&pack, index)?)));
            }
            let mut block = block.ok_or_else(|| self.missing(index))?;
            let skip = usize::try_from(index - block.first).unwrap_or(usize::MAX);
            block.places = block.places.into_iter().skip(skip).take(1).collect();
            block.leaves = block.leaves.into_iter().skip(skip).take(1).collect();
            block.first = index;
            match self.block(&block, u64::MAX, &mut OpenSegment::default(), read) {
                Ok(entries) => {
                    let entry = entries.into_iter().next();
                    return entry
                        .map(Found::Unsealed)
                        .ok_or_else(|| self.missing(index));
                }
                Err(BlockError::Moved) => {}
                Err(BlockError::Fault(fault)) => return Err(fault),
            }
        }
    }

    /// The entries of a block below `before`, in order.
    fn block<T>(
        &self,
        block: &BlockCopy,
        before: u64,
        open: &mut OpenSegment,
        read: ReadFrame<'_, T>,
    ) -> Result<Vec<T>, BlockError> {
        let all = (block.first..before).zip(block.places.iter().zip(&block.leaves));
        let all: Vec<(u64, (&Place, &Digest))> = all.collect();
        let mut entries = Vec::with_capacity(all.len());
        for run in all.chunk_by(|(_, (a, _)), (_, (b, _))| a.segment == b.segment) {
            let (Some((_, (first, _))), Some((_, (last, _)))) = (run.first(), run.last()) else {
                continue;
            };
            let start = first.offset;
            let length = (last.offset - start) as usize + last.length as usize;
            let (name, file) = self.open(first.segment, open)?;
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, u64::from(start))
                .map_err(|error| BlockError::Fault(self.unreadable(name, &error)))?;
            for (index, (place, leaf)) in run {
                let frame = bytes
                    .get((place.offset - start) as usize..)
                    .unwrap_or_default();
                let stored = entry(frame, *index, leaf, read).map_err(|why| {
                    let path = self.directory.join(name);
                    let (path, offset) = (path.display(), place.offset);
                    let message = format!("{path}, offset {offset}, entry {index}: {why}");
                    BlockError::Fault(damaged(message))
                })?;
                entries.push(stored);
            }
        }
        Ok(entries)
    }

    fn open<'o>(
        &self,
        segment: u32,
        open: &'o mut OpenSegment,
    ) -> Result<(&'o str, &'o File), BlockError> {
        if open
            .0
            .as_ref()
            .is_none_or(|(number, _, _)| *number != segment)
        {
            let name = self.with_view(|view| view.segment(segment).map(str::to_owned));
            let name = name.ok_or(BlockError::Moved)?;
            let file = File::open(self.directory.join(&name)).map_err(|error| {
                let is_removed = self.with_view(|view| {
                    view.segment(segment).is_none() || view.removable().as_ref() == Some(&name)
                });
                if is_removed && error.kind() == io::ErrorKind::NotFound {
                    BlockError::Moved
                } else {
                    BlockError::Fault(self.unreadable(&name, &error))
                }
            })?;
            open.0 = Some((segment, name, file));
        }
        match &open.0 {
            Some((_, name, file)) => Ok((name, file)),
            None => Err(BlockError::Fault(Fault::internal("no segment is open"))),
        }
    }

    fn unreadable(&self, name: &str, error: &io::Error) -> Fault {
        let path = self.directory.join(name);
        damaged(format!("cannot read {}: {error}", path.display()))
    }
}

fn damaged(message: String) -> Fault {
    Fault::new(FaultKind::Damaged, message)
        .with_hint("run `dataos-ctl audit verify --log` on the folder")
}

/// What is wanted of an entry.
type ReadFrame<'r, T> = &'r mut dyn FnMut(&EntryFrame<'_>) -> Result<T, String>;

/// The entry in a frame, if it is the one that the tree holds.
fn entry<T>(bytes: &[u8], index: u64, leaf: &Digest, read: ReadFrame<'_, T>) -> Result<T, String> {
    match frame::read(bytes) {
        Ok(Some((Frame::Entry(frame), _))) => {
            if frame.index != index || leaf_hash(frame.entry) != *leaf {
                return Err("the entry is not the one that was written".to_owned());
            }
            read(&frame)
        }
        Ok(_) => Err("there is no entry".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
