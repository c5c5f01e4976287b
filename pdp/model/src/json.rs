//! JSON from outside: bounded, and no object names a key twice. Two readers of
//! `{"sub":"a","sub":"b"}` can disagree.

use std::{cell::Cell, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// What a document may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most bytes.
    pub bytes_max: usize,
    /// Most objects and arrays inside each other; below the 128 of the parser itself.
    pub depth_max: usize,
    /// Most values of any kind.
    pub values_max: usize,
}

impl Bounds {
    /// For small documents such as tokens and key sets.
    pub const SMALL: Self = Self {
        bytes_max: 1 << 20,
        depth_max: 64,
        values_max: 100_000,
    };
}

/// A document that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct JsonError {
    /// What is wrong.
    pub problem: String,
    /// Whether a bound was exceeded.
    pub is_too_large: bool,
    /// One-based line, 0 if the document as a whole is meant.
    pub line: u64,
    /// One-based column, 0 likewise.
    pub column: u64,
}

/// Parses one JSON value.
///
/// # Errors
/// Malformed JSON, a key given twice, a number that is not finite, or a bound exceeded.
pub fn parse(bytes: &[u8], bounds: &Bounds) -> Result<Value, JsonError> {
    if bytes.len() > bounds.bytes_max {
        return Err(JsonError {
            problem: format!("more than {} bytes", bounds.bytes_max),
            is_too_large: true,
            line: 0,
            column: 0,
        });
    }
    let spent = Spent {
        bounds,
        values: Cell::new(0),
        is_over: Cell::new(false),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let seed = Strict {
        spent: &spent,
        depth: 0,
    };
    let value = seed.deserialize(&mut deserializer);
    value
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| JsonError {
            problem: error.to_string(),
            is_too_large: spent.is_over.get(),
            line: error.line() as u64,
            column: error.column() as u64,
        })
}

/// One text per meaning: keys sorted, no white space.
pub fn canonical(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
                fields.sort_by_key(|(name, _)| *name);
                let fields = fields
                    .into_iter()
                    .map(|(name, field)| (name.clone(), sorted(field)));
                Value::Object(fields.collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}

/// What was used of the bounds.
struct Spent<'a> {
    bounds: &'a Bounds,
    values: Cell<usize>,
    is_over: Cell<bool>,
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    spent: &'a Spent<'a>,
    depth: usize,
}

impl Strict<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth >= self.spent.bounds.depth_max {
            self.spent.is_over.set(true);
            let limit = self.spent.bounds.depth_max;
            return Err(E::custom(format_args!("nested deeper than {limit}")));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let values = self.spent.values.get() + 1;
        self.spent.values.set(values);
        if values > self.spent.bounds.values_max {
            self.spent.is_over.set(true);
            let limit = self.spent.bounds.values_max;
            return Err(D::Error::custom(format_args!("more than {limit} values")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated keys")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom("a key is given twice"));
            }
            let value = access.next_value_seed(inner)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounds, canonical, parse};

    #[test]
    fn repeated_keys_are_refused_at_any_depth() {
        for good in [
            "{}",
            r#"{"a":1,"b":[{"a":1},{"a":2}]}"#,
            "null",
            "1.5",
            "[]",
            "18446744073709551615",
        ] {
            let strict = parse(good.as_bytes(), &Bounds::SMALL).unwrap();
            assert_eq!(
                strict,
                serde_json::from_str::<serde_json::Value>(good).unwrap()
            );
        }
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"[{"a":1,"\u0061":2}]"#,
            "{",
            "{} {}",
            "",
            "NaN",
            "Infinity",
            "1e999",
            r#""\ud800""#,
            "\"\u{0}\"",
        ] {
            let error = parse(bad.as_bytes(), &Bounds::SMALL).unwrap_err();
            assert!(!error.is_too_large, "{bad}");
        }
    }

    #[test]
    fn each_bound_holds_at_the_limit_and_refuses_one_more() {
        let bounds = Bounds {
            bytes_max: 40,
            depth_max: 3,
            values_max: 5,
        };
        let check = |text: &str, expected: Option<&str>| {
            let problem = parse(text.as_bytes(), &bounds).err();
            assert_eq!(
                problem.as_ref().is_some_and(|error| error.is_too_large),
                expected.is_some(),
                "{text}: {problem:?}"
            );
            let problem = problem.map(|error| error.problem).unwrap_or_default();
            assert!(
                problem.contains(expected.unwrap_or("")),
                "{text}: {problem}"
            );
        };
        check("[[[]]]", None);
        check("[[[[]]]]", Some("nested deeper than 3"));
        check(r#"{"a":{"b":{"c":{}}}}"#, Some("nested deeper than 3"));
        check("[1,2,3,4]", None);
        check("[1,2,3,4,5]", Some("more than 5 values"));
        check(&format!("\"{}\"", "a".repeat(38)), None);
        check(
            &format!("\"{}\"", "a".repeat(39)),
            Some("more than 40 bytes"),
        );
        let deep = "[".repeat(100_000);
        let wide = Bounds {
            bytes_max: usize::MAX,
            ..Bounds::SMALL
        };
        assert!(parse(deep.as_bytes(), &wide).unwrap_err().is_too_large);
    }

    #[test]
    fn one_text_per_meaning() {
        let text = |json: &str| canonical(&parse(json.as_bytes(), &Bounds::SMALL).unwrap());
        assert_eq!(text(r#"{"b": [1, {"d":1, "c":2}], "a": null}"#), {
            r#"{"a":null,"b":[1,{"c":2,"d":1}]}"#
        });
    }
}
