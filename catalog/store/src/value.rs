//! What goes into a statement and what comes out.

use std::fmt;

use sqlx::{
    Database, Decode, Postgres, Row as _, Sqlite, Type, postgres::PgRow, sqlite::SqliteRow,
};

/// A parameter of a statement.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A number, or NULL.
    Integer(Option<i64>),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// What is stored may be secret: a password's digest.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text(..)",
            Self::Integer(_) => "Integer(..)",
            Self::Bytes(_) => "Bytes(..)",
        })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

/// A row of an answer. What its columns give must be there: else the store is damaged.
#[derive(Debug)]
pub struct Row(pub(crate) Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// The text of a column.
    ///
    /// # Errors
    /// No such column, or no text.
    pub fn text(&self, column: &str) -> Result<String, String> {
        self.get(column)
    }

    /// The number of a column.
    ///
    /// # Errors
    /// No such column, or no number.
    pub fn integer(&self, column: &str) -> Result<i64, String> {
        self.get(column)
    }

    /// The number of a column that may be NULL.
    ///
    /// # Errors
    /// No such column, or no number.
    pub fn integer_or_null(&self, column: &str) -> Result<Option<i64>, String> {
        self.get(column)
    }

    /// The bytes of a column.
    ///
    /// # Errors
    /// No such column, or no bytes.
    pub fn bytes(&self, column: &str) -> Result<Vec<u8>, String> {
        self.get(column)
    }

    fn get<'r, T>(&'r self, column: &str) -> Result<T, String>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        match &self.0 {
            Kind::Sqlite(row) => row.try_get(column),
            Kind::Postgres(row) => row.try_get(column),
        }
        .map_err(|error| format!("column {column}: {error}"))
    }
}

/// A statement with its parameters.
pub(crate) fn bound<'q, DB: Database>(
    statement: &'static str,
    values: &[Value],
) -> sqlx::query::Query<'q, DB, DB::Arguments>
where
    for<'v> &'v str: sqlx::Encode<'v, DB> + Type<DB>,
    for<'v> &'v [u8]: sqlx::Encode<'v, DB> + Type<DB>,
    for<'v> Option<i64>: sqlx::Encode<'v, DB> + Type<DB>,
{
    values
        .iter()
        .fold(sqlx::query(statement), |query, value| match value {
            Value::Text(text) => query.bind(text.as_str()),
            Value::Integer(number) => query.bind(*number),
            Value::Bytes(bytes) => query.bind(bytes.as_slice()),
        })
}
