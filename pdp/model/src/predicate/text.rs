//! Predicates as people read them: `region = 'EMEA' AND salary < 1000`.
//!
//! For records, explanations and messages. Nothing parses it and no engine is sent it.

use std::fmt;

use super::{Arithmetic, Comparison, Expression, LikePiece, Predicate, SetTest};
use crate::value::Value;

/// How tightly a text binds; a part that binds less than its place demands gets parentheses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Or,
    And,
    Not,
    Compare,
    Sum,
    Product,
    Atom,
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&predicate(self).0)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&expression(self).0)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => f.write_str(if *value { "TRUE" } else { "FALSE" }),
            Self::Long(value) => write!(f, "{value}"),
            Self::String(text) => f.write_str(&quoted(text)),
            Self::Decimal(units) => f.write_str(&decimal(*units)),
            Self::DateTime(milliseconds) => write!(f, "TIMESTAMP '{}'", instant(*milliseconds)),
            Self::Duration(milliseconds) => write!(f, "INTERVAL '{milliseconds} ms'"),
            Self::Ip(range) => write!(f, "IP '{}/{}'", range.address, range.prefix_bits),
            Self::Set(items) => write!(f, "{{{}}}", joined(items.iter().map(ToString::to_string))),
            Self::Record(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, value)| format!("{}: {value}", name_of(name)));
                write!(f, "{{{}}}", joined(fields))
            }
            Self::Entity(uid) => write!(f, "{uid}"),
        }
    }
}

fn predicate(predicate: &Predicate) -> (String, Binding) {
    let list = |parts: &[Predicate], word: &str, binding: Binding| {
        let parts: Vec<String> = parts
            .iter()
            .map(|part| within(self::predicate(part), binding))
            .collect();
        (parts.join(word), binding)
    };
    match predicate {
        Predicate::Constant(value) => (Value::Bool(*value).to_string(), Binding::Atom),
        Predicate::Satisfied(inner) => expression(inner),
        Predicate::All(parts) if parts.is_empty() => self::predicate(&Predicate::ALWAYS),
        Predicate::Any(parts) if parts.is_empty() => self::predicate(&Predicate::NEVER),
        Predicate::All(parts) => list(parts, " AND ", Binding::And),
        Predicate::Any(parts) => list(parts, " OR ", Binding::Or),
        Predicate::Not(inner) => negated(self::predicate(inner)),
    }
}

fn expression(expression: &Expression) -> (String, Binding) {
    let infix = |left: &Expression, word: &str, right: &Expression, binding: Binding| {
        let above = if binding == Binding::And || binding == Binding::Or {
            binding
        } else {
            tighter(binding)
        };
        let left = within(self::expression(left), above);
        (
            format!("{left} {word} {}", within(self::expression(right), above)),
            binding,
        )
    };
    match expression {
        Expression::Literal(value) => (value.to_string(), Binding::Atom),
        Expression::Column(name) => (name_of(name), Binding::Atom),
        Expression::Present(name) => (format!("{} IS NOT NULL", name_of(name)), Binding::Compare),
        Expression::Not(inner) => match inner.as_ref() {
            Expression::Compare(Comparison::Equal, left, right) => {
                infix(left, "<>", right, Binding::Compare)
            }
            inner => negated(self::expression(inner)),
        },
        Expression::And(left, right) => infix(left, "AND", right, Binding::And),
        Expression::Or(left, right) => infix(left, "OR", right, Binding::Or),
        Expression::If(test, yes, no) => (
            format!("CASE WHEN {test} THEN {yes} ELSE {no} END"),
            Binding::Atom,
        ),
        Expression::Compare(comparison, left, right) => {
            let word = match comparison {
                Comparison::Equal => "=",
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
            };
            infix(left, word, right, Binding::Compare)
        }
        Expression::Arithmetic(operator, left, right) => match operator {
            Arithmetic::Add => infix(left, "+", right, Binding::Sum),
            Arithmetic::Subtract => infix(left, "-", right, Binding::Sum),
            Arithmetic::Multiply => infix(left, "*", right, Binding::Product),
        },
        Expression::Negate(inner) => (
            format!("-{}", within(self::expression(inner), Binding::Atom)),
            Binding::Product,
        ),
        Expression::Like(inner, pieces) => suffixed(inner, &format!("LIKE {}", pattern(pieces))),
        Expression::Sets(test, left, right) => sets(*test, left, right),
        Expression::IsEmpty(inner) => suffixed(inner, "IS EMPTY"),
        Expression::HasField(inner, name) => suffixed(inner, &format!("HAS {}", name_of(name))),
        Expression::Set(items) => braced(items.iter().map(ToString::to_string)),
        Expression::Record(fields) => braced(
            fields
                .iter()
                .map(|(name, field)| format!("{}: {field}", name_of(name))),
        ),
        Expression::Field(inner, name) => (
            format!(
                "{}.{}",
                within(self::expression(inner), Binding::Atom),
                name_of(name)
            ),
            Binding::Atom,
        ),
        Expression::InRange(left, right) => infix(left, "IN RANGE", right, Binding::Compare),
        Expression::Error(_) => ("ERROR".to_owned(), Binding::Atom),
    }
}

/// A test written behind what it tests.
fn suffixed(inner: &Expression, suffix: &str) -> (String, Binding) {
    (
        format!("{} {suffix}", within(expression(inner), Binding::Sum)),
        Binding::Compare,
    )
}

fn braced(parts: impl Iterator<Item = String>) -> (String, Binding) {
    (format!("{{{}}}", joined(parts)), Binding::Atom)
}

