//! Requests to the PDP and its answers.

use std::{collections::BTreeMap, fmt, ops::Deref, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    action::Action,
    annotation::Call,
    entity::{Entity, EntityUid},
    fault::Fault,
    hash::Hash,
    principal::Principal,
    value::Value,
};

/// What is asked: may `principal` do `action` on `resource`, in `context`?
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Who.
    pub principal: Principal,
    /// What.
    pub action: Action,
    /// On what.
    pub resource: EntityUid,
    /// The resource as the enforcement point knows it, for things that the entity snapshot does not
    /// hold: a resource about to be created, an API path, an audit record.
    pub resource_entity: Option<Entity>,
    /// Facts about this call; the schema names them: `purpose`, `network`, `method`, ...
    pub context: BTreeMap<String, Value>,
}

impl Request {
    /// A request with empty context on a resource that the snapshot holds.
    pub fn new(principal: &Principal, action: Action, resource: EntityUid) -> Self {
        Self {
            principal: principal.clone(),
            action,
            resource,
            resource_entity: None,
            context: BTreeMap::new(),
        }
    }

    /// The same with the resource supplied by the enforcement point.
    #[must_use]
    pub fn with_entity(mut self, entity: Entity) -> Self {
        self.resource_entity = Some(entity);
        self
    }
}

/// Allow or deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Effect {
    /// The request may pass.
    Allow,
    /// It may not.
    Deny,
}

impl Effect {
    /// The word shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }

    /// The effect that shows as `name`.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Allow, Self::Deny]
            .into_iter()
            .find(|effect| effect.name() == name)
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why; one word, stable, shown alike by API, CLI and console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// A permit applies and no forbid.
    Permitted,
    /// No permit applies.
    NoPermit,
    /// A forbid applies.
    Forbidden,
    /// The resource is not in the entity snapshot.
    EntityMissing,
    /// The request does not fit the schema (context, resource type).
    RequestInvalid,
    /// There is no such action.
    ActionUnknown,
    /// A policy names a column that this dataset lacks or has with another type.
    PolicyNotTyped,
    /// A policy cannot be turned into an exact row condition.
    NotExact,
    /// A policy permits under an obligation that the enforcement point does not know.
    ObligationUnknown,
    /// No valid policy set is loaded.
    SetUnavailable,
    /// The PDP is in another process and cannot be asked.
    Unavailable,
    /// The PDP failed.
    Internal,
}

impl Reason {
    /// The code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::NoPermit => "no_permit",
            Self::Forbidden => "forbidden",
            Self::EntityMissing => "entity_missing",
            Self::RequestInvalid => "request_invalid",
            Self::ActionUnknown => "action_unknown",
            Self::PolicyNotTyped => "policy_not_typed",
            Self::NotExact => "not_exact",
            Self::ObligationUnknown => "obligation_unknown",
            Self::SetUnavailable => "set_unavailable",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

/// A policy as a decision names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PolicyRef {
    /// Its `@id`.
    pub id: String,
    /// Whether it permits or forbids.
    pub effect_is_permit: bool,
    /// Where it comes from: `file.cedar:line`, or the resource id of a YAML policy.
    pub source: String,
    /// Its `@description`, if any.
    pub description: Option<String>,
}

/// What stands for a policy that is not there; see [`SharedPolicyRef::deref`].
static NO_POLICY: PolicyRef = PolicyRef {
    id: String::new(),
    effect_is_permit: false,
    source: String::new(),
    description: None,
};

/// A [`PolicyRef`] that answers share.
///
/// Those of one text are counted together and stand together in memory: an answer that takes a few
/// out of very many reaches counters that are in the processor's cache, and not one memory page each.
#[derive(Clone)]
pub struct SharedPolicyRef {
    of_text: Arc<Vec<PolicyRef>>,
    number: u32,
}

impl SharedPolicyRef {
    /// Has these stand together from now on.
    pub fn gather<'a>(shared: impl IntoIterator<Item = &'a mut Self>) {
        let shared: Vec<&mut Self> = shared.into_iter().collect();
        let of_text = shared.iter().map(|one| PolicyRef::clone(one)).collect();
        let of_text = Arc::new(of_text);
        for (one, number) in shared.into_iter().zip(0..) {
            *one = Self {
                of_text: Arc::clone(&of_text),
                number,
            };
        }
    }
}

impl From<PolicyRef> for SharedPolicyRef {
    fn from(policy: PolicyRef) -> Self {
        Self {
            of_text: Arc::new(vec![policy]),
            number: 0,
        }
    }
}

impl Serialize for SharedPolicyRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PolicyRef::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for SharedPolicyRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PolicyRef::deserialize(deserializer).map(Self::from)
    }
}

impl Deref for SharedPolicyRef {
    type Target = PolicyRef;

    fn deref(&self) -> &PolicyRef {
        // The number is one of the list's.
        let policy = self.of_text.get(self.number as usize);
        policy.unwrap_or(&NO_POLICY)
    }
}

impl fmt::Debug for SharedPolicyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        PolicyRef::fmt(self, f)
    }
}

impl PartialEq for SharedPolicyRef {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for SharedPolicyRef {}

/// The answer of the PDP; everything that a decision record commits to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Allow or deny.
    pub effect: Effect,
    /// Why.
    pub reason: Reason,
    /// The policies that determined the answer, by id.
    pub policies: Vec<SharedPolicyRef>,
    /// Policies that were skipped because they failed: id and message.
    pub errors: Vec<(String, String)>,
    /// `@obligation(...)` of the determining policies.
    pub obligations: Vec<Call>,
    /// The policy set that decided.
    pub policy_set: Hash,
    /// The entity snapshot that it looked at.
    pub entities: Hash,
    /// More words for a person, such as what was missing; safe for the caller.
    pub detail: String,
}

impl Decision {
    /// The deny where the PDP cannot be asked.
    pub fn unasked(fault: &Fault) -> Self {
        Self {
            effect: Effect::Deny,
            reason: Reason::Unavailable,
            policies: Vec::new(),
            errors: Vec::new(),
            obligations: Vec::new(),
            policy_set: Hash::default(),
            entities: Hash::default(),
            detail: fault.message.clone(),
        }
    }

    /// Whether the request may pass.
    pub fn is_allowed(&self) -> bool {
        self.effect == Effect::Allow
    }

    /// What to tell instead of a denial where the PDP could not be asked.
    pub fn not_asked(&self) -> Option<Fault> {
        let is_unasked = self.reason == Reason::Unavailable;
        is_unasked.then(|| {
            let message = format!("this could not be decided: {}", self.detail);
            Fault::unavailable(message)
                .with_reason(Reason::Unavailable.code())
                .with_hint("try again later")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathered_policies_are_the_same_as_before() {
        let policy = |id: &str| PolicyRef {
            id: id.to_owned(),
            effect_is_permit: true,
            source: format!("{id}.cedar:1"),
            description: Some(id.to_owned()),
        };
        let before: Vec<SharedPolicyRef> = ["a", "b", "c"]
            .map(|id| SharedPolicyRef::from(policy(id)))
            .into();
        let mut after = before.clone();
        SharedPolicyRef::gather(&mut after);
        assert_eq!(after, before);
        assert_eq!((*after[1]).clone(), policy("b"));
        assert!(
            after
                .iter()
                .all(|one| Arc::ptr_eq(&one.of_text, &after[0].of_text))
        );
    }
}
