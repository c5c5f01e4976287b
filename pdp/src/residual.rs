//! What Cedar's partial evaluation leaves of a policy -> a row condition of exactly the same meaning.
//!
//! The row stands in the residual as a reserved entity. A node that has no exact counterpart is
//! never approximated: the translation says which node it was.

use std::collections::BTreeSet;

use cedar_policy::Policy;
use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, PatternElem, Policy as Tree, UnaryOp};
use dataos_model::{
    entity::EntityUid,
    predicate::{Arithmetic, Comparison, Expression, LikePiece, Predicate, SetTest},
    value::{IpRange, Value},
};

use crate::{
    conditions::{entity, links},
    totality::cannot_fail,
};

/// Deepest nesting of an expression, after chains of `&&` and `||` are balanced.
const EXPRESSION_DEPTH_MAX: usize = 120;

/// Why a residual has no exact row condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inexact {
    /// The part of the policy.
    pub node: String,
}

/// The condition of a residual policy over the row that `row` stands for.
pub(crate) fn condition(residual: &Policy, row: &EntityUid) -> Result<Expression, Inexact> {
    let tree = residual.to_pst().map_err(|error| Inexact {
        node: error.to_string(),
    })?;
    let Tree::Static(policy) = tree else {
        return Err(Inexact {
            node: "a template".to_owned(),
        });
    };
    let translator = Translator { row };
    let clauses = policy.body().clauses().iter().map(|clause| match clause {
        Clause::When(expression) => translator.expression(expression, 0),
        Clause::Unless(expression) => translator.expression(expression, 0).map(negated),
    });
    let clauses = clauses.collect::<Result<Vec<_>, _>>()?;
    if clauses.is_empty() {
        return Ok(Expression::Literal(Value::Bool(true)));
    }
    Ok(balanced(clauses, Expression::And))
}

/// Where the condition is true. A conjunction is true exactly if both sides are, whatever fails, so
/// it becomes a list; nothing of the kind holds for `||`.
pub(crate) fn satisfied(condition: Expression) -> Predicate {
    match condition {
        Expression::Literal(value) => Predicate::Constant(value == Value::Bool(true)),
        Expression::Error(_) => Predicate::NEVER,
        Expression::And(left, right) => Predicate::all([satisfied(*left), satisfied(*right)]),
        other => Predicate::Satisfied(other),
    }
}

/// Where the condition is not true: false or failed. If it cannot fail, that is where its negation is
/// true, which a source can use to skip data; a bare "not satisfied" it cannot.
pub(crate) fn unsatisfied(condition: Expression, never_null: &BTreeSet<&str>) -> Predicate {
    if cannot_fail(&condition, never_null) {
        satisfied(negated(condition))
    } else {
        satisfied(condition).negated()
    }
}

/// `!e`, moved inwards where that is the same in every row, failures included.
pub(crate) fn negated(expression: Expression) -> Expression {
    let boxed = |inner: Box<Expression>| Box::new(negated(*inner));
    match expression {
        Expression::Literal(Value::Bool(value)) => Expression::Literal(Value::Bool(!value)),
        Expression::Error(text) => Expression::Error(text),
        Expression::Not(inner) => *inner,
        // Validation has made sure that both sides have one ordered type.
        Expression::Compare(Comparison::Less, left, right) => {
            Expression::Compare(Comparison::LessOrEqual, right, left)
        }
        Expression::Compare(Comparison::LessOrEqual, left, right) => {
            Expression::Compare(Comparison::Less, right, left)
        }
        Expression::And(left, right) => Expression::Or(boxed(left), boxed(right)),
        Expression::Or(left, right) => Expression::And(boxed(left), boxed(right)),
        Expression::If(test, yes, no) => Expression::If(test, boxed(yes), boxed(no)),
        other => Expression::Not(Box::new(other)),
    }
}

struct Translator<'a> {
    row: &'a EntityUid,
}

type Translated = Result<Expression, Inexact>;

