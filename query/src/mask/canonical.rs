//! The canonical text of a value: what is hashed, the same for every source.
//!
//! Integers plain; decimals without trailing zeros; floats by shortest round trip, -0 as 0;
//! booleans `true` and `false`; dates and timestamps ISO 8601, instants in UTC with `Z`; UUIDs in
//! lower case; JSON and lists in RFC 8785 form; bytes and texts as they are.

use std::borrow::Cow;

use datafusion::arrow::{
    array::{Array, AsArray},
    datatypes::{
        Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
        TimestampMicrosecondType,
    },
};
use dataos_model::dataset::ColumnType;
use serde_json::Value as Json;

use crate::calendar::{date_text, timestamp_text};

/// Canonical bytes of a cell; `None` if it is NULL or of a type that is not read.
pub(crate) fn bytes<'a>(
    array: &'a dyn Array,
    index: usize,
    column_type: &ColumnType,
) -> Option<Cow<'a, [u8]>> {
    if array.is_null(index) {
        return None;
    }
    let text = match column_type {
        ColumnType::Text => return text_of(array, index).map(|text| text.as_bytes().into()),
        ColumnType::Binary => return Some(array.as_binary_view_opt()?.value(index).into()),
        ColumnType::Uuid => text_of(array, index)?.to_lowercase(),
        ColumnType::Json => {
            let text = text_of(array, index)?;
            match serde_json::from_str(text) {
                Ok(json) => json_text(&json),
                Err(_) => return Some(text.as_bytes().into()),
            }
        }
        ColumnType::List(_) => json_text(&json_of(array, index, column_type)),
        ColumnType::Bool => array.as_boolean_opt()?.value(index).to_string(),
        ColumnType::Int(16) => array
            .as_primitive_opt::<Int16Type>()?
            .value(index)
            .to_string(),
        ColumnType::Int(32) => array
            .as_primitive_opt::<Int32Type>()?
            .value(index)
            .to_string(),
        ColumnType::Int(_) => array
            .as_primitive_opt::<Int64Type>()?
            .value(index)
            .to_string(),
        ColumnType::Float(32) => float_text(array.as_primitive_opt::<Float32Type>()?.value(index)),
        ColumnType::Float(_) => float_text(array.as_primitive_opt::<Float64Type>()?.value(index)),
        ColumnType::Decimal { scale, .. } => trimmed(
            array.as_primitive_opt::<Decimal128Type>()?.value(index),
            *scale,
        ),
        ColumnType::Date => date_text(array.as_primitive_opt::<Date32Type>()?.value(index).into()),
        ColumnType::Timestamp | ColumnType::LocalTimestamp => {
            let value = array
                .as_primitive_opt::<TimestampMicrosecondType>()?
                .value(index);
            timestamp_text(value, *column_type == ColumnType::Timestamp)
        }
        ColumnType::Record | ColumnType::Other(_) => return None,
    };
    Some(text.into_bytes().into())
}

fn text_of(array: &dyn Array, index: usize) -> Option<&str> {
    Some(array.as_string_view_opt()?.value(index))
}

/// A float in positional notation, shortest that reads back the same.
fn float_text<T: std::fmt::Display + PartialEq + Default>(value: T) -> String {
    // Both zeros equal the default; the negative one would print its sign.
    if value == T::default() {
        "0".to_owned()
    } else {
        value.to_string()
    }
}

/// A decimal without trailing zeros behind the point.
fn trimmed(units: i128, scale: u8) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let digits = format!(
        "{:0>width$}",
        units.unsigned_abs(),
        width = usize::from(scale) + 1
    );
    let (whole, part) = digits
        .split_at_checked(digits.len() - usize::from(scale))
        .unwrap_or_default();
    let part = part.trim_end_matches('0');
    if part.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{part}")
    }
}

fn json_of(array: &dyn Array, index: usize, column_type: &ColumnType) -> Json {
    if array.is_null(index) {
        return Json::Null;
    }
    match column_type {
        ColumnType::List(item) => match array.as_list_opt::<i32>() {
            Some(lists) => {
                let items = lists.value(index);
                (0..items.len())
                    .map(|at| json_of(items.as_ref(), at, item))
                    .collect()
            }
            None => Json::Null,
        },
        other => {
            let text = bytes(array, index, other)
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .unwrap_or_default();
            match other {
                ColumnType::Bool | ColumnType::Int(_) | ColumnType::Float(_) | ColumnType::Json => {
                    serde_json::from_str(&text).unwrap_or(Json::String(text))
                }
                _ => Json::String(text),
            }
        }
    }
}

/// RFC 8785: no spaces, keys by UTF-16 code units, numbers as ECMAScript prints them.
fn json_text(json: &Json) -> String {
    match json {
        Json::Null | Json::Bool(_) | Json::String(_) => json.to_string(),
        Json::Number(number) => number_text(number.as_f64().unwrap_or(f64::NAN)),
        Json::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(json_text).collect::<Vec<_>>().join(",")
            )
        }
        Json::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by(|left, right| left.0.encode_utf16().cmp(right.0.encode_utf16()));
            let fields = fields.into_iter().map(|(name, value)| {
                format!("{}:{}", Json::String(name.clone()), json_text(value))
            });
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
    }
}

/// A number as ECMAScript prints it: positional from 1e-6 up to 1e21, else with exponent.
fn number_text(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-6..1e21).contains(&size) {
        return float_text(value);
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shortest() {
        assert_eq!(float_text(-0.0_f64), "0");
        assert_eq!(float_text(0.1_f32), "0.1");
        assert_eq!(trimmed(-1_250, 3), "-1.25");
        assert_eq!(trimmed(500, 2), "5");
        assert_eq!(trimmed(5, 3), "0.005");
        assert_eq!(trimmed(7, 0), "7");
    }

    #[test]
    fn json_is_rfc_8785() {
        let check = |input: &str, expected: &str| {
            assert_eq!(json_text(&serde_json::from_str(input).unwrap()), expected);
        };
        check(
            r#"{ "b": [1.0, 1e30, 4.50, 2e-3, 1e-27], "a": "\u20ac" }"#,
            r#"{"a":"€","b":[1,1e+30,4.5,0.002,1e-27]}"#,
        );
        check(
            r#"{"\ufb33": 1, "\ud83d\ude00": 2}"#,
            "{\"😀\":2,\"\u{fb33}\":1}",
        );
    }
}
