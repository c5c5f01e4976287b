//! The statement for what a database is asked for, where it gives exactly what the engine would make.
//!
//! Exact means: the same rows, or the same groups and of each the same values. What goes along is the list of
//! each dialect: columns whose equality and order are the same there, and totals that no order of the rows and
//! no width of a number changes. Conditions go along whole or nothing is asked for, for nothing is filtered
//! again behind them.
//!
//! What arrives is in an order of its values alone, and so is the choice of those that do not: another order
//! could tell how the database found them, and that depends on rows that the caller does not see.
//!
//! Where a value is none of its type, nothing is taken from the database: the engine reads the rows, and the
//! value is a fault that names the column. Of joins, only in rows that meet others: whether the engine itself
//! reads the rest depends on which side of a join it reads first.

mod totals;

use std::mem;

use dataos_model::dataset::Column;

use self::totals::{beyond_digits, calculated, of_term, overflows, total};
use super::{
    condition::{Condition, Dialect, FALSE, Named, Parameter, Tested, clause},
    select::{Of, Select, SortKey},
    table::Read,
    term::{DatePart, Digits, Term, Test},
    total::{DOUBLE_MAX, Function, Total},
};

/// Most tables that are joined; beyond these the planners of databases no longer look at every order.
const TABLES_MAX: usize = 8;

/// What one kind of database computes exactly beyond conditions, of one of the tables of a statement.
pub(super) trait Exact: Dialect {
    /// The table, under the name that columns are qualified with.
    fn place(&self, read: &Read) -> String;

    /// The column, as it lies there.
    fn name(&self, column: &Column) -> String;

    /// The column as a key, if equal keys there are the same value here.
    fn key(&self, column: &Column) -> Option<String>;

    /// The column where values are compared that do not arrive here, if equal ones are the same value here, the
    /// less is the less here, and those that are none of its type are unfit.
    fn unseen(&self, column: &Column) -> Option<String>;

    /// The column where it decides between rows that are alike in what they are sorted by: as `unseen`, but in any
    /// order of its values.
    fn tie(&self, column: &Column) -> Option<String> {
        self.unseen(column)
    }

    /// What is told of the column's values in a group, if it is exact; of a mean, the sum.
    fn total(&self, function: Function, column: &Column) -> Option<String>;

    /// The column where it is calculated with, as a number that is not rounded and not bound to its type.
    fn number(&self, column: &Column) -> Option<String>;

    /// Whether numbers of so many digits are calculated exactly.
    fn calculates(&self, digits: Digits) -> bool;

    /// A choice of numbers of so many digits, as one of the kind that the others are.
    fn chosen(&self, number: &str, digits: Digits) -> String;

    /// A part of the column's date, as such a number.
    fn part(&self, part: DatePart, column: &Column) -> Option<String>;

    /// A number as a key.
    fn calculated_key(&self, number: String) -> Option<String> {
        Some(number)
    }

    /// What is told of a number in a group.
    fn told(&self, function: Function, number: &str) -> String {
        function.of(number)
    }

    /// A test that is true of values of the column that are none of its type; `None` if no value can be one.
    fn unfit(&self, column: &Column) -> Option<String>;

    /// A test that is true of a group whose sum is not between two others; `None` if the sum is no number there.
    fn beyond(&self, sum: &str, least: &str, most: &str) -> Option<String> {
        Some(format!("{sum} NOT BETWEEN {least} AND {most}"))
    }

    /// A test that is true of a group where doubles do not add up integers exactly in every order.
    fn is_rounded(&self, number: &str) -> String {
        format!("sum(abs({number})) > {DOUBLE_MAX}")
    }

    /// Whether the database finds rows that others meet without reading all of them for each.
    fn finds_existence(&self) -> bool {
        true
    }

    /// Whether a test is true of a row of a group.
    fn in_group(&self, test: &str) -> String {
        format!("max({test})")
    }

    /// Whether a test is true of any of the groups.
    fn in_any(&self, test: &str) -> String {
        format!("max({test}) OVER ()")
    }

    /// What an order of groups calls their output of this number.
    fn output(&self, number: usize) -> String {
        (number + 1).to_string()
    }

    /// The statement that gives the groups of another in an order.
    fn in_order(&self, groups: &str, order: &str) -> String {
        format!("{groups} ORDER BY {order}")
    }

    /// What is sorted by where a key is the expression.
    fn sorted(&self, expression: &str, key: SortKey) -> String {
        let way = if key.is_descending { "DESC" } else { "ASC" };
        let nulls = if key.has_nulls_first { "FIRST" } else { "LAST" };
        format!("{expression} {way} NULLS {nulls}")
    }
}

