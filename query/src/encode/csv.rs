//! Rows as RFC 4180 writes them: a header line, CRLF behind each line, quotes where they are needed.
//!
//! NULL is an empty field and an empty text is `""`, so the two stay apart. A list and a row are their JSON.

use datafusion::arrow::{array::RecordBatch, datatypes::Schema};

use super::{
    json,
    value::{self, Value},
};

const END: &[u8] = b"\r\n";

/// The header line.
pub(super) fn head(schema: &Schema) -> Vec<u8> {
    let mut buffer = Vec::new();
    for (position, field) in schema.fields().iter().enumerate() {
        if position > 0 {
            buffer.push(b',');
        }
        text(&mut buffer, field.name());
    }
    buffer.extend_from_slice(END);
    buffer
}

/// Writes row `index` of the batch.
pub(super) fn row(buffer: &mut Vec<u8>, batch: &RecordBatch, index: usize) {
    for (position, column) in batch.columns().iter().enumerate() {
        if position > 0 {
            buffer.push(b',');
        }
        match value::of(column.as_ref(), index) {
            Value::Null => {}
            Value::Plain(plain) => buffer.extend_from_slice(plain.as_bytes()),
            Value::Text(value) => text(buffer, &value),
            Value::List(items) => {
                let mut list = Vec::new();
                json::list(&mut list, items.as_ref());
                quoted(buffer, &list);
            }
            Value::Record(fields) => {
                let mut record = Vec::new();
                json::record(&mut record, fields, index);
                quoted(buffer, &record);
            }
        }
    }
    buffer.extend_from_slice(END);
}

fn text(buffer: &mut Vec<u8>, value: &str) {
    let needs_quotes = |byte| matches!(byte, b',' | b'"' | b'\r' | b'\n');
    if value.is_empty() || value.bytes().any(needs_quotes) {
        quoted(buffer, value.as_bytes());
    } else {
        buffer.extend_from_slice(value.as_bytes());
    }
}

fn quoted(buffer: &mut Vec<u8>, value: &[u8]) {
    buffer.push(b'"');
    for byte in value {
        if *byte == b'"' {
            buffer.push(b'"');
        }
        buffer.push(*byte);
    }
    buffer.push(b'"');
}
