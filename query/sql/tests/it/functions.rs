//! The allow-list itself: every function passes the whole pipeline, and the table is sound.

use dataos_sql::functions::{FUNCTIONS, FunctionKind, lookup, nearest};

use crate::fixture::run;

#[test]
fn every_function_passes_in_each_form() {
    for function in FUNCTIONS {
        let most = function.arguments_max.min(4);
        for count in function.arguments_min..=most {
            let arguments = match (function.name, count) {
                ("named_struct", 2 | 4) => {
                    ["'a', id", "'a', id, 'b', id"][count / 2 - 1].to_owned()
                }
                ("named_struct", _) => continue,
                _ => vec!["id"; count].join(", "),
            };
            let over = if function.kind == FunctionKind::Window {
                " over (order by id)"
            } else {
                ""
            };
            let over = if function.is_ordered_set() {
                " within group (order by amount)"
            } else {
                over
            };
            let call = format!("{}({arguments}){over}", function.name);
            let sql = format!("select {call} as x from purchases");
            let bound = run(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            assert!(
                bound.emit().contains(&format!("{}(", function.name)),
                "{}",
                bound.emit()
            );
        }
    }
}

#[test]
fn aggregates_take_their_clauses() {
    for function in FUNCTIONS
        .iter()
        .filter(|function| function.kind == FunctionKind::Aggregate && !function.is_ordered_set())
    {
        let arguments = vec!["id"; function.arguments_min].join(", ");
        let name = function.name;
        for sql in [
            format!("select {name}(distinct {arguments}) from purchases"),
            format!("select {name}({arguments} order by amount desc) from purchases"),
            format!("select {name}({arguments}) filter (where amount > 1) from purchases"),
            format!("select {name}({arguments}) over (partition by status) from purchases"),
        ] {
            run(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }
}

#[test]
fn the_table_is_sound() {
    assert!(FUNCTIONS.len() >= 120, "{}", FUNCTIONS.len());
    for (index, function) in FUNCTIONS.iter().enumerate() {
        let name = function.name;
        assert_eq!(lookup(name), Some(function), "{name}");
        assert!(
            !FUNCTIONS[..index].iter().any(|other| other.name == name),
            "{name} twice"
        );
        assert!(function.arguments_min <= function.arguments_max, "{name}");
        let flags = [
            function.is_leakproof,
            function.is_fallible,
            function.is_volatile,
        ];
        assert!(flags.iter().filter(|flag| **flag).count() <= 1, "{name}");
    }
    for (alias, name) in [
        ("substring", "substr"),
        ("length", "character_length"),
        ("pow", "power"),
    ] {
        assert_eq!(lookup(alias).unwrap().name, name);
    }
}

#[test]
fn near_names() {
    assert_eq!(nearest("cuont"), Some("count"));
    assert_eq!(nearest("substing"), Some("substring"));
    assert_eq!(nearest("regex_replace"), Some("regexp_replace"));
    assert_eq!(nearest("xp_cmdshell"), None);
    assert_eq!(nearest(&"x".repeat(1_000)), None);
}
