//! Probes: statements that fail, or answer otherwise, if a hidden row or a raw masked value reaches
//! an expression of the caller's.

use std::{fmt::Write as _, sync::Arc};

use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
use dataos_model::dataset::DatasetId;

use crate::world::{World, equals};

const COLUMNS: &[(&str, &str)] = &[
    ("id", "bigint"),
    ("tenant", "text"),
    ("salary", "bigint"),
    ("note", "text"),
];

/// The optimizer's choice depends on how many rows of a batch pass: the shares matter.
const SHARES: &[i64] = &[5, 30, 60, 90];
const ROWS: i64 = 20_000;

/// Fails on hidden rows only: their salary is 777 and their note no number.
const PROBES: &[&str] = &[
    "SELECT count(*) FROM t WHERE 1 / (salary - 777) < 5",
    "SELECT count(*) FROM t WHERE 1 / (salary - 777) < 5 AND tenant = 'a'",
    "SELECT count(*) FROM t WHERE tenant = 'b' OR 1 / (salary - 777) < 5",
    "SELECT count(*) FROM (SELECT * FROM t WHERE 1 / (salary - 777) < 5) AS s",
    "SELECT count(*) FROM (SELECT id, 1 / (salary - 777) AS x FROM t) AS s WHERE x < 5",
    "SELECT count(*) FROM t WHERE CAST(note AS BIGINT) < 1000000",
    "SELECT count(*) FROM (SELECT id FROM t ORDER BY 1 / (salary - 777) LIMIT 19000) AS s WHERE id >= 0",
    "SELECT sum(n) FROM (SELECT 1 / (salary - 777) AS k, count(*) AS n FROM t GROUP BY 1) AS s",
    "SELECT count(*) FROM t WHERE CASE WHEN id >= 0 THEN 1 / (salary - 777) ELSE 0 END < 5",
    "SELECT count(*) FROM t WHERE id IN (SELECT id FROM t WHERE 1 / (salary - 777) < 5)",
    "WITH c AS (SELECT * FROM t) SELECT count(*) FROM c WHERE 1 / (salary - 777) < 5",
];

fn values(share: i64) -> impl Iterator<Item = (i64, &'static str, i64, String)> {
    (0..ROWS).map(move |id| {
        // Spread evenly, so that every batch has its share.
        let is_visible = (id * 37) % 100 < share;
        let tenant = if is_visible { "a" } else { "b" };
        let salary = if is_visible { 1_000 + id % 50 } else { 777 };
        let note = if is_visible {
            format!("{}", id % 1_000)
        } else {
            "secret".to_owned()
        };
        (id, tenant, salary, note)
    })
}

fn parquet(world: &World, share: i64) -> DatasetId {
    let ids: Int64Array = values(share).map(|row| Some(row.0)).collect();
    let tenants: StringArray = values(share).map(|row| Some(row.1)).collect();
    let salaries: Int64Array = values(share).map(|row| Some(row.2)).collect();
    let notes: StringArray = values(share).map(|row| Some(row.3)).collect();
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(ids),
        Arc::new(tenants),
        Arc::new(salaries),
        Arc::new(notes),
    ];
    world.parquet("t", COLUMNS, arrays)
}

fn csv(world: &World, share: i64) -> DatasetId {
    let mut body = String::new();
    for (id, tenant, salary, note) in values(share) {
        writeln!(body, "{id},{tenant},{salary},{note}").unwrap();
    }
    world.csv("t", COLUMNS, &body)
}

async fn probe(world: &World, share: i64) {
    let visible = values(share).filter(|row| row.1 == "a").count();
    for sql in PROBES {
        world.check(sql, &format!("[[{visible}]]")).await;
    }
    let rows = world
        .rows("SELECT * FROM t WHERE 1 / (salary - 777) < 5 LIMIT 5")
        .await;
    assert!(!rows.contains("secret") && !rows.contains("777"), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_rows_reach_no_expression_of_the_caller_in_parquet() {
    for share in SHARES {
        let world = World::new();
        let id = parquet(&world, *share);
        world.desk.rows(&id, equals("tenant", "a"));
        probe(&world, *share).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_rows_reach_no_expression_of_the_caller_in_csv() {
    for share in SHARES {
        let world = World::new();
        let id = csv(&world, *share);
        world.desk.rows(&id, equals("tenant", "a"));
        probe(&world, *share).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probes_fail_without_a_policy() {
    // If they did not, the tests above would prove nothing.
    let world = World::new();
    parquet(&world, 60);
    for sql in PROBES {
        let fault = world.refused(sql).await;
        assert!(
            matches!(fault.reason.as_str(), "division_by_zero" | "conversion"),
            "{sql}: {fault:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_values_under_a_mask_reach_no_expression_of_the_caller() {
    let world = World::new();
    let id = parquet(&world, 60);
    world.desk.mask(&id, "salary", "redact(replacement = '1')");
    world.desk.mask(&id, "note", "constant(value = '7')");
    for sql in PROBES {
        let expected = match sql {
            sql if sql.contains("tenant = 'a'") => 12_000,
            sql if sql.contains("LIMIT") => 19_000,
            _ => ROWS,
        };
        world.check(sql, &format!("[[{expected}]]")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_over_governed_tables_quote_no_value() {
    let world = World::new();
    let id = csv(&world, 60);
    world.desk.rows(&id, equals("tenant", "b"));
    for sql in [
        "SELECT CAST(note AS BIGINT) FROM t",
        "SELECT CAST(note AS DATE) FROM t",
        "SELECT 1 / (salary - 777) FROM t",
        "SELECT CAST(salary * 1000000 AS SMALLINT) FROM t",
    ] {
        match world.run(sql).await {
            Ok(_) => panic!("{sql} was answered"),
            Err(fault) => {
                let text = format!("{fault} {fault:?}");
                assert!(
                    !text.contains("secret") && !text.contains("777"),
                    "{sql}: {text}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policys_own_filter_still_prunes() {
    let world = World::new();
    let id = parquet(&world, 60);
    world.desk.rows(&id, equals("tenant", "a"));
    let request = world.request("SELECT id FROM t WHERE 1 / (salary - 777) < 5 AND id = 7");
    let plan = world.layer.physical_plan(&request).await.unwrap();
    let source = plan
        .lines()
        .find(|line| line.contains("DataSourceExec"))
        .unwrap();
    assert!(
        source.contains("predicate=") && source.contains("tenant"),
        "{plan}"
    );
    assert!(source.contains("id@") && !source.contains("777"), "{plan}");
    let barrier = plan.find("BarrierExec").unwrap();
    assert!(plan.find("777").unwrap() < barrier, "{plan}");
}
