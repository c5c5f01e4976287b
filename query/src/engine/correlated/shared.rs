//! What a query reads that is the same for all rows around it.

use std::{collections::HashSet, fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::{Session, TableProvider, cte_worktable::CteWorkTable},
    common::{
        Result, internal_err,
        tree_node::{Transformed, TransformedResult as _, TreeNodeRecursion},
    },
    datasource::source_as_provider,
    logical_expr::{
        Expr, LogicalPlan, LogicalPlanBuilder, TableScan, TableScanBuilder, TableType,
        utils::conjunction,
    },
    physical_plan::ExecutionPlan,
};

use super::{apply::Apply, outside::has_parameter};
use crate::engine::cut::{in_place_of, numbered};

/// Takes out of an optimized query what it reads and needs no parameter of it, and leaves tables that stand for
/// that. The parts are as large as they can be; a table that is read under a condition with a parameter is read
/// without it.
///
/// # Errors
/// A plan that is not whole.
pub(super) fn taken(query: LogicalPlan, number: usize) -> Result<(LogicalPlan, Vec<LogicalPlan>)> {
    let mut taken = Vec::new();
    let query = query
        .transform_up_with_subqueries(|node| match node {
            LogicalPlan::TableScan(scan) => without_parameters(scan, number),
            node => Ok(Transformed::no(node)),
        })?
        .data
        .transform_down_with_subqueries(|node| {
            // A query in an expression stays one.
            let is_frame = matches!(node, LogicalPlan::Subquery(_));
            if is_frame || !reads(&node)? || needs(&node, number)? {
                return Ok(Transformed::no(node));
            }
            let table = Shared {
                query: number,
                number: taken.len(),
                schema: numbered(node.schema().fields()),
            };
            let instead = in_place_of(&node, (&table.to_string(), Arc::new(table)))?;
            taken.push(node);
            Ok(Transformed::new(instead, true, TreeNodeRecursion::Jump))
        })
        .data()?;
    Ok((query, taken))
}

/// A scan whose conditions with parameters stand above it.
fn without_parameters(scan: TableScan, number: usize) -> Result<Transformed<LogicalPlan>> {
    let has_none = |filter: &Expr| has_parameter(filter, number).map(|has| !has);
    let (mut closed, mut open) = (Vec::new(), Vec::new());
    for filter in &scan.filters {
        let filters = if has_none(filter)? {
            &mut closed
        } else {
            &mut open
        };
        filters.push(filter.clone());
    }
    let Some(condition) = conjunction(open) else {
        return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
    };
    let shown = scan.projected_schema.columns();
    let schema = scan.source.schema();
    let projection = scan.projection.map(|mut columns| {
        let named = condition.column_refs();
        let named = named
            .iter()
            .filter_map(|column| schema.index_of(&column.name).ok());
        columns.extend(named.collect::<HashSet<_>>());
        columns.sort_unstable();
        columns.dedup();
        columns
    });
    let read = TableScanBuilder::new(scan.table_name, scan.source)
        .with_projection(projection)
        .with_filters(closed)
        .build()?;
    let mut read = LogicalPlanBuilder::from(LogicalPlan::TableScan(read)).filter(condition)?;
    if scan.fetch.is_some() {
        read = read.limit(0, scan.fetch)?;
    }
    read.project(shown.into_iter().map(Expr::Column))?
        .build()
        .map(Transformed::yes)
}

/// Whether a part of a plan reads anything that has not been taken out.
fn reads(plan: &LogicalPlan) -> Result<bool> {
    let mut reads = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            reads |= source_as_provider(&scan.source)?
                .downcast_ref::<Shared>()
                .is_none();
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(reads)
}

/// Whether a part of a plan is not the same for all rows: it has a parameter, or reads rows of a recursive query
/// around it.
fn needs(plan: &LogicalPlan, number: usize) -> Result<bool> {
    let mut needs = false;
    let (mut made, mut read) = (HashSet::new(), HashSet::new());
    plan.apply_with_subqueries(|node| {
        if let Some(apply) = Apply::of(node) {
            needs |= self::needs(&apply.query, number)?;
        }
        match node {
            LogicalPlan::RecursiveQuery(query) => {
                made.insert(query.name.clone());
            }
            LogicalPlan::TableScan(scan) => {
                let table = source_as_provider(&scan.source)?;
                if table.downcast_ref::<CteWorkTable>().is_some() {
                    read.insert(scan.table_name.table().to_owned());
                }
            }
            _ => {}
        }
        node.apply_expressions(|expr| {
            needs |= has_parameter(expr, number)?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(needs || !read.is_subset(&made))
}

/// A table that stands for an input of a node, until its rows are there.
#[derive(Debug)]
pub(super) struct Shared {
    query: usize,
    number: usize,
    schema: SchemaRef,
}

impl Shared {
    /// The number of the input of this query for which a scan stands.
    ///
    /// # Errors
    /// A source that is no table.
    pub(super) fn number(query: usize, scan: &TableScan) -> Result<Option<usize>> {
        let table = source_as_provider(&scan.source)?;
        let shared = table.downcast_ref::<Self>();
        Ok(shared
            .filter(|shared| shared.query == query)
            .map(|shared| shared.number))
    }
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "__shared_{}_{}", self.query, self.number)
    }
}

#[async_trait]
impl TableProvider for Shared {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!("rows are read before they are there")
    }
}
