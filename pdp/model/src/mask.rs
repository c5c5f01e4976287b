//! Masks: what a policy may turn a value into. The query layer carries them out.

mod parameters;

use std::fmt;

use serde::{Deserialize, Serialize};

use self::parameters::Parameters;
use crate::{
    annotation::{AnnotationError, Call, Literal},
    dataset::ColumnType,
};

/// Precision of `bucket_date`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DatePrecision {
    /// Start of the hour, UTC.
    Hour,
    /// Start of the day, UTC.
    Day,
    /// Monday of the week, UTC.
    Week,
    /// First of the month, UTC.
    Month,
    /// First of January, UTC.
    Year,
}

/// A typed mask. NULL stays NULL except under `Redact` and `Constant`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mask {
    /// A NULL of the column's type.
    Null,
    /// A replacement, in the column's type; NULL if it does not parse as that type.
    Redact(String),
    /// A value, which must fit the column's type.
    Constant(Literal),
    /// HMAC-SHA-256 of the canonical text, lower-case hex. The column becomes text.
    Hash,
    /// All matches of a linear-time pattern replaced; text only.
    RegexReplace {
        /// Pattern in the syntax of the `regex` crate.
        pattern: String,
        /// Replacement with `$1` groups.
        replacement: String,
    },
    /// Keeps the first and last characters, the others become `fill`; a text that has no others is
    /// filled whole. Text only.
    Partial {
        /// Characters kept at the start.
        first: u32,
        /// Characters kept at the end.
        last: u32,
        /// What stands for each other character.
        fill: String,
    },
    /// The greatest bound that is not above the value; NULL below the first. Sorted, distinct.
    BucketNumber(Vec<Literal>),
    /// Truncation of a date or timestamp.
    BucketDate(DatePrecision),
    /// The value as it is.
    PassThrough,
    /// Each `#` of the pattern becomes a digit, drawn by key, statement and value. Text only.
    RandPattern(String),
    /// A text that the pattern matches, drawn by key, statement and value. Text only.
    RandRegexify(String),
    /// A short keyed pseudonym of so many letters and digits; equal values stay equal. Text only.
    Token(u32),
    /// Digits exchanged for digits by a keyed permutation; all else stays. NULL for a text of fewer
    /// than six or more than 72 digits. Text only.
    FormatPreserving,
    /// Moved by a keyed amount of up to so much in either direction, the same for equal values.
    Noise(Literal),
    /// Rounded down to a multiple.
    Round(Literal),
    /// Held within two bounds.
    Clamp(Literal, Literal),
    /// So many digits behind the point, the others cut: coordinates to about 11 km at one digit.
    Truncate(u32),
    /// Moved by a keyed number of days up to so many in either direction, the same for equal values.
    ShiftDate(u32),
    /// `*@` and the domain; NULL for a text that is no address. Text only.
    EmailDomain,
    /// The network of an address, of so many bits; NULL for a text that is none. Text only.
    TruncateIp {
        /// Bits of an IPv4 address that stay.
        v4: u32,
        /// Bits of an IPv6 address that stay.
        v6: u32,
    },
    /// Scheme and host of a URL; NULL for a text that is none. Text only.
    UrlHost,
    /// The first characters. Text only.
    Shorten(u32),
    /// The first character of each word. Text only.
    Initials,
    /// `X`, `x` and `9` for capitals, other letters and digits; all else stays. Text only.
    Shape,
    /// JSON with null at these paths. JSON only.
    JsonRedact(Vec<String>),
    /// JSON with nothing but these paths. JSON only.
    JsonKeep(Vec<String>),
}

/// A mask annotation that names no mask, or one with wrong parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// The text is no annotation.
    #[error(transparent)]
    Syntax(#[from] AnnotationError),
    /// No such mask.
    #[error(
        "unknown mask `{0}`; known: null, redact, constant, hash, regex_replace, partial, \
         bucket_number, bucket_date, pass_through, rand_pattern, rand_regexify, token, \
         format_preserving, noise, round, clamp, truncate, shift_date, email_domain, truncate_ip, \
         url_host, shorten, initials, shape, json_redact, json_keep"
    )]
    Unknown(String),
    /// A parameter is missing, unknown or of the wrong type.
    #[error("mask `{operator}`: {problem}")]
    Parameter {
        /// The mask.
        operator: String,
        /// What is wrong.
        problem: String,
    },
}

