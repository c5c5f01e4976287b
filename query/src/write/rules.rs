//! What a caller may not change, whatever the rows: columns that decide what he sees.
//!
//! A change that moves a row across a mask's condition would show what the mask hides, and one that moves
//! a row across the row policy would tell hidden values of it by whether the row is refused. Both are
//! refused by the shape of the policies alone, so that no answer depends on data.

use std::collections::BTreeSet;

use dataos_model::fault::Fault;
use dataos_sql::{BoundChange, StepKind};

use crate::grant::Grant;

/// Refuses a change of a column that decides over what is hidden from the caller.
///
/// # Errors
/// The column, and what it decides.
pub(crate) fn check(grant: &Grant, change: &BoundChange) -> Result<(), Fault> {
    let steps = change.steps.iter();
    let written: BTreeSet<&str> = steps
        .filter(|step| step.kind == StepKind::Update)
        .flat_map(|step| step.rows.columns.iter())
        .map(|column| column.name.as_str())
        .collect();
    let is_written = |column: &&String| written.contains(column.as_str());
    let rules = grant.columns.iter().flat_map(|column| &column.rules);
    let of_masks: BTreeSet<String> = rules.flat_map(|rule| rule.when.columns()).collect();
    if let Some(column) = of_masks.iter().find(is_written) {
        return Err(refused(
            "decides_masks",
            &format!("column `{column}` decides which values you see masked"),
        ));
    }
    let of_rows = grant.access.rows.columns();
    let is_shown = |name: &String| {
        let mut columns = grant.columns.iter();
        columns.any(|column| column.name == *name && !column.is_masked())
    };
    match of_rows.iter().find(is_written) {
        Some(column) if !of_rows.iter().all(is_shown) => Err(refused(
            "decides_rows",
            &format!(
                "column `{column}` and others that are hidden from you decide which rows you see"
            ),
        )),
        _ => Ok(()),
    }
}

fn refused(reason: &str, why: &str) -> Fault {
    Fault::denied(reason, format!("{why}, so you may not change it"))
        .with_hint("ask somebody who sees the table as it is")
}
