//! IN lists.
//!
//! What is compared with is a constant, or it is compared by itself, as PostgreSQL does it. DataFusion 55.2 takes for a
//! constant what is one value over no rows, and a CASE with two conditions is NULL there: `5 IN (30, CASE ..)` was NULL
//! whatever the CASE came to (`try_evaluate_constant_list` of its in_list.rs). It would be so of a column of a query in
//! FROM that is a CASE there, which the list does not show: so no list has a column.

use sqlparser::{
    ast::{self, Spanned as _},
    tokenizer::Span,
};

use super::{
    Lowering,
    tuple::{self, RELATION, binary, rows_of, selected, value_name},
};
use crate::{
    bind::expr::{computes_over_rows, has_query, is_constant},
    error::SqlError,
    ir::{BinaryOperator, Body, Expr, Ident, Query, Select, SelectItem, UnaryOperator},
    limits::{self, CHAIN_LENGTH_MAX},
};

impl Lowering {
    pub(super) fn in_list(
        &mut self,
        expr: &ast::Expr,
        list: &[ast::Expr],
        is_negated: bool,
    ) -> Result<Expr, SqlError> {
        if let Some(row) = tuple::values(expr) {
            return self.row_in_list(row, list, is_negated);
        }
        if list.is_empty() {
            return Err(self.refuse("an empty IN list", Span::empty()));
        }
        let place = expr.span();
        let (was_volatile, count) = (std::mem::take(&mut self.is_volatile), self.expressions);
        let expr = self.compared(expr)?;
        let size = self.expressions - count;
        let is_one = self.is_volatile || has_query(&expr);
        self.is_volatile |= was_volatile;
        let list = self.list(list, Self::compared)?;
        let (constants, others): (Vec<Expr>, Vec<Expr>) = list.into_iter().partition(is_constant);
        if others.len() > CHAIN_LENGTH_MAX {
            let what = "values of an IN list that are no constants";
            return Err(limits::exceeded(what, CHAIN_LENGTH_MAX, self.here));
        }
        let is_once = others.is_empty() || others.len() == 1 && constants.is_empty();
        if is_once {
            return Ok(member(expr, constants, others, is_negated));
        }
        if !is_one {
            let again = size.saturating_mul(others.len());
            self.repeat(again)?;
            self.expressions = self.expressions.saturating_add(again);
            return Ok(member(expr, constants, others, is_negated));
        }
        if [&expr].into_iter().chain(&others).any(computes_over_rows) {
            let what = "an aggregate or a window beside a query in an IN list";
            return Err(self
                .refuse(what, place)
                .with_hint("compute it in a query in FROM, and name its column here"));
        }
        // Computed once, in a relation of one row.
        let name = Ident::quoted(value_name(1));
        let item = SelectItem::Expr {
            expr,
            alias: Some(name.clone()),
        };
        let one = Query::of(
            Body::Select(Box::new(Select::of(vec![item], Vec::new()))),
            self.here,
        );
        let value = Expr::Column(vec![Ident::quoted(RELATION), name]);
        let compared = member(value, constants, others, is_negated);
        let query = selected(rows_of(one, Vec::new()), compared, None, self.here);
        Ok(Expr::Subquery(Box::new(query)))
    }
}

/// `expr [NOT] IN (constants, others)`.
fn member(expr: Expr, constants: Vec<Expr>, others: Vec<Expr>, is_negated: bool) -> Expr {
    if others.is_empty() {
        return Expr::InList {
            expr: Box::new(expr),
            list: constants,
            is_negated,
        };
    }
    let mut parts = Vec::with_capacity(others.len() + 1);
    if !constants.is_empty() {
        parts.push(member(expr.clone(), constants, Vec::new(), false));
    }
    parts.extend(others.into_iter().map(|other| {
        let operands = vec![expr.clone(), other];
        binary(BinaryOperator::Equal, operands)
    }));
    let is_in = any_of(parts);
    match is_negated {
        false => is_in,
        true => negated(is_in),
    }
}

/// Most alternatives side by side; more stand in parentheses, as many operators may.
const ALTERNATIVES: usize = 64;

/// One of these or more; there is one at least.
pub(super) fn any_of(mut parts: Vec<Expr>) -> Expr {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let mut rest = parts.into_iter();
    let mut groups = Vec::new();
    loop {
        let mut group: Vec<Expr> = rest.by_ref().take(ALTERNATIVES).collect();
        match group.len() {
            0 => break,
            1 => groups.append(&mut group),
            _ => groups.push(binary(BinaryOperator::Or, group)),
        }
    }
    match groups.len() {
        1 => groups.remove(0),
        _ => binary(BinaryOperator::Or, groups),
    }
}

pub(super) fn negated(expr: Expr) -> Expr {
    Expr::Unary {
        operator: UnaryOperator::Not,
        expr: Box::new(expr),
    }
}
