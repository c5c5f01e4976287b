//! The connections to a database server, whichever kind of server it is.

use std::{fmt, time::Duration};

use dataos_model::{depot::Tls, secret::Secret};

use super::{permits::Permits, resting::Resting};

/// How a database is reached. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) depot: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    pub(super) tls: Tls,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.depot)
    }
}

/// The connections of one depot as it is declared.
#[derive(Debug)]
pub(super) struct Pool<C> {
    pub(super) address: Address,
    pub(super) permits: Permits,
    /// Longest time of a statement.
    pub(super) time_max: Duration,
    pub(super) resting: Resting<C>,
}

impl<C> Pool<C> {
    pub(super) fn new(address: Address, permits: Permits, time_max: Duration) -> Self {
        Self {
            address,
            permits,
            time_max,
            resting: Resting::default(),
        }
    }
}
