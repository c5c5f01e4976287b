//! Every statement leaves a decision and an outcome, or a refusal; no record, no answer.

use dataos_model::{
    action::Action, decision::Effect, fault::FaultKind, hash::Hash, record::EntryKind,
};

use crate::world::{World, equals};

fn world() -> World {
    let world = World::new();
    let id = world.csv(
        "people",
        &[("id", "bigint"), ("name", "text")],
        "1,ada\n2,bela\n",
    );
    world.desk.rows(&id, equals("name", "ada"));
    world.desk.mask(&id, "name", "hash()");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_says_what_was_enforced() {
    let world = world();
    let answer = world
        .run("SELECT name FROM people WHERE id = 4711")
        .await
        .unwrap();
    let entries = world.log.entries();
    let [decision, outcome] = entries.as_slice() else {
        panic!("{entries:#?}")
    };
    assert_eq!(decision.kind, EntryKind::Decision);
    assert_eq!(
        (decision.effect, decision.action.as_str()),
        (Some(Effect::Allow), "select")
    );
    assert_eq!(decision.principal, "DataOS::User::\"alice\"");
    assert_eq!(decision.resource, "DataOS::Dataset::\"lake:main/people\"");
    assert_eq!(decision.policies, ["cells", "rows", "select"]);
    assert_eq!(decision.obligations, ["hash() on lake:main/people/name"]);
    assert_eq!(
        decision.facts["rows lake:main/people"],
        "name IS NOT NULL AND name = 'ada'"
    );
    assert!(
        !decision.facts["sql"].contains("4711"),
        "{:?}",
        decision.facts
    );
    assert_eq!(decision.policy_set, Hash::of("policies"));
    assert_eq!(
        decision.facts["statement"],
        answer.certificate.statement.to_string()
    );
    assert_eq!(
        answer.certificate.statement,
        Hash::of(&answer.certificate.governed_sql)
    );
    assert_eq!(answer.certificate.tables.len(), 1);
    assert_eq!(answer.receipt.index, 0);
    assert_eq!(
        (outcome.kind, outcome.completes),
        (EntryKind::Outcome, Some(0))
    );
    assert_eq!(outcome.facts["status"], "ok");
    assert_eq!(outcome.facts["rows"], "0");
    assert_eq!(outcome.request_id, decision.request_id);
    assert_eq!(outcome.request_digest, decision.request_digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_obligation_that_the_layer_does_not_know_is_a_refusal() {
    for sql in [
        "SELECT name FROM lake.main.people",
        "INSERT INTO lake.main.people SELECT * FROM lake.main.people",
    ] {
        let world = world();
        world.desk.oblige("watermark(size = 5, key = 'id')");
        let fault = world.run(sql).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Denied, "{sql}: {fault}");
        assert_eq!(fault.reason, "obligation_unknown", "{sql}");
        assert!(fault.message.contains("watermark"), "{sql}: {fault}");
        assert!(fault.hint.unwrap().contains("@obligation"), "{sql}");
        let entries = world.log.entries();
        let [refusal] = entries.as_slice() else {
            panic!("{sql}: {entries:#?}")
        };
        assert_eq!(refusal.effect, Some(Effect::Deny), "{sql}");
        assert_eq!(refusal.reason, "obligation_unknown", "{sql}");
        assert_eq!(
            refusal.obligations,
            ["watermark(key = 'id', size = 5)"],
            "{sql}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_recorded_with_their_reason() {
    let world = world();
    world.csv("closed", &[("id", "bigint")], "1\n");
    world.desk.deny(Action::Select, "lake:main/closed");
    for (sql, kind, reason) in [
        ("SELEC 1", FaultKind::Invalid, "sql_syntax"),
        (
            "DROP TABLE people",
            FaultKind::Unsupported,
            "sql_unsupported",
        ),
        (
            "SELECT 1; SELECT 2",
            FaultKind::Unsupported,
            "sql_unsupported",
        ),
        (
            "SELECT id FROM nowhere",
            FaultKind::NotFound,
            "sql_unknown_name",
        ),
        (
            "SELECT nothing FROM people",
            FaultKind::NotFound,
            "sql_unknown_name",
        ),
        (
            "SELECT * FROM generate_series(1, 10)",
            FaultKind::Unsupported,
            "sql_unsupported",
        ),
        (
            "SELECT * FROM 'people.csv'",
            FaultKind::Unsupported,
            "sql_unsupported",
        ),
        ("SELECT id FROM closed", FaultKind::Denied, "no_permit"),
    ] {
        let fault = world.refused(sql).await;
        assert_eq!(
            (fault.kind, fault.reason.as_str()),
            (kind, reason),
            "{sql}: {fault:?}"
        );
        let entry = world.log.entries().pop().unwrap();
        assert_eq!(
            (entry.effect, entry.reason.as_str()),
            (Some(Effect::Deny), reason),
            "{sql}"
        );
        assert_eq!(entry.facts["sql_digest"], Hash::of(sql).to_string());
    }
    assert_eq!(world.log.entries().len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_recorded_as_outcomes() {
    let world = world();
    let fault = world.refused("SELECT 1 / (id - 1) FROM people").await;
    assert_eq!(fault.reason, "division_by_zero");
    let entries = world.log.entries();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1].completes, Some(0));
    assert_eq!(
        (
            entries[1].reason.as_str(),
            entries[1].facts["status"].as_str()
        ),
        ("division_by_zero", "failed")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_record_nothing_is_answered() {
    let world = world();
    world.log.breaks();
    for sql in [
        "SELECT id FROM people",
        "SELECT 1",
        "CREATE TABLE lake.main.copy AS SELECT 1 AS x",
    ] {
        let fault = world.refused(sql).await;
        assert_eq!(
            (fault.kind, fault.reason.as_str()),
            (FaultKind::Unavailable, "not_recorded")
        );
    }
    assert!(world.catalog.calls().is_empty());
    assert!(!world.path("copy.parquet").exists());
}
