//! A strict verifier of compact JWS tokens (RFC 7515, 8725, 9068).
//!
//! Works in the order: size, form, header, key, signature, claims. Nothing in the header chooses a
//! key from outside the configured set, and no claim is read before the signature holds.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dataos_model::{
    hash::Hash,
    json::{self, Bounds},
};
use serde_json::{Map, Value};

use super::jwks::KeySet;
use crate::config::IssuerConfig;

/// Longest token.
pub(crate) const TOKEN_BYTES_MAX: usize = 8 << 10;
/// The type that an issuer writes into access tokens and nothing else (RFC 9068).
const ACCESS_TOKEN: &str = "at+jwt";
/// Longest key id that is looked up.
const KID_BYTES_MAX: usize = 128;

/// Why a token is refused; the code goes to the record, never to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenFault {
    TooLarge,
    Malformed,
    JsonForm,
    Encrypted,
    Encoding,
    HeaderMalformed,
    Header,
    KeyInHeader,
    Critical,
    Unencoded,
    Compressed,
    Nested,
    AlgorithmNone,
    AlgorithmSymmetric,
    Algorithm,
    AlgorithmOfKey,
    Type,
    IdToken,
    KidMissing,
    KidMalformed,
    KeyUnknown,
    KeyWeak,
    Signature,
    Claims,
    IssuerMissing,
    Issuer,
    AudienceMissing,
    Audience,
    Party,
    Subject,
    ExpiryMissing,
    Time,
    Expired,
    NotYetValid,
    IssuedAhead,
    BindingUnknown,
    BoundNoCertificate,
    BoundToOther,
    Revoked,
    SubjectRevoked,
    NamesLocalUser,
}

impl TokenFault {
    /// The stable code: docs/authentication.md lists all.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "token_too_large",
            Self::Malformed => "token_malformed",
            Self::JsonForm => "token_json_form",
            Self::Encrypted => "token_encrypted",
            Self::Encoding => "token_encoding",
            Self::HeaderMalformed => "token_header_malformed",
            Self::Header => "token_header_refused",
            Self::KeyInHeader => "token_key_in_header",
            Self::Critical => "token_critical_header",
            Self::Unencoded => "token_payload_unencoded",
            Self::Compressed => "token_compressed",
            Self::Nested => "token_nested",
            Self::AlgorithmNone => "token_algorithm_none",
            Self::AlgorithmSymmetric => "token_algorithm_symmetric",
            Self::Algorithm => "token_algorithm_refused",
            Self::AlgorithmOfKey => "token_algorithm_not_of_key",
            Self::Type => "token_type_refused",
            Self::IdToken => "token_is_id_token",
            Self::KidMissing => "token_kid_missing",
            Self::KidMalformed => "token_kid_malformed",
            Self::KeyUnknown => "token_key_unknown",
            Self::KeyWeak => "token_key_weak",
            Self::Signature => "token_signature_wrong",
            Self::Claims => "token_claims_malformed",
            Self::IssuerMissing => "token_issuer_missing",
            Self::Issuer => "token_issuer_unknown",
            Self::AudienceMissing => "token_audience_missing",
            Self::Audience => "token_audience_wrong",
            Self::Party => "token_party_wrong",
            Self::Subject => "token_subject_missing",
            Self::ExpiryMissing => "token_expiry_missing",
            Self::Time => "token_time_malformed",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::IssuedAhead => "token_issued_in_future",
            Self::BindingUnknown => "token_binding_unknown",
            Self::BoundNoCertificate => "token_bound_no_certificate",
            Self::BoundToOther => "token_bound_to_other_certificate",
            Self::Revoked => "token_revoked",
            Self::SubjectRevoked => "token_subject_revoked",
            Self::NamesLocalUser => "token_names_local_user",
        }
    }
}

/// A token taken apart and not yet trusted.
#[derive(Debug)]
pub(crate) struct Unverified<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    claims: Map<String, Value>,
    /// `alg`, never `none` or a symmetric one.
    algorithm: String,
    /// `typ`, lower case and without `application/`.
    token_type: Option<String>,
    /// `kid`, of an acceptable form.
    kid: Option<String>,
}

/// Claims whose signature holds.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    map: Map<String, Value>,
    /// That of the signature.
    algorithm: String,
}

