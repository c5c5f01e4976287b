//! People who log in through an `OpenID` provider: the authorization code flow with PKCE (RFC 6749, 7636,
//! 9207, 9700, `OpenID` Connect Core).
//!
//! What a log-in needs to know on its way back lies sealed in a cookie of the browser that began it, so
//! nothing is kept here of those who never come back. What came out is a session like that of a local
//! account, whose principal is made of the provider's claims as that of a bearer token is.

mod description;
mod exchange;
mod flow;
mod logout;
mod refusals;
mod renew;

use std::sync::Arc;

use dataos_model::{
    clock::Timestamp,
    fault::Fault,
    principal::{Authentication, Principal},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use super::{
    identity,
    jws::{Claims, TokenFault, Unverified},
    seal::Seal,
    token::{Tokens, issuer::Issuer},
};
use crate::{
    accounts::{self, Accounts, ProviderSession, SessionLife},
    config::{IssuerConfig, LoginConfig},
    limits::Query,
};
use description::{Description, Kept};
use exchange::Granted;
pub(crate) use flow::PASSAGE_S_MAX;
use flow::{Begun, Flows};
pub(crate) use refusals::LogInFault;
use refusals::{
    ACR_WRONG, AT_HASH_WRONG, AUTH_TIME_MISSING, AUTH_TOO_OLD, C_HASH_WRONG, CODE_MISSING,
    ID_TOKEN_MISSING, ISSUER_MISSING, ISSUER_WRONG, NONCE_WRONG, PROVIDER_ERROR, PROVIDER_UNKNOWN,
};

/// Most log-ins for which providers are asked at a time; each takes at most 15 seconds.
const EXCHANGES_MAX: usize = 64;
/// Types in the header of an ID token.
const ID_TOKEN_TYPES: &[&str] = &["jwt"];

/// All providers.
#[derive(Debug)]
pub(crate) struct Providers {
    list: Vec<Provider>,
    flows: Flows,
    /// What is stored of tokens is sealed with this.
    seal: Seal,
    exchanges: Semaphore,
    accounts: Arc<Accounts>,
    life: SessionLife,
}

/// One provider.
#[derive(Debug)]
struct Provider {
    issuer: Arc<Issuer>,
    login: LoginConfig,
    /// Held over a fetch, so that there is one at a time.
    description: AsyncMutex<Kept>,
}

/// Where to send a browser, and what it must bring back.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) location: String,
    pub(crate) cookie: String,
}

/// What is kept of a provider's tokens, sealed.
#[derive(Serialize, Deserialize)]
struct KeptTokens {
    /// Tells the provider whose session it is when that ends.
    id_token: String,
    refresh_token: Option<String>,
    nonce: String,
}

impl KeptTokens {
    fn sealed(&self, seal: &Seal, digest: &str) -> Result<Vec<u8>, Fault> {
        let text = serde_json::to_vec(self)
            .map_err(|error| Fault::internal(format!("tokens cannot be encoded: {error}")))?;
        seal.seal(digest, &text)
    }
}

/// Somebody who is logged in.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    pub(crate) user: String,
    pub(crate) issuer: String,
    pub(crate) cookie: String,
    pub(crate) return_to: String,
}

impl Providers {
    /// The providers among the issuers. Sessions of before are admitted under the configuration of now.
    ///
    /// # Errors
    /// A key of the wrong length, or no randomness.
    pub(crate) fn open(
        tokens: &Tokens,
        accounts: Arc<Accounts>,
        seal: Seal,
        life: SessionLife,
    ) -> Result<Self, Fault> {
        let list: Vec<Provider> = tokens
            .issuers()
            .iter()
            .filter_map(|issuer| {
                Some(Provider {
                    login: issuer.config.login.clone()?,
                    issuer: Arc::clone(issuer),
                    description: AsyncMutex::default(),
                })
            })
            .collect();
        accounts.admit_provider_sessions(|session| {
            let mut providers = list.iter().map(|provider| &provider.issuer.config);
            let issuer = providers.find(|config| config.issuer == session.issuer)?;
            principal(issuer, &session.claims, &session.digest).ok()
        });
        Ok(Self {
            list,
            flows: Flows::new()?,
            seal,
            exchanges: Semaphore::new(EXCHANGES_MAX),
            accounts,
            life,
        })
    }

    /// Each issuer with how people log in through it.
    pub(crate) fn logins(&self) -> impl Iterator<Item = (&str, &LoginConfig)> {
        let list = self.list.iter();
        list.map(|provider| (provider.issuer.config.issuer.as_str(), &provider.login))
    }

    fn named(&self, name: &str) -> Result<&Provider, LogInFault> {
        let mut list = self.list.iter();
        let found = list.find(|provider| provider.login.name == name);
        found.ok_or_else(|| PROVIDER_UNKNOWN.into())
    }

