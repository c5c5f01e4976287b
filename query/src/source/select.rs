//! What a database is asked for in one statement: rows of tables, joined where columns are equal; of these
//! their columns, or groups; of either all, or the first in an order.
//!
//! Rows of several tables are joined where columns of one type are equal, and may have to meet rows of others, or
//! none. Outer joins stay here: what they add has NULL where a column is never NULL, and no test could tell that from
//! a fault.

use std::ops::Range;

use dataos_model::dataset::{Column, ColumnType};

use datafusion::arrow::datatypes::SchemaRef;

use crate::column::arrow_type;

/// Digits that a sum has more than what it adds up, as in the engine.
const SUM_DIGITS: u8 = 10;
/// Most digits of decimals whose sum has room for these.
const SUMMED_DIGITS_MAX: u8 = 28;

/// What is of one of the tables, by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Of<T> {
    pub(crate) table: usize,
    pub(crate) what: T,
}

/// Rows that others must meet, or must not, of which nothing else is known.
#[derive(Clone, Debug)]
pub(crate) struct Exists<C> {
    /// Their tables.
    pub(crate) tables: Range<usize>,
    /// Columns that are equal: of these tables, or of one of these and one of the others.
    pub(crate) pairs: Vec<[Of<C>; 2]>,
    pub(crate) is_negated: bool,
}

/// Which rows there are: of tables by their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Joined<C> {
    /// Columns that are equal in rows that are joined.
    pub(crate) pairs: Vec<[Of<C>; 2]>,
    pub(crate) exists: Vec<Exists<C>>,
}

impl<C> Joined<C> {
    /// All pairs of columns that are equal.
    pub(crate) fn all(&self) -> impl Iterator<Item = &[Of<C>; 2]> {
        let exists = self.exists.iter().flat_map(|exists| &exists.pairs);
        self.pairs.iter().chain(exists)
    }

    /// Of what begins with this table, if it is only met.
    pub(crate) fn begins(&self, table: usize) -> Option<&Exists<C>> {
        self.exists
            .iter()
            .find(|exists| exists.tables.start == table)
    }

    /// Whether rows of this table come out, and are not only met.
    pub(crate) fn comes_out(&self, table: usize) -> bool {
        !self
            .exists
            .iter()
            .any(|exists| exists.tables.contains(&table))
    }
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

    /// Whether it is a sum of integers.
    pub(super) fn is_wrapped(&self) -> bool {
        matches!(self, Self::Sum(column) if matches!(column.column_type, ColumnType::Int(_)))
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

/// A key of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SortKey {
    /// The output of this number.
    pub(crate) output: usize,
    pub(crate) is_descending: bool,
    pub(crate) has_nulls_first: bool,
}

/// The first rows in an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Top {
    pub(crate) keys: Vec<SortKey>,
    pub(crate) rows: usize,
}

impl Top {
    /// Whether it is sorted by the output of this number.
    pub(super) fn is_by(&self, output: usize) -> bool {
        self.keys.iter().any(|key| key.output == output)
    }
}

/// What is made of rows.
#[derive(Clone, Debug)]
pub(crate) struct Items {
    /// Columns of rows; of groups, the keys.
    pub(crate) columns: Vec<Of<Column>>,
    /// What is told of each group: of one of all rows, if there are no keys. `None` if rows are not grouped.
    pub(crate) totals: Option<Vec<Of<Total>>>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Select {
    pub(super) joined: Joined<Column>,
    pub(super) items: Items,
    /// `None` if all are wanted.
    pub(super) top: Option<Top>,
    /// The columns, and behind them the totals.
    pub(super) outputs: Vec<Of<Column>>,
    pub(super) schema: SchemaRef,
}

impl Select {
    /// What the engine knows by `schema`; `None` if it would come out otherwise.
    pub(crate) fn new(
        joined: Joined<Column>,
        items: Items,
        top: Option<Top>,
        schema: SchemaRef,
    ) -> Option<Self> {
        let of_totals = items.totals.iter().flatten().map(|total| {
            Some(Of {
                table: total.table,
                what: total.what.output()?,
            })
        });
        let outputs = items.columns.iter().cloned().map(Some).chain(of_totals);
        let outputs: Vec<Of<Column>> = outputs.collect::<Option<_>>()?;
        let types = outputs
            .iter()
            .map(|output| arrow_type(&output.what.column_type));
        let is_same = types.eq(schema
            .fields()
            .iter()
            .map(|field| field.data_type().clone()));
        let is_typed = joined
            .all()
            .all(|[left, right]| left.what.column_type == right.what.column_type);
        (is_same && is_typed && !outputs.is_empty()).then_some(Self {
            joined,
            items,
            top,
            outputs,
            schema,
        })
    }

    /// Names of the columns that it reads of one of the tables.
    pub(crate) fn names(&self, table: usize) -> impl Iterator<Item = &str> {
        let columns = self.joined.all().flatten().chain(&self.items.columns);
        let columns = columns.map(|of| (of.table, Some(&of.what)));
        let totals = self.items.totals.iter().flatten();
        let totals = totals.map(|of| (of.table, of.what.column()));
        let of_table = columns.chain(totals).filter(move |(of, _)| *of == table);
        of_table.filter_map(|(_, column)| Some(column?.name.as_str()))
    }

    /// The total that an output is; none for a column.
    pub(super) fn total(&self, output: usize) -> Option<&Of<Total>> {
        let at = output.checked_sub(self.items.columns.len())?;
        self.items.totals.as_ref()?.get(at)
    }

    /// Whether an output is a sum of integers, which databases keep in more bits than the engine.
    pub(super) fn is_wrapped(&self, output: usize) -> bool {
        let total = self.total(output);
        total.is_some_and(|total| total.what.is_wrapped())
    }
}
