//! How often each peer, principal, workspace and route may call.
//!
//! Enters: who calls what, and the time. Leaves: what is left, or how long to wait. Never done here:
//! whether a call may pass at all; a rate is no policy.

mod gcra;
mod kept;
mod shared;

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use dataos_model::{principal::Principal, secret::Secret};
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::{accept::peer_of, limits::Refusal, respond::Answer};
pub use gcra::Quota;
use gcra::Verdict;
use kept::Kept;
use shared::Shared;

/// Names of the draft `draft-ietf-httpapi-ratelimit-headers`.
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The quotas in force; none where nothing is said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateConfig {
    /// Of one address, before authentication.
    pub address: Option<Quota>,
    /// Of one principal.
    pub principal: Option<Quota>,
    /// Of one workspace, all principals together.
    pub workspace: Option<Quota>,
    /// Of one principal on one route.
    pub route: Option<Quota>,
    /// Where replicas count together; each for itself if there is none.
    pub redis: Option<RedisConfig>,
}

/// How Redis is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct RedisConfig {
    /// `HOST:PORT`.
    pub address: String,
    /// Its password, if it has one.
    pub password: Option<Secret>,
}

/// What a quota is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Scope {
    Address,
    Principal,
    Workspace,
    Route,
}

impl Scope {
    fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Principal => "principal",
            Self::Workspace => "workspace",
            Self::Route => "route",
        }
    }

    /// The reason code of a refusal.
    fn reason(self) -> &'static str {
        match self {
            Self::Address => "rate_address",
            Self::Principal => "rate_principal",
            Self::Workspace => "rate_workspace",
            Self::Route => "rate_route",
        }
    }
}

/// What is left of the quota that is used up first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    scope: Scope,
    quota: Quota,
    remaining: u64,
    /// Until all of it is there again; of a refusal, until one call is.
    wait: Duration,
}

impl Left {
    /// The same answer with the fields that say so.
    pub(crate) fn on(self, answer: Answer) -> Answer {
        let name = self.scope.name();
        let wait_s = seconds(self.wait);
        let left = format!("\"{name}\";r={};t={wait_s}", self.remaining);
        let window_s = seconds(self.quota.window());
        let policy = format!("\"{name}\";q={};w={window_s}", self.quota.count());
        let fields = [(RATE_LIMIT, left), (RATE_LIMIT_POLICY, policy)];
        fields.into_iter().fold(
            answer,
            |answer, (field, text)| match HeaderValue::from_str(&text) {
                Ok(value) => answer.with_header(field, value),
                Err(_) => answer,
            },
        )
    }

    /// The same with the time to wait.
    pub(crate) fn on_refusal(self, answer: Answer) -> Answer {
        let wait = HeaderValue::from(seconds(self.wait).max(1));
        self.on(answer).with_header(header::RETRY_AFTER, wait)
    }

    pub(crate) fn refusal(self) -> Refusal {
        let (count, name) = (self.quota.count(), self.scope.name());
        let window_s = seconds(self.quota.window());
        Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            self.scope.reason(),
            format!("this {name} may call {count} times in {window_s} s"),
        )
    }
}

/// Whole seconds, rounded up: whoever waits so long does not wait in vain.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Counts calls against their quotas.
#[derive(Debug)]
pub(crate) struct Rates {
    config: RateConfig,
    started: Instant,
    kept: Kept,
    shared: Option<Shared>,
}

impl Rates {
    pub(crate) fn new(config: RateConfig) -> Self {
        Self {
            started: Instant::now(),
            kept: Kept::default(),
            shared: config.redis.clone().map(Shared::start),
            config,
        }
    }

    /// Counts a request of this address.
    ///
    /// # Errors
    /// Its quota is used up.
    pub(crate) async fn take_address(&self, address: IpAddr) -> Result<Option<Left>, Left> {
        let Some(quota) = self.config.address else {
            return Ok(None);
        };
        self.take(Scope::Address, quota, &peer_of(address).to_string())
            .await
            .map(Some)
    }

    /// Counts a call; says what is left of the quota that is nearest to its end.
    ///
    /// # Errors
    /// The first quota that is used up; those in front of it are charged all the same, so that
    /// trying again at once gains nothing.
    pub(crate) async fn take_call(
        &self,
        principal: &Principal,
        workspace: Option<&str>,
        route: &'static str,
    ) -> Result<Option<Left>, Left> {
        let RateConfig {
            address: _,
            principal: of_principal,
            workspace: of_workspace,
            route: of_route,
            redis: _,
        } = self.config;
        if of_principal.or(of_workspace).or(of_route).is_none() {
            return Ok(None);
        }
        let who = format!("{} {}", principal.issuer, principal.uid);
        let mut least: Option<Left> = None;
        let asked = [
            (Scope::Principal, of_principal, who.clone()),
            (
                Scope::Workspace,
                of_workspace,
                workspace.unwrap_or("public").to_owned(),
            ),
            (Scope::Route, of_route, format!("{route} {who}")),
        ];
        for (scope, quota, key) in asked {
            let Some(quota) = quota else { continue };
            let left = self.take(scope, quota, &key).await?;
            if least.is_none_or(|least| left.remaining < least.remaining) {
                least = Some(left);
            }
        }
        Ok(least)
    }

    /// In Prometheus text: the calls that were counted together, because more callers came than are
    /// kept apart; and whether Redis is away.
    pub(crate) fn prometheus(&self) -> String {
        let name = "dataos_rate_calls_counted_together_total";
        format!("# TYPE {name} counter\n{name} {}\n", self.kept.shared())
    }

    /// Whether the Redis of the configuration is away; nothing if there is none.
    pub(crate) fn is_redis_away(&self) -> Option<bool> {
        self.shared.as_ref().map(|shared| shared.is_away())
    }

    /// Counts in this process alone.
    fn take_here(&self, scope: Scope, quota: Quota, key: &str) -> Verdict {
        let now_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.kept.take(scope, quota, key, now_us)
    }

    async fn take(&self, scope: Scope, quota: Quota, key: &str) -> Result<Left, Left> {
        let shared = match &self.shared {
            Some(shared) => shared.take(scope, quota, key).await,
            None => None,
        };
        let verdict = shared.unwrap_or_else(|| self.take_here(scope, quota, key));
        let left = |remaining, wait_us| Left {
            scope,
            quota,
            remaining,
            wait: Duration::from_micros(wait_us),
        };
        match verdict {
            Verdict::Passed {
                remaining, full_us, ..
            } => Ok(left(remaining, full_us)),
            Verdict::Refused { wait_us } => Err(left(0, wait_us)),
        }
    }
}

#[cfg(test)]
mod tests;
