//! Rows of a database as Arrow batches of bounded size.
//!
//! A source says what each cell is; a cell that its column cannot hold exactly is a fault, never
//! another value.

use std::{borrow::Cow, sync::Arc};

use datafusion::arrow::{
    array::{
        ArrayRef, ArrowPrimitiveType, BinaryViewBuilder, BooleanBuilder, Date32Builder,
        Decimal128Builder, Float32Builder, Float64Builder, Int16Builder, Int32Builder,
        Int64Builder, ListArray, PrimitiveBuilder, RecordBatch, RecordBatchOptions,
        StringViewBuilder, TimestampMicrosecondBuilder, new_null_array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field, FieldRef, SchemaRef},
};
use dataos_model::{
    dataset::{Column, ColumnType},
    depot::Dataset,
    fault::{Fault, FaultKind},
};

use crate::column::{UTC, arrow_type};

/// Most rows of a batch.
const BATCH_ROWS_MAX: usize = 8_192;
/// Bytes after which a batch is closed.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// One value as a source has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Single(f32),
    Double(f64),
    /// In units of the column's last digit.
    Decimal(i128),
    /// Also of JSON and UUIDs.
    Text(Cow<'a, str>),
    Binary(&'a [u8]),
    /// Days since 1970.
    Date(i32),
    /// Microseconds since 1970.
    Microseconds(i64),
    List(Vec<Cell<'a>>),
}

/// What a cell is instead of a value of its column.
pub(super) type Unfit = &'static str;

/// For a number that its column's type cannot hold.
pub(super) const TOO_LARGE: Unfit = "a number beyond its digits";

/// Collects rows.
pub(super) struct Batches {
    /// With the datasets that they are of.
    columns: Vec<(Arc<Dataset>, Column)>,
    schema: SchemaRef,
    builders: Vec<Builder>,
    row_count: usize,
    byte_count: usize,
}

impl Batches {
    /// For rows of these columns, in order.
    pub(super) fn new(columns: Vec<(Arc<Dataset>, Column)>, schema: SchemaRef) -> Self {
        let builders = columns
            .iter()
            .map(|(_, column)| Builder::new(&column.column_type))
            .collect();
        Self {
            columns,
            schema,
            builders,
            row_count: 0,
            byte_count: 0,
        }
    }

    /// Whether the batch should be taken.
    pub(super) fn is_full(&self) -> bool {
        self.row_count >= BATCH_ROWS_MAX || self.byte_count >= BATCH_BYTES_MAX
    }

    /// Whether there are no rows.
    pub(super) fn is_empty(&self) -> bool {
        self.row_count == 0
    }

    /// Adds a row, of which `cell` gives the value of each column.
    ///
    /// # Errors
    /// Names the first column whose value does not fit.
    pub(super) fn push<'a>(
        &mut self,
        cell: impl Fn(usize, &ColumnType) -> Result<Cell<'a>, Unfit>,
    ) -> Result<(), Fault> {
        let columns = self.builders.iter_mut().zip(&self.columns);
        for (index, (builder, (dataset, column))) in columns.enumerate() {
            let appended = cell(index, &column.column_type).and_then(|cell| {
                if cell == Cell::Null && !column.is_nullable {
                    return Err("NULL");
                }
                self.byte_count += size(&cell);
                builder.append(cell)
            });
            appended.map_err(|what| unfit(dataset, column, what))?;
        }
        self.row_count += 1;
        Ok(())
    }

    /// The rows so far; the next batch is empty.
    pub(super) fn take(&mut self) -> Result<RecordBatch, Fault> {
        let arrays: Vec<ArrayRef> = self
            .builders
            .iter_mut()
            .map(|builder| builder.finish(self.row_count))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.row_count));
        (self.row_count, self.byte_count) = (0, 0);
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map_err(|_| Fault::internal("a batch of database rows does not fit its schema"))
    }
}

/// Bytes that a cell takes, about.
fn size(cell: &Cell<'_>) -> usize {
    match cell {
        Cell::Text(text) => text.len(),
        Cell::Binary(bytes) => bytes.len(),
        Cell::List(items) => items.iter().map(size).sum(),
        _ => size_of::<i64>(),
    }
}

fn unfit(dataset: &Dataset, column: &Column, what: Unfit) -> Fault {
    let kind = if what == "NULL" { "not null " } else { "" };
    Fault::new(
        FaultKind::Unsupported,
        format!(
            "column `{}` of `{}` is {kind}{} and holds {what}",
            column.name, dataset.id, column.column_type
        ),
    )
    .with_reason("source")
    .with_hint("correct the value at the source, or scan the depot again if the column changed")
}

