//! The left side of a nested-loop join is read once.
//!
//! Where it has no room in memory, DataFusion 55 reads it a second time, to go on in parts from the disk. A plan
//! that is read again panics if rows are repartitioned in it, and with several partitions on the right side
//! such a join gives rows of outer, semi and anti joins that have partners in one of them and not in another. So
//! here the statement hears that it needs too much memory.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use datafusion::{
    common::{
        DataFusionError, Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion},
    },
    execution::TaskContext,
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr,
        PlanProperties, ReplaceChildrenOptions, SendableRecordBatchStream,
        joins::NestedLoopJoinExec,
    },
};

/// Lets each nested-loop join read its left side once.
#[derive(Debug)]
pub(super) struct ReadOnce;

impl PhysicalOptimizerRule for ReadOnce {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() else {
                return Ok(Transformed::no(plan));
            };
            let left = Arc::new(OnceExec::new(Arc::clone(join.left())));
            let children = vec![left as _, Arc::clone(join.right())];
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            plan.replace_children(children, options)
                .map(Transformed::yes)
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "ReadOnce"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Its one partition can be read once.
#[derive(Debug)]
struct OnceExec {
    input: Arc<dyn ExecutionPlan>,
    is_read: AtomicBool,
}

impl OnceExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        Self {
            input,
            is_read: AtomicBool::new(false),
        }
    }
}

impl DisplayAs for OnceExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnceExec")
    }
}

impl ExecutionPlan for OnceExec {
    fn name(&self) -> &'static str {
        "OnceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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
        Ok(Arc::new(Self::new(input)))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    /// As a plan that was not read: for a recursive query, which reads a part of itself again and again.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(Arc::clone(&self.input))))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if self.is_read.swap(true, Ordering::Relaxed) {
            let message = "one side of a join without an equality has no room in memory";
            return Err(DataFusionError::ResourcesExhausted(message.to_owned()));
        }
        self.input.execute(partition, context)
    }
}
