//! Values of SQLite as cells.

use std::borrow::Cow;

use dataos_model::dataset::ColumnType;
use sqlx::{Decode, Sqlite, TypeInfo, ValueRef, sqlite::SqliteValueRef};

use crate::{
    calendar::{civil_from_days, days_from_civil},
    source::batch::{Cell, Unfit},
};

const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;
/// Bits of the lower and the middle part of an integer that is added up.
pub(super) const SUMMED_BITS: u32 = 22;
/// Such a part's bits.
pub(super) const SUMMED_MASK: i64 = (1 << SUMMED_BITS) - 1;

/// A value of a column.
///
/// # Errors
/// What the value is instead.
pub(super) fn cell<'a>(
    value: SqliteValueRef<'a>,
    column_type: &ColumnType,
) -> Result<Cell<'a>, Unfit> {
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let class = value.type_info().name().to_owned();
    match class.as_str() {
        "INTEGER" => {
            let number = <i64 as Decode<'_, Sqlite>>::decode(value).map_err(|_| "no integer")?;
            integer(number, column_type)
        }
        "REAL" => {
            let number = <f64 as Decode<'_, Sqlite>>::decode(value).map_err(|_| "no number")?;
            match column_type {
                ColumnType::Float(64) => Ok(Cell::Double(number)),
                _ => Err("a value of storage class REAL"),
            }
        }
        "TEXT" => {
            let text = <&str as Decode<'_, Sqlite>>::decode(value);
            of_text(text.map_err(|_| "text that is not UTF-8")?, column_type)
        }
        _ => {
            let bytes = <&[u8] as Decode<'_, Sqlite>>::decode(value).map_err(|_| "no bytes")?;
            match column_type {
                ColumnType::Binary => Ok(Cell::Binary(bytes)),
                _ => Err("a value of storage class BLOB"),
            }
        }
    }
}

/// A sum of integers, as the sums of their upper, middle and lower bits.
///
/// # Errors
/// Sums in another form.
pub(super) fn sum(value: SqliteValueRef<'_>) -> Result<Cell<'static>, Unfit> {
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let parts = <&str as Decode<'_, Sqlite>>::decode(value).map_err(|_| "no sum")?;
    of_parts(parts).ok_or("no sum")
}

fn of_parts(parts: &str) -> Option<Cell<'static>> {
    let mut parts = parts.split(' ').map(str::parse::<i128>);
    let mut next = || parts.next()?.ok();
    let (upper, middle, lower) = (next()?, next()?, next()?);
    let sum = (upper << (2 * SUMMED_BITS)) + (middle << SUMMED_BITS) + lower;
    parts.next().is_none().then_some(Cell::Decimal(sum))
}

fn integer(number: i64, column_type: &ColumnType) -> Result<Cell<'static>, Unfit> {
    match (column_type, number) {
        (ColumnType::Int(_), number) => Ok(Cell::Int(number)),
        (ColumnType::Bool, 0 | 1) => Ok(Cell::Bool(number == 1)),
        (ColumnType::Bool, _) => Err("an integer other than 0 and 1"),
        _ => Err("a value of storage class INTEGER"),
    }
}

fn of_text<'a>(text: &'a str, column_type: &ColumnType) -> Result<Cell<'a>, Unfit> {
    match column_type {
        ColumnType::Text | ColumnType::Json => Ok(Cell::Text(Cow::Borrowed(text))),
        ColumnType::Uuid if is_uuid(text) => Ok(Cell::Text(Cow::Borrowed(text))),
        ColumnType::Uuid => Err("a text that is no UUID in lower case"),
        ColumnType::Date => {
            let day = day(text).ok_or("a text that is no date such as 2024-05-31")?;
            let day = i32::try_from(day).map_err(|_| "a date out of range")?;
            Ok(Cell::Date(day))
        }
        ColumnType::LocalTimestamp => microseconds(text)
            .map(Cell::Microseconds)
            .ok_or("a text that is no time such as 2024-05-31 10:00:00"),
        ColumnType::Timestamp => text
            .strip_suffix('Z')
            .or_else(|| text.strip_suffix("+00:00"))
            .and_then(microseconds)
            .map(Cell::Microseconds)
            .ok_or("a text that is no time in UTC such as 2024-05-31 10:00:00Z"),
        _ => Err("a value of storage class TEXT"),
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}

