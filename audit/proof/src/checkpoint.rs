//! Checkpoints (C2SP tlog-checkpoint): origin, tree size and root hash as the text of a note.
//!
//! The log's key has the origin as its name, and there are no extension lines.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::{
    Digest,
    note::{NoteError, NoteSignature, SignatureBytes, SignedNote, SignerKey, VerifierKey},
};

/// The head of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log.
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// Root hash at this size.
    pub root: Digest,
}

/// Why a text is not a checkpoint of the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A text that is not three lines of origin, size and root.
    #[error("the checkpoint is malformed: {0}")]
    Malformed(&'static str),
    /// A checkpoint of another log.
    #[error("the checkpoint is of log {found}, not of {expected}")]
    Origin {
        /// The log that the key belongs to.
        expected: String,
        /// The log that the checkpoint names.
        found: String,
    },
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        self.to_string()
    }

    /// Parses the text of a note.
    ///
    /// # Errors
    /// Anything that [`Checkpoint::text`] cannot have written.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let malformed = CheckpointError::Malformed;
        let text = text
            .strip_suffix('\n')
            .ok_or(malformed("no newline at its end"))?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(malformed("it has three lines: origin, size, root"));
        };
        if origin.is_empty() {
            return Err(malformed("the origin is empty"));
        }
        let size = parse_decimal(size).ok_or(malformed("the size is not a decimal number"))?;
        let root = parse_hash(root).ok_or(malformed("the root is not a base64 SHA-256"))?;
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
        })
    }

    /// Parses a whole note without looking at its signatures or its origin.
    ///
    /// # Errors
    /// A malformed note or text.
    pub fn parse_note(note: &str) -> Result<Self, CheckpointError> {
        Self::parse(&SignedNote::parse(note)?.text)
    }

    /// Signs; the result is the whole note and the bare signature.
    pub fn sign(&self, key: &SignerKey) -> (String, SignatureBytes) {
        let signature = key.sign(self.text().as_bytes());
        (self.note(key.verifier(), &signature), signature)
    }

    /// The whole note, from a signature made before.
    pub fn note(&self, key: &VerifierKey, signature: &SignatureBytes) -> String {
        let signatures = vec![NoteSignature::new(key, signature)];
        SignedNote {
            text: self.text(),
            signatures,
        }
        .to_string()
    }

    /// Parses and verifies a checkpoint of the log that `key` belongs to.
    ///
    /// # Errors
    /// A malformed note, another log, no signature by the key, or one that does not match.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, CheckpointError> {
        SignedNote::parse(note)?.verify(key)?;
        Self::read(note, key)
    }

    /// Parses a checkpoint of the log that `key` belongs to without looking at the signatures: for
    /// one that a later, verified checkpoint covers.
    ///
    /// # Errors
    /// A malformed note, or another log.
    pub fn read(note: &str, key: &VerifierKey) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse_note(note)?;
        if checkpoint.origin != key.name() {
            let (expected, found) = (key.name().to_owned(), checkpoint.origin);
            return Err(CheckpointError::Origin { expected, found });
        }
        Ok(checkpoint)
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            BASE64.encode(self.root)
        )
    }
}

/// A decimal number without sign or leading zeroes.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A SHA-256 in standard base64.
pub(crate) fn parse_hash(text: &str) -> Option<Digest> {
    BASE64.decode(text).ok()?.try_into().ok()
}
