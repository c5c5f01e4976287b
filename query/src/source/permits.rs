//! The bounded number of connections to databases, all of them together.

use std::{sync::Arc, time::Duration};

use dataos_model::fault::Fault;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Longest wait for a connection to be made, or for one of the bounded number to come free.
pub(super) const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Permits(Arc<Semaphore>);

impl Permits {
    /// For so many connections at a time.
    pub(super) fn new(connections_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(connections_max)))
    }

    /// The right to one connection, for as long as it is held.
    pub(super) async fn acquire(&self) -> Result<OwnedSemaphorePermit, Fault> {
        let permits = Arc::clone(&self.0);
        match tokio::time::timeout(CONNECT_TIME_MAX, permits.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(
                Fault::unavailable("all connections to databases are in use")
                    .with_reason("busy")
                    .with_hint("try again later"),
            ),
        }
    }
}
