//! Datasets, their columns and column types.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    entity::{EntityType, EntityUid},
    fault::Fault,
    hash::Hash,
};

/// The name of a dataset: depot, collection (schema or folder), table.
///
/// Prints as `depot:collection/name`, the part of the product's address behind `dataos://`; this is
/// also the id of its `Dataset` entity. In SQL it is `depot.collection.name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DatasetId {
    /// Name of the depot.
    pub depot: String,
    /// Schema or folder; `main` where the source has none.
    pub collection: String,
    /// Table or file name without extension.
    pub name: String,
}

impl DatasetId {
    /// A dataset id from its three parts.
    pub fn new(
        depot: impl Into<String>,
        collection: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self {
            depot: depot.into(),
            collection: collection.into(),
            name: name.into(),
        }
    }

    /// Its entity.
    pub fn uid(&self) -> EntityUid {
        EntityType::DATASET.id(self.to_string())
    }

    /// The entity of its collection.
    pub fn collection_uid(&self) -> EntityUid {
        EntityType::COLLECTION.id(format!("{}:{}", self.depot, self.collection))
    }

    /// The entity of its depot.
    pub fn depot_uid(&self) -> EntityUid {
        EntityType::DEPOT.id(&self.depot)
    }

    /// The entity of one of its columns: `depot:collection/name/column`.
    pub fn column_uid(&self, column: &str) -> EntityUid {
        EntityType::COLUMN.id(format!("{self}/{column}"))
    }
}

impl fmt::Display for DatasetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.depot, self.collection, self.name)
    }
}

impl FromStr for DatasetId {
    type Err = Fault;

    /// Accepts `depot:collection/name`, `dataos://depot:collection/name` and `depot.collection.name`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let address = text.strip_prefix("dataos://").unwrap_or(text);
        let address = address.split('?').next().unwrap_or(address);
        let parts = address
            .split_once(':')
            .and_then(|(depot, rest)| rest.split_once('/').map(|(c, n)| (depot, c, n)))
            .or_else(|| {
                let mut dots = address.splitn(3, '.');
                Some((dots.next()?, dots.next()?, dots.next()?))
            });
        match parts {
            Some((depot, collection, name))
                if !depot.is_empty() && !collection.is_empty() && !name.is_empty() =>
            {
                Ok(Self::new(depot, collection, name))
            }
            _ => Err(Fault::invalid(format!("`{text}` is not a dataset address"))
                .with_hint("write dataos://depot:collection/dataset or depot.collection.dataset")),
        }
    }
}

/// The type of a column, as the catalog knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub enum ColumnType {
    /// True or false.
    Bool,
    /// Signed integer of 16, 32 or 64 bits.
    Int(u8),
    /// Floating point of 32 or 64 bits; no policy attribute.
    Float(u8),
    /// Exact decimal.
    Decimal {
        /// Total digits, at most 38.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
    /// UTF-8 text.
    Text,
    /// Bytes; no policy attribute.
    Binary,
    /// Calendar date; as an attribute, midnight UTC.
    Date,
    /// An instant in UTC (source is zoned or declared UTC), microseconds.
    Timestamp,
    /// Date and time without zone, microseconds; no policy attribute.
    LocalTimestamp,
    /// UUID; as an attribute, its canonical text.
    Uuid,
    /// JSON text; no policy attribute.
    Json,
    /// List of non-null values.
    List(Box<ColumnType>),
    /// A whole row, or a struct: only in results.
    Record,
    /// A type of the source that we do not read; named for the message.
    Other(String),
}

bounded!(ColumnType);

/// The type of a policy attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttributeType {
    /// Boolean.
    Bool,
    /// i64.
    Long,
    /// Text by code point.
    String,
    /// i64 of 10^-4.
    Decimal,
    /// i64 milliseconds UTC.
    DateTime,
    /// Set of strings.
    StringSet,
    /// Set of longs.
    LongSet,
}

