//! How many calls may be made again: a share of those that succeed, so that a callee in trouble gets no
//! storm of second tries.

use std::time::Duration;

/// What a second try costs, in the deposits of calls.
const COST: u32 = 10;
/// Most that is saved: so many second tries at once.
const SAVED_MAX: u32 = 10 * COST;
/// Pause before the first second try; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(20);

/// The budget of one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Budget(u32);

impl Default for Budget {
    fn default() -> Self {
        Self(SAVED_MAX)
    }
}

impl Budget {
    /// A call was answered.
    pub(super) fn deposit(&mut self) {
        self.0 = SAVED_MAX.min(self.0 + 1);
    }

    /// Whether one more try is within it; then it is paid.
    pub(super) fn withdraw(&mut self) -> bool {
        let left = self.0.checked_sub(COST);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// How long to wait before a try, the first second one being 1: between half and the whole of its pause,
/// by a random byte, so that callers do not come back together.
pub(super) fn pause(attempt: u32, random: u8) -> Duration {
    let whole = PAUSE * 2_u32.saturating_pow(attempt.saturating_sub(1).min(8));
    whole / 2 + whole / 2 * u32::from(random) / 255
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Second tries are at most what was saved at first and a tenth of the calls that were answered.
        #[test]
        fn tries_are_a_share_of_answers(steps in proptest::collection::vec(any::<bool>(), 0..400)) {
            let mut budget = Budget::default();
            let (mut answered, mut tried) = (0, 0);
            for is_answered in steps {
                if is_answered {
                    budget.deposit();
                    answered += 1;
                } else if budget.withdraw() {
                    tried += 1;
                }
                prop_assert!(tried * COST <= SAVED_MAX + answered);
                prop_assert!(budget.0 <= SAVED_MAX);
            }
        }

        #[test]
        fn pauses_lie_within_their_bounds(attempt in 1..6_u32, random in any::<u8>()) {
            let whole = PAUSE * 2_u32.pow(attempt - 1);
            let pause = pause(attempt, random);
            prop_assert!(whole / 2 <= pause && pause <= whole);
        }
    }
}
