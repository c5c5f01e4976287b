//! Proofs as text (C2SP tlog-proof): index, inclusion hashes and a checkpoint.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::{
    Digest,
    checkpoint::{Checkpoint, CheckpointError, parse_decimal, parse_hash},
    note::{NOTE_BYTES_MAX, VerifierKey},
    tree::{PROOF_HASHES_MAX, root_of_inclusion},
};

/// The first line.
const MAGIC: &str = "c2sp.org/tlog-proof@v1";

/// Longest proof that is read, in bytes.
const PROOF_BYTES_MAX: usize = NOTE_BYTES_MAX + 64 * 1024;

/// That an entry is in a log. Nothing in it may be believed before [`TlogProof::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Data for the application; not covered by any signature.
    pub extra: Option<Vec<u8>>,
    /// Position of the entry.
    pub index: u64,
    /// Inclusion proof, from the leaf's sibling up.
    pub hashes: Vec<Digest>,
    /// The checkpoint, a signed note.
    pub checkpoint: String,
}

/// Why a text is no proof, or proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// A text that is not a tlog-proof.
    #[error("the proof is malformed: {0}")]
    Malformed(&'static str),
    /// The checkpoint within.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The hashes do not lead from the entry to the root.
    #[error("the proof does not lead from this entry to the root of the checkpoint")]
    Mismatch,
}

impl TlogProof {
    /// Checks that the entry with this leaf hash is in the log that `key` belongs to.
    ///
    /// # Errors
    /// A checkpoint that does not verify, or hashes that do not lead to its root.
    pub fn verify(&self, leaf: &Digest, key: &VerifierKey) -> Result<Checkpoint, ProofError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, key)?;
        let root = root_of_inclusion(leaf, self.index, checkpoint.size, &self.hashes);
        if root == Some(checkpoint.root) {
            Ok(checkpoint)
        } else {
            Err(ProofError::Mismatch)
        }
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{MAGIC}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes
            .iter()
            .try_for_each(|hash| writeln!(f, "{}", BASE64.encode(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for TlogProof {
    type Err = ProofError;

    fn from_str(text: &str) -> Result<Self, ProofError> {
        let malformed = ProofError::Malformed;
        if text.len() > PROOF_BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or(malformed("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(MAGIC) {
            return Err(malformed("it does not begin with c2sp.org/tlog-proof@v1"));
        }
        let mut line = lines.next().ok_or(malformed("no index"))?;
        let mut extra = None;
        if let Some(data) = line.strip_prefix("extra ") {
            let data = BASE64
                .decode(data)
                .map_err(|_| malformed("the extra data is not base64"))?;
            extra = Some(data);
            line = lines.next().ok_or(malformed("no index"))?;
        }
        let index = line.strip_prefix("index ").and_then(parse_decimal);
        let index = index.ok_or(malformed("the index is not a decimal number"))?;
        // One more than fits, so that a longer list is seen without being read.
        let hashes = lines
            .take(PROOF_HASHES_MAX + 1)
            .map(parse_hash)
            .collect::<Option<Vec<_>>>();
        let hashes = hashes.ok_or(malformed("an inclusion hash is not a base64 SHA-256"))?;
        if hashes.len() > PROOF_HASHES_MAX {
            return Err(malformed("it has more than 63 inclusion hashes"));
        }
        Ok(Self {
            extra,
            index,
            hashes,
            checkpoint: checkpoint.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        note::SignerKey,
        tree::{Frontier, leaf_hash},
    };

    fn example(key: &SignerKey) -> TlogProof {
        let growth = Frontier::new().grow((0..9_u8).map(|number| leaf_hash(&[number])).collect());
        let origin = key.verifier().name().to_owned();
        let (checkpoint, _) = Checkpoint {
            origin,
            size: 9,
            root: growth.root(),
        }
        .sign(key);
        TlogProof {
            extra: None,
            index: 4,
            hashes: growth.inclusion(4).unwrap(),
            checkpoint,
        }
    }

    #[test]
    fn proofs_print_parse_and_verify() {
        let key = SignerKey::from_seed("logs.example/demo", &[7; 32]).unwrap();
        for extra in [None, Some(b"more".to_vec())] {
            let proof = TlogProof {
                extra,
                ..example(&key)
            };
            let read: TlogProof = proof.to_string().parse().unwrap();
            assert_eq!(read, proof);
            assert_eq!(
                read.verify(&leaf_hash(&[4]), key.verifier()).unwrap().size,
                9
            );
            assert_eq!(
                read.verify(&leaf_hash(&[5]), key.verifier()),
                Err(ProofError::Mismatch)
            );
        }
    }

    #[test]
    fn malformed_proofs_are_refused() {
        let key = SignerKey::from_seed("logs.example/demo", &[7; 32]).unwrap();
        let good = example(&key).to_string();
        let check = |text: String| {
            assert!(
                matches!(text.parse::<TlogProof>(), Err(ProofError::Malformed(_))),
                "{text}"
            );
        };
        check(String::new());
        check(good.replace("@v1", "@v2"));
        check(good.replace("index 4", "index 04"));
        check(good.replace("index 4", "index -4"));
        check(good.replace("index 4\n", ""));
        check(good.replace("index 4", "extra ?\nindex 4"));
        check(good.replace("index 4\n", "index 4\nA\n"));
        let hash = format!("{}=\n", "A".repeat(43));
        check(good.replace("index 4\n", &format!("index 4\n{}", hash.repeat(64))));
        check("x".repeat(PROOF_BYTES_MAX + 1));
    }
}
