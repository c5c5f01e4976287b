//! Calls to another role: connections, deadlines, breakers, health, and second tries where they are safe.
//!
//! A link has one or more endpoints, all of one role. Each has a connection that is made when it is needed, a
//! breaker, and a task that asks twice a second whether it is there; so one that is away is left alone, and one
//! that comes back is used again by itself. With several, calls go round those that are well: one whose
//! breaker is open is left out until it has shown that it is well again.

mod connection;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::rand;
use dataos_model::{
    clock::Clock,
    fault::{Fault, FaultKind},
    hash::Hash,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::task::AbortHandle;

use super::{
    Role,
    breaker::Breaker,
    budget::{self, Budget},
    deadline,
    identity::Identity,
    method::Method,
    wire::{self, Answer, CALL_BYTES_MAX},
};
use connection::{Connection, Failure};

/// How often each endpoint is asked whether it is there.
const PING_EVERY: Duration = Duration::from_millis(500);
/// Longest wait for its answer.
const PING_MAX: Duration = Duration::from_secs(2);
/// How long a connection that could not be made is not tried again, so that who waited for it hears at once.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// Most tries of one call.
const TRIES_MAX: u32 = 3;
/// Reason code of what is refused because a role is away.
pub(crate) const AWAY: &str = "role_away";

/// What a ping is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pong {
    /// Digest of the CAs that the callee trusts.
    pub(crate) roots: Hash,
    /// Tells this run of its process from another one.
    pub(crate) process: u128,
    /// Whether it has opened what it has for the run of the caller's process.
    pub(crate) is_open: bool,
}

/// A call that was not answered.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) fault: Fault,
    /// Whether the callee may have done something.
    pub(super) may_have_run: bool,
}

/// The way to one role.
pub(crate) struct Link {
    peer: Role,
    endpoints: Vec<Arc<Endpoint>>,
    /// Where the next call begins to look.
    next: AtomicUsize,
    /// Held for a moment, never across a call.
    budget: Mutex<Budget>,
    watchers: Vec<AbortHandle>,
}

/// One process of the role.
struct Endpoint {
    peer: Role,
    /// Host and port.
    address: String,
    identity: Arc<Identity>,
    clock: Arc<dyn Clock>,
    /// Held while a connection is made, so that one is made at a time.
    slot: tokio::sync::Mutex<Slot>,
    health: Mutex<Health>,
    started: Instant,
}

/// The connection of an endpoint.
#[derive(Default)]
struct Slot {
    open: Option<Arc<Connection>>,
    /// When the newest one could not be made, and why.
    failed: Option<(Instant, String)>,
}

struct Health {
    breaker: Breaker,
    /// Why the newest ping failed; none was answered yet at first.
    away: Option<String>,
    /// What the newest ping was answered with.
    pong: Option<Pong>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.watchers.iter().for_each(AbortHandle::abort);
    }
}

impl Link {
    /// A link to a role at these hosts and ports; it begins to look for them at once.
    pub(crate) fn open(
        peer: Role,
        addresses: &[String],
        identity: &Arc<Identity>,
        clock: &Arc<dyn Clock>,
    ) -> Arc<Self> {
        let endpoint = |address: &String| {
            Arc::new(Endpoint {
                peer,
                address: address.clone(),
                identity: Arc::clone(identity),
                clock: Arc::clone(clock),
                slot: tokio::sync::Mutex::default(),
                health: Mutex::new(Health {
                    breaker: Breaker::default(),
                    away: Some("it was not reached yet".to_owned()),
                    pong: None,
                }),
                started: Instant::now(),
            })
        };
        let endpoints: Vec<Arc<Endpoint>> = addresses.iter().map(endpoint).collect();
        let watch = |endpoint: &Arc<Endpoint>| {
            tokio::spawn(Arc::clone(endpoint).keep_watching()).abort_handle()
        };
        Arc::new(Self {
            peer,
            watchers: endpoints.iter().map(watch).collect(),
            endpoints,
            next: AtomicUsize::new(0),
            budget: Mutex::default(),
        })
    }

