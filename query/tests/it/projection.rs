//! `no_projection()`: columns that may stand in conditions, and go into no answer.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
use dataos_model::{
    dataset::DatasetId,
    fault::FaultKind,
    query::{PageRequest, RowFormat},
    seams::RunQuery,
};

use crate::world::World;

const COLUMNS: &[(&str, &str)] = &[("id", "bigint"), ("secret", "text"), ("region", "text")];

/// A table `s` whose `secret` may stand in conditions alone, with secrets of this world's, and a table `v`
/// without policies.
fn world(number: i64) -> World {
    let world = World::new();
    let secrets = (0..20).map(|id| match id % 4 {
        0 => Some("known".to_owned()),
        1 => None,
        _ => Some(format!("canary {number} {id}")),
    });
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..20)),
        Arc::new(secrets.collect::<StringArray>()),
        Arc::new(StringArray::from_iter_values(
            (0..20).map(|id| format!("r{}", id % 3)),
        )),
    ];
    world.stored("s", COLUMNS, arrays);
    world.csv(
        "v",
        &[("id", "bigint"), ("word", "text")],
        "1,known\n2,other\n",
    );
    let view = "SELECT \"s\".\"id\" AS \"id\", upper(\"s\".\"secret\") AS \"loud\" \
                FROM \"lake\".\"main\".\"s\" AS \"s\"";
    world.catalog.add(
        &DatasetId::new("lake", "main", "w"),
        &[("id", "bigint"), ("loud", "text")],
        dataos_model::depot::DatasetSource::View {
            sql: view.to_owned(),
            definer: None,
        },
    );
    world
        .desk
        .oblige_on("lake:main/s", "no_projection(column = 'secret')");
    world
}

/// What takes a value of it, on any way.
const TAKES: &[&str] = &[
    "SELECT secret FROM s",
    "SELECT * FROM s",
    "SELECT s.* FROM s",
    "SELECT * EXCEPT (id) FROM s",
    "SELECT id, upper(secret) AS x FROM s",
    "SELECT CASE WHEN secret = 'known' THEN 1 ELSE 0 END AS x FROM s",
    "SELECT secret = 'known' AS x FROM s",
    "SELECT secret IS NULL AS x FROM s",
    "SELECT count(secret) FROM s",
    "SELECT max(secret) FROM s",
    "SELECT count(*) FILTER (WHERE secret = 'known') FROM s",
    "SELECT array_agg(secret) FROM s",
    "SELECT first_value(secret) OVER (ORDER BY id) AS x FROM s",
    "SELECT (SELECT max(secret) FROM s) AS x",
    "SELECT x FROM (SELECT secret AS x FROM s) AS q",
    "SELECT y FROM (SELECT secret || 'a' AS x FROM s) AS q (y)",
    "WITH c AS (SELECT secret AS x FROM s) SELECT x FROM c",
    "WITH RECURSIVE c AS (SELECT secret AS x, 0 AS n FROM s UNION ALL SELECT x, n + 1 FROM c WHERE n < 2) SELECT x FROM c",
    "SELECT word FROM v UNION SELECT secret FROM s",
    "SELECT secret FROM s EXCEPT SELECT word FROM v",
    "SELECT word FROM v INTERSECT SELECT secret FROM s",
    "SELECT v.word, q.x FROM v, LATERAL (SELECT secret AS x FROM s WHERE s.id = v.id) AS q",
    "SELECT secret AS g, count(*) FROM s GROUP BY secret",
    "SELECT DISTINCT secret FROM s",
    "SELECT a.id, b.secret FROM s AS a JOIN s AS b USING (id)",
    "SELECT secret FROM s JOIN v ON s.secret = v.word",
    "SELECT loud FROM w",
    "SELECT * FROM w",
    "SELECT length(loud) AS x FROM w",
    "VALUES ((SELECT max(secret) FROM s))",
    "EXPLAIN SELECT secret FROM s",
    "EXPLAIN POLICY SELECT secret FROM s",
    "CREATE TABLE lake.main.copy AS SELECT id, secret FROM s",
    "CREATE VIEW lake.main.copy AS SELECT id, secret FROM s",
    "INSERT INTO lake.main.s (id, region) SELECT id, secret FROM s",
    "INSERT INTO lake.main.s (id, secret) VALUES (99, 'mine') RETURNING secret",
    "UPDATE s SET region = secret",
    "UPDATE s SET region = 'x' WHERE secret = 'known'",
    "DELETE FROM s WHERE id = 1 RETURNING secret",
    "MERGE INTO s USING v ON s.id = v.id WHEN MATCHED THEN UPDATE SET region = 'x'",
];

