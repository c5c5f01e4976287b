//! A file gives back the very entries; its index finds what it should, and damage to it is noticed.

use std::path::Path;

use dataos_model::{
    decision::Effect,
    hash::Hash,
    record::{Entry, EntryKind},
};
use dataos_proof::{entry::Salt, tree::leaf_hash};
use proptest::prelude::*;

use super::{
    BLOCK_ROWS,
    build::build,
    columns::{RowBuilder, can_be_column},
    file::SealedFile,
    file_name, first_of,
    index::{Field, Index, IndexError, Key},
    index_name, is_unfinished,
    postings::RowSet,
    writer::SealedWriter,
};
use crate::{codec::id_of, disk::SystemDisk, row::Row};

const COUNT: u64 = 2 * BLOCK_ROWS as u64;
const FIRST: u64 = 3 * COUNT;

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[ab]{1,2}",
        "T::\"[ab]{1,2}\"",
        proptest::collection::vec(any::<char>(), 0..12).prop_map(String::from_iter),
    ]
}

fn any_hash() -> impl Strategy<Value = Hash> {
    prop_oneof![
        Just(Hash::default()),
        Just(Hash([1; 32])),
        any::<[u8; 32]>().prop_map(Hash)
    ]
}

prop_compose! {
    fn any_entry()(
        kind in 0..EntryKind::ALL.len(),
        request_id in "[a-c]{0,3}",
        effect in proptest::option::of(any::<bool>()),
        action in "[a-c]{0,2}",
        hashes in [any_hash(), any_hash(), any_hash()],
        texts in [any_text(), any_text(), any_text()],
        policies in proptest::collection::vec(any_text(), 0..3),
        obligations in proptest::collection::vec(any_text(), 0..3),
        completes in proptest::option::of(any::<u64>()),
        facts in proptest::collection::btree_map(
            prop_oneof![Just("trace_id".to_owned()), "[a-e]", any_text()], any_text(), 0..4),
    ) -> Entry {
        let [request_digest, policy_set, entities] = hashes;
        let [principal, resource, reason] = texts;
        Entry {
            effect: effect.map(|allows| if allows { Effect::Allow } else { Effect::Deny }),
            action, request_digest, policy_set, entities, principal, resource, reason,
            policies, obligations, completes, facts,
            ..Entry::new(EntryKind::ALL[kind], request_id)
        }
    }
}

/// The entry at a position: a few entries, over and over.
fn at(entries: &[Entry], number: u64) -> (&Entry, i64, Salt) {
    let entry = &entries[(number * number % 1009) as usize % entries.len()];
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(&number.to_be_bytes());
    (entry, i64::try_from(number / 7).unwrap() - 100, salt)
}

fn write(folder: &Path, entries: &[Entry]) -> SealedFile {
    let facts = ["a", "c", "trace_id"].map(str::to_owned);
    let mut rows = RowBuilder::new(&facts);
    let path = folder.join(file_name(FIRST));
    let mut writer: Option<SealedWriter<'_>> = None;
    for number in 0..COUNT {
        let (entry, time_ms, salt) = at(entries, number);
        rows.push(&Row::of(entry, FIRST + number, time_ms, &salt))
            .unwrap();
        if (number + 1) % u64::from(BLOCK_ROWS) == 0 {
            let batch = rows.finish().unwrap();
            let repetitive = ["principal", "fact.a", "entities"].map(str::to_owned);
            let create = || SealedWriter::create(&path, &SystemDisk, &batch, &repetitive).unwrap();
            writer.get_or_insert_with(create).write(&batch).unwrap();
        }
    }
    writer.unwrap().finish().unwrap();
    SealedFile::open(&path, FIRST).unwrap()
}

