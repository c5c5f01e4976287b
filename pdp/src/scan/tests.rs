use super::*;

/// Statements as `line: text without what stands before it`.
fn check(text: &str, expected: &[&str]) {
    let shown: Vec<String> = statements(text)
        .unwrap()
        .iter()
        .map(|statement| {
            let (_, from_head) = statement.text.split_at(statement.head - statement.start);
            format!("{}: {from_head}", statement.line)
        })
        .collect();
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn splits_at_semicolons_outside_texts_and_comments() {
    check("", &[]);
    check("  // only; a comment\n", &[]);
    check("a;b;", &["1: a;", "1: b;"]);
    check("a;\n\n // x;\n  b // y;\n;", &["1: a;", "4: b // y;\n;"]);
    check("@d(\"x;\\\";\") a; b", &["1: @d(\"x;\\\";\") a;", "1: b"]);
    check("a / b; // c", &["1: a / b;"]);
}

#[test]
fn bounds_are_at_their_limit() {
    let nested = |depth: usize| format!("{}{};", "(".repeat(depth), ")".repeat(depth));
    assert!(statements(&nested(NESTING_MAX)).is_ok());
    let refused = statements(&format!("a;\n{}", nested(NESTING_MAX + 1))).unwrap_err();
    assert_eq!(
        refused,
        Refused {
            at: 3 + NESTING_MAX,
            problem: Bound::Nesting
        }
    );
    let chained = |operators: usize| format!("{};", "!".repeat(operators));
    assert!(statements(&chained(OPERATORS_PER_POLICY_MAX)).is_ok());
    let refused = statements(&chained(OPERATORS_PER_POLICY_MAX + 1)).unwrap_err();
    assert_eq!(refused.problem, Bound::Operators);
    // Each policy has its own bound.
    assert!(statements(&chained(OPERATORS_PER_POLICY_MAX).repeat(3)).is_ok());
    let long = format!("{};", "a".repeat(POLICY_BYTES_MAX + 2));
    assert_eq!(statements(&long).unwrap_err().problem, Bound::PolicyBytes);
}

#[test]
fn positions_count_characters() {
    let text = "é(\n日本x";
    assert_eq!(position(text, 0), (1, 1));
    assert_eq!(position(text, 2), (1, 2));
    assert_eq!(position(text, text.find('x').unwrap()), (2, 3));
    assert_eq!(
        position(text, 5),
        (2, 1),
        "inside a character: where it starts"
    );
    assert_eq!(position(text, 1000), (2, 4));
}
