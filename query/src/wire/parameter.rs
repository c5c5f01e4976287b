//! Parameters of a statement: from bytes on the wire to literals.

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use dataos_model::fault::Fault;
use dataos_sql::script::Parameter;

use super::message::Format;
use crate::calendar::{date_text, timestamp_text};

/// From 1970 to 2000.
const EPOCH_DAYS: i64 = 10_957;
const EPOCH_MICROSECONDS: i64 = EPOCH_DAYS * 86_400_000_000;
/// The type that is told where none was declared.
const TEXT: u32 = 25;
/// The type whose text has a zone that counts.
const TIMESTAMPTZ: u32 = 1184;

/// How a declared type is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Bool,
    Integer,
    Decimal,
    Float,
    Text,
    Date,
    Timestamp,
    Uuid,
}

fn class(oid: u32) -> Option<Class> {
    Some(match oid {
        16 => Class::Bool,
        20 | 21 | 23 | 26 => Class::Integer,
        700 | 701 => Class::Float,
        1700 => Class::Decimal,
        // unknown, text, bpchar, varchar, name, "char", json: the place tells the type of such a literal.
        0 | 18 | 19 | 25 | 114 | 705 | 1042 | 1043 => Class::Text,
        1082 => Class::Date,
        1114 | 1184 => Class::Timestamp,
        2950 => Class::Uuid,
        _ => return None,
    })
}

/// The type that the peer is told for a parameter.
pub(super) fn told(declared: u32) -> u32 {
    match declared {
        0 | 705 => TEXT,
        declared => declared,
    }
}

/// The literal of a value.
///
/// # Errors
/// A type that is not taken, or bytes that are no value of it.
pub(super) fn literal(
    number: usize,
    oid: u32,
    format: Format,
    value: Option<&[u8]>,
) -> Result<Parameter, Fault> {
    let class = class(oid).ok_or_else(|| not_taken(number, oid))?;
    let Some(bytes) = value else {
        return Ok(Parameter::Null);
    };
    let read = match format {
        Format::Text if oid == TIMESTAMPTZ => instant(bytes),
        Format::Text => text(class, bytes),
        Format::Binary => binary(class, oid, bytes),
    };
    read.ok_or_else(|| {
        Fault::invalid(format!("${number} is no value of its type (oid {oid})"))
            .with_reason("conversion")
    })
}

/// A literal of the declared type, to learn the columns of a statement before its parameters are bound.
///
/// # Errors
/// A type that is not taken.
pub(super) fn sample(number: usize, oid: u32) -> Result<Parameter, Fault> {
    let class = class(oid).ok_or_else(|| not_taken(number, oid))?;
    Ok(match class {
        Class::Bool => Parameter::Bool(true),
        Class::Integer | Class::Decimal | Class::Float => Parameter::Number("1".to_owned()),
        Class::Text if oid == 0 => Parameter::Null,
        Class::Text | Class::Uuid => Parameter::Text(String::new()),
        Class::Date => Parameter::Typed("DATE", "2000-01-01".to_owned()),
        Class::Timestamp => Parameter::Typed("TIMESTAMP", "2000-01-01 00:00:00".to_owned()),
    })
}

fn not_taken(number: usize, oid: u32) -> Fault {
    Fault::new(
        dataos_model::fault::FaultKind::Unsupported,
        format!("${number} has a type that no parameter has here (oid {oid})"),
    )
    .with_hint("pass it as text and write a CAST, and each item of a list by itself: IN ($1, $2)")
}

fn text(class: Class, bytes: &[u8]) -> Option<Parameter> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(match class {
        Class::Bool => match text.to_ascii_lowercase().as_str() {
            "t" | "true" | "1" | "on" | "yes" => Parameter::Bool(true),
            "f" | "false" | "0" | "off" | "no" => Parameter::Bool(false),
            _ => return None,
        },
        Class::Integer => Parameter::Number(text.trim().parse::<i64>().ok()?.to_string()),
        Class::Decimal => Parameter::Number(decimal(text.trim())?),
        Class::Float => float(text.trim().parse().ok()?)?,
        Class::Text | Class::Uuid => Parameter::Text(text.to_owned()),
        Class::Date => Parameter::Typed("DATE", text.to_owned()),
        Class::Timestamp => Parameter::Typed("TIMESTAMP", text.to_owned()),
    })
}

/// The text of an instant, in UTC.
fn instant(bytes: &[u8]) -> Option<Parameter> {
    let text = std::str::from_utf8(bytes).ok()?;
    let microseconds = string_to_timestamp_nanos(text).ok()?.div_euclid(1_000);
    let text = timestamp_text(microseconds, false);
    Some(Parameter::Typed("TIMESTAMP", text.replace('T', " ")))
}

fn binary(class: Class, oid: u32, bytes: &[u8]) -> Option<Parameter> {
    Some(match class {
        Class::Bool => Parameter::Bool(*bytes.first()? != 0),
        Class::Integer if oid == 26 => {
            Parameter::Number(u32::from_be_bytes(bytes.try_into().ok()?).to_string())
        }
        Class::Integer => Parameter::Number(integer(bytes)?.to_string()),
        Class::Decimal => Parameter::Number(numeric(bytes)?),
        Class::Float if bytes.len() == 4 => {
            float(f32::from_be_bytes(bytes.try_into().ok()?).into())?
        }
        Class::Float => float(f64::from_be_bytes(bytes.try_into().ok()?))?,
        Class::Text => Parameter::Text(std::str::from_utf8(bytes).ok()?.to_owned()),
        Class::Date => {
            let days = i64::from(i32::from_be_bytes(bytes.try_into().ok()?));
            Parameter::Typed("DATE", date_text(days + EPOCH_DAYS))
        }
        Class::Timestamp => {
            let since = i64::from_be_bytes(bytes.try_into().ok()?);
            let text = timestamp_text(since.checked_add(EPOCH_MICROSECONDS)?, false);
            Parameter::Typed("TIMESTAMP", text.replace('T', " "))
        }
        Class::Uuid => {
            let uuid = uuid::Uuid::from_slice(bytes).ok()?;
            Parameter::Text(uuid.hyphenated().to_string())
        }
    })
}

