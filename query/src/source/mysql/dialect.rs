//! What MariaDB and MySQL compute exactly as policies mean it.
//!
//! | test | form | why that form |
//! | --- | --- | --- |
//! | IS NOT NULL of numbers, texts and booleans | as it is | |
//! | IS NOT NULL of dates and times | of their number | zero dates count as NULL there, but not their number |
//! | `=`, `<`, `<=` of integers | with a signed 64-bit parameter | compared as integers, of either sign; a YEAR not as 5 for 2005 |
//! | IN of integers that are not negative | with such parameters | not of what may be a YEAR |
//! | `=`, `<`, `<=` of decimals | with a literal of four decimal places | a parameter would be compared as a float |
//! | `<` of dates and times, of which the others are made | with a typed literal | dates that are no day are let through beside it, to be faults |
//! | `=` of booleans | with 0 or 1 | |
//! | `=`, LIKE of texts | bytes of their UTF-8 form | collations fold case, accents and trailing spaces |
//! | a column with one of its type | as it is, texts as their bytes, a smallint as a sum | a YEAR is compared as no number is |
//!
//! A text of ASCII alone is also compared as the column's collation does, which lets an index find
//! the rows: equal bytes are equal under every collation.
//!
//! What they sort, count and add up as the engine does: keys that are integers, decimals, dates or times, also of
//! joins, of first rows and of `count(DISTINCT)`, `count` of numbers and texts, `sum` and `avg` of integers and decimals,
//! as decimals of more digits, `min` and `max` of these. What is calculated of these is a decimal too, while its digits
//! are within the most that there are. Texts are no keys: collations fold them, and of their bytes a
//! server compares the first `max_sort_length` alone. Rows that have some are told apart by hashes of these.

use dataos_model::{
    dataset::{Column, ColumnType},
    predicate::LikePiece,
    value::Value,
};

use super::{place, quoted};
use crate::source::{
    condition::{Dialect, ESCAPE, Operator, Parameter, alias, day, pattern, time},
    decimal::literal,
    select::SortKey,
    statement::Exact,
    table::Read,
    term::{DatePart, Digits},
    total::Function,
};

/// Most digits of a decimal there.
const DIGITS_MAX: u32 = 65;
/// Most of these behind the point.
const SCALE_MAX: u32 = 30;

/// See the module. It is for one of the tables of a statement, of this number.
#[derive(Debug)]
pub(super) struct MySql(pub(super) usize);

