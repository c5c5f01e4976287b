//! Conditions that a database computes exactly as they are meant here: of a policy, and of the
//! caller's where rows that cannot pass them need not be sent.
//!
//! Only conjuncts: what is left out makes the result larger, never smaller, and everything is checked
//! again here. Which tests of one column go along is the list of each dialect; what is not on it stays
//! here. Nothing of the caller's text goes along, only values that his columns are compared with.

use std::collections::BTreeSet;

use datafusion::{
    common::ScalarValue,
    logical_expr::{BinaryExpr, Expr, Operator as EngineOperator},
};
use dataos_model::{
    dataset::{Column, DatasetSchema},
    predicate::{Comparison, Expression, Predicate, SetTest},
    value::Value,
};

use super::table::Read;

/// Most elements of a set that are sent; a larger one stays here.
const SET_ITEMS_MAX: usize = 500;

/// What one kind of database computes exactly.
pub(super) trait Dialect {
    /// `column IS NOT NULL`, if that is exact.
    fn present(&self, column: &Column) -> Option<String>;

    /// `column operator value`, if that is TRUE of the same values for which the policy's comparison
    /// is true. Texts and numbers that cannot stand in the statement go to `parameters`.
    fn compare(
        &self,
        column: &Column,
        operator: Operator,
        value: &Value,
        parameters: &mut Vec<Parameter>,
    ) -> Option<String>;
}

/// How a column is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    /// As all dialects write it.
    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// A value that goes beside the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    Long(i64),
    Text(String),
}

/// A condition with its parameters in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Condition {
    /// Empty, or ` WHERE ...`.
    pub(super) sql: String,
    pub(super) parameters: Vec<Parameter>,
}

impl Condition {
    /// What the dialect takes of what the rows of a read must satisfy.
    pub(super) fn of(read: &Read, dialect: &dyn Dialect) -> Self {
        let mut builder = Builder {
            schema: &read.dataset.schema,
            dialect,
            conjuncts: Vec::new(),
            parameters: Vec::new(),
        };
        builder.predicate(&read.rows);
        for filter in &read.filters {
            builder.filter(filter);
        }
        for (column, values) in &read.keys {
            if values.len() <= SET_ITEMS_MAX {
                let values: Vec<&ScalarValue> = values.iter().collect();
                builder.literals(column, EngineOperator::Eq, &values);
            }
        }
        if builder.conjuncts.is_empty() {
            return Self::default();
        }
        Self {
            sql: format!(" WHERE {}", builder.conjuncts.join(" AND ")),
            parameters: builder.parameters,
        }
    }
}

struct Builder<'a> {
    schema: &'a DatasetSchema,
    dialect: &'a dyn Dialect,
    conjuncts: Vec<String>,
    parameters: Vec<Parameter>,
}

impl<'a> Builder<'a> {
    fn predicate(&mut self, predicate: &Predicate) {
        match predicate {
            Predicate::All(parts) => parts.iter().for_each(|part| self.predicate(part)),
            Predicate::Satisfied(expression) => self.expression(expression),
            Predicate::Constant(_) | Predicate::Any(_) | Predicate::Not(_) => {}
        }
    }

