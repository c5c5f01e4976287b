//! Conditions: comparisons, sets, patterns.

use std::cmp::Ordering;

use regex::{Regex, RegexBuilder};
use sqlparser::ast::{BinaryOperator, Expr};

use super::{
    eval::{Machine, Outcome, STEP_BYTES, Scope},
    unsupported,
    value::Value,
};

/// Patterns that are kept compiled.
const PATTERNS_MAX: usize = 64;
/// Steps that compiling one costs.
const PATTERN_STEPS: usize = 1_000;
/// Bytes of a compiled pattern.
const PATTERN_BYTES_MAX: usize = 1 << 20;

impl Machine<'_> {
    /// Conditions other than operators.
    pub(super) fn predicate(&self, expr: &Expr, scope: &Scope<'_>) -> Outcome<Value> {
        let value = |expr: &Expr| self.value(expr, scope);
        let holds = match expr {
            Expr::IsNull(inner) | Expr::IsUnknown(inner) => value(inner)?.is_null(),
            Expr::IsNotNull(inner) | Expr::IsNotUnknown(inner) => !value(inner)?.is_null(),
            Expr::IsTrue(inner) => value(inner)?.is_true(),
            Expr::IsNotTrue(inner) => !value(inner)?.is_true(),
            Expr::IsFalse(inner) => value(inner)? == Value::Bool(false),
            Expr::IsNotFalse(inner) => value(inner)? != Value::Bool(false),
            Expr::IsDistinctFrom(left, right) => !is_same(&value(left)?, &value(right)?),
            Expr::IsNotDistinctFrom(left, right) => is_same(&value(left)?, &value(right)?),
            Expr::Exists { subquery, negated } => {
                self.query(subquery, scope)?.rows.is_empty() == *negated
            }
            Expr::InList {
                expr,
                list,
                negated,
            } => {
                let items = list.iter().map(value).collect::<Outcome<Vec<_>>>()?;
                return Ok(negate(
                    is_any(&value(expr)?, Ordering::is_eq, &items),
                    *negated,
                ));
            }
            Expr::InSubquery {
                expr,
                subquery,
                negated,
            } => {
                let items = self.first_column(subquery, scope)?;
                return Ok(negate(
                    is_any(&value(expr)?, Ordering::is_eq, &items),
                    *negated,
                ));
            }
            other => return self.comparison(other, scope),
        };
        Ok(Value::Bool(holds))
    }

    /// BETWEEN, LIKE, and comparisons with several values.
    fn comparison(&self, expr: &Expr, scope: &Scope<'_>) -> Outcome<Value> {
        let value = |expr: &Expr| self.value(expr, scope);
        let holds = match expr {
            Expr::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let (value, low, high) = (value(expr)?, value(low)?, value(high)?);
                let (low, high) = (value.compare(&low), value.compare(&high));
                let (Some(low), Some(high)) = (low, high) else {
                    return Ok(Value::Null);
                };
                (low.is_ge() && high.is_le()) != *negated
            }
            Expr::Like {
                negated,
                expr,
                pattern,
                ..
            } => {
                return self.like(&value(expr)?, &value(pattern)?, false, *negated);
            }
            Expr::ILike {
                negated,
                expr,
                pattern,
                ..
            } => {
                return self.like(&value(expr)?, &value(pattern)?, true, *negated);
            }
            Expr::AnyOp {
                left,
                compare_op,
                right,
                ..
            } => {
                let (fits, negated) = comparison(compare_op)?;
                let (left, items) = (value(left)?, self.items(right, scope)?);
                if negated {
                    // `<> ANY` holds if one differs.
                    let differs = items.iter().any(|item| !is_same(&left, item));
                    return Ok(Value::Bool(differs));
                }
                return Ok(is_any(&left, fits, &items));
            }
            Expr::AllOp {
                left,
                compare_op,
                right,
            } => {
                let (fits, negated) = comparison(compare_op)?;
                let (left, items) = (value(left)?, self.items(right, scope)?);
                if negated {
                    return Ok(negate(is_any(&left, fits, &items), true));
                }
                items
                    .iter()
                    .all(|item| left.compare(item).is_some_and(fits))
            }
            other => return Err(unsupported(other)),
        };
        Ok(Value::Bool(holds))
    }

    /// The items of an array or of a query of one column.
    fn items(&self, expr: &Expr, scope: &Scope<'_>) -> Outcome<Vec<Value>> {
        match expr {
            Expr::Subquery(query) => self.first_column(query, scope),
            Expr::Nested(inner) => self.items(inner, scope),
            other => self.value(other, scope).map(|value| value.items()),
        }
    }

    pub(super) fn matches(
        &self,
        text: &Value,
        pattern: &Value,
        folds: bool,
        negated: bool,
    ) -> Outcome<Value> {
        let (Some(text), Some(pattern)) = (text.shown(), pattern.shown()) else {
            return Ok(Value::Null);
        };
        self.charge(text.len() / STEP_BYTES)?;
        let compiled = self.pattern(pattern, folds)?;
        Ok(Value::Bool(compiled.is_match(&text) != negated))
    }

    fn pattern(&self, pattern: String, folds: bool) -> Outcome<Regex> {
        let mut patterns = self.patterns.borrow_mut();
        let key = (pattern, folds);
        if let Some(compiled) = patterns.get(&key) {
            return Ok(compiled.clone());
        }
        self.charge(PATTERN_STEPS)?;
        let (pattern, _) = &key;
        let compiled = RegexBuilder::new(pattern)
            .case_insensitive(folds)
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(|_| unsupported(format!("the pattern `{pattern}`")))?;
        if patterns.len() >= PATTERNS_MAX {
            patterns.clear();
        }
        patterns.insert(key, compiled.clone());
        Ok(compiled)
    }

    pub(super) fn like(
        &self,
        text: &Value,
        pattern: &Value,
        folds: bool,
        negated: bool,
    ) -> Outcome<Value> {
        let Some(pattern) = pattern.shown() else {
            return Ok(Value::Null);
        };
        let mut expression = String::from("(?s)^");
        let mut signs = pattern.chars();
        while let Some(sign) = signs.next() {
            match sign {
                '%' => expression.push_str(".*"),
                '_' => expression.push('.'),
                '\\' => {
                    expression.push_str(&regex::escape(&signs.next().unwrap_or('\\').to_string()))
                }
                sign => expression.push_str(&regex::escape(&sign.to_string())),
            }
        }
        expression.push('$');
        self.matches(text, &Value::Text(expression), folds, negated)
    }
}

