//! Why a request is denied: the permits that came nearest, what they lack, and whether it would do.

use std::{collections::HashSet, sync::Arc};

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, Var};
use dataos_model::{
    decision::{Effect, Reason, Request},
    entity::{EntityType, EntityUid},
    explain::{Explanation, NEAREST_MAX, NearMiss},
    value::Value,
};

use crate::{
    conditions::{entity, links},
    decide::Engine,
    facts::Side,
    program::{Constraint, Node, World},
    source::{LoadedPolicy, constraints},
    version::Version,
};

/// Most permits that are looked at for one explanation.
const CONSIDERED_MAX: usize = 64;

/// One condition of a policy, as a person reads it.
#[derive(Clone, Debug)]
pub(crate) struct Conjunct {
    /// Cedar text.
    text: String,
    /// How a request would have to be for it to hold.
    supposed: Supposed,
}

#[derive(Clone, Debug)]
enum Supposed {
    /// The principal is in this group, role or tag.
    Parent(EntityUid),
    /// The principal has this attribute.
    Attribute(String, String),
    /// The context says so.
    Context(String, Value),
    /// Whatever gives the value makes it hold, such as `context has purpose`.
    Presence,
    /// Nothing that a request could bring.
    Nothing,
}

impl Version {
    /// The decision, and for a deny that no policy demands the nearest permits.
    pub(crate) fn explain(&self, request: &Request, engine: Engine) -> Explanation {
        let decision = self.decide(request, engine);
        let nearest = if decision.effect == Effect::Deny && decision.reason == Reason::NoPermit {
            self.nearest(request)
        } else {
            Vec::new()
        };
        Explanation { decision, nearest }
    }

    fn nearest(&self, request: &Request) -> Vec<NearMiss> {
        let mut ranked = self.with_failing(request).unwrap_or_default();
        ranked.sort_by(|(left, left_fails), (right, right_fails)| {
            (left_fails.len(), left.id()).cmp(&(right_fails.len(), right.id()))
        });
        ranked.truncate(NEAREST_MAX);
        ranked
            .into_iter()
            .map(|(policy, failing)| self.near_miss(request, policy, &failing))
            .collect()
    }

    /// Permits for the action, each with the positions of its conditions that do not hold.
    fn with_failing(&self, request: &Request) -> Option<Vec<(&Arc<LoadedPolicy>, Vec<usize>)>> {
        let table = self.policies.schema.names.read();
        let (principal, resource) = self.located(&table, request)?;
        let world = World {
            table: &table,
            entities: &self.entities,
            principal: &principal,
            resource: &resource,
            action: request.action,
            context: &request.context,
        };
        let mut seen: HashSet<*const LoadedPolicy> = HashSet::new();
        let considered = self
            .policies
            .index
            .permits_near(request.action, &principal, &resource)
            .filter(|policy| seen.insert(Arc::as_ptr(policy)))
            .take(CONSIDERED_MAX);
        // A permit for other resources is not near, and naming it would say that they exist.
        let is_elsewhere = |node: &Node| {
            matches!(
                node,
                Node::Is(Side::Resource, _) | Node::In(Side::Resource, _)
            )
        };
        let failing = |policy: &Arc<LoadedPolicy>| {
            let mut failing = Vec::new();
            for (position, node) in policy.program.as_ref()?.conditions.iter().enumerate() {
                if world.boolean(node) != Ok(true) {
                    if is_elsewhere(node) {
                        return None;
                    }
                    failing.push(position);
                }
            }
            Some(failing)
        };
        Some(
            considered
                .filter_map(|policy| Some((policy, failing(policy)?)))
                .collect(),
        )
    }

    fn near_miss(
        &self,
        request: &Request,
        policy: &Arc<LoadedPolicy>,
        failing: &[usize],
    ) -> NearMiss {
        let conjuncts = policy.conjuncts.get_or_init(|| conjuncts(policy));
        let failing: Vec<&Conjunct> = failing
            .iter()
            .filter_map(|position| conjuncts.get(*position))
            .collect();
        let line = policy.reference.source.rsplit_once(':');
        NearMiss {
            policy: policy.reference.clone(),
            position: line.and_then(|(_, line)| Some((line.parse().ok()?, 1))),
            failed: failing
                .first()
                .map(|conjunct| conjunct.text.clone())
                .unwrap_or_default(),
            missing: failing
                .iter()
                .map(|conjunct| conjunct.text.clone())
                .collect(),
            suffices: supposing(request, &failing)
                .map(|request| self.decide(&request, Engine::Compiled).is_allowed()),
        }
    }
}

/// The request if all of these held; `None` if one of them is nothing that a request could bring.
fn supposing(request: &Request, failing: &[&Conjunct]) -> Option<Request> {
    let mut request = request.clone();
    let mut is_changed = false;
    for conjunct in failing {
        match &conjunct.supposed {
            Supposed::Nothing => return None,
            Supposed::Presence => continue,
            Supposed::Parent(uid) => {
                let parents = match &uid.entity_type {
                    of if *of == EntityType::GROUP => &mut request.principal.groups,
                    of if *of == EntityType::ROLE => &mut request.principal.roles,
                    _ => &mut request.principal.tags,
                };
                parents.push(uid.id.clone());
            }
            Supposed::Attribute(name, value) => {
                let attributes = &mut request.principal.attributes;
                attributes.insert(name.clone(), value.clone());
            }
            Supposed::Context(name, value) => {
                request.context.insert(name.clone(), value.clone());
            }
        }
        is_changed = true;
    }
    is_changed.then_some(request)
}

