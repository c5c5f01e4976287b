//! The compact receipt: the text of the header `DataOS-Receipt`.
//!
//! It shows that one entry is in the log, and what the entry's public header says: time, request id,
//! decision, action. It verifies offline with the log's verifier key alone. The text is unpadded
//! base64url (RFC 4648, 5) of these bytes; integers are big-endian:
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 1 | version of this layout, 1 |
//! | 1 | 8 | index of the entry, u64 |
//! | 9 | 8 | size of the tree that the checkpoint signs, u64 |
//! | 17 | 4 | id of the key that signed: the four bytes of the verifier key's hex id |
//! | 21 | 64 | Ed25519 signature of the checkpoint text |
//! | 85 | 2 | length n of the entry, u16 |
//! | 87 | n | the entry, as [`crate::entry`] lays it out |
//! | 87 + n | 1 | number h of inclusion hashes, at most 63 |
//! | 88 + n | 32 h | inclusion hashes (RFC 6962, 2.1.1), from the leaf's sibling up |
//!
//! Nothing follows. To verify:
//!
//! 1. decode strictly: alphabet, no padding, no left-over bits, no bytes left over;
//! 2. parse the entry; it must be canonical, see [`crate::entry`];
//! 3. leaf = SHA-256(0x00, entry bytes); fold the inclusion hashes by index and size (RFC 9162,
//!    2.1.3.2) to the root; the number of hashes must be exactly what index and size demand;
//! 4. the checkpoint text is `<key name>\n<size, decimal>\n<root, standard base64>\n`;
//! 5. the key id must be that of the verifier key, and the signature must be a valid Ed25519
//!    signature of the checkpoint text.
//!
//! Neither root nor origin is in the receipt: both follow, so a receipt cannot contradict itself.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};

use crate::{
    Digest,
    checkpoint::Checkpoint,
    entry::{ENTRY_BYTES_MAX, Entry, EntryError},
    note::{SignatureBytes, VerifierKey},
    proof::TlogProof,
    tree::{PROOF_HASHES_MAX, leaf_hash, root_of_inclusion},
    wire::Cursor,
};

/// The version that this module writes and reads.
pub const VERSION: u8 = 1;

/// Longest receipt, in characters.
pub const RECEIPT_CHARS_MAX: usize = (88 + ENTRY_BYTES_MAX + 32 * PROOF_HASHES_MAX).div_ceil(3) * 4;

/// A receipt as it stands in the header. Nothing in it may be believed before [`Receipt::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Position of the entry in the log.
    pub index: u64,
    /// Size of the tree that is signed.
    pub tree_size: u64,
    /// Id of the key that signed.
    pub key_id: u32,
    /// Signature of the checkpoint text.
    pub signature: SignatureBytes,
    /// Canonical bytes of the entry.
    pub entry: Vec<u8>,
    /// Inclusion proof, from the leaf's sibling up.
    pub proof: Vec<Digest>,
}

/// What a valid receipt shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedReceipt {
    /// Position of the entry in the log.
    pub index: u64,
    /// The public header and the hash of the details.
    pub entry: Entry,
    /// The log's head that the entry is proven to be under.
    pub checkpoint: Checkpoint,
    /// That head as a signed note.
    pub checkpoint_note: String,
    /// Inclusion proof, from the leaf's sibling up.
    pub proof: Vec<Digest>,
}

/// Why a receipt is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// More characters than any receipt has.
    #[error("the receipt has {0} characters; the longest has {RECEIPT_CHARS_MAX}")]
    TooLong(usize),
    /// Not unpadded base64url.
    #[error("the receipt is not unpadded base64url")]
    Base64,
    /// A version that this build does not know.
    #[error("receipt version {0} is not known; this build reads version 1")]
    Version(u8),
    /// The bytes end within a field.
    #[error("the receipt ends within its {0}")]
    Short(&'static str),
    /// Bytes follow the last field.
    #[error("{0} bytes follow the receipt")]
    Trailing(usize),
    /// More hashes than any proof has.
    #[error("the receipt has {0} inclusion hashes; at most {PROOF_HASHES_MAX} make sense")]
    Hashes(u8),
    /// The entry does not parse.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// Index, size and number of hashes do not fit together.
    #[error("{hashes} hashes do not prove entry {index} in a tree of {tree_size}")]
    Shape {
        /// Position of the entry.
        index: u64,
        /// Size of the tree.
        tree_size: u64,
        /// Number of hashes.
        hashes: usize,
    },
    /// Signed by another key.
    #[error("the receipt is signed by key {found:08x}, not by {expected:08x}")]
    Key {
        /// Id of the key that was asked for.
        expected: u32,
        /// Id in the receipt.
        found: u32,
    },
    /// The signature does not match: something in the receipt was changed.
    #[error("the signature does not match: the receipt was changed, or is of another log")]
    Signature,
}

