//! Groups of the rows of tables, as a database counts and adds them up where that is exact.
//!
//! Exact means: the same groups, and of each the same values as the engine would get from the rows. What
//! goes along is the list of each dialect: keys whose equality is the same there, and totals that no order
//! of the rows and no width of a number changes. Conditions go along whole or the groups stay here, for
//! nothing is filtered again behind them. Groups come in the order of their keys: another order could tell
//! how the database found them, and that depends on rows that the caller does not see.
//!
//! Rows of several tables are joined where columns of theirs are equal, of one type and of the list too. A
//! value that its type cannot hold is a fault only in rows that meet others: whether the engine itself reads
//! the rest depends on which side of a join it reads first. Outer joins stay here: what they add has NULL
//! where a column is never NULL, and no test could tell that from a fault.

use dataos_model::dataset::{Column, ColumnType};

use datafusion::arrow::datatypes::SchemaRef;

use super::{
    batch::Cell,
    condition::{Condition, Dialect, FALSE, Parameter, clause},
    table::Read,
};
use crate::column::arrow_type;

/// Digits that a sum has more than what it adds up, as in the engine.
const SUM_DIGITS: u8 = 10;
/// Most digits of decimals whose sum has room for these.
const SUMMED_DIGITS_MAX: u8 = 28;

/// Most tables that are joined; beyond these the planners of databases no longer look at every order.
const TABLES_MAX: usize = 8;

/// What is of one of the tables, by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Of<T> {
    pub(crate) table: usize,
    pub(crate) what: T,
}

/// What is told of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Total {
    /// How many rows it has.
    Rows,
    /// In how many of its rows the column is there.
    Present(Column),
    /// How many values the column has in its rows.
    Distinct(Column),
    /// The sum of the column, within the bits of its type.
    Sum(Column),
    /// The least value of the column.
    Least(Column),
    /// The greatest value of the column.
    Greatest(Column),
}

impl Total {
    /// The column that it reads.
    pub(super) fn column(&self) -> Option<&Column> {
        match self {
            Self::Rows => None,
            Self::Present(column)
            | Self::Distinct(column)
            | Self::Sum(column)
            | Self::Least(column)
            | Self::Greatest(column) => Some(column),
        }
    }

    /// What it comes out as, as in the engine; `None` if it is not exact anywhere.
    fn output(&self) -> Option<Column> {
        let (column_type, is_nullable) = match self {
            Self::Rows => (ColumnType::Int(64), false),
            Self::Present(column) | Self::Distinct(column) => {
                let is_read = !matches!(column.column_type, ColumnType::Other(_));
                is_read.then_some((ColumnType::Int(64), false))?
            }
            Self::Sum(column) => match column.column_type {
                ColumnType::Int(_) => (ColumnType::Int(64), true),
                ColumnType::Decimal { precision, scale } if precision <= SUMMED_DIGITS_MAX => {
                    let precision = precision + SUM_DIGITS;
                    (ColumnType::Decimal { precision, scale }, true)
                }
                _ => return None,
            },
            Self::Least(column) | Self::Greatest(column) => (column.column_type.clone(), true),
        };
        let name = self.column().map_or("count", |column| column.name.as_str());
        Some(Column {
            name: name.to_owned(),
            column_type,
            is_nullable,
        })
    }
}

/// How rows are joined and grouped, and what is told of each group.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    /// Columns that are equal in rows that are joined.
    pub(super) pairs: Vec<[Of<Column>; 2]>,
    /// One group of all rows if there are none.
    pub(super) keys: Vec<Of<Column>>,
    pub(super) totals: Vec<Of<Total>>,
    /// The keys, and behind them the totals.
    pub(super) outputs: Vec<Of<Column>>,
    pub(super) schema: SchemaRef,
}

impl Groups {
    /// Groups that the engine knows by `schema`; `None` if they would come out otherwise.
    pub(crate) fn new(
        pairs: Vec<[Of<Column>; 2]>,
        keys: Vec<Of<Column>>,
        totals: Vec<Of<Total>>,
        schema: SchemaRef,
    ) -> Option<Self> {
        let of_totals = totals.iter().map(|total| {
            Some(Of {
                table: total.table,
                what: total.what.output()?,
            })
        });
        let outputs = keys.iter().cloned().map(Some).chain(of_totals);
        let outputs: Vec<Of<Column>> = outputs.collect::<Option<_>>()?;
        let types = outputs
            .iter()
            .map(|output| arrow_type(&output.what.column_type));
        let is_same = types.eq(schema
            .fields()
            .iter()
            .map(|field| field.data_type().clone()));
        let mut sides = pairs.iter();
        let is_typed = sides.all(|[left, right]| left.what.column_type == right.what.column_type);
        (is_same && is_typed && !outputs.is_empty()).then_some(Self {
            pairs,
            keys,
            totals,
            outputs,
            schema,
        })
    }

