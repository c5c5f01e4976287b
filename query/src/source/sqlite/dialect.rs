//! What SQLite computes exactly as policies mean it: `=`, `<`, `<=` of integers, `=` of texts by their
//! bytes, and IS NOT NULL; and what it counts and adds up as the engine does: keys that are integers, booleans,
//! texts or UUIDs, keys of joins, of the first rows and of `count(DISTINCT)` that are integers or booleans, `count`
//! of what it can tell to be of its type, `sum`, `avg`, `min` and `max` of integers.
//!
//! A sum of integers that overflows is an error there. So their upper, middle and lower bits are added up on
//! their own, for which 2^41 rows are too few.
//!
//! A column may hold a value that its type does not allow, which its storage class tells.

use dataos_model::{
    dataset::{Column, ColumnType},
    value::Value,
};

use super::{
    cell::{SUMMED_BITS, SUMMED_MASK},
    identifier, place,
};
use crate::source::{
    condition::{Dialect, Operator, Parameter, alias},
    statement::Exact,
    table::Read,
    term::Digits,
    total::{DOUBLE_MAX, Function},
};

/// See the module. It is for one of the tables of a statement, of this number.
#[derive(Debug)]
pub(super) struct Sqlite(pub(super) usize);

impl Dialect for Sqlite {
    fn present(&self, column: &Column) -> Option<String> {
        Some(format!("{} IS NOT NULL", self.name(column)))
    }

    fn compare(
        &self,
        column: &Column,
        operator: Operator,
        value: &Value,
        parameters: &mut Vec<Parameter>,
    ) -> Option<String> {
        let (name, sign) = (self.name(column), operator.sql());
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
            self.name(column)
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

impl Exact for Sqlite {
    /// It reads them anew for each row, where they have no index.
    fn finds_existence(&self) -> bool {
        false
    }

    fn place(&self, read: &Read) -> String {
        place(read, self.0)
    }

    /// Qualified: a bare name in double quotes that is no column's would be a text to SQLite.
    fn name(&self, column: &Column) -> String {
        let Self(table) = self;
        format!("{}.{}", alias(*table), identifier(&column.name))
    }

    fn key(&self, column: &Column) -> Option<String> {
        let name = self.name(column);
        match column.column_type {
            ColumnType::Int(64) | ColumnType::Bool => Some(name),
            ColumnType::Text | ColumnType::Uuid => Some(format!("{name} COLLATE BINARY")),
            _ => None,
        }
    }

    /// Not of texts, which may be no UTF-8 and then are faults wherever they are seen.
    fn unseen(&self, column: &Column) -> Option<String> {
        matches!(column.column_type, ColumnType::Int(64) | ColumnType::Bool)
            .then(|| self.name(column))
    }

    fn total(&self, function: Function, column: &Column) -> Option<String> {
        let named = |kinds: &[ColumnType]| {
            let is_one = kinds.contains(&column.column_type);
            is_one.then(|| self.name(column))
        };
        let integer = || named(&[ColumnType::Int(64)]);
        match function {
            Function::Present => {
                let kinds = [
                    ColumnType::Int(64),
                    ColumnType::Bool,
                    ColumnType::Float(64),
                    ColumnType::Binary,
                ];
                named(&kinds).map(|name| function.of(&name))
            }
            Function::Distinct => Some(function.of(&self.unseen(column)?)),
            Function::Sum | Function::Mean => {
                let (name, upper) = (integer()?, 2 * SUMMED_BITS);
                Some(format!(
                    "sum({name} >> {upper}) || ' ' || sum({name} >> {SUMMED_BITS} & {SUMMED_MASK}) \
                     || ' ' || sum({name} & {SUMMED_MASK})"
                ))
            }
            Function::Least | Function::Greatest => integer().map(|name| function.of(&name)),
        }
    }

    /// As a double: the magnitude of the least integer is an error.
    fn number(&self, column: &Column) -> Option<String> {
        let is_integer = column.column_type == ColumnType::Int(64);
        is_integer.then(|| format!("CAST({} AS REAL)", self.name(column)))
    }

    /// There are no decimals, and integers overflow.
    fn calculates(&self, _digits: Digits) -> bool {
        false
    }

    fn unfit(&self, column: &Column) -> Option<String> {
        let name = self.name(column);
        let mut test = self.guard(column)?;
        if column.column_type == ColumnType::Bool {
            test = format!("{test} OR {name} NOT IN (0, 1)");
        }
        if !column.is_nullable {
            test = format!("{test} OR {name} IS NULL");
        }
        Some(test)
    }

    fn beyond(&self, _sum: &str, _least: &str, _most: &str) -> Option<String> {
        None
    }

    /// By doubles themselves: far enough below what they add up exactly for the error of a sum that they do not.
    fn is_rounded(&self, number: &str) -> String {
        format!("total(abs({number})) > {}", DOUBLE_MAX / 2)
    }
}
