//! Conditions that a database computes exactly as they are meant here: of a policy, and of the
//! caller's where rows that cannot pass them need not be sent.
//!
//! Conjuncts go along whole or not at all: what is left out makes the result larger, never smaller, and
//! everything is checked again here. Which tests of one column go along is the list of each dialect; a
//! conjunct with another one stays here. Nothing of the caller's text goes along, only values that his columns
//! are compared with. A condition of which nothing was left out is true of the same rows there as here.

use std::{collections::BTreeSet, iter, mem};

use datafusion::{
    common::{Column as EngineColumn, ScalarValue},
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

/// In words that all dialects know; a bare TRUE would be a column of that name to SQLite.
const TRUE: &str = "1 = 1";
pub(super) const FALSE: &str = "1 = 0";
/// Days are midnights to policies.
pub(super) const MILLISECONDS_PER_DAY: i64 = 86_400_000;

/// What one kind of database computes exactly.
pub(super) trait Dialect {
    /// `column IS NOT NULL`, if that is exact.
    fn present(&self, column: &Column) -> Option<String>;

    /// `column operator value`, if that is TRUE of the same values for which the policy's comparison
    /// is true, and NULL of NULL alone. Texts and numbers that cannot stand in the statement go to
    /// `parameters`.
    fn compare(
        &self,
        column: &Column,
        operator: Operator,
        value: &Value,
        parameters: &mut Vec<Parameter>,
    ) -> Option<String>;

    /// `column IN (values)`, if that is exactly `compare` of equality with one of them and the database finds rows
    /// by it sooner than by one test for each value.
    fn among(
        &self,
        _column: &Column,
        _values: &[&Value],
        _parameters: &mut Vec<Parameter>,
    ) -> Option<String> {
        None
    }

    /// A test that is true of values of the column that are none of its type, if it can hold such. Rows with
    /// one are always sent, so that it is a fault whether a condition went along or not.
    fn guard(&self, column: &Column) -> Option<String>;
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

/// The name that a statement has for its table of this number.
pub(super) fn alias(table: usize) -> String {
    format!("r{table}")
}

/// Empty, or ` WHERE ...`.
pub(super) fn clause(conjuncts: &[String]) -> String {
    match conjuncts {
        [] => String::new(),
        conjuncts => format!(" WHERE {}", conjuncts.join(" AND ")),
    }
}

/// A condition with its parameters in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) conjuncts: Vec<String>,
    /// Behind those that the statement had before.
    pub(super) parameters: Vec<Parameter>,
    /// Whether nothing was left out.
    pub(super) is_whole: bool,
}

impl Condition {
    /// What the dialect takes of what the rows of a read must satisfy. `parameters` are those that the statement
    /// has already.
    pub(super) fn of(read: &Read, dialect: &dyn Dialect, parameters: Vec<Parameter>) -> Self {
        let mut builder = Builder {
            schema: &read.dataset.schema,
            dialect,
            conjuncts: Vec::new(),
            parameters,
            guards: BTreeSet::new(),
            is_whole: true,
        };
        builder.predicate(&read.rows);
        for filter in &read.filters {
            builder.filter(filter);
        }
        for (column, values) in &read.keys {
            let values: Vec<&ScalarValue> = values.iter().collect();
            builder.conjunct(|builder| builder.literals(column, EngineOperator::Eq, &values));
        }
        Self {
            conjuncts: builder.conjuncts,
            parameters: builder.parameters,
            is_whole: builder.is_whole,
        }
    }
}

struct Builder<'a> {
    schema: &'a DatasetSchema,
    dialect: &'a dyn Dialect,
    conjuncts: Vec<String>,
    parameters: Vec<Parameter>,
    /// Of the columns of the conjunct that is being written.
    guards: BTreeSet<String>,
    is_whole: bool,
}

impl<'a> Builder<'a> {
    /// Adds a conjunct, all of it or nothing.
    fn conjunct(&mut self, write: impl FnOnce(&mut Self) -> Option<String>) {
        let before = self.parameters.len();
        let written = write(self);
        let guards = mem::take(&mut self.guards);
        match written {
            Some(test) if guards.is_empty() => self.conjuncts.push(test),
            Some(test) => {
                let tests: Vec<String> = iter::once(test).chain(guards).collect();
                self.conjuncts.push(format!("({})", tests.join(" OR ")));
            }
            None => {
                self.parameters.truncate(before);
                self.is_whole = false;
            }
        }
    }