/// A statement. Behind the outputs it gives whether a row was unfit; then the first row says so.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) parameters: Vec<Parameter>,
}

impl Statement {
    /// For rows of some tables, with the dialect for each of them; `None` if it has no exact form for a part of it.
    pub(super) fn of<D: Exact>(reads: &[Read], select: &Select, dialects: &[D]) -> Option<Self> {
        let first = dialects.first()?;
        let asks_existence = !select.joined.exists.is_empty();
        if reads.len() > TABLES_MAX || (asks_existence && !first.finds_existence()) {
            return None;
        }
        // In the order of the text, as some databases count them.
        let mut parameters = Vec::new();
        let columns = columns(select, dialects, &mut parameters)?;
        let tests = tests(reads, select, dialects);
        let (items, has_tests) = items(select, dialects, (&columns, tests), &mut parameters)?;
        let conjuncts = conditions(reads, select, dialects, &mut parameters)?;
        let come_out = (0..reads.len()).filter(|table| select.joined.comes_out(*table));
        let from = places(reads, dialects, come_out)?;
        let rows = format!("SELECT {items} FROM {from}{}", clause(&conjuncts));
        let sql = match (&select.items.totals, columns.len()) {
            (None, count) => {
                let unfit = has_tests.then(|| format!("{} DESC", count + 1));
                let by = order(select, first, |output| columns.get(output).cloned())?;
                let by: Vec<String> = unfit.into_iter().chain(by).collect();
                format!("{rows} ORDER BY {}", by.join(", "))
            }
            (Some(_), 0) => rows,
            (Some(_), count) => {
                let numbers: Vec<String> = (1..=count).map(|number| number.to_string()).collect();
                let groups = format!("{rows} GROUP BY {}", numbers.join(", "));
                let by = order(select, first, |output| Some(first.output(output)))?;
                first.in_order(&groups, &by.join(", "))
            }
        };
        let sql = match &select.top {
            Some(top) => format!("{sql} LIMIT {}", top.rows),
            None => sql,
        };
        Some(Self { sql, parameters })
    }
}

/// Which rows there are, all of it.
fn conditions<D: Exact>(
    reads: &[Read],
    select: &Select,
    dialects: &[D],
    parameters: &mut Vec<Parameter>,
) -> Option<Vec<String>> {
    let mut conjuncts = equal(&select.joined.pairs, dialects)?;
    for test in &select.joined.tests {
        conjuncts.push(tested(test, dialects, parameters)?.guarded());
    }
    let mut table = 0;
    while let (Some(read), Some(dialect)) = (reads.get(table), dialects.get(table)) {
        match select.joined.begins(table) {
            None => {
                whole(read, dialect, parameters, &mut conjuncts)?;
                table += 1;
            }
            Some(exists) => {
                let mut inside = equal(&exists.pairs, dialects)?;
                for test in &exists.tests {
                    // Nothing tells whether a row that is only met has a value that is none of its type.
                    let tested = tested(test, dialects, parameters)?;
                    inside.push(tested.guards.is_empty().then_some(tested.test)?);
                }
                for table in exists.tables.clone() {
                    let (read, dialect) = (reads.get(table)?, dialects.get(table)?);
                    whole(read, dialect, parameters, &mut inside)?;
                }
                let from = places(reads, dialects, exists.tables.clone())?;
                let not = if exists.is_negated { "NOT " } else { "" };
                let rows = format!("SELECT 1 FROM {from}{}", clause(&inside));
                conjuncts.push(format!("{not}EXISTS ({rows})"));
                table = exists.tables.end;
            }
        }
    }
    Some(conjuncts)
}

/// A test of columns of any of the tables.
fn tested<D: Exact>(
    test: &Test<Column>,
    dialects: &[D],
    parameters: &mut Vec<Parameter>,
) -> Option<Tested> {
    let columns = test.columns.iter().map(|of| {
        let dialect: &dyn Dialect = dialects.get(of.table)?;
        let column = &of.what;
        Some(Named { column, dialect })
    });
    let columns: Vec<_> = columns.collect::<Option<_>>()?;
    Tested::of(&test.passes, &columns, parameters)
}

/// That columns are equal.
fn equal<D: Exact>(pairs: &[[Of<Column>; 2]], dialects: &[D]) -> Option<Vec<String>> {
    let pairs = pairs.iter().map(|[left, right]| {
        let one = dialects.get(left.table)?.unseen(&left.what)?;
        let other = dialects.get(right.table)?.unseen(&right.what)?;
        Some(format!("{one} = {other}"))
    });
    pairs.collect()
}

