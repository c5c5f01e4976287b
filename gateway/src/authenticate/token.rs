//! Bearer tokens of configured issuers: key sets kept fresh, verified tokens cached.
//!
//! A verified token is remembered under its SHA-256 for at most [`CACHE_LIFE_S`], never beyond its
//! expiry, and never across a change of any key set or local account.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use dataos_model::{
    clock::Timestamp,
    entity::EntityType,
    fault::Fault,
    hash::Hash,
    principal::{Authentication, Principal},
};
use serde_json::Value;
use tokio::sync::Mutex as AsyncMutex;

use super::{
    AuthenticationFault,
    jwks::{JWKS_BYTES_MAX, KeySet},
    jws::{Claims, TokenFault, Unverified},
};
use crate::{
    accounts::Accounts,
    config::{IssuerConfig, KeySource},
};

/// Most tokens remembered; at about 1 kB each this is 10 MB.
const CACHE_ENTRIES_MAX: usize = 10_000;
/// Longest time that a verified token is believed without looking again.
const CACHE_LIFE_S: i64 = 60;
/// Age at which a key set is fetched anew.
const REFRESH_MS: i64 = 300_000;
/// Least time between two fetches, however many unknown keys are named.
const REFRESH_PAUSE_MS: i64 = 10_000;
/// Age at which a key set that cannot be fetched anew is no longer believed.
const STALE_MS: i64 = 3_600_000;
/// Time for one fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Most values taken from one claim.
const CLAIM_VALUES_MAX: usize = 256;

/// All issuers.
#[derive(Debug)]
pub(crate) struct Tokens {
    issuers: Vec<Arc<Issuer>>,
    accounts: Arc<Accounts>,
    cache: Mutex<Cache>,
    /// Rises with every change of a key set.
    key_version: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Cache {
    versions: (u64, u64),
    entries: HashMap<Hash, (Arc<Principal>, i64)>,
}

#[derive(Debug)]
struct Issuer {
    config: IssuerConfig,
    source: Source,
    keys: ArcSwapOption<KeySet>,
    /// When `keys` was fetched, Unix milliseconds.
    fetched_at: AtomicI64,
    /// When a fetch was last tried. Held over the fetch, so that there is one at a time.
    tried_at: AsyncMutex<Option<i64>>,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Url(Box<reqwest::Client>, String),
}

impl Tokens {
    /// Prepares the issuers; key files are read now, key addresses when a token needs them.
    ///
    /// # Errors
    /// A key file that cannot be read or parsed, or a CA file that cannot be used.
    pub(crate) fn open(
        issuers: &[IssuerConfig],
        accounts: Arc<Accounts>,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let issuers = issuers
            .iter()
            .map(|config| Issuer::open(config, now).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            issuers,
            accounts,
            cache: Mutex::new(Cache::default()),
            key_version: Arc::default(),
        })
    }