/// What it may be used for.
const ANSWERED: &[(&str, &str)] = &[
    (
        "SELECT id FROM s WHERE secret = 'known' AND id < 9 ORDER BY id",
        "[[0],[4],[8]]",
    ),
    ("SELECT count(*) FROM s WHERE secret IS NULL", "[[5]]"),
    (
        "SELECT count(*) FROM s JOIN v ON s.secret = v.word",
        "[[5]]",
    ),
    (
        "SELECT word FROM v WHERE word IN (SELECT secret FROM s)",
        r#"[["known"]]"#,
    ),
    (
        "SELECT word FROM v WHERE EXISTS (SELECT 1 FROM s WHERE s.secret = v.word)",
        r#"[["known"]]"#,
    ),
    (
        "SELECT region, count(*) FROM s WHERE secret = 'known' GROUP BY region ORDER BY 1",
        r#"[["r0",2],["r1",2],["r2",1]]"#,
    ),
    (
        "SELECT id FROM w WHERE loud = 'KNOWN' ORDER BY id LIMIT 1",
        "[[0]]",
    ),
    (
        "SELECT id, region FROM s ORDER BY id LIMIT 1",
        r#"[[0,"r0"]]"#,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_value_of_it_is_shown_and_conditions_are_answered() {
    let (one, other) = (world(1), world(2));
    for sql in TAKES {
        let [fault, same] = [one.refused(sql).await, other.refused(sql).await];
        assert_eq!(
            (fault.kind, fault.reason.as_str()),
            (FaultKind::Denied, "no_projection"),
            "{sql}: {fault:?}"
        );
        assert_eq!(format!("{fault:?}"), format!("{same:?}"), "{sql}");
        let entry = one.log.entries().pop().unwrap();
        assert_eq!(entry.reason, "no_projection", "{sql}");
    }
    for (sql, expected) in ANSWERED {
        for world in [&one, &other] {
            world.check(sql, expected).await;
        }
    }
    let explained = one.rows("EXPLAIN POLICY SELECT id FROM s").await;
    assert!(
        explained.contains("no_projection(column = 'secret')"),
        "{explained}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_is_of_all_columns_and_of_those_that_there_are() {
    let world = World::new();
    world.csv("s", COLUMNS, "1,a,b\n");
    world.desk.oblige_on("lake:main/s", "no_projection()");
    let fault = world.refused("SELECT id FROM s").await;
    assert_eq!(fault.reason, "no_projection");
    world
        .check("SELECT count(*) FROM s WHERE region = 'b'", "[[1]]")
        .await;
    for unknown in [
        "no_projection(column = 'nothing')",
        "no_projection(column = 1)",
        "no_projection(of = 'secret')",
        "no_projection(column = 'secret', of = 'x')",
    ] {
        let world = World::new();
        world.csv("s", COLUMNS, "1,a,b\n");
        world.desk.oblige_on("lake:main/s", unknown);
        let fault = world.refused("SELECT count(*) FROM s").await;
        assert_eq!(fault.kind, FaultKind::Denied, "{unknown}");
        assert_eq!(fault.reason, "obligation_unknown", "{unknown}");
    }
    // On a write it means nothing, so it permits none.
    let world = World::new();
    world.csv("s", COLUMNS, "1,a,b\n");
    world.desk.oblige("no_projection(column = 'secret')");
    let sql = "CREATE TABLE lake.main.copy AS SELECT id FROM s";
    let fault = world.refused(sql).await;
    assert_eq!(fault.reason, "obligation_unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_result_is_not_shown_under_a_new_ban() {
    let world = World::new();
    world.csv("s", COLUMNS, "1,a,b\n2,c,d\n");
    let keeper = world.layer.keeper().unwrap();
    let mut request = world.request("SELECT secret FROM s");
    request.rows_max = Some(1);
    let page = keeper.first_page(request.clone()).await.unwrap();
    let asked = PageRequest {
        principal: request.principal,
        request_id: "page".to_owned(),
        context: request.context,
        id: page.id.unwrap(),
        cursor: None,
        rows_max: None,
        format: RowFormat::Json,
    };
    assert!(keeper.page(asked.clone()).await.is_ok());
    world.desk.oblige_on("lake:main/s", "no_projection()");
    let fault = keeper.page(asked).await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Conflict, "policy_changed")
    );
}
