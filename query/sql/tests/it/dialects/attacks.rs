//! Class 24: whatever is quoted how, a text names the tables that the PDP is asked about, or none.

use std::sync::Arc;

use dataos_model::dataset::{DatasetId, DatasetSchema};
use dataos_sql::{Datasets, Dialect, Names, Resolution, parse, tables};

use crate::fixture::{emitted_in, run_in};

#[test]
fn unknown_quoting_is_refused() {
    for (dialect, name) in [
        (Dialect::Ansi, "`purchases`"),
        (Dialect::Ansi, "[purchases]"),
        (Dialect::Ansi, "'purchases'"),
        (Dialect::Ansi, "U&\"purchase\\0073\""),
        (Dialect::Ansi, "$$purchases$$"),
        (Dialect::Postgres, "`purchases`"),
        (Dialect::Postgres, "[purchases]"),
        (Dialect::Postgres, "'purchases'"),
        (Dialect::Postgres, "E'purchases'"),
        (Dialect::Postgres, "$$purchases$$"),
        (Dialect::Postgres, "U&\"purchase\\0073\""),
        (Dialect::Postgres, "u&\"purchases\""),
        (Dialect::MySql, "\"purchases\""),
        (Dialect::MySql, "'purchases'"),
        (Dialect::MySql, "[purchases]"),
        (Dialect::MySql, "`purchases"),
        (Dialect::DataFusion, "`purchases`"),
        (Dialect::DataFusion, "'purchases'"),
    ] {
        for sql in [
            format!("select 1 from {name}"),
            format!("select id from customers join {name} on true"),
            format!("select {name}.id from purchases"),
            format!("insert into sales.main.{name} (id) select 1"),
            format!("delete from sales.main.{name}"),
        ] {
            let error = run_in(dialect, &sql).expect_err(&sql);
            assert!(error.line > 0, "{dialect:?} {sql}: {error}");
        }
    }
}

#[test]
fn names_that_look_like_others_are_refused() {
    for name in [
        "purchase\u{200b}s",
        "purchases\u{200d}",
        "\u{202e}sesahcrup",
        "\u{feff}purchases",
        "purchases\u{0}",
        "cafe\u{301}",
        // Not in normal form C: the Kelvin and Angstrom signs, a syllable in its letters.
        "\u{212a}ey",
        "\u{212b}",
        "\u{1112}\u{1161}\u{11ab}",
        "a\u{a0}b",
    ] {
        for (dialect, quote) in [
            (Dialect::Ansi, '"'),
            (Dialect::Postgres, '"'),
            (Dialect::MySql, '`'),
            (Dialect::DataFusion, '"'),
        ] {
            for sql in [
                format!("select 1 from {quote}{name}{quote}"),
                format!("select {quote}{name}{quote} from purchases"),
                format!("select id as {quote}{name}{quote} from purchases"),
                format!("select id as {name} from purchases"),
            ] {
                let error = run_in(dialect, &sql).expect_err(&sql);
                assert!(error.line > 0, "{dialect:?} {sql}: {error}");
            }
        }
    }
}

/// The datasets `t`, `T` and `Up`, and what a name of them resolves to.
fn resolved(dialect: Dialect, name: &str) -> String {
    let schema = Arc::new(DatasetSchema::default());
    let id = |name: &str| (DatasetId::new("d", "c", name), Arc::clone(&schema));
    let names = Datasets::new(vec![id("t"), id("T"), id("Up")]);
    let statement = parse(dialect, &format!("select 1 from {name}")).unwrap();
    match tables(&statement, &names) {
        Ok(tables) => {
            let found = &tables.occurrences[0].dataset;
            // What is asked about is what the name means, and nothing else.
            let again = names.resolve(&statement.tables[0].parts);
            assert!(matches!(again, Resolution::Found(again, _) if again == *found));
            found.name.clone()
        }
        Err(error) => format!("{:?}", error.kind),
    }
}

#[test]
fn case_is_the_dialects() {
    for (dialect, name, expected) in [
        (Dialect::DataFusion, "T", "t"),
        (Dialect::DataFusion, "\"T\"", "T"),
        (Dialect::DataFusion, "up", "Up"),
        (Dialect::Postgres, "T", "t"),
        (Dialect::Postgres, "\"T\"", "T"),
        (Dialect::Postgres, "up", "Unknown"),
        (Dialect::Postgres, "\"Up\"", "Up"),
        (Dialect::Ansi, "T", "Ambiguous"),
        (Dialect::Ansi, "\"T\"", "Ambiguous"),
        (Dialect::Ansi, "\"UP\"", "Up"),
        (Dialect::MySql, "T", "T"),
        (Dialect::MySql, "`t`", "t"),
        (Dialect::MySql, "UP", "Up"),
        (Dialect::MySql, "d.c.`uP`", "Up"),
    ] {
        assert_eq!(resolved(dialect, name), expected, "{dialect:?} {name}");
    }
}

#[test]
fn a_quote_does_not_end_where_another_dialect_would_end_it() {
    // What is text to the caller stays text, and what is hidden in it names nothing.
    for (dialect, sql, table) in [
        (
            Dialect::MySql,
            r"select 'x\' from customers -- ' from purchases",
            "purchases",
        ),
        (
            Dialect::Postgres,
            r"select 'x\' from customers -- ' from purchases",
            "customers",
        ),
        (
            Dialect::Ansi,
            r"select 'x\' from customers -- ' from purchases",
            "customers",
        ),
        (
            Dialect::Postgres,
            r"select E'x\' from customers -- ' from purchases",
            "purchases",
        ),
        (
            Dialect::Postgres,
            "select $a$ from customers $$ $a$ from purchases",
            "purchases",
        ),
        (
            Dialect::MySql,
            "select 1 # from customers\n from purchases",
            "purchases",
        ),
        (
            Dialect::MySql,
            "select 1 /* /* from customers */ from purchases -- */ from mixed",
            "purchases",
        ),
        (
            Dialect::Postgres,
            "select 1 /* /* from customers */ from mixed */ from purchases",
            "purchases",
        ),
        (
            Dialect::MySql,
            "select \"a\"\" from customers\" from purchases",
            "purchases",
        ),
    ] {
        let bound = run_in(dialect, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let read: Vec<&str> = bound
            .tables
            .iter()
            .map(|table| table.dataset.name.as_str())
            .collect();
        assert_eq!(read, [table], "{dialect:?}: {sql}");
    }
}

#[test]
fn what_is_emitted_is_read_in_one_dialect() {
    for (dialect, sql) in [
        (
            Dialect::MySql,
            r"select 'it\'s \\', `id` as `a``b`, 'x' from purchases",
        ),
        (Dialect::MySql, "select `id` as `a\"b` from purchases"),
        (
            Dialect::Postgres,
            r#"select E'it\'s \\', "id" as "a""b", $$'$$ from purchases"#,
        ),
        (
            Dialect::Ansi,
            r#"select 'it''s \', "id" as "a`b" from purchases"#,
        ),
    ] {
        let text = emitted_in(dialect, sql);
        assert!(!text.starts_with("error"), "{sql}: {text}");
        let again = parse(Dialect::DataFusion, &text).unwrap();
        assert_eq!(again.tables.len(), 1, "{sql}: {text}");
        assert_eq!(again.tables[0].display(), "__t0", "{sql}: {text}");
    }
}
