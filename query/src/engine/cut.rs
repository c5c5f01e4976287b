//! Cuts out of a plan what one source computes whole.
//!
//! Enters: an optimized plan over governed tables. Leaves: the same plan, where groups of one table, or of
//! tables of one database that are joined, are read as their source makes them. Nothing is cut that the lists of
//! the source do not name, nothing that reads a masked column, nothing that could fail on a row; the rest of the
//! plan stays as it is.

mod rows;

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Schema},
    catalog::TableProvider,
    common::{
        Column, Result,
        tree_node::{Transformed, TransformedResult as _},
    },
    datasource::provider_as_source,
    logical_expr::{
        Aggregate, Expr, LogicalPlan, LogicalPlanBuilder,
        expr::{AggregateFunction, AggregateFunctionParams},
    },
};
use dataos_model::dataset::{self, ColumnType};

use self::rows::{Rows, column};
use crate::source::{
    grouped::open,
    groups::{Groups, Of, Total},
};

/// What was cut out, within the plan.
const CUT: &str = "__cut";

/// See the module.
///
/// # Errors
/// A plan that is not whole.
pub(crate) fn cut(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::Aggregate(aggregate) = &node else {
            return Ok(Transformed::no(node));
        };
        match grouped(aggregate) {
            Some(groups) => Ok(Transformed::yes(in_place_of(&node, groups)?)),
            None => Ok(Transformed::no(node)),
        }
    })
    .data()
}

/// Reads the groups where the plan had the node, under the names that the node had for its columns.
fn in_place_of(node: &LogicalPlan, table: Arc<dyn TableProvider>) -> Result<LogicalPlan> {
    let ours = table.schema();
    let columns = ours.fields().iter().zip(node.schema().iter());
    let columns = columns.map(|(ours, (qualifier, field))| {
        let column = Expr::Column(Column::new(Some(CUT), ours.name()));
        column.alias_qualified(qualifier.cloned(), field.name())
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::scan(CUT, provider_as_source(table), None)?
        .project(columns)?
        .build()
}

/// The groups of an aggregation as the source of its tables makes them, if it does.
fn grouped(aggregate: &Aggregate) -> Option<Arc<dyn TableProvider>> {
    let Grouped { rows, keys, totals } =
        grouped_rows(aggregate).or_else(|| regrouped(aggregate))?;
    let pairs = rows.pairs.iter().map(|[left, right]| {
        let (left, right) = (rows.seen(left)?, rows.seen(right)?);
        Some([left, right])
    });
    let fields = aggregate.schema.fields().iter().enumerate();
    // Names of their own: those of the plan may be the same for several.
    let fields = fields.map(|(at, field)| field.as_ref().clone().with_name(format!("c{at}")));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let groups = Groups::new(pairs.collect::<Option<_>>()?, keys, totals, schema)?;
    let parts = rows.tables.iter().enumerate().map(|(number, table)| {
        let columns = groups.names(number).map(str::to_owned).collect();
        table.part(columns)
    });
    let parts = parts.collect::<Option<_>>()?;
    open(parts, groups, LogicalPlan::Aggregate(aggregate.clone()))
}

/// What an aggregation makes of rows.
struct Grouped<'a> {
    rows: Rows<'a>,
    keys: Vec<Of<dataset::Column>>,
    totals: Vec<Of<Total>>,
}

/// Of an aggregation of rows.
fn grouped_rows(aggregate: &Aggregate) -> Option<Grouped<'_>> {
    let rows = Rows::of(&aggregate.input)?;
    let keys = aggregate.group_expr.iter().map(|key| rows.plain(key));
    let totals = aggregate.aggr_expr.iter().map(|expr| total(&rows, expr));
    Some(Grouped {
        keys: keys.collect::<Option<_>>()?,
        totals: totals.collect::<Option<_>>()?,
        rows,
    })
}

/// Of an aggregation of groups that have one key more, in which the engine makes `count(DISTINCT ..)`: there are as
/// many of these as the key has values, and sums of sums, least of least and greatest of greatest are those of
/// the rows.
fn regrouped(aggregate: &Aggregate) -> Option<Grouped<'_>> {
    let LogicalPlan::Aggregate(inner) = aggregate.input.as_ref() else {
        return None;
    };
    let Grouped { rows, keys, totals } = grouped_rows(inner)?;
    let index = |expr: &Expr| inner.schema.index_of_column(column(expr)?).ok();
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
    Some(Grouped {
        totals: regrouped.collect::<Option<_>>()?,
        keys: by
            .iter()
            .filter_map(|key| keys.get(*key).cloned())
            .collect(),
        rows,
    })
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
