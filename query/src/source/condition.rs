//! Conditions that a database computes exactly as they are meant here: of a policy, and of the
//! caller's where rows that cannot pass them need not be sent.
//!
//! Conjuncts go along whole or not at all: what is left out makes the result larger, never smaller, and
//! everything is checked again here. Which tests of columns go along is the list of each dialect; a
//! conjunct with another one stays here. Nothing of the caller's text goes along, only values that his columns
//! are compared with. A condition of which nothing was left out is true of the same rows there as here.

mod filter;
mod policy;

use std::{collections::BTreeSet, iter, mem, ops::Range};

use datafusion::logical_expr::Expr;
use dataos_model::{dataset::Column, predicate::LikePiece, value::Value};

use super::table::Read;
use crate::calendar::{civil_from_days, date_text, timestamp_text};

/// Most elements of a set that are sent; a larger one stays here.
const SET_ITEMS_MAX: usize = 500;
/// Most wildcards of a pattern: a database may try every way to divide a text between them.
const WILDCARDS_MAX: usize = 4;

/// In words that all dialects know; a bare TRUE would be a column of that name to SQLite.
const TRUE: &str = "1 = 1";
pub(super) const FALSE: &str = "1 = 0";
const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;
/// What takes a wildcard its meaning in a pattern; a backslash would be one in texts too.
pub(super) const ESCAPE: char = '!';

/// What one kind of database computes exactly.
pub(super) trait Dialect {
    /// `column IS NOT NULL`, if that is exact.
    fn present(&self, column: &Column) -> Option<String>;

    /// `column operator value`, if that is TRUE of the same values for which the policy's comparison
    /// is true, and NULL of NULL alone. Texts and numbers that cannot stand in the statement go to
    /// `parameters`.
    fn compare(
        &self,
        column: &Column,
        operator: Operator,
        value: &Value,
        parameters: &mut Vec<Parameter>,
    ) -> Option<String>;

    /// Whether the column's day begins, or its point in time is, before so many microseconds since 1970; NULL of NULL
    /// alone.
    fn before(&self, column: &Column, microseconds: i64) -> Option<String>;

    /// The column where it is compared with another one of its type, or as whole milliseconds where policies do so,
    /// if that gives what comparing them here does; for less and greater, if it `is_ordered`.
    fn comparable(&self, column: &Column, is_ordered: bool, is_policy: bool) -> Option<String>;

    /// Whether the whole of a text is made of the pieces, of which no text is empty, code point by code point; NULL of
    /// NULL alone.
    fn like(
        &self,
        column: &Column,
        pieces: &[LikePiece],
        parameters: &mut Vec<Parameter>,
    ) -> Option<String>;

    /// `column IN (values)`, if that is exactly `compare` of equality with one of them and the database finds rows
    /// by it sooner than by one test for each value.
    fn among(
        &self,
        _column: &Column,
        _values: &[&Value],
        _parameters: &mut Vec<Parameter>,
    ) -> Option<String> {
        None
    }

    /// A test that is true of values of the column that are none of its type, if it can hold such. Rows with
    /// one are always sent, so that it is a fault whether a condition went along or not.
    fn guard(&self, column: &Column) -> Option<String>;
}

/// How a column is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    /// As all dialects write it.
    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// A value that goes beside the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    Long(i64),
    Text(String),
}

/// The name that a statement has for its table of this number.
pub(super) fn alias(table: usize) -> String {
    format!("r{table}")
}

/// The first day that begins at this time or after it, if it is a day of four digits' year.
pub(super) fn day(microseconds: i64) -> Option<String> {
    let day = microseconds.div_euclid(MICROSECONDS_PER_DAY);
    let has_begun = microseconds.rem_euclid(MICROSECONDS_PER_DAY) > 0;
    let day = day + i64::from(has_begun);
    has_four_digits(day).then(|| date_text(day))
}

/// The time such as `2024-05-31 10:00:00.5`, if it is of a year of four digits.
pub(super) fn time(microseconds: i64) -> Option<String> {
    let day = microseconds.div_euclid(MICROSECONDS_PER_DAY);
    has_four_digits(day).then(|| timestamp_text(microseconds, false).replace('T', " "))
}

fn has_four_digits(day: i64) -> bool {
    let (year, _, _) = civil_from_days(day);
    (1..=9_999).contains(&year)
}

