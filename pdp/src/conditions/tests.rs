use cedar_policy::Policy;

use super::*;
use crate::stack::on_big_stack;

fn clauses(condition: &str) -> Vec<Clause> {
    let text = format!("permit (principal, action, resource) when {{ {condition} }};");
    let parse = || Policy::parse(None, text).unwrap().to_pst().unwrap();
    on_big_stack(parse).unwrap().body().clauses().clone()
}

#[test]
fn finds_what_is_looked_into_and_nothing_else() {
    for (condition, expected) in [
        ("DataOS::User::\"a\".x == 1", "a"),
        ("DataOS::User::\"a\" has x", "a"),
        ("DataOS::User::\"a\".hasTag(\"t\")", "a"),
        ("DataOS::User::\"a\".getTag(\"t\") == \"x\"", "a"),
        ("DataOS::User::\"a\" in DataOS::Group::\"b\"", "a"),
        (
            "DataOS::User::\"a\" is DataOS::User in DataOS::Group::\"b\"",
            "a",
        ),
        (
            "(if true then DataOS::User::\"a\" else DataOS::User::\"b\").x",
            "a b",
        ),
        ("{y: DataOS::User::\"a\"}.y.x", "a"),
        ("principal in DataOS::Group::\"b\"", ""),
        ("principal == DataOS::User::\"a\"", ""),
        ("[DataOS::User::\"a\"].contains(principal)", ""),
        ("!(-1 + 2 == 1) && DataOS::User::\"a\".x like \"*\"", "a"),
    ] {
        let found: Vec<String> = clauses(condition)
            .iter()
            .flat_map(looked_into)
            .map(|uid| uid.id)
            .collect();
        assert_eq!(found.join(" "), expected, "{condition}");
    }
}

#[test]
fn what_asks_only_the_caller_for_attributes_is_free_of_columns() {
    for (condition, expected) in [
        (
            "principal.hasTag(\"a\") && principal.getTag(\"a\") == \"b\"",
            true,
        ),
        ("context has purpose && context.purpose == \"audit\"", true),
        (
            "resource in DataOS::Tag::\"a\" || principal.name like \"*\"",
            true,
        ),
        ("!(resource is DataOS::Row)", true),
        ("resource has id", false),
        ("true || (false && resource.id > 1)", false),
        // These may lead to a row.
        ("context has row.id", false),
        ("context.row.id > 1", false),
        ("(if true then resource else resource).id > 1", false),
        ("{row: resource}.row.id > 1", false),
        ("principal.getTag(\"row\").id > 1", false),
    ] {
        let is_free = clauses(condition).iter().all(is_column_free);
        assert_eq!(is_free, expected, "{condition}");
    }
}

#[test]
fn every_kind_of_node_counts_for_the_depth() {
    // A node whose children were not listed would end the count.
    for wrap in [
        "!(X)",
        "-(X)",
        "(X).isEmpty()",
        "(X).a",
        "(X) has a",
        "(X) like \"a\"",
        "(X) && true",
        "true || (X)",
        "(X) == 1",
        "1 + (X)",
        "(X).contains(1)",
        "[1].containsAll(X)",
        "(X) in DataOS::Tag::\"t\"",
        "(X) is DataOS::Tag",
        "principal is DataOS::User in (X)",
        "if X then 1 else 2",
        "if true then X else 2",
        "if true then 1 else X",
        "[1, X]",
        "{a: X}",
        "(X).hasTag(\"t\")",
        "(X).getTag(\"t\")",
        "(X).lessThan(decimal(\"1.0\"))",
        "ip(\"::1\").isInRange(X)",
        "(X).offset(duration(\"1ms\"))",
        "(X).toDate()",
        "(X) != 1",
        "(X) < 1",
        "1 >= (X)",
    ] {
        let deep =
            (0..DEPTH_INLINE_MAX).fold("principal".to_owned(), |inner, _| format!("!({inner})"));
        let shallow = clauses(&wrap.replace('X', "principal"));
        let deep = clauses(&wrap.replace('X', &deep));
        assert!(
            !shallow.iter().any(is_deep) && deep.iter().any(is_deep),
            "{wrap}"
        );
    }
}
