//! Which policies can apply to a request at all, found without looking at the others.
//!
//! Exact because what is left out is false and cannot fail: a scope that does not match, or a
//! condition `place == value` that does not hold behind nothing but conditions that cannot fail.
//! Leaving such a policy out changes neither the decision nor what determined it nor the errors.
//! What is found may still not apply: whoever asked evaluates it.

use std::{collections::BTreeMap, hash::BuildHasher, sync::Arc};

use dataos_model::{
    action::Action,
    entity::{EntityType, EntityUid},
    value::Value,
};
use foldhash::fast::RandomState;

use crate::{
    filter::Filter,
    names::{Name, Names, Table, TypeName},
    place::{Lifted, Place},
    program::Located,
    shards::{Keep, Shards},
    source::LoadedPolicy,
};

/// Most permits that are kept for explanations, per action and key of one side.
const NEAR_MAX: usize = 64;
/// Most places per action under which policies are filed; any others are filed by scope alone.
const PLACES_MAX: usize = 32;

/// What one side of a scope asks for. `is T in e` is filed under `e`.
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

    /// Whether it is about no entity in particular.
    fn is_open(&self) -> bool {
        ![&self.principal, &self.resource]
            .iter()
            .any(|key| matches!(key, Key::Entity(_)))
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

/// A key as a number.
type Slot = u64;
const ANY: Slot = 0;

fn type_slot(number: TypeName) -> Slot {
    1 << 32 | Slot::from(number)
}

fn entity_slot(name: Name) -> Slot {
    2 << 32 | Slot::from(name)
}

/// Whether a policy is put in or taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filing {
    In,
    Out,
}

type List = Arc<Vec<Arc<LoadedPolicy>>>;

/// Action, principal key, resource key -> policies. Copies share what did not change.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    names: Arc<Names>,
    hasher: RandomState,
    /// By the digest of action and both keys, or of action, place and value.
    lists: Shards<u64, List>,
    /// Which digests have a list.
    filter: Filter,
    /// Some of the permits of each key of one side, for explanations.
    principals: Shards<(Action, Slot), List>,
    resources: Shards<(Action, Slot), List>,
    /// Some of the permits that are filed by value.
    lifted: Shards<(Action, Slot), List>,
    /// The places that policies are filed under, with their number.
    places: Shards<Action, Arc<Vec<(Place, u32)>>>,
}

impl Index {
    /// An index without policies.
    pub(crate) fn empty(names: Arc<Names>) -> Self {
        Self {
            names,
            hasher: RandomState::default(),
            lists: Shards::default(),
            filter: Filter::for_keys(0),
            principals: Shards::default(),
            resources: Shards::default(),
            lifted: Shards::default(),
            places: Shards::default(),
        }
    }

    /// Files a policy.
    pub(crate) fn add(&mut self, policy: &Arc<LoadedPolicy>) {
        self.file(policy, Filing::In);
    }

    /// Takes a policy out.
    pub(crate) fn remove(&mut self, policy: &Arc<LoadedPolicy>) {
        self.file(policy, Filing::Out);
    }

    fn file(&mut self, policy: &Arc<LoadedPolicy>, filing: Filing) {
        let (principal, resource) = (
            self.slot(&policy.scope.principal),
            self.slot(&policy.scope.resource),
        );
        for action in policy.scope.actions.iter().copied() {
            let lifted = policy.lifted.as_ref().filter(|_| policy.scope.is_open());
            if let Some(lifted) = lifted
                && self.is_filed_by_value(action, lifted, policy, filing)
            {
                // Found by no key of a side, but near all.
                near(&mut self.lifted, (action, ANY), policy, filing);
                for value in &lifted.values {
                    let key = self.value_key(action, &lifted.place, value);
                    self.change(key, policy, filing);
                }
                continue;
            }
            let key = self.hasher.hash_one((action, principal, resource));
            self.change(key, policy, filing);
            near(&mut self.principals, (action, principal), policy, filing);
            near(&mut self.resources, (action, resource), policy, filing);
        }
    }

    fn change(&mut self, key: u64, policy: &Arc<LoadedPolicy>, filing: Filing) {
        self.lists.update(key, |list| {
            let list = Arc::make_mut(list);
            match filing {
                Filing::In => list.push(Arc::clone(policy)),
                Filing::Out => list.retain(|kept| !Arc::ptr_eq(kept, policy)),
            }
            keep(list.is_empty())
        });
        if filing == Filing::In && !self.filter.add(key) {
            let keys: Vec<u64> = self.lists.iter().map(|(key, _)| *key).collect();
            self.filter = Filter::for_keys(keys.len());
            for key in keys {
                self.filter.add(key);
            }
        }
    }

    fn slot(&self, key: &Key) -> Slot {
        match key {
            Key::Any => ANY,
            Key::Type(of) => type_slot(self.names.type_name(of)),
            Key::Entity(uid) => entity_slot(self.names.name(uid)),
        }
    }

