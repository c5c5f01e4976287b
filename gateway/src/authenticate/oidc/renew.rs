//! Sessions whose provider gave a refresh token are confirmed by it from time to time: one refresh of a
//! session at a time, and its token replaced by each.

use std::sync::Arc;

use dataos_model::{clock::Timestamp, principal::Principal};
use tokio::sync::Mutex as AsyncMutex;

use super::{
    KeptTokens, Providers, check_ties,
    exchange::Granted,
    principal,
    refusals::{LogInFault, REFRESH_MISSING, SUBJECT_OTHER},
};
use crate::{accounts::ProviderSession, authenticate::AuthenticationFault};

/// The reason where a provider no longer vouches for a session.
const ENDED: &str = "session_ended_by_provider";
/// Shortest and usual time until a provider is asked again.
const REFRESH_S_MIN: i64 = 10;
const REFRESH_S_DEFAULT: i64 = 300;

/// When the provider is asked again, if it can be.
pub(super) fn refresh_at(granted: &Granted, can_refresh: bool, now: Timestamp) -> Option<i64> {
    let lives_s = granted.lives_s.unwrap_or(REFRESH_S_DEFAULT);
    can_refresh.then(|| {
        now.0
            .saturating_add(lives_s.max(REFRESH_S_MIN).saturating_mul(1000))
    })
}

impl Providers {
    /// Asks the provider of a session that is due whether it still is one. All who use the session
    /// meanwhile wait for the one answer.
    pub(crate) async fn renew(
        self: &Arc<Self>,
        (digest, gate): (String, Arc<AsyncMutex<()>>),
        now: Timestamp,
    ) -> Result<(), AuthenticationFault> {
        let providers = Arc::clone(self);
        // Whoever asks may go away: a refresh token that was used must be replaced all the same.
        let task = tokio::spawn(async move {
            let _one = gate.lock_owned().await;
            providers.renewed(&digest, now).await
        });
        let ended = AuthenticationFault::Unavailable("session_not_renewed");
        task.await.unwrap_or(Err(ended))
    }

    async fn renewed(&self, digest: &str, now: Timestamp) -> Result<(), AuthenticationFault> {
        let Some(session) = self.accounts.due_session(digest, now) else {
            return Ok(());
        };
        let failed = match self.newer(&session, now).await {
            Ok((newer, principal)) => {
                let replaced = self.accounts.replace_provider_session(newer, principal);
                return replaced.await.map_err(|fault| {
                    tracing::error!(%fault, "a renewed session was not written down");
                    AuthenticationFault::Unavailable("session_not_renewed")
                });
            }
            Err(failed) => failed,
        };
        let is_away = matches!(&failed, LogInFault::Away(_) | LogInFault::Ours(_));
        let fault = failed.shown();
        if is_away && self.accounts.postpone(digest, now) {
            return Ok(());
        }
        tracing::info!(issuer = %session.issuer, reason = %fault.reason, "a session is not renewed");
        if let Err(fault) = self.accounts.end_session_of(digest).await {
            tracing::error!(%fault, "an ended session was not deleted");
        }
        Err(AuthenticationFault::Invalid(ENDED))
    }

    /// The session with what its provider says now.
    async fn newer(
        &self,
        session: &ProviderSession,
        now: Timestamp,
    ) -> Result<(ProviderSession, Arc<Principal>), LogInFault> {
        let mut list = self.list.iter();
        let provider = list.find(|provider| provider.issuer.config.issuer == session.issuer);
        let provider = provider.ok_or(REFRESH_MISSING)?;
        let kept = self.kept(session).ok_or(REFRESH_MISSING)?;
        let refresh_token = kept.refresh_token.as_deref().ok_or(REFRESH_MISSING)?;
        let description = provider.described(now).await?;
        let grant = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ];
        let granted = provider.tokens(&description, &grant).await?;
        let id = match &granted.id_token {
            Some(token) => Some(provider.id_token(token, now).await?.0),
            None => None,
        };
        if let Some(id) = &id {
            if id.text("sub") != Some(&session.subject) {
                return Err(SUBJECT_OTHER.into());
            }
            let nonce = id.get("nonce").map(|_| kept.nonce.as_str());
            check_ties(id, nonce, None, &granted.access_token)?;
        }
        let subject = &session.subject;
        let old = session.claims.clone();
        let claims = provider.claims(&description, &granted, subject, id.as_ref(), old);
        let claims = claims.await?;
        let principal = principal(&provider.issuer.config, &claims, &session.digest)?;
        let token_id = id.as_ref().and_then(|id| id.text("jti").map(str::to_owned));
        let kept = KeptTokens {
            id_token: granted.id_token.clone().unwrap_or(kept.id_token),
            // A provider that gives no new one goes on taking the old one (RFC 6749 6).
            refresh_token: granted.refresh_token.clone().or(kept.refresh_token),
            nonce: kept.nonce,
        };
        let newer = ProviderSession {
            claims,
            token_id: token_id.or_else(|| session.token_id.clone()),
            tokens: kept.sealed(&self.seal, &session.digest)?,
            refresh_at: refresh_at(&granted, true, now),
            ..session.clone()
        };
        Ok((newer, principal))
    }
}
