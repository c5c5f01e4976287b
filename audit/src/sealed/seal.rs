//! The sealer: one thread that turns the oldest entries of the write-ahead log into packs, and
//! deletes segments whose entries are all in packs.
//!
//! Order: the Parquet file is written and synced, gets its name, and is read back from disk; every
//! leaf is made again from it and compared with the tree; the index file is written likewise; readers
//! see the pack; segments go. A crash between two steps leaves something that the next start either
//! takes up or removes. An error leaves the write-ahead log as it is, and is tried again later.
//!
//! Memory: one row group of 16,384 entries while it writes, and what [`build`] says while it reads
//! back.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::array::RecordBatch;

use super::{
    BLOCK_ROWS, NEW_SUFFIX, TILE_ROWS,
    build::{BadPack, build},
    columns::{FACT_PREFIX, RowBuilder, can_be_column},
    file::SealedFile,
    file_name,
    index::Index,
    index_name,
    pack::{Pack, write_index},
    writer::SealedWriter,
};
use crate::{
    directory::sync_directory, disk::Disk, gate::Gate, row::Row, search::Reader, view::View,
};

/// How often the sealer looks whether there is something to do.
const PERIOD: Duration = Duration::from_millis(200);

/// First and longest pause after a failure; it doubles.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LONGEST: Duration = Duration::from_secs(300);

/// Columns that facts can have of their own in one file.
const FACT_COLUMNS_MAX: usize = 24;

/// Blocks of 256 entries that are looked at to choose the columns.
const SAMPLE_BLOCKS: u64 = 64;

/// After so much work the sealer rests, so that appends have the processor:
const STINT: Duration = Duration::from_millis(5);

/// for so many times as long while nothing of the next pack is there, for less the more of it is, and not at all once
/// it is whole, since memory and disk grow with what is not sealed. So on a busy log it is done shortly before the
/// next pack is due, and takes as little of the processor at a time as that allows.
const RESTS: f64 = 8.0;

/// The sealer. All fields are owned by its thread; `gate` and the view of `reader` are shared.
#[derive(Debug)]
pub(crate) struct Sealer {
    pub(crate) gate: Arc<Gate>,
    pub(crate) reader: Reader,
    pub(crate) directory: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) seal_entries: u64,
    /// When the present stint of work began.
    pub(crate) stint: Cell<Option<Instant>>,
}

/// Why no pack was made.
#[derive(Debug, thiserror::Error)]
enum SealError {
    #[error("the log is being closed")]
    Closed,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Unreadable(String),
    #[error("the new file does not read back, entry {}: {}", .0.index, .0.why)]
    Bad(BadPack),
    #[error("the new file does not have the hashes of the tree, entry {0}")]
    Differs(u64),
}

/// Which columns a file gets.
#[derive(Debug, Default)]
struct Shape {
    /// Facts with a column of their own, in order.
    facts: Vec<String>,
    /// Columns whose texts repeat.
    repetitive: Vec<String>,
}

impl Sealer {
    /// The thread: seals what is due and deletes what is sealed, until closed.
    pub(crate) fn run(self) {
        let mut pause = PAUSE_FIRST;
        loop {
            let done = self.seal_due().and_then(|sealed| {
                self.remove_segments()?;
                Ok(sealed)
            });
            let wait = match done {
                Ok(true) => Duration::ZERO,
                Ok(false) => PERIOD,
                Err(SealError::Closed) => return,
                Err(error) => {
                    let seconds = pause.as_secs();
                    tracing::error!(%error, seconds, "entries cannot be sealed; tried again later");
                    let wait = pause;
                    pause = (pause * 2).min(PAUSE_LONGEST);
                    if self.gate.wait(wait) {
                        return;
                    }
                    continue;
                }
            };
            pause = PAUSE_FIRST;
            if self.gate.wait(wait) {
                return;
            }
        }
    }

