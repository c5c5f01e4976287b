//! What SQLite computes exactly as policies mean it: `=`, `<`, `<=` of integers, dates and times, `=` of booleans and of
//! texts by their bytes, patterns with wildcards at their ends, and IS NOT NULL; and what it counts and adds up as the
//! engine does: keys that are integers, booleans, texts or UUIDs, keys of joins, of the first rows and of
//! `count(DISTINCT)` that are integers or booleans, `count` of what it can tell to be of its type, `sum`, `avg`, `min`
//! and `max` of integers, and totals of choices of small ones.
//!
//! A sum of integers that overflows is an error there. So their upper, middle and lower bits are added up on
//! their own, for which 2^41 rows are too few.
//!
//! A column may hold a value that its type does not allow, which its storage class tells.

use dataos_model::{
    dataset::{Column, ColumnType},
    predicate::LikePiece,
    value::Value,
};

use super::{
    cell::{SUMMED_BITS, SUMMED_MASK},
    identifier, place,
};
use crate::source::{
    condition::{Dialect, Operator, Parameter, alias, day, time},
    statement::Exact,
    table::Read,
    term::{DatePart, Digits},
    total::{DOUBLE_MAX, Function},
};

/// Most digits of a number of which 2^33 are added up without overflow.
const DIGITS_MAX: u32 = 9;
/// Characters of `2024-05-31 10:00:00`, with three and with six digits behind it.
const SECOND_LENGTH: usize = 19;
const MILLISECOND_LENGTH: usize = SECOND_LENGTH + 4;
const TIME_LENGTH: usize = SECOND_LENGTH + 7;

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
            (ColumnType::Bool, Value::Bool(value)) if operator == Operator::Equal => {
                Some(format!("{name} = {}", u8::from(*value)))
            }
            _ => None,
        }
    }

    fn before(&self, column: &Column, microseconds: i64) -> Option<String> {
        let literal = match column.column_type {
            ColumnType::Date => day(microseconds)?,
            _ => format!("{:0<1$}", dotted(&time(microseconds)?), TIME_LENGTH),
        };
        Some(format!("{} < '{literal}'", self.time(column)?))
    }

    fn comparable(&self, column: &Column, is_ordered: bool, is_policy: bool) -> Option<String> {
        match column.column_type {
            ColumnType::Int(64) => Some(self.name(column)),
            ColumnType::Bool if !is_ordered => Some(self.name(column)),
            ColumnType::Text if !is_ordered => {
                Some(format!("{} COLLATE BINARY", self.name(column)))
            }
            ColumnType::Timestamp if is_policy => {
                let time = self.time(column)?;
                Some(format!("substr({time}, 1, {MILLISECOND_LENGTH})"))
            }
            ColumnType::Date if is_policy => {
                Some(format!("({} || ' 00:00:00.000')", self.name(column)))
            }
            _ => self.time(column),
        }
    }

    /// Of their bytes: its own LIKE ends at a zero. With at most one text at each end, or one between wildcards.
    fn like(
        &self,
        column: &Column,
        pieces: &[LikePiece],
        parameters: &mut Vec<Parameter>,
    ) -> Option<String> {
        use LikePiece::{Any, Text};
        if column.column_type != ColumnType::Text {
            return None;
        }
        let text = format!("CAST({} AS BLOB)", self.name(column));
        let starts = |start: &str| format!("substr({text}, 1, {}) = CAST(? AS BLOB)", start.len());
        let ends = |end: &str| format!("substr({text}, -{}) = CAST(? AS BLOB)", end.len());
        let (test, texts) = match pieces {
            [] => (format!("{text} = X''"), vec![]),
            [Any] => (format!("{text} = {text}"), vec![]),
            [Text(whole)] => (format!("{text} = CAST(? AS BLOB)"), vec![whole]),
            [Text(start), Any] => (starts(start), vec![start]),
            [Any, Text(end)] => (ends(end), vec![end]),
            [Any, Text(part), Any] => (format!("instr({text}, CAST(? AS BLOB)) > 0"), vec![part]),
            [Text(start), Any, Text(end)] => {
                let length = start.len() + end.len();
                let (starts, ends) = (starts(start), ends(end));
                let test = format!("(length({text}) >= {length} AND {starts} AND {ends})");
                (test, vec![start, end])
            }
            _ => return None,
        };
        parameters.extend(texts.into_iter().cloned().map(Parameter::Text));
        // Of an empty blob a part is NULL.
        let present = self.present(column)?;
        Some(format!(
            "(CASE WHEN {present} THEN coalesce({test}, 0) END)"
        ))
    }

    fn guard(&self, column: &Column) -> Option<String> {
        let (name, class) = (self.name(column), class(&column.column_type));
        let class = format!("typeof({name}) NOT IN ('{class}', 'null')");
        let more = match column.column_type {
            ColumnType::Bool => format!("{name} NOT IN (0, 1)"),
            ColumnType::Date => {
                let day = format!("{name} COLLATE BINARY");
                format!("coalesce(date({name}) <> {day}, {name} IS NOT NULL) OR {day} < '0001'")
            }
            ColumnType::Timestamp | ColumnType::LocalTimestamp => {
                let time = self.unzoned(column);
                let whole = format!("substr({time}, 1, {SECOND_LENGTH})");
                format!(
                    "{name} IS NOT NULL AND NOT coalesce(datetime({whole}) = {whole} AND {time} >= '0001' \
                     AND length(CAST({time} AS BLOB)) = length({time}) AND (length({time}) = {SECOND_LENGTH} \
                     OR length({time}) <= {TIME_LENGTH} AND substr({time}, {SECOND_LENGTH} + 1) GLOB '.[0-9]*' \
                     AND substr({time}, {SECOND_LENGTH} + 2) NOT GLOB '*[^0-9]*'), 0)"
                )
            }
            _ => return Some(class),
        };
        Some(format!("{class} OR {more}"))
    }
}

