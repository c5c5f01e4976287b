use super::*;
use crate::{
    checkpoint::CheckpointError,
    entry::{Effect, Entry, Header},
    frame::{segment_header, segment_name},
    note::SignerKey,
};

fn key() -> SignerKey {
    SignerKey::from_seed("logs.example/demo", &[7; 32]).unwrap()
}

/// A writer of logs, right or wrong.
struct Writer {
    frontier: Frontier,
    segments: Vec<(String, Vec<u8>)>,
    time_ms: i64,
}

impl Writer {
    fn new() -> Self {
        let mut writer = Self {
            frontier: Frontier::new(),
            segments: Vec::new(),
            time_ms: 1000,
        };
        writer.rotate();
        writer
    }

    fn rotate(&mut self) {
        let first = self.frontier.size();
        self.segments
            .push((segment_name(first), segment_header(first).to_vec()));
    }

    fn entry(&self, number: u64) -> Vec<u8> {
        let header = Header {
            kind: Kind(0),
            time_ms: self.time_ms,
            request_id: format!("request-{number}"),
            effect: Some(Effect::Allow),
            action: "select".to_owned(),
            request_digest: [1; 32],
            policy_set: [2; 32],
        };
        let details = format!("details {number}");
        let details_hash = details_hash(&[5; 16], details.as_bytes());
        Entry {
            header,
            details_hash,
        }
        .encode()
        .unwrap()
    }

    fn batch(&mut self, count: u64) {
        let first = self.frontier.size();
        let mut bytes = Vec::new();
        for index in first..first + count {
            let entry = self.entry(index);
            let details = format!("details {index}");
            EntryFrame {
                index,
                entry: &entry,
                salt: &[5; 16],
                details: details.as_bytes(),
            }
            .write(&mut bytes);
            self.frontier.push(leaf_hash(&entry));
        }
        let (size, root) = (self.frontier.size(), self.frontier.root());
        let checkpoint = Checkpoint {
            origin: "logs.example/demo".to_owned(),
            size,
            root,
        };
        let (note, _) = checkpoint.sign(&key());
        let count = u32::try_from(count).unwrap();
        BatchFrame {
            size,
            first,
            count,
            time_ms: self.time_ms,
            note: &note,
        }
        .write(&mut bytes);
        self.segments.last_mut().unwrap().1.extend(bytes);
        self.time_ms += 1;
    }

    fn pad(&mut self) {
        self.segments.last_mut().unwrap().1.extend([0; 600]);
    }
}

/// Three batches, a second segment, two more batches, zeros.
fn example() -> Writer {
    let mut writer = Writer::new();
    [3, 1, 4].into_iter().for_each(|count| writer.batch(count));
    writer.pad();
    writer.rotate();
    [2, 5].into_iter().for_each(|count| writer.batch(count));
    writer.pad();
    writer
}

fn verify(segments: &[(String, Vec<u8>)]) -> Result<LogSummary, Damage> {
    let readers = segments
        .iter()
        .map(|(name, bytes)| (name.clone(), bytes.as_slice()));
    verify_segments(readers, key().verifier())
}

#[test]
fn a_whole_log_verifies() {
    let writer = example();
    let summary = verify(&writer.segments).unwrap();
    assert_eq!(
        (summary.size, summary.batches, summary.segments),
        (15, 5, 2)
    );
    assert_eq!(summary.root, writer.frontier.root());
    assert_eq!(
        (summary.first_time_ms, summary.last_time_ms),
        (Some(1000), Some(1004))
    );
    assert_eq!((summary.last_kind, summary.torn), (Some(Kind(0)), None));
    let empty = verify(&[]).unwrap();
    assert_eq!((empty.size, empty.checkpoint), (0, None));
}

#[test]
fn every_flipped_byte_is_found() {
    let writer = example();
    let in_use = verify(&writer.segments).unwrap();
    for segment in 0..writer.segments.len() {
        for position in 0..writer.segments[segment].1.len() {
            let mut segments = writer.segments.clone();
            segments[segment].1[position] ^= 0x10;
            match verify(&segments) {
                Err(damage) => {
                    assert_eq!(damage.file, segments[segment].0);
                    assert!(damage.offset <= position as u64, "{damage} for {position}");
                }
                // In the newest batch or behind it, which looks like a write that was cut off.
                Ok(summary) => {
                    assert_eq!(segment, 1);
                    let torn = summary.torn.expect("the flip is found");
                    assert!(summary.size == 10 || summary.size == in_use.size);
                    assert!(torn.offset <= position as u64);
                }
            }
        }
    }
}

