//! A query with parameters, run for one set of their values over tables in memory.

use std::sync::{Arc, atomic::AtomicBool};

use datafusion::{
    arrow::array::RecordBatch,
    catalog::TableProvider,
    common::{
        Result, ScalarValue,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _},
    },
    datasource::provider_as_source,
    execution::{
        SendableRecordBatchStream, SessionState, TaskContext, memory_pool::MemoryReservation,
    },
    logical_expr::{Expr, LogicalPlan, TableScanBuilder, expr_rewriter::NamePreserver},
    physical_expr::PhysicalExpr,
    physical_plan::execute_stream,
};
use futures::StreamExt as _;

use super::{
    apply::{Apply, Rows},
    outside::Parameters,
    shared::Shared,
};
use crate::engine::wanted::watched;

/// A query that is run for each row.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) number: usize,
    pub(super) plan: LogicalPlan,
    /// Over the rows of the first side.
    pub(super) parameters: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) rows: Rows,
    pub(super) is_volatile: bool,
    /// Where it is planned.
    pub(super) state: SessionState,
}

impl Query {
    /// The query with these values, over these tables. What may be NULL stays what it was: the engine takes a query as
    /// a value for never NULL where its column is not, though it may have no row.
    fn with(
        &self,
        plan: LogicalPlan,
        values: &[ScalarValue],
        tables: &[Arc<dyn TableProvider>],
    ) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| {
            if let Some(inner) = Apply::of(&node) {
                let query = self.with(inner.query.as_ref().clone(), values, tables)?;
                let apply = inner.with_query(query)?.into_plan();
                return Ok(Transformed::yes(apply));
            }
            if let LogicalPlan::TableScan(scan) = &node
                && let Some(number) = Shared::number(self.number, scan)?
                && let Some(table) = tables.get(number)
            {
                let source = provider_as_source(Arc::clone(table));
                let scan = TableScanBuilder::new(scan.table_name.clone(), source)
                    .with_projection(scan.projection.clone())
                    .build()?;
                return Ok(Transformed::yes(LogicalPlan::TableScan(scan)));
            }
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(|expr| {
                    let Expr::Placeholder(parameter) = &expr else {
                        return Ok(Transformed::no(expr));
                    };
                    let number = Parameters::number(self.number, parameter);
                    let Some(value) = number.and_then(|number| values.get(number)) else {
                        return Ok(Transformed::no(expr));
                    };
                    let value = match &parameter.field {
                        Some(field) => value.cast_to(field.data_type())?,
                        None => value.clone(),
                    };
                    Ok(Transformed::yes(Expr::Literal(value, None)))
                })?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
        })
        .data()
    }

    /// The rows that it has for these values, counted as they come.
    pub(super) async fn run(
        &self,
        values: &[ScalarValue],
        tables: &[Arc<dyn TableProvider>],
        (is_over, context): (&Arc<AtomicBool>, &Arc<TaskContext>),
        memory: &MemoryReservation,
    ) -> Result<Vec<RecordBatch>> {
        let plan = self.with(self.plan.clone(), values, tables)?;
        let planner = Arc::clone(self.state.query_planner());
        let plan = planner.create_physical_plan(&plan, &self.state).await?;
        let plan = watched(plan, is_over)?;
        let rows = execute_stream(plan, Arc::clone(context))?;
        held(rows, memory).await
    }
}

/// All batches of a stream, within the memory of statements.
pub(super) async fn held(
    mut rows: SendableRecordBatchStream,
    memory: &MemoryReservation,
) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await.transpose()? {
        memory.try_grow(batch.get_array_memory_size())?;
        batches.push(batch);
    }
    Ok(batches)
}
