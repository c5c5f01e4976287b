//! The interpreter of dataos-model over Arrow batches: for shapes without a native expression.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch},
        datatypes::{
            DataType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type, Schema,
            TimestampMicrosecondType,
        },
    },
    common::Result,
    logical_expr::ColumnarValue,
    physical_expr::PhysicalExpr,
};
use dataos_model::{
    dataset::ColumnType,
    predicate::{Predicate, Row},
    value::Value,
};

use super::RawColumns;

/// A predicate evaluated row by row. Its children are the columns that it reads, so that projections
/// may move below it.
#[derive(Debug)]
pub(crate) struct RowPredicate {
    predicate: Predicate,
    columns: Vec<(String, ColumnType)>,
    inputs: Vec<Arc<dyn PhysicalExpr>>,
}

impl RowPredicate {
    /// Columns that the predicate names and that are not there stay absent.
    pub(super) fn new(predicate: Predicate, available: &RawColumns) -> Self {
        let (columns, inputs) = predicate
            .columns()
            .into_iter()
            .filter_map(|name| {
                let (column_type, input) = available.attribute(&name)?;
                Some(((name.clone(), column_type.clone()), input))
            })
            .unzip();
        Self {
            predicate,
            columns,
            inputs,
        }
    }
}

impl PartialEq for RowPredicate {
    fn eq(&self, other: &Self) -> bool {
        self.predicate == other.predicate
            && self.columns == other.columns
            && self.inputs == other.inputs
    }
}

impl Eq for RowPredicate {}

impl Hash for RowPredicate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.predicate.hash(state);
        self.columns.hash(state);
        self.inputs.hash(state);
    }
}

impl fmt::Display for RowPredicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row({})", self.predicate)
    }
}

impl PhysicalExpr for RowPredicate {
    fn data_type(&self, _input_schema: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _input_schema: &Schema) -> Result<bool> {
        Ok(false)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let arrays: Vec<ArrayRef> = self
            .inputs
            .iter()
            .map(|input| input.evaluate(batch)?.into_array(batch.num_rows()))
            .collect::<Result<_>>()?;
        let holds = (0..batch.num_rows()).map(|index| {
            self.predicate.holds(&ArrowRow {
                of: self,
                arrays: &arrays,
                index,
            })
        });
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::from_iter(
            holds.map(Some),
        ))))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.inputs.iter().collect()
    }

    fn with_new_children(
        self: Arc<Self>,
        inputs: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let (predicate, columns) = (self.predicate.clone(), self.columns.clone());
        Ok(Arc::new(Self {
            predicate,
            columns,
            inputs,
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.predicate)
    }
}

/// One row of a batch, read column by column as the interpreter asks.
struct ArrowRow<'a> {
    of: &'a RowPredicate,
    arrays: &'a [ArrayRef],
    index: usize,
}

impl Row for ArrowRow<'_> {
    fn column(&self, name: &str) -> Option<Value> {
        let position = self
            .of
            .columns
            .iter()
            .position(|(column, _)| column == name)?;
        let (_, column_type) = self.of.columns.get(position)?;
        attribute(self.arrays.get(position)?.as_ref(), self.index, column_type)
    }
}

/// The policy attribute of a cell; `None` if it is NULL or of no attribute type.
pub(crate) fn attribute(
    array: &dyn Array,
    index: usize,
    column_type: &ColumnType,
) -> Option<Value> {
    if array.is_null(index) {
        return None;
    }
    column_type.attribute_type()?;
    Some(match column_type {
        ColumnType::Bool => Value::Bool(array.as_boolean_opt()?.value(index)),
        ColumnType::Int(16) => {
            Value::Long(array.as_primitive_opt::<Int16Type>()?.value(index).into())
        }
        ColumnType::Int(32) => {
            Value::Long(array.as_primitive_opt::<Int32Type>()?.value(index).into())
        }
        ColumnType::Int(_) => Value::Long(array.as_primitive_opt::<Int64Type>()?.value(index)),
        ColumnType::Text | ColumnType::Uuid => {
            Value::String(array.as_string_view_opt()?.value(index).to_owned())
        }
        ColumnType::Decimal { scale, .. } => {
            let raw = array.as_primitive_opt::<Decimal128Type>()?.value(index);
            let step = 10_i128.checked_pow(4_u32.checked_sub(u32::from(*scale))?)?;
            Value::Decimal(i64::try_from(raw.checked_mul(step)?).ok()?)
        }
        ColumnType::Date => {
            let day = i64::from(array.as_primitive_opt::<Date32Type>()?.value(index));
            Value::DateTime(day.checked_mul(86_400_000)?)
        }
        ColumnType::Timestamp => {
            let raw = array
                .as_primitive_opt::<TimestampMicrosecondType>()?
                .value(index);
            Value::DateTime(raw.div_euclid(1_000))
        }
        ColumnType::List(item) => {
            let items = array.as_list_opt::<i32>()?.value(index);
            // A NULL among the elements has no counterpart in a set: the whole is absent.
            let items: Option<_> = (0..items.len())
                .map(|position| attribute(items.as_ref(), position, item))
                .collect();
            Value::Set(items?)
        }
        ColumnType::Float(_)
        | ColumnType::Binary
        | ColumnType::LocalTimestamp
        | ColumnType::Json
        | ColumnType::Record
        | ColumnType::Other(_) => return None,
    })
}
