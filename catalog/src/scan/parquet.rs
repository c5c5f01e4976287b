//! Parquet: schema and row count from the footer; no page is read.

use ::parquet::{
    arrow::parquet_to_arrow_schema,
    file::metadata::{ParquetMetaData, ParquetMetaDataReader},
};
use arrow::datatypes::{DataType, Schema};
use dataos_model::dataset::{Column, ColumnType, DatasetSchema};

use super::files::part::Part;

/// Largest footer that is read: ten thousand columns in a thousand row groups stay below it.
const FOOTER_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// The length of the footer and the magic number, behind it.
const TAIL_BYTES: usize = 8;
/// Longest name of a type that we do not read, in characters.
const TYPE_NAME_CHARACTERS_MAX: usize = 100;

/// Schema and row count.
pub(super) fn read(part: &dyn Part) -> Result<(DatasetSchema, Option<u64>), String> {
    let metadata = footer(part)?;
    let file = metadata.file_metadata();
    let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())
        .map_err(|error| error.to_string())?;
    let rows = u64::try_from(file.num_rows()).map_err(|_| "its row count is negative")?;
    Ok((schema_of(&schema), Some(rows)))
}

fn footer(part: &dyn Part) -> Result<ParquetMetaData, String> {
    if part.size()? < TAIL_BYTES as u64 {
        return Err("too short for a Parquet file".to_owned());
    }
    let tail = part.end(TAIL_BYTES as u64)?;
    let tail: [u8; TAIL_BYTES] = tail.try_into().map_err(|_| "its end is missing")?;
    let [a, b, c, d, magic @ ..] = tail;
    if &magic != b"PAR1" {
        return Err("it does not end as a Parquet file does; it may be cut off".to_owned());
    }
    let length = u32::from_le_bytes([a, b, c, d]);
    if length > FOOTER_BYTES_MAX {
        return Err(format!(
            "its footer claims {length} bytes; at most {FOOTER_BYTES_MAX} are read"
        ));
    }
    let footer = part.end(u64::from(length) + TAIL_BYTES as u64)?;
    let metadata = footer.get(..length as usize).unwrap_or_default();
    ParquetMetaDataReader::decode_metadata(metadata).map_err(|error| error.to_string())
}

fn schema_of(schema: &Schema) -> DatasetSchema {
    let column = |field: &arrow::datatypes::FieldRef| Column {
        name: field.name().clone(),
        column_type: column_type(field.data_type()),
        is_nullable: field.is_nullable(),
    };
    DatasetSchema {
        columns: schema.fields().iter().map(column).collect(),
    }
}

/// The column type that holds each value of an Arrow type; `Other` where none does.
fn column_type(data_type: &DataType) -> ColumnType {
    match data_type {
        DataType::Boolean => ColumnType::Bool,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => ColumnType::Int(16),
        DataType::Int32 | DataType::UInt16 => ColumnType::Int(32),
        DataType::Int64 | DataType::UInt32 => ColumnType::Int(64),
        DataType::UInt64 => ColumnType::Decimal {
            precision: 20,
            scale: 0,
        },
        DataType::Float16 | DataType::Float32 => ColumnType::Float(32),
        DataType::Float64 => ColumnType::Float(64),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => match u8::try_from(*scale) {
            Ok(scale) if *precision <= 38 => ColumnType::Decimal {
                precision: *precision,
                scale,
            },
            _ => other(data_type),
        },
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnType::Text,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => ColumnType::Binary,
        DataType::Date32 | DataType::Date64 => ColumnType::Date,
        // Nanoseconds are read as microseconds, like any timestamp here.
        DataType::Timestamp(_, Some(_)) => ColumnType::Timestamp,
        DataType::Timestamp(_, None) => ColumnType::LocalTimestamp,
        DataType::Dictionary(_, values) => column_type(values),
        DataType::List(item) | DataType::LargeList(item) => match column_type(item.data_type()) {
            ColumnType::Other(_) | ColumnType::List(_) => other(data_type),
            item => ColumnType::List(Box::new(item)),
        },
        _ => other(data_type),
    }
}

fn other(data_type: &DataType) -> ColumnType {
    let name = data_type.to_string();
    ColumnType::Other(name.chars().take(TYPE_NAME_CHARACTERS_MAX).collect())
}
