//! Expressions, each over one row of the tables in scope.

use std::{cell::Cell, cmp::Ordering, collections::HashMap, rc::Rc};

use regex::RegexBuilder;
use sqlparser::ast::{self, BinaryOperator, Expr, UnaryOperator};

use super::{Rows, World, function, kinds, tables::Relation, unsupported, value::Value};
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::Position,
    limits,
};

/// Steps of one question: about a second of work.
const STEPS_MAX: usize = 4_000_000;
/// Bytes of a compiled pattern.
const PATTERN_BYTES_MAX: usize = 1 << 20;

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
}

/// Walks one question.
pub(super) struct Machine<'w> {
    pub(super) world: &'w World,
    steps: Cell<usize>,
    pub(super) relations: std::cell::RefCell<HashMap<String, Rc<Relation>>>,
}

pub(super) type Outcome<T> = Result<T, SqlError>;

impl<'w> Machine<'w> {
    pub(super) fn new(world: &'w World) -> Self {
        Self {
            world,
            steps: Cell::new(0),
            relations: std::cell::RefCell::default(),
        }
    }

    pub(super) fn answer(&self, query: &ast::Query) -> Outcome<Rows> {
        self.query(query, &Scope::EMPTY)
    }

    /// Counts a step of work.
    pub(super) fn step(&self) -> Outcome<()> {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        if steps > STEPS_MAX {
            let start = Position { line: 1, column: 1 };
            return Err(limits::exceeded(
                "steps of work over pg_catalog",
                STEPS_MAX,
                start,
            ));
        }
        Ok(())
    }

    pub(super) fn is_true(&self, expr: &Expr, scope: &Scope<'_>) -> Outcome<bool> {
        self.value(expr, scope).map(|value| value.is_true())
    }

    pub(super) fn value(&self, expr: &Expr, scope: &Scope<'_>) -> Outcome<Value> {
        self.step()?;
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

    /// Conditions other than operators.
    fn predicate(&self, expr: &Expr, scope: &Scope<'_>) -> Outcome<Value> {
        let value = |expr: &Expr| self.value(expr, scope);
        let holds = match expr {
            Expr::IsNull(inner) | Expr::IsUnknown(inner) => value(inner)?.is_null(),
            Expr::IsNotNull(inner) | Expr::IsNotUnknown(inner) => !value(inner)?.is_null(),
            Expr::IsTrue(inner) => value(inner)?.is_true(),
            Expr::IsNotTrue(inner) => !value(inner)?.is_true(),
            Expr::IsFalse(inner) => value(inner)? == Value::Bool(false),
            Expr::IsNotFalse(inner) => value(inner)? != Value::Bool(false),
            Expr::IsDistinctFrom(left, right) => !is_same(&value(left)?, &value(right)?),
            Expr::IsNotDistinctFrom(left, right) => is_same(&value(left)?, &value(right)?),
            Expr::Exists { subquery, negated } => {
                self.query(subquery, scope)?.rows.is_empty() == *negated
            }
            Expr::InList {
                expr,
                list,
                negated,
            } => {
                let items = list.iter().map(value).collect::<Outcome<Vec<_>>>()?;
                return Ok(negate(
                    is_any(&value(expr)?, Ordering::is_eq, &items),
                    *negated,
                ));
            }
            Expr::InSubquery {
                expr,
                subquery,
                negated,
            } => {
                let items = self.first_column(subquery, scope)?;
                return Ok(negate(
                    is_any(&value(expr)?, Ordering::is_eq, &items),
                    *negated,
                ));
            }
            Expr::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let (value, low, high) = (value(expr)?, value(low)?, value(high)?);
                let (low, high) = (value.compare(&low), value.compare(&high));
                let (Some(low), Some(high)) = (low, high) else {
                    return Ok(Value::Null);
                };
                (low.is_ge() && high.is_le()) != *negated
            }
            Expr::Like {
                negated,
                expr,
                pattern,
                ..
            } => {
                return self.like(&value(expr)?, &value(pattern)?, false, *negated);
            }
            Expr::ILike {
                negated,
                expr,
                pattern,
                ..
            } => {
                return self.like(&value(expr)?, &value(pattern)?, true, *negated);
            }
            Expr::AnyOp {
                left,
                compare_op,
                right,
                ..
            } => {
                let (fits, negated) = comparison(compare_op)?;
                let (left, items) = (value(left)?, self.items(right, scope)?);
                if negated {
                    // `<> ANY` holds if one differs.
                    let differs = items.iter().any(|item| !is_same(&left, item));
                    return Ok(Value::Bool(differs));
                }
                return Ok(is_any(&left, fits, &items));
            }
            Expr::AllOp {
                left,
                compare_op,
                right,
            } => {
                let (fits, negated) = comparison(compare_op)?;
                let (left, items) = (value(left)?, self.items(right, scope)?);
                if negated {
                    return Ok(negate(is_any(&left, fits, &items), true));
                }
                items
                    .iter()
                    .all(|item| left.compare(item).is_some_and(fits))
            }
            other => return Err(unsupported(other)),
        };
        Ok(Value::Bool(holds))
    }

