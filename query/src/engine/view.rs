//! A view as rows that a governed table reads: its query over governed tables.
//!
//! The query is planned as one of its own, and a barrier lies between its rows and whoever reads them
//! wherever the view has policies of its own.

use std::{iter, sync::Arc};

use datafusion::{
    arrow::datatypes::Schema,
    catalog::TableProvider,
    common::{Column, Result},
    datasource::ViewTable,
    logical_expr::{Expr, LogicalPlanBuilder, cast},
};
use dataos_model::dataset::{ColumnType, DatasetSchema};
use dataos_sql::Bound;

use crate::{
    column::{arrow_type, column_type},
    engine::{
        correlated::plannable,
        session::{Sessions, plan, register},
    },
};

/// The rows of a view under the names of its columns, in the types of `column`.
///
/// # Errors
/// A query that does not fit the types of its tables.
pub(crate) async fn open(
    sessions: &Sessions,
    bound: &Bound,
    columns: &DatasetSchema,
    tables: impl IntoIterator<Item = (String, Arc<dyn TableProvider>)>,
) -> Result<Arc<dyn TableProvider>> {
    let session = sessions.open(iter::empty());
    for (name, table) in tables {
        register(&session, &name, table)?;
    }
    let query = plannable(&session, plan(&session, bound.emit()).await?)?;
    let fields = query.schema().iter().zip(&columns.columns);
    let shown: Vec<Expr> = fields
        .map(|((qualifier, field), column)| {
            let value = Expr::Column(Column::from((qualifier, field)));
            let shown = match column_type(field.data_type()) {
                column_type if !column_type.is_read() => value,
                column_type => cast(value, arrow_type(&column_type)),
            };
            shown.alias(&column.name)
        })
        .collect();
    let query = LogicalPlanBuilder::from(query).project(shown)?.build()?;
    Ok(Arc::new(ViewTable::new(query, None)))
}

/// The types of a view's columns as this reader has them.
pub(crate) fn types(schema: &Schema) -> Vec<ColumnType> {
    let fields = schema.fields().iter();
    fields.map(|field| column_type(field.data_type())).collect()
}
