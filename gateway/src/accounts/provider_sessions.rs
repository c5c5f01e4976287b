//! Sessions of people whom a provider vouches for. They have no account: their principal is made of
//! what the provider said, under the configuration in force.

use std::sync::Arc;

use dataos_model::{
    clock::Timestamp,
    fault::{Fault, FaultKind},
    principal::Principal,
};
use serde_json::{Map, Value};
use tokio::sync::Mutex as AsyncMutex;

use super::{Accounts, Revoked, SESSIONS_PER_USER_MAX, state::HeldProviderSession};

/// Most sessions of all providers; at about 2 kB each this is 200 MB.
const SESSIONS_MAX: usize = 100_000;

/// Least time between two tries to renew a session whose provider does not answer.
const RETRY_MS: i64 = 10_000;
/// How long a session is believed whose provider does not answer: as long as its keys.
const UNCONFIRMED_MS_MAX: i64 = 3_600_000;

/// A session as stored. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProviderSession {
    pub(crate) digest: String,
    pub(crate) issuer: String,
    /// `sub` of the ID token.
    pub(crate) subject: String,
    /// `sid` of the ID token: the session at the provider.
    pub(crate) sid: Option<String>,
    /// `jti` of the ID token.
    pub(crate) token_id: Option<String>,
    /// `iat` of the ID token of the log-in, seconds: a revocation of the subject ends what is older.
    pub(crate) issued_s: i64,
    /// What the principal is made of.
    pub(crate) claims: Map<String, Value>,
    /// What the provider is shown later, sealed.
    pub(crate) tokens: Vec<u8>,
    pub(crate) expires_at: i64,
    pub(crate) idle_ms: i64,
    pub(crate) used_at: i64,
    /// When the provider is asked whether it still vouches for it, if it can be.
    pub(crate) refresh_at: Option<i64>,
}

/// Log-outs at a provider that are remembered, and for how long: longer than a log-in is on its way.
const ENDED_MAX: usize = 10_000;
const ENDED_S: i64 = 600;

/// A log-out at a provider. A log-in that was on its way meanwhile must not outlive it.
#[derive(Debug)]
pub(super) struct EndedLately {
    issuer: String,
    sid: Option<String>,
    subject: Option<String>,
    at_s: i64,
}

impl EndedLately {
    fn has(&self, session: &ProviderSession) -> bool {
        let is_subject = |subject: &String| *subject == session.subject;
        self.issuer == session.issuer
            && self.subject.as_ref().is_none_or(is_subject)
            && match &self.sid {
                Some(_) => self.sid == session.sid,
                None => session.issued_s <= self.at_s,
            }
    }
}

/// Which sessions of an issuer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of<'a> {
    Subject(&'a str),
    /// A session at the provider, and whose it must be if that is said.
    Sid(&'a str, Option<&'a str>),
    /// That of the ID token of this `jti`.
    Token(&'a str),
}

impl Of<'_> {
    fn has(self, session: &ProviderSession) -> bool {
        match self {
            Self::Subject(subject) => session.subject == subject,
            Self::Sid(sid, subject) => {
                session.sid.as_deref() == Some(sid)
                    && subject.is_none_or(|subject| session.subject == subject)
            }
            Self::Token(id) => session.token_id.as_deref() == Some(id),
        }
    }
}

impl Accounts {
    /// Says whose the loaded sessions are; those of nobody are worth nothing.
    pub(crate) fn admit_provider_sessions(
        &self,
        principal: impl Fn(&ProviderSession) -> Option<Arc<Principal>>,
    ) {
        for held in self.write().provider_sessions.values_mut() {
            held.principal = principal(&held.session);
        }
    }

