//! Result rows as bytes: a JSON array of arrays, JSON lines, CSV, or an Arrow IPC stream.
//!
//! All forms of text write one value in one way ([`value`]), so that the same answer has the same values
//! in each.

mod csv;
mod json;
pub(crate) mod postgres;
mod read;
mod value;

use std::sync::Arc;

use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use datafusion::arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, StructArray},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use dataos_model::{
    fault::{Fault, FaultKind},
    query::RowFormat,
};

pub(crate) use read::{Reader, reader, unreadable};
pub(crate) use value::{decimal_text, microseconds};

/// Size at which a chunk of text is closed.
const CHUNK_BYTES: usize = 64 << 10;

/// Takes batches, gives chunks, and keeps count of both.
pub(crate) struct Encoder {
    writer: Writer,
    chunks: Vec<Bytes>,
    row_count: u64,
    byte_count: u64,
    bytes_max: u64,
}

enum Writer {
    Text(TextForm, Vec<u8>),
    Arrow(SchemaRef, Box<StreamWriter<Vec<u8>>>),
}

/// The form of rows as text.
enum TextForm {
    Json,
    /// With the name of each column as a JSON text.
    Lines(Vec<String>),
    Csv,
}

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) row_count: u64,
    pub(crate) byte_count: u64,
}

impl TextForm {
    fn row(&self, buffer: &mut Vec<u8>, batch: &RecordBatch, index: usize, is_first: bool) {
        match self {
            Self::Json => {
                if !is_first {
                    buffer.push(b',');
                }
                json::row(buffer, batch, index);
            }
            Self::Lines(names) => json::line(buffer, names, batch, index),
            Self::Csv => csv::row(buffer, batch, index),
        }
    }
}

impl Encoder {
    /// For batches of `schema`, at most `bytes_max` in all.
    ///
    /// # Errors
    /// A schema that has no place in Arrow's form.
    pub(crate) fn new(format: RowFormat, schema: &Schema, bytes_max: u64) -> Result<Self, Fault> {
        let writer = match format {
            RowFormat::Json => Writer::Text(TextForm::Json, b"[".to_vec()),
            RowFormat::NdJson => Writer::Text(TextForm::Lines(keys(schema)), Vec::new()),
            RowFormat::Csv => Writer::Text(TextForm::Csv, csv::head(schema)),
            RowFormat::ArrowStream => {
                let portable = Arc::new(portable(schema));
                let writer = StreamWriter::try_new(Vec::new(), &portable).map_err(unencodable)?;
                Writer::Arrow(portable, Box::new(writer))
            }
        };
        Ok(Self {
            writer,
            chunks: Vec::new(),
            row_count: 0,
            byte_count: 0,
            bytes_max,
        })
    }

    /// Adds a batch.
    ///
    /// # Errors
    /// The result grows larger than allowed.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<(), Fault> {
        match &mut self.writer {
            Writer::Text(form, buffer) => {
                for index in 0..batch.num_rows() {
                    form.row(buffer, batch, index, self.row_count == 0);
                    self.row_count += 1;
                    if buffer.len() >= CHUNK_BYTES {
                        let chunk = std::mem::take(buffer);
                        self.byte_count += chunk.len() as u64;
                        self.chunks.push(chunk.into());
                        check(self.byte_count, self.bytes_max)?;
                    }
                }
            }
            Writer::Arrow(schema, writer) => {
                let batch = converted(batch, schema)?;
                writer.write(&batch).map_err(unencodable)?;
                self.row_count += batch.num_rows() as u64;
                let chunk = std::mem::take(writer.get_mut());
                self.byte_count += chunk.len() as u64;
                self.chunks.push(chunk.into());
            }
        }
        check(self.byte_count, self.bytes_max)
    }

    /// The chunks so far, which are the caller's from now on.
    pub(crate) fn take(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.chunks)
    }

    /// Rows and bytes so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.row_count, self.byte_count)
    }

    /// Closes the encoding: the last chunk can be taken.
    ///
    /// # Errors
    /// As `push`.
    pub(crate) fn close(&mut self) -> Result<(), Fault> {
        let last = match &mut self.writer {
            Writer::Text(form, buffer) => {
                if matches!(form, TextForm::Json) {
                    buffer.push(b']');
                }
                std::mem::take(buffer)
            }
            Writer::Arrow(_, writer) => {
                writer.finish().map_err(unencodable)?;
                std::mem::take(writer.get_mut())
            }
        };
        self.byte_count += last.len() as u64;
        check(self.byte_count, self.bytes_max)?;
        if !last.is_empty() {
            self.chunks.push(last.into());
        }
        Ok(())
    }

    /// Ends the encoding.
    ///
    /// # Errors
    /// As `push`.
    pub(crate) fn finish(mut self) -> Result<Encoded, Fault> {
        self.close()?;
        Ok(Encoded {
            chunks: self.chunks,
            row_count: self.row_count,
            byte_count: self.byte_count,
        })
    }
}

/// Row `index` of a struct as JSON, as the answers have it.
pub(crate) fn json_record(buffer: &mut Vec<u8>, fields: &StructArray, index: usize) {
    json::record(buffer, fields, index);
}

/// The names of columns as JSON texts. The binder gives repeated names numbers.
fn keys(schema: &Schema) -> Vec<String> {
    let names = schema.fields().iter().map(|field| field.name().as_str());
    names
        .map(|name| serde_json::Value::from(name).to_string())
        .collect()
}

fn check(byte_count: u64, bytes_max: u64) -> Result<(), Fault> {
    if byte_count <= bytes_max {
        return Ok(());
    }
    Err(Fault::new(
        FaultKind::TooLarge,
        format!("the result is larger than {} MiB", bytes_max >> 20),
    )
    .with_reason("result_bytes")
    .with_hint("select fewer columns or rows, or aggregate"))
}

/// View types are young; many readers of Arrow know only the older forms of text and bytes.
fn portable(schema: &Schema) -> Schema {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| {
            let data_type = portable_type(field.data_type());
            Field::new(field.name(), data_type, field.is_nullable())
        })
        .collect();
    Schema::new(fields)
}

fn portable_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) => {
            let item = Field::new(
                item.name(),
                portable_type(item.data_type()),
                item.is_nullable(),
            );
            DataType::List(Arc::new(item))
        }
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| {
                let data_type = portable_type(field.data_type());
                Field::new(field.name(), data_type, field.is_nullable())
            });
            DataType::Struct(fields.collect())
        }
        other => other.clone(),
    }
}

fn converted(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Fault> {
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| cast(column, field.data_type()).map_err(unencodable))
        .collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(unencodable)
}

fn unencodable(_: datafusion::arrow::error::ArrowError) -> Fault {
    Fault::internal("the result cannot be encoded as Arrow")
}

#[cfg(test)]
mod tests;
