//! What a crash of the sealer leaves is taken up or made again; damage to packs is found and named.

use std::{fs, path::Path, sync::Arc};

use dataos_audit::{AuditLog, DirectorySummary, Indexes, verify_directory};
use dataos_model::{
    fault::FaultKind,
    record::RecordQuery,
    seams::{Record, Records},
    secret::Secret,
};
use dataos_proof::{
    checkpoint::Checkpoint,
    frame::{segment_first, segment_name},
    log::{Damage, DamageKind},
};

use crate::{
    scene::{SEED, SetClock, TIME_MS, key},
    sealed::{Numbers, PACK, first_segment, open_sealing, sealing, varied, wait_sealed},
};

const FIRST: &str = "sealed-00000000000000000000";
const SECOND: &str = "sealed-00000000000000001024";

/// The files of both packs in the order in which they are made.
const FILES: [&str; 4] = [
    "sealed-00000000000000000000.parquet",
    "sealed-00000000000000000000.index",
    "sealed-00000000000000001024.parquet",
    "sealed-00000000000000001024.index",
];

/// The same log three times: as segments, as packs and segments, and what was appended.
struct Folders {
    plain: tempfile::TempDir,
    sealed: tempfile::TempDir,
    size: u64,
}

fn copy(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        if wanted(&name) {
            fs::copy(file.path(), to.join(&name)).unwrap();
        }
    }
}

fn copy_of(from: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(from, folder.path(), |_| true);
    folder
}

async fn folders() -> Folders {
    let plain = tempfile::tempdir().unwrap();
    let log = open_sealing(plain.path(), 1 << 20);
    let mut numbers = Numbers(3);
    for start in (0..2 * PACK + 320).step_by(64) {
        // More than one segment holds.
        let padding = "x".repeat(3000);
        let waiting: Vec<_> = (start..start + 64)
            .map(|number| log.append(varied(&mut numbers, number).with_fact("pad", &padding)))
            .collect();
        for receipt in waiting {
            receipt.await.unwrap();
        }
    }
    log.close().unwrap();
    let size = log.status().size;
    drop(log);
    let sealed = copy_of(plain.path());
    let log = open_sealing(sealed.path(), PACK);
    wait_sealed(&log, 2 * PACK);
    log.close().unwrap();
    drop(log);
    assert!(
        first_segment(sealed.path()) > PACK,
        "the first segments are gone"
    );
    Folders {
        plain,
        sealed,
        size,
    }
}

fn verify(folder: &Path) -> Result<DirectorySummary, Damage> {
    verify_directory(folder, &key(), Vec::new(), 2, Indexes::MadeAgain)
}

/// Opens the folder; every entry reads back as in the log of segments alone.
async fn check_whole(folder: &Path, plain: &AuditLog, size: u64, what: &str) -> Arc<AuditLog> {
    let log = AuditLog::open(
        sealing(folder, PACK),
        Secret::new(SEED),
        SetClock::new(TIME_MS),
    );
    let log = log.unwrap_or_else(|fault| panic!("{what}: {fault}"));
    assert!(log.status().size >= size, "{what}");
    wait_sealed(&log, 2 * PACK);
    for index in (0..size).step_by(151) {
        assert_eq!(
            log.get(index).await.unwrap(),
            plain.get(index).await.unwrap(),
            "{what}"
        );
    }
    let by_id = (0..size / 2).step_by(271).map(|id| RecordQuery {
        request_id: Some(format!("request-{id}")),
        limit: 10,
        ..RecordQuery::default()
    });
    let by_principal = RecordQuery {
        principal: Some("bob".to_owned()),
        before: Some(size),
        limit: 1000,
        ..RecordQuery::default()
    };
    for query in by_id.chain([by_principal]) {
        let (found, expected) = (
            log.search(&query).await.unwrap(),
            plain.search(&query).await.unwrap(),
        );
        assert_eq!(found, expected, "{what} {query:?}");
    }
    log
}

/// What is done to a copy of the log of segments, and what it stands for.
type State<'a> = (&'a str, Box<dyn Fn(&Path) + 'a>);

