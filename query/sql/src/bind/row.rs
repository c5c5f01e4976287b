//! Whole rows: the name of a relation where a value is expected.
//!
//! They mean what they mean in PostgreSQL (its manual, "Using Composite Types in Queries" and "Composite Type
//! Comparison"), in every dialect: a row is its relation's visible columns as one value, and NULL where an outer join
//! found none. So the relation computes it as a column more, below all joins. A test for NULL asks the fields, and
//! fields that are NULL are equal. Where PostgreSQL has no such meaning, or the engine another, a row is refused.

use std::rc::Rc;

use dataos_model::lineage::Transformation;

use super::{
    Binder, added_call, aggregation,
    expr::{Parts, parts},
    from::all_of,
    keys::output_index,
    scope::{Meaning, Scope, Selected},
    star::only_relation,
};
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::{
        Arguments, BinaryOperator, Call, Expr, Ident, Literal, Position, Test, Type, UnaryOperator,
    },
    lineage::Flow,
    parse::dotted,
};

mod relation;

pub(super) use relation::{WholeRow, with_rows};

/// The relation whose row an expression is.
#[derive(Clone, Copy)]
pub(super) struct RowOf {
    scope: usize,
    relation: usize,
}

impl Binder<'_> {
    /// The relation whose row a name means: none if it is a column's.
    pub(super) fn row_named(&self, name: &[Ident]) -> Result<Option<RowOf>, SqlError> {
        let is_relation = |scope: &Scope| !scope.qualified(name).is_empty();
        if !self.scopes.iter().any(is_relation) || self.is_column(name) {
            return Ok(None);
        }
        self.relation_named(name).map(Some)
    }

    fn is_column(&self, name: &[Ident]) -> bool {
        let Some((last, qualifier)) = name.split_last() else {
            return false;
        };
        let is_output = |selected: &Rc<Selected>| {
            let found = output_index(last, &selected.outputs);
            !matches!(found, Ok(None))
        };
        self.scopes.iter().any(|scope| {
            if qualifier.is_empty() {
                !scope.unqualified(last, scope.visible()).is_empty()
                    || scope.selected.as_ref().is_some_and(is_output)
            } else {
                !scope.qualified(qualifier).is_empty()
            }
        })
    }

    /// The innermost relation of this name.
    fn relation_named(&self, name: &[Ident]) -> Result<RowOf, SqlError> {
        let scopes = self.scopes.iter().enumerate().rev();
        let mut found = scopes.map(|(at, scope)| (at, scope.qualified(name)));
        let found = found.find(|(_, relations)| !relations.is_empty());
        let (scope, relations) = found.unwrap_or_default();
        let at = name.last().map_or(Position::default(), |it| it.position);
        let relation = only_relation(name, &relations, at)?;
        Ok(RowOf { scope, relation })
    }

    /// The relation whose row an expression is.
    fn row_in(&self, expr: &Expr) -> Result<Option<RowOf>, SqlError> {
        match expr {
            Expr::Column(name) => self.row_named(name),
            Expr::Row(name) => self.relation_named(name).map(Some),
            _ => Ok(None),
        }
    }

    /// A row as a value: its text, its sources, and what its relation is called.
    pub(super) fn row(&mut self, row: RowOf) -> Result<(Expr, Rc<Flow>, String), SqlError> {
        let (_, flow) = self.fields(row)?;
        self.refuse_row_of_groups(row)?;
        self.nearest = self.nearest.max(Some(row.scope));
        let scope = self.scopes.get_mut(row.scope);
        let found = scope.and_then(|scope| {
            let relation = scope.relations.get(row.relation)?;
            let name = relation.name.as_ref().unwrap_or(&relation.engine_alias);
            let (of, name) = (relation.engine_alias.clone(), name.value.clone());
            if !scope.rows.iter().any(|row| row.is_of(&of)) {
                scope.rows.push(WholeRow::new(relation));
            }
            let row = scope.rows.iter().find(|row| row.is_of(&of))?;
            Some((row.value(), name))
        });
        let (expr, name) = found.ok_or_else(|| super::mismatch("a row has no relation"))?;
        Ok((expr, Rc::new(flow), name))
    }

    /// Refuses the row of a table that leaves in aggregates alone.
    fn refuse_row_of_groups(&self, row: RowOf) -> Result<(), SqlError> {
        let scope = self.scopes.get(row.scope);
        let relation = scope.and_then(|scope| scope.relations.get(row.relation));
        let base = relation.and_then(|relation| relation.columns.first()?.base);
        let Some((view, occurrence)) = base.and_then(|base| {
            let view = self.views.get(base.occurrence)?;
            Some((view, self.tables.occurrences.get(base.occurrence)?))
        }) else {
            return Ok(());
        };
        if view.minimums.is_empty() {
            return Ok(());
        }
        let what = format!("the whole row of `{}`", view.dataset);
        Err(aggregation::refused(what, occurrence.position)
            .with_hint("the table leaves in aggregates alone; write count(*), or name columns"))
    }

    /// The fields of a row, and their sources.
    fn fields(&mut self, row: RowOf) -> Result<(Vec<Expr>, Flow), SqlError> {
        let place = self.scopes.get_mut(row.scope);
        let scope = place.map(std::mem::take).unwrap_or_default();
        let columns = scope.relations.get(row.relation);
        let columns = columns.map_or(0, |relation| relation.columns.len());
        let (mut fields, mut flow) = (Vec::with_capacity(columns), Flow::default());
        let mut result = Ok(());
        for column in 0..columns {
            match self.meant(&scope, Meaning::Column(row.relation, column)) {
                Ok((field, sources)) => {
                    flow.absorb(&sources, Transformation::Transformation);
                    fields.push(field);
                }
                Err(error) => result = Err(error),
            }
        }
        if let Some(place) = self.scopes.get_mut(row.scope) {
            *place = scope;
        }
        result?;
        if fields.is_empty() {
            let text = "no column is visible to stand for the row";
            return Err(SqlError::new(SqlErrorKind::Unknown, text, self.place));
        }
        self.spend(&flow)?;
        Ok((fields, flow))
    }

    /// Binds an expression one of whose operands is a row, or tells that it is none such.
    pub(super) fn resolve_rows(
        &mut self,
        expr: &mut Expr,
        how: Transformation,
        flow: &mut Flow,
    ) -> Result<bool, SqlError> {
        if let Expr::Call(call) = expr {
            self.check_rows_of(call)?;
            return Ok(false);
        }
        if let Expr::Row(name) = expr {
            let row = self.relation_named(name)?;
            let (value, sources, _) = self.row(row)?;
            flow.absorb(&sources, how.max(Transformation::Transformation));
            *expr = value;
            return Ok(true);
        }
        let operands = operands(expr);
        let rows = operands.iter().map(|operand| self.row_in(operand));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let Some(first) = rows.iter().position(Option::is_some) else {
            return Ok(false);
        };
        let named = operands.get(first).and_then(|operand| named(operand));
        let named = named.unwrap_or_default().to_vec();
        let how = how.max(Transformation::Transformation);
        *expr = match (&*expr, rows.as_slice()) {
            (
                Expr::Is {
                    test: Test::Null,
                    is_negated,
                    expr: _,
                },
                [Some(row)],
            ) => {
                let is_negated = *is_negated;
                let (fields, sources) = self.fields(*row)?;
                flow.absorb(&sources, how);
                let tests = fields.into_iter().map(|field| null(field, is_negated));
                all_of(tests.collect())
            }
            (
                Expr::Cast {
                    to: Type::Text,
                    expr: _,
                    is_try: _,
                },
                [Some(row)],
            ) => {
                let (value, sources, _) = self.row(*row)?;
                flow.absorb(&sources, how);
                added_call("row_to_text", false, Arguments::List(vec![value]))?
            }
            (Expr::Distinct { is_negated, .. }, [Some(left), Some(right)]) => {
                let is_negated = *is_negated;
                let rows = self.two_rows((*left, *right), &named, how, flow)?;
                rows.distinct(is_negated)
            }
            (
                Expr::Binary {
                    operator: operator @ (BinaryOperator::Equal | BinaryOperator::NotEqual),
                    operands: _,
                },
                [Some(left), Some(right)],
            ) => {
                let is_negated = *operator == BinaryOperator::NotEqual;
                let rows = self.two_rows((*left, *right), &named, how, flow)?;
                rows.equal(is_negated)
            }
            _ => return Err(refused(&named)),
        };
        Ok(true)
    }

    /// Two rows that are compared, and whether their fields are equal.
    fn two_rows(
        &mut self,
        (left, right): (RowOf, RowOf),
        named: &[Ident],
        how: Transformation,
        flow: &mut Flow,
    ) -> Result<Compared, SqlError> {
        let (left_fields, left_sources) = self.fields(left)?;
        let (right_fields, right_sources) = self.fields(right)?;
        if left_fields.len() != right_fields.len() {
            let (one, other) = (left_fields.len(), right_fields.len());
            let text = format!("rows of {one} and {other} columns are compared");
            let at = named.last().map_or(self.place, |name| name.position);
            return Err(SqlError::new(SqlErrorKind::Invalid, text, at));
        }
        flow.absorb(&left_sources, how);
        flow.absorb(&right_sources, how);
        let fields = left_fields.into_iter().zip(right_fields);
        let equal = fields.map(|(left, right)| Expr::Distinct {
            left: Box::new(left),
            right: Box::new(right),
            is_negated: true,
        });
        let equal = all_of(equal.collect());
        let ((left, ..), (right, ..)) = (self.row(left)?, self.row(right)?);
        Ok(Compared {
            left,
            right,
            fields: equal,
        })
    }

    /// Refuses a row as an argument of a function that PostgreSQL has not for rows, or the engine not as it.
    fn check_rows_of(&self, call: &Call) -> Result<(), SqlError> {
        let Arguments::List(arguments) = &call.arguments else {
            return Ok(());
        };
        if call.function.takes_rows() {
            return Ok(());
        }
        for argument in arguments {
            if self.row_in(argument)?.is_some() {
                let row = named(argument).map(dotted).unwrap_or_default();
                let what = format!("the whole row `{row}` in {}", call.function.name);
                return Err(SqlError::unsupported(what, call.position)
                    .with_hint("name its columns, or write row_to_json or row_to_text around it"));
            }
        }
        Ok(())
    }
}

