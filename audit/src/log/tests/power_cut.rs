//! Power cuts: every call that changes a segment is recorded, and then what a disk may hold after a
//! cut between any two of them, or within one, is put together and recovered from.
//!
//! What a sync did not cover reaches the disk in any order, in sectors of 512 bytes, or not at all;
//! a new name is kept once its folder was synced. `DATAOS_FAULTS=50` cuts fifty times as often.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
};

use dataos_proof::{
    Digest, frame::segment_first, log::verify_segments_against, receipt, tree::leaf_hash,
};

use super::{spread::Spread, *};

/// The smallest part of a file that is written whole or not at all.
const SECTOR_BYTES: u64 = 512;

/// Zeros behind what was written, in the files that are recovered from: fewer than there are, so
/// that thousands of files are made in seconds.
const ZEROS_BYTES: usize = 1024;

/// Writes as large as this are the zeros of a new segment.
const NEW_ZEROS_BYTES: usize = 1 << 20;

/// Cuts in the tests.
const CUTS: usize = 2000;

/// A file, by its inode.
type FileId = u64;

/// What happened, in order.
#[derive(Clone, Debug)]
enum Event {
    /// A write begins.
    Write(FileId, u64, Vec<u8>),
    /// A sync is over.
    Synced(FileId),
    /// A file is being given this name.
    Named(FileId, String),
    /// The name is kept.
    NameKept(FileId),
    /// A caller was told that its entry is durable.
    Acknowledged(Acknowledged),
}

#[derive(Clone, Debug)]
struct Acknowledged {
    index: u64,
    leaf: Digest,
    /// Number of entries after its batch.
    size: u64,
    /// The newest checkpoint at that time.
    note: String,
}

/// A disk that writes down what is asked of it.
#[derive(Debug)]
struct RecordingDisk {
    events: Mutex<Vec<Event>>,
    /// Without syncs nothing is ever kept for sure: to see that the test would find it.
    has_syncs: bool,
}

impl RecordingDisk {
    fn new(has_syncs: bool) -> Arc<Self> {
        let events = Mutex::default();
        Arc::new(Self { events, has_syncs })
    }

    fn record(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }
}

impl Disk for RecordingDisk {
    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        SystemDisk.allocate(file, bytes)
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let id = file.metadata()?.ino();
        // The zeros of a new segment lie over zeros: they change nothing, by the megabyte.
        if bytes.len() < NEW_ZEROS_BYTES {
            self.record(Event::Write(id, offset, bytes.to_vec()));
        }
        SystemDisk.write(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        if self.has_syncs {
            self.record(Event::Synced(file.metadata()?.ino()));
        }
        Ok(())
    }

    fn rename(&self, directory: &Path, from: &str, to: &str) -> io::Result<()> {
        let id = fs::metadata(directory.join(from))?.ino();
        self.record(Event::Named(id, to.to_owned()));
        fs::rename(directory.join(from), directory.join(to))?;
        if self.has_syncs {
            self.record(Event::NameKept(id));
        }
        Ok(())
    }
}

/// A file as the disk may have it.
#[derive(Clone, Debug, Default)]
struct Kept {
    /// What is there for sure, without the zeros at the end.
    bytes: Vec<u8>,
    /// Writes that no sync covers yet.
    loose: Vec<(u64, Vec<u8>)>,
    name: Option<String>,
    loose_name: Option<String>,
}

impl Kept {
    /// Every write is kept.
    fn settle(&mut self) {
        for (offset, bytes) in std::mem::take(&mut self.loose) {
            put(&mut self.bytes, offset, &bytes);
        }
    }

