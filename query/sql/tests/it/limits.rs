//! Statements that would exhaust a parser, a stack or a plan are refused by a named limit, fast, on
//! a thread with a small stack.

use dataos_sql::SqlErrorKind;

use crate::fixture::run;

/// A stack as small as that of any thread that may call us.
const STACK_BYTES: usize = 512 * 1024;

fn run_on_small_stack(sql: String) -> Result<String, dataos_sql::SqlError> {
    std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || run(&sql).map(|bound| bound.emit().to_owned()))
        .unwrap()
        .join()
        .unwrap()
}

#[test]
fn too_large() {
    for (sql, expected) in oversized().into_iter().chain(repeated()) {
        let head: String = sql.chars().take(60).collect();
        let error = run_on_small_stack(sql).expect_err(&head);
        assert_eq!(error.kind, SqlErrorKind::TooLarge, "{head}: {error}");
        assert!(error.to_string().contains(expected), "{head}: {error}");
    }
}

#[test]
fn large_but_allowed() {
    let n = |text: &str, times: usize| text.repeat(times);
    let cases = [
        format!("select {}1", n("1+", 900)),
        format!(
            "select 1 from purchases where {}id = 1",
            n("id = 2 or ", 600)
        ),
        format!("select id in (1{}) from purchases", n(",1", 9_999)),
        format!("select {}1{}", n("(", 30), n(")", 30)),
        format!("select 1{}", n(" union all select 1", 63)),
        format!("select {}1{}", n("coalesce(", 25), n(")", 25)),
        format!(
            "select 1 from purchases p{}",
            n(" join customers using (id)", 1)
        ),
        format!("select {}1{}", n("(select ", 18), n(")", 18)),
        format!(
            "select 1 from purchases where (id, amount) in ((1, 2){})",
            n(", (3, 4)", 1_999)
        ),
        format!("select id in (1{}) from purchases", n(", amount", 2_000)),
        format!("select {} from purchases", nested_rows(10, "<")),
        format!("select {} from purchases", nested_rows(20, "=")),
    ];
    for sql in cases {
        let head: String = sql.chars().take(60).collect();
        run_on_small_stack(sql).unwrap_or_else(|error| panic!("{head}: {error}"));
    }
}

/// Comparisons of rows in comparisons of rows.
fn nested_rows(depth: usize, operator: &str) -> String {
    (0..depth).fold("id".to_owned(), |inner, _| {
        format!("(({inner}, 1) {operator} (id, 2))")
    })
}

/// Statements, and the limit that each exceeds.
fn oversized() -> Vec<(String, &'static str)> {
    let n = |text: &str, times: usize| text.repeat(times);
    vec![
        (format!("select 1 -- {}", n("x", 300_000)), "bytes"),
        (
            format!("select {}1", n("1+", 60_000)),
            "operators in one expression",
        ),
        (
            format!("select {}1", n("1 or ", 30_000)),
            "operators in one expression",
        ),
        (
            format!("select 1{}", n("::int", 40_000)),
            "operators in one expression",
        ),
        (
            format!("select 1{}", n(" is null", 20_000)),
            "operators in one expression",
        ),
        (
            format!("select {}1", n("not ", 40_000)),
            "operators in one expression",
        ),
        (format!("select {}1", n("- ", 1_900)), "nested levels"),
        (
            format!("select 1{}", n("!", 100_000)),
            "operators in one expression",
        ),
        (
            format!("select {}1{}", n("(", 10_000), n(")", 10_000)),
            "nested parentheses",
        ),
        (
            format!("select * from {}purchases{}", n("(", 60), n(")", 60)),
            "nested parentheses",
        ),
        (
            format!("select 1{}", n(" union all select 1", 500)),
            "set operations",
        ),
        (
            format!("select 1{}", n(" union all select 1", 40_000)),
            "too many",
        ),
        (
            format!("select {}1", n("1-1+", 100)),
            "levels in one expression",
        ),
        (
            format!("select id in (1{}) from purchases", n(",1", 20_000)),
            "items in a list",
        ),
        (
            format!("values (1){}", n(",(1)", 20_000)),
            "items in a list",
        ),
        (
            format!("select 1 from purchases p0{}", n(", purchases", 200)),
            "tables",
        ),
        (
            format!("select \"{}\" from purchases", n("x", 300)),
            "bytes in a name",
        ),
        (doubling(12), "tables behind its WITH queries"),
        (widening(12), "output columns"),
    ]
}

/// What would be written too often.
fn repeated() -> Vec<(String, &'static str)> {
    let n = |text: &str, times: usize| text.repeat(times);
    vec![
        (
            format!("select {} from purchases", nested_rows(22, "<")),
            "take more than once",
        ),
        (
            format!(
                "select {} from purchases",
                (0..8).fold("id".to_owned(), |inner, _| {
                    format!("({inner} in (1{}))", n(", amount", 20))
                })
            ),
            "take more than once",
        ),
        (
            format!(
                "select {}1 in (1{}) from purchases",
                n("id + ", 400),
                n(", amount", 1_000)
            ),
            "take more than once",
        ),
        (
            format!(
                "select {}1 in (1{}) from purchases",
                n("id + ", 400),
                n(", amount", 10)
            ),
            "operators in one expression",
        ),
        (
            format!(
                "select (id, amount) in ((1, 2){}) from purchases",
                n(", (3, 4)", 2_000)
            ),
            "rows in an IN list",
        ),
        (
            format!("select id in (1{}) from purchases", n(", amount", 2_001)),
            "no constants",
        ),
    ]
}

/// Each WITH query joins the one before with itself.
fn doubling(levels: usize) -> String {
    let mut sql = "with c0 as (select id from purchases)".to_owned();
    for level in 1..=levels {
        let before = level - 1;
        sql += &format!(", c{level} as (select a.id from c{before} a, c{before} b)");
    }
    sql + &format!(" select id from c{levels}")
}

/// Each WITH query has the columns of the one before twice.
fn widening(levels: usize) -> String {
    let mut sql = "with c0 as (select * from purchases)".to_owned();
    for level in 1..=levels {
        sql += &format!(", c{level} as (select a.*, a.* from c{} a)", level - 1);
    }
    sql + &format!(" select * from c{levels}")
}
