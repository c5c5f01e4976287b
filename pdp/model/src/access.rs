//! What a principal may see of datasets: the residual of `read_row` and `read_cell`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    action::Action,
    dataset::DatasetId,
    decision::{Decision, Effect, SharedPolicyRef},
    hash::Hash,
    mask::Mask,
    predicate::Predicate,
    principal::Principal,
    value::Value,
};

/// One question about several datasets, answered under one policy set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessRequest {
    /// Who.
    pub principal: Principal,
    /// `Select`, `Insert`, `Update` or `Delete`: what must be allowed on each dataset as a whole.
    pub action: Action,
    /// The datasets.
    pub datasets: Vec<DatasetId>,
    /// Facts about this call.
    pub context: BTreeMap<String, Value>,
}

impl AccessRequest {
    /// The answer that denies all of it.
    pub fn denied(&self, decision: &Decision) -> Vec<DatasetAccess> {
        let datasets = self.datasets.iter();
        datasets
            .map(|dataset| DatasetAccess::denied(dataset, decision.clone()))
            .collect()
    }
}

/// The answer for one dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetAccess {
    /// The dataset.
    pub dataset: DatasetId,
    /// The decision on the dataset as a whole. If it is deny, the rest is empty.
    pub decision: Decision,
    /// Digest of the schema that rows and columns speak about; the query layer refuses another one.
    pub schema_hash: Hash,
    /// Which rows.
    pub rows: Predicate,
    /// Policies behind `rows`.
    pub row_policies: Vec<SharedPolicyRef>,
    /// What becomes of each column, in the order of the schema.
    pub columns: Vec<ColumnAccess>,
}

impl DatasetAccess {
    /// Nothing of a dataset, for this reason.
    pub fn denied(dataset: &DatasetId, decision: Decision) -> Self {
        Self {
            dataset: dataset.clone(),
            decision,
            schema_hash: Hash::default(),
            rows: Predicate::NEVER,
            row_policies: Vec::new(),
            columns: Vec::new(),
        }
    }

    /// The answer in short: `deny`, or `allow` with a digest of all that is shown of which rows, under
    /// which obligations. Two answers with the same text let the same through.
    pub fn in_short(&self) -> String {
        if !self.decision.is_allowed() {
            return Effect::Deny.name().to_owned();
        }
        let mut parts = vec![self.schema_hash.to_string(), self.rows.to_string()];
        let obligations = self.decision.obligations.iter();
        parts.extend(obligations.map(|obligation| format!("under {obligation}")));
        for column in &self.columns {
            parts.push(column.name.clone());
            parts.push(column.rules.len().to_string());
            for rule in &column.rules {
                parts.push(rule.when.to_string());
                parts.push(match &rule.outcome {
                    CellOutcome::Plain => "plain".to_owned(),
                    CellOutcome::Absent => "absent".to_owned(),
                    CellOutcome::Masked(mask) => format!("masked {mask}"),
                });
            }
        }
        format!("{}:{}", Effect::Allow.name(), Hash::of_parts(parts))
    }
}

/// What becomes of one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnAccess {
    /// The column.
    pub name: String,
    /// Rules in order; the first whose condition holds decides. The last one is unconditional.
    pub rules: Vec<CellRule>,
    /// Policies behind the rules.
    pub policies: Vec<SharedPolicyRef>,
}

/// One rule for a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellRule {
    /// When it applies; sees the raw values of the row.
    pub when: Predicate,
    /// What becomes of the cell.
    pub outcome: CellOutcome,
    /// The policy that says so, if one does.
    pub policy: Option<String>,
}

/// What becomes of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CellOutcome {
    /// Shown as it is.
    Plain,
    /// Shown masked.
    Masked(Mask),
    /// Not shown: the column is absent if that is so for every row, else the cell is NULL.
    Absent,
}

impl ColumnAccess {
    /// Whether no row can show this column.
    pub fn is_absent(&self) -> bool {
        self.rules
            .iter()
            .all(|rule| rule.outcome == CellOutcome::Absent)
    }

    /// Whether every row shows it as it is.
    pub fn is_plain(&self) -> bool {
        self.rules
            .iter()
            .all(|rule| rule.outcome == CellOutcome::Plain)
    }
}
