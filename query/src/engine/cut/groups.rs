//! Groups of rows of governed tables as a plan makes them, if it does nothing else with them.

use datafusion::{
    arrow::datatypes::DataType,
    logical_expr::{
        Aggregate, Expr, LogicalPlan,
        expr::{AggregateFunction, AggregateFunctionParams},
    },
};
use dataos_model::dataset::{self, ColumnType};

use super::{
    Made,
    rows::{Rows, position},
};
use crate::source::select::{Items, Of, Total};

/// What an aggregation makes of rows.
pub(super) fn grouped(aggregate: &Aggregate) -> Option<Made<'_>> {
    of_rows(aggregate).or_else(|| of_groups(aggregate))
}

/// Of an aggregation of rows.
fn of_rows(aggregate: &Aggregate) -> Option<Made<'_>> {
    let rows = Rows::of(&aggregate.input)?;
    let keys = aggregate.group_expr.iter().map(|key| rows.plain(key));
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
            let Of { table, what } = keys.get(at)?.clone();
            let what = Total::Distinct(what);
            return Some(Of { table, what });
        }
        let total = totals.get(at.checked_sub(keys.len())?)?;
        let is_same = matches!(
            (name, &total.what),
            ("sum", Total::Sum(_)) | ("min", Total::Least(_)) | ("max", Total::Greatest(_))
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
fn total(rows: &Rows<'_>, expr: &Expr) -> Option<Of<Total>> {
    let function = function(expr)?;
    let argument = argument(function)?;
    let of = |total: fn(dataset::Column) -> Total, column: Of<dataset::Column>| Of {
        table: column.table,
        what: total(column.what),
    };
    let plain = |total| Some(of(total, rows.plain(argument)?));
    match (function.func.name(), argument) {
        ("count", _) if function.params.distinct => plain(Total::Distinct),
        _ if function.params.distinct => None,
        ("count", Expr::Literal(value, _)) if !value.is_null() => Some(Of {
            table: 0,
            what: Total::Rows,
        }),
        ("count", _) => plain(Total::Present),
        ("sum", Expr::Cast(cast)) if *cast.field.data_type() == DataType::Int64 => {
            let summed = rows.plain(&cast.expr)?;
            let is_integer = matches!(summed.what.column_type, ColumnType::Int(_));
            is_integer.then(|| of(Total::Sum, summed))
        }
        ("sum", _) => plain(Total::Sum),
        ("min", _) => plain(Total::Least),
        ("max", _) => plain(Total::Greatest),
        _ => None,
    }
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
