//! One in so many live decisions is made again by stock Cedar, in the background.
//!
//! Programs and index are checked against Cedar in tests; this is the check that goes on in service.
//! A decision that differs raises an alarm, and the policy set is decided by stock Cedar from then on.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use dataos_model::decision::{Decision, Request};

use crate::{decide::Engine, version::Version};

/// Up to so many policies the comparison is with stock Cedar over all of them; beyond, over those that
/// the index finds, since Cedar's own set of them would double the memory.
pub const SHADOW_WHOLE_MAX: usize = 20_000;
/// After a comparison the checker rests for so many times as long: it takes half a percent of a core.
const REST: u32 = 200;
/// Longest rest.
const REST_MAX: Duration = Duration::from_secs(600);

/// Two answers to one question.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// The question.
    pub request: Request,
    /// By programs and index.
    pub ours: Decision,
    /// By stock Cedar.
    pub stock: Decision,
}

/// How decisions were made since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecisionCounts {
    /// By programs.
    pub compiled: u64,
    /// By Cedar, because a program was not sure.
    pub fallback: u64,
    /// Made again by stock Cedar.
    pub shadowed: u64,
    /// Of these, with another result.
    pub diverged: u64,
}

type Alarm = Box<dyn Fn(Divergence) + Send + Sync>;

/// Counts decisions and has some of them checked.
pub(crate) struct Shadow {
    every: u64,
    queue: SyncSender<Question>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    compiled: AtomicU64,
    fallback: AtomicU64,
    shadowed: AtomicU64,
    diverged: AtomicU64,
    /// Whether the active set is decided by stock Cedar alone.
    is_stock: AtomicBool,
    alarm: OnceLock<Alarm>,
}

struct Question {
    version: Arc<Version>,
    request: Request,
    ours: Decision,
}

impl Shadow {
    /// A checker of every `every`th decision; 0 checks none.
    pub(crate) fn new(every: u64) -> Self {
        let shared = Arc::new(Shared::default());
        let (queue, waiting) = sync_channel(1);
        if every != 0 {
            let checker = Arc::clone(&shared);
            let started = thread::Builder::new()
                .name("dataos-shadow".to_owned())
                .spawn(move || checker.check(&waiting));
            if let Err(error) = started {
                tracing::error!(%error, "decisions are not checked against stock Cedar");
            }
        }
        Self {
            every,
            queue,
            shared,
        }
    }

    /// Who is told of a difference, besides the log; set once.
    pub(crate) fn on_divergence(&self, alarm: Alarm) {
        if self.shared.alarm.set(alarm).is_err() {
            tracing::error!("a second alarm for decisions that differ was not set");
        }
    }

    /// Whether programs may decide.
    pub(crate) fn allows_programs(&self) -> bool {
        !self.shared.is_stock.load(Ordering::Relaxed)
    }

    /// Another policy set was activated: programs get another chance.
    pub(crate) fn set_changed(&self) {
        self.shared.is_stock.store(false, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> DecisionCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        DecisionCounts {
            compiled: read(&self.shared.compiled),
            fallback: read(&self.shared.fallback),
            shadowed: read(&self.shared.shadowed),
            diverged: read(&self.shared.diverged),
        }
    }

    /// Cedar decided because a program was not sure.
    pub(crate) fn fell_back(&self) {
        self.shared.fallback.fetch_add(1, Ordering::Relaxed);
    }

    /// Programs decided. A checker that is busy or at rest is not waited for.
    pub(crate) fn decided(&self, version: &Arc<Version>, request: &Request, decision: &Decision) {
        let count = self.shared.compiled.fetch_add(1, Ordering::Relaxed);
        if self.every != 0 && count.is_multiple_of(self.every) {
            let question = Question {
                version: Arc::clone(version),
                request: request.clone(),
                ours: decision.clone(),
            };
            drop(self.queue.try_send(question));
        }
    }
}

impl Shared {
    fn check(&self, waiting: &Receiver<Question>) {
        while let Ok(question) = waiting.recv() {
            let started = Instant::now();
            self.compare(question);
            thread::sleep((started.elapsed() * REST).min(REST_MAX));
        }
    }

    fn compare(&self, question: Question) {
        let Question {
            version,
            request,
            ours,
        } = question;
        let engine = if version.policies.len() <= SHADOW_WHOLE_MAX {
            Engine::Stock
        } else {
            Engine::IndexedStock
        };
        let stock = version.decide(&request, engine);
        self.shadowed.fetch_add(1, Ordering::Relaxed);
        if ours == stock {
            return;
        }
        self.is_stock.store(true, Ordering::Relaxed);
        self.diverged.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            policy_set = %version.policies.hash,
            action = %request.action,
            resource = %request.resource,
            ours = ?ours,
            stock = ?stock,
            "a decision differs from stock Cedar's, which decides alone from now on; please report it"
        );
        if let Some(alarm) = self.alarm.get() {
            alarm(Divergence {
                request,
                ours,
                stock,
            });
        }
    }
}

impl fmt::Debug for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadow")
            .field("every", &self.every)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use dataos_model::{
        action::Action, decision::Effect, entity::EntityType, principal::Principal,
    };

    use super::*;

    #[test]
    fn a_decision_that_differs_raises_the_alarm_and_stops_programs() {
        let version = Arc::new(crate::version::tests::shipped());
        let shadow = Shadow::new(1);
        let (told, heard) = channel();
        shadow.on_divergence(Box::new(move |divergence| told.send(divergence).unwrap()));
        let request = Request::new(
            &Principal::anonymous(),
            Action::Query,
            EntityType::WORKSPACE.id("public"),
        );
        let right = version.decide(&request, Engine::Compiled);
        let wrong = Decision {
            effect: Effect::Allow,
            ..right.clone()
        };
        assert!(shadow.allows_programs());
        shadow.decided(&version, &request, &wrong);
        let divergence = heard.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!((divergence.ours, divergence.stock), (wrong, right));
        assert!(!shadow.allows_programs());
        let counts = shadow.counts();
        assert_eq!((counts.shadowed, counts.diverged), (1, 1));
        shadow.set_changed();
        assert!(shadow.allows_programs());
    }

    #[test]
    fn decisions_that_agree_are_only_counted() {
        let version = Arc::new(crate::version::tests::shipped());
        let shadow = Shadow::new(1);
        let request = Request::new(
            &Principal::platform(),
            Action::RunStep,
            EntityType::RESOURCE.id("workflow:v1:w:public"),
        );
        let decision = version.decide(&request, Engine::Stock);
        shadow.decided(&version, &request, &decision);
        let started = Instant::now();
        while shadow.counts().shadowed == 0 && started.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!((shadow.counts().shadowed, shadow.counts().diverged), (1, 0));
        assert!(shadow.allows_programs());
    }
}
