//! UPDATE and DELETE: which rows, which columns, what is refused, and what the disk holds afterwards.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
use dataos_model::{
    access::CellOutcome,
    action::Action,
    dataset::DatasetId,
    depot::{DatasetSource, generation},
    fault::FaultKind,
    lineage::Transformation,
    mask::Mask,
    predicate::Predicate,
    seams::RunQuery,
};

use crate::world::{World, always, equals, when};

const COLUMNS: &[(&str, &str)] = &[
    ("id", "bigint"),
    ("region", "text"),
    ("amount", "bigint"),
    ("email", "text"),
    ("ssn", "text"),
];

/// Rows 1 to 6; those of AMER (2, 5) and without a region (4) are hidden, `email` is masked, `ssn` absent.
fn world() -> (World, DatasetId) {
    let world = World::new();
    let regions = [
        Some("EMEA"),
        Some("AMER"),
        Some("EMEA"),
        None,
        Some("AMER"),
        Some("EMEA"),
    ];
    let texts = |text: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(
            (1..=6).map(|id| format!("{text}{id}")),
        ))
    };
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(1..=6)),
        Arc::new(StringArray::from_iter(regions)),
        Arc::new(Int64Array::from_iter_values((1..=6).map(|id| id * 10))),
        texts("mail"),
        texts("s"),
    ];
    let id = world.stored("t", COLUMNS, arrays);
    world.desk.rows(&id, equals("region", "EMEA"));
    world.desk.mask(&id, "email", "partial(first = 1)");
    world.desk.absent(&id, "ssn");
    (world, id)
}

const BEFORE: [&str; 6] = [
    "1|EMEA|10|mail1|s1",
    "2|AMER|20|mail2|s2",
    "3|EMEA|30|mail3|s3",
    "4||40|mail4|s4",
    "5|AMER|50|mail5|s5",
    "6|EMEA|60|mail6|s6",
];

fn parts(world: &World) -> Vec<String> {
    world.names_in("t.parquet")
}

#[tokio::test(flavor = "multi_thread")]
async fn visible_rows_change_and_hidden_ones_stay() {
    let (world, id) = world();
    world
        .check(
            "UPDATE t SET amount = amount + 1 WHERE amount >= 20",
            "[[2]]",
        )
        .await;
    assert_eq!(
        world.raw(&id),
        [
            "1|EMEA|10|mail1|s1",
            "2|AMER|20|mail2|s2",
            "3|EMEA|31|mail3|s3",
            "4||40|mail4|s4",
            "5|AMER|50|mail5|s5",
            "6|EMEA|61|mail6|s6",
        ]
    );
    world
        .check("DELETE FROM t WHERE id IN (1, 2, 4)", "[[1]]")
        .await;
    world
        .check("SELECT id, amount FROM t ORDER BY id", "[[3,31],[6,61]]")
        .await;
    world
        .check("UPDATE t AS x SET amount = NULL, id = x.id * 2", "[[2]]")
        .await;
    world.check("DELETE FROM lake.main.t", "[[2]]").await;
    assert_eq!(
        world.raw(&id),
        ["2|AMER|20|mail2|s2", "4||40|mail4|s4", "5|AMER|50|mail5|s5"]
    );
    world.check("DELETE FROM t", "[[0]]").await;
    let names = parts(&world);
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(names[0].starts_with("gen-4-part-"), "{names:?}");
    let dataset = world.catalog.dataset(&id).unwrap();
    assert_eq!(dataset.row_count, Some(3));
}

