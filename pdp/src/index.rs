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
use smallvec::SmallVec;

use crate::{
    facts::Side,
    filed::{Filed, Proof, Shared},
    filter::Filter,
    names::{Name, Names, TypeName},
    place::{Lifted, Place},
    program::Located,
    shards::{Keep, Shards},
    source::LoadedPolicy,
};

/// Most permits that are kept for explanations, per action and key of one side.
const NEAR_MAX: usize = 64;
/// Most of them that one explanation takes from one side.
const NEAR_SIDE_MAX: usize = 32;
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

/// Policies of one key that stand in the table itself, so that they are found with the key.
const INLINE: usize = 2;
/// Longer lists are shared by versions and not copied.
const FEW_MAX: usize = 16;

/// The policies of one key.
#[derive(Clone, Debug)]
enum List {
    Few(SmallVec<[Filed; INLINE]>),
    Many(Arc<Vec<Filed>>),
}

impl Default for List {
    fn default() -> Self {
        Self::Few(SmallVec::new())
    }
}

impl List {
    fn as_slice(&self) -> &[Filed] {
        match self {
            Self::Few(list) => list,
            Self::Many(list) => list,
        }
    }

    fn add(&mut self, filed: Filed) -> Keep {
        match self {
            Self::Few(list) if list.len() < FEW_MAX => list.push(filed),
            Self::Few(list) => {
                let mut list = std::mem::take(list).into_vec();
                list.push(filed);
                *self = Self::Many(Arc::new(list));
            }
            Self::Many(list) => Arc::make_mut(list).push(filed),
        }
        Keep::Entry
    }

    fn remove(&mut self, policy: &Arc<LoadedPolicy>) -> Keep {
        let is_other = |filed: &Filed| !Arc::ptr_eq(&filed.policy, policy);
        match self {
            Self::Few(list) => list.retain(|filed| is_other(filed)),
            Self::Many(list) => Arc::make_mut(list).retain(is_other),
        }
        keep(self.as_slice().is_empty())
    }

    fn has(&self, policy: &Arc<LoadedPolicy>) -> bool {
        let is_it = |filed: &Filed| Arc::ptr_eq(&filed.policy, policy);
        self.as_slice().iter().any(is_it)
    }
}

/// Some of the permits of a key, for explanations.
type Near = Arc<Vec<Arc<LoadedPolicy>>>;

/// Policies that are filed under the value of one place.
#[derive(Clone, Debug)]
struct AtPlace {
    place: Place,
    /// Number of policies.
    count: u32,
    texts: Shards<String, List>,
    values: Shards<Value, List>,
}

impl AtPlace {
    fn list(&self, value: &Value) -> Option<&List> {
        match value {
            Value::String(text) => self.texts.get(text.as_str()),
            value => self.values.get(value),
        }
    }

    fn change(&mut self, value: &Value, change: impl FnOnce(&mut List) -> Keep) {
        match value {
            Value::String(text) => self.texts.update(text.clone(), change),
            value => self.values.update(value.clone(), change),
        }
    }
}

/// Action, principal key, resource key -> policies. Copies share what did not change.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    names: Arc<Names>,
    shared: Arc<Shared>,
    hasher: RandomState,
    scopes: Shards<(Action, Slot, Slot), List>,
    /// By the places that policies of an action are filed under.
    places: Shards<Action, Arc<Vec<AtPlace>>>,
    /// Which keys have policies.
    filter: Filter,
    /// Some of the permits of each key of one side, for explanations.
    principals: Shards<(Action, Slot), Near>,
    resources: Shards<(Action, Slot), Near>,
    /// Some of the permits that are filed by value.
    lifted: Shards<Action, Near>,
}

/// The policies that a request may be decided by.
pub(crate) type Candidates<'a> = SmallVec<[&'a Filed; 16]>;