    /// Opens a session.
    ///
    /// # Errors
    /// The subject or token is revoked, there are too many sessions, or the store cannot be written.
    pub(crate) async fn open_provider_session(
        &self,
        session: ProviderSession,
        principal: Arc<Principal>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let _changing = self.changing.lock().await;
        self.check_not_revoked(&session)?;
        self.check_not_ended(&session)?;
        for digest in self.surplus(&session, now)? {
            self.forget_provider_session(&digest).await?;
        }
        self.store.put_provider_session(&session).await?;
        let held = HeldProviderSession::new(session, Some(principal));
        let digest = held.session.digest.clone();
        self.write().provider_sessions.insert(digest, held);
        Ok(())
    }

    /// A revocation may have come while the provider was asked.
    fn check_not_revoked(&self, session: &ProviderSession) -> Result<(), Fault> {
        let refused = |reason: &str| {
            Fault::invalid("the provider's token was revoked here").with_reason(reason)
        };
        self.with_revocations(|revocations| {
            let issuer = &session.issuer;
            let token_id = session.token_id.as_deref();
            if token_id.is_some_and(|id| revocations.has_token(issuer, id)) {
                return Err(refused("token_revoked"));
            }
            if revocations.has_subject(issuer, &session.subject, Some(session.issued_s)) {
                return Err(refused("token_subject_revoked"));
            }
            Ok(())
        })
    }

    /// So may a log-out at the provider.
    fn check_not_ended(&self, session: &ProviderSession) -> Result<(), Fault> {
        let has_ended = self
            .read()
            .ended_lately
            .iter()
            .any(|ended| ended.has(session));
        if has_ended {
            let fault = Fault::invalid("you were logged out at the provider meanwhile");
            return Err(fault.with_reason("login_ended_meanwhile"));
        }
        Ok(())
    }

    /// Sessions of the same subject that must go first: what ended, and the oldest beyond the limit.
    fn surplus(&self, new: &ProviderSession, now: Timestamp) -> Result<Vec<String>, Fault> {
        let state = self.read();
        let all = state.provider_sessions.values().map(|held| &held.session);
        let mut own: Vec<&ProviderSession> = all
            .filter(|session| session.issuer == new.issuer && session.subject == new.subject)
            .collect();
        own.sort_by_key(|session| session.expires_at);
        let ended = own.iter().filter(|s| s.expires_at <= now.0).count();
        let surplus = ended.max((own.len() + 1).saturating_sub(SESSIONS_PER_USER_MAX));
        if state.provider_sessions.len() >= SESSIONS_MAX + surplus {
            let message = format!("there are {SESSIONS_MAX} sessions already");
            return Err(Fault::new(FaultKind::TooLarge, message));
        }
        let gone = own.iter().take(surplus);
        Ok(gone.map(|session| session.digest.clone()).collect())
    }

    /// Takes a session out of store and memory; held over it is `changing`.
    pub(super) async fn forget_provider_session(&self, digest: &str) -> Result<(), Fault> {
        // Out of memory first: a session that must end does so though the store fails.
        self.write().provider_sessions.remove(digest);
        self.store.delete_provider_session(digest).await
    }

    /// Ends sessions of an issuer, also those that are on their way; says whose they were.
    ///
    /// # Errors
    /// The store cannot be written. Until the next start they have ended all the same.
    pub(crate) async fn end_provider_sessions(
        &self,
        issuer: &str,
        which: Of<'_>,
        now: Timestamp,
    ) -> Result<Vec<String>, Fault> {
        let _changing = self.changing.lock().await;
        self.remember_end(issuer, which, now.0 / 1000);
        self.end_under_lock(issuer, which).await
    }

    fn remember_end(&self, issuer: &str, which: Of<'_>, at_s: i64) {
        let (sid, subject) = match which {
            Of::Sid(sid, subject) => (Some(sid), subject),
            Of::Subject(subject) => (None, Some(subject)),
            Of::Token(_) => return,
        };
        let mut state = self.write();
        let ended = &mut state.ended_lately;
        let is_old = |oldest: &EndedLately| oldest.at_s + ENDED_S <= at_s;
        while ended.len() >= ENDED_MAX || ended.front().is_some_and(is_old) {
            ended.pop_front();
        }
        ended.push_back(EndedLately {
            issuer: issuer.to_owned(),
            sid: sid.map(str::to_owned),
            subject: subject.map(str::to_owned),
            at_s,
        });
    }

