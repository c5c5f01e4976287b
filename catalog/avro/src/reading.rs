//! What a column of the catalog a type of the file becomes, and in which form of Arrow it is read.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};
use dataos_model::dataset::{Column, ColumnType, DatasetSchema};

use crate::{
    schema::{Field, Logical, Node, Shape, Unit},
    shown,
};

/// Zone of every instant.
const UTC: &str = "UTC";

/// How the values of a column are read.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    Bool,
    Int,
    Long,
    Float,
    Double,
    Text,
    Symbols(Arc<[String]>),
    UuidText,
    UuidBytes,
    Bytes,
    Fixed(usize),
    /// `fixed` is the size in bytes where that is the same for all.
    Decimal {
        fixed: Option<usize>,
        precision: u8,
        scale: u8,
    },
    Date,
    Timestamp {
        unit: Unit,
        is_local: bool,
    },
    List(Box<Cells>),
    /// Passed over: the catalog has no such type. This is what it is called.
    Unread(String),
}

/// How the values of a column or list are read, and where NULL is said.
#[derive(Clone, Debug)]
pub(crate) struct Cells {
    pub(crate) node: Arc<Node>,
    pub(crate) branches: Option<Branches>,
    pub(crate) reading: Reading,
}

/// Numbers of the branches of a union with NULL, or of one of a single type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Branches {
    pub(crate) null: Option<i64>,
    pub(crate) value: i64,
}

impl Cells {
    pub(crate) fn of(node: &Arc<Node>) -> Self {
        let (branches, value) = match &node.shape {
            Shape::Union(branches) => match branches.as_slice() {
                [value] => (Some((None, 0)), value),
                [null, value] if is_null(null) => (Some((Some(0), 1)), value),
                [value, null] if is_null(null) => (Some((Some(1), 0)), value),
                _ => (None, node),
            },
            _ => (None, node),
        };
        Self {
            node: Arc::clone(node),
            branches: branches.map(|(null, value)| Branches { null, value }),
            reading: Reading::of(value),
        }
    }

    pub(crate) fn is_nullable(&self) -> bool {
        let is_unread = matches!(self.reading, Reading::Unread(_));
        is_unread
            || self
                .branches
                .is_some_and(|branches| branches.null.is_some())
    }

    pub(crate) fn data_type(&self) -> DataType {
        match &self.reading {
            Reading::Bool => DataType::Boolean,
            Reading::Int => DataType::Int32,
            Reading::Long => DataType::Int64,
            Reading::Float => DataType::Float32,
            Reading::Double => DataType::Float64,
            Reading::Text | Reading::Symbols(_) | Reading::UuidText | Reading::UuidBytes => {
                DataType::Utf8View
            }
            Reading::Bytes | Reading::Fixed(_) => DataType::BinaryView,
            Reading::Decimal {
                precision, scale, ..
            } => DataType::Decimal128(*precision, scale.cast_signed()),
            Reading::Date => DataType::Date32,
            Reading::Timestamp { is_local, .. } => {
                let zone = (!is_local).then(|| UTC.into());
                DataType::Timestamp(TimeUnit::Microsecond, zone)
            }
            Reading::List(items) => DataType::List(items.item_field()),
            Reading::Unread(_) => DataType::Null,
        }
    }

    pub(crate) fn item_field(&self) -> Arc<ArrowField> {
        Arc::new(ArrowField::new_list_field(self.data_type(), true))
    }

    fn column_type(&self) -> ColumnType {
        match &self.reading {
            Reading::Bool => ColumnType::Bool,
            Reading::Int => ColumnType::Int(32),
            Reading::Long => ColumnType::Int(64),
            Reading::Float => ColumnType::Float(32),
            Reading::Double => ColumnType::Float(64),
            Reading::Text | Reading::Symbols(_) => ColumnType::Text,
            Reading::UuidText | Reading::UuidBytes => ColumnType::Uuid,
            Reading::Bytes | Reading::Fixed(_) => ColumnType::Binary,
            Reading::Decimal {
                precision, scale, ..
            } => ColumnType::Decimal {
                precision: *precision,
                scale: *scale,
            },
            Reading::Date => ColumnType::Date,
            Reading::Timestamp {
                is_local: false, ..
            } => ColumnType::Timestamp,
            Reading::Timestamp { is_local: true, .. } => ColumnType::LocalTimestamp,
            Reading::List(items) => ColumnType::List(Box::new(items.column_type())),
            Reading::Unread(name) => ColumnType::Other(name.clone()),
        }
    }
}

fn is_null(node: &Node) -> bool {
    matches!(node.shape, Shape::Null)
}

impl Reading {
    fn of(node: &Node) -> Self {
        match (&node.logical, &node.shape) {
            (Some(logical), shape) => Self::of_logical(logical, shape),
            (None, Shape::Bool) => Self::Bool,
            (None, Shape::Int) => Self::Int,
            (None, Shape::Long) => Self::Long,
            (None, Shape::Float) => Self::Float,
            (None, Shape::Double) => Self::Double,
            (None, Shape::Text) => Self::Text,
            (None, Shape::Enum(symbols)) => Self::Symbols(Arc::clone(symbols)),
            (None, Shape::Bytes) => Self::Bytes,
            (None, Shape::Fixed(size @ 1..)) => Self::Fixed(*size),
            (None, Shape::Array(items)) => match Cells::of(items) {
                Cells {
                    reading: Self::List(_) | Self::Unread(_),
                    ..
                } => Self::Unread("array".to_owned()),
                items => Self::List(Box::new(items)),
            },
            (None, Shape::Null) => Self::Unread("null".to_owned()),
            (None, Shape::Fixed(_)) => Self::Unread("fixed".to_owned()),
            (None, Shape::Map(_)) => Self::Unread("map".to_owned()),
            (None, Shape::Record(_)) => Self::Unread("record".to_owned()),
            (None, Shape::Union(_)) => Self::Unread("union".to_owned()),
        }
    }

    fn of_logical(logical: &Logical, shape: &Shape) -> Self {
        match logical {
            Logical::Decimal { precision, scale } => Self::Decimal {
                fixed: match shape {
                    Shape::Fixed(size) => Some(*size),
                    _ => None,
                },
                precision: *precision,
                scale: *scale,
            },
            Logical::Date => Self::Date,
            Logical::Timestamp { unit, is_local } => Self::Timestamp {
                unit: *unit,
                is_local: *is_local,
            },
            Logical::Uuid if matches!(shape, Shape::Text) => Self::UuidText,
            Logical::Uuid => Self::UuidBytes,
            Logical::Unread(name) => Self::Unread(shown(name)),
        }
    }
}

/// The columns, as the catalog has them.
pub(crate) fn dataset_schema(fields: &[Field]) -> DatasetSchema {
    let column = |field: &Field| {
        let cells = Cells::of(&field.node);
        Column {
            name: field.name.clone(),
            column_type: cells.column_type(),
            is_nullable: cells.is_nullable(),
        }
    };
    DatasetSchema {
        columns: fields.iter().map(column).collect(),
    }
}

/// The columns, as they are read.
pub(crate) fn arrow_schema(fields: &[Field]) -> SchemaRef {
    let field = |field: &Field| {
        let cells = Cells::of(&field.node);
        ArrowField::new(&field.name, cells.data_type(), cells.is_nullable())
    };
    Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
}
