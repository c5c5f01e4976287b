//! Which policies can apply to a request at all, found without looking at the others.
//!
//! Exact because what is left out is false and cannot fail: a scope that does not match, or a
//! condition `place == value` that does not hold behind nothing but conditions that cannot fail.
//! Leaving such a policy out changes neither the decision nor what determined it nor the errors.
//! What is found may still not apply: whoever asked evaluates it.

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    hash::{BuildHasher, Hash},
    hint::black_box,
    slice,
    sync::Arc,
};

use dataos_model::{
    action::Action,
    entity::{EntityType, EntityUid},
    value::Value,
};
use foldhash::fast::RandomState;
use smallvec::SmallVec;
use smol_str::SmolStr;

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

/// A key as a number, below 2^34.
type Slot = u64;
const ANY: Slot = 0;

fn type_slot(number: TypeName) -> Slot {
    1 << 32 | Slot::from(number)
}

fn entity_slot(name: Name) -> Slot {
    2 << 32 | Slot::from(name)
}

/// A key of one side for one action, as one number.
type Sided = u64;

fn sided(action: Action, slot: Slot) -> Sided {
    Sided::from(action.number()) << 34 | slot
}

/// Whether a policy is put in or taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filing {
    In,
    Out,
}

/// Policies of one key that stand in the table itself, so that they are found with the key; longer
/// lists are shared by versions and not copied.
const FEW_MAX: usize = 8;

/// One of a few policies of a key, or all of very many.
#[derive(Clone, Debug)]
enum Entry {
    One(Filed),
    Many(Arc<Vec<Filed>>),
}

// What a decision over many policies needs of one is in one line of the processor's cache.
const _: () = assert!(size_of::<Option<((Sided, Sided), Entry)>>() == 64);

impl Entry {
    fn as_slice(&self) -> &[Filed] {
        match self {
            Self::One(filed) => slice::from_ref(filed),
            Self::Many(list) => list,
        }
    }
}

/// The policies of each key.
#[derive(Clone, Debug)]
struct Lists<K>(Shards<K, Entry>);

impl<K> Default for Lists<K> {
    fn default() -> Self {
        Self(Shards::default())
    }
}

impl<K: Clone + Eq + Hash> Lists<K> {
    /// Those of a key, in no order.
    fn of<'a, 'k, Q: Eq + Hash + ?Sized>(
        &'a self,
        key: &'k Q,
    ) -> impl Iterator<Item = &'a Filed> + use<'a, 'k, K, Q>
    where
        K: Borrow<Q>,
    {
        self.0.all(key).flat_map(Entry::as_slice)
    }

    /// Some of them more than once.
    fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    fn change(&mut self, key: &K, change: Change<'_>) {
        match change {
            Change::In(filed) => self.add(key, filed),
            Change::Out(policy) => self.remove(key, policy),
        }
    }

    fn add(&mut self, key: &K, filed: Filed) {
        if let Some(list) = self.many(key) {
            list.push(filed);
            return;
        }
        let mut entry = Entry::One(filed);
        if self.0.all(key).count() >= FEW_MAX {
            let mut list: Vec<Filed> = entry.as_slice().to_vec();
            while let Some(few) = self.0.remove(key) {
                list.extend_from_slice(few.as_slice());
            }
            entry = Entry::Many(Arc::new(list));
        }
        self.0.add(key.clone(), entry);
    }

    fn remove(&mut self, key: &K, policy: &Arc<LoadedPolicy>) {
        let is_it = |filed: &Filed| Arc::ptr_eq(&filed.policy, policy);
        let is_all = |entry: &Entry| entry.as_slice().iter().all(is_it);
        if self.0.take(key, is_all).is_none()
            && let Some(list) = self.many(key)
        {
            list.retain(|filed| !is_it(filed));
        }
    }

    /// The list of a key that has very many.
    fn many(&mut self, key: &K) -> Option<&mut Vec<Filed>> {
        // Looked at first, so that nothing is copied for a key that has few.
        if let Entry::One(_) = self.0.get(key)? {
            return None;
        }
        match self.0.get_mut(key)? {
            Entry::One(_) => None,
            Entry::Many(list) => Some(Arc::make_mut(list)),
        }
    }
}

/// A policy that is put under a key, or taken from there.
enum Change<'a> {
    In(Filed),
    Out(&'a Arc<LoadedPolicy>),
}

