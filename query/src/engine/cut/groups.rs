//! Groups of rows of governed tables as a plan makes them, if it does nothing else with them.

use datafusion::logical_expr::{
    Aggregate, Expr, LogicalPlan,
    expr::{AggregateFunction, AggregateFunctionParams},
};
use dataos_model::dataset::ColumnType;

use super::{
    Made,
    rows::{Rows, position},
};
use crate::source::{
    select::Items,
    term::Term,
    total::{Function, Total},
};

/// What an aggregation makes of rows.
pub(super) fn grouped(aggregate: &Aggregate) -> Option<Made<'_>> {
    of_rows(aggregate).or_else(|| of_groups(aggregate))
}

/// Of an aggregation of rows.
fn of_rows(aggregate: &Aggregate) -> Option<Made<'_>> {
    let rows = Rows::of(&aggregate.input)?;
    let keys = aggregate.group_expr.iter().map(|key| rows.plain_term(key));
    let totals = aggregate.aggr_expr.iter().map(|expr| total(&rows, expr));
    let items = Items {
        columns: keys.collect::<Option<_>>()?,
        totals: Some(totals.collect::<Option<_>>()?),
    };
    Some(Made { rows, items })
}

/// Of an aggregation of groups that have one key more, in which the engine makes `count(DISTINCT ..)`: there are as
/// many of these as the key has values, and sums of sums, least of least and greatest of greatest are those of
/// the rows.
fn of_groups(aggregate: &Aggregate) -> Option<Made<'_>> {
    let LogicalPlan::Aggregate(inner) = aggregate.input.as_ref() else {
        return None;
    };
    let Made { rows, items } = of_rows(inner)?;
    let (keys, totals) = (items.columns, items.totals?);
    let index = |expr: &Expr| position(&inner.schema, expr);
    let by = aggregate.group_expr.iter().map(index);
    let by: Vec<usize> = by.collect::<Option<_>>()?;
    let mut others = (0..keys.len()).filter(|key| !by.contains(key));
    let (Some(other), None) = (others.next(), others.next()) else {
        return None;
    };
    let regrouped = aggregate.aggr_expr.iter().map(|expr| {
        let function = function(expr).filter(|function| !function.params.distinct)?;
        let (name, at) = (function.func.name(), index(argument(function)?)?);
        if at == other && name == "count" {
            return Some(Total::Of(Function::Distinct, keys.get(at)?.clone()));
        }
        let total = totals.get(at.checked_sub(keys.len())?)?;
        let is_same = matches!(
            (name, total),
            ("sum", Total::Of(Function::Sum, _))
                | ("min", Total::Of(Function::Least, _))
                | ("max", Total::Of(Function::Greatest, _))
        );
        is_same.then(|| total.clone())
    });
    let totals = Some(regrouped.collect::<Option<_>>()?);
    let keys = by.iter().filter_map(|key| keys.get(*key).cloned());
    let columns = keys.collect();
    let items = Items { columns, totals };
    Some(Made { rows, items })
}

/// What is told of a group by an expression of an aggregation.
fn total(rows: &Rows<'_>, expr: &Expr) -> Option<Total> {
    let function = function(expr)?;
    let argument = argument(function)?;
    let name = function.func.name();
    if function.params.distinct {
        let column = rows.plain(argument).filter(|_| name == "count")?;
        return Some(Total::Of(Function::Distinct, Term::Column(column)));
    }
    if let ("count", Expr::Literal(value, _)) = (name, argument) {
        return (!value.is_null()).then_some(Total::Rows);
    }
    let term = rows.plain_term(argument)?;
    let (function, term) = match (name, term) {
        ("count", term) => (Function::Present, term),
        // The engine adds up integers in 64 bits, and as doubles for their mean.
        ("sum", Term::Cast(term, ColumnType::Int(64))) if term.is_integer() => {
            (Function::Sum, *term)
        }
        ("sum", term) => (Function::Sum, term),
        ("avg", Term::Cast(term, ColumnType::Float(64))) if term.is_integer() => {
            (Function::Mean, *term)
        }
        ("avg", term) => (Function::Mean, term),
        ("min", term) => (Function::Least, term),
        ("max", term) => (Function::Greatest, term),
        _ => return None,
    };
    Some(Total::Of(function, term))
}

/// The function of an aggregation's expression, whatever it is called.
fn function(expr: &Expr) -> Option<&AggregateFunction> {
    match expr {
        Expr::Alias(alias) => function(&alias.expr),
        Expr::AggregateFunction(function) => Some(function),
        _ => None,
    }
}

/// The only argument of a function, if it is one of all rows in any order.
fn argument(function: &AggregateFunction) -> Option<&Expr> {
    let AggregateFunctionParams {
        args,
        distinct: _,
        filter: None,
        order_by,
        null_treatment: None,
    } = &function.params
    else {
        return None;
    };
    match (args.as_slice(), order_by.as_slice()) {
        ([argument], []) => Some(argument),
        _ => None,
    }
}
