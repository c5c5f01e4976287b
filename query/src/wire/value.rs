//! Values in PostgreSQL's types, as text or binary: the same values that the REST door writes as JSON.

use bytes::{BufMut, BytesMut};
use datafusion::arrow::{
    array::{Array, AsArray, StructArray},
    datatypes::{
        DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use dataos_model::{dataset::ColumnType, fault::Fault};

use super::message::Format;
use crate::{
    column::column_type,
    encode::{
        microseconds,
        postgres::{is_null, plain, text},
    },
};

/// Days and microseconds from 1970, where Arrow counts from, to 2000, where PostgreSQL does.
const EPOCH_DAYS: i64 = 10_957;
const EPOCH_MICROSECONDS: i64 = EPOCH_DAYS * 86_400_000_000;
/// Digits of one group of a binary `numeric`.
const GROUP: usize = 4;

/// A type as the peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) oid: u32,
    /// Bytes of a value, or -1 if it varies.
    pub(super) size: i16,
    /// Precision and scale of a `numeric`, or -1.
    pub(super) modifier: i32,
}

/// The type of text.
pub(super) fn text_kind() -> Kind {
    kind(&ColumnType::Text)
}

/// The PostgreSQL type of a column: oid, name, size, oid of its array type.
pub(crate) fn postgres_type(column_type: &ColumnType) -> (u32, i16, u32) {
    match column_type {
        ColumnType::Bool => (16, 1, 1000),
        ColumnType::Int(16) => (21, 2, 1005),
        ColumnType::Int(32) => (23, 4, 1007),
        ColumnType::Int(_) => (20, 8, 1016),
        ColumnType::Float(32) => (700, 4, 1021),
        ColumnType::Float(_) => (701, 8, 1022),
        ColumnType::Decimal { .. } => (1700, -1, 1231),
        ColumnType::Binary => (17, -1, 1001),
        ColumnType::Date => (1082, 4, 1182),
        ColumnType::Timestamp => (1184, 8, 1185),
        ColumnType::LocalTimestamp => (1114, 8, 1115),
        ColumnType::List(item) => (postgres_type(item).2, -1, 1009),
        ColumnType::Record => (2249, -1, 2287),
        // Values of other types are shown as text.
        ColumnType::Text | ColumnType::Uuid | ColumnType::Json | ColumnType::Other(_) => {
            (25, -1, 1009)
        }
    }
}

/// What the peer is told of a column's type.
pub(super) fn kind(column_type: &ColumnType) -> Kind {
    let (oid, size, _) = postgres_type(column_type);
    Kind {
        oid,
        size,
        modifier: modifier(column_type),
    }
}

/// PostgreSQL's type modifier: precision and scale of a `numeric`, else -1.
pub(crate) fn modifier(column_type: &ColumnType) -> i32 {
    match column_type {
        ColumnType::Decimal { precision, scale } => {
            ((i32::from(*precision) << 16) | i32::from(*scale)) + 4
        }
        _ => -1,
    }
}

/// Adds a value with its length in front; -1 stands for NULL.
///
/// # Errors
/// A value that has no place in PostgreSQL's type.
pub(super) fn put(
    body: &mut BytesMut,
    array: &dyn Array,
    index: usize,
    format: Format,
) -> Result<(), Fault> {
    if is_null(array, index) {
        body.put_i32(-1);
        return Ok(());
    }
    let at = body.len();
    body.put_i32(0);
    let written = match format {
        Format::Text => text(body, array, index),
        Format::Binary => binary(body, array, index),
    };
    if written.is_none() {
        return Err(Fault::internal(format!(
            "a value of type {} cannot be sent",
            array.data_type()
        )));
    }
    let length = i32::try_from(body.len() - at - 4)
        .map_err(|_| Fault::internal("a value is too long to be sent"))?;
    if let Some(place) = body.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

fn binary(body: &mut BytesMut, array: &dyn Array, index: usize) -> Option<()> {
    use DataType as A;
    match array.data_type() {
        A::Boolean => body.put_u8(u8::from(array.as_boolean_opt()?.value(index))),
        A::Int8 => body.put_i16(array.as_primitive_opt::<Int8Type>()?.value(index).into()),
        A::UInt8 => body.put_i16(array.as_primitive_opt::<UInt8Type>()?.value(index).into()),
        A::Int16 => body.put_i16(array.as_primitive_opt::<Int16Type>()?.value(index)),
        A::UInt16 => body.put_i32(array.as_primitive_opt::<UInt16Type>()?.value(index).into()),
        A::Int32 => body.put_i32(array.as_primitive_opt::<Int32Type>()?.value(index)),
        A::UInt32 => body.put_i64(array.as_primitive_opt::<UInt32Type>()?.value(index).into()),
        A::Int64 => body.put_i64(array.as_primitive_opt::<Int64Type>()?.value(index)),
        A::UInt64 => {
            let value = array.as_primitive_opt::<UInt64Type>()?.value(index);
            numeric(body, &value.to_string())?;
        }
        A::Float32 => body.put_f32(array.as_primitive_opt::<Float32Type>()?.value(index)),
        A::Float64 => body.put_f64(array.as_primitive_opt::<Float64Type>()?.value(index)),
        A::Decimal32(..) | A::Decimal64(..) | A::Decimal128(..) | A::Decimal256(..) => {
            numeric(body, &plain(array, index)?)?;
        }
        A::Binary => body.put_slice(array.as_binary_opt::<i32>()?.value(index)),
        A::BinaryView => body.put_slice(array.as_binary_view_opt()?.value(index)),
        A::Date32 => {
            let days: i64 = array.as_primitive_opt::<Date32Type>()?.value(index).into();
            body.put_i32(i32::try_from(days - EPOCH_DAYS).ok()?);
        }
        A::Timestamp(unit, _) => {
            let microseconds = microseconds(array, index, *unit)?;
            body.put_i64(microseconds.checked_sub(EPOCH_MICROSECONDS)?);
        }
        A::List(_) => binary_list(body, array.as_list_opt::<i32>()?.value(index).as_ref())?,
        A::LargeList(_) => binary_list(body, array.as_list_opt::<i64>()?.value(index).as_ref())?,
        A::Struct(_) => binary_record(body, array.as_struct_opt()?, index)?,
        // All others are told to be text.
        _ => text(body, array, index)?,
    }
    Some(())
}

fn binary_list(body: &mut BytesMut, items: &dyn Array) -> Option<()> {
    let count = i32::try_from(items.len()).ok()?;
    body.put_i32(i32::from(count > 0));
    body.put_i32(i32::from(items.null_count() > 0));
    body.put_u32(postgres_type(&column_type(items.data_type())).0);
    if count > 0 {
        body.put_i32(count);
        body.put_i32(1);
    }
    (0..items.len()).try_for_each(|index| put(body, items, index, Format::Binary).ok())
}

fn binary_record(body: &mut BytesMut, fields: &StructArray, index: usize) -> Option<()> {
    body.put_i32(i32::try_from(fields.num_columns()).ok()?);
    fields.columns().iter().try_for_each(|column| {
        body.put_u32(postgres_type(&column_type(column.data_type())).0);
        put(body, column, index, Format::Binary).ok()
    })
}

/// A `numeric`: groups of four digits around the point.
fn numeric(body: &mut BytesMut, text: &str) -> Option<()> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (0x4000, digits),
        None => (0, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = format!(
        "{whole:0>width$}",
        width = whole.len().div_ceil(GROUP) * GROUP
    );
    let padded = format!(
        "{part:0<width$}",
        width = part.len().div_ceil(GROUP) * GROUP
    );
    let all = format!("{whole}{padded}");
    let groups = all.as_bytes().chunks(GROUP).map(|group| {
        let group = std::str::from_utf8(group).ok()?;
        group.parse::<i16>().ok()
    });
    let groups = groups.collect::<Option<Vec<i16>>>()?;
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let significant = groups.get(leading..).unwrap_or_default();
    let trailing = significant
        .iter()
        .rev()
        .take_while(|group| **group == 0)
        .count();
    let significant = significant
        .get(..significant.len() - trailing)
        .unwrap_or_default();
    let weight = i16::try_from(whole.len() / GROUP).ok()? - 1 - i16::try_from(leading).ok()?;
    body.put_i16(i16::try_from(significant.len()).ok()?);
    body.put_i16(if significant.is_empty() { 0 } else { weight });
    body.put_u16(sign);
    body.put_u16(u16::try_from(part.len()).ok()?);
    significant.iter().for_each(|group| body.put_i16(*group));
    Some(())
}

#[cfg(test)]
mod tests;
