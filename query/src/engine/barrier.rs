//! The node that keeps the caller's expressions above the policy's.
//!
//! An optimizer that merged a filter of the caller with the filter of a policy could evaluate the
//! caller's first, and a division by zero would tell of rows that the caller may not see. This node
//! lets nothing through: no filter, no projection, no limit, no sort, no statistics of raw rows. What lies below
//! it is ours alone and is optimized freely, so the policy's own filter still prunes files.
//!
//! One thing passes, where it is told to: what operators above find out as they run, over columns that
//! the caller sees as they are. It compares with values, cannot fail, and only leaves rows out.

use std::{collections::HashSet, fmt, sync::Arc};

use datafusion::{
    arrow::{
        array::{RecordBatch, RecordBatchOptions},
        datatypes::SchemaRef,
    },
    common::{
        Result, Statistics,
        config::ConfigOptions,
        tree_node::{TreeNode as _, TreeNodeRecursion},
    },
    execution::TaskContext,
    physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
        ReplaceChildrenOptions, SendableRecordBatchStream,
        execution_plan::ChildrenPropertiesMode,
        filter_pushdown::{ChildFilterDescription, FilterDescription, FilterPushdownPhase},
        projection::ProjectionExec,
        sorts::{sort::SortExec, sort_preserving_merge::SortPreservingMergeExec},
        statistics::StatisticsArgs,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, future, stream};

use super::counts::Reading;
use crate::source::read::is_dynamic;

/// See the module. Its output is the visible columns, in the order and with the types declared.
#[derive(Debug)]
pub(crate) struct BarrierExec {
    input: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    /// Columns over which filters pass that are filled in as the plan runs.
    open: HashSet<usize>,
    /// What is expected of its rows.
    expected: Arc<Statistics>,
    /// Where it is counted.
    reading: Option<Arc<Reading>>,
    properties: Arc<PlanProperties>,
}

impl BarrierExec {
    /// A barrier over `input`, whose columns agree with `schema` in number and type.
    pub(crate) fn new(
        input: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
        open: HashSet<usize>,
    ) -> Self {
        // No orderings, constants or equivalences of hidden data leave through the properties.
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Self {
            expected: Arc::new(Statistics::new_unknown(&schema)),
            input,
            schema,
            open,
            reading: None,
            properties: Arc::new(properties),
        }
    }

    /// The same, of which the engine is told what is expected of its rows, and where these are counted.
    pub(super) fn counted(self, expected: Statistics, reading: Reading) -> Self {
        Self {
            expected: Arc::new(expected),
            reading: Some(Arc::new(reading)),
            ..self
        }
    }
}

/// Keeps how many rows came through the barriers of a plan that ran to its end.
pub(super) fn learn(plan: &Arc<dyn ExecutionPlan>) {
    let mut readings = Vec::new();
    let mut is_limited = false;
    let walked = plan.apply(|node| {
        is_limited |= node.fetch().is_some() && !sorts_all(node);
        if let Some(barrier) = node.downcast_ref::<BarrierExec>()
            && let Some(reading) = &barrier.reading
        {
            readings.push((barrier, reading));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if walked.is_ok() && !is_limited {
        for (barrier, reading) in readings {
            reading.keep(barrier.properties.partitioning.partition_count());
        }
    }
}

/// Whether a node gives no row before it has read all of them.
fn sorts_all(node: &Arc<dyn ExecutionPlan>) -> bool {
    let passes_on = node.is::<SortPreservingMergeExec>() || node.is::<ProjectionExec>();
    node.is::<SortExec>() || passes_on && node.children().into_iter().all(sorts_all)
}

impl DisplayAs for BarrierExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BarrierExec")
    }
}

impl ExecutionPlan for BarrierExec {
    fn name(&self) -> &'static str {
        "BarrierExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        let (schema, open) = (Arc::clone(&self.schema), self.open.clone());
        Ok(Arc::new(Self {
            expected: Arc::clone(&self.expected),
            reading: self
                .reading
                .as_ref()
                .map(|reading| Arc::new(reading.again())),
            ..Self::new(input, schema, open)
        }))
    }

    fn gather_filters_for_pushdown(
        &self,
        phase: FilterPushdownPhase,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let passes = phase == FilterPushdownPhase::Post && filters.iter().all(is_dynamic);
        let child = if passes {
            let is_narrowed = !filters.is_empty() && !self.open.is_empty();
            if let Some(reading) = self.reading.as_ref().filter(|_| is_narrowed) {
                reading.narrow();
            }
            let open = self.open.clone();
            ChildFilterDescription::from_child_with_allowed_indices(&filters, open, &self.input)?
        } else {
            ChildFilterDescription::all_unsupported(&filters)
        };
        Ok(FilterDescription::new().with_child(child))
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(match args.partition() {
            None => Arc::clone(&self.expected),
            Some(_) => Arc::new(Statistics::new_unknown(&self.schema)),
        })
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
        let schema = Arc::clone(&self.schema);
        let reading = self.reading.clone();
        let batches = self.input.execute(partition, context)?.map(move |batch| {
            let batch = batch?;
            if let Some(reading) = &reading {
                reading.pass(&batch);
            }
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch.columns().to_vec();
            Ok(RecordBatch::try_new_with_options(
                Arc::clone(&schema),
                columns,
                &options,
            )?)
        });
        let reading = self.reading.clone();
        let end = stream::once(async move {
            if let Some(reading) = reading {
                reading.end();
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            batches.chain(end.filter_map(|()| future::ready(None))),
        )))
    }
}
