//! Results that are answered again: each part of their key is changed, and the rows are those of now.

use std::{fs, time::SystemTime};

use dataos_model::{
    action::Action,
    dataset::DatasetId,
    depot::{DatasetSource, FileFormat},
    entity::EntityType,
    fault::FaultKind,
    principal::{Authentication, Principal},
    query::{QueryRequest, RowFormat},
    seams::RunQuery,
};

use crate::{
    back_ends::BackEnd,
    streams::drained,
    world::{World, equals},
};

const COLUMNS: &[(&str, &str)] = &[("id", "bigint"), ("word", "text")];
const SQL: &str = "SELECT id, word FROM p ORDER BY id";

fn world() -> (World, DatasetId) {
    let world = World::caching();
    let p = world.csv("p", COLUMNS, "1,one\n2,two\n");
    (world, p)
}

/// The rows of a request, and whether they were there.
async fn asked(world: &World, request: QueryRequest) -> (String, bool) {
    let before = world.layer.figures();
    let answer = world.layer.run(request).await.unwrap();
    let after = world.layer.figures();
    let rows = String::from_utf8(answer.chunks.concat()).unwrap();
    (rows, after.cache_hits > before.cache_hits)
}

async fn again(world: &World, sql: &str) -> (String, bool) {
    asked(world, world.request(sql)).await
}

/// The rows are these, and were not there; asked again, they are.
async fn anew(world: &World, sql: &str, rows: &str) {
    assert_eq!(again(world, sql).await, (rows.to_owned(), false), "{sql}");
    assert_eq!(again(world, sql).await, (rows.to_owned(), true), "{sql}");
}

