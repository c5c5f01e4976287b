//! Whatever changes in the files of a log that was closed is found, by the next start and by an
//! auditor, with file, offset and entry; and nothing is changed by looking.
//!
//! `DATAOS_FAULTS=10` flips ten thousand times.

use std::{collections::BTreeMap, fs, ops::RangeInclusive, path::Path};

use dataos_model::{fault::FaultKind, seams::Record};
use dataos_proof::{
    checkpoint::Checkpoint,
    frame::{self, Frame, SEGMENT_HEADER_BYTES},
    log::{Damage, DamageKind, LogSummary, verify_segments_against},
};

use crate::{
    child::times,
    scene::{entry, key, newest_segment, open, try_open, verify},
    spread::Spread,
};

const FLIPS: u64 = 1000;

/// Segments of the log that is tampered with.
const SEGMENTS: usize = 3;

/// The files of a folder, by name.
type Files = BTreeMap<String, Vec<u8>>;

/// A frame of a segment.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: usize,
    end: usize,
    /// The entry, or for the end of a batch the entry behind it.
    index: u64,
    is_batch_end: bool,
    /// Where its batch begins, and with which entry.
    batch: (usize, u64),
}

/// Where damage has to be found.
struct Place<'a> {
    file: &'a str,
    offsets: RangeInclusive<usize>,
    indexes: RangeInclusive<u64>,
}

/// Cuts the newest segment short, so that soon another one follows, and flips take no megabytes.
fn shorten(folder: &Path) {
    let (name, end) = newest_segment(folder);
    let mut bytes = fs::read(folder.join(&name)).unwrap();
    bytes.truncate(end + 300);
    fs::write(folder.join(name), bytes).unwrap();
}

/// A closed log of a few short segments, with batches of several entries.
async fn tampered_log(folder: &Path) -> Files {
    for part in 0..SEGMENTS as u64 {
        let log = open(folder);
        for round in 0..5 {
            let waiting: Vec<_> = (0..=round)
                .map(|number| log.append(entry(part * 100 + round * 10 + number)))
                .collect();
            for answer in waiting {
                answer.await.unwrap();
            }
        }
        log.close().unwrap();
        drop(log);
        shorten(folder);
    }
    let files = read(folder);
    assert_eq!(segments(&files).len(), SEGMENTS);
    files
}

fn read(folder: &Path) -> Files {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    let files = files.map(|file| {
        let bytes = fs::read(file.path()).unwrap();
        (file.file_name().into_string().unwrap(), bytes)
    });
    // Made again by each start, and never read.
    files.filter(|(name, _)| name != "spare.new").collect()
}

