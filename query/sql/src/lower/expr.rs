//! Expressions.

use sqlparser::{
    ast::{self, Spanned},
    tokenizer::Span,
};

use super::Lowering;
use crate::{
    error::SqlError,
    ir::Expr,
    limits::{self, EXPRESSION_DEPTH_MAX, REPEATED_EXPRESSIONS_MAX},
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
        self.expressions += 1;
        if self.repeating > 0 {
            self.repeat(1)?;
        }
        self.grouped(expr)?;
        let lowered = self.any_expr(expr);
        self.depth -= 1;
        lowered
    }

    /// Counts expressions that are written again: what is repeated inside what is repeated grows fast.
    pub(super) fn repeat(&mut self, expressions: usize) -> Result<(), SqlError> {
        self.repeated = self.repeated.saturating_add(expressions);
        if self.repeated > REPEATED_EXPRESSIONS_MAX {
            let what = "expressions that comparisons of rows and IN lists take more than once";
            return Err(limits::exceeded(what, REPEATED_EXPRESSIONS_MAX, self.here));
        }
        Ok(())
    }

    pub(super) fn boxed(&mut self, expr: &ast::Expr) -> Result<Box<Expr>, SqlError> {
        Ok(Box::new(self.expr(expr)?))
    }

    /// Names, literals and operators here; the other forms in the modules beside this one.
    #[expect(
        clippy::too_many_lines,
        reason = "a line for each variant of the parser's tree"
    )]
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
            ast::Expr::QualifiedWildcard(name, _) => Ok(Expr::Row(self.name(name)?)),
            ast::Expr::CompoundFieldAccess { root, access_chain } => {
                self.field_of_row(root, access_chain, expr.span())
            }
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
            ast::Expr::IsNull(_)
            | ast::Expr::IsNotNull(_)
            | ast::Expr::IsTrue(_)
            | ast::Expr::IsNotTrue(_)
            | ast::Expr::IsFalse(_)
            | ast::Expr::IsNotFalse(_)
            | ast::Expr::IsUnknown(_)
            | ast::Expr::IsNotUnknown(_)
            | ast::Expr::IsDistinctFrom(..)
            | ast::Expr::IsNotDistinctFrom(..) => self.is_predicate(expr),
            ast::Expr::InList { .. }
            | ast::Expr::InSubquery { .. }
            | ast::Expr::AnyOp { .. }
            | ast::Expr::AllOp { .. }
            | ast::Expr::Between { .. }
            | ast::Expr::Like { .. }
            | ast::Expr::ILike { .. } => self.predicate(expr),
            ast::Expr::RLike { .. } => Err(self
                .refuse("RLIKE or REGEXP", expr.span())
                .with_hint("write LIKE, or in the dialect datafusion regexp_like(text, pattern)")),
            ast::Expr::Case { .. }
            | ast::Expr::Cast { .. }
            | ast::Expr::Extract { .. }
            | ast::Expr::Ceil { .. }
            | ast::Expr::Floor { .. }
            | ast::Expr::Position { .. }
            | ast::Expr::Substring { .. }
            | ast::Expr::Overlay { .. }
            | ast::Expr::Trim { .. } => self.special_call(expr),
            ast::Expr::JsonAccess { .. }
            | ast::Expr::IsNormalized { .. }
            | ast::Expr::InUnnest { .. }
            | ast::Expr::SimilarTo { .. }
            | ast::Expr::Convert { .. }
            | ast::Expr::AtTimeZone { .. }
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
            | ast::Expr::OuterJoin(_)
            | ast::Expr::Prior(_)
            | ast::Expr::Lambda(_)
            | ast::Expr::MemberOf(_) => Err(self.refused_expr(expr)),
        }
    }

    /// `(t).a`: a column of a relation. Fields of other values, and elements, have no place in the tree.
    fn field_of_row(
        &mut self,
        root: &ast::Expr,
        access: &[ast::AccessExpr],
        span: Span,
    ) -> Result<Expr, SqlError> {
        let (ast::Expr::Nested(root), [ast::AccessExpr::Dot(ast::Expr::Identifier(field))]) =
            (root, access)
        else {
            return Err(self.refuse("access to a field or an element", span));
        };
        if let Expr::Column(mut parts) | Expr::Row(mut parts) = self.any_expr(root)?
            && parts.len() < 4
        {
            parts.push(self.ident(field)?);
            return Ok(Expr::Column(parts));
        }
        Err(self.refuse("access to a field or an element", span))
    }

    /// The name of a form that has no place in the tree.
    pub(super) fn refused_expr(&mut self, expr: &ast::Expr) -> SqlError {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "names for a refusal, not a decision"
        )]
        let what = match expr {
            ast::Expr::JsonAccess { .. } => "a JSON path",
            ast::Expr::IsNormalized { .. } => "IS NORMALIZED",
            ast::Expr::InUnnest { .. } => "IN UNNEST",
            ast::Expr::SimilarTo { .. } => "SIMILAR TO",
            ast::Expr::Convert { .. } => "CONVERT",
            ast::Expr::AtTimeZone { .. } => "AT TIME ZONE",
            ast::Expr::Collate { .. } => "COLLATE",
            ast::Expr::Prefixed { .. } => "a prefixed literal",
            ast::Expr::GroupingSets(_) | ast::Expr::Cube(_) | ast::Expr::Rollup(_) => {
                "ROLLUP, CUBE or GROUPING SETS outside GROUP BY"
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
}
