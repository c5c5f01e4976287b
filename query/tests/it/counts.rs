//! What the engine knows of how large tables are: what the caller has seen of them, and nothing else.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
use dataos_model::dataset::DatasetId;

use crate::world::{World, equals};

const COLUMNS: &[(&str, &str)] = &[("id", "bigint"), ("tenant", "text")];
const JOIN: &str = "SELECT count(*) FROM a JOIN b ON a.id = b.id";

/// A table of which the caller sees some rows, and does not see others.
fn table(world: &World, name: &str, visible: i64, hidden: i64) -> DatasetId {
    let ids: Int64Array = (0..visible + hidden).map(Some).collect();
    let tenant = |id| Some(if id < visible { "mine" } else { "theirs" });
    let tenants: StringArray = (0..visible + hidden).map(tenant).collect();
    let arrays: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(tenants)];
    let id = world.parquet(name, COLUMNS, arrays);
    world.desk.rows(&id, equals("tenant", "mine"));
    id
}

/// `a` with 2 000 visible rows and `b` with 10, and so many hidden ones.
fn world(hidden_in_a: i64, hidden_in_b: i64) -> World {
    let world = World::new();
    table(&world, "a", 2_000, hidden_in_a);
    table(&world, "b", 10, hidden_in_b);
    world
}

/// Which table the join holds in memory: the first that its plan names.
async fn held(world: &World) -> &'static str {
    let plan = world.layer.physical_plan(&world.request(JOIN)).await;
    let plan = plan.unwrap();
    let mut scans = plan.lines().filter(|line| line.contains("DataSourceExec"));
    if scans.next().unwrap().contains("/a") {
        "a"
    } else {
        "b"
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_hold_the_side_of_which_the_caller_saw_fewer_rows() {
    let world = world(0, 5_000);
    assert_eq!(held(&world).await, "a", "as it was written");
    world.check(JOIN, "[[10]]").await;
    assert_eq!(held(&world).await, "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_rows_do_not_order_joins() {
    for (hidden_in_a, hidden_in_b) in [(0, 0), (0, 50_000), (50_000, 0)] {
        let world = world(hidden_in_a, hidden_in_b);
        world.check(JOIN, "[[10]]").await;
        assert_eq!(held(&world).await, "b", "{hidden_in_a} {hidden_in_b}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_statements_that_end_teach_counts() {
    let world = world(100, 5_000);
    for sql in [
        "SELECT id FROM a LIMIT 3",
        "SELECT id FROM b LIMIT 3",
        "SELECT * FROM (SELECT id FROM a ORDER BY id LIMIT 2) AS s",
    ] {
        world.run(sql).await.unwrap();
    }
    let failing = "SELECT sum(1 / (id - 9)) FROM b";
    assert_eq!(world.refused(failing).await.reason, "division_by_zero");
    assert_eq!(held(&world).await, "a", "nothing is known");
    world.run("SELECT count(*) FROM a").await.unwrap();
    assert_eq!(held(&world).await, "a", "of one side alone");
    world.run("SELECT count(*) FROM b").await.unwrap();
    assert_eq!(held(&world).await, "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_count_until_all_rows_were_read() {
    let world = world(100, 5_000);
    world
        .check("SELECT count(*) FROM a WHERE id < 5", "[[5]]")
        .await;
    world.check("SELECT count(*) FROM b", "[[10]]").await;
    assert_eq!(held(&world).await, "a", "5 and 10");
    world
        .check("SELECT count(*) FROM a WHERE id < 70", "[[70]]")
        .await;
    assert_eq!(held(&world).await, "b", "70 and 10");
    world
        .check("SELECT count(*) FROM a WHERE id < 5", "[[5]]")
        .await;
    assert_eq!(held(&world).await, "b", "the largest part counts");
    world.check("SELECT count(*) FROM a", "[[2000]]").await;
    world
        .check("SELECT count(*) FROM b WHERE id < 3", "[[3]]")
        .await;
    assert_eq!(held(&world).await, "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sees_other_rows_learns_for_himself() {
    let world = World::new();
    let a = table(&world, "a", 2_000, 20_000);
    let b = table(&world, "b", 10, 5_000);
    world.check(JOIN, "[[10]]").await;
    assert_eq!(held(&world).await, "b");
    for id in [&a, &b] {
        world.desk.rows(id, equals("tenant", "theirs"));
    }
    assert_eq!(held(&world).await, "a", "nothing is known of these rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_groups_are_not_counted() {
    let world = World::new();
    let a = table(&world, "a", 2_000, 0);
    let b = table(&world, "b", 10, 0);
    for id in [&a, &b] {
        world
            .desk
            .oblige_on(&id.to_string(), "min_group(size = 5, key = 'id')");
    }
    world.check(JOIN, "[[10]]").await;
    assert_eq!(held(&world).await, "a", "as it was written");
}
