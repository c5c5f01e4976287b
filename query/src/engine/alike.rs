//! Filters go down a plan only where the name of a column tells which one it is.
//!
//! DataFusion 55.2 finds the columns of a filter in the input that it goes down to by their names, those of filters
//! that joins, sorts with a limit and aggregates fill in as they run among them. Where two columns of an input are
//! called alike, or one is called as another is below it, the filter is about another column there: rows are lost,
//! or stay (apache/datafusion issues 25244, 25262 to 25264 and 25296; mended behind 55.2 by position). So the engine's
//! rule is given the largest parts of a plan in which each name has one meaning. A filter that a node makes itself is
//! in terms of its input: the node on top of a part may have columns that are called alike.

use std::{collections::HashSet, sync::Arc};

use datafusion::{
    arrow::datatypes::SchemaRef,
    common::{
        JoinType, Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion},
    },
    physical_expr::{PhysicalExpr, expressions::Column},
    physical_optimizer::{
        PhysicalOptimizerRule, filter_pushdown::FilterPushdown, optimizer::PhysicalOptimizer,
    },
    physical_plan::{
        ExecutionPlan,
        aggregates::AggregateExec,
        joins::HashJoinExec,
        union::{InterleaveExec, UnionExec},
    },
};

/// A rule of the engine.
type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// The engine's rules, and filters pushed down by names only where these are enough.
pub(super) fn rules() -> Vec<Rule> {
    let pushing = [
        FilterPushdown::new(),
        FilterPushdown::new_post_optimization(),
    ];
    let rules = PhysicalOptimizer::new().rules.into_iter();
    let rules = rules.map(
        |rule| match pushing.iter().any(|push| push.name() == rule.name()) {
            true => Arc::new(ByName(rule)),
            false => rule,
        },
    );
    rules.collect()
}

/// A rule that finds columns by their names.
#[derive(Debug)]
struct ByName(Rule);

impl PhysicalOptimizerRule for ByName {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_down(|node| {
            for input in node.children() {
                if input.exists(|node| Ok(!is_told_by_name(node.as_ref())))? {
                    return Ok(Transformed::no(node));
                }
            }
            let node = self.0.optimize(node, config)?;
            Ok(Transformed::new(node, true, TreeNodeRecursion::Jump))
        })
        .data()
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Whether a filter over the columns of a node can be told by names, and is about the same columns in its inputs.
fn is_told_by_name(node: &dyn ExecutionPlan) -> bool {
    let schema = node.schema();
    let mut names = HashSet::with_capacity(schema.fields().len());
    if !schema
        .fields()
        .iter()
        .all(|field| names.insert(field.name()))
    {
        return false;
    }
    if node.is::<UnionExec>() || node.is::<InterleaveExec>() {
        let mut inputs = node.children().into_iter().map(|input| input.schema());
        return inputs.all(|input| {
            let names = input.fields().iter().map(|field| field.name());
            names.eq(schema.fields().iter().map(|field| field.name()))
        });
    }
    if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        let input = aggregate.input().schema();
        let mut keys = aggregate.group_expr().expr().iter();
        return keys.all(|(key, name)| input.index_of(name).is_err() || is_column(key, name));
    }
    // A filter over a key of a semi join goes to the side that is not shown as well.
    if let Some(join) = node.downcast_ref::<HashJoinExec>()
        && matches!(join.join_type(), JoinType::LeftSemi | JoinType::RightSemi)
    {
        let (left, right) = (join.left().schema(), join.right().schema());
        return join.on().iter().all(|(of_left, of_right)| {
            is_key_there(of_left, (&right, of_right)) && is_key_there(of_right, (&left, of_left))
        });
    }
    true
}

/// Whether a column that is called as a key of the other side is there is the key that equals it.
fn is_key_there(
    key: &Arc<dyn PhysicalExpr>,
    (other, equal): (&SchemaRef, &Arc<dyn PhysicalExpr>),
) -> bool {
    let key: Option<&Column> = key.downcast_ref();
    key.is_none_or(|key| other.index_of(key.name()).is_err() || is_column(equal, key.name()))
}

/// Whether an expression is the column of this name.
fn is_column(expr: &Arc<dyn PhysicalExpr>, name: &str) -> bool {
    expr.downcast_ref::<Column>()
        .is_some_and(|column| column.name() == name)
}
