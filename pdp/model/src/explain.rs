//! Why a decision came out as it did, and what else would come out.

use std::collections::BTreeMap;

use crate::{
    action::Action,
    decision::{Decision, SharedPolicyRef},
    entity::{Entity, EntityType, EntityUid},
    hash::Hash,
    principal::Principal,
    value::Value,
};

/// Most permits that an explanation names.
pub const NEAREST_MAX: usize = 3;

/// A decision with what would have changed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// Of a deny: the permits that came nearest, best first, at most [`NEAREST_MAX`].
    pub nearest: Vec<NearMiss>,
}

/// A permit that did not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// The permit.
    pub policy: SharedPolicyRef,
    /// Line and column of the policy in its text, both from 1, if it comes from a file.
    pub position: Option<(u64, u64)>,
    /// The first of its conditions that did not hold, as Cedar text; a part of the scope counts.
    pub failed: String,
    /// Facts that are missing, in the order of the policy, such as
    /// `principal in DataOS::Role::"steward"` or `context.purpose == "audit"`.
    pub missing: Vec<String>,
    /// Whether the request is allowed once these facts hold, found by deciding again; `None` if a
    /// missing fact cannot be supposed, such as an inequality.
    pub suffices: Option<bool>,
}

/// What is searched for, and what is given.
#[derive(Clone, Debug, PartialEq)]
pub enum Sought {
    /// Who can do `action` on `resource`.
    Principals {
        /// Their type.
        of: EntityType,
        /// What.
        action: Action,
        /// On what.
        resource: EntityUid,
        /// The resource if the snapshot does not hold it.
        resource_entity: Option<Entity>,
    },
    /// What `principal` can do `action` on.
    Resources {
        /// Their type.
        of: EntityType,
        /// Who.
        principal: Principal,
        /// What.
        action: Action,
    },
    /// What `principal` can do on `resource`.
    Actions {
        /// Who.
        principal: Principal,
        /// On what.
        resource: EntityUid,
        /// The resource if the snapshot does not hold it.
        resource_entity: Option<Entity>,
    },
}

/// A search over decisions.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// What is searched for.
    pub sought: Sought,
    /// Facts about the call.
    pub context: BTreeMap<String, Value>,
    /// Most results of one page, 1 to [`PAGE_MAX`].
    pub limit: usize,
    /// The last result of the page before: results come in the order of their ids.
    pub after: Option<String>,
}

/// Most results of one page.
pub const PAGE_MAX: usize = 1_000;

/// A page of results. Exact: an id is in the list if and only if the decision about it is allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPage {
    /// Ids of the entities, or names of the actions, in order.
    pub found: Vec<String>,
    /// Whether more follow.
    pub has_more: bool,
    /// The policy set that decided.
    pub policy_set: Hash,
    /// The entity snapshot that it looked at.
    pub entities: Hash,
}
