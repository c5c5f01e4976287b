//! One credential in, one [`Principal`] out. Nothing behind this looks at a credential.
//!
//! An `Authorization` header decides alone: if it is there and not valid, the call is refused and
//! nothing else is tried; then a session cookie, then a client certificate. A call without any
//! credential is `anonymous`.

pub(crate) mod api_key;
pub(crate) mod certificate;
mod identity;
pub(crate) mod jwks;
pub(crate) mod jws;
pub(crate) mod oidc;
pub(crate) mod scram;
pub(crate) mod seal;
pub(crate) mod token;

use std::sync::Arc;

use dataos_model::{
    clock::{Clock, Timestamp},
    principal::Principal,
};

use crate::{
    accounts::{Accounts, Scopes},
    limits::{Head, Peer, Verb},
};
use certificate::PeerCertificate;
use jws::TokenFault;
use oidc::Providers;
use token::Tokens;

/// Who calls, and what the credential is limited to.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) principal: Arc<Principal>,
    /// Of an API key that has any.
    pub(crate) scopes: Option<Arc<Scopes>>,
}

impl From<Arc<Principal>> for Caller {
    fn from(principal: Arc<Principal>) -> Self {
        Self {
            principal,
            scopes: None,
        }
    }
}

/// Why no principal came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthenticationFault {
    /// The credential is not valid; the code is for the record, not for the caller.
    Invalid(&'static str),
    /// The keys of the issuer cannot be had.
    Unavailable(&'static str),
    /// A session cookie on an unsafe method without the header that a cross-site form cannot send.
    Csrf,
    /// The same, sent by a page of another site as the browser says.
    Elsewhere,
    /// The route takes a client certificate and nothing else.
    NoCertificate,
}

impl From<TokenFault> for AuthenticationFault {
    fn from(fault: TokenFault) -> Self {
        Self::Invalid(fault.code())
    }
}

impl AuthenticationFault {
    /// The reason code in the record.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Invalid(code) | Self::Unavailable(code) => code,
            Self::Csrf => "csrf_header_missing",
            Self::Elsewhere => "csrf_site_other",
            Self::NoCertificate => "certificate_missing",
        }
    }
}

/// Finds the principal behind a session cookie.
type LookAtSession = fn(&Accounts, &str, Timestamp) -> Result<Arc<Principal>, &'static str>;

/// Turns credentials into principals.
#[derive(Debug)]
pub(crate) struct Authenticator {
    accounts: Arc<Accounts>,
    tokens: Tokens,
    providers: Arc<Providers>,
    /// The trust domain of client certificates.
    trust_domain: String,
    clock: Arc<dyn Clock>,
}

impl Authenticator {
    pub(crate) fn new(
        accounts: Arc<Accounts>,
        tokens: Tokens,
        providers: Arc<Providers>,
        trust_domain: String,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            accounts,
            tokens,
            providers,
            trust_domain,
            clock,
        }
    }

    /// For each issuer: its name, whether its keys are fresh, and a word about them.
    pub(crate) fn issuer_health(&self, now: Timestamp) -> Vec<(String, bool, String)> {
        self.tokens.health(now)
    }

    /// Whether tokens of this issuer are taken.
    pub(crate) fn knows_issuer(&self, issuer: &str) -> bool {
        self.tokens.knows(issuer)
    }

    /// Who sent this request.
    pub(crate) async fn authenticate(
        &self,
        head: &Head,
        peer: &Peer,
    ) -> Result<Caller, AuthenticationFault> {
        self.caller(head, peer, Accounts::principal_of_session)
            .await
    }

    /// Whether who sent this request may still be answered, asked while its answer goes on.
    pub(crate) async fn still(
        &self,
        head: &Head,
        peer: &Peer,
    ) -> Result<Caller, AuthenticationFault> {
        let watched = Accounts::principal_of_watched_session;
        self.caller(head, peer, watched).await
    }

    async fn caller(
        &self,
        head: &Head,
        peer: &Peer,
        look: LookAtSession,
    ) -> Result<Caller, AuthenticationFault> {
        let certificate = peer.certificate.as_deref();
        if let Some(authorization) = &head.authorization {
            let credential = bearer(authorization)
                .ok_or(AuthenticationFault::Invalid("authorization_scheme"))?;
            return self.bearer(credential, certificate).await;
        }
        if let Some(cookie) = &head.session_cookie {
            if head.verb != Verb::Get {
                check_own_page(head)?;
            }
            return self.session(cookie, look).await;
        }
        if let Some(certificate) = certificate {
            if head.may_be_a_form() {
                check_own_page(head)?;
            }
            return certificate
                .principal(&self.trust_domain, self.clock.now())
                .map(Caller::from)
                .map_err(AuthenticationFault::Invalid);
        }
        Ok(Arc::new(Principal::anonymous()).into())
    }

    /// Whose session this is, once its provider was asked again where that is due.
    async fn session(
        &self,
        cookie: &str,
        look: LookAtSession,
    ) -> Result<Caller, AuthenticationFault> {
        let now = self.clock.now();
        let principal = || {
            let principal = look(&self.accounts, cookie, now);
            principal.map_err(AuthenticationFault::Invalid)
        };
        let known = principal()?;
        let Some(due) = self.accounts.due_renewal(cookie, now) else {
            return Ok(known.into());
        };
        self.providers.renew(due, now).await?;
        Ok(principal()?.into())
    }

    /// Whose API key or token this is, if it came with this client certificate.
    pub(crate) async fn bearer(
        &self,
        credential: &str,
        certificate: Option<&PeerCertificate>,
    ) -> Result<Caller, AuthenticationFault> {
        let now = self.clock.now();
        if credential.starts_with(api_key::PREFIX) {
            let caller = self.accounts.caller_of_key(credential, now);
            return caller.map_err(AuthenticationFault::Invalid);
        }
        let proved = certificate.and_then(|certificate| certificate.proved(now));
        let principal = self.tokens.principal(credential, proved, now).await?;
        Ok(principal.into())
    }
}

/// What goes along by itself with whatever a browser sends counts only where a page of ours sends it: it
/// can set a header that pages of others cannot, and the browser does not say that it is one of those.
fn check_own_page(head: &Head) -> Result<(), AuthenticationFault> {
    if !head.has_csrf_header {
        return Err(AuthenticationFault::Csrf);
    }
    if head.is_from_elsewhere {
        return Err(AuthenticationFault::Elsewhere);
    }
    Ok(())
}

/// The credential of a `Bearer` header.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, credential) = authorization.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !credential.is_empty()).then_some(credential)
}
