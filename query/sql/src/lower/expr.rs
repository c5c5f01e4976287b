//! Expressions.

use sqlparser::{
    ast::{self, Spanned},
    tokenizer::Span,
};

use super::Lowering;
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::{BinaryOperator, Expr, Literal, Test, UnaryOperator},
    limits::{self, EXPRESSION_DEPTH_MAX},
};

impl Lowering {
    /// An expression, of bounded depth.
    pub(super) fn expr(&mut self, expr: &ast::Expr) -> Result<Expr, SqlError> {
        self.depth += 1;
        if self.depth > EXPRESSION_DEPTH_MAX {
            return Err(limits::exceeded(
                "levels in one expression",
                EXPRESSION_DEPTH_MAX,
                self.here,
            ));
        }
        let lowered = self.any_expr(expr);
        self.depth -= 1;
        lowered
    }

    fn boxed(&mut self, expr: &ast::Expr) -> Result<Box<Expr>, SqlError> {
        Ok(Box::new(self.expr(expr)?))
    }

    /// Names, literals and operators here; the other forms in the functions below.
    fn any_expr(&mut self, expr: &ast::Expr) -> Result<Expr, SqlError> {
        match expr {
            ast::Expr::Identifier(ident) => Ok(Expr::Column(vec![self.ident(ident)?])),
            ast::Expr::CompoundIdentifier(parts) => {
                let parts = self.list(parts, Self::ident)?;
                if parts.len() > 4 {
                    return Err(self.refuse("a column name of more than four parts", expr.span()));
                }
                Ok(Expr::Column(parts))
            }
            ast::Expr::Nested(inner) => self.any_expr(inner),
            ast::Expr::Value(value) => self.value(value),
            ast::Expr::TypedString(typed) => self.typed_string(typed),
            ast::Expr::Interval(interval) => self.interval(interval),
            ast::Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            ast::Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            ast::Expr::Function(function) => self.call(function),
            ast::Expr::Subquery(query) => Ok(Expr::Subquery(Box::new(self.query(query)?))),
            ast::Expr::Exists { subquery, negated } => Ok(Expr::Exists {
                query: Box::new(self.query(subquery)?),
                is_negated: *negated,
            }),
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
            ast::Expr::InList { .. }
            | ast::Expr::InSubquery { .. }
            | ast::Expr::AnyOp { .. }
            | ast::Expr::AllOp { .. }
            | ast::Expr::Between { .. }
            | ast::Expr::Like { .. }
            | ast::Expr::ILike { .. } => self.predicate(expr),
            ast::Expr::Case { .. }
            | ast::Expr::Cast { .. }
            | ast::Expr::Extract { .. }
            | ast::Expr::Ceil { .. }
            | ast::Expr::Floor { .. }
            | ast::Expr::Position { .. }
            | ast::Expr::Substring { .. }
            | ast::Expr::Trim { .. } => self.special_call(expr),
            ast::Expr::CompoundFieldAccess { .. }
            | ast::Expr::JsonAccess { .. }
            | ast::Expr::IsNormalized { .. }
            | ast::Expr::InUnnest { .. }
            | ast::Expr::SimilarTo { .. }
            | ast::Expr::RLike { .. }
            | ast::Expr::Convert { .. }
            | ast::Expr::AtTimeZone { .. }
            | ast::Expr::Overlay { .. }
            | ast::Expr::Collate { .. }
            | ast::Expr::Prefixed { .. }
            | ast::Expr::GroupingSets(_)
            | ast::Expr::Cube(_)
            | ast::Expr::Rollup(_)
            | ast::Expr::Tuple(_)
            | ast::Expr::Struct { .. }
            | ast::Expr::Named { .. }
            | ast::Expr::Dictionary(_)
            | ast::Expr::Map(_)
            | ast::Expr::Array(_)
            | ast::Expr::MatchAgainst { .. }
            | ast::Expr::Wildcard(_)
            | ast::Expr::QualifiedWildcard(..)
            | ast::Expr::OuterJoin(_)
            | ast::Expr::Prior(_)
            | ast::Expr::Lambda(_)
            | ast::Expr::MemberOf(_) => Err(self.refused_expr(expr)),
        }
    }

