//! The generic cell rate algorithm: one number for each caller, and no timer.
//!
//! Pure: the time comes from outside, in microseconds of any epoch.

use std::time::Duration;

/// Most calls of a quota.
const COUNT_MAX: u64 = 1_000_000_000;
/// Longest window: a day.
const WINDOW_US_MAX: u64 = 86_400_000_000;

/// So many calls in so long: all of them at once, or evenly, or anything between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    count: u64,
    /// Time after which one call more is there.
    interval_us: u64,
}

/// What becomes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It passes.
    Passed {
        /// Calls left now.
        remaining: u64,
        /// Time until all calls are there again; to be kept for the next call.
        full_us: u64,
    },
    /// It does not; nothing is to be kept.
    Refused {
        /// Time after which a call passes, if no other does before.
        wait_us: u64,
    },
}

impl Quota {
    /// `count` calls in `window`, if that is at most one in a microsecond and the window at most a day.
    pub fn new(count: u64, window: Duration) -> Option<Self> {
        let window_us = u64::try_from(window.as_micros()).ok()?;
        let is_fit = (1..=COUNT_MAX).contains(&count) && window_us <= WINDOW_US_MAX;
        // Rounded up: never more calls than were said.
        let interval_us = window_us.div_ceil(count.max(1));
        (is_fit && window_us >= count).then_some(Self { count, interval_us })
    }

    /// Calls in a window.
    pub(crate) fn count(self) -> u64 {
        self.count
    }

    /// The window.
    pub(crate) fn window(self) -> Duration {
        Duration::from_micros(self.window_us())
    }

    pub(super) fn interval_us(self) -> u64 {
        self.interval_us
    }

    fn window_us(self) -> u64 {
        self.interval_us.saturating_mul(self.count)
    }

    /// Decides a call at `now_us` of a caller whose calls are all there again at `full_at_us`.
    pub(super) fn take(self, full_at_us: u64, now_us: u64) -> Verdict {
        let full_us = full_at_us
            .saturating_sub(now_us)
            .saturating_add(self.interval_us);
        match full_us.checked_sub(self.window_us()) {
            None | Some(0) => self.verdict(true, full_us),
            Some(wait_us) => self.verdict(false, wait_us),
        }
    }

    /// What has been decided: passed, with the time until all calls are there again, or refused,
    /// with the time to wait.
    pub(super) fn verdict(self, is_passed: bool, us: u64) -> Verdict {
        if is_passed {
            let remaining = self.window_us().saturating_sub(us) / self.interval_us;
            Verdict::Passed {
                remaining,
                full_us: us,
            }
        } else {
            Verdict::Refused { wait_us: us }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::{collection::vec, prop_assert, prop_assert_eq, proptest};

    use super::{Quota, Verdict};

    #[test]
    fn what_makes_no_sense_is_no_quota() {
        let quota = |count, us| Quota::new(count, Duration::from_micros(us));
        assert!(quota(0, 1000).is_none());
        assert!(quota(10, 9).is_none());
        assert!(quota(1, 86_400_000_001).is_none());
        assert!(quota(u64::MAX, 86_400_000_000).is_none());
        assert!(quota(10, 10).is_some());
    }

    #[test]
    fn a_window_of_calls_at_once_and_then_one_by_one() {
        let quota = Quota::new(3, Duration::from_secs(3)).unwrap();
        let mut full_at = 0;
        for left in [2, 1, 0] {
            let Verdict::Passed { remaining, full_us } = quota.take(full_at, 10) else {
                panic!("refused with {left} left");
            };
            assert_eq!(remaining, left);
            full_at = 10 + full_us;
        }
        let wait_us = 1_000_000;
        assert_eq!(quota.take(full_at, 10), Verdict::Refused { wait_us });
        assert_eq!(
            quota.take(full_at, 9 + wait_us),
            Verdict::Refused { wait_us: 1 }
        );
        assert!(matches!(
            quota.take(full_at, 10 + wait_us),
            Verdict::Passed { remaining: 0, .. }
        ));
    }

    proptest! {
        /// Against the definition: no window holds more than twice the count, none that begins after
        /// a rest more than the count; whoever keeps to the pace is never refused; waiting as told
        /// always helps, and less never does.
        #[test]
        fn quotas_are_kept(
            count in 1_u64..50,
            window_us in 50_u64..100_000,
            gaps in vec(0_u64..5_000, 1..300),
        ) {
            let quota = Quota::new(count, Duration::from_micros(window_us)).unwrap();
            let window_us = quota.window_us();
            let (mut now, mut full_at) = (0, 0);
            let mut passed: Vec<u64> = Vec::new();
            for gap in gaps {
                now += gap;
                match quota.take(full_at, now) {
                    Verdict::Passed { remaining, full_us } => {
                        prop_assert!(remaining < count);
                        prop_assert!(full_us <= window_us);
                        prop_assert!(now + full_us > full_at);
                        full_at = now + full_us;
                        passed.push(now);
                    }
                    Verdict::Refused { wait_us } => {
                        prop_assert!(wait_us > 0 && wait_us <= quota.interval_us);
                        let helps = |us| matches!(quota.take(full_at, now + us), Verdict::Passed { .. });
                        prop_assert!(helps(wait_us) && !helps(wait_us - 1));
                    }
                }
                let recent = passed.iter().filter(|at| **at + window_us > now).count() as u64;
                prop_assert!(recent < 2 * count);
            }
            let first: Vec<_> = passed.iter().filter(|at| **at < passed[0] + quota.interval_us).collect();
            prop_assert!(first.len() as u64 <= count);
            let mut full_at = 0;
            for step in 0..200 {
                match quota.take(full_at, step * quota.interval_us) {
                    Verdict::Passed { full_us, .. } => full_at = step * quota.interval_us + full_us,
                    refused @ Verdict::Refused { .. } => prop_assert_eq!(format!("{refused:?}"), ""),
                }
            }
        }
    }
}
