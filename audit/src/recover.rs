//! Opening: takes up the packs by their indexes, reads every segment behind them, proves the log up to
//! its newest checkpoint, and puts aside what a crash left half written. Anything a crash does not
//! explain stops the start and is left untouched.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use dataos_model::fault::{Fault, FaultKind};
use dataos_model::record::EntryKind;
use dataos_proof::{
    checkpoint::Checkpoint,
    entry::Kind,
    log::{Damage, LogSummary, SEGMENT_BYTES_MAX, Scanner, Signatures, WholeBatch},
    tree::{Frontier, empty_root},
};

use crate::{
    codec,
    directory::{Directory, sync_directory},
    disk::Disk,
    key::LogKey,
    row::Row,
    segment::{ActiveSegment, create_first},
    spare::SPARE_NAME,
    view::{Newest, View},
};

mod packs;

use packs::Base;

/// What was found when the log was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Number of entries.
    pub entries: u64,
    /// Number of segments.
    pub segments: u64,
    /// Number of packs: runs of entries in sealed files.
    pub packs: u64,
    /// Whether the log is new, or ends in the shutdown entry that a clean end leaves.
    pub was_closed: bool,
    /// What was half written and is put aside; no entry in it was ever acknowledged.
    pub torn: Option<TornTail>,
}

/// Bytes behind the last whole batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment that held them.
    pub file: String,
    /// Where they began.
    pub offset: u64,
    /// How many they were.
    pub bytes: u64,
    /// The file that holds them now.
    pub kept_as: String,
}

/// A log that is ready to be written.
pub(crate) struct Recovered {
    pub(crate) report: RecoveryReport,
    pub(crate) view: View,
    pub(crate) frontier: Frontier,
    pub(crate) active: ActiveSegment,
    pub(crate) last_time_ms: i64,
    /// Size in the checkpoint file.
    pub(crate) checkpoint_size: u64,
}

/// What the segments hold.
struct Scanned {
    view: View,
    frontier: Frontier,
    summary: LogSummary,
    /// The last segment: name, bytes, and the offset behind its last whole batch.
    last: Option<(String, Vec<u8>, u64)>,
}

/// Reads and proves the log in `directory`.
pub(crate) fn recover(
    directory: &Directory,
    key: &LogKey,
    disk: &dyn Disk,
) -> Result<Recovered, Fault> {
    let path = directory.path();
    // A spare that was not finished, or not used: its zeros cannot be trusted to be complete.
    remove_if_present(&path.join(SPARE_NAME))?;
    let known = known_checkpoint(directory, key)?;
    let checkpoint_size = known.as_ref().map_or(0, |known| known.size);
    let base = packs::load(directory, key, known.as_ref(), disk)?;
    // Nothing of the log is changed before everything is proven.
    let Scanned {
        mut view,
        frontier,
        summary,
        last,
    } = scan(directory, key, known, base)?;
    let torn = match (&summary.torn, &last) {
        (Some(_), Some((name, bytes, end))) => put_aside(path, disk, name, bytes, *end)?,
        _ => None,
    };
    let active = match last {
        Some((name, bytes, end)) => {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(path.join(&name));
            let file = file.map_err(|error| unusable(path, &name, &error))?;
            ActiveSegment {
                name,
                file,
                end,
                capacity: bytes.len() as u64,
            }
        }
        None => {
            let active = create_first(path, disk);
            let active = active.map_err(|error| unusable(path, "the first segment", &error))?;
            view.add_segment(&active.name);
            view.add_bytes(active.end);
            active
        }
    };
    let shutdown = Kind(codec::kind_code(EntryKind::Shutdown));
    let report = RecoveryReport {
        entries: summary.size,
        segments: summary.segments,
        packs: view.packs().len() as u64,
        was_closed: summary.last_kind.is_none_or(|kind| kind == shutdown) && torn.is_none(),
        torn,
    };
    let last_time_ms = summary.last_time_ms.unwrap_or(i64::MIN);
    Ok(Recovered {
        report,
        view,
        frontier,
        active,
        last_time_ms,
        checkpoint_size,
    })
}

fn scan(
    directory: &Directory,
    key: &LogKey,
    known: Option<Checkpoint>,
    base: Base,
) -> Result<Scanned, Fault> {
    let path = directory.path();
    let (start, sealed) = (base.frontier.size(), base.standing());
    let mut view = View::new(empty_checkpoint(key)?, &base.roots, &base.leaves);
    let known = known
        .into_iter()
        .filter(|known| known.size > start)
        .collect();
    let scanner = Scanner::new(key.verifier(), Signatures::Newest, known);
    let mut scanner = scanner.after(base.frontier, base.last_time_ms);
    let mut last = None;
    for name in directory.segments()? {
        let bytes = read_segment(path, &name)?;
        view.add_segment(&name);
        let mut unreadable = None;
        let visit = &mut |batch: &WholeBatch<'_>| {
            if let Err(error) = show(&mut view, batch, sealed) {
                unreadable.get_or_insert(error);
            }
        };
        let scanned = scanner.segment(&name, &bytes, visit);
        let end = scanned.map_err(|damage| refuse(path, &damage))?;
        if let Some(error) = unreadable {
            return Err(error);
        }
        view.add_bytes(end);
        last = Some((name, bytes, end));
    }
    if start > 0 && view.newest.checkpoint.size == 0 {
        let message = format!(
            "the audit log in {} has sealed entries, but no segment with entries behind them",
            path.display()
        );
        return Err(damaged(message));
    }
    packs::adopt(path, &mut view, base.packs)?;
    let frontier = scanner.frontier().clone();
    let summary = scanner.finish().map_err(|damage| refuse(path, &damage))?;
    Ok(Scanned {
        view,
        frontier,
        summary,
        last,
    })
}

