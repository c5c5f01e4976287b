//! Scanning SQLite files, written by SQLite's own shell.

use std::{path::Path, process::Command};

use dataos_model::{
    dataset::DatasetId,
    depot::{Depot, DepotSource},
    fault::FaultKind,
    seams::Assets,
};

use crate::fixtures::House;

const SCHEMA: &str = "
    CREATE TABLE kinds (
        id INTEGER PRIMARY KEY, required TEXT NOT NULL, n BIGINT, r REAL, b BLOB, f BOOLEAN, d DATE,
        dt DATETIME, z TIMESTAMPTZ, u UUID, j JSON, p DECIMAL(12, 2), untyped, odd POINT,
        made TEXT GENERATED ALWAYS AS (required || '!')
    );
    INSERT INTO kinds (required) VALUES ('x');
    CREATE TABLE \"Odd name\" (\"a/b\" INT, \"x\"\"y\" TEXT);
    CREATE TABLE \"sl/ash\" (a INT);
    CREATE VIEW seen AS SELECT id FROM kinds;
    CREATE VIRTUAL TABLE words USING fts5(word);
";

fn id(table: &str) -> DatasetId {
    DatasetId::new("db", "main", table)
}

fn sqlite(path: &Path, sql: &str) {
    let output = Command::new("sqlite3")
        .args(["-batch", "-bail"])
        .arg(path)
        .arg(sql)
        .output()
        .expect("sqlite3 is not installed; run: apt-get install -y sqlite3");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

async fn house_of(path: &Path) -> House {
    let house = House::new().await;
    let depot = Depot {
        name: "db".to_owned(),
        source: DepotSource::Sqlite {
            path: path.to_owned(),
        },
        ..house.lake_depot()
    };
    house.catalog.register_depot(depot).await.unwrap();
    house
}

#[tokio::test]
async fn a_file_is_catalogued() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    sqlite(&path, SCHEMA);
    let house = house_of(&path).await;
    let report = house.catalog.scan("db").await.unwrap();
    assert_eq!(report.added, [id("Odd name"), id("kinds")]);
    let unread: Vec<&str> = report
        .unreadable
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(unread, ["seen", "sl/ash", "words"]);
    let kinds = [
        "id bigint?",
        "required text",
        "n bigint?",
        "r double?",
        "b binary?",
        "f boolean?",
        "d date?",
        "dt timestamp?",
        "z timestamptz?",
        "u uuid?",
        "j json?",
        "p unsupported(decimal(12, 2), kept as a float)?",
        "untyped unsupported(no declared type)?",
        "odd unsupported(point)?",
        "made text?",
    ];
    assert_eq!(house.columns(&id("kinds")), kinds);
    let house = house.reopen().await;
    assert_eq!(house.columns(&id("kinds")), kinds);
    sqlite(
        &path,
        "DROP TABLE \"Odd name\"; ALTER TABLE kinds ADD COLUMN more TEXT;",
    );
    let report = house.catalog.scan("db").await.unwrap();
    assert_eq!(report.changed, [id("kinds")]);
    assert_eq!(report.dropped, [id("Odd name")]);
}

#[tokio::test]
async fn what_is_no_database_drops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    sqlite(&path, "CREATE TABLE t (id INT);");
    let house = house_of(&path).await;
    house.catalog.scan("db").await.unwrap();
    std::fs::write(
        &path,
        "this is a text that is long enough to be read as a header of a database ".repeat(9),
    )
    .unwrap();
    for _ in 0..2 {
        let fault = house.catalog.scan("db").await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unavailable, "{fault:?}");
        assert!(fault.message.contains("`db`"), "{fault:?}");
        std::fs::remove_file(&path).ok();
    }
    assert!(house.dataset(&id("t")).is_some());
    assert!(!path.exists());
}

#[tokio::test]
async fn the_catalogs_own_tables_are_no_depot() {
    let house = House::new().await;
    let own = house.folder.path().join("catalog/catalog.db");
    for path in [own.as_path(), Path::new("relative.db")] {
        let depot = Depot {
            name: "db".to_owned(),
            source: DepotSource::Sqlite {
                path: path.to_owned(),
            },
            ..house.lake_depot()
        };
        let fault = house.catalog.register_depot(depot).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Invalid, "{fault:?}");
    }
}
