//! Forbids whose condition can fail.
//!
//! Cedar skips a policy that fails. A skipped permit is safe; a skipped forbid lets through what it
//! was written to stop.

use std::collections::BTreeSet;

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, UnaryOp};
use serde_json::Value as Json;

use super::super::{
    candidate::Candidate,
    finding::{Finding, Rule},
};

/// Forbids that can fail.
pub(super) fn findings(candidate: &Candidate<'_>) -> Vec<Finding> {
    let walk = Walk {
        references: references(candidate.schema.document()),
    };
    let mut findings = Vec::new();
    for item in &candidate.items {
        if item.policy.reference.effect_is_permit {
            continue;
        }
        let mut present = Present::default();
        for clause in &item.shape.clauses {
            let (Clause::When(expression) | Clause::Unless(expression)) = clause;
            if let Some(cause) = walk.failure(expression, &present) {
                let message = format!("forbid `{}` can fail: {cause}", item.id());
                findings
                    .push(item.finding(Rule::ForbidCanFail, message).with_hint(
                        "a policy that fails is skipped, so nothing would be forbidden",
                    ));
                break;
            }
            let is_true = matches!(clause, Clause::When(_));
            present.extend(known_present(expression, is_true));
        }
    }
    findings
}

/// Attributes of things, as text, that are known to be there.
type Present = BTreeSet<String>;

struct Walk {
    /// Names of attributes that hold an entity, which may be one that is not known.
    references: BTreeSet<String>,
}

impl Walk {
    /// Why the expression can fail where these attributes are present.
    fn failure(&self, expression: &Expr, present: &Present) -> Option<String> {
        match expression {
            Expr::BinaryOp { op, left, right } => self.binary(*op, left, right, present),
            Expr::IfThenElse {
                cond,
                then_expr,
                else_expr,
            } => self
                .failure(cond, present)
                .or_else(|| self.behind(cond, true, then_expr, present))
                .or_else(|| self.behind(cond, false, else_expr, present)),
            Expr::UnaryOp { op, expr } => {
                let own = || match op {
                    UnaryOp::Neg if !is_constant(expr) => Some(format!("`-({expr})` can overflow")),
                    UnaryOp::ToDate if !is_constant(expr) => {
                        Some(format!("`{expr}.toDate()` can overflow"))
                    }
                    UnaryOp::Decimal | UnaryOp::Datetime | UnaryOp::Duration | UnaryOp::Ip
                        if !is_constant(expr) =>
                    {
                        Some(format!("`{expression}` fails for a text that is none"))
                    }
                    _ => None,
                };
                self.failure(expr, present).or_else(own)
            }
            Expr::GetAttr { expr, attr } => {
                let own = || {
                    let is_there = present.contains(&attribute(expr, attr));
                    (self.may_be_unknown(expr) && !is_there)
                        .then(|| format!("`{expression}` fails if `{expr}` is not a known entity"))
                };
                self.failure(expr, present).or_else(own)
            }
            Expr::HasAttr { expr, .. } | Expr::Like { expr, .. } => self.failure(expr, present),
            Expr::Is { expr, in_expr, .. } => {
                let inner = || self.failure(in_expr.as_ref()?, present);
                self.failure(expr, present).or_else(inner)
            }
            Expr::Set(items) => items.iter().find_map(|item| self.failure(item, present)),
            Expr::Record(fields) => fields
                .values()
                .find_map(|field| self.failure(field, present)),
            _ => None,
        }
    }

    fn binary(&self, op: BinaryOp, left: &Expr, right: &Expr, present: &Present) -> Option<String> {
        let first = self.failure(left, present);
        match op {
            BinaryOp::And => first.or_else(|| self.behind(left, true, right, present)),
            BinaryOp::Or => first.or_else(|| self.behind(left, false, right, present)),
            BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Offset
            | BinaryOp::DurationSince => {
                let own = || {
                    let is_fixed = is_constant(left) && is_constant(right);
                    (!is_fixed).then(|| format!("`{op}` of `{left}` and `{right}` can overflow"))
                };
                first.or_else(|| self.failure(right, present)).or_else(own)
            }
            _ => first.or_else(|| self.failure(right, present)),
        }
    }