/// Everything that can lie in the folder when the sealer is killed, or the power fails.
fn crash_states(sealed: &Path) -> Vec<State<'_>> {
    let add = move |names: &'static [&str]| {
        move |folder: &Path| copy(sealed, folder, |name| names.contains(&name))
    };
    vec![
        (
            "a half written file",
            Box::new(|folder: &Path| {
                let name = format!("{FIRST}.parquet.new");
                fs::write(folder.join(name), b"PAR1 and a half").unwrap();
                fs::write(folder.join(format!("{FIRST}.index.new")), b"").unwrap();
            }),
        ),
        ("a file without index", Box::new(add(&FILES[..1]))),
        ("a file with index", Box::new(add(&FILES[..2]))),
        ("two files, one index", Box::new(add(&FILES[..3]))),
        ("all files, no segment deleted", Box::new(add(&FILES))),
        (
            "all files, one segment deleted",
            Box::new(move |folder: &Path| {
                add(&FILES)(folder);
                fs::remove_file(folder.join(segment_name(first_segment(folder)))).unwrap();
            }),
        ),
        (
            "a file that did not reach the disk",
            Box::new(|folder: &Path| {
                let bytes = fs::read(sealed.join(FILES[0])).unwrap();
                fs::write(folder.join(FILES[0]), &bytes[..bytes.len() / 2]).unwrap();
            }),
        ),
        (
            "a file of other entries",
            Box::new(|folder: &Path| {
                fs::copy(sealed.join(FILES[2]), folder.join(FILES[0])).unwrap();
            }),
        ),
        (
            "an index of another file",
            Box::new(|folder: &Path| {
                fs::copy(sealed.join(FILES[0]), folder.join(FILES[0])).unwrap();
                fs::copy(sealed.join(FILES[3]), folder.join(FILES[1])).unwrap();
            }),
        ),
    ]
}

/// Killed between any two steps of sealing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_state_that_a_crash_leaves_is_taken_up() {
    let Folders {
        plain,
        sealed,
        size,
    } = folders().await;
    let copy_plain = copy_of(plain.path());
    let oracle = open_sealing(copy_plain.path(), 1 << 20);
    for (what, change) in crash_states(sealed.path()) {
        let folder = copy_of(plain.path());
        change(folder.path());
        let log = check_whole(folder.path(), &oracle, size, what).await;
        log.close().unwrap();
        drop(log);
        let summary = verify(folder.path()).unwrap_or_else(|damage| panic!("{what}: {damage}"));
        assert_eq!((summary.log.size, summary.packs), (size + 1, 2), "{what}");
        let names = fs::read_dir(folder.path()).unwrap();
        let mut names = names.map(|file| file.unwrap().file_name().into_string().unwrap());
        let is_left = |name: String| name.starts_with("sealed-") && name.ends_with(".new");
        assert!(!names.any(is_left), "{what}");
    }
}

/// An index is only a copy of what the Parquet file holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_or_damaged_index_is_made_again() {
    let Folders {
        plain,
        sealed,
        size,
    } = folders().await;
    let copy_plain = copy_of(plain.path());
    let oracle = open_sealing(copy_plain.path(), 1 << 20);
    let index = fs::read(sealed.path().join(format!("{FIRST}.index"))).unwrap();
    let folder = copy_of(sealed.path());
    let path = folder.path().join(format!("{FIRST}.index"));
    fs::remove_file(&path).unwrap();
    check_whole(folder.path(), &oracle, size, "missing").await;
    let mut damaged: Vec<(String, Vec<u8>)> = (0..index.len())
        .step_by(index.len() / 12)
        .map(|position| {
            let mut bytes = index.clone();
            bytes[position] ^= 0x10;
            (format!("flip at {position}"), bytes)
        })
        .collect();
    damaged.push(("cut".to_owned(), index[..index.len() - 1].to_vec()));
    damaged.push(("empty".to_owned(), Vec::new()));
    damaged.push(("longer".to_owned(), [&index[..], b"x"].concat()));
    for (what, bytes) in damaged {
        fs::write(&path, &bytes).unwrap();
        let damage = verify(folder.path()).unwrap_err();
        assert_eq!(damage.file, format!("{FIRST}.index"), "{what}: {damage}");
        drop(check_whole(folder.path(), &oracle, size, &what).await);
        // Whatever a search did not look at is still damaged; a start without index is not.
        fs::remove_file(&path).unwrap();
        drop(open_sealing(folder.path(), PACK));
        verify(folder.path()).unwrap_or_else(|damage| panic!("{what}: {damage}"));
    }
}

