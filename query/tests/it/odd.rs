//! Values that a database has and the catalog does not know: of another type, in another form or order. Whatever a
//! database is asked for, they are the faults that they are here, or what is of them is made here.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array};
use dataos_model::{dataset::DatasetId, depot::DatasetSource};

use crate::{back_ends::BackEnd, groups::is_cut, world::World};

/// Statements over a table `odd` that its source does not answer for the engine, though it was asked to, and
/// the reason of the fault that they are; or what they give.
pub(crate) type Odd = (&'static str, Result<&'static str, &'static str>);

pub(crate) async fn check_odd(
    back_end: &BackEnd,
    sql: &str,
    columns: &[(&str, &str)],
    odd: &[Odd],
) {
    let world = World::new();
    let numbers = vec![Arc::new(Int64Array::from(vec![1])) as ArrayRef];
    let first = back_end.fill(&world, "odds", "first", &[("id", "bigint")], numbers);
    back_end.execute("odds", sql);
    let id = DatasetId {
        name: "odd".to_owned(),
        ..first
    };
    let source = world.catalog.dataset(&DatasetId {
        name: "first".to_owned(),
        ..id.clone()
    });
    let mut source = source.unwrap().source.clone();
    if let DatasetSource::Table { table, .. } = &mut source {
        *table = "odd".to_owned();
    }
    world.catalog.add(&id, columns, source);
    for (sql, expected) in odd {
        assert!(is_cut(&world, sql).await, "{sql}");
        match expected {
            Ok(rows) => world.check(sql, rows).await,
            Err(text) => {
                let fault = world.refused(sql).await;
                assert!(fault.message.contains(text), "{sql}: {fault:?}");
            }
        }
    }
}

/// Of a table with values and collations that are PostgreSQL's alone.
pub(crate) async fn check_odd_in_postgresql(odd: &[Odd]) {
    let sql = "
        CREATE EXTENSION citext;
        CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
        CREATE TABLE odd (
            id bigint, folded text COLLATE folding, ci citext, padded char(3), price numeric(12,2),
            free numeric, day date, at timestamptz, strict bigint
        );
        INSERT INTO odd VALUES
            (1, 'a', 'a', 'a', 1.5, 1.25, '2024-01-01', '2024-01-01', 1),
            (2, 'A', 'A', 'b', 'NaN', 1.250, 'infinity', '294270-01-01', NULL),
            (3, 'á', 'a', 'a', 2.5, 7, '2024-01-02', '2024-01-02', 3);
    ";
    let columns = [
        ("id", "bigint"),
        ("folded", "text"),
        ("ci", "text"),
        ("padded", "text"),
        ("price", "decimal(12,2)"),
        ("free", "decimal(12,2)"),
        ("day", "date"),
        ("at", "timestamptz"),
    ];
    check_odd(&BackEnd::postgres(), sql, &columns, odd).await;
}

const ODD_IN_POSTGRESQL: &[Odd] = &[
    (
        "SELECT count(*) FROM (SELECT DISTINCT folded FROM odd) AS s",
        Ok("[[3]]"),
    ),
    (
        "SELECT max(folded) FROM odd WHERE folded IN ('a', 'A')",
        Ok(r#"[["a"]]"#),
    ),
    ("SELECT count(*) FROM odd WHERE folded <> 'a'", Ok("[[2]]")),
    (
        "SELECT ci, count(*) FROM odd GROUP BY ci ORDER BY 1",
        Ok(r#"[["A",1],["a",2]]"#),
    ),
    ("SELECT count(*) FROM odd WHERE ci = 'a'", Ok("[[2]]")),
    (
        "SELECT padded, count(*) FROM odd GROUP BY padded ORDER BY 1",
        Ok(r#"[["a  ",2],["b  ",1]]"#),
    ),
    ("SELECT sum(free), max(free) FROM odd", Ok("[[9.50,7.00]]")),
    ("SELECT avg(free) FROM odd", Ok("[[3.166666]]")),
    ("SELECT sum(free * 2) FROM odd", Ok("[[19.00]]")),
    ("SELECT sum(price * 2) FROM odd", Err("NaN")),
    ("SELECT avg(price) FROM odd", Err("NaN")),
    (
        "SELECT sum(price * 2), avg(price) FROM odd WHERE id <> 2",
        Ok("[[8.00,2.000000]]"),
    ),
    ("SELECT count(price) FROM odd", Err("NaN")),
    ("SELECT min(price) FROM odd", Err("NaN")),
    ("SELECT count(*) FROM odd WHERE price < 2", Err("NaN")),
    ("SELECT sum(price) FROM odd WHERE id <> 2", Ok("[[4.00]]")),
    (
        "SELECT count(*) FROM odd a JOIN odd b ON a.folded = b.folded",
        Ok("[[3]]"),
    ),
    (
        "SELECT count(*) FROM odd a JOIN odd b ON a.ci = b.ci",
        Ok("[[5]]"),
    ),
    (
        "SELECT count(*) FROM odd a JOIN odd b ON a.padded = b.padded",
        Ok("[[5]]"),
    ),
    (
        "SELECT count(*) FROM odd a JOIN odd b ON a.free = b.free",
        Ok("[[5]]"),
    ),
    (
        "SELECT count(*) FROM odd a JOIN odd b ON a.price = b.price",
        Err("NaN"),
    ),
    (
        "SELECT count(*) FROM odd a JOIN odd b ON a.day = b.day",
        Err("infinity"),
    ),
    (
        "SELECT count(DISTINCT folded), count(*) FROM odd",
        Ok("[[3,3]]"),
    ),
    (
        "SELECT count(DISTINCT ci), count(*) FROM odd",
        Ok("[[2,3]]"),
    ),
    (
        "SELECT count(DISTINCT price), count(*) FROM odd",
        Err("NaN"),
    ),
    ("SELECT min(day) FROM odd", Err("infinity")),
    (
        "SELECT count(*) FROM odd WHERE day < DATE '2024-01-02'",
        Err("infinity"),
    ),
    ("SELECT count(at) FROM odd", Err("infinity")),
    (
        "SELECT count(*) FROM odd WHERE at > '2200-01-01T00:00:00Z'",
        Err("infinity"),
    ),
    (
        "SELECT extract(year FROM day), count(*) FROM odd GROUP BY 1",
        Err("infinity"),
    ),
    (
        "SELECT sum(CASE WHEN price > 2 THEN 1 ELSE 0 END) FROM odd",
        Err("NaN"),
    ),
    (
        "SELECT sum(CASE WHEN price > 2 THEN 1 ELSE 0 END) FROM odd WHERE id <> 2",
        Ok("[[1]]"),
    ),
    (
        "SELECT count(*) FROM odd WHERE folded LIKE 'A%'",
        Ok("[[1]]"),
    ),
    (
        "SELECT count(*) FROM odd WHERE padded LIKE '%a'",
        Ok("[[0]]"),
    ),
    (
        "SELECT max(at) FROM odd WHERE id <= 1",
        Ok(r#"[["2024-01-01T00:00:00Z"]]"#),
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_postgresql_would_not_give_exactly_is_made_here() {
    check_odd_in_postgresql(ODD_IN_POSTGRESQL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn years_that_databases_count_otherwise_are_made_here() {
    let sql = "
        CREATE TABLE odd (day date);
        INSERT INTO odd VALUES ('0044-03-15 BC'), ('12024-01-01'), ('2024-01-01');
    ";
    let by_year = "SELECT extract(year FROM day) AS y, count(*) FROM odd GROUP BY 1 ORDER BY 1";
    let of_some = "SELECT sum(extract(year FROM day)) FROM odd WHERE day < DATE '9999-01-01' AND day > DATE '0001-01-01'";
    let odd = [
        (by_year, Ok("[[-43,1],[2024,1],[12024,1]]")),
        (of_some, Ok("[[2024]]")),
    ];
    check_odd(&BackEnd::postgres(), sql, &[("day", "date")], &odd).await;
}

const ODD_IN_MYSQL: &str = "
    SET sql_mode = '';
    CREATE TABLE odd (
        id bigint, narrow bigint, free decimal(20,4), word varchar(10), huge bigint unsigned, since year,
        day date NOT NULL, at datetime
    );
    INSERT INTO odd VALUES
        (1, 7, 1.25, 'a', 1, 2005, '2024-01-01', '2024-01-01 10:00:00'),
        (2, 3000000000, 1.2345, 'A', 18446744073709551615, 1970, '0000-00-00', NULL),
        (3, NULL, 2, 'á', 3, 0, '2024-02-03', '2024-00-00 00:00:00');
";

const ODD_OF_MYSQL: &[Odd] = &[
    ("SELECT count(narrow) FROM odd", Err("`narrow`")),
    ("SELECT sum(narrow) FROM odd WHERE id <> 2", Ok("[[7]]")),
    ("SELECT sum(narrow * 2) FROM odd", Err("`narrow`")),
    (
        "SELECT sum(narrow * 2) FROM odd WHERE id <> 2",
        Ok("[[14]]"),
    ),
    ("SELECT sum(free * free) FROM odd", Err("`free`")),
    (
        "SELECT sum(free * free), avg(free) FROM odd WHERE id <> 2",
        Ok("[[5.5625,1.625000]]"),
    ),
    ("SELECT sum(since + 1) FROM odd", Ok("[[3978]]")),
    ("SELECT avg(huge) FROM odd", Err("`huge`")),
    ("SELECT min(free) FROM odd", Err("`free`")),
    ("SELECT sum(free) FROM odd WHERE id <> 2", Ok("[[3.25]]")),
    ("SELECT count(word) FROM odd", Err("`word`")),
    ("SELECT sum(word) FROM odd", Err("`word`")),
    ("SELECT min(huge) FROM odd", Err("`huge`")),
    ("SELECT sum(huge) FROM odd WHERE id <> 2", Ok("[[4]]")),
    (
        "SELECT count(*) FROM odd WHERE day > DATE '2030-01-01'",
        Err("`day`"),
    ),
    (
        "SELECT count(*) FROM odd WHERE day < DATE '2024-02-01' AND id <> 2",
        Ok("[[1]]"),
    ),
    (
        "SELECT extract(year FROM day), count(*) FROM odd WHERE id <> 2 GROUP BY 1",
        Ok("[[2024,2]]"),
    ),
    (
        "SELECT count(*) FROM odd WHERE at > TIMESTAMP '2030-01-01 00:00:00'",
        Err("`at`"),
    ),
    (
        "SELECT count(*) FROM odd WHERE at IS NOT NULL AND id <> 3",
        Ok("[[1]]"),
    ),
    ("SELECT count(*) FROM odd WHERE since = 5", Ok("[[0]]")),
    ("SELECT count(*) FROM odd WHERE since <> 5", Ok("[[3]]")),
    ("SELECT sum(since) FROM odd WHERE since < 70", Ok("[[0]]")),
    ("SELECT sum(id) FROM odd WHERE since >= 1970", Ok("[[3]]")),
    (
        "SELECT count(*) FROM odd a JOIN odd b ON a.since = b.since",
        Ok("[[3]]"),
    ),
    (
        "SELECT count(*) FROM odd a JOIN odd b ON a.narrow = b.narrow",
        Err("`narrow`"),
    ),
    (
        "SELECT count(*) FROM odd a JOIN odd b ON a.free = b.free",
        Err("`free`"),
    ),
    (
        "SELECT count(*) FROM odd a JOIN odd b ON a.word = b.word",
        Err("`word`"),
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_mariadb_and_mysql_would_not_give_exactly_is_made_here() {
    let columns = [
        ("id", "bigint"),
        ("narrow", "integer"),
        ("free", "decimal(12,2)"),
        ("word", "bigint"),
        ("huge", "bigint"),
        ("since", "smallint"),
        ("day", "date"),
        ("at", "timestamp"),
    ];
    for back_end in [BackEnd::maria_db(), BackEnd::my_sql()] {
        // That version of MySQL is not asked for joins, so all rows come here.
        let of_joined = match back_end.name() {
            "mysql" => Err("`huge`"),
            _ => Ok("[[4]]"),
        };
        let joined = "SELECT sum(a.id) FROM odd a JOIN odd b ON a.huge = b.huge WHERE a.id <> 2";
        let odd = [ODD_OF_MYSQL, &[(joined, of_joined)]].concat();
        check_odd(&back_end, ODD_IN_MYSQL, &columns, &odd).await;
    }
}

const ODD_IN_SQLITE: &str = "
        CREATE TABLE odd (
            id bigint, k bigint, name text COLLATE NOCASE, flag boolean, \"true\" bigint, day date, at timestamp
        );
        INSERT INTO odd VALUES
            (1, 7, 'a', 1, 0, '2024-01-01', '2024-01-01 10:00:00.5'),
            (2, 'x', 'A', 2, 0, '2024-02-30', '2024-01-01T10:00:00.50'),
            (3, NULL, CAST(X'ff' AS TEXT), NULL, 0, NULL, '2024-01-01 10:00'),
            (4, 9223372036854775807, 'a', 0, 0, '2024-03-01', '2024-01-01 10:00:00'),
            (5, 9223372036854775807, 'a', 0, 0, '0000-01-01', 'x');
    ";

const ODD_OF_SQLITE: &[Odd] = &[
    ("SELECT count(k) FROM odd", Err("`k`")),
    ("SELECT max(k) FROM odd", Err("`k`")),
    ("SELECT avg(k) FROM odd", Err("`k`")),
    ("SELECT count(*) FROM odd WHERE k > 5", Err("`k`")),
    (
        "SELECT count(*) FROM odd WHERE NOT (k = 7 OR id = 1)",
        Err("`k`"),
    ),
    ("SELECT sum(k) FROM odd WHERE id <> 2", Ok("[[5]]")),
    (
        "SELECT sum(a.id) FROM odd a JOIN odd b ON a.k = b.k WHERE a.id <> 2",
        Ok("[[19]]"),
    ),
    (
        "SELECT count(*) FROM odd a JOIN odd b ON a.k = b.k",
        Err("`k`"),
    ),
    (
        "SELECT count(*) FROM odd a JOIN odd b ON a.flag = b.flag",
        Err("`flag`"),
    ),
    ("SELECT count(*) FROM odd WHERE flag", Err("`flag`")),
    (
        "SELECT count(*) FROM odd WHERE day > DATE '2030-01-01'",
        Err("`day`"),
    ),
    (
        "SELECT count(*) FROM odd WHERE day > DATE '2024-01-01' AND id <> 2",
        Ok("[[1]]"),
    ),
    (
        "SELECT count(*) FROM odd WHERE day < DATE '2000-01-01' AND id <> 2",
        Ok("[[1]]"),
    ),
    (
        "SELECT count(*) FROM odd WHERE at > TIMESTAMP '2030-01-01 00:00:00'",
        Err("`at`"),
    ),
    (
        "SELECT count(*) FROM odd WHERE at = TIMESTAMP '2024-01-01 10:00:00.5' AND id <> 5",
        Ok("[[2]]"),
    ),
    (
        "SELECT count(*) FROM odd WHERE at <= TIMESTAMP '2024-01-01 10:00:00' AND id <> 5 AND id <> 2",
        Ok("[[2]]"),
    ),
    ("SELECT count(DISTINCT k), count(*) FROM odd", Err("`k`")),
    (
        "SELECT flag, count(*) FROM odd GROUP BY flag",
        Err("`flag`"),
    ),
    (
        "SELECT name, count(*) FROM odd GROUP BY name",
        Err("`name`"),
    ),
    (
        "SELECT name, count(*) FROM odd WHERE id <> 3 GROUP BY name ORDER BY 1",
        Ok(r#"[["A",1],["a",3]]"#),
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_sqlite_would_not_give_exactly_is_made_here() {
    let columns = [
        ("id", "bigint"),
        ("k", "bigint"),
        ("name", "text"),
        ("flag", "boolean"),
        ("true", "bigint"),
        ("day", "date"),
        ("at", "timestamp"),
    ];
    check_odd(&BackEnd::sqlite(), ODD_IN_SQLITE, &columns, ODD_OF_SQLITE).await;
}
