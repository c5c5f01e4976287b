//! Expressions that Arrow's kernels compute with Cedar's meaning.
//!
//! Cedar's failure (an absent column) is NULL here. `positive` only promises TRUE for true; `three`
//! promises TRUE, FALSE and NULL for true, false and failure, which negation and `||` need. Both
//! return `None` for shapes where that promise cannot be kept.

use std::sync::Arc;

use datafusion::{
    common::ScalarValue,
    logical_expr::Operator,
    physical_expr::{
        PhysicalExpr,
        expressions::{InListExpr, IsNotNullExpr, LikeExpr, Literal, NotExpr, lit},
    },
};
use dataos_model::{
    dataset::ColumnType,
    predicate::{Comparison, Expression, LikePiece, SetTest},
    value::Value,
};

use super::{RawColumns, binary};
use crate::column::UTC;

type Physical = Arc<dyn PhysicalExpr>;

const MILLISECONDS_PER_DAY: i64 = 86_400_000;
const MICROSECONDS_PER_MILLISECOND: i64 = 1_000;

/// TRUE exactly if the expression is true; FALSE or NULL otherwise.
pub(super) fn positive(expression: &Expression, columns: &RawColumns) -> Option<Physical> {
    match expression {
        Expression::And(left, right) => Some(binary(
            positive(left, columns)?,
            Operator::And,
            positive(right, columns)?,
        )),
        Expression::Or(left, right) if is_total(left) => Some(binary(
            positive(left, columns)?,
            Operator::Or,
            positive(right, columns)?,
        )),
        // A failure on the left is a failure of the whole: the right side counts only if the left
        // is false, not if it is NULL.
        Expression::Or(left, right) => {
            let first = three(left, columns)?;
            let is_false: Physical = Arc::new(NotExpr::new(Arc::clone(&first)));
            let second = binary(is_false, Operator::And, positive(right, columns)?);
            Some(binary(first, Operator::Or, second))
        }
        other => three(other, columns),
    }
}

