//! Seeded bugs of an emitter: each text differs from the tree in one thing, and is caught.

use super::{disagreement, recheck, relations_are_governed};
use crate::{
    ir::Query,
    parse::{self, EMITTED},
};

/// The tree that a governed text should have come from.
fn tree(text: &str) -> Query {
    parse::parse(EMITTED, text)
        .unwrap()
        .kind
        .query()
        .unwrap()
        .clone()
}

const GOOD: &str = concat!(
    r#"WITH "c" AS (SELECT "a"."x" AS "x" FROM "__t0" AS "a" WHERE "a"."x" - 1 - 2 > 0) "#,
    r#"SELECT "c_2"."x" AS "x", EXTRACT(YEAR FROM "b"."d") AS "y" FROM "c" AS "c_2" "#,
    r#"LEFT JOIN "__t1" AS "b" ON "b"."x" = "c_2"."x" AND NOT ("b"."t" = 'it''s' OR TRUE), "#,
    r#"("__t2" AS "e" CROSS JOIN "__t3" AS "f"), (SELECT 1 AS "one") AS "g" "#,
    r#"WHERE ("b"."x" IS DISTINCT FROM 1) AND EXISTS (SELECT 1 AS "z" FROM "__t4" AS "h") "#,
    r#"ORDER BY 1 LIMIT 5"#,
);

#[test]
fn a_sound_text_passes() {
    assert_eq!(recheck(GOOD, &tree(GOOD), 5), Ok(()));
}

#[test]
fn each_difference_is_caught() {
    let bound = tree(GOOD);
    for (right, wrong) in [
        (r#"- 1 - 2"#, r#"- (1 - 2)"#),
        (
            r#"NOT ("b"."t" = 'it''s' OR TRUE)"#,
            r#"NOT "b"."t" = 'it''s' OR TRUE"#,
        ),
        (
            r#"("b"."x" IS DISTINCT FROM 1) AND"#,
            r#""b"."x" IS DISTINCT FROM 1 AND"#,
        ),
        (r#"'it''s'"#, r#"'it' 's'"#),
        (r#"'it''s'"#, r#"'it\''"#),
        (r#"'it''s'"#, r#"'its'"#),
        (r#""b"."t""#, r#""e"."t""#),
        (r#""__t1""#, r#""orders""#),
        (r#""__t1""#, r#""__t9""#),
        (r#""__t1""#, r#""__t0""#),
        (r#""__t1""#, r#""sales"."__t1""#),
        (r#""__t1""#, r#"__t1"#),
        (r#""__t1" AS "b""#, r#""__t1" AS "b" TABLESAMPLE (10)"#),
        (r#"FROM "c" AS"#, r#"FROM "d" AS"#),
        (r#"LEFT JOIN"#, r#"INNER JOIN"#),
        (r#"LIMIT 5"#, r#"LIMIT 50"#),
        (r#"LIMIT 5"#, r#"LIMIT 5; DROP TABLE x"#),
        (r#"LIMIT 5"#, r#"LIMIT 5 -- x"#),
        (
            r#"(SELECT 1 AS "one")"#,
            r#"(SELECT 1 AS "one" FROM "orders")"#,
        ),
        (
            r#"EXTRACT(YEAR FROM "b"."d")"#,
            r#"EXTRACT(MONTH FROM "b"."d")"#,
        ),
    ] {
        let text = GOOD.replacen(right, wrong, 1);
        assert_ne!(text, GOOD, "{right}");
        // A comment changes no token; it is the one difference that may pass.
        let expected = wrong.contains("--");
        assert_eq!(recheck(&text, &bound, 5).is_ok(), expected, "{wrong}");
    }
}

#[test]
fn the_scan_alone_finds_what_is_not_governed() {
    let scan = |text: &str, count: usize| {
        parse::tokens(EMITTED, text).and_then(|tokens| relations_are_governed(&tokens, count))
    };
    assert_eq!(scan(GOOD, 5), Ok(()));
    let foreign = Err(disagreement(
        "the text names a relation that is not governed",
    ));
    for text in [
        r#"SELECT 1 FROM "orders""#,
        r#"SELECT 1 FROM "__t0" AS "a", "orders" AS "b""#,
        r#"SELECT 1 FROM "__t0" AS "a" JOIN ("orders" AS "b" CROSS JOIN "x") ON TRUE"#,
        r#"SELECT 1 FROM "__t0" AS "a" WHERE EXISTS (SELECT 1 FROM "orders")"#,
        r#"SELECT EXTRACT(YEAR FROM "a"."d") FROM "orders" AS "a""#,
        r#"SELECT 1 IS DISTINCT FROM 2 FROM "orders""#,
        r#"SELECT 1 FROM "__t0" UNION SELECT 1 FROM "orders""#,
        r#"SELECT 1 FROM (SELECT 1 FROM "__t0", "orders") AS "x""#,
        r#"SELECT 1 FROM "__t0" AS "a" CROSS JOIN "b", "orders""#,
        r#"SELECT 1 FROM ((SELECT 1 FROM "__t0") UNION (SELECT 2 FROM "orders")) AS "x""#,
    ] {
        assert_eq!(scan(text, 1), foreign, "{text}");
    }
    for text in [
        r#"SELECT 1"#,
        r#"SELECT 1 FROM "__t0" AS "a", "__t0" AS "b""#,
        r#"SELECT 1 FROM orders"#,
        r#"SELECT 1 FROM read_csv('x')"#,
        r#"SELECT "x"."__t0" FROM "__t1""#,
    ] {
        assert!(scan(text, 1).is_err(), "{text}");
    }
}