impl Translator<'_> {
    fn expression(&self, node: &Expr, depth: usize) -> Translated {
        if depth > EXPRESSION_DEPTH_MAX {
            let node = format!("nested deeper than {EXPRESSION_DEPTH_MAX} (EXPRESSION_DEPTH_MAX)");
            return Err(Inexact { node });
        }
        let inner = |node: &Expr| self.expression(node, depth + 1).map(Box::new);
        match node {
            Expr::Literal(literal) => self.literal(literal),
            Expr::UnaryOp { op, expr } => self.unary(node, *op, expr, depth),
            Expr::BinaryOp {
                op: BinaryOp::And, ..
            } => self.chain(node, BinaryOp::And, Expression::And, depth),
            Expr::BinaryOp {
                op: BinaryOp::Or, ..
            } => self.chain(node, BinaryOp::Or, Expression::Or, depth),
            Expr::BinaryOp { op, left, right } => self.binary(node, *op, left, right, depth),
            Expr::GetAttr { expr, attr } if self.is_row(expr) => {
                Ok(Expression::Column(attr.to_string()))
            }
            Expr::GetAttr { expr, attr } if matches!(**expr, Expr::Record(_)) => {
                Ok(Expression::Field(inner(expr)?, attr.to_string()))
            }
            Expr::HasAttr { expr, attrs } if attrs.len() == 1 => {
                let name = attrs.first().to_string();
                match **expr {
                    Expr::Record(_) => Ok(Expression::HasField(inner(expr)?, name)),
                    _ if self.is_row(expr) => Ok(Expression::Present(name)),
                    _ => Err(inexact(node)),
                }
            }
            Expr::Like { expr, pattern } => Ok(Expression::Like(inner(expr)?, pieces(pattern))),
            Expr::IfThenElse {
                cond,
                then_expr,
                else_expr,
            } => Ok(Expression::If(
                inner(cond)?,
                inner(then_expr)?,
                inner(else_expr)?,
            )),
            Expr::Set(items) => {
                let items: Result<Vec<_>, _> = items
                    .iter()
                    .map(|item| self.expression(item, depth + 1))
                    .collect();
                Ok(set(items?))
            }
            Expr::Record(fields) => {
                let fields: Result<_, Inexact> = fields
                    .iter()
                    .map(|(name, field)| Ok((name.clone(), self.expression(field, depth + 1)?)))
                    .collect();
                Ok(Expression::Record(fields?))
            }
            Expr::ResidualError => Ok(Expression::Error(
                "the policy fails here for every row".to_owned(),
            )),
            // Variables are all known, `is` and `in` fold away since types and ancestors are known,
            // and slots do not occur in static policies: nothing else is expected.
            other => Err(inexact(other)),
        }
    }

    fn is_row(&self, node: &Expr) -> bool {
        matches!(node, Expr::Literal(Literal::EntityUID(uid)) if entity(uid) == *self.row)
    }

    fn literal(&self, literal: &Literal) -> Translated {
        let value = match literal {
            Literal::Bool(value) => Value::Bool(*value),
            Literal::Long(value) => Value::Long(*value),
            Literal::String(text) => Value::String(text.to_string()),
            Literal::EntityUID(uid) if entity(uid) != *self.row => Value::Entity(entity(uid)),
            // The row itself as a value, or a kind of literal that is not known here.
            other => {
                return Err(Inexact {
                    node: format!("{other:?}"),
                });
            }
        };
        Ok(Expression::Literal(value))
    }

    /// A chain of one operator becomes a balanced tree: `&&` and `||` are associative, with failures
    /// and laziness, and a consumer's recursion stays shallow.
    fn chain(
        &self,
        node: &Expr,
        wanted: BinaryOp,
        build: fn(Box<Expression>, Box<Expression>) -> Expression,
        depth: usize,
    ) -> Translated {
        let links = links(node, wanted).into_iter();
        let links = links.map(|link| self.expression(link, depth + 1));
        let links = links.collect::<Result<Vec<_>, _>>()?;
        Ok(balanced(links, build))
    }

    fn unary(&self, node: &Expr, op: UnaryOp, operand: &Expr, depth: usize) -> Translated {
        let inner = || self.expression(operand, depth + 1);
        let constant = match (op, operand) {
            (UnaryOp::Decimal, Expr::Literal(Literal::String(text))) => decimal(text),
            (UnaryOp::Duration, Expr::Literal(Literal::String(text))) => duration(text),
            (UnaryOp::Ip, Expr::Literal(Literal::String(text))) => ip(text),
            (UnaryOp::Datetime, Expr::Literal(Literal::String(text))) if text == "1970-01-01" => {
                Some(Value::DateTime(0))
            }
            (UnaryOp::Not, _) => return Ok(negated(inner()?)),
            (UnaryOp::Neg, _) => return Ok(Expression::Negate(Box::new(inner()?))),
            (UnaryOp::IsEmpty, _) => return Ok(Expression::IsEmpty(Box::new(inner()?))),
            _ => None,
        };
        constant
            .map(Expression::Literal)
            .ok_or_else(|| inexact(node))
    }

    fn binary(
        &self,
        node: &Expr,
        op: BinaryOp,
        left: &Expr,
        right: &Expr,
        depth: usize,
    ) -> Translated {
        let operands = || -> Result<(Box<Expression>, Box<Expression>), Inexact> {
            let left = Box::new(self.expression(left, depth + 1)?);
            Ok((left, Box::new(self.expression(right, depth + 1)?)))
        };
        let compare = |comparison: Comparison, (left, right)| {
            Ok(Expression::Compare(comparison, left, right))
        };
        let swapped = |(left, right)| (right, left);
        let arithmetic =
            |operator, (left, right)| Ok(Expression::Arithmetic(operator, left, right));
        let sets = |test, (left, right)| Ok(Expression::Sets(test, left, right));
        match op {
            BinaryOp::Eq => compare(Comparison::Equal, operands()?),
            BinaryOp::NotEq => compare(Comparison::Equal, operands()?).map(negated),
            BinaryOp::Less | BinaryOp::DecimalLessThan => compare(Comparison::Less, operands()?),
            BinaryOp::LessEq | BinaryOp::DecimalLessEq => {
                compare(Comparison::LessOrEqual, operands()?)
            }
            BinaryOp::Greater | BinaryOp::DecimalGreater => {
                compare(Comparison::Less, swapped(operands()?))
            }
            BinaryOp::GreaterEq | BinaryOp::DecimalGreaterEq => {
                compare(Comparison::LessOrEqual, swapped(operands()?))
            }
            BinaryOp::Add => arithmetic(Arithmetic::Add, operands()?),
            BinaryOp::Sub => arithmetic(Arithmetic::Subtract, operands()?),
            BinaryOp::Mul => arithmetic(Arithmetic::Multiply, operands()?),
            BinaryOp::Contains => sets(SetTest::Contains, operands()?),
            BinaryOp::ContainsAll => sets(SetTest::ContainsAll, operands()?),
            BinaryOp::ContainsAny => sets(SetTest::ContainsAny, operands()?),
            BinaryOp::IsInRange => {
                let (left, right) = operands()?;
                Ok(Expression::InRange(left, right))
            }
            BinaryOp::Offset => {
                // Only the constant form in which known instants are written.
                let (left, right) = operands()?;
                offset(&left, &right).ok_or_else(|| inexact(node))
            }
            _ => Err(inexact(node)),
        }
    }
}

