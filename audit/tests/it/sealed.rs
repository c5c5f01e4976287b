//! Packs: a log that seals gives the same answers as one that does not, before, while and after.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use dataos_audit::{AuditConfig, AuditLog, Indexes, verify_directory};
use dataos_model::{
    clock::Timestamp,
    decision::Effect,
    hash::Hash,
    record::{Entry, EntryKind, RecordQuery, StoredEntry},
    seams::{Record, Records},
    secret::Secret,
};
use dataos_proof::{
    Digest, frame::segment_first, proof::TlogProof, receipt, tile::TileTree, tree::leaf_hash,
};

use crate::scene::{SEED, SetClock, TIME_MS, config, key};

/// Entries of a pack in these tests.
pub(crate) const PACK: u64 = 1024;

/// Numbers that look random and are the same in each run.
#[derive(Debug)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

const PRINCIPALS: &[&str] = &[
    "DataOS::User::\"alice\"",
    "DataOS::User::\"bob\"",
    "DataOS::Service::\"alice\"",
    "DataOS::User::\"o'neil \u{e9}\"",
    "alice",
    "X::\"DataOS::User::\"alice\"\"",
    "",
];
const RESOURCES: &[&str] = &[
    "DataOS::Dataset::\"lake/a\"",
    "DataOS::Dataset::\"lake/b\"",
    "path/x",
    "",
];
const ACTIONS: &[&str] = &["select", "insert", "log_in", ""];
const POLICIES: &[&str] = &["p1", "p2", "p3"];

/// An entry that has every sort of field now and then; with enough text that segments fill.
pub(crate) fn varied(numbers: &mut Numbers, number: u64) -> Entry {
    let kind = EntryKind::ALL[numbers.below(4) as usize];
    let mut entry = Entry::new(kind, format!("request-{}", number / 2));
    entry.effect = [None, Some(Effect::Allow), Some(Effect::Deny)][numbers.below(3) as usize];
    entry.action = numbers.pick(ACTIONS).to_owned();
    entry.principal = numbers.pick(PRINCIPALS).to_owned();
    entry.resource = numbers.pick(RESOURCES).to_owned();
    entry.reason = numbers
        .pick(&["permitted", "forbidden", "line\nbreak"])
        .to_owned();
    if numbers.below(2) == 0 {
        entry.request_digest = Hash::of(number.to_be_bytes());
        entry.policy_set = Hash::of("policies");
        entry.entities = Hash::of("entities");
    }
    for _ in 0..numbers.below(4) {
        entry.policies.push(numbers.pick(POLICIES).to_owned());
    }
    entry.obligations = (0..numbers.below(3))
        .map(|n| format!("mask(column = \"c{n}\")"))
        .collect();
    entry.completes = (numbers.below(2) == 0).then(|| numbers.below(u64::MAX));
    if numbers.below(3) > 0 {
        entry = entry.with_fact("trace_id", format!("{:032x}", number / 3));
    }
    if numbers.below(50) == 0 {
        entry = entry
            .with_fact(&format!("rare {number}\n"), "")
            .with_fact("", "nameless");
    }
    let padding = "0123456789 abcdef ".repeat(30 + numbers.below(40) as usize);
    entry
        .with_fact("rows", numbers.below(1000))
        .with_fact("sql", padding)
}

pub(crate) fn sealing(folder: &Path, seal_entries: u64) -> AuditConfig {
    AuditConfig {
        seal_entries,
        segment_bytes: 4 << 20,
        ..config(folder)
    }
}

pub(crate) fn open_sealing(folder: &Path, seal_entries: u64) -> Arc<AuditLog> {
    open_at(folder, seal_entries, &SetClock::new(TIME_MS))
}

fn open_at(folder: &Path, seal_entries: u64, clock: &Arc<SetClock>) -> Arc<AuditLog> {
    let config = sealing(folder, seal_entries);
    AuditLog::open(config, Secret::new(SEED), Arc::clone(clock) as _).unwrap()
}