    /// Names of the columns that it reads of one of the tables.
    pub(crate) fn names(&self, table: usize) -> impl Iterator<Item = &str> {
        let columns = self.pairs.iter().flatten().chain(&self.keys);
        let columns = columns.map(|of| (of.table, Some(&of.what)));
        let totals = self.totals.iter().map(|of| (of.table, of.what.column()));
        let of_table = columns.chain(totals).filter(move |(of, _)| *of == table);
        of_table.filter_map(|(_, column)| Some(column?.name.as_str()))
    }

    /// The total that an output is; none for a key.
    pub(super) fn total(&self, output: usize) -> Option<&Total> {
        let at = output.checked_sub(self.keys.len())?;
        self.totals.get(at).map(|total| &total.what)
    }
}

/// What one kind of database counts and adds up exactly, of one of the tables of a statement.
pub(super) trait Totals: Dialect {
    /// The table, under the name that columns are qualified with.
    fn place(&self, read: &Read) -> String;

    /// The column as a key, if equal keys there are the same value here.
    fn key(&self, column: &Column) -> Option<String>;

    /// The column where values are compared that do not arrive here, if equal ones are the same value here and
    /// those that are none of its type are unfit.
    fn unseen(&self, column: &Column) -> Option<String>;

    /// The total of a group, if it is exact.
    fn total(&self, total: &Total) -> Option<String>;

    /// A test that is true of values of the column that are none of its type. Where there are such rows the
    /// groups are made here, where each is a fault that names the column. `None` if no value can be one.
    fn unfit(&self, column: &Column) -> Option<String>;

    /// Whether a test is true of a row of any of the groups.
    fn anywhere(&self, test: &str) -> String;

    /// The statement that gives the groups of another in the order of its columns of these numbers.
    fn in_order(&self, groups: &str, numbers: &str) -> String {
        format!("{groups} ORDER BY {numbers}")
    }
}

/// A statement for groups. Behind the outputs it gives whether a row was unfit.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) parameters: Vec<Parameter>,
}

impl Statement {
    /// For groups of the rows of some tables, with the dialect for each of them; `None` if it has no exact form
    /// for a part of them.
    pub(super) fn of<D: Totals>(reads: &[Read], groups: &Groups, dialects: &[D]) -> Option<Self> {
        if reads.len() > TABLES_MAX {
            return None;
        }
        let (conjuncts, parameters) = conditions(reads, groups, dialects)?;
        let keys = groups
            .keys
            .iter()
            .map(|key| dialects.get(key.table)?.key(&key.what));
        let totals = groups.totals.iter();
        let totals = totals.map(|total| dialects.get(total.table)?.total(&total.what));
        let mut list: Vec<String> = keys.chain(totals).collect::<Option<_>>()?;
        let mut tests = Vec::new();
        for (read, dialect) in reads.iter().zip(dialects) {
            let of_table = read.columns.iter();
            tests.extend(of_table.filter_map(|column| dialect.unfit(column)));
        }
        list.push(match tests.as_slice() {
            [] => FALSE.to_owned(),
            tests => dialects.first()?.anywhere(&tests.join(" OR ")),
        });
        let places = reads.iter().zip(dialects);
        let places: Vec<String> = places.map(|(read, dialect)| dialect.place(read)).collect();
        let numbers = (1..=groups.keys.len()).map(|number| number.to_string());
        let by = numbers.collect::<Vec<_>>().join(", ");
        let list = list.iter().enumerate();
        let list: Vec<String> = list.map(|(at, item)| format!("{item} AS c{at}")).collect();
        let (list, from) = (list.join(", "), places.join(", "));
        let rows = format!("SELECT {list} FROM {from}{}", clause(&conjuncts));
        let sql = match groups.keys.as_slice() {
            [] => rows,
            _ => dialects
                .first()?
                .in_order(&format!("{rows} GROUP BY {by}"), &by),
        };
        Some(Self { sql, parameters })
    }
}

/// Which rows are joined and grouped, all of it; and the parameters of that.
fn conditions<D: Totals>(
    reads: &[Read],
    groups: &Groups,
    dialects: &[D],
) -> Option<(Vec<String>, Vec<Parameter>)> {
    let pairs = groups.pairs.iter().map(|[left, right]| {
        let one = dialects.get(left.table)?.unseen(&left.what)?;
        let other = dialects.get(right.table)?.unseen(&right.what)?;
        Some(format!("{one} = {other}"))
    });
    let mut conjuncts: Vec<String> = pairs.collect::<Option<_>>()?;
    let mut parameters = Vec::new();
    for (read, dialect) in reads.iter().zip(dialects) {
        let condition = Condition::of(read, dialect, parameters);
        if !condition.is_whole {
            return None;
        }
        conjuncts.extend(condition.conjuncts);
        parameters = condition.parameters;
    }
    Some((conjuncts, parameters))
}

/// A sum of integers as the engine has it: the low 64 bits.
pub(super) fn wrapped(sum: i128) -> Cell<'static> {
    let bits = u64::try_from(sum.rem_euclid(1 << 64)).unwrap_or_default();
    Cell::Int(bits.cast_signed())
}

#[cfg(test)]
mod tests;