/// A Parquet file is the log itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_to_sealed_entries_is_found_and_named() {
    let Folders { sealed, .. } = folders().await;
    let name = format!("{FIRST}.parquet");
    let path = sealed.path().join(&name);
    let whole = fs::read(&path).unwrap();
    for position in (0..whole.len()).step_by(whole.len() / 25) {
        let mut bytes = whole.clone();
        bytes[position] ^= 0x40;
        fs::write(&path, &bytes).unwrap();
        let damage = verify(sealed.path()).unwrap_err();
        assert_eq!(damage.file, name, "{position}: {damage}");
        assert!(damage.index < PACK, "{position}: {damage}");
        let found = matches!(
            damage.kind,
            DamageKind::SealedFile(_) | DamageKind::SealedEntries
        );
        assert!(found, "{position}: {damage}");
    }
    // A running log does not hand out what it cannot prove.
    let log = open_sealing(sealed.path(), PACK);
    let mut refused = 0;
    for index in (0..PACK).step_by(100) {
        match log.get(index).await {
            Ok(stored) => assert_eq!(stored.index, index),
            Err(fault) => {
                assert_eq!(fault.kind, FaultKind::Damaged);
                assert!(
                    fault.message.contains(&name) && fault.message.contains("entry"),
                    "{fault}"
                );
                refused += 1;
            }
        }
    }
    drop(log);
    assert!(refused > 0);
    fs::write(&path, &whole).unwrap();
    verify(sealed.path()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_files_are_named() {
    let Folders { plain, sealed, .. } = folders().await;
    let check = |change: &dyn Fn(&Path), part: &str| {
        let folder = copy_of(sealed.path());
        change(folder.path());
        let count = || {
            let names = fs::read_dir(folder.path()).unwrap();
            let names = names.map(|file| file.unwrap().file_name().into_string().unwrap());
            names.filter(|name| name.starts_with("se")).count()
        };
        let before = count();
        let config = sealing(folder.path(), PACK);
        let fault = AuditLog::open(config, Secret::new(SEED), SetClock::new(TIME_MS)).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Damaged, "{fault}");
        assert!(fault.message.contains(part), "{fault}");
        assert_eq!(count(), before, "nothing is removed");
        let damage = verify(folder.path()).unwrap_err();
        assert!(damage.to_string().contains(part), "{damage}");
    };
    let (first, second) = (format!("{FIRST}.parquet"), format!("{SECOND}.parquet"));
    check(
        &|folder| fs::remove_file(folder.join(&first)).unwrap(),
        &first,
    );
    check(
        &|folder| {
            fs::remove_file(folder.join(&first)).unwrap();
            fs::remove_file(folder.join(format!("{FIRST}.index"))).unwrap();
        },
        FIRST,
    );
    check(
        &|folder| {
            fs::remove_file(folder.join(&second)).unwrap();
            fs::remove_file(folder.join(format!("{SECOND}.index"))).unwrap();
        },
        &second,
    );
    check(
        &|folder| fs::write(folder.join(&first), b"PAR1").unwrap(),
        &first,
    );
    // The segments of an older copy.
    let remove_segments = |folder: &Path| {
        let names = fs::read_dir(folder).unwrap();
        let names = names.map(|file| file.unwrap().file_name().into_string().unwrap());
        for name in names
            .filter(|name| segment_first(name).is_some())
            .collect::<Vec<_>>()
        {
            fs::remove_file(folder.join(name)).unwrap();
        }
    };
    check(&remove_segments, "");
    drop(plain);
}

/// Another history under the same key is refused at the sealed part too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_in_the_sealed_part_is_found() {
    let Folders { sealed, .. } = folders().await;
    let other = folders().await;
    for name in ["parquet", "index"] {
        let name = format!("{FIRST}.{name}");
        fs::copy(other.sealed.path().join(&name), sealed.path().join(&name)).unwrap();
    }
    let config = sealing(sealed.path(), PACK);
    let fault = AuditLog::open(config, Secret::new(SEED), SetClock::new(TIME_MS)).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Damaged, "{fault}");
    assert!(verify(sealed.path()).is_err());
    // A checkpoint that somebody kept, from before the segments that are left.
    let note = fs::read_to_string(other.sealed.path().join("checkpoint")).unwrap();
    let mut known = Checkpoint::open(&note, &key()).unwrap();
    verify_directory(
        other.sealed.path(),
        &key(),
        vec![known.clone()],
        1,
        Indexes::MadeAgain,
    )
    .unwrap();
    known.size = 700;
    let damage = verify_directory(
        other.sealed.path(),
        &key(),
        vec![known],
        1,
        Indexes::MadeAgain,
    )
    .unwrap_err();
    assert_eq!(damage.kind, DamageKind::Fork { size: 700 });
}