    /// Seals the next pack if all of its entries are there.
    fn seal_due(&self) -> Result<bool, SealError> {
        let (first, size) = self
            .reader
            .with_view(|view| (view.sealed(), view.tree.size()));
        // After a change of the configuration the packs before may be smaller.
        let count = match first {
            0 => self.seal_entries,
            first => self.seal_entries.min(1 << first.trailing_zeros().min(62)),
        };
        if size - first < count {
            return Ok(false);
        }
        let started = Instant::now();
        self.stint.set(Some(started));
        let sealed = self.seal(first, count);
        if sealed.is_err() {
            // Nobody looks at an unfinished file, and the next attempt writes it anew.
            for name in [file_name(first), index_name(first)] {
                let _ = fs::remove_file(self.directory.join(format!("{name}{NEW_SUFFIX}")));
            }
        }
        let pack = sealed?;
        let (bytes, milliseconds) = (pack.bytes(), started.elapsed().as_millis());
        drop(self.reader.with_view_mut(|view| view.adopt(Arc::new(pack))));
        tracing::info!(
            first,
            count,
            bytes,
            milliseconds,
            "entries of the audit log are sealed"
        );
        Ok(true)
    }

    fn seal(&self, first: u64, count: u64) -> Result<Pack, SealError> {
        let (name, new) = (
            file_name(first),
            format!("{}{NEW_SUFFIX}", file_name(first)),
        );
        self.write(first, count, &self.directory.join(&new))?;
        self.disk.rename(&self.directory, &new, &name)?;
        self.index(first, count).inspect_err(|error| {
            // What does not read back is worth nothing; the entries are still in the segments.
            if !matches!(error, SealError::Closed) {
                let _ = fs::remove_file(self.directory.join(&name));
            }
        })
    }

    /// Writes entries to a new Parquet file.
    fn write(&self, first: u64, count: u64, path: &Path) -> Result<(), SealError> {
        let shape = self.shape(first, count)?;
        let mut rows = RowBuilder::new(&shape.facts);
        let mut writer: Option<SealedWriter<'_>> = None;
        for start in (first..first + count).step_by(TILE_ROWS as usize) {
            self.entries(start, &mut |row| {
                rows.push(row).map_err(|error| error.to_string())
            })?;
            if !(start + u64::from(TILE_ROWS)).is_multiple_of(u64::from(BLOCK_ROWS)) {
                continue;
            }
            let batch: RecordBatch = rows.finish().map_err(io::Error::other)?;
            match &mut writer {
                Some(writer) => writer.write(&batch)?,
                None => {
                    let disk = &*self.disk;
                    let created = SealedWriter::create(path, disk, &batch, &shape.repetitive)?;
                    writer.insert(created).write(&batch)?;
                }
            }
        }
        match writer {
            Some(writer) => Ok(writer.finish()?),
            None => Err(SealError::Unreadable("there are no entries".to_owned())),
        }
    }

    /// Reads the file back, compares it with the tree, and writes its index.
    fn index(&self, first: u64, count: u64) -> Result<Pack, SealError> {
        let path = self.directory.join(file_name(first));
        let open = || SealedFile::open(&path, first).map_err(SealError::Unreadable);
        // From the disk, not from what the system remembers of the writing.
        open()?.drop_cached();
        let file = open()?;
        if u64::from(file.count()) != count {
            return Err(SealError::Unreadable(
                "the new file lacks entries".to_owned(),
            ));
        }
        let note = self.reader.with_view(|view| view.newest.note.clone());
        let built = build(&file, &note, &|| self.is_to_stop()).map_err(SealError::Bad)?;
        let built = built.ok_or(SealError::Closed)?;
        let differs = |view: &View| view.differs_at(first, &built.hashes);
        if let Some(entry) = self.reader.with_view(differs) {
            return Err(SealError::Differs(entry));
        }
        write_index(&self.directory, first, &built.bytes, &*self.disk)?;
        let opened = Index::open(&self.directory.join(index_name(first)), first);
        let (index, _) = opened.map_err(|error| SealError::Unreadable(error.to_string()))?;
        Ok(Pack { index })
    }