/// The pattern for LIKE with [`ESCAPE`] that a text matches if it is made of the pieces.
pub(super) fn pattern(pieces: &[LikePiece]) -> Option<String> {
    let wildcards = pieces.iter().filter(|piece| **piece == LikePiece::Any);
    if wildcards.count() > WILDCARDS_MAX {
        return None;
    }
    let mut pattern = String::new();
    for piece in pieces {
        match piece {
            LikePiece::Any => pattern.push('%'),
            LikePiece::Text(text) => {
                for character in text.chars() {
                    if matches!(character, '%' | '_' | ESCAPE) {
                        pattern.push(ESCAPE);
                    }
                    pattern.push(character);
                }
            }
        }
    }
    Some(pattern)
}

/// Empty, or ` WHERE ...`.
pub(super) fn clause(conjuncts: &[String]) -> String {
    match conjuncts {
        [] => String::new(),
        conjuncts => format!(" WHERE {}", conjuncts.join(" AND ")),
    }
}

/// A condition with its parameters in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) conjuncts: Vec<String>,
    /// Behind those that the statement had before.
    pub(super) parameters: Vec<Parameter>,
    /// Whether nothing was left out.
    pub(super) is_whole: bool,
}

impl Condition {
    /// What the dialect takes of what the rows of a read must satisfy. `parameters` are those that the statement
    /// has already.
    pub(super) fn of(read: &Read, dialect: &dyn Dialect, parameters: Vec<Parameter>) -> Self {
        let columns = Columns::Named(&read.dataset.schema.columns, dialect);
        let mut builder = Builder::new(columns, parameters);
        builder.predicate(&read.rows);
        for filter in &read.filters {
            builder.filter(filter);
        }
        for keys in &read.keys {
            builder.conjunct(|builder| builder.keys(keys));
        }
        Self {
            conjuncts: builder.conjuncts,
            parameters: builder.parameters,
            is_whole: builder.is_whole,
        }
    }
}

/// A test of columns, and tests that are true of values of these that are none of their types.
pub(super) struct Tested {
    pub(super) test: String,
    pub(super) guards: BTreeSet<String>,
}

impl Tested {
    /// Of columns that it calls by their numbers; `None` if there is no exact form of it.
    pub(super) fn of(
        passes: &Expr,
        columns: &[Named<'_>],
        parameters: &mut Vec<Parameter>,
    ) -> Option<Self> {
        let mut builder = Builder::new(Columns::Numbered(columns), mem::take(parameters));
        let test = builder.passes(passes);
        let guards = builder.guards;
        *parameters = builder.parameters;
        Some(Self {
            test: test?,
            guards,
        })
    }

    /// Also true of rows with a value that is none of its type.
    pub(super) fn guarded(self) -> String {
        if self.guards.is_empty() {
            return self.test;
        }
        let tests: Vec<String> = iter::once(self.test).chain(self.guards).collect();
        format!("({})", tests.join(" OR "))
    }
}

/// Writes tests of columns.
struct Builder<'a> {
    columns: Columns<'a>,
    conjuncts: Vec<String>,
    parameters: Vec<Parameter>,
    /// Of the columns of the conjunct that is being written.
    guards: BTreeSet<String>,
    is_whole: bool,
}

/// What tests call columns.
#[derive(Clone, Copy)]
enum Columns<'a> {
    /// By the names that they have in their table.
    Named(&'a [Column], &'a dyn Dialect),
    /// By their places among these.
    Numbered(&'a [Named<'a>]),
}

/// A column, and the dialect for its table.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) column: &'a Column,
    pub(super) dialect: &'a dyn Dialect,
}

/// What a column is compared with.
enum Against<'v> {
    Value(&'v Value),
    /// A time as long as those that it is told from, in microseconds since 1970.
    Time(Range<i128>),
}

impl<'a> Builder<'a> {
    fn new(columns: Columns<'a>, parameters: Vec<Parameter>) -> Self {
        Self {
            columns,
            conjuncts: Vec::new(),
            parameters,
            guards: BTreeSet::new(),
            is_whole: true,
        }
    }

    /// Adds a conjunct, all of it or nothing.
    fn conjunct(&mut self, write: impl FnOnce(&mut Self) -> Option<String>) {
        let before = self.parameters.len();
        let written = write(self);
        let guards = mem::take(&mut self.guards);
        match written {
            Some(test) => self.conjuncts.push(Tested { test, guards }.guarded()),
            None => {
                self.parameters.truncate(before);
                self.is_whole = false;
            }
        }
    }

