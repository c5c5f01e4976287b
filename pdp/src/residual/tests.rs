use dataos_model::entity::EntityType;

use super::*;

fn row() -> EntityUid {
    EntityType::ROW.id("this")
}

/// The condition of a policy in which `R` is the row.
fn translated(text: &str) -> Result<Expression, Inexact> {
    let text = text
        .replace("R.", "DataOS::Row::\"this\".")
        .replace("R ", "DataOS::Row::\"this\" ")
        .replace("R[", "DataOS::Row::\"this\"[");
    let policy = format!("permit (principal, action, resource) when {{ {text} }};");
    condition(&Policy::parse(None, policy).unwrap(), &row())
}

fn check(text: &str, expected: &str) {
    let shown = match translated(text) {
        Ok(expression) => Predicate::Satisfied(expression).to_string(),
        Err(inexact) => format!("inexact: {}", inexact.node),
    };
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn each_kind_of_node() {
    for (text, expected) in [
        ("R.a", "a"),
        ("R has a", "a IS NOT NULL"),
        ("R[\"b c\"] == \"x'y\"", "\"b c\" = 'x''y'"),
        ("R.a == 1", "a = 1"),
        ("R.a != 1", "a <> 1"),
        ("R.a < 1", "a < 1"),
        ("R.a <= 1", "a <= 1"),
        ("R.a > 1", "1 < a"),
        ("R.a >= 1", "1 <= a"),
        ("!(R.a <= 1)", "1 < a"),
        ("!(R.a < 1)", "1 <= a"),
        ("!!(R.a == 1)", "a = 1"),
        ("!(R.a == 1 && R.b == 2)", "a <> 1 OR b <> 2"),
        ("!(R.a == 1 || R.b == 2)", "a <> 1 AND b <> 2"),
        ("R.a + 1 - 2 * 3 == 4", "(a + 1) - 2 * 3 = 4"),
        ("-R.a == -1", "-a = -1"),
        ("R.a like \"x*\\*%\"", "a LIKE 'x%*\\%'"),
        ("[1, 2].contains(R.a)", "a IN (1, 2)"),
        ("R.a == decimal(\"-0.0001\")", "a = -0.0001"),
        ("R.a.lessThan(decimal(\"12.5\"))", "a < 12.5"),
        ("R.a.greaterThan(decimal(\"12.5\"))", "12.5 < a"),
        ("R.a.lessThanOrEqual(decimal(\"12.5\"))", "a <= 12.5"),
        ("R.a.greaterThanOrEqual(decimal(\"12.5\"))", "12.5 <= a"),
        ("{x: R.a}.x == 1", ""),
    ] {
        if expected.is_empty() {
            assert!(translated(text).is_ok(), "{text}");
        } else {
            check(text, expected);
        }
    }
}

#[test]
fn constants_are_read_exactly() {
    let literal = |value: Value| Ok(Expression::Literal(value));
    for (text, expected) in [
        (
            "decimal(\"922337203685477.5807\")",
            Value::Decimal(i64::MAX),
        ),
        (
            "decimal(\"-922337203685477.5808\")",
            Value::Decimal(i64::MIN),
        ),
        ("decimal(\"1.5\")", Value::Decimal(15_000)),
        ("duration(\"-12ms\")", Value::Duration(-12)),
        (
            "datetime(\"1970-01-01\").offset(duration(\"-5ms\"))",
            Value::DateTime(-5),
        ),
        (
            "ip(\"10.0.0.0/8\")",
            Value::Ip(IpRange {
                address: [10, 0, 0, 0].into(),
                prefix_bits: 8,
            }),
        ),
        (
            "[2, 1, 2]",
            Value::Set([Value::Long(1), Value::Long(2)].into()),
        ),
        (
            "DataOS::User::\"a\"",
            Value::Entity(EntityType::USER.id("a")),
        ),
    ] {
        assert_eq!(translated(text), literal(expected), "{text}");
    }
}

#[test]
fn what_has_no_exact_counterpart_is_named() {
    for (text, expected) in [
        ("R == DataOS::User::\"a\"", "EntityUID"),
        ("R in DataOS::Tag::\"t\"", " in "),
        ("R is DataOS::Row", " is "),
        ("principal == DataOS::User::\"a\"", "principal"),
        ("R.a.b == 1", ".b"),
        ("R has a.b", "has"),
        ("DataOS::User::\"a\".b == 1", ".b"),
        ("DataOS::User::\"a\" has b", "has b"),
        ("DataOS::User::\"a\".hasTag(\"b\")", "hasTag"),
        ("R.a.offset(duration(\"1ms\")) == R.b", "offset"),
        ("R.a.toDate() == R.b", "toDate"),
        ("R.a.isIpv4()", "isIpv4"),
        ("R.a.durationSince(R.b) == R.c", "durationSince"),
    ] {
        let inexact = translated(text).unwrap_err();
        assert!(inexact.node.contains(expected), "{text}: {}", inexact.node);
    }
}

#[test]
fn what_can_fail_is_not_negated() {
    let none = BTreeSet::new();
    let shown = |text: &str, never_null: &BTreeSet<&str>| {
        let condition = translated(text).unwrap();
        unsatisfied(condition, never_null).to_string()
    };
    assert_eq!(shown("R.a > 5", &none), "NOT (5 < a)");
    assert_eq!(shown("R.a > 5", &BTreeSet::from(["a"])), "a <= 5");
    assert_eq!(
        shown("R has a && R.a > 5", &none),
        "NOT (a IS NOT NULL) OR a <= 5"
    );
    assert_eq!(
        shown("R has b && R.a > 5", &none),
        "NOT (b IS NOT NULL AND 5 < a)"
    );
    assert_eq!(
        shown("!(R has a && R.a == 1)", &none),
        "a IS NOT NULL AND a = 1",
        "the form of a row filter"
    );
    assert_eq!(
        shown("R.a + 1 > 5", &BTreeSet::from(["a"])),
        "NOT (5 < a + 1)"
    );
}
