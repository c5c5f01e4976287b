//! What can be read off a policy's conditions without evaluating them.

use std::sync::Arc;

use cedar_policy::pst::{BinaryOp, Clause, EntityUID, Expr, Literal, Var};
use dataos_model::entity::EntityUid;

use crate::convert::tree_type;

/// Conditions nested deeper than this are evaluated on a big stack. Up to here they fit any thread's,
/// with the large frames of an unoptimised build; a test holds them to 1 MiB.
pub(crate) const DEPTH_INLINE_MAX: usize = 24;

/// Whether evaluating the clause needs a big stack.
pub(crate) fn is_deep(clause: &Clause) -> bool {
    depth(expression(clause)) > DEPTH_INLINE_MAX
}

/// Entities named in the clause whose attributes, tags or ancestors it may ask for.
pub(crate) fn looked_into(clause: &Clause) -> Vec<EntityUid> {
    let mut found = Vec::new();
    collect(expression(clause), false, &mut found);
    found
}

/// Whether the clause types alike on rows of all datasets: it asks nothing for an attribute but the
/// principal and the context, neither of which is a row.
pub(crate) fn is_column_free(clause: &Clause) -> bool {
    fn is_free(expression: &Expr) -> bool {
        let is_of_caller = match expression {
            Expr::GetAttr { expr, .. } => is_caller(expr),
            Expr::HasAttr { expr, attrs } => attrs.len() == 1 && is_caller(expr),
            _ => true,
        };
        is_of_caller && children(expression).into_iter().all(is_free)
    }
    fn is_caller(expression: &Expr) -> bool {
        matches!(expression, Expr::Var(Var::Principal | Var::Context))
    }
    is_free(expression(clause))
}

/// A Cedar uid of the syntax tree as the domain names it.
pub(crate) fn entity(uid: &EntityUID) -> EntityUid {
    tree_type(&uid.ty).id(uid.eid.as_str())
}

/// The links of a chain of one operator, left to right: of `a && b && c` the three.
pub(crate) fn links(expression: &Expr, wanted: BinaryOp) -> Vec<&Expr> {
    let mut links = Vec::new();
    let mut waiting = vec![expression];
    while let Some(expression) = waiting.pop() {
        match expression {
            Expr::BinaryOp { op, left, right } if *op == wanted => {
                waiting.push(right);
                waiting.push(left);
            }
            link => links.push(link),
        }
    }
    links
}

fn expression(clause: &Clause) -> &Expr {
    match clause {
        Clause::When(expression) | Clause::Unless(expression) => expression,
    }
}

fn depth(expression: &Expr) -> usize {
    1 + children(expression)
        .into_iter()
        .map(depth)
        .max()
        .unwrap_or(0)
}

fn collect(expression: &Expr, is_looked_into: bool, found: &mut Vec<EntityUid>) {
    match expression {
        Expr::Literal(Literal::EntityUID(uid)) if is_looked_into => found.push(entity(uid)),
        Expr::GetAttr { expr, .. } | Expr::HasAttr { expr, .. } => collect(expr, true, found),
        Expr::Is { expr, in_expr, .. } => {
            collect(expr, in_expr.is_some(), found);
            in_expr.iter().for_each(|expr| collect(expr, false, found));
        }
        Expr::BinaryOp {
            op: BinaryOp::In | BinaryOp::HasTag | BinaryOp::GetTag,
            left,
            right,
        } => {
            collect(left, true, found);
            collect(right, false, found);
        }
        Expr::IfThenElse {
            cond,
            then_expr,
            else_expr,
        } => {
            collect(cond, false, found);
            collect(then_expr, is_looked_into, found);
            collect(else_expr, is_looked_into, found);
        }
        Expr::Record(_) | Expr::Set(_) => {
            children(expression)
                .into_iter()
                .for_each(|expr| collect(expr, is_looked_into, found));
        }
        _ => children(expression)
            .into_iter()
            .for_each(|expr| collect(expr, false, found)),
    }
}

fn children(expression: &Expr) -> Vec<&Expr> {
    fn all<'a>(parts: impl IntoIterator<Item = &'a Arc<Expr>>) -> Vec<&'a Expr> {
        parts.into_iter().map(Arc::as_ref).collect()
    }
    match expression {
        Expr::UnaryOp { expr, .. }
        | Expr::GetAttr { expr, .. }
        | Expr::HasAttr { expr, .. }
        | Expr::Like { expr, .. } => all([expr]),
        Expr::BinaryOp { left, right, .. } => all([left, right]),
        Expr::Is { expr, in_expr, .. } => all(std::iter::once(expr).chain(in_expr)),
        Expr::IfThenElse {
            cond,
            then_expr,
            else_expr,
        } => all([cond, then_expr, else_expr]),
        Expr::Set(items) => all(items),
        Expr::Record(fields) => all(fields.values()),
        // Literals and variables. A kind of node that is added later has to be listed above before
        // the pinned version of Cedar is raised; a test holds all kinds against this function.
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