    /// Of each sector some of the loose writes are kept: all up to one of them.
    fn cut(&self, spread: &mut Spread) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        // Sometimes all or nothing, sometimes all up to a byte of the last write: a torn one.
        let style = spread.below(4);
        let mut kept: BTreeMap<u64, usize> = BTreeMap::new();
        for (number, (offset, written)) in self.loose.iter().enumerate() {
            let is_last = number + 1 == self.loose.len();
            if style == 0 && is_last {
                let torn = spread.below(written.len() + 1);
                put(&mut bytes, *offset, &written[..torn]);
                continue;
            }
            for (at, part) in sectors(*offset, written) {
                let sector = at / SECTOR_BYTES;
                let all = self.loose.len();
                let first = *kept.entry(sector).or_insert_with(|| match style {
                    0 | 1 => all,
                    2 => spread.below(all + 1),
                    _ => all * spread.below(2),
                });
                if number < first {
                    put(&mut bytes, at, part);
                }
            }
        }
        bytes
    }
}

/// Writes to a file whose zeros at the end are not stored.
fn put(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = usize::try_from(offset).unwrap();
    if start >= file.len() && bytes.iter().all(|byte| *byte == 0) {
        return;
    }
    if start > file.len() {
        file.extend(vec![0; start - file.len()]);
    }
    let (over, behind) = bytes.split_at(bytes.len().min(file.len() - start));
    file[start..start + over.len()].copy_from_slice(over);
    file.extend_from_slice(behind);
}

/// The parts of a write that lie in one sector each, with their offsets.
fn sectors(offset: u64, bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let (mut parts, mut at, mut rest) = (Vec::new(), offset, bytes);
    while !rest.is_empty() {
        let length = usize::try_from(SECTOR_BYTES - at % SECTOR_BYTES).unwrap();
        let (part, behind) = rest.split_at(length.min(rest.len()));
        parts.push((at, part));
        at += part.len() as u64;
        rest = behind;
    }
    parts
}

/// What was recorded while a log ran, and what was there before.
struct Recording {
    before: BTreeMap<FileId, Kept>,
    events: Vec<Event>,
    /// The leaf of each entry.
    leaves: BTreeMap<u64, Digest>,
    /// Numbers of entries at which batches end.
    ends: BTreeSet<u64>,
}

/// Where the files are made: in memory if the system has such a folder, since nothing is synced.
fn memory_folder() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    };
    tempfile::tempdir_in(folder).unwrap()
}

fn config(folder: &Path) -> AuditConfig {
    AuditConfig {
        segment_bytes: 4 << 20,
        ..AuditConfig::new(folder, "logs.example/test")
    }
}

fn key() -> LogKey {
    LogKey::from_seed("logs.example/test", &[7; 32]).unwrap()
}

/// Runs a log that goes on from a small segment to the next, and records it.
async fn record(has_syncs: bool, spread: &mut Spread) -> Recording {
    let folder = memory_folder();
    let seed = Secret::new([7; 32]);
    let clock: Arc<dyn Clock> = Arc::new(FixedClock);
    let quiet = RecordingDisk::new(true);
    let open =
        |disk| AuditLog::open_on(&config(folder.path()), &seed, Arc::clone(&clock), disk).unwrap();
    open(quiet).close().unwrap();
    let path = folder.path().join("segment-00000000000000000000.wal");
    let mut bytes = fs::read(&path).unwrap();
    // The zeros that are left last for a third of the run.
    bytes.truncate(20_000);
    fs::write(&path, &bytes).unwrap();
    let first = Kept {
        name: Some("segment-00000000000000000000.wal".to_owned()),
        bytes,
        ..Kept::default()
    };
    let before = BTreeMap::from([(fs::metadata(&path).unwrap().ino(), first)]);
    let disk = RecordingDisk::new(has_syncs);
    let log = open(Arc::clone(&disk) as _);
    for round in 0..30 {
        let waiting: Vec<_> = (0..=spread.below(5))
            .map(|number| {
                let padding = "x".repeat(spread.below(2000));
                log.append(entry(round * 10 + number).with_fact("padding", padding))
            })
            .collect();
        for answer in waiting {
            let receipt = answer.await.unwrap();
            let receipt = receipt::decode(&receipt.text).unwrap();
            disk.record(Event::Acknowledged(Acknowledged {
                index: receipt.index,
                leaf: leaf_hash(&receipt.entry),
                size: receipt.tree_size,
                note: log.checkpoint().await.unwrap(),
            }));
        }
    }
    drop(log);
    let events = std::mem::take(&mut *disk.events.lock().unwrap());
    finish(before, events)
}

