//! Reading entries back from disk, each checked against the tree.

use std::{
    cell::Cell,
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
    tile::{self, BundlePath, TILE_WIDTH, TilePath, complete_path},
    tree::leaf_hash,
};

use crate::{
    codec,
    disk::Disk,
    row::Row,
    sealed::{
        TILE_ROWS, TWIG_ROWS,
        pack::{OpenFiles, Pack},
    },
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

/// The canonical bytes of an entry, its inclusion proof, and the checkpoint that this leads to.
pub(crate) type EntryProof = (Vec<u8>, Vec<Digest>, String);

/// The segment that was read last, kept open.
#[derive(Debug, Default)]
struct OpenSegment(Option<(u32, String, File)>);

/// Where an entry was found.
enum Found<T> {
    /// In a segment.
    Unsealed(T),
    /// In a pack.
    Sealed(Arc<Pack>),
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
        let rest = self.visit(query, (0, limit), &mut budget, &mut |stored| {
            page.entries.push(stored);
            page.entries.len() < limit
        })?;
        page.next_before = rest;
        Ok(page)
    }

    /// Hands matching entries from `floor` on to `take`, newest first, until it has enough, which
    /// `wanted` are, or the budget of entries to read is used up. Returns the cursor behind the last
    /// one, if there may be more.
    fn visit(
        &self,
        query: &RecordQuery,
        (floor, wanted): (u64, usize),
        budget: &mut usize,
        take: &mut dyn FnMut(StoredEntry) -> bool,
    ) -> Result<Option<u64>, Fault> {
        let floor = query
            .after
            .map_or(floor, |after| floor.max(after.saturating_add(1)));
        let terms = codec::wanted_terms(query);
        let (from, to) = (query.from.map(|time| time.0), query.to.map(|time| time.0));
        let mut before = query.before.unwrap_or(u64::MAX);
        let mut open = OpenSegment::default();
        let taken = Cell::new(0);
        let mut take = |stored: StoredEntry| {
            taken.set(taken.get() + 1);
            take(stored)
        };
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
                    let stored = stored.into_iter().rev().flatten();
                    for stored in stored.take_while(|stored| stored.index >= floor) {
                        let index = stored.index;
                        if !take(stored) {
                            return Ok(more(index));
                        }
                    }
                    before = block.first;
                    *budget = budget.saturating_sub(block.places.len());
                }
                Next::Pack(pack) if pack.end() <= floor => return Ok(None),
                Next::Pack(pack) => {
                    let range = floor.max(pack.first())..before;
                    let wanted = wanted.saturating_sub(taken.get());
                    match self.visit_pack(&pack, query, (range, wanted), budget, &mut take)? {
                        Some(index) => return Ok(more(index)),
                        None => before = pack.first(),
                    }
                }
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
            Found::Sealed(pack) => {
                let (twig, _) = self.twig_of(&pack, index)?;
                self.row(&twig, index, |row| Ok(row.stored()))
            }
        }
    }

    /// The inclusion proof of an entry in the newest checkpoint with its canonical bytes, whose hash
    /// is the leaf, and the checkpoint.
    pub(crate) fn proof(&self, index: u64) -> Result<EntryProof, Fault> {
        loop {
            let canonical = match self.find(index, &mut |frame| Ok(frame.entry.to_vec()))? {
                Found::Unsealed(canonical) => canonical,
                Found::Sealed(pack) => return self.sealed_proof(&pack, index),
            };
            let (proof, checkpoint, forgotten) = self.with_view(|view| {
                let proof = view.inclusion(index, &[]);
                (proof, view.newest.note.clone(), view.tree.forgotten())
            });
            match proof {
                Some(hashes) => return Ok((canonical, hashes, checkpoint)),
                // It was sealed in between.
                None if index < forgotten => {}
                None => return Err(self.missing(index)),
            }
        }
    }

    fn sealed_proof(&self, pack: &Arc<Pack>, index: u64) -> Result<EntryProof, Fault> {
        let (twig, roots) = self.twig_of(pack, index)?;
        let canonical = self.row(&twig, index, |row| row.leaf())?;
        let within = (index % u64::from(TILE_ROWS)) as usize;
        let (position, number) = (within % TWIG_ROWS as usize, within / TWIG_ROWS as usize);
        let mut proof = complete_path(&twig.leaves, position);
        proof.extend(complete_path(&roots, number));
        let newest = |view: &View| (view.inclusion_of_tile(index), view.newest.note.clone());
        if let (Some(rest), checkpoint) = self.with_view(newest) {
            proof.extend(rest);
            return Ok((canonical, proof, checkpoint));
        }
        // The newest checkpoint ends within the tile.
        let tile = [self.leaves_of(pack, index)?];
        let newest = |view: &View| (view.inclusion(index, &tile), view.newest.note.clone());
        let (proof, checkpoint) = self.with_view(newest);
        let proof = proof.ok_or_else(|| self.missing(index))?;
        Ok((canonical, proof, checkpoint))
    }

    /// The bytes of a hash tile.
    pub(crate) fn tile(&self, path: &TilePath) -> Result<Option<Vec<u8>>, Fault> {
        let first = path.index.checked_mul(TILE_WIDTH as u64);
        let first = first.filter(|_| path.level == 0);
        let (tile, pack) = self.with_view(|view| {
            let forgotten = first.filter(|first| *first < view.tree.forgotten());
            let pack = forgotten.and_then(|first| view.pack_of(first).cloned());
            (view.tree.tile(path), pack)
        });
        let Some((first, pack)) = first.zip(pack) else {
            return Ok(tile);
        };
        let given = [self.leaves_of(&pack, first)?];
        Ok(self.with_view(|view| view.tree.with(&given).tile(path)))
    }

    /// The bytes of an entry bundle.
    pub(crate) fn bundle(&self, path: &BundlePath) -> Result<Vec<u8>, Fault> {
        let missing = || Fault::not_found(format!("the log has no bundle {path}"));
        let first = path.index.checked_mul(TILE_WIDTH as u64);
        let first = first.ok_or_else(missing)?;
        let end = first.checked_add(u64::from(path.width));
        let end = end.ok_or_else(missing)?;
        if end > self.with_view(|view| view.tree.size()) {
            return Err(missing());
        }
        let (mut entries, mut index) = (Vec::new(), first);
        while index < end {
            // Each is where it is now, whatever is sealed meanwhile.
            match self.find(index, &mut |frame| Ok(frame.entry.to_vec()))? {
                Found::Unsealed(canonical) => {
                    entries.push(canonical);
                    index += 1;
                }
                Found::Sealed(pack) => {
                    let (twig, _) = self.twig_of(&pack, index)?;
                    let rows = u64::from(TWIG_ROWS);
                    let stop = end.min((index / rows + 1) * rows);
                    for index in index..stop {
                        entries.push(self.row(&twig, index, |row| row.leaf())?);
                    }
                    index = stop;
                }
            }
        }
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
                return Ok(Found::Sealed(pack));
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
