//! One text in each dialect: what it becomes, and what is refused where.

mod attacks;
mod core;
mod goldens;

use dataos_sql::{Dialect, tpch::TPCH};

use crate::fixture::{emitted_in, run_in};

/// The dialects that somebody has to name.
const NAMED: [Dialect; 3] = [Dialect::Ansi, Dialect::Postgres, Dialect::MySql];

/// A governed text without the words that say where NULL is sorted to.
fn without_null_order(text: &str) -> String {
    text.replace(" NULLS FIRST", "").replace(" NULLS LAST", "")
}

#[test]
fn tpch_is_governed_alike() {
    for (name, sql) in TPCH {
        let expected = emitted_in(Dialect::DataFusion, sql);
        assert_eq!(emitted_in(Dialect::Postgres, sql), expected, "{name}");
        let ansi = without_null_order(&emitted_in(Dialect::Ansi, sql));
        assert_eq!(ansi, expected, "{name}");
        let mysql = without_null_order(&emitted_in(Dialect::MySql, sql));
        match name {
            // The columns of a quotient may be integers, which MySQL divides as decimals.
            "q08" => assert!(
                mysql.contains("the operator / of what may be two"),
                "{mysql}"
            ),
            // A quotient by zero is NULL there.
            "q14" => {
                let sum =
                    "sum(\"lineitem\".\"l_extendedprice\" * (1 - \"lineitem\".\"l_discount\"))";
                let plain = mysql.replace(&format!("nullif({sum}, 0)"), sum);
                assert_ne!(mysql, plain);
                assert_eq!(plain, expected);
            }
            _ => assert_eq!(mysql, expected, "{name}"),
        }
    }
}

#[test]
fn a_zone_counts_for_an_instant_alone_in_postgresql() {
    for (condition, becomes) in [
        (
            "placed_on >= '2026-01-31 +02'",
            "\"placed_on\" >= '2026-01-31'",
        ),
        (
            "'2026-01-31 12:30:00+02' = placed_on",
            "'2026-01-31' = \"q\".\"placed_on\"",
        ),
        (
            "hired_on BETWEEN '2026-01-31 12:30+02' AND '2026-02-01 +02'",
            "\"hired_on\" BETWEEN '2026-01-31 12:30' AND '2026-02-01'",
        ),
        (
            "hired_on IN ('2026-01-31 12:30:00.5-08:00', '2026-02-01')",
            "\"hired_on\" IN ('2026-01-31 12:30:00.5', '2026-02-01')",
        ),
        (
            "left_on > '2026-01-31 12:30:00+02'",
            "\"left_on\" > '2026-01-31 12:30:00+02'",
        ),
        // A text is a text, whatever it looks like.
        ("name = '2026-01-31 +02'", "\"name\" = '2026-01-31 +02'"),
        (
            "name = '2026-01-31 +02' || placed_on",
            "'2026-01-31 +02' || ",
        ),
        ("placed_on = DATE '2026-01-31 +02'", "= DATE '2026-01-31'"),
        (
            "hired_on < CAST('2026-01-31 12:30:00+02' AS timestamp)",
            "< CAST('2026-01-31 12:30:00' AS TIMESTAMP)",
        ),
    ] {
        let sql = format!(
            "SELECT 1 AS one FROM (SELECT c.name, o.placed_on, p.hired_on, a.left_on FROM sales.main.customers c, \
             sales.main.purchases o, hr.main.people p, hr.archive.people a) q WHERE {condition}"
        );
        let emitted = emitted_in(Dialect::Postgres, &sql);
        assert!(emitted.contains(becomes), "{condition}: {emitted}");
    }
    // Elsewhere it is as the engine reads it.
    let sql = "SELECT id FROM purchases WHERE placed_on >= '2026-01-31 +02'";
    assert!(emitted_in(Dialect::DataFusion, sql).contains("'2026-01-31 +02'"));
}

#[test]
fn null_is_sorted_as_the_dialect_sorts_it() {
    let sql = "select id from purchases order by amount, status desc, id nulls last";
    let order = |dialect| {
        emitted_in(dialect, sql)
            .split_once(" ORDER BY ")
            .unwrap()
            .1
            .to_owned()
    };
    let (amount, status, id) = (
        "\"purchases\".\"amount\"",
        "\"purchases\".\"status\"",
        "1 NULLS LAST",
    );
    let plain = format!("{amount}, {status} DESC, {id}");
    assert_eq!(order(Dialect::DataFusion), plain);
    assert_eq!(order(Dialect::Postgres), plain);
    assert_eq!(
        order(Dialect::Ansi),
        format!("{amount}, {status} DESC NULLS LAST, {id}")
    );
    assert_eq!(
        order(Dialect::MySql),
        format!("{amount} NULLS FIRST, {status} DESC NULLS LAST, {id}")
    );
}

#[test]
fn limits_hold_in_each() {
    for dialect in Dialect::ALL {
        let kind = |sql: &str| run_in(dialect, sql).unwrap_err().kind;
        let too_large = dataos_sql::SqlErrorKind::TooLarge;
        let deep = format!("select {}1{}", "(".repeat(60), ")".repeat(60));
        assert_eq!(kind(&deep), too_large, "{dialect:?}");
        let long = format!("select 1{}", " + 1".repeat(3_000));
        assert_eq!(kind(&long), too_large, "{dialect:?}");
        let wide = format!("select {}1", "1, ".repeat(20_000));
        assert_eq!(kind(&wide), too_large, "{dialect:?}");
        let bytes = format!("select '{}'", "x".repeat(300_000));
        assert_eq!(kind(&bytes), too_large, "{dialect:?}");
        for nested in [
            format!("select {}1", "- ".repeat(1_900)),
            format!("select {}true", "not ".repeat(1_900)),
            format!("select {}1.5", "1 / ".repeat(1_900)),
            format!("select {}1", "1 <=> ".repeat(1_900)),
            format!("select {}1", "! ".repeat(1_900)),
        ] {
            assert!(
                run_in(dialect, &nested).is_err()
                    || dialect == Dialect::DataFusion
                    || nested.contains('/')
            );
        }
    }
}

#[test]
fn statements_beyond_the_list_stay_refused() {
    for sql in [
        "lock tables purchases read",
        "unlock tables",
        "load data infile 'x' into table purchases",
        "copy purchases to stdout",
        "do $$ begin end $$",
        "listen x",
        "set names utf8",
        "use sales",
        "call f()",
        "show variables",
        "show create table purchases",
        "truncate table purchases",
        "select 1 into outfile 'x'",
        "insert into sales.main.purchases set id = 1",
        "replace into sales.main.purchases values (1)",
        "table purchases",
        "select 1; select 2",
        "handler purchases open",
        "prepare x from 'select 1'",
        "execute x",
        "explain analyze select 1",
        "select * from purchases use index (x)",
        "select * from purchases for update",
        "select * from purchases tablesample bernoulli (10)",
        "select sql_no_cache 1 from purchases for share",
    ] {
        for dialect in Dialect::ALL {
            let error = run_in(dialect, sql).expect_err(sql);
            assert!(error.line > 0, "{dialect:?} {sql}: {error}");
        }
    }
}

#[test]
fn a_refusal_has_its_place() {
    for dialect in NAMED {
        let error = run_in(dialect, "select id\nfrom purchases\nwhere id ^^ 3").unwrap_err();
        assert_eq!(error.line, 3, "{dialect:?}: {error}");
    }
}