/// Some of the permits of a key, for explanations.
type Near = Arc<Vec<Arc<LoadedPolicy>>>;

/// Policies that are filed under the value of one place.
#[derive(Clone, Debug)]
struct AtPlace {
    place: Place,
    /// Number of policies.
    count: u32,
    texts: Lists<SmolStr>,
    values: Lists<Value>,
}

impl AtPlace {
    /// Whether a policy is filed under a value.
    fn has(&self, value: &Value, policy: &Arc<LoadedPolicy>) -> bool {
        let is_it = |filed: &Filed| Arc::ptr_eq(&filed.policy, policy);
        match value {
            Value::String(text) => self.texts.of(text.as_str()).any(is_it),
            value => self.values.of(value).any(is_it),
        }
    }

    fn change(&mut self, value: &Value, change: Change<'_>) {
        match value {
            Value::String(text) => self.texts.change(&SmolStr::new(text), change),
            value => self.values.change(value, change),
        }
    }
}

/// Action, principal key, resource key -> policies. Copies share what did not change.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    names: Arc<Names>,
    shared: Arc<Shared>,
    hasher: RandomState,
    /// What the digests of the keys of principals and of resources start from.
    seeds: [u64; 2],
    scopes: Lists<(Sided, Sided)>,
    /// By the places that policies of an action are filed under.
    places: Shards<Action, Arc<Vec<AtPlace>>>,
    /// Which keys of one side have policies. Apart from the other filter, which is many times as
    /// large: most that is asked is answered by this one, which stays in the nearer cache.
    sides: Filter,
    /// Which pairs of keys, and which values, have policies.
    filter: Filter,
    /// Some of the permits of each key of one side, for explanations.
    principals: Shards<Sided, Near>,
    resources: Shards<Sided, Near>,
    /// Some of the permits that are filed by value.
    lifted: Shards<Action, Near>,
}

/// The policies that a request may be decided by.
pub(crate) type Candidates<'a> = SmallVec<[&'a Filed; 16]>;

