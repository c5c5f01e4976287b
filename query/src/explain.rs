//! Answers about the enforcement itself: EXPLAIN POLICY, EXPLAIN and SHOW TABLES.

use std::sync::Arc;

use datafusion::arrow::{
    array::{ArrayRef, RecordBatch, StringViewArray},
    datatypes::{DataType, Field, Schema},
};
use dataos_model::{
    access::{CellOutcome, CellRule, ColumnAccess},
    dataset::DatasetId,
    decision::{Decision, Request, SharedPolicyRef},
    fault::Fault,
    predicate::Predicate,
};

use crate::{grant::Grant, obligation, shown::Shown};

/// What is enforced: for a write what permits it, then for each table that is read with the caller's rights its
/// rows and each column of the catalog.
pub(crate) fn policy(
    permits: &[(Request, Decision)],
    grants: &[Arc<Shown>],
) -> Result<RecordBatch, Fault> {
    let policies = |of: &[SharedPolicyRef]| {
        of.iter()
            .map(|policy| policy.id.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let permits = permits.iter().map(|(asked, decision)| {
        [
            asked.resource.id.clone(),
            "*".to_owned(),
            asked.action.name().to_owned(),
            policies(&decision.policies),
            condition(&Predicate::ALWAYS),
            described(&decision.policies).unwrap_or_else(|| "permitted".to_owned()),
        ]
    });
    let mut rows: Vec<[String; 6]> = permits.collect();
    for grant in grants {
        let access = &grant.access;
        rows.extend(view(grant));
        let obligations = access.decision.obligations.iter();
        rows.extend(obligations.map(|obligation| {
            [
                grant.dataset.id.to_string(),
                "*".to_owned(),
                obligation.to_string(),
                policies(&access.decision.policies),
                condition(&Predicate::ALWAYS),
                obligation::described(obligation),
            ]
        }));
        rows.push([
            grant.dataset.id.to_string(),
            "*".to_owned(),
            "rows".to_owned(),
            policies(&access.row_policies),
            condition(&access.rows),
            described(&access.row_policies).unwrap_or_else(|| match &access.rows {
                Predicate::Constant(true) => "all rows are visible".to_owned(),
                Predicate::Constant(false) => "no row is visible".to_owned(),
                _ => "rows for which the condition holds are visible".to_owned(),
            }),
        ]);
        for column in &grant.dataset.schema.columns {
            let found = access
                .columns
                .iter()
                .find(|access| access.name == column.name);
            match found {
                Some(found) => rows.extend(cells(grant, found, &policies(&found.policies))),
                None => rows.push(absent(grant, &column.name)),
            }
        }
    }
    table(
        ["table", "column", "what", "policies", "condition", "why"],
        &rows,
    )
}

/// What a view reads, and with whose rights; where they are not the caller's, that alone.
fn view(grant: &Grant) -> Option<[String; 6]> {
    let sql = grant.view()?;
    let said = match grant.definer() {
        None => format!("reads, with your rights: {sql}"),
        Some(user) => format!("reads with the rights of `{user}`, and does not tell what"),
    };
    Some([
        grant.dataset.id.to_string(),
        "*".to_owned(),
        "view".to_owned(),
        String::new(),
        condition(&Predicate::ALWAYS),
        said,
    ])
}

fn absent(grant: &Grant, column: &str) -> [String; 6] {
    [
        grant.dataset.id.to_string(),
        column.to_owned(),
        "absent".to_owned(),
        String::new(),
        condition(&Predicate::ALWAYS),
        "no policy permits `read_cell`".to_owned(),
    ]
}

fn cells(grant: &Grant, column: &ColumnAccess, policies: &str) -> Vec<[String; 6]> {
    // The grant's rules say what is carried out; a mask that does not fit the type hides the cell.
    let visible = grant
        .columns
        .iter()
        .find(|visible| visible.name == column.name);
    let enforced: &[CellRule] = match visible {
        Some(visible) if visible.rules.is_empty() => &[],
        Some(visible) => &visible.rules,
        None => &column.rules,
    };
    if visible.is_some() && enforced.is_empty() {
        return vec![[
            grant.dataset.id.to_string(),
            column.name.clone(),
            "plain".to_owned(),
            policies.to_owned(),
            condition(&Predicate::ALWAYS),
            described(&column.policies).unwrap_or_else(|| "shown as it is".to_owned()),
        ]];
    }
    let row = |rule: &CellRule| {
        let (what, why) = match (&rule.outcome, visible) {
            (CellOutcome::Masked(mask), Some(_)) => (mask.to_string(), "masked".to_owned()),
            (CellOutcome::Masked(mask), None) => (
                "absent".to_owned(),
                format!("mask `{mask}` does not fit the type"),
            ),
            (CellOutcome::Plain, _) => ("plain".to_owned(), "shown as it is".to_owned()),
            (CellOutcome::Absent, _) => (
                "absent".to_owned(),
                "no policy permits the cell, or one forbids it".to_owned(),
            ),
        };
        let of_rule: Vec<_> = column
            .policies
            .iter()
            .filter(|policy| rule.policy.as_ref().is_none_or(|id| *id == policy.id))
            .cloned()
            .collect();
        [
            grant.dataset.id.to_string(),
            column.name.clone(),
            what,
            rule.policy.clone().unwrap_or_else(|| policies.to_owned()),
            condition(&rule.when),
            described(&of_rule).unwrap_or(why),
        ]
    };
    enforced.iter().map(row).collect()
}

fn described(policies: &[SharedPolicyRef]) -> Option<String> {
    let texts: Vec<&str> = policies
        .iter()
        .filter_map(|policy| policy.description.as_deref())
        .collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

fn condition(predicate: &Predicate) -> String {
    match predicate {
        Predicate::Constant(true) => "always".to_owned(),
        Predicate::Constant(false) => "never".to_owned(),
        other => other.to_string(),
    }
}

/// The governed statement: what is sent to the engine.
pub(crate) fn statement(governed_sql: &str) -> Result<RecordBatch, Fault> {
    table(["governed_sql"], &[[governed_sql.to_owned()]])
}

/// The datasets that the caller may name.
pub(crate) fn tables<'a>(
    datasets: impl IntoIterator<Item = &'a DatasetId>,
) -> Result<RecordBatch, Fault> {
    let rows: Vec<[String; 4]> = datasets
        .into_iter()
        .map(|id| {
            [
                id.depot.clone(),
                id.collection.clone(),
                id.name.clone(),
                id.to_string(),
            ]
        })
        .collect();
    table(["depot", "collection", "name", "address"], &rows)
}

/// One row that says how many rows were written.
pub(crate) fn written(row_count: u64) -> Result<RecordBatch, Fault> {
    let count = i64::try_from(row_count).unwrap_or(i64::MAX);
    let counts = datafusion::arrow::array::Int64Array::from(vec![count]);
    RecordBatch::try_from_iter([("rows_written", Arc::new(counts) as ArrayRef)])
        .map_err(|_| Fault::internal("the answer of a write"))
}

fn table<const N: usize>(names: [&str; N], rows: &[[String; N]]) -> Result<RecordBatch, Fault> {
    let fields: Vec<Field> = names
        .iter()
        .map(|name| Field::new(*name, DataType::Utf8View, false))
        .collect();
    let columns: Vec<ArrayRef> = (0..N)
        .map(|index| {
            let texts = rows.iter().map(|row| row.get(index).map(String::as_str));
            Arc::new(texts.collect::<StringViewArray>()) as ArrayRef
        })
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|_| Fault::internal("the rows of an explanation"))
}