fn finish(before: BTreeMap<FileId, Kept>, events: Vec<Event>) -> Recording {
    let (mut leaves, mut ends) = (BTreeMap::new(), BTreeSet::from([1]));
    for acknowledged in acknowledged(&events) {
        leaves.insert(acknowledged.index, acknowledged.leaf);
        ends.insert(acknowledged.size);
    }
    Recording {
        before,
        events,
        leaves,
        ends,
    }
}

fn acknowledged(events: &[Event]) -> impl DoubleEndedIterator<Item = &Acknowledged> {
    events.iter().filter_map(|event| match event {
        Event::Acknowledged(acknowledged) => Some(acknowledged),
        _ => None,
    })
}

/// The files after the first `count` events.
fn files_after(recording: &Recording, count: usize) -> BTreeMap<FileId, Kept> {
    let mut files = recording.before.clone();
    for event in &recording.events[..count] {
        match event.clone() {
            Event::Write(id, offset, bytes) => {
                files.entry(id).or_default().loose.push((offset, bytes));
            }
            Event::Synced(id) => files.entry(id).or_default().settle(),
            Event::Named(id, name) => files.entry(id).or_default().loose_name = Some(name),
            Event::NameKept(id) => {
                let file = files.entry(id).or_default();
                file.name = file.loose_name.take();
            }
            Event::Acknowledged(..) => {}
        }
    }
    files
}

/// Puts into `folder` what a cut after `count` events may leave.
fn cut(recording: &Recording, count: usize, folder: &Path, spread: &mut Spread) {
    for file in fs::read_dir(folder).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let format = crate::directory::FORMAT;
    fs::write(folder.join("format"), format!("dataos-audit {format}\n")).unwrap();
    for file in files_after(recording, count).values() {
        let is_renamed = file.name.is_some() || (file.loose_name.is_some() && spread.is(50));
        let name = file.name.as_ref().or(file.loose_name.as_ref());
        let name = name
            .filter(|_| is_renamed)
            .map_or("spare.new", String::as_str);
        let mut bytes = file.cut(spread);
        bytes.extend_from_slice(&[0; ZEROS_BYTES]);
        fs::write(folder.join(name), bytes).unwrap();
    }
    // The checkpoint file is of another thread, at most as new as the last acknowledgement.
    let notes = acknowledged(&recording.events[..count]).rev();
    let newest: Vec<&String> = notes
        .take(20)
        .map(|acknowledged| &acknowledged.note)
        .collect();
    if !newest.is_empty() && spread.is(75) {
        fs::write(folder.join("checkpoint"), spread.one_of(&newest)).unwrap();
    }
}

/// Recovers the folder; why it is not what it must be, if it is not.
fn check(
    recording: &Recording,
    count: usize,
    folder: &Path,
    disk: &dyn Disk,
) -> Result<(), String> {
    let directory = Directory::open(folder).map_err(|fault| fault.to_string())?;
    let recovered =
        recover::recover(&directory, &key(), disk).map_err(|fault| fault.to_string())?;
    let size = recovered.report.entries;
    for Acknowledged { index, leaf, .. } in acknowledged(&recording.events[..count]) {
        if recovered.view.tree.leaf(*index) != Some(*leaf) {
            return Err(format!("entry {index} is lost; there are {size}"));
        }
    }
    for index in 1..size {
        if recovered.view.tree.leaf(index) != recording.leaves.get(&index).copied() {
            return Err(format!("entry {index} was never written so"));
        }
    }
    if !recording.ends.contains(&size) {
        return Err(format!("{size} entries: a batch is there by half"));
    }
    outsider(folder, size)
}