/// Which rows of a table are read, all of it.
fn whole<D: Exact>(
    read: &Read,
    dialect: &D,
    parameters: &mut Vec<Parameter>,
    conjuncts: &mut Vec<String>,
) -> Option<()> {
    let condition = Condition::of(read, dialect, mem::take(parameters));
    conjuncts.extend(condition.conjuncts);
    *parameters = condition.parameters;
    condition.is_whole.then_some(())
}

/// Tables under their names in the statement.
fn places<D: Exact>(
    reads: &[Read],
    dialects: &[D],
    tables: impl Iterator<Item = usize>,
) -> Option<String> {
    let places = tables.map(|table| Some(dialects.get(table)?.place(reads.get(table)?)));
    Some(places.collect::<Option<Vec<_>>>()?.join(", "))
}

/// The columns, as rows are grouped and sorted by them: of groups as keys, of rows in any order of their values.
/// Where not all of these arrive, values are compared that do not.
fn columns<D: Exact>(
    select: &Select,
    dialects: &[D],
    parameters: &mut Vec<Parameter>,
) -> Option<Vec<String>> {
    let are_rows = select.items.totals.is_none();
    let columns = select.items.columns.iter().enumerate();
    let columns = columns.map(|(output, term)| {
        let Term::Column(Of { table, what }) = term else {
            let number = calculated(term, dialects, parameters).filter(|_| !are_rows)?;
            return dialects.first()?.calculated_key(number);
        };
        let dialect = dialects.get(*table)?;
        match &select.top {
            Some(top) if are_rows && !top.is_by(output) => dialect.tie(what),
            Some(_) => dialect.unseen(what),
            None if are_rows => dialect.key(what).or_else(|| dialect.tie(what)),
            None => dialect.key(what),
        }
    });
    columns.collect()
}

/// Whether a row has a value that is none of its type, in a column that is read. Of rows that are only met, a value is
/// equal to one of these.
fn tests<D: Exact>(reads: &[Read], select: &Select, dialects: &[D]) -> Vec<String> {
    let tables = reads.iter().zip(dialects).enumerate();
    let tables = tables.filter(|(table, _)| select.joined.comes_out(*table));
    let tests = tables.flat_map(|(_, (read, dialect))| {
        let of_table = read.columns.iter();
        of_table.filter_map(|column| dialect.unfit(column))
    });
    tests.collect()
}

/// What is selected: the outputs, and whether a row was unfit, which is so where a test is true; and whether there is one.
fn items<D: Exact>(
    select: &Select,
    dialects: &[D],
    (columns, mut tests): (&[String], Vec<String>),
    parameters: &mut Vec<Parameter>,
) -> Option<(String, bool)> {
    let first = dialects.first()?;
    let (mut items, is_unfit) = match &select.items.totals {
        None => {
            let columns = select.outputs.iter();
            let names = columns.map(|column| Some(dialects.get(column.table)?.name(&column.what)));
            let unfit = format!("coalesce({}, {FALSE})", tests.join(" OR "));
            let unfit = (!tests.is_empty()).then_some(unfit);
            (names.collect::<Option<Vec<_>>>()?, unfit)
        }
        Some(totals) => {
            let mut items = columns.to_vec();
            for total in totals {
                items.push(self::total(total, dialects, parameters)?);
            }
            for count in select.means().filter_map(Total::term) {
                items.push(of_term(Function::Present, count, dialects, parameters)?);
            }
            tests.extend(beyond_digits(select, dialects, parameters)?);
            let in_group = (!tests.is_empty()).then(|| first.in_group(&tests.join(" OR ")));
            let overflows = overflows(select, dialects, parameters)?;
            let tests: Vec<String> = in_group.into_iter().chain(overflows).collect();
            let unfit = (!tests.is_empty()).then(|| first.in_any(&tests.join(" OR ")));
            (items, unfit)
        }
    };
    let has_tests = is_unfit.is_some();
    items.push(is_unfit.unwrap_or_else(|| FALSE.to_owned()));
    let items = items.iter().enumerate();
    let items: Vec<String> = items.map(|(at, item)| format!("{item} AS c{at}")).collect();
    Some((items.join(", "), has_tests))
}

/// What is sorted by: the keys that the engine sorts by, and then every other column. No two groups are alike in
/// these, and rows that are alike in them are the same.
fn order<D: Exact>(
    select: &Select,
    dialect: &D,
    expression: impl Fn(usize) -> Option<String>,
) -> Option<Vec<String>> {
    let keys = select.top.iter().flat_map(|top| &top.keys);
    let is_key = |output| select.top.as_ref().is_some_and(|top| top.is_by(output));
    let sorted = keys.map(|key| Some(dialect.sorted(&expression(key.output)?, *key)));
    let others = (0..select.items.columns.len()).filter(|output| !is_key(*output));
    sorted.chain(others.map(&expression)).collect()
}

#[cfg(test)]
mod tests;
