//! Result rows as bytes: a JSON array of arrays, or an Arrow IPC stream.

mod json;

use std::sync::Arc;

use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use datafusion::arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use dataos_model::{
    fault::{Fault, FaultKind},
    query::RowFormat,
};

pub(crate) use json::{decimal_text, microseconds};

/// Size at which a chunk of JSON is closed.
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
    Json(Vec<u8>),
    Arrow(SchemaRef, Box<StreamWriter<Vec<u8>>>),
}

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) row_count: u64,
    pub(crate) byte_count: u64,
}

impl Encoder {
    /// For batches of `schema`, at most `bytes_max` in all.
    pub(crate) fn new(format: RowFormat, schema: &Schema, bytes_max: u64) -> Result<Self, Fault> {
        let writer = match format {
            RowFormat::Json => Writer::Json(b"[".to_vec()),
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
            Writer::Json(buffer) => {
                for index in 0..batch.num_rows() {
                    if self.row_count > 0 {
                        buffer.push(b',');
                    }
                    json::row(buffer, batch, index);
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

    /// Ends the encoding.
    ///
    /// # Errors
    /// As `push`.
    pub(crate) fn finish(mut self) -> Result<Encoded, Fault> {
        let last = match self.writer {
            Writer::Json(mut buffer) => {
                buffer.push(b']');
                buffer
            }
            Writer::Arrow(_, mut writer) => {
                writer.finish().map_err(unencodable)?;
                std::mem::take(writer.get_mut())
            }
        };
        self.byte_count += last.len() as u64;
        check(self.byte_count, self.bytes_max)?;
        self.chunks.push(last.into());
        let Self {
            chunks,
            row_count,
            byte_count,
            ..
        } = self;
        Ok(Encoded {
            chunks,
            row_count,
            byte_count,
        })
    }
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
