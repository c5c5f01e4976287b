//! Signed notes (C2SP signed-note) with Ed25519 keys: of logs, signature type 0x01, and of witnesses,
//! type 0x04.
//!
//! A note is text that ends in a newline, an empty line, and signature lines of the form em dash,
//! space, key name, space, base64(key id, signature). A verifier key prints as
//! `name+id+base64(type, public key)` where id is SHA-256(name, newline, type, public key)[..4] as
//! eight hex digits.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::wire::Cursor;

/// Most signatures in one note; the rest of the world accepts at least as many.
pub const SIGNATURES_MAX: usize = 16;

/// Longest note, in bytes: a checkpoint with sixteen signatures of the largest type in use.
pub const NOTE_BYTES_MAX: usize = 128 * 1024;

/// Longest key name, in bytes.
pub const NAME_BYTES_MAX: usize = 200;

/// What a key signs; the byte that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyType {
    /// The text of a note.
    Note = 1,
    /// That a checkpoint was seen: see [`cosignature`](crate::cosignature).
    Cosignature = 4,
}

/// An Ed25519 signature.
pub type SignatureBytes = [u8; 64];

/// A public key with its name: what an auditor needs to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: u32,
    key_type: KeyType,
    key: VerifyingKey,
}

/// A private key with its name. Shows nothing of the key.
pub struct SignerKey {
    verifier: VerifierKey,
    key: SigningKey,
}

/// A parsed note. Nothing in it may be believed before [`SignedNote::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    /// The text, with its last newline.
    pub text: String,
    /// The signatures, in order.
    pub signatures: Vec<NoteSignature>,
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key.
    pub name: String,
    /// Id of the key.
    pub key_id: u32,
    /// The signature, in the form that the key's type demands.
    pub bytes: Vec<u8>,
}

