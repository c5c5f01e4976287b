//! The log's key. It signs each batch, so it does by the fastest implementation in the tree (AWS-LC); what it signs is
//! checked with another one, here once and by every auditor.

use std::fmt;

use aws_lc_rs::signature::Ed25519KeyPair;
use dataos_model::fault::Fault;
use dataos_proof::{
    checkpoint::Checkpoint,
    note::{SignatureBytes, SignerKey, VerifierKey},
};

/// A private key with its name. Shows nothing of the key.
pub(crate) struct LogKey {
    verifier: VerifierKey,
    pair: Ed25519KeyPair,
}

impl LogKey {
    /// The key that grows from a 32-byte seed (RFC 8032).
    ///
    /// # Errors
    /// A name that a key cannot have; an implementation that signs otherwise than the other one verifies.
    pub(crate) fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, Fault> {
        let key = SignerKey::from_seed(name, seed).map_err(|error| {
            Fault::invalid(format!(
                "the origin of the audit log is not usable: {error}"
            ))
        })?;
        let unusable = || Fault::internal("the key of the audit log cannot sign");
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| unusable())?;
        let key = Self {
            verifier: key.verifier().clone(),
            pair,
        };
        let text = b"a log's key signs as it is verified\n";
        let signed = key.sign_text(text)?;
        if !key.verifier.is_valid(text, &signed) {
            return Err(unusable());
        }
        Ok(key)
    }

    /// The public half.
    pub(crate) fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs; the result is the whole note and the bare signature.
    ///
    /// # Errors
    /// The implementation fails.
    pub(crate) fn sign(&self, checkpoint: &Checkpoint) -> Result<(String, SignatureBytes), Fault> {
        let signature = self.sign_text(checkpoint.text().as_bytes())?;
        Ok((checkpoint.note(&self.verifier, &signature), signature))
    }

    fn sign_text(&self, text: &[u8]) -> Result<SignatureBytes, Fault> {
        let signature = self.pair.try_sign(text).ok();
        let bytes = signature.and_then(|signature| signature.as_ref().try_into().ok());
        bytes.ok_or_else(|| Fault::internal("signing failed"))
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogKey")
            .field("verifier", &self.verifier)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_implementations_sign_alike() {
        for number in 0..100_u8 {
            let seed = [number.wrapping_mul(37); 32];
            let (fast, other) = (
                LogKey::from_seed("logs.example/test", &seed).unwrap(),
                SignerKey::from_seed("logs.example/test", &seed).unwrap(),
            );
            let checkpoint = Checkpoint {
                origin: "logs.example/test".to_owned(),
                size: u64::from(number),
                root: [number; 32],
            };
            assert_eq!(fast.sign(&checkpoint).unwrap(), checkpoint.sign(&other));
        }
    }

    #[test]
    fn nothing_of_the_key_is_shown() {
        let key = LogKey::from_seed("logs.example/test", &[0xab; 32]).unwrap();
        let shown = format!("{key:?}").to_lowercase();
        assert!(
            !shown.contains("abab") && !shown.contains("171, 171"),
            "{shown}"
        );
        assert!(LogKey::from_seed("a b", &[7; 32]).is_err());
    }
}