    fn predicate(&mut self, predicate: &Predicate) {
        match predicate {
            Predicate::Constant(true) => {}
            Predicate::All(parts) => parts.iter().for_each(|part| self.predicate(part)),
            Predicate::Satisfied(expression) => self.expression(expression),
            _ => self.conjunct(|builder| builder.holds(predicate)),
        }
    }

    fn expression(&mut self, expression: &Expression) {
        match expression {
            Expression::And(left, right) => {
                self.expression(left);
                self.expression(right);
            }
            _ => self.conjunct(|builder| builder.evaluated(expression)),
        }
    }

    fn filter(&mut self, filter: &Expr) {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if *op == EngineOperator::And => {
                self.filter(left);
                self.filter(right);
            }
            _ => self.conjunct(|builder| builder.passes(filter)),
        }
    }

    /// TRUE where the predicate holds; elsewhere FALSE or NULL.
    fn holds(&mut self, predicate: &Predicate) -> Option<String> {
        let (parts, word) = match predicate {
            Predicate::Constant(_) => return None,
            Predicate::Satisfied(expression) => return self.satisfied(expression),
            Predicate::Not(inner) => {
                return Some(format!("(NOT coalesce({}, {FALSE}))", self.holds(inner)?));
            }
            Predicate::All(parts) => (parts, " AND "),
            Predicate::Any(parts) => (parts, " OR "),
        };
        let tests = parts.iter().map(|part| self.holds(part));
        let tests: Vec<String> = tests.collect::<Option<_>>()?;
        Some(format!("({})", tests.join(word)))
    }

    /// TRUE where the expression is true; elsewhere FALSE or NULL.
    fn satisfied(&mut self, expression: &Expression) -> Option<String> {
        let Expression::And(left, right) = expression else {
            return self.evaluated(expression);
        };
        let (left, right) = (self.satisfied(left)?, self.satisfied(right)?);
        Some(format!("({left} AND {right})"))
    }

    /// TRUE or FALSE as the expression is, and NULL where it fails. What fails on the left fails whatever
    /// stands on the right, which AND and OR of SQL do not know.
    fn evaluated(&mut self, expression: &Expression) -> Option<String> {
        match expression {
            Expression::Present(name) => self.present(name),
            Expression::Not(inner) => Some(format!("(NOT ({}))", self.evaluated(inner)?)),
            Expression::And(left, right) => {
                let (left, right) = (self.evaluated(left)?, self.evaluated(right)?);
                Some(format!(
                    "(CASE ({left}) WHEN {TRUE} THEN ({right}) WHEN {FALSE} THEN {FALSE} END)"
                ))
            }
            Expression::Or(left, right) => {
                let (left, right) = (self.evaluated(left)?, self.evaluated(right)?);
                Some(format!(
                    "(CASE ({left}) WHEN {TRUE} THEN {TRUE} WHEN {FALSE} THEN ({right}) END)"
                ))
            }
            Expression::Compare(comparison, left, right) => match (left.as_ref(), right.as_ref()) {
                (Expression::Column(name), Expression::Literal(value)) => {
                    self.any(name, operator(*comparison), [value])
                }
                (Expression::Literal(value), Expression::Column(name)) => {
                    self.any(name, mirrored(*comparison), [value])
                }
                _ => None,
            },
            Expression::Sets(SetTest::Contains, left, right) => {
                match (left.as_ref(), right.as_ref()) {
                    (Expression::Literal(Value::Set(items)), Expression::Column(name)) => {
                        self.any(name, Operator::Equal, items)
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// TRUE, FALSE and NULL as the filter is.
    fn passes(&mut self, filter: &Expr) -> Option<String> {
        match filter {
            Expr::Not(inner) => Some(format!("(NOT ({}))", self.passes(inner)?)),
            Expr::IsNotNull(inner) => self.present(&column(inner)?.name),
            Expr::IsNull(inner) => {
                let present = self.present(&column(inner)?.name)?;
                Some(format!("(NOT ({present}))"))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                EngineOperator::And | EngineOperator::Or => {
                    let word = if *op == EngineOperator::And {
                        "AND"
                    } else {
                        "OR"
                    };
                    let (left, right) = (self.passes(left)?, self.passes(right)?);
                    Some(format!("({left} {word} {right})"))
                }
                _ => match (left.as_ref(), right.as_ref()) {
                    (Expr::Column(column), Expr::Literal(literal, _)) => {
                        self.literals(&column.name, *op, &[literal])
                    }
                    (Expr::Literal(literal, _), Expr::Column(column)) => {
                        self.literals(&column.name, op.swap()?, &[literal])
                    }
                    _ => None,
                },
            },
            Expr::InList(list) => {
                let literals = list.list.iter().map(|item| match item {
                    Expr::Literal(literal, _) => Some(literal),
                    _ => None,
                });
                let literals: Vec<&ScalarValue> = literals.collect::<Option<_>>()?;
                let operator = match list.negated {
                    true => EngineOperator::NotEq,
                    false => EngineOperator::Eq,
                };
                self.literals(&column(&list.expr)?.name, operator, &literals)
            }
            _ => None,
        }
    }

    /// That the column compares so with one of the literals; for `<>`, that it is none of them.
    fn literals(
        &mut self,
        name: &str,
        operator: EngineOperator,
        literals: &[&ScalarValue],
    ) -> Option<String> {
        let values = literals.iter().map(|literal| value(literal));
        let values: BTreeSet<Value> = values.collect::<Option<_>>()?;
        let operator = match operator {
            EngineOperator::Eq => Operator::Equal,
            EngineOperator::Lt => Operator::Less,
            EngineOperator::LtEq => Operator::LessOrEqual,
            EngineOperator::Gt => Operator::Greater,
            EngineOperator::GtEq => Operator::GreaterOrEqual,
            EngineOperator::NotEq => {
                let equal = self.any(name, Operator::Equal, &values)?;
                return Some(format!("(NOT ({equal}))"));
            }
            _ => return None,
        };
        self.any(name, operator, &values)
    }

    fn present(&mut self, name: &str) -> Option<String> {
        let column = self.attribute(name)?;
        self.dialect.present(column)
    }

    /// That the column compares so with one of the values; all of them go along, or none.
    fn any<'v>(
        &mut self,
        name: &str,
        operator: Operator,
        values: impl IntoIterator<Item = &'v Value, IntoIter: ExactSizeIterator>,
    ) -> Option<String> {
        let column = self.attribute(name)?;
        let values = values.into_iter();
        if values.len() > SET_ITEMS_MAX {
            return None;
        }
        let (dialect, parameters) = (self.dialect, &mut self.parameters);
        let values: Vec<&Value> = values.collect();
        let list = match (operator, values.as_slice()) {
            (Operator::Equal, several @ [_, _, ..]) => dialect.among(column, several, parameters),
            _ => None,
        };
        let tests: Vec<String> = match list {
            Some(test) => vec![test],
            None => {
                let values = values.into_iter();
                let tests =
                    values.map(|value| dialect.compare(column, operator, value, parameters));
                tests.collect::<Option<_>>()?
            }
        };
        self.guards.extend(dialect.guard(column));
        match tests.as_slice() {
            [] => None,
            [test] => Some(test.clone()),
            tests => Some(format!("({})", tests.join(" OR "))),
        }
    }

    fn attribute(&self, name: &str) -> Option<&'a Column> {
        let schema = self.schema;
        let column = schema.columns.iter().find(|column| column.name == name)?;
        column.column_type.attribute_type()?;
        Some(column)
    }
}

fn column(expr: &Expr) -> Option<&EngineColumn> {
    match expr {
        Expr::Column(column) => Some(column),
        _ => None,
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
        ScalarValue::Date32(day) => {
            day.map(|day| Value::DateTime(i64::from(day) * MILLISECONDS_PER_DAY))
        }
        _ => None,
    }
}
