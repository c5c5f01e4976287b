//! A table of what a database gives for one statement, and the node of a plan that reads it.
//!
//! Beside it stands the engine's own plan for the same. It runs where the database, once asked, turns out not to
//! give it exactly: a column of another collation, a value that its type cannot hold.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::{Session, TableProvider},
    common::{DataFusionError, Result, internal_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext, context::SessionState},
    logical_expr::{Expr, LogicalPlan, TableType},
    physical_expr::{
        EquivalenceProperties, Partitioning, PhysicalExpr, projection::ProjectionExprs,
    },
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
        coalesce_partitions::CoalescePartitionsExec,
        execution_plan::{Boundedness, EmissionType},
        projection::ProjectionExec,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt};

use super::{
    select::Select,
    table::{Database, Part, Read, selected},
};
use crate::engine::failure::raised;

/// What `select` makes of the rows of some tables, in the order of their numbers, if all are of one database and it
/// does so exactly; `here` is the engine's own plan for it, or for more, of which that is a part.
pub(crate) fn open(
    parts: Vec<Part>,
    select: Select,
    here: LogicalPlan,
) -> Option<Arc<dyn TableProvider>> {
    let first = parts.first()?;
    // A statement knows a depot once: all of its tables are reached by one address and one log-in.
    let depot = |part: &Part| part.read.dataset.id.depot.clone();
    if parts.iter().any(|part| depot(part) != depot(first)) {
        return None;
    }
    let database = Arc::clone(&first.database);
    let reads: Vec<Read> = parts.into_iter().map(|part| part.read).collect();
    let statement = database.statement(&reads, &select)?;
    let asked = Arc::new(Asked {
        database,
        reads: reads.into(),
        select: Arc::new(select),
        statement,
    });
    Some(Arc::new(RemoteTable { asked, here }))
}

/// What a database is asked for.
#[derive(Debug)]
struct Asked {
    database: Arc<dyn Database>,
    /// Which rows it is of.
    reads: Arc<[Read]>,
    select: Arc<Select>,
    /// What is sent, for whoever reads the plan.
    statement: String,
}

/// See the module.
#[derive(Debug)]
struct RemoteTable {
    asked: Arc<Asked>,
    here: LogicalPlan,
}

#[async_trait]
impl TableProvider for RemoteTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.asked.select.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(state) = state.as_any().downcast_ref::<SessionState>() else {
            return internal_err!("a statement is planned in a session of another kind");
        };
        // Optimized before it was cut out; optimized again it would be cut again.
        let here = state.query_planner();
        let here = here.create_physical_plan(&self.here, state).await?;
        let remote = Arc::new(RemoteExec::new(&self.asked, here));
        let Some(wanted) = projection else {
            return Ok(remote);
        };
        let columns = ProjectionExprs::from_indices(wanted, &self.asked.select.schema);
        Ok(Arc::new(ProjectionExec::try_new(
            columns.iter().cloned(),
            remote,
        )?))
    }
}

/// See the module.
#[derive(Debug)]
struct RemoteExec {
    asked: Arc<Asked>,
    here: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl RemoteExec {
    fn new(asked: &Arc<Asked>, here: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&asked.select.schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self {
            asked: Arc::clone(asked),
            here: Arc::new(CoalescePartitionsExec::new(here)),
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for RemoteExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteExec: {}", self.asked.statement)
    }
}

impl ExecutionPlan for RemoteExec {
    fn name(&self) -> &'static str {
        "RemoteExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    /// The engine's own plan is whole as it is; no rule looks into it again.
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

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("a statement is read in one partition");
        }
        let (asked, here) = (Arc::clone(&self.asked), Arc::clone(&self.here));
        let batches = async move {
            let (database, reads) = (Arc::clone(&asked.database), Arc::clone(&asked.reads));
            let found = selected(database, reads, Arc::clone(&asked.select)).await;
            match found.map_err(raised)? {
                Some(batches) => Ok::<_, DataFusionError>(batches.map_err(raised).boxed()),
                None => Ok(here.execute(0, context)?.boxed()),
            }
        };
        let batches = futures::stream::once(batches).try_flatten();
        let schema = self.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}
