//! `min_group(..)`: tables that leave in aggregates alone, of groups of enough entities.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use datafusion::arrow::array::{ArrayRef, Date32Array, Int64Array, StringArray};
use dataos_model::{
    dataset::DatasetId,
    depot::DatasetSource,
    fault::{Fault, FaultKind},
};
use serde_json::Value;

use crate::{
    back_ends::BackEnd,
    world::{World, equals},
};

const COLUMNS: &[(&str, &str)] = &[
    ("id", "bigint"),
    ("customer", "bigint"),
    ("region", "text"),
    ("city", "text"),
    ("amount", "bigint"),
    ("bonus", "bigint"),
    ("paid_on", "date"),
];

/// A payment.
#[derive(Clone, Debug)]
struct Payment {
    id: i64,
    customer: Option<i64>,
    region: Option<&'static str>,
    city: String,
    amount: Option<i64>,
    bonus: Option<i64>,
    paid_on: i32,
}

/// Groups of all sizes: cities from one customer up, customers with many payments, NULL wherever it can be.
fn payments() -> Vec<Payment> {
    const REGIONS: [Option<&str>; 4] = [Some("east"), Some("west"), Some("north"), None];
    let mut state = 17_u64;
    let mut next = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((state >> 33) % below).unwrap()
    };
    let payments = (0..400).map(|id| {
        let city = next(20) * next(20) / 20;
        Payment {
            id,
            customer: (next(12) > 0).then(|| city * 100 + next(1 + u64::try_from(city).unwrap())),
            region: REGIONS[usize::try_from(next(4)).unwrap()],
            city: format!("c{city}"),
            amount: (next(5) > 0).then(|| next(1_000) - 200),
            bonus: (next(9) == 0).then(|| next(90)),
            paid_on: 19_000 + i32::try_from(next(800)).unwrap(),
        }
    });
    payments.collect()
}

fn arrays(rows: &[Payment]) -> Vec<ArrayRef> {
    let longs = |of: &dyn Fn(&Payment) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<Int64Array>())
    };
    vec![
        longs(&|row| Some(row.id)),
        longs(&|row| row.customer),
        Arc::new(rows.iter().map(|row| row.region).collect::<StringArray>()),
        Arc::new(StringArray::from_iter_values(
            rows.iter().map(|row| &row.city),
        )),
        longs(&|row| row.amount),
        longs(&|row| row.bonus),
        Arc::new(Date32Array::from_iter_values(
            rows.iter().map(|row| row.paid_on),
        )),
    ]
}

fn filled(world: &World, back_end: &BackEnd) -> DatasetId {
    world.csv(
        "d",
        &[("region", "text"), ("label", "text")],
        "east,E\nwest,W\nwest,W2\n",
    );
    back_end.fill(world, "payments", "p", COLUMNS, arrays(&payments()))
}

/// The customers of rows.
fn customers<'a>(rows: impl IntoIterator<Item = &'a Payment>) -> usize {
    let customers = rows.into_iter().filter_map(|row| row.customer);
    customers.collect::<BTreeSet<_>>().len()
}

/// Groups by a key, those of at least `size` customers.
fn groups<K: Ord>(
    rows: &[Payment],
    size: usize,
    key: impl Fn(&Payment) -> K,
) -> BTreeMap<K, Vec<&Payment>> {
    let mut groups: BTreeMap<K, Vec<&Payment>> = BTreeMap::new();
    for row in rows {
        groups.entry(key(row)).or_default().push(row);
    }
    groups.retain(|_, rows| customers(rows.iter().copied()) >= size);
    groups
}

/// An aggregate of the values that enough customers have.
fn told(
    rows: &[&Payment],
    size: usize,
    value: impl Fn(&Payment) -> Option<i64>,
    of: impl Fn(&[i64]) -> f64,
) -> Value {
    let with: Vec<&Payment> = rows
        .iter()
        .copied()
        .filter(|row| value(row).is_some())
        .collect();
    if customers(with.iter().copied()) < size {
        return Value::Null;
    }
    Value::from(of(&with.into_iter().filter_map(value).collect::<Vec<_>>()))
}

