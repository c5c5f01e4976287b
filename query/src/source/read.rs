//! The node of a plan that reads a table of a database.
//!
//! Where a join has read its other side first, the keys that it found there are known when this node
//! begins, and few keys go to the source as a list: rows that would meet none are not sent.

use std::{fmt, sync::Arc};

use datafusion::{
    arrow::datatypes::SchemaRef,
    common::{
        Result, ScalarValue, Statistics, config::ConfigOptions, internal_err, stats::Precision,
        tree_node::TreeNodeRecursion,
    },
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::Operator,
    physical_expr::{
        EquivalenceProperties, Partitioning, PhysicalExpr,
        expressions::{
            BinaryExpr, CaseExpr, Column, DynamicFilterPhysicalExpr, InListExpr, Literal,
        },
    },
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
        execution_plan::{Boundedness, EmissionType},
        filter_pushdown::{
            ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
        },
        statistics::StatisticsArgs,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::TryStreamExt;

use super::table::{Database, Read, started};
use crate::engine::{counts::passing, failure::raised};

/// See the module.
#[derive(Debug)]
pub(super) struct ReadExec {
    database: Arc<dyn Database>,
    read: Read,
    /// Filters that joins fill in as they run.
    awaited: Vec<Arc<dyn PhysicalExpr>>,
    properties: Arc<PlanProperties>,
}

impl ReadExec {
    pub(super) fn new(database: Arc<dyn Database>, read: Read, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            database,
            read,
            awaited: Vec::new(),
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for ReadExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.read.columns.iter().map(|column| column.name.as_str());
        let columns: Vec<&str> = columns.collect();
        write!(f, "ReadExec: columns=[{}]", columns.join(", "))?;
        if self.awaited.is_empty() {
            return Ok(());
        }
        f.write_str(", keys of joins")
    }
}

impl ExecutionPlan for ReadExec {
    fn name(&self) -> &'static str {
        "ReadExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    /// Takes filters that joins fill in, as a help: joins go on to compare every row.
    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let filters = result.parent_filters;
        let refused = vec![PushedDown::No; filters.len()];
        let propagation = FilterPushdownPropagation::with_parent_pushdown_result(refused);
        if phase != FilterPushdownPhase::Post || !self.read.takes_keys {
            return Ok(propagation);
        }
        let filters = filters.into_iter().map(|parent| parent.filter);
        let awaited = filters.filter(is_dynamic);
        let updated = Self {
            database: Arc::clone(&self.database),
            read: self.read.clone(),
            awaited: awaited.collect(),
            properties: Arc::clone(&self.properties),
        };
        Ok(propagation.with_updated_node(Arc::new(updated)))
    }

    /// Rows at the last scan of the catalog, which whoever sees all of the table may count himself. Over a table of
    /// which he does not there is a barrier, which tells nothing of this.
    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut expected = Statistics::new_unknown(&self.schema());
        if let (Some(rows), None) = (self.read.dataset.row_count, args.partition()) {
            let rows = usize::try_from(rows).unwrap_or(usize::MAX);
            expected.num_rows = Precision::Inexact(rows.div_ceil(passing(&self.read.filters)));
        }
        Ok(Arc::new(expected))
    }

    fn execute(
        &self,
        partition: usize,
        _context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("a table is read in one partition");
        }
        let (mut read, awaited) = (self.read.clone(), self.awaited.clone());
        // Asked for the first row, so after the joins above have read their other sides.
        let complete = move || {
            read.keys = awaited.iter().filter_map(keys).flatten().collect();
            read
        };
        let batches = started(Arc::clone(&self.database), complete).map_err(raised);
        let schema = self.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// Whether a filter is one that an operator fills in as it runs.
pub(crate) fn is_dynamic(filter: &Arc<dyn PhysicalExpr>) -> bool {
    filter.downcast_ref::<DynamicFilterPhysicalExpr>().is_some()
}

/// Values of which a column must have one.
pub(super) type Keys = (String, Vec<ScalarValue>);

/// The keys that a filter asks for, of each column for which it is known.
fn keys(filter: &Arc<dyn PhysicalExpr>) -> Option<Vec<Keys>> {
    let filter = filter.downcast_ref::<DynamicFilterPhysicalExpr>()?;
    let current = filter.current().ok()?;
    Some(asked(&current)?.into_iter().collect())
}

/// What must be true of one column each for the expression to be true; `None` if it is never true.
fn asked(expression: &Arc<dyn PhysicalExpr>) -> Option<Vec<Keys>> {
    if let Some(binary) = expression.downcast_ref::<BinaryExpr>()
        && *binary.op() == Operator::And
    {
        let mut both = asked(binary.left())?;
        both.extend(asked(binary.right())?);
        return Some(both);
    }
    if let Some(list) = expression.downcast_ref::<InListExpr>() {
        return Some(listed(list).into_iter().collect());
    }
    if let Some(case) = expression.downcast_ref::<CaseExpr>() {
        let branches = case.when_then_expr().iter().map(|(_, then)| then);
        return union(branches.chain(case.else_expr()));
    }
    let literal = expression.downcast_ref::<Literal>().map(Literal::value);
    match literal {
        Some(ScalarValue::Boolean(Some(false))) => None,
        _ => Some(Vec::new()),
    }
}

fn listed(list: &InListExpr) -> Option<Keys> {
    let column = list.expr().downcast_ref::<Column>()?;
    let literals = list
        .list()
        .iter()
        .map(|item| item.downcast_ref::<Literal>());
    let literals: Option<Vec<&Literal>> = literals.collect();
    let values = literals?.into_iter().map(Literal::value);
    // Nothing equals NULL.
    let values = values.filter(|value| !value.is_null()).cloned().collect();
    (!list.negated()).then_some((column.name().to_owned(), values))
}

/// One of the branches is true; what a column must be in each of them, it must be in one.
fn union<'a>(branches: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>>) -> Option<Vec<Keys>> {
    let mut possible = branches.filter_map(asked);
    let first = possible.next()?;
    Some(possible.fold(first, |all, branch| {
        let both = all.into_iter().filter_map(|(column, mut values)| {
            let (_, more) = branch.iter().find(|(name, _)| *name == column)?;
            values.extend(more.iter().cloned());
            Some((column, values))
        });
        both.collect()
    }))
}
