//! Tokens of other issuers that are worth nothing any more: one by its `jti`, or all that a subject
//! was given until then.

use std::collections::BTreeMap;

use dataos_model::{
    clock::Timestamp,
    fault::{Fault, FaultKind},
};

use super::{Accounts, model};

/// Most revocations: all are held in memory, and listed in one answer.
const REVOCATIONS_MAX: usize = 10_000;

/// What is revoked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Revoked {
    /// The token of this `jti`.
    Token(String),
    /// Each token of this `sub` that was issued until the revocation.
    Subject(String),
}

/// A revocation. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revocation {
    pub(crate) issuer: String,
    pub(crate) revoked: Revoked,
    pub(crate) revoked_at: i64,
    /// When it is forgotten: no token may live that long.
    pub(crate) expires_at: i64,
}

/// All revocations.
#[derive(Debug, Default)]
pub(crate) struct Revocations(BTreeMap<(String, Revoked), Revocation>);

impl Revocations {
    pub(super) fn insert(&mut self, revocation: Revocation) {
        let key = (revocation.issuer.clone(), revocation.revoked.clone());
        self.0.insert(key, revocation);
    }

    /// Whether the token of this `jti` is revoked.
    pub(crate) fn has_token(&self, issuer: &str, id: &str) -> bool {
        self.get(issuer, Revoked::Token(id.to_owned())).is_some()
    }

    /// Whether a token of this `sub` is revoked that was issued then; one that does not say when is.
    pub(crate) fn has_subject(&self, issuer: &str, subject: &str, issued_s: Option<i64>) -> bool {
        let found = self.get(issuer, Revoked::Subject(subject.to_owned()));
        found.is_some_and(|found| {
            issued_s.is_none_or(|issued_s| issued_s <= found.revoked_at / 1000)
        })
    }

    fn get(&self, issuer: &str, revoked: Revoked) -> Option<&Revocation> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&(issuer.to_owned(), revoked))
    }

    fn forget_ended(&mut self, now: Timestamp) {
        self.0.retain(|_, found| found.expires_at > now.0);
    }
}

impl Accounts {
    /// Looks at revocations under the lock of everything else; hold it shortly.
    pub(crate) fn with_revocations<T>(&self, look: impl FnOnce(&Revocations) -> T) -> T {
        look(&self.read().revocations)
    }

    /// All revocations, by issuer.
    pub(crate) fn revocations(&self) -> Vec<Revocation> {
        self.with_revocations(|all| all.0.values().cloned().collect())
    }

    /// Revokes from now on; verified tokens are looked at again at once.
    ///
    /// # Errors
    /// A malformed name, too many revocations, or the store cannot be written.
    pub(crate) async fn revoke(
        &self,
        issuer: &str,
        revoked: Revoked,
        life_ms: i64,
        now: Timestamp,
    ) -> Result<Revocation, Fault> {
        match &revoked {
            Revoked::Token(id) => model::check_label("jti", id)?,
            Revoked::Subject(subject) => model::check_label("subject", subject)?,
        }
        let _changing = self.changing.lock().await;
        self.store.forget_revocations(now.0).await?;
        self.write().revocations.forget_ended(now);
        if self.read().revocations.0.len() >= REVOCATIONS_MAX {
            let message = format!("there are {REVOCATIONS_MAX} revocations already");
            return Err(Fault::new(FaultKind::TooLarge, message)
                .with_hint("remove the key at the issuer instead, which ends all its tokens"));
        }
        let revocation = Revocation {
            issuer: issuer.to_owned(),
            revoked,
            revoked_at: now.0,
            expires_at: now.0.saturating_add(life_ms),
        };
        self.store.put_revocation(&revocation).await?;
        self.write().revocations.insert(revocation.clone());
        self.rise();
        // Also where the revocation itself is soon forgotten.
        self.end_revoked(issuer, &revocation.revoked).await?;
        Ok(revocation)
    }
}