/// The index file with one occurrence of `from` in a section changed to `to`, and every checksum
/// renewed: what somebody would do who wants an entry not to be found. `directory` holds the length
/// and checksum of each bucket of the section.
fn forged(index: &[u8], directory: usize, section: usize, from: &[u8], to: &[u8]) -> Vec<u8> {
    const HEAD: usize = 24;
    const HEADER: usize = HEAD + 9 * 12 + 4;
    assert_eq!(from.len(), to.len());
    let u32_at = |bytes: &[u8], at: usize| {
        u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    };
    let start_of = |wanted: usize| {
        HEADER
            + (0..wanted)
                .map(|section| u32_at(index, HEAD + section * 12 + 4))
                .sum::<usize>()
    };
    let length_of = |section: usize| u32_at(index, HEAD + section * 12 + 4);
    let mut bytes = index.to_vec();
    let range = start_of(section)..start_of(section) + length_of(section);
    let position = bytes[range.clone()]
        .windows(from.len())
        .position(|part| part == from)
        .unwrap();
    bytes[range.start + position..][..to.len()].copy_from_slice(to);
    let mut bucket = range.start;
    for record in (start_of(directory)..start_of(directory) + length_of(directory)).step_by(8) {
        let end = bucket + u32_at(&bytes, record);
        let checksum = crc32c::crc32c(&bytes[bucket..end]);
        bytes[record + 4..record + 8].copy_from_slice(&checksum.to_be_bytes());
        bucket = end;
    }
    for section in [directory, section] {
        let checksum = crc32c::crc32c(&bytes[start_of(section)..][..length_of(section)]);
        bytes[HEAD + section * 12 + 8..][..4].copy_from_slice(&checksum.to_be_bytes());
    }
    let checksum = crc32c::crc32c(&bytes[..HEADER - 4]);
    bytes[HEADER - 4..HEADER].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// Nobody can make entries disappear from searches by changing an index and renewing its checksums.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_hides_entries_is_found() {
    let Folders { sealed, .. } = folders().await;
    let path = sealed.path().join(format!("{FIRST}.index"));
    let whole = fs::read(&path).unwrap();
    let log = open_sealing(sealed.path(), PACK);
    let bob = RecordQuery {
        principal: Some("bob".to_owned()),
        before: Some(PACK),
        limit: 1000,
        ..RecordQuery::default()
    };
    let of_bob = log.search(&bob).await.unwrap().entries;
    let first = of_bob.last().unwrap();
    let text = first.entry.principal.as_bytes().to_vec();
    log.close().unwrap();
    drop(log);
    verify(sealed.path()).unwrap();
    let other = String::from_utf8(text.clone())
        .unwrap()
        .replace("bob", "rob");
    let hidden = forged(&whole, 4, 6, &text, other.as_bytes());
    fs::write(&path, &hidden).unwrap();
    let damage = verify(sealed.path()).unwrap_err();
    assert_eq!(damage.file, format!("{FIRST}.index"), "{damage}");
    assert_eq!(damage.index, first.index, "{damage}");
    assert!(matches!(damage.kind, DamageKind::SealedFile(_)), "{damage}");
    // It is what a search believes.
    let log = open_sealing(sealed.path(), PACK);
    assert!(log.search(&bob).await.unwrap().entries.is_empty());
    log.close().unwrap();
    drop(log);
    // An id that leads to no block.
    let signatures: usize = (0..5)
        .map(|section| {
            u32::from_be_bytes(whole[28 + section * 12..][..4].try_into().unwrap()) as usize
        })
        .sum();
    let signature: [u8; 4] = whole[24 + 9 * 12 + 4 + signatures..][..4]
        .try_into()
        .unwrap();
    let changed = (u32::from_be_bytes(signature) ^ 1 << 20).to_be_bytes();
    fs::write(&path, forged(&whole, 3, 5, &signature, &changed)).unwrap();
    let damage = verify(sealed.path()).unwrap_err();
    assert_eq!(damage.file, format!("{FIRST}.index"), "{damage}");
    fs::write(&path, &whole).unwrap();
    verify(sealed.path()).unwrap();
}
