//! All 22 queries pass, and mean what they meant.

use dataos_sql::{BoundKind, tpch::TPCH};
use sqlparser::{dialect::GenericDialect, parser::Parser};

use crate::fixture::run;

#[test]
fn all_queries_are_governed() {
    for (name, sql) in TPCH {
        let bound = run(sql).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!bound.tables.is_empty(), "{name}");
        for table in &bound.tables {
            let governed = format!("\"{}\" AS ", table.governed_name);
            assert_eq!(
                bound.emit().matches(&governed).count(),
                1,
                "{name}: {}",
                bound.emit()
            );
            assert!(!table.columns.is_empty(), "{name}: {table:?}");
        }
        assert!(
            !bound.columns.iter().any(|column| column.is_masked),
            "{name}"
        );
    }
}

/// The stored text of a view over a query.
fn stored(sql: &str) -> String {
    let bound = run(&format!("CREATE VIEW main.tpch.q AS {sql}"));
    match bound.map(|bound| bound.kind) {
        Ok(BoundKind::CreateView(view)) => view.sql,
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn all_queries_are_views_whose_text_reads_alike() {
    for (name, sql) in TPCH {
        let text = stored(sql);
        assert!(!text.contains("__t"), "{name}: {text}");
        let (once, again) = (run(sql).unwrap(), run(&text).unwrap());
        assert_eq!(once.columns, again.columns, "{name}");
        assert_eq!(stored(&text), text, "{name}: stored again it is the same");
    }
}

#[test]
fn a_nested_query_reads_as_expected() {
    let (_, q20) = TPCH[19];
    let expected = concat!(
        r#"SELECT "supplier"."s_name" AS "s_name", "supplier"."s_address" AS "s_address" "#,
        r#"FROM "__t0" AS "supplier", "__t1" AS "nation" "#,
        r#"WHERE "supplier"."s_suppkey" IN (SELECT "partsupp"."ps_suppkey" AS "ps_suppkey" "#,
        r#"FROM "__t2" AS "partsupp" WHERE "partsupp"."ps_partkey" IN "#,
        r#"(SELECT "part"."p_partkey" AS "p_partkey" FROM "__t3" AS "part" "#,
        r#"WHERE "part"."p_name" LIKE 'forest%') AND "partsupp"."ps_availqty" > "#,
        r#"(SELECT 0.5 * sum("lineitem"."l_quantity") FROM "__t4" AS "lineitem" "#,
        r#"WHERE "lineitem"."l_partkey" = "partsupp"."ps_partkey" "#,
        r#"AND "lineitem"."l_suppkey" = "partsupp"."ps_suppkey" "#,
        r#"AND "lineitem"."l_shipdate" >= DATE '1994-01-01' "#,
        r#"AND "lineitem"."l_shipdate" < DATE '1994-01-01' + INTERVAL '1' YEAR)) "#,
        r#"AND "supplier"."s_nationkey" = "nation"."n_nationkey" "#,
        r#"AND "nation"."n_name" = 'CANADA' ORDER BY 1"#,
    );
    assert_eq!(run(q20).unwrap().emit(), expected);
}

#[test]
fn governed_texts_are_as_the_parser_prints_them() {
    // Else the recheck reads them once more. The parser writes the `substr` of Q22 in capitals.
    for (name, sql) in TPCH.into_iter().filter(|(name, _)| *name != "q22") {
        let bound = run(sql).unwrap();
        let read = Parser::parse_sql(&GenericDialect {}, bound.emit()).unwrap();
        assert_eq!(read[0].to_string(), bound.emit(), "{name}");
    }
}