/// The conditions of a policy in the order of its program's.
fn conjuncts(policy: &LoadedPolicy) -> Vec<Conjunct> {
    let (principal, resource) = constraints(&policy.cedar);
    let mut found = Vec::new();
    scope("principal", &principal, &mut found);
    scope("resource", &resource, &mut found);
    let Ok(cedar_policy::pst::Policy::Static(tree)) = policy.cedar.to_pst() else {
        return found;
    };
    for clause in tree.body().clauses() {
        match clause {
            Clause::When(expression) => {
                for link in links(expression, BinaryOp::And) {
                    match link {
                        // The program has type and place of `is .. in` apart.
                        Expr::Is {
                            expr,
                            entity_type,
                            in_expr: Some(target),
                        } => {
                            found
                                .push(known(format!("{expr} is {entity_type}"), Supposed::Nothing));
                            found.push(Conjunct {
                                text: format!("{expr} in {target}"),
                                supposed: in_supposed(expr, target),
                            });
                        }
                        other => found.push(Conjunct {
                            text: other.to_string(),
                            supposed: supposed(other),
                        }),
                    }
                }
            }
            Clause::Unless(expression) => {
                found.push(known(format!("!({expression})"), Supposed::Nothing));
            }
        }
    }
    found
}

fn known(text: String, supposed: Supposed) -> Conjunct {
    Conjunct { text, supposed }
}

fn scope(variable: &str, constraint: &Constraint, found: &mut Vec<Conjunct>) {
    let parent = |uid: &EntityUid| {
        if variable == "principal" {
            parent(uid)
        } else {
            Supposed::Nothing
        }
    };
    match constraint {
        Constraint::Any => {}
        Constraint::Is(of) => found.push(is(variable, of)),
        Constraint::Eq(uid) => {
            found.push(known(format!("{variable} == {uid}"), Supposed::Nothing));
        }
        Constraint::In(uid) => found.push(known(format!("{variable} in {uid}"), parent(uid))),
        Constraint::IsIn(of, uid) => {
            found.push(is(variable, of));
            found.push(known(format!("{variable} in {uid}"), parent(uid)));
        }
    }
}

fn is(variable: &str, of: &EntityType) -> Conjunct {
    let text = format!("{variable} is {}", of.whole_name());
    known(text, Supposed::Nothing)
}

fn parent(uid: &EntityUid) -> Supposed {
    let can_be_given = [EntityType::GROUP, EntityType::ROLE, EntityType::TAG];
    if can_be_given.contains(&uid.entity_type) {
        Supposed::Parent(uid.clone())
    } else {
        Supposed::Nothing
    }
}

fn supposed(expression: &Expr) -> Supposed {
    match expression {
        Expr::HasAttr { expr, .. } if matches!(**expr, Expr::Var(Var::Context)) => {
            Supposed::Presence
        }
        Expr::BinaryOp { op, left, right } => match op {
            BinaryOp::HasTag if matches!(**left, Expr::Var(Var::Principal)) => Supposed::Presence,
            BinaryOp::In => in_supposed(left, right),
            BinaryOp::Eq => equal(left, right)
                .or_else(|| equal(right, left))
                .unwrap_or(Supposed::Nothing),
            _ => Supposed::Nothing,
        },
        _ => Supposed::Nothing,
    }
}

/// The first of several groups or roles will do.
fn in_supposed(left: &Expr, right: &Expr) -> Supposed {
    let first = match (left, right) {
        (Expr::Var(Var::Principal), Expr::Set(items)) => items.first().map(|item| item.as_ref()),
        (Expr::Var(Var::Principal), other) => Some(other),
        _ => None,
    };
    match first {
        Some(Expr::Literal(Literal::EntityUID(uid))) => parent(&entity(uid)),
        _ => Supposed::Nothing,
    }
}

fn equal(place: &Expr, literal: &Expr) -> Option<Supposed> {
    let Expr::Literal(literal) = literal else {
        return None;
    };
    match (place, literal) {
        (Expr::GetAttr { expr, attr }, _) if matches!(**expr, Expr::Var(Var::Context)) => {
            let value = match literal {
                Literal::Bool(value) => Value::Bool(*value),
                Literal::Long(value) => Value::Long(*value),
                Literal::String(text) => Value::String(text.to_string()),
                _ => return None,
            };
            Some(Supposed::Context(attr.to_string(), value))
        }
        (
            Expr::BinaryOp {
                op: BinaryOp::GetTag,
                left,
                right,
            },
            Literal::String(value),
        ) => match (left.as_ref(), right.as_ref()) {
            (Expr::Var(Var::Principal), Expr::Literal(Literal::String(key))) => {
                Some(Supposed::Attribute(key.to_string(), value.to_string()))
            }
            _ => None,
        },
        _ => None,
    }
}