    /// Deletes segments whose entries are all in packs, the oldest first.
    fn remove_segments(&self) -> Result<(), SealError> {
        let mut is_changed = false;
        while let Some(name) = self.reader.with_view(|view| view.removable()) {
            match fs::remove_file(self.directory.join(&name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
            self.reader.with_view_mut(|view| view.remove_segment());
            is_changed = true;
        }
        if is_changed {
            sync_directory(&self.directory)?;
        }
        Ok(())
    }

    /// Asked before each piece of work: whether the log is being closed. Rests if it is time.
    fn is_to_stop(&self) -> bool {
        let worked = self.stint.get().map(|since| since.elapsed());
        if worked.is_some_and(|worked| worked < STINT) {
            return self.gate.is_closed();
        }
        let waiting = self
            .reader
            .with_view(|view| view.tree.size() - view.sealed());
        let rest = worked.map(|worked| worked.mul_f64(rests(waiting, self.seal_entries)));
        let is_closed = self.gate.wait(rest.unwrap_or_default());
        self.stint.set(Some(Instant::now()));
        is_closed
    }

    fn entries(
        &self,
        start: u64,
        take: &mut dyn FnMut(&Row<'_>) -> Result<(), String>,
    ) -> Result<(), SealError> {
        if self.is_to_stop() {
            return Err(SealError::Closed);
        }
        match self.reader.unsealed_block(start, take) {
            Ok(count) if count == TILE_ROWS as usize => Ok(()),
            Ok(_) => Err(SealError::Unreadable(format!(
                "entries from {start} on are not there"
            ))),
            Err(fault) => Err(SealError::Unreadable(fault.message)),
        }
    }

    /// Chooses the columns by a sample, evenly spread.
    fn shape(&self, first: u64, count: u64) -> Result<Shape, SealError> {
        let tiles = count / u64::from(TILE_ROWS);
        let step = tiles.div_ceil(SAMPLE_BLOCKS).max(1) * u64::from(TILE_ROWS);
        let mut sample = Sample::default();
        for start in (first..first + count).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
            self.entries(start, &mut |row| {
                sample.add(row);
                Ok(())
            })?;
        }
        Ok(sample.shape())
    }
}

/// How many times as long as it works the sealer rests while so many entries wait, the pack that it seals among them.
fn rests(waiting: u64, pack: u64) -> f64 {
    let of_next = waiting.saturating_sub(pack) as f64 / pack as f64;
    RESTS * (1.0 - of_next).max(0.0)
}

/// What a sample of entries shows.
#[derive(Debug, Default)]
struct Sample {
    entries: usize,
    facts: BTreeMap<String, Variety>,
    others: BTreeMap<&'static str, Variety>,
}

/// How often a column has a value, and how many different ones.
#[derive(Debug, Default)]
struct Variety {
    count: usize,
    values: HashSet<Vec<u8>>,
}

impl Variety {
    fn add(&mut self, value: &[u8]) {
        self.count += 1;
        if !self.values.contains(value) {
            self.values.insert(value.to_vec());
        }
    }

    /// With a dictionary each value is stored once in a row group; that pays if most come again.
    fn is_repetitive(&self) -> bool {
        self.values.len() * 4 <= self.count
    }
}

impl Sample {
    fn add(&mut self, row: &Row<'_>) {
        self.entries += 1;
        let details = &row.details;
        let columns: [(&str, &[u8]); 8] = [
            ("kind", row.kind.name().as_bytes()),
            ("request_id", row.request_id.as_bytes()),
            ("action", row.action.as_bytes()),
            ("principal", details.principal.as_bytes()),
            ("resource", details.resource.as_bytes()),
            ("reason", details.reason.as_bytes()),
            ("policy_set", row.policy_set),
            ("entities", details.entities),
        ];
        for (name, value) in columns {
            self.others.entry(name).or_default().add(value);
        }
        for (name, value) in &details.facts {
            if !can_be_column(name) {
                continue;
            }
            match self.facts.get_mut(*name) {
                Some(variety) => variety.add(value.as_bytes()),
                None => {
                    let variety = self.facts.entry((*name).to_owned()).or_default();
                    variety.add(value.as_bytes());
                }
            }
        }
    }

    fn shape(&self) -> Shape {
        // A column that most entries lack costs more than it saves.
        let frequent = |(_, variety): &(&String, &Variety)| variety.count * 100 >= self.entries;
        let mut facts: Vec<_> = self.facts.iter().filter(frequent).collect();
        facts.sort_by_key(|(_, variety)| std::cmp::Reverse(variety.count));
        facts.truncate(FACT_COLUMNS_MAX);
        let repetitive = |(_, variety): &(&String, &Variety)| variety.is_repetitive();
        let fact_columns = facts.iter().copied().filter(repetitive);
        let others = self
            .others
            .iter()
            .filter(|(_, variety)| variety.is_repetitive());
        let mut repetitive: Vec<String> = others.map(|(name, _)| (*name).to_owned()).collect();
        repetitive.push("effect".to_owned());
        repetitive.extend(fact_columns.map(|(name, _)| format!("{FACT_PREFIX}{name}")));
        let mut facts: Vec<String> = facts.into_iter().map(|(name, _)| name.clone()).collect();
        facts.sort_unstable();
        Shape { facts, repetitive }
    }
}

#[cfg(test)]
mod tests;
