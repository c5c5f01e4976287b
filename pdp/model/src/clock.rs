//! Time as a parameter: nothing below the composition root asks the operating system.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(pub i64);

/// A source of wall-clock time.
pub trait Clock: Send + Sync + Debug {
    /// The current time. May step back; callers that need order keep their own maximum.
    fn now(&self) -> Timestamp;
}
