//! The store at rest: in use, damaged, foreign, newer.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use dataos_model::{fault::FaultKind, seams::Assets};

use crate::fixtures::{House, main_id, open};

/// Where SQLite keeps `user_version` and `application_id`, big-endian.
const USER_VERSION_AT: usize = 60;
const APPLICATION_ID_AT: usize = 68;

/// Opens again a catalog whose file was edited while it was closed, and gives the fault.
async fn fault_after(edit: impl FnOnce(&mut Vec<u8>)) -> (FaultKind, String) {
    let house = House::with_lake().await;
    house.write("a.csv", "x\n1\n");
    house.catalog.scan("lake").await.unwrap();
    house.tag(&main_id("a"), Some("x"), &["SENTINEL"]).await;
    let House {
        folder,
        catalog,
        sink,
        secrets,
    } = house;
    drop(catalog);
    let file = folder.path().join("catalog/catalog.db");
    closed(&file).await;
    let mut bytes = std::fs::read(&file).unwrap();
    edit(&mut bytes);
    std::fs::write(&file, &bytes).unwrap();
    let fault = open(folder.path(), &sink, &secrets).await.unwrap_err();
    assert_eq!(
        std::fs::read(&file).unwrap(),
        bytes,
        "a file that is refused is left as it is"
    );
    assert!(fault.message.contains("catalog.db"), "{fault}");
    (fault.kind, fault.to_string())
}

/// Waits until the write-ahead log has been folded into the file, which closing does.
async fn closed(file: &Path) {
    let log = PathBuf::from(format!("{}-wal", file.display()));
    for _ in 0..1000 {
        if !log.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} is still there", log.display());
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let (kind, text) = fault_after(|bytes| bytes[USER_VERSION_AT + 3] = 99).await;
    assert_eq!(kind, FaultKind::Unsupported);
    assert!(
        text.contains("format 99") && text.contains("newer program"),
        "{text}"
    );
}

#[tokio::test]
async fn a_database_of_another_program_is_refused() {
    let (kind, text) = fault_after(|bytes| bytes[APPLICATION_ID_AT] = 1).await;
    assert_eq!(kind, FaultKind::Damaged);
    assert!(text.contains("another program"), "{text}");
}

#[tokio::test]
async fn damage_is_found() {
    for (what, edit) in [
        (
            "no database",
            (|bytes| bytes[..16].fill(b'x')) as fn(&mut Vec<u8>),
        ),
        ("a page", |bytes| {
            let page = bytes.len() - 4096;
            bytes[page..].fill(0xee);
        }),
        ("cut short", |bytes| bytes.truncate(4096 * 3)),
        ("one letter of a tag", |bytes| {
            let at = bytes
                .windows(8)
                .position(|window| window == b"SENTINEL")
                .unwrap();
            bytes[at] = b'X';
        }),
    ] {
        let (kind, text) = fault_after(edit).await;
        assert_eq!(kind, FaultKind::Damaged, "{what}: {text}");
        assert!(
            text.contains("backup") || text.contains("elsewhere"),
            "{what}: {text}"
        );
    }
}

#[tokio::test]
async fn a_catalog_in_use_is_refused() {
    let house = House::with_lake().await;
    let fault = open(house.folder.path(), &house.sink, &house.secrets)
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Conflict, "{fault}");
    house.write("a.csv", "x\n1\n");
    assert_eq!(
        house.catalog.scan("lake").await.unwrap().added.len(),
        1,
        "the first goes on"
    );
}

#[tokio::test]
pub(crate) async fn each_change_is_one_transaction_and_no_change_is_none() {
    let house = House::with_lake().await;
    assert_eq!(house.catalog.snapshot().transaction, 1);
    house
        .catalog
        .register_depot(house.lake_depot())
        .await
        .unwrap();
    house.catalog.scan("lake").await.unwrap();
    assert_eq!(house.catalog.snapshot().transaction, 1);
    house.write("a.csv", "x\n1\n");
    house.catalog.scan("lake").await.unwrap();
    let old = house.catalog.snapshot();
    house.tag(&main_id("a"), None, &["PII"]).await;
    house.tag(&main_id("a"), None, &["PII"]).await;
    let new = house.catalog.snapshot();
    assert_eq!((old.transaction, new.transaction), (2, 3));
    assert_ne!(old.hash, new.hash);
    assert!(
        old.datasets[&main_id("a")].tags.is_empty(),
        "a snapshot never changes"
    );
    let house = house.reopen().await;
    assert_eq!(house.catalog.snapshot().transaction, 3);
}

#[tokio::test]
pub(crate) async fn a_caller_that_stops_waiting_leaves_no_half_change() {
    let house = House::with_lake().await;
    house.write("a.csv", "x\n1\n");
    house.catalog.scan("lake").await.unwrap();
    for round in 0..50 {
        let tags = vec![format!("T{round}")];
        let id = main_id("a");
        let change = house.catalog.set_tags(&id, None, tags);
        // Polls once and drops the future.
        tokio::time::timeout(Duration::ZERO, change).await.ok();
    }
    house.tag(&main_id("a"), None, &["last"]).await;
    let shown = house.dataset(&main_id("a")).unwrap().tags.clone();
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), ["last"]);
    let (entities, hash) = (house.sink.without_tags(), house.catalog.snapshot().hash);
    let house = house.reopen().await;
    assert_eq!(
        (house.sink.without_tags(), house.catalog.snapshot().hash),
        (entities, hash)
    );
}