    pub(super) async fn end_revoked(&self, issuer: &str, revoked: &Revoked) -> Result<(), Fault> {
        let which = match revoked {
            Revoked::Token(id) => Of::Token(id),
            Revoked::Subject(subject) => Of::Subject(subject),
        };
        self.end_under_lock(issuer, which).await.map(drop)
    }

    async fn end_under_lock(&self, issuer: &str, which: Of<'_>) -> Result<Vec<String>, Fault> {
        let mut ended = Vec::new();
        self.write().provider_sessions.retain(|digest, held| {
            let ends = held.session.issuer == issuer && which.has(&held.session);
            if ends {
                let user = held
                    .principal
                    .as_ref()
                    .map(|principal| principal.uid.id.clone());
                ended.push((digest.clone(), user.unwrap_or_default()));
            }
            !ends
        });
        for (digest, _) in &ended {
            self.store.delete_provider_session(digest).await?;
        }
        Ok(ended.into_iter().map(|(_, user)| user).collect())
    }

    /// Ends one session.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn end_session_of(&self, digest: &str) -> Result<(), Fault> {
        let _changing = self.changing.lock().await;
        self.forget_provider_session(digest).await
    }

    /// The session of a cookie whose provider is to be asked about it, with what lets one ask at a time.
    pub(crate) fn due_renewal(
        &self,
        cookie: &str,
        now: Timestamp,
    ) -> Option<(String, Arc<AsyncMutex<()>>)> {
        let digest = super::digest_of(cookie);
        let state = self.read();
        let held = state.provider_sessions.get(&digest)?;
        let is_due = held.session.refresh_at.is_some_and(|at| at <= now.0);
        is_due.then(|| (digest, Arc::clone(&held.renewing)))
    }

    /// The session, if its provider is still to be asked about it.
    pub(crate) fn due_session(&self, digest: &str, now: Timestamp) -> Option<ProviderSession> {
        let state = self.read();
        let session = &state.provider_sessions.get(digest)?.session;
        let is_due = session.refresh_at.is_some_and(|at| at <= now.0);
        is_due.then(|| session.clone())
    }

    /// Puts off asking a provider that does not answer; false if it did not for too long.
    pub(crate) fn postpone(&self, digest: &str, now: Timestamp) -> bool {
        let mut state = self.write();
        let Some(held) = state.provider_sessions.get_mut(digest) else {
            return false;
        };
        let failing_since = *held.failing_since.get_or_insert(now.0);
        held.session.refresh_at = Some(now.0.saturating_add(RETRY_MS));
        now.0 - failing_since < UNCONFIRMED_MS_MAX
    }

    /// Puts what a provider says now into a session's place, unless it ended meanwhile.
    ///
    /// # Errors
    /// It was revoked meanwhile, or the store cannot be written.
    pub(crate) async fn replace_provider_session(
        &self,
        newer: ProviderSession,
        principal: Arc<Principal>,
    ) -> Result<(), Fault> {
        let _changing = self.changing.lock().await;
        self.check_not_revoked(&newer)?;
        let digest = newer.digest.clone();
        if !self.read().provider_sessions.contains_key(&digest) {
            return Ok(());
        }
        self.store.put_provider_session(&newer).await?;
        if let Some(held) = self.write().provider_sessions.get_mut(&digest) {
            held.session = newer;
            held.principal = Some(principal);
            held.failing_since = None;
        }
        Ok(())
    }

    /// Ends the session of a cookie and gives it back, if a provider vouched for it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn end_provider_session(
        &self,
        cookie: &str,
    ) -> Result<Option<ProviderSession>, Fault> {
        let _changing = self.changing.lock().await;
        let digest = super::digest_of(cookie);
        let held = self.write().provider_sessions.remove(&digest);
        let Some(held) = held else {
            return Ok(None);
        };
        self.store.delete_provider_session(&digest).await?;
        Ok(Some(held.session))
    }
}