    /// Why the role is away, if no endpoint answers.
    pub(crate) fn away(&self) -> Option<String> {
        let mut reasons = Vec::new();
        for endpoint in &self.endpoints {
            match &endpoint.health().away {
                None => return None,
                Some(why) => reasons.push(format!("{}: {why}", endpoint.address)),
            }
        }
        Some(reasons.join("; "))
    }

    /// The role at the other end.
    pub(crate) fn peer(&self) -> Role {
        self.peer
    }

    /// Digest of the CAs that the role trusts, as it said last.
    pub(crate) fn roots(&self) -> Option<Hash> {
        let pong = |endpoint: &Arc<Endpoint>| Some(endpoint.health().pong.as_ref()?.roots);
        self.endpoints.iter().find_map(pong)
    }

    /// The run of the role's process, if it is there.
    pub(crate) fn process(&self) -> Option<u128> {
        let process = |endpoint: &Arc<Endpoint>| {
            let health = endpoint.health();
            let is_there = health.away.is_none();
            health
                .pong
                .as_ref()
                .filter(|_| is_there)
                .map(|pong| pong.process)
        };
        self.endpoints.iter().find_map(process)
    }

    /// Calls a method whose answer is one value.
    ///
    /// # Errors
    /// The callee's fault, or [`FaultKind::Unavailable`] that names the role.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        arguments: &(impl Serialize + Sync),
    ) -> Result<T, Fault> {
        let answer = self.answer(method, arguments).await;
        answer.map_err(|unanswered| unanswered.fault)?.value()
    }

    /// Calls a method. Its time is what is left of the caller's patience, the table's at most.
    pub(super) async fn answer(
        &self,
        method: Method,
        arguments: &(impl Serialize + Sync),
    ) -> Result<Answer, Unanswered> {
        let refused = |fault| Unanswered {
            fault,
            may_have_run: false,
        };
        let arguments = wire::written(arguments).map_err(refused)?;
        if arguments.len() > CALL_BYTES_MAX {
            let message = format!("a call between roles is above {CALL_BYTES_MAX} bytes");
            return Err(refused(Fault::new(FaultKind::TooLarge, message)));
        }
        let until = Instant::now() + deadline::left(method.time_max());
        let mut attempt = 1;
        loop {
            let endpoint = self.pick().map_err(refused)?;
            let time_left = until.saturating_duration_since(Instant::now());
            let failure = match endpoint.answer(method, &arguments, time_left).await {
                Ok(answer) => {
                    self.budget().deposit();
                    return answer.map_err(|fault| Unanswered {
                        fault,
                        may_have_run: true,
                    });
                }
                Err(failure) => failure,
            };
            let is_safe = method.repeats() || !failure.may_have_run();
            let is_passing = failure.is_passing(self.endpoints.len() > 1);
            let is_over = attempt >= TRIES_MAX || !is_passing;
            if is_over || !is_safe || !self.budget().withdraw() {
                return Err(Unanswered {
                    fault: self.told(&endpoint, method, &failure),
                    may_have_run: failure.may_have_run(),
                });
            }
            tracing::debug!(peer = %self.peer, ?method, attempt, %failure, "a call is made again");
            tokio::time::sleep(budget::pause(attempt, random_byte())).await;
            attempt += 1;
        }
    }

    /// The next endpoint whose breaker lets a call through.
    fn pick(&self) -> Result<Arc<Endpoint>, Fault> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let (before, after) = self
            .endpoints
            .split_at(start.checked_rem(self.endpoints.len()).unwrap_or(0));
        let admitted = after.iter().chain(before).find(|endpoint| {
            let now = endpoint.started.elapsed();
            endpoint.health().breaker.admit(now)
        });
        admitted.cloned().ok_or_else(|| {
            let why = self.away();
            self.is_away(&why.unwrap_or_else(|| "its calls failed".to_owned()))
        })
    }

    fn is_away(&self, why: &str) -> Fault {
        Fault::unavailable(format!("the role `{}` is away ({why})", self.peer))
            .with_reason(AWAY)
            .with_hint("try again later; /readyz of the gateway says which roles are away")
    }

    /// What the caller of a failed call is told.
    fn told(&self, endpoint: &Endpoint, method: Method, failure: &Failure) -> Fault {
        tracing::warn!(peer = %self.peer, address = endpoint.address, ?method, %failure, "a call to a role failed");
        match failure {
            Failure::Late => {
                let message = format!("the role `{}` did not answer in time", self.peer);
                Fault::new(FaultKind::Timeout, message)
            }
            Failure::Full(_) => Fault::unavailable(format!("the role `{}` is full", self.peer))
                .with_reason("overloaded")
                .with_hint("try again later"),
            _ => self.is_away(&format!("{}: {failure}", endpoint.address)),
        }
    }

    fn budget(&self) -> std::sync::MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoint {
    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One try: the callee's answer or fault, or why there is none. The breaker learns of it.
    async fn answer(
        &self,
        method: Method,
        arguments: &bytes::Bytes,
        time_left: Duration,
    ) -> Result<Result<Answer, Fault>, Failure> {
        let calling = async {
            let connection = self.connected().await?;
            connection.call(method, arguments.clone(), time_left).await
        };
        let answered = tokio::time::timeout(time_left, calling).await;
        let answered = answered.unwrap_or(Err(Failure::Late));
        let now = self.started.elapsed();
        let mut health = self.health();
        match &answered {
            // Late is what the caller's deadline makes; the ping tells whether the callee lives.
            Ok(_) | Err(Failure::Late | Failure::Full(_)) => health.breaker.succeeded(),
            Err(_) => health.breaker.failed(now),
        }
        answered
    }

    /// The connection that is open, or a new one where there is none, or where either side's certificate is no
    /// longer the one that it was made with.
    async fn connected(&self) -> Result<Arc<Connection>, Failure> {
        let mut slot = self.slot.lock().await;
        let material = self.identity.current();
        if let Some(connection) = &slot.open
            && connection.is_usable(&material, self.clock.now())
        {
            return Ok(Arc::clone(connection));
        }
        slot.open = None;
        if let Some((at, why)) = &slot.failed
            && at.elapsed() < RECONNECT_PAUSE
        {
            return Err(Failure::NotReached(why.clone()));
        }
        let trust_domain = self.identity.trust_domain();
        let made = Connection::open(&self.address, self.peer, material, trust_domain).await;
        slot.failed = match &made {
            Ok(_) => None,
            Err(failure) => Some((Instant::now(), failure.why().to_owned())),
        };
        let made = Arc::new(made?);
        slot.open = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Asks again and again whether it is there.
    async fn keep_watching(self: Arc<Self>) {
        let mut tick = tokio::time::interval(PING_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let asked = self.ping().await;
            let now = self.started.elapsed();
            let mut health = self.health();
            let was_away = health.away.is_some();
            match asked {
                Ok(pong) => {
                    health.breaker.recovered();
                    health.away = (!pong.is_open).then(|| "it is not open yet".to_owned());
                    health.pong = Some(pong);
                    if was_away && health.away.is_none() {
                        tracing::info!(peer = %self.peer, address = self.address, "a role is there");
                    }
                }
                Err(why) => {
                    health.breaker.failed(now);
                    if !was_away {
                        tracing::warn!(peer = %self.peer, address = self.address, why, "a role is away");
                    }
                    health.away = Some(why);
                }
            }
        }
    }

    async fn ping(&self) -> Result<Pong, String> {
        let arguments = wire::written(&self.identity.process());
        let arguments = arguments.map_err(|fault| fault.to_string())?;
        let asked = async {
            let connection = self.connected().await?;
            connection.call(Method::Ping, arguments, PING_MAX).await
        };
        let answered = tokio::time::timeout(PING_MAX, asked).await;
        let answered = answered.unwrap_or(Err(Failure::Late));
        let answer = answered.map_err(|failure| failure.to_string())?;
        answer
            .and_then(|answer| answer.value())
            .map_err(|fault| fault.to_string())
    }
}

/// A byte for a pause; without randomness, the shortest one.
fn random_byte() -> u8 {
    let mut byte = [0];
    match rand::fill(&mut byte) {
        Ok(()) => byte[0],
        Err(_) => 0,
    }
}