fn inexact(node: &Expr) -> Inexact {
    Inexact {
        node: node.to_string(),
    }
}

pub(crate) fn balanced(
    mut links: Vec<Expression>,
    build: fn(Box<Expression>, Box<Expression>) -> Expression,
) -> Expression {
    match links.len() {
        0 | 1 => links
            .pop()
            .unwrap_or(Expression::Error("an empty condition".to_owned())),
        count => {
            let right = links.split_off(count / 2);
            build(
                Box::new(balanced(links, build)),
                Box::new(balanced(right, build)),
            )
        }
    }
}

/// A set of constants is a constant.
fn set(items: Vec<Expression>) -> Expression {
    let constants: Option<_> = items
        .iter()
        .map(|item| match item {
            Expression::Literal(value) => Some(value.clone()),
            _ => None,
        })
        .collect();
    match constants {
        Some(values) => Expression::Literal(Value::Set(values)),
        None => Expression::Set(items),
    }
}

pub(crate) fn pieces(pattern: &[PatternElem]) -> Vec<LikePiece> {
    let mut pieces: Vec<LikePiece> = Vec::new();
    for element in pattern {
        match (element, pieces.last_mut()) {
            (PatternElem::Char(character), Some(LikePiece::Text(text))) => text.push(*character),
            (PatternElem::Char(character), _) => {
                pieces.push(LikePiece::Text(character.to_string()));
            }
            (PatternElem::Wildcard, Some(LikePiece::Any)) => {}
            (PatternElem::Wildcard, _) => pieces.push(LikePiece::Any),
        }
    }
    pieces
}

/// Cedar's canonical decimal: `-12.5000`.
pub(crate) fn decimal(text: &str) -> Option<Value> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.')?;
    let is_plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain(whole) || !is_plain(fraction) || fraction.len() > 4 {
        return None;
    }
    let units: i128 = format!("{whole}{fraction:0<4}").parse().ok()?;
    i64::try_from(units * sign).ok().map(Value::Decimal)
}

/// Cedar's canonical duration: `-12ms`.
fn duration(text: &str) -> Option<Value> {
    text.strip_suffix("ms")?.parse().ok().map(Value::Duration)
}

/// Cedar's canonical address or range: `10.0.0.0/8`.
pub(crate) fn ip(text: &str) -> Option<Value> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: std::net::IpAddr = address.parse().ok()?;
    let prefix_bits = match prefix {
        Some(prefix) => prefix.parse().ok()?,
        None => {
            if address.is_ipv4() {
                32
            } else {
                128
            }
        }
    };
    Some(Value::Ip(IpRange {
        address,
        prefix_bits,
    }))
}

fn offset(instant: &Expression, duration: &Expression) -> Option<Expression> {
    match (instant, duration) {
        (
            Expression::Literal(Value::DateTime(instant)),
            Expression::Literal(Value::Duration(duration)),
        ) => instant
            .checked_add(*duration)
            .map(|sum| Expression::Literal(Value::DateTime(sum))),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
