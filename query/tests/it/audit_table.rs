//! The audit log as a table: the same rows whatever the statement lets the log leave out, filtered and
//! masked as any other dataset.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use dataos_model::{
    audit_table,
    clock::Timestamp,
    decision::Effect,
    depot::{DatasetSource, DepotSource},
    fault::{Fault, FaultKind},
    record::{Entry, EntryKind, LogStatus, RecordPage, RecordQuery, StoredEntry},
    seams::Records,
};

use crate::world::{World, equals};

/// A log in memory; remembers what it was asked.
#[derive(Debug, Default)]
struct Entries {
    stored: Vec<StoredEntry>,
    asked: Mutex<Vec<RecordQuery>>,
}

const ENTRIES: u64 = 2500;
/// The time of entry 0, milliseconds: 2026-01-01T00:00:00Z. One entry a second.
const FIRST_MS: i64 = 1_767_225_600_000;

fn stored(index: u64) -> StoredEntry {
    let user = ["alice", "bob", "carol"][usize::try_from(index % 3).unwrap()];
    let kind = if index % 5 == 4 {
        EntryKind::Outcome
    } else {
        EntryKind::Decision
    };
    let mut entry = Entry::new(kind, format!("request-{index}"))
        .with_fact("status", 200 + index % 2)
        .with_fact("trace_id", format!("{:032x}", index / 2));
    entry.effect = (kind == EntryKind::Decision).then_some(match index % 7 {
        0 => Effect::Deny,
        _ => Effect::Allow,
    });
    entry.action = "select".to_owned();
    entry.principal = format!("DataOS::User::\"{user}\"");
    entry.policies = vec!["p1".to_owned(), format!("p{}", index % 4)];
    StoredEntry {
        index,
        time: Timestamp(FIRST_MS + i64::try_from(index).unwrap() * 1000),
        entry,
    }
}

/// Whether the entry has all that a narrowed query asks for.
fn fits(query: &RecordQuery, stored: &StoredEntry) -> bool {
    let entry = &stored.entry;
    let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|w| w == found);
    query.before.is_none_or(|before| stored.index < before)
        && query.from.is_none_or(|from| stored.time >= from)
        && query.to.is_none_or(|to| stored.time < to)
        && query
            .effect
            .is_none_or(|effect| entry.effect == Some(effect))
        && query.kind.is_none_or(|kind| entry.kind == kind)
        && is(&query.principal, &entry.principal)
        && is(&query.action, &entry.action)
        && is(&query.request_id, &entry.request_id)
        && is(&query.trace, &entry.facts["trace_id"])
}

#[async_trait]
impl Records for Entries {
    async fn search(&self, query: &RecordQuery) -> Result<RecordPage, Fault> {
        self.asked.lock().unwrap().push(query.clone());
        let fitting = self
            .stored
            .iter()
            .rev()
            .filter(|stored| fits(query, stored));
        let entries: Vec<StoredEntry> = fitting.take(query.limit).cloned().collect();
        let next_before = (entries.len() == query.limit).then(|| entries[query.limit - 1].index);
        Ok(RecordPage {
            entries,
            next_before,
        })
    }

    async fn get(&self, _index: u64) -> Result<StoredEntry, Fault> {
        Err(Fault::not_found("not asked for"))
    }

    async fn proof(&self, _index: u64) -> Result<String, Fault> {
        Err(Fault::not_found("not asked for"))
    }

    async fn checkpoint(&self) -> Result<String, Fault> {
        Err(Fault::not_found("not asked for"))
    }

    async fn tile(&self, _path: &str) -> Result<Bytes, Fault> {
        Err(Fault::not_found("not asked for"))
    }

    fn status(&self) -> LogStatus {
        LogStatus::default()
    }
}