/// What the claims say of a token's use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// When it ends, Unix seconds.
    pub(crate) expires_s: i64,
    /// When it was issued, if it says so.
    pub(crate) issued_s: Option<i64>,
    /// SHA-256 of the client certificate without which it is worth nothing (RFC 8705).
    pub(crate) bound_to: Option<Hash>,
}

impl<'a> Unverified<'a> {
    /// Takes a compact token apart.
    pub(crate) fn parse(token: &'a str) -> Result<Self, TokenFault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::TooLarge);
        }
        let parts: Vec<&str> = token.split('.').take(6).collect();
        let [header, payload, signature] = parts.as_slice() else {
            return Err(match parts.len() {
                _ if token.trim_start().starts_with('{') => TokenFault::JsonForm,
                // A JWE has five; none is ever decrypted or inflated.
                5 => TokenFault::Encrypted,
                _ => TokenFault::Malformed,
            });
        };
        let header = object(&decode(header)?).ok_or(TokenFault::HeaderMalformed)?;
        header.keys().try_for_each(|name| check_parameter(name))?;
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        let algorithm = text("alg").ok_or(TokenFault::Algorithm)?;
        if algorithm.eq_ignore_ascii_case("none") {
            return Err(TokenFault::AlgorithmNone);
        }
        if algorithm.to_ascii_uppercase().starts_with("HS") {
            return Err(TokenFault::AlgorithmSymmetric);
        }
        let token_type = match header.get("typ") {
            None => None,
            Some(value) => Some(value.as_str().ok_or(TokenFault::Type)?.to_ascii_lowercase()),
        };
        let token_type = token_type.map(|name| match name.strip_prefix("application/") {
            Some(short) => short.to_owned(),
            None => name,
        });
        let kid = match header.get("kid") {
            None => None,
            Some(kid) => {
                let plain = kid.as_str().filter(|kid| is_plain_kid(kid));
                Some(plain.ok_or(TokenFault::KidMalformed)?.to_owned())
            }
        };
        Ok(Self {
            signed: token.rsplit_once('.').map_or(token, |(signed, _)| signed),
            signature: decode(signature)?,
            algorithm: algorithm.to_owned(),
            token_type,
            kid,
            claims: claims_of(&decode(payload)?)?,
        })
    }

    /// The key that it names.
    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The issuer that the token claims, only to choose whose keys must verify it.
    pub(crate) fn claimed_issuer(&self) -> Result<&str, TokenFault> {
        let issuer = self.claims.get("iss").ok_or(TokenFault::IssuerMissing)?;
        issuer.as_str().ok_or(TokenFault::Claims)
    }

    /// Checks type, algorithm and signature of an access token of this issuer.
    pub(crate) fn verify(self, issuer: &IssuerConfig, keys: &KeySet) -> Result<Claims, TokenFault> {
        self.check_algorithm(issuer)?;
        let token_type = self.token_type.as_deref().ok_or(TokenFault::Type)?;
        if !issuer.types.iter().any(|allowed| allowed == token_type) {
            return Err(TokenFault::Type);
        }
        let is_named = token_type == ACCESS_TOKEN;
        let claims = self.proved(keys)?;
        if !is_named && claims.are_of_other_kind() {
            return Err(TokenFault::IdToken);
        }
        Ok(claims)
    }

    /// The same of a token that the issuer made for us as its client: of one of these types, or of none,
    /// as ID tokens often are.
    pub(crate) fn verify_as(
        self,
        types: &[&str],
        issuer: &IssuerConfig,
        keys: &KeySet,
    ) -> Result<Claims, TokenFault> {
        self.check_algorithm(issuer)?;
        match self.token_type.as_deref() {
            Some(other) if !types.contains(&other) => Err(TokenFault::Type),
            _ => self.proved(keys),
        }
    }

    fn check_algorithm(&self, issuer: &IssuerConfig) -> Result<(), TokenFault> {
        let is_allowed = issuer.algorithms.contains(&self.algorithm);
        is_allowed.then_some(()).ok_or(TokenFault::Algorithm)
    }

    fn proved(self, keys: &KeySet) -> Result<Claims, TokenFault> {
        let key = keys.key(self.kid()).ok_or_else(|| match self.kid() {
            None => TokenFault::KidMissing,
            Some(kid) if keys.is_weak(kid) => TokenFault::KeyWeak,
            Some(_) => TokenFault::KeyUnknown,
        })?;
        // A key serves one algorithm; the header cannot choose another one for it.
        if !key.serves(&self.algorithm) {
            return Err(TokenFault::AlgorithmOfKey);
        }
        if !key.verifies(&self.algorithm, self.signed.as_bytes(), &self.signature) {
            return Err(TokenFault::Signature);
        }
        Ok(Claims {
            map: self.claims,
            algorithm: self.algorithm,
        })
    }
}