    /// Begins a log-in that ends at a path of this server.
    pub(crate) async fn begin(
        &self,
        name: &str,
        return_to: Option<&str>,
        now: Timestamp,
    ) -> Result<Sent, LogInFault> {
        let provider = self.named(name)?;
        let begun = Begun::new(name, return_to, now)?;
        let description = provider.described(now).await?;
        Ok(Sent {
            location: provider.authorization(&description, &begun)?,
            cookie: self.flows.sealed(&begun)?,
        })
    }

    /// Ends a log-in by what the provider sent the browser back with.
    pub(crate) async fn finish(
        &self,
        name: &str,
        answer: &Query,
        cookie: Option<&str>,
        now: Timestamp,
    ) -> Result<LoggedIn, LogInFault> {
        let provider = self.named(name)?;
        let begun = self.flows.take(name, answer.get("state"), cookie, now)?;
        let description = provider.described(now).await?;
        let code = provider.code(&description, answer)?;
        let Ok(_place) = self.exchanges.try_acquire() else {
            let message = format!("{EXCHANGES_MAX} people are being logged in already");
            return Err(Fault::unavailable(message).with_reason("login_busy").into());
        };
        let grant = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", provider.login.redirect_url.as_str()),
            ("code_verifier", begun.verifier.as_str()),
        ];
        let granted = provider.tokens(&description, &grant).await?;
        let id_token = granted.id_token.as_deref().ok_or(ID_TOKEN_MISSING)?;
        let (id, issued_s) = provider.id_token(id_token, now).await?;
        let (nonce, token) = (Some(begun.nonce.as_str()), &granted.access_token);
        check_ties(&id, nonce, Some(code), token)?;
        provider.check_strength(&id, now)?;
        let subject = id.text("sub").unwrap_or_default();
        let claims = provider.claims(&description, &granted, subject, Some(&id), Map::new());
        let claims = claims.await?;
        let kept = KeptTokens {
            id_token: id_token.to_owned(),
            refresh_token: granted.refresh_token.clone(),
            nonce: begun.nonce,
        };
        let session = self.session(provider, (&id, issued_s), claims, &kept, now);
        let (cookie, mut session, principal) = session?;
        session.refresh_at = renew::refresh_at(&granted, kept.refresh_token.is_some(), now);
        let user = principal.uid.id.clone();
        let opened = self.accounts.open_provider_session(session, principal, now);
        opened.await?;
        Ok(LoggedIn {
            user,
            issuer: provider.issuer.config.issuer.clone(),
            cookie,
            return_to: begun.return_to,
        })
    }

    /// A session that is not opened yet, with its cookie and principal.
    fn session(
        &self,
        provider: &Provider,
        (id, issued_s): (&Claims, i64),
        claims: Map<String, Value>,
        kept: &KeptTokens,
        now: Timestamp,
    ) -> Result<(String, ProviderSession, Arc<Principal>), LogInFault> {
        let config = &provider.issuer.config;
        let (cookie, digest) = accounts::new_cookie()?;
        let principal = principal(config, &claims, &digest)?;
        // An outside issuer must not be able to name a local account.
        if self.accounts.is_reserved(&principal.uid.id) {
            return Err(TokenFault::NamesLocalUser.into());
        }
        let owned = |name: &str| id.text(name).map(str::to_owned);
        let session = ProviderSession {
            tokens: kept.sealed(&self.seal, &digest)?,
            digest,
            issuer: config.issuer.clone(),
            subject: owned("sub").ok_or(TokenFault::Subject)?,
            sid: owned("sid"),
            token_id: owned("jti"),
            issued_s,
            claims,
            expires_at: self.life.end(now),
            idle_ms: self.life.idle_ms(),
            used_at: now.0,
            refresh_at: None,
        };
        Ok((cookie, session, principal))
    }
}

impl Provider {
    async fn described(&self, now: Timestamp) -> Result<Arc<Description>, LogInFault> {
        let mut kept = self.description.lock().await;
        kept.get(self.fetcher()?, self.login.assume_pkce, now).await
    }

