//! One name for each governed table, wherever it stands in a plan.
//!
//! Every table of a governed text has a name of its own. The engine computes a query that is written twice once, if
//! it sees that both are the same; so what is read under the same rights gets the name that it has first. Aliases
//! stand between these names and the rest of the plan.

use std::sync::Arc;

use datafusion::{
    catalog::TableProvider,
    common::{
        Result, TableReference,
        tree_node::{Transformed, TransformedResult as _},
    },
    datasource::source_as_provider,
    logical_expr::{LogicalPlan, SubqueryAlias, TableScanBuilder},
};

/// See the module. `plan` is as it was made of the text, where each table has an alias.
///
/// # Errors
/// A plan that is not whole.
pub(crate) fn same_named(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut names: Vec<(Arc<dyn TableProvider>, TableReference)> = Vec::new();
    plan.transform_down_with_subqueries(|node| {
        let (LogicalPlan::SubqueryAlias(alias), [LogicalPlan::TableScan(scan)]) =
            (&node, node.inputs().as_slice())
        else {
            return Ok(Transformed::no(node));
        };
        let table = source_as_provider(&scan.source)?;
        let Some((_, name)) = names.iter().find(|(known, _)| Arc::ptr_eq(known, &table)) else {
            names.push((table, scan.table_name.clone()));
            return Ok(Transformed::no(node));
        };
        let scan = TableScanBuilder::new(name.clone(), Arc::clone(&scan.source))
            .with_projection(scan.projection.clone())
            .with_filters(scan.filters.clone())
            .with_fetch(scan.fetch)
            .build()?;
        let input = Arc::new(LogicalPlan::TableScan(scan));
        let alias = SubqueryAlias::try_new(input, alias.alias.clone())?;
        Ok(Transformed::yes(LogicalPlan::SubqueryAlias(alias)))
    })
    .data()
}
