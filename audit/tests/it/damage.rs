//! Torn writes are recovered from; damage is found, named, and left alone.

use std::{fs, path::Path};

use dataos_model::{
    fault::FaultKind,
    seams::{Record, Records},
};

use dataos_proof::frame::{segment_header, segment_name};

use crate::scene::{entry, newest_segment, open, try_open, verify};

/// A log of three batches, not closed, and without the checkpoint file: as after a crash within the
/// first second. Returns the end of the second batch and of the third.
async fn crashed(folder: &Path) -> (String, usize, usize) {
    let log = open(folder);
    log.append(entry(0)).await.unwrap();
    log.append(entry(1)).await.unwrap();
    let (name, second) = newest_segment(folder);
    log.append(entry(2)).await.unwrap();
    drop(log);
    let (_, third) = newest_segment(folder);
    fs::remove_file(folder.join("checkpoint")).unwrap();
    (name, second, third)
}

/// A segment up to a little behind `end`: megabytes of zeros would only make the tests slow.
fn read_start(segment: &Path, end: usize) -> Vec<u8> {
    let mut bytes = fs::read(segment).unwrap();
    bytes.truncate(end + 4096);
    bytes
}

/// After recovery: two entries, the rest put aside, and the log takes new ones.
async fn check_recovered(folder: &Path, what: &str) {
    let log = try_open(folder).unwrap_or_else(|fault| panic!("{what}: {fault}"));
    assert_eq!(log.recovery().entries, 2, "{what}");
    assert_eq!(log.append(entry(7)).await.unwrap().index, 2);
    assert_eq!(log.get(1).await.unwrap().entry, entry(1));
    drop(log);
    let summary = verify(folder).unwrap();
    assert_eq!((summary.size, summary.torn), (3, None), "{what}");
}

#[tokio::test]
async fn the_last_batch_torn_at_any_byte_is_recovered() {
    let folder = tempfile::tempdir().unwrap();
    let (name, second, third) = crashed(folder.path()).await;
    let segment = folder.path().join(&name);
    let whole = fs::read(&segment).unwrap();
    let reset = |bytes: &[u8]| {
        for file in fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            if name != "format" && name != "lock" {
                fs::remove_file(file.path()).unwrap();
            }
        }
        fs::write(&segment, bytes).unwrap();
    };
    for cut in second + 1..third {
        // The rest was never written: zeros, as the segment was prepared. A short file, so that the
        // test does not zero megabytes for each byte.
        let mut torn = whole[..cut].to_vec();
        torn.resize(third + 4096, 0);
        if torn[cut - 1] == 0 {
            continue;
        }
        reset(&torn);
        let log = open(folder.path());
        let tail = log.recovery().torn.clone().unwrap();
        assert_eq!(
            (tail.offset, tail.bytes),
            (second as u64, (cut - second) as u64)
        );
        let kept = fs::read(folder.path().join(&tail.kept_as)).unwrap();
        assert_eq!(kept, whole[second..cut]);
        assert!(!log.recovery().was_closed);
        assert_eq!(log.recovery().entries, 2);
        drop(log);
        assert_eq!(verify(folder.path()).unwrap().torn, None);
    }
    for cut in (second..third).step_by(13) {
        reset(&whole[..cut]);
        check_recovered(folder.path(), &format!("cut at {cut}")).await;
    }
    for flip in (second..third).step_by(7) {
        let mut flipped = whole[..third + 4096].to_vec();
        flipped[flip] ^= 0x40;
        reset(&flipped);
        check_recovered(folder.path(), &format!("flip at {flip}")).await;
    }
}

/// The same flips with the checkpoint file in place: then it is damage, since the batch was whole.
#[tokio::test]
async fn damage_to_the_last_batch_is_told_from_tearing_by_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.append(entry(0)).await.unwrap();
    let (name, start) = newest_segment(folder.path());
    log.append(entry(1)).await.unwrap();
    drop(log);
    let segment = folder.path().join(&name);
    let (_, end) = newest_segment(folder.path());
    let whole = read_start(&segment, end);
    for flip in (start..end).step_by(5) {
        let mut flipped = whole.clone();
        flipped[flip] ^= 0x04;
        fs::write(&segment, &flipped).unwrap();
        let fault = try_open(folder.path()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Damaged, "{flip}");
        assert!(fault.message.contains(&name), "{fault}");
        assert!(verify(folder.path()).is_err(), "{flip}");
        assert_eq!(fs::read(&segment).unwrap(), flipped, "nothing is changed");
    }
}

#[tokio::test]
async fn damage_before_a_later_batch_stops_the_start_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (name, second, third) = crashed(folder.path()).await;
    let segment = folder.path().join(&name);
    let whole = read_start(&segment, third);
    for flip in (0..second).step_by(11) {
        let mut flipped = whole.clone();
        flipped[flip] ^= 0x80;
        fs::write(&segment, &flipped).unwrap();
        let fault = try_open(folder.path()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Damaged, "{flip}");
        assert!(
            fault.message.contains(&name) && fault.message.contains("offset"),
            "{fault}"
        );
        assert!(verify(folder.path()).is_err(), "{flip}");
        assert_eq!(fs::read(&segment).unwrap(), flipped, "nothing is changed");
    }
}

/// Damage under a running log is not handed out as if it were the entry.
#[tokio::test]
async fn an_entry_damaged_at_rest_is_not_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let start = newest_segment(folder.path()).1;
    log.append(entry(0)).await.unwrap();
    let segment = folder.path().join(newest_segment(folder.path()).0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[start + 40] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let fault = log.get(0).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Damaged);
    assert!(fault.message.contains("offset"), "{fault}");
}

/// Killed between giving a new segment its name and writing the first batch to it.
#[tokio::test]
async fn a_new_segment_without_entries_is_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.append(entry(0)).await.unwrap();
    drop(log);
    let mut bytes = segment_header(1).to_vec();
    bytes.resize(1 << 20, 0);
    fs::write(folder.path().join(segment_name(1)), bytes).unwrap();
    let log = open(folder.path());
    assert_eq!((log.recovery().entries, log.recovery().segments), (1, 2));
    assert_eq!(log.append(entry(1)).await.unwrap().index, 1);
    assert_eq!(log.get(0).await.unwrap().entry, entry(0));
    assert_eq!(log.get(1).await.unwrap().entry, entry(1));
    drop(log);
    assert_eq!(newest_segment(folder.path()).0, segment_name(1));
    assert_eq!(verify(folder.path()).unwrap().size, 2);
}
