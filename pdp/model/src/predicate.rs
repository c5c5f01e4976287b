//! Row predicates: what is left of the policies once everything but the row is known.
//!
//! Two layers keep Cedar's error coding explicit. [`Predicate`] is total: true or false.
//! [`Expression`] is typed and can fail; only [`Predicate::Satisfied`] leads from one to the other
//! and turns a failure into false. So `rows = (OR sat(permit)) AND NOT (OR sat(forbid))` never
//! negates a raw condition. [`Predicate::holds`] is the plain interpreter, the meaning that every
//! printer and compiler is compared with.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::value::{IpRange, Value};

/// A total condition over one row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub enum Predicate {
    /// Always or never.
    Constant(bool),
    /// True if the expression is true; false if it is false, fails or is no boolean.
    Satisfied(Expression),
    /// All hold; true if empty.
    All(Vec<Predicate>),
    /// One holds; false if empty.
    Any(Vec<Predicate>),
    /// Does not hold.
    Not(Box<Predicate>),
}

bounded!(Predicate);

/// A typed expression over one row, with Cedar's semantics.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub enum Expression {
    /// A value.
    Literal(Value),
    /// The column's value; fails if it is NULL.
    Column(String),
    /// Whether the column is not NULL; false if the dataset has no such column.
    Present(String),
    /// Boolean negation.
    Not(Box<Expression>),
    /// Left to right; the right side is not evaluated if the left is false.
    And(Box<Expression>, Box<Expression>),
    /// Left to right; the right side is not evaluated if the left is true.
    Or(Box<Expression>, Box<Expression>),
    /// Lazy branches.
    If(Box<Expression>, Box<Expression>, Box<Expression>),
    /// A comparison.
    Compare(Comparison, Box<Expression>, Box<Expression>),
    /// Checked i64 arithmetic.
    Arithmetic(Arithmetic, Box<Expression>, Box<Expression>),
    /// Checked negation of an i64.
    Negate(Box<Expression>),
    /// Whole-text match by code point, case-sensitive.
    Like(Box<Expression>, Vec<LikePiece>),
    /// A test on two sets, or a set and an element.
    Sets(SetTest, Box<Expression>, Box<Expression>),
    /// Whether a set is empty.
    IsEmpty(Box<Expression>),
    /// A set of the given elements.
    Set(Vec<Expression>),
    /// Named values.
    Record(BTreeMap<String, Expression>),
    /// A field of a record; fails if absent.
    Field(Box<Expression>, String),
    /// Whether a record has the field.
    HasField(Box<Expression>, String),
    /// Whether the left address range lies in the right one.
    InRange(Box<Expression>, Box<Expression>),
    /// Fails always; the text says why.
    Error(String),
}

bounded!(Expression);

/// Comparison operators. `Equal` is total over all types; the others compare two values of one of
/// the types Long, Decimal, `DateTime`, Duration and fail otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Comparison {
    /// Same value; values of different types are unequal.
    Equal,
    /// Less.
    Less,
    /// Less or equal.
    LessOrEqual,
}

/// Integer operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Arithmetic {
    /// Sum.
    Add,
    /// Difference.
    Subtract,
    /// Product.
    Multiply,
}

/// Tests with a set on the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SetTest {
    /// The right value is an element.
    Contains,
    /// Every element of the right set is an element.
    ContainsAll,
    /// Some element of the right set is an element.
    ContainsAny,
}

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LikePiece {
    /// Exactly this text.
    Text(String),
    /// Any run of characters, also none.
    Any,
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// The column is NULL or not there.
    #[error("column `{0}` is absent")]
    Absent(String),
    /// A value of another type was needed.
    #[error("expected {0}")]
    Type(&'static str),
    /// i64 overflow.
    #[error("integer overflow")]
    Overflow,
    /// The expression says so itself.
    #[error("{0}")]
    Failed(String),
}

/// The columns of one row, as the interpreter asks for them.
pub trait Row {
    /// The value of a column; `None` if it is NULL or not there.
    fn column(&self, name: &str) -> Option<Value>;
}

impl Row for BTreeMap<String, Value> {
    fn column(&self, name: &str) -> Option<Value> {
        self.get(name).cloned()
    }
}

impl Predicate {
    /// Never holds.
    pub const NEVER: Self = Self::Constant(false);
    /// Always holds.
    pub const ALWAYS: Self = Self::Constant(true);

    /// All of these hold; constants are folded and nested lists flattened.
    pub fn all(parts: impl IntoIterator<Item = Predicate>) -> Self {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                Self::Constant(true) => {}
                Self::Constant(false) => return Self::NEVER,
                Self::All(inner) => kept.extend(inner),
                other => kept.push(other),
            }
        }
        match kept.len() {
            0 => Self::ALWAYS,
            1 => kept.swap_remove(0),
            _ => Self::All(kept),
        }
    }

    /// One of these holds; constants are folded and nested lists flattened.
    pub fn any(parts: impl IntoIterator<Item = Predicate>) -> Self {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                Self::Constant(false) => {}
                Self::Constant(true) => return Self::ALWAYS,
                Self::Any(inner) => kept.extend(inner),
                other => kept.push(other),
            }
        }
        match kept.len() {
            0 => Self::NEVER,
            1 => kept.swap_remove(0),
            _ => Self::Any(kept),
        }
    }

    /// The opposite.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(!value),
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// Whether it holds for `row`.
    pub fn holds(&self, row: &dyn Row) -> bool {
        match self {
            Self::Constant(value) => *value,
            Self::Satisfied(expression) => {
                matches!(expression.evaluate(row), Ok(Value::Bool(true)))
            }
            Self::All(parts) => parts.iter().all(|part| part.holds(row)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(row)),
            Self::Not(inner) => !inner.holds(row),
        }
    }

    /// The columns that it reads.
    pub fn columns(&self) -> BTreeSet<String> {
        let mut columns = BTreeSet::new();
        self.collect_columns(&mut columns);
        columns
    }

    fn collect_columns(&self, columns: &mut BTreeSet<String>) {
        match self {
            Self::Constant(_) => {}
            Self::Satisfied(expression) => expression.collect_columns(columns),
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().for_each(|part| part.collect_columns(columns));
            }
            Self::Not(inner) => inner.collect_columns(columns),
        }
    }
}

