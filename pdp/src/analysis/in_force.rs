//! What the check of a folder would say of the policies in force, on the datasets that are known.
//!
//! Two things that loading cannot see: a policy on data that can match no dataset, and one that does
//! not type-check on a dataset, such as by a column that does not exist. The work is bounded: what is
//! above the bounds is left to the check of the folder.

use std::{cell::Cell, sync::Arc};

use dataos_model::entity::{Entity, EntityUid};

use super::{
    candidate::Item,
    finding::{Finding, Rule},
    lint::{Places, is_on_data},
};
use crate::{index::Key, source::LoadedPolicy, stack::on_big_stack, version::Version};

/// Most entities of a snapshot that is looked at.
const ENTITIES_LOOKED_AT_MAX: usize = 200_000;
/// Most policies that are looked at closely.
const POLICIES_LOOKED_AT_MAX: usize = 2_000;
/// Most pairs of a policy and a dataset that are type-checked; about a quarter of a second.
const CHECKS_MAX: usize = 1_000;

/// Findings about the policies in force, by place.
pub(crate) fn doubts(version: &Version) -> Vec<Finding> {
    on_big_stack(|| doubts_deep(version)).unwrap_or_default()
}

fn doubts_deep(version: &Version) -> Vec<Finding> {
    if version.entities.len() > ENTITIES_LOOKED_AT_MAX {
        return Vec::new();
    }
    let entities: Vec<Arc<Entity>> = version.entities.all().cloned().collect();
    let places = Places::of(&entities);
    if places.count() == 0 {
        return Vec::new();
    }
    let above = places.above();
    let is_above = |uid: &EntityUid| above.contains(uid);
    let schema = &version.policies.schema;
    let checks = Cell::new(CHECKS_MAX);
    let doubtful = version.policies.policies();
    let doubtful = doubtful.filter(|policy| is_doubtful(policy, is_above));
    let mut findings = Vec::new();
    for policy in doubtful.take(POLICIES_LOOKED_AT_MAX) {
        let item = Item::in_force(policy);
        let told =
            |error: &cedar_policy::ValidationError| item.finding(Rule::NotTyped, error.to_string());
        findings.extend(places.not_typed(schema, &item, told, &checks));
        findings.extend(places.nowhere(&item));
    }
    findings.sort_by_cached_key(Finding::order);
    findings
}

/// Whether a close look may find something. Of most policies it is known at a glance that it does not.
fn is_doubtful(policy: &LoadedPolicy, is_above: impl Fn(&EntityUid) -> bool) -> bool {
    let has_columns = policy.scope.is_on_rows() && !policy.fits_rows;
    let is_somewhere = match &policy.scope.resource {
        // The key is one of what may be several bounds.
        Key::Entity(uid) => is_above(uid) && policy.facts.len() < 2,
        Key::Any | Key::Type(_) => policy.facts.is_empty(),
    };
    has_columns || (is_on_data(&policy.scope.actions) && !is_somewhere)
}
