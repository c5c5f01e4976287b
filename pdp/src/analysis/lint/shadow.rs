//! Policies that change no decision, because another one always applies where they do.
//!
//! Sound, not complete: the other one's scope must let through all that this one's does, and its
//! conditions must be among this one's. What only a proof would find is not told.

use std::collections::BTreeMap;

use super::super::{
    candidate::{Candidate, Item},
    finding::{Finding, Rule},
    shape::Reach,
};

/// Where a policy is filed: its scope, and the first of its conjuncts.
type Key<'a> = (&'a Reach, &'a Reach, Option<&'a str>);

/// Policies that another one covers.
pub(super) fn findings(candidate: &Candidate<'_>) -> Vec<Finding> {
    let mut filed: BTreeMap<Key<'_>, Vec<&Item>> = BTreeMap::new();
    for item in &candidate.items {
        let shape = &item.shape;
        let first = shape.conjuncts.first().map(String::as_str);
        let key = (&shape.principal, &shape.resource, first);
        filed.entry(key).or_default().push(item);
    }
    let shadowed = candidate.items.iter().filter_map(|item| {
        let other = covering(item, &filed)?;
        Some(told(item, other))
    });
    shadowed.collect()
}

/// The first policy, by id, that makes this one idle.
fn covering<'a>(item: &Item, filed: &BTreeMap<Key<'_>, Vec<&'a Item>>) -> Option<&'a Item> {
    let shape = &item.shape;
    let (principals, resources) = (shape.principal.wider(), shape.resource.wider());
    let conjuncts = shape.conjuncts.iter().map(|text| Some(text.as_str()));
    let firsts: Vec<Option<&str>> = std::iter::once(None).chain(conjuncts).collect();
    let mut best: Option<&Item> = None;
    for principal in &principals {
        for resource in &resources {
            for first in &firsts {
                let found = filed.get(&(principal, resource, *first));
                for other in found.into_iter().flatten() {
                    let is_first = best.is_none_or(|best| other.id() < best.id());
                    if is_first && is_idle_beside(item, other) {
                        best = Some(other);
                    }
                }
            }
        }
    }
    best
}

/// Whether `item` changes no decision where `other` is.
fn is_idle_beside(item: &Item, other: &Item) -> bool {
    if item.id() == other.id() || !applies_wherever(other, item) {
        return false;
    }
    // Of two that say the same, the later one by id is told.
    if applies_wherever(item, other) && has_same_effect(item, other) && item.id() < other.id() {
        return false;
    }
    let (own, others) = (&item.policy, &other.policy);
    let is_permit = own.reference.effect_is_permit;
    let other_is_permit = others.reference.effect_is_permit;
    let binds_more = own.obligation.is_some() && own.obligation != others.obligation;
    match (is_permit, other_is_permit) {
        (false, true) => false,
        // A forbid with a mask takes nothing away but the plain value.
        (true, false) => others.mask.is_none(),
        (true, true) => !binds_more,
        (false, false) => match (&own.mask, &others.mask) {
            (_, None) => !binds_more,
            (None, Some(_)) => false,
            (Some(_), Some(_)) => !binds_more && order(others) < order(own),
        },
    }
}

/// Masks are chosen by priority, then by id.
fn order(policy: &crate::source::LoadedPolicy) -> (bool, Option<i64>, &str) {
    (policy.priority.is_none(), policy.priority, policy.id())
}

fn has_same_effect(left: &Item, right: &Item) -> bool {
    left.policy.reference.effect_is_permit == right.policy.reference.effect_is_permit
        && left.policy.mask == right.policy.mask
        && left.policy.obligation == right.policy.obligation
}

/// Whether `wide` applies to every request that `narrow` applies to.
fn applies_wherever(wide: &Item, narrow: &Item) -> bool {
    let actions = &wide.policy.scope.actions;
    narrow
        .policy
        .scope
        .actions
        .iter()
        .all(|action| actions.contains(action))
        && wide.shape.principal.covers(&narrow.shape.principal)
        && wide.shape.resource.covers(&narrow.shape.resource)
        && wide.shape.conjuncts.is_subset(&narrow.shape.conjuncts)
}

fn told(item: &Item, other: &Item) -> Finding {
    let is_permit = item.policy.reference.effect_is_permit;
    let why = if is_permit && !other.policy.reference.effect_is_permit {
        "forbids all that it permits"
    } else {
        "covers all that it says"
    };
    let message = format!(
        "policy `{}` changes no decision: `{}` ({}) {why}",
        item.id(),
        other.id(),
        other.policy.reference.source
    );
    item.finding(Rule::Shadowed, message)
        .with_hint("take it away, or narrow the other one")
}
