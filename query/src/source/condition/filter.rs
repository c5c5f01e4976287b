//! Conditions of the caller, as the engine has them. What a column is compared with has the column's own type.

use std::collections::BTreeSet;

use datafusion::{
    common::ScalarValue,
    logical_expr::{BinaryExpr, Expr, Like, Operator as EngineOperator},
};
use dataos_model::{dataset::ColumnType, predicate::LikePiece, value::Value};

use super::{Against, Builder, MICROSECONDS_PER_DAY, Named, Operator};
use crate::source::read::Keys;

impl<'a> Builder<'a> {
    /// Adds what of a filter has an exact form.
    pub(super) fn filter(&mut self, filter: &Expr) {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if *op == EngineOperator::And => {
                self.filter(left);
                self.filter(right);
            }
            _ => self.conjunct(|builder| builder.passes(filter)),
        }
    }

    /// That a column is one of the keys; not of times, of which each is a range and a chain of them takes long.
    pub(super) fn keys(&mut self, (name, keys): &Keys) -> Option<String> {
        let named = self.named(name)?;
        let is_time = matches!(
            named.column.column_type,
            ColumnType::Timestamp | ColumnType::LocalTimestamp
        );
        let keys: Vec<&ScalarValue> = keys.iter().collect();
        (!is_time).then(|| self.literals(named, EngineOperator::Eq, &keys))?
    }

    /// TRUE, FALSE and NULL as the filter is.
    pub(super) fn passes(&mut self, filter: &Expr) -> Option<String> {
        match filter {
            Expr::Column(column) => {
                let (named, value) = (self.named(&column.name)?, Value::Bool(true));
                self.any(named, Operator::Equal, &[Against::Value(&value)])
            }
            Expr::Not(inner) => Some(format!("(NOT ({}))", self.passes(inner)?)),
            Expr::IsNotNull(inner) => self.present(inner),
            Expr::IsNull(inner) => Some(format!("(NOT ({}))", self.present(inner)?)),
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
                _ => self.operation(left, *op, right),
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
                self.literals(self.of(&list.expr)?, operator, &literals)
            }
            Expr::Like(like) => {
                let pieces = pieces(like)?;
                let test = self.like(self.of(&like.expr)?, &pieces)?;
                Some(match like.negated {
                    true => format!("(NOT ({test}))"),
                    false => test,
                })
            }
            _ => None,
        }
    }

    fn present(&self, expr: &Expr) -> Option<String> {
        let Named { column, dialect } = self.of(expr)?;
        dialect.present(column)
    }

    fn operation(&mut self, left: &Expr, op: EngineOperator, right: &Expr) -> Option<String> {
        match (left, right) {
            (Expr::Column(column), Expr::Literal(literal, _)) => {
                self.literals(self.named(&column.name)?, op, &[literal])
            }
            (Expr::Literal(literal, _), Expr::Column(column)) => {
                self.literals(self.named(&column.name)?, op.swap()?, &[literal])
            }
            (Expr::Column(left), Expr::Column(right)) => {
                let both = [self.named(&left.name)?, self.named(&right.name)?];
                match op {
                    EngineOperator::NotEq => {
                        let equal = self.both(both, Operator::Equal, false)?;
                        Some(format!("(NOT ({equal}))"))
                    }
                    _ => self.both(both, operator(op)?, false),
                }
            }
            _ => None,
        }
    }

    /// That the column compares so with one of the literals; for `<>`, that it is none of them.
    fn literals(
        &mut self,
        named: Named<'a>,
        op: EngineOperator,
        literals: &[&ScalarValue],
    ) -> Option<String> {
        let times: Option<BTreeSet<(i64, i64)>> =
            literals.iter().map(|literal| time(literal)).collect();
        if let Some(times) = times {
            let times = times.into_iter();
            let all = times.map(|(start, end)| Against::Time(start.into()..end.into()));
            return self.none_or_any(named, op, &all.collect::<Vec<_>>());
        }
        let values = literals.iter().map(|literal| value(literal));
        let values: BTreeSet<Value> = values.collect::<Option<_>>()?;
        let all: Vec<Against<'_>> = values.iter().map(Against::Value).collect();
        self.none_or_any(named, op, &all)
    }

    fn none_or_any(
        &mut self,
        named: Named<'a>,
        op: EngineOperator,
        all: &[Against<'_>],
    ) -> Option<String> {
        if op != EngineOperator::NotEq {
            return self.any(named, operator(op)?, all);
        }
        let equal = self.any(named, Operator::Equal, all)?;
        Some(format!("(NOT ({equal}))"))
    }

    fn of(&self, expr: &Expr) -> Option<Named<'a>> {
        match expr {
            Expr::Column(column) => self.named(&column.name),
            _ => None,
        }
    }
}

fn operator(op: EngineOperator) -> Option<Operator> {
    Some(match op {
        EngineOperator::Eq => Operator::Equal,
        EngineOperator::Lt => Operator::Less,
        EngineOperator::LtEq => Operator::LessOrEqual,
        EngineOperator::Gt => Operator::Greater,
        EngineOperator::GtEq => Operator::GreaterOrEqual,
        _ => return None,
    })
}

/// What a text is made of that is like the pattern, if its wildcards are runs of any characters alone.
fn pieces(like: &Like) -> Option<Vec<LikePiece>> {
    let Expr::Literal(pattern, _) = like.pattern.as_ref() else {
        return None;
    };
    let pattern = pattern.try_as_str().flatten()?;
    let is_other = like.case_insensitive || like.escape_char.is_some();
    if is_other || pattern.contains(['_', '\\']) {
        return None;
    }
    let mut pieces = Vec::new();
    for (number, text) in pattern.split('%').enumerate() {
        if number > 0 {
            pieces.push(LikePiece::Any);
        }
        pieces.push(LikePiece::Text(text.to_owned()));
    }
    Some(pieces)
}

/// From when until when a literal is, in microseconds.
fn time(literal: &ScalarValue) -> Option<(i64, i64)> {
    let start = match literal {
        ScalarValue::Date32(day) => i64::from((*day)?).checked_mul(MICROSECONDS_PER_DAY)?,
        ScalarValue::TimestampMicrosecond(microseconds, _) => (*microseconds)?,
        _ => return None,
    };
    Some((start, start.checked_add(1)?))
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
