//! Reading a whole folder once, in the order of entries: sealed files, then segments.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use dataos_model::{
    fault::{Fault, FaultKind},
    hash::Hash,
    record::{CONTENT_SUFFIX, Entry, EntryKind, StoredEntry},
};
use dataos_proof::{
    frame::{self, Frame, SEGMENT_HEADER_BYTES, segment_first},
    log::SEGMENT_BYTES_MAX,
};

use crate::{
    codec, contents,
    directory::names,
    sealed::{
        FILE_SUFFIX,
        build::{BadPack, read_all},
        file::SealedFile,
        file_name, first_of,
    },
};

/// Hands the entries of some kinds in the folder of a log that nobody writes to, or of a copy of one, to
/// `visit`, in order, and returns the number of all entries. What it reads is consistent in itself, but
/// not proven: [`verify_directory`](crate::verify_directory) does that.
///
/// # Errors
/// What cannot be read, and what `visit` says.
pub fn read_directory(
    directory: &Path,
    kinds: &[EntryKind],
    visit: &mut dyn FnMut(StoredEntry) -> Result<(), Fault>,
) -> Result<u64, Fault> {
    let list = names(directory).map_err(|error| unreadable(directory, ".", &error))?;
    let mut next = 0;
    for first in list.iter().filter_map(|name| first_of(name, FILE_SUFFIX)) {
        if first != next {
            return Err(damaged(&file_name(next), "it is missing"));
        }
        let name = file_name(first);
        let file = SealedFile::open(&directory.join(&name), first);
        let file = file.map_err(|why| damaged(&name, &why))?;
        let mut stopped = None;
        let read = read_all(&file, &|| false, &mut |_, row| {
            if kinds.contains(&row.kind) {
                visit(row.stored()).map_err(|fault| {
                    let message = fault.message.clone();
                    stopped = Some(fault);
                    message
                })?;
            }
            Ok(())
        });
        if let Some(fault) = stopped {
            return Err(fault);
        }
        read.map_err(|BadPack { index, why }| damaged(&name, &format!("entry {index}: {why}")))?;
        next = first + u64::from(file.count());
    }
    for name in list.iter().filter(|name| segment_first(name).is_some()) {
        next = read_segment(directory, name, next, kinds, visit)?;
    }
    Ok(next)
}

/// Reads the entries of whole batches from `next` on; returns the number behind the last.
fn read_segment(
    directory: &Path,
    name: &str,
    mut next: u64,
    kinds: &[EntryKind],
    visit: &mut dyn FnMut(StoredEntry) -> Result<(), Fault>,
) -> Result<u64, Fault> {
    let mut bytes = Vec::new();
    File::open(directory.join(name))
        .and_then(|file| file.take(SEGMENT_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(directory, name, &error))?;
    let mut offset = SEGMENT_HEADER_BYTES;
    let mut batch = Vec::new();
    // Anything but a frame is the end: the zeros ahead, or what a crash has left.
    while let Ok(Some((frame, length))) = frame::read(bytes.get(offset..).unwrap_or_default()) {
        offset += length;
        match frame {
            Frame::Entry(entry) => batch.push(entry),
            Frame::Batch(_) => {
                for entry in batch.drain(..) {
                    // The oldest segment can have entries that are sealed already.
                    if entry.index < next {
                        continue;
                    }
                    let missing = entry.index - next;
                    if missing > 0 {
                        return Err(damaged(name, &format!("{missing} entries are missing")));
                    }
                    next += 1;
                    let row = codec::read(&entry).map_err(|why| damaged(name, &why))?;
                    if kinds.contains(&row.kind) {
                        visit(row.stored())?;
                    }
                }
            }
        }
    }
    Ok(next)
}

/// Puts what is kept beside the log in its place in an entry.
///
/// # Errors
/// A content that is missing, damaged or no text.
pub fn fill_in(directory: &Path, entry: &mut Entry) -> Result<(), Fault> {
    for (name, digest) in entry.contents() {
        let digest: Hash = digest
            .parse()
            .map_err(|_| damaged(&name, "the fact is no digest"))?;
        let content = contents::read(directory, digest)?;
        let text = String::from_utf8(content.to_vec());
        let text = text.map_err(|_| damaged(&digest.to_string(), "the content is no text"))?;
        entry.facts.remove(&format!("{name}{CONTENT_SUFFIX}"));
        entry.facts.insert(name, text);
    }
    Ok(())
}

fn unreadable(directory: &Path, name: &str, error: &io::Error) -> Fault {
    Fault::unavailable(format!(
        "cannot read {}: {error}",
        directory.join(name).display()
    ))
}

fn damaged(file: &str, why: &str) -> Fault {
    Fault::new(FaultKind::Damaged, format!("{file}: {why}"))
        .with_hint("`dataos-ctl audit verify --log` says what is damaged")
}