/// The number that so many digits are.
fn digits(text: &str, count: usize) -> Option<i64> {
    let is_number = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Days since 1970 of `2024-05-31`.
fn day(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4)?;
    let (month, day) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let days = days_from_civil(year, month, day);
    (parts.next().is_none() && civil_from_days(days) == (year, month, day)).then_some(days)
}

/// Microseconds since 1970 of `2024-05-31 10:00`, with seconds and up to six digits behind them or
/// without, and `T` or a space between.
fn microseconds(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', ' '])?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = clock.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let second = match parts.next() {
        Some(second) => digits(second, 2)?,
        None => 0,
    };
    let is_whole = parts.next().is_none() && fraction.len() <= 6;
    if !is_whole || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = digits(&format!("{fraction:0<6}"), 6)?;
    let seconds = (hour * 60 + minute) * 60 + second;
    Some(day(date)? * MICROSECONDS_PER_DAY + seconds * 1_000_000 + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_days_and_times_or_refused() {
        for (text, expected) in [
            ("1970-01-01 00:00", Some(0)),
            ("1970-01-01T00:00:01", Some(1_000_000)),
            ("1970-01-01 00:00:00.5", Some(500_000)),
            ("1969-12-31 23:59:59.999999", Some(-1)),
            ("1970-01-01", None),
            ("1970-01-01 24:00:00", None),
            ("1970-01-01 00:00:00.1234567", None),
            ("1970-01-01 00:00:00.", Some(0)),
            ("1970-02-30 00:00:00", None),
            ("1970-01-01 0:00:00", None),
            ("1970-01-01 00:00:00 ", None),
            ("70-01-01 00:00:00", None),
            ("1970-01-01 00:00:+1", None),
            ("é", None),
        ] {
            assert_eq!(microseconds(text), expected, "{text}");
        }
        assert_eq!(day("2000-02-29"), Some(11_016));
        assert_eq!(day("1999-02-29"), None);
    }

    #[test]
    fn sums_are_put_together_of_parts() {
        for (numbers, expected) in [
            (&[0_i64] as &[i64], 0),
            (&[-1, -1], -2),
            (&[i64::MAX, 1], 1 << 63),
            (&[i64::MIN, i64::MIN, 5], 5 - (1 << 64)),
            (&[4_294_967_295, 1], 4_294_967_296),
        ] {
            let sum = |part: fn(i64) -> i64| numbers.iter().copied().map(part).sum::<i64>();
            let low = (1 << SUMMED_BITS) - 1;
            assert_eq!(low, SUMMED_MASK);
            let upper = sum(|number| number >> (2 * SUMMED_BITS));
            let middle = sum(|number| (number >> SUMMED_BITS) & SUMMED_MASK);
            let lower = sum(|number| number & SUMMED_MASK);
            let parts = format!("{upper} {middle} {lower}");
            assert_eq!(
                of_parts(&parts),
                Some(Cell::Decimal(expected)),
                "{numbers:?}"
            );
        }
        for other in ["1", "1 2", "1 2 3 4", "1 2 x"] {
            assert_eq!(of_parts(other), None, "{other}");
        }
    }

    #[test]
    fn integers_are_what_their_column_allows() {
        assert_eq!(integer(1, &ColumnType::Bool), Ok(Cell::Bool(true)));
        assert!(integer(2, &ColumnType::Bool).is_err());
        assert!(integer(1, &ColumnType::Text).is_err());
        assert!(integer(1, &ColumnType::Float(64)).is_err());
        assert!(integer(1, &ColumnType::Date).is_err());
    }
}
