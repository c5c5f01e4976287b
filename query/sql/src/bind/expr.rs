//! Expressions: names are resolved, sources are gathered.

use dataos_model::{dataset::ColumnType, lineage::Transformation};

use super::{Binder, scope::Read};
use crate::{
    error::{SqlError, SqlErrorKind},
    functions::FunctionKind,
    ir::{Arguments, Call, Expr, Ident, Key, Literal, OrderItem, Position, Query, Window},
    lineage::Flow,
    lower::zone,
};

impl<'a> Binder<'a> {
    /// Binds an expression and adds its sources to `flow`, each at least as `how`.
    pub(super) fn expr(
        &mut self,
        expr: &Expr,
        how: Transformation,
        flow: &mut Flow,
    ) -> Result<Expr, SqlError> {
        let mut bound = expr.clone();
        self.resolve(&mut bound, how, flow)?;
        Ok(bound)
    }

    /// As `expr`, in place.
    fn resolve(
        &mut self,
        expr: &mut Expr,
        how: Transformation,
        flow: &mut Flow,
    ) -> Result<(), SqlError> {
        if let Expr::Column(parts) = expr {
            let (bound, sources, _) = self.column(parts)?;
            self.spend(&sources)?;
            flow.absorb(&sources, how);
            *expr = bound;
            return Ok(());
        }
        if self.resolve_rows(expr, how, flow)? {
            return Ok(());
        }
        self.settle_zones(expr)?;
        let how = how.max(Transformation::Transformation);
        let Parts {
            values,
            decisive,
            query,
        } = parts(expr);
        for value in values {
            self.resolve(value, how, flow)?;
        }
        for expr in decisive {
            self.resolve_decisive(expr, flow)?;
        }
        match query {
            Some(Inner::Values(query)) => self.resolve_single_column(query, how, flow)?,
            Some(Inner::Exists(query)) => {
                let bound = self.query(query, Read::Existence)?;
                self.note_indirect(bound.indirect);
                *query = bound.query;
            }
            None => {}
        }
        if let Expr::Call(call) = expr {
            self.resolve_call(call, how, flow)?;
        }
        join_chains(expr);
        Ok(())
    }

    /// Has the zone of a text count where it is compared with an instant, and forgets it where it is compared with
    /// a date or a local time, as PostgreSQL does.
    fn settle_zones(&mut self, expr: &mut Expr) -> Result<(), SqlError> {
        let mut values = parts(expr).values;
        let is_zoned = |value: &&mut Expr| matches!(value, Expr::Literal(Literal::Zoned(_)));
        if !values.iter().any(is_zoned) {
            return Ok(());
        }
        let column = values.iter().find_map(|value| match value {
            Expr::Column(parts) => Some(parts.clone()),
            _ => None,
        });
        let of = column.map(|column| self.type_of(&column)).transpose()?;
        for value in values.iter_mut() {
            if let Expr::Literal(literal) = value
                && let Literal::Zoned(text) = literal
            {
                let counted = match of.flatten() {
                    Some(ColumnType::Date) => zone::date(text),
                    Some(ColumnType::LocalTimestamp) => zone::local(text),
                    _ => None,
                };
                *literal = Literal::Text(counted.unwrap_or(text).to_owned());
            }
        }
        Ok(())
    }

