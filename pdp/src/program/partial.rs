//! A program, evaluated as far as it goes without the values of the row.
//!
//! Everything but the columns is known, so what does not touch the row becomes a constant, and what
//! is left is an [`Expression`] with the same value and the same failures in every row.

use std::collections::BTreeMap;

use dataos_model::{dataset::DatasetSchema, predicate::Expression, value::Value};

use super::{Node, Program, Stop, World};
use crate::{
    facts::Side,
    residual::{balanced, negated},
};

/// A row whose columns are known by type only; the resource of the world stands for it.
#[derive(Debug)]
pub(crate) struct Unknown<'a> {
    pub world: &'a World<'a>,
    pub columns: &'a DatasetSchema,
}

impl Program {
    /// What is left of the conditions; stops where Cedar has to be asked.
    pub(crate) fn residual<'a>(&'a self, unknown: &'a Unknown<'a>) -> Result<Expression, Stop> {
        unknown.all(&self.conditions)
    }
}

impl<'a> Unknown<'a> {
    fn all(&'a self, nodes: &'a [Node]) -> Result<Expression, Stop> {
        self.chain(nodes, false, Expression::And)
    }

    /// A chain ends with the first link that is `decisive`.
    fn chain(
        &'a self,
        nodes: &'a [Node],
        decisive: bool,
        build: fn(Box<Expression>, Box<Expression>) -> Expression,
    ) -> Result<Expression, Stop> {
        let mut links = Vec::new();
        for node in nodes {
            let link = self.expression(node)?;
            match link {
                Expression::Literal(Value::Bool(value)) if value != decisive => {}
                Expression::Literal(_) => {
                    links.push(link);
                    break;
                }
                link => links.push(link),
            }
        }
        Ok(if links.is_empty() {
            Expression::Literal(Value::Bool(!decisive))
        } else {
            balanced(links, build)
        })
    }

    fn expression(&'a self, node: &'a Node) -> Result<Expression, Stop> {
        if !touches_row(node) {
            return self.known(node);
        }
        let boxed = |node: &'a Node| self.expression(node).map(Box::new);
        Ok(match node {
            Node::Attribute(of, name) if is_row(of) => {
                self.columns.column(name).ok_or(Stop)?;
                Expression::Column(name.clone())
            }
            Node::Attribute(of, name) => Expression::Field(boxed(of)?, name.clone()),
            Node::Has(of, names) => match names.as_slice() {
                [name] if is_row(of) => self.present(name),
                [name] => Expression::HasField(boxed(of)?, name.clone()),
                _ => return Err(Stop),
            },
            Node::All(nodes) => self.all(nodes)?,
            Node::Any(nodes) => self.chain(nodes, true, Expression::Or)?,
            Node::Not(node) => negated(self.expression(node)?),
            Node::If(test, yes, no) => match self.expression(test)? {
                Expression::Literal(Value::Bool(true)) => self.expression(yes)?,
                Expression::Literal(Value::Bool(false)) => self.expression(no)?,
                test => Expression::If(Box::new(test), boxed(yes)?, boxed(no)?),
            },
            Node::Compare(comparison, left, right) => {
                Expression::Compare(*comparison, boxed(left)?, boxed(right)?)
            }
            Node::Arithmetic(operator, left, right) => {
                Expression::Arithmetic(*operator, boxed(left)?, boxed(right)?)
            }
            Node::Negate(node) => Expression::Negate(boxed(node)?),
            Node::Like(node, pieces) => Expression::Like(boxed(node)?, pieces.clone()),
            Node::Sets(test, left, right) => Expression::Sets(*test, boxed(left)?, boxed(right)?),
            Node::IsEmpty(node) => Expression::IsEmpty(boxed(node)?),
            Node::Set(items) => {
                let items: Result<_, Stop> = items.iter().map(|i| self.expression(i)).collect();
                Expression::Set(items?)
            }
            Node::Record(fields) => {
                let fields: Result<BTreeMap<_, _>, Stop> = fields
                    .iter()
                    .map(|(name, field)| Ok((name.clone(), self.expression(field)?)))
                    .collect();
                Expression::Record(fields?)
            }
            Node::InRange(left, right) => Expression::InRange(boxed(left)?, boxed(right)?),
            // The row as a value, and calendar arithmetic on columns, have no row condition here.
            Node::Literal(_)
            | Node::Entity(_)
            | Node::Context
            | Node::Tag(..)
            | Node::HasTag(..)
            | Node::Offset(..)
            | Node::DurationSince(..)
            | Node::Units(..)
            | Node::Action(_)
            | Node::Is(..)
            | Node::In(..)
            | Node::OfType(..)
            | Node::Under(..)
            | Node::TypeOf(..) => return Err(Stop),
        })
    }

    /// A part that is the same in every row.
    fn known(&'a self, node: &'a Node) -> Result<Expression, Stop> {
        self.world
            .evaluate(node)
            .map(|view| Expression::Literal(view.value()))
    }

    fn present(&self, name: &str) -> Expression {
        let has_attribute =
            |column: &&dataos_model::dataset::Column| column.column_type.attribute_type().is_some();
        match self.columns.column(name).filter(has_attribute) {
            None => Expression::Literal(Value::Bool(false)),
            Some(column) if column.is_nullable => Expression::Present(name.to_owned()),
            Some(_) => Expression::Literal(Value::Bool(true)),
        }
    }
}

fn is_row(node: &Node) -> bool {
    *node == Node::Entity(Side::Resource)
}

/// Whether the value depends on the row. Its type, its name and its ancestors do not.
pub(crate) fn touches_row(node: &Node) -> bool {
    match node {
        Node::Entity(side) => *side == Side::Resource,
        Node::Literal(_)
        | Node::Context
        | Node::Action(_)
        | Node::Is(..)
        | Node::In(..)
        | Node::OfType(..) => false,
        Node::Attribute(node, _)
        | Node::Has(node, _)
        | Node::Not(node)
        | Node::Negate(node)
        | Node::Like(node, _)
        | Node::IsEmpty(node)
        | Node::Units(node, _)
        | Node::TypeOf(node, _) => touches_row(node),
        Node::Tag(left, right)
        | Node::HasTag(left, right)
        | Node::Compare(_, left, right)
        | Node::Arithmetic(_, left, right)
        | Node::Sets(_, left, right)
        | Node::InRange(left, right)
        | Node::Offset(left, right)
        | Node::DurationSince(left, right)
        | Node::Under(left, right) => touches_row(left) || touches_row(right),
        Node::If(test, yes, no) => touches_row(test) || touches_row(yes) || touches_row(no),
        Node::All(nodes) | Node::Any(nodes) | Node::Set(nodes) => nodes.iter().any(touches_row),
        Node::Record(fields) => fields.iter().any(|(_, field)| touches_row(field)),
    }
}