impl Index {
    /// An index without policies.
    pub(crate) fn empty(names: Arc<Names>) -> Self {
        Self {
            names,
            shared: Arc::default(),
            hasher: RandomState::default(),
            scopes: Shards::default(),
            places: Shards::default(),
            filter: Filter::for_keys(0),
            principals: Shards::default(),
            resources: Shards::default(),
            lifted: Shards::default(),
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
        let scope = &policy.scope;
        let (principal, resource) = (self.slot(&scope.principal), self.slot(&scope.resource));
        for action in scope.actions.iter().copied() {
            let lifted = policy.lifted.as_ref().filter(|_| scope.is_open());
            if let Some(lifted) = lifted
                && self.file_by_value(action, lifted, policy, filing)
            {
                // Found by no key of a side, but near all.
                near(&mut self.lifted, action, policy, filing);
                continue;
            }
            let proof = Proof::Scope(&scope.principal, &scope.resource);
            let change = self.change(policy, &proof, filing);
            self.scopes.update((action, principal, resource), change);
            if filing == Filing::In {
                self.note(self.scope_digests(action, principal, resource));
            }
            near(&mut self.principals, (action, principal), policy, filing);
            near(&mut self.resources, (action, resource), policy, filing);
        }
    }

    /// Files a policy under values, unless there is no room for another place.
    fn file_by_value(
        &mut self,
        action: Action,
        lifted: &Lifted,
        policy: &Arc<LoadedPolicy>,
        filing: Filing,
    ) -> bool {
        let mut places = self.places.remove(&action).unwrap_or_default();
        let position = places.iter().position(|at| at.place == lifted.place);
        // When it was added there may have been no room; where it stands tells.
        let is_there = match (filing, position.and_then(|position| places.get(position))) {
            (Filing::In, Some(_)) => true,
            (Filing::In, None) => places.len() < PLACES_MAX,
            (Filing::Out, at) => at
                .zip(lifted.values.first())
                .and_then(|(at, value)| at.list(value))
                .is_some_and(|list| list.has(policy)),
        };
        if is_there {
            let list = Arc::make_mut(&mut places);
            if position.is_none() {
                list.push(AtPlace {
                    place: lifted.place.clone(),
                    count: 0,
                    texts: Shards::default(),
                    values: Shards::default(),
                });
            }
            let position = position.unwrap_or(list.len() - 1);
            if let Some(at) = list.get_mut(position) {
                at.count = counted(at.count, filing);
                for value in &lifted.values {
                    at.change(value, self.change(policy, &Proof::Value(lifted), filing));
                }
            }
            list.retain(|at| at.count > 0);
        }
        if !places.is_empty() {
            self.places.insert(action, places);
        }
        if is_there && filing == Filing::In {
            let values = lifted.values.iter();
            let digests = values.map(|value| self.value_digest(action, &lifted.place, value));
            self.note(digests.collect::<Vec<_>>());
        }
        is_there
    }

    fn change<'a>(
        &self,
        policy: &'a Arc<LoadedPolicy>,
        proof: &Proof<'_>,
        filing: Filing,
    ) -> impl FnOnce(&mut List) -> Keep + use<'a> {
        let filed =
            (filing == Filing::In).then(|| Filed::new(policy, proof, &self.names, &self.shared));
        move |list| match filed {
            Some(filed) => list.add(filed),
            None => list.remove(policy),
        }
    }

    fn slot(&self, key: &Key) -> Slot {
        match key {
            Key::Any => ANY,
            Key::Type(of) => type_slot(self.names.type_name(of)),
            Key::Entity(uid) => entity_slot(self.names.name(uid)),
        }
    }

    /// Puts keys into the filter.
    fn note(&mut self, digests: impl IntoIterator<Item = u64>) {
        let mut is_full = false;
        for digest in digests {
            if !self.filter.may_have(digest) {
                is_full |= !self.filter.add(digest);
            }
        }
        if is_full {
            let digests = self.digests();
            let filter = Filter::for_keys(digests.len());
            for digest in digests {
                filter.add(digest);
            }
            self.filter = filter;
        }
    }

    /// Of all keys, each once: with repetitions the filter would be several times as large, and no
    /// longer in the cache.
    fn digests(&self) -> Vec<u64> {
        let mut digests = Vec::new();
        for ((action, principal, resource), _) in self.scopes.iter() {
            digests.extend(self.scope_digests(*action, *principal, *resource));
        }
        for (action, places) in self.places.iter() {
            for at in places.iter() {
                let texts = at.texts.iter();
                digests.extend(texts.map(|(text, _)| self.text_digest(*action, &at.place, text)));
                let values = at.values.iter();
                digests
                    .extend(values.map(|(value, _)| self.value_digest(*action, &at.place, value)));
            }
        }
        digests.sort_unstable();
        digests.dedup();
        digests
    }

    /// Of a key, and of each of its sides alone.
    fn scope_digests(&self, action: Action, principal: Slot, resource: Slot) -> [u64; 3] {
        let principal = joined(principal, self.seed(action, Side::Principal));
        let resource = joined(resource, self.seed(action, Side::Resource));
        [principal, resource, joined(principal, resource)]
    }

    /// What the digests of the keys of one side are joined with.
    fn seed(&self, action: Action, side: Side) -> u64 {
        self.hasher.hash_one((action, side))
    }

    fn value_digest(&self, action: Action, place: &Place, value: &Value) -> u64 {
        match value {
            Value::String(text) => self.text_digest(action, place, text),
            value => self.hasher.hash_one((action, place, value)),
        }
    }

    fn text_digest(&self, action: Action, place: &Place, text: &str) -> u64 {
        self.hasher.hash_one((action, place, text))
    }

    /// The policies that can apply, in no order.
    pub(crate) fn candidates<'a>(
        &'a self,
        action: Action,
        principal: &Located<'_>,
        resource: &Located<'_>,
        context: &BTreeMap<String, Value>,
    ) -> Candidates<'a> {
        let principals = self.probes(action, Side::Principal, principal);
        let resources = self.probes(action, Side::Resource, resource);
        // All keys first, then all lists, then what is in them: each look at memory that is far away
        // is known before the first one is back, so that they overlap.
        let mut keys = SmallVec::<[(Slot, Slot); 16]>::new();
        for (principal, principal_digest) in &principals.slots {
            for (resource, resource_digest) in &resources.slots {
                let digest = joined(*principal_digest, *resource_digest);
                if self.filter.may_have(digest) {
                    keys.push((*principal, *resource));
                }
            }
        }
        let list = |(principal, resource)| {
            let list = self.scopes.get(&(action, principal, resource))?;
            Some((principal, resource, list))
        };
        let lists: SmallVec<[(Slot, Slot, &List); 16]> =
            keys.into_iter().filter_map(list).collect();
        let mut found = Candidates::new();
        for (principal, resource, list) in lists {
            for filed in list.as_slice() {
                if (!filed.is_principal || Some(principal) == principals.own)
                    && (!filed.is_resource || Some(resource) == resources.own)
                {
                    found.push(filed);
                }
            }
        }
        let places = self.places.get(&action);
        for at in places.into_iter().flat_map(|places| places.iter()) {
            self.at_place(at, action, (principal, resource), context, &mut found);
        }
        found
    }

    /// Whether there may be policies of the action that are filed under this resource.
    pub(crate) fn may_have_resource(&self, action: Action, resource: Name) -> bool {
        let seed = self.seed(action, Side::Resource);
        self.filter.may_have(joined(entity_slot(resource), seed))
    }

    /// The same as policies, by id.
    pub(crate) fn slice(
        &self,
        action: Action,
        principal: &Located<'_>,
        resource: &Located<'_>,
        context: &BTreeMap<String, Value>,
    ) -> Vec<&Arc<LoadedPolicy>> {
        let mut found = self.candidates(action, principal, resource, context);
        found.sort_unstable_by(|left, right| left.compare(right));
        found.into_iter().map(|filed| &filed.policy).collect()
    }

    fn at_place<'a>(
        &'a self,
        at: &'a AtPlace,
        action: Action,
        (principal, resource): (&Located<'_>, &Located<'_>),
        context: &BTreeMap<String, Value>,
        found: &mut Candidates<'a>,
    ) {
        let mut add = |list: Option<&'a List>| {
            found.extend(list.map(List::as_slice).unwrap_or_default());
        };
        if let Some(text) = at.place.text(principal) {
            if self
                .filter
                .may_have(self.text_digest(action, &at.place, text))
            {
                add(at.texts.get(text));
            }
            return;
        }
        let mut probe = |value: &Value| {
            if self
                .filter
                .may_have(self.value_digest(action, &at.place, value))
            {
                add(at.list(value));
            }
        };
        match at.place.value(principal, resource, context) {
            None => {}
            Some(Value::Set(items)) => items.iter().for_each(probe),
            Some(value) => probe(value),
        }
    }

    /// The keys of an entity under which there may be policies for the action.
    fn probes(&self, action: Action, side: Side, located: &Located<'_>) -> Probes {
        let seed = self.seed(action, side);
        let with_digest = |slot| (slot, joined(slot, seed));
        Probes {
            own: located.name.map(entity_slot),
            slots: slots(located)
                .map(with_digest)
                .filter(|(_, digest)| self.filter.may_have(*digest))
                .collect(),
        }
    }
}

