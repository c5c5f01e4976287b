//! Log-in of one connection, by a proof or by the secret itself.

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dataos_model::{
    entity::EntityType,
    fault::{Fault, FaultKind},
};
use dataos_query::wire::{Caller, Door, Exchange};

use super::session::{Credential, Session, at_door, later, not_valid};
use crate::{
    authenticate::{api_key, scram, seal},
    limits::{Head, Peer, new_request_id},
    record::{self, authentication_name},
    respond,
    serve::Gateway,
};

/// Longest user name that is put into a record.
const USER_CHARACTERS_MAX: usize = 64;
/// The call that a log-in is, to policies and in records.
const LOG_IN_PATH: &str = "/api/v1/session";
/// What records call a log-in by a secret that was sent, and by a mechanism that was not offered.
const CLEARTEXT: &str = "cleartext";
const UNKNOWN: &str = "unknown";
/// What else there is for those whose proof shows nothing.
const PROOF_HINT: &str = "an access token is sent, with options='-c dataos.credential=token'; \
                          so is an API key that is older than log-in by SCRAM";
/// Random bytes of a nonce, as many as PostgreSQL has.
const NONCE_BYTES: usize = 18;

/// How people log in.
#[derive(Clone, Debug)]
pub(super) enum LogIn {
    /// Passwords and keys are proved; with the hash of the certificate that the client was shown, if there is
    /// one to bind to.
    Scram { channel: Option<Vec<u8>> },
    /// They are sent.
    Clear,
}

/// The door of one connection.
#[derive(Clone, Debug)]
pub(super) struct Entrance {
    gateway: Arc<Gateway>,
    peer: Peer,
    log_in: LogIn,
}

/// A proof that has begun.
#[derive(Debug)]
struct Proving {
    entrance: Entrance,
    user: String,
    mechanism: &'static str,
    exchange: scram::Exchange,
}

impl Entrance {
    pub(super) fn new(gateway: Arc<Gateway>, address: SocketAddr, log_in: LogIn) -> Self {
        let peer = Peer::new(address);
        Self {
            gateway,
            peer,
            log_in,
        }
    }

    /// The credential in a secret that was sent.
    async fn sent(&self, user: &str, secret: &str) -> Result<Credential, Fault> {
        self.take_address().await?;
        if is_bearer(secret) {
            return Ok(Credential::Bearer(secret.to_owned()));
        }
        if let LogIn::Scram { .. } = self.log_in {
            let message = "a password is proved here, and not sent";
            return Err(Fault::new(FaultKind::Unauthenticated, message)
                .with_reason("password_in_clear")
                .with_hint("leave out dataos.credential, which is for access tokens"));
        }
        let accounts = &self.gateway.accounts;
        let now = self.gateway.seams.clock.now();
        let checked = accounts.check_password(user, secret, now).await?;
        Ok(Credential::Proved(checked))
    }

    /// Counts one attempt of this address.
    async fn take_address(&self) -> Result<(), Fault> {
        let address = self.peer.address.ip();
        let taken = self.gateway.rates.take_address(address).await;
        taken.map_err(|left| later(left.refusal()))?;
        Ok(())
    }

    async fn begun(
        &self,
        user: &str,
        mechanism: &str,
        first: &[u8],
    ) -> Result<scram::Exchange, Fault> {
        self.take_address().await?;
        let LogIn::Scram { channel } = &self.log_in else {
            return Err(Fault::invalid("no mechanism was offered"));
        };
        let salt = self.gateway.accounts.salt(user);
        let nonce = STANDARD.encode(seal::random::<NONCE_BYTES>()?);
        scram::Exchange::begin(mechanism, first, channel.as_deref(), &salt, &nonce)
    }

    /// The session of a credential, and how it was proved.
    async fn session(
        &self,
        user: &str,
        credential: Credential,
    ) -> Result<(Session, &'static str), Fault> {
        let session = Session {
            gateway: Arc::clone(&self.gateway),
            peer: self.peer.clone(),
            user: user.to_owned(),
            credential,
        };
        let caller = session.caller().await.map_err(not_valid)?;
        Ok((
            session,
            authentication_name(caller.principal.authentication),
        ))
    }

