//! Which policies can apply to a request at all, found without looking at the others.
//!
//! Exact because a policy whose scope does not match is false, and a scope cannot fail: leaving such
//! a policy out changes neither the decision nor what determined it nor the errors.

use std::collections::HashMap;

use dataos_model::{
    action::Action,
    entity::{EntityType, EntityUid},
};

/// What one side of a scope asks for. `is T in e` is filed under `e`; Cedar checks the type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Any,
    Type(EntityType),
    Entity(EntityUid),
}

/// Where a policy can apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    pub actions: Vec<Action>,
    pub principal: Key,
    pub resource: Key,
}

impl Scope {
    /// Whether it can apply to rows or cells.
    pub(crate) fn is_on_rows(&self) -> bool {
        self.actions
            .iter()
            .any(|action| matches!(action, Action::ReadRow | Action::ReadCell))
    }
}

/// The keys under which an entity is found: any, its type, itself, its ancestors.
pub(crate) fn keys_of(uid: &EntityUid, ancestors: &[EntityUid]) -> Vec<Key> {
    [
        Key::Any,
        Key::Type(uid.entity_type.clone()),
        Key::Entity(uid.clone()),
    ]
    .into_iter()
    .chain(ancestors.iter().cloned().map(Key::Entity))
    .collect()
}

/// Action -> principal key -> resource key -> positions in the policy list.
#[derive(Debug, Default)]
pub(crate) struct Index {
    by_action: HashMap<Action, HashMap<Key, HashMap<Key, Vec<usize>>>>,
}

impl Index {
    /// An index over scopes; positions are those of the iterator.
    pub(crate) fn new<'a>(scopes: impl IntoIterator<Item = &'a Scope>) -> Self {
        let mut index = Self::default();
        for (position, scope) in scopes.into_iter().enumerate() {
            for action in &scope.actions {
                index
                    .by_action
                    .entry(*action)
                    .or_default()
                    .entry(scope.principal.clone())
                    .or_default()
                    .entry(scope.resource.clone())
                    .or_default()
                    .push(position);
            }
        }
        index
    }

    /// Positions of the policies that can apply, ascending.
    pub(crate) fn candidates(
        &self,
        action: Action,
        principal: &[Key],
        resource: &[Key],
    ) -> Vec<usize> {
        let Some(by_principal) = self.by_action.get(&action) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for by_resource in principal.iter().filter_map(|key| by_principal.get(key)) {
            let matching = resource.iter().filter_map(|key| by_resource.get(key));
            matching.for_each(|positions| found.extend(positions));
        }
        found.sort_unstable();
        found
    }
}