/// Two rows.
struct Compared {
    left: Expr,
    right: Expr,
    /// Whether their fields are equal.
    fields: Expr,
}

impl Compared {
    /// `=` or `<>`: NULL if one of them is not there.
    fn equal(self, is_negated: bool) -> Expr {
        let absent = either(null(self.left, false), null(self.right, false));
        Expr::Case {
            operand: None,
            branches: vec![(absent, Expr::Literal(Literal::Null))],
            otherwise: Some(Box::new(not_if(is_negated, self.fields))),
        }
    }

    /// IS DISTINCT FROM: two that are not there are the same, and one that is there is not one that is not.
    fn distinct(self, is_negated: bool) -> Expr {
        let (left, right) = (self.left.clone(), self.right.clone());
        let absent = all_of(vec![null(left, false), null(right, false)]);
        let there = vec![null(self.left, true), null(self.right, true), self.fields];
        not_if(!is_negated, either(absent, all_of(there)))
    }
}

/// What an expression asks: not what a CASE answers, which may be a row.
fn operands(expr: &mut Expr) -> Vec<&Expr> {
    let is_case = matches!(expr, Expr::Case { .. });
    let Parts {
        values,
        decisive,
        query: _,
    } = parts(expr);
    let asked = if is_case { decisive } else { values };
    asked.into_iter().map(|part| &*part).collect()
}

fn named(expr: &Expr) -> Option<&[Ident]> {
    match expr {
        Expr::Column(name) | Expr::Row(name) => Some(name),
        _ => None,
    }
}

fn refused(name: &[Ident]) -> SqlError {
    let what = format!("the whole row `{}` here", dotted(name));
    let at = name.last().map_or(Position::default(), |it| it.position);
    SqlError::unsupported(what, at).with_hint(
        "name its columns; rows can be tested for NULL, and compared with a row by =, <> and IS DISTINCT FROM",
    )
}

fn null(expr: Expr, is_negated: bool) -> Expr {
    Expr::Is {
        expr: Box::new(expr),
        test: Test::Null,
        is_negated,
    }
}

fn either(one: Expr, other: Expr) -> Expr {
    Expr::Binary {
        operator: BinaryOperator::Or,
        operands: vec![one, other],
    }
}

fn not_if(is_negated: bool, expr: Expr) -> Expr {
    if !is_negated {
        return expr;
    }
    Expr::Unary {
        operator: UnaryOperator::Not,
        expr: Box::new(expr),
    }
}
