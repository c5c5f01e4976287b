//! Rows of PostgreSQL's binary format as Arrow batches.

mod list;
mod wire;

use std::sync::Arc;

use datafusion::arrow::{
    array::{
        ArrayRef, ArrowPrimitiveType, BinaryViewBuilder, BooleanBuilder, Date32Builder,
        Decimal128Builder, Float32Builder, Float64Builder, Int16Builder, Int32Builder,
        Int64Builder, PrimitiveBuilder, RecordBatch, RecordBatchOptions, StringViewBuilder,
        TimestampMicrosecondBuilder, new_null_array,
    },
    datatypes::{DataType, SchemaRef},
};
use dataos_model::{
    dataset::{Column, ColumnType},
    depot::Dataset,
    fault::{Fault, FaultKind},
};
use tokio_postgres::{
    Row,
    types::{Kind, Type},
};

use self::{
    list::List,
    wire::{Raw, date, fixed, numeric, timestamp, uuid},
};
use crate::column::{UTC, arrow_type};

/// Most rows of a batch.
const BATCH_ROWS_MAX: usize = 8_192;
/// Bytes after which a batch is closed.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Whether the server's types are those that the catalog knows.
///
/// # Errors
/// Names the first column that differs.
pub(super) fn check(
    dataset: &Dataset,
    wanted: &[Column],
    found: &[tokio_postgres::Column],
) -> Result<(), Fault> {
    for (column, found) in wanted.iter().zip(found) {
        if !is_read(&column.column_type, found.type_()) {
            return Err(Fault::new(
                FaultKind::Conflict,
                format!(
                    "column `{}` of `{}` is {} in the database and {} in the catalog",
                    column.name,
                    dataset.id,
                    found.type_(),
                    column.column_type
                ),
            )
            .with_reason("schema_changed")
            .with_hint("scan the depot again"));
        }
    }
    Ok(())
}

fn is_read(column_type: &ColumnType, found: &Type) -> bool {
    match column_type {
        ColumnType::Bool => *found == Type::BOOL,
        ColumnType::Int(16) => *found == Type::INT2,
        ColumnType::Int(32) => *found == Type::INT4,
        ColumnType::Int(_) => *found == Type::INT8,
        ColumnType::Float(32) => *found == Type::FLOAT4,
        ColumnType::Float(_) => *found == Type::FLOAT8,
        ColumnType::Decimal { .. } => *found == Type::NUMERIC,
        // Enumerations and citext travel as their text.
        ColumnType::Text => {
            matches!(
                *found,
                Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME
            ) || matches!(found.kind(), Kind::Enum(_))
                || found.name() == "citext"
        }
        ColumnType::Binary => *found == Type::BYTEA,
        ColumnType::Date => *found == Type::DATE,
        // A source without zone may be declared to be UTC.
        ColumnType::Timestamp => matches!(*found, Type::TIMESTAMPTZ | Type::TIMESTAMP),
        ColumnType::LocalTimestamp => *found == Type::TIMESTAMP,
        ColumnType::Uuid => *found == Type::UUID,
        ColumnType::Json => matches!(*found, Type::JSON | Type::JSONB),
        ColumnType::List(item) => match found.kind() {
            Kind::Array(found) => is_read(item, found),
            _ => false,
        },
        ColumnType::Other(_) => false,
    }
}

/// Collects rows into batches of bounded size.
pub(super) struct Batches {
    columns: Vec<Column>,
    schema: SchemaRef,
    builders: Vec<Builder>,
    row_count: usize,
    byte_count: usize,
}

