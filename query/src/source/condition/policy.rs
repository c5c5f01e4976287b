//! Conditions of policies. An expression can fail, which is NULL in a statement; what a policy knows of a time are
//! whole milliseconds.

use dataos_model::{
    predicate::{Comparison, Expression, Predicate, SetTest},
    value::Value,
};

use super::{Against, Builder, FALSE, Named, Operator, TRUE};

const MICROSECONDS_PER_MILLISECOND: i128 = 1_000;

impl<'a> Builder<'a> {
    /// Adds what of a predicate has an exact form.
    pub(super) fn predicate(&mut self, predicate: &Predicate) {
        match predicate {
            Predicate::Constant(true) => {}
            Predicate::All(parts) => parts.iter().for_each(|part| self.predicate(part)),
            Predicate::Satisfied(expression) => self.expression(expression),
            _ => self.conjunct(|builder| builder.holds(predicate)),
        }
    }

    fn expression(&mut self, expression: &Expression) {
        match expression {
            Expression::And(left, right) => {
                self.expression(left);
                self.expression(right);
            }
            _ => self.conjunct(|builder| builder.evaluated(expression)),
        }
    }

    /// TRUE where the predicate holds; elsewhere FALSE or NULL.
    fn holds(&mut self, predicate: &Predicate) -> Option<String> {
        let (parts, word) = match predicate {
            Predicate::Constant(holds) => return Some(constant(*holds)),
            Predicate::Satisfied(expression) => return self.satisfied(expression),
            Predicate::Not(inner) => {
                return Some(format!("(NOT coalesce({}, {FALSE}))", self.holds(inner)?));
            }
            Predicate::All(parts) => (parts, " AND "),
            Predicate::Any(parts) => (parts, " OR "),
        };
        let tests = parts.iter().map(|part| self.holds(part));
        let tests: Vec<String> = tests.collect::<Option<_>>()?;
        (!tests.is_empty()).then(|| format!("({})", tests.join(word)))
    }

    /// TRUE where the expression is true; elsewhere FALSE or NULL.
    fn satisfied(&mut self, expression: &Expression) -> Option<String> {
        let Expression::And(left, right) = expression else {
            return self.evaluated(expression);
        };
        let (left, right) = (self.satisfied(left)?, self.satisfied(right)?);
        Some(format!("({left} AND {right})"))
    }

    /// TRUE or FALSE as the expression is, and NULL where it fails. What fails on the left fails whatever
    /// stands on the right, which AND and OR of SQL do not know.
    fn evaluated(&mut self, expression: &Expression) -> Option<String> {
        match expression {
            Expression::Literal(Value::Bool(value)) => Some(constant(*value)),
            Expression::Column(name) => {
                let (named, value) = (self.attribute(name)?, Value::Bool(true));
                self.any(named, Operator::Equal, &[Against::Value(&value)])
            }
            Expression::Present(name) => {
                let Named { column, dialect } = self.attribute(name)?;
                dialect.present(column)
            }
            Expression::Not(inner) => Some(format!("(NOT ({}))", self.evaluated(inner)?)),
            Expression::And(left, right) => {
                let (left, right) = (self.evaluated(left)?, self.evaluated(right)?);
                Some(format!(
                    "(CASE ({left}) WHEN {TRUE} THEN ({right}) WHEN {FALSE} THEN {FALSE} END)"
                ))
            }
            Expression::Or(left, right) => {
                let (left, right) = (self.evaluated(left)?, self.evaluated(right)?);
                Some(format!(
                    "(CASE ({left}) WHEN {TRUE} THEN {TRUE} WHEN {FALSE} THEN ({right}) END)"
                ))
            }
            Expression::If(condition, yes, no) => {
                let condition = self.evaluated(condition)?;
                let (yes, no) = (self.evaluated(yes)?, self.evaluated(no)?);
                Some(format!(
                    "(CASE ({condition}) WHEN {TRUE} THEN ({yes}) WHEN {FALSE} THEN ({no}) END)"
                ))
            }
            Expression::Compare(comparison, left, right) => {
                self.comparison(*comparison, left, right)
            }
            Expression::Like(text, pieces) => match text.as_ref() {
                Expression::Column(name) => {
                    let named = self.attribute(name)?;
                    self.like(named, pieces)
                }
                _ => None,
            },
            Expression::Sets(SetTest::Contains, left, right) => {
                match (left.as_ref(), right.as_ref()) {
                    (Expression::Literal(Value::Set(items)), Expression::Column(name)) => {
                        let all: Vec<Against<'_>> = items.iter().map(against).collect();
                        self.any(self.attribute(name)?, Operator::Equal, &all)
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn comparison(
        &mut self,
        comparison: Comparison,
        left: &Expression,
        right: &Expression,
    ) -> Option<String> {
        let (operator, mirrored) = match comparison {
            Comparison::Equal => (Operator::Equal, Operator::Equal),
            Comparison::Less => (Operator::Less, Operator::Greater),
            Comparison::LessOrEqual => (Operator::LessOrEqual, Operator::GreaterOrEqual),
        };
        match (left, right) {
            (Expression::Column(name), Expression::Literal(value)) => {
                self.any(self.attribute(name)?, operator, &[against(value)])
            }
            (Expression::Literal(value), Expression::Column(name)) => {
                self.any(self.attribute(name)?, mirrored, &[against(value)])
            }
            (Expression::Column(left), Expression::Column(right)) => {
                let both = [self.attribute(left)?, self.attribute(right)?];
                self.both(both, operator, true)
            }
            _ => None,
        }
    }

    /// A column that policies know.
    fn attribute(&self, name: &str) -> Option<Named<'a>> {
        let named = self.named(name)?;
        named.column.column_type.attribute_type()?;
        Some(named)
    }
}

fn constant(value: bool) -> String {
    let constant = if value { TRUE } else { FALSE };
    format!("({constant})")
}

fn against(value: &Value) -> Against<'_> {
    match value {
        Value::DateTime(milliseconds) => {
            let start = i128::from(*milliseconds) * MICROSECONDS_PER_MILLISECOND;
            Against::Time(start..start + MICROSECONDS_PER_MILLISECOND)
        }
        value => Against::Value(value),
    }
}
