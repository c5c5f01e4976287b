//! A policy as far as lints look at it: its scope, and its conditions as a set of conjuncts.

use std::collections::BTreeSet;

use cedar_policy::{
    PrincipalConstraint, ResourceConstraint,
    pst::{BinaryOp, Clause, Expr, Literal, Policy as SyntaxTree, Var},
};
use dataos_model::entity::{EntityType, EntityUid};

use crate::{
    conditions::{entity, links},
    convert::{model_type, model_uid},
    source::LoadedPolicy,
};

/// Which principals or resources the scope lets through.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    Any,
    Is(EntityType),
    In(EntityUid),
    IsIn(EntityType, EntityUid),
    Eq(EntityUid),
}

/// Scope and conditions.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) principal: Reach,
    pub(super) resource: Reach,
    pub(super) clauses: Vec<Clause>,
    /// What must all be true for the policy to apply, as text; order does not matter.
    pub(super) conjuncts: BTreeSet<String>,
}

impl Reach {
    /// Whether everything that `other` lets through passes here too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Is(wanted), Self::Is(found) | Self::IsIn(found, _)) => wanted == found,
            (Self::Is(wanted), Self::Eq(uid)) => *wanted == uid.entity_type,
            (Self::In(wanted), Self::In(uid) | Self::IsIn(_, uid) | Self::Eq(uid))
            | (Self::Eq(wanted), Self::Eq(uid)) => wanted == uid,
            (Self::IsIn(wanted, above), Self::IsIn(found, uid)) => wanted == found && above == uid,
            (Self::IsIn(wanted, above), Self::Eq(uid)) => {
                *wanted == uid.entity_type && above == uid
            }
            _ => false,
        }
    }

    /// Every reach that may cover this one and is not itself, for lookups.
    pub(super) fn wider(&self) -> Vec<Self> {
        let mut wider = vec![Self::Any, self.clone()];
        match self {
            Self::Any | Self::Is(_) | Self::In(_) => {}
            Self::IsIn(entity_type, uid) => {
                wider.extend([Self::Is(entity_type.clone()), Self::In(uid.clone())]);
            }
            Self::Eq(uid) => {
                let entity_type = uid.entity_type.clone();
                wider.extend([
                    Self::Is(entity_type.clone()),
                    Self::In(uid.clone()),
                    Self::IsIn(entity_type, uid.clone()),
                ]);
            }
        }
        wider.sort();
        wider.dedup();
        wider
    }

    fn of_principal(constraint: PrincipalConstraint) -> Self {
        match constraint {
            PrincipalConstraint::Any => Self::Any,
            PrincipalConstraint::Is(name) => Self::Is(model_type(&name)),
            PrincipalConstraint::In(uid) => Self::In(model_uid(&uid)),
            PrincipalConstraint::Eq(uid) => Self::Eq(model_uid(&uid)),
            PrincipalConstraint::IsIn(name, uid) => Self::IsIn(model_type(&name), model_uid(&uid)),
        }
    }

    fn of_resource(constraint: ResourceConstraint) -> Self {
        match constraint {
            ResourceConstraint::Any => Self::Any,
            ResourceConstraint::Is(name) => Self::Is(model_type(&name)),
            ResourceConstraint::In(uid) => Self::In(model_uid(&uid)),
            ResourceConstraint::Eq(uid) => Self::Eq(model_uid(&uid)),
            ResourceConstraint::IsIn(name, uid) => Self::IsIn(model_type(&name), model_uid(&uid)),
        }
    }
}

impl Shape {
    pub(super) fn of(policy: &LoadedPolicy) -> Self {
        let clauses = match policy.cedar.to_pst() {
            Ok(SyntaxTree::Static(tree)) => tree.body().clauses().clone(),
            // Loading made the same tree, so there is one.
            _ => Vec::new(),
        };
        let mut conjuncts = BTreeSet::new();
        for clause in &clauses {
            match clause {
                Clause::When(expression) => {
                    let parts = links(expression, BinaryOp::And);
                    conjuncts.extend(parts.into_iter().map(ToString::to_string));
                }
                Clause::Unless(expression) => {
                    let parts = links(expression, BinaryOp::Or);
                    conjuncts.extend(parts.into_iter().map(|part| format!("not {part}")));
                }
            }
        }
        Self {
            principal: Reach::of_principal(policy.cedar.principal_constraint()),
            resource: Reach::of_resource(policy.cedar.resource_constraint()),
            clauses,
            conjuncts,
        }
    }

    /// Sets of entities such that the variable must be one of each set, or in one of it: from the
    /// scope, and from the conjuncts of `when`.
    pub(super) fn bounds(&self, variable: &Var) -> Vec<Vec<EntityUid>> {
        let scope = match variable {
            Var::Principal => &self.principal,
            _ => &self.resource,
        };
        let mut bounds = Vec::new();
        if let Reach::In(uid) | Reach::Eq(uid) | Reach::IsIn(_, uid) = scope {
            bounds.push(vec![uid.clone()]);
        }
        for clause in &self.clauses {
            if let Clause::When(expression) = clause {
                let parts = links(expression, BinaryOp::And);
                bounds.extend(parts.into_iter().filter_map(|part| bound(part, variable)));
            }
        }
        bounds
    }
}

/// The entities of `variable == uid`, `variable in uid` or `variable in [uid, ...]`.
fn bound(expression: &Expr, variable: &Var) -> Option<Vec<EntityUid>> {
    let is_variable =
        |expression: &Expr| matches!(expression, Expr::Var(found) if found == variable);
    match expression {
        Expr::BinaryOp {
            op: BinaryOp::In | BinaryOp::Eq,
            left,
            right,
        } if is_variable(left) => literals(right),
        Expr::Is {
            expr,
            in_expr: Some(uids),
            ..
        } if is_variable(expr) => literals(uids),
        _ => None,
    }
}

fn literals(expression: &Expr) -> Option<Vec<EntityUid>> {
    match expression {
        Expr::Literal(Literal::EntityUID(uid)) => Some(vec![entity(uid)]),
        Expr::Set(items) => {
            let found = items.iter().map(|item| literals(item));
            Some(found.collect::<Option<Vec<_>>>()?.concat())
        }
        _ => None,
    }
}