impl Dialect for MySql {
    fn present(&self, column: &Column) -> Option<String> {
        let name = self.name(column);
        match column.column_type {
            ColumnType::Int(_)
            | ColumnType::Decimal { .. }
            | ColumnType::Text
            | ColumnType::Bool => Some(format!("{name} IS NOT NULL")),
            ColumnType::Date | ColumnType::LocalTimestamp | ColumnType::Timestamp => {
                Some(is_some_day(&name))
            }
            _ => None,
        }
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
            (ColumnType::Int(bits), Value::Long(value)) => {
                parameters.push(Parameter::Long(*value));
                // A YEAR takes such a number for the year of that century; a sum is a number.
                let plus = if *bits == 16 && (0..100).contains(value) {
                    " + 0"
                } else {
                    ""
                };
                Some(format!("{name}{plus} {sign} ?"))
            }
            (ColumnType::Decimal { .. }, Value::Decimal(units)) => {
                Some(format!("{name} {sign} {}", literal(*units)))
            }
            (ColumnType::Bool, Value::Bool(value)) if operator == Operator::Equal => {
                Some(format!("{name} = {}", u8::from(*value)))
            }
            (ColumnType::Text, Value::String(text)) if operator == Operator::Equal => {
                let exact = format!("{} = CAST(? AS BINARY)", bytes(&name));
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

    fn before(&self, column: &Column, microseconds: i64) -> Option<String> {
        let name = self.name(column);
        match column.column_type {
            ColumnType::Date => Some(format!("{name} < DATE'{}'", day(microseconds)?)),
            ColumnType::LocalTimestamp | ColumnType::Timestamp => {
                Some(format!("{name} < TIMESTAMP'{}'", time(microseconds)?))
            }
            _ => None,
        }
    }

    fn comparable(&self, column: &Column, is_ordered: bool, is_policy: bool) -> Option<String> {
        let name = self.name(column);
        match column.column_type {
            // As numbers, which a YEAR is not.
            ColumnType::Int(16) => Some(format!("{name} + 0")),
            ColumnType::Int(_) | ColumnType::Decimal { .. } | ColumnType::Date => Some(name),
            ColumnType::LocalTimestamp | ColumnType::Timestamp if !is_policy => Some(name),
            ColumnType::LocalTimestamp | ColumnType::Timestamp => Some(format!(
                "{name} - INTERVAL microsecond({name}) % 1000 MICROSECOND"
            )),
            ColumnType::Bool if !is_ordered => Some(name),
            ColumnType::Text if !is_ordered => Some(bytes(&name)),
            _ => None,
        }
    }

    /// Of their bytes: a run of characters is one of bytes, in UTF-8.
    fn like(
        &self,
        column: &Column,
        pieces: &[LikePiece],
        parameters: &mut Vec<Parameter>,
    ) -> Option<String> {
        let pattern = pattern(pieces).filter(|_| column.column_type == ColumnType::Text)?;
        parameters.push(Parameter::Text(pattern));
        let text = bytes(&self.name(column));
        Some(format!("{text} LIKE CAST(? AS BINARY) ESCAPE '{ESCAPE}'"))
    }

    /// Of integers that are not negative, whose bits are the same signed and unsigned; not of columns that may be a
    /// YEAR. A list is sorted once and searched, a chain of tests is gone through for each row.
    fn among(
        &self,
        column: &Column,
        values: &[&Value],
        parameters: &mut Vec<Parameter>,
    ) -> Option<String> {
        if !matches!(column.column_type, ColumnType::Int(32 | 64)) {
            return None;
        }
        let numbers = values.iter().map(|value| match value {
            Value::Long(value) if *value >= 0 => Some(Parameter::Long(*value)),
            _ => None,
        });
        let numbers: Vec<Parameter> = numbers.collect::<Option<_>>()?;
        let marks = vec!["?"; numbers.len()].join(", ");
        parameters.extend(numbers);
        Some(format!("{} IN ({marks})", self.name(column)))
    }

    /// Dates that are no day.
    fn guard(&self, column: &Column) -> Option<String> {
        let name = self.name(column);
        column.column_type.is_temporal().then(|| {
            let some = is_some_day(&name);
            format!("coalesce(date({name}) <> from_days(to_days({name})), {some})")
        })
    }
}

/// Whether a date is there: a zero one is NULL to the server where the column is never NULL.
fn is_some_day(name: &str) -> String {
    format!("{name} + 0 IS NOT NULL")
}

/// A text as its bytes in UTF-8.
fn bytes(name: &str) -> String {
    format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY)")
}

impl MySql {
    /// A column whose numbers are added up and compared without being rounded.
    fn added(&self, column: &Column) -> Option<String> {
        matches!(
            column.column_type,
            ColumnType::Int(_) | ColumnType::Decimal { .. }
        )
        .then(|| self.name(column))
    }
}

impl Exact for MySql {
    fn place(&self, read: &Read) -> String {
        place(read, self.0)
    }

    fn name(&self, column: &Column) -> String {
        let Self(table) = self;
        format!("{}.{}", alias(*table), quoted(&column.name))
    }

    fn key(&self, column: &Column) -> Option<String> {
        match column.column_type {
            ColumnType::Date | ColumnType::LocalTimestamp | ColumnType::Timestamp => {
                Some(self.name(column))
            }
            _ => self.added(column),
        }
    }

    fn unseen(&self, column: &Column) -> Option<String> {
        self.key(column)
    }

