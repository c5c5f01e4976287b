//! A table with the number of each row, by which a change finds rows again.
//!
//! Rows are numbered in the order of the files and of the rows in them, below every filter. So the
//! table is read whole and in one partition, and nothing is pushed below the numbers.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    arrow::{
        array::{ArrayRef, Int64Array, RecordBatch},
        datatypes::{DataType, Field, Schema, SchemaRef},
    },
    catalog::{Session, TableProvider},
    common::{Result, internal_err, project_schema, tree_node::TreeNodeRecursion},
    execution::TaskContext,
    logical_expr::{Expr, TableType},
    physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
        ReplaceChildrenOptions, SendableRecordBatchStream, execution_plan::ChildrenPropertiesMode,
        stream::RecordBatchStreamAdapter,
    },
};
use dataos_sql::ROW_COLUMN;
use futures::StreamExt;

/// See the module. The number is the last column.
#[derive(Debug)]
pub(crate) struct NumberedTable {
    raw: Arc<dyn TableProvider>,
    schema: SchemaRef,
}

impl NumberedTable {
    /// Over a table whose session reads in one partition.
    pub(crate) fn new(raw: Arc<dyn TableProvider>) -> Self {
        let mut fields = raw.schema().fields().to_vec();
        fields.push(Arc::new(Field::new(ROW_COLUMN, DataType::Int64, false)));
        let schema = Arc::new(Schema::new(fields));
        Self { raw, schema }
    }
}

#[async_trait]
impl TableProvider for NumberedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
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
        let number = self.schema.fields().len() - 1;
        let wanted = match projection {
            Some(wanted) => wanted.clone(),
            None => (0..=number).collect(),
        };
        let of_raw: Vec<usize> = wanted.iter().copied().filter(|at| *at < number).collect();
        let scan = self.raw.scan(state, Some(&of_raw), &[], None).await?;
        let Some(at) = wanted.iter().position(|wanted| *wanted == number) else {
            return Ok(scan);
        };
        let schema = project_schema(&self.schema, Some(&wanted))?;
        Ok(Arc::new(NumberedExec::new(scan, at, schema)?))
    }
}

/// Puts the number of each row among its columns.
#[derive(Debug)]
struct NumberedExec {
    input: Arc<dyn ExecutionPlan>,
    /// The place of the number.
    at: usize,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl NumberedExec {
    fn new(input: Arc<dyn ExecutionPlan>, at: usize, schema: SchemaRef) -> Result<Self> {
        if input.output_partitioning().partition_count() != 1 {
            return internal_err!("rows are numbered over one partition");
        }
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Ok(Self {
            input,
            at,
            schema,
            properties: Arc::new(properties),
        })
    }
}

impl DisplayAs for NumberedExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NumberedExec")
    }
}

impl ExecutionPlan for NumberedExec {
    fn name(&self) -> &'static str {
        "NumberedExec"
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
        Ok(Arc::new(Self::new(
            input,
            self.at,
            Arc::clone(&self.schema),
        )?))
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
        let (schema, at) = (Arc::clone(&self.schema), self.at);
        let mut next = 0_i64;
        let batches = self.input.execute(partition, context)?.map(move |batch| {
            let batch = batch?;
            let first = next;
            next += i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
            let mut columns = batch.columns().to_vec();
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(first..next));
            columns.insert(at, numbers);
            Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            batches,
        )))
    }
}
