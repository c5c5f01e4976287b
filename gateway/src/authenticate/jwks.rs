//! Key sets of issuers: parsed whole, each key bound to the one algorithm that it serves.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::{
    rsa::PublicKeyComponents,
    signature::{self, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dataos_model::json::{self, Bounds};
use serde_json::Value;

/// Largest JWKS document.
pub(crate) const JWKS_BYTES_MAX: usize = 256 << 10;
/// Most keys in one set.
const KEYS_MAX: usize = 64;
/// Smallest RSA modulus.
const RSA_BYTES_MIN: usize = 256;
/// Largest RSA modulus: verification time grows with its square.
const RSA_BYTES_MAX: usize = 1024;

/// A public key and the algorithms that it may verify.
#[derive(Debug)]
pub(crate) struct PublicKey {
    family: Family,
    /// `alg` of the JWK, if it names one.
    algorithm: Option<String>,
}

#[derive(Debug)]
enum Family {
    Rsa {
        pkcs1: ParsedPublicKey,
        pss: ParsedPublicKey,
    },
    P256(ParsedPublicKey),
    Ed25519(ParsedPublicKey),
}

impl PublicKey {
    /// Whether the key may verify `algorithm`.
    pub(crate) fn serves(&self, algorithm: &str) -> bool {
        let fits = match self.family {
            Family::Rsa { .. } => matches!(algorithm, "RS256" | "PS256"),
            Family::P256(_) => algorithm == "ES256",
            Family::Ed25519(_) => matches!(algorithm, "EdDSA" | "Ed25519"),
        };
        fits && self
            .algorithm
            .as_deref()
            .is_none_or(|named| named == algorithm)
    }

    /// Whether `signature` over `message` holds.
    pub(crate) fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let key = match (&self.family, algorithm) {
            (Family::Rsa { pkcs1, .. }, "RS256") => pkcs1,
            (Family::Rsa { pss, .. }, "PS256") => pss,
            (Family::P256(key), "ES256") | (Family::Ed25519(key), "EdDSA" | "Ed25519") => key,
            _ => return false,
        };
        key.verify_sig(message, signature).is_ok()
    }
}

/// The keys of one issuer by id.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    keys: BTreeMap<String, PublicKey>,
    /// Ids of keys that anyone could forge signatures of.
    weak: BTreeSet<String>,
}

impl KeySet {
    /// Parses a JWKS document. Keys that we cannot use (other types, encryption) are left out: an issuer may
    /// publish them for others. Weak ones are never used, but told by their name.
    pub(crate) fn parse(document: &[u8]) -> Result<Self, String> {
        if document.len() > JWKS_BYTES_MAX {
            return Err(format!("the key set is above {JWKS_BYTES_MAX} bytes"));
        }
        let value = json::parse(document, &Bounds::SMALL)
            .map_err(|error| format!("the key set is not strict JSON: {error}"))?;
        let list = value
            .get("keys")
            .and_then(Value::as_array)
            .ok_or_else(|| "the key set has no list `keys`".to_owned())?;
        if list.len() > KEYS_MAX {
            return Err(format!("the key set has more than {KEYS_MAX} keys"));
        }
        let mut set = Self::default();
        for (kid, key) in list.iter().filter_map(public_key) {
            if set.keys.contains_key(&kid) || set.weak.contains(&kid) {
                return Err(format!("the key set has two keys `{kid}`"));
            }
            match key {
                Strength::Sound(key) => drop(set.keys.insert(kid, key)),
                Strength::Weak => drop(set.weak.insert(kid)),
            }
        }
        Ok(set)
    }

    /// The key of this id. A token may leave the id out where there is one key (OpenID Connect Core 10.1).
    pub(crate) fn key(&self, kid: Option<&str>) -> Option<&PublicKey> {
        match kid {
            Some(kid) => self.keys.get(kid),
            None if self.keys.len() + self.weak.len() == 1 => self.keys.values().next(),
            None => None,
        }
    }

    /// Whether the key of this id is one that anyone could forge signatures of.
    pub(crate) fn is_weak(&self, kid: &str) -> bool {
        self.weak.contains(kid)
    }

    /// Number of usable keys.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

/// Whether a key of a kind that we know can be relied on.
enum Strength<T> {
    Sound(T),
    Weak,
}

/// The id and key of a JWK that is meant for signatures of the kinds that we know.
fn public_key(jwk: &Value) -> Option<(String, Strength<PublicKey>)> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    // Without an id it serves alone; the empty id is none that a token can have.
    let kid = jwk.get("kid").map_or(Some(""), Value::as_str)?.to_owned();
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let algorithm = match jwk.get("alg") {
        None => None,
        Some(value) => Some(value.as_str()?.to_owned()),
    };
    let family = match (text("kty")?, text("crv")) {
        ("RSA", _) => rsa(&field(jwk, "n")?, &field(jwk, "e")?)?,
        ("EC", Some("P-256")) => {
            let (x, y) = (field(jwk, "x")?, field(jwk, "y")?);
            if x.len() != 32 || y.len() != 32 {
                return None;
            }
            let point = [&[4], x.as_slice(), y.as_slice()].concat();
            let key = parse(&signature::ECDSA_P256_SHA256_FIXED, &point)?;
            Strength::Sound(Family::P256(key))
        }
        ("OKP", Some("Ed25519")) => {
            let key = parse(&signature::ED25519, &field(jwk, "x")?)?;
            Strength::Sound(Family::Ed25519(key))
        }
        _ => return None,
    };
    Some(match family {
        // Whoever reads the set can sign with a key whose private part stands in it.
        Strength::Sound(family) if jwk.get("d").is_none() => {
            (kid, Strength::Sound(PublicKey { family, algorithm }))
        }
        _ => (kid, Strength::Weak),
    })
}

fn rsa(n: &[u8], e: &[u8]) -> Option<Strength<Family>> {
    // An exponent of 1 or 3 makes forged padding cheap; above 33 bits verification gets slow.
    let exponent = e.iter().try_fold(0_u64, |sum, byte| {
        sum.checked_mul(256)
            .map(|shifted| shifted + u64::from(*byte))
    });
    let is_sound_exponent = exponent.is_some_and(|e| (65_537..=1 << 33).contains(&e) && e % 2 == 1);
    let is_sound_modulus =
        (RSA_BYTES_MIN..=RSA_BYTES_MAX).contains(&n.len()) && n.first().is_some_and(|b| *b >= 0x80);
    if !is_sound_exponent || !is_sound_modulus {
        return Some(Strength::Weak);
    }
    let components = PublicKeyComponents { n, e };
    Some(Strength::Sound(Family::Rsa {
        pkcs1: components
            .to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA256)
            .ok()?,
        pss: components
            .to_parsed_public_key(&signature::RSA_PSS_2048_8192_SHA256)
            .ok()?,
    }))
}

fn parse(algorithm: &'static dyn VerificationAlgorithm, bytes: &[u8]) -> Option<ParsedPublicKey> {
    UnparsedPublicKey::new(algorithm, bytes).parse().ok()
}

fn field(jwk: &Value, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok()
}
