//! Values that policies can compare: Cedar's types, without Cedar.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use crate::entity::EntityUid;

/// An IP address or range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IpRange {
    /// An address in the range.
    pub address: IpAddr,
    /// Prefix length in bits; 32 or 128 for a single address.
    pub prefix_bits: u8,
}

/// A value. There is no null: absence is the absence of the attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A 64-bit signed integer.
    Long(i64),
    /// Text, compared by code point.
    String(String),
    /// A decimal number in units of 10^-4.
    Decimal(i64),
    /// Milliseconds since 1970-01-01T00:00:00Z.
    DateTime(i64),
    /// Milliseconds.
    Duration(i64),
    /// An IP address or range.
    Ip(IpRange),
    /// A set.
    Set(BTreeSet<Value>),
    /// Named values.
    Record(BTreeMap<String, Value>),
    /// A reference to an entity.
    Entity(EntityUid),
}

bounded!(Value);

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Long(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}
