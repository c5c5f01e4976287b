//! What the tests share: a folder, a key, a clock, entries, and a check of the whole folder.

use std::{
    fs::{self, File},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use dataos_audit::{AuditConfig, AuditLog};
use dataos_model::{
    clock::{Clock, Timestamp},
    decision::Effect,
    fault::Fault,
    hash::Hash,
    record::{CONTENT_SUFFIX, Entry, EntryKind},
    seams::Records,
    secret::Secret,
};
use dataos_proof::{
    checkpoint::Checkpoint,
    frame::segment_first,
    log::{Damage, LogSummary, verify_segments_against},
    note::{SignerKey, VerifierKey},
};

pub(crate) const ORIGIN: &str = "logs.example/test";
/// What the clock shows in logs opened by [`open`].
pub(crate) const TIME_MS: i64 = 1_790_000_000_000;
pub(crate) const SEED: [u8; 32] = [7; 32];

/// A clock that the test sets.
#[derive(Debug)]
pub(crate) struct SetClock(AtomicI64);

impl SetClock {
    pub(crate) fn new(time_ms: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(time_ms)))
    }

    pub(crate) fn set(&self, time_ms: i64) {
        self.0.store(time_ms, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) fn config(directory: &Path) -> AuditConfig {
    AuditConfig::new(directory, ORIGIN)
}

pub(crate) fn try_open(directory: &Path) -> Result<Arc<AuditLog>, Fault> {
    AuditLog::open(config(directory), Secret::new(SEED), SetClock::new(TIME_MS))
}

pub(crate) fn open(directory: &Path) -> Arc<AuditLog> {
    try_open(directory).unwrap()
}

pub(crate) fn key() -> VerifierKey {
    SignerKey::from_seed(ORIGIN, &SEED)
        .unwrap()
        .verifier()
        .clone()
}

/// An entry with something in every field, different for each number.
pub(crate) fn entry(number: u64) -> Entry {
    let mut entry = Entry::new(EntryKind::Decision, format!("request-{number}"));
    entry.effect = Some(if number.is_multiple_of(3) {
        Effect::Deny
    } else {
        Effect::Allow
    });
    entry.action = if number.is_multiple_of(2) {
        "select"
    } else {
        "insert"
    }
    .to_owned();
    entry.request_digest = Hash::of(number.to_be_bytes());
    entry.policy_set = Hash::of("policies");
    entry.entities = Hash::of("entities");
    entry.principal = format!("DataOS::User::\"user-{}\"", number % 10);
    entry.resource = format!("DataOS::Dataset::\"lake/sales/table-{}\"", number % 7);
    entry.reason = if number.is_multiple_of(3) {
        "forbidden"
    } else {
        "permitted"
    }
    .to_owned();
    entry.policies = vec![format!("policy-{}", number % 5)];
    entry
        .with_fact("rows", number)
        .with_fact("sql", format!("SELECT {number} FROM Orders"))
}

/// The entry with what is kept beside the log in its place.
pub(crate) async fn whole(log: &dyn Records, mut entry: Entry) -> Result<Entry, Fault> {
    for (name, digest) in std::mem::take(&mut entry.facts) {
        let (name, value) = match name.strip_suffix(CONTENT_SUFFIX) {
            Some(name) => {
                let content = log.content(digest.parse().unwrap()).await?;
                (
                    name.to_owned(),
                    String::from_utf8(content.to_vec()).unwrap(),
                )
            }
            None => (name, digest),
        };
        entry.facts.insert(name, value);
    }
    Ok(entry)
}

/// Verifies the folder as an outsider would: segments, checkpoint file and public key alone.
pub(crate) fn verify(directory: &Path) -> Result<LogSummary, Damage> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| segment_first(name).is_some())
        .collect();
    names.sort();
    let known = fs::read_to_string(directory.join("checkpoint")).ok();
    let known = known.map(|note| Checkpoint::open(&note, &key()).unwrap());
    let segments = names.into_iter().map(|name| {
        let file = File::open(directory.join(&name)).unwrap();
        (name, file)
    });
    verify_segments_against(segments, &key(), known.into_iter().collect())
}

/// The name of the last segment, and the offset behind its last batch.
pub(crate) fn newest_segment(directory: &Path) -> (String, usize) {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| segment_first(name).is_some())
        .collect();
    names.sort();
    let name = names.pop().unwrap();
    let bytes = fs::read(directory.join(&name)).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    (name, end)
}
