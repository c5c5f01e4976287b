//! Rows of joins, and the first rows in an order, that a source gives are those of the engine: random statements
//! under random policies over tables of each kind of database, against the same over files.
//!
//! `DATAOS_FIRST_ROWS=10000` sets how many statements instead of 300 for each database, `DATAOS_SEED=7` where to
//! start.

use std::{sync::Arc, time::Duration};

use datafusion::arrow::array::{ArrayRef, Int64Array};
use dataos_model::{dataset::DatasetId, predicate::Predicate, seams::RunQuery};
use dataos_query::QueryConfig;

use crate::{
    back_ends::BackEnd,
    groups::{Statements, columns, common, forget, govern, is_cut, names, only_sent, world},
    odd::{Odd, check_odd, check_odd_in_postgresql},
    world::{World, equals},
};

/// Rows of tables that have no index.
const UNINDEXED: i64 = 60_000;
/// Most rows of an answer.
const ANSWER_ROWS_MAX: usize = 10_000;
/// Statements for each database without another wish.
const STATEMENTS: u64 = 300;

/// A statement in parts.
struct Asked {
    /// Without an order.
    all: String,
    /// Outputs that it is sorted by; none if all rows are asked for.
    keys: Vec<usize>,
    /// Empty if all rows are asked for.
    first: String,
}