fn world() -> (World, Arc<Entries>) {
    let entries = Arc::new(Entries {
        stored: (0..ENTRIES).map(stored).collect(),
        asked: Mutex::default(),
    });
    let world = World::with_records(entries.clone());
    world
        .catalog
        .add_depot(audit_table::DEPOT, DepotSource::System);
    let schema = audit_table::schema();
    world
        .catalog
        .add_dataset(&audit_table::id(), schema, DatasetSource::AuditLog);
    (world, entries)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_a_table() {
    let (world, _) = world();
    for (sql, expected) in [
        (
            "SELECT count(*), min(index), max(index) FROM system.audit",
            "[[2500,0,2499]]",
        ),
        (
            "SELECT index, time, kind, effect, status, policies FROM system.audit \
             ORDER BY index DESC LIMIT 1",
            r#"[[2499,"2026-01-01T00:41:39Z","outcome",null,201,["p1","p3"]]]"#,
        ),
        (
            "SELECT effect, count(*) FROM system.log.audit WHERE kind = 'decision' GROUP BY effect \
             ORDER BY effect",
            r#"[["allow",1714],["deny",286]]"#,
        ),
        (
            "SELECT index FROM audit WHERE trace_id = '0000000000000000000000000000000a' ORDER BY 1",
            "[[20],[21]]",
        ),
        (
            "SELECT count(*) FROM audit WHERE time >= TIMESTAMP '2026-01-01T00:10:00Z' \
             AND time < TIMESTAMP '2026-01-01T00:11:00Z'",
            "[[60]]",
        ),
        (
            "SELECT count(*) FROM audit WHERE principal = 'DataOS::User::\"bob\"'",
            "[[833]]",
        ),
        (
            "SELECT count(*) FROM audit WHERE effect = 'perhaps' OR kind = 'no kind'",
            "[[0]]",
        ),
        (
            "SELECT count(*) FROM audit WHERE NOT (effect = 'deny')",
            "[[1714]]",
        ),
    ] {
        world.check(sql, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_filter_its_rows_and_mask_its_columns() {
    let (world, entries) = world();
    let id = audit_table::id();
    world
        .desk
        .rows(&id, equals("principal", "DataOS::User::\"alice\""));
    world.desk.mask(&id, "request_id", "redact()");
    world
        .check("SELECT count(*) FROM system.audit", "[[834]]")
        .await;
    world
        .check(
            "SELECT count(*) FROM system.audit WHERE principal = 'DataOS::User::\"bob\"'",
            "[[0]]",
        )
        .await;
    let shown = world
        .rows("SELECT DISTINCT request_id FROM system.audit")
        .await;
    assert!(!shown.contains("request-"), "{shown}");
    // A masked column is compared as it is shown, so the log is not asked for its raw value.
    entries.asked.lock().unwrap().clear();
    world
        .check(
            "SELECT count(*) FROM system.audit WHERE request_id = 'request-3'",
            "[[0]]",
        )
        .await;
    assert!(
        entries
            .asked
            .lock()
            .unwrap()
            .iter()
            .all(|query| query.request_id.is_none())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_asked_for_no_more_than_a_statement_needs() {
    let (world, entries) = world();
    let asked = || std::mem::take(&mut *entries.asked.lock().unwrap());
    world.rows("SELECT index FROM system.audit LIMIT 3").await;
    let limits: Vec<usize> = asked().iter().map(|query| query.limit).collect();
    assert!(
        limits.first().is_some_and(|limit| *limit <= 4),
        "{limits:?}"
    );
    world
        .rows("SELECT index FROM system.audit WHERE effect = 'deny' AND action = 'select'")
        .await;
    let queries = asked();
    assert_eq!(queries.len(), 1);
    let wanted = (queries[0].effect, queries[0].action.as_deref());
    assert_eq!(wanted, (Some(Effect::Deny), Some("select")));
    // It is no place to write to.
    let fault = world
        .refused("INSERT INTO system.log.audit SELECT * FROM system.audit")
        .await;
    assert_eq!(fault.kind, FaultKind::Unsupported);
}
