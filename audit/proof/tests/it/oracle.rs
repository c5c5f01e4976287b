//! Agreement with an independent implementation: `tlog_tiles` and `signed_note`.

use dataos_proof::{
    Digest,
    checkpoint::Checkpoint,
    note::SignerKey,
    tile::{TilePath, TileTree},
    tree::{Frontier, is_consistent, leaf_hash, root_of_inclusion},
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

#[test]
fn proofs_from_tiles_agree_for_every_size_and_index() {
    let oracle = stored(SIZE_MAX);
    let mut tree = TileTree::new();
    leaves(0..SIZE_MAX)
        .into_iter()
        .for_each(|leaf| tree.push(leaf));
    let roots: Vec<_> = (0..=SIZE_MAX)
        .map(|size| tlog::tree_hash(size, &oracle).unwrap())
        .collect();
    let root = |size: u64| roots[usize::try_from(size).unwrap()];
    for size in 1..=SIZE_MAX {
        assert_eq!(tree.root(size), Some(root(size).0));
        for index in (0..size)
            .step_by(if size % 32 == 0 { 1 } else { 37 })
            .chain([size - 1])
        {
            let proof = tree.inclusion(index, size).unwrap();
            assert_eq!(
                theirs(&proof),
                tlog::prove_record(size, index, &oracle).unwrap()
            );
            let leaf = leaf_hash(&entry(index));
            assert_eq!(
                root_of_inclusion(&leaf, index, size, &proof),
                Some(root(size).0)
            );
        }
    }
}

#[test]
fn consistency_proofs_agree_for_every_pair_of_sizes() {
    let oracle = stored(SIZE_MAX);
    let mut tree = TileTree::new();
    leaves(0..SIZE_MAX)
        .into_iter()
        .for_each(|leaf| tree.push(leaf));
    let roots: Vec<_> = (0..=SIZE_MAX)
        .map(|size| tree.root(size).unwrap())
        .collect();
    for new in 1..=SIZE_MAX {
        let new_root = &roots[usize::try_from(new).unwrap()];
        for old in (1..=new)
            .step_by(if new % 32 == 0 { 1 } else { 37 })
            .chain([new])
        {
            let old_root = &roots[usize::try_from(old).unwrap()];
            let proof = tree.consistency(old, new).unwrap();
            assert_eq!(theirs(&proof), tlog::prove_tree(new, old, &oracle).unwrap());
            assert!(
                is_consistent(old, old_root, new, new_root, &proof),
                "{old} {new}"
            );
            assert!(old == new || !is_consistent(old, &[0; 32], new, new_root, &proof));
            assert!(!is_consistent(old, old_root, new, &[0; 32], &proof));
            if let Some((_, shorter)) = proof.split_last() {
                assert!(!is_consistent(old, old_root, new, new_root, shorter));
            }
        }
        assert!(is_consistent(0, &roots[0], new, new_root, &[]));
    }
}

/// Sizes around the tile width, and one with three levels.
#[test]
fn tiles_agree() {
    for size in [1, 255, 256, 257, 511, 512, 513, 70_000] {
        let mut tree = TileTree::new();
        leaves(0..size).into_iter().for_each(|leaf| tree.push(leaf));
        let oracle = stored(size);
        for theirs in tlog_tiles::Tile::new_tiles(8, 0, size) {
            let path = TilePath {
                level: theirs.level(),
                index: theirs.level_index(),
                width: u16::try_from(theirs.width()).unwrap(),
            };
            // Their paths name the height, which tlog-tiles fixes to 8 and leaves out.
            assert_eq!(
                path.to_string(),
                theirs.path().replacen("tile/8/", "tile/", 1)
            );
            assert_eq!(
                tree.tile(&path).unwrap(),
                theirs.read_data(&oracle).unwrap()
            );
        }
    }
}
