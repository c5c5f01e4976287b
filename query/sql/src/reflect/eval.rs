//! Expressions, each over one row of the tables in scope.

use std::{
    cell::{Cell, RefCell},
    cmp::Ordering,
    collections::HashMap,
    rc::Rc,
};

use regex::Regex;
use sqlparser::ast::{self, BinaryOperator, Expr, UnaryOperator};

use super::{
    Rows, World, condition::comparison, function, kinds, tables::Relation, unsupported,
    value::Value,
};
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::Position,
    limits,
};

/// Steps of one question: about a second of work.
const STEPS_MAX: usize = 4_000_000;
/// Rows of one join or result.
const ROWS_MAX: usize = 500_000;
/// Bytes of text that are made in one step.
pub(super) const STEP_BYTES: usize = 32;

/// A row of a table in scope; `None` where an outer join found no partner.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) relation: Rc<Relation>,
    pub(super) row: Option<usize>,
}

/// One row of each table in scope.
pub(super) type Tuple = Vec<Place>;

/// What names mean.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// Aliases, by place in the tuple.
    pub(super) names: &'a [String],
    pub(super) tuple: &'a [Place],
    /// The rows of the group, where there is one.
    pub(super) group: Option<&'a [Tuple]>,
    pub(super) outer: Option<&'a Scope<'a>>,
    pub(super) common: Option<&'a Common<'a>>,
}

/// Tables of WITH.
pub(super) struct Common<'a> {
    pub(super) tables: Vec<(String, Rc<Relation>)>,
    pub(super) outer: Option<&'a Common<'a>>,
}

impl Scope<'_> {
    pub(super) const EMPTY: Scope<'static> = Scope {
        names: &[],
        tuple: &[],
        group: None,
        outer: None,
        common: None,
    };

    /// What names mean in a SELECT that stands here, of whose tables there are these rows.
    pub(super) fn inside<'a>(&'a self, names: &'a [String], tuple: &'a [Place]) -> Scope<'a> {
        Scope {
            names,
            tuple,
            group: None,
            outer: Some(self),
            common: self.common,
        }
    }
}

/// Walks one question.
pub(super) struct Machine<'w> {
    pub(super) world: &'w World,
    steps: Cell<usize>,
    pub(super) relations: RefCell<HashMap<String, Rc<Relation>>>,
    pub(super) patterns: RefCell<HashMap<(String, bool), Regex>>,
}

pub(super) type Outcome<T> = Result<T, SqlError>;

impl<'w> Machine<'w> {
    pub(super) fn new(world: &'w World) -> Self {
        Self {
            world,
            steps: Cell::new(0),
            relations: RefCell::default(),
            patterns: RefCell::default(),
        }
    }

    pub(super) fn answer(&self, query: &ast::Query) -> Outcome<Rows> {
        self.query(query, &Scope::EMPTY)
    }

    /// Counts a step of work.
    pub(super) fn step(&self) -> Outcome<()> {
        self.charge(1)
    }

    pub(super) fn charge(&self, steps: usize) -> Outcome<()> {
        let steps = self.steps.get().saturating_add(steps);
        self.steps.set(steps);
        if steps <= STEPS_MAX {
            return Ok(());
        }
        Err(too_many("steps of work over pg_catalog", STEPS_MAX))
    }

    /// Refuses more rows than one join or result may have.
    pub(super) fn has_room(&self, rows: usize) -> Outcome<()> {
        if rows <= ROWS_MAX {
            return Ok(());
        }
        Err(too_many("rows over pg_catalog", ROWS_MAX))
    }

    pub(super) fn is_true(&self, expr: &Expr, scope: &Scope<'_>) -> Outcome<bool> {
        self.value(expr, scope).map(|value| value.is_true())
    }

    /// The value of an expression. What it weighs is work, so that values cannot grow without end.
    pub(super) fn value(&self, expr: &Expr, scope: &Scope<'_>) -> Outcome<Value> {
        let value = self.walk(expr, scope)?;
        self.charge(weight(&value))?;
        Ok(value)
    }