/// Of a table or a join, of rows or groups.
fn asked(number: u64, names: &[&'static str]) -> Asked {
    let mut statements = Statements::new(number, names);
    let rows = statements.rows();
    let count = 1 + statements.draw.below(3);
    let columns: Vec<String> = (0..count).map(|_| statements.name()).collect();
    let mut items = columns.clone();
    let is_grouped = statements.draw.one_in(4);
    if is_grouped {
        items.push(statements.total());
    }
    let list = items.iter().enumerate();
    let list: Vec<String> = list.map(|(at, item)| format!("{item} AS c{at}")).collect();
    let mut all = format!("SELECT {} FROM {rows}", list.join(", "));
    if is_grouped {
        all = format!("{all} GROUP BY {}", columns.join(", "));
    }
    if statements.is_joined() && !is_grouped && statements.draw.one_in(3) {
        let (keys, first) = (Vec::new(), String::new());
        return Asked { all, keys, first };
    }
    let draw = &mut statements.draw;
    // One that is not the first alone, and some behind it.
    let begin = usize::try_from(draw.below(items.len() as u64)).unwrap();
    let end = begin + 1 + usize::try_from(draw.below(2)).unwrap();
    let keys: Vec<usize> = (begin..end.min(items.len())).collect();
    let order = keys.iter().map(|key| {
        let way = draw.of(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST", " ASC"]);
        format!("{}{way}", key + 1)
    });
    let order = order.collect::<Vec<_>>().join(", ");
    let limit = draw.of(&["0", "1", "3", "10", "40", "1000"]);
    let offset = draw.of(&["", "", " OFFSET 2", " OFFSET 30"]);
    let first = format!(" ORDER BY {order} LIMIT {limit}{offset}");
    Asked { all, keys, first }
}

type Rows = Vec<Vec<serde_json::Value>>;

/// The rows, or the fault in words that name no depot.
async fn rows((world, ids): &(World, [DatasetId; 2]), sql: &str) -> Result<Rows, String> {
    match world.layer.run(world.request(sql)).await {
        Ok(answer) => Ok(serde_json::from_slice(&answer.chunks.concat()).unwrap()),
        Err(fault) => Err(ids.iter().fold(format!("{fault:?}"), |text, id| {
            text.replace(&id.to_string(), &id.name)
        })),
    }
}

fn sorted(rows: &Rows) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    rows.sort();
    rows
}

/// The cells that a statement is sorted by, in the order of its rows.
fn keys(rows: &Rows, keys: &[usize]) -> Vec<Vec<serde_json::Value>> {
    let of_row = |row: &Vec<serde_json::Value>| keys.iter().map(|key| row[*key].clone()).collect();
    rows.iter().map(of_row).collect()
}

/// Whether some rows are among all of them, each as often as it is there.
fn is_part(some: &Rows, all: &Rows) -> bool {
    let mut all = sorted(all).into_iter();
    sorted(some)
        .into_iter()
        .all(|row| all.any(|other| other == row))
}

/// How many statements there were, and of how many of them a source joined rows and gave the first ones.
#[derive(Debug, Default)]
struct Count {
    all: u64,
    answered: u64,
    joined: u64,
    first: u64,
    first_of_joined: u64,
    first_groups: u64,
    met: u64,
    not_met: u64,
}

impl Count {
    async fn note(&mut self, world: &World, sql: &str) {
        let made = world.made_there(sql).await.unwrap();
        let (joins, is_first) = (made.contains(" AS r1"), made.contains(" LIMIT "));
        let is_grouped = made.contains(" GROUP BY ");
        self.joined += u64::from(joins && !is_first && !is_grouped);
        self.first += u64::from(is_first && !joins && !is_grouped);
        self.first_of_joined += u64::from(is_first && joins && !is_grouped);
        self.first_groups += u64::from(is_first && is_grouped);
        self.met += u64::from(made.contains(" AND EXISTS (") || made.contains(" WHERE EXISTS ("));
        self.not_met += u64::from(made.contains(" NOT EXISTS ("));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn first_rows_of_a_source_are_those_of_the_engine() {
    let wish = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let count: u64 = wish("DATAOS_FIRST_ROWS").unwrap_or(STATEMENTS);
    let seed: u64 = wish("DATAOS_SEED").unwrap_or(1);
    for back_end in BackEnd::databases() {
        let columns = columns(&back_end);
        let (here, there) = (world(&BackEnd::Files, &columns), world(&back_end, &columns));
        let names = names(&columns);
        let (mut counted, name) = (Count::default(), back_end.name());
        for number in (0..count).map(|number| seed.wrapping_add(number)) {
            let Asked {
                all,
                keys: by,
                first,
            } = asked(number, &names);
            for world in [&here, &there] {
                govern(world, number);
            }
            let sql = format!("{all}{first}");
            let context = format!("{name}: DATAOS_SEED={number}: {sql}");
            let (expected, found) = (rows(&here, &sql).await, rows(&there, &sql).await);
            counted.all += 1;
            let (Ok(expected), Ok(found)) = (&expected, &found) else {
                assert_eq!(found, expected, "{context}");
                continue;
            };
            counted.answered += 1;
            if expected.len() == ANSWER_ROWS_MAX {
                // Which of them came is for each to choose.
                assert_eq!(found.len(), expected.len(), "{context}");
            } else if first.is_empty() {
                assert_eq!(sorted(found), sorted(expected), "{context}");
            } else {
                // Which of those that are equal in the keys come first is for each to choose.
                assert_eq!(keys(found, &by), keys(expected, &by), "{context}");
                let all = rows(&here, &all).await.unwrap();
                assert!(is_part(found, &all), "{context}: {found:?}");
            }
            counted.note(&there.0, &sql).await;
        }
        eprintln!("first rows, {name}: {counted:?}");
        // Else the sources computed little, and little was proven.
        let Count { all, answered, .. } = counted;
        assert!(answered * 10 > all * 9, "{name}: {counted:?}");
        let is_sqlite = matches!(back_end, BackEnd::Sqlite(_));
        for made in [counted.met, counted.not_met] {
            // That one has no exact form that is of use.
            assert!(
                count < 200 || is_sqlite == (made == 0),
                "{name}: {counted:?}"
            );
        }
        for made in [
            counted.joined,
            counted.first,
            counted.first_of_joined,
            counted.first_groups,
        ] {
            assert!(count < 200 || made > 2, "{name}: {counted:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_without_an_index_do_not_compare_each_row_with_each() {
    // One after the other, these are minutes of comparisons.
    let config = QueryConfig {
        time_max: Duration::from_secs(20),
        ..QueryConfig::default()
    };
    for back_end in BackEnd::databases() {
        let world = World::with(config.clone());
        for (table, step) in [("odd", 1), ("even", 2)] {
            let keys = (0..UNINDEXED).map(|number| number * step);
            let rests = (0..UNINDEXED).map(|number| number % 7);
            let arrays: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from_iter_values(keys)),
                Arc::new(Int64Array::from_iter_values(rests)),
            ];
            let columns = [("k", "bigint"), ("n", "bigint")];
            back_end.fill(&world, "unindexed", table, &columns, arrays);
        }
        for (sql, rows) in [
            (
                "SELECT count(*) AS n FROM odd JOIN even ON odd.k = even.k",
                "[[30000]]",
            ),
            (
                "SELECT count(*) AS n FROM odd WHERE EXISTS (SELECT 1 FROM even WHERE even.k = odd.k AND even.n = 2)",
                "[[4286]]",
            ),
            (
                "SELECT count(*) AS n FROM odd WHERE NOT EXISTS (SELECT 1 FROM even WHERE even.k = odd.k)",
                "[[30000]]",
            ),
        ] {
            world.check(sql, rows).await;
        }
        let made = world.made_there("SELECT count(*) AS n FROM odd JOIN even ON odd.k = even.k");
        assert!(
            made.await.unwrap().contains(" AS r1"),
            "{}",
            back_end.name()
        );
    }
}

/// What a server was sent of statements over the first table, of each of which one was sent.
async fn check_sent(back_end: &BackEnd, world: &World, sql: &str, parts: &[&str]) {
    forget(back_end);
    world.rows(sql).await;
    let sent = only_sent(back_end, sql);
    for part in parts {
        assert!(sent.contains(part), "{part}: {sent}");
    }
}

/// That version does not join by hash.
#[tokio::test(flavor = "multi_thread")]
async fn mysql_is_asked_for_one_table_at_a_time() {
    let back_end = BackEnd::my_sql();
    let (world, [id, _]) = world(&back_end, &common());
    world.desk.rows(&id, equals("region", "EMEA"));
    for (sql, parts) in [
        (
            "SELECT id, n FROM t ORDER BY n DESC, id LIMIT 3 OFFSET 2",
            [" AS r0 ", " LIMIT 5"],
        ),
        (
            "SELECT k, count(*) AS n FROM t GROUP BY k ORDER BY n DESC LIMIT 2",
            [" GROUP BY ", " LIMIT 2"],
        ),
        (
            "SELECT t.id, d.n FROM t JOIN d ON t.id = d.id",
            ["SELECT `id`", " AS r0 WHERE "],
        ),
        (
            "SELECT t.id FROM t WHERE t.k IN (SELECT d.k FROM d WHERE d.id < 7)",
            ["SELECT `id`, `k`", " AS r0 WHERE "],
        ),
    ] {
        check_sent(&back_end, &world, sql, &parts).await;
    }
}

/// Statements, and what is in those that a database gets for them.
const SENT: &[(&str, &[&str])] = &[
    (
        "SELECT id, n FROM t ORDER BY n DESC, id LIMIT 3 OFFSET 2",
        &[" LIMIT 5"],
    ),
    (
        "SELECT k, count(*) AS n FROM t GROUP BY k ORDER BY n DESC LIMIT 2",
        &[" GROUP BY ", " LIMIT 2"],
    ),
    (
        "SELECT k, sum(id) AS s FROM t GROUP BY k ORDER BY s DESC LIMIT 2",
        &[" NOT BETWEEN ", " LIMIT 2"],
    ),
    (
        "SELECT t.id, d.n FROM t JOIN d ON t.id = d.id",
        &[" AS r1 ", " ORDER BY "],
    ),
    (
        "SELECT t.id, d.n FROM t JOIN d ON t.k = d.k WHERE d.id < 7 ORDER BY d.n LIMIT 4",
        &[" AS r1 ", " LIMIT 4"],
    ),
    (
        "SELECT t.id FROM t WHERE t.k IN (SELECT d.k FROM d WHERE d.id < 7)",
        &[" EXISTS (SELECT 1 FROM "],
    ),
    (
        "SELECT k, count(*) AS n FROM t WHERE NOT EXISTS (SELECT 1 FROM d WHERE d.id = t.id) GROUP BY k",
        &[" NOT EXISTS (SELECT 1 FROM ", " GROUP BY "],
    ),
    (
        "SELECT t.id FROM t WHERE EXISTS (SELECT 1 FROM d WHERE d.id = t.id AND d.k < t.k)",
        &[" EXISTS (SELECT 1 FROM ", " < "],
    ),
    (
        "SELECT t.id, d.n FROM t JOIN d ON t.k = d.k AND (t.n < d.n OR d.name = 'a')",
        &[" AS r1 ", " < ", " OR "],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn joins_and_limits_are_sent() {
    let columns = common();
    for back_end in [BackEnd::postgres(), BackEnd::maria_db()] {
        let (world, [id, _]) = world(&back_end, &columns);
        world.desk.rows(&id, equals("region", "EMEA"));
        for (sql, parts) in SENT {
            check_sent(&back_end, &world, sql, parts).await;
        }

        // A join of whole tables is more than they are; the others compute something, or have no order.
        world.desk.rows(&id, Predicate::ALWAYS);
        for sql in [
            "SELECT t.id, d.n FROM t JOIN d ON t.k = d.k",
            "SELECT id + 1, k FROM t ORDER BY k LIMIT 3",
            "SELECT id FROM t ORDER BY id % 7 LIMIT 3",
            "SELECT id, ratio FROM t ORDER BY id LIMIT 3",
            "SELECT id FROM t LIMIT 3",
            "SELECT t.id FROM t WHERE t.k NOT IN (SELECT d.k FROM d)",
            "SELECT t.id FROM t WHERE EXISTS (SELECT 1 FROM d WHERE d.id < t.id)",
            "SELECT t.id FROM t WHERE EXISTS (SELECT 1 FROM d WHERE d.id = t.id AND d.name < t.name)",
            "SELECT k, sum(n) AS s FROM t GROUP BY k ORDER BY s LIMIT 0",
        ] {
            assert!(!is_cut(&world, sql).await, "{}: {sql}", back_end.name());
        }
        // What is masked is neither sorted by nor fetched raw beyond the engine.
        world.desk.mask(&id, "n", "redact(replacement = '0')");
        for sql in [
            "SELECT id FROM t ORDER BY n, id LIMIT 3",
            "SELECT id, n FROM t ORDER BY id LIMIT 3",
            "SELECT t.n, d.id FROM t JOIN d ON t.id = d.id WHERE d.id < 7",
            "SELECT d.id FROM t JOIN d ON t.n = d.n WHERE d.id < 7",
            "SELECT d.id FROM d WHERE NOT EXISTS (SELECT 1 FROM t WHERE t.n = d.n)",
        ] {
            assert!(!is_cut(&world, sql).await, "{}: {sql}", back_end.name());
        }
        let shown = "SELECT id FROM t ORDER BY id LIMIT 3";
        check_sent(&back_end, &world, shown, &[" LIMIT 3"]).await;
    }
}

const ODD_IN_POSTGRESQL: &[Odd] = &[
    ("SELECT id, price FROM odd ORDER BY id LIMIT 1", Err("NaN")),
    (
        "SELECT id, price FROM odd ORDER BY price DESC LIMIT 1",
        Err("NaN"),
    ),
    (
        "SELECT id FROM odd WHERE price < 2 ORDER BY id LIMIT 1",
        Err("NaN"),
    ),
    (
        "SELECT id, price FROM odd WHERE id <> 2 ORDER BY price DESC LIMIT 1",
        Ok("[[3,2.50]]"),
    ),
    (
        "SELECT id, day FROM odd ORDER BY id LIMIT 1",
        Err("infinity"),
    ),
    (
        "SELECT day FROM odd WHERE id <> 2 ORDER BY day DESC LIMIT 1",
        Ok(r#"[["2024-01-02"]]"#),
    ),
    (
        "SELECT id, at FROM odd ORDER BY id LIMIT 1",
        Err("infinity"),
    ),
    (
        "SELECT folded FROM odd ORDER BY folded DESC LIMIT 2",
        Ok(r#"[["á"],["a"]]"#),
    ),
    (
        "SELECT id, ci FROM odd ORDER BY ci, id LIMIT 2",
        Ok(r#"[[2,"A"],[1,"a"]]"#),
    ),
    (
        "SELECT id, padded FROM odd ORDER BY padded DESC LIMIT 1",
        Ok(r#"[[2,"b  "]]"#),
    ),
    (
        "SELECT id, free FROM odd ORDER BY free DESC, id LIMIT 1",
        Ok("[[3,7.00]]"),
    ),
    (
        "SELECT folded, count(*) AS n FROM odd GROUP BY folded ORDER BY n, folded DESC LIMIT 1",
        Ok(r#"[["á",1]]"#),
    ),
    (
        "SELECT a.id, b.folded FROM odd a JOIN odd b ON a.folded = b.folded WHERE a.id < 3 ORDER BY 1",
        Ok(r#"[[1,"a"],[2,"A"]]"#),
    ),
    (
        "SELECT a.id FROM odd a JOIN odd b ON a.price = b.price WHERE a.id < 9",
        Err("NaN"),
    ),
    (
        "SELECT a.id, b.price FROM odd a JOIN odd b ON a.id = b.id WHERE a.id > 2",
        Ok("[[3,2.50]]"),
    ),
    (
        "SELECT a.id, b.id FROM odd a JOIN odd b ON a.ci = b.ci WHERE a.id = 1 ORDER BY b.id DESC LIMIT 2",
        Ok("[[1,3],[1,1]]"),
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_postgresql_would_not_give_exactly_is_sorted_here() {
    check_odd_in_postgresql(ODD_IN_POSTGRESQL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_mariadb_and_mysql_would_not_give_exactly_is_sorted_here() {
    let sql = "
        SET sql_mode = 'ALLOW_INVALID_DATES';
        CREATE TABLE odd (
            id bigint, narrow bigint, free decimal(20,4), huge bigint unsigned, since year, word varchar(10),
            name varchar(10), day date, at datetime
        );
        INSERT INTO odd VALUES
            (1, 7, 1.25, 1, 2005, 'a', 'a', '2024-01-01', '2024-01-01'),
            (2, 3000000000, 1.2345, 18446744073709551615, 1970, 'A', 'A', '0000-00-00', '2024-02-30'),
            (3, NULL, 2, 3, 0, 'á', NULL, '2024-02-30', '2024-02-00'),
            (4, NULL, 2, 4, 0, 'á', 'A', NULL, '2024-01-02');
    ";
    let columns = [
        ("id", "bigint"),
        ("narrow", "integer"),
        ("free", "decimal(12,2)"),
        ("huge", "bigint"),
        ("since", "smallint"),
        ("word", "bigint"),
        ("name", "text"),
        ("day", "date"),
        ("at", "timestamp"),
    ];
    for back_end in [BackEnd::maria_db(), BackEnd::my_sql()] {
        check_odd(
            &back_end,
            sql,
            &columns,
            &[
                ("SELECT id, day FROM odd ORDER BY id LIMIT 1", Err("`day`")),
                ("SELECT day FROM odd WHERE id = 3 OR id = 4 ORDER BY day LIMIT 1", Err("`day`")),
                ("SELECT day FROM odd WHERE id = 1 OR id = 4 ORDER BY day DESC NULLS LAST LIMIT 1", Ok(r#"[["2024-01-01"]]"#)),
                ("SELECT day, count(*) FROM odd GROUP BY day", Err("`day`")),
                ("SELECT at FROM odd WHERE id <> 2 ORDER BY id LIMIT 1", Err("`at`")),
                ("SELECT at FROM odd WHERE id <> 3 ORDER BY id LIMIT 1", Err("`at`")),
                ("SELECT at FROM odd WHERE id = 1 OR id = 4 ORDER BY at DESC LIMIT 1", Ok(r#"[["2024-01-02T00:00:00"]]"#)),
                ("SELECT id, name FROM odd ORDER BY id DESC LIMIT 2", Ok(r#"[[4,"A"],[3,null]]"#)),
                (
                    "SELECT a.id, b.name FROM odd a JOIN odd b ON a.id = b.id WHERE a.id > 2 ORDER BY 1",
                    Ok(r#"[[3,null],[4,"A"]]"#),
                ),
                ("SELECT id, narrow FROM odd ORDER BY id LIMIT 1", Err("`narrow`")),
                ("SELECT narrow FROM odd WHERE id <> 2 ORDER BY narrow DESC NULLS FIRST LIMIT 1", Ok("[[null]]")),
                ("SELECT narrow FROM odd WHERE id <> 2 ORDER BY narrow NULLS LAST LIMIT 1", Ok("[[7]]")),
                ("SELECT id, free FROM odd ORDER BY id LIMIT 1", Err("`free`")),
                ("SELECT id, huge FROM odd ORDER BY id LIMIT 1", Err("`huge`")),
                ("SELECT huge FROM odd WHERE id <> 2 ORDER BY huge DESC LIMIT 1", Ok("[[4]]")),
                ("SELECT since FROM odd ORDER BY since LIMIT 2", Ok("[[0],[0]]")),
                ("SELECT id, word FROM odd ORDER BY id LIMIT 1", Err("`word`")),
                ("SELECT a.id FROM odd a JOIN odd b ON a.huge = b.huge WHERE a.id > 0", Err("`huge`")),
                (
                    "SELECT a.id, b.narrow FROM odd a JOIN odd b ON a.id = b.id WHERE a.id <> 2 ORDER BY 1",
                    Ok("[[1,7],[3,null],[4,null]]"),
                ),
            ],
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sqlite_would_not_give_exactly_is_sorted_here() {
    let sql = "
        CREATE TABLE odd (id bigint, k bigint, name text COLLATE NOCASE, flag boolean);
        INSERT INTO odd VALUES (1, 7, 'a', 1), (2, 'x', 'A', 2), (3, NULL, CAST(X'ff' AS TEXT), NULL),
            (4, 9223372036854775807, 'a', 0);
    ";
    let columns = [
        ("id", "bigint"),
        ("k", "bigint"),
        ("name", "text"),
        ("flag", "boolean"),
    ];
    check_odd(
        &BackEnd::sqlite(),
        sql,
        &columns,
        &[
            ("SELECT id, k FROM odd ORDER BY id LIMIT 1", Err("`k`")),
            (
                "SELECT id FROM odd WHERE k > 5 ORDER BY id LIMIT 1",
                Err("`k`"),
            ),
            (
                "SELECT k FROM odd WHERE id <> 2 ORDER BY k DESC NULLS FIRST LIMIT 2",
                Ok(r#"[[null],["9223372036854775807"]]"#),
            ),
            (
                "SELECT id, flag FROM odd ORDER BY id LIMIT 1",
                Err("`flag`"),
            ),
            (
                "SELECT flag, id FROM odd WHERE id <> 2 ORDER BY flag LIMIT 2",
                Ok("[[false,4],[true,1]]"),
            ),
            (
                "SELECT a.id FROM odd a JOIN odd b ON a.k = b.k WHERE a.id > 0",
                Err("`k`"),
            ),
            (
                "SELECT a.id, b.name FROM odd a JOIN odd b ON a.id = b.id WHERE a.id = 2",
                Ok(r#"[[2,"A"]]"#),
            ),
            (
                "SELECT a.id, b.name FROM odd a JOIN odd b ON a.id = b.id WHERE a.id > 1",
                Err("`name`"),
            ),
        ],
    )
    .await;
}
