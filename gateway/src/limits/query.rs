//! The query of a request target: decoded pairs, each name once.

use super::path::hex_digit;

/// Most parameters; no route has as many.
const PARAMETERS_MAX: usize = 64;

/// Decoded parameters in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Parses `a=1&b=2`. A name given twice is refused: readers differ on which one counts.
    pub(crate) fn parse(raw: &str) -> Result<Self, String> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in raw.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if pairs.iter().any(|(seen, _)| *seen == name) {
                return Err("a query parameter is given twice".to_owned());
            }
            pairs.push((name, value));
            if pairs.len() > PARAMETERS_MAX {
                return Err(format!("more than {PARAMETERS_MAX} query parameters"));
            }
        }
        Ok(Self { pairs })
    }

    /// The value of a parameter that is given and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// The first parameter that is not in `known`.
    pub(crate) fn unknown(&self, known: &[&str]) -> Option<&str> {
        self.pairs
            .iter()
            .map(|(name, _)| name.as_str())
            .find(|name| !known.contains(name))
    }

    /// A text that is equal exactly for equal lists of pairs.
    pub(crate) fn canonical(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.pairs {
            text.push_str(&format!("{}:{name}{}:{value}", name.len(), value.len()));
        }
        text
    }
}

fn decode(raw: &str) -> Result<String, String> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = bytes.next().and_then(hex_digit);
                let low = bytes.next().and_then(hex_digit);
                match (high, low) {
                    (Some(high), Some(low)) => high * 16 + low,
                    _ => return Err("a `%` without two hexadecimal digits".to_owned()),
                }
            }
            other => other,
        });
    }
    let text = String::from_utf8(decoded).map_err(|_| "the query is not UTF-8".to_owned())?;
    if text.contains('\0') {
        return Err("the query has a NUL".to_owned());
    }
    Ok(text)
}
