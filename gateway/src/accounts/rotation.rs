//! A key replaced by another of its name and life, while the old one works on for a while.

use std::sync::Arc;

use dataos_model::{
    clock::Timestamp,
    fault::{Fault, FaultKind},
};

use super::{Accounts, Scopes, keys::Wanted, state::HeldKey};
use crate::authenticate::api_key::NewKey;

/// A key in another's place.
#[derive(Debug)]
pub(crate) struct Rotated {
    pub(crate) new: NewKey,
    pub(crate) name: String,
    pub(crate) expires_at: Option<i64>,
    pub(crate) scopes: Option<Arc<Scopes>>,
    /// When the old one ends.
    pub(crate) old_expires_at: i64,
}

impl Accounts {
    /// Makes a key in the place of an own one, which ends after `overlap_ms`, or at its own end if
    /// that comes first. The new one lives as long as the old one was to live, and has its scopes,
    /// which must be among `within`, if whoever asks is limited to those.
    ///
    /// # Errors
    /// The user has no such key, it has ended, or there are too many.
    pub(crate) async fn rotate_key(
        &self,
        user: &str,
        id: &str,
        overlap_ms: i64,
        within: Option<&Scopes>,
        now: Timestamp,
    ) -> Result<Rotated, Fault> {
        let (new, verifier) = self.fresh_key(user).await?;
        let _changing = self.changing.lock().await;
        let (old, account) = {
            let state = self.read();
            let old = state.keys.get(id).map(|held| held.key.clone());
            (old, state.accounts.get(user).cloned())
        };
        let old = old.filter(|key| key.user == user);
        let (Some(old), Some(account)) = (old, account) else {
            return Err(Fault::not_found(format!("you have no key `{id}`")));
        };
        if within.is_some_and(|within| !within.cover(old.scopes.as_deref())) {
            return Err(beyond_scopes());
        }
        if old.expires_at.is_some_and(|end| end <= now.0) {
            let message = format!("key `{id}` has expired");
            return Err(Fault::new(FaultKind::Conflict, message).with_hint("create a new one"));
        }
        let life_ms = old.expires_at.map(|end| end - old.created_at);
        let wanted = Wanted {
            name: old.name.clone(),
            expires_at: life_ms.map(|life_ms| now.0 + life_ms),
            scopes: old.scopes.clone(),
        };
        let key = self.make_key(user, &new, verifier, wanted, now)?;
        let end = now.0 + overlap_ms;
        let old_expires_at = old.expires_at.map_or(end, |own| own.min(end));
        self.store
            .replace_key(&old.id, old_expires_at, &key)
            .await?;
        let rotated = Rotated {
            new,
            name: old.name,
            expires_at: key.expires_at,
            scopes: old.scopes,
            old_expires_at,
        };
        let mut state = self.write();
        if let Some(held) = state.keys.get_mut(id) {
            held.key.expires_at = Some(old_expires_at);
        }
        state
            .keys
            .insert(key.id.clone(), HeldKey::new(key, &account));
        Ok(rotated)
    }
}

/// A key with scopes must not make one that can do more.
pub(crate) fn beyond_scopes() -> Fault {
    let message = "a key with scopes makes only keys whose scopes are among its own";
    Fault::denied("out_of_scope", message).with_hint("use a session, or a key without scopes")
}
