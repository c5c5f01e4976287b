//! Runs a query for each row.
//!
//! The rows of the first side are taken batch by batch, and the query is run once for each different set of values
//! that a batch has for its parameters; once for each row where it has a function that changes its answer. What it
//! reads of tables lies in memory by then, read once for the whole statement.

use std::{
    fmt, iter,
    sync::{Arc, atomic::AtomicBool},
};

use async_trait::async_trait;
use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::{MemTable, Session, TableProvider},
    common::{DataFusionError, Result, internal_err, tree_node::TreeNodeRecursion},
    execution::{
        SendableRecordBatchStream, SessionState, SessionStateBuilder, TaskContext,
        context::QueryPlanner,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    logical_expr::{
        LogicalPlan, UserDefinedLogicalNode, physical_planning_context::PhysicalPlanningContext,
    },
    physical_expr::{Distribution, EquivalenceProperties, Partitioning, PhysicalExpr},
    physical_optimizer::{PhysicalOptimizerRule as _, aggregate_statistics::AggregateStatistics},
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan,
        ExecutionPlanProperties as _, PlanProperties, ReplaceChildrenOptions, execute_stream,
        execution_plan::EmissionType, stream::RecordBatchStreamAdapter,
    },
    physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner},
};
use futures::{TryStreamExt as _, stream};
use tokio::sync::OnceCell;

use super::{
    apply::{Apply, any_expression},
    joined::{Run, rows},
    parameter::Parameter,
    query::{Query, held, is_planned_by_values},
};
use crate::engine::cut::numbered;

/// Plans what the engine does, and queries that are run for each row.
#[derive(Debug)]
pub(in crate::engine) struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Self)]);
        planner.create_physical_plan(plan, session).await
    }
}

#[async_trait]
impl ExtensionPlanner for Planner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(apply), Some(first)) = (
            node.as_any().downcast_ref::<Apply>(),
            logical_inputs.first(),
        ) else {
            return Ok(None);
        };
        let Some(state) = session.as_any().downcast_ref::<SessionState>() else {
            return internal_err!("a statement is planned in a session of another kind");
        };
        let parameters =
            apply.parameters.columns.iter().map(|column| {
                planner.create_physical_expr(column, first.schema(), session, context)
            });
        let query = Query {
            number: apply.parameters.query,
            plan: apply.query.as_ref().clone(),
            parameters: parameters.collect::<Result<_>>()?,
            rows: apply.rows,
            is_volatile: is_volatile(&apply.query)?,
            is_planned_by_values: is_planned_by_values(&apply.query, apply.parameters.query)?,
            state: in_memory(state),
        };
        let schema = Arc::clone(apply.schema().inner());
        let exec = ApplyExec::new(Arc::new(query), inputs.to_vec(), schema, Arc::default())?;
        Ok(Some(Arc::new(exec)))
    }
}

/// Where a query over few rows in memory is planned: in one partition, and without the engine's rule that answers
/// totals from what it expects of columns, which is not exact behind a join of one row (DataFusion 55: `sum`). Filters
/// that a run makes while it runs would be there in the next.
fn in_memory(state: &SessionState) -> SessionState {
    let rules = state.physical_optimizers().iter();
    let rules = rules.filter(|rule| rule.name() != AggregateStatistics::new().name());
    let rules = rules.map(Arc::clone).collect();
    let mut state = SessionStateBuilder::new_from_existing(state.clone())
        .with_physical_optimizer_rules(rules)
        .build();
    let options = state.config_mut().options_mut();
    options.execution.target_partitions = 1;
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    state
}

/// Whether a plan has a function that changes its answer.
fn is_volatile(plan: &LogicalPlan) -> Result<bool> {
    any_expression(plan, &|_, part| {
        Ok(part.is_volatile_node() && !Parameter::is(part))
    })
}

/// Tables that lie in memory, and that they do.
pub(super) type Tables = Arc<(Vec<Arc<dyn TableProvider>>, MemoryReservation)>;