impl Expression {
    /// The value for `row`.
    ///
    /// # Errors
    /// As Cedar: an absent column, a wrong type, an overflow.
    pub fn evaluate(&self, row: &dyn Row) -> Result<Value, EvaluationError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Column(name) => row
                .column(name)
                .ok_or_else(|| EvaluationError::Absent(name.clone())),
            Self::Present(name) => Ok(Value::Bool(row.column(name).is_some())),
            Self::Not(inner) => Ok(Value::Bool(!inner.boolean(row)?)),
            Self::And(left, right) => Ok(Value::Bool(left.boolean(row)? && right.boolean(row)?)),
            Self::Or(left, right) => Ok(Value::Bool(left.boolean(row)? || right.boolean(row)?)),
            Self::If(test, yes, no) => {
                if test.boolean(row)? {
                    yes.evaluate(row)
                } else {
                    no.evaluate(row)
                }
            }
            Self::Compare(comparison, left, right) => {
                compare(*comparison, &left.evaluate(row)?, &right.evaluate(row)?)
            }
            Self::Arithmetic(operator, left, right) => {
                let (left, right) = (left.long(row)?, right.long(row)?);
                let result = match operator {
                    Arithmetic::Add => left.checked_add(right),
                    Arithmetic::Subtract => left.checked_sub(right),
                    Arithmetic::Multiply => left.checked_mul(right),
                };
                result.map(Value::Long).ok_or(EvaluationError::Overflow)
            }
            Self::Negate(inner) => inner
                .long(row)?
                .checked_neg()
                .map(Value::Long)
                .ok_or(EvaluationError::Overflow),
            Self::Like(inner, pieces) => match inner.evaluate(row)? {
                Value::String(text) => Ok(Value::Bool(like(&text, pieces))),
                _ => Err(EvaluationError::Type("text")),
            },
            Self::Sets(test, left, right) => {
                set_test(*test, &left.set(row)?, &right.evaluate(row)?)
            }
            Self::IsEmpty(inner) => Ok(Value::Bool(inner.set(row)?.is_empty())),
            Self::Set(items) => {
                let items: Result<_, _> = items.iter().map(|item| item.evaluate(row)).collect();
                Ok(Value::Set(items?))
            }
            Self::Record(fields) => {
                let fields: Result<_, _> = fields
                    .iter()
                    .map(|(name, field)| Ok((name.clone(), field.evaluate(row)?)))
                    .collect();
                Ok(Value::Record(fields?))
            }
            Self::Field(inner, name) => inner
                .record(row)?
                .remove(name)
                .ok_or_else(|| EvaluationError::Absent(name.clone())),
            Self::HasField(inner, name) => Ok(Value::Bool(inner.record(row)?.contains_key(name))),
            Self::InRange(left, right) => {
                Ok(Value::Bool(contains_range(right.ip(row)?, left.ip(row)?)))
            }
            Self::Error(text) => Err(EvaluationError::Failed(text.clone())),
        }
    }

    fn boolean(&self, row: &dyn Row) -> Result<bool, EvaluationError> {
        match self.evaluate(row)? {
            Value::Bool(value) => Ok(value),
            _ => Err(EvaluationError::Type("a boolean")),
        }
    }

    fn long(&self, row: &dyn Row) -> Result<i64, EvaluationError> {
        match self.evaluate(row)? {
            Value::Long(value) => Ok(value),
            _ => Err(EvaluationError::Type("an integer")),
        }
    }

    fn set(&self, row: &dyn Row) -> Result<BTreeSet<Value>, EvaluationError> {
        match self.evaluate(row)? {
            Value::Set(items) => Ok(items),
            _ => Err(EvaluationError::Type("a set")),
        }
    }

    fn record(&self, row: &dyn Row) -> Result<BTreeMap<String, Value>, EvaluationError> {
        match self.evaluate(row)? {
            Value::Record(fields) => Ok(fields),
            _ => Err(EvaluationError::Type("a record")),
        }
    }

    fn ip(&self, row: &dyn Row) -> Result<IpRange, EvaluationError> {
        match self.evaluate(row)? {
            Value::Ip(range) => Ok(range),
            _ => Err(EvaluationError::Type("an IP address")),
        }
    }

    fn collect_columns(&self, columns: &mut BTreeSet<String>) {
        match self {
            Self::Literal(_) | Self::Error(_) => {}
            Self::Column(name) | Self::Present(name) => {
                columns.insert(name.clone());
            }
            Self::Not(inner)
            | Self::Negate(inner)
            | Self::Like(inner, _)
            | Self::IsEmpty(inner)
            | Self::Field(inner, _)
            | Self::HasField(inner, _) => inner.collect_columns(columns),
            Self::And(left, right)
            | Self::Or(left, right)
            | Self::Compare(_, left, right)
            | Self::Arithmetic(_, left, right)
            | Self::Sets(_, left, right)
            | Self::InRange(left, right) => {
                left.collect_columns(columns);
                right.collect_columns(columns);
            }
            Self::If(test, yes, no) => {
                test.collect_columns(columns);
                yes.collect_columns(columns);
                no.collect_columns(columns);
            }
            Self::Set(items) => items.iter().for_each(|item| item.collect_columns(columns)),
            Self::Record(fields) => {
                fields
                    .values()
                    .for_each(|field| field.collect_columns(columns));
            }
        }
    }
}