impl Claims {
    /// Checks issuer, audience, party, subject and times; says how the token may be used.
    pub(crate) fn check(&self, issuer: &IssuerConfig, now_s: i64) -> Result<Terms, TokenFault> {
        if self.text("iss") != Some(&issuer.issuer) {
            return Err(TokenFault::Issuer);
        }
        self.check_audience(&issuer.audience)?;
        self.check_party(&issuer.clients)?;
        if self.text("sub").is_none_or(str::is_empty) {
            return Err(TokenFault::Subject);
        }
        let (expires_s, issued_s) = self.check_times(issuer, now_s)?;
        Ok(Terms {
            expires_s,
            issued_s,
            bound_to: self.binding()?,
        })
    }

    /// Checks a token that the issuer made for this client of its: issuer, client and times; says when it
    /// was issued. Whom it is about is for the caller to look at.
    pub(crate) fn check_for_client(
        &self,
        issuer: &IssuerConfig,
        client: &str,
        now_s: i64,
    ) -> Result<i64, TokenFault> {
        match self.text("iss") {
            None => return Err(TokenFault::IssuerMissing),
            Some(name) if name != issuer.issuer => return Err(TokenFault::Issuer),
            Some(_) => {}
        }
        self.check_audience(client)?;
        // Where others may use the token too, it says who it was given to (OpenID Connect Core 3.1.3.7).
        let is_shared = matches!(self.get("aud"), Some(Value::Array(list)) if list.len() > 1);
        match self.get("azp") {
            None if !is_shared => {}
            Some(party) if party == client => {}
            _ => return Err(TokenFault::Party),
        }
        let (_, issued_s) = self.check_times(issuer, now_s)?;
        issued_s.ok_or(TokenFault::Time)
    }

    /// When the token ends, and when it was issued, if it says so.
    fn check_times(
        &self,
        issuer: &IssuerConfig,
        now_s: i64,
    ) -> Result<(i64, Option<i64>), TokenFault> {
        let skew_s = i64::try_from(issuer.skew.as_secs()).unwrap_or(0);
        let expires_s = self.time("exp")?.ok_or(TokenFault::ExpiryMissing)?;
        if expires_s.saturating_add(skew_s) <= now_s {
            return Err(TokenFault::Expired);
        }
        let is_ahead = |time: Option<i64>| time.is_some_and(|time| time > now_s + skew_s);
        if is_ahead(self.time("nbf")?) {
            return Err(TokenFault::NotYetValid);
        }
        let issued_s = self.time("iat")?;
        if is_ahead(issued_s) {
            return Err(TokenFault::IssuedAhead);
        }
        Ok((expires_s, issued_s))
    }

    /// Where an issuer writes no type of its own into the header, what an ID, logout or refresh token
    /// has in it tells it from an access token (RFC 9068 5, OpenID Connect Core 2, Back-Channel 2.4).
    fn are_of_other_kind(&self) -> bool {
        const OTHERS_HAVE: &[&str] = &["at_hash", "c_hash", "s_hash", "nonce", "events"];
        const OTHERS_ARE: &[&str] = &["id", "refresh", "offline", "logout"];
        let says_other = |kind: &str| OTHERS_ARE.iter().any(|o| kind.eq_ignore_ascii_case(o));
        OTHERS_HAVE.iter().any(|name| self.map.contains_key(*name))
            || self.text("typ").is_some_and(says_other)
    }