    /// The type of a column that is one of a table, maybe through queries in between.
    fn type_of(&mut self, column: &[Ident]) -> Result<Option<&'a ColumnType>, SqlError> {
        let (_, flow, _) = self.column(column)?;
        let mut direct = flow.direct.iter();
        let (Some((source, Transformation::Identity)), None) = (direct.next(), direct.next())
        else {
            return Ok(None);
        };
        let view = self.views.get(source.occurrence);
        let column = view.and_then(|view| view.columns.get(source.column));
        Ok(column.map(|column| &column.column_type))
    }

    fn resolve_all(
        &mut self,
        exprs: &mut [Expr],
        how: Transformation,
        flow: &mut Flow,
    ) -> Result<(), SqlError> {
        exprs
            .iter_mut()
            .try_for_each(|expr| self.resolve(expr, how, flow))
    }

    /// An expression that decides over the value of another, and is not part of it.
    fn resolve_decisive(&mut self, expr: &mut Expr, flow: &mut Flow) -> Result<(), SqlError> {
        let mut decisive = Flow::default();
        self.resolve(expr, Transformation::Transformation, &mut decisive)?;
        flow.conditional.extend(decisive.sources());
        Ok(())
    }

    fn resolve_call(
        &mut self,
        call: &mut Call,
        how: Transformation,
        flow: &mut Flow,
    ) -> Result<(), SqlError> {
        let Call {
            function,
            is_distinct: _,
            arguments,
            order_by,
            within_group,
            filter,
            ignores_nulls: _,
            over,
            position,
        } = call;
        self.is_repeatable &= function.is_repeatable();
        let around = std::mem::take(&mut self.nearest);
        let how = match function.kind {
            FunctionKind::Aggregate => how.max(Transformation::Aggregation),
            FunctionKind::Scalar | FunctionKind::Window => how,
        };
        match arguments {
            Arguments::Star => {}
            Arguments::List(list) => self.resolve_all(list, how, flow)?,
        }
        self.resolve_order(order_by, flow)?;
        // The order is of the values that the result is made of.
        for item in within_group {
            if let Key::Expr(expr) = &mut item.key {
                self.resolve(expr, how, flow)?;
            }
        }
        filter
            .iter_mut()
            .try_for_each(|filter| self.resolve_decisive(filter, flow))?;
        if function.kind == FunctionKind::Aggregate && over.is_none() {
            self.refuse_aggregate_of_outside(*position)?;
        }
        self.nearest = around.max(self.nearest);
        let Some(Window {
            partition_by,
            order_by,
            frame: _,
        }) = over
        else {
            return Ok(());
        };
        partition_by
            .iter_mut()
            .try_for_each(|expr| self.resolve_decisive(expr, flow))?;
        self.resolve_order(order_by, flow)
    }

    /// Refuses the aggregate whose arguments name columns from outside alone: in SQL it is one of the query that has them.
    fn refuse_aggregate_of_outside(&self, position: Position) -> Result<(), SqlError> {
        if self
            .nearest
            .is_none_or(|scope| scope + 1 >= self.scopes.len())
        {
            return Ok(());
        }
        let what = "an aggregate of columns from outside alone";
        Err(SqlError::unsupported(what, position)
            .with_hint("compute it in the query that has them, and name it from outside"))
    }

    fn resolve_order(&mut self, items: &mut [OrderItem], flow: &mut Flow) -> Result<(), SqlError> {
        items.iter_mut().try_for_each(|item| match &mut item.key {
            Key::Expr(expr) => self.resolve_decisive(expr, flow),
            Key::Ordinal(_, position) => Err(SqlError::unsupported("a position here", *position)),
        })
    }

    /// A query that stands for a value or a list of values.
    fn resolve_single_column(
        &mut self,
        query: &mut Query,
        how: Transformation,
        flow: &mut Flow,
    ) -> Result<(), SqlError> {
        let bound = self.query(query, Read::Places)?;
        self.note_indirect(bound.indirect);
        let [output] = bound.outputs.as_slice() else {
            return Err(SqlError::new(
                SqlErrorKind::Invalid,
                format!(
                    "a subquery here needs one column, not {}",
                    bound.outputs.len()
                ),
                query.position,
            ));
        };
        flow.absorb(&output.flow, how);
        *query = bound.query;
        Ok(())
    }
}

/// Has a chain whose first operand became one of the same operator be one chain, as its text is read.
fn join_chains(expr: &mut Expr) {
    let Expr::Binary { operator, operands } = expr else {
        return;
    };
    let is_same = |first: &mut Expr| match first {
        Expr::Binary {
            operator: inner,
            operands,
        } if inner == operator && !operator.compares() => Some(std::mem::take(operands)),
        _ => None,
    };
    if let Some(first) = operands.first_mut().and_then(is_same) {
        operands.splice(..1, first);
    }
}

/// What an expression is made of, calls and columns apart.
#[derive(Default)]
pub(super) struct Parts<'a> {
    /// Parts of its value.
    pub(super) values: Vec<&'a mut Expr>,
    /// Parts that decide over its value.
    pub(super) decisive: Vec<&'a mut Expr>,
    /// A query in it.
    pub(super) query: Option<Inner<'a>>,
}

/// A query in an expression.
pub(super) enum Inner<'a> {
    /// Stands for a value or a list of values.
    Values(&'a mut Query),
    /// Stands for whether it has a row.
    Exists(&'a mut Query),
}

fn values<'a>(values: impl IntoIterator<Item = &'a mut Expr>) -> Parts<'a> {
    Parts {
        values: values.into_iter().collect(),
        ..Parts::default()
    }
}

