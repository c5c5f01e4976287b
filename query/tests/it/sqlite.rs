//! Tables of a SQLite file, which may hold any value in any column.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use dataos_model::{
    dataset::DatasetId,
    depot::{DatasetSource, DepotSource},
    fault::FaultKind,
    predicate::Predicate,
    seams::RunQuery,
};
use dataos_query::QueryConfig;

use crate::{
    back_ends::sqlite,
    world::{World, equals},
};

fn attach(world: &World, path: &Path) {
    let path = path.to_owned();
    world.catalog.add_depot("db", DepotSource::Sqlite { path });
}

fn table(world: &World, name: &str, columns: &[(&str, &str)]) -> DatasetId {
    let id = DatasetId::new("db", "main", name);
    let source = DatasetSource::Table {
        schema: "main".to_owned(),
        table: name.to_owned(),
    };
    world.catalog.add(&id, columns, source);
    id
}

fn world(sql: &str) -> (World, PathBuf) {
    let world = World::new();
    let path = world.path("shop.db");
    sqlite(&path, sql);
    attach(&world, &path);
    (world, path)
}

/// Column, type in the catalog, declared type, and values that are not of it.
const UNFIT: &[(&str, &str, &str, &[&str])] = &[
    ("n", "bigint", "integer", &["'x'", "1.5", "X'01'"]),
    ("r", "double", "real", &["'x'", "X'01'"]),
    ("s", "text", "text", &["X'61'", "CAST(X'ff' AS TEXT)"]),
    ("b", "binary", "blob", &["'x'", "1", "1.5"]),
    (
        "f",
        "boolean",
        "boolean",
        &["2", "-1", "'true'", "0.5", "X'01'"],
    ),
    (
        "d",
        "date",
        "date",
        &["20240101", "'2024-1-1'", "'2024-02-30'", "'today'", "0.5"],
    ),
    (
        "l",
        "timestamp",
        "datetime",
        &["1700000000", "'2024-01-01'", "'2024-01-01 00:00:00Z'"],
    ),
    (
        "z",
        "timestamptz",
        "timestamptz",
        &["1700000000", "'2024-01-01 00:00:00'"],
    ),
    (
        "u",
        "uuid",
        "uuid",
        &["1", "'x'", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"],
    ),
    ("j", "json", "json", &["1", "X'7b7d'"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn values_that_do_not_fit_their_column_are_faults() {
    let mut sql = String::new();
    for (name, _, declared, bad) in UNFIT {
        sql += &format!("CREATE TABLE {name} (id integer, {name} {declared});");
        sql += &format!("INSERT INTO {name} VALUES (0, NULL);");
        for (index, value) in bad.iter().enumerate() {
            sql += &format!("INSERT INTO {name} VALUES ({}, {value});", index + 1);
        }
    }
    let (world, _) = world(&sql);
    for (name, kind, _, bad) in UNFIT {
        let id = table(&world, name, &[("id", "bigint"), (name, kind)]);
        for row in 0..=bad.len() {
            world
                .desk
                .rows(&id, equals("id", i64::try_from(row).unwrap()));
            let sql = format!("SELECT {name} FROM {name}");
            if row == 0 {
                world.check(&sql, "[[null]]").await;
                continue;
            }
            let fault = world.refused(&sql).await;
            assert_eq!(
                fault.kind,
                FaultKind::Unsupported,
                "{name} {row}: {fault:?}"
            );
            let text = format!("column `{name}` of `db:main/{name}` is {kind} and holds");
            assert!(fault.message.contains(&text), "{fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_went_along_hides_no_value_that_does_not_fit() {
    let (world, _) = world(
        "CREATE TABLE t (id integer, n integer, s text COLLATE NOCASE); \
         INSERT INTO t VALUES (1, 5, 'a'), (2, 6, 'A'), (3, NULL, NULL);",
    );
    let columns = [("id", "bigint"), ("n", "bigint"), ("s", "text")];
    let id = table(&world, "t", &columns);
    for (rows, expected) in [
        (equals("n", 5), "[[1]]"),
        (equals("s", "a"), "[[1]]"),
        (equals("s", "A"), "[[2]]"),
    ] {
        world.desk.rows(&id, rows);
        world.check("SELECT id FROM t ORDER BY id", expected).await;
    }
    sqlite(
        &world.path("shop.db"),
        "INSERT INTO t VALUES (4, '5x', X'61');",
    );
    for rows in [equals("n", 5), equals("s", "a"), equals("n", 5).negated()] {
        world.desk.rows(&id, rows);
        let fault = world.refused("SELECT id FROM t").await;
        assert_eq!(fault.kind, FaultKind::Unsupported, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_no_text() {
    // SQLite takes a name in double quotes that is no column's for a text.
    let (world, _) = world("CREATE TABLE t (id integer); INSERT INTO t VALUES (1);");
    table(&world, "t", &[("id", "bigint"), ("gone", "text")]);
    table(&world, "gone", &[("id", "bigint")]);
    for sql in ["SELECT gone FROM t", "SELECT id FROM gone"] {
        let fault = world.refused(sql).await;
        assert_eq!(fault.kind, FaultKind::Conflict, "{fault:?}");
        assert!(fault.message.contains("`db`"), "{fault:?}");
    }
    world.check("SELECT count(*) FROM t", "[[1]]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_not_even_beside_the_file() {
    let (world, path) = world("CREATE TABLE t (id integer); INSERT INTO t VALUES (1), (2);");
    let folder = world.path("closed");
    std::fs::create_dir(&folder).unwrap();
    let closed = folder.join("shop.db");
    std::fs::rename(&path, &closed).unwrap();
    let before = std::fs::read(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o444)).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o555)).unwrap();
    attach(&world, &closed);
    table(&world, "t", &[("id", "bigint")]);
    world.check("SELECT sum(id) FROM t", "[[3]]").await;
    for sql in [
        "INSERT INTO db.main.t SELECT id FROM db.main.t",
        "UPDATE db.main.t SET id = 1",
        "DELETE FROM db.main.t",
        "CREATE TABLE db.main.copy AS SELECT 1 AS x",
    ] {
        let fault = world.refused(sql).await;
        assert_eq!(fault.kind, FaultKind::Unsupported, "{sql}: {fault:?}");
    }
    assert_eq!(std::fs::read(&closed).unwrap(), before);
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_takes_too_long_is_interrupted() {
    let (world, path) = world(
        "CREATE TABLE t (id integer); INSERT INTO t VALUES (1); \
         CREATE VIEW endless AS WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) \
         SELECT n FROM c WHERE n < 0;",
    );
    let config = QueryConfig {
        time_max: Duration::from_millis(700),
        ..QueryConfig::default()
    };
    let short = World::with(config);
    attach(&short, &path);
    table(&short, "endless", &[("n", "bigint")]);
    let started = Instant::now();
    let fault = short.refused("SELECT n FROM endless").await;
    assert_eq!(fault.kind, FaultKind::Timeout, "{fault:?}");
    // Given up by the caller: the thread that reads must end too.
    table(&world, "endless", &[("n", "bigint")]);
    for _ in 0..3 {
        let request = world.request("SELECT n FROM endless");
        let running = world.layer.run(request);
        assert!(
            tokio::time::timeout(Duration::from_millis(200), running)
                .await
                .is_err()
        );
    }
    while threads() > 0 {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{} threads still read",
            threads()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// SQLite's threads of this process that use the processor now.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let is_reading = |task: &std::fs::DirEntry| {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let state = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let state = state
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned();
        name.starts_with("sqlx-sqlite") && state.starts_with('R')
    };
    tasks.flatten().filter(is_reading).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_databases_are_faults_of_their_depot() {
    let (world, path) = world("CREATE TABLE t (id integer); INSERT INTO t VALUES (1);");
    let id = table(&world, "t", &[("id", "bigint")]);
    world.desk.rows(&id, Predicate::ALWAYS);
    let utf16 = world.path("utf16.db");
    sqlite(
        &utf16,
        "COMMIT; PRAGMA encoding = 'UTF-16'; BEGIN; CREATE TABLE t (id integer);",
    );
    let text = world.path("text.db");
    std::fs::write(
        &text,
        "this is no database, but it is as long as the header of one is ".repeat(20),
    )
    .unwrap();
    let cut = world.path("cut.db");
    std::fs::write(&cut, &std::fs::read(&path).unwrap()[..5_000]).unwrap();
    let pipe = world.path("pipe.db");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for (file, kind) in [
        (utf16, FaultKind::Unsupported),
        (text, FaultKind::Unavailable),
        (cut, FaultKind::Unavailable),
        (pipe, FaultKind::Unavailable),
        (world.path("nowhere.db"), FaultKind::Unavailable),
        (world.folder.path().to_owned(), FaultKind::Unavailable),
    ] {
        attach(&world, &file);
        let fault = world.refused("SELECT id FROM t").await;
        assert_eq!(fault.kind, kind, "{}: {fault:?}", file.display());
        assert!(fault.message.contains("`db`"), "{fault:?}");
    }
    assert!(!world.path("nowhere.db").exists());
    attach(&world, &path);
    world.check("SELECT id FROM t", "[[1]]").await;
}