/// See the module.
#[derive(Debug)]
pub(in crate::engine) struct ApplyExec {
    query: Arc<Query>,
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    schema: SchemaRef,
    is_over: Arc<AtomicBool>,
    /// What is read once, by whichever partition comes first.
    tables: Arc<OnceCell<Result<Tables, Arc<DataFusionError>>>>,
    properties: Arc<PlanProperties>,
}

impl ApplyExec {
    fn new(
        query: Arc<Query>,
        inputs: Vec<Arc<dyn ExecutionPlan>>,
        schema: SchemaRef,
        is_over: Arc<AtomicBool>,
    ) -> Result<Self> {
        let Some(first) = inputs.first() else {
            return internal_err!("a query is run for the rows of nothing");
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(first.output_partitioning().partition_count()),
            EmissionType::Incremental,
            first.boundedness(),
        );
        Ok(Self {
            query,
            inputs,
            schema,
            is_over,
            tables: Arc::default(),
            properties: Arc::new(properties),
        })
    }

    /// The same, over once somebody says so.
    ///
    /// # Errors
    /// None; a node without inputs has the type.
    pub(in crate::engine) fn watched(&self, is_over: &Arc<AtomicBool>) -> Result<Self> {
        let (query, schema) = (Arc::clone(&self.query), Arc::clone(&self.schema));
        Self::new(query, self.inputs.clone(), schema, Arc::clone(is_over))
    }
}

impl DisplayAs for ApplyExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApplyExec: {:?}", self.query.rows)
    }
}

impl ExecutionPlan for ApplyExec {
    fn name(&self) -> &'static str {
        "ApplyExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        let shared = iter::repeat_n(Distribution::SinglePartition, self.inputs.len() - 1);
        iter::once(Distribution::UnspecifiedDistribution)
            .chain(shared)
            .collect()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        (0..self.inputs.len()).map(|input| input == 0).collect()
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for parameter in &self.query.parameters {
            if visit(parameter)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (query, schema) = (Arc::clone(&self.query), Arc::clone(&self.schema));
        let is_over = Arc::clone(&self.is_over);
        Ok(Arc::new(Self::new(query, children, schema, is_over)?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let Some((first, shared)) = self.inputs.split_first() else {
            return internal_err!("a query is run for the rows of nothing");
        };
        let rows = first.execute(partition, Arc::clone(&context))?;
        let (cell, shared) = (Arc::clone(&self.tables), shared.to_vec());
        let reading = Arc::clone(&context);
        let run = Run {
            query: Arc::clone(&self.query),
            planned: OnceCell::new(),
            schema: Arc::clone(&self.schema),
            is_over: Arc::clone(&self.is_over),
            memory: MemoryConsumer::new("ApplyExec").register(context.memory_pool()),
            context,
        };
        let rows = stream::once(async move {
            let tables = cell.get_or_init(|| async { Ok(read(shared, reading).await?) });
            let tables = tables.await.as_ref();
            let tables = tables.map_err(|error| DataFusionError::Shared(Arc::clone(error)))?;
            Ok::<_, DataFusionError>(run.over(rows, Arc::clone(tables)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            rows.try_flatten(),
        )))
    }
}

/// Reads tables into memory.
async fn read(inputs: Vec<Arc<dyn ExecutionPlan>>, context: Arc<TaskContext>) -> Result<Tables> {
    let memory = MemoryConsumer::new("tables of ApplyExec").register(context.memory_pool());
    let mut tables: Vec<Arc<dyn TableProvider>> = Vec::with_capacity(inputs.len());
    for input in inputs {
        let stream = execute_stream(input, Arc::clone(&context))?;
        let schema = numbered(stream.schema().fields());
        let batches = held(stream, &memory).await?;
        let named = batches.iter().map(|batch| {
            let (schema, columns) = (Arc::clone(&schema), batch.columns().to_vec());
            rows(schema, columns, batch.num_rows())
        });
        let batches = named.collect::<Result<Vec<_>>>()?;
        tables.push(Arc::new(MemTable::try_new(schema, vec![batches])?));
    }
    Ok(Arc::new((tables, memory)))
}
