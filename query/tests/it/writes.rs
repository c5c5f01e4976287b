//! CREATE TABLE AS and INSERT .. SELECT.

use dataos_model::{
    action::Action,
    dataset::{ColumnType, DatasetId},
    depot::{DatasetSource, DepotSource},
    fault::FaultKind,
    lineage::Transformation,
};

use crate::world::{World, equals};

fn world() -> World {
    let world = World::new();
    let columns = &[("id", "bigint"), ("name", "text"), ("salary", "bigint")];
    let id = world.csv("people", columns, "1,ada,100\n2,bela,200\n3,caro,300\n");
    world.desk.rows(&id, equals("id", 3).negated());
    world.desk.mask(&id, "name", "partial(first = 1)");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_holds_what_the_caller_saw() {
    let world = world();
    let sql = "CREATE TABLE lake.main.copy AS SELECT id, name AS who, salary * 2 AS twice \
               FROM people WHERE salary > 0";
    world.check(sql, "[[2]]").await;
    world
        .check(
            "SELECT * FROM copy ORDER BY id",
            r#"[[1,"a**",200],[2,"b***",400]]"#,
        )
        .await;
    assert_eq!(
        world.catalog.calls(),
        ["stage lake:main/copy", "settle 7 lake:main/copy"]
    );
    let names = world.names_in("copy.parquet");
    assert_eq!(names.len(), 1);
    assert!(
        names[0].starts_with("part-") && names[0].ends_with(".parquet"),
        "{names:?}"
    );

    let copy = world
        .catalog
        .dataset(&DatasetId::new("lake", "main", "copy"))
        .unwrap();
    let types: Vec<(&str, &ColumnType)> = copy
        .schema
        .columns
        .iter()
        .map(|c| (c.name.as_str(), &c.column_type))
        .collect();
    assert_eq!(
        types,
        [
            ("id", &ColumnType::Int(64)),
            ("who", &ColumnType::Text),
            ("twice", &ColumnType::Int(64))
        ]
    );
    assert_eq!(
        (copy.row_count, copy.owner.as_deref()),
        (Some(2), Some("alice"))
    );
    assert!(copy.size_bytes.is_some_and(|size| size > 0));

    let lineage = world.catalog.lineage_of_writes().pop().unwrap();
    assert!(lineage.creates);
    let edge = |source: &str, target: &str, how: Transformation| {
        lineage.edges.iter().any(|edge| {
            edge.source_column == source
                && edge.target_column == target
                && edge.transformation == how
        })
    };
    assert!(
        edge("name", "who", Transformation::Identity),
        "{lineage:#?}"
    );
    assert!(
        edge("salary", "twice", Transformation::Transformation),
        "{lineage:#?}"
    );
    assert!(
        edge("salary", "who", Transformation::Indirect),
        "{lineage:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn insert_adds_a_part() {
    let world = world();
    world
        .check(
            "CREATE TABLE lake.sales.copy AS SELECT id, name FROM people",
            "[[2]]",
        )
        .await;
    world
        .check(
            "INSERT INTO lake.sales.copy (id) SELECT salary FROM people",
            "[[2]]",
        )
        .await;
    world
        .check(
            "SELECT * FROM copy ORDER BY id",
            r#"[[1,"a**"],[2,"b***"],[100,null],[200,null]]"#,
        )
        .await;
    assert_eq!(world.names_in("sales/copy.parquet").len(), 2);
    let id = DatasetId::new("lake", "sales", "copy");
    let copy = world.catalog.dataset(&id).unwrap();
    assert_eq!(copy.row_count, Some(4));
    let DatasetSource::Files { paths, .. } = &copy.source else {
        panic!("{copy:?}")
    };
    assert_eq!(paths.len(), 2);
    assert!(!world.catalog.lineage_of_writes().pop().unwrap().creates);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_with_a_zone_goes_into_no_column_without_one() {
    let world = world();
    let made =
        "CREATE TABLE lake.main.times AS SELECT TIMESTAMP '2026-01-31 12:00:00' AS at FROM people";
    world.check(made, "[[2]]").await;
    for text in ["2026-01-31 12:00:00+13", "2026-01-31T12:00:00-01:00"] {
        let fault = world
            .refused(&format!("INSERT INTO lake.main.times VALUES ('{text}')"))
            .await;
        assert_eq!(fault.reason, "conversion", "{fault}");
        assert!(fault.message.contains("column `at`"), "{fault}");
    }
    for text in ["2026-01-31 13:00:00", "2026-01-31T13:00:00Z"] {
        let added = format!("INSERT INTO lake.main.times VALUES ('{text}')");
        world.check(&added, "[[1]]").await;
    }
    let count = "SELECT count(*) FROM times WHERE at = TIMESTAMP '2026-01-31 13:00:00'";
    world.check(count, "[[2]]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_decided_before_anything_is_staged() {
    let world = world();
    world.desk.deny(Action::CreateDataset, "lake:main");
    let fault = world
        .refused("CREATE TABLE lake.main.copy AS SELECT id FROM people")
        .await;
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Denied, "no_permit")
    );
    assert_eq!(world.log.entries().pop().unwrap().action, "create_dataset");
    world
        .check(
            "CREATE TABLE lake.sales.copy AS SELECT id FROM people",
            "[[2]]",
        )
        .await;
    world.desk.deny(Action::Insert, "lake:sales/copy");
    let fault = world
        .refused("INSERT INTO lake.sales.copy SELECT id FROM people")
        .await;
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Denied, "no_permit")
    );
    assert_eq!(world.log.entries().pop().unwrap().action, "insert");
    assert_eq!(world.catalog.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_fails_leaves_nothing() {
    let world = world();
    let fault = world
        .refused("CREATE TABLE lake.main.copy AS SELECT 1 / (id - 1) AS x FROM people")
        .await;
    assert_eq!(fault.reason, "division_by_zero");
    assert_eq!(world.catalog.calls(), ["stage lake:main/copy", "retract 7"]);
    assert!(!world.path("copy.parquet").exists());

    world.catalog.refuse_settling();
    let fault = world
        .refused("CREATE TABLE lake.main.other AS SELECT id FROM people")
        .await;
    assert_eq!(fault.kind, FaultKind::Unavailable);
    assert!(!world.path("other.parquet").exists());
    assert_eq!(world.catalog.calls().last().unwrap(), "retract 7");
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_that_cannot_be_written_are_refused() {
    let world = world();
    world.catalog.add_depot(
        "fixed",
        DepotSource::Files {
            root: world.folder.path().to_owned(),
            is_writable: false,
        },
    );
    std::fs::create_dir(world.path("taken.parquet")).unwrap();
    for (sql, kind) in [
        (
            "CREATE TABLE lake.main.people AS SELECT 1 AS x",
            FaultKind::Conflict,
        ),
        (
            "CREATE TABLE lake.main.taken AS SELECT 1 AS x",
            FaultKind::Conflict,
        ),
        (
            "CREATE TABLE fixed.main.copy AS SELECT 1 AS x",
            FaultKind::Unsupported,
        ),
        (
            "CREATE TABLE nowhere.main.copy AS SELECT 1 AS x",
            FaultKind::NotFound,
        ),
        (
            r#"CREATE TABLE lake.main."../copy" AS SELECT 1 AS x"#,
            FaultKind::Invalid,
        ),
        (
            r#"CREATE TABLE lake."..".copy AS SELECT 1 AS x"#,
            FaultKind::Invalid,
        ),
        (
            "CREATE TABLE lake.main.twice AS SELECT 1 AS x, 2 AS x",
            FaultKind::Invalid,
        ),
        (
            "INSERT INTO lake.main.people (id) SELECT id FROM people",
            FaultKind::Unsupported,
        ),
    ] {
        let fault = world.refused(sql).await;
        assert_eq!(fault.kind, kind, "{sql}: {fault:?}");
    }
    assert!(world.path("taken.parquet").exists());
}
