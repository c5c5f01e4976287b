//! CREATE VIEW: names of its columns, and the check that its stored text says the same.

use std::collections::{BTreeMap, BTreeSet};

use super::{OutputColumn, TableView, bind_here};
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::{Ident, Position},
    names::{Datasets, Tables, tables},
    parse,
};

/// Gives the columns the names that the statement lists, if it lists any.
pub(super) fn rename(
    named: &[Ident],
    columns: &mut [OutputColumn],
    position: Position,
) -> Result<(), SqlError> {
    if named.is_empty() {
        return Ok(());
    }
    if named.len() != columns.len() {
        let message = format!("{} names for {} columns", named.len(), columns.len());
        return Err(SqlError::new(SqlErrorKind::Invalid, message, position));
    }
    for (column, name) in columns.iter_mut().zip(named) {
        column.name.clone_from(&name.value);
    }
    Ok(())
}

/// Refuses a view whose stored text, read again, is not a query over the same datasets with as many columns.
pub(super) fn check(
    sql: &str,
    bound: &Tables,
    views: &[TableView],
    column_count: usize,
) -> Result<(), SqlError> {
    let failed = |error: &SqlError| {
        let message = format!("the view cannot be stored: {}", error.message);
        SqlError::new(SqlErrorKind::Recheck, message, Position::default())
    };
    let read = bound.occurrences.iter();
    let names = Datasets::new(
        read.map(|table| (table.dataset.clone(), table.schema.clone()))
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .collect(),
    );
    let statement = parse::parse_view(sql).map_err(|error| failed(&error))?;
    let again = tables(&statement, &names).map_err(|error| failed(&error))?;
    let stored = bind_here(&statement, &again, views).map_err(|error| failed(&error))?;
    let read = |tables: &Tables| tables.datasets().into_iter().collect::<BTreeSet<_>>();
    if stored.columns.len() == column_count && read(&again) == read(bound) {
        return Ok(());
    }
    let message = "the view cannot be stored: its text has another reading";
    Err(SqlError::new(
        SqlErrorKind::Recheck,
        message,
        Position::default(),
    ))
}