    /// Whether the policy goes or stands under values, and counts it under the place if so.
    ///
    /// When it was added there may have been no room for its place; where it stands tells.
    fn is_filed_by_value(
        &mut self,
        action: Action,
        lifted: &Lifted,
        policy: &Arc<LoadedPolicy>,
        filing: Filing,
    ) -> bool {
        let Some(value) = lifted.values.first() else {
            return false;
        };
        if filing == Filing::Out {
            let key = self.value_key(action, &lifted.place, value);
            let list = self.lists.get(&key);
            if !list.is_some_and(|list| list.iter().any(|kept| Arc::ptr_eq(kept, policy))) {
                return false;
            }
        }
        let mut has_room = true;
        self.places.update(action, |places| {
            let places = Arc::make_mut(places);
            let is_full = places.len() >= PLACES_MAX;
            match places.iter_mut().find(|(known, _)| *known == lifted.place) {
                Some((_, count)) => *count = counted(*count, filing),
                None if is_full => has_room = false,
                None => places.push((lifted.place.clone(), 1)),
            }
            places.retain(|(_, count)| *count > 0);
            keep(places.is_empty())
        });
        has_room
    }

    fn value_key(&self, action: Action, place: &Place, value: &Value) -> u64 {
        if let Value::String(text) = value {
            return self.text_key(action, place, text);
        }
        self.hasher.hash_one((action, place, value))
    }

    fn text_key(&self, action: Action, place: &Place, text: &str) -> u64 {
        self.hasher.hash_one((action, place, text))
    }

    /// The policies that can apply, in no order.
    pub(crate) fn candidates<'a>(
        &'a self,
        table: &Table,
        action: Action,
        principal: &Located<'_>,
        resource: &Located<'_>,
        context: &BTreeMap<String, Value>,
    ) -> Vec<&'a Arc<LoadedPolicy>> {
        let (principals, resources) = (slots(table, principal), slots(table, resource));
        let mut found = Vec::new();
        let mut probe = |key: u64| {
            if self.filter.may_have(key)
                && let Some(list) = self.lists.get(&key)
            {
                found.extend(list.iter());
            }
        };
        for principal in &principals {
            for resource in &resources {
                probe(self.hasher.hash_one((action, *principal, *resource)));
            }
        }
        let places = self.places.get(&action);
        for (place, _) in places.into_iter().flat_map(|places| places.iter()) {
            if let Some(text) = place.text(principal) {
                probe(self.text_key(action, place, text));
            } else {
                match place.value(principal, resource, context) {
                    None => {}
                    Some(Value::Set(items)) => items
                        .iter()
                        .for_each(|item| probe(self.value_key(action, place, item))),
                    Some(value) => probe(self.value_key(action, place, value)),
                }
            }
        }
        found
    }
}

fn keep(is_empty: bool) -> Keep {
    if is_empty { Keep::Nothing } else { Keep::Entry }
}

/// Keeps a permit for explanations, or no longer.
fn near(
    lists: &mut Shards<(Action, Slot), List>,
    key: (Action, Slot),
    policy: &Arc<LoadedPolicy>,
    filing: Filing,
) {
    if !policy.reference.effect_is_permit {
        return;
    }
    lists.update(key, |list| {
        match filing {
            Filing::In if list.len() < NEAR_MAX => Arc::make_mut(list).push(Arc::clone(policy)),
            Filing::Out if list.iter().any(|kept| Arc::ptr_eq(kept, policy)) => {
                Arc::make_mut(list).retain(|kept| !Arc::ptr_eq(kept, policy));
            }
            Filing::In | Filing::Out => {}
        }
        keep(list.is_empty())
    });
}

fn counted(count: u32, filing: Filing) -> u32 {
    match filing {
        Filing::In => count.saturating_add(1),
        Filing::Out => count.saturating_sub(1),
    }
}

impl Index {
    /// Permits that match the resource, then those that match the principal, then others; not all.
    pub(crate) fn permits_near<'a>(
        &'a self,
        table: &Table,
        action: Action,
        principal: &Located<'_>,
        resource: &Located<'_>,
    ) -> impl Iterator<Item = &'a Arc<LoadedPolicy>> {
        let resources = slots(table, resource);
        let principals = slots(table, principal);
        let of_resources = resources
            .into_iter()
            .filter_map(move |slot| self.resources.get(&(action, slot)));
        let of_principals = principals
            .into_iter()
            .filter_map(move |slot| self.principals.get(&(action, slot)));
        let lifted = self.lifted.get(&(action, ANY)).into_iter();
        of_resources
            .chain(of_principals)
            .chain(lifted)
            .flat_map(|permits| permits.iter())
    }
}

/// The keys of an entity under which there may be policies.
fn slots(table: &Table, located: &Located<'_>) -> Vec<Slot> {
    let of_type = table.find_type(&located.uid.entity_type).map(type_slot);
    let names = located.name.iter().chain(&located.ancestors);
    std::iter::once(ANY)
        .chain(of_type)
        .chain(names.map(|name| entity_slot(*name)))
        .collect()
}
