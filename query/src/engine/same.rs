//! One name for each governed table, wherever it stands in a plan: that of the plain statement, if it is free.
//!
//! Every table of a governed text has a name of its own and an alias. The engine computes a query that is written
//! twice once, if it sees that both are the same; so what is read under the same rights gets the alias that it has
//! first as its name, or keeps the name that it has first where that alias is the name of something else. An alias
//! that is the name says nothing more: without it the plan is that of the plain statement, and no larger.

use std::sync::Arc;

use datafusion::{
    catalog::TableProvider,
    common::{
        Result, TableReference,
        tree_node::{Transformed, TransformedResult as _, TreeNodeRecursion},
    },
    datasource::source_as_provider,
    logical_expr::{LogicalPlan, SubqueryAlias, TableScanBuilder},
};

use super::governed::GovernedTable;

/// See the module. `plan` is as it was made of the text, where each table has an alias.
///
/// # Errors
/// A plan that is not whole.
pub(crate) fn same_named(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut names = Names::of_others(&plan)?;
    plan.transform_down_with_subqueries(|node| {
        let (LogicalPlan::SubqueryAlias(alias), [LogicalPlan::TableScan(scan)]) =
            (&node, node.inputs().as_slice())
        else {
            return Ok(Transformed::no(node));
        };
        let table = source_as_provider(&scan.source)?;
        let name = names.of(table, &scan.table_name, &alias.alias);
        let is_alias = name == alias.alias;
        let scan = TableScanBuilder::new(name, Arc::clone(&scan.source))
            .with_projection(scan.projection.clone())
            .with_filters(scan.filters.clone())
            .with_fetch(scan.fetch)
            .build()?;
        let scan = LogicalPlan::TableScan(scan);
        if is_alias {
            return Ok(Transformed::yes(scan));
        }
        let alias = SubqueryAlias::try_new(Arc::new(scan), alias.alias.clone())?;
        Ok(Transformed::yes(LogicalPlan::SubqueryAlias(alias)))
    })
    .data()
}

/// What each table is called; no two are called the same.
struct Names(Vec<(Arc<dyn TableProvider>, TableReference)>);

impl Names {
    /// Of what is read that is no governed table: rows of a recursive query, which keep their names.
    fn of_others(plan: &LogicalPlan) -> Result<Self> {
        let mut names = Vec::new();
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                let table = source_as_provider(&scan.source)?;
                if table.downcast_ref::<GovernedTable>().is_none() {
                    names.push((table, scan.table_name.clone()));
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(Self(names))
    }

    /// Of a table that has this name and this alias where it stands.
    fn of(
        &mut self,
        table: Arc<dyn TableProvider>,
        name: &TableReference,
        alias: &TableReference,
    ) -> TableReference {
        let mut known = self.0.iter();
        if let Some((_, name)) = known.find(|(known, _)| Arc::ptr_eq(known, &table)) {
            return name.clone();
        }
        let is_taken = self.0.iter().any(|(_, name)| name == alias);
        let name = if is_taken { name } else { alias };
        self.0.push((table, name.clone()));
        name.clone()
    }
}