/// TRUE if true, FALSE if false, NULL if the expression fails.
fn three(expression: &Expression, columns: &RawColumns) -> Option<Physical> {
    match expression {
        Expression::Literal(Value::Bool(value)) => Some(lit(*value)),
        Expression::Column(name) => {
            let (column_type, column) = columns.attribute(name)?;
            (*column_type == ColumnType::Bool).then_some(column)
        }
        Expression::Present(name) => match columns.attribute(name) {
            // A list with a NULL inside is no set, and so is absent too.
            Some((ColumnType::List(_), _)) => None,
            Some((_, column)) => Some(Arc::new(IsNotNullExpr::new(column))),
            None => Some(lit(false)),
        },
        Expression::Not(inner) => Some(Arc::new(NotExpr::new(three(inner, columns)?))),
        // With a left side that cannot fail, SQL's AND and OR agree with left-to-right evaluation.
        Expression::And(left, right) if is_total(left) => Some(binary(
            three(left, columns)?,
            Operator::And,
            three(right, columns)?,
        )),
        Expression::Or(left, right) if is_total(left) => Some(binary(
            three(left, columns)?,
            Operator::Or,
            three(right, columns)?,
        )),
        Expression::Compare(comparison, left, right) => match (left.as_ref(), right.as_ref()) {
            (Expression::Column(name), Expression::Literal(value)) => {
                compare(operator(*comparison), name, value, columns)
            }
            (Expression::Literal(value), Expression::Column(name)) => {
                compare(operator(*comparison).swap()?, name, value, columns)
            }
            (Expression::Column(left), Expression::Column(right)) => {
                compare_columns(*comparison, left, right, columns)
            }
            _ => None,
        },
        Expression::Like(inner, pieces) => match inner.as_ref() {
            Expression::Column(name) => like(name, pieces, columns),
            _ => None,
        },
        Expression::Sets(SetTest::Contains, left, right) => match (left.as_ref(), right.as_ref()) {
            (Expression::Literal(Value::Set(items)), Expression::Column(name)) => {
                in_list(name, items.iter(), columns)
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether the expression always has a value.
fn is_total(expression: &Expression) -> bool {
    match expression {
        Expression::Literal(Value::Bool(_)) | Expression::Present(_) => true,
        Expression::Not(inner) => is_total(inner),
        Expression::And(left, right) | Expression::Or(left, right) => {
            is_total(left) && is_total(right)
        }
        _ => false,
    }
}

fn operator(comparison: Comparison) -> Operator {
    match comparison {
        Comparison::Equal => Operator::Eq,
        Comparison::Less => Operator::Lt,
        Comparison::LessOrEqual => Operator::LtEq,
    }
}

fn compare(
    operator: Operator,
    name: &str,
    value: &Value,
    columns: &RawColumns,
) -> Option<Physical> {
    let (column_type, column) = columns.attribute(name)?;
    if let (ColumnType::Timestamp, Value::DateTime(milliseconds)) = (column_type, value) {
        return instants(operator, column, *milliseconds);
    }
    // Order is defined for these types alone; on others the comparison fails.
    let is_ordered = matches!(
        value,
        Value::Long(_) | Value::Decimal(_) | Value::DateTime(_)
    );
    if operator != Operator::Eq && !is_ordered {
        return None;
    }
    Some(binary(
        column,
        operator,
        Arc::new(Literal::new(scalar(value, column_type)?)),
    ))
}

/// Policies see milliseconds, rounded down; columns hold microseconds.
fn instants(operator: Operator, column: Physical, milliseconds: i64) -> Option<Physical> {
    let from = milliseconds.checked_mul(MICROSECONDS_PER_MILLISECOND)?;
    let to = from.checked_add(MICROSECONDS_PER_MILLISECOND)?;
    let instant = |microseconds| -> Physical {
        let value = ScalarValue::TimestampMicrosecond(Some(microseconds), Some(UTC.into()));
        Arc::new(Literal::new(value))
    };
    Some(match operator {
        Operator::Eq => binary(
            binary(Arc::clone(&column), Operator::GtEq, instant(from)),
            Operator::And,
            binary(column, Operator::Lt, instant(to)),
        ),
        Operator::Lt => binary(column, Operator::Lt, instant(from)),
        Operator::LtEq => binary(column, Operator::Lt, instant(to)),
        Operator::Gt => binary(column, Operator::GtEq, instant(to)),
        Operator::GtEq => binary(column, Operator::GtEq, instant(from)),
        _ => return None,
    })
}

fn compare_columns(
    comparison: Comparison,
    left: &str,
    right: &str,
    columns: &RawColumns,
) -> Option<Physical> {
    let (left_type, left) = columns.attribute(left)?;
    let (right_type, right) = columns.attribute(right)?;
    let is_ordered = matches!(left_type, ColumnType::Int(_));
    let is_equatable = is_ordered || matches!(left_type, ColumnType::Bool | ColumnType::Text);
    let is_exact = if comparison == Comparison::Equal {
        is_equatable
    } else {
        is_ordered
    };
    (is_exact && left_type == right_type).then(|| binary(left, operator(comparison), right))
}

fn like(name: &str, pieces: &[LikePiece], columns: &RawColumns) -> Option<Physical> {
    let (column_type, column) = columns.attribute(name)?;
    if !matches!(column_type, ColumnType::Text | ColumnType::Uuid) {
        return None;
    }
    let pattern: String = pieces
        .iter()
        .map(|piece| match piece {
            LikePiece::Any => "%".to_owned(),
            LikePiece::Text(text) => text
                .replace('\\', "\\\\")
                .replace('%', "\\%")
                .replace('_', "\\_"),
        })
        .collect();
    let pattern = Arc::new(Literal::new(ScalarValue::Utf8View(Some(pattern))));
    Some(Arc::new(LikeExpr::new(false, false, column, pattern)))
}

fn in_list<'a>(
    name: &str,
    items: impl Iterator<Item = &'a Value>,
    columns: &RawColumns,
) -> Option<Physical> {
    let (column_type, column) = columns.attribute(name)?;
    if *column_type == ColumnType::Timestamp {
        return None;
    }
    // An element that the column's type cannot hold equals none of its values.
    let items: Vec<Physical> = items
        .filter_map(|item| scalar(item, column_type))
        .map(|item| Arc::new(Literal::new(item)) as Physical)
        .collect();
    if items.is_empty() {
        return None;
    }
    let schema = &columns.batch;
    InListExpr::try_new(column, items, false, schema)
        .ok()
        .map(|list| Arc::new(list) as Physical)
}

/// The value in the column's own type, if that holds it exactly.
fn scalar(value: &Value, column_type: &ColumnType) -> Option<ScalarValue> {
    match (value, column_type) {
        (Value::Bool(value), ColumnType::Bool) => Some(ScalarValue::Boolean(Some(*value))),
        (Value::Long(value), ColumnType::Int(16)) => i16::try_from(*value)
            .ok()
            .map(|value| ScalarValue::Int16(Some(value))),
        (Value::Long(value), ColumnType::Int(32)) => i32::try_from(*value)
            .ok()
            .map(|value| ScalarValue::Int32(Some(value))),
        (Value::Long(value), ColumnType::Int(_)) => Some(ScalarValue::Int64(Some(*value))),
        (Value::String(text), ColumnType::Text | ColumnType::Uuid) => {
            Some(ScalarValue::Utf8View(Some(text.clone())))
        }
        (Value::Decimal(units), ColumnType::Decimal { precision, scale }) => {
            let step = 10_i64.checked_pow(4_u32.checked_sub(u32::from(*scale))?)?;
            let value = i128::from(units.checked_div(step)?);
            let limit = 10_i128.checked_pow(u32::from(*precision))?;
            let is_exact = units.checked_rem(step)? == 0 && value.checked_abs()? < limit;
            let scale = i8::try_from(*scale).ok()?;
            is_exact.then(|| ScalarValue::Decimal128(Some(value), *precision, scale))
        }
        (Value::DateTime(milliseconds), ColumnType::Date) => {
            let is_midnight = milliseconds.rem_euclid(MILLISECONDS_PER_DAY) == 0;
            let day = i32::try_from(milliseconds.div_euclid(MILLISECONDS_PER_DAY)).ok()?;
            is_midnight.then_some(ScalarValue::Date32(Some(day)))
        }
        _ => None,
    }
}
