//! Comparisons beside comparisons: dialects group them differently, and some not at all.

use sqlparser::ast::{self, Spanned};

use super::Lowering;
use crate::{dialect::Dialect, error::SqlError};

impl Lowering {
    /// Refuses a comparison of a comparison without parentheses, as which is the inner one depends on
    /// the dialect: `a = b IS NULL`, `a = b LIKE c`, `a < b < c`.
    pub(super) fn grouped(&mut self, expr: &ast::Expr) -> Result<(), SqlError> {
        if self.dialect == Dialect::DataFusion {
            return Ok(());
        }
        let inner = compared(expr).into_iter().flatten();
        for inner in inner {
            let is_comparison = compared(inner).iter().any(Option::is_some);
            let is_beside_pattern = self.dialect == Dialect::Postgres
                && is_pattern_match(expr)
                && is_of_same_rank(inner);
            if is_comparison || is_beside_pattern {
                return Err(self
                    .refuse("a comparison beside another operator here", inner.span())
                    .with_hint("put the one that is to be first in parentheses"));
            }
        }
        Ok(())
    }
}

/// What a comparison compares; nothing of another expression.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an expression that is not named is lowered, or refused, elsewhere"
)]
fn compared(expr: &ast::Expr) -> [Option<&ast::Expr>; 3] {
    match expr {
        ast::Expr::BinaryOp { left, op, right } if is_comparison(op) => {
            [Some(left), Some(right), None]
        }
        ast::Expr::IsNull(inner)
        | ast::Expr::IsNotNull(inner)
        | ast::Expr::IsTrue(inner)
        | ast::Expr::IsNotTrue(inner)
        | ast::Expr::IsFalse(inner)
        | ast::Expr::IsNotFalse(inner)
        | ast::Expr::IsUnknown(inner)
        | ast::Expr::IsNotUnknown(inner) => [Some(inner), None, None],
        ast::Expr::IsDistinctFrom(left, right) | ast::Expr::IsNotDistinctFrom(left, right) => {
            [Some(left), Some(right), None]
        }
        ast::Expr::InList { expr, .. } | ast::Expr::InSubquery { expr, .. } => {
            [Some(expr), None, None]
        }
        ast::Expr::AnyOp { left, .. } | ast::Expr::AllOp { left, .. } => [Some(left), None, None],
        ast::Expr::Between {
            expr, low, high, ..
        } => [Some(expr), Some(low), Some(high)],
        ast::Expr::Like { expr, pattern, .. } | ast::Expr::ILike { expr, pattern, .. } => {
            [Some(expr), Some(pattern), None]
        }
        _ => [None, None, None],
    }
}

fn is_comparison(op: &ast::BinaryOperator) -> bool {
    matches!(
        op,
        ast::BinaryOperator::Eq
            | ast::BinaryOperator::NotEq
            | ast::BinaryOperator::Lt
            | ast::BinaryOperator::LtEq
            | ast::BinaryOperator::Gt
            | ast::BinaryOperator::GtEq
            | ast::BinaryOperator::Spaceship
            | ast::BinaryOperator::PGRegexMatch
            | ast::BinaryOperator::PGRegexIMatch
            | ast::BinaryOperator::PGRegexNotMatch
            | ast::BinaryOperator::PGRegexNotIMatch
    )
}

fn is_pattern_match(expr: &ast::Expr) -> bool {
    matches!(
        expr,
        ast::Expr::BinaryOp {
            op: ast::BinaryOperator::PGRegexMatch
                | ast::BinaryOperator::PGRegexIMatch
                | ast::BinaryOperator::PGRegexNotMatch
                | ast::BinaryOperator::PGRegexNotIMatch,
            ..
        }
    )
}

/// PostgreSQL groups these and `~` from the left.
fn is_of_same_rank(expr: &ast::Expr) -> bool {
    matches!(
        expr,
        ast::Expr::BinaryOp {
            op: ast::BinaryOperator::StringConcat
                | ast::BinaryOperator::BitwiseAnd
                | ast::BinaryOperator::BitwiseOr,
            ..
        }
    )
}
