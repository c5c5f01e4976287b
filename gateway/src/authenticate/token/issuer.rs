//! One issuer: its key set, kept fresh, and what is wrong with it.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use dataos_model::{clock::Timestamp, fault::Fault};
use tokio::sync::Mutex as AsyncMutex;

use super::fetch::{self, Fetcher};
use crate::{
    authenticate::jwks::KeySet,
    config::{IssuerConfig, KeySource},
};

/// Age at which a key set is fetched anew.
const REFRESH_MS: i64 = 300_000;
/// Least time between two fetches, however many unknown keys are named.
const REFRESH_PAUSE_MS: i64 = 10_000;
/// Age at which a key set that cannot be fetched anew is no longer believed.
const STALE_MS: i64 = 3_600_000;

/// An issuer with the keys that it published last.
#[derive(Debug)]
pub(in crate::authenticate) struct Issuer {
    pub(in crate::authenticate) config: IssuerConfig,
    source: Source,
    keys: ArcSwapOption<KeySet>,
    /// When `keys` was fetched, Unix milliseconds.
    fetched_at: AtomicI64,
    /// When a fetch was last tried. Held over the fetch, so that there is one at a time.
    tried_at: AsyncMutex<Option<i64>>,
    /// Why the last fetch failed, if it did.
    problem: Mutex<Option<String>>,
    /// Of all issuers; rises when `keys` is replaced.
    version: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Url(Box<Fetcher>, String),
    Discovery(Box<Fetcher>),
}

impl Issuer {
    /// Reads a key file; fetches nothing.
    ///
    /// # Errors
    /// A key file that cannot be read or parsed, or a CA file that cannot be used.
    pub(super) fn open(
        config: &IssuerConfig,
        now: Timestamp,
        version: &Arc<AtomicU64>,
    ) -> Result<Self, Fault> {
        let fetcher = || Fetcher::open(config).map(Box::new);
        let (source, keys) = match &config.keys {
            KeySource::File(path) => {
                let keys = fetch::keys_in(path).map_err(|problem| {
                    Fault::invalid(format!("keys of issuer {}: {problem}", config.issuer))
                })?;
                (Source::File(path.clone()), Some(Arc::new(keys)))
            }
            KeySource::Url(url) => (Source::Url(fetcher()?, url.clone()), None),
            KeySource::Discovery => (Source::Discovery(fetcher()?), None),
        };
        Ok(Self {
            config: config.clone(),
            source,
            keys: ArcSwapOption::new(keys),
            fetched_at: AtomicI64::new(now.0),
            tried_at: AsyncMutex::new(None),
            problem: Mutex::default(),
            version: Arc::clone(version),
        })
    }

    /// What fetches its other documents, if it is discovered.
    pub(in crate::authenticate) fn fetcher(&self) -> Option<&Fetcher> {
        match &self.source {
            Source::Discovery(fetcher) => Some(fetcher),
            Source::File(_) | Source::Url(..) => None,
        }
    }

    /// The key set: fresh enough, and fetched anew once if it lacks the key. `None` if there is none
    /// that is still believed.
    pub(in crate::authenticate) async fn keys_for(
        self: &Arc<Self>,
        kid: Option<&str>,
        now: Timestamp,
    ) -> Option<Arc<KeySet>> {
        let age_ms = self.age_ms(now);
        if let Some(keys) = self.keys.load_full()
            && age_ms <= STALE_MS
            && keys.key(kid).is_some()
        {
            if age_ms > REFRESH_MS {
                // Nobody waits for an issuer whose keys are still believed. The pause between
                // fetches bounds how many of these tasks do anything.
                let issuer = Arc::clone(self);
                tokio::spawn(async move { issuer.refresh(now).await });
            }
            return Some(keys);
        }
        self.refresh(now).await;
        let keys = self.keys.load_full();
        keys.filter(|_| self.age_ms(now) <= STALE_MS)
    }

    /// Its name, whether its keys are fresh, and a word about them.
    pub(super) fn health(&self, now: Timestamp) -> (String, bool, String) {
        let keys = self.keys.load_full();
        let age_ms = self.age_ms(now);
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        let is_kept = matches!(self.source, Source::File(_));
        let is_fresh = is_kept || age_ms <= REFRESH_MS + REFRESH_PAUSE_MS;
        let is_well = is_fresh && (keys.is_some() || problem.is_none());
        let mut told = match keys {
            Some(keys) => format!("{} keys, {} s old", keys.len(), age_ms / 1000),
            None if problem.is_some() => "no keys".to_owned(),
            None => "keys not yet needed".to_owned(),
        };
        if let Some(problem) = &*problem {
            told = format!("{told}; {problem}");
        }
        (self.config.issuer.clone(), is_well, told)
    }

    fn age_ms(&self, now: Timestamp) -> i64 {
        now.0 - self.fetched_at.load(Ordering::Acquire)
    }

    /// Fetches the key set unless that was tried a moment ago.
    async fn refresh(&self, now: Timestamp) {
        let mut tried_at = self.tried_at.lock().await;
        // A clock that was set back must not keep us from fetching until it is there again.
        if tried_at.is_some_and(|tried| (now.0 - tried).abs() < REFRESH_PAUSE_MS) {
            return;
        }
        *tried_at = Some(now.0);
        let fetched = match &self.source {
            Source::File(path) => fetch::keys_in(path),
            Source::Url(fetcher, url) => fetcher.keys_at(url).await,
            Source::Discovery(fetcher) => fetcher.discovered_keys().await,
        };
        let problem = match fetched {
            Ok(keys) => {
                self.keys.store(Some(Arc::new(keys)));
                self.fetched_at.store(now.0, Ordering::Release);
                self.version.fetch_add(1, Ordering::AcqRel);
                None
            }
            Err(problem) => {
                tracing::warn!(issuer = %self.config.issuer, %problem, "keys not refreshed");
                Some(problem)
            }
        };
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}
