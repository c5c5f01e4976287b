//! The condition of a join ends a plan that nobody waits for any more.
//!
//! A join gives way between batches that it gives ([`super::yielding`]). One whose condition holds for no pair gives
//! none, nor does one that only marks what it finds: it compares all that it has read with what comes of the other
//! side before it lets go of its thread, which takes minutes where there is much, and neither the statement's time nor
//! its caller's leave would end it. A condition is evaluated a batch of pairs at a time, so that is where it is looked
//! whether the rows are wanted still; a join that marks and has no condition gets one that always holds.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use datafusion::{
    arrow::{
        array::RecordBatch,
        datatypes::{DataType, Schema},
    },
    common::{
        DataFusionError, JoinType, Result,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _},
    },
    logical_expr::ColumnarValue,
    physical_expr::{PhysicalExpr, expressions::lit},
    physical_plan::{
        ExecutionPlan,
        joins::{HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, utils::JoinFilter},
    },
};
use dataos_model::fault::Fault;

use super::{correlated::ApplyExec, failure::raised};

/// That somebody waits for the rows of a plan. Dropped, it ends the plan.
#[derive(Debug)]
pub(super) struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The same plan, whose joins fail once nobody waits for it.
///
/// # Errors
/// A plan that is not whole.
pub(super) fn wanted(plan: Arc<dyn ExecutionPlan>) -> Result<(Arc<dyn ExecutionPlan>, Wanted)> {
    let wanted = Wanted(Arc::default());
    Ok((watched(plan, &wanted.0)?, wanted))
}

/// The same plan, whose joins fail once it is over.
///
/// # Errors
/// A plan that is not whole.
pub(super) fn watched(
    plan: Arc<dyn ExecutionPlan>,
    is_over: &Arc<AtomicBool>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let always = JoinFilter::new(lit(true), Vec::new(), Arc::new(Schema::empty()));
    let watched = |filter: Option<&JoinFilter>, join: JoinType| {
        let filter = filter.or(marks(join).then_some(&always))?;
        let condition = Watched {
            condition: Arc::clone(filter.expression()),
            is_over: Arc::clone(is_over),
        };
        let indices = filter.column_indices().to_vec();
        let schema = Arc::clone(filter.schema());
        Some(JoinFilter::new(Arc::new(condition), indices, schema))
    };
    plan.transform_up(|plan| {
        if let Some(apply) = plan.downcast_ref::<ApplyExec>() {
            return Ok(Transformed::yes(Arc::new(apply.watched(is_over)?)));
        }
        if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>()
            && let Some(filter) = watched(join.filter(), *join.join_type())
        {
            let join = NestedLoopJoinExecBuilder::from(join).with_filter(Some(filter));
            return Ok(Transformed::yes(Arc::new(join.build()?)));
        }
        if let Some(join) = plan.downcast_ref::<HashJoinExec>()
            && let Some(filter) = watched(join.filter(), *join.join_type())
        {
            let join = join.builder().with_filter(Some(filter));
            return Ok(Transformed::yes(join.build_exec()?));
        }
        Ok(Transformed::no(plan))
    })
    .data()
}

/// What a plan that is over says to whoever still runs it.
pub(super) fn nobody_waits() -> DataFusionError {
    raised(Fault::internal("nobody waits for these rows"))
}

/// Whether a join of this type tells which rows have a match, and gives no row for each pair.
fn marks(join: JoinType) -> bool {
    match join {
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => false,
        JoinType::LeftSemi
        | JoinType::RightSemi
        | JoinType::LeftAnti
        | JoinType::RightAnti
        | JoinType::LeftMark
        | JoinType::RightMark => true,
    }
}

/// A condition that is looked at as long as somebody waits.
#[derive(Debug)]
struct Watched {
    condition: Arc<dyn PhysicalExpr>,
    is_over: Arc<AtomicBool>,
}

impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        self.condition.eq(&other.condition) && Arc::ptr_eq(&self.is_over, &other.is_over)
    }
}

impl Eq for Watched {}

impl Hash for Watched {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)
    }
}

impl PhysicalExpr for Watched {
    fn data_type(&self, input_schema: &Schema) -> Result<DataType> {
        self.condition.data_type(input_schema)
    }

    fn nullable(&self, input_schema: &Schema) -> Result<bool> {
        self.condition.nullable(input_schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if self.is_over.load(Ordering::Relaxed) {
            return Err(nobody_waits());
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
            is_over: Arc::clone(&self.is_over),
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

    use super::*;

    #[tokio::test]
    async fn a_join_that_nobody_waits_for_fails_at_the_next_batch_of_pairs() {
        let context = SessionContext::new();
        let (a, b) = (
            "(VALUES (1), (2), (3)) a (x)",
            "(VALUES (1), (2), (9)) b (y)",
        );
        for (kind, sql) in [
            (
                "NestedLoopJoinExec: join_type=Inner",
                format!("SELECT * FROM {a} JOIN {b} ON a.x + b.y < 4"),
            ),
            (
                "HashJoinExec: mode=CollectLeft, join_type=Inner",
                format!("SELECT * FROM {a} JOIN {b} ON a.x % 2 = b.y % 2 AND a.x + b.y < 4"),
            ),
            (
                "join_type=LeftSemi",
                format!("SELECT * FROM {a} WHERE x IN (SELECT y FROM {b})"),
            ),
            (
                "join_type=LeftAnti",
                format!("SELECT * FROM {a} WHERE x NOT IN (SELECT y FROM {b})"),
            ),
            (
                "join_type=LeftMark",
                format!("SELECT * FROM {a} WHERE x > 2 OR x IN (SELECT y FROM {b})"),
            ),
        ] {
            // A plan runs once: its copies share what its joins have built.
            let planned = || async {
                let plan = context.sql(&sql).await.unwrap();
                plan.create_physical_plan().await.unwrap()
            };
            let plan = planned().await;
            let text = displayable(plan.as_ref()).indent(false).to_string();
            assert!(text.contains(kind), "{text}");
            let count = |plan: Arc<dyn ExecutionPlan>| async {
                let batches = collect(plan, context.task_ctx()).await?;
                let rows = batches.iter().map(RecordBatch::num_rows);
                Result::<usize>::Ok(rows.sum())
            };
            let expected = count(plan).await.unwrap();
            let (watched, still) = wanted(planned().await).unwrap();
            assert_eq!(count(watched).await.unwrap(), expected, "{kind}");
            drop(still);
            let (watched, left) = wanted(planned().await).unwrap();
            drop(left);
            let error = count(watched).await.unwrap_err();
            assert!(
                error.to_string().contains("nobody waits"),
                "{kind}: {error}"
            );
        }
    }
}
