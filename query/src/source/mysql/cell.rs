//! Values of the binary protocol of MariaDB and MySQL as cells.

use std::{borrow::Cow, str};

use dataos_model::dataset::ColumnType;
use sqlx::{
    Decode, MySql, Row, Type, TypeInfo,
    mysql::{MySqlColumn, MySqlRow},
};

use crate::{
    calendar::days_from_civil,
    source::{
        batch::{Cell, TOO_LARGE, Unfit},
        decimal,
    },
};

const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;
const OTHER_FORM: Unfit = "a value in another form";
const ZERO_DATE: Unfit = "a zero date, which is no day";

/// How the server sends the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Signed,
    Unsigned,
    Single,
    Double,
    Decimal,
    Text,
    Binary,
    Bits,
    Date,
    DateTime,
}

impl Form {
    /// Of a column of a result, if its values are those of `column_type`; else the server's type.
    pub(super) fn of(column: &MySqlColumn, column_type: &ColumnType) -> Result<Self, String> {
        let found = sqlx::Column::type_info(column);
        let is_text = <str as Type<MySql>>::compatible(found);
        let is_bytes = <[u8] as Type<MySql>>::compatible(found);
        let name = found.name();
        let form = match name.strip_suffix(" UNSIGNED").unwrap_or(name) {
            _ if is_text || name == "JSON" => Self::Text,
            _ if is_bytes => Self::Binary,
            "YEAR" => Self::Unsigned,
            // What shows one digit is called BOOLEAN, with a sign or without.
            "TINYINT" | "BOOLEAN" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => {
                if <u64 as Type<MySql>>::compatible(found) {
                    Self::Unsigned
                } else {
                    Self::Signed
                }
            }
            "FLOAT" => Self::Single,
            "DOUBLE" => Self::Double,
            "DECIMAL" => Self::Decimal,
            "BIT" => Self::Bits,
            "DATE" => Self::Date,
            "DATETIME" | "TIMESTAMP" => Self::DateTime,
            _ => return Err(name.to_lowercase()),
        };
        let is_read = match column_type {
            ColumnType::Bool => form == Self::Bits,
            ColumnType::Int(_) => matches!(form, Self::Signed | Self::Unsigned),
            ColumnType::Float(32) => form == Self::Single,
            ColumnType::Float(_) => form == Self::Double,
            ColumnType::Decimal { .. } => matches!(form, Self::Decimal | Self::Unsigned),
            ColumnType::Text | ColumnType::Uuid | ColumnType::Json => form == Self::Text,
            ColumnType::Binary => form == Self::Binary,
            ColumnType::Date => form == Self::Date,
            ColumnType::Timestamp => name == "TIMESTAMP",
            ColumnType::LocalTimestamp => name == "DATETIME",
            ColumnType::List(_) | ColumnType::Record | ColumnType::Other(_) => false,
        };
        is_read.then_some(form).ok_or_else(|| name.to_lowercase())
    }
}

/// A value of a column.
///
/// # Errors
/// What the value is instead.
pub(super) fn cell<'a>(
    row: &'a MySqlRow,
    index: usize,
    form: Form,
    column_type: &ColumnType,
) -> Result<Cell<'a>, Unfit> {
    let value = row.try_get_raw(index).map_err(|_| OTHER_FORM)?;
    // The driver takes zero dates for NULL; its bytes are the truth.
    let Ok(raw) = <&[u8] as Decode<'_, MySql>>::decode(value) else {
        return Ok(Cell::Null);
    };
    of_raw(raw, form, column_type)
}

fn of_raw<'a>(raw: &'a [u8], form: Form, column_type: &ColumnType) -> Result<Cell<'a>, Unfit> {
    let scale = match column_type {
        ColumnType::Decimal { scale, .. } => Some(*scale),
        _ => None,
    };
    Ok(match form {
        Form::Signed => Cell::Int(signed(raw).ok_or(OTHER_FORM)?),
        Form::Unsigned => {
            let value = unsigned(raw).ok_or(OTHER_FORM)?;
            match scale {
                Some(scale) => Cell::Decimal(scaled(value.into(), scale).ok_or(TOO_LARGE)?),
                None => Cell::Int(i64::try_from(value).map_err(|_| TOO_LARGE)?),
            }
        }
        Form::Single => Cell::Single(f32::from_le_bytes(raw.try_into().map_err(|_| OTHER_FORM)?)),
        Form::Double => Cell::Double(f64::from_le_bytes(raw.try_into().map_err(|_| OTHER_FORM)?)),
        Form::Decimal => {
            let text = str::from_utf8(raw).map_err(|_| OTHER_FORM)?;
            Cell::Decimal(decimal::units(text, scale.unwrap_or_default()).ok_or(TOO_LARGE)?)
        }
        Form::Text => {
            let text = str::from_utf8(raw).map_err(|_| "text that is not UTF-8")?;
            Cell::Text(Cow::Borrowed(text))
        }
        Form::Binary => Cell::Binary(raw),
        Form::Bits => match raw {
            [0] => Cell::Bool(false),
            [1] => Cell::Bool(true),
            _ => return Err("several bits"),
        },
        Form::Date => {
            let day = microseconds(raw)?.div_euclid(MICROSECONDS_PER_DAY);
            Cell::Date(i32::try_from(day).map_err(|_| TOO_LARGE)?)
        }
        Form::DateTime => Cell::Microseconds(microseconds(raw)?),
    })
}