/// What an expression is made of; nothing of calls and columns.
#[expect(
    clippy::too_many_lines,
    reason = "an arm for each form of an expression"
)]
pub(super) fn parts(expr: &mut Expr) -> Parts<'_> {
    match expr {
        Expr::Column(_) | Expr::Row(_) | Expr::Literal(_) | Expr::Call(_) => Parts::default(),
        Expr::Binary {
            operator: _,
            operands,
        } => values(operands),
        Expr::Unary { operator: _, expr }
        | Expr::Is {
            expr,
            test: _,
            is_negated: _,
        }
        | Expr::Cast {
            expr,
            to: _,
            is_try: _,
        }
        | Expr::Extract { field: _, expr } => values([expr.as_mut()]),
        Expr::Distinct {
            left,
            right,
            is_negated: _,
        } => values([left.as_mut(), right]),
        Expr::InList {
            expr,
            list,
            is_negated: _,
        } => values([expr.as_mut()].into_iter().chain(list)),
        Expr::Between {
            expr,
            low,
            high,
            is_negated: _,
        } => values([expr.as_mut(), low, high]),
        Expr::Like {
            expr,
            pattern,
            escape: _,
            ignores_case: _,
            is_negated: _,
        } => values([expr.as_mut(), pattern]),
        Expr::Case {
            operand,
            branches,
            otherwise,
        } => case_parts(operand.as_deref_mut(), branches, otherwise.as_deref_mut()),
        Expr::InQuery {
            expr,
            query,
            is_negated: _,
        } => Parts {
            query: Some(Inner::Values(query)),
            ..values([expr.as_mut()])
        },
        Expr::Quantified {
            expr,
            operator: _,
            quantifier: _,
            query,
        } => Parts {
            query: Some(Inner::Values(query)),
            ..values([expr.as_mut()])
        },
        Expr::Subquery(query) => Parts {
            query: Some(Inner::Values(query)),
            ..Parts::default()
        },
        Expr::Exists {
            query,
            is_negated: _,
        } => Parts {
            query: Some(Inner::Exists(query)),
            ..Parts::default()
        },
    }
}

fn case_parts<'a>(
    operand: Option<&'a mut Expr>,
    branches: &'a mut [(Expr, Expr)],
    otherwise: Option<&'a mut Expr>,
) -> Parts<'a> {
    let mut parts = Parts::default();
    parts.decisive.extend(operand);
    for (condition, result) in branches {
        parts.decisive.push(condition);
        parts.values.push(result);
    }
    parts.values.extend(otherwise);
    parts
}

/// Whether an expression means the same wherever it is written: it has no query and no function
/// that changes its answer.
pub(super) fn is_repeatable(expr: &Expr) -> bool {
    !holds(&mut expr.clone(), &|part| match part {
        Expr::Call(call) => call.function.is_volatile,
        part => is_query(part),
    })
}

/// Whether an expression has a query in it.
pub(crate) fn has_query(expr: &Expr) -> bool {
    holds(&mut expr.clone(), &is_query)
}

fn is_query(part: &Expr) -> bool {
    matches!(
        part,
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InQuery { .. } | Expr::Quantified { .. }
    )
}

/// Whether an expression is the same in each row, and is so to see.
pub(crate) fn is_constant(expr: &Expr) -> bool {
    !holds(&mut expr.clone(), &|part| match part {
        Expr::Column(_) | Expr::Row(_) | Expr::Case { .. } => true,
        part => is_query(part),
    })
}

/// Whether an expression has a CASE in it.
pub(crate) fn has_case(expr: &Expr) -> bool {
    holds(&mut expr.clone(), &|part| matches!(part, Expr::Case { .. }))
}

/// Whether an expression computes over a group.
pub(super) fn has_aggregate(expr: &Expr) -> bool {
    holds(&mut expr.clone(), &|part| {
        matches!(part, Expr::Call(call)
            if call.function.kind == FunctionKind::Aggregate && call.over.is_none())
    })
}

/// Whether an expression computes over several rows, those of its queries apart.
pub(crate) fn computes_over_rows(expr: &Expr) -> bool {
    holds(&mut expr.clone(), &|part| {
        matches!(part, Expr::Call(call)
            if call.function.kind != FunctionKind::Scalar || call.over.is_some())
    })
}

/// Whether some part of an expression, queries apart, passes a test.
fn holds(expr: &mut Expr, test: &dyn Fn(&Expr) -> bool) -> bool {
    if test(expr) {
        return true;
    }
    if let Expr::Call(call) = expr {
        return call_parts(call).into_iter().any(|part| holds(part, test));
    }
    let Parts {
        values,
        decisive,
        query: _,
    } = parts(expr);
    values
        .into_iter()
        .chain(decisive)
        .any(|part| holds(part, test))
}

/// The expressions that a call is made of.
pub(super) fn call_parts(call: &mut Call) -> Vec<&mut Expr> {
    let mut parts = Vec::new();
    if let Arguments::List(list) = &mut call.arguments {
        parts.extend(list);
    }
    let mut orders: Vec<&mut OrderItem> = Vec::new();
    orders.extend(&mut call.order_by);
    orders.extend(&mut call.within_group);
    parts.extend(&mut call.filter);
    if let Some(window) = &mut call.over {
        parts.extend(&mut window.partition_by);
        orders.extend(&mut window.order_by);
    }
    parts.extend(orders.into_iter().filter_map(|item| match &mut item.key {
        Key::Expr(expr) => Some(expr),
        Key::Ordinal(..) => None,
    }));
    parts
}
