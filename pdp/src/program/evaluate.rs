//! A program, evaluated over borrowed values.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashSet},
};

use dataos_model::{
    action::Action,
    entity::{EntityType, EntityUid},
    predicate::{Arithmetic, Comparison, SetTest, contains_range, like},
    value::{IpRange, Value},
};

use smallvec::SmallVec;

use super::{Node, Program};
use crate::{
    entities::{ANCESTORS_MAX, Snapshot},
    facts::Side,
    names::{Name, Table, TypeName},
};

/// Up to so many ancestors a list is searched faster than a hash table.
const LISTED_MAX: usize = 48;

/// Everything that a program can look at.
#[derive(Debug)]
pub(crate) struct World<'a> {
    pub table: &'a Table,
    pub entities: &'a Snapshot,
    pub principal: &'a Located<'a>,
    pub resource: &'a Located<'a>,
    pub action: Action,
    pub context: &'a BTreeMap<String, Value>,
}

/// Numbers of ancestors, in no order.
pub(crate) type Ancestors = SmallVec<[Name; 16]>;

/// The principal or resource of a request.
#[derive(Debug)]
pub(crate) struct Located<'a> {
    pub uid: &'a EntityUid,
    pub of: Option<TypeName>,
    pub name: Option<Name>,
    pub attributes: &'a BTreeMap<String, Value>,
    pub tags: Tags<'a>,
    /// All ancestors that have a number.
    pub ancestors: Ancestors,
    /// Ancestors that no policy and no stored entity names.
    pub unnamed: Vec<(&'a EntityType, &'a str)>,
}