#[test]
fn every_truncation_is_found_by_a_known_checkpoint() {
    let writer = example();
    let known = Checkpoint {
        origin: "logs.example/demo".to_owned(),
        size: 15,
        root: writer.frontier.root(),
    };
    let (name, bytes) = &writer.segments[1];
    let end = bytes.len() - 600;
    for length in 0..bytes.len() {
        let segments = [
            writer.segments[0].clone(),
            (name.clone(), bytes[..length].to_vec()),
        ];
        let readers = segments
            .iter()
            .map(|(name, bytes)| (name.clone(), bytes.as_slice()));
        let result = verify_segments_against(readers, key().verifier(), vec![known.clone()]);
        assert_eq!(result.is_ok(), length >= end, "{length}");
    }
}

/// Changes to a log of two entries, made with the key and with right checksums.
fn changed(change: impl Fn(&mut Writer)) -> DamageKind {
    let mut writer = Writer::new();
    writer.batch(2);
    change(&mut writer);
    verify(&writer.segments).unwrap_err().kind
}

#[test]
fn entries_that_are_changed_with_care_are_found() {
    let root = changed(|writer| {
        writer.frontier = Frontier::new();
        writer.frontier.grow(vec![[0; 32]; 2]);
        writer.batch(1);
    });
    assert_eq!(root, DamageKind::Root);
    let time = changed(|writer| {
        writer.time_ms = 5;
        writer.batch(1);
    });
    assert_eq!(time, DamageKind::Time);
    let gap = changed(|writer| {
        writer.frontier.push([0; 32]);
        writer.batch(1);
    });
    assert_eq!(
        gap,
        DamageKind::Index {
            expected: 2,
            found: 3
        }
    );
    let missing_segment = changed(|writer| {
        writer.rotate();
        writer.segments.remove(0);
    });
    assert_eq!(
        missing_segment,
        DamageKind::Index {
            expected: 0,
            found: 2
        }
    );
    let details = changed(|writer| {
        let entry = writer.entry(2);
        let bytes = &mut writer.segments.last_mut().unwrap().1;
        EntryFrame {
            index: 2,
            entry: &entry,
            salt: &[6; 16],
            details: b"other",
        }
        .write(bytes);
        let time_ms = writer.time_ms;
        BatchFrame {
            size: 3,
            first: 2,
            count: 1,
            time_ms,
            note: "",
        }
        .write(bytes);
    });
    assert_eq!(details, DamageKind::Details);
    let count = changed(|writer| {
        let bytes = &mut writer.segments.last_mut().unwrap().1;
        BatchFrame {
            size: 2,
            first: 2,
            count: 0,
            time_ms: 9999,
            note: "",
        }
        .write(bytes);
    });
    assert_eq!(count, DamageKind::Batch);
}

#[test]
fn another_key_and_a_fork_are_told() {
    let writer = example();
    let other = SignerKey::from_seed("logs.example/demo", &[8; 32]).unwrap();
    let readers = || {
        writer
            .segments
            .iter()
            .map(|(name, bytes)| (name.clone(), bytes.as_slice()))
    };
    let damage = verify_segments(readers(), other.verifier()).unwrap_err();
    assert!(
        matches!(
            damage.kind,
            DamageKind::Checkpoint(CheckpointError::Note(_))
        ),
        "{damage}"
    );
    let mut newest = Scanner::new(other.verifier(), Signatures::Newest, Vec::new());
    for (name, bytes) in &writer.segments {
        newest.segment(name, bytes, &mut |_| {}).unwrap();
    }
    assert!(newest.finish().is_err());
    let fork = Checkpoint {
        origin: "logs.example/demo".to_owned(),
        size: 5,
        root: [1; 32],
    };
    let damage = verify_segments_against(readers(), key().verifier(), vec![fork]).unwrap_err();
    assert_eq!(damage.kind, DamageKind::Fork { size: 5 });
    assert_eq!(damage.file, writer.segments[0].0);
}

#[test]
fn a_torn_batch_in_any_order_of_sectors_is_not_damage() {
    let writer = example();
    let (name, bytes) = &writer.segments[1];
    let end = bytes.len() - 600;
    let mut before = Writer::new();
    [3, 1, 4, 2]
        .into_iter()
        .for_each(|count| before.batch(count));
    let batch_bytes = {
        let mut scanner = Scanner::new(writer_key(), Signatures::Every, Vec::new());
        scanner
            .segment(&writer.segments[0].0, &writer.segments[0].1, &mut |_| {})
            .unwrap();
        let mut offsets = Vec::new();
        scanner
            .segment(name, bytes, &mut |batch| offsets.push(batch.offset_after))
            .unwrap();
        usize::try_from(offsets[0]).unwrap()..end
    };
    // Lose any one stretch of 64 bytes of the last batch, as if its sector had not been written.
    for start in batch_bytes.clone().step_by(64) {
        let mut segments = writer.segments.clone();
        let stop = (start + 64).min(batch_bytes.end);
        segments[1].1[start..stop].fill(0);
        let summary = verify(&segments).unwrap();
        assert_eq!(summary.size, 10);
        assert!(summary.torn.is_some());
    }
}

fn writer_key() -> &'static VerifierKey {
    Box::leak(Box::new(key().verifier().clone()))
}
