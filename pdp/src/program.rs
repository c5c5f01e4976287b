//! Conditions as programs: what Cedar's evaluator would do, over numbers and borrowed values.
//!
//! A program has the meaning of the policy's scope (but for the action) and conditions, for policies
//! and entities that were checked against the schema. Whatever it cannot say (an operator that is
//! not here, an evaluation that fails) is put to stock Cedar instead, so a program never has to
//! reproduce a message, and never decides what it is not sure of.

mod evaluate;
mod partial;

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, UnaryOp, Var};
use dataos_model::{
    action::Action,
    entity::{EntityType, EntityUid},
    predicate::{Arithmetic, Comparison, LikePiece, SetTest},
    value::Value,
};

pub(crate) use evaluate::{Ancestors, Located, Stop, Tags, World, ancestors};
pub(crate) use partial::{Unknown, touches_row};

use crate::{
    conditions::{entity, links},
    convert::tree_type,
    facts::{Side, literals},
    index::Key,
    names::{Name, Names},
    residual::{decimal, ip, pieces},
    schema::{ActionFacts, BaseSchema},
};

/// A part of a condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Literal(Value),
    /// The principal or the resource.
    Entity(Side),
    Context,
    Attribute(Box<Node>, String),
    /// Each name in what the names before lead to.
    Has(Box<Node>, Vec<String>),
    Tag(Box<Node>, Box<Node>),
    HasTag(Box<Node>, Box<Node>),
    /// Left to right; ends with the first that is false.
    All(Vec<Node>),
    /// Left to right; ends with the first that is true.
    Any(Vec<Node>),
    Not(Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    Negate(Box<Node>),
    Like(Box<Node>, Vec<LikePiece>),
    Sets(SetTest, Box<Node>, Box<Node>),
    IsEmpty(Box<Node>),
    Set(Vec<Node>),
    Record(Vec<(String, Node)>),
    InRange(Box<Node>, Box<Node>),
    /// An instant and a duration.
    Offset(Box<Node>, Box<Node>),
    DurationSince(Box<Node>, Box<Node>),
    /// A duration in whole units of so many milliseconds.
    Units(Box<Node>, i64),
    /// Whether the request's action is one of these.
    Action(Vec<Action>),
    /// Whether principal or resource is this entity.
    Is(Side, Name),
    /// Whether principal or resource is, or is in, one of these.
    In(Side, Vec<Name>),
    /// Whether principal or resource is of this type.
    OfType(Side, EntityType),
    /// `in` between any two.
    Under(Box<Node>, Box<Node>),
    /// `is` of any entity.
    TypeOf(Box<Node>, EntityType),
}

/// The conditions of a policy; all must be true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Program {
    /// Scope first, then the clauses, conjunctions flattened.
    pub conditions: Vec<Node>,
}

/// What the scope asks of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Constraint {
    Any,
    Is(EntityType),
    Eq(EntityUid),
    In(EntityUid),
    IsIn(EntityType, EntityUid),
}

impl Constraint {
    /// The key that policies with it are filed under.
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Any => Key::Any,
            Self::Is(of) => Key::Type(of.clone()),
            Self::Eq(uid) | Self::In(uid) | Self::IsIn(_, uid) => Key::Entity(uid.clone()),
        }
    }
}

/// An operator or value that programs do not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotCompiled;

type Compiled = Result<Node, NotCompiled>;

impl Program {
    /// The program of a policy.
    pub(crate) fn compile(
        schema: &BaseSchema,
        principal: &Constraint,
        resource: &Constraint,
        clauses: &[Clause],
    ) -> Result<Self, NotCompiled> {
        let compiler = Compiler { schema };
        let mut conditions = Vec::new();
        for (side, constraint) in [(Side::Principal, principal), (Side::Resource, resource)] {
            compiler.scope(side, constraint, &mut conditions);
        }
        for clause in clauses {
            match clause {
                Clause::When(expression) => {
                    flatten(compiler.node(expression)?, &mut conditions);
                }
                Clause::Unless(expression) => {
                    conditions.push(Node::Not(Box::new(compiler.node(expression)?)));
                }
            }
        }
        Ok(Self { conditions })
    }
}

fn flatten(node: Node, conditions: &mut Vec<Node>) {
    match node {
        Node::All(nodes) => nodes.into_iter().for_each(|node| flatten(node, conditions)),
        node => conditions.push(node),
    }
}

struct Compiler<'a> {
    schema: &'a BaseSchema,
}