    /// `behind` is only evaluated where `test` came out as `outcome`.
    fn behind(
        &self,
        test: &Expr,
        outcome: bool,
        behind: &Expr,
        present: &Present,
    ) -> Option<String> {
        let mut present = present.clone();
        present.extend(known_present(test, outcome));
        self.failure(behind, &present)
    }

    /// Whether this is an entity other than those of the request, which are always known.
    fn may_be_unknown(&self, expression: &Expr) -> bool {
        match expression {
            Expr::Literal(Literal::EntityUID(_)) => true,
            Expr::GetAttr { attr, .. } => self.references.contains(attr.as_str()),
            Expr::IfThenElse {
                then_expr,
                else_expr,
                ..
            } => self.may_be_unknown(then_expr) || self.may_be_unknown(else_expr),
            _ => false,
        }
    }
}

fn attribute(expression: &Expr, name: &str) -> String {
    format!("{expression}.{name}")
}

/// Attributes that are certainly there where the expression has this outcome.
fn known_present(expression: &Expr, outcome: bool) -> Present {
    match (expression, outcome) {
        (Expr::HasAttr { expr, attrs }, true) => Present::from([attribute(expr, attrs.first())]),
        (
            Expr::UnaryOp {
                op: UnaryOp::Not,
                expr,
            },
            _,
        ) => known_present(expr, !outcome),
        (
            Expr::BinaryOp {
                op: BinaryOp::And,
                left,
                right,
            },
            true,
        )
        | (
            Expr::BinaryOp {
                op: BinaryOp::Or,
                left,
                right,
            },
            false,
        ) => {
            let mut present = known_present(left, outcome);
            present.extend(known_present(right, outcome));
            present
        }
        _ => Present::new(),
    }
}

/// Whether it has the same value in every request; one that always fails is told as never matching.
fn is_constant(expression: &Expr) -> bool {
    match expression {
        Expr::Literal(_) => true,
        Expr::UnaryOp { expr, .. } => is_constant(expr),
        Expr::BinaryOp { left, right, .. } => is_constant(left) && is_constant(right),
        _ => false,
    }
}

/// Names of all attributes of the schema that hold an entity.
fn references(document: &Json) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut types = BTreeSet::new();
    let namespaces = || {
        document
            .as_object()
            .into_iter()
            .flat_map(|all| all.values())
    };
    // All types first: a common type may stand for one of another namespace.
    for namespace in namespaces() {
        let declared = namespace.get("entityTypes").and_then(Json::as_object);
        types.extend(declared.into_iter().flat_map(|all| all.keys().cloned()));
    }
    for namespace in namespaces() {
        let common = namespace.get("commonTypes").and_then(Json::as_object);
        let other_names: Vec<String> = common
            .into_iter()
            .flatten()
            .filter(|(_, meaning)| is_entity(meaning, &types))
            .map(|(name, _)| name.clone())
            .collect();
        types.extend(other_names);
    }
    collect_references(document, &types, &mut found);
    found
}

fn collect_references(value: &Json, types: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    match value {
        Json::Object(fields) => {
            if let Some(attributes) = fields.get("attributes").and_then(Json::as_object) {
                let holding = attributes
                    .iter()
                    .filter(|(_, attribute)| is_entity(attribute, types));
                found.extend(holding.map(|(name, _)| name.clone()));
            }
            fields
                .values()
                .for_each(|field| collect_references(field, types, found));
        }
        Json::Array(items) => items
            .iter()
            .for_each(|item| collect_references(item, types, found)),
        _ => {}
    }
}

/// Whether an attribute of the schema is declared to hold an entity.
fn is_entity(attribute: &Json, types: &BTreeSet<String>) -> bool {
    let text = |name: &str| attribute.get(name).and_then(Json::as_str);
    match text("type") {
        Some("Entity") => true,
        Some("EntityOrCommon") => text("name").is_some_and(|name| {
            let basename = name.rsplit("::").next().unwrap_or(name);
            types.contains(basename)
        }),
        _ => false,
    }
}
