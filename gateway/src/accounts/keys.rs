//! API keys of local users: made, looked up, used, deleted.

use std::sync::{Arc, atomic::Ordering};

use dataos_model::{
    clock::Timestamp,
    fault::{Fault, FaultKind},
};

use super::{
    Accounts, Scopes,
    model::{self, ApiKey},
    state::{HeldKey, KeyView},
};
use crate::{
    authenticate::{
        Caller,
        api_key::{self, NewKey},
    },
    store::LastUse,
};

/// Most keys of one user.
const KEYS_PER_USER_MAX: usize = 100;
/// How much later a key's last use must be to be worth writing down.
const USE_GRANULARITY_MS: i64 = 60_000;

/// What a key is to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) expires_at: Option<i64>,
    /// What it is limited to; `None` is all that its user may do.
    pub(crate) scopes: Option<Arc<Scopes>>,
}

impl Accounts {
    /// Whom an API key stands for, and what it is limited to.
    pub(crate) fn caller_of_key(&self, text: &str, now: Timestamp) -> Result<Caller, &'static str> {
        let id = api_key::id_of(text).ok_or("api_key_malformed")?;
        let state = self.read();
        let held = state.keys.get(id).ok_or("api_key_unknown")?;
        if !self.pepper.matches(text, &held.key.digest) {
            return Err("api_key_wrong");
        }
        used(held, now)
    }

    /// The keys of a user, oldest first.
    pub(crate) fn keys(&self, user: &str) -> Vec<KeyView> {
        let state = self.read();
        let mut keys: Vec<KeyView> = state
            .keys
            .values()
            .filter(|held| held.key.user == user)
            .map(HeldKey::view)
            .collect();
        keys.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        keys
    }

    /// Makes a key for a user; its text is in the answer and nowhere else.
    ///
    /// # Errors
    /// No such local user, or too many keys.
    pub(crate) async fn create_key(
        &self,
        user: &str,
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<NewKey, Fault> {
        model::check_label("name", &wanted.name)?;
        let (new, verifier) = self.fresh_key(user).await?;
        let _changing = self.changing.lock().await;
        let account = self.read().accounts.get(user).cloned().ok_or_else(|| {
            Fault::invalid("only local users can have API keys")
                .with_hint("ask the issuer of your tokens for another token")
        })?;
        let key = self.make_key(user, &new, verifier, wanted, now)?;
        self.store.put_key(&key).await?;
        self.write()
            .keys
            .insert(key.id.clone(), HeldKey::new(key, &account));
        Ok(new)
    }

    /// A fresh key with its verifier, which takes a while: made before a change, which others wait for.
    ///
    /// # Errors
    /// There is no randomness, or too many are made at once.
    pub(super) async fn fresh_key(&self, user: &str) -> Result<(NewKey, String), Fault> {
        let new = api_key::generate()?;
        let verifier = self.verifier(user, &new.id, &new.text).await?;
        Ok((new, verifier))
    }

    /// A key that is not stored yet.
    ///
    /// # Errors
    /// The user has too many.
    pub(super) fn make_key(
        &self,
        user: &str,
        new: &NewKey,
        verifier: String,
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<ApiKey, Fault> {
        if self.keys(user).len() >= KEYS_PER_USER_MAX {
            let message = format!("there are {KEYS_PER_USER_MAX} keys already; delete one");
            return Err(Fault::new(FaultKind::TooLarge, message));
        }
        Ok(ApiKey {
            id: new.id.clone(),
            user: user.to_owned(),
            name: wanted.name,
            digest: self.pepper.digest(&new.text),
            verifier,
            created_at: now.0,
            expires_at: wanted.expires_at,
            last_used_at: 0,
            scopes: wanted.scopes,
        })
    }

    /// Deletes a key of a user.
    ///
    /// # Errors
    /// The user has no such key.
    pub(crate) async fn remove_key(&self, user: &str, id: &str) -> Result<(), Fault> {
        let _changing = self.changing.lock().await;
        let is_own = self
            .read()
            .keys
            .get(id)
            .is_some_and(|held| held.key.user == user);
        if !is_own {
            return Err(Fault::not_found(format!("you have no key `{id}`")));
        }
        self.store.delete_key(id).await?;
        self.write().keys.remove(id);
        Ok(())
    }

    /// Writes down when keys and sessions were last used, where that moved by a minute or more.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn write_use(&self) -> Result<(), Fault> {
        let used = self.unstored_use();
        if used == LastUse::default() {
            return Ok(());
        }
        self.store.touch(&used).await
    }

    fn unstored_use(&self) -> LastUse {
        let state = self.read();
        let keys = state.keys.values().filter_map(|held| {
            let last = held.last_used_at.load(Ordering::Relaxed);
            let stored = held.stored_used_at.load(Ordering::Relaxed);
            (last - stored >= USE_GRANULARITY_MS).then(|| {
                held.stored_used_at.store(last, Ordering::Relaxed);
                (held.key.id.clone(), last)
            })
        });
        let sessions = state.sessions.iter().filter_map(|(digest, held)| {
            let at = held.used.unstored(USE_GRANULARITY_MS)?;
            Some((digest.clone(), at))
        });
        let provider_sessions = state.provider_sessions.iter().filter_map(|(digest, held)| {
            let at = held.used.unstored(USE_GRANULARITY_MS)?;
            Some((digest.clone(), at))
        });
        LastUse {
            keys: keys.collect(),
            sessions: sessions.collect(),
            provider_sessions: provider_sessions.collect(),
        }
    }
}

/// Uses a key that has not expired.
pub(super) fn used(held: &HeldKey, now: Timestamp) -> Result<Caller, &'static str> {
    if held.key.expires_at.is_some_and(|end| end <= now.0) {
        return Err("api_key_expired");
    }
    held.last_used_at.store(now.0, Ordering::Relaxed);
    let principal = held.principal.clone().ok_or("account_disabled")?;
    Ok(Caller {
        principal,
        scopes: held.key.scopes.clone(),
    })
}
