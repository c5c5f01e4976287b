//! Keys of an issuer, and tokens of every form made with them.

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    hmac, rand,
    rsa::KeySize,
    signature::{
        self, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as B64},
};
use serde_json::{Value, json};

use super::{ISSUER, NOW_S};

/// An RSA key of 1024 bits and a token of it that is right in all else: libraries make none any more.
pub(super) const SMALL_MODULUS: &str = "yjTRxZ5kDfqtwQC4wErVpQTKLDmg2BTwOeLMZ7X8sdsaegpM18xr7-wTYohQ2LPJGMW-zgbkXD2XUW1pN19Y20jykvvBMiFJ6AAwkcd5BUwq6hEfMw_31s8LGJ6eDS2iMCpbLmfmmWH35L1AGVINEMbqhkJZyaZlIuCSdTWhcsc";
pub(super) const SMALL_SIGNED: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6InNtYWxsIn0.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwiYXVkIjoiZGF0YW9zIiwic3ViIjoiYWxpY2UiLCJleHAiOjE4MDAwMDAzMDAsImlhdCI6MTgwMDAwMDAwMH0";
pub(super) const SMALL_SIGNATURE: &str = "uik-OVm1wedj6EMWuS8cdnkadFCYeDQiBgAMXnnWExSz0b5xsVajnZWPjk7-sPWovXIJ4gkaC2BFlYNsa-wXRmi2eTQB4jDtHuCfufh2V1VsdLvZUMg8jIAfTwmDqcMJWMLzE-AU5plgekYrJ12_rQ5sPXI38gK7500h9-sD3H4";

pub(super) struct Keys {
    pub(super) rsa: RsaKeyPair,
    pub(super) ec: EcdsaKeyPair,
    pub(super) ec_asn1: EcdsaKeyPair,
    pub(super) ed: Ed25519KeyPair,
}

pub(super) fn header(alg: &str, kid: &str) -> Value {
    json!({"alg": alg, "typ": "at+jwt", "kid": kid})
}

pub(super) fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "dataos", "sub": "alice", "exp": NOW_S + 300, "iat": NOW_S,
           "nbf": NOW_S})
}

/// A value with one field set.
pub(super) fn with(mut value: Value, name: &str, field: Value) -> Value {
    value[name] = field;
    value
}

/// A value without one field.
pub(super) fn without(mut value: Value, name: &str) -> Value {
    value.as_object_mut().unwrap().remove(name).unwrap();
    value
}

