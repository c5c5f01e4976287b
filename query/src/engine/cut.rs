//! Cuts out of a plan what one source computes whole.
//!
//! Enters: an optimized plan over governed tables. Leaves: the same plan, where groups of one table, or of
//! tables of one database that are joined, the rows of such joins, and what a sort keeps the first of are read as
//! their source makes them. Nothing is cut that the lists of the source do not name, nothing that reads a masked
//! column, nothing that could fail on a row; the rest of the plan stays as it is.

mod groups;
mod rows;

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{Fields, Schema, SchemaRef},
    catalog::TableProvider,
    common::{
        Column, Result,
        tree_node::{Transformed, TransformedResult as _},
    },
    datasource::provider_as_source,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection, Sort},
};

use self::{
    groups::grouped,
    rows::{Rows, position},
};
use crate::source::{
    remote::open,
    select::{Items, Select, SortKey, Top},
    table::Part,
};

/// What was cut out, within the plan.
const CUT: &str = "__cut";

/// See the module.
///
/// # Errors
/// A plan that is not whole.
pub(crate) fn cut(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_down_with_subqueries(|node| {
        let cut = match &node {
            LogicalPlan::Sort(sort) => first_rows(sort)?,
            LogicalPlan::Aggregate(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Projection(_)
            | LogicalPlan::SubqueryAlias(_) => whole(&node)?,
            _ => None,
        };
        Ok(cut.map_or_else(|| Transformed::no(node), Transformed::yes))
    })
    .data()
}

/// What reads a node's rows where its source makes all of them.
fn whole(node: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let table = made(node).and_then(|made| made.read(node, None));
    table
        .map(|table| in_place_of(node, (CUT, table)))
        .transpose()
}

/// A sort that keeps the first of its rows alone, over these as its source makes them.
fn first_rows(sort: &Sort) -> Result<Option<LogicalPlan>> {
    let Some(top) = kept(sort) else {
        return Ok(None);
    };
    let input = first_of(&sort.input, top)?;
    Ok(input.map(|input| {
        LogicalPlan::Sort(Sort {
            input: Arc::new(input),
            ..sort.clone()
        })
    }))
}

/// Which rows a sort keeps, if it is by columns and keeps the first alone.
fn kept(sort: &Sort) -> Option<Top> {
    let rows = sort.fetch.filter(|rows| *rows > 0)?;
    let keys = sort.expr.iter().map(|key| {
        Some(SortKey {
            output: position(sort.input.schema(), &key.expr)?,
            is_descending: !key.asc,
            has_nulls_first: key.nulls_first,
        })
    });
    let keys = keys.collect::<Option<_>>()?;
    Some(Top { keys, rows })
}

/// The same rows of what a projection of columns alone is made of.
fn below(projection: &Projection, top: Top) -> Option<Top> {
    let columns = projection.expr.iter();
    let columns = columns.map(|expr| position(projection.input.schema(), expr));
    let columns: Vec<usize> = columns.collect::<Option<_>>()?;
    let keys = top.keys.into_iter().map(|key| {
        let output = *columns.get(key.output)?;
        Some(SortKey { output, ..key })
    });
    let keys = keys.collect::<Option<_>>()?;
    Some(Top { keys, ..top })
}

/// What reads the first of a node's rows, which may lie below projections of columns.
fn first_of(node: &LogicalPlan, top: Top) -> Result<Option<LogicalPlan>> {
    let table = made(node).and_then(|made| made.read(node, Some(top.clone())));
    if let Some(table) = table {
        return in_place_of(node, (CUT, table)).map(Some);
    }
    let (input, top) = match node {
        LogicalPlan::SubqueryAlias(alias) => (&alias.input, Some(top)),
        LogicalPlan::Projection(projection) => (&projection.input, below(projection, top)),
        _ => return Ok(None),
    };
    let Some(top) = top else {
        return Ok(None);
    };
    let input = first_of(input, top)?;
    let rebuilt = input.map(|input| node.with_new_exprs(node.expressions(), vec![input]));
    rebuilt.transpose()
}

/// Columns of the same types under names of their own: those of the plan may be the same for several.
pub(super) fn numbered(fields: &Fields) -> SchemaRef {
    let fields = fields.iter().enumerate();
    let fields = fields.map(|(at, field)| field.as_ref().clone().with_name(format!("c{at}")));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Reads the table where the plan had the node, under the names that the node had for its columns.
pub(super) fn in_place_of(
    node: &LogicalPlan,
    (name, table): (&str, Arc<dyn TableProvider>),
) -> Result<LogicalPlan> {
    let ours = table.schema();
    let columns = ours.fields().iter().zip(node.schema().iter());
    let columns = columns.map(|(ours, (qualifier, field))| {
        let column = Expr::Column(Column::new(Some(name), ours.name()));
        column.alias_qualified(qualifier.cloned(), field.name())
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::scan(name, provider_as_source(table), None)?
        .project(columns)?
        .build()
}

/// What a node makes of rows.
struct Made<'a> {
    rows: Rows<'a>,
    items: Items,
}

/// What a node makes of rows of governed tables, if it does nothing else with them.
fn made(node: &LogicalPlan) -> Option<Made<'_>> {
    if let LogicalPlan::Aggregate(aggregate) = node {
        return grouped(aggregate);
    }
    let rows = Rows::of(node)?;
    let columns = rows.shown()?;
    let totals = None;
    let items = Items { columns, totals };
    Some(Made { rows, items })
}

impl Made<'_> {
    /// What reads it, or the first of it, as its source makes it, if the source does and that can be of use.
    fn read(self, node: &LogicalPlan, top: Option<Top>) -> Option<Arc<dyn TableProvider>> {
        let Self { rows, items } = self;
        let is_all_rows = items.totals.is_none() && top.is_none();
        // All rows of one table are read as they lie there.
        if is_all_rows && rows.tables.len() == 1 {
            return None;
        }
        let joined = rows.joined()?;
        let select = Select::new(joined, items, top, numbered(node.schema().fields()))?;
        let parts = rows.tables.iter().enumerate().map(|(number, table)| {
            let columns = select.names(number).map(str::to_owned).collect();
            table.part(columns)
        });
        let parts: Vec<Part> = parts.collect::<Option<_>>()?;
        // A join of whole tables has more bytes than these, if nothing chooses between its rows.
        let is_chosen = !(rows.joined.exists.is_empty() && rows.joined.tests.is_empty());
        if is_all_rows && !is_chosen && !parts.iter().any(Part::is_filtered) {
            return None;
        }
        open(parts, select, node.clone())
    }
}
