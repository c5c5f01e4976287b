//! AES-256-GCM for what is handed out and must come back unchanged, or lies in the store and must not
//! be read there.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand,
};
use dataos_model::{fault::Fault, secret::Secret};

/// A key, never shown.
pub(crate) struct Seal(LessSafeKey);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

impl Seal {
    /// From 32 random bytes.
    ///
    /// # Errors
    /// A secret of another length.
    pub(crate) fn new(key: &Secret) -> Result<Self, Fault> {
        let key = UnboundKey::new(&AES_256_GCM, key.expose())
            .map_err(|_| Fault::internal("a key of AES-256 is not 32 bytes"))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// A key that ends with the process.
    ///
    /// # Errors
    /// There is no randomness.
    pub(crate) fn of_process() -> Result<Self, Fault> {
        Self::new(&Secret::new(random::<32>()?))
    }

    /// Seals for one place, where alone it opens.
    ///
    /// # Errors
    /// There is no randomness.
    pub(crate) fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, Fault> {
        let nonce = random::<NONCE_LEN>()?;
        let mut sealed = plain.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| Fault::internal("a text is too long to be sealed"))?;
        Ok([&nonce, sealed.as_slice()].concat())
    }

    /// What was sealed for this place, if it was by this key and is unchanged.
    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Option<Secret> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut plain = sealed.to_vec();
        let opened = self
            .0
            .open_in_place(nonce, Aad::from(place.as_bytes()), &mut plain)
            .ok()?;
        Some(Secret::new(&*opened))
    }
}

/// Random bytes.
///
/// # Errors
/// There are none.
pub(crate) fn random<const BYTES: usize>() -> Result<[u8; BYTES], Fault> {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes)
        .map_err(|_| Fault::internal("the operating system gives no randomness"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::Seal;

    #[test]
    fn what_is_sealed_opens_in_its_place_unchanged_and_nowhere_else() {
        let (ours, other) = (Seal::of_process().unwrap(), Seal::of_process().unwrap());
        let sealed = ours.seal("a", b"canary").unwrap();
        assert_eq!(ours.open("a", &sealed).unwrap().expose(), b"canary");
        assert!(!sealed.windows(6).any(|part| part == b"canary"));
        assert!(ours.open("b", &sealed).is_none());
        assert!(other.open("a", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(ours.open("a", &changed).is_none(), "byte {at}");
            assert!(ours.open("a", &sealed[..at]).is_none(), "length {at}");
        }
        assert_ne!(sealed, ours.seal("a", b"canary").unwrap());
    }
}
