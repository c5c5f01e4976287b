//! Rows of PostgreSQL's binary format as Arrow batches.

use std::{error::Error, sync::Arc};

use datafusion::arrow::{
    array::{
        ArrayRef, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
        Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder, RecordBatch,
        RecordBatchOptions, StringViewBuilder, TimestampMicrosecondBuilder, new_null_array,
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
    types::{FromSql, Kind, Type},
};

use crate::column::{UTC, arrow_type};

/// Most rows of a batch.
const BATCH_ROWS_MAX: usize = 8_192;
/// Bytes after which a batch is closed.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Days from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
const EPOCH_MICROSECONDS: i64 = 10_957 * 86_400_000_000;

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
        ColumnType::List(_) | ColumnType::Other(_) => false,
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
        let builders = columns.iter().map(Builder::new).collect();
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

/// The bytes of any type.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
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
    Unread,
}

impl Builder {
    fn new(column: &Column) -> Self {
        match &column.column_type {
            ColumnType::Bool => Self::Bool(BooleanBuilder::new()),
            ColumnType::Int(16) => Self::Int16(Int16Builder::new()),
            ColumnType::Int(32) => Self::Int32(Int32Builder::new()),
            ColumnType::Int(_) => Self::Int64(Int64Builder::new()),
            ColumnType::Float(32) => Self::Float32(Float32Builder::new()),
            ColumnType::Float(_) => Self::Float64(Float64Builder::new()),
            ColumnType::Decimal { precision, scale } => {
                let builder =
                    Decimal128Builder::new().with_data_type(arrow_type(&column.column_type));
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
            ColumnType::List(_) | ColumnType::Other(_) => Self::Unread,
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
            Self::Int16(builder) => {
                let value = raw.and_then(fixed).map(i16::from_be_bytes);
                builder.append_option(value);
                value.map(drop)
            }
            Self::Int32(builder) => {
                let value = raw.and_then(fixed).map(i32::from_be_bytes);
                builder.append_option(value);
                value.map(drop)
            }
            Self::Int64(builder) => {
                let value = raw.and_then(fixed).map(i64::from_be_bytes);
                builder.append_option(value);
                value.map(drop)
            }
            Self::Float32(builder) => {
                let value = raw.and_then(fixed).map(f32::from_be_bytes);
                builder.append_option(value);
                value.map(drop)
            }
            Self::Float64(builder) => {
                let value = raw.and_then(fixed).map(f64::from_be_bytes);
                builder.append_option(value);
                value.map(drop)
            }
            Self::Decimal(builder, precision, scale) => {
                let value = raw.and_then(|raw| numeric(raw, *precision, *scale));
                builder.append_option(value);
                value.map(drop)
            }
            Self::Text(builder) => {
                let value = raw.and_then(|raw| std::str::from_utf8(raw).ok());
                builder.append_option(value);
                value.map(drop)
            }
            Self::Binary(builder) => {
                builder.append_option(raw);
                raw.map(drop)
            }
            Self::Date(builder) => {
                let value = raw.and_then(fixed).map(i32::from_be_bytes);
                let value = value.filter(|day| *day != i32::MAX && *day != i32::MIN);
                let value = value.and_then(|day| day.checked_add(EPOCH_DAYS));
                builder.append_option(value);
                value.map(drop)
            }
            Self::Timestamp(builder) => {
                let value = raw.and_then(fixed).map(i64::from_be_bytes);
                let value = value.filter(|instant| *instant != i64::MAX && *instant != i64::MIN);
                let value = value.and_then(|instant| instant.checked_add(EPOCH_MICROSECONDS));
                builder.append_option(value);
                value.map(drop)
            }
            Self::Uuid(builder) => {
                let value = raw.and_then(fixed).map(uuid);
                builder.append_option(value.as_deref());
                value.map(drop)
            }
            Self::Json(builder) => {
                // The binary form of jsonb is its text behind a version byte.
                let text = raw.map(|raw| raw.strip_prefix(&[1]).unwrap_or(raw));
                let value = text.and_then(|text| std::str::from_utf8(text).ok());
                builder.append_option(value);
                value.map(drop)
            }
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
            Self::Unread => new_null_array(&DataType::Null, row_count),
        }
    }
}

fn fixed<const N: usize>(raw: &[u8]) -> Option<[u8; N]> {
    raw.try_into().ok()
}

fn uuid(bytes: [u8; 16]) -> String {
    let digits = hex::encode(bytes);
    let mut text = String::with_capacity(36);
    for (index, digit) in digits.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

/// A numeric in units of 10^-scale; `None` if it is no number or does not fit exactly.
///
/// The wire form: count of base-10000 digits, weight of the first, sign, display scale, digits.
fn numeric(raw: &[u8], precision: u8, scale: u8) -> Option<i128> {
    let mut words = raw.chunks_exact(2).filter_map(fixed::<2>);
    let count = i16::from_be_bytes(words.next()?);
    let weight = i32::from(i16::from_be_bytes(words.next()?));
    let sign = u16::from_be_bytes(words.next()?);
    let _display_scale = words.next()?;
    let is_negative = match sign {
        0x0000 => false,
        0x4000 => true,
        _ => return None,
    };
    let mut units = 0_i128;
    for (position, digit) in words.take(usize::try_from(count).ok()?).enumerate() {
        let digit = i128::from(i16::from_be_bytes(digit));
        // This digit counts 10^exponent units.
        let exponent = 4 * (weight - i32::try_from(position).ok()?) + i32::from(scale);
        let part = match u32::try_from(exponent) {
            Ok(_) if digit == 0 => 0,
            Ok(exponent) => digit.checked_mul(10_i128.checked_pow(exponent)?)?,
            Err(_) => {
                let step = 10_i128.checked_pow(exponent.unsigned_abs())?;
                if digit % step != 0 {
                    return None;
                }
                digit / step
            }
        };
        units = units.checked_add(part)?;
    }
    let is_fitting = units < 10_i128.checked_pow(u32::from(precision))?;
    is_fitting.then_some(if is_negative { -units } else { units })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(weight: i16, sign: u16, digits: &[i16]) -> Vec<u8> {
        let mut raw = Vec::new();
        raw.extend(i16::try_from(digits.len()).unwrap().to_be_bytes());
        raw.extend(weight.to_be_bytes());
        raw.extend(sign.to_be_bytes());
        raw.extend(0_u16.to_be_bytes());
        digits
            .iter()
            .for_each(|digit| raw.extend(digit.to_be_bytes()));
        raw
    }

    #[test]
    fn numerics_are_exact_or_refused() {
        let check = |raw: Vec<u8>, precision, scale, expected: Option<i128>| {
            assert_eq!(numeric(&raw, precision, scale), expected);
        };
        check(wire(0, 0, &[]), 10, 2, Some(0));
        check(wire(0, 0, &[12, 3400]), 10, 2, Some(1234));
        check(wire(0, 0x4000, &[12, 3400]), 10, 4, Some(-123_400));
        check(wire(0, 0, &[12, 3450]), 10, 2, None);
        check(wire(1, 0, &[1]), 10, 2, Some(1_000_000));
        check(wire(-1, 0, &[500]), 10, 2, Some(5));
        check(wire(1, 0, &[1]), 6, 2, None);
        check(wire(0, 0xC000, &[]), 10, 2, None);
    }

    #[test]
    fn uuids_print_canonically() {
        assert_eq!(uuid([0xab; 16]), "abababab-abab-abab-abab-abababababab");
    }
}
