//! Leading conditions that are known before any evaluation: `principal in ..`, `resource in ..` and
//! the like, in front of everything that could fail.
//!
//! Policies compiled from YAML have an open scope and say in `when` whom and what they are about. A
//! policy whose leading conditions are false is false and cannot fail, whatever stands behind them:
//! leaving it out is exact. It also means that a policy about one dataset is not type-checked against
//! another one, whose columns may bear the same names with other types.

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, UnaryOp, Var};
use dataos_model::entity::{EntityType, EntityUid};

use crate::{
    conditions::{entity, links},
    convert::tree_type,
    index::Key,
    version::Placed,
};

/// Which of the two entities of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Principal,
    Resource,
}

/// A condition on type, name and ancestors alone. Never fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Constant(bool),
    Type(Side, EntityType),
    Is(Side, EntityUid),
    In(Side, Vec<EntityUid>),
    Not(Box<Fact>),
    All(Vec<Fact>),
    Any(Vec<Fact>),
}

/// The facts that the conditions start with; all must hold.
pub(crate) fn leading(clauses: &[Clause]) -> Vec<Fact> {
    let mut facts = Vec::new();
    for clause in clauses {
        match clause {
            Clause::Unless(expression) => match fact(expression) {
                Some(fact) => facts.push(Fact::Not(Box::new(fact))),
                None => return facts,
            },
            Clause::When(expression) => {
                for link in links(expression, BinaryOp::And) {
                    match fact(link) {
                        Some(fact) => facts.push(fact),
                        None => return facts,
                    }
                }
            }
        }
    }
    facts
}

/// The key under which a policy with these facts may be filed instead of an open scope.
pub(crate) fn key(facts: &[Fact], wanted: Side) -> Option<Key> {
    facts.iter().find_map(|fact| match fact {
        Fact::Is(side, uid) if *side == wanted => Some(Key::Entity(uid.clone())),
        Fact::In(side, uids) if *side == wanted => match uids.as_slice() {
            [uid] => Some(Key::Entity(uid.clone())),
            _ => None,
        },
        _ => None,
    })
}

/// Whether the facts do not rule the policy out; an entity that is not given may be any.
pub(crate) fn may_hold(
    facts: &[Fact],
    principal: Option<&Placed>,
    resource: Option<&Placed>,
) -> bool {
    facts
        .iter()
        .all(|fact| fact.holds(principal, resource) != Some(false))
}

impl Fact {
    /// Whether it holds; `None` if that depends on an entity that is not given.
    fn holds(&self, principal: Option<&Placed>, resource: Option<&Placed>) -> Option<bool> {
        let placed = |side: &Side| match side {
            Side::Principal => principal,
            Side::Resource => resource,
        };
        let inner = |fact: &Self| fact.holds(principal, resource);
        match self {
            Self::Constant(value) => Some(*value),
            Self::Type(side, wanted) => Some(placed(side)?.entity.uid.entity_type == *wanted),
            Self::Is(side, wanted) => Some(placed(side)?.entity.uid == *wanted),
            Self::In(side, wanted) => {
                let placed = placed(side)?;
                let is_in =
                    |uid: &EntityUid| placed.entity.uid == *uid || placed.ancestors.contains(uid);
                Some(wanted.iter().any(is_in))
            }
            Self::Not(fact) => inner(fact).map(|value| !value),
            Self::All(facts) => decided(facts.iter().map(inner), false),
            Self::Any(facts) => decided(facts.iter().map(inner), true),
        }
    }
}

/// `decisive` if one value is that, unknown if one is unknown, else the opposite.
fn decided(values: impl Iterator<Item = Option<bool>>, decisive: bool) -> Option<bool> {
    let mut is_unknown = false;
    for value in values {
        match value {
            Some(value) if value == decisive => return Some(decisive),
            Some(_) => {}
            None => is_unknown = true,
        }
    }
    if is_unknown { None } else { Some(!decisive) }
}

fn fact(expression: &Expr) -> Option<Fact> {
    match expression {
        Expr::Literal(Literal::Bool(value)) => Some(Fact::Constant(*value)),
        Expr::Is {
            expr,
            entity_type,
            in_expr,
        } => {
            let side = side(expr)?;
            let is_type = Fact::Type(side, tree_type(entity_type));
            match in_expr {
                None => Some(is_type),
                Some(uids) => Some(Fact::All(vec![is_type, Fact::In(side, literals(uids)?)])),
            }
        }
        Expr::UnaryOp {
            op: UnaryOp::Not,
            expr,
        } => Some(Fact::Not(Box::new(fact(expr)?))),
        Expr::BinaryOp { op, left, right } => match op {
            BinaryOp::In => Some(Fact::In(side(left)?, literals(right)?)),
            BinaryOp::Eq => is(left, right).or_else(|| is(right, left)),
            BinaryOp::NotEq => Some(Fact::Not(Box::new(
                is(left, right).or_else(|| is(right, left))?,
            ))),
            BinaryOp::And => chain(expression, BinaryOp::And).map(Fact::All),
            BinaryOp::Or => chain(expression, BinaryOp::Or).map(Fact::Any),
            _ => None,
        },
        _ => None,
    }
}

/// The facts of a chain of one operator; `None` if one link is no fact.
fn chain(expression: &Expr, wanted: BinaryOp) -> Option<Vec<Fact>> {
    links(expression, wanted).into_iter().map(fact).collect()
}

fn is(variable: &Expr, literal: &Expr) -> Option<Fact> {
    match literal {
        Expr::Literal(Literal::EntityUID(uid)) => Some(Fact::Is(side(variable)?, entity(uid))),
        _ => None,
    }
}

fn side(expression: &Expr) -> Option<Side> {
    match expression {
        Expr::Var(Var::Principal) => Some(Side::Principal),
        Expr::Var(Var::Resource) => Some(Side::Resource),
        _ => None,
    }
}

/// The entities of a literal or a set of literals.
pub(crate) fn literals(expression: &Expr) -> Option<Vec<EntityUid>> {
    let literal = |expression: &Expr| match expression {
        Expr::Literal(Literal::EntityUID(uid)) => Some(entity(uid)),
        _ => None,
    };
    match expression {
        Expr::Set(items) => items.iter().map(|item| literal(item)).collect(),
        other => Some(vec![literal(other)?]),
    }
}