fn sets(test: SetTest, left: &Expression, right: &Expression) -> (String, Binding) {
    if let (SetTest::Contains, Expression::Literal(Value::Set(items))) = (test, left) {
        let items = joined(items.iter().map(ToString::to_string));
        let element = within(expression(right), Binding::Sum);
        return (format!("{element} IN ({items})"), Binding::Compare);
    }
    let word = match test {
        SetTest::Contains => "CONTAINS",
        SetTest::ContainsAll => "CONTAINS ALL",
        SetTest::ContainsAny => "CONTAINS ANY",
    };
    let left = within(expression(left), Binding::Sum);
    (
        format!("{left} {word} {}", within(expression(right), Binding::Sum)),
        Binding::Compare,
    )
}

fn negated(inner: (String, Binding)) -> (String, Binding) {
    (
        format!("NOT {}", within(inner, Binding::Atom)),
        Binding::Not,
    )
}

fn within((text, binding): (String, Binding), least: Binding) -> String {
    if binding >= least {
        text
    } else {
        format!("({text})")
    }
}

fn tighter(binding: Binding) -> Binding {
    match binding {
        Binding::Or => Binding::And,
        Binding::And => Binding::Not,
        Binding::Not => Binding::Compare,
        Binding::Compare => Binding::Sum,
        Binding::Sum => Binding::Product,
        Binding::Product | Binding::Atom => Binding::Atom,
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name as it stands, or in double quotes if it is not made of lower-case letters, digits and `_`.
fn name_of(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

fn pattern(pieces: &[LikePiece]) -> String {
    let pattern: String = pieces
        .iter()
        .map(|piece| match piece {
            LikePiece::Any => "%".to_owned(),
            LikePiece::Text(text) => text
                .replace('\\', "\\\\")
                .replace('%', "\\%")
                .replace('_', "\\_"),
        })
        .collect();
    quoted(&pattern)
}

fn decimal(units: i64) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let (whole, part) = (units.unsigned_abs() / 10_000, units.unsigned_abs() % 10_000);
    let part = format!("{part:04}");
    let part = part.trim_end_matches('0');
    format!("{sign}{whole}.{}", if part.is_empty() { "0" } else { part })
}

/// `2024-05-31T10:00:00Z`, with milliseconds if there are any; any year, proleptic Gregorian.
fn instant(milliseconds: i64) -> String {
    let (day, rest) = (
        milliseconds.div_euclid(86_400_000),
        milliseconds.rem_euclid(86_400_000),
    );
    // Days since 0000-03-01, in eras of 400 years, so that leap days fall at the end of a year.
    let shifted = day + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, fraction) = (rest / 1_000 % 60, rest % 1_000);
    let fraction = if fraction == 0 {
        String::new()
    } else {
        format!(".{fraction:03}")
    };
    format!("{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn column(name: &str) -> Box<Expression> {
        Box::new(Expression::Column(name.to_owned()))
    }

    fn literal(value: impl Into<Value>) -> Box<Expression> {
        Box::new(Expression::Literal(value.into()))
    }

    fn equal(name: &str, value: impl Into<Value>) -> Expression {
        Expression::Compare(Comparison::Equal, column(name), literal(value))
    }

    #[test]
    fn predicates_read_like_sql() {
        let check = |predicate: Predicate, expected: &str| {
            assert_eq!(predicate.to_string(), expected);
        };
        let region = || Predicate::Satisfied(equal("region", "EMEA"));
        let small = || {
            Predicate::Satisfied(Expression::Compare(
                Comparison::Less,
                column("salary"),
                literal(1000),
            ))
        };
        check(Predicate::ALWAYS, "TRUE");
        check(Predicate::All(vec![]), "TRUE");
        check(
            Predicate::all([region(), small()]),
            "region = 'EMEA' AND salary < 1000",
        );
        check(
            Predicate::all([Predicate::any([region(), small()]), region().negated()]),
            "(region = 'EMEA' OR salary < 1000) AND NOT (region = 'EMEA')",
        );
        check(
            Predicate::Satisfied(Expression::Not(Box::new(equal("Größe", "it's")))),
            "\"Größe\" <> 'it''s'",
        );
        check(
            Predicate::Satisfied(Expression::And(
                Box::new(Expression::Present("region".to_owned())),
                Box::new(Expression::Sets(
                    SetTest::Contains,
                    literal(Value::Set(BTreeSet::from([
                        Value::from("A"),
                        Value::from("B"),
                    ]))),
                    column("region"),
                )),
            )),
            "region IS NOT NULL AND region IN ('A', 'B')",
        );
        check(
            Predicate::Satisfied(Expression::Like(
                column("name"),
                vec![LikePiece::Text("50%".to_owned()), LikePiece::Any],
            )),
            "name LIKE '50\\%%'",
        );
        let sum = Expression::Arithmetic(Arithmetic::Add, column("a"), literal(1));
        let product = Expression::Arithmetic(Arithmetic::Multiply, Box::new(sum), column("b"));
        check(
            Predicate::Satisfied(Expression::Compare(
                Comparison::LessOrEqual,
                Box::new(product),
                literal(9),
            )),
            "(a + 1) * b <= 9",
        );
    }

    #[test]
    fn values_are_canonical() {
        for (value, expected) in [
            (Value::Decimal(-12_500), "-1.25"),
            (Value::Decimal(30_000), "3.0"),
            (Value::DateTime(0), "TIMESTAMP '1970-01-01T00:00:00Z'"),
            (
                Value::DateTime(951_782_400_000),
                "TIMESTAMP '2000-02-29T00:00:00Z'",
            ),
            (Value::DateTime(-1), "TIMESTAMP '1969-12-31T23:59:59.999Z'"),
        ] {
            assert_eq!(value.to_string(), expected);
        }
    }
}
