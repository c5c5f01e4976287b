//! Conditions of a policy that a database computes exactly as the policy means them.
//!
//! Only conjuncts: what is left out makes the result larger, never smaller, and everything is checked
//! again here. Which tests of one column go along is the list of each dialect; what is not on it stays
//! here.

use dataos_model::{
    dataset::{Column, DatasetSchema},
    predicate::{Comparison, Expression, Predicate, SetTest},
    value::Value,
};

/// Most elements of a set that are sent; a larger one stays here.
const SET_ITEMS_MAX: usize = 100;

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
    /// What of `rows` the dialect takes.
    pub(super) fn of(rows: &Predicate, schema: &DatasetSchema, dialect: &dyn Dialect) -> Self {
        let mut builder = Builder {
            schema,
            dialect,
            conjuncts: Vec::new(),
            parameters: Vec::new(),
        };
        builder.predicate(rows);
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
