//! Cuts out of a plan what one source computes whole.
//!
//! Enters: an optimized plan over governed tables. Leaves: the same plan, where groups of one table are read
//! as the table's source makes them. Nothing is cut that the lists of the source do not name, nothing that
//! reads a masked column, nothing that could fail on a row; the rest of the plan stays as it is.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Schema},
    catalog::TableProvider,
    common::{
        Column, DFSchema, Result, plan_err,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _},
    },
    datasource::{provider_as_source, source_as_provider},
    logical_expr::{
        Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, expr::AggregateFunctionParams,
        utils::split_conjunction,
    },
};
use dataos_model::dataset::{self, ColumnType};

use super::governed::GovernedTable;
use crate::source::groups::{Groups, Total};

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

/// Reads the table where the plan had the node, under the names that the node had for its columns.
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

/// The groups of an aggregation as the source of its table makes them, if it does.
fn grouped(aggregate: &Aggregate) -> Option<Arc<dyn TableProvider>> {
    let rows = Rows::of(&aggregate.input)?;
    let table = rows.table()?;
    let keys = aggregate
        .group_expr
        .iter()
        .map(|key| rows.plain(table, key));
    let totals = aggregate
        .aggr_expr
        .iter()
        .map(|total| rows.total(table, total));
    let fields = aggregate.schema.fields().iter().enumerate();
    // Names of their own: those of the plan may be the same for several.
    let fields = fields.map(|(at, field)| field.as_ref().clone().with_name(format!("c{at}")));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let groups = Groups::new(
        keys.collect::<Option<_>>()?,
        totals.collect::<Option<_>>()?,
        Arc::new(schema),
    )?;
    let here = LogicalPlan::Aggregate(aggregate.clone());
    table.grouped(rows.filters.clone(), groups, here)
}

/// Rows of one governed table, some of them, with some of its columns under names of the plan.
struct Rows<'a> {
    /// A governed table.
    provider: Arc<dyn TableProvider>,
    /// Over the table's columns.
    filters: Vec<Expr>,
    schema: &'a DFSchema,
    /// In the order of the schema: what the table calls each column, or nothing if it is computed.
    columns: Vec<Option<String>>,
}

impl<'a> Rows<'a> {
    /// What a plan gives, if it is that.
    fn of(plan: &'a LogicalPlan) -> Option<Self> {
        match plan {
            LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {
                let columns = scan.projected_schema.fields().iter();
                let mut rows = Self {
                    provider: source_as_provider(&scan.source).ok()?,
                    filters: Vec::new(),
                    schema: &scan.projected_schema,
                    columns: columns.map(|field| Some(field.name().clone())).collect(),
                };
                for filter in &scan.filters {
                    let name = |column: &Column| Some(column.name.clone());
                    rows.keep(renamed(filter, name)?);
                }
                Some(rows)
            }
            LogicalPlan::SubqueryAlias(alias) => Some(Self {
                schema: &alias.schema,
                ..Self::of(&alias.input)?
            }),
            LogicalPlan::Filter(filter) => {
                let mut rows = Self::of(&filter.input)?;
                for conjunct in split_conjunction(&filter.predicate) {
                    rows.keep(renamed(conjunct, |column| rows.name(column))?);
                }
                Some(rows)
            }
            LogicalPlan::Projection(projection) => {
                let rows = Self::of(&projection.input)?;
                let columns = projection.expr.iter().map(|expr| rows.name(column(expr)?));
                Some(Self {
                    columns: columns.collect(),
                    schema: &projection.schema,
                    ..rows
                })
            }
            _ => None,
        }
    }

    fn table(&self) -> Option<&GovernedTable> {
        self.provider.downcast_ref()
    }

    fn keep(&mut self, filter: Expr) {
        if !self.filters.contains(&filter) {
            self.filters.push(filter);
        }
    }

    /// What the table calls a column of the plan.
    fn name(&self, column: &Column) -> Option<String> {
        let at = self.schema.index_of_column(column).ok()?;
        self.columns.get(at)?.clone()
    }

    /// The column that an expression is, which the caller sees as it is.
    fn plain(&self, table: &GovernedTable, expr: &Expr) -> Option<dataset::Column> {
        table.plain(&self.name(column(expr)?)?)
    }

    fn total(&self, table: &GovernedTable, expr: &Expr) -> Option<Total> {
        let function = match expr {
            Expr::Alias(alias) => return self.total(table, &alias.expr),
            Expr::AggregateFunction(function) => function,
            _ => return None,
        };
        let AggregateFunctionParams {
            args,
            distinct: false,
            filter: None,
            order_by,
            null_treatment: None,
        } = &function.params
        else {
            return None;
        };
        let ([argument], []) = (args.as_slice(), order_by.as_slice()) else {
            return None;
        };
        let plain = || self.plain(table, argument);
        match (function.func.name(), argument) {
            ("count", Expr::Literal(value, _)) if !value.is_null() => Some(Total::Rows),
            ("count", _) => plain().map(Total::Present),
            ("sum", Expr::Cast(cast)) if *cast.field.data_type() == DataType::Int64 => {
                let summed = self.plain(table, &cast.expr)?;
                matches!(summed.column_type, ColumnType::Int(_)).then_some(Total::Sum(summed))
            }
            ("sum", _) => plain().map(Total::Sum),
            ("min", _) => plain().map(Total::Least),
            ("max", _) => plain().map(Total::Greatest),
            _ => None,
        }
    }
}

/// The column that an expression is, whatever it is called.
fn column(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Alias(alias) => column(&alias.expr),
        _ => None,
    }
}

/// The expression over other names; `None` if it reads a column that has none.
fn renamed(expr: &Expr, name: impl Fn(&Column) -> Option<String>) -> Option<Expr> {
    let renamed = expr.clone().transform_up(|expr| match &expr {
        Expr::Column(column) => match name(column) {
            Some(name) => Ok(Transformed::yes(Expr::Column(Column::from_name(name)))),
            None => plan_err!("a column without a name"),
        },
        _ => Ok(Transformed::no(expr)),
    });
    renamed.data().ok()
}
