//! Tables that leave in aggregates alone: what goes to the engine, and what is refused.

use std::sync::Arc;

use dataos_model::dataset::{Column, DatasetId, DatasetSchema};
use dataos_sql::{
    Bound, Datasets, Dialect, GroupMinimum, SqlError, SqlErrorKind, TableView, ViewColumn, bind,
    parse, tables,
};

/// A minimum: its size, and an entity's column, or none for rows.
type Minimum = (u64, Option<&'static str>);

/// Tables, their columns, and their minimums.
const TABLES: &[(&str, &str, &[Minimum])] = &[
    (
        "p",
        "id:bigint who:bigint city:text amount:bigint price:decimal(38,4) rate:double paid:date at:timestamp ok:boolean",
        &[(5, Some("__entity0"))],
    ),
    ("r", "id:bigint city:text n:integer", &[(7, None)]),
    (
        "d",
        "id:bigint city:text label:text n:integer price:decimal(12,2)",
        &[],
    ),
    ("w", "id:bigint", &[]),
];

fn run(sql: &str) -> Result<Bound, SqlError> {
    let columns = |text: &str| -> Vec<Column> {
        let columns = text
            .split(' ')
            .map(|column| column.split_once(':').unwrap());
        columns
            .map(|(name, column_type)| Column {
                name: name.to_owned(),
                column_type: column_type.parse().unwrap(),
                is_nullable: true,
            })
            .collect()
    };
    let id = |name: &str| DatasetId::new("lake", "main", name);
    let datasets = TABLES.iter().map(|(name, text, _)| {
        (
            id(name),
            Arc::new(DatasetSchema {
                columns: columns(text),
            }),
        )
    });
    let views = TABLES.iter().map(|(name, text, minimums)| TableView {
        dataset: id(name),
        columns: columns(text)
            .into_iter()
            .map(|column| ViewColumn {
                name: column.name,
                column_type: column.column_type,
                is_masked: false,
                is_condition_only: false,
            })
            .collect(),
        minimums: minimums
            .iter()
            .map(|(size, entity)| GroupMinimum {
                size: *size,
                entity: entity.map(str::to_owned),
            })
            .collect(),
        is_view: *name == "w",
    });
    let statement = parse(Dialect::DataFusion, sql)?;
    let tables = tables(&statement, &Datasets::new(datasets.collect()))?;
    bind(&statement, &tables, &views.collect::<Vec<_>>())
}

fn check(sql: &str, expected: &str) {
    let found = match run(sql) {
        Ok(bound) => bound.emit().to_owned(),
        Err(error) => format!("error: {error}"),
    };
    assert_eq!(found, expected, "{sql}");
}

#[test]
fn groups_are_counted_in_the_select_that_makes_them() {
    check(
        "SELECT city, count(*) FROM p GROUP BY city",
        r#"SELECT "p"."city" AS "city", count(*) FROM "__t0" AS "p" GROUP BY "p"."city" HAVING count(DISTINCT "p"."__entity0") >= 5 LIMIT 4611686018427387904"#,
    );
    check(
        "SELECT sum(amount) FROM p WHERE city = 'a' HAVING count(*) > 9",
        r#"SELECT CASE WHEN count(DISTINCT CASE WHEN "p"."amount" IS NOT NULL THEN "p"."__entity0" END) >= 5 THEN sum("p"."amount") END FROM "__t0" AS "p" WHERE "p"."city" = 'a' HAVING count(*) > 9 AND count(DISTINCT "p"."__entity0") >= 5 LIMIT 4611686018427387904"#,
    );
    check(
        "SELECT count(n) FROM r LIMIT 3",
        r#"SELECT CASE WHEN count("r"."n") >= 7 THEN count("r"."n") END FROM "__t0" AS "r" HAVING count(*) >= 7 LIMIT 3"#,
    );
    check(
        "SELECT d.label, count(*) FROM p JOIN d ON p.id = d.id GROUP BY 1 UNION ALL SELECT label, n FROM d",
        r#"(SELECT "d"."label" AS "label", count(*) FROM "__t0" AS "p" INNER JOIN "__t1" AS "d" ON "p"."id" = "d"."id" GROUP BY 1 HAVING count(DISTINCT "p"."__entity0") >= 5 LIMIT 4611686018427387904) UNION ALL SELECT "d"."label" AS "label", "d"."n" AS "n" FROM "__t2" AS "d""#,
    );
    check(
        "SELECT count(*) FROM p AS a JOIN p AS b ON a.who = b.id",
        r#"SELECT count(*) FROM "__t0" AS "a" INNER JOIN "__t1" AS "b" ON "a"."who" = "b"."id" HAVING count(DISTINCT "a"."__entity0") >= 5 AND count(DISTINCT "b"."__entity0") >= 5 LIMIT 4611686018427387904"#,
    );
}

/// Each is answered.
const ANSWERED: &[&str] = &[
    "SELECT city, avg(amount) / 2 + count(*) AS x, upper(city) FROM p GROUP BY city ORDER BY x, sum(rate)",
    "SELECT DISTINCT extract(year FROM paid), count(DISTINCT id) FROM p GROUP BY extract(year FROM paid)",
    "SELECT count(1), avg(rate), sum(price) FROM p WHERE ok AND NOT (amount BETWEEN -1 AND 9) AND city LIKE 'a%'",
    "SELECT count(*) FROM p WHERE paid >= DATE '2024-01-01' OR at < '2024-01-01' OR city IN ('a', 'b') OR who IS NULL",
    "SELECT city, count(*) FROM p GROUP BY city HAVING city <> 'a' AND sum(amount) IS NOT NULL",
    "SELECT x.n FROM (SELECT city, count(*) AS n FROM p GROUP BY city) AS x JOIN d ON d.n = x.n",
    "SELECT label, (SELECT count(*) FROM p) FROM d WHERE n IN (SELECT count(*) FROM p GROUP BY city)",
    "WITH c AS (SELECT sum(amount) AS s FROM p) SELECT s / 2 FROM c",
    "SELECT count(*) FROM p LEFT JOIN d USING (id) RIGHT JOIN d AS e ON e.n = d.n",
    "VALUES ((SELECT count(*) FROM p))",
    "SELECT label FROM d WHERE EXISTS (SELECT 1 FROM p HAVING count(*) > 1)",
    "SELECT count(*) FROM d",
    "EXPLAIN SELECT count(*) FROM p",
    "SELECT count(*) FROM p WHERE p IS NOT NULL",
    "SELECT q, row_to_json(q) FROM (SELECT city, count(*) AS n FROM p GROUP BY city) AS q",
];

/// Each is refused.
const REFUSED: &[&str] = &[
    // Rows.
    "SELECT * FROM p",
    "SELECT 1 FROM p",
    "SELECT amount FROM p",
    "SELECT amount, count(*) FROM p",
    "SELECT city, amount FROM p GROUP BY city",
    "SELECT DISTINCT city FROM p",
    "SELECT DISTINCT ON (city) city, count(*) FROM p GROUP BY city",
    "SELECT city FROM p ORDER BY amount",
    "SELECT city FROM p GROUP BY city ORDER BY amount",
    "SELECT city FROM p GROUP BY city HAVING amount > 1",
    "SELECT id FROM p UNION SELECT id FROM d",
    "SELECT p FROM p",
    "SELECT count(p) FROM p",
    "SELECT count(p.*) FROM p JOIN d ON p.id = d.id",
    "SELECT count(*) FROM p JOIN p AS q ON p = q",
    "SELECT d, count(*) FROM p JOIN d ON p.id = d.id GROUP BY d",
    "SELECT row_to_json(q) FROM (SELECT city, amount FROM p) AS q",
    "SELECT id FROM d EXCEPT SELECT id FROM p",
    // Aggregates that tell values, or pick rows.
    "SELECT min(amount) FROM p",
    "SELECT max(amount) FROM p",
    "SELECT median(amount) FROM p",
    "SELECT array_agg(amount) FROM p",
    "SELECT string_agg(city, ',') FROM p",
    "SELECT first_value(city) FROM p",
    "SELECT approx_distinct(city) FROM p",
    "SELECT bool_or(ok) FROM p",
    "SELECT stddev(amount) FROM p",
    "SELECT corr(amount, rate) FROM p",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY amount) FROM p",
    "SELECT sum(CASE WHEN id = 7 THEN amount END) FROM p",
    "SELECT sum(amount * rate) FROM p",
    "SELECT sum(-amount) FROM p",
    "SELECT sum(CAST(city AS BIGINT)) FROM p",
    "SELECT count(nullif(id, 7)) FROM p",
    "SELECT count(id, amount) FROM p",
    "SELECT sum(amount) FILTER (WHERE id = 7) FROM p",
    "SELECT count(*) FILTER (WHERE id = 7) FROM p",
    "SELECT sum(d.n) FROM p JOIN d ON p.id = d.id",
    "SELECT count(DISTINCT d.n) FROM p JOIN d ON p.id = d.id",
    "SELECT sum(city) FROM p",
    "SELECT avg(price) FROM p",
    "SELECT sum(count(*)) FROM p",
    // Windows.
    "SELECT row_number() OVER (ORDER BY id) FROM p",
    "SELECT sum(amount) OVER () FROM p",
    "SELECT city, rank() OVER (ORDER BY count(*)) FROM p GROUP BY city",
    "SELECT city FROM p GROUP BY city QUALIFY row_number() OVER (ORDER BY city) = 1",
    // Sets of groups whose difference is a group.
    "SELECT city, count(*) FROM p GROUP BY ROLLUP (city)",
    "SELECT city, count(*) FROM p GROUP BY CUBE (city)",
    "SELECT city, count(*) FROM p GROUP BY GROUPING SETS ((city), ())",
    // Conditions and keys that can fail on a row.
    "SELECT count(*) FROM p WHERE 1 / (amount - 7) > 0",
    "SELECT count(*) FROM p WHERE amount + 1 > 0",
    "SELECT count(*) FROM p WHERE CAST(city AS BIGINT) = 1",
    "SELECT count(*) FROM p WHERE city = 7",
    "SELECT count(*) FROM p WHERE city > paid",
    "SELECT count(*) FROM p WHERE city LIKE city",
    "SELECT count(*) FROM p WHERE at > TIMESTAMP '2024-01-01 00:00:00'",
    "SELECT count(*) FROM p WHERE substr(city, amount) = 'a'",
    "SELECT count(*) FROM p WHERE city ~ 'a'",
    "SELECT count(*) FROM p WHERE random() < 0.5",
    "SELECT count(*) FROM p JOIN d ON p.price = d.price",
    "SELECT count(*) FROM p JOIN d ON 1 / (d.n - 7) > 0",
    "SELECT amount / 10, count(*) FROM p GROUP BY 1",
    "SELECT CASE WHEN id = 7 THEN 1 END, count(*) FROM p GROUP BY 1",
    "SELECT extract(year FROM city), count(*) FROM p GROUP BY 1",
    "SELECT 1, count(*) FROM p GROUP BY 1",
    "SELECT city FROM p GROUP BY city HAVING 1 / (count(*) - 1) > 0",
    "SELECT city FROM p GROUP BY city HAVING sum(amount) > avg(rate)",
    // Queries inside, outside, beside.
    "SELECT count(*) FROM p WHERE id IN (SELECT id FROM d)",
    "SELECT count(*) FROM p WHERE EXISTS (SELECT 1 FROM d WHERE d.id = p.id)",
    "SELECT count(*), (SELECT max(n) FROM d) FROM p",
    "SELECT (SELECT p.amount) FROM p",
    "SELECT city, (SELECT max(n) FROM d WHERE d.id = p.id) FROM p GROUP BY city",
    "SELECT label FROM d WHERE id IN (SELECT id FROM p)",
    "SELECT label FROM d WHERE EXISTS (SELECT 1 FROM p WHERE p.id = d.id)",
    "SELECT label FROM d WHERE EXISTS (SELECT * FROM p)",
    "SELECT label, (SELECT count(*) FROM p WHERE p.id = d.id) FROM d",
    "SELECT label, (SELECT d.n FROM p GROUP BY city LIMIT 1) FROM d",
    "SELECT * FROM d, LATERAL (SELECT count(*) FROM p WHERE p.id = d.id) AS q",
    "SELECT count(*) FROM p, LATERAL (SELECT p.amount AS a) AS q",
    "SELECT count(*) FROM p CROSS APPLY (SELECT 1 / (p.id - 7) AS a) AS q",
    "SELECT count(*) FROM p JOIN (SELECT id FROM d) AS q ON p.id = q.id",
    "WITH c AS (SELECT id FROM d) SELECT count(*) FROM p JOIN c USING (id)",
    "SELECT count(*) FROM (SELECT id FROM d) AS q, p",
    "SELECT p.amount FROM (SELECT id FROM d) AS q JOIN p ON p.id = q.id",
    "WITH c AS (SELECT id FROM d) SELECT amount FROM c, d, p",
    "SELECT p.amount FROM (SELECT id FROM d) AS q, d LEFT JOIN p ON p.id = d.id",
    "WITH c AS (SELECT * FROM p) SELECT count(*) FROM c",
    "WITH RECURSIVE c AS (SELECT count(*) AS n FROM p UNION ALL SELECT n + 1 FROM c WHERE n < 9) SELECT * FROM c",
    "SELECT count(*) FROM p JOIN w ON p.id = w.id",
    "SELECT count(*) FROM p LEFT SEMI JOIN d ON p.id = d.id",
    "SELECT label FROM d LEFT SEMI JOIN p ON p.id = d.id",
    "SELECT label FROM d LEFT ANTI JOIN p ON p.id = d.id",
    "SELECT label FROM d JOIN p ON p.id = d.id",
    "SELECT d.* FROM d LEFT JOIN p ON p.id = d.id AND p.amount > 1",
    // Rows that a join repeats would count again.
    "SELECT count(*) FROM r JOIN d ON r.id = d.id",
    "SELECT count(*) FROM r AS a, r AS b",
    // Writes.
    "UPDATE p SET city = 'a'",
    "DELETE FROM p",
    "UPDATE d SET n = (SELECT count(*) FROM p)",
    "MERGE INTO d USING p ON d.id = p.id WHEN MATCHED THEN DELETE",
    "INSERT INTO lake.main.p (id) VALUES (1) RETURNING id",
    "INSERT INTO lake.main.d (id) SELECT id FROM p",
    "CREATE TABLE lake.main.x AS SELECT city FROM p",
    "CREATE VIEW lake.main.x AS SELECT city FROM p",
    "EXPLAIN SELECT city FROM p",
    "EXPLAIN POLICY SELECT city FROM p",
];

#[test]
fn aggregates_are_answered() {
    for sql in ANSWERED {
        run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[test]
fn all_else_is_refused_with_its_place() {
    let mut wrong = Vec::new();
    for sql in REFUSED {
        match run(sql) {
            Err(error)
                if error.kind == SqlErrorKind::AggregateOnly
                    && error.line > 0
                    && error.hint.is_some() => {}
            Err(error) => wrong.push(format!("{sql}: {error}")),
            Ok(bound) => wrong.push(format!("{sql}: {}", bound.emit())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_stored_view_has_no_condition_of_its_maker() {
    let bound =
        run("CREATE VIEW lake.main.x AS SELECT city, count(*) AS n FROM p GROUP BY city").unwrap();
    let dataos_sql::BoundKind::CreateView(view) = bound.kind else {
        panic!("{bound:?}")
    };
    assert_eq!(
        view.sql,
        r#"SELECT "p"."city" AS "city", count(*) AS "n" FROM "lake"."main"."p" AS "p" GROUP BY "p"."city""#
    );
}