    /// The items of an array or of a query of one column.
    fn items(&self, expr: &Expr, scope: &Scope<'_>) -> Outcome<Vec<Value>> {
        match expr {
            Expr::Subquery(query) => self.first_column(query, scope),
            Expr::Nested(inner) => self.items(inner, scope),
            other => self.value(other, scope).map(|value| value.items()),
        }
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

    fn matches(&self, text: &Value, pattern: &Value, folds: bool, negated: bool) -> Outcome<Value> {
        let (Some(text), Some(pattern)) = (text.shown(), pattern.shown()) else {
            return Ok(Value::Null);
        };
        // Compiling a pattern is dear.
        (0..100).try_for_each(|_| self.step())?;
        let compiled = RegexBuilder::new(&pattern)
            .case_insensitive(folds)
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(|_| unsupported(format!("the pattern `{pattern}`")))?;
        Ok(Value::Bool(compiled.is_match(&text) != negated))
    }

    fn like(&self, text: &Value, pattern: &Value, folds: bool, negated: bool) -> Outcome<Value> {
        let Some(pattern) = pattern.shown() else {
            return Ok(Value::Null);
        };
        let mut expression = String::from("(?s)^");
        let mut signs = pattern.chars();
        while let Some(sign) = signs.next() {
            match sign {
                '%' => expression.push_str(".*"),
                '_' => expression.push('.'),
                '\\' => {
                    expression.push_str(&regex::escape(&signs.next().unwrap_or('\\').to_string()))
                }
                sign => expression.push_str(&regex::escape(&sign.to_string())),
            }
        }
        expression.push('$');
        self.matches(text, &Value::Text(expression), folds, negated)
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

fn is_same(left: &Value, right: &Value) -> bool {
    match left.compare(right) {
        Some(order) => order.is_eq(),
        None => left.is_null() && right.is_null(),
    }
}

/// What an order must be, and whether the opposite is asked.
fn comparison(op: &BinaryOperator) -> Outcome<(fn(Ordering) -> bool, bool)> {
    let eq: fn(Ordering) -> bool = Ordering::is_eq;
    Ok(match op {
        BinaryOperator::Eq => (eq, false),
        BinaryOperator::NotEq => (eq, true),
        BinaryOperator::Lt => (Ordering::is_lt, false),
        BinaryOperator::LtEq => (Ordering::is_le, false),
        BinaryOperator::Gt => (Ordering::is_gt, false),
        BinaryOperator::GtEq => (Ordering::is_ge, false),
        BinaryOperator::PGCustomBinaryOperator(parts) => match parts.last().map(String::as_str) {
            Some("=") => (eq, false),
            Some("<>") => (eq, true),
            _ => return Err(unsupported(format!("the operator {op}"))),
        },
        other => return Err(unsupported(format!("the operator {other}"))),
    })
}

/// Whether one item stands so to `value`; NULL where that cannot be known.
fn is_any(value: &Value, fits: fn(Ordering) -> bool, items: &[Value]) -> Value {
    if items
        .iter()
        .any(|item| value.compare(item).is_some_and(fits))
    {
        return Value::Bool(true);
    }
    let is_unknown = value.is_null() || items.iter().any(Value::is_null);
    if is_unknown && !items.is_empty() {
        return Value::Null;
    }
    Value::Bool(false)
}

fn negate(value: Value, negated: bool) -> Value {
    match value {
        Value::Bool(value) => Value::Bool(value != negated),
        other => other,
    }
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