    /// The principal of a token.
    pub(crate) async fn principal(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Arc<Principal>, AuthenticationFault> {
        let digest = Hash::of(token);
        if let Some(principal) = self.cached(&digest, now.0 / 1000) {
            return Ok(principal);
        }
        let refused = |fault: TokenFault| AuthenticationFault::Invalid(fault.code());
        let unverified = Unverified::parse(token).map_err(refused)?;
        let claimed = unverified.claimed_issuer().map_err(refused)?;
        let issuer = self
            .issuers
            .iter()
            .find(|issuer| issuer.config.issuer == claimed)
            .ok_or(AuthenticationFault::Invalid(TokenFault::Issuer.code()))?;
        let versions = self.versions();
        let keys = self.keys_for(issuer, &unverified.kid, now).await?;
        let claims = unverified.verify(&issuer.config, &keys).map_err(refused)?;
        let expires = claims
            .check(&issuer.config, now.0 / 1000)
            .map_err(refused)?;
        let principal = Arc::new(self.principal_of(&issuer.config, &claims, &digest)?);
        self.remember(digest, &principal, expires, now.0 / 1000, versions);
        Ok(principal)
    }

    /// Issuers whose keys cannot be had or are old, for the health page.
    pub(crate) fn health(&self, now: Timestamp) -> Vec<(String, bool, String)> {
        self.issuers
            .iter()
            .map(|issuer| {
                let keys = issuer.keys.load();
                let age_s = (now.0 - issuer.fetched_at.load(Ordering::Relaxed)) / 1000;
                match keys.as_deref() {
                    Some(keys) => {
                        let is_fresh = age_s * 1000 <= REFRESH_MS + REFRESH_PAUSE_MS
                            || matches!(issuer.source, Source::File(_));
                        let detail = format!("{} keys, {age_s} s old", keys.len());
                        (issuer.config.issuer.clone(), is_fresh, detail)
                    }
                    None => (
                        issuer.config.issuer.clone(),
                        true,
                        "keys not yet needed".to_owned(),
                    ),
                }
            })
            .collect()
    }

    fn versions(&self) -> (u64, u64) {
        (
            self.key_version.load(Ordering::Acquire),
            self.accounts.version(),
        )
    }

    fn cached(&self, digest: &Hash, now_s: i64) -> Option<Arc<Principal>> {
        let versions = self.versions();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.versions != versions {
            cache.entries.clear();
            cache.versions = versions;
        }
        let (principal, until_s) = cache.entries.get(digest)?;
        (now_s < *until_s).then(|| Arc::clone(principal))
    }

    fn remember(
        &self,
        digest: Hash,
        principal: &Arc<Principal>,
        expires_s: i64,
        now_s: i64,
        versions: (u64, u64),
    ) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // Verified under keys that are gone by now: not worth remembering.
        if cache.versions != versions {
            return;
        }
        if cache.entries.len() >= CACHE_ENTRIES_MAX {
            cache.entries.retain(|_, (_, until_s)| *until_s > now_s);
        }
        if cache.entries.len() >= CACHE_ENTRIES_MAX {
            cache.entries.clear();
        }
        let until_s = expires_s.min(now_s + CACHE_LIFE_S);
        cache
            .entries
            .insert(digest, (Arc::clone(principal), until_s));
    }

    /// The key set of an issuer: fresh enough, and refetched once if it lacks the key.
    async fn keys_for(
        &self,
        issuer: &Arc<Issuer>,
        kid: &str,
        now: Timestamp,
    ) -> Result<Arc<KeySet>, AuthenticationFault> {
        let unavailable = AuthenticationFault::Unavailable("issuer_keys_unavailable");
        let current = issuer.keys.load_full();
        let age_ms = now.0 - issuer.fetched_at.load(Ordering::Acquire);
        if let Some(keys) = current
            && age_ms <= STALE_MS
            && keys.key(kid).is_some()
        {
            if age_ms > REFRESH_MS {
                // Nobody waits for an issuer whose keys are still believed. The pause between
                // fetches bounds how many of these tasks do anything.
                let (issuer, version) = (Arc::clone(issuer), Arc::clone(&self.key_version));
                tokio::spawn(async move { issuer.refresh(now, &version).await });
            }
            return Ok(keys);
        }
        issuer.refresh(now, &self.key_version).await;
        let age_ms = now.0 - issuer.fetched_at.load(Ordering::Acquire);
        issuer
            .keys
            .load_full()
            .filter(|_| age_ms <= STALE_MS)
            .ok_or(unavailable)
    }

    fn principal_of(
        &self,
        issuer: &IssuerConfig,
        claims: &Claims,
        digest: &Hash,
    ) -> Result<Principal, AuthenticationFault> {
        let refused = || AuthenticationFault::Invalid(TokenFault::Claims.code());
        let user = claims
            .text(&issuer.claims.user)
            .filter(|user| (1..=256).contains(&user.len()) && !user.chars().any(char::is_control))
            .ok_or_else(refused)?;
        let user = format!("{}{user}", issuer.user_prefix);
        // An outside issuer must not be able to name a local account.
        if self.accounts.is_reserved(&user) {
            return Err(AuthenticationFault::Invalid("token_names_local_user"));
        }
        let mut principal = Principal::new(EntityType::USER.id(user), Authentication::Token);
        principal.groups = names(claims, issuer.claims.groups.as_deref()).ok_or_else(refused)?;
        principal.roles = names(claims, issuer.claims.roles.as_deref()).ok_or_else(refused)?;
        for name in &issuer.claims.attributes {
            match claims.get(name) {
                None => {}
                Some(Value::String(text)) => {
                    principal.attributes.insert(name.clone(), text.clone());
                }
                Some(Value::Bool(value)) => {
                    principal.attributes.insert(name.clone(), value.to_string());
                }
                Some(Value::Number(number)) => {
                    principal
                        .attributes
                        .insert(name.clone(), number.to_string());
                }
                Some(_) => return Err(refused()),
            }
        }
        principal.issuer.clone_from(&issuer.issuer);
        let id = claims.text("jti").filter(|id| id.len() <= 128).map_or_else(
            || digest.to_string().chars().take(16).collect(),
            str::to_owned,
        );
        principal.credential_id = Some(id);
        Ok(principal)
    }
}