/// Cedar entity tags, as they are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tags<'a> {
    Values(&'a BTreeMap<String, Value>),
    /// Verified attributes of a principal.
    Texts(&'a BTreeMap<String, String>),
}

/// Why there is no value: Cedar has to say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop;

/// A value, borrowed where it can be.
#[derive(Clone, Debug)]
pub(crate) enum View<'a> {
    Bool(bool),
    Long(i64),
    Text(Cow<'a, str>),
    Decimal(i64),
    DateTime(i64),
    Duration(i64),
    Ip(IpRange),
    Set(Cow<'a, BTreeSet<Value>>),
    Record(Cow<'a, BTreeMap<String, Value>>),
    Entity(Cow<'a, EntityUid>),
}

/// Where an entity is found.
enum Found<'a> {
    Located(&'a Located<'a>),
    Stored(&'a crate::entities::Numbered),
    Missing,
}

impl Program {
    /// Whether all conditions are true.
    pub(crate) fn holds<'a>(&'a self, world: &'a World<'a>) -> Result<bool, Stop> {
        world.all(&self.conditions)
    }
}

/// All ancestors of an entity with these direct parents, in no order; `None` if there are too many.
pub(crate) fn ancestors(
    entities: &Snapshot,
    parents: impl IntoIterator<Item = Name>,
) -> Option<Ancestors> {
    let mut found = Ancestors::new();
    let mut seen: HashSet<Name> = HashSet::new();
    let mut add = |found: &mut Ancestors, name: Name| {
        if found.len() < LISTED_MAX {
            if !found.contains(&name) {
                found.push(name);
            }
            return;
        }
        if seen.is_empty() {
            seen.extend(found.iter().copied());
        }
        if seen.insert(name) {
            found.push(name);
        }
    };
    parents.into_iter().for_each(|name| add(&mut found, name));
    let mut next = 0;
    while let Some(name) = found.get(next).copied() {
        next += 1;
        if let Some(stored) = entities.named(name) {
            stored
                .parents
                .iter()
                .for_each(|parent| add(&mut found, *parent));
        }
        if found.len() > ANCESTORS_MAX {
            return None;
        }
    }
    Some(found)
}

impl Located<'_> {
    fn is_in(&self, target: &EntityUid, name: Option<Name>) -> bool {
        match name {
            Some(name) => self.is_in_named(name),
            None => {
                let same =
                    |(of, id): &(&EntityType, &str)| **of == target.entity_type && *id == target.id;
                *self.uid == *target || self.unnamed.iter().any(same)
            }
        }
    }

    fn is_in_named(&self, name: Name) -> bool {
        self.name == Some(name) || self.ancestors.contains(&name)
    }
}

impl<'a> World<'a> {
    pub(super) fn side(&self, side: Side) -> &'a Located<'a> {
        match side {
            Side::Principal => self.principal,
            Side::Resource => self.resource,
        }
    }

    /// Whether all conditions are true; ends with the first that is not.
    pub(crate) fn all(&'a self, nodes: &'a [Node]) -> Result<bool, Stop> {
        for node in nodes {
            if !self.boolean(node)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a condition is true.
    pub(crate) fn boolean(&'a self, node: &'a Node) -> Result<bool, Stop> {
        match node {
            Node::In(side, names) => {
                let located = self.side(*side);
                Ok(names.iter().any(|name| located.is_in_named(*name)))
            }
            Node::Is(side, name) => Ok(self.side(*side).name == Some(*name)),
            Node::OfType(side, of) => Ok(self.side(*side).uid.entity_type == *of),
            Node::Action(actions) => Ok(actions.contains(&self.action)),
            Node::All(nodes) => self.all(nodes),
            Node::Any(nodes) => {
                for node in nodes {
                    if self.boolean(node)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Node::Not(node) => self.boolean(node).map(|value| !value),
            Node::Has(node, names) => self.has(self.evaluate(node)?, names),
            Node::HasTag(entity, key) => self.tag(entity, key).map(|tag| tag.is_some()),
            Node::Compare(comparison, left, right) => {
                compare(*comparison, &self.evaluate(left)?, &self.evaluate(right)?)
            }
            Node::Like(node, pieces) => match self.evaluate(node)? {
                View::Text(text) => Ok(like(&text, pieces)),
                _ => Err(Stop),
            },
            Node::Sets(test, left, right) => {
                set_test(*test, &self.evaluate(left)?, &self.evaluate(right)?)
            }
            Node::IsEmpty(node) => match self.evaluate(node)? {
                View::Set(items) => Ok(items.is_empty()),
                _ => Err(Stop),
            },
            Node::InRange(left, right) => match (self.evaluate(left)?, self.evaluate(right)?) {
                (View::Ip(left), View::Ip(right)) => Ok(contains_range(right, left)),
                _ => Err(Stop),
            },
            Node::Under(left, right) => self.under(left, right),
            Node::TypeOf(node, of) => match self.evaluate(node)? {
                View::Entity(uid) => Ok(uid.entity_type == *of),
                _ => Err(Stop),
            },
            Node::Literal(_)
            | Node::If(..)
            | Node::Attribute(..)
            | Node::Tag(..)
            | Node::Entity(_)
            | Node::Context
            | Node::Arithmetic(..)
            | Node::Negate(_)
            | Node::Set(_)
            | Node::Record(_)
            | Node::Offset(..)
            | Node::DurationSince(..)
            | Node::Units(..) => match self.evaluate(node)? {
                View::Bool(value) => Ok(value),
                _ => Err(Stop),
            },
        }
    }

    pub(super) fn evaluate(&'a self, node: &'a Node) -> Result<View<'a>, Stop> {
        match node {
            Node::Literal(value) => Ok(view(value)),
            Node::Entity(side) => Ok(View::Entity(Cow::Borrowed(self.side(*side).uid))),
            Node::Context => Ok(View::Record(Cow::Borrowed(self.context))),
            Node::Attribute(of, name) => self.attribute(self.evaluate(of)?, name),
            Node::Tag(entity, key) => self.tag(entity, key)?.ok_or(Stop),
            Node::If(test, yes, no) => {
                if self.boolean(test)? {
                    self.evaluate(yes)
                } else {
                    self.evaluate(no)
                }
            }
            Node::Arithmetic(operator, left, right) => {
                let (left, right) = (self.long(left)?, self.long(right)?);
                let result = match operator {
                    Arithmetic::Add => left.checked_add(right),
                    Arithmetic::Subtract => left.checked_sub(right),
                    Arithmetic::Multiply => left.checked_mul(right),
                };
                result.map(View::Long).ok_or(Stop)
            }
            Node::Negate(node) => self.long(node)?.checked_neg().map(View::Long).ok_or(Stop),
            Node::Set(items) => {
                let items: Result<BTreeSet<Value>, Stop> = items
                    .iter()
                    .map(|item| Ok(self.evaluate(item)?.value()))
                    .collect();
                Ok(View::Set(Cow::Owned(items?)))
            }
            Node::Record(fields) => {
                let fields: Result<BTreeMap<String, Value>, Stop> = fields
                    .iter()
                    .map(|(name, field)| Ok((name.clone(), self.evaluate(field)?.value())))
                    .collect();
                Ok(View::Record(Cow::Owned(fields?)))
            }
            Node::Offset(..) | Node::DurationSince(..) | Node::Units(..) => self.calendar(node),
            Node::Has(..)
            | Node::HasTag(..)
            | Node::All(_)
            | Node::Any(_)
            | Node::Not(_)
            | Node::Compare(..)
            | Node::Like(..)
            | Node::Sets(..)
            | Node::IsEmpty(_)
            | Node::InRange(..)
            | Node::Action(_)
            | Node::Is(..)
            | Node::In(..)
            | Node::OfType(..)
            | Node::Under(..)
            | Node::TypeOf(..) => self.boolean(node).map(View::Bool),
        }
    }

    /// Arithmetic on instants and durations.
    fn calendar(&'a self, node: &'a Node) -> Result<View<'a>, Stop> {
        match node {
            Node::Offset(instant, by) => match (self.evaluate(instant)?, self.evaluate(by)?) {
                (View::DateTime(instant), View::Duration(by)) => {
                    instant.checked_add(by).map(View::DateTime).ok_or(Stop)
                }
                _ => Err(Stop),
            },
            Node::DurationSince(left, right) => {
                match (self.evaluate(left)?, self.evaluate(right)?) {
                    (View::DateTime(left), View::DateTime(right)) => {
                        left.checked_sub(right).map(View::Duration).ok_or(Stop)
                    }
                    _ => Err(Stop),
                }
            }
            Node::Units(node, milliseconds) => match self.evaluate(node)? {
                View::Duration(duration) => duration
                    .checked_div(*milliseconds)
                    .map(View::Long)
                    .ok_or(Stop),
                _ => Err(Stop),
            },
            _ => Err(Stop),
        }
    }

    fn long(&'a self, node: &'a Node) -> Result<i64, Stop> {
        match self.evaluate(node)? {
            View::Long(value) => Ok(value),
            _ => Err(Stop),
        }
    }

    fn find(&self, uid: &EntityUid) -> Found<'a> {
        if self.principal.uid == uid {
            return Found::Located(self.principal);
        }
        if self.resource.uid == uid {
            return Found::Located(self.resource);
        }
        match self
            .table
            .find_uid(uid)
            .and_then(|name| self.entities.named(name))
        {
            Some(stored) => Found::Stored(stored),
            None => Found::Missing,
        }
    }

    fn attribute(&self, of: View<'a>, name: &str) -> Result<View<'a>, Stop> {
        match of {
            View::Record(Cow::Borrowed(fields)) => fields.get(name).map(view).ok_or(Stop),
            View::Record(Cow::Owned(mut fields)) => fields.remove(name).map(owned).ok_or(Stop),
            View::Entity(uid) => {
                let attributes = self.attributes(&uid).ok_or(Stop)?;
                attributes.get(name).map(view).ok_or(Stop)
            }
            _ => Err(Stop),
        }
    }

    fn attributes(&self, uid: &EntityUid) -> Option<&'a BTreeMap<String, Value>> {
        match self.find(uid) {
            Found::Located(located) => Some(located.attributes),
            Found::Stored(stored) => Some(&stored.entity.attributes),
            Found::Missing => None,
        }
    }

    /// An entity that is not there has nothing.
    fn has(&self, of: View<'a>, names: &[String]) -> Result<bool, Stop> {
        let Some((name, rest)) = names.split_first() else {
            return Ok(true);
        };
        let inner = match of {
            View::Record(Cow::Borrowed(fields)) => fields.get(name).map(view),
            View::Record(Cow::Owned(mut fields)) => fields.remove(name).map(owned),
            View::Entity(uid) => self
                .attributes(&uid)
                .and_then(|attributes| attributes.get(name))
                .map(view),
            _ => return Err(Stop),
        };
        match inner {
            None => Ok(false),
            Some(_) if rest.is_empty() => Ok(true),
            Some(inner) => self.has(inner, rest),
        }
    }

    fn tag(&'a self, entity: &'a Node, key: &'a Node) -> Result<Option<View<'a>>, Stop> {
        let View::Text(key) = self.evaluate(key)? else {
            return Err(Stop);
        };
        let tags = match entity {
            Node::Entity(side) => self.side(*side).tags,
            _ => {
                let View::Entity(uid) = self.evaluate(entity)? else {
                    return Err(Stop);
                };
                match self.find(&uid) {
                    Found::Located(located) => located.tags,
                    Found::Stored(stored) => Tags::Values(&stored.entity.tags),
                    Found::Missing => return Ok(None),
                }
            }
        };
        Ok(match tags {
            Tags::Values(tags) => tags.get(key.as_ref()).map(view),
            Tags::Texts(tags) => {
                let text = tags.get(key.as_ref());
                text.map(|text| View::Text(Cow::Borrowed(text)))
            }
        })
    }

    fn under(&'a self, left: &'a Node, right: &'a Node) -> Result<bool, Stop> {
        let View::Entity(uid) = self.evaluate(left)? else {
            return Err(Stop);
        };
        match self.evaluate(right)? {
            View::Entity(target) => Ok(self.is_in(&uid, &target)),
            View::Set(targets) => {
                // A set with anything but entities fails as a whole.
                let targets: Option<Vec<&EntityUid>> = targets
                    .iter()
                    .map(|target| match target {
                        Value::Entity(target) => Some(target),
                        _ => None,
                    })
                    .collect();
                let mut targets = targets.ok_or(Stop)?.into_iter();
                Ok(targets.any(|target| self.is_in(&uid, target)))
            }
            _ => Err(Stop),
        }
    }

    fn is_in(&self, uid: &EntityUid, target: &EntityUid) -> bool {
        if uid == target {
            return true;
        }
        let name = self.table.find_uid(target);
        match self.find(uid) {
            Found::Located(located) => located.is_in(target, name),
            Found::Stored(stored) => name.is_some_and(|name| {
                ancestors(self.entities, stored.parents.iter().copied())
                    .is_some_and(|ancestors| ancestors.contains(&name))
            }),
            Found::Missing => false,
        }
    }
}

pub(super) fn view(value: &Value) -> View<'_> {
    match value {
        Value::Bool(value) => View::Bool(*value),
        Value::Long(value) => View::Long(*value),
        Value::String(text) => View::Text(Cow::Borrowed(text)),
        Value::Decimal(units) => View::Decimal(*units),
        Value::DateTime(milliseconds) => View::DateTime(*milliseconds),
        Value::Duration(milliseconds) => View::Duration(*milliseconds),
        Value::Ip(range) => View::Ip(*range),
        Value::Set(items) => View::Set(Cow::Borrowed(items)),
        Value::Record(fields) => View::Record(Cow::Borrowed(fields)),
        Value::Entity(uid) => View::Entity(Cow::Borrowed(uid)),
    }
}

fn owned(value: Value) -> View<'static> {
    match value {
        Value::Bool(value) => View::Bool(value),
        Value::Long(value) => View::Long(value),
        Value::String(text) => View::Text(Cow::Owned(text)),
        Value::Decimal(units) => View::Decimal(units),
        Value::DateTime(milliseconds) => View::DateTime(milliseconds),
        Value::Duration(milliseconds) => View::Duration(milliseconds),
        Value::Ip(range) => View::Ip(range),
        Value::Set(items) => View::Set(Cow::Owned(items)),
        Value::Record(fields) => View::Record(Cow::Owned(fields)),
        Value::Entity(uid) => View::Entity(Cow::Owned(uid)),
    }
}

fn compare(comparison: Comparison, left: &View<'_>, right: &View<'_>) -> Result<bool, Stop> {
    let order = match (comparison, left, right) {
        (Comparison::Equal, ..) => return Ok(equal(left, right)),
        (_, View::Long(left), View::Long(right))
        | (_, View::Decimal(left), View::Decimal(right))
        | (_, View::DateTime(left), View::DateTime(right))
        | (_, View::Duration(left), View::Duration(right)) => left.cmp(right),
        _ => return Err(Stop),
    };
    Ok(match comparison {
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual | Comparison::Equal => order.is_le(),
    })
}

/// Values of different types are unequal.
fn equal(left: &View<'_>, right: &View<'_>) -> bool {
    match (left, right) {
        (View::Bool(left), View::Bool(right)) => left == right,
        (View::Long(left), View::Long(right))
        | (View::Decimal(left), View::Decimal(right))
        | (View::DateTime(left), View::DateTime(right))
        | (View::Duration(left), View::Duration(right)) => left == right,
        (View::Text(left), View::Text(right)) => left == right,
        (View::Ip(left), View::Ip(right)) => left == right,
        (View::Set(left), View::Set(right)) => left == right,
        (View::Record(left), View::Record(right)) => left == right,
        (View::Entity(left), View::Entity(right)) => left == right,
        _ => false,
    }
}

fn set_test(test: SetTest, left: &View<'_>, right: &View<'_>) -> Result<bool, Stop> {
    let View::Set(left) = left else {
        return Err(Stop);
    };
    match (test, right) {
        (SetTest::Contains, element) => Ok(left.contains(&element.clone().value())),
        (SetTest::ContainsAll, View::Set(right)) => Ok(right.is_subset(left)),
        (SetTest::ContainsAny, View::Set(right)) => Ok(!right.is_disjoint(left)),
        _ => Err(Stop),
    }
}

impl View<'_> {
    /// The value, owned.
    pub(crate) fn value(self) -> Value {
        match self {
            Self::Bool(value) => Value::Bool(value),
            Self::Long(value) => Value::Long(value),
            Self::Text(text) => Value::String(text.into_owned()),
            Self::Decimal(units) => Value::Decimal(units),
            Self::DateTime(milliseconds) => Value::DateTime(milliseconds),
            Self::Duration(milliseconds) => Value::Duration(milliseconds),
            Self::Ip(range) => Value::Ip(range),
            Self::Set(items) => Value::Set(items.into_owned()),
            Self::Record(fields) => Value::Record(fields.into_owned()),
            Self::Entity(uid) => Value::Entity(uid.into_owned()),
        }
    }
}
