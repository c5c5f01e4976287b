//! What a database is asked for in one statement: rows of tables, joined where columns are equal; of these
//! their columns, or groups; of either all, or the first in an order.
//!
//! Rows of several tables are joined where columns of one type are equal and tests pass, and may have to meet rows of
//! others, or none. Outer joins stay here: what they add has NULL where a column is never NULL, and no test could
//! tell that from a fault.

use std::ops::Range;

use dataos_model::dataset::{Column, ColumnType};

use datafusion::arrow::datatypes::SchemaRef;

use super::{
    batch::{Cell, Unfit},
    term::{Term, Test},
    total::{Arrival, Total},
};
use crate::column::arrow_type;

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
    /// What else is true of them.
    pub(crate) tests: Vec<Test<C>>,
    pub(crate) is_negated: bool,
}

/// Which rows there are: of tables by their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Joined<C> {
    /// Columns that are equal in rows that are joined.
    pub(crate) pairs: Vec<[Of<C>; 2]>,
    /// What else is true of rows that are joined.
    pub(crate) tests: Vec<Test<C>>,
    pub(crate) exists: Vec<Exists<C>>,
}

impl<C> Joined<C> {
    /// The same over columns that others stand for, if all have one.
    pub(crate) fn over<D>(&self, column: &impl Fn(&Of<C>) -> Option<Of<D>>) -> Option<Joined<D>> {
        let pairs = |pairs: &[[Of<C>; 2]]| {
            let pairs = pairs.iter();
            let pairs = pairs.map(|[left, right]| Some([column(left)?, column(right)?]));
            pairs.collect::<Option<Vec<_>>>()
        };
        let tests = |tests: &[Test<C>]| {
            let tests = tests.iter().map(|test| test.over(column));
            tests.collect::<Option<Vec<_>>>()
        };
        let exists = self.exists.iter().map(|exists| {
            Some(Exists {
                tables: exists.tables.clone(),
                pairs: pairs(&exists.pairs)?,
                tests: tests(&exists.tests)?,
                is_negated: exists.is_negated,
            })
        });
        Some(Joined {
            pairs: pairs(&self.pairs)?,
            tests: tests(&self.tests)?,
            exists: exists.collect::<Option<_>>()?,
        })
    }

    /// Rows of these that are joined with those of others.
    pub(crate) fn append(&mut self, mut others: Self) {
        self.pairs.append(&mut others.pairs);
        self.tests.append(&mut others.tests);
        self.exists.append(&mut others.exists);
    }

    /// All pairs of columns that are equal.
    pub(crate) fn all(&self) -> impl Iterator<Item = &[Of<C>; 2]> {
        let exists = self.exists.iter().flat_map(|exists| &exists.pairs);
        self.pairs.iter().chain(exists)
    }

    /// All that is tested of columns of several tables.
    pub(crate) fn all_tests(&self) -> impl Iterator<Item = &Test<C>> {
        let exists = self.exists.iter().flat_map(|exists| &exists.tests);
        self.tests.iter().chain(exists)
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
    pub(crate) columns: Vec<Term<Column>>,
    /// What is told of each group: of one of all rows, if there are no keys. `None` if rows are not grouped.
    pub(crate) totals: Option<Vec<Total>>,
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
    /// How each of the outputs comes.
    pub(super) arrivals: Vec<Arrival>,
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
        let of_totals = items.totals.iter().flatten().map(Total::output);
        let outputs = items.columns.iter().map(Term::output).chain(of_totals);
        let outputs: Vec<Of<Column>> = outputs.collect::<Option<_>>()?;
        let of_columns = items.columns.iter().map(Arrival::of);
        let of_totals = items.totals.iter().flatten().map(Total::arrival);
        let arrivals = of_columns.chain(of_totals).collect();
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
        let select = Self {
            joined,
            items,
            top,
            outputs,
            arrivals,
            schema,
        };
        let mut keys = select.top.iter().flat_map(|top| &top.keys);
        // What comes for a mean is in another order.
        let is_by_mean = keys.any(|key| select.total(key.output).is_some_and(Total::is_mean));
        let is_exact = is_same && is_typed && !select.outputs.is_empty() && !is_by_mean;
        is_exact.then_some(select)
    }

    /// Names of the columns that it reads of one of the tables.
    pub(crate) fn names(&self, table: usize) -> impl Iterator<Item = &str> {
        let totals = self.items.totals.iter().flatten();
        let terms = totals.filter_map(Total::term).chain(&self.items.columns);
        let of_tests = self.joined.all_tests().flat_map(|test| &test.columns);
        let columns = self.joined.all().flatten().chain(of_tests);
        let columns = columns.chain(terms.flat_map(Term::columns));
        let of_table = columns.filter(move |of| of.table == table);
        of_table.map(|of| of.what.name.as_str())
    }

    /// The total that an output is; none for a column.
    pub(super) fn total(&self, output: usize) -> Option<&Total> {
        let at = output.checked_sub(self.items.columns.len())?;
        self.items.totals.as_ref()?.get(at)
    }

    /// Totals that come as two numbers, the second behind all outputs.
    pub(super) fn means(&self) -> impl Iterator<Item = &Total> {
        let totals = self.items.totals.iter().flatten();
        totals.filter(|total| total.is_mean())
    }

    /// What comes: the outputs, and how many numbers each mean is of. Whether a row was unfit comes behind these.
    pub(super) fn sent(&self) -> Vec<Column> {
        let outputs = self.outputs.iter().zip(&self.arrivals);
        let outputs = outputs.map(|(output, arrival)| Column {
            column_type: arrival.column_type(&output.what.column_type),
            ..output.what.clone()
        });
        let counts = self.means().map(|_| Column {
            name: "count".to_owned(),
            column_type: ColumnType::Int(64),
            is_nullable: false,
        });
        outputs.chain(counts).collect()
    }

    /// An output, made of what came, which `sent` gives by its number and type.
    ///
    /// # Errors
    /// What came instead.
    pub(super) fn cell<'a>(
        &self,
        output: usize,
        column_type: &ColumnType,
        sent: impl Fn(usize, &ColumnType) -> Result<Cell<'a>, Unfit>,
    ) -> Result<Cell<'a>, Unfit> {
        let arrival = self.arrivals.get(output).unwrap_or(&Arrival::Whole);
        if *arrival == Arrival::Whole {
            return sent(output, column_type);
        }
        let before = self.arrivals.iter().take(output);
        let count = self.outputs.len() + before.filter(|before| before.is_mean()).count();
        let count = || sent(count, &ColumnType::Int(64));
        arrival.made(sent(output, &arrival.column_type(column_type))?, count)
    }
}
