//! What holds whatever the engine is.

use dataos_model::fault::{Fault, FaultKind};
use dataos_store::{Metadata, Store, test_server::TestServer};

use crate::fixtures::{NEWER, SCHEMA, insert, open, users};

/// Both engines, each with nothing in it.
struct Engines {
    folder: tempfile::TempDir,
    metadata: [Metadata; 2],
    _server: TestServer,
}

impl Engines {
    fn start() -> Self {
        let server = TestServer::start();
        Self {
            folder: tempfile::tempdir().unwrap(),
            metadata: [Metadata::Embedded, server.metadata()],
            _server: server,
        }
    }
}

#[tokio::test]
async fn values_come_back_as_they_were() {
    let engines = Engines::start();
    for metadata in &engines.metadata {
        let store = open(&SCHEMA, metadata, &engines.folder).await.unwrap();
        for (user, size) in [
            ("Zoë", Some(i64::MIN)),
            ("ana", None),
            ("it's \"x\" $1 ?", Some(0)),
        ] {
            let bytes = [0, 1, 255];
            store
                .execute(
                    "INSERT INTO item (\"user\", size, digest) VALUES ($1, $2, $3)",
                    &[user.into(), size.into(), bytes.as_slice().into()],
                )
                .await
                .unwrap();
            let rows = store
                .query("SELECT * FROM item WHERE \"user\" = $1", &[user.into()])
                .await
                .unwrap();
            assert_eq!(rows[0].text("user").unwrap(), user);
            assert_eq!(rows[0].integer_or_null("size").unwrap(), size);
            assert_eq!(rows[0].bytes("digest").unwrap(), bytes);
            assert!(rows[0].text("digest").is_err() && rows[0].text("nothing").is_err());
        }
        // By bytes, not by the language of the machine.
        assert_eq!(users(&store).await.unwrap(), "Zoë ana it's \"x\" $1 ?");
    }
}

#[tokio::test]
async fn a_transaction_is_whole_or_not_there() {
    let engines = Engines::start();
    for metadata in &engines.metadata {
        let store = open(&SCHEMA, metadata, &engines.folder).await.unwrap();
        let statement = "INSERT INTO item (\"user\", digest) VALUES ($1, $2)";
        let values = |user: &str| [user.into(), [0].as_slice().into()];

        let mut kept = store.begin().await.unwrap();
        kept.execute(statement, &values("kept")).await.unwrap();
        kept.commit().await.unwrap();
        let mut undone = store.begin().await.unwrap();
        undone.execute(statement, &values("undone")).await.unwrap();
        undone.roll_back().await.unwrap();
        let mut dropped = store.begin().await.unwrap();
        dropped
            .execute(statement, &values("dropped"))
            .await
            .unwrap();
        drop(dropped);
        let mut failed = store.begin().await.unwrap();
        failed.execute(statement, &values("failed")).await.unwrap();
        assert!(failed.execute(statement, &values("kept")).await.is_err());
        drop(failed);
        assert_eq!(users(&store).await.unwrap(), "kept");

        let (first, second) = tokio::join!(insert(&store, "a"), insert(&store, "b"));
        assert!(first.unwrap() != second.unwrap());
        store.execute("DELETE FROM item", &[]).await.unwrap();
        let rows = store.query("SELECT item FROM part", &[]).await.unwrap();
        assert!(rows.is_empty());
    }
}

#[tokio::test]
async fn numbers_are_never_given_twice() {
    let engines = Engines::start();
    for metadata in &engines.metadata {
        let store = open(&SCHEMA, metadata, &engines.folder).await.unwrap();
        let first = insert(&store, "a").await.unwrap();
        store.execute("DELETE FROM item", &[]).await.unwrap();
        store.close().await;
        let store = open(&SCHEMA, metadata, &engines.folder).await.unwrap();
        assert!(insert(&store, "a").await.unwrap() > first);
    }
}

#[tokio::test]
async fn one_process_at_a_time() {
    let engines = Engines::start();
    for metadata in &engines.metadata {
        let store = open(&SCHEMA, metadata, &engines.folder).await.unwrap();
        insert(&store, "a").await.unwrap();
        let fault = refusal(open(&SCHEMA, metadata, &engines.folder).await);
        assert_eq!(fault.kind, FaultKind::Conflict, "{fault}");
        assert_eq!(fault.reason, "sample_in_use");
        assert_eq!(users(&store).await.unwrap(), "a", "the first goes on");
        store.close().await;
        assert!(insert(&store, "b").await.is_err(), "closed is closed");
        let store = open(&SCHEMA, metadata, &engines.folder).await.unwrap();
        assert_eq!(users(&store).await.unwrap(), "a");
    }
}

#[tokio::test]
async fn an_older_format_is_migrated_and_a_newer_one_refused() {
    let engines = Engines::start();
    for metadata in &engines.metadata {
        let store = open(&SCHEMA, metadata, &engines.folder).await.unwrap();
        insert(&store, "a").await.unwrap();
        store.close().await;
        let store = open(&NEWER, metadata, &engines.folder).await.unwrap();
        assert_eq!(users(&store).await.unwrap(), "a");
        store
            .execute("INSERT INTO more (a) VALUES (1)", &[])
            .await
            .unwrap();
        store.close().await;
        let fault = refusal(open(&SCHEMA, metadata, &engines.folder).await);
        assert_eq!(fault.kind, FaultKind::Unsupported, "{fault}");
        assert!(
            fault.message.contains("format 2") && fault.message.contains("up to 1"),
            "{fault}"
        );
        assert!(open(&NEWER, metadata, &engines.folder).await.is_ok());
    }
}

fn refusal(opened: Result<Store, dataos_store::StoreError>) -> Fault {
    opened.expect_err("it must be refused").into()
}
