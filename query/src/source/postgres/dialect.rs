//! What PostgreSQL computes exactly as policies mean it: `=`, `<`, `<=` of integers, decimals, dates and times, `=` of
//! booleans, `=` and LIKE of `text` and `varchar` by code point (collation "C"), and IS NOT NULL; and what it sorts,
//! counts and adds up as the engine does.
//!
//! | total | of | why there |
//! | --- | --- | --- |
//! | keys | all but floats, JSON and lists | equal means the same value; texts under collation "C" |
//! | keys of joins and of the first rows, `count(DISTINCT)` | the same; texts in UTF-8 | other bytes may be no text, which nobody would see, and in another order |
//! | `count` | all that is read but lists | |
//! | `sum`, `avg` | integers, as numeric; decimals of the catalog's digits | neither overflows |
//! | `min`, `max` | integers, such decimals, dates, times; texts under "C" in UTF-8 | the order is the engine's |
//!
//! What is calculated of integers and such decimals is a numeric, which has room for every digit. NaN, the infinities
//! and times beyond the engine's are values that do not fit.

use dataos_model::{
    dataset::{Column, ColumnType},
    predicate::LikePiece,
    value::Value,
};
use tokio_postgres::types::Type;

use super::{Prepared, place, quoted};
use crate::source::{
    condition::{Dialect, ESCAPE, Operator, Parameter, alias, day, pattern, time},
    decimal::literal,
    statement::Exact,
    table::Read,
    term::{DatePart, Digits},
    total::Function,
};

/// The last instant whose microseconds since 1970 are a 64-bit number.
const INSTANT_MAX: &str = "294247-01-10 04:00:54.775807";
/// What is added to the digits of a `numeric(p, s)` where its type is told.
const TYPE_MODIFIER_BASE: i32 = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Postgres {
    /// Which of the tables of a statement it is for.
    table: usize,
    /// Fetched columns of which `=` under collation "C" compares values as they are sent.
    texts: Vec<String>,
    /// Fetched columns whose numbers have the digits that the catalog knows.
    decimals: Vec<String>,
    /// Whether collation "C" orders texts by code point.
    is_utf8: bool,
}

impl Postgres {
    /// For columns as a statement gives them.
    pub(super) fn new(
        table: usize,
        columns: &[Column],
        statement: &Prepared,
        is_utf8: bool,
    ) -> Self {
        let found = || columns.iter().zip(statement.columns());
        let texts =
            found().filter(|(_, found)| matches!(*found.type_(), Type::TEXT | Type::VARCHAR));
        let decimals = found().filter(|(column, found)| match column.column_type {
            ColumnType::Decimal { precision, scale } => {
                let digits = (i32::from(precision) << 16) | i32::from(scale);
                found.type_modifier() == digits + TYPE_MODIFIER_BASE
            }
            _ => false,
        });
        let name = |(column, _): (&Column, _)| column.name.clone();
        Self {
            table,
            texts: texts.map(name).collect(),
            decimals: decimals.map(name).collect(),
            is_utf8,
        }
    }

    /// For columns of a server that was not asked yet, if all is well there.
    pub(super) fn supposed(table: usize, columns: &[Column]) -> Self {
        let all = columns.iter().map(|column| column.name.clone());
        Self {
            table,
            texts: all.clone().collect(),
            decimals: all.collect(),
            is_utf8: true,
        }
    }

    /// A column, in the one order and equality that its values have here.
    fn ordered(&self, column: &Column) -> Option<String> {
        let name = self.name(column);
        match column.column_type {
            ColumnType::Int(_)
            | ColumnType::Date
            | ColumnType::Timestamp
            | ColumnType::LocalTimestamp => Some(name),
            ColumnType::Decimal { .. } => self.decimals.contains(&column.name).then_some(name),
            ColumnType::Text => {
                let is_text = self.texts.contains(&column.name);
                is_text.then(|| format!("{name} COLLATE \"C\""))
            }
            _ => None,
        }
    }

    fn extreme(&self, function: &str, column: &Column) -> Option<String> {
        let is_ordered = column.column_type != ColumnType::Text || self.is_utf8;
        let of = self.ordered(column).filter(|_| is_ordered)?;
        Some(format!("{function}({of})"))
    }
}

impl Exact for Postgres {
    fn place(&self, read: &Read) -> String {
        place(read, self.table)
    }

    fn name(&self, column: &Column) -> String {
        format!("{}.{}", alias(self.table), quoted(&column.name))
    }

    fn key(&self, column: &Column) -> Option<String> {
        match column.column_type {
            ColumnType::Bool | ColumnType::Uuid | ColumnType::Binary => Some(self.name(column)),
            _ => self.ordered(column),
        }
    }

    fn unseen(&self, column: &Column) -> Option<String> {
        let is_exact = column.column_type != ColumnType::Text || self.is_utf8;
        self.key(column).filter(|_| is_exact)
    }

    fn total(&self, function: Function, column: &Column) -> Option<String> {
        match function {
            Function::Present => match column.column_type {
                ColumnType::List(_) => None,
                ColumnType::Decimal { .. } => self
                    .ordered(column)
                    .map(|column| format!("count({column})")),
                _ => Some(format!("count({})", self.name(column))),
            },
            Function::Distinct => {
                let of = self.unseen(column)?;
                Some(format!("count(DISTINCT {of})"))
            }
            Function::Sum | Function::Mean => match column.column_type {
                ColumnType::Int(_) => Some(format!("sum({}::bigint)", self.name(column))),
                ColumnType::Decimal { .. } => {
                    self.ordered(column).map(|column| format!("sum({column})"))
                }
                _ => None,
            },
            Function::Least => self.extreme("min", column),
            Function::Greatest => self.extreme("max", column),
        }
    }

