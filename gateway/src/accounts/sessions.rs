//! Who is logged in, and out at once, for those who manage identities.

use dataos_model::{clock::Timestamp, fault::Fault};

use super::{Accounts, state::Used};

/// Characters of a digest that name its session: those that records have as the credential.
const ID_CHARACTERS: usize = 16;

/// An open session. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionView {
    pub(crate) id: String,
    pub(crate) user: String,
    /// Who vouches: `local` or a provider.
    pub(crate) issuer: String,
    pub(crate) used_at: i64,
    pub(crate) expires_at: i64,
}

impl Accounts {
    /// Open sessions, those used last first, at most so many.
    pub(crate) fn sessions(&self, now: Timestamp, max: usize) -> Vec<SessionView> {
        let state = self.read();
        let local = state.sessions.values().map(|held| {
            let (session, ends) = (
                &held.session,
                (held.session.expires_at, held.session.idle_ms),
            );
            (&session.digest, &held.principal, ends, &held.used)
        });
        let provided = state.provider_sessions.values().map(|held| {
            let (session, ends) = (
                &held.session,
                (held.session.expires_at, held.session.idle_ms),
            );
            (&session.digest, &held.principal, ends, &held.used)
        });
        let is_open = |ends, used: &Used| used.check(ends, now).is_ok();
        let mut open: Vec<SessionView> = local
            .chain(provided)
            .filter(|(_, _, ends, used)| is_open(*ends, used))
            .filter_map(|(digest, principal, (expires_at, _), used)| {
                let principal = principal.as_ref()?;
                Some(SessionView {
                    id: id_of(digest).to_owned(),
                    user: principal.uid.id.clone(),
                    issuer: principal.issuer.clone(),
                    used_at: used.at(),
                    expires_at,
                })
            })
            .collect();
        open.sort_by(|a, b| (b.used_at, &a.id).cmp(&(a.used_at, &b.id)));
        open.truncate(max);
        open
    }

    /// Ends a session.
    ///
    /// # Errors
    /// No such session, or the store cannot be written.
    pub(crate) async fn end_session(&self, id: &str) -> Result<(), Fault> {
        let _changing = self.changing.lock().await;
        let (local, provided) = {
            let state = self.read();
            let found = |digest: &&String| id_of(digest) == id;
            (
                state.sessions.keys().find(found).cloned(),
                state.provider_sessions.keys().find(found).cloned(),
            )
        };
        match (local, provided) {
            (Some(digest), _) => {
                self.write().sessions.remove(&digest);
                self.store.delete_session(&digest).await
            }
            (None, Some(digest)) => self.forget_provider_session(&digest).await,
            (None, None) => Err(Fault::not_found(format!("there is no session `{id:.64}`"))),
        }
    }
}

fn id_of(digest: &str) -> &str {
    digest.get(..ID_CHARACTERS).unwrap_or(digest)
}
