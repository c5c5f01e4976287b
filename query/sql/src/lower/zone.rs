//! PostgreSQL's text of a date or time with a zone behind it, as its drivers send them: the zone counts where an
//! instant is meant, and for dates and local times it is read and forgotten.

use sqlparser::ast;

use super::Lowering;
use crate::{
    dialect::Dialect,
    error::SqlError,
    ir::{Expr, Literal, Type},
};

impl Lowering {
    /// A value that is compared with others: the type of these says whether its zone counts.
    pub(super) fn compared(&mut self, expr: &ast::Expr) -> Result<Expr, SqlError> {
        let value = self.expr(expr)?;
        if self.dialect == Dialect::Postgres
            && let Expr::Literal(Literal::Text(text)) = &value
            && split(text).is_some()
        {
            return Ok(Expr::Literal(Literal::Zoned(text.clone())));
        }
        Ok(value)
    }

    /// The text of a literal of this type.
    pub(super) fn of_type(&self, of: Type, text: String) -> String {
        let counted = match (self.dialect, of) {
            (Dialect::Postgres, Type::Date) => date(&text),
            (Dialect::Postgres, Type::Timestamp) => local(&text),
            (..) => None,
        };
        counted.map(str::to_owned).unwrap_or(text)
    }
}

/// The date of a text with a zone.
pub(crate) fn date(text: &str) -> Option<&str> {
    let (local, _) = split(text)?;
    local.split([' ', 'T']).next()
}

/// Date and time of a text with a zone.
pub(crate) fn local(text: &str) -> Option<&str> {
    split(text).map(|(local, _)| local)
}

/// `2026-01-31 [12:30[:00[.000]]][ ]+01[:00[:00]]` before its zone, and the zone.
fn split(text: &str) -> Option<(&str, &str)> {
    let (day, _) = text.match_indices('-').nth(1)?;
    let behind = text.get(day + 1..)?.find(['+', '-'])?;
    let (local, zone) = text.split_at_checked(day + 1 + behind)?;
    let local = local.strip_suffix(' ').unwrap_or(local);
    let digits = zone.get(1..)?;
    let is_zone = (2..=8).contains(&digits.len())
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b':');
    let (date, time) = local.split_once([' ', 'T']).unwrap_or((local, "0"));
    let mut parts = date.split('-');
    let is_date = [4..=6, 2..=2, 2..=2].into_iter().all(|lengths| {
        parts.next().is_some_and(|part| {
            lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        })
    });
    let is_time = !time.is_empty()
        && time
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b':' || byte == b'.');
    (is_zone && is_date && is_time).then_some((local, zone))
}

#[cfg(test)]
mod tests {
    use super::{date, local};

    #[test]
    fn texts_with_a_zone_are_told_from_all_others() {
        for (text, of_date, of_time) in [
            ("2026-01-31 +00", "2026-01-31", "2026-01-31"),
            ("2026-01-31 -03:30", "2026-01-31", "2026-01-31"),
            ("2026-01-31 12:30+01", "2026-01-31", "2026-01-31 12:30"),
            (
                "2026-01-31 12:30:00.125 +0100",
                "2026-01-31",
                "2026-01-31 12:30:00.125",
            ),
            (
                "2026-01-31T12:30:00-01:00:30",
                "2026-01-31",
                "2026-01-31T12:30:00",
            ),
        ] {
            assert_eq!((date(text), local(text)), (Some(of_date), Some(of_time)));
        }
        for text in [
            "",
            "2026-01-31",
            "2026-01-31 12:30:00",
            "2026-01-31 12:30:00Z",
            "2026-01-31 +",
            "2026-01-31 +1",
            "2026-01-31 +aa",
            "2026-01-31 noon+01",
            "a-b-c +00",
            "--+00",
            "555-1234-567-89",
            "10-10-10",
        ] {
            assert_eq!(local(text), None, "{text}");
        }
    }
}
