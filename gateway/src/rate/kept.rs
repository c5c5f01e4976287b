//! Callers of this process, each with its one number.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    Scope,
    gcra::{Quota, Verdict},
};

/// Most callers that are kept apart: about 16 MB.
const CALLERS_MAX: usize = 100_000;
/// How often callers who have all their calls again are forgotten, where room is short.
const FORGET_EVERY_US: u64 = 1_000_000;

/// When each caller has all its calls again.
#[derive(Debug, Default)]
pub(super) struct Kept {
    callers: Mutex<Callers>,
    /// Calls that were counted together for want of room.
    shared: AtomicU64,
}

#[derive(Debug, Default)]
struct Callers {
    full_at_us: HashMap<(Scope, Box<str>), u64>,
    forgot_at_us: Option<u64>,
}

impl Kept {
    /// Counts a call of the caller `key`.
    pub(super) fn take(&self, scope: Scope, quota: Quota, key: &str, now_us: u64) -> Verdict {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (scope, Box::from(key));
        if !callers.has_room_for(&key, now_us) {
            // All whom there is no room for are one caller: nobody gets more by being many.
            self.shared.fetch_add(1, Ordering::Relaxed);
            key.1 = Box::from("");
        }
        let full_at_us = callers.full_at_us.get(&key).copied().unwrap_or(0);
        let verdict = quota.take(full_at_us, now_us);
        if let Verdict::Passed { full_us, .. } = verdict {
            callers
                .full_at_us
                .insert(key, now_us.saturating_add(full_us));
        }
        verdict
    }

    pub(super) fn shared(&self) -> u64 {
        self.shared.load(Ordering::Relaxed)
    }
}

impl Callers {
    fn has_room_for(&mut self, key: &(Scope, Box<str>), now_us: u64) -> bool {
        if self.full_at_us.len() < CALLERS_MAX || self.full_at_us.contains_key(key) {
            return true;
        }
        let is_due = self
            .forgot_at_us
            .is_none_or(|at| now_us >= at + FORGET_EVERY_US);
        if is_due {
            self.full_at_us.retain(|_, full_at_us| *full_at_us > now_us);
            self.forgot_at_us = Some(now_us);
        }
        self.full_at_us.len() < CALLERS_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CALLERS_MAX, Kept, Quota, Scope, Verdict};

    #[test]
    fn callers_are_bounded_and_those_without_room_share_one_quota() {
        let kept = Kept::default();
        let quota = Quota::new(1, Duration::from_secs(1)).unwrap();
        let take = |key: &str, now_us| {
            let verdict = kept.take(Scope::Address, quota, key, now_us);
            matches!(verdict, Verdict::Passed { .. })
        };
        for number in 0..CALLERS_MAX {
            assert!(take(&number.to_string(), 0));
        }
        assert!(!take("7", 0));
        assert!(take("one more", 0) && !take("another", 0));
        assert_eq!(kept.shared(), 2);
        assert!(kept.callers.lock().unwrap().full_at_us.len() <= CALLERS_MAX + 1);
        // Once they have their calls again, they are forgotten and there is room.
        assert!(take("another", 1_000_000) && take("one more", 1_000_000));
        assert_eq!(kept.shared(), 2);
        assert_eq!(kept.callers.lock().unwrap().full_at_us.len(), 2);
    }
}