fn compare(comparison: Comparison, left: &Value, right: &Value) -> Result<Value, EvaluationError> {
    if comparison == Comparison::Equal {
        return Ok(Value::Bool(left == right));
    }
    let order = match (left, right) {
        (Value::Long(left), Value::Long(right))
        | (Value::Decimal(left), Value::Decimal(right))
        | (Value::DateTime(left), Value::DateTime(right))
        | (Value::Duration(left), Value::Duration(right)) => left.cmp(right),
        _ => return Err(EvaluationError::Type("two values of one ordered type")),
    };
    Ok(Value::Bool(match comparison {
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual | Comparison::Equal => order.is_le(),
    }))
}

fn set_test(
    test: SetTest,
    left: &BTreeSet<Value>,
    right: &Value,
) -> Result<Value, EvaluationError> {
    let result = match (test, right) {
        (SetTest::Contains, element) => left.contains(element),
        (SetTest::ContainsAll, Value::Set(right)) => right.is_subset(left),
        (SetTest::ContainsAny, Value::Set(right)) => !right.is_disjoint(left),
        _ => return Err(EvaluationError::Type("a set")),
    };
    Ok(Value::Bool(result))
}

/// Whether the whole text matches.
///
/// Greedy match: the first piece is anchored at the start, the last at the end, those between are
/// taken at their first occurrence. Linear in text times pieces.
pub fn like(text: &str, pieces: &[LikePiece]) -> bool {
    let mut rest = text;
    let mut is_anchored = true;
    let last_text = pieces
        .iter()
        .rposition(|piece| matches!(piece, LikePiece::Text(_)));
    let ends_open = matches!(pieces.last(), Some(LikePiece::Any));
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            LikePiece::Any => is_anchored = false,
            LikePiece::Text(part) => {
                let found = if Some(index) == last_text && !ends_open {
                    let tail = rest.strip_suffix(part.as_str());
                    tail.filter(|head| !is_anchored || head.is_empty())
                        .map(|_| "")
                } else if is_anchored {
                    rest.strip_prefix(part.as_str())
                } else {
                    rest.split_once(part.as_str()).map(|(_, after)| after)
                };
                match found {
                    Some(after) => rest = after,
                    None => return false,
                }
                is_anchored = true;
            }
        }
    }
    ends_open || rest.is_empty()
}

/// Whether `inner` lies in `outer`; never between the two versions of IP.
pub fn contains_range(outer: IpRange, inner: IpRange) -> bool {
    use std::net::IpAddr;
    let (outer_bits, inner_bits, width) = match (outer.address, inner.address) {
        (IpAddr::V4(outer), IpAddr::V4(inner)) => (
            u128::from(u32::from(outer)),
            u128::from(u32::from(inner)),
            32,
        ),
        (IpAddr::V6(outer), IpAddr::V6(inner)) => (u128::from(outer), u128::from(inner), 128),
        _ => return false,
    };
    let shift = u32::from(width - outer.prefix_bits.min(width));
    let shifted = |bits: u128| bits.checked_shr(shift).unwrap_or(0);
    inner.prefix_bits >= outer.prefix_bits && shifted(outer_bits) == shifted(inner_bits)
}

mod text;

#[cfg(test)]
mod tests;