impl Sqlite {
    /// A day, or a time of 26 characters, as a text that has the order of these.
    fn time(&self, column: &Column) -> Option<String> {
        match column.column_type {
            ColumnType::Date => Some(format!("{} COLLATE BINARY", self.name(column))),
            ColumnType::Timestamp | ColumnType::LocalTimestamp => {
                let time = self.unzoned(column);
                let missing = format!("substr('.000000', length({time}) - {SECOND_LENGTH} + 1)");
                Some(format!("({time} || {missing})"))
            }
            _ => None,
        }
    }

    /// A time without the zone behind it; NULL if it should have one and has not.
    fn unzoned(&self, column: &Column) -> String {
        let name = self.name(column);
        if column.column_type != ColumnType::Timestamp {
            return name;
        }
        format!(
            "(CASE WHEN substr({name}, -1) = 'Z' THEN substr({name}, 1, length({name}) - 1) \
             WHEN substr({name}, -6) = '+00:00' THEN substr({name}, 1, length({name}) - 6) END)"
        )
    }
}

/// The time with a point behind its seconds.
fn dotted(time: &str) -> String {
    let point = if time.contains('.') { "" } else { "." };
    format!("{time}{point}")
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

    /// There are no decimals, and integers overflow: choices of small numbers, whose sums do not.
    fn calculates(&self, digits: Digits) -> bool {
        digits.scale == 0 && digits.whole <= DIGITS_MAX
    }

    fn chosen(&self, number: &str, _digits: Digits) -> String {
        number.to_owned()
    }

    fn part(&self, _part: DatePart, _column: &Column) -> Option<String> {
        None
    }

    fn calculated_key(&self, _number: String) -> Option<String> {
        None
    }

    /// In the form of a sum.
    fn told(&self, function: Function, number: &str) -> String {
        let told = function.of(number);
        match function {
            Function::Present | Function::Distinct => told,
            _ => format!("'0 0 ' || {told}"),
        }
    }

    fn unfit(&self, column: &Column) -> Option<String> {
        let name = self.name(column);
        let mut test = self.guard(column)?;
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
