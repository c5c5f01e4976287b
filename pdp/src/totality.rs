//! Whether a row condition can fail, which Cedar counts as "not true" for permits and forbids alike.

use std::collections::BTreeSet;

use dataos_model::predicate::Expression;

/// Whether the expression has a value in every row in which these columns are present.
pub(crate) fn cannot_fail(expression: &Expression, present: &BTreeSet<&str>) -> bool {
    let all = |parts: &[&Expression]| parts.iter().all(|part| cannot_fail(part, present));
    let knowing = |part: &Expression, also: BTreeSet<&str>| {
        cannot_fail(part, &present.union(&also).copied().collect())
    };
    match expression {
        Expression::Literal(_) | Expression::Present(_) => true,
        Expression::Column(name) => present.contains(name.as_str()),
        Expression::And(left, right) => {
            all(&[left]) && knowing(right, present_where(left, Outcome::True))
        }
        Expression::Or(left, right) => {
            all(&[left]) && knowing(right, present_where(left, Outcome::False))
        }
        Expression::If(test, yes, no) => {
            all(&[test])
                && knowing(yes, present_where(test, Outcome::True))
                && knowing(no, present_where(test, Outcome::False))
        }
        Expression::Not(inner)
        | Expression::Like(inner, _)
        | Expression::IsEmpty(inner)
        | Expression::HasField(inner, _) => all(&[inner]),
        // Operands have fitting types: the policy was type-checked against the dataset.
        Expression::Compare(_, left, right)
        | Expression::Sets(_, left, right)
        | Expression::InRange(left, right) => all(&[left, right]),
        Expression::Set(items) => items.iter().all(|item| cannot_fail(item, present)),
        Expression::Record(fields) => fields.values().all(|field| cannot_fail(field, present)),
        // Arithmetic can overflow.
        Expression::Arithmetic(..)
        | Expression::Negate(_)
        | Expression::Field(..)
        | Expression::Error(_) => false,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    True,
    False,
}

/// Columns that are certainly present where the expression has this outcome.
fn present_where(expression: &Expression, outcome: Outcome) -> BTreeSet<&str> {
    match (expression, outcome) {
        (Expression::Present(name), Outcome::True) => BTreeSet::from([name.as_str()]),
        (Expression::Not(inner), Outcome::True) => present_where(inner, Outcome::False),
        (Expression::Not(inner), Outcome::False) => present_where(inner, Outcome::True),
        (Expression::And(left, right), Outcome::True)
        | (Expression::Or(left, right), Outcome::False) => {
            let mut columns = present_where(left, outcome);
            columns.extend(present_where(right, outcome));
            columns
        }
        _ => BTreeSet::new(),
    }
}
