use super::*;

fn row() -> BTreeMap<String, Value> {
    BTreeMap::from([
        ("age".to_owned(), Value::Long(41)),
        ("name".to_owned(), Value::from("a*b%c")),
    ])
}

fn column(name: &str) -> Box<Expression> {
    Box::new(Expression::Column(name.to_owned()))
}

fn literal(value: impl Into<Value>) -> Box<Expression> {
    Box::new(Expression::Literal(value.into()))
}

#[test]
fn a_failing_condition_is_false_and_so_is_not_its_negation_inside() {
    let overflow = Expression::Compare(
        Comparison::Less,
        Box::new(Expression::Arithmetic(
            Arithmetic::Add,
            column("age"),
            literal(i64::MAX),
        )),
        literal(0),
    );
    assert!(!Predicate::Satisfied(overflow.clone()).holds(&row()));
    assert!(!Predicate::Satisfied(Expression::Not(Box::new(overflow.clone()))).holds(&row()));
    assert!(Predicate::Satisfied(overflow).negated().holds(&row()));
}

#[test]
fn absent_columns_fail_unless_asked_with_present() {
    let equal = Expression::Compare(Comparison::Equal, column("city"), literal("x"));
    assert!(!Predicate::Satisfied(equal.clone()).holds(&row()));
    let guarded = Expression::And(
        Box::new(Expression::Present("city".to_owned())),
        Box::new(equal),
    );
    assert!(Predicate::Satisfied(Expression::Not(Box::new(guarded))).holds(&row()));
}

#[test]
fn equality_is_total_and_order_is_not() {
    let check = |comparison, right: Value, expected: Result<bool, ()>| {
        let expression = Expression::Compare(comparison, column("age"), literal(right));
        let found = expression.evaluate(&row()).map_err(|_| ());
        assert_eq!(found, expected.map(Value::Bool));
    };
    check(Comparison::Equal, Value::from("41"), Ok(false));
    check(Comparison::Equal, Value::Long(41), Ok(true));
    check(Comparison::Less, Value::Long(42), Ok(true));
    check(Comparison::LessOrEqual, Value::Long(41), Ok(true));
    check(Comparison::Less, Value::Decimal(42), Err(()));
}

#[test]
fn like_is_anchored_and_literal() {
    use LikePiece::{Any, Text};
    let text = |part: &str| Text(part.to_owned());
    let check = |pieces: &[LikePiece], expected: bool| {
        let expression = Expression::Like(column("name"), pieces.to_vec());
        assert_eq!(
            expression.evaluate(&row()),
            Ok(Value::Bool(expected)),
            "{pieces:?}"
        );
    };
    check(&[text("a*b%c")], true);
    check(&[text("a*b")], false);
    check(&[text("a"), Any], true);
    check(&[text("b"), Any], false);
    check(&[Any, text("c")], true);
    check(&[Any, text("*b%"), Any], true);
    check(&[text("a"), Any, text("*"), Any, text("c")], true);
    check(&[text("a*b%c"), Any, text("c")], false);
    check(&[Any], true);
    check(&[], false);
}

#[test]
fn ranges_contain_by_prefix() {
    let range = |text: &str, prefix_bits| IpRange {
        address: text.parse().unwrap(),
        prefix_bits,
    };
    assert!(contains_range(range("10.0.0.0", 8), range("10.1.2.3", 32)));
    assert!(!contains_range(range("10.0.0.0", 8), range("11.1.2.3", 32)));
    assert!(!contains_range(range("10.0.0.0", 16), range("10.0.0.0", 8)));
    assert!(contains_range(range("0.0.0.0", 0), range("255.0.0.1", 32)));
    assert!(contains_range(range("::", 0), range("::1", 128)));
    assert!(!contains_range(range("::", 0), range("1.2.3.4", 32)));
}
