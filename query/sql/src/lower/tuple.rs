//! Rows of several values: a comparison of two becomes comparisons of their values. AND and OR of these have SQL's three
//! truths, so that a NULL among the values tells as little as it should.
//!
//! Beside a query the values are compared in it, where the query's columns have names: `(a, b) IN (q)` is
//! `TRUE IN (SELECT a = x AND b = y FROM (q) AS r (x, y))`, and a condition that rows must meet is EXISTS, of which the
//! engine makes a join.

use sqlparser::{
    ast::{self, Spanned as _},
    tokenizer::Span,
};

use super::{
    Lowering,
    list::{any_of, negated},
};
use crate::{
    bind::expr::computes_over_rows,
    dialect,
    error::{SqlError, SqlErrorKind},
    ir::{
        Alias, BinaryOperator, Body, Expr, Ident, Literal, Position, Quantifier, Query, Relation,
        Select, SelectItem, Test,
    },
    limits::{self, CHAIN_LENGTH_MAX},
};

/// Most values of a row that is sorted before or behind another: each stands inside the one before it.
const ORDERED_VALUES_MAX: usize = 16;

/// The relation of the query's rows. What the row names is looked for in it first.
pub(super) const RELATION: &str = "row of several values";

/// What a value of it is called.
pub(super) fn value_name(number: usize) -> String {
    format!("value {number} of the row")
}

/// A comparison of each value of a row, in place of one with the row.
type Compare = fn(&mut Lowering, &[ast::Expr], &[ast::Expr]) -> Result<Expr, SqlError>;

/// The values of a row, if that is what an expression is.
pub(super) fn values(expr: &ast::Expr) -> Option<&[ast::Expr]> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "each other expression is one value"
    )]
    match expr {
        ast::Expr::Tuple(values) => Some(values),
        ast::Expr::Nested(inner) => values(inner),
        _ => None,
    }
}

impl Lowering {
    /// `(a, b) op (c, d)`.
    pub(super) fn compared_rows(
        &mut self,
        left: &[ast::Expr],
        op: &ast::BinaryOperator,
        right: &[ast::Expr],
    ) -> Result<Expr, SqlError> {
        let place = left.first().map_or(Span::empty(), ast::Expr::span);
        let compare = self.compare(op, place)?;
        compare(self, left, right)
    }

    /// `(a, b) [NOT] IN ((c, d), ..)`.
    pub(super) fn row_in_list(
        &mut self,
        row: &[ast::Expr],
        list: &[ast::Expr],
        is_negated: bool,
    ) -> Result<Expr, SqlError> {
        if list.len() > CHAIN_LENGTH_MAX {
            let what = "rows in an IN list";
            return Err(limits::exceeded(what, CHAIN_LENGTH_MAX, self.here));
        }
        let equal = |this: &mut Self| {
            this.list(list, |this, member| match values(member) {
                Some(member) => this.equal_rows(row, member),
                None => Err(this.refuse("a value in an IN list of rows", member.span())),
            })
        };
        let is_in = match list {
            [] => return Err(self.refuse("an empty IN list", Span::empty())),
            [_] => any_of(equal(self)?),
            _ => any_of(self.again(equal)?),
        };
        Ok(match is_negated {
            false => is_in,
            true => negated(is_in),
        })
    }

    /// `(a, b) op ANY (query)` and its kin, as a value.
    pub(super) fn row_beside_query(
        &mut self,
        row: &[ast::Expr],
        (op, quantifier): (&ast::BinaryOperator, Quantifier),
        query: &ast::Query,
    ) -> Result<Expr, SqlError> {
        let (rows, compared) = self.within(row, op, query)?;
        // One row must compare as true, or none as false.
        let wanted = quantifier == Quantifier::Any;
        Ok(Expr::InQuery {
            expr: Box::new(Expr::Literal(Literal::Bool(wanted))),
            query: Box::new(selected(rows, compared, None, self.here)),
            is_negated: !wanted,
        })
    }

