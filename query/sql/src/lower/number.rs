//! What kind of number an expression is, as far as its text alone tells.

use crate::ir::{Arguments, BinaryOperator, Expr, Literal, Type};

/// What kind of number an expression is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Integer,
    /// A decimal or a float.
    Other,
}

/// The kind of number that an expression is whatever the types of columns are, if that can be told.
pub(super) fn number(expr: &Expr) -> Option<Number> {
    match expr {
        Expr::Literal(Literal::Number(digits)) if digits.chars().all(|c| c.is_ascii_digit()) => {
            Some(Number::Integer)
        }
        Expr::Literal(Literal::Number(_)) => Some(Number::Other),
        Expr::Cast { to, .. } => match to {
            Type::SmallInt | Type::Integer | Type::BigInt => Some(Number::Integer),
            Type::Real | Type::Double | Type::Decimal(_) => Some(Number::Other),
            Type::Boolean
            | Type::Text
            | Type::Date
            | Type::Time
            | Type::Timestamp
            | Type::TimestampTz
            | Type::Binary => None,
        },
        Expr::Unary { expr, .. } => number(expr),
        Expr::Binary {
            operator:
                BinaryOperator::Add
                | BinaryOperator::Subtract
                | BinaryOperator::Multiply
                | BinaryOperator::Divide
                | BinaryOperator::Modulo,
            operands,
        } => number_of_all(operands.iter()),
        Expr::Case {
            branches,
            otherwise,
            ..
        } => number_of_all(
            branches
                .iter()
                .map(|(_, then)| then)
                .chain(otherwise.as_deref()),
        ),
        Expr::Call(call) => match (call.function.name, &call.arguments) {
            ("avg", _) => Some(Number::Other),
            ("count" | "character_length" | "octet_length", _) => Some(Number::Integer),
            ("sum" | "min" | "max" | "nullif" | "abs", Arguments::List(arguments)) => {
                arguments.first().and_then(number)
            }
            ("coalesce" | "nvl", Arguments::List(arguments)) => number_of_all(arguments.iter()),
            _ => None,
        },
        Expr::Column(_)
        | Expr::Row(_)
        | Expr::Literal(_)
        | Expr::Is { .. }
        | Expr::Distinct { .. }
        | Expr::InList { .. }
        | Expr::InQuery { .. }
        | Expr::Between { .. }
        | Expr::Like { .. }
        | Expr::Extract { .. }
        | Expr::Quantified { .. }
        | Expr::Exists { .. }
        | Expr::Subquery(_)
        | Expr::Binary { .. } => None,
    }
}

/// Of numbers that become one: integers are an integer, and one that is none makes it none.
fn number_of_all<'a>(exprs: impl Iterator<Item = &'a Expr>) -> Option<Number> {
    let kinds: Vec<Option<Number>> = exprs.map(number).collect();
    if kinds.contains(&Some(Number::Other)) {
        return Some(Number::Other);
    }
    let are_integers = kinds.iter().all(|kind| *kind == Some(Number::Integer));
    are_integers.then_some(Number::Integer)
}
