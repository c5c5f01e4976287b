//! The type of a column of text cells, such as CSV has.
//!
//! A type is only inferred if every cell seen converts to it and back without loss: `007` and `+49`
//! stay text, as do integers beyond 64 bits, and a column of integers and decimals where a double
//! could not hold the integers.

use dataos_model::dataset::ColumnType;

/// What the cells of one column have been so far. Empty cells are absent values and say nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct CellKinds {
    has_bool: bool,
    has_integer: bool,
    has_big_integer: bool,
    has_double: bool,
    has_date: bool,
    has_local: bool,
    has_zoned: bool,
    has_text: bool,
}

/// Greatest integer up to which a double holds each.
const EXACT_DOUBLE_MAX: u64 = 1 << 53;

impl CellKinds {
    /// Looks at one cell.
    pub(super) fn see(&mut self, cell: &str) {
        if cell.is_empty() || self.has_text {
            return;
        }
        if let Some(integer) = integer(cell) {
            self.has_integer = true;
            self.has_big_integer |= integer.unsigned_abs() > EXACT_DOUBLE_MAX;
        } else if is_double(cell) {
            self.has_double = true;
        } else if cell.eq_ignore_ascii_case("true") || cell.eq_ignore_ascii_case("false") {
            self.has_bool = true;
        } else {
            match moment(cell) {
                Some(Moment::Date) => self.has_date = true,
                Some(Moment::Local) => self.has_local = true,
                Some(Moment::Zoned) => self.has_zoned = true,
                None => self.has_text = true,
            }
        }
    }

    /// The type that all cells have.
    pub(super) fn column_type(&self) -> ColumnType {
        let number = self.has_integer || self.has_double;
        let kinds = [
            self.has_bool,
            number,
            self.has_date,
            self.has_local,
            self.has_zoned,
        ];
        if self.has_text || kinds.iter().filter(|has| **has).count() != 1 {
            return ColumnType::Text;
        }
        match kinds {
            [true, ..] => ColumnType::Bool,
            [_, true, ..] if !self.has_double => ColumnType::Int(64),
            [_, true, ..] if self.has_big_integer => ColumnType::Text,
            [_, true, ..] => ColumnType::Float(64),
            [_, _, true, ..] => ColumnType::Date,
            [_, _, _, true, _] => ColumnType::LocalTimestamp,
            _ => ColumnType::Timestamp,
        }
    }
}

/// A 64-bit integer as it would be printed.
fn integer(cell: &str) -> Option<i64> {
    let value: i64 = cell.parse().ok()?;
    (value.to_string() == cell).then_some(value)
}

/// `-?digits(.digits)?(e[+-]?digits)?` without leading zeros, not an integer, finite.
fn is_double(cell: &str) -> bool {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = cell.strip_prefix('-').unwrap_or(cell);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let is_exponent =
        |text: &str| is_digits(text.strip_prefix(['+', '-']).unwrap_or(text)) && text.len() <= 5;
    (fraction.is_some() || exponent.is_some())
        && is_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(is_digits)
        && exponent.is_none_or(is_exponent)
        && cell.parse::<f64>().is_ok_and(f64::is_finite)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Date,
    Local,
    Zoned,
}

/// `YYYY-MM-DD`, or that with `T` or a space, `HH:MM:SS`, at most six digits of a fraction (as many as
/// microseconds hold), and perhaps `Z` or `+HH:MM`.
fn moment(cell: &str) -> Option<Moment> {
    let (date, rest) = cell.split_at_checked(10)?;
    if !is_date(date) {
        return None;
    }
    if rest.is_empty() {
        return Some(Moment::Date);
    }
    let rest = rest.strip_prefix(['T', ' '])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    if !is_clock(clock) {
        return None;
    }
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            let digits = fraction.len() - zone.len();
            if !(1..=6).contains(&digits) {
                return None;
            }
            zone
        }
        None => rest,
    };
    match rest {
        "" => Some(Moment::Local),
        "Z" => Some(Moment::Zoned),
        zone => {
            let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
            (two_digits(hours)? <= 15 && two_digits(minutes)? <= 59).then_some(Moment::Zoned)
        }
    }
}

fn is_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let (Some(year), Some(month), Some(day), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let is_year = year.len() == 4 && year.bytes().all(|b| b.is_ascii_digit());
    let (Some(month), Some(day)) = (two_digits(month), two_digits(day)) else {
        return false;
    };
    let Some(year) = is_year.then(|| year.parse::<u32>().ok()).flatten() else {
        return false;
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 0,
    };
    year >= 1 && (1..=days).contains(&day)
}

fn is_clock(text: &str) -> bool {
    let mut parts = text.split(':').map(two_digits);
    let all = (parts.next(), parts.next(), parts.next(), parts.next());
    matches!(
        all,
        (
            Some(Some(0..=23)),
            Some(Some(0..=59)),
            Some(Some(0..=59)),
            None
        )
    )
}

fn two_digits(text: &str) -> Option<u32> {
    (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cells: &[&str], expected: &str) {
        let mut kinds = CellKinds::default();
        cells.iter().for_each(|cell| kinds.see(cell));
        assert_eq!(kinds.column_type().to_string(), expected, "{cells:?}");
    }

    #[test]
    fn types_of_cells() {
        check(&[], "text");
        check(&["", ""], "text");
        check(&["1", "", "-20"], "bigint");
        check(&["9223372036854775807"], "bigint");
        check(&["9223372036854775808"], "text");
        check(&["007"], "text");
        check(&["+49"], "text");
        check(&["-0"], "text");
        check(&["1", "2.5"], "double");
        check(&["1e3", "-2.5E-2"], "double");
        check(&["9007199254740993", "2.5"], "text");
        check(&["1e999"], "text");
        check(&["00.5"], "text");
        check(&[".5"], "text");
        check(&["5."], "text");
        check(&["NaN"], "text");
        check(&["true", "False", ""], "boolean");
        check(&["true", "1"], "text");
        check(&["2024-02-29"], "date");
        check(&["2023-02-29"], "text");
        check(&["0000-01-01"], "text");
        check(&["2024-02-29", "2024-02-29 10:00:00"], "text");
        check(
            &["2024-02-29 10:00:00", "2024-02-29T23:59:59.123456"],
            "timestamp",
        );
        check(&["2024-02-29 24:00:00"], "text");
        check(&["2024-02-29 10:00:00.1234567"], "text");
        check(
            &["2024-02-29T10:00:00Z", "2024-02-29T10:00:00.5+02:00"],
            "timestamptz",
        );
        check(&["2024-02-29T10:00:00Z", "2024-02-29T10:00:00"], "text");
        check(&["2024-02-29T10:00:00+2"], "text");
        check(&["€€€€€€€€€€€"], "text");
        check(&["1", "x", "2"], "text");
    }
}
