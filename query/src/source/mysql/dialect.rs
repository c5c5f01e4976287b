//! What MariaDB and MySQL compute exactly as policies mean it.
//!
//! | test | form | why that form |
//! | --- | --- | --- |
//! | IS NOT NULL of numbers and texts | as it is | not of dates: zero dates count as NULL there |
//! | `=`, `<`, `<=` of integers | with a signed 64-bit parameter | compared as integers, of either sign |
//! | `=`, `<`, `<=` of decimals | with a literal of four decimal places | a parameter would be compared as a float |
//! | `=` of texts | bytes of their UTF-8 form | collations fold case, accents and trailing spaces |
//!
//! A text of ASCII alone is also compared as the column's collation does, which lets an index find
//! the rows: equal bytes are equal under every collation.

use dataos_model::{
    dataset::{Column, ColumnType},
    value::Value,
};

use super::quoted;
use crate::source::{
    condition::{Dialect, Operator, Parameter},
    decimal::literal,
};

/// See the module.
#[derive(Debug)]
pub(super) struct MySql;

impl Dialect for MySql {
    fn present(&self, column: &Column) -> Option<String> {
        matches!(
            column.column_type,
            ColumnType::Int(_) | ColumnType::Decimal { .. } | ColumnType::Text
        )
        .then(|| format!("{} IS NOT NULL", quoted(&column.name)))
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
            (ColumnType::Int(_), Value::Long(value)) => {
                parameters.push(Parameter::Long(*value));
                Some(format!("{name} {sign} ?"))
            }
            (ColumnType::Decimal { .. }, Value::Decimal(units)) => {
                Some(format!("{name} {sign} {}", literal(*units)))
            }
            (ColumnType::Text, Value::String(text)) if operator == Operator::Equal => {
                let exact =
                    format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY) = CAST(? AS BINARY)");
                parameters.push(Parameter::Text(text.clone()));
                if !text.is_ascii() {
                    return Some(exact);
                }
                parameters.push(Parameter::Text(text.clone()));
                Some(format!("({name} = ? AND {exact})"))
            }
            _ => None,
        }
    }

    fn guard(&self, _column: &Column) -> Option<String> {
        None
    }
}
