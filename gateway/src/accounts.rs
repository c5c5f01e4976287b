//! Local accounts, API keys and sessions: what the request path reads lies in memory, every change
//! goes to the store first.
//!
//! Passwords are checked with argon2id on the blocking pool, a few at a time; keys and sessions are
//! compared by keyed or plain digest and cost microseconds.

mod entities;
#[cfg(test)]
pub(crate) mod fake_sink;
mod keys;
mod model;
mod password;
mod proved;
mod provider_sessions;
mod revocations;
mod rotation;
mod scopes;
mod sessions;
mod state;
mod verifiers;

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use aws_lc_rs::rand;
use dataos_model::{
    clock::Timestamp,
    fault::{Fault, FaultKind},
    hash::Hash,
    principal::{Authentication, Principal},
    seams::{EntitySink, Identities},
};

pub(crate) use keys::Wanted;
pub(crate) use model::{Account, ApiKey, Session, SessionLife, User, is_platform_name};
pub(crate) use proved::Proved;
pub(crate) use provider_sessions::{Of, ProviderSession};
pub(crate) use revocations::{Revocation, Revoked};
pub(crate) use rotation::beyond_scopes;
pub(crate) use scopes::Scopes;

use crate::{authenticate::api_key::Pepper, store::Store};
use password::Passwords;
use state::{HeldSession, State, Used};
use verifiers::Verifiers;

/// Most accounts: all are held in memory.
const ACCOUNTS_MAX: usize = 100_000;
/// Most sessions of one user; the next login ends the oldest.
const SESSIONS_PER_USER_MAX: usize = 20;

/// All local identities.
#[derive(Debug)]
pub(crate) struct Accounts {
    state: RwLock<State>,
    store: Store,
    /// Told of every account inside its change.
    sink: Arc<dyn EntitySink>,
    pepper: Arc<Pepper>,
    passwords: Passwords,
    verifiers: Arc<Verifiers>,
    /// Held over a whole change (check, store, memory), so that changes follow each other.
    changing: tokio::sync::Mutex<()>,
    /// Rises with local names and revocations; verified tokens are then looked at again.
    version: AtomicU64,
}

/// A session that was just opened; `cookie` is the credential.
#[derive(Debug)]
pub(crate) struct NewSession {
    pub(crate) cookie: String,
    pub(crate) expires_at: Timestamp,
}

impl Accounts {
    /// Loads everything from the store and hands the accounts to the sink.
    ///
    /// # Errors
    /// Damaged storage, or an account that does not fit the schema of the policies.
    pub(crate) async fn open(
        store: Store,
        sink: Arc<dyn EntitySink>,
        pepper: Pepper,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let state = State::from(store.load(now.0).await?);
        sink.apply(state.accounts.values().map(entities::change).collect())?;
        let pepper = Arc::new(pepper);
        Ok(Self {
            verifiers: Arc::new(Verifiers::new(&pepper)?),
            state: RwLock::new(state),
            store,
            sink,
            pepper,
            passwords: Passwords::new(),
            changing: tokio::sync::Mutex::new(()),
            version: AtomicU64::new(0),
        })
    }