impl Receipt {
    /// The text for the header.
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(88 + self.entry.len() + 32 * self.proof.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.index.to_be_bytes());
        bytes.extend_from_slice(&self.tree_size.to_be_bytes());
        bytes.extend_from_slice(&self.key_id.to_be_bytes());
        bytes.extend_from_slice(&self.signature);
        // Both lengths are bounded by construction; a receipt over a bound would not decode.
        bytes.extend_from_slice(
            &u16::try_from(self.entry.len())
                .unwrap_or(u16::MAX)
                .to_be_bytes(),
        );
        bytes.extend_from_slice(&self.entry);
        bytes.push(u8::try_from(self.proof.len()).unwrap_or(u8::MAX));
        self.proof
            .iter()
            .for_each(|hash| bytes.extend_from_slice(hash));
        BASE64URL.encode(bytes)
    }

    /// Checks everything; see the module for the steps.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn verify(&self, key: &VerifierKey) -> Result<VerifiedReceipt, ReceiptError> {
        let entry = Entry::decode(&self.entry)?;
        let (index, tree_size) = (self.index, self.tree_size);
        let root = root_of_inclusion(&leaf_hash(&self.entry), index, tree_size, &self.proof)
            .ok_or(ReceiptError::Shape {
                index,
                tree_size,
                hashes: self.proof.len(),
            })?;
        if self.key_id != key.id() {
            return Err(ReceiptError::Key {
                expected: key.id(),
                found: self.key_id,
            });
        }
        let checkpoint = Checkpoint {
            origin: key.name().to_owned(),
            size: tree_size,
            root,
        };
        if !key.is_valid(checkpoint.text().as_bytes(), &self.signature) {
            return Err(ReceiptError::Signature);
        }
        let checkpoint_note = checkpoint.note(key, &self.signature);
        Ok(VerifiedReceipt {
            index,
            entry,
            checkpoint,
            checkpoint_note,
            proof: self.proof.clone(),
        })
    }
}

impl VerifiedReceipt {
    /// The same as a C2SP proof, for verifiers written by others.
    pub fn tlog_proof(&self) -> TlogProof {
        TlogProof {
            extra: None,
            index: self.index,
            hashes: self.proof.clone(),
            checkpoint: self.checkpoint_note.clone(),
        }
    }
}

/// Parses the text of a receipt.
///
/// # Errors
/// Anything that [`Receipt::encode`] cannot have written; the entry is looked at by
/// [`Receipt::verify`].
pub fn decode(text: &str) -> Result<Receipt, ReceiptError> {
    if text.len() > RECEIPT_CHARS_MAX {
        return Err(ReceiptError::TooLong(text.len()));
    }
    let bytes = BASE64URL.decode(text).map_err(|_| ReceiptError::Base64)?;
    let mut cursor = Cursor::new(&bytes);
    match cursor.u8().ok_or(ReceiptError::Short("version"))? {
        VERSION => {}
        version => return Err(ReceiptError::Version(version)),
    }
    let index = cursor.u64().ok_or(ReceiptError::Short("index"))?;
    let tree_size = cursor.u64().ok_or(ReceiptError::Short("tree size"))?;
    let key_id = cursor.u32().ok_or(ReceiptError::Short("key id"))?;
    let signature = cursor.array().ok_or(ReceiptError::Short("signature"))?;
    let length = cursor.u16().ok_or(ReceiptError::Short("entry length"))?;
    let entry = cursor
        .take(usize::from(length))
        .ok_or(ReceiptError::Short("entry"))?
        .to_vec();
    let count = cursor.u8().ok_or(ReceiptError::Short("number of hashes"))?;
    if usize::from(count) > PROOF_HASHES_MAX {
        return Err(ReceiptError::Hashes(count));
    }
    let proof = (0..count)
        .map(|_| cursor.array())
        .collect::<Option<Vec<Digest>>>();
    let proof = proof.ok_or(ReceiptError::Short("inclusion hashes"))?;
    if !cursor.is_empty() {
        return Err(ReceiptError::Trailing(cursor.rest().len()));
    }
    Ok(Receipt {
        index,
        tree_size,
        key_id,
        signature,
        entry,
        proof,
    })
}

/// Decodes and verifies the text of a receipt.
///
/// # Errors
/// What is malformed, or does not match.
pub fn verify(text: &str, key: &VerifierKey) -> Result<VerifiedReceipt, ReceiptError> {
    decode(text)?.verify(key)
}

#[cfg(test)]
mod tests;