enum Builder {
    Bool(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, u8),
    Text(StringViewBuilder),
    Binary(BinaryViewBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    List(Box<List>),
    Unread,
}

impl Builder {
    fn new(column_type: &ColumnType) -> Self {
        match column_type {
            ColumnType::Bool => Self::Bool(BooleanBuilder::new()),
            ColumnType::Int(16) => Self::Int16(Int16Builder::new()),
            ColumnType::Int(32) => Self::Int32(Int32Builder::new()),
            ColumnType::Int(_) => Self::Int64(Int64Builder::new()),
            ColumnType::Float(32) => Self::Float32(Float32Builder::new()),
            ColumnType::Float(_) => Self::Float64(Float64Builder::new()),
            ColumnType::Decimal { precision, .. } => {
                let builder = Decimal128Builder::new().with_data_type(arrow_type(column_type));
                Self::Decimal(builder, *precision)
            }
            ColumnType::Text | ColumnType::Uuid | ColumnType::Json => {
                Self::Text(StringViewBuilder::new())
            }
            ColumnType::Binary => Self::Binary(BinaryViewBuilder::new()),
            ColumnType::Date => Self::Date(Date32Builder::new()),
            ColumnType::Timestamp => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_timezone(UTC))
            }
            ColumnType::LocalTimestamp => Self::Timestamp(TimestampMicrosecondBuilder::new()),
            ColumnType::List(item) => Self::List(Box::new(List::new(item))),
            ColumnType::Record | ColumnType::Other(_) => Self::Unread,
        }
    }

    fn append(&mut self, cell: Cell<'_>) -> Result<(), Unfit> {
        match (self, cell) {
            (builder, Cell::Null) => builder.append_null(),
            (Self::Bool(builder), Cell::Bool(value)) => builder.append_value(value),
            (Self::Int16(builder), Cell::Int(value)) => integer(builder, value)?,
            (Self::Int32(builder), Cell::Int(value)) => integer(builder, value)?,
            (Self::Int64(builder), Cell::Int(value)) => builder.append_value(value),
            (Self::Float32(builder), Cell::Single(value)) => builder.append_value(value),
            (Self::Float64(builder), Cell::Double(value)) => builder.append_value(value),
            (Self::Decimal(builder, precision), Cell::Decimal(units)) => {
                let limit = 10_u128.checked_pow(u32::from(*precision));
                if limit.is_none_or(|limit| units.unsigned_abs() >= limit) {
                    return Err(TOO_LARGE);
                }
                builder.append_value(units);
            }
            (Self::Text(builder), Cell::Text(text)) => builder.append_value(text),
            (Self::Binary(builder), Cell::Binary(bytes)) => builder.append_value(bytes),
            (Self::Date(builder), Cell::Date(day)) => builder.append_value(day),
            (Self::Timestamp(builder), Cell::Microseconds(at)) => builder.append_value(at),
            (Self::List(list), Cell::List(items)) => list.append(items)?,
            _ => return Err("a value of another type"),
        }
        Ok(())
    }

    fn append_null(&mut self) {
        match self {
            Self::Bool(builder) => builder.append_null(),
            Self::Int16(builder) => builder.append_null(),
            Self::Int32(builder) => builder.append_null(),
            Self::Int64(builder) => builder.append_null(),
            Self::Float32(builder) => builder.append_null(),
            Self::Float64(builder) => builder.append_null(),
            Self::Decimal(builder, _) => builder.append_null(),
            Self::Text(builder) => builder.append_null(),
            Self::Binary(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::Timestamp(builder) => builder.append_null(),
            Self::List(list) => list.append_null(),
            Self::Unread => {}
        }
    }

    fn finish(&mut self, row_count: usize) -> ArrayRef {
        match self {
            Self::Bool(builder) => Arc::new(builder.finish()),
            Self::Int16(builder) => Arc::new(builder.finish()),
            Self::Int32(builder) => Arc::new(builder.finish()),
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::Float32(builder) => Arc::new(builder.finish()),
            Self::Float64(builder) => Arc::new(builder.finish()),
            Self::Decimal(builder, _) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Binary(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) => Arc::new(builder.finish()),
            Self::List(list) => list.finish(),
            Self::Unread => new_null_array(&DataType::Null, row_count),
        }
    }
}

fn integer<T: ArrowPrimitiveType>(
    builder: &mut PrimitiveBuilder<T>,
    value: i64,
) -> Result<(), Unfit>
where
    T::Native: TryFrom<i64>,
{
    builder.append_value(T::Native::try_from(value).map_err(|_| TOO_LARGE)?);
    Ok(())
}

/// Elements end to end, and how many each row has.
struct List {
    field: FieldRef,
    items: Builder,
    item_count: usize,
    lengths: Vec<usize>,
    validity: Vec<bool>,
}

impl List {
    fn new(item: &ColumnType) -> Self {
        Self {
            field: Arc::new(Field::new_list_field(arrow_type(item), true)),
            items: Builder::new(item),
            item_count: 0,
            lengths: Vec::new(),
            validity: Vec::new(),
        }
    }

    fn append(&mut self, items: Vec<Cell<'_>>) -> Result<(), Unfit> {
        self.validity.push(true);
        self.lengths.push(items.len());
        self.item_count += items.len();
        items
            .into_iter()
            .try_for_each(|item| self.items.append(item))
    }

    fn append_null(&mut self) {
        self.validity.push(false);
        self.lengths.push(0);
    }

    fn finish(&mut self) -> ArrayRef {
        let lengths = std::mem::take(&mut self.lengths);
        let validity = std::mem::take(&mut self.validity);
        let items = self.items.finish(std::mem::take(&mut self.item_count));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let validity = NullBuffer::from(validity);
        let rows = validity.len();
        ListArray::try_new(Arc::clone(&self.field), offsets, items, Some(validity)).map_or_else(
            |_| new_null_array(&DataType::List(Arc::clone(&self.field)), rows),
            |list| Arc::new(list) as ArrayRef,
        )
    }
}