    /// The name of a form that has no place in the tree.
    fn refused_expr(&mut self, expr: &ast::Expr) -> SqlError {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "names for a refusal, not a decision"
        )]
        let what = match expr {
            ast::Expr::CompoundFieldAccess { .. } => "access to a field or an element",
            ast::Expr::JsonAccess { .. } => "a JSON path",
            ast::Expr::IsNormalized { .. } => "IS NORMALIZED",
            ast::Expr::InUnnest { .. } => "IN UNNEST",
            ast::Expr::SimilarTo { .. } => "SIMILAR TO",
            ast::Expr::RLike { .. } => "RLIKE or REGEXP",
            ast::Expr::Convert { .. } => "CONVERT",
            ast::Expr::AtTimeZone { .. } => "AT TIME ZONE",
            ast::Expr::Overlay { .. } => "OVERLAY",
            ast::Expr::Collate { .. } => "COLLATE",
            ast::Expr::Prefixed { .. } => "a prefixed literal",
            ast::Expr::GroupingSets(_) | ast::Expr::Cube(_) | ast::Expr::Rollup(_) => {
                "ROLLUP, CUBE or GROUPING SETS"
            }
            ast::Expr::Tuple(_) => "a row of several values",
            ast::Expr::Struct { .. } | ast::Expr::Dictionary(_) | ast::Expr::Map(_) => {
                "a struct or map"
            }
            ast::Expr::Array(_) => "an array",
            ast::Expr::MatchAgainst { .. } => "MATCH AGAINST",
            ast::Expr::Lambda(_) => "a lambda",
            ast::Expr::OuterJoin(_) => "the outer join sign (+)",
            ast::Expr::Prior(_) => "PRIOR",
            ast::Expr::MemberOf(_) => "MEMBER OF",
            _ => "this expression",
        };
        self.refuse(what, expr.span())
    }

    /// A chain of one operator becomes one node, by a loop: chains can be long.
    fn binary(
        &mut self,
        left: &ast::Expr,
        op: &ast::BinaryOperator,
        right: &ast::Expr,
    ) -> Result<Expr, SqlError> {
        let operator = self.binary_operator(op, left)?;
        let mut operands = vec![right];
        let mut spine = left;
        while let ast::Expr::BinaryOp {
            left,
            op: inner,
            right,
        } = spine
        {
            if inner != op {
                break;
            }
            operands.push(right);
            spine = left;
        }
        operands.push(spine);
        operands.reverse();
        let operands = self.list(&operands, |this, operand| this.expr(operand))?;
        Ok(Expr::Binary { operator, operands })
    }

    fn binary_operator(
        &mut self,
        op: &ast::BinaryOperator,
        left: &ast::Expr,
    ) -> Result<BinaryOperator, SqlError> {
        Ok(match op {
            ast::BinaryOperator::Or => BinaryOperator::Or,
            ast::BinaryOperator::And => BinaryOperator::And,
            ast::BinaryOperator::Eq => BinaryOperator::Equal,
            ast::BinaryOperator::NotEq => BinaryOperator::NotEqual,
            ast::BinaryOperator::Lt => BinaryOperator::Less,
            ast::BinaryOperator::LtEq => BinaryOperator::LessOrEqual,
            ast::BinaryOperator::Gt => BinaryOperator::Greater,
            ast::BinaryOperator::GtEq => BinaryOperator::GreaterOrEqual,
            ast::BinaryOperator::Plus => BinaryOperator::Add,
            ast::BinaryOperator::Minus => BinaryOperator::Subtract,
            ast::BinaryOperator::Multiply => BinaryOperator::Multiply,
            ast::BinaryOperator::Divide => BinaryOperator::Divide,
            ast::BinaryOperator::Modulo => BinaryOperator::Modulo,
            ast::BinaryOperator::StringConcat => BinaryOperator::Concat,
            ast::BinaryOperator::Spaceship
            | ast::BinaryOperator::Xor
            | ast::BinaryOperator::BitwiseOr
            | ast::BinaryOperator::BitwiseAnd
            | ast::BinaryOperator::BitwiseXor
            | ast::BinaryOperator::DuckIntegerDivide
            | ast::BinaryOperator::MyIntegerDivide
            | ast::BinaryOperator::Match
            | ast::BinaryOperator::Regexp
            | ast::BinaryOperator::Custom(_)
            | ast::BinaryOperator::PGBitwiseXor
            | ast::BinaryOperator::PGBitwiseShiftLeft
            | ast::BinaryOperator::PGBitwiseShiftRight
            | ast::BinaryOperator::PGExp
            | ast::BinaryOperator::PGOverlap
            | ast::BinaryOperator::PGRegexMatch
            | ast::BinaryOperator::PGRegexIMatch
            | ast::BinaryOperator::PGRegexNotMatch
            | ast::BinaryOperator::PGRegexNotIMatch
            | ast::BinaryOperator::PGLikeMatch
            | ast::BinaryOperator::PGILikeMatch
            | ast::BinaryOperator::PGNotLikeMatch
            | ast::BinaryOperator::PGNotILikeMatch
            | ast::BinaryOperator::PGStartsWith
            | ast::BinaryOperator::Arrow
            | ast::BinaryOperator::LongArrow
            | ast::BinaryOperator::HashArrow
            | ast::BinaryOperator::HashLongArrow
            | ast::BinaryOperator::AtAt
            | ast::BinaryOperator::AtArrow
            | ast::BinaryOperator::ArrowAt
            | ast::BinaryOperator::HashMinus
            | ast::BinaryOperator::AtQuestion
            | ast::BinaryOperator::Question
            | ast::BinaryOperator::QuestionAnd
            | ast::BinaryOperator::QuestionPipe
            | ast::BinaryOperator::PGCustomBinaryOperator(_)
            | ast::BinaryOperator::Overlaps
            | ast::BinaryOperator::DoubleHash
            | ast::BinaryOperator::LtDashGt
            | ast::BinaryOperator::AndLt
            | ast::BinaryOperator::AndGt
            | ast::BinaryOperator::LtLtPipe
            | ast::BinaryOperator::PipeGtGt
            | ast::BinaryOperator::AndLtPipe
            | ast::BinaryOperator::PipeAndGt
            | ast::BinaryOperator::LtCaret
            | ast::BinaryOperator::GtCaret
            | ast::BinaryOperator::QuestionHash
            | ast::BinaryOperator::QuestionDash
            | ast::BinaryOperator::QuestionDashPipe
            | ast::BinaryOperator::QuestionDoublePipe
            | ast::BinaryOperator::At
            | ast::BinaryOperator::TildeEq
            | ast::BinaryOperator::Assignment => {
                return Err(self.refuse(format!("the operator {op}"), left.span()));
            }
        })
    }

    fn unary(&mut self, op: ast::UnaryOperator, expr: &ast::Expr) -> Result<Expr, SqlError> {
        let operator = match op {
            ast::UnaryOperator::Minus => UnaryOperator::Minus,
            ast::UnaryOperator::Plus => UnaryOperator::Plus,
            ast::UnaryOperator::Not => UnaryOperator::Not,
            ast::UnaryOperator::AtDashAt
            | ast::UnaryOperator::BangNot
            | ast::UnaryOperator::BitwiseNot
            | ast::UnaryOperator::DoubleAt
            | ast::UnaryOperator::Hash
            | ast::UnaryOperator::PGAbs
            | ast::UnaryOperator::PGCubeRoot
            | ast::UnaryOperator::PGPostfixFactorial
            | ast::UnaryOperator::PGPrefixFactorial
            | ast::UnaryOperator::PGSquareRoot
            | ast::UnaryOperator::QuestionDash
            | ast::UnaryOperator::QuestionPipe => {
                return Err(self.refuse(format!("the operator {op}"), expr.span()));
            }
        };
        let expr = self.expr(expr)?;
        // NOT EXISTS has one form, however it was written.
        if let (
            UnaryOperator::Not,
            Expr::Exists {
                query,
                is_negated: false,
            },
        ) = (operator, &expr)
        {
            return Ok(Expr::Exists {
                query: query.clone(),
                is_negated: true,
            });
        }
        Ok(Expr::Unary {
            operator,
            expr: Box::new(expr),
        })
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

    fn predicate(&mut self, expr: &ast::Expr) -> Result<Expr, SqlError> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the caller listed the variants"
        )]
        match expr {
            ast::Expr::InList {
                expr,
                list,
                negated,
            } => {
                let expr = self.boxed(expr)?;
                let list = self.list(list, Self::expr)?;
                if list.is_empty() {
                    return Err(self.refuse("an empty IN list", Span::empty()));
                }
                Ok(Expr::InList {
                    expr,
                    list,
                    is_negated: *negated,
                })
            }
            ast::Expr::InSubquery {
                expr,
                subquery,
                negated,
            } => {
                let expr = self.boxed(expr)?;
                let query = Box::new(self.query(subquery)?);
                Ok(Expr::InQuery {
                    expr,
                    query,
                    is_negated: *negated,
                })
            }
            ast::Expr::AnyOp {
                left,
                compare_op,
                right,
                is_some: _,
            } => self.quantified(left, *compare_op == ast::BinaryOperator::Eq, right, false),
            ast::Expr::AllOp {
                left,
                compare_op,
                right,
            } => self.quantified(left, *compare_op == ast::BinaryOperator::NotEq, right, true),
            ast::Expr::Between {
                expr,
                negated,
                low,
                high,
            } => Ok(Expr::Between {
                expr: self.boxed(expr)?,
                low: self.boxed(low)?,
                high: self.boxed(high)?,
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

    /// `= ANY (query)` is IN, `<> ALL (query)` is NOT IN; the other forms have no translation.
    fn quantified(
        &mut self,
        left: &ast::Expr,
        is_membership: bool,
        right: &ast::Expr,
        is_negated: bool,
    ) -> Result<Expr, SqlError> {
        let expr = self.boxed(left)?;
        match right {
            ast::Expr::Subquery(query) if is_membership => Ok(Expr::InQuery {
                expr,
                query: Box::new(self.query(query)?),
                is_negated,
            }),
            other => Err(self
                .refuse("this form of ANY or ALL", other.span())
                .with_hint("compare with min() or max() of the query")),
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
        let pattern = self.boxed(pattern)?;
        let escape = self.optional(escape, |this, value| match this.value(value)? {
            Expr::Literal(Literal::Text(text)) if text.chars().count() == 1 => {
                Ok(text.chars().next().unwrap_or('\\'))
            }
            _ => Err(SqlError::new(
                SqlErrorKind::Invalid,
                "ESCAPE needs text of one character",
                this.here,
            )),
        })?;
        Ok(Expr::Like {
            expr,
            pattern,
            escape,
            ignores_case,
            is_negated,
        })
    }
}
