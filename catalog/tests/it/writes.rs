//! Staged writes: what is governed when, and after a crash.

use dataos_model::{
    depot::{DatasetSource, Definer},
    fault::FaultKind,
    hash::Hash,
    seams::Assets,
};

use crate::fixtures::{House, lineage, main_id, parquet_bytes, written};

/// `people(id, email)` with `email` tagged PII, and `plain(id, email)` without tags.
async fn house() -> House {
    let house = House::with_lake().await;
    house.write("people.parquet", parquet_bytes(3));
    house.write("plain.parquet", parquet_bytes(3));
    house.catalog.scan("lake").await.unwrap();
    house.tag(&main_id("people"), Some("email"), &["PII"]).await;
    house.tag(&main_id("people"), None, &["secret"]).await;
    house
}

#[tokio::test]
pub(crate) async fn a_copy_is_governed_before_it_exists() {
    let house = house().await;
    let copy = written(&house, "copy", &["mail", "n"]);
    let edges = [("people", "email", "mail"), ("people", "id", "n")];
    let stage = house
        .catalog
        .stage_write(copy.clone(), lineage(&copy, true, &edges))
        .await
        .unwrap();
    let id = main_id("copy");
    assert_eq!(
        (house.tags(&id, "mail"), house.tags(&id, "n")),
        ("PII".into(), String::new())
    );
    assert!(house.sink.tags_of(&id.column_uid("mail")).contains("PII"));
    assert!(
        house.sink.tags_of(&id.uid()).contains("secret"),
        "a rule on the whole dataset holds too"
    );
    let entity = house.sink.entity(&id.uid()).unwrap();
    assert_eq!(entity.schema.as_ref(), Some(copy.schema.as_ref()));

    house.write("copy.parquet", parquet_bytes(7));
    let mut done = copy;
    done.row_count = Some(7);
    house
        .catalog
        .settle_write(stage, done.clone())
        .await
        .unwrap();
    assert_eq!(house.dataset(&id).unwrap().row_count, Some(7));
    let fault = house.catalog.settle_write(stage, done).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound);

    // A copy of the copy, and exact retraction at the source.
    let second = written(&house, "second", &["m"]);
    let edges = [("copy", "mail", "m")];
    let stage = house
        .catalog
        .stage_write(second.clone(), lineage(&second, true, &edges))
        .await
        .unwrap();
    house.catalog.settle_write(stage, second).await.unwrap();
    assert_eq!(house.tags(&main_id("second"), "m"), "PII");
    house.tag(&main_id("people"), Some("email"), &[]).await;
    assert_eq!(house.tags(&main_id("second"), "m"), "");

    let found = house.catalog.lineage(&id).await.unwrap();
    assert_eq!((found.upstream.len(), found.downstream.len()), (2, 1));
    assert_eq!(found.downstream[0].0, main_id("second"));
}

