//! A table that its database gives whole.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::{Session, TableProvider},
    common::Result,
    logical_expr::{Expr, TableType},
    physical_expr::projection::ProjectionExprs,
    physical_plan::{ExecutionPlan, projection::ProjectionExec},
};

use crate::engine::barrier::BarrierExec;

/// See the module. Conditions and columns are chosen when the rows are here.
#[derive(Debug)]
pub(super) struct Unpushed(pub(super) Arc<dyn TableProvider>);

#[async_trait]
impl TableProvider for Unpushed {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        self.0.table_type()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let whole = self.0.scan(state, None, &[], None).await?;
        let schema = whole.schema();
        let whole = Arc::new(BarrierExec::new(whole, Arc::clone(&schema), HashSet::new()));
        let Some(projection) = projection else {
            return Ok(whole);
        };
        let chosen = ProjectionExprs::from_indices(projection, &schema);
        Ok(Arc::new(ProjectionExec::try_new(
            chosen.iter().cloned(),
            whole,
        )?))
    }
}
