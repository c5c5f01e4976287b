//! What SQLite computes exactly as policies mean it: `=`, `<`, `<=` of integers, `=` of texts by their
//! bytes, and IS NOT NULL.
//!
//! A column may hold a value that its type does not allow, which its storage class tells.

use dataos_model::{
    dataset::{Column, ColumnType},
    value::Value,
};

use super::quoted;
use crate::source::condition::{Dialect, Operator, Parameter};

/// See the module.
#[derive(Debug)]
pub(super) struct Sqlite;

impl Dialect for Sqlite {
    fn present(&self, column: &Column) -> Option<String> {
        Some(format!("{} IS NOT NULL", quoted(&column.name)))
    }

    fn compare(
        &self,
        column: &Column,
        operator: Operator,
        value: &Value,
        parameters: &mut Vec<Parameter>,
    ) -> Option<String> {
        let (name, sign) = (quoted(&column.name), operator.sql());
        match (&column.column_type, value) {
            (ColumnType::Int(64), Value::Long(value)) => {
                parameters.push(Parameter::Long(*value));
                Some(format!("{name} {sign} ?"))
            }
            (ColumnType::Text, Value::String(text)) if operator == Operator::Equal => {
                parameters.push(Parameter::Text(text.clone()));
                Some(format!("{name} = ? COLLATE BINARY"))
            }
            _ => None,
        }
    }

    fn guard(&self, column: &Column) -> Option<String> {
        let class = class(&column.column_type);
        Some(format!(
            "typeof({}) NOT IN ('{class}', 'null')",
            quoted(&column.name)
        ))
    }
}

/// The storage class that values of the type have.
fn class(column_type: &ColumnType) -> &'static str {
    match column_type {
        ColumnType::Int(_) | ColumnType::Bool => "integer",
        ColumnType::Float(_) => "real",
        ColumnType::Binary => "blob",
        _ => "text",
    }
}
