//! Masks: what a policy may turn a value into. The query layer carries them out.

use std::fmt;

use crate::{
    annotation::{AnnotationError, Call, Literal},
    dataset::ColumnType,
};

/// Precision of `bucket_date`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
         bucket_number, bucket_date, pass_through"
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
        let mut parameters = Parameters {
            call,
            taken: Vec::new(),
        };
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
            other => return Err(MaskError::Unknown(other.to_owned())),
        };
        parameters.finish()?;
        Ok(mask)
    }

    /// Whether the mask may be used on a column of this type.
    pub fn fits(&self, column_type: &ColumnType) -> bool {
        let is_number = matches!(
            column_type,
            ColumnType::Int(_) | ColumnType::Float(_) | ColumnType::Decimal { .. }
        );
        let is_date = matches!(
            column_type,
            ColumnType::Date | ColumnType::Timestamp | ColumnType::LocalTimestamp
        );
        match self {
            Self::Null | Self::Constant(_) | Self::Hash | Self::PassThrough => true,
            Self::Redact(_) => is_number || is_date || *column_type == ColumnType::Text,
            Self::RegexReplace { .. } | Self::Partial { .. } => *column_type == ColumnType::Text,
            Self::BucketNumber(_) => is_number,
            Self::BucketDate(_) => is_date,
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
                    ("first", Literal::Integer(i64::from(*first))),
                    ("last", Literal::Integer(i64::from(*last))),
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

/// Takes parameters by name and refuses what is left over.
struct Parameters<'a> {
    call: &'a Call,
    taken: Vec<&'static str>,
}

impl<'a> Parameters<'a> {
    fn error(&self, problem: impl Into<String>) -> MaskError {
        MaskError::Parameter {
            operator: self.call.operator.clone(),
            problem: problem.into(),
        }
    }

    fn optional(&mut self, name: &'static str) -> Option<&'a Literal> {
        self.taken.push(name);
        self.call.parameters.get(name)
    }

    fn required(&mut self, name: &'static str) -> Result<&'a Literal, MaskError> {
        self.optional(name)
            .ok_or_else(|| self.error(format!("parameter `{name}` is missing")))
    }

    fn text(&mut self, name: &'static str, default: Option<&str>) -> Result<String, MaskError> {
        match (self.optional(name), default) {
            (Some(Literal::Text(text)), _) => Ok(text.clone()),
            (None, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err(self.error(format!("parameter `{name}` is missing"))),
            (Some(_), _) => Err(self.error(format!("parameter `{name}` must be text"))),
        }
    }

    fn count(&mut self, name: &'static str) -> Result<u32, MaskError> {
        match self.optional(name) {
            None => Ok(0),
            Some(Literal::Integer(count)) => u32::try_from(*count)
                .map_err(|_| self.error(format!("parameter `{name}` must be 0 or more"))),
            Some(_) => Err(self.error(format!("parameter `{name}` must be an integer"))),
        }
    }

    fn hash(&mut self) -> Result<Mask, MaskError> {
        match self.text("algo", Some("sha256"))?.as_str() {
            "sha256" => Ok(Mask::Hash),
            other => Err(self.error(format!("algo `{other}` is not offered; use 'sha256'"))),
        }
    }

    fn buckets(&mut self) -> Result<Vec<Literal>, MaskError> {
        let Literal::List(items) = self.required("buckets")? else {
            return Err(self.error("parameter `buckets` must be a list of numbers"));
        };
        if items.is_empty() || items.len() > BUCKETS_MAX {
            return Err(self.error(format!("`buckets` must hold 1 to {BUCKETS_MAX} bounds")));
        }
        let mut bounds = Vec::with_capacity(items.len());
        for item in items {
            let bound = match item {
                Literal::Integer(value) => value.to_string(),
                Literal::Decimal(text) => text.clone(),
                _ => return Err(self.error("every bucket must be a number")),
            };
            let order: f64 = bound
                .parse()
                .map_err(|_| self.error("every bucket must be a number"))?;
            bounds.push((order, item.clone()));
        }
        bounds.sort_by(|left, right| left.0.total_cmp(&right.0));
        bounds.dedup_by(|left, right| left.0 == right.0);
        Ok(bounds.into_iter().map(|(_, literal)| literal).collect())
    }

    fn precision(&mut self) -> Result<DatePrecision, MaskError> {
        let word = self.text("precision", None)?;
        [
            DatePrecision::Hour,
            DatePrecision::Day,
            DatePrecision::Week,
            DatePrecision::Month,
            DatePrecision::Year,
        ]
        .into_iter()
        .find(|precision| precision.name() == word)
        .ok_or_else(|| self.error("precision is hour, day, week, month or year"))
    }

    fn finish(self) -> Result<(), MaskError> {
        match self
            .call
            .parameters
            .keys()
            .find(|key| !self.taken.contains(&key.as_str()))
        {
            None => Ok(()),
            Some(key) => Err(self.error(format!("unknown parameter `{key}`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mask_prints_and_parses_back() {
        for text in [
            "null()",
            "redact(replacement = '[redacted]')",
            "constant(value = 0)",
            "hash()",
            "regex_replace(pattern = '^.*@', replacement = '***@')",
            "partial(fill = '*', first = 2, last = 0)",
            "bucket_number(buckets = [0, 10.5, 100])",
            "bucket_date(precision = 'month')",
            "pass_through()",
        ] {
            assert_eq!(Mask::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for (text, expected) in [
            ("rot13()", "unknown mask `rot13`"),
            ("null(x = 1)", "mask `null`: unknown parameter `x`"),
            ("hash(algo = 'md5')", "algo `md5` is not offered"),
            ("bucket_number(buckets = [])", "must hold 1 to 1000 bounds"),
            (
                "bucket_date(precision = 'minute')",
                "precision is hour, day",
            ),
            ("partial(first = -1)", "must be 0 or more"),
        ] {
            let shown = Mask::parse(text).unwrap_err().to_string();
            assert!(shown.contains(expected), "{text}: {shown}");
        }
    }

    #[test]
    fn buckets_are_sorted_and_distinct() {
        let mask = Mask::parse("bucket_number(buckets = [20, 10, 20])").unwrap();
        assert_eq!(mask.to_string(), "bucket_number(buckets = [10, 20])");
    }
}
