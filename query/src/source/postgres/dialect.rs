//! What PostgreSQL computes exactly as policies mean it: `=`, `<`, `<=` of integers, `=` of booleans,
//! `=` of `text` and `varchar` by code point (collation "C"), and IS NOT NULL.

use dataos_model::{
    dataset::{Column, ColumnType},
    value::Value,
};
use tokio_postgres::{Statement, types::Type};

use super::quoted;
use crate::source::condition::{Dialect, Operator, Parameter};

/// See the module.
#[derive(Debug)]
pub(super) struct Postgres {
    /// Fetched columns of which `=` under collation "C" compares values as they are sent.
    texts: Vec<String>,
}

impl Postgres {
    /// For the columns that a statement gives.
    pub(super) fn new(statement: &Statement) -> Self {
        let texts = statement
            .columns()
            .iter()
            .filter(|column| matches!(*column.type_(), Type::TEXT | Type::VARCHAR))
            .map(|column| column.name().to_owned());
        Self {
            texts: texts.collect(),
        }
    }
}

impl Dialect for Postgres {
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
        let name = quoted(&column.name);
        match (&column.column_type, value) {
            // As bigint, so that a literal beyond the column's type compares and does not fail.
            (ColumnType::Int(_), Value::Long(value)) => {
                let operator = operator.sql();
                Some(format!("{name}::bigint {operator} '{value}'::bigint"))
            }
            (ColumnType::Bool, Value::Bool(value)) if operator == Operator::Equal => Some(format!(
                "{name} = {}",
                if *value { "TRUE" } else { "FALSE" }
            )),
            (ColumnType::Text, Value::String(text))
                if operator == Operator::Equal
                    && self.texts.contains(&column.name)
                    && !text.contains('\0') =>
            {
                parameters.push(Parameter::Text(text.clone()));
                let number = parameters.len();
                Some(format!("{name} = ${number}::text COLLATE \"C\""))
            }
            _ => None,
        }
    }
}