/// Most bounds of a `bucket_number`.
pub const BUCKETS_MAX: usize = 1000;
/// Characters of a `rand_pattern` or `rand_regexify`.
pub const PATTERN_LENGTH_MAX: usize = 256;
/// Characters of a `token`: above, its 256 bits are used up.
pub const TOKEN_LENGTH_MAX: u32 = 51;
/// Paths of a `json_redact` or `json_keep`.
pub const PATHS_MAX: usize = 100;

impl Mask {
    /// Parses the text of a `@mask` annotation.
    ///
    /// # Errors
    /// Says what is wrong with syntax, name or parameters.
    pub fn parse(text: &str) -> Result<Self, MaskError> {
        Self::from_call(&Call::parse(text)?)
    }

    /// The mask that an annotation names.
    ///
    /// # Errors
    /// Says what is wrong with name or parameters.
    pub fn from_call(call: &Call) -> Result<Self, MaskError> {
        let mut parameters = Parameters::of(call);
        let mask = match call.operator.as_str() {
            "null" => Self::Null,
            "redact" => Self::Redact(parameters.text("replacement", Some("[redacted]"))?),
            "constant" => Self::Constant(parameters.required("value")?.clone()),
            "hash" => parameters.hash()?,
            "regex_replace" => Self::RegexReplace {
                pattern: parameters.text("pattern", None)?,
                replacement: parameters.text("replacement", None)?,
            },
            "partial" => Self::Partial {
                first: parameters.count("first")?,
                last: parameters.count("last")?,
                fill: parameters.text("fill", Some("*"))?,
            },
            "bucket_number" => Self::BucketNumber(parameters.buckets()?),
            "bucket_date" => Self::BucketDate(parameters.precision()?),
            "pass_through" => Self::PassThrough,
            "rand_pattern" => Self::RandPattern(parameters.pattern()?),
            "rand_regexify" => Self::RandRegexify(parameters.pattern()?),
            "token" => Self::Token(parameters.within("length", 16, 8..=TOKEN_LENGTH_MAX)?),
            "format_preserving" => Self::FormatPreserving,
            "noise" => Self::Noise(parameters.positive("amount")?),
            "round" => Self::Round(parameters.positive("to")?),
            "clamp" => parameters.clamp()?,
            "truncate" => Self::Truncate(parameters.within("digits", 1, 0..=9)?),
            "shift_date" => Self::ShiftDate(parameters.within("days", 30, 1..=36_500)?),
            "email_domain" => Self::EmailDomain,
            "truncate_ip" => Self::TruncateIp {
                v4: parameters.within("v4", 24, 0..=32)?,
                v6: parameters.within("v6", 48, 0..=128)?,
            },
            "url_host" => Self::UrlHost,
            "shorten" => Self::Shorten(parameters.within("length", 1, 0..=10_000)?),
            "initials" => Self::Initials,
            "shape" => Self::Shape,
            "json_redact" => Self::JsonRedact(parameters.paths()?),
            "json_keep" => Self::JsonKeep(parameters.paths()?),
            other => return Err(MaskError::Unknown(other.to_owned())),
        };
        parameters.finish()?;
        Ok(mask)
    }

    /// Whether the mask may be used on a column of this type.
    pub fn fits(&self, column_type: &ColumnType) -> bool {
        let (is_number, is_date) = (column_type.is_number(), column_type.is_temporal());
        match self {
            Self::Null | Self::Constant(_) | Self::Hash | Self::PassThrough => true,
            Self::Redact(_) => is_number || is_date || *column_type == ColumnType::Text,
            Self::RegexReplace { .. }
            | Self::Partial { .. }
            | Self::RandPattern(_)
            | Self::RandRegexify(_)
            | Self::Token(_)
            | Self::FormatPreserving
            | Self::EmailDomain
            | Self::TruncateIp { .. }
            | Self::UrlHost
            | Self::Shorten(_)
            | Self::Initials
            | Self::Shape => *column_type == ColumnType::Text,
            Self::BucketNumber(_) | Self::Noise(_) | Self::Round(_) | Self::Clamp(..) => is_number,
            Self::Truncate(_) => is_number && !matches!(column_type, ColumnType::Int(_)),
            Self::BucketDate(_) | Self::ShiftDate(_) => is_date,
            Self::JsonRedact(_) | Self::JsonKeep(_) => *column_type == ColumnType::Json,
        }
    }