#[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
fn sum(values: &[i64]) -> f64 {
    values.iter().sum::<i64>() as f64
}

#[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
fn count(values: &[i64]) -> f64 {
    values.len() as f64
}

fn average(values: &[i64]) -> f64 {
    sum(values) / count(values)
}

/// Rows in an order of their own, numbers to six digits behind the point.
fn sorted(mut rows: Vec<Vec<Value>>) -> Vec<String> {
    for value in rows.iter_mut().flatten() {
        if let Some(number) = value.as_f64() {
            *value = Value::from(format!("{number:.6}"));
        }
    }
    let mut rows: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    rows.sort();
    rows
}

async fn answered(world: &World, sql: &str) -> Vec<String> {
    sorted(serde_json::from_str(&world.rows(sql).await).unwrap())
}

/// A statement and its rows, computed row by row.
type Case = (&'static str, Vec<Vec<Value>>);

/// The keys of groups and how many rows each has.
fn counted<K: Ord + Clone + Into<Value>>(groups: &BTreeMap<K, Vec<&Payment>>) -> Vec<Vec<Value>> {
    let groups = groups.iter();
    groups
        .map(|(key, rows)| vec![key.clone().into(), rows.len().into()])
        .collect()
}

/// Statements by city.
fn by_city(rows: &[Payment], size: usize) -> Vec<Case> {
    let of_city = groups(rows, size, |row| row.city.clone());
    let aggregates = of_city.iter().map(|(city, rows)| {
        vec![
            city.as_str().into(),
            told(rows, size, |row| row.amount, sum),
            told(rows, size, |row| row.amount, average),
            told(rows, size, |row| row.amount, count),
            told(rows, size, |row| row.bonus, sum),
        ]
    });
    let distinct = of_city.iter().map(|(city, rows)| {
        let customers = customers(rows.iter().copied());
        vec![city.as_str().into(), customers.into()]
    });
    let more = of_city.values().map(|rows| vec![(rows.len() + 1).into()]);
    let is_east = |row: &&Payment| row.region == Some("east") && row.amount > Some(100);
    let east: Vec<Payment> = rows.iter().filter(is_east).cloned().collect();
    vec![
        (
            "SELECT city, count(*) FROM p GROUP BY city",
            counted(&of_city),
        ),
        (
            "SELECT city, count(DISTINCT customer) FROM p GROUP BY city",
            distinct.collect(),
        ),
        (
            "SELECT city, sum(amount), avg(amount), count(amount), sum(bonus) FROM p GROUP BY 1",
            aggregates.collect(),
        ),
        (
            "SELECT city, count(*) FROM p WHERE region = 'east' AND amount > 100 GROUP BY city",
            counted(&groups(&east, size, |row| row.city.clone())),
        ),
        (
            "SELECT n + 1 FROM (SELECT city, count(*) AS n FROM p GROUP BY city) AS q WHERE n >= 0",
            more.collect(),
        ),
    ]
}

/// Other statements.
fn expected(rows: &[Payment], size: usize) -> Vec<Case> {
    let all: Vec<&Payment> = rows.iter().collect();
    let of_year = groups(rows, size, |row| match row.paid_on {
        ..19_358 => 2022,
        19_358..19_723 => 2023,
        19_723.. => 2024,
    });
    let mut of_region = groups(rows, size, |row| row.region);
    let labels = [("east", "E"), ("west", "W"), ("west", "W2")];
    let joined = labels.iter().filter_map(|(region, label)| {
        let rows = of_region.get(&Some(*region))?;
        Some(vec![
            (*label).into(),
            told(rows, size, |row| row.amount, sum),
        ])
    });
    let joined = joined.collect();
    of_region.retain(|_, rows| rows.len() > 70);
    vec![
        (
            "SELECT region, count(*) FROM p GROUP BY region HAVING count(*) > 70 ORDER BY sum(amount)",
            counted(&of_region),
        ),
        (
            "SELECT count(*), sum(amount) FROM p",
            vec![vec![
                all.len().into(),
                told(&all, size, |row| row.amount, sum),
            ]],
        ),
        (
            "SELECT extract(year FROM paid_on) AS y, count(*) FROM p GROUP BY extract(year FROM paid_on)",
            counted(&of_year),
        ),
        (
            "SELECT label, sum(amount) FROM p JOIN d USING (region) GROUP BY label",
            joined,
        ),
        ("SELECT count(*) FROM p WHERE customer = 0", Vec::new()),
        (
            "SELECT customer, count(*) FROM p GROUP BY customer",
            Vec::new(),
        ),
    ]
}

async fn row_by_row(back_end: BackEnd) {
    let world = World::new();
    let p = filled(&world, &back_end);
    let rows = payments();
    for size in [2, 5, 9] {
        let obligation = format!("min_group(size = {size}, key = 'customer')");
        // The largest of all holds.
        world.desk.oblige_on(&p.to_string(), &obligation);
        for (sql, expected) in by_city(&rows, size)
            .into_iter()
            .chain(expected(&rows, size))
        {
            assert_eq!(
                answered(&world, sql).await,
                sorted(expected),
                "{size} {sql}"
            );
        }
    }
    // Cities with too few customers are there, and cities with enough.
    let (some, all) = (
        groups(&rows, 5, |row| row.city.clone()).len(),
        groups(&rows, 0, |row| row.city.clone()).len(),
    );
    assert!(0 < some && some < all, "{some} of {all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_files_are_those_counted_row_by_row() {
    row_by_row(BackEnd::Files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_postgresql_are_those_counted_row_by_row() {
    row_by_row(BackEnd::postgres()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_mariadb_are_those_counted_row_by_row() {
    row_by_row(BackEnd::maria_db()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_mysql_are_those_counted_row_by_row() {
    row_by_row(BackEnd::my_sql()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_sqlite_are_those_counted_row_by_row() {
    row_by_row(BackEnd::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_are_counted_as_they_are_among_the_rows_that_are_seen() {
    let world = World::new();
    let p = filled(&world, &BackEnd::Files);
    let rows = payments();
    world
        .desk
        .oblige_on(&p.to_string(), "min_group(size = 5, key = 'customer')");
    let sql = "SELECT city, count(*) FROM p GROUP BY city";
    let shown = |rows: &[Payment]| {
        let groups = groups(rows, 5, |row| row.city.clone());
        let groups = groups
            .iter()
            .map(|(city, rows)| vec![city.as_str().into(), rows.len().into()]);
        sorted(groups.collect())
    };
    // Whatever the caller sees of the key: nothing, or the same of all.
    world.desk.absent(&p, "customer");
    assert_eq!(answered(&world, sql).await, shown(&rows));
    world
        .desk
        .mask(&p, "customer", "bucket_number(buckets = [0])");
    assert_eq!(answered(&world, sql).await, shown(&rows));
    // Hidden rows do not count.
    world.desk.rows(&p, equals("region", "west"));
    let west: Vec<Payment> = rows
        .into_iter()
        .filter(|row| row.region == Some("west"))
        .collect();
    assert_eq!(answered(&world, sql).await, shown(&west));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_minimum_holds_and_certificate_and_explanation_name_it() {
    let world = World::new();
    let p = filled(&world, &BackEnd::Files);
    let p = p.to_string();
    world
        .desk
        .oblige_on(&p, "min_group(size = 4, key = 'customer')");
    world
        .desk
        .oblige_on(&p, "min_group(size = 3, key = 'customer')");
    world.desk.oblige_on(&p, "min_group(size = 30)");
    let rows = payments();
    let groups = groups(&rows, 4, |row| row.city.clone());
    let groups = groups.iter().filter(|(_, rows)| rows.len() >= 30);
    let groups = groups.map(|(city, rows)| vec![city.as_str().into(), rows.len().into()]);
    let sql = "SELECT city, count(*) FROM p GROUP BY city";
    assert_eq!(answered(&world, sql).await, sorted(groups.collect()));
    let answer = world.run(sql).await.unwrap();
    let governed = &answer.certificate.governed_sql;
    for condition in [r#"count(DISTINCT "p"."__entity0") >= 4"#, "count(*) >= 30"] {
        assert!(governed.contains(condition), "{governed}");
    }
    let obligations = &answer.certificate.tables[0].access.decision.obligations;
    assert_eq!(obligations.len(), 3);
    let entries = world.log.entries();
    let decision = entries
        .iter()
        .rev()
        .find(|entry| !entry.obligations.is_empty())
        .unwrap();
    assert_eq!(
        decision.obligations[0],
        "min_group(key = 'customer', size = 4)"
    );
    let explained = world.rows(&format!("EXPLAIN POLICY {sql}")).await;
    assert!(
        explained.contains("leaves in aggregates alone, of groups of at least 30 rows"),
        "{explained}"
    );
    // Rows that a join repeats would count again.
    let fault = world
        .refused("SELECT label, count(*) FROM p JOIN d USING (region) GROUP BY 1")
        .await;
    assert_eq!(fault.reason, "min_group", "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_obligation_that_says_no_minimum_permits_nothing() {
    for unknown in [
        "min_group()",
        "min_group(size = 1, key = 'customer')",
        "min_group(size = -5)",
        "min_group(size = '5')",
        "min_group(size = 5, key = 7)",
        "min_group(size = 5, of = 'customer')",
        "min_group(size = 5, key = 'nothing')",
    ] {
        let world = World::new();
        let p = filled(&world, &BackEnd::Files);
        world.desk.oblige_on(&p.to_string(), unknown);
        let fault = world.refused("SELECT count(*) FROM p").await;
        assert_eq!(
            (fault.kind, fault.reason.as_str()),
            (FaultKind::Denied, "obligation_unknown"),
            "{unknown}"
        );
    }
    // A write is permitted under none.
    let world = World::new();
    filled(&world, &BackEnd::Files);
    world.desk.oblige("min_group(size = 5)");
    let fault = world
        .refused("CREATE TABLE lake.main.copy AS SELECT count(*) AS n FROM p")
        .await;
    assert_eq!(fault.reason, "obligation_unknown");
}

/// A world with views over the table, one of groups and one of rows.
fn with_views(size: usize) -> World {
    let world = World::new();
    let rows = payments();
    let p = world.stored("p", COLUMNS, arrays(&rows));
    let view = |name: &str, columns: &[(&str, &str)], sql: &str| {
        let source = DatasetSource::View {
            sql: sql.to_owned(),
            definer: None,
        };
        world
            .catalog
            .add(&DatasetId::new("lake", "main", name), columns, source);
    };
    let of = r#"FROM "lake"."main"."p" AS "p""#;
    view(
        "of_cities",
        &[("city", "text"), ("n", "bigint")],
        &format!(r#"SELECT "p"."city" AS "city", count(*) AS "n" {of} GROUP BY "p"."city""#),
    );
    view(
        "of_rows",
        &[("id", "bigint")],
        &format!(r#"SELECT "p"."id" AS "id" {of}"#),
    );
    world.csv("d", &[("region", "text"), ("label", "text")], "east,E\n");
    world.desk.oblige_on(
        &p.to_string(),
        &format!("min_group(size = {size}, key = 'customer')"),
    );
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn views_and_copies_hold_what_their_reader_or_writer_may_see() {
    let world = with_views(5);
    let rows = payments();
    let groups = groups(&rows, 5, |row| row.city.clone());
    let counts: Vec<Vec<Value>> = groups
        .values()
        .map(|rows| vec![rows.len().into()])
        .collect();
    assert_eq!(
        answered(&world, "SELECT n FROM of_cities").await,
        sorted(counts.clone())
    );
    // The conditions of the view's reader are evaluated on groups that he sees, and on no other.
    let sql = "SELECT n FROM of_cities WHERE 1 / (n - 1) < 5";
    assert_eq!(answered(&world, sql).await, sorted(counts.clone()));
    world
        .run("CREATE TABLE lake.main.copy AS SELECT city, count(*) AS n FROM p GROUP BY city")
        .await
        .unwrap();
    assert_eq!(
        answered(&world, "SELECT n FROM copy").await,
        sorted(counts.clone())
    );
    world
        .run("INSERT INTO lake.main.copy SELECT city, sum(amount) FROM p GROUP BY city")
        .await
        .unwrap();
    world
        .run("CREATE VIEW lake.main.more AS SELECT city, count(*) AS n FROM p GROUP BY city")
        .await
        .unwrap();
    assert_eq!(answered(&world, "SELECT n FROM more").await, sorted(counts));
    let Fault { reason, .. } = world.refused("SELECT * FROM of_rows").await;
    assert_eq!(reason, "view_unreadable");
    for sql in [
        "CREATE TABLE lake.main.rows AS SELECT * FROM p",
        "CREATE VIEW lake.main.rows AS SELECT id FROM p",
        "INSERT INTO lake.main.copy SELECT city, id FROM p",
        "INSERT INTO lake.main.p (id) VALUES (1) RETURNING id",
        "UPDATE p SET city = 'x'",
        "UPDATE copy SET n = (SELECT count(*) FROM p)",
        "DELETE FROM p WHERE id = 7",
        "MERGE INTO p USING d ON p.region = d.region WHEN MATCHED THEN DELETE",
        "SELECT count(*) FROM p JOIN of_cities AS c USING (city)",
    ] {
        let fault = world.refused(sql).await;
        assert_eq!(
            (fault.kind, fault.reason.as_str()),
            (FaultKind::Denied, "min_group"),
            "{sql}: {fault}"
        );
        assert!(fault.location.is_some(), "{sql}: {fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_computed_on_groups_that_are_left_out() {
    let world = with_views(2);
    let rows = payments();
    let all = groups(&rows, 0, |row| row.city.clone());
    let shown = groups(&rows, 2, |row| row.city.clone());
    // Where most groups pass, an engine that evaluates both conditions at once evaluates them on all.
    assert!(
        shown.len() * 2 > all.len(),
        "{} of {}",
        shown.len(),
        all.len()
    );
    assert!(all.values().any(|rows| rows.len() == 1));
    let expected = sorted(vec![vec![shown.len().into()]]);
    let of = "(SELECT city, count(*) AS n FROM p GROUP BY city)";
    // Each divides by zero on a group of one row.
    for sql in [
        format!("SELECT count(*) FROM {of} AS q WHERE 1 / (n - 1) < 5"),
        format!("SELECT count(1 / (n - 1)) FROM {of} AS q"),
        "SELECT count(x) FROM (SELECT 1 / (count(*) - 1) AS x FROM p GROUP BY city) AS q".to_owned(),
        "SELECT count(*) FROM (SELECT city FROM p GROUP BY city ORDER BY 1 / (count(*) - 1)) AS q".to_owned(),
        "WITH c AS (SELECT city, count(*) AS n FROM p GROUP BY city ORDER BY 2) SELECT count(*) FROM c WHERE 1 / (n - 1) < 5".to_owned(),
        format!("SELECT count(*) FROM d JOIN {of} AS q ON 1 / (n - 1) < 5"),
        format!("SELECT count(*) FROM (SELECT n FROM (SELECT DISTINCT city, n FROM {of} AS q) AS r) AS s WHERE 1 / (n - 1) < 5"),
        format!("SELECT count(*) FROM (SELECT n FROM {of} AS q UNION ALL SELECT 3 FROM d WHERE label = 'none') AS r WHERE 1 / (n - 1) < 5"),
        "SELECT count(*) FROM (SELECT city, count(*) AS n FROM p GROUP BY city EXCEPT SELECT label, 3 FROM d) AS r WHERE 1 / (n - 1) < 5".to_owned(),
        "SELECT count(*) FROM of_cities WHERE 1 / (n - 1) < 5".to_owned(),
        "SELECT count(*) FROM (SELECT n FROM of_cities WHERE 1 / (n - 1) < 5) AS q".to_owned(),
    ] {
        assert_eq!(answered(&world, &sql).await, expected, "{sql}");
    }
}
