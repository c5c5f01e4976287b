//! Runs a query for each row.
//!
//! The rows of the first side are taken batch by batch, and the query is run once for each different set of values
//! that a batch has for its parameters; once for each row where it has a function that changes its answer. What it
//! reads of tables lies in memory by then, read once for the whole statement.

use std::{
    collections::HashMap,
    fmt, iter,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use datafusion::{
    arrow::{
        array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array},
        compute::{cast, concat_batches, take_arrays},
        datatypes::{Fields, Schema, SchemaRef},
    },
    catalog::{MemTable, Session, TableProvider},
    common::{
        DataFusionError, Result, ScalarValue, internal_err,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion},
    },
    datasource::provider_as_source,
    execution::{
        SendableRecordBatchStream, SessionState, SessionStateBuilder, TaskContext,
        context::QueryPlanner,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    logical_expr::{
        Expr, LogicalPlan, TableScanBuilder, UserDefinedLogicalNode, expr_rewriter::NamePreserver,
        physical_planning_context::PhysicalPlanningContext,
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
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::OnceCell;

use super::{
    apply::{Apply, Rows},
    outside::Parameters,
    shared::Shared,
};
use crate::engine::{
    cut::numbered,
    failure::MANY_ROWS,
    wanted::{nobody_waits, watched},
};

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
            state: in_memory(state),
        };
        let schema = Arc::clone(apply.schema().inner());
        let exec = ApplyExec::new(Arc::new(query), inputs.to_vec(), schema, Arc::default())?;
        Ok(Some(Arc::new(exec)))
    }
}

/// Where a query over few rows in memory is planned: in one partition, and without the engine's rule that answers
/// totals from what it expects of columns, which is not exact behind a join of one row (DataFusion 55: `sum`).
fn in_memory(state: &SessionState) -> SessionState {
    let rules = state.physical_optimizers().iter();
    let rules = rules.filter(|rule| rule.name() != AggregateStatistics::new().name());
    let rules = rules.map(Arc::clone).collect();
    let mut state = SessionStateBuilder::new_from_existing(state.clone())
        .with_physical_optimizer_rules(rules)
        .build();
    state.config_mut().options_mut().execution.target_partitions = 1;
    state
}

