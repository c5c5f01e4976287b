//! A policy where the index files it, and what is left to evaluate once it was found there.
//!
//! Over many policies a decision takes as long as it takes to reach memory that is in no cache. So all
//! that it needs of a policy stands together: one that is found and has nothing left to evaluate is
//! counted, and named in the answer, without a look at anything else. What is left is one list for
//! all policies that have the same left.

use std::{
    cmp::Ordering,
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use dataos_model::{decision::SharedPolicyRef, value::Value};
use foldhash::fast::RandomState;

use crate::{
    facts::Side,
    index::Key,
    names::{Name, Names},
    place::{Lifted, Place},
    program::{Node, Program, Stop, World},
    source::LoadedPolicy,
};

/// A policy in a list of the index.
#[derive(Clone, Debug)]
pub(crate) struct Filed {
    pub order: Order,
    pub is_permit: bool,
    pub has_obligation: bool,
    /// Whether the scope asks for the entity that it is filed under and not for what is in it.
    pub is_principal: bool,
    pub is_resource: bool,
    /// Whether there is a program; without one Cedar has to evaluate it.
    is_compiled: bool,
    /// The conditions that are left to evaluate, all of which must be true; without any it applies
    /// where it is found.
    left: Option<Arc<Vec<Node>>>,
    pub reference: SharedPolicyRef,
    pub policy: Arc<LoadedPolicy>,
}

/// The first bytes of an id, which sort most ids without a look at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Order(u64);

impl Order {
    /// Of an id.
    pub(crate) fn of(id: &str) -> Self {
        let mut bytes = [0; 8];
        bytes
            .iter_mut()
            .zip(id.bytes())
            .for_each(|(place, byte)| *place = byte);
        Self(u64::from_be_bytes(bytes))
    }
}

/// What the place where a policy is filed says about every request that finds it there.
pub(crate) enum Proof<'a> {
    /// The keys of both sides.
    Scope(&'a Key, &'a Key),
    /// The value of a place.
    Value(&'a Lifted),
}

impl Filed {
    /// Files a policy where its place proves this much.
    pub(crate) fn new(
        policy: &Arc<LoadedPolicy>,
        proof: &Proof<'_>,
        names: &Names,
        shared: &Shared,
    ) -> Self {
        let mut filed = Self {
            order: Order::of(policy.id()),
            is_permit: policy.reference.effect_is_permit,
            has_obligation: policy.obligation.is_some(),
            is_principal: false,
            is_resource: false,
            is_compiled: policy.program.is_some(),
            left: None,
            reference: policy.reference.clone(),
            policy: Arc::clone(policy),
        };
        if let Some(program) = &policy.program {
            let left = filed.not_proved(program, proof, names);
            filed.left = (!left.is_empty()).then(|| shared.conditions(left));
        }
        filed
    }

    fn not_proved(&mut self, program: &Program, proof: &Proof<'_>, names: &Names) -> Vec<Node> {
        let mut left = Vec::new();
        for node in &program.conditions {
            match proof.of(node, names) {
                Proved::Yes => {}
                Proved::OfItself(Side::Principal) => self.is_principal = true,
                Proved::OfItself(Side::Resource) => self.is_resource = true,
                Proved::No => left.push(node.clone()),
            }
        }
        left
    }

    /// Whether it applies.
    pub(crate) fn holds<'a>(&'a self, world: &'a World<'a>) -> Result<bool, Stop> {
        if !self.is_compiled {
            return Err(Stop);
        }
        self.left
            .as_ref()
            .map_or(Ok(true), |nodes| world.all(nodes))
    }

    /// The order of ids.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        self.order
            .cmp(&other.order)
            .then_with(|| self.reference.id.cmp(&other.reference.id))
    }
}

/// Whether a condition is true of every request that finds the policy where it is filed.
enum Proved {
    Yes,
    /// Only if the entity of the key is principal or resource, and not an ancestor.
    OfItself(Side),
    No,
}

impl Proof<'_> {
    fn of(&self, node: &Node, names: &Names) -> Proved {
        let is_true = match self {
            Self::Value(lifted) => lifted.proves(node),
            Self::Scope(principal, resource) => {
                let key = |side: &Side| match side {
                    Side::Principal => *principal,
                    Side::Resource => *resource,
                };
                match node {
                    Node::Is(side, name) if is_key(key(side), &[*name], names) => {
                        return Proved::OfItself(*side);
                    }
                    Node::In(side, targets) => is_key(key(side), targets, names),
                    Node::OfType(side, of) => matches!(key(side), Key::Type(key) if key == of),
                    _ => false,
                }
            }
        };
        if is_true { Proved::Yes } else { Proved::No }
    }
}

/// Whether the key is one of these entities.
fn is_key(key: &Key, targets: &[Name], names: &Names) -> bool {
    matches!(key, Key::Entity(uid) if targets.contains(&names.name(uid)))
}

impl Lifted {
    /// Whether a condition is true wherever the value stands.
    fn proves(&self, node: &Node) -> bool {
        match (node, &self.place) {
            (Node::HasTag(of, key), Place::Tag(side, wanted)) => {
                let is_key =
                    |key: &Node| matches!(key, Node::Literal(Value::String(key)) if key == wanted);
                **of == Node::Entity(*side) && is_key(key)
            }
            (Node::Has(of, names), Place::Attribute(side, name)) => {
                **of == Node::Entity(*side) && *names == [name.as_str()]
            }
            (Node::Has(of, names), Place::Context(name)) => {
                **of == Node::Context && *names == [name.as_str()]
            }
            _ => Self::of_node(node).as_ref() == Some(self),
        }
    }
}

/// One copy of each list of conditions.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    lists: HashSet<Arc<Vec<Node>>, RandomState>,
    /// At so many, those that nobody else holds are dropped.
    swept_at: usize,
}

/// Lists that are kept before any is looked at again.
const SWEPT_MIN: usize = 1_024;

impl Shared {
    fn conditions(&self, nodes: Vec<Node>) -> Arc<Vec<Node>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = known.lists.get(&nodes) {
            return Arc::clone(list);
        }
        if known.lists.len() >= known.swept_at {
            known.lists.retain(|list| Arc::strong_count(list) > 1);
            known.swept_at = (known.lists.len() * 2).max(SWEPT_MIN);
        }
        let list = Arc::new(nodes);
        known.lists.insert(Arc::clone(&list));
        list
    }
}