impl Index {
    /// An index without policies.
    pub(crate) fn empty(names: Arc<Names>) -> Self {
        let hasher = RandomState::default();
        Self {
            names,
            shared: Arc::default(),
            seeds: [Side::Principal, Side::Resource].map(|side| hasher.hash_one(side)),
            hasher,
            scopes: Lists::default(),
            places: Shards::default(),
            sides: Filter::for_keys(0),
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
        let slots = (self.slot(&scope.principal), self.slot(&scope.resource));
        for action in scope.actions.iter().copied() {
            let lifted = policy.lifted.as_ref().filter(|_| scope.is_open());
            if let Some(lifted) = lifted
                && self.file_by_value(action, lifted, policy, filing)
            {
                // Found by no key of a side, but near all.
                near(&mut self.lifted, action, policy, filing);
                continue;
            }
            let (principal, resource) = (sided(action, slots.0), sided(action, slots.1));
            let proof = Proof::Scope(&scope.principal, &scope.resource);
            let change = self.change(policy, &proof, filing);
            self.scopes.change(&(principal, resource), change);
            if filing == Filing::In {
                let [principal, resource, both] = self.scope_digests(principal, resource);
                self.note_sides([principal, resource]);
                self.note([both]);
            }
            near(&mut self.principals, principal, policy, filing);
            near(&mut self.resources, resource, policy, filing);
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
                .is_some_and(|(at, value)| at.has(value, policy)),
        };
        if is_there {
            let list = Arc::make_mut(&mut places);
            if position.is_none() {
                list.push(AtPlace {
                    place: lifted.place.clone(),
                    count: 0,
                    texts: Lists::default(),
                    values: Lists::default(),
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
    ) -> Change<'a> {
        match filing {
            Filing::In => Change::In(Filed::new(policy, proof, &self.names, &self.shared)),
            Filing::Out => Change::Out(policy),
        }
    }

    fn slot(&self, key: &Key) -> Slot {
        match key {
            Key::Any => ANY,
            Key::Type(of) => type_slot(self.names.type_name(of)),
            Key::Entity(uid) => entity_slot(self.names.name(uid)),
        }
    }

    /// Puts pairs of keys and values into their filter.
    fn note(&mut self, digests: impl IntoIterator<Item = u64>) {
        if !self.filter.add_all(digests) {
            self.filter = Filter::of(self.digests());
        }
    }

    /// Puts keys of one side into their filter.
    fn note_sides(&mut self, digests: impl IntoIterator<Item = u64>) {
        if !self.sides.add_all(digests) {
            let both = |key: &(Sided, Sided)| {
                let [principal, resource, _] = self.scope_digests(key.0, key.1);
                [principal, resource]
            };
            self.sides = Filter::of(self.scopes.keys().flat_map(both).collect());
        }
    }

    /// Of all pairs of keys and values.
    fn digests(&self) -> Vec<u64> {
        let mut digests = Vec::new();
        for (principal, resource) in self.scopes.keys() {
            let [_, _, both] = self.scope_digests(*principal, *resource);
            digests.push(both);
        }
        for (action, places) in self.places.iter() {
            for at in places.iter() {
                let texts = at.texts.keys();
                digests.extend(texts.map(|text| self.text_digest(*action, &at.place, text)));
                let values = at.values.keys();
                digests.extend(values.map(|value| self.value_digest(*action, &at.place, value)));
            }
        }
        digests
    }

    /// Of a key, and of each of its sides alone.
    fn scope_digests(&self, principal: Sided, resource: Sided) -> [u64; 3] {
        let principal = self.digest(Side::Principal, principal);
        let resource = self.digest(Side::Resource, resource);
        [principal, resource, joined(principal, resource)]
    }

    fn digest(&self, side: Side, key: Sided) -> u64 {
        let [of_principals, of_resources] = self.seeds;
        match side {
            Side::Principal => joined(key, of_principals),
            Side::Resource => joined(key, of_resources),
        }
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
        // All keys first, then what is filed under them: all looks at memory that is far away are
        // under way before the first one is waited for.
        let mut keys = SmallVec::<[(Sided, Sided); 16]>::new();
        for (principal, principal_digest) in &principals.keys {
            for (resource, resource_digest) in &resources.keys {
                let digest = joined(*principal_digest, *resource_digest);
                if self.filter.may_have(digest) {
                    keys.push((*principal, *resource));
                }
            }
        }
        black_box(
            keys.iter()
                .map(|key| self.scopes.0.touch(key))
                .sum::<usize>(),
        );
        let mut found = Candidates::new();
        for key in &keys {
            let (principal, resource) = (Some(key.0), Some(key.1));
            for filed in self.scopes.of(key) {
                if (!filed.is_principal || principal == principals.own)
                    && (!filed.is_resource || resource == resources.own)
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
        let key = sided(action, entity_slot(resource));
        self.sides.may_have(self.digest(Side::Resource, key))
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
        if let Some(text) = at.place.text(principal) {
            if self
                .filter
                .may_have(self.text_digest(action, &at.place, text))
            {
                found.extend(at.texts.of(text));
            }
            return;
        }
        let mut probe = |value: &Value| {
            if self
                .filter
                .may_have(self.value_digest(action, &at.place, value))
            {
                match value {
                    Value::String(text) => found.extend(at.texts.of(text.as_str())),
                    value => found.extend(at.values.of(value)),
                }
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
        let own = located.name.map(entity_slot);
        let mut probes = Probes {
            own: own.map(|slot| sided(action, slot)),
            keys: SmallVec::new(),
        };
        for key in keys(action, located) {
            let digest = self.digest(side, key);
            if self.sides.may_have(digest) {
                probes.keys.push((key, digest));
            }
        }
        probes
    }
}

/// Keys of one side, each with its digest.
struct Probes {
    keys: SmallVec<[(Sided, u64); 16]>,
    /// The key of the entity itself.
    own: Option<Sided>,
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
fn near<K: Clone + Eq + Hash>(
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
        let of_resources = keys(action, resource)
            .filter_map(|key| self.resources.get(&key))
            .collect::<Vec<_>>();
        let of_principals = keys(action, principal)
            .filter_map(|key| self.principals.get(&key))
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

/// The keys of an entity for an action.
fn keys(action: Action, located: &Located<'_>) -> impl Iterator<Item = Sided> {
    let of_type = located.of.map(type_slot);
    let names = located.name.iter().chain(&located.ancestors);
    std::iter::once(ANY)
        .chain(of_type)
        .chain(names.map(|name| entity_slot(*name)))
        .map(move |slot| sided(action, slot))
}