/// What is wrong with a note or a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// A verifier key that does not parse.
    #[error("the verifier key is malformed: {0}")]
    Key(&'static str),
    /// A note that does not parse.
    #[error("the note is malformed: {0}")]
    Malformed(&'static str),
    /// No signature by the key that is asked for.
    #[error("the note is not signed by {0}")]
    Unsigned(String),
    /// A signature by the right key that does not verify.
    #[error("the signature of {0} does not match the text")]
    Signature(String),
}

impl VerifierKey {
    fn new(name: &str, key_type: KeyType, key: VerifyingKey) -> Result<Self, NoteError> {
        check_name(name).map_err(NoteError::Key)?;
        let hash: [u8; 32] = Sha256::new()
            .chain_update(name)
            .chain_update([b'\n', key_type as u8])
            .chain_update(key.as_bytes())
            .finalize()
            .into();
        let id = Cursor::new(&hash).u32().unwrap_or_default();
        Ok(Self {
            name: name.to_owned(),
            id,
            key_type,
            key,
        })
    }

    /// The key of this type that prints as `text`.
    pub(crate) fn parse(text: &str, key_type: KeyType) -> Result<Self, NoteError> {
        if text.len() > NAME_BYTES_MAX + 64 {
            return Err(NoteError::Key("it is too long"));
        }
        let shape = NoteError::Key("it has the form name+id+key");
        let (name, rest) = text.trim_end().split_once('+').ok_or(shape.clone())?;
        let (id, key) = rest.split_once('+').ok_or(shape)?;
        let key = BASE64
            .decode(key)
            .map_err(|_| NoteError::Key("the key is not base64"))?;
        let key = match key.split_first() {
            Some((found, key)) if *found == key_type as u8 => key,
            _ => return Err(NoteError::Key(key_type.expected())),
        };
        let key: [u8; 32] = key
            .try_into()
            .map_err(|_| NoteError::Key("an Ed25519 key has 32 bytes"))?;
        let key = VerifyingKey::from_bytes(&key)
            .map_err(|_| NoteError::Key("the bytes are no point of the curve"))?;
        let key = Self::new(name, key_type, key)?;
        if format!("{:08x}", key.id) != id {
            return Err(NoteError::Key("the id does not belong to name and key"));
        }
        Ok(key)
    }

    /// Name of the key; for a log also its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The short id that signature lines carry.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The raw public key.
    pub fn public_key(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Whether `signature` signs `text` under this key; refuses weak keys and malleable signatures.
    pub fn is_valid(&self, text: &[u8], signature: &SignatureBytes) -> bool {
        self.key
            .verify_strict(text, &Signature::from_bytes(signature))
            .is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![self.key_type as u8];
        bytes.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{:08x}+{}", self.name, self.id, BASE64.encode(bytes))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        Self::parse(text, KeyType::Note)
    }
}

impl KeyType {
    /// What is said where a key of another type is given.
    fn expected(self) -> &'static str {
        match self {
            Self::Note => "the key is not of type Ed25519",
            Self::Cosignature => "the key is not of type Ed25519 cosignature",
        }
    }
}

impl SignerKey {
    /// The key that grows from a 32-byte seed (RFC 8032).
    ///
    /// # Errors
    /// A name that is empty, too long, or has spaces, plus signs or control characters.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        Self::with_type(name, seed, KeyType::Note)
    }

    pub(crate) fn with_type(
        name: &str,
        seed: &[u8; 32],
        key_type: KeyType,
    ) -> Result<Self, NoteError> {
        let key = SigningKey::from_bytes(seed);
        Ok(Self {
            verifier: VerifierKey::new(name, key_type, key.verifying_key())?,
            key,
        })
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs `text`.
    pub fn sign(&self, text: &[u8]) -> SignatureBytes {
        self.key.sign(text).to_bytes()
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignerKey")
            .field("verifier", &self.verifier)
            .finish_non_exhaustive()
    }
}

impl NoteSignature {
    /// The signature line of an Ed25519 signature.
    pub fn new(key: &VerifierKey, signature: &SignatureBytes) -> Self {
        Self {
            name: key.name.clone(),
            key_id: key.id,
            bytes: signature.to_vec(),
        }
    }
}

impl SignedNote {
    /// Splits a note into text and signatures.
    ///
    /// # Errors
    /// Anything that is not a well-formed note; see the module.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Malformed("it is too long"));
        }
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(NoteError::Malformed("it holds a control character"));
        }
        let shape = NoteError::Malformed("no empty line between text and signatures");
        let (text, lines) = note.rsplit_once("\n\n").ok_or(shape)?;
        let lines = lines
            .strip_suffix('\n')
            .ok_or(NoteError::Malformed("it does not end in a newline"))?;
        let signatures = lines
            .split('\n')
            .map(parse_signature)
            .collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::Malformed("it has too many signatures"));
        }
        Ok(Self {
            text: format!("{text}\n"),
            signatures,
        })
    }

    /// The signature by `key`, verified.
    ///
    /// # Errors
    /// None is there, or it does not match the text.
    pub fn verify(&self, key: &VerifierKey) -> Result<SignatureBytes, NoteError> {
        let mut valid = None;
        for line in self.lines_of(key) {
            let signature: Option<SignatureBytes> = line.bytes.as_slice().try_into().ok();
            valid = signature.filter(|signature| key.is_valid(self.text.as_bytes(), signature));
            if valid.is_none() {
                return Err(NoteError::Signature(key.name.clone()));
            }
        }
        valid.ok_or_else(|| NoteError::Unsigned(key.name.clone()))
    }

    /// The lines that say they are by `key`.
    pub(crate) fn lines_of<'a>(
        &'a self,
        key: &'a VerifierKey,
    ) -> impl Iterator<Item = &'a NoteSignature> {
        self.signatures
            .iter()
            .filter(|line| line.name == key.name && line.key_id == key.id)
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for line in &self.signatures {
            let mut bytes = line.key_id.to_be_bytes().to_vec();
            bytes.extend_from_slice(&line.bytes);
            writeln!(f, "\u{2014} {} {}", line.name, BASE64.encode(bytes))?;
        }
        Ok(())
    }
}

fn parse_signature(line: &str) -> Result<NoteSignature, NoteError> {
    let shape = NoteError::Malformed("a signature line is not `\u{2014} name base64`");
    let rest = line.strip_prefix("\u{2014} ").ok_or(shape.clone())?;
    let (name, bytes) = rest.split_once(' ').ok_or(shape.clone())?;
    check_name(name).map_err(NoteError::Malformed)?;
    let bytes = BASE64.decode(bytes).map_err(|_| shape.clone())?;
    let mut cursor = Cursor::new(&bytes);
    let key_id = cursor.u32().ok_or(shape.clone())?;
    if cursor.is_empty() {
        return Err(shape);
    }
    Ok(NoteSignature {
        name: name.to_owned(),
        key_id,
        bytes: cursor.rest().to_vec(),
    })
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err("a key name has 1 to 200 bytes");
    }
    if name
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || c == '+')
    {
        return Err("a key name has no spaces, plus signs or control characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
