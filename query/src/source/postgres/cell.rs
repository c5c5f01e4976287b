//! Values of PostgreSQL's binary format as cells.

use std::borrow::Cow;

use dataos_model::{
    dataset::{Column, ColumnType},
    depot::Dataset,
    fault::{Fault, FaultKind},
};
use tokio_postgres::types::{Kind, Type};

use super::wire::{date, elements, fixed, numeric, timestamp, uuid};
use crate::source::batch::{Cell, Unfit};

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
        ColumnType::Record | ColumnType::Other(_) => false,
    }
}

/// A value of a column.
///
/// # Errors
/// What the value is instead.
pub(super) fn cell<'a>(raw: Option<&'a [u8]>, column_type: &ColumnType) -> Result<Cell<'a>, Unfit> {
    let Some(raw) = raw else {
        return Ok(Cell::Null);
    };
    let read = match column_type {
        ColumnType::Bool => raw.first().map(|byte| Cell::Bool(*byte != 0)),
        ColumnType::Int(16) => fixed(raw).map(|raw| Cell::Int(i16::from_be_bytes(raw).into())),
        ColumnType::Int(32) => fixed(raw).map(|raw| Cell::Int(i32::from_be_bytes(raw).into())),
        ColumnType::Int(_) => fixed(raw).map(|raw| Cell::Int(i64::from_be_bytes(raw))),
        ColumnType::Float(32) => fixed(raw).map(|raw| Cell::Single(f32::from_be_bytes(raw))),
        ColumnType::Float(_) => fixed(raw).map(|raw| Cell::Double(f64::from_be_bytes(raw))),
        ColumnType::Decimal { precision, scale } => {
            let units = numeric(raw, *precision, *scale);
            return units
                .map(Cell::Decimal)
                .ok_or("NaN, infinity or a number beyond its digits");
        }
        ColumnType::Date => return date(raw).map(Cell::Date).ok_or("infinity"),
        ColumnType::Timestamp | ColumnType::LocalTimestamp => {
            return timestamp(raw).map(Cell::Microseconds).ok_or("infinity");
        }
        ColumnType::Text => text(raw),
        // The binary form of jsonb is its text behind a version byte.
        ColumnType::Json => text(raw.strip_prefix(&[1]).unwrap_or(raw)),
        ColumnType::Uuid => fixed(raw).map(|raw| Cell::Text(Cow::Owned(uuid(raw)))),
        ColumnType::Binary => Some(Cell::Binary(raw)),
        ColumnType::List(item) => {
            let elements = elements(raw).ok_or("an array of several dimensions")?;
            let cells = elements.into_iter().map(|element| cell(element, item));
            return Ok(Cell::List(cells.collect::<Result<_, _>>()?));
        }
        ColumnType::Record | ColumnType::Other(_) => None,
    };
    read.ok_or("a value in another form")
}

fn text(raw: &[u8]) -> Option<Cell<'_>> {
    let text = std::str::from_utf8(raw).ok()?;
    Some(Cell::Text(Cow::Borrowed(text)))
}
