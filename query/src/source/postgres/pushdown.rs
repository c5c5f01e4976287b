//! Conditions that PostgreSQL computes exactly as policies mean them.
//!
//! Only conjuncts: what is left out makes the result larger, never smaller, and everything is
//! checked again here. Listed: `=`, `<`, `<=` of integers, `=` of booleans, `=` of `text` and
//! `varchar` by code point (collation "C"), and IS NOT NULL.

use dataos_model::{
    dataset::{ColumnType, DatasetSchema},
    predicate::{Comparison, Expression, Predicate},
    value::Value,
};
use tokio_postgres::types::Type;

use super::quoted;

/// A condition with its text parameters in order.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) sql: String,
    pub(super) parameters: Vec<String>,
}

/// Whether `=` under collation "C" compares values of this type as they are sent.
pub(super) fn is_text(column_type: &Type) -> bool {
    matches!(*column_type, Type::TEXT | Type::VARCHAR)
}

impl Condition {
    /// What of `rows` can be pushed; `texts` are the fetched columns for which `is_text` holds.
    pub(super) fn of(rows: &Predicate, schema: &DatasetSchema, texts: &[&str]) -> Option<Self> {
        let mut builder = Builder {
            schema,
            texts,
            conjuncts: Vec::new(),
            parameters: Vec::new(),
        };
        builder.predicate(rows);
        (!builder.conjuncts.is_empty()).then(|| Self {
            sql: builder.conjuncts.join(" AND "),
            parameters: builder.parameters,
        })
    }
}

struct Builder<'a> {
    schema: &'a DatasetSchema,
    texts: &'a [&'a str],
    conjuncts: Vec<String>,
    parameters: Vec<String>,
}

impl Builder<'_> {
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
            Expression::Present(name) if self.attribute(name).is_some() => {
                self.conjuncts.push(format!("{} IS NOT NULL", quoted(name)));
            }
            Expression::Compare(comparison, left, right) => match (left.as_ref(), right.as_ref()) {
                (Expression::Column(name), Expression::Literal(value)) => {
                    self.compare(name, operator(*comparison), value);
                }
                (Expression::Literal(value), Expression::Column(name)) => {
                    self.compare(name, mirrored(*comparison), value);
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn compare(&mut self, name: &str, operator: &str, value: &Value) {
        let Some(column_type) = self.attribute(name) else {
            return;
        };
        let column = quoted(name);
        let conjunct = match (column_type, value) {
            // As bigint, so that a literal beyond the column's type compares and does not fail.
            (ColumnType::Int(_), Value::Long(value)) => {
                format!("{column}::bigint {operator} '{value}'::bigint")
            }
            (ColumnType::Bool, Value::Bool(value)) if operator == "=" => {
                format!("{column} = {}", if *value { "TRUE" } else { "FALSE" })
            }
            (ColumnType::Text, Value::String(text))
                if operator == "=" && self.texts.contains(&name) && !text.contains('\0') =>
            {
                self.parameters.push(text.clone());
                format!("{column} = ${}::text COLLATE \"C\"", self.parameters.len())
            }
            _ => return,
        };
        self.conjuncts.push(conjunct);
    }

    fn attribute(&self, name: &str) -> Option<&ColumnType> {
        let column = self
            .schema
            .columns
            .iter()
            .find(|column| column.name == name)?;
        column.column_type.attribute_type()?;
        Some(&column.column_type)
    }
}

fn operator(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "=",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
    }
}

fn mirrored(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "=",
        Comparison::Less => ">",
        Comparison::LessOrEqual => ">=",
    }
}