impl Issuer {
    fn open(config: &IssuerConfig, now: Timestamp) -> Result<Self, Fault> {
        let (source, keys) = match &config.keys {
            KeySource::File(path) => {
                let keys = read_file(path).map_err(|problem| {
                    Fault::invalid(format!("keys of issuer {}: {problem}", config.issuer))
                })?;
                (Source::File(path.clone()), Some(Arc::new(keys)))
            }
            KeySource::Url(url) => (Source::Url(Box::new(client(config)?), url.clone()), None),
        };
        Ok(Self {
            config: config.clone(),
            source,
            keys: ArcSwapOption::new(keys),
            fetched_at: AtomicI64::new(now.0),
            tried_at: AsyncMutex::new(None),
        })
    }

    /// Fetches the key set unless that was tried a moment ago; `version` rises if it was replaced.
    async fn refresh(&self, now: Timestamp, version: &AtomicU64) {
        let mut tried_at = self.tried_at.lock().await;
        if tried_at.is_some_and(|tried| now.0 - tried < REFRESH_PAUSE_MS) {
            return;
        }
        *tried_at = Some(now.0);
        let fetched = match &self.source {
            Source::File(path) => read_file(path),
            Source::Url(client, url) => fetch(client, url).await,
        };
        match fetched {
            Ok(keys) => {
                self.keys.store(Some(Arc::new(keys)));
                self.fetched_at.store(now.0, Ordering::Release);
                version.fetch_add(1, Ordering::AcqRel);
            }
            Err(problem) => {
                tracing::warn!(issuer = %self.config.issuer, %problem, "keys not refreshed");
            }
        }
    }
}

fn client(config: &IssuerConfig) -> Result<reqwest::Client, Fault> {
    let wrong = |problem: String| Fault::invalid(format!("issuer {}: {problem}", config.issuer));
    let mut builder = reqwest::Client::builder()
        .timeout(FETCH_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if let Some(path) = &config.ca_file {
        let pem = std::fs::read(path)
            .map_err(|error| wrong(format!("CA file {}: {error}", path.display())))?;
        let certificate = reqwest::Certificate::from_pem(&pem)
            .map_err(|error| wrong(format!("CA file {}: {error}", path.display())))?;
        builder = builder.tls_certs_only([certificate]);
    }
    builder.build().map_err(|error| wrong(error.to_string()))
}

fn read_file(path: &PathBuf) -> Result<KeySet, String> {
    let problem = |error: std::io::Error| format!("{}: {error}", path.display());
    if std::fs::metadata(path).map_err(problem)?.len() > JWKS_BYTES_MAX as u64 {
        return Err(format!(
            "{} is above {JWKS_BYTES_MAX} bytes",
            path.display()
        ));
    }
    KeySet::parse(&std::fs::read(path).map_err(problem)?)
}

async fn fetch(client: &reqwest::Client, url: &str) -> Result<KeySet, String> {
    let mut response = client
        .get(url)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(|error| error.to_string())?;
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
        if document.len() + chunk.len() > JWKS_BYTES_MAX {
            return Err(format!("the key set is above {JWKS_BYTES_MAX} bytes"));
        }
        document.extend_from_slice(&chunk);
    }
    KeySet::parse(&document)
}

/// Values of a claim that is a list of texts, or one text with spaces.
fn names(claims: &Claims, claim: Option<&str>) -> Option<Vec<String>> {
    let Some(value) = claim.and_then(|name| claims.get(name)) else {
        return Some(Vec::new());
    };
    let names: Vec<String> = match value {
        Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<_>>()?,
        _ => return None,
    };
    (names.len() <= CLAIM_VALUES_MAX).then_some(names)
}

#[cfg(test)]
mod tests;