impl Compiler<'_> {
    fn names(&self) -> &Names {
        &self.schema.names
    }

    fn scope(&self, side: Side, constraint: &Constraint, conditions: &mut Vec<Node>) {
        match constraint {
            Constraint::Any => {}
            Constraint::Is(of) => conditions.push(Node::OfType(side, of.clone())),
            Constraint::Eq(uid) => conditions.push(Node::Is(side, self.names().name(uid))),
            Constraint::In(uid) => conditions.push(Node::In(side, vec![self.names().name(uid)])),
            Constraint::IsIn(of, uid) => {
                conditions.push(Node::OfType(side, of.clone()));
                conditions.push(Node::In(side, vec![self.names().name(uid)]));
            }
        }
    }

    fn boxed(&self, expression: &Expr) -> Result<Box<Node>, NotCompiled> {
        self.node(expression).map(Box::new)
    }

    fn node(&self, expression: &Expr) -> Compiled {
        match expression {
            Expr::Literal(literal) => literal_value(literal).map(Node::Literal),
            Expr::Var(Var::Principal) => Ok(Node::Entity(Side::Principal)),
            Expr::Var(Var::Resource) => Ok(Node::Entity(Side::Resource)),
            Expr::Var(Var::Context) => Ok(Node::Context),
            Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            Expr::BinaryOp { op, left, right } => self.binary(expression, *op, left, right),
            Expr::GetAttr { expr, attr } => {
                Ok(Node::Attribute(self.boxed(expr)?, attr.to_string()))
            }
            Expr::HasAttr { expr, attrs } => Ok(Node::Has(
                self.boxed(expr)?,
                attrs.iter().map(ToString::to_string).collect(),
            )),
            Expr::Like { expr, pattern } => Ok(Node::Like(self.boxed(expr)?, pieces(pattern))),
            Expr::Is {
                expr,
                entity_type,
                in_expr,
            } => {
                let of = tree_type(entity_type);
                let is_type = match self.node(expr)? {
                    Node::Entity(side) => Node::OfType(side, of),
                    node => Node::TypeOf(Box::new(node), of),
                };
                match in_expr {
                    None => Ok(is_type),
                    Some(target) => Ok(Node::All(vec![is_type, self.under(expr, target)?])),
                }
            }
            Expr::IfThenElse {
                cond,
                then_expr,
                else_expr,
            } => Ok(Node::If(
                self.boxed(cond)?,
                self.boxed(then_expr)?,
                self.boxed(else_expr)?,
            )),
            Expr::Set(items) => {
                let items: Result<Vec<_>, _> = items.iter().map(|item| self.node(item)).collect();
                Ok(constant_set(items?))
            }
            Expr::Record(fields) => {
                let fields: Result<_, _> = fields
                    .iter()
                    .map(|(name, field)| Ok((name.clone(), self.node(field)?)))
                    .collect();
                Ok(Node::Record(fields?))
            }
            // The action as a value, slots, and kinds of node that are not known here.
            _ => Err(NotCompiled),
        }
    }

    fn unary(&self, op: UnaryOp, operand: &Expr) -> Compiled {
        let text = || match operand {
            Expr::Literal(Literal::String(text)) => Ok(text.as_str()),
            _ => Err(NotCompiled),
        };
        let constant = |value: Option<Value>| value.map(Node::Literal).ok_or(NotCompiled);
        let units = |milliseconds| Ok(Node::Units(self.boxed(operand)?, milliseconds));
        match op {
            UnaryOp::Not => Ok(Node::Not(self.boxed(operand)?)),
            UnaryOp::Neg => Ok(Node::Negate(self.boxed(operand)?)),
            UnaryOp::IsEmpty => Ok(Node::IsEmpty(self.boxed(operand)?)),
            UnaryOp::Decimal => constant(decimal(text()?)),
            UnaryOp::Ip => constant(ip(text()?)),
            UnaryOp::Datetime => constant(crate::convert::datetime_value(text()?)),
            UnaryOp::Duration => constant(crate::convert::duration_value(text()?)),
            UnaryOp::ToMilliseconds => units(1),
            UnaryOp::ToSeconds => units(1_000),
            UnaryOp::ToMinutes => units(60_000),
            UnaryOp::ToHours => units(3_600_000),
            UnaryOp::ToDays => units(86_400_000),
            // Tests on addresses and calendar arithmetic are left to Cedar.
            _ => Err(NotCompiled),
        }
    }

    fn binary(&self, whole: &Expr, op: BinaryOp, left: &Expr, right: &Expr) -> Compiled {
        let pair = || Ok((self.boxed(left)?, self.boxed(right)?));
        let compare = |comparison, (left, right)| Ok(Node::Compare(comparison, left, right));
        let swapped = |(left, right)| (right, left);
        let arithmetic = |operator, (left, right)| Ok(Node::Arithmetic(operator, left, right));
        let sets = |test, (left, right)| Ok(Node::Sets(test, left, right));
        match op {
            BinaryOp::And => self.chain(whole, BinaryOp::And).map(Node::All),
            BinaryOp::Or => self.chain(whole, BinaryOp::Or).map(Node::Any),
            BinaryOp::Eq => self.equal(left, right),
            BinaryOp::NotEq => Ok(Node::Not(Box::new(self.equal(left, right)?))),
            BinaryOp::Less | BinaryOp::DecimalLessThan => compare(Comparison::Less, pair()?),
            BinaryOp::LessEq | BinaryOp::DecimalLessEq => compare(Comparison::LessOrEqual, pair()?),
            // Both sides are evaluated before they are compared, so only the order of failures
            // differs, and a failure is put to Cedar.
            BinaryOp::Greater | BinaryOp::DecimalGreater => {
                compare(Comparison::Less, swapped(pair()?))
            }
            BinaryOp::GreaterEq | BinaryOp::DecimalGreaterEq => {
                compare(Comparison::LessOrEqual, swapped(pair()?))
            }
            BinaryOp::Add => arithmetic(Arithmetic::Add, pair()?),
            BinaryOp::Sub => arithmetic(Arithmetic::Subtract, pair()?),
            BinaryOp::Mul => arithmetic(Arithmetic::Multiply, pair()?),
            BinaryOp::In => self.under(left, right),
            BinaryOp::Contains => sets(SetTest::Contains, pair()?),
            BinaryOp::ContainsAll => sets(SetTest::ContainsAll, pair()?),
            BinaryOp::ContainsAny => sets(SetTest::ContainsAny, pair()?),
            BinaryOp::GetTag => pair().map(|(left, right)| Node::Tag(left, right)),
            BinaryOp::HasTag => pair().map(|(left, right)| Node::HasTag(left, right)),
            BinaryOp::IsInRange => pair().map(|(left, right)| Node::InRange(left, right)),
            BinaryOp::Offset => pair().map(|(left, right)| Node::Offset(left, right)),
            BinaryOp::DurationSince => pair().map(|(left, right)| Node::DurationSince(left, right)),
            // A kind of operator that is added later.
            _ => Err(NotCompiled),
        }
    }

    fn chain(&self, expression: &Expr, wanted: BinaryOp) -> Result<Vec<Node>, NotCompiled> {
        let links = links(expression, wanted).into_iter();
        links.map(|link| self.node(link)).collect()
    }

    fn equal(&self, left: &Expr, right: &Expr) -> Compiled {
        if let Some(node) = self
            .action_is(left, right)
            .or_else(|| self.action_is(right, left))
        {
            return Ok(node);
        }
        let (left, right) = (self.node(left)?, self.node(right)?);
        Ok(match (left, right) {
            (Node::Entity(side), Node::Literal(Value::Entity(uid)))
            | (Node::Literal(Value::Entity(uid)), Node::Entity(side)) => {
                Node::Is(side, self.names().name(&uid))
            }
            (left, right) => Node::Compare(Comparison::Equal, Box::new(left), Box::new(right)),
        })
    }

    /// `action == Action::"x"`.
    fn action_is(&self, variable: &Expr, literal: &Expr) -> Option<Node> {
        match (variable, literal) {
            (Expr::Var(Var::Action), Expr::Literal(Literal::EntityUID(uid))) => {
                let named = entity(uid);
                Some(Node::Action(self.actions(|facts| facts.named == named)))
            }
            _ => None,
        }
    }

    fn actions(&self, holds: impl Fn(&ActionFacts) -> bool) -> Vec<Action> {
        let actions = self.schema.vocabulary.actions();
        let holds = |action: &Action| self.schema.action(*action).is_some_and(&holds);
        actions.filter(holds).collect()
    }

    fn under(&self, left: &Expr, right: &Expr) -> Compiled {
        if matches!(left, Expr::Var(Var::Action)) {
            let targets = literals(right).ok_or(NotCompiled)?;
            return Ok(Node::Action(self.actions(|facts| {
                let mut targets = targets.iter();
                targets.any(|uid| facts.named == *uid || facts.groups.contains(uid))
            })));
        }
        match (self.node(left)?, literals(right)) {
            (Node::Entity(side), Some(targets)) => {
                let names = targets.iter().map(|uid| self.names().name(uid));
                Ok(Node::In(side, names.collect()))
            }
            (node, _) => Ok(Node::Under(Box::new(node), self.boxed(right)?)),
        }
    }
}

fn literal_value(literal: &Literal) -> Result<Value, NotCompiled> {
    match literal {
        Literal::Bool(value) => Ok(Value::Bool(*value)),
        Literal::Long(value) => Ok(Value::Long(*value)),
        Literal::String(text) => Ok(Value::String(text.to_string())),
        Literal::EntityUID(uid) => Ok(Value::Entity(entity(uid))),
        _ => Err(NotCompiled),
    }
}

fn constant_set(items: Vec<Node>) -> Node {
    let constants: Option<_> = items
        .iter()
        .map(|item| match item {
            Node::Literal(value) => Some(value.clone()),
            _ => None,
        })
        .collect();
    match constants {
        Some(values) => Node::Literal(Value::Set(values)),
        None => Node::Set(items),
    }
}
