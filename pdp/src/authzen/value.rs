//! JSON values to values that policies compare.
//!
//! Text, booleans, integers of 64 bits, arrays (as sets) and objects (as records). There is no null
//! and there are no floating-point numbers in policies: null counts as not sent, and a number with a
//! fraction or an exponent is refused. Entities and the other types are written as Cedar's JSON does:
//! `{"__entity": {"type": .., "id": ..}}` and `{"__extn": {"fn": "decimal", "arg": "1.5"}}`.

use std::net::IpAddr;

use dataos_model::{
    fault::Fault,
    value::{IpRange, Value},
};
use serde_json::{Map, Value as Json};

use super::names::{self, at};

/// Digits behind the point of a decimal.
const DECIMAL_DIGITS: usize = 4;

/// The value of a JSON value; `None` for null.
///
/// # Errors
/// A number that is no 64-bit integer, null inside an array, or a malformed `__entity` or `__extn`.
pub(crate) fn value(json: &Json, field: &str) -> Result<Option<Value>, Fault> {
    Ok(Some(match json {
        Json::Null => return Ok(None),
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Long(number.as_i64().ok_or_else(|| {
            Fault::invalid(format!("{number} is no integer of 64 bits"))
                .at(at(field))
                .with_hint(
                    "write a number with a fraction as {\"__extn\": {\"fn\": \"decimal\", \"arg\": \"1.5\"}}, \
                     or send it as text",
                )
        })?),
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => {
            let items = items.iter().map(|item| {
                value(item, field)?
                    .ok_or_else(|| Fault::invalid("null inside an array").at(at(field)))
            });
            Value::Set(items.collect::<Result<_, _>>()?)
        }
        Json::Object(fields) => object(fields, field)?,
    }))
}

fn object(fields: &Map<String, Json>, field: &str) -> Result<Value, Fault> {
    let malformed = |what: &str| Fault::invalid(format!("malformed `{what}`")).at(at(field));
    let text = |inner: &Json, name: &str| inner.get(name).and_then(Json::as_str).map(str::to_owned);
    if let Some(inner) = fields.get("__entity") {
        let (Some(kind), Some(id)) = (text(inner, "type"), text(inner, "id")) else {
            return Err(malformed("__entity"));
        };
        return Ok(Value::Entity(names::entity(&kind, &id, field)?));
    }
    if let Some(inner) = fields.get("__extn") {
        let (Some(function), Some(argument)) = (text(inner, "fn"), text(inner, "arg")) else {
            return Err(malformed("__extn"));
        };
        let value = match function.as_str() {
            "decimal" => decimal(&argument).map(Value::Decimal),
            "ip" => ip(&argument).map(Value::Ip),
            _ => None,
        };
        return value.ok_or_else(|| {
            malformed("__extn").with_hint("decimal (\"1.5\") and ip (\"10.0.0.0/8\") are taken")
        });
    }
    let mut record = std::collections::BTreeMap::new();
    for (name, json) in fields {
        if let Some(value) = value(json, &format!("{field}.{name}"))? {
            record.insert(name.clone(), value);
        }
    }
    Ok(Value::Record(record))
}

/// `-12.5` in units of 10^-4.
fn decimal(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.')?;
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (sign, digits) = match whole.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, whole),
    };
    if !is_digits(digits) || !is_digits(fraction) || fraction.len() > DECIMAL_DIGITS {
        return None;
    }
    let padded = format!("{digits}{fraction:0<DECIMAL_DIGITS$}");
    let units: i128 = padded.parse().ok()?;
    i64::try_from(units * sign).ok()
}

fn ip(text: &str) -> Option<IpRange> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    let prefix_bits = match prefix {
        Some(prefix) => prefix.parse().ok().filter(|bits| *bits <= bits_max)?,
        None => bits_max,
    };
    Some(IpRange {
        address,
        prefix_bits,
    })
}
