//! Which conditions of the caller may be evaluated on hidden rows.
//!
//! Only those that cannot fail, whatever the value, and that read no masked column: comparisons of a
//! plain column with a literal of its own type, lists of such literals, tests for NULL, and AND, OR
//! and NOT of these. They prune files and thin out batches; the engine evaluates them again above
//! the barrier, so their result tells nothing new.

use datafusion::{
    common::ScalarValue,
    logical_expr::{BinaryExpr, Expr, Operator},
};

use crate::{column::arrow_type, grant::VisibleColumn};

/// See the module.
pub(super) fn is_leakproof(filter: &Expr, columns: &[VisibleColumn]) -> bool {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And | Operator::Or => {
                is_leakproof(left, columns) && is_leakproof(right, columns)
            }
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq => match (left.as_ref(), right.as_ref()) {
                (column, Expr::Literal(value, _)) | (Expr::Literal(value, _), column) => {
                    is_same_type(column, value, columns)
                }
                _ => false,
            },
            _ => false,
        },
        Expr::Not(inner) => is_leakproof(inner, columns),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => plain(inner, columns).is_some(),
        Expr::InList(list) => list.list.iter().all(|item| match item {
            Expr::Literal(value, _) => is_same_type(&list.expr, value, columns),
            _ => false,
        }),
        _ => false,
    }
}

/// The unmasked visible column that the expression is.
fn plain<'a>(expression: &Expr, columns: &'a [VisibleColumn]) -> Option<&'a VisibleColumn> {
    let Expr::Column(reference) = expression else {
        return None;
    };
    columns
        .iter()
        .find(|column| column.name == reference.name && !column.is_masked())
}

fn is_same_type(expression: &Expr, value: &ScalarValue, columns: &[VisibleColumn]) -> bool {
    plain(expression, columns)
        .is_some_and(|column| arrow_type(&column.raw_type) == value.data_type())
}