#[tokio::test]
pub(crate) async fn a_view_outlives_scans_and_restarts_until_it_is_dropped() {
    let house = house().await;
    let mut view = written(&house, "mails", &["mail"]);
    view.source = DatasetSource::View {
        sql: "SELECT \"email\" AS \"mail\" FROM \"lake\".\"main\".\"people\"".to_owned(),
        definer: None,
    };
    let id = main_id("mails");
    let edges = [("people", "email", "mail")];
    let stage = house
        .catalog
        .stage_write(view.clone(), lineage(&view, true, &edges))
        .await
        .unwrap();
    house
        .catalog
        .settle_write(stage, view.clone())
        .await
        .unwrap();
    assert_eq!(house.tags(&id, "mail"), "PII");
    // A scan knows nothing of views; a file of that name does not take its place.
    assert!(house.catalog.scan("lake").await.unwrap().dropped.is_empty());
    house.write("mails.parquet", parquet_bytes(1));
    let report = house.catalog.scan("lake").await.unwrap();
    assert_eq!(
        report.unreadable,
        [(
            "lake:main/mails".to_owned(),
            "a view has this name".to_owned()
        )]
    );
    let house = house.reopen().await;
    assert_eq!(house.dataset(&id).unwrap().source, view.source);
    assert_eq!(house.tags(&id, "mail"), "PII");
    // Replaced by one that reads the same with the rights of another.
    if let DatasetSource::View { definer, .. } = &mut view.source {
        *definer = Some(Definer {
            user: "dana".to_owned(),
            reads: Hash::of("views"),
        });
    }
    let stage = house
        .catalog
        .stage_write(view.clone(), lineage(&view, true, &edges))
        .await
        .unwrap();
    let settled = house.catalog.settle_write(stage, view.clone()).await;
    settled.unwrap();
    let house = house.reopen().await;
    assert_eq!(house.dataset(&id).unwrap().source, view.source);
    let fault = house.catalog.drop_view(&main_id("people")).await;
    assert_eq!(fault.unwrap_err().kind, FaultKind::Invalid);
    house.catalog.drop_view(&id).await.unwrap();
    assert!(house.dataset(&id).is_none());
    assert!(house.sink.entity(&id.uid()).is_none());
    let found = house.catalog.lineage(&main_id("people")).await.unwrap();
    assert!(found.downstream.is_empty());
    let fault = house.catalog.drop_view(&id).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound);
    // The name is free: the file takes it.
    assert_eq!(house.catalog.scan("lake").await.unwrap().added, [id]);
}

#[tokio::test]
pub(crate) async fn a_retracted_write_leaves_nothing() {
    let house = house().await;
    let before = house.catalog.snapshot();
    let copy = written(&house, "copy", &["mail"]);
    let edges = [("people", "email", "mail")];
    let stage = house
        .catalog
        .stage_write(copy.clone(), lineage(&copy, true, &edges))
        .await
        .unwrap();
    house.catalog.retract_write(stage).await.unwrap();
    assert_eq!(house.catalog.snapshot().hash, before.hash);
    assert!(house.sink.entity(&main_id("copy").uid()).is_none());
    assert!(
        house
            .catalog
            .lineage(&main_id("people"))
            .await
            .unwrap()
            .downstream
            .is_empty()
    );
    assert!(house.catalog.retract_write(stage).await.is_err());
}

#[tokio::test]
pub(crate) async fn a_replacement_carries_both_until_it_is_settled() {
    let house = house().await;
    let plain = written(&house, "plain", &["id", "email"]);
    let write = |creates: bool, source: &'static str| {
        let lineage = lineage(&plain, creates, &[(source, "email", "email")]);
        house.catalog.stage_write(plain.clone(), lineage)
    };
    let id = main_id("plain");
    let insert = write(false, "people").await.unwrap();
    house
        .catalog
        .settle_write(insert, plain.clone())
        .await
        .unwrap();
    assert_eq!(house.tags(&id, "email"), "PII");

    let replace = write(true, "plain").await.unwrap();
    assert_eq!(
        house.tags(&id, "email"),
        "PII",
        "readers still see the older rows"
    );
    house.catalog.retract_write(replace).await.unwrap();
    assert_eq!(
        house.tags(&id, "email"),
        "PII",
        "the older rows are still there"
    );

    let replace = write(true, "plain").await.unwrap();
    house
        .catalog
        .settle_write(replace, plain.clone())
        .await
        .unwrap();
    assert_eq!(house.tags(&id, "email"), "", "the rows of people are gone");
}

#[tokio::test]
pub(crate) async fn one_write_does_not_take_the_support_of_another() {
    let house = house().await;
    let plain = written(&house, "plain", &["id", "email"]);
    let edges = [("people", "email", "email")];
    let write = || {
        house
            .catalog
            .stage_write(plain.clone(), lineage(&plain, false, &edges))
    };
    let (first, second) = (write().await.unwrap(), write().await.unwrap());
    house
        .catalog
        .settle_write(second, plain.clone())
        .await
        .unwrap();
    house.catalog.retract_write(first).await.unwrap();
    assert_eq!(house.tags(&main_id("plain"), "email"), "PII");

    let late = write().await.unwrap();
    let replace = house
        .catalog
        .stage_write(plain.clone(), lineage(&plain, true, &[]))
        .await
        .unwrap();
    house
        .catalog
        .settle_write(replace, plain.clone())
        .await
        .unwrap();
    assert_eq!(
        house.tags(&main_id("plain"), "email"),
        "PII",
        "one is still writing"
    );
    house.catalog.settle_write(late, plain).await.unwrap();
    assert_eq!(house.tags(&main_id("plain"), "email"), "PII");
}

