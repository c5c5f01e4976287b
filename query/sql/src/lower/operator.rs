//! Infix and prefix operators.

use sqlparser::ast::{self, Spanned};

use super::{Lowering, meaning::PATTERN_HINT, pattern, tuple};
use crate::{
    dialect::Dialect,
    error::SqlError,
    ir::{BinaryOperator, Expr, Literal, UnaryOperator},
};

impl Lowering {
    /// A chain of one operator becomes one node.
    pub(super) fn binary(
        &mut self,
        left: &ast::Expr,
        op: &ast::BinaryOperator,
        right: &ast::Expr,
    ) -> Result<Expr, SqlError> {
        if let (Some(left), Some(right)) = (tuple::values(left), tuple::values(right)) {
            return self.compared_rows(left, op, right);
        }
        if self.dialect == Dialect::MySql
            && let Some(expr) = self.binary_of_mysql(left, op, right)?
        {
            return Ok(expr);
        }
        if self.dialect == Dialect::Postgres
            && let Some(operator) = matches_pattern(op)
        {
            return self.pattern_match(left, operator, right);
        }
        let operator = self.binary_operator(op, left)?;
        let operands = chain(left, op, right);
        let operands = self.list(&operands, |this, operand| match operator.compares() {
            true => this.compared(operand),
            false => this.expr(operand),
        })?;
        Ok(Expr::Binary { operator, operands })
    }

    /// PostgreSQL's `~` and its kin, with the engine's pattern.
    fn pattern_match(
        &mut self,
        left: &ast::Expr,
        operator: BinaryOperator,
        right: &ast::Expr,
    ) -> Result<Expr, SqlError> {
        let text = self.expr(left)?;
        if let Expr::Literal(Literal::Text(pattern)) = self.expr(right)?
            && let Some(pattern) = pattern::of_postgres(&pattern)
        {
            let operands = vec![text, Expr::Literal(Literal::Text(pattern))];
            return Ok(Expr::Binary { operator, operands });
        }
        let error = self.refuse("this pattern", right.span());
        Err(error.with_hint(PATTERN_HINT))
    }

    #[expect(clippy::too_many_lines, reason = "a table with a line per operator")]
    pub(super) fn binary_operator(
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
            ast::BinaryOperator::BitwiseAnd => BinaryOperator::BitAnd,
            ast::BinaryOperator::BitwiseOr => BinaryOperator::BitOr,
            ast::BinaryOperator::PGRegexMatch => BinaryOperator::RegexMatch,
            ast::BinaryOperator::PGRegexIMatch => BinaryOperator::RegexMatchNoCase,
            ast::BinaryOperator::PGRegexNotMatch => BinaryOperator::RegexNotMatch,
            ast::BinaryOperator::PGRegexNotIMatch => BinaryOperator::RegexNotMatchNoCase,
            ast::BinaryOperator::Spaceship
            | ast::BinaryOperator::Xor
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

    pub(super) fn unary(
        &mut self,
        op: ast::UnaryOperator,
        expr: &ast::Expr,
    ) -> Result<Expr, SqlError> {
        let operator = match op {
            ast::UnaryOperator::Minus => UnaryOperator::Minus,
            ast::UnaryOperator::Plus => UnaryOperator::Plus,
            ast::UnaryOperator::Not | ast::UnaryOperator::BangNot => UnaryOperator::Not,
            ast::UnaryOperator::AtDashAt
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
}

/// The operands of a chain of one operator, found by a loop: chains can be long.
pub(super) fn chain<'a>(
    left: &'a ast::Expr,
    op: &ast::BinaryOperator,
    right: &'a ast::Expr,
) -> Vec<&'a ast::Expr> {
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
    operands
}

/// The operator, if it is one that matches a pattern.
fn matches_pattern(op: &ast::BinaryOperator) -> Option<BinaryOperator> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not named is lowered by `binary_operator`"
    )]
    match op {
        ast::BinaryOperator::PGRegexMatch => Some(BinaryOperator::RegexMatch),
        ast::BinaryOperator::PGRegexIMatch => Some(BinaryOperator::RegexMatchNoCase),
        ast::BinaryOperator::PGRegexNotMatch => Some(BinaryOperator::RegexNotMatch),
        ast::BinaryOperator::PGRegexNotIMatch => Some(BinaryOperator::RegexNotMatchNoCase),
        _ => None,
    }
}
