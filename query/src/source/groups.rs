//! Groups of a table's rows, as a database counts and adds them up where that is exact.
//!
//! Exact means: the same groups, and of each the same values as the engine would get from the rows. What
//! goes along is the list of each dialect: keys whose equality is the same there, and totals that no order
//! of the rows and no width of a number changes. Conditions go along whole or the groups stay here, for
//! nothing is filtered again behind them. Groups come in the order of their keys: another order could tell
//! how the database found them, and that depends on rows that the caller does not see.

use dataos_model::dataset::{Column, ColumnType};

use datafusion::arrow::datatypes::SchemaRef;

use super::{
    batch::Cell,
    condition::{Condition, Dialect, Parameter},
    table::Read,
};
use crate::column::arrow_type;

/// Digits that a sum has more than what it adds up, as in the engine.
const SUM_DIGITS: u8 = 10;
/// Most digits of decimals whose sum has room for these.
const SUMMED_DIGITS_MAX: u8 = 28;

/// What is told of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Total {
    /// How many rows it has.
    Rows,
    /// In how many of its rows the column is there.
    Present(Column),
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
            | Self::Sum(column)
            | Self::Least(column)
            | Self::Greatest(column) => Some(column),
        }
    }

    /// What it comes out as, as in the engine; `None` if it is not exact anywhere.
    fn output(&self) -> Option<Column> {
        let (column_type, is_nullable) = match self {
            Self::Rows => (ColumnType::Int(64), false),
            Self::Present(column) => {
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

/// How rows are grouped, and what is told of each group.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    /// One group of all rows if there are none.
    pub(super) keys: Vec<Column>,
    pub(super) totals: Vec<Total>,
    /// The keys, and behind them the totals.
    pub(super) outputs: Vec<Column>,
    pub(super) schema: SchemaRef,
}

impl Groups {
    /// Groups that the engine knows by `schema`; `None` if they would come out otherwise.
    pub(crate) fn new(keys: Vec<Column>, totals: Vec<Total>, schema: SchemaRef) -> Option<Self> {
        let of_totals = totals.iter().map(Total::output);
        let outputs = keys.iter().cloned().map(Some).chain(of_totals);
        let outputs: Vec<Column> = outputs.collect::<Option<_>>()?;
        let types = outputs.iter().map(|output| arrow_type(&output.column_type));
        let is_same = types.eq(schema
            .fields()
            .iter()
            .map(|field| field.data_type().clone()));
        (is_same && !outputs.is_empty()).then_some(Self {
            keys,
            totals,
            outputs,
            schema,
        })
    }

    /// Columns that it reads.
    pub(super) fn columns(&self) -> impl Iterator<Item = &Column> {
        let of_totals = self.totals.iter().filter_map(Total::column);
        self.keys.iter().chain(of_totals)
    }

    /// The total that an output is; none for a key.
    pub(super) fn total(&self, output: usize) -> Option<&Total> {
        let at = output.checked_sub(self.keys.len())?;
        self.totals.get(at)
    }
}

/// What one kind of database counts and adds up exactly.
pub(super) trait Totals: Dialect {
    /// The column as a key, if equal keys there are the same value here.
    fn key(&self, column: &Column) -> Option<String>;

    /// The total of a group, if it is exact.
    fn total(&self, total: &Total) -> Option<String>;

    /// A test that is true of values of the column that are none of its type. Where there are such rows the
    /// groups are made here, where each is a fault that names the column. `None` if no value can be one.
    fn unfit(&self, column: &Column) -> Option<String>;

    /// Whether a test is true of a row of any of the groups.
    fn anywhere(&self, test: &str) -> String;
}

/// A statement for groups. Behind the outputs it gives whether a row was unfit.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) parameters: Vec<Parameter>,
}

impl Statement {
    /// For groups of a table's rows; `None` if the dialect has no exact form for a part of them.
    pub(super) fn of(
        read: &Read,
        groups: &Groups,
        from: &str,
        dialect: &dyn Totals,
    ) -> Option<Self> {
        let condition = Condition::of(read, dialect);
        if !condition.is_whole {
            return None;
        }
        let keys = groups.keys.iter().map(|key| dialect.key(key));
        let totals = groups.totals.iter().map(|total| dialect.total(total));
        let mut list: Vec<String> = keys.chain(totals).collect::<Option<_>>()?;
        let mut tests = Vec::new();
        for column in &read.columns {
            let test = dialect.unfit(column);
            tests.extend(test.filter(|test| !tests.contains(test)));
        }
        list.push(match tests.as_slice() {
            [] => "1 = 0".to_owned(),
            tests => dialect.anywhere(&tests.join(" OR ")),
        });
        let numbers = (1..=groups.keys.len()).map(|number| number.to_string());
        let by = numbers.collect::<Vec<_>>().join(", ");
        let order = match groups.keys.as_slice() {
            [] => String::new(),
            _ => format!(" GROUP BY {by} ORDER BY {by}"),
        };
        let Condition {
            sql: condition,
            parameters,
            is_whole: _,
        } = condition;
        Some(Self {
            sql: format!("SELECT {} FROM {from}{condition}{order}", list.join(", ")),
            parameters,
        })
    }
}

/// A sum of integers as the engine has it: the low 64 bits.
pub(super) fn wrapped(sum: i128) -> Cell<'static> {
    let bits = u64::try_from(sum.rem_euclid(1 << 64)).unwrap_or_default();
    Cell::Int(bits.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_wrap_like_those_of_64_bits() {
        for (sum, expected) in [
            (0, 0),
            (-1, -1),
            (i128::from(i64::MAX) + 1, i64::MIN),
            (i128::from(i64::MIN) - 1, i64::MAX),
            (i128::from(i64::MAX) * 3, i64::MAX.wrapping_mul(3)),
            (i128::from(i64::MIN) * 5, i64::MIN.wrapping_mul(5)),
        ] {
            assert_eq!(wrapped(sum), Cell::Int(expected), "{sum}");
        }
    }
}