    fn number(&self, column: &Column) -> Option<String> {
        let name = self.ordered(column)?;
        match column.column_type {
            ColumnType::Int(_) => Some(format!("{name}::numeric")),
            ColumnType::Decimal { .. } => Some(name),
            _ => None,
        }
    }

    /// A numeric has room for all of them.
    fn calculates(&self, _digits: Digits) -> bool {
        true
    }

    fn chosen(&self, number: &str, _digits: Digits) -> String {
        format!("{number}::numeric")
    }

    fn part(&self, part: DatePart, column: &Column) -> Option<String> {
        let is_date = column.column_type == ColumnType::Date;
        let (part, name) = (part.name(), self.name(column));
        is_date.then(|| format!("extract({part} FROM {name})::numeric"))
    }

    fn unfit(&self, column: &Column) -> Option<String> {
        let missing = !column.is_nullable;
        let missing = missing.then(|| format!("{} IS NULL", self.name(column)));
        let tests: Vec<String> = self.guard(column).into_iter().chain(missing).collect();
        (!tests.is_empty()).then(|| tests.join(" OR "))
    }

    fn in_group(&self, test: &str) -> String {
        format!("bool_or({test})")
    }

    fn in_any(&self, test: &str) -> String {
        format!("coalesce(bool_or({test}) OVER (), FALSE)")
    }
}

impl Dialect for Postgres {
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
        let name = self.name(column);
        match (&column.column_type, value) {
            (ColumnType::Int(bits), Value::Long(value)) => {
                let (sign, literal) = (operator.sql(), integer(*bits, *value));
                Some(format!("{name} {sign} {literal}"))
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
            (ColumnType::Decimal { .. }, Value::Decimal(units)) => {
                let (sign, literal) = (operator.sql(), literal(*units));
                Some(format!("{name} {sign} '{literal}'::numeric"))
            }
            _ => None,
        }
    }

    fn before(&self, column: &Column, microseconds: i64) -> Option<String> {
        let name = self.name(column);
        match column.column_type {
            ColumnType::Date => Some(format!("{name} < '{}'::date", day(microseconds)?)),
            ColumnType::Timestamp => {
                let time = time(microseconds)?;
                Some(format!("{name} < '{time}+00'::timestamptz"))
            }
            ColumnType::LocalTimestamp => {
                Some(format!("{name} < '{}'::timestamp", time(microseconds)?))
            }
            _ => None,
        }
    }

    fn comparable(&self, column: &Column, is_ordered: bool, is_policy: bool) -> Option<String> {
        match column.column_type {
            ColumnType::Bool | ColumnType::Text if is_ordered => None,
            ColumnType::Bool => Some(self.name(column)),
            ColumnType::Timestamp if is_policy => {
                Some(format!("date_trunc('milliseconds', {})", self.name(column)))
            }
            _ => self.ordered(column),
        }
    }

    fn like(
        &self,
        column: &Column,
        pieces: &[LikePiece],
        parameters: &mut Vec<Parameter>,
    ) -> Option<String> {
        let pattern = pattern(pieces).filter(|pattern| !pattern.contains('\0'))?;
        let is_text = column.column_type == ColumnType::Text && self.is_utf8;
        let text = self.ordered(column).filter(|_| is_text)?;
        parameters.push(Parameter::Text(pattern));
        let number = parameters.len();
        Some(format!("{text} LIKE ${number}::text ESCAPE '{ESCAPE}'"))
    }

    /// Of integers, which are looked up in an index or a hash table; a chain of tests is gone through for each row.
    fn among(
        &self,
        column: &Column,
        values: &[&Value],
        _parameters: &mut Vec<Parameter>,
    ) -> Option<String> {
        let ColumnType::Int(bits) = column.column_type else {
            return None;
        };
        let literals = values.iter().map(|value| match value {
            Value::Long(value) => Some(integer(bits, *value)),
            _ => None,
        });
        let literals: Vec<String> = literals.collect::<Option<_>>()?;
        Some(format!(
            "{} IN ({})",
            self.name(column),
            literals.join(", ")
        ))
    }

    fn guard(&self, column: &Column) -> Option<String> {
        let name = self.name(column);
        match column.column_type {
            ColumnType::Decimal { .. } => Some(format!("{name} = 'NaN'::numeric")),
            ColumnType::Date => Some(format!("{name} IN ('infinity', '-infinity')")),
            ColumnType::Timestamp | ColumnType::LocalTimestamp => {
                Some(format!("{name} = '-infinity' OR {name} > '{INSTANT_MAX}'"))
            }
            _ => None,
        }
    }
}

/// An integer as a value of its column's type, so that an index of the column is of use; one that is beyond the type
/// as bigint, which compares and does not fail.
fn integer(bits: u8, value: i64) -> String {
    let name = match bits {
        16 if i16::try_from(value).is_ok() => "smallint",
        32 if i32::try_from(value).is_ok() => "integer",
        _ => "bigint",
    };
    format!("'{value}'::{name}")
}
