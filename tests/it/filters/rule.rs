//! The rule for data policies as it is written down, over plain values: the reference.

use std::collections::BTreeMap;

use dataos_model::{dataset::DatasetId, principal::Principal, value::Value};

pub(super) type Row = BTreeMap<String, Value>;

/// What a data policy does.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    /// Keeps rows whose columns equal these values, or do not.
    Filter(Vec<Comparison>),
    /// Masks the column `region`.
    Mask(&'static str),
}

#[derive(Clone, Debug)]
pub(super) struct Comparison {
    pub(super) column: &'static str,
    pub(super) is_equal: bool,
    pub(super) to: Operand,
}

#[derive(Clone, Debug)]
pub(super) enum Operand {
    Text(&'static str),
    Number(i64),
    Attribute(&'static str),
}

/// A data policy.
#[derive(Clone, Debug)]
pub(super) struct DataPolicy {
    pub(super) name: &'static str,
    /// 100 if it states none.
    pub(super) priority: Option<i64>,
    /// Depot, collection and dataset, as far as they are named.
    pub(super) place: Vec<&'static str>,
    pub(super) is_match_all: bool,
    pub(super) tags: Vec<&'static str>,
    pub(super) effect: Effect,
}

impl DataPolicy {
    fn priority(&self) -> i64 {
        self.priority.unwrap_or(100)
    }

    fn applies(&self, caller: &Principal, dataset: &DatasetId) -> bool {
        let names = [&dataset.depot, &dataset.collection, &dataset.name];
        let is_placed = self
            .place
            .iter()
            .zip(names)
            .all(|(wanted, name)| wanted == name);
        let mut held = self.tags.iter().map(|tag| has_tag(caller, tag));
        is_placed
            && if self.is_match_all {
                held.all(|is_held| is_held)
            } else {
                held.any(|is_held| is_held)
            }
    }
}

fn has_tag(caller: &Principal, tag: &str) -> bool {
    let is_one_of = |names: &[String], name: &str| names.iter().any(|other| other == name);
    match tag.split_once(":id:") {
        Some(("users", "*")) => true,
        Some(("users", name)) => caller.uid.id == name,
        Some(("roles", name)) => is_one_of(&caller.roles, name),
        Some(("groups", name)) => is_one_of(&caller.groups, name),
        _ => is_one_of(&caller.tags, tag),
    }
}

fn compares(comparison: &Comparison, caller: &Principal, row: &Row) -> bool {
    let wanted = match comparison.to {
        Operand::Text(text) => Some(Value::from(text)),
        Operand::Number(number) => Some(Value::Long(number)),
        Operand::Attribute(name) => caller
            .attributes
            .get(name)
            .map(|text| Value::from(text.as_str())),
    };
    match (row.get(comparison.column), wanted) {
        (Some(found), Some(wanted)) => (*found == wanted) == comparison.is_equal,
        // A column that is NULL or absent, or a missing attribute, hides the row either way.
        _ => false,
    }
}

/// Several filter policies on one dataset: the best priority applies, equal ones AND.
pub(super) fn is_row_visible(
    policies: &[DataPolicy],
    caller: &Principal,
    dataset: &DatasetId,
    row: &Row,
) -> bool {
    let filters: Vec<(i64, &Vec<Comparison>)> = policies
        .iter()
        .filter(|policy| policy.applies(caller, dataset))
        .filter_map(|policy| match &policy.effect {
            Effect::Filter(comparisons) => Some((policy.priority(), comparisons)),
            Effect::Mask(_) => None,
        })
        .collect();
    let best = filters.iter().map(|(priority, _)| *priority).min();
    filters
        .iter()
        .filter(|(priority, _)| Some(*priority) == best)
        .flat_map(|(_, comparisons)| *comparisons)
        .all(|comparison| compares(comparison, caller, row))
}

/// Several masks on a column: the best priority, of equal ones the first policy id.
pub(super) fn mask(
    policies: &[DataPolicy],
    caller: &Principal,
    dataset: &DatasetId,
) -> Option<&'static str> {
    policies
        .iter()
        .filter(|policy| policy.applies(caller, dataset))
        .filter_map(|policy| match &policy.effect {
            Effect::Mask(operator) => Some((policy.priority(), policy.name, *operator)),
            Effect::Filter(_) => None,
        })
        .min()
        .map(|(_, _, operator)| operator)
}
