//! Connections that rest between reads.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

/// Most connections of a depot that rest.
const RESTING_MAX: usize = 4;
/// Longest rest: servers, and what lies between, close connections that rest for long.
const REST_MAX: Duration = Duration::from_secs(60);

/// Those of one depot, the latest last.
#[derive(Debug)]
pub(super) struct Resting<C>(Arc<Mutex<Vec<(Instant, C)>>>);

impl<C> Default for Resting<C> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<C: Send + 'static> Resting<C> {
    fn change<T>(&self, change: impl FnOnce(&mut Vec<(Instant, C)>) -> T) -> T {
        // Whoever panicked left a whole list: each change is one call.
        let mut resting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut resting)
    }

    /// The one that rests the shortest. Whether it still works is for the caller to see.
    pub(super) fn take(&self) -> Option<C> {
        let (since, connection) = self.change(Vec::pop)?;
        (since.elapsed() < REST_MAX).then_some(connection)
    }

    /// Lets a connection rest, if there is room, until it is taken or rested for too long.
    pub(super) fn rest(&self, connection: C) {
        let rests = self.change(|resting| {
            let has_room = resting.len() < RESTING_MAX;
            if has_room {
                resting.push((Instant::now(), connection));
            }
            has_room
        });
        if let (true, Ok(runtime)) = (rests, Handle::try_current()) {
            let resting = Self(Arc::clone(&self.0));
            runtime.spawn(async move {
                tokio::time::sleep(REST_MAX).await;
                resting.change(|resting| {
                    resting.retain(|(since, _)| since.elapsed() < REST_MAX);
                });
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rest_and_the_latest_is_taken_first() {
        let resting = Resting::default();
        (0..=RESTING_MAX).for_each(|connection| resting.rest(connection));
        let taken: Vec<usize> = std::iter::from_fn(|| resting.take()).collect();
        assert_eq!(taken, [3, 2, 1, 0]);
    }
}
