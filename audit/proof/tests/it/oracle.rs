//! Agreement with an independent implementation: `tlog_tiles` and `signed_note`.

use dataos_proof::{
    Digest,
    checkpoint::Checkpoint,
    note::SignerKey,
    tree::{Frontier, leaf_hash, root_of_inclusion},
};
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::tlog::{self, Hash, HashReader};

/// Sizes that are all compared.
const SIZE_MAX: u64 = 300;

/// The other implementation's store: hashes in its own order.
#[derive(Default)]
pub(crate) struct Stored(Vec<Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog::Error> {
        Ok(indexes
            .iter()
            .map(|index| self.0[usize::try_from(*index).unwrap()])
            .collect())
    }
}

pub(crate) fn entry(number: u64) -> Vec<u8> {
    format!("entry {number}").into_bytes()
}

pub(crate) fn leaves(range: std::ops::Range<u64>) -> Vec<Digest> {
    range.map(|number| leaf_hash(&entry(number))).collect()
}

pub(crate) fn stored(size: u64) -> Stored {
    let mut stored = Stored::default();
    for number in 0..size {
        let more = tlog::stored_hashes(number, &entry(number), &stored).unwrap();
        stored.0.extend(more);
    }
    stored
}

pub(crate) fn theirs(hashes: &[Digest]) -> Vec<Hash> {
    hashes.iter().map(|hash| Hash(*hash)).collect()
}

#[test]
fn roots_and_receipt_proofs_agree_for_every_batch_of_every_size() {
    let oracle = stored(SIZE_MAX);
    let mut old = Frontier::new();
    for first in 0..SIZE_MAX {
        assert_eq!(old.root(), tlog::tree_hash(first, &oracle).unwrap().0);
        // All ends would be quadratic times linear; these cover odd, even, and every power of two.
        for size in (first + 1..=SIZE_MAX)
            .step_by(97)
            .chain([(first + 1).next_power_of_two()])
        {
            let size = size.min(SIZE_MAX).max(first + 1);
            let mut frontier = old.clone();
            let growth = frontier.grow(leaves(first..size));
            let root = tlog::tree_hash(size, &oracle).unwrap();
            assert_eq!(
                (growth.root(), frontier.root()),
                (root.0, root.0),
                "{first}..{size}"
            );
            assert_eq!((growth.size(), frontier.size()), (size, size));
            for index in first..size {
                let proof = growth.inclusion(index).unwrap();
                let leaf = leaf_hash(&entry(index));
                assert_eq!(root_of_inclusion(&leaf, index, size, &proof), Some(root.0));
                tlog::check_record(&theirs(&proof), size, root, index, Hash(leaf)).unwrap();
            }
            assert_eq!(growth.inclusion(size), None);
        }
        old.push(leaf_hash(&entry(first)));
    }
}

#[test]
fn notes_and_keys_agree() {
    let key = SignerKey::from_seed("logs.example/demo", &[7; 32]).unwrap();
    let checkpoint = Checkpoint {
        origin: key.verifier().name().to_owned(),
        size: 42,
        root: [9; 32],
    };
    let (text, _) = checkpoint.sign(&key);
    let note = Note::from_bytes(text.as_bytes()).unwrap();
    let verifier = StandardVerifier::new(&key.verifier().to_string()).unwrap();
    let (valid, unknown) = note
        .verify(&VerifierList::new(vec![Box::new(verifier)]))
        .unwrap();
    assert_eq!((valid.len(), unknown.len()), (1, 0));
    let theirs = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!((theirs.origin(), theirs.size()), ("logs.example/demo", 42));
    assert_eq!(theirs.hash(), &Hash([9; 32]));
    assert_eq!(Checkpoint::open(&text, key.verifier()).unwrap(), checkpoint);
}