const ROWS: &str = r#"[[1,"one"],[2,"two"]]"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_answered_again_with_a_record_of_its_own() {
    let (world, _) = world();
    anew(&world, SQL, ROWS).await;
    let entries = world.log.entries();
    assert_eq!(entries.len(), 4, "{entries:#?}");
    assert_eq!(entries[0].facts, entries[2].facts);
    assert!(!entries[1].facts.contains_key("cached"));
    assert_eq!(entries[3].facts["cached"], "true");
    assert_eq!(entries[3].facts["rows"], "2");
    assert_eq!(entries[3].completes, Some(2));
    assert_eq!(world.desk.accesses(), 2);
    // Somebody else who is shown the same.
    let mut request = world.request(SQL);
    request.principal = Principal::new(EntityType::USER.id("bob"), Authentication::Token);
    assert_eq!(asked(&world, request).await, (ROWS.to_owned(), true));
    assert!(world.log.entries()[4].principal.contains("bob"));
    let figures = world.layer.figures();
    assert_eq!(
        (figures.cached, figures.cache_hits, figures.cache_misses),
        (1, 2, 1)
    );
    assert!(figures.cached_bytes > 20, "{figures:?}");
    // Without a record nothing is answered, there or not.
    world.log.breaks();
    assert_eq!(world.refused(SQL).await.reason, "not_recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_statement_or_form_has_another_result() {
    let (world, _) = world();
    world.csv("q", COLUMNS, "3,three\n");
    anew(&world, SQL, ROWS).await;
    anew(
        &world,
        "SELECT id, word FROM q ORDER BY id",
        r#"[[3,"three"]]"#,
    )
    .await;
    anew(&world, "SELECT id FROM p WHERE id = 1", "[[1]]").await;
    anew(&world, "SELECT id FROM p WHERE id = 2", "[[2]]").await;
    // The names of columns differ alone.
    let names = [
        "SELECT id, id FROM p WHERE id = 1",
        "SELECT id, id AS id_2 FROM p WHERE id = 1",
    ];
    for sql in names {
        anew(&world, sql, "[[1,1]]").await;
    }
    let [one, other] = names.map(|sql| world.run(sql));
    assert_ne!(one.await.unwrap().columns, other.await.unwrap().columns);
    let request = |format, rows_max| QueryRequest {
        format,
        rows_max,
        ..world.request(SQL)
    };
    let one_row = asked(&world, request(RowFormat::Json, Some(1))).await;
    assert_eq!(one_row, (r#"[[1,"one"]]"#.to_owned(), false));
    let csv = asked(&world, request(RowFormat::Csv, None)).await;
    assert_eq!(csv, ("id,word\r\n1,one\r\n2,two\r\n".to_owned(), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_policies_and_entities_have_another_result() {
    let (world, p) = world();
    anew(&world, SQL, ROWS).await;
    world.desk.reload();
    anew(&world, SQL, ROWS).await;
    world.desk.change_entities();
    anew(&world, SQL, ROWS).await;
    // What the same policies say now, as a condition on the time would.
    world.desk.rows(&p, equals("word", "two"));
    anew(&world, SQL, r#"[[2,"two"]]"#).await;
    world.desk.mask(&p, "word", "shorten(length = 1)");
    anew(&world, SQL, r#"[[2,"t"]]"#).await;
    world.desk.oblige_on(&p.to_string(), "min_group(size = 2)");
    let count = "SELECT count(*) FROM p";
    anew(&world, count, "[]").await;
    world.desk.deny(Action::Select, &p.to_string());
    let fault = world.refused(count).await;
    assert_eq!(fault.kind, FaultKind::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_files_have_another_result() {
    let (world, p) = world();
    anew(&world, SQL, ROWS).await;
    let path = world.path("p.csv");
    fs::write(&path, "id,word\n1,one\n2,two\n3,three\n").unwrap();
    anew(&world, SQL, r#"[[1,"one"],[2,"two"],[3,"three"]]"#).await;
    // Another file of the same size and, as it says, of the same age.
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    let aside = world.path("aside");
    fs::write(&aside, "id,word\n1,one\n2,two\n3,seven\n").unwrap();
    fs::File::options()
        .write(true)
        .open(&aside)
        .unwrap()
        .set_modified(written)
        .unwrap();
    fs::rename(&aside, &path).unwrap();
    anew(&world, SQL, r#"[[1,"one"],[2,"two"],[3,"seven"]]"#).await;
    // The same file with the same age over other words.
    fs::write(&path, "id,word\n1,one\n2,two\n3,eight\n").unwrap();
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(written)
        .unwrap();
    anew(&world, SQL, r#"[[1,"one"],[2,"two"],[3,"eight"]]"#).await;
    // The catalog says another file, and another type.
    fs::write(world.path("r.csv"), "id,word\n4,four\n").unwrap();
    world.files("p", FileFormat::Csv, &[world.path("r.csv")], COLUMNS);
    anew(&world, SQL, r#"[[4,"four"]]"#).await;
    world.files(
        "p",
        FileFormat::Csv,
        &[world.path("r.csv")],
        &[("id", "text"), ("word", "text")],
    );
    anew(&world, SQL, r#"[["4","four"]]"#).await;
    fs::remove_file(world.path("r.csv")).unwrap();
    assert!(world.run(SQL).await.is_err(), "{p}");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_and_views_are_seen_at_once() {
    let (world, _) = world();
    world
        .run("CREATE TABLE lake.main.copy AS SELECT * FROM p")
        .await
        .unwrap();
    let sql = "SELECT count(*) FROM copy";
    anew(&world, sql, "[[2]]").await;
    world
        .run("INSERT INTO lake.main.copy SELECT * FROM p")
        .await
        .unwrap();
    anew(&world, sql, "[[4]]").await;
    world.run("DELETE FROM copy WHERE id = 1").await.unwrap();
    anew(&world, sql, "[[2]]").await;
    let view = |sql: &str| {
        let source = DatasetSource::View {
            sql: sql.to_owned(),
            definer: None,
        };
        let id = DatasetId::new("lake", "main", "w");
        world.catalog.add(&id, &[("id", "bigint")], source);
    };
    view(r#"SELECT "p"."id" AS "id" FROM "lake"."main"."p" AS "p" WHERE "p"."id" = 1"#);
    anew(&world, "SELECT id FROM w", "[[1]]").await;
    view(r#"SELECT "p"."id" AS "id" FROM "lake"."main"."p" AS "p" WHERE "p"."id" = 2"#);
    anew(&world, "SELECT id FROM w", "[[2]]").await;
    fs::write(world.path("p.csv"), "id,word\n2,one\n2,two\n").unwrap();
    anew(&world, "SELECT id FROM w", "[[2],[2]]").await;
}

/// Statements whose results are never there.
const NEVER: &[&str] = &[
    "SELECT id FROM p WHERE now() > TIMESTAMP '2020-01-01 00:00:00'",
    "SELECT current_date IS NULL FROM p",
    "SELECT random() < 2 FROM p",
    "SELECT uuid() IS NULL FROM p",
    "SELECT id FROM (SELECT id, today() AS d FROM p) AS q",
    "SELECT id FROM drawing",
    "EXPLAIN SELECT id FROM p",
    "EXPLAIN POLICY SELECT id FROM p",
    "SHOW TABLES",
    "SELECT label FROM keyed",
    "SELECT id FROM t",
    "SELECT p.id FROM p JOIN t ON p.id = t.id",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_may_change_without_a_sign_is_run_each_time() {
    let (world, _) = world();
    let sql = r#"SELECT "p"."id" AS "id" FROM "lake"."main"."p" AS "p" WHERE random() < 2"#;
    let source = DatasetSource::View {
        sql: sql.to_owned(),
        definer: None,
    };
    let id = DatasetId::new("lake", "main", "drawing");
    world.catalog.add(&id, &[("id", "bigint")], source);
    let keyed = world.csv("keyed", &[("label", "text")], "one\n");
    world.desk.mask(&keyed, "label", "hash(algo = 'sha256')");
    let column: datafusion::arrow::array::ArrayRef =
        std::sync::Arc::new(datafusion::arrow::array::Int64Array::from(vec![1]));
    let back_end = BackEnd::sqlite();
    back_end.fill(&world, "cache", "t", &[("id", "bigint")], vec![column]);
    for sql in NEVER {
        for _ in 0..2 {
            world.run(sql).await.unwrap();
        }
    }
    let figures = world.layer.figures();
    assert_eq!(
        (figures.cached, figures.cache_hits, figures.cache_misses),
        (0, 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_were_written_just_now_and_large_results_are_not_kept() {
    let (world, _) = world();
    let word = "x".repeat(200);
    let rows: String = (0..10_000).map(|id| format!("{id},{word}\n")).collect();
    world.csv("large", COLUMNS, &rows);
    world.run("SELECT id, word FROM large").await.unwrap();
    assert_eq!(world.layer.figures().cached, 0);
    let newer = SystemTime::now() + std::time::Duration::from_secs(100 * 365 * 86_400);
    let file = fs::File::options()
        .write(true)
        .open(world.path("p.csv"))
        .unwrap();
    file.set_modified(newer).unwrap();
    for _ in 0..2 {
        world.run(SQL).await.unwrap();
    }
    assert_eq!(world.layer.figures().cached, 0);
    // Off, unless it is asked for.
    let world = World::new();
    world.csv("p", COLUMNS, "1,one\n");
    for _ in 0..2 {
        world.run("SELECT 1 AS one").await.unwrap();
    }
    let figures = world.layer.figures();
    assert_eq!(
        (figures.cached, figures.cache_hits, figures.cache_misses),
        (0, 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_fill_and_find_results_too() {
    let (world, _) = world();
    let rows: String = (0..30_000).map(|id| format!("{id},word\n")).collect();
    world.csv("many", COLUMNS, &rows);
    for (sql, is_long) in [
        (SQL, false),
        ("SELECT id, word FROM many ORDER BY id", true),
    ] {
        let mut bytes = Vec::new();
        for hits in [0, 1] {
            let before = world.layer.figures().cache_hits;
            let mut stream = world.stream(sql, RowFormat::Csv).await.unwrap();
            let (read, parts, end) = drained(stream.rows.as_mut()).await.unwrap();
            assert_eq!(parts > 1, is_long, "{sql}");
            assert_eq!(end.row_count, if is_long { 30_000 } else { 2 });
            assert_eq!(world.layer.figures().cache_hits - before, hits, "{sql}");
            assert!(stream.columns.len() == 2 && stream.certificate.tables.len() == 1);
            bytes.push(read);
        }
        assert_eq!(bytes[0], bytes[1]);
        let outcome = world.log.entries().pop().unwrap();
        assert_eq!(
            (
                outcome.facts["cached"].as_str(),
                outcome.facts["complete"].as_str()
            ),
            ("true", "true")
        );
    }
    // A stream that its caller left is not kept.
    let sql = "SELECT word, id FROM many";
    drop(world.stream(sql, RowFormat::Csv).await.unwrap());
    world.idle().await;
    let before = world.layer.figures().cache_hits;
    let mut stream = world.stream(sql, RowFormat::Csv).await.unwrap();
    drained(stream.rows.as_mut()).await.unwrap();
    assert_eq!(world.layer.figures().cache_hits, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_definers_see_is_a_part_of_the_key() {
    let (world, p) = world();
    world.accounts.put("dana", &[]);
    world.accounts.put("bob", &[]);
    let make = "CREATE OR REPLACE SQL SECURITY DEFINER VIEW lake.main.lent AS SELECT id FROM p";
    world.run_as("dana", make).await.unwrap();
    let sql = "SELECT id FROM lent ORDER BY id";
    anew(&world, sql, "[[1],[2]]").await;
    world.desk.of("dana").rows(&p, equals("id", 1));
    anew(&world, sql, "[[1]]").await;
    world.run_as("bob", make).await.unwrap();
    anew(&world, sql, "[[1],[2]]").await;
    let other = make.replace("FROM p", "FROM p WHERE id > 1");
    world.run_as("bob", &other).await.unwrap();
    anew(&world, sql, "[[2]]").await;
    // Whoever has no rights to lend lends none to what was answered with them before.
    world.accounts.remove("bob");
    assert_eq!(world.refused(sql).await.reason, "view_unreadable");
}