/// What an auditor with nothing but the public key finds.
fn outsider(folder: &Path, size: u64) -> Result<(), String> {
    let names = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| segment_first(name).is_some()).collect();
    names.sort();
    let segments = names.into_iter().map(|name| {
        let file = File::open(folder.join(&name)).unwrap();
        (name, file)
    });
    let summary = verify_segments_against(segments, key().verifier(), Vec::new());
    let summary = summary.map_err(|damage| damage.to_string())?;
    match (summary.size == size, summary.torn) {
        (true, None) => Ok(()),
        (_, torn) => Err(format!(
            "an auditor sees {} entries, {torn:?}",
            summary.size
        )),
    }
}

/// Cuts, recovers, and cuts the recovery as well.
fn cut_and_check(
    recording: &Recording,
    count: usize,
    folder: &Path,
    spread: &mut Spread,
) -> Result<bool, String> {
    cut(recording, count, folder, spread);
    let before = files_by_name(folder);
    let disk = RecordingDisk::new(true);
    check(recording, count, folder, &*disk)?;
    let events = std::mem::take(&mut *disk.events.lock().unwrap());
    let zeroing = events
        .iter()
        .find(|event| matches!(event, Event::Write(..)));
    let Some(Event::Write(_, offset, bytes)) = zeroing else {
        return Ok(false);
    };
    // Only the newest segment has a torn end.
    let newest = before
        .keys()
        .filter(|name| segment_first(name).is_some())
        .max()
        .unwrap();
    let half = Kept {
        bytes: before[newest].clone(),
        loose: vec![(*offset, bytes.clone())],
        ..Kept::default()
    };
    fs::write(folder.join(newest), half.cut(spread)).unwrap();
    check(recording, count, folder, &SystemDisk).map_err(|why| format!("second start: {why}"))?;
    Ok(true)
}

fn files_by_name(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    files
        .map(|file| {
            let bytes = fs::read(file.path()).unwrap();
            (file.file_name().into_string().unwrap(), bytes)
        })
        .collect()
}

/// How often a test is to cut.
fn times(count: usize) -> usize {
    let factor = std::env::var("DATAOS_FAULTS").ok();
    count
        * factor
            .and_then(|factor| factor.parse::<usize>().ok())
            .unwrap_or(1)
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_a_power_cut() {
    let mut spread = Spread::new(1);
    let folder = memory_folder();
    let (mut torn, mut early) = (0, 0);
    let mut left = times(CUTS);
    while left > 0 {
        let recording = record(true, &mut spread).await;
        assert!(
            recording
                .events
                .iter()
                .any(|event| matches!(event, Event::NameKept(_)))
        );
        for _ in 0..left.min(CUTS / 2) {
            let count = spread.below(recording.events.len() + 1);
            match cut_and_check(&recording, count, folder.path(), &mut spread) {
                Ok(is_torn) => torn += usize::from(is_torn),
                Err(why) => {
                    let kept = folder.keep();
                    panic!("cut after {count} events, see {}: {why}", kept.display());
                }
            }
            early += usize::from(count < recording.events.len() / 2);
        }
        left -= left.min(CUTS / 2);
    }
    assert!(torn > CUTS / 20, "only {torn} cuts tore a batch");
    assert!(
        early > CUTS / 4,
        "only {early} cuts before the next segment"
    );
}

/// The same without syncs: the losses are found, so the test above does prove something.
#[tokio::test]
async fn without_syncs_the_losses_are_found() {
    let mut spread = Spread::new(2);
    let folder = memory_folder();
    let recording = record(false, &mut spread).await;
    let mut found = 0;
    for _ in 0..CUTS / 10 {
        let count = spread.below(recording.events.len() + 1);
        let result = cut_and_check(&recording, count, folder.path(), &mut spread);
        found += usize::from(result.is_err());
    }
    assert!(
        found > CUTS / 40,
        "only {found} of {} cuts lose anything",
        CUTS / 10
    );
}
