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

use dataos_model::dataset::Column;

use self::totals::{counts, overflows, too_wide, total};
use super::{
    condition::{Condition, Dialect, FALSE, Parameter, clause},
    select::{Of, Select, SortKey},
    table::Read,
    term::Digits,
    total::{DOUBLE_MAX, Function},
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
        let (conjuncts, parameters) = conditions(reads, select, dialects)?;
        let columns = columns(select, dialects)?;
        let tests = tests(reads, select, dialects)?;
        let tests = (!tests.is_empty()).then(|| tests.join(" OR "));
        let items = items(select, dialects, &columns, tests.as_deref())?;
        let come_out = (0..reads.len()).filter(|table| select.joined.comes_out(*table));
        let from = places(reads, dialects, come_out)?;
        let rows = format!("SELECT {items} FROM {from}{}", clause(&conjuncts));
        let sql = match (&select.items.totals, columns.len()) {
            (None, count) => {
                let unfit = tests.map(|_| format!("{} DESC", count + 1));
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

/// Which rows there are, all of it; and the parameters of that in the order of the text.
fn conditions<D: Exact>(
    reads: &[Read],
    select: &Select,
    dialects: &[D],
) -> Option<(Vec<String>, Vec<Parameter>)> {
    let mut conjuncts = equal(&select.joined.pairs, dialects)?;
    let mut parameters = Vec::new();
    let mut table = 0;
    while let (Some(read), Some(dialect)) = (reads.get(table), dialects.get(table)) {
        match select.joined.begins(table) {
            None => {
                parameters = whole(read, dialect, parameters, &mut conjuncts)?;
                table += 1;
            }
            Some(exists) => {
                let mut inside = equal(&exists.pairs, dialects)?;
                for table in exists.tables.clone() {
                    let (read, dialect) = (reads.get(table)?, dialects.get(table)?);
                    parameters = whole(read, dialect, parameters, &mut inside)?;
                }
                let from = places(reads, dialects, exists.tables.clone())?;
                let not = if exists.is_negated { "NOT " } else { "" };
                let rows = format!("SELECT 1 FROM {from}{}", clause(&inside));
                conjuncts.push(format!("{not}EXISTS ({rows})"));
                table = exists.tables.end;
            }
        }
    }
    Some((conjuncts, parameters))
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

/// Which rows of a table are read, all of it, behind these parameters.
fn whole<D: Exact>(
    read: &Read,
    dialect: &D,
    parameters: Vec<Parameter>,
    conjuncts: &mut Vec<String>,
) -> Option<Vec<Parameter>> {
    let condition = Condition::of(read, dialect, parameters);
    conjuncts.extend(condition.conjuncts);
    condition.is_whole.then_some(condition.parameters)
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
fn columns<D: Exact>(select: &Select, dialects: &[D]) -> Option<Vec<String>> {
    let are_rows = select.items.totals.is_none();
    let columns = select.items.columns.iter().enumerate();
    let columns = columns.map(|(output, Of { table, what })| {
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

/// Whether a row has a value that is none of its type, in a column that is read, or a product that has more digits than
/// the engine's. Of rows that are only met, a value is equal to one of these.
fn tests<D: Exact>(reads: &[Read], select: &Select, dialects: &[D]) -> Option<Vec<String>> {
    let tables = reads.iter().zip(dialects).enumerate();
    let tables = tables.filter(|(table, _)| select.joined.comes_out(*table));
    let tests = tables.flat_map(|(_, (read, dialect))| {
        let of_table = read.columns.iter();
        of_table.filter_map(|column| dialect.unfit(column))
    });
    Some(tests.chain(too_wide(select, dialects)?).collect())
}

/// What is selected: the outputs, and whether a row was unfit.
fn items<D: Exact>(
    select: &Select,
    dialects: &[D],
    columns: &[String],
    tests: Option<&str>,
) -> Option<String> {
    let first = dialects.first()?;
    let (mut items, is_unfit) = match &select.items.totals {
        None => {
            let columns = select.items.columns.iter();
            let names = columns.map(|column| Some(dialects.get(column.table)?.name(&column.what)));
            let unfit = tests.map(|tests| format!("coalesce({tests}, {FALSE})"));
            (names.collect::<Option<Vec<_>>>()?, unfit)
        }
        Some(totals) => {
            let totals = totals.iter().map(|total| self::total(total, dialects));
            let keys = columns.iter().cloned().map(Some);
            let in_group = tests.map(|tests| first.in_group(tests)).into_iter();
            let tests: Vec<String> = in_group.chain(overflows(select, dialects)?).collect();
            let unfit = (!tests.is_empty()).then(|| first.in_any(&tests.join(" OR ")));
            let items = keys.chain(totals).chain(counts(select, dialects));
            (items.collect::<Option<Vec<_>>>()?, unfit)
        }
    };
    items.push(is_unfit.unwrap_or_else(|| FALSE.to_owned()));
    let items = items.iter().enumerate();
    let items: Vec<String> = items.map(|(at, item)| format!("{item} AS c{at}")).collect();
    Some(items.join(", "))
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
