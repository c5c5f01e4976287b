//! The condition of a join ends the statement when its time is over.
//!
//! A join gives way between batches that it gives ([`super::yielding`]). One whose condition holds for no pair gives
//! none: it compares all that it has read with a batch of the other side before it lets go of its thread, which takes
//! minutes where there is much, and neither the statement's time nor its caller's leave would end it. Its condition is
//! evaluated a batch of pairs at a time, so that is where the time is looked at.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant},
};

use datafusion::{
    arrow::{
        array::RecordBatch,
        datatypes::{DataType, Schema},
    },
    common::{
        Result,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _},
    },
    logical_expr::ColumnarValue,
    physical_expr::PhysicalExpr,
    physical_plan::{
        ExecutionPlan,
        joins::{HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, utils::JoinFilter},
    },
};

use super::failure::raised;
use crate::execute::overdue;

/// The same plan, whose joins fail once it has run for so long from now on.
pub(crate) fn timed(
    plan: Arc<dyn ExecutionPlan>,
    time_max: Duration,
) -> Result<Arc<dyn ExecutionPlan>> {
    let started = Instant::now();
    let timed = |filter: &JoinFilter| {
        let condition = Timed {
            condition: Arc::clone(filter.expression()),
            started,
            time_max,
        };
        let indices = filter.column_indices().to_vec();
        Some(JoinFilter::new(
            Arc::new(condition),
            indices,
            Arc::clone(filter.schema()),
        ))
    };
    plan.transform_up(|plan| {
        if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>()
            && let Some(filter) = join.filter()
        {
            let join = NestedLoopJoinExecBuilder::from(join).with_filter(timed(filter));
            return Ok(Transformed::yes(Arc::new(join.build()?)));
        }
        if let Some(join) = plan.downcast_ref::<HashJoinExec>()
            && let Some(filter) = join.filter()
        {
            let join = join.builder().with_filter(timed(filter));
            return Ok(Transformed::yes(join.build_exec()?));
        }
        Ok(Transformed::no(plan))
    })
    .data()
}

/// A condition while there is time.
#[derive(Debug, Eq)]
struct Timed {
    condition: Arc<dyn PhysicalExpr>,
    started: Instant,
    time_max: Duration,
}

impl PartialEq for Timed {
    fn eq(&self, other: &Self) -> bool {
        let end = |timed: &Self| (timed.started, timed.time_max);
        self.condition.eq(&other.condition) && end(self) == end(other)
    }
}

impl Hash for Timed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

impl fmt::Display for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)
    }
}

impl PhysicalExpr for Timed {
    fn data_type(&self, input_schema: &Schema) -> Result<DataType> {
        self.condition.data_type(input_schema)
    }

    fn nullable(&self, input_schema: &Schema) -> Result<bool> {
        self.condition.nullable(input_schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if self.started.elapsed() > self.time_max {
            return Err(raised(overdue(self.time_max)));
        }
        self.condition.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.condition]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let condition = children.into_iter().next();
        Ok(Arc::new(Self {
            condition: condition.unwrap_or_else(|| Arc::clone(&self.condition)),
            ..*self
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::{
        physical_plan::{collect, displayable},
        prelude::SessionContext,
    };
    use dataos_model::fault::FaultKind;

    use super::*;
    use crate::engine::failure::{Detail, fault};

    #[tokio::test]
    async fn a_join_whose_time_is_over_fails_at_the_next_batch_of_pairs() {
        let context = SessionContext::new();
        for (kind, condition) in [
            ("NestedLoopJoinExec", "a.x + b.y < 4"),
            ("HashJoinExec", "a.x % 2 = b.y % 2 AND a.x + b.y < 4"),
        ] {
            let sql = format!(
                "SELECT * FROM (VALUES (1), (2), (3)) a (x) JOIN (VALUES (1), (2)) b (y) ON {condition}"
            );
            let plan = context.sql(&sql).await.unwrap();
            let plan = plan.create_physical_plan().await.unwrap();
            let text = |plan: &dyn ExecutionPlan| displayable(plan).indent(false).to_string();
            assert!(
                text(plan.as_ref()).contains(kind),
                "{}",
                text(plan.as_ref())
            );
            let count = |plan| async {
                let batches = collect(plan, context.task_ctx()).await?;
                Result::Ok(batches.iter().map(RecordBatch::num_rows).sum::<usize>())
            };
            let in_time = timed(Arc::clone(&plan), Duration::from_secs(3_600)).unwrap();
            assert_eq!(text(in_time.as_ref()), text(plan.as_ref()));
            let expected = count(plan.clone()).await.unwrap();
            assert_eq!(count(in_time).await.unwrap(), expected);
            let late = timed(plan, Duration::ZERO).unwrap();
            let error = count(late).await.unwrap_err();
            assert_eq!(
                fault(&error, Detail::Hidden).kind,
                FaultKind::Timeout,
                "{kind}"
            );
        }
    }
}
