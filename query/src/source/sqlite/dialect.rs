//! What SQLite computes exactly as policies mean it: `=`, `<`, `<=` of integers, `=` of texts by their
//! bytes, and IS NOT NULL; and what it counts and adds up as the engine does: keys that are integers, booleans,
//! texts or UUIDs, `count` of what it can tell to be of its type, `sum`, `min` and `max` of integers.
//!
//! A sum of integers that overflows is an error there. So the upper and the lower halves are added up, for
//! which no table has rows enough.
//!
//! A column may hold a value that its type does not allow, which its storage class tells.

use dataos_model::{
    dataset::{Column, ColumnType},
    value::Value,
};

use super::quoted;
use crate::source::{
    condition::{Dialect, Operator, Parameter},
    groups::{Total, Totals},
};

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

impl Totals for Sqlite {
    fn key(&self, column: &Column) -> Option<String> {
        let name = quoted(&column.name);
        match column.column_type {
            ColumnType::Int(64) | ColumnType::Bool => Some(name),
            ColumnType::Text | ColumnType::Uuid => Some(format!("{name} COLLATE BINARY")),
            _ => None,
        }
    }

    fn total(&self, total: &Total) -> Option<String> {
        let name = |column: &Column, kinds: &[ColumnType]| {
            let is_one = kinds.contains(&column.column_type);
            is_one.then(|| quoted(&column.name))
        };
        let integer = |column: &Column| name(column, &[ColumnType::Int(64)]);
        match total {
            Total::Rows => Some("count(*)".to_owned()),
            Total::Present(column) => {
                let kinds = [
                    ColumnType::Int(64),
                    ColumnType::Bool,
                    ColumnType::Float(64),
                    ColumnType::Binary,
                ];
                name(column, &kinds).map(|name| format!("count({name})"))
            }
            Total::Sum(column) => integer(column)
                .map(|name| format!("sum({name} >> 32) || ' ' || sum({name} & 4294967295)")),
            Total::Least(column) => integer(column).map(|name| format!("min({name})")),
            Total::Greatest(column) => integer(column).map(|name| format!("max({name})")),
        }
    }

    fn unfit(&self, column: &Column) -> Option<String> {
        let name = quoted(&column.name);
        let mut test = self.guard(column)?;
        if column.column_type == ColumnType::Bool {
            test = format!("{test} OR {name} NOT IN (0, 1)");
        }
        if !column.is_nullable {
            test = format!("{test} OR {name} IS NULL");
        }
        Some(test)
    }

    fn anywhere(&self, test: &str) -> String {
        format!("max(max({test})) OVER ()")
    }
}