fn signed(raw: &[u8]) -> Option<i64> {
    match raw.len() {
        1 => Some(i8::from_le_bytes(raw.try_into().ok()?).into()),
        2 => Some(i16::from_le_bytes(raw.try_into().ok()?).into()),
        4 => Some(i32::from_le_bytes(raw.try_into().ok()?).into()),
        _ => Some(i64::from_le_bytes(raw.try_into().ok()?)),
    }
}

fn unsigned(raw: &[u8]) -> Option<u64> {
    match raw.len() {
        1 => Some(u8::from_le_bytes(raw.try_into().ok()?).into()),
        2 => Some(u16::from_le_bytes(raw.try_into().ok()?).into()),
        4 => Some(u32::from_le_bytes(raw.try_into().ok()?).into()),
        _ => Some(u64::from_le_bytes(raw.try_into().ok()?)),
    }
}

fn scaled(value: i128, scale: u8) -> Option<i128> {
    value.checked_mul(10_i128.checked_pow(scale.into())?)
}

/// Microseconds since 1970 of a date with or without a time.
///
/// The wire form: length, year (2), month, day, then hour, minute, second, then microseconds (4); what
/// is zero at the end is left out.
fn microseconds(raw: &[u8]) -> Result<i64, Unfit> {
    let Some((_, rest)) = raw.split_first() else {
        return Err(OTHER_FORM);
    };
    if rest.is_empty() {
        return Err(ZERO_DATE);
    }
    let (year, rest) = rest.split_first_chunk::<2>().ok_or(OTHER_FORM)?;
    let (day, rest) = rest.split_first_chunk::<2>().ok_or(OTHER_FORM)?;
    let year = i64::from(u16::from_le_bytes(*year));
    let [month, day] = day.map(i64::from);
    // With NO_ZERO_IN_DATE off, and ALLOW_INVALID_DATES on, servers keep days that do not exist.
    let days = days_from_civil(year, month, day);
    if month == 0 || day == 0 {
        return Err(ZERO_DATE);
    }
    if crate::calendar::civil_from_days(days) != (year, month, day) {
        return Err("a date that is no day");
    }
    let (time, rest) = match rest.split_first_chunk::<3>() {
        Some((time, rest)) => (time.map(i64::from), rest),
        None => ([0; 3], rest),
    };
    let fraction = match rest.first_chunk::<4>() {
        Some(fraction) => i64::from(u32::from_le_bytes(*fraction)),
        None => 0,
    };
    let [hour, minute, second] = time;
    let seconds = (hour * 60 + minute) * 60 + second;
    Ok(days * MICROSECONDS_PER_DAY + seconds * 1_000_000 + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_or_refused() {
        for (raw, expected) in [
            (&[0_u8] as &[u8], Err(ZERO_DATE)),
            (&[4, 0xb2, 0x07, 1, 1], Ok(0)),
            (&[4, 0xb2, 0x07, 0, 1], Err(ZERO_DATE)),
            (&[4, 0xb2, 0x07, 1, 0], Err(ZERO_DATE)),
            (&[4, 0xb2, 0x07, 2, 30], Err("a date that is no day")),
            (&[4, 0xb1, 0x07, 12, 31], Ok(-MICROSECONDS_PER_DAY)),
            (&[7, 0xb2, 0x07, 1, 1, 1, 0, 1], Ok(3_601_000_000)),
            (&[11, 0xb2, 0x07, 1, 1, 0, 0, 0, 1, 0, 0, 0], Ok(1)),
            (&[], Err(OTHER_FORM)),
            (&[2, 1, 1], Err(OTHER_FORM)),
        ] {
            assert_eq!(microseconds(raw), expected, "{raw:?}");
        }
    }

    #[test]
    fn integers_keep_their_sign() {
        assert_eq!(signed(&[0xff]), Some(-1));
        assert_eq!(unsigned(&[0xff]), Some(255));
        let ones = [0xff; 8];
        assert_eq!(
            of_raw(&ones, Form::Unsigned, &ColumnType::Int(64)),
            Err(TOO_LARGE)
        );
        let wide = ColumnType::Decimal {
            precision: 20,
            scale: 0,
        };
        assert_eq!(
            of_raw(&ones, Form::Unsigned, &wide),
            Ok(Cell::Decimal(u64::MAX.into()))
        );
    }
}
