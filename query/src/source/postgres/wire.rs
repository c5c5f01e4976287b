//! Values as PostgreSQL's binary format has them.

use std::error::Error;

use tokio_postgres::types::{FromSql, Type};

/// Days from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
const EPOCH_MICROSECONDS: i64 = 10_957 * 86_400_000_000;

/// The bytes of any type.
pub(super) struct Raw<'a>(pub(super) Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The elements of an array; `None` if it has several dimensions.
///
/// The wire form: dimensions, whether there are NULLs, element type, then for each dimension length
/// and lower bound, then each element with its length, -1 for NULL.
pub(super) fn elements(raw: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    let (dimensions, rest) = integer(raw)?;
    let (_, rest) = integer(rest)?;
    let (_, rest) = integer(rest)?;
    if dimensions == 0 {
        return Some(Vec::new());
    }
    let (length, rest) = integer(rest)?;
    let (_, mut rest) = integer(rest)?;
    if dimensions != 1 {
        return None;
    }
    let mut elements = Vec::new();
    for _ in 0..length {
        let (size, after) = integer(rest)?;
        let (element, after) = match usize::try_from(size) {
            Ok(size) => after
                .split_at_checked(size)
                .map(|(element, after)| (Some(element), after))?,
            Err(_) => (None, after),
        };
        elements.push(element);
        rest = after;
    }
    Some(elements)
}

fn integer(raw: &[u8]) -> Option<(i32, &[u8])> {
    let (head, rest) = raw.split_first_chunk::<4>()?;
    Some((i32::from_be_bytes(*head), rest))
}

/// Exactly so many bytes.
pub(super) fn fixed<const N: usize>(raw: &[u8]) -> Option<[u8; N]> {
    raw.try_into().ok()
}

/// Days since 1970; `None` for the infinities.
pub(super) fn date(raw: &[u8]) -> Option<i32> {
    let day = i32::from_be_bytes(fixed(raw)?);
    if matches!(day, i32::MIN | i32::MAX) {
        None
    } else {
        day.checked_add(EPOCH_DAYS)
    }
}

/// Microseconds since 1970; `None` for the infinities.
pub(super) fn timestamp(raw: &[u8]) -> Option<i64> {
    let instant = i64::from_be_bytes(fixed(raw)?);
    if matches!(instant, i64::MIN | i64::MAX) {
        None
    } else {
        instant.checked_add(EPOCH_MICROSECONDS)
    }
}

/// The canonical text.
pub(super) fn uuid(bytes: [u8; 16]) -> String {
    let digits = hex::encode(bytes);
    let mut text = String::with_capacity(36);
    for (index, digit) in digits.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

/// A numeric in units of 10^-scale; `None` if it is no number or does not fit exactly.
///
/// The wire form: count of base-10000 digits, weight of the first, sign, display scale, digits.
pub(super) fn numeric(raw: &[u8], precision: u8, scale: u8) -> Option<i128> {
    let mut words = raw.chunks_exact(2).filter_map(fixed::<2>);
    let count = i16::from_be_bytes(words.next()?);
    let weight = i32::from(i16::from_be_bytes(words.next()?));
    let sign = u16::from_be_bytes(words.next()?);
    let _display_scale = words.next()?;
    let is_negative = match sign {
        0x0000 => false,
        0x4000 => true,
        _ => return None,
    };
    let mut units = 0_i128;
    for (position, digit) in words.take(usize::try_from(count).ok()?).enumerate() {
        let digit = i128::from(i16::from_be_bytes(digit));
        // This digit counts 10^exponent units.
        let exponent = 4 * (weight - i32::try_from(position).ok()?) + i32::from(scale);
        let part = match u32::try_from(exponent) {
            Ok(_) if digit == 0 => 0,
            Ok(exponent) => digit.checked_mul(10_i128.checked_pow(exponent)?)?,
            Err(_) => {
                let step = 10_i128.checked_pow(exponent.unsigned_abs())?;
                if digit % step != 0 {
                    return None;
                }
                digit / step
            }
        };
        units = units.checked_add(part)?;
    }
    let is_fitting = units < 10_i128.checked_pow(u32::from(precision))?;
    is_fitting.then_some(if is_negative { -units } else { units })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(weight: i16, sign: u16, digits: &[i16]) -> Vec<u8> {
        let mut raw = Vec::new();
        raw.extend(i16::try_from(digits.len()).unwrap().to_be_bytes());
        raw.extend(weight.to_be_bytes());
        raw.extend(sign.to_be_bytes());
        raw.extend(0_u16.to_be_bytes());
        digits
            .iter()
            .for_each(|digit| raw.extend(digit.to_be_bytes()));
        raw
    }

    #[test]
    fn numerics_are_exact_or_refused() {
        let check = |raw: Vec<u8>, precision, scale, expected: Option<i128>| {
            assert_eq!(numeric(&raw, precision, scale), expected);
        };
        check(wire(0, 0, &[]), 10, 2, Some(0));
        check(wire(0, 0, &[12, 3400]), 10, 2, Some(1234));
        check(wire(0, 0x4000, &[12, 3400]), 10, 4, Some(-123_400));
        check(wire(0, 0, &[12, 3450]), 10, 2, None);
        check(wire(1, 0, &[1]), 10, 2, Some(1_000_000));
        check(wire(-1, 0, &[500]), 10, 2, Some(5));
        check(wire(1, 0, &[1]), 6, 2, None);
        check(wire(0, 0xC000, &[]), 10, 2, None);
    }

    #[test]
    fn uuids_print_canonically() {
        assert_eq!(uuid([0xab; 16]), "abababab-abab-abab-abab-abababababab");
    }
}
