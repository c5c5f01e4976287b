//! Out again: at the provider too when a person leaves here, and here when a person left there (`OpenID`
//! Connect RP-Initiated Logout 1.0, Back-Channel Logout 1.0).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dataos_model::{clock::Timestamp, hash::Hash};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    KeptTokens, Provider, Providers,
    exchange::with_query,
    flow::PASSAGE_S_MAX,
    refusals::{
        LEAVING_MISSING, LEAVING_STATE, LEAVING_WRONG, LOGOUT_EVENT, LOGOUT_ID, LOGOUT_NONCE,
        LOGOUT_OLD, LOGOUT_REUSED, LOGOUT_SUBJECT, LOGOUT_TOKEN_MISSING, LogInFault,
    },
};
use crate::{
    accounts::{Of, ProviderSession},
    authenticate::{jws::Claims, seal::random},
    limits::Query,
};

/// What the cookie of a log-out is sealed for.
const PLACE: &str = "log-out";
/// Longest value of a cookie that all browsers keep, with room for its name.
const COOKIE_BYTES_MAX: usize = 3800;
/// Types in the header of a logout token.
const LOGOUT_TOKEN_TYPES: &[&str] = &["logout+jwt", "jwt"];
/// What a logout token says has happened.
const LOGOUT_EVENT_NAME: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Age at which a logout token is too old, and so need not be remembered any more.
const LOGOUT_TOKEN_S_MAX: i64 = 600;

/// What a log-out needs to know while the browser passes by.
#[derive(Debug, Serialize, Deserialize)]
struct Leaving {
    provider: String,
    state: String,
    /// Tells the provider whose session it is; left out where no cookie holds it.
    id_token: Option<String>,
    left_s: i64,
}

/// Sessions that ended because their person left the provider.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) issuer: String,
    /// Whose they were.
    pub(crate) users: Vec<String>,
}

impl Providers {
    /// Name of the provider of a session that ended and the cookie with which a browser may leave that as
    /// well, if it has a place for that.
    pub(crate) async fn leaving(
        &self,
        session: &ProviderSession,
        now: Timestamp,
    ) -> Option<(&str, String)> {
        let mut list = self.list.iter();
        let provider = list.find(|provider| provider.issuer.config.issuer == session.issuer)?;
        // Here the person is out already; a provider that is away changes nothing of that.
        let description = provider.described(now).await.ok()?;
        description.end_session.as_ref()?;
        let mut leaving = Leaving {
            provider: provider.login.name.clone(),
            state: URL_SAFE_NO_PAD.encode(random::<32>().ok()?),
            id_token: self.kept(session).map(|kept| kept.id_token),
            left_s: now.0 / 1000,
        };
        let mut cookie = self.flows.seal(PLACE, &leaving).ok()?;
        if cookie.len() > COOKIE_BYTES_MAX {
            leaving.id_token = None;
            cookie = self.flows.seal(PLACE, &leaving).ok()?;
        }
        Some((&provider.login.name, cookie))
    }

    /// Where the browser of that cookie leaves the provider.
    pub(crate) async fn leave(
        &self,
        name: &str,
        cookie: Option<&str>,
        now: Timestamp,
    ) -> Result<String, LogInFault> {
        let provider = self.named(name)?;
        let leaving = self.left_lately(name, cookie, now)?;
        let description = provider.described(now).await?;
        let place = description.end_session.as_deref().ok_or(LEAVING_WRONG)?;
        let back = provider.login.logout_url();
        let mut pairs = vec![
            ("client_id", provider.login.client_id.as_str()),
            ("post_logout_redirect_uri", back.as_str()),
            ("state", leaving.state.as_str()),
        ];
        if let Some(id_token) = &leaving.id_token {
            pairs.push(("id_token_hint", id_token));
        }
        with_query(place, &pairs)
    }