    /// Whether there is no account yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.read().accounts.is_empty()
    }

    /// Rises when verified tokens must be looked at again.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn rise(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether a user of another issuer must not have this name.
    pub(crate) fn is_reserved(&self, user: &str) -> bool {
        model::is_platform_name(user) || self.read().accounts.contains_key(user)
    }

    /// The principal behind a session cookie, which uses the session.
    pub(crate) fn principal_of_session(
        &self,
        cookie: &str,
        now: Timestamp,
    ) -> Result<Arc<Principal>, &'static str> {
        self.principal_behind(cookie, |used, ends| used.now(ends, now))
    }

    /// The same where nobody does anything: it is no use of the session, which may end meanwhile.
    pub(crate) fn principal_of_watched_session(
        &self,
        cookie: &str,
        now: Timestamp,
    ) -> Result<Arc<Principal>, &'static str> {
        self.principal_behind(cookie, |used, ends| used.check(ends, now))
    }

    fn principal_behind(
        &self,
        cookie: &str,
        check: impl Fn(&Used, (i64, i64)) -> Result<(), &'static str>,
    ) -> Result<Arc<Principal>, &'static str> {
        let state = self.read();
        let digest = digest_of(cookie);
        if let Some(HeldSession {
            session,
            principal,
            used,
        }) = state.sessions.get(&digest)
        {
            check(used, (session.expires_at, session.idle_ms))?;
            return principal.clone().ok_or("account_disabled");
        }
        let held = state.provider_sessions.get(&digest);
        let held = held.ok_or("session_unknown")?;
        let principal = held.principal.clone().ok_or("session_unknown")?;
        // An account of the same name may have been made since.
        if state.accounts.contains_key(&principal.uid.id) {
            return Err("token_names_local_user");
        }
        let session = &held.session;
        check(&held.used, (session.expires_at, session.idle_ms))?;
        Ok(principal)
    }

    /// The account of a right pair.
    async fn checked(&self, user: &str, password: &str, now: Timestamp) -> Result<Account, Fault> {
        let account = self.read().accounts.get(user).cloned();
        let hash = account
            .as_ref()
            .map(|account| account.password_hash.clone());
        self.passwords.check(user, password, hash, now).await?;
        let account = account.ok_or_else(|| wrong_login("login_wrong"))?;
        let account = self.with_verifier(account, password).await?;
        if account.user.disabled {
            return Err(wrong_login("account_disabled"));
        }
        Ok(account)
    }

    /// Opens a session for a user and password.
    ///
    /// # Errors
    /// `Unauthenticated` with its reason for any wrong pair; `Unavailable` when too many checks wait.
    pub(crate) async fn log_in(
        &self,
        user: &str,
        password: &str,
        now: Timestamp,
        life: SessionLife,
    ) -> Result<NewSession, Fault> {
        let account = self.checked(user, password, now).await?;
        let (cookie, digest) = new_cookie()?;
        let session = Session {
            digest,
            user: user.to_owned(),
            expires_at: life.end(now),
            idle_ms: life.idle_ms(),
            used_at: now.0,
        };
        let expires_at = Timestamp(session.expires_at);
        self.add_session(session, &account, now).await?;
        Ok(NewSession { cookie, expires_at })
    }

    async fn add_session(
        &self,
        session: Session,
        checked: &Account,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let _changing = self.changing.lock().await;
        let surplus = {
            let state = self.read();
            // The account may have changed while the password was checked.
            if state.accounts.get(&session.user) != Some(checked) {
                return Err(wrong_login("login_wrong"));
            }
            let mut own: Vec<(i64, &String)> = state
                .sessions
                .iter()
                .filter(|(_, held)| held.session.user == session.user)
                .map(|(digest, held)| (held.session.expires_at, digest))
                .collect();
            own.sort();
            let ended = own.iter().filter(|(end, _)| *end <= now.0).count();
            let surplus = ended.max((own.len() + 1).saturating_sub(SESSIONS_PER_USER_MAX));
            own.iter()
                .take(surplus)
                .map(|(_, digest)| (*digest).clone())
                .collect::<Vec<_>>()
        };
        for digest in &surplus {
            self.store.delete_session(digest).await?;
        }
        self.store.put_session(&session).await?;
        let mut state = self.write();
        for digest in &surplus {
            state.sessions.remove(digest);
        }
        let principal = checked.principal(Authentication::Session, &session.digest);
        let held = HeldSession {
            used: Used::new(session.used_at),
            session,
            principal,
        };
        state.sessions.insert(held.session.digest.clone(), held);
        Ok(())
    }

    /// Ends a session; gives it back if a provider vouched for it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn log_out(&self, cookie: &str) -> Result<Option<ProviderSession>, Fault> {
        if let Some(ended) = self.end_provider_session(cookie).await? {
            return Ok(Some(ended));
        }
        let _changing = self.changing.lock().await;
        let digest = digest_of(cookie);
        self.store.delete_session(&digest).await?;
        self.write().sessions.remove(&digest);
        Ok(None)
    }

    /// All users, by id.
    pub(crate) fn users(&self) -> Vec<User> {
        self.read()
            .accounts
            .values()
            .map(|account| account.user.clone())
            .collect()
    }

    /// Adds a user.
    ///
    /// # Errors
    /// A malformed user or password, a name that is taken, or a user that does not fit the schema.
    pub(crate) async fn create(&self, user: User, password: &str) -> Result<(), Fault> {
        user.check()?;
        let password_hash = self.passwords.hash(password).await?;
        let verifier = self.password_verifier(&user.user, password).await?;
        let _changing = self.changing.lock().await;
        {
            let state = self.read();
            if state.accounts.contains_key(&user.user) {
                let message = format!("there is a user `{}` already", user.user);
                return Err(Fault::new(FaultKind::Conflict, message));
            }
            if state.accounts.len() >= ACCOUNTS_MAX {
                let message = format!("there are {ACCOUNTS_MAX} users already");
                return Err(Fault::new(FaultKind::TooLarge, message));
            }
        }
        let account = Account {
            user,
            password_hash,
            verifier,
        };
        let user = account.user.user.clone();
        let change = entities::change(&account);
        self.store.put_account(&account, true).await?;
        // The name is reserved before the entity appears, so that no token's user of the same name
        // is taken for it.
        self.write().accounts.insert(user.clone(), account);
        self.rise();
        if let Err(fault) = self.sink.apply(vec![change]) {
            self.forget(&user).await?;
            return Err(fault);
        }
        Ok(())
    }

    /// Takes an account out of store and memory.
    async fn forget(&self, user: &str) -> Result<(), Fault> {
        self.store.delete_account(user).await?;
        let mut state = self.write();
        state.accounts.remove(user);
        state.keys.retain(|_, held| held.key.user != user);
        state.sessions.retain(|_, held| held.session.user != user);
        self.rise();
        Ok(())
    }

    /// Replaces a user; a new password or a disabled account ends its sessions.
    ///
    /// # Errors
    /// No such user, a malformed one, or one that does not fit the schema.
    pub(crate) async fn replace(&self, user: User, password: Option<&str>) -> Result<(), Fault> {
        user.check()?;
        let new = match password {
            Some(password) => Some((
                self.passwords.hash(password).await?,
                self.password_verifier(&user.user, password).await?,
            )),
            None => None,
        };
        let _changing = self.changing.lock().await;
        let old = self.read().accounts.get(&user.user).cloned();
        let old = old.ok_or_else(|| no_user(&user.user))?;
        let ends_sessions = new.is_some() || user.disabled;
        let (password_hash, verifier) =
            new.unwrap_or_else(|| (old.password_hash.clone(), old.verifier.clone()));
        let account = Account {
            user,
            password_hash,
            verifier,
        };
        self.sink.apply(vec![entities::change(&account)])?;
        if let Err(fault) = self.store.put_account(&account, ends_sessions).await {
            self.sink.apply(vec![entities::change(&old)])?;
            return Err(fault);
        }
        self.write().replace(account, ends_sessions);
        Ok(())
    }

    /// Removes a user with its keys and sessions.
    ///
    /// # Errors
    /// No such user.
    pub(crate) async fn remove(&self, user: &str) -> Result<(), Fault> {
        let _changing = self.changing.lock().await;
        let old = self.read().accounts.get(user).cloned();
        let old = old.ok_or_else(|| no_user(user))?;
        self.sink.apply(vec![entities::removal(user)])?;
        if let Err(fault) = self.forget(user).await {
            self.sink.apply(vec![entities::change(&old)])?;
            return Err(fault);
        }
        Ok(())
    }

    /// Writes down what is pending and closes the store.
    pub(crate) async fn close(&self) {
        if let Err(fault) = self.write_use().await {
            tracing::warn!(%fault, "the last use of keys and sessions was not written down");
        }
        self.store.close().await;
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Identities for Accounts {
    async fn principal(&self, user: &str) -> Result<Principal, Fault> {
        let account = self
            .read()
            .accounts
            .get(user)
            .cloned()
            .ok_or_else(|| no_user(user))?;
        let principal = account.principal(Authentication::Internal, "");
        let mut principal = principal.map(|shared| (*shared).clone()).ok_or_else(|| {
            Fault::denied("account_disabled", format!("user `{user}` is disabled"))
        })?;
        principal.credential_id = None;
        Ok(principal)
    }
}

/// A new session's cookie, and what is kept of it.
///
/// # Errors
/// There is no randomness.
pub(crate) fn new_cookie() -> Result<(String, String), Fault> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes)
        .map_err(|_| Fault::internal("the operating system gives no randomness"))?;
    let cookie = hex::encode(bytes);
    let digest = digest_of(&cookie);
    Ok((cookie, digest))
}

/// What is kept of a cookie. It is 256 random bits, so a plain digest gives nothing away.
fn digest_of(cookie: &str) -> String {
    Hash::of(cookie).to_string()
}

fn no_user(user: &str) -> Fault {
    Fault::not_found(format!("there is no user `{user}`"))
}

/// The one answer to any wrong pair of user and password; the reason is for the record.
fn wrong_login(reason: &str) -> Fault {
    Fault::new(FaultKind::Unauthenticated, "user or password is wrong").with_reason(reason)
}

#[cfg(test)]
mod tests;
