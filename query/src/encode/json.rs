//! One row as a JSON array.
//!
//! Numbers that a double cannot hold exactly (integers beyond 2^53, decimals of more than 15 digits)
//! are strings; so are NaN and the infinities. Dates and times are ISO 8601, bytes are hex.

use datafusion::arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
        Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
        TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
        UInt64Type,
    },
    util::display::{ArrayFormatter, FormatOptions},
};

use crate::calendar::{date_text, timestamp_text};

/// Largest integer up to which every integer is a double.
const INTEGER_MAX: u64 = 1 << 53;
/// Digits of a decimal that survive the way through a double.
const DIGITS_MAX: usize = 15;

/// Writes row `index` of the batch.
pub(super) fn row(buffer: &mut Vec<u8>, batch: &RecordBatch, index: usize) {
    buffer.push(b'[');
    for (position, column) in batch.columns().iter().enumerate() {
        if position > 0 {
            buffer.push(b',');
        }
        cell(buffer, column.as_ref(), index);
    }
    buffer.push(b']');
}

fn cell(buffer: &mut Vec<u8>, array: &dyn Array, index: usize) {
    if array.is_null(index) || written(buffer, array, index).is_none() {
        buffer.extend_from_slice(b"null");
    }
}

fn written(buffer: &mut Vec<u8>, array: &dyn Array, index: usize) -> Option<()> {
    use DataType as A;
    match array.data_type() {
        A::Null => return None,
        A::Boolean => plain(buffer, array.as_boolean_opt()?.value(index)),
        A::Int8 => plain(buffer, array.as_primitive_opt::<Int8Type>()?.value(index)),
        A::Int16 => plain(buffer, array.as_primitive_opt::<Int16Type>()?.value(index)),
        A::Int32 => plain(buffer, array.as_primitive_opt::<Int32Type>()?.value(index)),
        A::Int64 => {
            let value = array.as_primitive_opt::<Int64Type>()?.value(index);
            integer(buffer, value, value.unsigned_abs());
        }
        A::UInt8 => plain(buffer, array.as_primitive_opt::<UInt8Type>()?.value(index)),
        A::UInt16 => plain(buffer, array.as_primitive_opt::<UInt16Type>()?.value(index)),
        A::UInt32 => plain(buffer, array.as_primitive_opt::<UInt32Type>()?.value(index)),
        A::UInt64 => {
            let value = array.as_primitive_opt::<UInt64Type>()?.value(index);
            integer(buffer, value, value);
        }
        A::Float32 => {
            let value = array.as_primitive_opt::<Float32Type>()?.value(index);
            float(buffer, value, value.is_finite());
        }
        A::Float64 => {
            let value = array.as_primitive_opt::<Float64Type>()?.value(index);
            float(buffer, value, value.is_finite());
        }
        A::Decimal128(_, scale) => {
            let units = array.as_primitive_opt::<Decimal128Type>()?.value(index);
            decimal(buffer, units, usize::try_from(*scale).ok()?);
        }
        A::Utf8 => text(buffer, array.as_string_opt::<i32>()?.value(index)),
        A::LargeUtf8 => text(buffer, array.as_string_opt::<i64>()?.value(index)),
        A::Utf8View => text(buffer, array.as_string_view_opt()?.value(index)),
        A::Binary => text(
            buffer,
            &hex::encode(array.as_binary_opt::<i32>()?.value(index)),
        ),
        A::BinaryView => text(
            buffer,
            &hex::encode(array.as_binary_view_opt()?.value(index)),
        ),
        A::Date32 => {
            text(
                buffer,
                &date_text(array.as_primitive_opt::<Date32Type>()?.value(index).into()),
            );
        }
        A::Timestamp(unit, zone) => {
            let microseconds = microseconds(array, index, *unit)?;
            text(buffer, &timestamp_text(microseconds, zone.is_some()));
        }
        A::List(_) => list(buffer, array.as_list_opt::<i32>()?.value(index).as_ref()),
        A::LargeList(_) => list(buffer, array.as_list_opt::<i64>()?.value(index).as_ref()),
        _ => {
            let formatter = ArrayFormatter::try_new(array, &FormatOptions::default()).ok()?;
            text(buffer, &formatter.value(index).to_string());
        }
    }
    Some(())
}

/// The microseconds of a timestamp.
pub(crate) fn microseconds(array: &dyn Array, index: usize, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => array
            .as_primitive_opt::<TimestampSecondType>()?
            .value(index)
            .checked_mul(1_000_000),
        TimeUnit::Millisecond => array
            .as_primitive_opt::<TimestampMillisecondType>()?
            .value(index)
            .checked_mul(1_000),
        TimeUnit::Microsecond => Some(
            array
                .as_primitive_opt::<TimestampMicrosecondType>()?
                .value(index),
        ),
        TimeUnit::Nanosecond => {
            let value = array
                .as_primitive_opt::<TimestampNanosecondType>()?
                .value(index);
            Some(value.div_euclid(1_000))
        }
    }
}

fn plain(buffer: &mut Vec<u8>, value: impl std::fmt::Display) {
    buffer.extend_from_slice(value.to_string().as_bytes());
}

fn integer(buffer: &mut Vec<u8>, value: impl std::fmt::Display, size: u64) {
    if size <= INTEGER_MAX {
        plain(buffer, value)
    } else {
        text(buffer, &value.to_string())
    }
}

fn float(buffer: &mut Vec<u8>, value: impl std::fmt::Display, is_finite: bool) {
    if is_finite {
        plain(buffer, value);
    } else {
        let name = value.to_string().replace("inf", "Infinity");
        text(buffer, &name);
    }
}

/// All digits of a decimal.
pub(crate) fn decimal_text(units: i128, scale: usize) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = scale + 1);
    let (whole, part) = digits
        .split_at_checked(digits.len() - scale)
        .unwrap_or_default();
    let point = if part.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{part}")
}

fn decimal(buffer: &mut Vec<u8>, units: i128, scale: usize) {
    let number = decimal_text(units, scale);
    if units
        .unsigned_abs()
        .to_string()
        .trim_start_matches('0')
        .len()
        <= DIGITS_MAX
    {
        plain(buffer, number)
    } else {
        text(buffer, &number)
    }
}

fn text(buffer: &mut Vec<u8>, value: &str) {
    // Writing a string to memory cannot fail.
    let _written = serde_json::to_writer(buffer, value);
}

fn list(buffer: &mut Vec<u8>, items: &dyn Array) {
    buffer.push(b'[');
    for index in 0..items.len() {
        if index > 0 {
            buffer.push(b',');
        }
        cell(buffer, items, index);
    }
    buffer.push(b']');
}