    fn tie(&self, column: &Column) -> Option<String> {
        let name = self.name(column);
        match column.column_type {
            ColumnType::Text | ColumnType::Uuid | ColumnType::Json => {
                Some(format!("sha2(CONVERT({name} USING utf8mb4), 256)"))
            }
            ColumnType::Binary => Some(format!("sha2({name}, 256)")),
            _ => self.unseen(column),
        }
    }

    fn total(&self, function: Function, column: &Column) -> Option<String> {
        match (function, &column.column_type) {
            (Function::Present, ColumnType::Text | ColumnType::Float(_)) => {
                Some(function.of(&self.name(column)))
            }
            (Function::Distinct, _) => Some(function.of(&self.unseen(column)?)),
            _ => Some(function.of(&self.added(column)?)),
        }
    }

    /// As decimals of the digits that the catalog knows: a column can have others by now, and so would the result.
    fn number(&self, column: &Column) -> Option<String> {
        let name = self.added(column)?;
        let Digits { whole, scale } = Digits::of(&column.column_type);
        Some(format!(
            "CAST({name} AS DECIMAL({}, {scale}))",
            whole + scale
        ))
    }

    fn chosen(&self, number: &str, Digits { whole, scale }: Digits) -> String {
        format!("CAST({number} AS DECIMAL({}, {scale}))", whole + scale)
    }

    fn part(&self, part: DatePart, column: &Column) -> Option<String> {
        let is_date = column.column_type == ColumnType::Date;
        let (part, name) = (part.name(), self.name(column));
        is_date.then(|| format!("CAST(EXTRACT({part} FROM {name}) AS DECIMAL(4, 0))"))
    }

    fn calculates(&self, digits: Digits) -> bool {
        digits.scale <= SCALE_MAX && digits.whole + digits.scale <= DIGITS_MAX
    }

    /// Numbers of another width, which a column can have since it was catalogued, and dates that are no day.
    fn unfit(&self, column: &Column) -> Option<String> {
        let name = self.name(column);
        let of_type = match column.column_type {
            ColumnType::Int(16) => {
                Some(format!("{name} NOT BETWEEN {} AND {}", i16::MIN, i16::MAX))
            }
            ColumnType::Int(32) => {
                Some(format!("{name} NOT BETWEEN {} AND {}", i32::MIN, i32::MAX))
            }
            ColumnType::Int(_) => Some(format!("{name} > {}", i64::MAX)),
            ColumnType::Decimal { precision, scale } => {
                let limit = format!("1{}", "0".repeat(precision.saturating_sub(scale).into()));
                Some(format!(
                    "{name} <> round({name}, {scale}) OR abs({name}) >= {limit}"
                ))
            }
            _ => self.guard(column),
        };
        let missing = (!column.is_nullable).then(|| format!("{name} IS NULL"));
        let tests: Vec<String> = of_type.into_iter().chain(missing).collect();
        (!tests.is_empty()).then(|| tests.join(" OR "))
    }

    /// From outside: MariaDB takes an order by the keys of groups for theirs, and gives groups of joins in another
    /// where a window is counted over them.
    fn in_order(&self, groups: &str, order: &str) -> String {
        format!("SELECT * FROM ({groups}) AS g ORDER BY {order}")
    }

    fn output(&self, number: usize) -> String {
        format!("g.c{number}")
    }

    /// NULL is less than every value there, and no word puts it elsewhere.
    fn sorted(&self, expression: &str, key: SortKey) -> String {
        let (way, nulls) = match (key.is_descending, key.has_nulls_first) {
            (false, true) => ("ASC", ""),
            (true, false) => ("DESC", ""),
            (false, false) => ("ASC", "ASC"),
            (true, true) => ("DESC", "DESC"),
        };
        if nulls.is_empty() {
            return format!("{expression} {way}");
        }
        format!("{expression} IS NULL {nulls}, {expression} {way}")
    }
}