    fn walk(&self, expr: &Expr, scope: &Scope<'_>) -> Outcome<Value> {
        Ok(match expr {
            Expr::Identifier(name) => self.column(None, &name.value, scope)?,
            Expr::CompoundIdentifier(parts) => {
                let [.., table, column] = parts.as_slice() else {
                    return Err(unsupported(expr));
                };
                self.column(Some(&folded(table)), &folded(column), scope)?
            }
            Expr::Value(literal) => literal_value(&literal.value)?,
            Expr::TypedString(typed) => literal_value(&typed.value.value)?,
            Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => self.value(inner, scope)?,
            Expr::Function(call) => function::call(self, call, scope)?,
            Expr::Cast {
                expr, data_type, ..
            } => {
                let value = self.value(expr, scope)?;
                function::cast(self, value, data_type)?
            }
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(
                operand.as_deref(),
                conditions,
                else_result.as_deref(),
                scope,
            )?,
            Expr::UnaryOp { op, expr } => self.unary(*op, expr, scope)?,
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right, scope)?,
            Expr::Array(array) => {
                let items = array.elem.iter().map(|item| self.value(item, scope));
                Value::List(items.collect::<Outcome<_>>()?)
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.element(root, access_chain, scope)?
            }
            Expr::Subquery(query) => {
                let rows = self.query(query, scope)?.rows;
                rows.into_iter().next().and_then(first).unwrap_or_default()
            }
            Expr::Tuple(_) => return Err(unsupported("a row of several values")),
            other => self.predicate(other, scope)?,
        })
    }

    pub(super) fn first_column(
        &self,
        query: &ast::Query,
        scope: &Scope<'_>,
    ) -> Outcome<Vec<Value>> {
        let rows = self.query(query, scope)?.rows;
        Ok(rows.into_iter().filter_map(first).collect())
    }

    fn column(&self, table: Option<&str>, column: &str, scope: &Scope<'_>) -> Outcome<Value> {
        let mut places = scope.names.iter().zip(scope.tuple);
        let found = places.find_map(|(name, place)| {
            if table.is_some_and(|table| table != name) {
                return None;
            }
            place
                .relation
                .position(column)
                .map(|position| (place, position))
        });
        if let Some((place, position)) = found {
            let row = place.row.and_then(|row| place.relation.rows.get(row));
            return Ok(row
                .and_then(|row| row.get(position))
                .cloned()
                .unwrap_or_default());
        }
        // Of a table without rows every column is NULL, here where a join found no partner.
        let mut places = scope.names.iter().zip(scope.tuple);
        let is_open = places
            .any(|(name, place)| place.relation.is_open && table.is_none_or(|table| table == name));
        if is_open {
            return Ok(Value::Null);
        }
        match scope.outer {
            Some(outer) => self.column(table, column, outer),
            None => match function::session_value(self, column).filter(|_| table.is_none()) {
                Some(value) => Ok(value),
                None => {
                    let table = table.map(|table| format!("{table}.")).unwrap_or_default();
                    let message = format!("column `{table}{column}` does not exist");
                    Err(SqlError::new(
                        SqlErrorKind::Unknown,
                        message,
                        Position::default(),
                    ))
                }
            },
        }
    }

    fn case(
        &self,
        operand: Option<&Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&Expr>,
        scope: &Scope<'_>,
    ) -> Outcome<Value> {
        let operand = operand
            .map(|operand| self.value(operand, scope))
            .transpose()?;
        for ast::CaseWhen { condition, result } in conditions {
            let condition = self.value(condition, scope)?;
            let holds = match &operand {
                Some(operand) => operand.compare(&condition).is_some_and(Ordering::is_eq),
                None => condition.is_true(),
            };
            if holds {
                return self.value(result, scope);
            }
        }
        otherwise.map_or(Ok(Value::Null), |otherwise| self.value(otherwise, scope))
    }

    fn element(&self, root: &Expr, chain: &[ast::AccessExpr], scope: &Scope<'_>) -> Outcome<Value> {
        let mut value = self.value(root, scope)?;
        for access in chain {
            let ast::AccessExpr::Subscript(ast::Subscript::Index { index }) = access else {
                return Err(unsupported("this access to an element"));
            };
            let index = self.value(index, scope)?.int().unwrap_or(0);
            let index = usize::try_from(index - 1).unwrap_or(usize::MAX);
            value = value.items().into_iter().nth(index).unwrap_or_default();
        }
        Ok(value)
    }

    fn unary(&self, op: UnaryOperator, expr: &Expr, scope: &Scope<'_>) -> Outcome<Value> {
        let value = self.value(expr, scope)?;
        Ok(match op {
            UnaryOperator::Not if value.is_null() => value,
            UnaryOperator::Not => Value::Bool(!value.is_true()),
            UnaryOperator::Minus => value
                .int()
                .map_or(Value::Null, |number| Value::Int(-number)),
            UnaryOperator::Plus => value,
            other => return Err(unsupported(format!("the operator {other}"))),
        })
    }

    fn binary(
        &self,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
        scope: &Scope<'_>,
    ) -> Outcome<Value> {
        let left = self.value(left, scope)?;
        match op {
            BinaryOperator::And if left == Value::Bool(false) => return Ok(left),
            BinaryOperator::Or if left.is_true() => return Ok(Value::Bool(true)),
            _ => {}
        }
        let right = self.value(right, scope)?;
        let named = match op {
            BinaryOperator::PGCustomBinaryOperator(parts) => parts.last().map(String::as_str),
            _ => None,
        };
        let number = |of: fn(i64, i64) -> Option<i64>| {
            let both = left.int().zip(right.int());
            both.and_then(|(left, right)| of(left, right))
                .map_or(Value::Null, Value::Int)
        };
        Ok(match op {
            BinaryOperator::And => match (left.is_null(), &right) {
                (true, Value::Bool(false)) => right,
                (true, _) => Value::Null,
                (false, right) if right.is_null() => Value::Null,
                (false, right) => Value::Bool(right.is_true()),
            },
            BinaryOperator::Or => match (left.is_null(), right.is_true()) {
                (_, true) => Value::Bool(true),
                (true, false) => Value::Null,
                (false, false) if right.is_null() => Value::Null,
                (false, false) => Value::Bool(false),
            },
            BinaryOperator::Plus => number(i64::checked_add),
            BinaryOperator::Minus => number(i64::checked_sub),
            BinaryOperator::Multiply => number(i64::checked_mul),
            BinaryOperator::Divide => number(i64::checked_div),
            BinaryOperator::Modulo => number(i64::checked_rem),
            BinaryOperator::BitwiseAnd => number(|left, right| Some(left & right)),
            BinaryOperator::PGBitwiseShiftRight => {
                number(|left, right| left.checked_shr(u32::try_from(right).ok()?))
            }
            BinaryOperator::StringConcat => concatenated(left, right),
            BinaryOperator::PGRegexMatch => self.matches(&left, &right, false, false)?,
            BinaryOperator::PGRegexIMatch => self.matches(&left, &right, true, false)?,
            BinaryOperator::PGRegexNotMatch => self.matches(&left, &right, false, true)?,
            BinaryOperator::PGRegexNotIMatch => self.matches(&left, &right, true, true)?,
            _ if named == Some("~") => self.matches(&left, &right, false, false)?,
            _ if named == Some("!~") => self.matches(&left, &right, false, true)?,
            _ if named == Some("~*") => self.matches(&left, &right, true, false)?,
            _ if named == Some("~~") => self.like(&left, &right, false, false)?,
            other => {
                let (fits, negated) = comparison(other)?;
                let order = left.compare(&right);
                order.map_or(Value::Null, |order| Value::Bool(fits(order) != negated))
            }
        })
    }
}