    /// Whether this is the browser that was sent to leave the provider, come back.
    pub(crate) fn left(
        &self,
        name: &str,
        state: Option<&str>,
        cookie: Option<&str>,
        now: Timestamp,
    ) -> Result<(), LogInFault> {
        self.named(name)?;
        let leaving = self.left_lately(name, cookie, now)?;
        let (ours, state) = (leaving.state.as_bytes(), state.unwrap_or_default());
        let is_same = verify_slices_are_equal(ours, state.as_bytes());
        is_same.map_err(|_| LEAVING_STATE.into())
    }

    fn left_lately(
        &self,
        name: &str,
        cookie: Option<&str>,
        now: Timestamp,
    ) -> Result<Leaving, LogInFault> {
        let cookie = cookie.filter(|value| !value.is_empty());
        let leaving: Option<Leaving> = self.flows.open(PLACE, cookie.ok_or(LEAVING_MISSING)?);
        let is_fresh =
            |leaving: &Leaving| (0..PASSAGE_S_MAX).contains(&(now.0 / 1000 - leaving.left_s));
        let leaving = leaving.filter(|leaving| leaving.provider == name && is_fresh(leaving));
        leaving.ok_or_else(|| LEAVING_WRONG.into())
    }

    /// Ends the sessions that a logout token names.
    pub(crate) async fn end_by_token(
        &self,
        name: &str,
        form: &[u8],
        now: Timestamp,
    ) -> Result<Ended, LogInFault> {
        let provider = self.named(name)?;
        let form = std::str::from_utf8(form).ok();
        let form = form.and_then(|text| Query::parse(text).ok());
        let form = form.ok_or(LOGOUT_TOKEN_MISSING)?;
        let token = form.get("logout_token").ok_or(LOGOUT_TOKEN_MISSING)?;
        let (claims, issued_s) = provider.logout_token(token, now).await?;
        let which = match (claims.text("sid"), claims.text("sub")) {
            (Some(sid), subject) => Of::Sid(sid, subject),
            (None, Some(subject)) => Of::Subject(subject),
            (None, None) => return Err(LOGOUT_SUBJECT.into()),
        };
        let id = claims.text("jti").filter(|id| !id.is_empty());
        let id = id.ok_or(LOGOUT_ID)?;
        let issuer = &provider.issuer.config.issuer;
        let skew = provider.issuer.config.skew.as_secs();
        let until_s = issued_s + LOGOUT_TOKEN_S_MAX + i64::try_from(skew).unwrap_or(0);
        let used = Hash::of_parts([issuer.as_bytes(), id.as_bytes()]);
        if !self.flows.is_first(used, now.0 / 1000, until_s)? {
            return Err(LOGOUT_REUSED.into());
        }
        let ended = self.accounts.end_provider_sessions(issuer, which, now);
        let users = ended.await?;
        Ok(Ended {
            issuer: issuer.clone(),
            users,
        })
    }

    /// What is kept of a session's tokens.
    pub(super) fn kept(&self, session: &ProviderSession) -> Option<KeptTokens> {
        let text = self.seal.open(&session.digest, &session.tokens)?;
        serde_json::from_slice(text.expose()).ok()
    }
}

impl Provider {
    /// The claims of a logout token that is for us, and when it was issued.
    async fn logout_token(&self, token: &str, now: Timestamp) -> Result<(Claims, i64), LogInFault> {
        let claims = self.verified(token, LOGOUT_TOKEN_TYPES, now).await?;
        let (config, client) = (&self.issuer.config, &self.login.client_id);
        let issued_s = claims.check_for_client(config, client, now.0 / 1000)?;
        if claims.get("nonce").is_some() {
            return Err(LOGOUT_NONCE.into());
        }
        let event = claims
            .get("events")
            .and_then(|all| all.get(LOGOUT_EVENT_NAME));
        if !event.is_some_and(Value::is_object) {
            return Err(LOGOUT_EVENT.into());
        }
        let skew_s = i64::try_from(config.skew.as_secs()).unwrap_or(0);
        if now.0 / 1000 - issued_s >= LOGOUT_TOKEN_S_MAX + skew_s {
            return Err(LOGOUT_OLD.into());
        }
        Ok((claims, issued_s))
    }
}
