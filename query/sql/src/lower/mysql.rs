//! Operators by which MySQL means something else.
//!
//! Division is decimal there whatever it divides, and NULL by zero. What is divided has its type in the
//! engine only; so one side must be seen to be no integer, or for `DIV` both to be integers.

use sqlparser::ast::{self, Spanned};

use super::{
    Lowering,
    number::{Number, number},
};
use crate::{
    dialect::Dialect,
    error::SqlError,
    ir::{BinaryOperator, Expr, Literal},
};

impl Lowering {
    /// A binary expression of MySQL, if it is not that of the others.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not named is lowered by `binary_operator`"
    )]
    pub(super) fn binary_of_mysql(
        &mut self,
        left: &ast::Expr,
        op: &ast::BinaryOperator,
        right: &ast::Expr,
    ) -> Result<Option<Expr>, SqlError> {
        let at = left.span();
        Ok(Some(match op {
            ast::BinaryOperator::StringConcat => {
                return Err(self
                    .refuse("the operator || of mysql, which is OR,", at)
                    .with_hint("write CONCAT(a, b), or a OR b"));
            }
            ast::BinaryOperator::Xor => {
                return Err(self
                    .refuse("the operator XOR", at)
                    .with_hint("write (a OR b) AND NOT (a AND b)"));
            }
            ast::BinaryOperator::BitwiseAnd | ast::BinaryOperator::BitwiseOr => {
                let what = format!("the operator {op} of mysql, which knows no sign,");
                return Err(self.refuse(what, at));
            }
            ast::BinaryOperator::Spaceship => Expr::Distinct {
                left: self.boxed(left)?,
                right: self.boxed(right)?,
                is_negated: true,
            },
            ast::BinaryOperator::Modulo => {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                self.modulo(left, right)?
            }
            ast::BinaryOperator::Divide => {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                if number(&left) != Some(Number::Other) && number(&right) != Some(Number::Other) {
                    return Err(self
                        .refuse("the operator / of what may be two integers", at)
                        .with_hint("write CAST(a AS DECIMAL(20, 4)) / b, or a DIV b"));
                }
                self.divided(left, BinaryOperator::Divide, right)?
            }
            ast::BinaryOperator::MyIntegerDivide => {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                if number(&left) != Some(Number::Integer) || number(&right) != Some(Number::Integer)
                {
                    return Err(self
                        .refuse("the operator DIV of what may be no integers", at)
                        .with_hint("write CAST(a AS SIGNED) DIV CAST(b AS SIGNED)"));
                }
                self.divided(left, BinaryOperator::Divide, right)?
            }
            _ => return Ok(None),
        }))
    }

    /// `a % b`.
    pub(super) fn modulo(&mut self, left: Expr, right: Expr) -> Result<Expr, SqlError> {
        self.divided(left, BinaryOperator::Modulo, right)
    }

    /// A division: in MySQL it is NULL by zero.
    fn divided(
        &mut self,
        mut left: Expr,
        operator: BinaryOperator,
        right: Expr,
    ) -> Result<Expr, SqlError> {
        let zero = Expr::Literal(Literal::Number("0".to_owned()));
        let right = if self.dialect == Dialect::MySql && !is_not_zero(&right) {
            self.plain("nullif", vec![right, zero])?
        } else {
            right
        };
        // As a chain of one operator is: grouped from the left.
        if let Expr::Binary {
            operator: inner,
            operands,
        } = &mut left
            && *inner == operator
        {
            operands.push(right);
            return Ok(left);
        }
        let operands = vec![left, right];
        Ok(Expr::Binary { operator, operands })
    }
}

/// A number other than zero.
fn is_not_zero(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(Literal::Number(digits))
        if digits.parse::<f64>().is_ok_and(|number| number != 0.0))
}
