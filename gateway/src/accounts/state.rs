//! What is held in memory: accounts, keys and sessions with their principals at hand.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use dataos_model::{
    clock::Timestamp,
    principal::{Authentication, Principal},
};

use tokio::sync::Mutex as AsyncMutex;

use super::{
    model::{Account, ApiKey, Session},
    provider_sessions::{EndedLately, ProviderSession},
    revocations::Revocations,
};
use crate::store::Stored;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) accounts: BTreeMap<String, Account>,
    pub(super) keys: HashMap<String, HeldKey>,
    pub(super) sessions: HashMap<String, HeldSession>,
    pub(super) provider_sessions: HashMap<String, HeldProviderSession>,
    /// Oldest first.
    pub(super) ended_lately: VecDeque<EndedLately>,
    pub(super) revocations: Revocations,
}

#[derive(Debug)]
pub(super) struct HeldKey {
    pub(super) key: ApiKey,
    /// `None` while the account is disabled.
    pub(super) principal: Option<Arc<Principal>>,
    pub(super) last_used_at: AtomicI64,
    /// What the store knows of `last_used_at`.
    pub(super) stored_used_at: AtomicI64,
}

#[derive(Debug)]
pub(super) struct HeldSession {
    pub(super) session: Session,
    /// `None` while the account is disabled.
    pub(super) principal: Option<Arc<Principal>>,
    pub(super) used: Used,
}

#[derive(Debug)]
pub(super) struct HeldProviderSession {
    pub(super) session: ProviderSession,
    /// `None` if its provider is no longer in the configuration.
    pub(super) principal: Option<Arc<Principal>>,
    pub(super) used: Used,
    /// Held while its provider is asked about it.
    pub(super) renewing: Arc<AsyncMutex<()>>,
    /// Since when that does not answer.
    pub(super) failing_since: Option<i64>,
}

impl HeldProviderSession {
    pub(super) fn new(session: ProviderSession, principal: Option<Arc<Principal>>) -> Self {
        Self {
            used: Used::new(session.used_at),
            session,
            principal,
            renewing: Arc::default(),
            failing_since: None,
        }
    }
}

/// When a session was last used.
#[derive(Debug)]
pub(super) struct Used {
    at: AtomicI64,
    /// What the store knows of it.
    stored_at: AtomicI64,
}

impl Used {
    pub(super) fn new(at: i64) -> Self {
        Self {
            at: AtomicI64::new(at),
            stored_at: AtomicI64::new(at),
        }
    }

    /// Uses a session that has not ended by now.
    pub(super) fn now(&self, ends: (i64, i64), now: Timestamp) -> Result<(), &'static str> {
        self.check(ends, now)?;
        self.at.fetch_max(now.0, Ordering::Relaxed);
        Ok(())
    }

    /// When that was, Unix milliseconds.
    pub(super) fn at(&self) -> i64 {
        self.at.load(Ordering::Relaxed)
    }

    /// Whether a session, by its end and how long it may be left unused, has not ended by now.
    pub(super) fn check(
        &self,
        (expires_at, idle_ms): (i64, i64),
        now: Timestamp,
    ) -> Result<(), &'static str> {
        if expires_at <= now.0 {
            return Err("session_expired");
        }
        if self.at.load(Ordering::Relaxed).saturating_add(idle_ms) <= now.0 {
            return Err("session_idle");
        }
        Ok(())
    }

    /// The last use, if the store should know of it.
    pub(super) fn unstored(&self, granularity_ms: i64) -> Option<i64> {
        let at = self.at.load(Ordering::Relaxed);
        let is_due = at - self.stored_at.load(Ordering::Relaxed) >= granularity_ms;
        is_due.then(|| {
            self.stored_at.store(at, Ordering::Relaxed);
            at
        })
    }
}

/// A key as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyView {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) created_at: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) last_used_at: Option<i64>,
    pub(crate) scopes: Option<Vec<String>>,
}

impl State {
    /// Replaces an account and what is held of its keys and sessions.
    pub(super) fn replace(&mut self, account: Account, ends_sessions: bool) {
        let user = account.user.user.clone();
        if ends_sessions {
            self.sessions.retain(|_, held| held.session.user != user);
        }
        for held in self
            .sessions
            .values_mut()
            .filter(|held| held.session.user == user)
        {
            held.principal = account.principal(Authentication::Session, &held.session.digest);
        }
        for held in self.keys.values_mut().filter(|held| held.key.user == user) {
            held.principal = account.principal(Authentication::ApiKey, &held.key.id);
        }
        self.accounts.insert(user, account);
    }
}

impl From<Stored> for State {
    fn from(stored: Stored) -> Self {
        let accounts: BTreeMap<String, Account> = stored
            .accounts
            .into_iter()
            .map(|account| (account.user.user.clone(), account))
            .collect();
        let keys = stored
            .keys
            .into_iter()
            .filter_map(|key| {
                let account = accounts.get(&key.user)?;
                Some((key.id.clone(), HeldKey::new(key, account)))
            })
            .collect();
        let sessions = stored
            .sessions
            .into_iter()
            .filter_map(|session| {
                let account = accounts.get(&session.user)?;
                let principal = account.principal(Authentication::Session, &session.digest);
                let used = Used::new(session.used_at);
                let digest = session.digest.clone();
                let held = HeldSession {
                    session,
                    principal,
                    used,
                };
                Some((digest, held))
            })
            .collect();
        let provider_sessions = stored
            .provider_sessions
            .into_iter()
            .map(|session| {
                let held = HeldProviderSession::new(session, None);
                (held.session.digest.clone(), held)
            })
            .collect();
        let mut revocations = Revocations::default();
        for revocation in stored.revocations {
            revocations.insert(revocation);
        }
        Self {
            accounts,
            keys,
            sessions,
            provider_sessions,
            ended_lately: VecDeque::new(),
            revocations,
        }
    }
}

impl HeldKey {
    pub(super) fn new(key: ApiKey, account: &Account) -> Self {
        Self {
            principal: account.principal(Authentication::ApiKey, &key.id),
            last_used_at: AtomicI64::new(key.last_used_at),
            stored_used_at: AtomicI64::new(key.last_used_at),
            key,
        }
    }

    pub(super) fn view(&self) -> KeyView {
        let last_used_at = self.last_used_at.load(Ordering::Relaxed);
        KeyView {
            id: self.key.id.clone(),
            name: self.key.name.clone(),
            created_at: self.key.created_at,
            expires_at: self.key.expires_at,
            last_used_at: (last_used_at > 0).then_some(last_used_at),
            scopes: self.key.scopes.as_ref().map(|scopes| scopes.texts()),
        }
    }
}