    fn check_audience(&self, ours: &str) -> Result<(), TokenFault> {
        let is_for_us = match self.map.get("aud") {
            None => return Err(TokenFault::AudienceMissing),
            Some(Value::String(audience)) => audience == ours,
            Some(Value::Array(list)) => {
                list.iter().all(Value::is_string)
                    && list.iter().any(|item| item.as_str() == Some(ours))
            }
            _ => false,
        };
        is_for_us.then_some(()).ok_or(TokenFault::Audience)
    }

    /// The client that the token was given to: `azp` and `client_id` say the same if both are there,
    /// and are one of `clients` if those are listed.
    fn check_party(&self, clients: &[String]) -> Result<(), TokenFault> {
        let mut party = None;
        for name in ["azp", "client_id"] {
            let Some(value) = self.map.get(name) else {
                continue;
            };
            let value = value.as_str().ok_or(TokenFault::Party)?;
            if *party.get_or_insert(value) != value {
                return Err(TokenFault::Party);
            }
        }
        let is_listed = party.is_some_and(|party| clients.iter().any(|client| client == party));
        (clients.is_empty() || is_listed)
            .then_some(())
            .ok_or(TokenFault::Party)
    }

    /// What `cnf` binds the token to: one certificate, or something that no caller can prove here.
    fn binding(&self) -> Result<Option<Hash>, TokenFault> {
        let Some(confirmation) = self.map.get("cnf") else {
            return Ok(None);
        };
        let thumbprint = confirmation
            .as_object()
            .filter(|members| members.len() == 1)
            .and_then(|members| members.get("x5t#S256")?.as_str())
            .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
            .and_then(|bytes| bytes.try_into().ok());
        thumbprint
            .map(|bytes| Some(Hash(bytes)))
            .ok_or(TokenFault::BindingUnknown)
    }

    /// A claim that is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.map.get(name).and_then(Value::as_str)
    }

    /// Any claim.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.map.get(name)
    }

    /// All of them.
    pub(crate) fn map(&self) -> &Map<String, Value> {
        &self.map
    }

    /// Whether a claim is the hash of this text by which an ID token is tied to it (OpenID Connect Core
    /// 3.1.3.6): the left half of the digest that goes with the algorithm of the signature.
    pub(crate) fn ties(&self, claim: &str, text: &str) -> bool {
        let algorithm = match self.algorithm.as_str() {
            // The hash of the curve's own signature scheme.
            "EdDSA" | "Ed25519" => &digest::SHA512,
            _ => &digest::SHA256,
        };
        let digest = digest::digest(algorithm, text.as_bytes());
        let (half, _) = digest.as_ref().split_at(digest.as_ref().len() / 2);
        self.text(claim) == Some(URL_SAFE_NO_PAD.encode(half).as_str())
    }

    /// A time in whole seconds, not negative.
    pub(crate) fn time(&self, name: &str) -> Result<Option<i64>, TokenFault> {
        match self.map.get(name) {
            None => Ok(None),
            Some(value) => value
                .as_i64()
                .filter(|time| *time >= 0)
                .map(Some)
                .ok_or(TokenFault::Time),
        }
    }
}

/// Header parameters that a signer may set are `alg`, `typ` and `kid`; any other is refused unread.
fn check_parameter(name: &str) -> Result<(), TokenFault> {
    Err(match name {
        "alg" | "typ" | "kid" => return Ok(()),
        "jku" | "jwk" | "x5u" | "x5c" | "x5t" | "x5t#S256" => TokenFault::KeyInHeader,
        "crit" => TokenFault::Critical,
        "b64" => TokenFault::Unencoded,
        "zip" => TokenFault::Compressed,
        "cty" => TokenFault::Nested,
        "enc" | "epk" | "apu" | "apv" | "iv" | "tag" | "p2s" | "p2c" => TokenFault::Encrypted,
        _ => TokenFault::Header,
    })
}

fn claims_of(payload: &[u8]) -> Result<Map<String, Value>, TokenFault> {
    // `{"` in base64url: the payload is a token itself.
    if payload.starts_with(b"eyJ") {
        return Err(TokenFault::Nested);
    }
    object(payload).ok_or(TokenFault::Claims)
}

/// Canonical base64url: no padding, no stray trailing bits.
fn decode(part: &str) -> Result<Vec<u8>, TokenFault> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenFault::Encoding)
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