fn is_same(left: &Value, right: &Value) -> bool {
    match left.compare(right) {
        Some(order) => order.is_eq(),
        None => left.is_null() && right.is_null(),
    }
}

/// Whether an order is as it must be.
pub(super) type Fits = fn(Ordering) -> bool;

/// What an order must be, and whether the opposite is asked.
pub(super) fn comparison(op: &BinaryOperator) -> Outcome<(Fits, bool)> {
    let eq: Fits = Ordering::is_eq;
    Ok(match op {
        BinaryOperator::Eq => (eq, false),
        BinaryOperator::NotEq => (eq, true),
        BinaryOperator::Lt => (Ordering::is_lt, false),
        BinaryOperator::LtEq => (Ordering::is_le, false),
        BinaryOperator::Gt => (Ordering::is_gt, false),
        BinaryOperator::GtEq => (Ordering::is_ge, false),
        BinaryOperator::PGCustomBinaryOperator(parts) => match parts.last().map(String::as_str) {
            Some("=") => (eq, false),
            Some("<>") => (eq, true),
            _ => return Err(unsupported(format!("the operator {op}"))),
        },
        other => return Err(unsupported(format!("the operator {other}"))),
    })
}

/// Whether one item stands so to `value`; NULL where that cannot be known.
fn is_any(value: &Value, fits: Fits, items: &[Value]) -> Value {
    if items
        .iter()
        .any(|item| value.compare(item).is_some_and(fits))
    {
        return Value::Bool(true);
    }
    let is_unknown = value.is_null() || items.iter().any(Value::is_null);
    if is_unknown && !items.is_empty() {
        return Value::Null;
    }
    Value::Bool(false)
}

fn negate(value: Value, negated: bool) -> Value {
    match value {
        Value::Bool(value) => Value::Bool(value != negated),
        other => other,
    }
}
