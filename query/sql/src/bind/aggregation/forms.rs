//! Conditions that are total: no value makes them fail, so that whether a statement fails tells of no row.
//!
//! The engine makes operands of two types one by casts. A text that is compared with a number becomes a number, and
//! a text that is none fails; so operands must be of one kind.

use dataos_model::dataset::ColumnType;

use crate::ir::{BinaryOperator, Expr, Literal, Test, Type, UnaryOperator};

/// A side of a comparison.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operand<'a> {
    /// A column of this type.
    Column(&'a ColumnType),
    /// A number that is computed.
    Computed,
    /// A literal.
    Literal(&'a Literal),
}

/// Most digits of a number whose average fits its type: four are added.
const AVERAGE_DIGITS_MAX: u8 = 34;

/// Whether a condition is total. `operand` says what may stand in it besides literals.
pub(super) fn is_total<'a>(
    condition: &'a Expr,
    operand: &dyn Fn(&'a Expr) -> Option<Operand<'a>>,
) -> bool {
    let side = |expr: &'a Expr| match expr {
        Expr::Literal(literal) => Some(Operand::Literal(literal)),
        Expr::Unary {
            operator: UnaryOperator::Minus,
            expr,
        } => match expr.as_ref() {
            Expr::Literal(literal @ Literal::Number(_)) => Some(Operand::Literal(literal)),
            _ => None,
        },
        other => operand(other),
    };
    let fit = |left: &'a Expr, right: &'a Expr| match (side(left), side(right)) {
        (Some(left), Some(right)) => are_comparable(left, right),
        _ => false,
    };
    match condition {
        Expr::Binary {
            operator: BinaryOperator::And | BinaryOperator::Or,
            operands,
        } => operands.iter().all(|part| is_total(part, operand)),
        Expr::Unary {
            operator: UnaryOperator::Not,
            expr,
        } => is_total(expr, operand),
        Expr::Binary { operator, operands } if operator.compares() => {
            matches!(operands.as_slice(), [left, right] if fit(left, right))
        }
        Expr::Is {
            expr,
            test: Test::Null,
            is_negated: _,
        } => side(expr).is_some(),
        Expr::Is {
            expr,
            test: Test::True | Test::False | Test::Unknown,
            is_negated: _,
        } => is_total(expr, operand),
        Expr::Distinct {
            left,
            right,
            is_negated: _,
        } => fit(left, right),
        Expr::InList {
            expr,
            list,
            is_negated: _,
        } => list.iter().all(|item| fit(expr, item)),
        Expr::Between {
            expr,
            low,
            high,
            is_negated: _,
        } => fit(expr, low) && fit(expr, high),
        Expr::Like {
            expr,
            pattern,
            escape: _,
            ignores_case: _,
            is_negated: _,
        } => {
            matches!(
                pattern.as_ref(),
                Expr::Literal(Literal::Text(_) | Literal::Null)
            ) && fit(expr, pattern)
                && is_text(side(expr))
        }
        Expr::Literal(Literal::Bool(_) | Literal::Null) => true,
        other => matches!(operand(other), Some(Operand::Column(ColumnType::Bool))),
    }
}

fn are_comparable(left: Operand<'_>, right: Operand<'_>) -> bool {
    match (left, right) {
        (Operand::Column(one), Operand::Column(other)) => {
            // Two decimals of different types are widened, which may overflow.
            one == other || (is_binary_number(one) && is_binary_number(other))
        }
        (Operand::Column(column), Operand::Literal(literal))
        | (Operand::Literal(literal), Operand::Column(column)) => takes(column, literal),
        (Operand::Computed, Operand::Literal(literal))
        | (Operand::Literal(literal), Operand::Computed) => {
            matches!(literal, Literal::Number(_) | Literal::Null)
        }
        (Operand::Literal(_), Operand::Literal(_)) => true,
        (Operand::Computed, Operand::Computed | Operand::Column(_))
        | (Operand::Column(_), Operand::Computed) => false,
    }
}

/// Whether a column is compared with a literal without a cast of the column that could fail.
fn takes(column: &ColumnType, literal: &Literal) -> bool {
    match literal {
        Literal::Null => true,
        Literal::Bool(_) => *column == ColumnType::Bool,
        Literal::Number(_) => column.is_number(),
        Literal::Text(_) => is_textual(column) || column.is_temporal(),
        Literal::Typed(of, _) => *of == Type::Date && *column == ColumnType::Date,
        Literal::Interval(..) | Literal::Zoned(_) => false,
    }
}

fn is_text(operand: Option<Operand<'_>>) -> bool {
    matches!(operand, Some(Operand::Column(column)) if is_textual(column))
}

fn is_textual(column: &ColumnType) -> bool {
    matches!(
        column,
        ColumnType::Text | ColumnType::Uuid | ColumnType::Json
    )
}

fn is_binary_number(column: &ColumnType) -> bool {
    matches!(column, ColumnType::Int(_) | ColumnType::Float(_))
}

/// Whether the average of values of a type never fails.
pub(super) fn has_average(column: &ColumnType) -> bool {
    match column {
        ColumnType::Decimal { precision, .. } => *precision <= AVERAGE_DIGITS_MAX,
        other => is_binary_number(other),
    }
}