    /// A condition that rows must meet: what is not true is false.
    pub(super) fn condition(&mut self, expr: &ast::Expr) -> Result<Expr, SqlError> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "each other condition is a value like any"
        )]
        match expr {
            ast::Expr::BinaryOp { left, op, right } if *op == ast::BinaryOperator::And => {
                let operands = super::operator::chain(left, op, right);
                Ok(binary(
                    BinaryOperator::And,
                    self.list(&operands, |this, operand| this.condition(operand))?,
                ))
            }
            ast::Expr::Nested(inner) => self.condition(inner),
            ast::Expr::UnaryOp { op, expr: inner } if *op == ast::UnaryOperator::Not => {
                match self.row_met(inner, true)? {
                    Some(met) => Ok(met),
                    None => self.expr(expr),
                }
            }
            _ => match self.row_met(expr, false)? {
                Some(met) => Ok(met),
                None => self.expr(expr),
            },
        }
    }

    /// `(a, b) [NOT] IN (query)` as a condition.
    fn row_met(&mut self, expr: &ast::Expr, is_not: bool) -> Result<Option<Expr>, SqlError> {
        let ast::Expr::InSubquery {
            expr: row,
            subquery,
            negated,
        } = expr
        else {
            return Ok(None);
        };
        let Some(row) = values(row) else {
            return Ok(None);
        };
        let is_negated = *negated != is_not;
        let (rows, equal) = self.within(row, &ast::BinaryOperator::Eq, subquery)?;
        // A row that may be equal is not known to be none.
        let met = match is_negated {
            false => equal,
            true => Expr::Is {
                expr: Box::new(equal),
                test: Test::False,
                is_negated: true,
            },
        };
        let one = Expr::Literal(Literal::Number("1".to_owned()));
        Ok(Some(Expr::Exists {
            query: Box::new(selected(rows, one, Some(met), self.here)),
            is_negated,
        }))
    }

    /// The rows of a query, and how a row compares with one of them.
    fn within(
        &mut self,
        row: &[ast::Expr],
        op: &ast::BinaryOperator,
        query: &ast::Query,
    ) -> Result<(Relation, Expr), SqlError> {
        let place = row.first().map_or(Span::empty(), ast::Expr::span);
        let compare = self.compare(op, place)?;
        let rows = self.query(query)?;
        match width(&rows.body) {
            Some(width) => self.even(row.len(), width)?,
            None => {
                return Err(self
                    .refuse("a row of several values beside a query of `*`", place)
                    .with_hint("name the columns of the query"));
            }
        }
        let names: Vec<String> = (1..=row.len()).map(value_name).collect();
        let name = |text: &str| ast::Ident::with_quote(dialect::quote(self.dialect), text);
        let columns: Vec<ast::Expr> = names
            .iter()
            .map(|column| ast::Expr::CompoundIdentifier(vec![name(RELATION), name(column)]))
            .collect();
        let was_volatile = std::mem::take(&mut self.is_volatile);
        let compared = compare(self, row, &columns)?;
        if self.is_volatile || computes_over_rows(&compared) {
            let what = "an aggregate, a window or a volatile function in a row beside a query";
            return Err(self
                .refuse(what, place)
                .with_hint("compute it in a query in FROM, and name its column here"));
        }
        self.is_volatile = was_volatile;
        let columns = names.iter().map(Ident::quoted).collect();
        Ok((rows_of(rows, columns), compared))
    }

    /// What a comparison of rows compares of their values.
    fn compare(&mut self, op: &ast::BinaryOperator, place: Span) -> Result<Compare, SqlError> {
        use ast::BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "rows have no other operators"
        )]
        match op {
            Eq => Ok(Self::equal_rows),
            NotEq => Ok(|this, left, right| {
                let unequal = this.pairs(left, &NotEq, right)?;
                Ok(binary(BinaryOperator::Or, unequal))
            }),
            Lt => Ok(|this, left, right| this.ordered_rows(left, (&Lt, &Lt), right)),
            LtEq => Ok(|this, left, right| this.ordered_rows(left, (&Lt, &LtEq), right)),
            Gt => Ok(|this, left, right| this.ordered_rows(left, (&Gt, &Gt), right)),
            GtEq => Ok(|this, left, right| this.ordered_rows(left, (&Gt, &GtEq), right)),
            _ => Err(self.refuse(
                format!("the operator {op} of rows of several values"),
                place,
            )),
        }
    }

    fn equal_rows(&mut self, left: &[ast::Expr], right: &[ast::Expr]) -> Result<Expr, SqlError> {
        let equal = self.pairs(left, &ast::BinaryOperator::Eq, right)?;
        Ok(binary(BinaryOperator::And, equal))
    }

    fn pairs(
        &mut self,
        left: &[ast::Expr],
        op: &ast::BinaryOperator,
        right: &[ast::Expr],
    ) -> Result<Vec<Expr>, SqlError> {
        self.even(left.len(), right.len())?;
        let pairs = left.iter().zip(right);
        pairs
            .map(|(left, right)| self.binary(left, op, right))
            .collect()
    }

    /// By the first values that differ: `a < c OR a = c AND b < d`.
    fn ordered_rows(
        &mut self,
        left: &[ast::Expr],
        (differs, last): (&ast::BinaryOperator, &ast::BinaryOperator),
        right: &[ast::Expr],
    ) -> Result<Expr, SqlError> {
        self.even(left.len(), right.len())?;
        if left.len() > ORDERED_VALUES_MAX {
            let what = "values of a row that is sorted before or behind another";
            return Err(limits::exceeded(what, ORDERED_VALUES_MAX, self.here));
        }
        self.again(|this| {
            let mut pairs = left.iter().zip(right).rev();
            let (left, right) = pairs
                .next()
                .ok_or_else(|| this.refuse("a row without values", Span::empty()))?;
            let last = this.binary(left, last, right)?;
            pairs.try_fold(last, |behind, (left, right)| {
                let equal = this.binary(left, &ast::BinaryOperator::Eq, right)?;
                let operands = vec![equal, behind];
                Ok(binary(
                    BinaryOperator::Or,
                    vec![
                        this.binary(left, differs, right)?,
                        binary(BinaryOperator::And, operands),
                    ],
                ))
            })
        })
    }

    /// Lowers what writes some value more than once; refuses it if the value is not the same each time.
    fn again<T>(
        &mut self,
        lower: impl FnOnce(&mut Self) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let (was_volatile, count) = (std::mem::take(&mut self.is_volatile), self.query_count);
        self.repeating += 1;
        let lowered = lower(self)?;
        self.repeating -= 1;
        if self.is_volatile || self.query_count > count {
            let what = "a query or a volatile function in a row that is compared more than once";
            return Err(self
                .refuse(what, Span::empty())
                .with_hint("compute it in a query in FROM, and name its column here"));
        }
        self.is_volatile = was_volatile;
        Ok(lowered)
    }

    /// Refuses rows of different numbers of values.
    fn even(&self, left: usize, right: usize) -> Result<(), SqlError> {
        if left == right {
            return Ok(());
        }
        let message = format!("rows of {left} and of {right} values cannot be compared");
        Err(SqlError::new(SqlErrorKind::Invalid, message, self.here))
    }
}