impl ColumnType {
    /// The type of the policy attribute that stands for this column, if there is an exact one.
    pub fn attribute_type(&self) -> Option<AttributeType> {
        match self {
            Self::Bool => Some(AttributeType::Bool),
            Self::Int(_) => Some(AttributeType::Long),
            Self::Text | Self::Uuid => Some(AttributeType::String),
            Self::Decimal { precision, scale }
                if *scale <= 4 && precision.saturating_sub(*scale) <= 14 =>
            {
                Some(AttributeType::Decimal)
            }
            Self::Date | Self::Timestamp => Some(AttributeType::DateTime),
            Self::List(item) => match item.as_ref() {
                Self::Text | Self::Uuid => Some(AttributeType::StringSet),
                Self::Int(_) => Some(AttributeType::LongSet),
                _ => None,
            },
            Self::Float(_)
            | Self::Decimal { .. }
            | Self::Binary
            | Self::LocalTimestamp
            | Self::Json
            | Self::Record
            | Self::Other(_) => None,
        }
    }

    /// Whether columns of tables can be of it.
    pub fn is_read(&self) -> bool {
        match self {
            Self::Record | Self::Other(_) => false,
            Self::List(item) => item.is_read(),
            _ => true,
        }
    }

    /// Whether it is of numbers.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Float(_) | Self::Decimal { .. })
    }

    /// Whether it is of dates or times.
    pub fn is_temporal(&self) -> bool {
        matches!(self, Self::Date | Self::Timestamp | Self::LocalTimestamp)
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("boolean"),
            Self::Int(16) => f.write_str("smallint"),
            Self::Int(32) => f.write_str("integer"),
            Self::Int(_) => f.write_str("bigint"),
            Self::Float(32) => f.write_str("real"),
            Self::Float(_) => f.write_str("double"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Text => f.write_str("text"),
            Self::Binary => f.write_str("binary"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamptz"),
            Self::LocalTimestamp => f.write_str("timestamp"),
            Self::Uuid => f.write_str("uuid"),
            Self::Json => f.write_str("json"),
            Self::List(item) => write!(f, "{item}[]"),
            Self::Record => f.write_str("record"),
            Self::Other(name) => write!(f, "unsupported({name})"),
        }
    }
}

impl FromStr for ColumnType {
    type Err = Fault;

    /// The inverse of `Display`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        if let Some(item) = text.strip_suffix("[]") {
            return Ok(Self::List(Box::new(item.parse()?)));
        }
        if let Some(name) = text
            .strip_prefix("unsupported(")
            .and_then(|t| t.strip_suffix(')'))
        {
            return Ok(Self::Other(name.to_owned()));
        }
        if let Some((precision, scale)) = text
            .strip_prefix("decimal(")
            .and_then(|t| t.strip_suffix(')'))
            .and_then(|t| t.split_once(','))
            .and_then(|(p, s)| Some((p.parse().ok()?, s.parse().ok()?)))
        {
            return Ok(Self::Decimal { precision, scale });
        }
        Ok(match text {
            "boolean" => Self::Bool,
            "smallint" => Self::Int(16),
            "integer" => Self::Int(32),
            "bigint" => Self::Int(64),
            "real" => Self::Float(32),
            "double" => Self::Float(64),
            "text" => Self::Text,
            "binary" => Self::Binary,
            "date" => Self::Date,
            "timestamptz" => Self::Timestamp,
            "timestamp" => Self::LocalTimestamp,
            "uuid" => Self::Uuid,
            "json" => Self::Json,
            "record" => Self::Record,
            _ => return Err(Fault::invalid(format!("`{text}` is not a column type"))),
        })
    }
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Column {
    /// Its name, exactly as the source spells it.
    pub name: String,
    /// Its type.
    pub column_type: ColumnType,
    /// Whether it can be absent; unknown counts as true.
    pub is_nullable: bool,
}

/// The columns of a dataset, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DatasetSchema {
    /// The columns.
    pub columns: Vec<Column>,
}

impl DatasetSchema {
    /// Digest over order, names, types and nullability.
    pub fn hash(&self) -> Hash {
        Hash::of_parts(self.columns.iter().flat_map(|column| {
            [
                column.name.clone(),
                column.column_type.to_string(),
                column.is_nullable.to_string(),
            ]
        }))
    }

    /// The column of exactly this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}
