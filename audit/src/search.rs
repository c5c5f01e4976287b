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
    tree::leaf_hash,
};

use crate::{
    codec,
    view::{BlockCopy, Place, View},
};

/// Most entries that one search reads; a page that hits this is short, and has a cursor.
const SEARCH_ENTRIES_MAX: usize = 500_000;

/// What reading needs.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    directory: PathBuf,
    view: Arc<RwLock<View>>,
}

/// The segment that was read last, kept open.
#[derive(Debug, Default)]
struct OpenSegment(Option<(u32, String, File)>);

impl Reader {
    pub(crate) fn new(directory: &Path, view: Arc<RwLock<View>>) -> Self {
        Self {
            directory: directory.to_owned(),
            view,
        }
    }

    /// A page of matching entries, newest first.
    pub(crate) fn search(&self, query: &RecordQuery) -> Result<RecordPage, Fault> {
        let limit = match query.limit {
            0 => PAGE_ENTRIES_MAX,
            limit => limit.min(PAGE_ENTRIES_MAX),
        };
        let terms = codec::wanted_terms(query);
        let (from, to) = (query.from.map(|time| time.0), query.to.map(|time| time.0));
        let mut before = query.before.unwrap_or(u64::MAX);
        let mut page = RecordPage::default();
        let mut open = OpenSegment::default();
        let mut read = 0;
        loop {
            let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
            let candidate = view.candidate(before, &terms, from, to);
            drop(view);
            let Some(block) = candidate else {
                return Ok(page);
            };
            let stored = self.block(&block, before, &mut open, codec::read)?;
            for stored in stored.into_iter().rev() {
                if !codec::matches(query, &stored) {
                    continue;
                }
                let index = stored.index;
                page.entries.push(stored);
                if page.entries.len() == limit {
                    page.next_before = (index > 0).then_some(index);
                    return Ok(page);
                }
            }
            before = block.first;
            read += block.places.len();
            if read >= SEARCH_ENTRIES_MAX {
                page.next_before = (before > 0).then_some(before);
                return Ok(page);
            }
        }
    }

    /// One entry.
    pub(crate) fn get(&self, index: u64) -> Result<StoredEntry, Fault> {
        self.one(index, codec::read)
    }

    /// The canonical bytes of one entry: what its leaf is the hash of.
    pub(crate) fn canonical(&self, index: u64) -> Result<Vec<u8>, Fault> {
        self.one(index, |frame| Ok(frame.entry.to_vec()))
    }

    fn one<T>(&self, index: u64, read: ReadFrame<T>) -> Result<T, Fault> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let size = view.tree.size();
        let block = view.block_of(index).filter(|_| index < size);
        drop(view);
        let missing =
            || Fault::not_found(format!("the log has {size} entries; there is no {index}"));
        let mut block = block.ok_or_else(missing)?;
        let skip = usize::try_from(index - block.first).unwrap_or(usize::MAX);
        block.places = block.places.into_iter().skip(skip).take(1).collect();
        block.leaves = block.leaves.into_iter().skip(skip).take(1).collect();
        block.first = index;
        let entries = self.block(&block, u64::MAX, &mut OpenSegment::default(), read)?;
        entries.into_iter().next().ok_or_else(missing)
    }

    /// The entries of a block below `before`, in order.
    fn block<T>(
        &self,
        block: &BlockCopy,
        before: u64,
        open: &mut OpenSegment,
        read: ReadFrame<T>,
    ) -> Result<Vec<T>, Fault> {
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
                .map_err(|error| self.unreadable(name, &error))?;
            for (index, (place, leaf)) in run {
                let frame = bytes
                    .get((place.offset - start) as usize..)
                    .unwrap_or_default();
                let stored = entry(frame, *index, leaf, read).map_err(|why| {
                    let path = self.directory.join(name);
                    let (path, offset) = (path.display(), place.offset);
                    let message = format!("{path}, offset {offset}, entry {index}: {why}");
                    Fault::new(FaultKind::Damaged, message)
                        .with_hint("run `dataos-ctl audit verify --log` on the folder")
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
    ) -> Result<(&'o str, &'o File), Fault> {
        if open
            .0
            .as_ref()
            .is_none_or(|(number, _, _)| *number != segment)
        {
            let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
            let name = view.segment(segment).unwrap_or_default().to_owned();
            drop(view);
            let file = File::open(self.directory.join(&name))
                .map_err(|error| self.unreadable(&name, &error))?;
            open.0 = Some((segment, name, file));
        }
        match &open.0 {
            Some((_, name, file)) => Ok((name, file)),
            None => Err(Fault::internal("no segment is open")),
        }
    }

    fn unreadable(&self, name: &str, error: &io::Error) -> Fault {
        let path = self.directory.join(name);
        Fault::new(
            FaultKind::Damaged,
            format!("cannot read {}: {error}", path.display()),
        )
    }
}

/// What is wanted of an entry.
type ReadFrame<T> = fn(&EntryFrame<'_>) -> Result<T, String>;

/// The entry in a frame, if it is the one that the tree holds.
fn entry<T>(bytes: &[u8], index: u64, leaf: &Digest, read: ReadFrame<T>) -> Result<T, String> {
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