/// Adds a batch that was proven to what readers see.
fn show(view: &mut View, batch: &WholeBatch<'_>, sealed: u64) -> Result<(), Fault> {
    for placed in batch.entries {
        // What is sealed needs no places or terms: it is looked for in the packs.
        let index = placed.frame.index;
        if index < sealed {
            view.push(placed.leaf, i64::MIN, (0, 0), &[]);
            continue;
        }
        let row = Row::of_frame(&placed.frame).map_err(|why| {
            let message = format!("{}, entry {}: {why}", batch.file, index);
            let hint = "start it with the version that wrote it, or a later one";
            Fault::new(FaultKind::Unsupported, message).with_hint(hint)
        })?;
        let terms = codec::terms(&row);
        view.push(
            placed.leaf,
            row.time_ms,
            (placed.offset, placed.length),
            &terms,
        );
    }
    let (note, time_ms) = (batch.end.note.to_owned(), batch.end.time_ms);
    if let Ok(checkpoint) = Checkpoint::parse_note(&note) {
        view.newest = Newest {
            checkpoint,
            note,
            time_ms,
        };
    }
    Ok(())
}

/// The checkpoint of a log without entries.
fn empty_checkpoint(key: &LogKey) -> Result<Newest, Fault> {
    let origin = key.verifier().name().to_owned();
    let checkpoint = Checkpoint {
        origin,
        size: 0,
        root: empty_root(),
    };
    let (note, _) = key.sign(&checkpoint)?;
    Ok(Newest {
        checkpoint,
        note,
        time_ms: 0,
    })
}

fn known_checkpoint(directory: &Directory, key: &LogKey) -> Result<Option<Checkpoint>, Fault> {
    let Some(note) = directory.checkpoint()? else {
        return Ok(None);
    };
    let checkpoint = Checkpoint::open(&note, key.verifier()).map_err(|error| {
        let path = directory.path().join("checkpoint");
        let message = format!("{}: {error}", path.display());
        Fault::new(FaultKind::Damaged, message)
            .with_hint("the log belongs to another key or name, or the file was changed")
    })?;
    Ok(Some(checkpoint))
}

fn read_segment(directory: &Path, name: &str) -> Result<Vec<u8>, Fault> {
    let read = || -> io::Result<Vec<u8>> {
        let file = File::open(directory.join(name))?;
        let length = file.metadata()?.len();
        if length > SEGMENT_BYTES_MAX {
            return Err(io::Error::other("it is larger than any segment"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
        file.take(SEGMENT_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| unusable(directory, name, &error))
}

/// Copies what lies behind the last whole batch into a file of its own and zeroes it, so that no
/// later scan can take it for entries.
fn put_aside(
    directory: &Path,
    disk: &dyn Disk,
    name: &str,
    bytes: &[u8],
    end: u64,
) -> Result<Option<TornTail>, Fault> {
    let start = usize::try_from(end).unwrap_or(usize::MAX);
    let tail = bytes.get(start..).unwrap_or_default();
    let used = tail
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let torn = tail.get(..used).unwrap_or_default();
    if torn.is_empty() {
        return Ok(None);
    }
    let number = name.trim_start_matches("segment-").trim_end_matches(".wal");
    let kept_as = format!("torn-{number}-{end}");
    let write = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut kept = options.open(directory.join(&kept_as))?;
        kept.write_all(torn)?;
        kept.sync_all()?;
        sync_directory(directory)?;
        let segment = OpenOptions::new().write(true).open(directory.join(name))?;
        disk.write(&segment, &vec![0; used], end)?;
        disk.sync(&segment)
    };
    write().map_err(|error| unusable(directory, name, &error))?;
    Ok(Some(TornTail {
        file: name.to_owned(),
        offset: end,
        bytes: used as u64,
        kept_as,
    }))
}

fn remove_if_present(path: &Path) -> Result<(), Fault> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Fault::unavailable(format!(
            "cannot remove {}: {error}",
            path.display()
        ))),
        _ => Ok(()),
    }
}

fn refuse(directory: &Path, damage: &Damage) -> Fault {
    damaged(format!(
        "the audit log in {} is damaged: {damage}",
        directory.display()
    ))
}

fn damaged(message: String) -> Fault {
    Fault::new(FaultKind::Damaged, message)
        .with_hint("nothing was changed; keep the folder as evidence and restore it from a backup")
}

fn unusable(directory: &Path, name: &str, error: &io::Error) -> Fault {
    Fault::unavailable(format!(
        "cannot use {name} in {}: {error}",
        directory.display()
    ))
}