    /// Whether it needs the key of masks.
    pub fn is_keyed(&self) -> bool {
        match self {
            Self::Hash
            | Self::RandPattern(_)
            | Self::RandRegexify(_)
            | Self::Token(_)
            | Self::FormatPreserving
            | Self::Noise(_)
            | Self::ShiftDate(_) => true,
            Self::Null
            | Self::Redact(_)
            | Self::Constant(_)
            | Self::RegexReplace { .. }
            | Self::Partial { .. }
            | Self::BucketNumber(_)
            | Self::BucketDate(_)
            | Self::PassThrough
            | Self::Round(_)
            | Self::Clamp(..)
            | Self::Truncate(_)
            | Self::EmailDomain
            | Self::TruncateIp { .. }
            | Self::UrlHost
            | Self::Shorten(_)
            | Self::Initials
            | Self::Shape
            | Self::JsonRedact(_)
            | Self::JsonKeep(_) => false,
        }
    }

    /// The type of the column once some row may be masked so.
    pub fn result_type(&self, column_type: &ColumnType) -> ColumnType {
        match self {
            Self::Hash => ColumnType::Text,
            _ => column_type.clone(),
        }
    }

    /// As an annotation; `parse` is the inverse.
    pub fn call(&self) -> Call {
        let text = |value: &str| Literal::Text(value.to_owned());
        let texts = |values: &[String]| Literal::List(values.iter().map(|v| text(v)).collect());
        let count = |value: u32| Literal::Integer(i64::from(value));
        let (operator, parameters) = match self {
            Self::Null => ("null", vec![]),
            Self::Redact(replacement) => ("redact", vec![("replacement", text(replacement))]),
            Self::Constant(value) => ("constant", vec![("value", value.clone())]),
            Self::Hash => ("hash", vec![]),
            Self::RegexReplace {
                pattern,
                replacement,
            } => (
                "regex_replace",
                vec![
                    ("pattern", text(pattern)),
                    ("replacement", text(replacement)),
                ],
            ),
            Self::Partial { first, last, fill } => (
                "partial",
                vec![
                    ("first", count(*first)),
                    ("last", count(*last)),
                    ("fill", text(fill)),
                ],
            ),
            Self::BucketNumber(bounds) => (
                "bucket_number",
                vec![("buckets", Literal::List(bounds.clone()))],
            ),
            Self::BucketDate(precision) => {
                ("bucket_date", vec![("precision", text(precision.name()))])
            }
            Self::PassThrough => ("pass_through", vec![]),
            Self::RandPattern(pattern) => ("rand_pattern", vec![("pattern", text(pattern))]),
            Self::RandRegexify(pattern) => ("rand_regexify", vec![("pattern", text(pattern))]),
            Self::Token(length) => ("token", vec![("length", count(*length))]),
            Self::FormatPreserving => ("format_preserving", vec![]),
            Self::Noise(amount) => ("noise", vec![("amount", amount.clone())]),
            Self::Round(to) => ("round", vec![("to", to.clone())]),
            Self::Clamp(low, high) => ("clamp", vec![("low", low.clone()), ("high", high.clone())]),
            Self::Truncate(digits) => ("truncate", vec![("digits", count(*digits))]),
            Self::ShiftDate(days) => ("shift_date", vec![("days", count(*days))]),
            Self::EmailDomain => ("email_domain", vec![]),
            Self::TruncateIp { v4, v6 } => {
                ("truncate_ip", vec![("v4", count(*v4)), ("v6", count(*v6))])
            }
            Self::UrlHost => ("url_host", vec![]),
            Self::Shorten(length) => ("shorten", vec![("length", count(*length))]),
            Self::Initials => ("initials", vec![]),
            Self::Shape => ("shape", vec![]),
            Self::JsonRedact(paths) => ("json_redact", vec![("paths", texts(paths))]),
            Self::JsonKeep(paths) => ("json_keep", vec![("paths", texts(paths))]),
        };
        Call {
            operator: operator.to_owned(),
            parameters: parameters
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect(),
        }
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.call().fmt(f)
    }
}

impl DatePrecision {
    /// The word that policies use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

#[cfg(test)]
mod tests;