    /// Where a browser asks for a code.
    fn authorization(
        &self,
        description: &Description,
        begun: &Begun,
    ) -> Result<String, LogInFault> {
        let login = &self.login;
        let (scopes, acr) = (login.scopes.join(" "), login.acr_values.join(" "));
        let challenge = begun.challenge();
        let max_age = login.max_age.map(|age| age.as_secs().to_string());
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", login.client_id.as_str()),
            ("redirect_uri", login.redirect_url.as_str()),
            ("scope", scopes.as_str()),
            ("state", begun.state.as_str()),
            ("nonce", begun.nonce.as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        // OpenID Connect Core 11: without it, a provider need not give a refresh token.
        if login.scopes.iter().any(|scope| scope == "offline_access") {
            pairs.push(("prompt", "consent"));
        }
        if let Some(max_age) = &max_age {
            pairs.push(("max_age", max_age));
        }
        if !acr.is_empty() {
            pairs.push(("acr_values", acr.as_str()));
        }
        exchange::with_query(&description.authorization, &pairs)
    }

    /// The code of an answer, if it is this provider's. Errors say whose they are, too (RFC 9207 2.4).
    fn code<'a>(
        &self,
        description: &Description,
        answer: &'a Query,
    ) -> Result<&'a str, LogInFault> {
        match answer.get("iss") {
            Some(issuer) if issuer == self.issuer.config.issuer => {}
            Some(_) => return Err(ISSUER_WRONG.into()),
            None if description.names_itself => return Err(ISSUER_MISSING.into()),
            None => {}
        }
        if let Some(error) = answer.get("error") {
            tracing::info!(provider = %self.login.name, error = %format!("{error:.100?}"), "not logged in");
            return Err(PROVIDER_ERROR.into());
        }
        answer.get("code").ok_or_else(|| CODE_MISSING.into())
    }

    /// The claims of an ID token that is ours, and when it was issued.
    async fn id_token(&self, token: &str, now: Timestamp) -> Result<(Claims, i64), LogInFault> {
        let claims = self.verified(token, ID_TOKEN_TYPES, now).await?;
        let client = &self.login.client_id;
        let issued_s = claims.check_for_client(&self.issuer.config, client, now.0 / 1000)?;
        if claims.text("sub").is_none_or(str::is_empty) {
            return Err(TokenFault::Subject.into());
        }
        // A logout token is signed with the same keys for the same client.
        if claims.get("events").is_some() {
            return Err(TokenFault::Type.into());
        }
        Ok((claims, issued_s))
    }

    async fn verified(
        &self,
        token: &str,
        types: &[&str],
        now: Timestamp,
    ) -> Result<Claims, LogInFault> {
        let unverified = Unverified::parse(token)?;
        let keys = self.issuer.keys_for(unverified.kid(), now).await;
        let keys = keys.ok_or_else(|| LogInFault::Away("its keys cannot be had".to_owned()))?;
        Ok(unverified.verify_as(types, &self.issuer.config, &keys)?)
    }

    /// Whether the provider asked as lately and as strictly as is wanted.
    fn check_strength(&self, id: &Claims, now: Timestamp) -> Result<(), LogInFault> {
        if let Some(max_age) = self.login.max_age {
            let asked_s = id.time("auth_time")?.ok_or(AUTH_TIME_MISSING)?;
            let allowed = max_age.saturating_add(self.issuer.config.skew).as_secs();
            let allowed_s = i64::try_from(allowed).unwrap_or(i64::MAX);
            if now.0 / 1000 - asked_s > allowed_s {
                return Err(AUTH_TOO_OLD.into());
            }
        }
        let wanted = &self.login.acr_values;
        let is_strict = |acr: &str| wanted.iter().any(|one| one == acr);
        if !wanted.is_empty() && !id.text("acr").is_some_and(is_strict) {
            return Err(ACR_WRONG.into());
        }
        Ok(())
    }

    /// What the principal is made of: claims of the ID token, or where that is left out those of before;
    /// then those that only `UserInfo` has.
    async fn claims(
        &self,
        description: &Description,
        granted: &Granted,
        subject: &str,
        id: Option<&Claims>,
        before: Map<String, Value>,
    ) -> Result<Map<String, Value>, LogInFault> {
        let names = &self.issuer.config.claims;
        let own = id.map(|id| identity::mapped(names, id.map()));
        let mut claims = own.clone().unwrap_or(before);
        if self.login.userinfo {
            let token = &granted.access_token;
            let told = self.userinfo(description, token, subject).await?;
            let own = own.unwrap_or_default();
            let more = identity::mapped(names, &told).into_iter();
            claims.extend(more.filter(|(name, _)| !own.contains_key(name)));
        }
        Ok(claims)
    }
}

/// An ID token is tied to the log-in, the code and the access token that it came with.
fn check_ties(
    id: &Claims,
    nonce: Option<&str>,
    code: Option<&str>,
    access_token: &str,
) -> Result<(), LogInFault> {
    if id.text("nonce") != nonce {
        return Err(NONCE_WRONG.into());
    }
    for (claim, text, refusal) in [
        ("c_hash", code, C_HASH_WRONG),
        ("at_hash", Some(access_token), AT_HASH_WRONG),
    ] {
        if id.get(claim).is_some() && !text.is_some_and(|text| id.ties(claim, text)) {
            return Err(refusal.into());
        }
    }
    Ok(())
}

/// The principal of a session; the start of its digest tells sessions apart in the log.
fn principal(
    issuer: &IssuerConfig,
    claims: &Map<String, Value>,
    digest: &str,
) -> Result<Arc<Principal>, TokenFault> {
    let mut principal = identity::principal_of(issuer, claims, Authentication::Session)?;
    principal.credential_id = Some(digest.chars().take(16).collect());
    Ok(Arc::new(principal))
}

#[cfg(test)]
mod tests;
