//! A query with parameters, run for one set of their values over tables in memory.

use std::sync::{Arc, atomic::AtomicBool};

use datafusion::{
    arrow::{
        array::{Array as _, ArrayRef, AsArray as _, GenericByteViewArray, RecordBatch},
        buffer::Buffer,
        datatypes::{ByteViewType, DataType},
    },
    catalog::TableProvider,
    common::{
        Result, ScalarValue,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _},
    },
    datasource::provider_as_source,
    execution::{
        SendableRecordBatchStream, SessionState, TaskContext, memory_pool::MemoryReservation,
    },
    logical_expr::{
        Expr, LogicalPlan, TableScanBuilder, expr::Placeholder, expr_rewriter::NamePreserver,
    },
    physical_expr::PhysicalExpr,
    physical_plan::{ExecutionPlan, execute_stream, execution_plan::reset_plan_states},
};
use futures::StreamExt as _;

use super::{
    apply::{Apply, Rows, any_expression},
    joined::rows,
    outside::{Parameters, has_parameter},
    parameter::{Parameter, Values},
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
    /// Whether its plan depends on the values.
    pub(super) is_planned_by_values: bool,
    /// Where it is planned.
    pub(super) state: SessionState,
}

impl Query {
    /// The query over these tables, with something in place of its parameters. What may be NULL stays what it was: the
    /// engine takes a query as a value for never NULL where its column is not, though it may have no row.
    fn with(
        &self,
        plan: LogicalPlan,
        value: &impl Fn(usize, &Placeholder) -> Result<Option<Expr>>,
        tables: &[Arc<dyn TableProvider>],
    ) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| {
            if let Some(inner) = Apply::of(&node) {
                let query = self.with(inner.query.as_ref().clone(), value, tables)?;
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
                    let value = match Parameters::number(self.number, parameter) {
                        Some(number) => value(number, parameter)?,
                        None => None,
                    };
                    Ok(value.map_or_else(|| Transformed::no(expr), Transformed::yes))
                })?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
        })
        .data()
    }

    /// The query as it is planned once for all its runs, unless its plan depends on the values, or the engine makes none
    /// without them.
    ///
    /// # Errors
    /// A plan that is not whole.
    pub(super) async fn planned(
        &self,
        tables: &[Arc<dyn TableProvider>],
        is_over: &Arc<AtomicBool>,
    ) -> Result<Option<Planned>> {
        if self.is_planned_by_values {
            return Ok(None);
        }
        let values = Values::default();
        let parameter = |number, parameter: &Placeholder| {
            let field = parameter.field.clone();
            let place = (self.number, number);
            Ok(field.map(|field| Parameter::expr(place, field, &values)))
        };
        let plan = self.with(self.plan.clone(), &parameter, tables)?;
        let plan = self.physical(&plan, is_over).await.ok();
        Ok(plan.map(|plan| Planned { plan, values }))
    }

    /// The rows that it has for these values, counted as they come.
    ///
    /// # Errors
    /// What fails in it.
    pub(super) async fn run(
        &self,
        values: &[ScalarValue],
        (tables, planned): (&[Arc<dyn TableProvider>], Option<&Planned>),
        (is_over, context): (&Arc<AtomicBool>, &Arc<TaskContext>),
        memory: &MemoryReservation,
    ) -> Result<Vec<RecordBatch>> {
        if let Some(planned) = planned {
            let plan = reset_plan_states(Arc::clone(&planned.plan))?;
            let _at_hand = planned.values.at_hand(values);
            return held(execute_stream(plan, Arc::clone(context))?, memory).await;
        }
        let value = |number, parameter: &Placeholder| {
            let field = parameter.field.as_ref();
            let to = field.map_or(&DataType::Null, |field| field.data_type());
            let value: Option<&ScalarValue> = values.get(number);
            let value = value.map(|value| value.cast_to(to)).transpose()?;
            Ok(value.map(|value| Expr::Literal(value, None)))
        };
        let plan = self.with(self.plan.clone(), &value, tables)?;
        let plan = self.physical(&plan, is_over).await?;
        held(execute_stream(plan, Arc::clone(context))?, memory).await
    }

    async fn physical(
        &self,
        plan: &LogicalPlan,
        is_over: &Arc<AtomicBool>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = self.state.query_planner();
        let plan = planner.create_physical_plan(plan, &self.state).await?;
        watched(plan, is_over)
    }
}

/// Whether the engine looks at values of a query's parameters when it plans it: in VALUES and LIMIT, and in settings.
pub(super) fn is_planned_by_values(plan: &LogicalPlan, query: usize) -> Result<bool> {
    any_expression(plan, &|node, part| {
        if matches!(node, LogicalPlan::Values(_) | LogicalPlan::Limit(_)) {
            return has_parameter(part, query);
        }
        for setting in settings(part) {
            if has_parameter(setting, query)? {
                return Ok(true);
            }
        }
        Ok(false)
    })
}

/// What of an expression the engine looks at when it plans: what an aggregate takes beside the column that it is of,
/// and all of a window, of whose keys it wants to know that they are the same whenever they are computed.
fn settings(expr: &Expr) -> &[Expr] {
    match expr {
        Expr::AggregateFunction(call) => call.params.args.get(1..).unwrap_or_default(),
        Expr::WindowFunction(_) => std::slice::from_ref(expr),
        _ => &[],
    }
}

/// A plan that is run again and again.
pub(super) struct Planned {
    plan: Arc<dyn ExecutionPlan>,
    values: Values,
}

/// All batches of a stream, within the memory of statements. Each holds no more than its rows: a run has few, in batches
/// with room for thousands.
pub(super) async fn held(
    mut rows: SendableRecordBatchStream,
    memory: &MemoryReservation,
) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await.transpose()? {
        let batch = compact(batch)?;
        memory.try_grow(batch.get_array_memory_size())?;
        batches.push(batch);
    }
    Ok(batches)
}

/// The same rows without the room for others that the engine took for them, and with texts and bytes of their own where
/// they are a small part of those that they lie among.
fn compact(batch: RecordBatch) -> Result<RecordBatch> {
    fn own<T: ByteViewType>(column: &GenericByteViewArray<T>) -> Option<ArrayRef> {
        let around = column.data_buffers().iter().map(Buffer::len);
        let is_small = around.sum::<usize>() > 2 * column.total_buffer_bytes_used();
        is_small.then(|| Arc::new(column.gc()) as ArrayRef)
    }
    let owned = |column: &ArrayRef| {
        let texts = column.as_string_view_opt().and_then(own);
        texts.or_else(|| column.as_binary_view_opt().and_then(own))
    };
    let (schema, columns, count) = batch.into_parts();
    let columns = columns.into_iter().map(|mut column| {
        owned(&column).unwrap_or_else(|| {
            column.shrink_to_fit();
            column
        })
    });
    rows(schema, columns.collect(), count)
}