impl Batches {
    /// For rows of these columns, in order.
    pub(super) fn new(columns: Vec<Column>, schema: SchemaRef) -> Self {
        let builders = columns
            .iter()
            .map(|column| Builder::new(&column.column_type))
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

    /// Adds a row.
    pub(super) fn push(&mut self, row: &Row) -> Result<(), Fault> {
        for (index, (builder, column)) in self.builders.iter_mut().zip(&self.columns).enumerate() {
            let Raw(value) = row.try_get(index).map_err(|_| malformed(column))?;
            self.byte_count += value.map_or(0, <[u8]>::len);
            let is_null = value.is_none();
            if builder.append(value).is_none() && !is_null {
                return Err(malformed(column));
            }
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

fn malformed(column: &Column) -> Fault {
    Fault::new(
        FaultKind::Unsupported,
        format!(
            "column `{}` holds a value that {} cannot hold",
            column.name, column.column_type
        ),
    )
    .with_reason("source")
    .with_hint("infinity, NaN in numeric and numbers beyond the declared digits are not read")
}

enum Builder {
    Bool(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, u8, u8),
    Text(StringViewBuilder),
    Binary(BinaryViewBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Uuid(StringViewBuilder),
    Json(StringViewBuilder),
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
            ColumnType::Decimal { precision, scale } => {
                let builder = Decimal128Builder::new().with_data_type(arrow_type(column_type));
                Self::Decimal(builder, *precision, *scale)
            }
            ColumnType::Text => Self::Text(StringViewBuilder::new()),
            ColumnType::Binary => Self::Binary(BinaryViewBuilder::new()),
            ColumnType::Date => Self::Date(Date32Builder::new()),
            ColumnType::Timestamp => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_timezone(UTC))
            }
            ColumnType::LocalTimestamp => Self::Timestamp(TimestampMicrosecondBuilder::new()),
            ColumnType::Uuid => Self::Uuid(StringViewBuilder::new()),
            ColumnType::Json => Self::Json(StringViewBuilder::new()),
            ColumnType::List(item) => Self::List(Box::new(List::new(item))),
            ColumnType::Other(_) => Self::Unread,
        }
    }

    /// `None` if nothing or NULL was appended.
    fn append(&mut self, raw: Option<&[u8]>) -> Option<()> {
        match self {
            Self::Bool(builder) => {
                let value = raw.and_then(|raw| raw.first()).map(|byte| *byte != 0);
                builder.append_option(value);
                value.map(drop)
            }
            Self::Int16(builder) => number(builder, raw.and_then(fixed).map(i16::from_be_bytes)),
            Self::Int32(builder) => number(builder, raw.and_then(fixed).map(i32::from_be_bytes)),
            Self::Int64(builder) => number(builder, raw.and_then(fixed).map(i64::from_be_bytes)),
            Self::Float32(builder) => number(builder, raw.and_then(fixed).map(f32::from_be_bytes)),
            Self::Float64(builder) => number(builder, raw.and_then(fixed).map(f64::from_be_bytes)),
            Self::Decimal(builder, precision, scale) => number(
                builder,
                raw.and_then(|raw| numeric(raw, *precision, *scale)),
            ),
            Self::Date(builder) => number(builder, raw.and_then(date)),
            Self::Timestamp(builder) => number(builder, raw.and_then(timestamp)),
            Self::Text(builder) => text(builder, raw.and_then(|raw| std::str::from_utf8(raw).ok())),
            Self::Uuid(builder) => text(builder, raw.and_then(fixed).map(uuid).as_deref()),
            Self::Json(builder) => {
                // The binary form of jsonb is its text behind a version byte.
                let raw = raw.map(|raw| raw.strip_prefix(&[1]).unwrap_or(raw));
                text(builder, raw.and_then(|raw| std::str::from_utf8(raw).ok()))
            }
            Self::Binary(builder) => {
                builder.append_option(raw);
                raw.map(drop)
            }
            Self::List(list) => list.append(raw),
            Self::Unread => None,
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
            Self::Decimal(builder, _, _) => Arc::new(builder.finish()),
            Self::Text(builder) | Self::Uuid(builder) | Self::Json(builder) => {
                Arc::new(builder.finish())
            }
            Self::Binary(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) => Arc::new(builder.finish()),
            Self::List(list) => list.finish(),
            Self::Unread => new_null_array(&DataType::Null, row_count),
        }
    }
}

fn number<T: ArrowPrimitiveType>(
    builder: &mut PrimitiveBuilder<T>,
    value: Option<T::Native>,
) -> Option<()> {
    builder.append_option(value);
    value.map(drop)
}

fn text(builder: &mut StringViewBuilder, value: Option<&str>) -> Option<()> {
    builder.append_option(value);
    value.map(drop)
}
