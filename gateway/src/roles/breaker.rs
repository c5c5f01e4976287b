//! Whether an endpoint is called at all: a circuit breaker as a pure state machine over time.
//!
//! ```text
//! closed --FAILURES_MAX failures in a row--> open --its time passed--> half open --success--> closed
//!                                              ^---------------failure----------/
//! ```
//!
//! Times are durations since any fixed moment, so that tests choose them.

use std::time::Duration;

/// Failures in a row after which nothing is tried for a while.
pub(super) const FAILURES_MAX: u32 = 3;
/// How long an endpoint is left alone the first time; each further time twice as long.
pub(super) const OPEN_MIN: Duration = Duration::from_millis(250);
/// Longest that it is left alone.
pub(super) const OPEN_MAX: Duration = Duration::from_secs(8);
/// How long the one call of the half-open state may take before another one is let through.
pub(super) const TRIAL_MAX: Duration = Duration::from_secs(5);

/// The breaker of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Breaker {
    state: State,
    /// How long the next open state lasts.
    open_for: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Calls pass; so many failed in a row.
    Closed(u32),
    /// None passes until then.
    Open(Duration),
    /// One passed at this time; what becomes of it decides.
    HalfOpen(Duration),
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: State::Closed(0),
            open_for: OPEN_MIN,
        }
    }
}

impl Breaker {
    /// Whether a call may be made now. Who is let through says how it ended.
    pub(super) fn admit(&mut self, now: Duration) -> bool {
        let may_pass = match self.state {
            State::Closed(_) => return true,
            State::Open(until) => now >= until,
            State::HalfOpen(since) => now >= since + TRIAL_MAX,
        };
        if may_pass {
            self.state = State::HalfOpen(now);
        }
        may_pass
    }

    /// A call was answered. One that began before the breaker opened says nothing about now.
    pub(super) fn succeeded(&mut self) {
        if !matches!(self.state, State::Open(_)) {
            self.recovered();
        }
    }

    /// A probe of its own was answered.
    pub(super) fn recovered(&mut self) {
        *self = Self::default();
    }

    /// A call was not answered.
    pub(super) fn failed(&mut self, now: Duration) {
        match self.state {
            State::Closed(failures) if failures + 1 < FAILURES_MAX => {
                self.state = State::Closed(failures + 1);
            }
            State::Closed(_) | State::HalfOpen(_) => {
                self.state = State::Open(now + self.open_for);
                self.open_for = (self.open_for * 2).min(OPEN_MAX);
            }
            State::Open(_) => {}
        }
    }

    /// Whether calls pass as usual.
    #[cfg(test)]
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Wait(u64),
        Admit,
        Succeed,
        Fail,
        Recover,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..10_000_u64).prop_map(Step::Wait),
            Just(Step::Admit),
            Just(Step::Succeed),
            Just(Step::Fail),
            Just(Step::Recover),
        ]
    }

    fn run(breaker: &mut Breaker, now: &mut Duration, step: Step) -> Option<bool> {
        match step {
            Step::Wait(ms) => *now += Duration::from_millis(ms),
            Step::Admit => return Some(breaker.admit(*now)),
            Step::Succeed => breaker.succeeded(),
            Step::Fail => breaker.failed(*now),
            Step::Recover => breaker.recovered(),
        }
        None
    }

    proptest! {
        /// Whatever happened, an endpoint is tried again within the longest pause, and then by one call alone.
        #[test]
        fn none_is_left_alone_for_ever(steps in proptest::collection::vec(step(), 0..60)) {
            let (mut breaker, mut now) = (Breaker::default(), Duration::ZERO);
            for step in steps {
                run(&mut breaker, &mut now, step);
            }
            now += OPEN_MAX.max(TRIAL_MAX);
            prop_assert!(breaker.admit(now));
            prop_assert!(breaker.is_closed() || !breaker.admit(now));
        }

        /// Calls stop after so many failures in a row and not before, and while it is open none passes.
        #[test]
        fn it_opens_by_failures_in_a_row(steps in proptest::collection::vec(step(), 0..60)) {
            let (mut breaker, mut now) = (Breaker::default(), Duration::ZERO);
            let (mut in_a_row, mut pause) = (0, OPEN_MIN);
            for step in steps {
                let was = breaker.clone();
                let admitted = run(&mut breaker, &mut now, step);
                match (step, &was.state) {
                    (Step::Fail, State::Closed(_)) => {
                        in_a_row += 1;
                        prop_assert_eq!(breaker.is_closed(), in_a_row < FAILURES_MAX);
                    }
                    (Step::Recover, _) | (Step::Succeed, State::Closed(_) | State::HalfOpen(_)) => {
                        prop_assert!(breaker.is_closed());
                        (in_a_row, pause) = (0, OPEN_MIN);
                    }
                    (Step::Admit, State::Closed(_)) => prop_assert_eq!(admitted, Some(true)),
                    (Step::Admit, State::Open(until)) => {
                        prop_assert_eq!(admitted, Some(now >= *until));
                    }
                    _ => {}
                }
                if let (State::Open(until), false) = (&breaker.state, matches!(was.state, State::Open(_))) {
                    prop_assert_eq!(*until, now + pause);
                    pause = (pause * 2).min(OPEN_MAX);
                }
            }
        }
    }
}
