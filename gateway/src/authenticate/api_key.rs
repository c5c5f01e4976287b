//! API keys: `dok_<id>_<secret><checksum>`, all lower-case hex.
//!
//! The prefix and the checksum let leak scanners find a key without asking anyone. What is stored
//! is an HMAC under a pepper that lies elsewhere, so a copy of the database yields no usable key.

use aws_lc_rs::{hmac, rand};
use dataos_model::{fault::Fault, hash::Hash, secret::Secret};

/// What every key starts with.
pub(crate) const PREFIX: &str = "dok_";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
const CHECKSUM_CHARACTERS: usize = 8;

/// A new key: its id, and the text that is shown once.
#[derive(Debug)]
pub(crate) struct NewKey {
    pub(crate) id: String,
    pub(crate) text: String,
}

/// Makes a key from fresh randomness.
pub(crate) fn generate() -> Result<NewKey, Fault> {
    let mut id = [0; ID_BYTES];
    let mut secret = [0; SECRET_BYTES];
    rand::fill(&mut id)
        .and_then(|()| rand::fill(&mut secret))
        .map_err(|_| Fault::internal("the operating system gives no randomness"))?;
    let id = hex::encode(id);
    let body = format!("{PREFIX}{id}_{}", hex::encode(secret));
    Ok(NewKey {
        id,
        text: format!("{body}{}", checksum(&body)),
    })
}

/// The id inside a key, if the key is well formed.
pub(crate) fn id_of(text: &str) -> Option<&str> {
    let (id, rest) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let is_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if id.len() != 2 * ID_BYTES || !is_hex(id) {
        return None;
    }
    if rest.len() != 2 * SECRET_BYTES + CHECKSUM_CHARACTERS || !is_hex(rest) {
        return None;
    }
    let (body, given) = text.split_at_checked(text.len().checked_sub(CHECKSUM_CHARACTERS)?)?;
    (checksum(body) == given).then_some(id)
}

fn checksum(body: &str) -> String {
    Hash::of(body)
        .to_string()
        .chars()
        .take(CHECKSUM_CHARACTERS)
        .collect()
}

/// The key of the HMAC under which keys are stored.
#[derive(Debug)]
pub(crate) struct Pepper(hmac::Key);

impl Pepper {
    pub(crate) fn new(secret: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))
    }

    /// What is stored of a key.
    pub(crate) fn digest(&self, text: &str) -> Vec<u8> {
        hmac::sign(&self.0, text.as_bytes()).as_ref().to_vec()
    }

    /// A further secret that follows from this one. What it is for starts with no [`PREFIX`].
    pub(crate) fn derived(&self, purpose: &str) -> Secret {
        Secret::new(self.digest(purpose))
    }

    /// Whether `text` is the key behind `digest`, in constant time.
    pub(crate) fn matches(&self, text: &str, digest: &[u8]) -> bool {
        hmac::verify(&self.0, text.as_bytes(), digest).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{Pepper, generate, id_of};
    use dataos_model::secret::Secret;

    #[test]
    fn keys_carry_their_id_and_a_checksum() {
        let key = generate().unwrap();
        assert_eq!(id_of(&key.text), Some(key.id.as_str()));
        let mut last = key.text.clone();
        let end = last.pop().unwrap();
        last.push(if end == '0' { '1' } else { '0' });
        for bad in [
            last.as_str(),
            "dok_",
            "dok__",
            "dok_0123456789abcdef_",
            "",
            key.text.strip_prefix('d').unwrap(),
            &key.text.to_uppercase(),
            &format!("{}0", key.text),
        ] {
            assert_eq!(id_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn stored_digests_depend_on_key_and_pepper() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        let pepper = Pepper::new(&Secret::new(vec![1; 32]));
        let digest = pepper.digest(&one.text);
        assert!(pepper.matches(&one.text, &digest));
        assert!(!pepper.matches(&two.text, &digest));
        assert!(!Pepper::new(&Secret::new(vec![2; 32])).matches(&one.text, &digest));
        assert!(!hex::encode(&digest).contains(&one.text));
    }
}
