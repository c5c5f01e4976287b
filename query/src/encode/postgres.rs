//! Values as the texts that PostgreSQL writes: the same values that the REST door writes as JSON.

use bytes::{BufMut, BytesMut};
use datafusion::arrow::{
    array::{Array, AsArray, StructArray},
    datatypes::{DataType, Date32Type, Decimal128Type, Float32Type, Float64Type},
    util::display::{ArrayFormatter, FormatOptions},
};

use super::{decimal_text, microseconds};
use crate::calendar::{date_text, timestamp_text};

/// An array of nothing but NULL has no mask that says so.
pub(crate) fn is_null(array: &dyn Array, index: usize) -> bool {
    array.is_null(index) || *array.data_type() == DataType::Null
}

/// Adds the text of a value that is not NULL; none if PostgreSQL has no text for it.
pub(crate) fn text(body: &mut BytesMut, array: &dyn Array, index: usize) -> Option<()> {
    use DataType as A;
    match array.data_type() {
        A::Utf8 => body.put_slice(array.as_string_opt::<i32>()?.value(index).as_bytes()),
        A::LargeUtf8 => body.put_slice(array.as_string_opt::<i64>()?.value(index).as_bytes()),
        A::Utf8View => body.put_slice(array.as_string_view_opt()?.value(index).as_bytes()),
        A::List(_) => {
            let items = array.as_list_opt::<i32>()?.value(index);
            list(body, items.as_ref())?;
        }
        A::LargeList(_) => {
            let items = array.as_list_opt::<i64>()?.value(index);
            list(body, items.as_ref())?;
        }
        A::Struct(_) => record(body, array.as_struct_opt()?, index)?,
        _ => body.put_slice(plain(array, index)?.as_bytes()),
    }
    Some(())
}

/// A value that is neither text nor made of others.
pub(crate) fn plain(array: &dyn Array, index: usize) -> Option<String> {
    use DataType as A;
    Some(match array.data_type() {
        A::Boolean => if array.as_boolean_opt()?.value(index) {
            "t"
        } else {
            "f"
        }
        .to_owned(),
        A::Float32 => float(array.as_primitive_opt::<Float32Type>()?.value(index)),
        A::Float64 => float(array.as_primitive_opt::<Float64Type>()?.value(index)),
        A::Decimal128(_, scale) => {
            let units = array.as_primitive_opt::<Decimal128Type>()?.value(index);
            decimal_text(units, usize::try_from(*scale).ok()?)
        }
        A::Binary => format!(
            "\\x{}",
            hex::encode(array.as_binary_opt::<i32>()?.value(index))
        ),
        A::BinaryView => format!(
            "\\x{}",
            hex::encode(array.as_binary_view_opt()?.value(index))
        ),
        A::Date32 => date_text(array.as_primitive_opt::<Date32Type>()?.value(index).into()),
        A::Timestamp(unit, zone) => {
            let text = timestamp_text(microseconds(array, index, *unit)?, zone.is_some());
            text.replace('T', " ").replace('Z', "+00")
        }
        _ => {
            let formatter = ArrayFormatter::try_new(array, &FormatOptions::default()).ok()?;
            formatter.value(index).to_string()
        }
    })
}

fn float(value: impl std::fmt::Display) -> String {
    value.to_string().replace("inf", "Infinity")
}

/// `{1,NULL,"a \"b\""}`.
fn list(body: &mut BytesMut, items: &dyn Array) -> Option<()> {
    body.put_u8(b'{');
    for index in 0..items.len() {
        if index > 0 {
            body.put_u8(b',');
        }
        if is_null(items, index) {
            body.put_slice(b"NULL");
            continue;
        }
        let mut item = BytesMut::new();
        text(&mut item, items, index)?;
        if matches!(
            items.data_type(),
            DataType::List(_) | DataType::LargeList(_)
        ) {
            body.put_slice(&item);
            continue;
        }
        body.put_u8(b'"');
        for byte in item {
            if matches!(byte, b'"' | b'\\') {
                body.put_u8(b'\\');
            }
            body.put_u8(byte);
        }
        body.put_u8(b'"');
    }
    body.put_u8(b'}');
    Some(())
}

/// `(1,,"a ""b""")`: NULL is nothing, and an empty text is `""`.
pub(crate) fn record(body: &mut BytesMut, fields: &StructArray, index: usize) -> Option<()> {
    let is_special = |byte: &u8| {
        matches!(byte, b'"' | b'\\' | b'(' | b')' | b',')
            || byte.is_ascii_whitespace()
            || *byte == 0x0b
    };
    body.put_u8(b'(');
    for (position, column) in fields.columns().iter().enumerate() {
        if position > 0 {
            body.put_u8(b',');
        }
        if is_null(column, index) {
            continue;
        }
        let mut value = BytesMut::new();
        text(&mut value, column, index)?;
        if !value.is_empty() && !value.iter().any(is_special) {
            body.put_slice(&value);
            continue;
        }
        body.put_u8(b'"');
        for byte in value {
            if matches!(byte, b'"' | b'\\') {
                body.put_u8(byte);
            }
            body.put_u8(byte);
        }
        body.put_u8(b'"');
    }
    body.put_u8(b')');
    Some(())
}
