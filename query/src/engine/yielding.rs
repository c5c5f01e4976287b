//! Every operator gives way now and then, so that a statement whose time is over can be ended.
//!
//! DataFusion lets leaves of a plan give way, which is enough where an operator reads a batch for each that it
//! gives. A join may give billions of batches for the two that it has read; an aggregate above it would not let go of
//! its thread until all are counted, and nothing could stop it.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{ExecutionPlan, coop::CooperativeExec, unnest::UnnestExec},
};

/// Makes what gives more batches than it reads give way between them.
#[derive(Debug)]
pub(super) struct GiveWay;

impl PhysicalOptimizerRule for GiveWay {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            if plan.children().len() > 1 || plan.is::<UnnestExec>() {
                return Ok(Transformed::yes(Arc::new(CooperativeExec::new(plan))));
            }
            Ok(Transformed::no(plan))
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "GiveWay"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