fn seal(folder: &Path, entries: &[Entry]) -> (SealedFile, Index) {
    let file = write(folder, entries);
    let built = build(&file, "a note", &|| false).unwrap().unwrap();
    let path = folder.join(index_name(FIRST));
    std::fs::write(&path, &built.bytes).unwrap();
    let (index, hashes) = Index::open(&path, FIRST).unwrap();
    assert_eq!(hashes, built.hashes);
    (file, index)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn entries_come_back_from_columns_with_the_same_leaf(
        entries in proptest::collection::vec(any_entry(), 1..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let file = write(folder.path(), &entries);
        prop_assert_eq!(u64::from(file.count()), COUNT);
        for range in [0..1, 5..300, 1000..1030, BLOCK_ROWS..2 * BLOCK_ROWS] {
            let rows = file.rows(range.clone()).unwrap();
            for (position, number) in range.clone().enumerate() {
                let (entry, time_ms, salt) = at(&entries, u64::from(number));
                let written = Row::of(entry, FIRST + u64::from(number), time_ms, &salt);
                let read = rows.row(position).unwrap();
                prop_assert_eq!(read.stored(), written.stored());
                prop_assert_eq!(leaf_hash(&read.leaf().unwrap()), leaf_hash(&written.leaf().unwrap()));
            }
            let times = file.times(range.clone()).unwrap();
            let expected: Vec<i64> = range.map(|number| at(&entries, u64::from(number)).1).collect();
            prop_assert_eq!(times, expected);
        }
        prop_assert!(file.rows(2000..2 * BLOCK_ROWS + 1).is_err());
    }

    #[test]
    fn an_index_finds_every_entry_and_no_other(
        entries in proptest::collection::vec(any_entry(), 1..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (_, index) = seal(folder.path(), &entries);
        prop_assert_eq!((index.first, u64::from(index.count), index.note.as_str()), (FIRST, COUNT, "a note"));
        index.check().unwrap();
        let matching = |fits: &dyn Fn(&Entry) -> bool| -> Vec<u32> {
            (0..COUNT).filter(|number| fits(at(&entries, *number).0)).map(|number| number as u32).collect()
        };
        let found = |field, text: &str| index.rows_of(field, text).unwrap().iter().collect::<Vec<_>>();
        for entry in &entries {
            let principal = &entry.principal;
            for text in [Some(principal.as_str()), id_of(principal)].into_iter().flatten() {
                let fits = |entry: &Entry| entry.principal == text || id_of(&entry.principal) == Some(text);
                prop_assert_eq!(found(Field::Principal, text), matching(&fits), "{}", text);
            }
            let fits = |other: &Entry| other.action == entry.action;
            prop_assert_eq!(found(Field::Action, &entry.action), matching(&fits));
            let fits = |other: &Entry| other.kind == entry.kind;
            prop_assert_eq!(found(Field::Kind, entry.kind.name()), matching(&fits));
            for policy in &entry.policies {
                let fits = |other: &Entry| other.policies.contains(policy);
                prop_assert_eq!(found(Field::Policy, policy), matching(&fits));
            }
            let fits = |other: &Entry| other.request_id == entry.request_id;
            let blocks = index.blocks_of(Key::Request, &entry.request_id).unwrap();
            prop_assert!(matching(&fits).iter().all(|row| blocks.contains(&(row / BLOCK_ROWS))));
            if let Some(trace) = entry.facts.get("trace_id") {
                let fits = |other: &Entry| other.facts.get("trace_id") == Some(trace);
                let blocks = index.blocks_of(Key::Trace, trace).unwrap();
                prop_assert!(matching(&fits).iter().all(|row| blocks.contains(&(row / BLOCK_ROWS))));
            }
        }
        prop_assert!(found(Field::Resource, "nobody has this").is_empty());
        let terms = index.all_terms().unwrap();
        let sets = index.all_sets().unwrap();
        for term in &terms {
            let rows = index.set(term).unwrap();
            let len = rows.len();
            let all = RowSet::new((0..index.count).collect(), index.count);
            prop_assert_eq!(index.count_in(term, &all, &sets).unwrap(), len);
            let own = RowSet::new(rows, index.count);
            prop_assert_eq!(index.count_in(term, &own, &sets).unwrap(), len);
        }
    }
}

/// Whatever byte is changed: an error, or an answer from a part that was not touched.
#[test]
fn damage_to_any_byte_of_an_index_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let entries: Vec<Entry> = (0..30)
        .map(|number| {
            let mut entry = Entry::new(EntryKind::Decision, format!("request-{number}"));
            entry.principal = format!("T::\"{number}\"");
            entry.with_fact("trace_id", number)
        })
        .collect();
    let (_, good) = seal(folder.path(), &entries);
    let path = folder.path().join(index_name(FIRST));
    let whole = std::fs::read(&path).unwrap();
    let expected: Vec<_> = (0..30)
        .map(|number| good.rows_of(Field::Principal, &number.to_string()).unwrap())
        .collect();
    for position in (0..whole.len()).step_by(19) {
        let mut bytes = whole.clone();
        bytes[position] ^= 1 << (position % 8);
        std::fs::write(&path, &bytes).unwrap();
        let Ok((index, _)) = Index::open(&path, FIRST) else {
            continue;
        };
        assert!(index.check().is_err(), "byte {position}");
        for (number, expected) in expected.iter().enumerate() {
            match index.rows_of(Field::Principal, &number.to_string()) {
                Ok(rows) => assert_eq!(rows, *expected, "byte {position}"),
                Err(error) => assert!(matches!(error, IndexError::Damaged(_)), "{error}"),
            }
            let _ = index.blocks_of(Key::Request, &format!("request-{number}"));
        }
    }
    for length in [0, 1, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(Index::open(&path, FIRST).is_err(), "{length}");
    }
    std::fs::write(&path, &whole).unwrap();
    assert!(
        Index::open(&path, FIRST + COUNT).is_err(),
        "the index of another pack"
    );
}

#[test]
fn names_belong_to_packs() {
    assert_eq!(first_of(&file_name(42), ".parquet"), Some(42));
    assert_eq!(first_of(&index_name(42), ".index"), Some(42));
    assert_eq!(first_of(&index_name(42), ".parquet"), None);
    assert_eq!(first_of("sealed-42.parquet", ".parquet"), None);
    assert!(is_unfinished(&format!("{}.new", file_name(0))));
    assert!(!is_unfinished(&file_name(0)));
    assert!(!is_unfinished("spare.new"));
    assert!(can_be_column("rows crm:main/customers") && can_be_column("trace_id"));
    assert!(!can_be_column("") && !can_be_column("a\nb") && !can_be_column(&"x".repeat(65)));
}
