//! What came out of a case, and how it is told.

use std::collections::BTreeSet;

use dataos_model::{
    access::{CellOutcome, ColumnAccess, DatasetAccess},
    decision::{Decision, Effect, SharedPolicyRef},
    predicate::Predicate,
};
use serde_json::Value as Json;

/// What came out of a case.
pub(super) struct Outcome {
    pub(super) effect: Effect,
    pub(super) reason: String,
    pub(super) detail: String,
    pub(super) policies: BTreeSet<String>,
    pub(super) tables: Vec<DatasetAccess>,
    pub(super) rows: Option<Vec<Vec<Json>>>,
}

impl Outcome {
    pub(super) fn of(decision: &Decision) -> Self {
        Self {
            effect: decision.effect,
            reason: decision.reason.code().to_owned(),
            detail: decision.detail.clone(),
            policies: ids(&decision.policies).collect(),
            tables: Vec::new(),
            rows: None,
        }
    }

    pub(super) fn failed(reason: &str, detail: &str) -> Self {
        Self {
            effect: Effect::Deny,
            reason: reason.to_owned(),
            detail: detail.to_owned(),
            policies: BTreeSet::new(),
            tables: Vec::new(),
            rows: None,
        }
    }
}

fn ids(policies: &[SharedPolicyRef]) -> impl Iterator<Item = String> {
    policies.iter().map(|policy| policy.id.clone())
}

/// All policies that had a say about a dataset, its rows and its columns.
pub(super) fn consulted(access: &DatasetAccess) -> BTreeSet<String> {
    let columns = access
        .columns
        .iter()
        .flat_map(|column| ids(&column.policies));
    ids(&access.decision.policies)
        .chain(ids(&access.row_policies))
        .chain(columns)
        .collect()
}

/// What becomes of a column: `plain`, `absent`, a mask, or several with their conditions.
pub(super) fn column_text(tables: &[DatasetAccess], name: &str) -> String {
    let columns = tables.iter().flat_map(|table| &table.columns);
    let mut named = columns.filter(|column| column.name == name);
    named.next().map_or_else(|| "absent".to_owned(), rules_text)
}

fn rules_text(column: &ColumnAccess) -> String {
    let rules = column.rules.iter().map(|rule| {
        let outcome = match &rule.outcome {
            CellOutcome::Plain => "plain".to_owned(),
            CellOutcome::Absent => "absent".to_owned(),
            CellOutcome::Masked(mask) => mask.to_string(),
        };
        match &rule.when {
            Predicate::Constant(_) => outcome,
            when => format!("{outcome} where {when}"),
        }
    });
    rules.collect::<Vec<_>>().join(", else ")
}
