//! One row as a JSON array, or as an object on a line of its own.

use datafusion::arrow::array::{Array, RecordBatch, StructArray};

use super::value::{self, Value};

/// Writes row `index` of the batch as an array.
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

/// Writes row `index` of the batch as an object under these keys, and ends the line.
pub(super) fn line(buffer: &mut Vec<u8>, keys: &[String], batch: &RecordBatch, index: usize) {
    buffer.push(b'{');
    for (position, (key, column)) in keys.iter().zip(batch.columns()).enumerate() {
        if position > 0 {
            buffer.push(b',');
        }
        buffer.extend_from_slice(key.as_bytes());
        buffer.push(b':');
        cell(buffer, column.as_ref(), index);
    }
    buffer.extend_from_slice(b"}\n");
}

fn cell(buffer: &mut Vec<u8>, array: &dyn Array, index: usize) {
    match value::of(array, index) {
        Value::Null => buffer.extend_from_slice(b"null"),
        Value::Plain(plain) => buffer.extend_from_slice(plain.as_bytes()),
        Value::Text(value) => text(buffer, &value),
        Value::List(items) => list(buffer, items.as_ref()),
        Value::Record(fields) => record(buffer, fields, index),
    }
}

/// A list as a JSON array.
pub(super) fn list(buffer: &mut Vec<u8>, items: &dyn Array) {
    buffer.push(b'[');
    for index in 0..items.len() {
        if index > 0 {
            buffer.push(b',');
        }
        cell(buffer, items, index);
    }
    buffer.push(b']');
}

/// Row `index` of a struct as a JSON object.
pub(super) fn record(buffer: &mut Vec<u8>, fields: &StructArray, index: usize) {
    buffer.push(b'{');
    for (position, (field, column)) in fields.fields().iter().zip(fields.columns()).enumerate() {
        if position > 0 {
            buffer.push(b',');
        }
        text(buffer, field.name());
        buffer.push(b':');
        cell(buffer, column.as_ref(), index);
    }
    buffer.push(b'}');
}

fn text(buffer: &mut Vec<u8>, text: &str) {
    // Writing a string to memory cannot fail.
    let _written = serde_json::to_writer(buffer, text);
}
