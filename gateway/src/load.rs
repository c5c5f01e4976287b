//! How many calls are under way at once. When there are too many, those that can wait are refused
//! first, so that people can still look at the log and probes still find us alive. What stays open has places
//! of its own.

pub(crate) mod counted;
pub(crate) mod streams;

use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;

use crate::limits::Refusal;

/// What is refused first when there are too many calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// What takes long: statements, scans, tests of policies. Has three quarters of the places.
    Bulk,
    /// All else. Has nine tenths.
    Usual,
    /// Health, figures, the audit log, log-in and revocation. Has all.
    Vital,
}

/// The places.
#[derive(Debug)]
pub(crate) struct Load {
    max: usize,
    taken: AtomicUsize,
}

/// A place that a call has; given back when dropped.
#[derive(Debug)]
#[must_use = "the place is given back when it is dropped"]
pub(crate) struct Place<'a>(&'a Load);

impl Load {
    /// So many calls at once.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            taken: AtomicUsize::new(0),
        }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// There is none for calls of this priority.
    pub(crate) fn enter(&self, priority: Priority) -> Result<Place<'_>, Refusal> {
        let max = match priority {
            Priority::Bulk => self.max * 3 / 4,
            Priority::Usual => self.max * 9 / 10,
            Priority::Vital => self.max,
        };
        // Whoever comes finds at least one place, however few there are.
        let max = max.max(1);
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        let place = Place(self);
        if taken < max {
            return Ok(place);
        }
        let detail = format!("{taken} calls are under way; calls of this kind wait below {max}");
        Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            detail,
        ))
    }

    /// Calls under way.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_wait_is_refused_first() {
        let load = Load::new(20);
        let enter = |priority, count: usize| {
            let places: Vec<_> = (0..count)
                .filter_map(|_| load.enter(priority).ok())
                .collect();
            places
        };
        let bulk = enter(Priority::Bulk, 100);
        assert_eq!(bulk.len(), 15);
        let usual = enter(Priority::Usual, 100);
        assert_eq!(usual.len(), 3);
        let vital = enter(Priority::Vital, 100);
        assert_eq!((vital.len(), load.taken()), (2, 20));
        drop(bulk);
        assert_eq!(load.taken(), 5);
        let refused = Load::new(1);
        let _place = refused.enter(Priority::Bulk).unwrap();
        let refusal = refused.enter(Priority::Vital).unwrap_err();
        assert_eq!(
            (refusal.status.as_u16(), refusal.reason),
            (503, "overloaded")
        );
        assert_eq!(refused.taken(), 1);
    }

    #[test]
    fn places_are_given_back_under_contention() {
        let load = Load::new(3);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let place = load.enter(Priority::Vital);
                        assert!(load.taken() <= 3 + 4, "{}", load.taken());
                        drop(place);
                    }
                });
            }
        });
        assert_eq!(load.taken(), 0);
    }
}