#[tokio::test]
pub(crate) async fn after_a_crash_what_left_a_file_stays_governed_and_the_rest_is_voided() {
    let house = house().await;
    let before = house.catalog.snapshot();
    let edges = [("people", "email", "mail")];
    for name in ["lost", "left"] {
        let copy = written(&house, name, &["mail"]);
        house
            .catalog
            .stage_write(copy.clone(), lineage(&copy, true, &edges))
            .await
            .unwrap();
    }
    let plain = written(&house, "plain", &["id", "email"]);
    let edges = [("people", "email", "email")];
    let insert = house
        .catalog
        .stage_write(plain.clone(), lineage(&plain, false, &edges))
        .await
        .unwrap();
    house.write("left.parquet", "half a file");

    let house = house.reopen().await;
    assert!(house.dataset(&main_id("lost")).is_none());
    assert_eq!(house.tags(&main_id("left"), "mail"), "PII");
    assert!(
        house
            .sink
            .tags_of(&main_id("left").column_uid("mail"))
            .contains("PII")
    );
    assert_eq!(
        house.tags(&main_id("plain"), "email"),
        "PII",
        "rows may have been added"
    );
    assert!(
        house.catalog.settle_write(insert, plain).await.is_err(),
        "the write is closed"
    );
    assert!(house.catalog.snapshot().transaction > before.transaction);

    let house = house.reopen().await;
    assert_eq!(house.tags(&main_id("left"), "mail"), "PII");
}

#[tokio::test]
pub(crate) async fn a_scan_leaves_alone_what_is_being_written() {
    let house = house().await;
    let copy = written(&house, "copy", &["mail"]);
    let edges = [("people", "email", "mail")];
    let stage = house
        .catalog
        .stage_write(copy.clone(), lineage(&copy, true, &edges))
        .await
        .unwrap();
    let report = house.catalog.scan("lake").await.unwrap();
    assert_eq!(
        (report.dropped, report.added, report.changed),
        (vec![], vec![], vec![])
    );
    assert_eq!(house.tags(&main_id("copy"), "mail"), "PII");

    house.write("copy.parquet", parquet_bytes(1));
    house.catalog.settle_write(stage, copy).await.unwrap();
    let report = house.catalog.scan("lake").await.unwrap();
    assert_eq!(
        report.changed,
        [main_id("copy")],
        "the file's own schema counts"
    );
    assert_eq!(
        house.columns(&main_id("copy")),
        ["id bigint", "email text?"]
    );
}

#[tokio::test]
pub(crate) async fn malformed_writes_are_refused() {
    let house = house().await;
    let before = house.catalog.snapshot().transaction;
    let good = written(&house, "copy", &["a"]);
    let mut elsewhere = good.clone();
    elsewhere.id.depot = "nowhere".to_owned();
    let mut slash = good.clone();
    slash.id.name = "a/b".to_owned();
    let twice = written(&house, "copy", &["a", "a"]);
    let none = written(&house, "copy", &[]);
    for target in [elsewhere, slash, twice, none] {
        let lineage = lineage(&target, true, &[]);
        assert!(house.catalog.stage_write(target, lineage).await.is_err());
    }
    let other = written(&house, "other", &["a"]);
    assert!(
        house
            .catalog
            .stage_write(other, lineage(&good, true, &[]))
            .await
            .is_err()
    );
    assert_eq!(house.catalog.snapshot().transaction, before);
}
