//! Row predicates as physical expressions, exactly.
//!
//! Shapes that Arrow's kernels compute with Cedar's meaning become native expressions, so that they
//! prune files and run vectorised; every other shape is evaluated row by row by the interpreter of
//! dataos-model. Nothing is approximated and nothing is refused. No expression made here can fail on
//! a value, so the order in which an engine evaluates conjuncts cannot be observed.

mod native;
pub(crate) mod row;

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::SchemaRef,
    logical_expr::Operator,
    physical_expr::{
        PhysicalExpr,
        expressions::{BinaryExpr, Column, lit},
    },
};
use dataos_model::{
    dataset::{ColumnType, DatasetSchema},
    predicate::Predicate,
};

use self::row::RowPredicate;

/// The raw columns that an expression may read: the catalog's types, and the positions in the batch.
#[derive(Clone, Debug)]
pub(crate) struct RawColumns {
    dataset: Arc<DatasetSchema>,
    batch: SchemaRef,
}

impl RawColumns {
    /// Columns of `dataset` as they lie in a batch of schema `batch`.
    pub(crate) fn new(dataset: Arc<DatasetSchema>, batch: SchemaRef) -> Self {
        Self { dataset, batch }
    }

    /// Type and position of a column that exists in catalog and batch.
    pub(crate) fn find(&self, name: &str) -> Option<(&ColumnType, Arc<dyn PhysicalExpr>)> {
        let column = self
            .dataset
            .columns
            .iter()
            .find(|column| column.name == name)?;
        let (index, _) = self.batch.column_with_name(name)?;
        Some((&column.column_type, Arc::new(Column::new(name, index))))
    }

    /// The same for a column that policies can speak about; others are absent to them.
    fn attribute(&self, name: &str) -> Option<(&ColumnType, Arc<dyn PhysicalExpr>)> {
        self.find(name)
            .filter(|(column_type, _)| column_type.attribute_type().is_some())
    }
}

/// An expression that is TRUE exactly for the rows for which the predicate holds; for the others it
/// is FALSE or NULL, which filters and CASE treat alike.
pub(crate) fn compile(predicate: &Predicate, columns: &RawColumns) -> Arc<dyn PhysicalExpr> {
    match predicate {
        Predicate::Constant(value) => lit(*value),
        Predicate::Satisfied(expression) => native::positive(expression, columns)
            .unwrap_or_else(|| Arc::new(RowPredicate::new(predicate.clone(), columns))),
        Predicate::All(parts) => fold(parts, Operator::And, columns, true),
        Predicate::Any(parts) => fold(parts, Operator::Or, columns, false),
        // NULL counts as "does not hold", so its opposite is not NOT but "is not true".
        Predicate::Not(inner) => {
            binary(compile(inner, columns), Operator::IsDistinctFrom, lit(true))
        }
    }
}

fn fold(
    parts: &[Predicate],
    operator: Operator,
    columns: &RawColumns,
    empty: bool,
) -> Arc<dyn PhysicalExpr> {
    parts
        .iter()
        .map(|part| compile(part, columns))
        .reduce(|left, right| binary(left, operator, right))
        .unwrap_or_else(|| lit(empty))
}

fn binary(
    left: Arc<dyn PhysicalExpr>,
    operator: Operator,
    right: Arc<dyn PhysicalExpr>,
) -> Arc<dyn PhysicalExpr> {
    Arc::new(BinaryExpr::new(left, operator, right))
}

#[cfg(test)]
mod tests;
