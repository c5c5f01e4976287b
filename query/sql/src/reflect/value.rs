//! Values, and how they compare.

use std::cmp::Ordering;

/// A value of a question or its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// NULL.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// An integer, also an oid.
    Int(i64),
    /// Text.
    Text(String),
    /// An array.
    List(Vec<Value>),
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// Whether a condition holds.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Bool(value) => *value,
            Self::Text(text) => matches!(text.as_str(), "t" | "true" | "on"),
            _ => false,
        }
    }

    /// As text; nothing for NULL.
    pub fn shown(&self) -> Option<String> {
        Some(match self {
            Self::Null => return None,
            Self::Bool(value) => if *value { "t" } else { "f" }.to_owned(),
            Self::Int(value) => value.to_string(),
            Self::Text(text) => text.clone(),
            Self::List(items) => {
                let items = items
                    .iter()
                    .map(|item| item.shown().unwrap_or("NULL".to_owned()));
                format!("{{{}}}", items.collect::<Vec<_>>().join(","))
            }
        })
    }

    pub(super) fn int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Bool(value) => Some(i64::from(*value)),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Null | Self::List(_) => None,
        }
    }

    pub(super) fn items(&self) -> Vec<Value> {
        match self {
            Self::List(items) => items.clone(),
            // An array as text: `{a,b}`.
            Self::Text(text) => {
                let inside = text
                    .strip_prefix('{')
                    .and_then(|text| text.strip_suffix('}'));
                let inside = inside.filter(|inside| !inside.is_empty());
                let parts = inside.map(|inside| inside.split(','));
                parts.map_or_else(Vec::new, |parts| parts.map(Self::text).collect())
            }
            _ => Vec::new(),
        }
    }

    /// Compares; nothing if either is NULL. A literal takes the type of what it is compared with.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        if self.is_null() || other.is_null() {
            return None;
        }
        Some(match (self, other) {
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            (Self::List(left), right) if !matches!(right, Self::List(_)) => {
                left.as_slice().cmp(right.items().as_slice())
            }
            (Self::Bool(_), Self::Text(_)) | (Self::Text(_), Self::Bool(_)) => {
                self.is_true().cmp(&other.is_true())
            }
            (Self::Int(_), _) | (_, Self::Int(_)) => match (self.int(), other.int()) {
                (Some(left), Some(right)) => left.cmp(&right),
                _ => self.shown().cmp(&other.shown()),
            },
            (left, right) => left.cmp(right),
        })
    }

    /// The same value where values of an index have another type.
    pub(super) fn as_key_of(&self, sample: &Self) -> Self {
        match (self, sample) {
            (Self::Text(_), Self::Int(_)) => self.int().map_or(Self::Null, Self::Int),
            (Self::Int(value), Self::Text(_)) => Self::Text(value.to_string()),
            _ => self.clone(),
        }
    }
}
