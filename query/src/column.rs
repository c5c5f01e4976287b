//! Column types of the catalog and of Arrow.
//!
//! One Arrow type per column type, for every source: whatever a file or server calls it, rows enter
//! the engine in this form, so masks and predicates know the arrays that they get.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dataos_model::dataset::{ColumnType, DatasetSchema};

/// Zone of every instant.
pub(crate) const UTC: &str = "UTC";

/// The Arrow type of a column; `Null` stands for a type that is not read.
pub(crate) fn arrow_type(column_type: &ColumnType) -> DataType {
    match column_type {
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Int(16) => DataType::Int16,
        ColumnType::Int(32) => DataType::Int32,
        ColumnType::Int(_) => DataType::Int64,
        ColumnType::Float(32) => DataType::Float32,
        ColumnType::Float(_) => DataType::Float64,
        ColumnType::Decimal { precision, scale } => {
            DataType::Decimal128(*precision, i8::try_from(*scale).unwrap_or(i8::MAX))
        }
        ColumnType::Text | ColumnType::Uuid | ColumnType::Json => DataType::Utf8View,
        ColumnType::Binary => DataType::BinaryView,
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        ColumnType::LocalTimestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        ColumnType::List(item) => DataType::List(item_field(item)),
        ColumnType::Record | ColumnType::Other(_) => DataType::Null,
    }
}

/// The field of a list's elements.
fn item_field(item: &ColumnType) -> Arc<Field> {
    Arc::new(Field::new_list_field(arrow_type(item), true))
}

/// The Arrow schema of a dataset. Every field is nullable if the catalog says so.
pub(crate) fn arrow_schema(schema: &DatasetSchema) -> SchemaRef {
    let fields = schema.columns.iter().map(|column| {
        let is_unread = !column.column_type.is_read();
        let data_type = arrow_type(&column.column_type);
        Field::new(&column.name, data_type, column.is_nullable || is_unread)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The column type that a result column of this Arrow type shows.
pub(crate) fn column_type(data_type: &DataType) -> ColumnType {
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
        | DataType::Decimal256(precision, scale) => ColumnType::Decimal {
            precision: *precision,
            scale: u8::try_from(*scale).unwrap_or(0),
        },
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnType::Text,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => ColumnType::Binary,
        DataType::Date32 | DataType::Date64 => ColumnType::Date,
        DataType::Timestamp(_, Some(_)) => ColumnType::Timestamp,
        DataType::Timestamp(_, None) => ColumnType::LocalTimestamp,
        DataType::Dictionary(_, value) => column_type(value),
        DataType::List(item) | DataType::LargeList(item) => {
            ColumnType::List(Box::new(column_type(item.data_type())))
        }
        DataType::Struct(_) => ColumnType::Record,
        other => ColumnType::Other(other.to_string().to_lowercase()),
    }
}

/// Whether values of a file's type can be read as a column of the catalog's type without loss.
pub(crate) fn reads_as(file: &DataType, wanted: &ColumnType) -> bool {
    use DataType as A;
    match wanted {
        ColumnType::Bool => matches!(file, A::Boolean),
        ColumnType::Int(16) => matches!(file, A::Int8 | A::Int16 | A::UInt8),
        ColumnType::Int(32) => {
            matches!(file, A::Int8 | A::Int16 | A::Int32 | A::UInt8 | A::UInt16)
        }
        ColumnType::Int(_) => file.is_integer() && *file != A::UInt64,
        ColumnType::Float(32) => matches!(file, A::Float16 | A::Float32),
        ColumnType::Float(_) => matches!(file, A::Float16 | A::Float32 | A::Float64),
        ColumnType::Decimal { precision, scale } => match file {
            A::Decimal32(p, s) | A::Decimal64(p, s) | A::Decimal128(p, s) | A::Decimal256(p, s) => {
                p <= precision && u8::try_from(*s) == Ok(*scale)
            }
            // Unsigned 64-bit integers need 20 digits; the catalog knows them as decimals.
            A::UInt64 => *precision >= 20 && *scale == 0,
            _ => false,
        },
        ColumnType::Text | ColumnType::Uuid | ColumnType::Json => match file {
            A::Utf8 | A::LargeUtf8 | A::Utf8View => true,
            A::Dictionary(_, value) => reads_as(value, wanted),
            _ => false,
        },
        ColumnType::Binary => {
            matches!(
                file,
                A::Binary | A::LargeBinary | A::BinaryView | A::FixedSizeBinary(_)
            )
        }
        ColumnType::Date => matches!(file, A::Date32 | A::Date64),
        ColumnType::Timestamp => matches!(file, A::Timestamp(_, Some(_))),
        ColumnType::LocalTimestamp => matches!(file, A::Timestamp(_, None)),
        ColumnType::List(item) => match file {
            A::List(field) | A::LargeList(field) => reads_as(field.data_type(), item),
            _ => false,
        },
        ColumnType::Record | ColumnType::Other(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_readable_type_survives_the_way_to_arrow_and_back() {
        for name in [
            "boolean",
            "smallint",
            "integer",
            "bigint",
            "real",
            "double",
            "decimal(15,2)",
            "text",
            "binary",
            "date",
            "timestamptz",
            "timestamp",
            "text[]",
            "bigint[]",
        ] {
            let wanted: ColumnType = name.parse().unwrap();
            let arrow = arrow_type(&wanted);
            assert_eq!(column_type(&arrow), wanted, "{name}");
            assert!(reads_as(&arrow, &wanted), "{name}");
        }
    }

    #[test]
    fn types_that_lose_values_do_not_read() {
        for (file, wanted) in [
            (DataType::UInt64, ColumnType::Int(64)),
            (DataType::Int64, ColumnType::Int(32)),
            (DataType::Float64, ColumnType::Float(32)),
            (DataType::Utf8, ColumnType::Int(64)),
            (
                DataType::Decimal128(10, 3),
                ColumnType::Decimal {
                    precision: 10,
                    scale: 2,
                },
            ),
            (
                DataType::Timestamp(TimeUnit::Microsecond, None),
                ColumnType::Timestamp,
            ),
            (DataType::FixedSizeBinary(16), ColumnType::Uuid),
        ] {
            assert!(!reads_as(&file, &wanted), "{file} as {wanted}");
        }
    }
}
