//! A strict verifier of compact JWS tokens (RFC 7515, 8725, 9068).
//!
//! Works in the order: size, form, header, key, signature, claims. Nothing in the header chooses a
//! key from outside the configured set, and no claim is read before the signature holds.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dataos_model::json::{self, Bounds};
use serde_json::{Map, Value};

use super::jwks::KeySet;
use crate::config::IssuerConfig;

/// Longest token.
pub(crate) const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Longest key id that is looked up.
const KID_BYTES_MAX: usize = 128;
/// Header parameters that a signer may set; any other is refused, `jku`, `x5u`, `jwk`, `x5c`,
/// `crit`, `b64` and `zip` among them.
const HEADER_PARAMETERS: &[&str] = &["alg", "typ", "kid"];

/// Why a token is refused; the code goes to the record, never to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenFault {
    #[error("token_too_large")]
    TooLarge,
    #[error("token_malformed")]
    Malformed,
    #[error("token_header_refused")]
    Header,
    #[error("token_algorithm_refused")]
    Algorithm,
    #[error("token_type_refused")]
    Type,
    #[error("token_key_unknown")]
    KeyUnknown,
    #[error("token_signature_wrong")]
    Signature,
    #[error("token_claims_malformed")]
    Claims,
    #[error("token_issuer_unknown")]
    Issuer,
    #[error("token_audience_wrong")]
    Audience,
    #[error("token_expired")]
    Expired,
    #[error("token_not_yet_valid")]
    NotYetValid,
    #[error("token_subject_missing")]
    Subject,
    #[error("token_bound_to_other_key")]
    Bound,
}

impl TokenFault {
    /// The stable code.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "token_too_large",
            Self::Malformed => "token_malformed",
            Self::Header => "token_header_refused",
            Self::Algorithm => "token_algorithm_refused",
            Self::Type => "token_type_refused",
            Self::KeyUnknown => "token_key_unknown",
            Self::Signature => "token_signature_wrong",
            Self::Claims => "token_claims_malformed",
            Self::Issuer => "token_issuer_unknown",
            Self::Audience => "token_audience_wrong",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::Subject => "token_subject_missing",
            Self::Bound => "token_bound_to_other_key",
        }
    }
}

/// A token taken apart and not yet trusted.
#[derive(Debug)]
pub(crate) struct Unverified<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    payload: Vec<u8>,
    /// `alg`.
    algorithm: String,
    /// `typ`, lower case.
    token_type: String,
    /// `kid`, of an acceptable form.
    pub(crate) kid: String,
}

/// Claims whose signature holds.
#[derive(Clone, Debug)]
pub(crate) struct Claims(Map<String, Value>);

impl<'a> Unverified<'a> {
    /// Takes a compact token apart.
    pub(crate) fn parse(token: &'a str) -> Result<Self, TokenFault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::TooLarge);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenFault::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenFault::Malformed)?;
        if payload.contains('.') {
            return Err(TokenFault::Malformed);
        }
        let header = object(&decode(header)?).ok_or(TokenFault::Malformed)?;
        if header
            .keys()
            .any(|name| !HEADER_PARAMETERS.contains(&name.as_str()))
        {
            return Err(TokenFault::Header);
        }
        let text = |name: &str| header.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            signed,
            signature: decode(signature)?,
            payload: decode(payload)?,
            algorithm: text("alg").ok_or(TokenFault::Algorithm)?,
            token_type: text("typ").ok_or(TokenFault::Type)?.to_ascii_lowercase(),
            kid: text("kid")
                .filter(|kid| is_plain_kid(kid))
                .ok_or(TokenFault::KeyUnknown)?,
        })
    }

    /// The issuer that the token claims, only to choose whose keys must verify it.
    pub(crate) fn claimed_issuer(&self) -> Result<String, TokenFault> {
        let claims = object(&self.payload).ok_or(TokenFault::Claims)?;
        claims
            .get("iss")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or(TokenFault::Issuer)
    }

    /// Checks type, algorithm and signature for this issuer.
    pub(crate) fn verify(
        &self,
        issuer: &IssuerConfig,
        keys: &KeySet,
    ) -> Result<Claims, TokenFault> {
        if !issuer.algorithms.contains(&self.algorithm) {
            return Err(TokenFault::Algorithm);
        }
        let token_type = self
            .token_type
            .strip_prefix("application/")
            .unwrap_or(&self.token_type);
        if !issuer.types.iter().any(|allowed| allowed == token_type) {
            return Err(TokenFault::Type);
        }
        let key = keys.key(&self.kid).ok_or(TokenFault::KeyUnknown)?;
        // A key serves one algorithm; the header cannot choose another one for it.
        if !key.serves(&self.algorithm) {
            return Err(TokenFault::Algorithm);
        }
        if !key.verifies(&self.algorithm, self.signed.as_bytes(), &self.signature) {
            return Err(TokenFault::Signature);
        }
        object(&self.payload).map(Claims).ok_or(TokenFault::Claims)
    }
}

impl Claims {
    /// Checks issuer, audience, times and subject; returns the expiry in seconds.
    pub(crate) fn check(&self, issuer: &IssuerConfig, now_s: i64) -> Result<i64, TokenFault> {
        if self.text("iss") != Some(&issuer.issuer) {
            return Err(TokenFault::Issuer);
        }
        let is_for_us = match self.0.get("aud") {
            Some(Value::String(audience)) => *audience == issuer.audience,
            Some(Value::Array(list)) => {
                list.iter().all(Value::is_string)
                    && list
                        .iter()
                        .any(|item| item.as_str() == Some(&issuer.audience))
            }
            _ => false,
        };
        if !is_for_us {
            return Err(TokenFault::Audience);
        }
        if self.text("sub").is_none_or(str::is_empty) {
            return Err(TokenFault::Subject);
        }
        // A token bound to a key is useless without proof of that key, which we do not ask for yet.
        if self.0.contains_key("cnf") {
            return Err(TokenFault::Bound);
        }
        let skew_s = i64::try_from(issuer.skew.as_secs()).unwrap_or(0);
        let expires = self.time("exp")?.ok_or(TokenFault::Claims)?;
        if expires.saturating_add(skew_s) <= now_s {
            return Err(TokenFault::Expired);
        }
        for name in ["nbf", "iat"] {
            if self
                .time(name)?
                .is_some_and(|time| time > now_s.saturating_add(skew_s))
            {
                return Err(TokenFault::NotYetValid);
            }
        }
        Ok(expires)
    }

    /// A claim that is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// Any claim.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A time in whole seconds, not negative.
    fn time(&self, name: &str) -> Result<Option<i64>, TokenFault> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => value
                .as_i64()
                .filter(|time| *time >= 0)
                .map(Some)
                .ok_or(TokenFault::Claims),
        }
    }
}

/// Canonical base64url: no padding, no stray trailing bits.
fn decode(part: &str) -> Result<Vec<u8>, TokenFault> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenFault::Malformed)
}

fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match json::parse(bytes, &Bounds::SMALL) {
        Ok(Value::Object(map)) => Some(map),
        _ => None,
    }
}

/// A key id is a name, not a path, an address or a statement.
fn is_plain_kid(kid: &str) -> bool {
    (1..=KID_BYTES_MAX).contains(&kid.len())
        && kid
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-~+=:".contains(&b))
        && !kid.contains("..")
}

#[cfg(test)]
mod tests;
