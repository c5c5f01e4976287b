//! Bearer tokens of configured issuers: key sets kept fresh, verified tokens cached.
//!
//! A verified token is remembered under its SHA-256 for at most [`CACHE_LIFE_S`], never beyond its
//! expiry, and never across a change of any key set, local account or revocation.

pub(super) mod fetch;
pub(super) mod issuer;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use dataos_model::{
    clock::Timestamp,
    fault::Fault,
    hash::Hash,
    principal::{Authentication, Principal},
};

use super::{
    AuthenticationFault, identity,
    jws::{Claims, Terms, TokenFault, Unverified},
};
use crate::{accounts::Accounts, config::IssuerConfig};
use issuer::Issuer;

/// Most tokens remembered; at about 1 kB each this is 10 MB.
const CACHE_ENTRIES_MAX: usize = 10_000;
/// Longest time that a verified token is believed without looking again.
const CACHE_LIFE_S: i64 = 60;

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
    /// Of key sets and accounts, when `entries` was empty last.
    versions: (u64, u64),
    entries: HashMap<Hash, Remembered>,
}

/// What a token was found to be worth.
#[derive(Clone, Debug)]
struct Remembered {
    principal: Arc<Principal>,
    bound_to: Option<Hash>,
    until_s: i64,
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
        let key_version = Arc::default();
        let issuers = issuers
            .iter()
            .map(|config| Issuer::open(config, now, &key_version).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            issuers,
            accounts,
            cache: Mutex::new(Cache::default()),
            key_version,
        })
    }

    /// The principal of a token that came with this client certificate, named by its digest.
    pub(crate) async fn principal(
        &self,
        token: &str,
        certificate: Option<Hash>,
        now: Timestamp,
    ) -> Result<Arc<Principal>, AuthenticationFault> {
        let digest = Hash::of(token);
        let known = match self.cached(&digest, now.0 / 1000) {
            Some(known) => known,
            None => self.verified(token, digest, now).await?,
        };
        check_bound(known.bound_to, certificate)?;
        Ok(known.principal)
    }

    /// For each issuer: its name, whether its keys are fresh, and a word about them.
    pub(crate) fn health(&self, now: Timestamp) -> Vec<(String, bool, String)> {
        let issuers = self.issuers.iter();
        issuers.map(|issuer| issuer.health(now)).collect()
    }

    /// Whether this is the name of an issuer whose tokens are taken.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.issuer(name).is_some()
    }

    /// All issuers.
    pub(super) fn issuers(&self) -> &[Arc<Issuer>] {
        &self.issuers
    }

    fn issuer(&self, name: &str) -> Option<&Arc<Issuer>> {
        let mut issuers = self.issuers.iter();
        issuers.find(|issuer| issuer.config.issuer == name)
    }

    async fn verified(
        &self,
        token: &str,
        digest: Hash,
        now: Timestamp,
    ) -> Result<Remembered, AuthenticationFault> {
        let now_s = now.0 / 1000;
        let unverified = Unverified::parse(token)?;
        let issuer = self.issuer(unverified.claimed_issuer()?);
        let issuer = issuer.ok_or(TokenFault::Issuer)?;
        let versions = self.versions();
        let keys = issuer.keys_for(unverified.kid(), now).await;
        let keys = keys.ok_or(AuthenticationFault::Unavailable("issuer_keys_unavailable"))?;
        let claims = unverified.verify(&issuer.config, &keys)?;
        let terms = claims.check(&issuer.config, now_s)?;
        self.check_revoked(&issuer.config, &claims, &terms)?;
        let known = Remembered {
            principal: Arc::new(self.principal_of(&issuer.config, &claims, &digest)?),
            bound_to: terms.bound_to,
            until_s: terms.expires_s.min(now_s + CACHE_LIFE_S),
        };
        self.remember(digest, known.clone(), now_s, versions);
        Ok(known)
    }

    fn versions(&self) -> (u64, u64) {
        (
            self.key_version.load(Ordering::Acquire),
            self.accounts.version(),
        )
    }

    fn cached(&self, digest: &Hash, now_s: i64) -> Option<Remembered> {
        let versions = self.versions();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.versions != versions {
            cache.entries.clear();
            cache.versions = versions;
        }
        let known = cache.entries.get(digest)?;
        (now_s < known.until_s).then(|| known.clone())
    }

    fn remember(&self, digest: Hash, known: Remembered, now_s: i64, versions: (u64, u64)) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // Verified under keys that are gone by now: not worth remembering.
        if cache.versions != versions {
            return;
        }
        if cache.entries.len() >= CACHE_ENTRIES_MAX {
            cache.entries.retain(|_, known| known.until_s > now_s);
        }
        if cache.entries.len() >= CACHE_ENTRIES_MAX {
            cache.entries.clear();
        }
        cache.entries.insert(digest, known);
    }

    fn check_revoked(
        &self,
        issuer: &IssuerConfig,
        claims: &Claims,
        terms: &Terms,
    ) -> Result<(), TokenFault> {
        self.accounts.with_revocations(|revocations| {
            let id = claims.text("jti");
            if id.is_some_and(|id| revocations.has_token(&issuer.issuer, id)) {
                return Err(TokenFault::Revoked);
            }
            let subject = claims.text("sub");
            let is_revoked =
                |subject| revocations.has_subject(&issuer.issuer, subject, terms.issued_s);
            if subject.is_some_and(is_revoked) {
                return Err(TokenFault::SubjectRevoked);
            }
            Ok(())
        })
    }

    fn principal_of(
        &self,
        issuer: &IssuerConfig,
        claims: &Claims,
        digest: &Hash,
    ) -> Result<Principal, TokenFault> {
        let mut principal = identity::principal_of(issuer, claims.map(), Authentication::Token)?;
        // An outside issuer must not be able to name a local account.
        if self.accounts.is_reserved(&principal.uid.id) {
            return Err(TokenFault::NamesLocalUser);
        }
        let id = claims.text("jti").filter(|id| id.len() <= 128).map_or_else(
            || digest.to_string().chars().take(16).collect(),
            str::to_owned,
        );
        principal.credential_id = Some(id);
        Ok(principal)
    }
}

/// RFC 8705: a bound token is worth nothing without its certificate.
fn check_bound(bound_to: Option<Hash>, certificate: Option<Hash>) -> Result<(), TokenFault> {
    match (bound_to, certificate) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(TokenFault::BoundNoCertificate),
        (Some(bound_to), Some(certificate)) if bound_to == certificate => Ok(()),
        (Some(_), Some(_)) => Err(TokenFault::BoundToOther),
    }
}

#[cfg(test)]
pub(super) mod tests;