fn write(folder: &Path, files: &Files) {
    for file in fs::read_dir(folder).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

fn segments(files: &Files) -> Vec<&str> {
    let names = files.keys().map(String::as_str);
    names
        .filter(|name| frame::segment_first(name).is_some())
        .collect()
}

/// The frames of a segment, in order.
fn pieces(name: &str, bytes: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut start = SEGMENT_HEADER_BYTES;
    let mut batch = (start, frame::segment_first(name).unwrap());
    while let Some((read, length)) = frame::read(&bytes[start..]).unwrap() {
        let (index, is_batch_end) = match read {
            Frame::Entry(entry) => (entry.index, false),
            Frame::Batch(end) => (end.size, true),
        };
        let end = start + length;
        pieces.push(Piece {
            start,
            end,
            index,
            is_batch_end,
            batch,
        });
        start = end;
        if is_batch_end {
            batch = (start, index);
        }
    }
    pieces
}

/// The auditor names the place, the start names the same and refuses, and no file is changed.
fn check(folder: &Path, files: &Files, place: &Place<'_>, what: &str) {
    let damage = match verify(folder) {
        Err(damage) => damage,
        Ok(summary) => panic!("{what}: not found: {summary:?}"),
    };
    check_place(&damage, place, what);
    let fault = try_open(folder).expect_err(what);
    assert_eq!(fault.kind, FaultKind::Damaged, "{what}");
    let Damage {
        file,
        offset,
        index,
        ..
    } = &damage;
    let named = format!("{file}, offset {offset}, entry {index}:");
    assert!(fault.message.contains(&named), "{what}: {named} {fault}");
    assert!(read(folder) == *files, "{what}: the start changed files");
}

fn check_place(damage: &Damage, place: &Place<'_>, what: &str) {
    assert_eq!(damage.file, place.file, "{what}: {damage}");
    let offset = usize::try_from(damage.offset).unwrap();
    let (offsets, indexes) = (&place.offsets, &place.indexes);
    assert!(
        offsets.contains(&offset),
        "{what}: not in {offsets:?}: {damage}"
    );
    assert!(
        indexes.contains(&damage.index),
        "{what}: not in {indexes:?}: {damage}"
    );
}

#[tokio::test]
async fn every_flipped_bit_is_found_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let files = tampered_log(folder.path()).await;
    let names = segments(&files);
    let mut spread = Spread::new(5);
    for _ in 0..times(FLIPS) {
        let name = *spread.one_of(&names);
        let pieces = pieces(name, &files[name]);
        let position = spread.below(pieces.last().unwrap().end);
        let mut flipped = files.clone();
        flipped.get_mut(name).unwrap()[position] ^= 1 << spread.below(8);
        fs::write(folder.path().join(name), &flipped[name]).unwrap();
        let first = frame::segment_first(name).unwrap();
        let hit = pieces
            .iter()
            .find(|piece| (piece.start..piece.end).contains(&position));
        let (offset, index) = hit.map_or((0, first), |piece| (piece.start, piece.index));
        let place = Place {
            file: name,
            offsets: offset..=offset,
            indexes: index..=index,
        };
        let what = format!("{name}, a bit of byte {position} flipped");
        check(folder.path(), &flipped, &place, &what);
        fs::write(folder.path().join(name), &files[name]).unwrap();
    }
    open(folder.path()).close().unwrap();
}

/// Each bit of the small files: the start refuses, and names the file.
#[tokio::test]
async fn every_flipped_bit_of_checkpoint_and_format_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let files = tampered_log(folder.path()).await;
    for name in ["checkpoint", "format"] {
        for bit in 0..files[name].len() * 8 {
            let mut flipped = files.clone();
            flipped.get_mut(name).unwrap()[bit / 8] ^= 1 << (bit % 8);
            fs::write(folder.path().join(name), &flipped[name]).unwrap();
            let fault = try_open(folder.path()).expect_err(name);
            assert!(fault.message.contains(name), "bit {bit}: {fault}");
            assert!(read(folder.path()) == flipped, "the start changed files");
        }
        fs::write(folder.path().join(name), &files[name]).unwrap();
    }
    open(folder.path()).close().unwrap();
}

/// What is behind the last batch is zero. Elsewhere it is damage; in the newest segment it may be what
/// a crash left, and is put aside: with its place in both cases.
#[tokio::test]
async fn data_behind_the_end_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let files = tampered_log(folder.path()).await;
    let names = segments(&files);
    for name in &names {
        let last = *pieces(name, &files[*name]).last().unwrap();
        for position in (last.end..files[*name].len()).step_by(23) {
            let mut flipped = files.clone();
            flipped.get_mut(*name).unwrap()[position] ^= 0x10;
            write(folder.path(), &flipped);
            let what = format!("{name}, byte {position} behind the end {}", last.end);
            if Some(name) == names.last() {
                let torn = verify(folder.path()).unwrap().torn.unwrap();
                assert_eq!(
                    (torn.file.as_str(), torn.offset),
                    (*name, last.end as u64),
                    "{what}"
                );
                let log = open(folder.path());
                let torn = log.recovery().torn.clone().unwrap();
                assert_eq!(
                    (torn.file.as_str(), torn.offset),
                    (*name, last.end as u64),
                    "{what}"
                );
            } else {
                let place = Place {
                    file: name,
                    offsets: last.end..=last.end,
                    indexes: last.index..=last.index,
                };
                check(folder.path(), &flipped, &place, &what);
            }
        }
    }
}