/// Waits until so many entries are sealed.
pub(crate) fn wait_sealed(log: &AuditLog, entries: u64) {
    let started = Instant::now();
    while log.status().sealed < entries {
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "{:?}",
            log.status()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn first_segment(folder: &Path) -> u64 {
    let names = fs::read_dir(folder).unwrap();
    let names = names.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| segment_first(&name)).min().unwrap()
}

/// A log, what was appended, and the tree over it.
struct Both {
    clock: Arc<SetClock>,
    numbers: Numbers,
    stored: Vec<StoredEntry>,
    leaves: Vec<Digest>,
}

impl Both {
    fn new() -> Self {
        Self {
            clock: SetClock::new(TIME_MS),
            numbers: Numbers(7),
            stored: Vec::new(),
            leaves: Vec::new(),
        }
    }

    /// Appends entries to both logs; the receipts of the second make the tree.
    async fn append(&mut self, plain: &AuditLog, sealing: &AuditLog, count: u64) {
        for _ in 0..count / 64 {
            let time = TIME_MS + self.stored.len() as i64 / 100;
            self.clock.set(time);
            let entries: Vec<Entry> = (0..64)
                .map(|offset| varied(&mut self.numbers, self.stored.len() as u64 + offset))
                .collect();
            let waiting: Vec<_> = entries
                .iter()
                .map(|entry| (plain.append(entry.clone()), sealing.append(entry.clone())))
                .collect();
            for ((plain, sealing), entry) in waiting.into_iter().zip(entries) {
                let (plain, sealing) = (plain.await.unwrap(), sealing.await.unwrap());
                assert_eq!(plain.index, sealing.index);
                let decoded = receipt::decode(&sealing.text).unwrap();
                self.leaves.push(leaf_hash(&decoded.entry));
                let time = Timestamp(time);
                self.stored.push(StoredEntry {
                    index: sealing.index,
                    time,
                    entry,
                });
            }
        }
    }

    /// A query with a few random conditions.
    fn query(&mut self) -> RecordQuery {
        let numbers = &mut self.numbers;
        let size = self.stored.len() as u64;
        let mut query = RecordQuery {
            limit: 1 + numbers.below(300) as usize,
            ..RecordQuery::default()
        };
        for _ in 0..1 + numbers.below(3) {
            let time = Timestamp(TIME_MS - 5 + numbers.below(size / 100 + 10) as i64);
            match numbers.below(13) {
                0 => query.from = Some(time),
                1 => query.to = Some(time),
                2 => {
                    let other = ["bob", "o'neil \u{e9}", "nobody", "User"];
                    query.principal = Some(numbers.pick(&[PRINCIPALS, &other].concat()).to_owned());
                }
                3 => {
                    query.resource =
                        Some(numbers.pick(&[RESOURCES, &["lake/a"]].concat()).to_owned())
                }
                4 => query.action = Some(numbers.pick(ACTIONS).to_owned()),
                5 => query.effect = Some([Effect::Allow, Effect::Deny][numbers.below(2) as usize]),
                6 => query.kind = Some(EntryKind::ALL[numbers.below(6) as usize]),
                7 => query.policy = Some(numbers.pick(POLICIES).to_owned()),
                8 => query.request_id = Some(format!("request-{}", numbers.below(size))),
                9 => query.trace = Some(format!("{:032x}", numbers.below(size / 2))),
                10 => {
                    query.text = Some(numbers.pick(&["BREAK", "rare 1", "c2", "zebra"]).to_owned())
                }
                11 => query.after = Some(numbers.below(size + 10)),
                _ => query.before = Some(numbers.below(size + 10)),
            }
        }
        query
    }
}

/// The condition by hand.
fn fits(query: &RecordQuery, stored: &StoredEntry) -> bool {
    let entry = &stored.entry;
    let uid = |wanted: &Option<String>, uid: &str| match wanted {
        None => true,
        Some(wanted) => {
            wanted == uid
                || uid.ends_with(&format!("::\"{wanted}\"")) && {
                    // The type ends at the first `::"`.
                    uid.split_once("::\"").unwrap().1 == format!("{wanted}\"")
                }
        }
    };
    let mut texts = vec![
        entry.request_id.as_str(),
        &entry.action,
        &entry.principal,
        &entry.resource,
        &entry.reason,
        entry.kind.name(),
        match entry.effect {
            None => "",
            Some(Effect::Allow) => "allow",
            Some(Effect::Deny) => "deny",
        },
    ];
    texts.extend(
        entry
            .policies
            .iter()
            .chain(&entry.obligations)
            .map(String::as_str),
    );
    texts.extend(
        entry
            .facts
            .iter()
            .flat_map(|(name, value)| [name.as_str(), value]),
    );
    query.from.is_none_or(|from| stored.time >= from)
        && query.to.is_none_or(|to| stored.time < to)
        && query.before.is_none_or(|before| stored.index < before)
        && query.after.is_none_or(|after| stored.index > after)
        && uid(&query.principal, &entry.principal)
        && uid(&query.resource, &entry.resource)
        && query
            .action
            .as_ref()
            .is_none_or(|action| *action == entry.action)
        && query
            .effect
            .is_none_or(|effect| Some(effect) == entry.effect)
        && query.kind.is_none_or(|kind| kind == entry.kind)
        && query
            .policy
            .as_ref()
            .is_none_or(|policy| entry.policies.contains(policy))
        && query
            .request_id
            .as_ref()
            .is_none_or(|id| *id == entry.request_id)
        && query
            .trace
            .as_ref()
            .is_none_or(|id| entry.facts.get("trace_id") == Some(id))
        && query.text.as_ref().is_none_or(|text| {
            texts
                .iter()
                .any(|known| known.to_lowercase().contains(&text.to_lowercase()))
        })
}

/// All pages of a query, which must have been asked with an index bound if entries are added.
async fn all_pages(log: &AuditLog, query: &RecordQuery) -> Vec<StoredEntry> {
    let (mut query, mut found) = (query.clone(), Vec::new());
    loop {
        let page = log.search(&query).await.unwrap();
        assert!(page.entries.len() <= query.limit);
        found.extend(page.entries);
        match page.next_before {
            Some(before) => query.before = Some(before),
            None => return found,
        }
    }
}

async fn check_queries(both: &mut Both, plain: &AuditLog, sealing: &AuditLog, queries: usize) {
    for _ in 0..queries {
        let query = both.query();
        let expected: Vec<&StoredEntry> = both
            .stored
            .iter()
            .rev()
            .filter(|stored| fits(&query, stored))
            .collect();
        let (a, b) = (
            plain.search(&query).await.unwrap(),
            sealing.search(&query).await.unwrap(),
        );
        assert_eq!(a.entries, b.entries, "{query:?}");
        let page: Vec<&StoredEntry> = expected.iter().copied().take(query.limit).collect();
        assert_eq!(b.entries.iter().collect::<Vec<_>>(), page, "{query:?}");
        // A page reads a block at least: not one page for each entry.
        let wide = RecordQuery {
            limit: 200 + query.limit,
            ..query.clone()
        };
        let all = all_pages(sealing, &wide).await;
        assert_eq!(all.iter().collect::<Vec<_>>(), expected, "{query:?}");
        check_summary(both, &query, sealing).await;
    }
}

async fn check_summary(both: &Both, query: &RecordQuery, log: &AuditLog) {
    let query = RecordQuery {
        before: None,
        after: None,
        ..query.clone()
    };
    let summary = log.summary(&query).await.unwrap();
    let fitting: Vec<&StoredEntry> = both
        .stored
        .iter()
        .filter(|stored| fits(&query, stored))
        .collect();
    assert!(summary.is_complete);
    assert_eq!(summary.total, fitting.len() as u64, "{query:?}");
    let count = |has: &dyn Fn(&Entry) -> bool| {
        fitting.iter().filter(|stored| has(&stored.entry)).count() as u64
    };
    for found in &summary.principals {
        assert_eq!(
            found.count,
            count(&|entry| entry.principal == found.text),
            "{query:?}"
        );
    }
    for found in &summary.policies {
        assert_eq!(
            found.count,
            count(&|entry| entry.policies.contains(&found.text))
        );
    }
    for found in &summary.kinds {
        assert_eq!(found.count, count(&|entry| entry.kind.name() == found.text));
    }
    for found in &summary.actions {
        assert_eq!(found.count, count(&|entry| entry.action == found.text));
    }
    let different: std::collections::BTreeSet<&str> = fitting
        .iter()
        .map(|stored| stored.entry.resource.as_str())
        .filter(|text| !text.is_empty())
        .collect();
    assert_eq!(summary.resources.len(), different.len());
    assert!(summary.histogram.len() <= 60);
    for (position, bar) in summary.histogram.iter().enumerate() {
        let end = summary.histogram.get(position + 1).map(|next| next.from);
        let in_bar = |stored: &&&StoredEntry| {
            (position == 0 || stored.time >= bar.from) && end.is_none_or(|end| stored.time < end)
        };
        let expected = fitting.iter().filter(in_bar).count() as u64;
        assert_eq!(
            bar.count, expected,
            "{query:?} {position} {:?}",
            summary.histogram
        );
    }
}

/// Every proof and every tile, against a tree made from the receipts.
async fn check_tree(both: &Both, log: &AuditLog) {
    let mut tree = TileTree::new();
    both.leaves.iter().for_each(|leaf| tree.push(*leaf));
    let size = both.leaves.len() as u64;
    for index in (0..size)
        .step_by(97)
        .chain([0, 255, 256, PACK - 1, PACK, size - 1])
    {
        let proof: TlogProof = log.proof(index).await.unwrap().parse().unwrap();
        assert_eq!(Some(&proof.hashes), tree.inclusion(index, size).as_ref());
        let leaf = both.leaves[index as usize];
        assert_eq!(proof.verify(&leaf, &key()).unwrap().size, size);
        assert_eq!(leaf_hash(&proof.extra.unwrap()), leaf);
        assert_eq!(log.get(index).await.unwrap(), both.stored[index as usize]);
    }
    for tile in 0..size / 256 {
        let path = format!("tile/0/{tile:03}");
        let expected = both.leaves[tile as usize * 256..][..256].concat();
        assert_eq!(log.tile(&path).await.unwrap(), expected);
        assert_eq!(
            log.tile(&format!("{path}.p/7")).await.unwrap(),
            expected[..7 * 32]
        );
    }
    let path = format!("tile/1/000.p/{}", size / 256);
    assert_eq!(
        Some(log.tile(&path).await.unwrap().to_vec()),
        tree.tile(&path.parse().unwrap())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_seals_answers_like_one_that_does_not() {
    let (plain_folder, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut both = Both::new();
    let plain = open_at(plain_folder.path(), 1 << 20, &both.clock);
    let log = open_at(folder.path(), PACK, &both.clock);
    both.append(&plain, &log, 2560).await;
    wait_sealed(&log, 2 * PACK);
    both.append(&plain, &log, 1984).await;
    wait_sealed(&log, 4 * PACK);
    check_queries(&mut both, &plain, &log, 60).await;
    check_tree(&both, &log).await;
    assert!(first_segment(folder.path()) > PACK, "segments are deleted");
    drop(log);
    // Another process, and packs of another size behind the first ones.
    let log = open_at(folder.path(), 2 * PACK, &both.clock);
    assert_eq!((log.recovery().packs, log.status().sealed), (4, 4 * PACK));
    assert_eq!(log.status().size, both.stored.len() as u64);
    check_queries(&mut both, &plain, &log, 25).await;
    both.append(&plain, &log, 1920).await;
    wait_sealed(&log, 6 * PACK);
    check_queries(&mut both, &plain, &log, 25).await;
    check_tree(&both, &log).await;
    log.close().unwrap();
    let summary =
        verify_directory(folder.path(), &key(), Vec::new(), 2, Indexes::MadeAgain).unwrap();
    assert_eq!(summary.log.size, both.stored.len() as u64 + 1);
    assert_eq!((summary.packs, summary.sealed), (5, 6 * PACK));
    assert!(summary.sealed_bytes > 0);
}

/// Pages stay what they were although entries are added and sealed between them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_stable_while_entries_are_sealed() {
    let (plain_folder, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut both = Both::new();
    let plain = open_at(plain_folder.path(), 1 << 20, &both.clock);
    let log = open_at(folder.path(), PACK, &both.clock);
    both.append(&plain, &log, 960).await;
    let size = both.stored.len();
    let mut query = RecordQuery {
        principal: Some("alice".to_owned()),
        limit: 20,
        ..RecordQuery::default()
    };
    let mut found = Vec::new();
    loop {
        let page = log.search(&query).await.unwrap();
        found.extend(page.entries);
        both.append(&plain, &log, 128).await;
        wait_sealed(&log, both.stored.len() as u64 / PACK * PACK);
        match page.next_before {
            Some(before) => query.before = Some(before),
            None => break,
        }
    }
    query.before = None;
    let expected: Vec<StoredEntry> = both.stored[..size]
        .iter()
        .rev()
        .filter(|stored| fits(&query, stored))
        .cloned()
        .collect();
    assert_eq!(found, expected);
    assert!(log.status().sealed >= PACK);
}

/// Readers, callers and the sealer at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_every_entry_while_it_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let log = open_sealing(folder.path(), PACK);
    let reader = {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            let mut numbers = Numbers(1);
            while log.status().sealed < 5 * PACK {
                let size = log.status().size;
                if size == 0 {
                    tokio::task::yield_now().await;
                    continue;
                }
                let index = numbers.below(size);
                let stored = log.get(index).await.unwrap();
                assert_eq!(stored.entry.request_id, format!("request-{}", index / 2));
                let proof: TlogProof = log.proof(index).await.unwrap().parse().unwrap();
                let leaf = leaf_hash(proof.extra.as_ref().unwrap());
                proof.verify(&leaf, &key()).unwrap();
                let query = RecordQuery {
                    request_id: Some(stored.entry.request_id),
                    limit: 5,
                    ..RecordQuery::default()
                };
                let page = log.search(&query).await.unwrap();
                assert!(page.entries.iter().any(|stored| stored.index == index));
            }
        })
    };
    let mut numbers = Numbers(2);
    for start in (0..5 * PACK + 100).step_by(32) {
        let waiting: Vec<_> = (start..start + 32)
            .map(|number| log.append(varied(&mut numbers, number)))
            .collect();
        for receipt in waiting {
            receipt.await.unwrap();
        }
    }
    reader.await.unwrap();
}