/// Refusals of values and rows: kind and reason.
const UNWRITTEN: &[(&str, FaultKind, &str)] = &[
    (
        "UPDATE t SET email = 'x'",
        FaultKind::Denied,
        "masked_write",
    ),
    (
        "UPDATE t SET region = email",
        FaultKind::Denied,
        "masked_write",
    ),
    (
        "UPDATE t SET amount = (SELECT count(DISTINCT b.email) FROM t b)",
        FaultKind::Denied,
        "masked_write",
    ),
    (
        "UPDATE t SET ssn = 'x'",
        FaultKind::NotFound,
        "sql_unknown_name",
    ),
    (
        "UPDATE t SET nope = 'x'",
        FaultKind::NotFound,
        "sql_unknown_name",
    ),
    (
        "UPDATE t SET region = ssn",
        FaultKind::NotFound,
        "sql_unknown_name",
    ),
    (
        "UPDATE t SET region = 'AMER' WHERE id = 3",
        FaultKind::Denied,
        "row_policy",
    ),
    (
        "UPDATE t SET region = NULL",
        FaultKind::Denied,
        "row_policy",
    ),
    (
        "UPDATE t SET amount = 1 / (id - 3)",
        FaultKind::Invalid,
        "division_by_zero",
    ),
    (
        "UPDATE t SET amount = 'x'",
        FaultKind::Invalid,
        "conversion",
    ),
    (
        "DELETE FROM t WHERE 1 / (id - 6) > 0",
        FaultKind::Invalid,
        "division_by_zero",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_or_masked_is_not_written() {
    let (world, id) = world();
    for (sql, kind, reason) in UNWRITTEN {
        let fault = world.refused(sql).await;
        let found = (fault.kind, fault.reason.as_str());
        assert_eq!(found, (*kind, *reason), "{sql}: {fault:?}");
    }
    // What fails on hidden rows only does not fail.
    world
        .check(
            "UPDATE t SET amount = 100 / (id - 2) WHERE 1 / (id - 5) < 9",
            "[[3]]",
        )
        .await;
    world
        .check(
            "UPDATE t SET amount = 70 WHERE email LIKE 'm%' AND id = 1",
            "[[1]]",
        )
        .await;
    let raw = world.raw(&id);
    assert_eq!(raw.len(), 6);
    assert_eq!((raw[1].as_str(), raw[3].as_str()), (BEFORE[1], BEFORE[3]));
    assert_eq!(raw[0], "1|EMEA|70|mail1|s1");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_decide_what_is_hidden_are_not_changed() {
    let (world, id) = world();
    let masked = CellOutcome::Masked(Mask::parse("redact(replacement = 'shut')").unwrap());
    world.desk.cells(
        &id,
        "email",
        vec![
            when(equals("amount", 70), CellOutcome::Plain),
            always(masked),
        ],
    );
    let fault = world.refused("UPDATE t SET amount = 70").await;
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Denied, "decides_masks")
    );
    // Whether a row stays visible would tell its `ssn`.
    world.desk.rows(
        &id,
        Predicate::any([equals("region", "EMEA"), equals("ssn", "s2")]),
    );
    let fault = world.refused("UPDATE t SET region = 'APAC'").await;
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Denied, "decides_rows")
    );
    world.check("UPDATE t SET id = id + 100", "[[4]]").await;
    assert_eq!(world.raw(&id)[4], BEFORE[4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_decided_recorded_and_staged() {
    let (world, id) = world();
    for (action, sql) in [
        (Action::Update, "UPDATE t SET amount = 1"),
        (Action::Delete, "DELETE FROM t"),
        (Action::Select, "DELETE FROM t"),
    ] {
        let (world, _) = self::world();
        world.desk.deny(action, "lake:main/t");
        let fault = world.refused(sql).await;
        assert_eq!(
            (fault.kind, fault.reason.as_str()),
            (FaultKind::Denied, "no_permit")
        );
        let entry = world.log.entries().pop().unwrap();
        assert_eq!(entry.action, action.name(), "{sql}");
        assert!(world.catalog.calls().is_empty());
        assert_eq!(world.raw(&id), BEFORE);
    }
    world
        .check("UPDATE t SET amount = id WHERE region = 'EMEA'", "[[3]]")
        .await;
    assert_eq!(
        world.catalog.calls(),
        ["stage lake:main/t", "settle 7 lake:main/t"]
    );
    let entries = world.log.entries();
    let decided = &entries[0];
    assert_eq!(
        (decided.action.as_str(), decided.resource.as_str()),
        ("update", "DataOS::Dataset::\"lake:main/t\"")
    );
    assert!(
        decided.facts["sql"].starts_with("UPDATE lake:main/t: SELECT"),
        "{decided:?}"
    );
    assert!(
        decided.facts.contains_key("asked_write") && decided.facts.contains_key("asked_access")
    );
    assert_eq!(entries[1].facts["rows"], "1");
    let lineage = world.catalog.lineage_of_writes().pop().unwrap();
    assert!(!lineage.creates);
    let kinds: Vec<_> = lineage
        .edges
        .iter()
        .map(|edge| {
            (
                edge.source_column.as_str(),
                edge.target_column.as_str(),
                edge.transformation,
            )
        })
        .collect();
    assert_eq!(
        kinds,
        [
            ("id", "amount", Transformation::Identity),
            ("region", "amount", Transformation::Indirect),
        ]
    );
    // Nothing is staged or written where no row is found.
    let names = parts(&world);
    world.check("DELETE FROM t WHERE id = 2", "[[0]]").await;
    assert_eq!((world.catalog.calls().len(), parts(&world)), (2, names));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_fails_leaves_the_table_as_it_was() {
    let (world, id) = world();
    world.catalog.refuse_settling();
    let fault = world.refused("UPDATE t SET amount = 1").await;
    assert_eq!(fault.kind, FaultKind::Unavailable);
    assert_eq!(world.catalog.calls(), ["stage lake:main/t", "retract 7"]);
    assert_eq!(
        (parts(&world), world.raw(&id)),
        (
            vec!["part-1.parquet".to_owned()],
            BEFORE.map(str::to_owned).to_vec()
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_not_stored_here_are_refused() {
    let (world, _) = world();
    world.csv("c", &[("id", "bigint")], "1\n2\n");
    world.parquet(
        "p",
        &[("id", "bigint")],
        vec![Arc::new(Int64Array::from(vec![1]))],
    );
    let nanoseconds = datafusion::arrow::array::TimestampNanosecondArray::from(vec![1_001]);
    world.stored("n", &[("at", "timestamp")], vec![Arc::new(nanoseconds)]);
    world.stored(
        "r",
        &[("__row", "bigint")],
        vec![Arc::new(Int64Array::from(vec![1]))],
    );
    for sql in [
        "DELETE FROM c",
        "UPDATE p SET id = 1",
        "DELETE FROM n",
        "DELETE FROM r",
    ] {
        let fault = world.refused(sql).await;
        assert_eq!(fault.kind, FaultKind::Unsupported, "{sql}: {fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_wait_for_each_other() {
    const WRITERS: i64 = 12;
    let (world, id) = world();
    let world = Arc::new(world);
    let writers = (0..WRITERS).map(|number| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let sql = match number % 3 {
                0 => "UPDATE t SET amount = amount + 1",
                1 => "UPDATE t SET id = id + 100 WHERE amount >= 0",
                _ => "INSERT INTO lake.main.t (region, amount) VALUES ('EMEA', 0)",
            };
            world.run(sql).await.unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let raw = world.raw(&id);
    assert_eq!(raw.len(), 6 + 4, "{raw:?}");
    for (row, first) in [
        "401|EMEA|14|mail1|s1",
        "403|EMEA|34|mail3|s3",
        "406|EMEA|64|mail6|s6",
    ]
    .iter()
    .zip([0, 2, 5])
    {
        assert!(raw.contains(&(*row).to_owned()), "{row}: {raw:?}");
        assert!(!raw.contains(&BEFORE[first].to_owned()));
    }
    for hidden in [1, 3, 4] {
        assert!(raw.contains(&BEFORE[hidden].to_owned()), "{raw:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_off_change_left_is_not_taken_for_rows() {
    let (world, id) = world();
    let folder = world.path("t.parquet");
    // As after a crash between the rename of the new part and its settling.
    std::fs::copy(
        folder.join("part-1.parquet"),
        folder.join("gen-1-part-x.parquet"),
    )
    .unwrap();
    std::fs::write(folder.join(".gen-2-part-y.parquet.tmp"), "half").unwrap();
    std::fs::write(folder.join("mine.parquet"), "of a user's").unwrap();
    world
        .check(
            "INSERT INTO lake.main.t (id, region) VALUES (7, 'EMEA')",
            "[[1]]",
        )
        .await;
    let names = parts(&world);
    assert!(
        names.iter().all(|name| !name.starts_with("gen-")),
        "{names:?}"
    );
    for kept in ["mine.parquet", ".gen-1-part-x.parquet.aside"] {
        assert!(names.contains(&kept.to_owned()), "{names:?}");
    }
    assert!(!names.contains(&".gen-2-part-y.parquet.tmp".to_owned()));
    world.check("UPDATE t SET amount = 1", "[[4]]").await;
    // What was replaced and could not be taken away.
    std::fs::write(folder.join("part-old.parquet"), "old").unwrap();
    world
        .check(
            "INSERT INTO lake.main.t (id, region) VALUES (8, 'EMEA')",
            "[[1]]",
        )
        .await;
    let dataset = world.catalog.dataset(&id).unwrap();
    let DatasetSource::Files { paths, .. } = &dataset.source else {
        panic!("{dataset:?}")
    };
    assert!(paths.iter().all(|path| generation(path) == 1), "{paths:?}");
    assert_eq!(parts(&world).len(), 4, "{:?}", parts(&world));
    world.check("SELECT count(*) FROM t", "[[5]]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_scanned_meanwhile_is_not_replaced() {
    let (world, id) = world();
    world.catalog.change_at_stage();
    let fault = world.refused("UPDATE t SET amount = 1").await;
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Conflict, "changed_meanwhile")
    );
    assert_eq!(world.catalog.calls(), ["stage lake:main/t", "retract 7"]);
    assert_eq!(parts(&world), ["part-1.parquet"]);
    assert_eq!(world.raw(&id)[..6], BEFORE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_describes_no_columns() {
    let (world, id) = world();
    let described = world
        .layer
        .describe(world.request("UPDATE t SET amount = 1"))
        .await
        .unwrap();
    assert!(described.is_empty());
    assert_eq!(world.raw(&id), BEFORE);
}

#[tokio::test(flavor = "multi_thread")]
async fn returning_shows_what_the_caller_sees_of_the_rows() {
    let (world, id) = world();
    world
        .check(
            "UPDATE t SET amount = amount + 1 WHERE id < 6 RETURNING *",
            r#"[[1,"EMEA",11,"m****"],[3,"EMEA",31,"m****"]]"#,
        )
        .await;
    let answer = world
        .run("DELETE FROM t AS x WHERE id = 3 RETURNING x.amount * 2 AS twice, email")
        .await
        .unwrap();
    assert_eq!(answer.chunks.concat(), r#"[[62,"m****"]]"#.as_bytes());
    let columns = answer.columns.iter();
    let columns: Vec<_> = columns.map(|c| (c.name.as_str(), c.is_masked)).collect();
    assert_eq!(columns, [("twice", false), ("email", true)]);
    world
        .check(
            "INSERT INTO lake.main.t (id, region, email, ssn) VALUES (7, 'EMEA', 'seven', 's') \
             RETURNING id, email, amount",
            r#"[[7,"s****",null]]"#,
        )
        .await;
    world
        .check("DELETE FROM t WHERE id = 2 RETURNING id", "[]")
        .await;
    let before = world.raw(&id);
    for (sql, reason) in [
        ("DELETE FROM t RETURNING ssn", "sql_unknown_name"),
        ("DELETE FROM t RETURNING 1 / (id - 7)", "division_by_zero"),
        (
            "INSERT INTO lake.main.t (id, region) VALUES (1, 'EMEA') RETURNING 1 / (id - 1)",
            "division_by_zero",
        ),
        (
            "INSERT INTO lake.main.t (id, region) VALUES (1, 'AMER')",
            "row_policy",
        ),
        (
            "INSERT INTO lake.main.t (region) SELECT email FROM t",
            "masked_write",
        ),
    ] {
        let fault = world.refused(sql).await;
        assert_eq!(fault.reason, reason, "{sql}: {fault:?}");
        assert_eq!(world.raw(&id), before, "{sql}");
    }
    let mut few = world.request("DELETE FROM t RETURNING id");
    few.rows_max = Some(2);
    let fault = world.layer.run(few).await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::TooLarge, "result_rows")
    );
    assert_eq!(world.raw(&id), before);
    let entries = world.log.entries();
    assert!(
        entries
            .iter()
            .any(|e| e.facts.get("rows_written").is_some_and(|n| n == "2"))
    );
    let described = world.request("UPDATE t SET amount = 1 RETURNING email, id AS n");
    let described = world.layer.describe(described).await.unwrap();
    let described: Vec<_> = described
        .iter()
        .map(|c| (c.name.as_str(), c.is_masked))
        .collect();
    assert_eq!(described, [("email", true), ("n", false)]);
    assert_eq!(world.raw(&id), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_adds_rows_under_that_permit_alone() {
    let (world, id) = world();
    world.desk.deny(Action::Select, "lake:main/t");
    world
        .check(
            "INSERT INTO lake.main.t (id, region) VALUES (7, 'AMER')",
            "[[1]]",
        )
        .await;
    assert_eq!(world.raw(&id).len(), 7);
    let entry = world.log.entries().remove(0);
    assert!(!entry.facts.contains_key("asked_access"), "{entry:?}");
    let fault = world
        .refused("INSERT INTO lake.main.t (id, region) VALUES (7, 'AMER') RETURNING id")
        .await;
    assert_eq!(fault.kind, FaultKind::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tables_decide_over_rows() {
    let (world, id) = world();
    let others: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 3, 8, 9])),
        Arc::new(StringArray::from(vec![
            "one", "two", "three", "eight", "nine",
        ])),
    ];
    let other = world.stored("s", &[("key", "bigint"), ("word", "text")], others);
    world.desk.rows(&other, equals("word", "two").negated());
    world
        .check(
            "UPDATE t SET amount = length(s.word) FROM s WHERE s.key = t.id RETURNING id, amount",
            "[[1,3],[3,5]]",
        )
        .await;
    world
        .check(
            "DELETE FROM t AS x USING s WHERE s.key = x.id AND s.word = 'one'",
            "[[1]]",
        )
        .await;
    let fault = world.refused("UPDATE t SET amount = 1 FROM s").await;
    assert_eq!(fault.reason, "row_found_twice");
    // Row 2 is hidden on both sides: what does not match is what does not match what the caller sees.
    world
        .check(
            "MERGE INTO t USING s ON s.key = t.id \
             WHEN MATCHED AND t.amount > 90 THEN DELETE \
             WHEN MATCHED THEN UPDATE SET amount = t.amount + s.key \
             WHEN NOT MATCHED AND s.key = 9 THEN INSERT (id, region, email) VALUES (s.key, 'EMEA', s.word) \
             WHEN NOT MATCHED THEN INSERT (id, region) VALUES (s.key * 10, 'EMEA')",
            "[[4]]",
        )
        .await;
    assert_eq!(
        world.raw(&id),
        [
            "2|AMER|20|mail2|s2",
            "3|EMEA|8|mail3|s3",
            "4||40|mail4|s4",
            "5|AMER|50|mail5|s5",
            "6|EMEA|60|mail6|s6",
            "9|EMEA||nine|",
            "10|EMEA|||",
            "80|EMEA|||",
        ]
    );
    let entries = world.log.entries();
    let merged = entries
        .iter()
        .rfind(|entry| entry.facts.contains_key("asked_write"))
        .unwrap();
    assert_eq!(merged.facts["asked_write"].lines().count(), 3, "{merged:?}");
    assert_eq!(
        merged.facts["answers"]
            .split(' ')
            .take(3)
            .collect::<Vec<_>>(),
        ["allow", "allow", "allow"]
    );
    world
        .check(
            "MERGE INTO t USING s ON s.key = t.id WHEN MATCHED THEN DELETE RETURNING id, amount",
            "[[3,8],[9,null]]",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_needs_a_permit_for_each_of_its_branches() {
    for action in [Action::Insert, Action::Update, Action::Delete] {
        let (world, id) = world();
        world.desk.deny(action, "lake:main/t");
        let fault = world
            .refused(
                "MERGE INTO t USING (SELECT 1 AS key) AS s ON t.id = s.key \
                 WHEN MATCHED AND false THEN DELETE WHEN MATCHED THEN UPDATE SET amount = 1 \
                 WHEN NOT MATCHED THEN INSERT (id, region) VALUES (s.key, 'EMEA')",
            )
            .await;
        assert_eq!(fault.kind, FaultKind::Denied, "{fault:?}");
        assert_eq!(world.log.entries()[0].action, action.name());
        assert_eq!(world.raw(&id), BEFORE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_tells_the_governed_queries_of_a_write_and_does_nothing() {
    let (world, id) = world();
    for (sql, part) in [
        ("UPDATE t SET amount = 1 WHERE id = 7", r#"\"id\" = 7"#),
        ("DELETE FROM t WHERE id = 7", r#"\"id\" = 7"#),
        (
            "INSERT INTO lake.main.t (id) SELECT id + 7 FROM t",
            r#"\"id\" + 7"#,
        ),
        (
            "CREATE TABLE lake.main.new AS SELECT id + 7 AS n FROM t",
            r#"\"id\" + 7"#,
        ),
        (
            "MERGE INTO t USING (SELECT 7 AS id) AS s ON t.id = s.id WHEN MATCHED THEN DELETE",
            "SELECT 7",
        ),
    ] {
        let rows = world.rows(&format!("EXPLAIN {sql}")).await;
        assert!(
            rows.contains(part) && rows.contains("__t0"),
            "{sql}: {rows}"
        );
    }
    for sql in ["UPDATE t SET email = 'x'", "DELETE FROM t RETURNING ssn"] {
        let told = world.refused(&format!("EXPLAIN {sql}")).await;
        let done = world.refused(sql).await;
        assert_eq!(
            (told.reason, told.message),
            (done.reason, done.message),
            "{sql}"
        );
    }
    assert!(world.catalog.calls().is_empty());
    assert_eq!(world.raw(&id), BEFORE);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_policy_tells_of_a_write_and_does_nothing() {
    let (world, id) = world();
    let sql = "UPDATE t SET amount = 1 WHERE id = 1 RETURNING *";
    let rows = world.rows(&format!("EXPLAIN POLICY {sql}")).await;
    let row = r#"["lake:main/t","*","update","desk","always","what desk is for"]"#;
    assert!(rows.starts_with(&format!("[{row}")), "{rows}");
    assert!(
        rows.contains(r#"["lake:main/t","email","partial("#),
        "{rows}"
    );
    assert_eq!(world.rows(&format!("EXPLAIN POLICY {sql}")).await, rows);
    let rows = world
        .rows("EXPLAIN POLICY MERGE INTO t USING (SELECT 1 AS id) AS s ON t.id = s.id WHEN MATCHED THEN DELETE")
        .await;
    assert!(
        rows.contains(r#""*","delete","desk""#) && !rows.contains(r#""update""#),
        "{rows}"
    );
    let rows = world
        .rows("EXPLAIN POLICY INSERT INTO lake.main.t (id) VALUES (1)")
        .await;
    assert!(
        rows.contains(r#""*","insert","desk""#) && rows.contains(r#""*","rows""#),
        "{rows}"
    );
    let rows = world
        .rows("EXPLAIN POLICY CREATE TABLE lake.main.new AS SELECT id FROM t")
        .await;
    assert!(
        rows.contains(r#"["lake:main","*","create_dataset","desk""#),
        "{rows}"
    );
    // What would be refused is refused here too, with the same words.
    for sql in ["UPDATE t SET email = 'x'", "DELETE FROM t RETURNING ssn"] {
        let (told, done) = (
            world.refused(&format!("EXPLAIN POLICY {sql}")).await,
            world.refused(sql).await,
        );
        assert_eq!(
            (told.reason, told.message),
            (done.reason, done.message),
            "{sql}"
        );
    }
    assert_eq!(world.log.entries()[0].action, "select");
    assert!(world.catalog.calls().is_empty());
    assert_eq!(world.raw(&id), BEFORE);
}
