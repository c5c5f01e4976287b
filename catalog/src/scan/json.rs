//! One JSON object a line: columns in order of first appearance, types from the values.
//!
//! Read whole or in part as CSV is. A value that is an object, or values of several kinds under one
//! key, make a column that is named but not read.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
};

use dataos_model::dataset::{Column, ColumnType, DatasetSchema};
use serde_json::Value;

use super::{
    COLUMNS_MAX,
    csv::{SAMPLE_ROWS_MAX, WHOLE_BYTES_MAX},
    files::part::Part,
};

/// The columns so far: in order, with an index by name.
#[derive(Default)]
struct Columns {
    order: Vec<(String, Option<ColumnType>)>,
    by_name: HashMap<String, usize>,
}

/// Schema of all parts together, and their row count if each was read whole.
pub(super) fn read(parts: &[Box<dyn Part>]) -> Result<(DatasetSchema, Option<u64>), String> {
    let mut columns = Columns::default();
    let mut row_count = Some(0);
    for part in parts {
        let rows = read_part(part.as_ref(), &mut columns).map_err(|problem| match parts.len() {
            1 => problem,
            _ => format!("{}: {problem}", part.name()),
        })?;
        row_count = row_count.zip(rows).map(|(sum, rows)| sum + rows);
    }
    let columns = columns.order.into_iter().map(|(name, column_type)| Column {
        name,
        column_type: column_type.unwrap_or(ColumnType::Text),
        is_nullable: true,
    });
    Ok((
        DatasetSchema {
            columns: columns.collect(),
        },
        row_count,
    ))
}

fn read_part(part: &dyn Part, columns: &mut Columns) -> Result<Option<u64>, String> {
    let is_whole = part.size()? <= WHOLE_BYTES_MAX;
    let mut reader = BufReader::new(part.read(0..WHOLE_BYTES_MAX)?);
    let mut line = Vec::new();
    let (mut lines, mut rows, mut bytes) = (0_u64, 0_u64, 0_u64);
    while is_whole || rows < SAMPLE_ROWS_MAX {
        line.clear();
        let length = reader
            .read_until(b'\n', &mut line)
            .map_err(|error| error.to_string())?;
        lines += 1;
        bytes += length as u64;
        let is_cut = !is_whole && bytes >= WHOLE_BYTES_MAX;
        if is_cut && rows == 0 {
            return Err(format!("line 1 is longer than {WHOLE_BYTES_MAX} bytes"));
        }
        if length == 0 || is_cut {
            break;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        see_line(&line, columns).map_err(|problem| format!("line {lines}: {problem}"))?;
        rows += 1;
    }
    Ok(is_whole.then_some(rows))
}

fn see_line(line: &[u8], columns: &mut Columns) -> Result<(), String> {
    let Value::Object(object) = serde_json::from_slice(line).map_err(|error| {
        // The message of the parser names no value, only what was expected and the column.
        format!("not one JSON object: {error}")
    })?
    else {
        return Err("not one JSON object; newline-delimited JSON is expected".to_owned());
    };
    for (name, value) in object {
        let index = match columns.by_name.get(&name) {
            Some(index) => *index,
            None if columns.order.len() == COLUMNS_MAX => {
                return Err(format!("more than {COLUMNS_MAX} different keys"));
            }
            None => {
                columns.by_name.insert(name.clone(), columns.order.len());
                columns.order.push((name, None));
                columns.order.len() - 1
            }
        };
        if let (Some(found), Some((_, known))) = (type_of(&value), columns.order.get_mut(index)) {
            *known = Some(match known.take() {
                Some(known) => merge(known, found),
                None => found,
            });
        }
    }
    Ok(())
}

/// The type of one value; `None` for null, which says nothing.
fn type_of(value: &Value) -> Option<ColumnType> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) => ColumnType::Bool,
        Value::Number(number) if number.is_i64() => ColumnType::Int(64),
        Value::Number(number) if number.is_u64() => other("integer beyond 64 bits"),
        Value::Number(_) => ColumnType::Float(64),
        Value::String(_) => ColumnType::Text,
        Value::Object(_) => other("object"),
        Value::Array(items) => {
            let mut item: Option<ColumnType> = None;
            for found in items.iter().map(type_of) {
                let Some(found) = found else {
                    return Some(other("list with null"));
                };
                item = Some(match item {
                    Some(item) => merge(item, found),
                    None => found,
                });
            }
            match item {
                // An empty list: text, until another says more.
                None => ColumnType::List(Box::new(ColumnType::Text)),
                Some(ColumnType::Other(name)) => other(&format!("list of {name}")),
                Some(ColumnType::List(_)) => other("list of lists"),
                Some(item) => ColumnType::List(Box::new(item)),
            }
        }
    })
}

fn merge(known: ColumnType, found: ColumnType) -> ColumnType {
    match (known, found) {
        (known, found) if known == found => known,
        (ColumnType::Int(64), ColumnType::Float(64))
        | (ColumnType::Float(64), ColumnType::Int(64)) => ColumnType::Float(64),
        (ColumnType::Other(name), _) => ColumnType::Other(name),
        (_, ColumnType::Other(name)) => ColumnType::Other(name),
        _ => other("several types"),
    }
}

fn other(name: &str) -> ColumnType {
    ColumnType::Other(name.to_owned())
}