pub(super) fn binary(operator: BinaryOperator, operands: Vec<Expr>) -> Expr {
    Expr::Binary { operator, operands }
}

/// The rows of a query, its first columns called so.
pub(super) fn rows_of(query: Query, columns: Vec<Ident>) -> Relation {
    Relation::Derived {
        is_lateral: false,
        query: Box::new(query),
        alias: Some(Alias {
            name: Ident::quoted(RELATION),
            columns,
        }),
    }
}

/// `SELECT item FROM rows WHERE filter`.
pub(super) fn selected(
    rows: Relation,
    item: Expr,
    filter: Option<Expr>,
    position: Position,
) -> Query {
    let item = SelectItem::Expr {
        expr: item,
        alias: None,
    };
    let select = Select {
        filter,
        ..Select::of(vec![item], vec![rows])
    };
    Query::of(Body::Select(Box::new(select)), position)
}

/// How many columns a query has, as far as its text says.
fn width(body: &Body) -> Option<usize> {
    match body {
        Body::Select(select) => {
            let is_one = |item: &SelectItem| matches!(item, SelectItem::Expr { .. });
            select
                .items
                .iter()
                .all(is_one)
                .then_some(select.items.len())
        }
        Body::Values(rows) => rows.first().map(Vec::len),
        Body::Query(query) => width(&query.body),
        Body::SetOperation { left, right, .. } => width(left).or_else(|| width(right)),
    }
}