fn too_many(what: &str, most: usize) -> SqlError {
    limits::exceeded(what, most, Position { line: 1, column: 1 })
}

/// What a value costs: one step for each item, and for so many bytes of text.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Int(_) => 1,
        Value::Text(text) => 1 + text.len() / STEP_BYTES,
        Value::List(items) => items.iter().map(weight).fold(1, usize::saturating_add),
    }
}

/// An identifier as PostgreSQL folds it.
pub(super) fn folded(name: &ast::Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    }
}

fn first(row: Vec<Value>) -> Option<Value> {
    row.into_iter().next()
}

fn concatenated(left: Value, right: Value) -> Value {
    if matches!((&left, &right), (Value::List(_), _) | (_, Value::List(_))) {
        let mut items = match left {
            Value::List(items) => items,
            one => vec![one],
        };
        match right {
            Value::List(more) => items.extend(more),
            one => items.push(one),
        }
        return Value::List(items);
    }
    match (left.shown(), right.shown()) {
        (Some(left), Some(right)) => Value::Text(left + &right),
        _ => Value::Null,
    }
}

fn literal_value(value: &ast::Value) -> Outcome<Value> {
    Ok(match value {
        ast::Value::Null => Value::Null,
        ast::Value::Boolean(value) => Value::Bool(*value),
        ast::Value::Number(digits, _) => digits
            .parse()
            .map_or_else(|_| Value::text(digits), Value::Int),
        ast::Value::SingleQuotedString(text)
        | ast::Value::EscapedStringLiteral(text)
        | ast::Value::NationalStringLiteral(text) => Value::text(text),
        other => return Err(unsupported(format!("the literal {other}"))),
    })
}

/// The name of an output column, as PostgreSQL gives it.
pub(super) fn column_name(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) => folded(name),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded).unwrap_or_default(),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => column_name(inner),
        Expr::Function(call) => function::name(call),
        Expr::Cast {
            expr, data_type, ..
        } => match column_name(expr).as_str() {
            "?column?" => {
                let oid = kinds::oid_of(&data_type.to_string());
                let kind = oid.and_then(kinds::of);
                kind.map_or_else(
                    || data_type.to_string().to_lowercase(),
                    |(kind, _)| kind.name.to_owned(),
                )
            }
            name => name.to_owned(),
        },
        Expr::Case { .. } => "case".to_owned(),
        Expr::Exists { .. } => "exists".to_owned(),
        Expr::Array(_) => "array".to_owned(),
        Expr::Subquery(query) => match query.body.as_ref() {
            ast::SetExpr::Select(select) => match select.projection.first() {
                Some(ast::SelectItem::UnnamedExpr(expr)) => column_name(expr),
                Some(ast::SelectItem::ExprWithAlias { alias, .. }) => folded(alias),
                _ => "?column?".to_owned(),
            },
            _ => "?column?".to_owned(),
        },
        _ => "?column?".to_owned(),
    }
}
