//! Conditions of the form `place == value` that a policy starts with: it is filed under the value,
//! and only found where the value stands.

use std::collections::BTreeMap;

use dataos_model::{
    predicate::{Comparison, SetTest},
    value::Value,
};

use crate::{
    facts::Side,
    program::{Located, Node, Program, Tags, touches_row},
};

/// Most values that one policy is filed under.
const VALUES_MAX: usize = 64;

/// Where a value of a request stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Attribute(Side, String),
    Tag(Side, String),
    Context(String),
}

/// The policy is false, and cannot fail, unless the value of the place is, or is a set with, one of
/// the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lifted {
    pub place: Place,
    pub values: Vec<Value>,
}

impl Lifted {
    /// The first such condition of a program with nothing before it that can fail. The attributes of
    /// a row are not known when its policies are looked up, nor are they typed before.
    pub(crate) fn of(program: &Program, is_on_rows: bool) -> Option<Self> {
        let mut waiting: Vec<&Node> = program.conditions.iter().rev().collect();
        while let Some(node) = waiting.pop() {
            if let Node::All(nodes) = node {
                waiting.extend(nodes.iter().rev());
                continue;
            }
            if is_on_rows && touches_row(node) {
                return None;
            }
            if let Some(lifted) = Self::of_node(node) {
                return Some(lifted);
            }
            if can_fail(node) {
                return None;
            }
        }
        None
    }

    /// What one condition asks of one place.
    pub(crate) fn of_node(node: &Node) -> Option<Self> {
        match node {
            Node::Compare(Comparison::Equal, left, right) => {
                equal(left, right).or_else(|| equal(right, left))
            }
            Node::Sets(SetTest::Contains, left, right) => match (left.as_ref(), right.as_ref()) {
                (Node::Literal(Value::Set(values)), of) => one_of(of, values.iter().cloned()),
                (of, Node::Literal(value)) => one_of(of, [value.clone()]),
                _ => None,
            },
            _ => None,
        }
    }
}

fn equal(of: &Node, literal: &Node) -> Option<Lifted> {
    match literal {
        Node::Literal(value) => one_of(of, [value.clone()]),
        _ => None,
    }
}

fn one_of(of: &Node, values: impl IntoIterator<Item = Value>) -> Option<Lifted> {
    let place = place(of)?;
    let values: Vec<Value> = values.into_iter().collect();
    // A set that stands in a place is looked up by what is in it.
    let is_set = |value: &Value| matches!(value, Value::Set(_));
    (values.len() <= VALUES_MAX && !values.iter().any(is_set)).then_some(Lifted { place, values })
}

fn place(node: &Node) -> Option<Place> {
    match node {
        Node::Attribute(of, name) => match of.as_ref() {
            Node::Entity(side) => Some(Place::Attribute(*side, name.clone())),
            Node::Context => Some(Place::Context(name.clone())),
            _ => None,
        },
        Node::Tag(of, key) => match (of.as_ref(), key.as_ref()) {
            (Node::Entity(side), Node::Literal(Value::String(key))) => {
                Some(Place::Tag(*side, key.clone()))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether evaluating it could fail. The policy was type-checked, so an attribute or tag of
/// principal, resource or context is there where it is asked for.
fn can_fail(node: &Node) -> bool {
    let any = |nodes: &[&Node]| nodes.iter().any(|node| can_fail(node));
    match node {
        Node::Literal(_)
        | Node::Entity(_)
        | Node::Context
        | Node::Action(_)
        | Node::Is(..)
        | Node::In(..)
        | Node::OfType(..) => false,
        Node::Attribute(..) | Node::Tag(..) => place(node).is_none(),
        Node::Has(node, _)
        | Node::Not(node)
        | Node::Like(node, _)
        | Node::IsEmpty(node)
        | Node::TypeOf(node, _)
        | Node::Units(node, _) => can_fail(node),
        Node::HasTag(left, right)
        | Node::Compare(_, left, right)
        | Node::Sets(_, left, right)
        | Node::InRange(left, right)
        | Node::Under(left, right) => any(&[left, right]),
        Node::If(test, yes, no) => any(&[test, yes, no]),
        Node::All(nodes) | Node::Any(nodes) | Node::Set(nodes) => nodes.iter().any(can_fail),
        Node::Record(fields) => fields.iter().any(|(_, field)| can_fail(field)),
        // These overflow.
        Node::Arithmetic(..) | Node::Negate(_) | Node::Offset(..) | Node::DurationSince(..) => true,
    }
}

impl Place {
    /// The text that stands there, if it is a verified attribute of the principal.
    pub(crate) fn text<'a>(&self, principal: &Located<'a>) -> Option<&'a str> {
        match (self, principal.tags) {
            (Self::Tag(Side::Principal, key), Tags::Texts(tags)) => {
                tags.get(key).map(String::as_str)
            }
            _ => None,
        }
    }

    /// The value that stands there.
    pub(crate) fn value<'a>(
        &self,
        principal: &Located<'a>,
        resource: &Located<'a>,
        context: &'a BTreeMap<String, Value>,
    ) -> Option<&'a Value> {
        let located = |side: &Side| match side {
            Side::Principal => principal,
            Side::Resource => resource,
        };
        match self {
            Self::Attribute(side, name) => located(side).attributes.get(name),
            Self::Tag(side, key) => match located(side).tags {
                Tags::Values(tags) => tags.get(key),
                Tags::Texts(_) => None,
            },
            Self::Context(name) => context.get(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purposes_contain(literal: Value) -> Program {
        let place = Node::Attribute(Box::new(Node::Context), "purposes".to_owned());
        let literal = Box::new(Node::Literal(Value::Set([literal].into())));
        Program {
            conditions: vec![Node::Sets(SetTest::Contains, literal, Box::new(place))],
        }
    }

    #[test]
    fn a_value_that_is_a_set_is_not_lifted() {
        // It would be looked up by its elements, and not be found.
        let set = Value::Set([Value::from("audit")].into());
        assert_eq!(Lifted::of(&purposes_contain(set), false), None);
        let lifted = Lifted::of(&purposes_contain(Value::from("audit")), false).unwrap();
        assert_eq!(lifted.place, Place::Context("purposes".to_owned()));
    }
}
