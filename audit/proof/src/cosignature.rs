//! Cosignatures (C2SP tlog-cosignature, `cosignature/v1`): a witness has seen a checkpoint, at a time,
//! and it was consistent with every one that the witness saw before.
//!
//! A line of a note like any other, of signature type 0x04: its bytes are the time, POSIX seconds in
//! 8 bytes big-endian, and an Ed25519 signature over `cosignature/v1`, newline, `time `, the same
//! number in decimal, newline, and the text of the checkpoint.

use std::{fmt, str::FromStr};

use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    note::{KeyType, NoteError, NoteSignature, SignatureBytes, SignedNote, SignerKey, VerifierKey},
    wire::Cursor,
};

/// A verified cosignature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// What the witness saw.
    pub checkpoint: Checkpoint,
    /// When it says it saw it, POSIX seconds.
    pub time_s: u64,
}

/// The public key of a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKey(VerifierKey);

/// The private key of a witness.
#[derive(Debug)]
pub struct CosignerKey(SignerKey);

impl WitnessKey {
    /// Name of the witness.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The checkpoint of `note`, if this witness cosigned it. Whether the log signed it is another
    /// question: see [`Checkpoint::open`].
    ///
    /// # Errors
    /// A malformed note or checkpoint, no line of this witness, or one that does not match.
    pub fn open(&self, note: &str) -> Result<Cosigned, CheckpointError> {
        let note = SignedNote::parse(note)?;
        let time_s = self.time_of(&note)?;
        let checkpoint = Checkpoint::parse(&note.text)?;
        Ok(Cosigned { checkpoint, time_s })
    }

    /// The newest of this witness's lines, all of which must match.
    fn time_of(&self, note: &SignedNote) -> Result<u64, NoteError> {
        let mut newest = None;
        for line in note.lines_of(&self.0) {
            let mismatch = || NoteError::Signature(self.name().to_owned());
            let mut cursor = Cursor::new(&line.bytes);
            let time_s = cursor.u64().ok_or_else(mismatch)?;
            let signature: SignatureBytes = cursor.array().ok_or_else(mismatch)?;
            let text = signed_text(time_s, &note.text);
            if !cursor.is_empty() || !self.0.is_valid(text.as_bytes(), &signature) {
                return Err(mismatch());
            }
            newest = newest.max(Some(time_s));
        }
        newest.ok_or_else(|| NoteError::Unsigned(self.name().to_owned()))
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for WitnessKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        VerifierKey::parse(text, KeyType::Cosignature).map(Self)
    }
}

impl CosignerKey {
    /// The key that grows from a 32-byte seed (RFC 8032).
    ///
    /// # Errors
    /// A name that no key can have.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        SignerKey::with_type(name, seed, KeyType::Cosignature).map(Self)
    }

    /// The public half.
    pub fn witness(&self) -> WitnessKey {
        WitnessKey(self.0.verifier().clone())
    }

    /// The line that says that `checkpoint` was seen at `time_s`.
    pub fn cosign(&self, checkpoint: &Checkpoint, time_s: u64) -> NoteSignature {
        let text = signed_text(time_s, &checkpoint.text());
        let signature = self.0.sign(text.as_bytes());
        let mut line = NoteSignature::new(self.0.verifier(), &signature);
        line.bytes.splice(0..0, time_s.to_be_bytes());
        line
    }
}

fn signed_text(time_s: u64, checkpoint: &str) -> String {
    format!("cosignature/v1\ntime {time_s}\n{checkpoint}")
}
