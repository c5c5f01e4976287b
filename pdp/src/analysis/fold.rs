//! One policy, one kind of request: what is left of its condition when only types are known.
//!
//! Cedar's type-aware partial evaluation folds what does not depend on the unknown; what it folds to
//! a constant is true or false for every request of that kind.

use cedar_policy::{
    PartialEntities, PartialEntity, PartialEntityUid, PartialRequest, Policy, PolicySet, Schema,
    pst::{self, BinaryOp, Clause, Expr, Literal, UnaryOp},
};
use dataos_model::{
    action::Action,
    entity::{EntityType, EntityUid},
};

use crate::{
    convert::{Unrepresentable, cedar_type, cedar_uid},
    schema::BaseSchema,
};

/// Types of principals.
pub(super) const PRINCIPALS: [EntityType; 2] = [EntityType::USER, EntityType::SERVICE];

/// What a condition folds to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folded {
    /// True for every such request.
    Always,
    /// False for every such request, or it fails for every one.
    Never,
    /// It depends, or cannot be told.
    Depends,
}

/// Who asks, as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    principal: PartialEntityUid,
    entities: PartialEntities,
}

impl Asker {
    /// Any principal of a type.
    pub(super) fn of_type(entity_type: &EntityType) -> Result<Self, Unrepresentable> {
        Ok(Self {
            principal: PartialEntityUid::new(cedar_type(entity_type)?, None),
            entities: PartialEntities::empty(),
        })
    }

    /// A principal that is in exactly these, and whose attributes are not known.
    pub(super) fn known(
        uid: &EntityUid,
        ancestors: &[EntityUid],
        schema: &Schema,
    ) -> Result<Self, Unrepresentable> {
        let ancestors: Result<_, Unrepresentable> = ancestors.iter().map(cedar_uid).collect();
        let entity = PartialEntity::new(cedar_uid(uid)?, None, Some(ancestors?), None, schema)
            .map_err(|error| error.to_string())?;
        let entities = PartialEntities::from_partial_entities([entity], schema)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            principal: PartialEntityUid::from_concrete(cedar_uid(uid)?),
            entities,
        })
    }
}

/// A kind of request: an action on a type of resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind<'a> {
    pub(super) action: Action,
    pub(super) resource: &'a EntityType,
}

/// What a policy folds to for one kind of request.
pub(super) fn fold(
    policy: &Policy,
    asker: &Asker,
    kind: Kind<'_>,
    base: &BaseSchema,
    schema: &Schema,
) -> Folded {
    try_fold(policy, asker, kind, base, schema).unwrap_or(Folded::Depends)
}

fn try_fold(
    policy: &Policy,
    asker: &Asker,
    kind: Kind<'_>,
    base: &BaseSchema,
    schema: &Schema,
) -> Option<Folded> {
    let action = base.action(kind.action)?.uid.clone();
    let resource = PartialEntityUid::new(cedar_type(kind.resource).ok()?, None);
    let request =
        PartialRequest::new(asker.principal.clone(), action, resource, None, schema).ok()?;
    let set = PolicySet::from_policies([policy.clone()]).ok()?;
    let response = set.tpe(&request, &asker.entities, schema).ok()?;
    let is_left = response.residual_permits().next().is_some()
        || response.residual_forbids().next().is_some();
    if is_left {
        let can_apply = response
            .residual_policies()
            .any(|left| !matches!(left.to_pst(), Ok(tree) if is_never_true(&tree)));
        return Some(if can_apply {
            Folded::Depends
        } else {
            Folded::Never
        });
    }
    let is_true =
        response.true_permits().next().is_some() || response.true_forbids().next().is_some();
    Some(if is_true {
        Folded::Always
    } else {
        Folded::Never
    })
}

/// Whether what is left can never be satisfied. Cedar keeps `x && false` where `x` can fail; for the
/// question whether a policy applies, failing and false are the same.
fn is_never_true(tree: &pst::Policy) -> bool {
    let pst::Policy::Static(policy) = tree else {
        return false;
    };
    policy.body().clauses().iter().any(|clause| match clause {
        Clause::When(expression) => is_never(expression, true),
        Clause::Unless(expression) => is_never(expression, false),
    })
}

/// Whether the expression never comes out as `wanted`.
fn is_never(expression: &Expr, wanted: bool) -> bool {
    match expression {
        Expr::Literal(Literal::Bool(value)) => *value != wanted,
        Expr::ResidualError => true,
        Expr::UnaryOp {
            op: UnaryOp::Not,
            expr,
        } => is_never(expr, !wanted),
        Expr::BinaryOp {
            op: op @ (BinaryOp::And | BinaryOp::Or),
            left,
            right,
        } => {
            let (left, right) = (is_never(left, wanted), is_never(right, wanted));
            // `and` is true only if both are, and `or` false only if both are.
            if (*op == BinaryOp::And) == wanted {
                left || right
            } else {
                left && right
            }
        }
        _ => false,
    }
}