/// Whether a plan has a function that changes its answer.
fn is_volatile(plan: &LogicalPlan) -> Result<bool> {
    let mut is_volatile = false;
    plan.apply_with_subqueries(|node| {
        if let Some(apply) = Apply::of(node) {
            is_volatile |= self::is_volatile(&apply.query)?;
        }
        node.apply_expressions(|expr| {
            is_volatile |= expr.is_volatile();
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(is_volatile)
}

/// A query that is run for each row.
#[derive(Debug)]
struct Query {
    number: usize,
    plan: LogicalPlan,
    /// Over the rows of the first side.
    parameters: Vec<Arc<dyn PhysicalExpr>>,
    rows: Rows,
    is_volatile: bool,
    /// Where it is planned.
    state: SessionState,
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
    async fn run(
        &self,
        values: &[ScalarValue],
        tables: &[Arc<dyn TableProvider>],
        run: &Run,
        memory: &MemoryReservation,
    ) -> Result<Vec<RecordBatch>> {
        let plan = self.with(self.plan.clone(), values, tables)?;
        let planner = Arc::clone(self.state.query_planner());
        let plan = planner.create_physical_plan(&plan, &self.state).await?;
        let plan = watched(plan, &run.is_over)?;
        let rows = execute_stream(plan, Arc::clone(&run.context))?;
        held(rows, memory).await
    }
}

/// All batches of a stream, within the memory of statements.
async fn held(
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

/// Tables that lie in memory, and that they do.
type Tables = Arc<(Vec<Arc<dyn TableProvider>>, MemoryReservation)>;

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

/// What one partition has at hand while it runs.
struct Run {
    query: Arc<Query>,
    schema: SchemaRef,
    is_over: Arc<AtomicBool>,
    memory: MemoryReservation,
    context: Arc<TaskContext>,
}

impl Run {
    /// The rows of the first side, each with what the query has for it.
    fn over(
        self,
        rows: SendableRecordBatchStream,
        tables: Tables,
    ) -> impl Stream<Item = Result<RecordBatch>> {
        let run = Arc::new(self);
        rows.and_then(move |first| {
            let (run, tables) = (Arc::clone(&run), Arc::clone(&tables));
            async move { Ok(stream::iter(run.joined(first, &tables.0).await?)) }
        })
        .try_flatten()
    }

    async fn joined(
        &self,
        first: RecordBatch,
        tables: &[Arc<dyn TableProvider>],
    ) -> Result<Joined> {
        let (sets, set_of) = self.sets(&first)?;
        let memory = self.memory.new_empty();
        let (mut found, mut ranges) = (Vec::new(), Vec::with_capacity(sets.len()));
        let mut count = 0;
        for values in &sets {
            if self.is_over.load(Ordering::Relaxed) {
                return Err(nobody_waits());
            }
            tokio::task::yield_now().await;
            let start = count;
            for batch in self.query.run(values, tables, self, &memory).await? {
                count += batch.num_rows();
                found.push(self.of_query(&batch, first.num_columns())?);
            }
            if self.query.rows == Rows::OneOrNull && count - start > 1 {
                return Err(DataFusionError::Execution(MANY_ROWS.to_owned()));
            }
            ranges.push(start..count);
        }
        let schema = Arc::new(Schema::new(
            self.schema
                .fields()
                .iter()
                .skip(first.num_columns())
                .cloned()
                .collect::<Fields>(),
        ));
        // Put together they are there twice for a moment.
        let once = memory.size();
        memory.try_grow(once)?;
        let all = concat_batches(&schema, &found)?;
        drop(found);
        memory.shrink(once);
        Ok(Joined {
            found: all,
            first,
            ranges: set_of
                .into_iter()
                .filter_map(|set| ranges.get(set).cloned())
                .collect(),
            has_nulls: self.query.rows != Rows::All,
            at: (0, 0),
            rows_max: self.context.session_config().batch_size(),
            schema: Arc::clone(&self.schema),
            _memory: memory,
        })
    }

    /// The different sets of values for which the query is run, and which of them each row has.
    fn sets(&self, first: &RecordBatch) -> Result<(Vec<Vec<ScalarValue>>, Vec<usize>)> {
        let columns = self.query.parameters.iter();
        let columns = columns.map(|column| column.evaluate(first)?.into_array(first.num_rows()));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let (mut sets, mut set_of) = (Vec::new(), Vec::with_capacity(first.num_rows()));
        let mut known = HashMap::new();
        for row in 0..first.num_rows() {
            let values = columns
                .iter()
                .map(|column| ScalarValue::try_from_array(column, row));
            let values = values.collect::<Result<Vec<_>>>()?;
            let next = sets.len();
            let set = match self.query.is_volatile {
                true => next,
                false => *known.entry(values.clone()).or_insert(next),
            };
            if set == next {
                sets.push(values);
            }
            set_of.push(set);
        }
        Ok((sets, set_of))
    }

    /// The query's rows in the types that they are to have.
    fn of_query(&self, batch: &RecordBatch, first_columns: usize) -> Result<RecordBatch> {
        let fields = self.schema.fields().iter().skip(first_columns);
        let columns = batch.columns().iter().zip(fields.clone());
        let columns = columns.map(|(column, field)| cast(column, field.data_type()));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let schema = Arc::new(Schema::new(fields.cloned().collect::<Fields>()));
        rows(schema, columns, batch.num_rows())
    }
}

/// A batch, which may have no column.
fn rows(schema: SchemaRef, columns: Vec<ArrayRef>, count: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    Ok(RecordBatch::try_new_with_options(
        schema, columns, &options,
    )?)
}

/// The rows of a batch beside those that the query has for each, some at a time.
struct Joined {
    first: RecordBatch,
    found: RecordBatch,
    /// Which rows of the query each row has.
    ranges: Vec<Range<usize>>,
    /// Whether a row that has none stands beside NULLs.
    has_nulls: bool,
    /// The next row, and how many of its rows of the query were given.
    at: (usize, usize),
    rows_max: usize,
    schema: SchemaRef,
    _memory: MemoryReservation,
}

impl Joined {
    fn batch(&self, first: Vec<u32>, found: Vec<Option<u32>>) -> Result<RecordBatch> {
        let count = first.len();
        let first = UInt32Array::from(first);
        let found = UInt32Array::from(found);
        let first = take_arrays(self.first.columns(), &first, None)?;
        let found = take_arrays(self.found.columns(), &found, None)?;
        let columns = first.into_iter().chain(found);
        rows(Arc::clone(&self.schema), columns.collect(), count)
    }

    /// The numbers of the next rows of both sides.
    fn next_pairs(&mut self) -> Result<(Vec<u32>, Vec<Option<u32>>)> {
        let (mut first, mut found) = (Vec::new(), Vec::new());
        while let Some(range) = self.ranges.get(self.at.0) {
            if first.len() >= self.rows_max {
                break;
            }
            let row = index(self.at.0)?;
            match range.clone().nth(self.at.1) {
                Some(pair) => {
                    first.push(row);
                    found.push(Some(index(pair)?));
                    self.at.1 += 1;
                    continue;
                }
                None if range.is_empty() && self.has_nulls => {
                    first.push(row);
                    found.push(None);
                }
                None => {}
            }
            self.at = (self.at.0 + 1, 0);
        }
        Ok((first, found))
    }
}

impl Iterator for Joined {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_pairs() {
            Ok((first, _)) if first.is_empty() => None,
            Ok((first, found)) => Some(self.batch(first, found)),
            Err(error) => Some(Err(error)),
        }
    }
}

fn index(row: usize) -> Result<u32> {
    u32::try_from(row).map_err(|_| {
        let message = "queries have too many rows for a batch of rows around them";
        DataFusionError::ResourcesExhausted(message.to_owned())
    })
}
