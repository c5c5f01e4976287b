//! Keys of the AuthZEN interface: one signs its metadata, one keeps page tokens from being forged.

use aws_lc_rs::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dataos_model::{fault::Fault, hash::Hash, secret::Secret};
use serde_json::{Value, json};

/// Characters of a key id.
const KEY_ID_CHARACTERS: usize = 16;

/// The keys.
#[derive(Debug)]
pub(crate) struct AuthzenKeys {
    metadata: Ed25519KeyPair,
    pages: hmac::Key,
}

impl AuthzenKeys {
    /// From 32 random bytes each.
    ///
    /// # Errors
    /// A secret of another length.
    pub(crate) fn new(metadata: &Secret, pages: &Secret) -> Result<Self, Fault> {
        let metadata = Ed25519KeyPair::from_seed_unchecked(metadata.expose())
            .map_err(|_| Fault::internal("the key of the metadata is not 32 bytes"))?;
        Ok(Self {
            metadata,
            pages: hmac::Key::new(hmac::HMAC_SHA256, pages.expose()),
        })
    }

    /// The public key as a JSON Web Key Set.
    pub(crate) fn key_set(&self) -> Value {
        json!({"keys": [{
            "kty": "OKP",
            "crv": "Ed25519",
            "use": "sig",
            "alg": "EdDSA",
            "kid": self.key_id(),
            "x": URL_SAFE_NO_PAD.encode(self.metadata.public_key()),
        }]})
    }

    fn key_id(&self) -> String {
        let digest = Hash::of(self.metadata.public_key()).to_string();
        digest.chars().take(KEY_ID_CHARACTERS).collect()
    }

    /// The claims as a signed JSON Web Token.
    pub(crate) fn signed(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": self.key_id()});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(&header), part(claims));
        let signature = self.metadata.sign(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// A token that carries `payload` and is bound to `bindings`.
    pub(crate) fn seal(&self, payload: &[u8], bindings: &[&str]) -> String {
        let tag = hmac::sign(&self.pages, &bound(payload, bindings).0);
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        format!("{}.{}", part(payload), part(tag.as_ref()))
    }

    /// The payload of a token that was sealed with the same bindings.
    pub(crate) fn open(&self, token: &str, bindings: &[&str]) -> Option<Vec<u8>> {
        let (payload, tag) = token.split_once('.')?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        hmac::verify(&self.pages, &bound(&payload, bindings).0, &tag).ok()?;
        Some(payload)
    }
}

/// One digest over all parts: no two lists of parts share it.
fn bound(payload: &[u8], bindings: &[&str]) -> Hash {
    let bindings = bindings.iter().map(|binding| binding.as_bytes());
    Hash::of_parts(std::iter::once(payload).chain(bindings))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
    use dataos_model::secret::Secret;
    use serde_json::{Value, json};

    use super::AuthzenKeys;

    fn keys(pages: u8) -> AuthzenKeys {
        AuthzenKeys::new(&Secret::new([1; 32]), &Secret::new([pages; 32])).unwrap()
    }

    #[test]
    fn tokens_open_only_where_they_were_sealed_and_unchanged() {
        let keys = keys(2);
        let token = keys.seal(b"page 2", &["alice", "query"]);
        assert_eq!(keys.open(&token, &["alice", "query"]).unwrap(), b"page 2");
        for bindings in [
            &["bob", "query"][..],
            &["alice", "other"],
            &["alicequery"],
            &[],
        ] {
            assert_eq!(keys.open(&token, bindings), None, "{bindings:?}");
        }
        assert_eq!(self::keys(3).open(&token, &["alice", "query"]), None);
        for at in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            let opened = keys.open(&forged, &["alice", "query"]);
            assert_ne!(opened.as_deref(), Some(&b"page 3"[..]));
            assert!(opened.is_none() || forged == token, "{at}");
        }
        for wrong in ["", ".", "a", "a.b", "..", "é.é"] {
            assert_eq!(keys.open(wrong, &["alice", "query"]), None, "{wrong}");
        }
    }

    #[test]
    fn signed_claims_verify_with_the_published_key() {
        let keys = keys(2);
        let token = keys.signed(&json!({"iss": "https://pdp.example"}));
        let (input, signature) = token.rsplit_once('.').unwrap();
        let set = keys.key_set();
        let public = B64.decode(set["keys"][0]["x"].as_str().unwrap()).unwrap();
        UnparsedPublicKey::new(&ED25519, public)
            .verify(input.as_bytes(), &B64.decode(signature).unwrap())
            .unwrap();
        let header: Value =
            serde_json::from_slice(&B64.decode(input.split('.').next().unwrap()).unwrap()).unwrap();
        assert_eq!(header["kid"], set["keys"][0]["kid"]);
        assert!(AuthzenKeys::new(&Secret::new([1; 31]), &Secret::new([1; 32])).is_err());
    }
}
