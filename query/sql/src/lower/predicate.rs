//! Predicates: IS, IN, BETWEEN, LIKE, ANY and ALL.

use sqlparser::ast::{self, Spanned};

use super::{Lowering, tuple};
use crate::{
    dialect::Dialect,
    error::{SqlError, SqlErrorKind},
    ir::{BinaryOperator, Expr, Literal, Quantifier, Test},
};

impl Lowering {
    pub(super) fn is_predicate(&mut self, expr: &ast::Expr) -> Result<Expr, SqlError> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the caller listed the variants"
        )]
        match expr {
            ast::Expr::IsNull(inner) => self.is(inner, Test::Null, false),
            ast::Expr::IsNotNull(inner) => self.is(inner, Test::Null, true),
            ast::Expr::IsTrue(inner) => self.is(inner, Test::True, false),
            ast::Expr::IsNotTrue(inner) => self.is(inner, Test::True, true),
            ast::Expr::IsFalse(inner) => self.is(inner, Test::False, false),
            ast::Expr::IsNotFalse(inner) => self.is(inner, Test::False, true),
            ast::Expr::IsUnknown(inner) => self.is(inner, Test::Unknown, false),
            ast::Expr::IsNotUnknown(inner) => self.is(inner, Test::Unknown, true),
            ast::Expr::IsDistinctFrom(left, right) => self.distinct_from(left, right, false),
            ast::Expr::IsNotDistinctFrom(left, right) => self.distinct_from(left, right, true),
            other => Err(self.refused_expr(other)),
        }
    }

    fn is(&mut self, expr: &ast::Expr, test: Test, is_negated: bool) -> Result<Expr, SqlError> {
        Ok(Expr::Is {
            expr: self.boxed(expr)?,
            test,
            is_negated,
        })
    }

    fn distinct_from(
        &mut self,
        left: &ast::Expr,
        right: &ast::Expr,
        is_negated: bool,
    ) -> Result<Expr, SqlError> {
        // The parser takes everything behind FROM as the right side, which no reader would.
        if let ast::Expr::BinaryOp { op, .. } = right
            && matches!(op, ast::BinaryOperator::And | ast::BinaryOperator::Or)
        {
            return Err(self
                .refuse("AND or OR directly behind IS DISTINCT FROM", right.span())
                .with_hint("put the comparison in parentheses"));
        }
        Ok(Expr::Distinct {
            left: self.boxed(left)?,
            right: self.boxed(right)?,
            is_negated,
        })
    }

    pub(super) fn predicate(&mut self, expr: &ast::Expr) -> Result<Expr, SqlError> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the caller listed the variants"
        )]
        match expr {
            ast::Expr::InList {
                expr,
                list,
                negated,
            } => self.in_list(expr, list, *negated),
            ast::Expr::InSubquery {
                expr,
                subquery,
                negated,
            } => self.in_query(expr, subquery, *negated),
            ast::Expr::AnyOp {
                left,
                compare_op,
                right,
                is_some: _,
            } => self.quantified(left, compare_op, right, Quantifier::Any),
            ast::Expr::AllOp {
                left,
                compare_op,
                right,
            } => self.quantified(left, compare_op, right, Quantifier::All),
            ast::Expr::Between {
                expr,
                negated,
                low,
                high,
            } => Ok(Expr::Between {
                expr: Box::new(self.compared(expr)?),
                low: Box::new(self.compared(low)?),
                high: Box::new(self.compared(high)?),
                is_negated: *negated,
            }),
            ast::Expr::Like {
                negated,
                any,
                expr,
                pattern,
                escape_char,
            } => {
                self.absent(*any, "LIKE ANY")?;
                self.like(expr, pattern, escape_char.as_ref(), (false, *negated))
            }
            ast::Expr::ILike {
                negated,
                any,
                expr,
                pattern,
                escape_char,
            } => {
                self.absent(*any, "ILIKE ANY")?;
                self.like(expr, pattern, escape_char.as_ref(), (true, *negated))
            }
            other => Err(self.refused_expr(other)),
        }
    }

    fn in_query(
        &mut self,
        expr: &ast::Expr,
        query: &ast::Query,
        is_negated: bool,
    ) -> Result<Expr, SqlError> {
        if let Some(row) = tuple::values(expr) {
            let test = match is_negated {
                false => (&ast::BinaryOperator::Eq, Quantifier::Any),
                true => (&ast::BinaryOperator::NotEq, Quantifier::All),
            };
            return self.row_beside_query(row, test, query);
        }
        let expr = self.boxed(expr)?;
        Ok(Expr::InQuery {
            expr,
            query: Box::new(self.query(query)?),
            is_negated,
        })
    }

    /// `= ANY (query)` is IN, `<> ALL (query)` is NOT IN; lists and arrays have no translation.
    fn quantified(
        &mut self,
        left: &ast::Expr,
        compare_op: &ast::BinaryOperator,
        right: &ast::Expr,
        quantifier: Quantifier,
    ) -> Result<Expr, SqlError> {
        let ast::Expr::Subquery(query) = right else {
            return Err(self
                .refuse("ANY or ALL of something other than a query", right.span())
                .with_hint("write x IN (..), or compare with least() or greatest()"));
        };
        if let Some(row) = tuple::values(left) {
            return self.row_beside_query(row, (compare_op, quantifier), query);
        }
        let operator = self.binary_operator(compare_op, left)?;
        match (operator, quantifier) {
            (BinaryOperator::Equal, Quantifier::Any) => self.in_query(left, query, false),
            (BinaryOperator::NotEqual, Quantifier::All) => self.in_query(left, query, true),
            (
                BinaryOperator::Equal
                | BinaryOperator::NotEqual
                | BinaryOperator::Less
                | BinaryOperator::LessOrEqual
                | BinaryOperator::Greater
                | BinaryOperator::GreaterOrEqual,
                _,
            ) => Ok(Expr::Quantified {
                expr: self.boxed(left)?,
                operator,
                quantifier,
                query: Box::new(self.query(query)?),
            }),
            _ => Err(self.refuse("ANY or ALL behind this operator", left.span())),
        }
    }

    fn like(
        &mut self,
        expr: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&ast::ValueWithSpan>,
        (ignores_case, is_negated): (bool, bool),
    ) -> Result<Expr, SqlError> {
        let expr = self.boxed(expr)?;
        let pattern = self.expr(pattern)?;
        // There a backslash is a sign like any, unless ESCAPE names it.
        let pattern = Box::new(match (self.dialect, escape) {
            (Dialect::Ansi, None) => self.without_escapes(pattern)?,
            _ => pattern,
        });
        let escape = self.optional(escape, |this, value| {
            let text = this.text(value)?;
            let mut letters = text.chars();
            match (letters.next(), letters.next()) {
                (Some(letter), None) => Ok(letter),
                _ => Err(SqlError::new(
                    SqlErrorKind::Invalid,
                    "ESCAPE needs text of one character",
                    this.here,
                )),
            }
        })?;
        Ok(Expr::Like {
            expr,
            pattern,
            escape,
            ignores_case,
            is_negated,
        })
    }

    /// A pattern of LIKE in which the engine takes each backslash for itself.
    fn without_escapes(&mut self, pattern: Expr) -> Result<Expr, SqlError> {
        if let Expr::Literal(Literal::Text(text)) = pattern {
            return Ok(Expr::Literal(Literal::Text(text.replace('\\', r"\\"))));
        }
        let text = |text: &str| Expr::Literal(Literal::Text(text.to_owned()));
        self.plain("replace", vec![pattern, text(r"\"), text(r"\\")])
    }
}
