//! One value as text, whatever the format around it.
//!
//! Numbers that a double cannot hold exactly (integers beyond 2^53, decimals of more than 15 digits)
//! are texts; so are NaN and the infinities. Dates and times are ISO 8601, bytes are hex.

use std::borrow::Cow;

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, StructArray},
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

/// A value on its way out.
pub(super) enum Value<'a> {
    Null,
    /// A number or truth value, as JSON writes it.
    Plain(String),
    Text(Cow<'a, str>),
    List(ArrayRef),
    /// The row at the same place.
    Record(&'a StructArray),
}

/// The value at `index`.
pub(super) fn of(array: &dyn Array, index: usize) -> Value<'_> {
    if array.is_null(index) {
        return Value::Null;
    }
    present(array, index).unwrap_or(Value::Null)
}

fn present(array: &dyn Array, index: usize) -> Option<Value<'_>> {
    use DataType as A;
    Some(match array.data_type() {
        A::Null => return None,
        A::Boolean => plain(array.as_boolean_opt()?.value(index)),
        A::Int8 => plain(array.as_primitive_opt::<Int8Type>()?.value(index)),
        A::Int16 => plain(array.as_primitive_opt::<Int16Type>()?.value(index)),
        A::Int32 => plain(array.as_primitive_opt::<Int32Type>()?.value(index)),
        A::Int64 => {
            let value = array.as_primitive_opt::<Int64Type>()?.value(index);
            integer(value, value.unsigned_abs())
        }
        A::UInt8 => plain(array.as_primitive_opt::<UInt8Type>()?.value(index)),
        A::UInt16 => plain(array.as_primitive_opt::<UInt16Type>()?.value(index)),
        A::UInt32 => plain(array.as_primitive_opt::<UInt32Type>()?.value(index)),
        A::UInt64 => {
            let value = array.as_primitive_opt::<UInt64Type>()?.value(index);
            integer(value, value)
        }
        A::Float32 => {
            let value = array.as_primitive_opt::<Float32Type>()?.value(index);
            float(value, value.is_finite())
        }
        A::Float64 => {
            let value = array.as_primitive_opt::<Float64Type>()?.value(index);
            float(value, value.is_finite())
        }
        A::Decimal128(_, scale) => {
            let units = array.as_primitive_opt::<Decimal128Type>()?.value(index);
            decimal(units, usize::try_from(*scale).ok()?)
        }
        A::Utf8 => Value::Text(array.as_string_opt::<i32>()?.value(index).into()),
        A::LargeUtf8 => Value::Text(array.as_string_opt::<i64>()?.value(index).into()),
        A::Utf8View => Value::Text(array.as_string_view_opt()?.value(index).into()),
        A::Binary => text(hex::encode(array.as_binary_opt::<i32>()?.value(index))),
        A::BinaryView => text(hex::encode(array.as_binary_view_opt()?.value(index))),
        A::Date32 => {
            let days = array.as_primitive_opt::<Date32Type>()?.value(index);
            text(date_text(days.into()))
        }
        A::Timestamp(unit, zone) => {
            let microseconds = microseconds(array, index, *unit)?;
            text(timestamp_text(microseconds, zone.is_some()))
        }
        A::List(_) => Value::List(array.as_list_opt::<i32>()?.value(index)),
        A::LargeList(_) => Value::List(array.as_list_opt::<i64>()?.value(index)),
        A::Struct(_) => Value::Record(array.as_struct_opt()?),
        _ => {
            let formatter = ArrayFormatter::try_new(array, &FormatOptions::default()).ok()?;
            text(formatter.value(index).to_string())
        }
    })
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

fn plain<'a>(value: impl ToString) -> Value<'a> {
    Value::Plain(value.to_string())
}

fn text<'a>(value: String) -> Value<'a> {
    Value::Text(value.into())
}

fn integer<'a>(value: impl ToString, size: u64) -> Value<'a> {
    if size <= INTEGER_MAX {
        plain(value)
    } else {
        text(value.to_string())
    }
}

fn float<'a>(value: impl ToString, is_finite: bool) -> Value<'a> {
    if is_finite {
        plain(value)
    } else {
        text(value.to_string().replace("inf", "Infinity"))
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

fn decimal<'a>(units: i128, scale: usize) -> Value<'a> {
    let number = decimal_text(units, scale);
    let digits = units.unsigned_abs().to_string();
    if digits.trim_start_matches('0').len() <= DIGITS_MAX {
        Value::Plain(number)
    } else {
        text(number)
    }
}