/// Every frame dropped, written twice, or swapped with the next one.
#[tokio::test]
async fn dropped_repeated_and_swapped_entries_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let files = tampered_log(folder.path()).await;
    for name in segments(&files) {
        let bytes = &files[name];
        let pieces = pieces(name, bytes);
        for (number, piece) in pieces.iter().enumerate() {
            let Piece { start, end, .. } = *piece;
            let frame = &bytes[start..end];
            let mut changes = vec![
                ("dropped", [&bytes[..start], &bytes[end..]].concat()),
                ("repeated", [&bytes[..end], frame, &bytes[end..]].concat()),
            ];
            if let Some(next) = pieces.get(number + 1) {
                let (after, rest) = (&bytes[next.start..next.end], &bytes[next.end..]);
                changes.push(("swapped", [&bytes[..start], after, frame, rest].concat()));
            }
            for (change, changed) in changes {
                let mut tampered = files.clone();
                tampered.insert(name.to_owned(), changed);
                write(folder.path(), &tampered);
                let what = format!("{name}, frame at {start} {change}");
                let place = Place {
                    file: name,
                    offsets: piece.batch.0..=end,
                    indexes: piece.batch.1..=piece.index + 1,
                };
                check(folder.path(), &tampered, &place, &what);
            }
        }
    }
}

/// Every batch dropped, and every two batches that follow one another swapped.
#[tokio::test]
async fn dropped_and_swapped_batches_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let files = tampered_log(folder.path()).await;
    for name in segments(&files) {
        let bytes = &files[name];
        let ends = pieces(name, bytes)
            .into_iter()
            .filter(|piece| piece.is_batch_end);
        let batches: Vec<Piece> = ends.collect();
        for (number, batch) in batches.iter().enumerate() {
            let (start, index) = batch.batch;
            let mut changes = vec![("dropped", [&bytes[..start], &bytes[batch.end..]].concat())];
            if let Some(next) = batches.get(number + 1) {
                let (one, other) = (&bytes[start..batch.end], &bytes[batch.end..next.end]);
                let swapped = [&bytes[..start], other, one, &bytes[next.end..]].concat();
                changes.push(("swapped", swapped));
            }
            for (change, changed) in changes {
                let mut tampered = files.clone();
                tampered.insert(name.to_owned(), changed);
                write(folder.path(), &tampered);
                let what = format!("{name}, batch at {start} {change}");
                let names = segments(&files);
                let next = names.iter().skip_while(|file| **file != name).nth(1);
                let is_last = number + 1 == batches.len() && change == "dropped";
                // With the last batch of a segment gone, the next segment begins too late.
                let place = match next {
                    Some(next) if is_last => Place {
                        file: next,
                        offsets: 0..=0,
                        indexes: index..=index,
                    },
                    _ => Place {
                        file: name,
                        offsets: start..=start,
                        indexes: index..=index,
                    },
                };
                check(folder.path(), &tampered, &place, &what);
            }
        }
    }
}

/// Every segment cut off at each frame and within each frame.
#[tokio::test]
async fn cut_off_segments_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let files = tampered_log(folder.path()).await;
    let names = segments(&files);
    for (number, name) in names.iter().enumerate() {
        let pieces = pieces(name, &files[*name]);
        let within = pieces
            .iter()
            .map(|piece| (piece, piece.start + 1 + piece.start % 90));
        let cuts = pieces
            .iter()
            .flat_map(|piece| [(piece, piece.start), (piece, piece.start + 1)])
            .chain(within);
        for (piece, length) in cuts {
            let mut tampered = files.clone();
            tampered.get_mut(*name).unwrap().truncate(length);
            write(folder.path(), &tampered);
            // The length of a frame begins with zeros, and zeros are what stands behind the last batch.
            let left = files[*name].get(piece.batch.0..length).unwrap();
            let is_between_batches = left.iter().all(|byte| *byte == 0);
            let place = match names.get(number + 1) {
                Some(next) if is_between_batches => Place {
                    file: next,
                    offsets: 0..=0,
                    indexes: piece.index..=piece.index,
                },
                _ => Place {
                    file: name,
                    offsets: piece.start..=piece.start,
                    indexes: piece.batch.1..=piece.index,
                },
            };
            let what = format!("{name} cut off at {length}");
            check(folder.path(), &tampered, &place, &what);
        }
    }
}