    fn expression(&mut self, expression: &Expression) {
        match expression {
            Expression::And(left, right) => {
                self.expression(left);
                self.expression(right);
            }
            Expression::Present(name) => {
                let present = self
                    .attribute(name)
                    .and_then(|column| self.dialect.present(column));
                self.conjuncts.extend(present);
            }
            Expression::Compare(comparison, left, right) => match (left.as_ref(), right.as_ref()) {
                (Expression::Column(name), Expression::Literal(value)) => {
                    self.any(name, operator(*comparison), [value]);
                }
                (Expression::Literal(value), Expression::Column(name)) => {
                    self.any(name, mirrored(*comparison), [value]);
                }
                _ => {}
            },
            Expression::Sets(SetTest::Contains, left, right) => {
                match (left.as_ref(), right.as_ref()) {
                    (Expression::Literal(Value::Set(items)), Expression::Column(name))
                        if items.len() <= SET_ITEMS_MAX =>
                    {
                        self.any(name, Operator::Equal, items);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn filter(&mut self, filter: &Expr) {
        match filter {
            Expr::IsNotNull(inner) => {
                if let Expr::Column(column) = inner.as_ref() {
                    self.expression(&Expression::Present(column.name.clone()));
                }
            }
            Expr::BinaryExpr(BinaryExpr {
                op: EngineOperator::Or,
                ..
            }) => {
                let mut literals = Vec::new();
                if let Some(column) = alternatives(filter, &mut literals) {
                    self.literals(column, EngineOperator::Eq, &literals);
                }
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                match (left.as_ref(), right.as_ref()) {
                    (left, right) if *op == EngineOperator::And => {
                        self.filter(left);
                        self.filter(right);
                    }
                    (Expr::Column(column), Expr::Literal(literal, _)) => {
                        self.literals(&column.name, *op, &[literal]);
                    }
                    (Expr::Literal(literal, _), Expr::Column(column)) => {
                        if let Some(op) = op.swap() {
                            self.literals(&column.name, op, &[literal]);
                        }
                    }
                    _ => {}
                }
            }
            Expr::InList(list) if !list.negated && list.list.len() <= SET_ITEMS_MAX => {
                let literals = list.list.iter().map(|item| match item {
                    Expr::Literal(literal, _) => Some(literal),
                    _ => None,
                });
                let literals: Option<Vec<&ScalarValue>> = literals.collect();
                if let (Expr::Column(column), Some(literals)) = (list.expr.as_ref(), literals) {
                    self.literals(&column.name, EngineOperator::Eq, &literals);
                }
            }
            _ => {}
        }
    }

    fn literals(&mut self, name: &str, operator: EngineOperator, literals: &[&ScalarValue]) {
        let operator = match operator {
            EngineOperator::Eq => Operator::Equal,
            EngineOperator::Lt => Operator::Less,
            EngineOperator::LtEq => Operator::LessOrEqual,
            EngineOperator::Gt => Operator::Greater,
            EngineOperator::GtEq => Operator::GreaterOrEqual,
            _ => return,
        };
        let values = literals.iter().map(|literal| value(literal));
        let values: Option<BTreeSet<Value>> = values.collect();
        if let Some(values) = values {
            self.any(name, operator, &values);
        }
    }

    /// That the column compares so with one of the values; all of them go along, or none.
    fn any<'v>(
        &mut self,
        name: &str,
        operator: Operator,
        values: impl IntoIterator<Item = &'v Value>,
    ) {
        let Some(column) = self.attribute(name) else {
            return;
        };
        let before = self.parameters.len();
        let (dialect, parameters) = (self.dialect, &mut self.parameters);
        let tests = values
            .into_iter()
            .map(|value| dialect.compare(column, operator, value, parameters));
        let tests: Option<Vec<String>> = tests.collect();
        match tests.as_deref() {
            None | Some([]) => self.parameters.truncate(before),
            Some([test]) => self.conjuncts.push(test.clone()),
            Some(tests) => self.conjuncts.push(format!("({})", tests.join(" OR "))),
        }
    }

    fn attribute(&self, name: &str) -> Option<&'a Column> {
        let schema = self.schema;
        let column = schema.columns.iter().find(|column| column.name == name)?;
        column.column_type.attribute_type()?;
        Some(column)
    }
}

fn operator(comparison: Comparison) -> Operator {
    match comparison {
        Comparison::Equal => Operator::Equal,
        Comparison::Less => Operator::Less,
        Comparison::LessOrEqual => Operator::LessOrEqual,
    }
}

fn mirrored(comparison: Comparison) -> Operator {
    match comparison {
        Comparison::Equal => Operator::Equal,
        Comparison::Less => Operator::Greater,
        Comparison::LessOrEqual => Operator::GreaterOrEqual,
    }
}

/// The column that the alternatives of an OR compare with a literal each; the engine writes short lists
/// so.
fn alternatives<'a>(filter: &'a Expr, literals: &mut Vec<&'a ScalarValue>) -> Option<&'a str> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else {
        return None;
    };
    match (left.as_ref(), right.as_ref()) {
        (left, right) if *op == EngineOperator::Or => {
            let column = alternatives(left, literals)?;
            (alternatives(right, literals)? == column).then_some(column)
        }
        (Expr::Column(column), Expr::Literal(literal, _)) if *op == EngineOperator::Eq => {
            literals.push(literal);
            Some(&column.name)
        }
        _ => None,
    }
}

/// The same value as policies have it; `None` where they have none that is exactly the same.
fn value(literal: &ScalarValue) -> Option<Value> {
    match literal {
        ScalarValue::Boolean(value) => value.map(Value::Bool),
        ScalarValue::Int16(value) => value.map(|value| Value::Long(value.into())),
        ScalarValue::Int32(value) => value.map(|value| Value::Long(value.into())),
        ScalarValue::Int64(value) => value.map(Value::Long),
        ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text) => {
            text.clone().map(Value::String)
        }
        ScalarValue::Decimal128(Some(units), _, scale) => {
            let step = 10_i128.checked_pow(4_u32.checked_sub(u32::try_from(*scale).ok()?)?)?;
            let units = i64::try_from(units.checked_mul(step)?).ok()?;
            Some(Value::Decimal(units))
        }
        _ => None,
    }
}