fn integer(bytes: &[u8]) -> Option<i64> {
    Some(match bytes.len() {
        2 => i16::from_be_bytes(bytes.try_into().ok()?).into(),
        4 => i32::from_be_bytes(bytes.try_into().ok()?).into(),
        8 => i64::from_be_bytes(bytes.try_into().ok()?),
        _ => return None,
    })
}

/// Digits with at most one point and a sign.
fn decimal(text: &str) -> Option<String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
        && digits.bytes().filter(|byte| *byte == b'.').count() <= 1
        && digits.bytes().any(|byte| byte.is_ascii_digit());
    is_number.then(|| text.trim_start_matches('+').to_owned())
}

/// A float as its exact digits; as text where it is no number.
fn float(value: f64) -> Option<Parameter> {
    if value.is_finite() {
        return Some(Parameter::Number(format!("{value:e}")));
    }
    Some(Parameter::Text(
        value.to_string().replace("inf", "Infinity"),
    ))
}

/// A binary `numeric`: groups of four digits around the point.
fn numeric(bytes: &[u8]) -> Option<String> {
    let mut shorts = bytes
        .chunks_exact(2)
        .map(|pair| <[u8; 2]>::try_from(pair).map_or(0, i16::from_be_bytes));
    let (count, weight) = (shorts.next()?, shorts.next()?);
    let (sign, scale) = (shorts.next()?, usize::try_from(shorts.next()?).ok()?);
    let groups: Vec<i16> = shorts.collect();
    let fits = groups.len() == usize::try_from(count).ok()? && bytes.len().is_multiple_of(2);
    // More digits than any type here has; it also bounds what a few bytes can grow to.
    if !fits || !(-20..=20).contains(&weight) || scale > 80 || !matches!(sign, 0 | 0x4000) {
        return None;
    }
    let group = |place: i16| {
        let index = usize::try_from(weight.checked_sub(place)?).ok()?;
        groups.get(index).copied()
    };
    let digits = |place: i16| match group(place).unwrap_or(0) {
        value @ 0..=9_999 => Some(format!("{value:04}")),
        _ => None,
    };
    let whole: String = (0..=weight.max(0))
        .rev()
        .map(digits)
        .collect::<Option<_>>()?;
    let places = i16::try_from(scale.div_ceil(4)).ok()?;
    let part: String = (1..=places)
        .map(|place| digits(-place))
        .collect::<Option<_>>()?;
    let part: String = part.chars().take(scale).collect();
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let minus = if sign == 0 { "" } else { "-" };
    let point = if part.is_empty() { "" } else { "." };
    Some(format!("{minus}{whole}{point}{part}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_literals_of_their_type() {
        let number = |text: &str| Some(Parameter::Number(text.to_owned()));
        let read = |oid, format, bytes: &[u8]| literal(1, oid, format, Some(bytes)).ok();
        assert_eq!(read(23, Format::Text, b"-7"), number("-7"));
        assert_eq!(read(21, Format::Binary, &[0xff, 0xfe]), number("-2"));
        assert_eq!(read(1700, Format::Text, b"+1.50"), number("1.50"));
        assert_eq!(
            read(701, Format::Binary, &1.5_f64.to_be_bytes()),
            number("1.5e0")
        );
        let typed = |name, text: &str| Some(Parameter::Typed(name, text.to_owned()));
        assert_eq!(
            read(1082, Format::Binary, &0_i32.to_be_bytes()),
            typed("DATE", "2000-01-01")
        );
        assert_eq!(
            read(1184, Format::Text, b"2026-01-31 00:30:00.5+01:00"),
            typed("TIMESTAMP", "2026-01-30 23:30:00.5")
        );
        assert_eq!(read(16, Format::Text, b"f"), Some(Parameter::Bool(false)));
        for (oid, bytes) in [
            (23, "1;"),
            (23, ""),
            (1700, "1e5"),
            (1700, "."),
            (16, "maybe"),
            (1009, "{}"),
        ] {
            assert_eq!(read(oid, Format::Text, bytes.as_bytes()), None, "{bytes}");
        }
        assert_eq!(literal(1, 23, Format::Text, None).unwrap(), Parameter::Null);
    }

    #[test]
    fn binary_numbers_go_both_ways() {
        let numeric = |shorts: &[i16]| {
            let bytes: Vec<u8> = shorts
                .iter()
                .flat_map(|short| short.to_be_bytes())
                .collect();
            super::numeric(&bytes)
        };
        assert_eq!(numeric(&[2, 0, 0, 2, 12, 3400]).unwrap(), "12.34");
        assert_eq!(numeric(&[2, 1, 0x4000, 0, 1, 2345]).unwrap(), "-12345");
        assert_eq!(numeric(&[1, -1, 0, 4, 5]).unwrap(), "0.0005");
        assert_eq!(numeric(&[0, 0, 0, 2]).unwrap(), "0.00");
        assert_eq!(numeric(&[1, 2, 0, 0, 1]).unwrap(), "100000000");
        for wrong in [
            &[1, 0, 0, 0][..],
            &[1, 30_000, 0, 0, 1],
            &[1, 0, 0, 0, -1],
            &[0, 0, -16_384, 0],
        ] {
            assert_eq!(numeric(wrong), None);
        }
    }
}