/// Whole segments removed, emptied, swapped.
#[tokio::test]
async fn missing_emptied_and_swapped_segments_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let files = tampered_log(folder.path()).await;
    let names = segments(&files);
    let first = |name: &str| frame::segment_first(name).unwrap();
    for (number, name) in names.iter().enumerate() {
        let at = |file, index| Place {
            file,
            offsets: 0..=0,
            indexes: index..=index,
        };
        let mut removed = files.clone();
        removed.remove(*name);
        write(folder.path(), &removed);
        let what = format!("{name} removed");
        match names.get(number + 1) {
            Some(next) => check(folder.path(), &removed, &at(next, first(name)), &what),
            None => {
                let before = names[number - 1];
                let end = pieces(before, &files[before]).last().unwrap().end;
                let place = Place {
                    file: before,
                    offsets: end..=end,
                    indexes: first(name)..=first(name),
                };
                check(folder.path(), &removed, &place, &what);
            }
        }
        let mut emptied = files.clone();
        emptied.insert((*name).to_owned(), Vec::new());
        write(folder.path(), &emptied);
        check(
            folder.path(),
            &emptied,
            &at(name, first(name)),
            &format!("{name} emptied"),
        );
        for other in names.iter().filter(|other| *other != name) {
            let mut swapped = files.clone();
            swapped.insert((*name).to_owned(), files[*other].clone());
            swapped.insert((*other).to_owned(), files[*name].clone());
            write(folder.path(), &swapped);
            let earlier = name.min(other);
            let what = format!("{name} swapped with {other}");
            check(folder.path(), &swapped, &at(earlier, first(earlier)), &what);
        }
    }
}

/// Verifies a folder against a head that somebody else kept.
fn verify_against(folder: &Path, head: &str) -> Result<LogSummary, Damage> {
    let files = read(folder);
    let segments = segments(&files).into_iter();
    let segments = segments.map(|name| (name.to_owned(), &files[name][..]));
    let head = Checkpoint::open(head, &key()).unwrap();
    verify_segments_against(segments, &key(), vec![head])
}

/// A whole folder from a backup is a log without a flaw. Only who saw a later head can tell: that it
/// ends too early, and after it went on, that its history is another one.
#[tokio::test]
async fn a_disk_rolled_back_behind_a_head_that_was_seen_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let backup = tampered_log(folder.path()).await;
    let end = newest_segment(folder.path());
    let size = verify(folder.path()).unwrap().size;
    let log = open(folder.path());
    for number in 0..10 {
        log.append(entry(9000 + number)).await.unwrap();
    }
    log.close().unwrap();
    let head = fs::read_to_string(folder.path().join("checkpoint")).unwrap();
    drop(log);
    assert_eq!(
        verify_against(folder.path(), &head).unwrap().size,
        size + 11
    );

    write(folder.path(), &backup);
    assert_eq!(
        verify(folder.path()).unwrap().size,
        size,
        "it has no flaw of its own"
    );
    let damage = verify_against(folder.path(), &head).unwrap_err();
    let place = Place {
        file: &end.0,
        offsets: end.1..=end.1,
        indexes: size..=size,
    };
    check_place(&damage, &place, "rolled back");
    let (expected, found) = (size + 11, size);
    assert_eq!(damage.kind, DamageKind::Shorter { expected, found });

    let log = open(folder.path());
    for number in 0..20 {
        log.append(entry(7000 + number)).await.unwrap();
    }
    log.close().unwrap();
    drop(log);
    let damage = verify_against(folder.path(), &head).unwrap_err();
    assert_eq!(damage.kind, DamageKind::Fork { size: size + 11 });
    assert_eq!(damage.index, size + 11);
}