/// Keys of one side, each with its digest.
struct Probes {
    slots: SmallVec<[(Slot, u64); 16]>,
    /// The key of the entity itself.
    own: Option<Slot>,
}

/// The digest of two parts. Only the filter uses it: two pairs with one digest cost a look.
fn joined(left: u64, right: u64) -> u64 {
    let mixed = (left ^ right.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ mixed >> 29
}

fn keep(is_empty: bool) -> Keep {
    if is_empty { Keep::Nothing } else { Keep::Entry }
}

/// Keeps a permit for explanations, or no longer.
fn near<K: Clone + Eq + std::hash::Hash>(
    lists: &mut Shards<K, Near>,
    key: K,
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
    /// Permits that match the resource, as many that match the principal, then others; not all.
    pub(crate) fn permits_near<'a>(
        &'a self,
        action: Action,
        principal: &Located<'_>,
        resource: &Located<'_>,
    ) -> impl Iterator<Item = &'a Arc<LoadedPolicy>> {
        let of_resources = slots(resource)
            .filter_map(move |slot| self.resources.get(&(action, slot)))
            .collect::<Vec<_>>();
        let of_principals = slots(principal)
            .filter_map(move |slot| self.principals.get(&(action, slot)))
            .collect::<Vec<_>>();
        let lifted = self.lifted.get(&action).into_iter();
        let of_resources = of_resources.into_iter().flat_map(|permits| permits.iter());
        let of_principals = of_principals.into_iter().flat_map(|permits| permits.iter());
        of_resources
            .take(NEAR_SIDE_MAX)
            .chain(of_principals.take(NEAR_SIDE_MAX))
            .chain(lifted.flat_map(|permits| permits.iter()))
    }
}

/// The keys of an entity.
fn slots(located: &Located<'_>) -> impl Iterator<Item = Slot> {
    let of_type = located.of.map(type_slot);
    let names = located.name.iter().chain(&located.ancestors);
    std::iter::once(ANY)
        .chain(of_type)
        .chain(names.map(|name| entity_slot(*name)))
}