impl Keys {
    pub(super) fn generate() -> Self {
        let random = rand::SystemRandom::new();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ec_pair = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, ec.as_ref()).unwrap();
        Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            ec: ec_pair(&ECDSA_P256_SHA256_FIXED_SIGNING),
            ec_asn1: ec_pair(&ECDSA_P256_SHA256_ASN1_SIGNING),
            ed: Ed25519KeyPair::generate().unwrap(),
        }
    }

    pub(super) fn rsa_jwk(&self, kid: &str) -> Value {
        let public = self.rsa.public_key();
        let n = B64.encode(public.modulus().big_endian_without_leading_zero());
        let e = B64.encode(public.exponent().big_endian_without_leading_zero());
        json!({"kty": "RSA", "kid": kid, "n": n, "e": e})
    }

    pub(super) fn ec_jwk(&self, kid: &str) -> Value {
        let point = self.ec.public_key().as_ref();
        let (x, y) = (B64.encode(&point[1..33]), B64.encode(&point[33..65]));
        json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y})
    }

    fn ed_jwk(&self, kid: &str) -> Value {
        let x = B64.encode(self.ed.public_key());
        json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
    }

    /// All of them, and with them some that must not be relied on.
    pub(super) fn jwks(&self) -> Value {
        json!({"keys": [
            self.rsa_jwk("rsa"),
            self.ec_jwk("ec"),
            self.ed_jwk("ed"),
            with(self.ec_jwk("ec-named-rs256"), "alg", json!("RS256")),
            with(self.rsa_jwk("rsa-named-ps256"), "alg", json!("PS256")),
            with(self.ed_jwk("ed-named-eddsa"), "alg", json!("EdDSA")),
            with(self.rsa_jwk("one"), "e", json!("AQ")),
            with(self.rsa_jwk("three"), "e", json!("Aw")),
            with(self.rsa_jwk("small"), "n", json!(SMALL_MODULUS)),
            with(self.ec_jwk("told"), "d", json!("c2VjcmV0")),
            with(self.ec_jwk("for-encryption"), "use", json!("enc")),
        ]})
    }

    pub(super) fn rsa_signature(&self, encoding: &'static dyn RsaEncoding, text: &str) -> Vec<u8> {
        let mut signature = vec![0; self.rsa.public_modulus_len()];
        let random = rand::SystemRandom::new();
        self.rsa
            .sign(encoding, &random, text.as_bytes(), &mut signature)
            .unwrap();
        signature
    }

    pub(super) fn ec_signature(&self, text: &str) -> Vec<u8> {
        let random = rand::SystemRandom::new();
        let signature = self.ec.sign(&random, text.as_bytes()).unwrap();
        signature.as_ref().to_vec()
    }

    /// A token with these raw parts, signed as `alg` says.
    pub(super) fn raw(&self, alg: &str, header: &str, claims: &str) -> String {
        let signed = signed(header, claims);
        let signature = match alg {
            // Nobody signs by SHA-1 any more, and the name alone decides.
            "RS1" | "RS256" => self.rsa_signature(&signature::RSA_PKCS1_SHA256, &signed),
            "RS512" => self.rsa_signature(&signature::RSA_PKCS1_SHA512, &signed),
            "PS256" => self.rsa_signature(&signature::RSA_PSS_SHA256, &signed),
            "EdDSA" | "Ed25519" => self.ed.sign(signed.as_bytes()).as_ref().to_vec(),
            "none" | "None" | "nOnE" => Vec::new(),
            _ => self.ec_signature(&signed),
        };
        format!("{signed}.{}", B64.encode(signature))
    }

    pub(super) fn token(&self, header: &Value, claims: &Value) -> String {
        let alg = header["alg"].as_str().unwrap_or("");
        self.raw(alg, &header.to_string(), &claims.to_string())
    }

    /// A good token by ES256, but for these claims.
    pub(super) fn claiming(&self, claims: &Value) -> String {
        self.token(&header("ES256", "ec"), claims)
    }

    /// A good token by ES256, but for this header.
    pub(super) fn headed(&self, header: &Value) -> String {
        self.token(header, &claims())
    }

    /// HMAC under what an attacker knows: the public keys in the forms that libraries load.
    pub(super) fn forged_by_hmac(&self, alg: &str) -> Vec<(String, String)> {
        let rsa: PublicKeyX509Der<'_> = self.rsa.public_key().as_der().unwrap();
        let ec: PublicKeyX509Der<'_> = self.ec.public_key().as_der().unwrap();
        [
            ("RSA PEM", "rsa", pem(rsa.as_ref())),
            ("RSA DER", "rsa", rsa.as_ref().to_vec()),
            (
                "RSA DER of PKCS#1",
                "rsa",
                self.rsa.public_key().as_ref().to_vec(),
            ),
            (
                "RSA JWK",
                "rsa",
                self.rsa_jwk("rsa").to_string().into_bytes(),
            ),
            ("EC PEM", "ec", pem(ec.as_ref())),
            ("EC DER", "ec", ec.as_ref().to_vec()),
            ("EC point", "ec", self.ec.public_key().as_ref().to_vec()),
            ("EC JWK", "ec", self.ec_jwk("ec").to_string().into_bytes()),
        ]
        .map(|(name, kid, secret)| {
            let signed = signed(&header(alg, kid).to_string(), &claims().to_string());
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let tag = hmac::sign(&key, signed.as_bytes());
            let name = format!("{alg} under {name}");
            (name, format!("{signed}.{}", B64.encode(tag)))
        })
        .to_vec()
    }
}

pub(super) fn signed(header: &str, claims: &str) -> String {
    format!("{}.{}", B64.encode(header), B64.encode(claims))
}

/// The same token with another signature.
pub(super) fn resigned(token: &str, signature: impl AsRef<[u8]>) -> String {
    let (signed, _) = token.rsplit_once('.').unwrap();
    format!("{signed}.{}", B64.encode(signature))
}

/// What a signature of RSA with an exponent of 1 is: the padded digest itself, made without a key.
pub(super) fn padded_digest(text: &str) -> Vec<u8> {
    let information = hex::decode("3031300d060960864801650304020105000420").unwrap();
    let digest = dataos_model::hash::Hash::of(text).0;
    let mut block = vec![0, 1];
    block.resize(256 - 1 - information.len() - digest.len(), 0xff);
    block.push(0);
    block.extend(information);
    block.extend(digest);
    block
}

fn pem(der: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let body = lines.join("\n");
    format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n").into_bytes()
}
