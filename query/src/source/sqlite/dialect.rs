//! What SQLite computes exactly as policies mean it: `=`, `<`, `<=` of integers, `=` of texts by their
//! bytes, and IS NOT NULL.
//!
//! A column may hold a value that its type does not allow. Such a row is always sent, so that it is a
//! fault whether a condition went along or not.

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
        let (class, test) = match (&column.column_type, value) {
            (ColumnType::Int(64), Value::Long(value)) => {
                parameters.push(Parameter::Long(*value));
                ("integer", format!("{name} {sign} ?"))
            }
            (ColumnType::Text, Value::String(text)) if operator == Operator::Equal => {
                parameters.push(Parameter::Text(text.clone()));
                ("text", format!("{name} = ? COLLATE BINARY"))
            }
            _ => return None,
        };
        Some(format!(
            "({test} OR typeof({name}) NOT IN ('{class}', 'null'))"
        ))
    }
}