    /// Records how an attempt ended; one that succeeded is durable before anybody is let in.
    async fn recorded(
        &self,
        user: &str,
        mechanism: &str,
        attempt: Result<(Session, &'static str), Fault>,
    ) -> Result<Arc<dyn Caller>, Fault> {
        let request_id = new_request_id();
        let outcome = match &attempt {
            Ok((_, way)) => Ok(*way),
            Err(fault) if fault.reason.is_empty() => Err(respond::problem_kind(fault.kind).0),
            Err(fault) => Err(fault.reason.as_str()),
        };
        let name: String = user.chars().take(USER_CHARACTERS_MAX).collect();
        let head = Head::posted(LOG_IN_PATH)?;
        let uid = EntityType::USER.id(name);
        let mut entry = record::log_in(&request_id, &uid, outcome, &head, &self.peer);
        at_door(&mut entry);
        entry
            .facts
            .insert("mechanism".to_owned(), mechanism.to_owned());
        match attempt {
            Ok((session, _)) => {
                self.gateway.append(entry, &request_id).await?;
                Ok(Arc::new(session))
            }
            Err(fault) => {
                self.gateway.refusals.append_or_count(entry);
                Err(fault)
            }
        }
    }
}

/// Whether it is an API key or has the form of an access token, which no password is taken for.
fn is_bearer(password: &str) -> bool {
    let is_token = password.starts_with("eyJ") && password.split('.').count() == 3;
    is_token || password.starts_with(api_key::PREFIX)
}

#[async_trait]
impl Door for Entrance {
    fn mechanisms(&self) -> &'static [&'static str] {
        match &self.log_in {
            LogIn::Clear => &[],
            LogIn::Scram { channel: None } => &[scram::SCRAM],
            LogIn::Scram { channel: Some(_) } => &[scram::SCRAM_PLUS, scram::SCRAM],
        }
    }

    async fn begin(
        &self,
        user: &str,
        mechanism: &str,
        first: &[u8],
    ) -> Result<Box<dyn Exchange>, Fault> {
        let begun = self.begun(user, mechanism, first).await;
        let mut offered = self.mechanisms().iter();
        let mechanism = offered.find(|name| **name == mechanism).copied();
        let mechanism = mechanism.unwrap_or(UNKNOWN);
        match begun {
            Ok(exchange) => Ok(Box::new(Proving {
                entrance: self.clone(),
                user: user.to_owned(),
                mechanism,
                exchange,
            })),
            Err(fault) => {
                let refused = self.recorded(user, mechanism, Err(fault.clone())).await;
                Err(refused.err().unwrap_or(fault))
            }
        }
    }

    async fn log_in(&self, user: &str, secret: &str) -> Result<Arc<dyn Caller>, Fault> {
        let attempt = match self.sent(user, secret).await {
            Ok(credential) => self.session(user, credential).await,
            Err(fault) => Err(fault),
        };
        self.recorded(user, CLEARTEXT, attempt).await
    }

    fn refused(&self, reason: &'static str) {
        self.gateway.note_refused(reason, self.peer.address);
    }
}

impl Proving {
    /// The session of the secret that the answer shows, and the server's own proof.
    async fn proved(&self, answer: &[u8]) -> Result<(Session, &'static str, String), Fault> {
        let proof = self.exchange.answered(answer)?;
        let Entrance { gateway, .. } = &self.entrance;
        let now = gateway.seams.clock.now();
        let checked = gateway.accounts.check_proof(&self.user, &proof, now);
        let (proved, own) = checked.map_err(|fault| fault.with_hint(PROOF_HINT))?;
        let credential = Credential::Proved(proved);
        let (session, way) = self.entrance.session(&self.user, credential).await?;
        Ok((session, way, own))
    }
}

#[async_trait]
impl Exchange for Proving {
    fn challenge(&self) -> &str {
        self.exchange.challenge()
    }

    async fn finish(self: Box<Self>, answer: &[u8]) -> Result<(Arc<dyn Caller>, String), Fault> {
        let (attempt, own) = match self.proved(answer).await {
            Ok((session, way, own)) => (Ok((session, way)), own),
            Err(fault) => (Err(fault), String::new()),
        };
        let Self {
            entrance,
            user,
            mechanism,
            ..
        } = &*self;
        let caller = entrance.recorded(user, mechanism, attempt).await?;
        Ok((caller, own))
    }
}