    fn named(&self, name: &str) -> Option<Named<'a>> {
        match self.columns {
            Columns::Named(columns, dialect) => {
                let column = columns.iter().find(|column| column.name == name)?;
                Some(Named { column, dialect })
            }
            Columns::Numbered(columns) => columns.get(name.parse::<usize>().ok()?).copied(),
        }
    }

    /// That the column compares so with one of these; all of them go along, or none.
    fn any(&mut self, named: Named<'a>, operator: Operator, all: &[Against<'_>]) -> Option<String> {
        if all.len() > SET_ITEMS_MAX {
            return None;
        }
        self.guards.extend(named.dialect.guard(named.column));
        if let Some(test) = self.among(named, operator, all) {
            return Some(test);
        }
        let tests = all.iter().map(|one| self.compared(named, operator, one));
        let tests: Vec<String> = tests.collect::<Option<_>>()?;
        match tests.as_slice() {
            [] => None,
            [test] => Some(test.clone()),
            tests => Some(format!("({})", tests.join(" OR "))),
        }
    }

    /// The same as a list, of several values.
    fn among(
        &mut self,
        named: Named<'a>,
        operator: Operator,
        all: &[Against<'_>],
    ) -> Option<String> {
        let values = all.iter().map(|one| match one {
            Against::Value(value) => Some(*value),
            Against::Time(_) => None,
        });
        let values: Vec<&Value> = values.collect::<Option<_>>()?;
        let is_list = operator == Operator::Equal && values.len() > 1;
        is_list.then(|| {
            named
                .dialect
                .among(named.column, &values, &mut self.parameters)
        })?
    }

    fn compared(
        &mut self,
        named: Named<'a>,
        operator: Operator,
        against: &Against<'_>,
    ) -> Option<String> {
        let time = match against {
            Against::Value(value) => {
                let parameters = &mut self.parameters;
                return named
                    .dialect
                    .compare(named.column, operator, value, parameters);
            }
            Against::Time(time) => time,
        };
        if !named.column.column_type.is_temporal() {
            return None;
        }
        Some(match operator {
            Operator::Less => before(named, time.start)?,
            Operator::LessOrEqual => before(named, time.end)?,
            Operator::Greater => format!("(NOT ({}))", before(named, time.end)?),
            Operator::GreaterOrEqual => format!("(NOT ({}))", before(named, time.start)?),
            Operator::Equal => {
                let (start, end) = (before(named, time.start)?, before(named, time.end)?);
                format!("((NOT ({start})) AND {end})")
            }
        })
    }

    /// That two columns of one type compare so; of one that policies take for the same, in a policy.
    fn both(
        &mut self,
        [left, right]: [Named<'a>; 2],
        operator: Operator,
        is_policy: bool,
    ) -> Option<String> {
        let (one, other) = (&left.column.column_type, &right.column.column_type);
        let is_same = match is_policy {
            true => one.attribute_type() == other.attribute_type(),
            false => one == other,
        };
        if !is_same {
            return None;
        }
        let is_ordered = operator != Operator::Equal;
        let mut one = |named: Named<'a>| {
            self.guards.extend(named.dialect.guard(named.column));
            named
                .dialect
                .comparable(named.column, is_ordered, is_policy)
        };
        let (left, right) = (one(left)?, one(right)?);
        Some(format!("{left} {} {right}", operator.sql()))
    }

    /// That a text is made of the pieces.
    fn like(&mut self, named: Named<'a>, pieces: &[LikePiece]) -> Option<String> {
        self.guards.extend(named.dialect.guard(named.column));
        let mut pieces = pieces.to_vec();
        pieces.retain(|piece| !matches!(piece, LikePiece::Text(text) if text.is_empty()));
        pieces.dedup_by(|one, other| *one == LikePiece::Any && one == other);
        let parameters = &mut self.parameters;
        named.dialect.like(named.column, &pieces, parameters)
    }
}

/// That the column is before a time.
fn before(named: Named<'_>, microseconds: i128) -> Option<String> {
    match i64::try_from(microseconds) {
        Ok(microseconds) => named.dialect.before(named.column, microseconds),
        // All that a column can hold is.
        Err(_) if microseconds > 0 => {
            let present = named.dialect.present(named.column)?;
            Some(format!("(CASE WHEN {present} THEN {TRUE} END)"))
        }
        Err(_) => None,
    }
}
