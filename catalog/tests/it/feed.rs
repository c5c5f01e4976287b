//! The entities that the PDP gets: before a call returns, and never what did not become durable.

use dataos_model::{
    dataset::DatasetId, entity::EntityType, entity::EntityUid, fault::FaultKind, seams::Assets,
};

use crate::fixtures::{House, lineage, main_id, parquet_bytes, written};

#[tokio::test]
pub(crate) async fn entities_form_the_hierarchy() {
    let house = House::new().await;
    let mut depot = house.lake_depot();
    depot.tags.insert("branch.north".to_owned());
    house.catalog.register_depot(depot).await.unwrap();
    let id = DatasetId::new("lake", "crm", "people");
    let depot = house.sink.entity(&id.depot_uid()).unwrap();
    assert_eq!(depot.parents, [EntityType::TAG.id("branch.north")]);
    let main = house.sink.entity(&main_id("x").collection_uid());
    assert!(
        main.is_some(),
        "a first dataset can be created in an empty folder"
    );

    house.write("crm/people.parquet", parquet_bytes(2));
    house.catalog.scan("lake").await.unwrap();
    let parents = |uid: &EntityUid| house.sink.entity(uid).unwrap().parents;
    assert_eq!(parents(&id.column_uid("email")), [id.uid()]);
    assert_eq!(parents(&id.uid()), [id.collection_uid()]);
    assert_eq!(parents(&id.collection_uid()), [id.depot_uid()]);

    std::fs::remove_dir_all(house.lake().join("crm")).unwrap();
    house.catalog.scan("lake").await.unwrap();
    for uid in [id.column_uid("email"), id.uid(), id.collection_uid()] {
        assert!(house.sink.entity(&uid).is_none(), "{uid}");
    }
    house.catalog.remove_depot("lake").await.unwrap();
    assert!(house.sink.without_tags().is_empty());
}

#[tokio::test]
pub(crate) async fn a_new_start_feeds_the_same_entities() {
    let house = House::with_lake().await;
    house.write("a.parquet", parquet_bytes(2));
    house.write("b/c.csv", "x\n1\n");
    house.catalog.scan("lake").await.unwrap();
    house
        .tag(&main_id("a"), Some("email"), &["PII.email"])
        .await;
    let copy = written(&house, "copy", &["m"]);
    let edges = [("a", "email", "m")];
    let stage = house
        .catalog
        .stage_write(copy.clone(), lineage(&copy, true, &edges))
        .await
        .unwrap();
    house.write("copy.parquet", parquet_bytes(1));
    house.catalog.settle_write(stage, copy).await.unwrap();
    std::fs::remove_file(house.lake().join("b/c.csv")).unwrap();
    house.catalog.scan("lake").await.unwrap();

    let (before, hash) = (house.sink.without_tags(), house.catalog.snapshot().hash);
    let house = house.reopen().await;
    assert_eq!(house.sink.without_tags(), before);
    assert_eq!(house.catalog.snapshot().hash, hash);
    assert!(house.sink.entity(&EntityType::TAG.id("PII")).is_some());
}

#[tokio::test]
pub(crate) async fn what_the_pdp_refuses_is_undone() {
    let house = House::with_lake().await;
    house.write("a.parquet", parquet_bytes(2));
    house.catalog.scan("lake").await.unwrap();
    let (before, entities) = (house.catalog.snapshot(), house.sink.without_tags());

    house.sink.set_refusing(true);
    let copy = written(&house, "copy", &["m"]);
    let edges = [("a", "email", "m")];
    let fault = house
        .catalog
        .stage_write(copy.clone(), lineage(&copy, true, &edges))
        .await;
    assert_eq!(fault.unwrap_err().message, "the sink refuses");
    assert!(
        house
            .catalog
            .set_tags(&main_id("a"), None, vec!["PII".to_owned()])
            .await
            .is_err()
    );
    assert_eq!(house.catalog.snapshot().hash, before.hash);
    house.sink.set_refusing(false);

    let house = house.reopen().await;
    assert_eq!(house.sink.without_tags(), entities);
    assert_eq!(house.catalog.snapshot().transaction, before.transaction);
    house.tag(&main_id("a"), None, &["PII"]).await;
}

#[tokio::test]
pub(crate) async fn a_change_torn_out_by_a_panic_stops_the_writer_and_not_the_readers() {
    let house = House::with_lake().await;
    house.write("a.parquet", parquet_bytes(2));
    house.catalog.scan("lake").await.unwrap();
    let before = house.catalog.snapshot();
    let id = main_id("a");
    let tag = || house.catalog.set_tags(&id, None, vec!["PII".to_owned()]);
    house.sink.set_panicking(true);
    assert_eq!(tag().await.unwrap_err().kind, FaultKind::Internal);
    house.sink.set_panicking(false);
    let fault = tag().await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Unavailable, "catalog_stopped")
    );
    assert_eq!(house.catalog.snapshot().hash, before.hash);

    let house = house.reopen().await;
    assert_eq!(house.catalog.snapshot().hash, before.hash);
    house.tag(&main_id("a"), None, &["PII"]).await;
}
