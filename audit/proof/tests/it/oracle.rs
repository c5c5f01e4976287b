//! Agreement with an independent implementation: `tlog_tiles` and `signed_note`.

use dataos_proof::{
    Digest,
    checkpoint::Checkpoint,
    cosignature::{CosignerKey, WitnessKey},
    note::{SignedNote, SignerKey},
    tile::{TilePath, TileTree},
    tree::{Frontier, is_consistent, leaf_hash, root_of_inclusion},
};
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::tlog::{self, Hash, HashReader};

/// Sizes that are all compared.
const SIZE_MAX: u64 = 600;

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
            .step_by(193)
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

/// A verifier of cosignatures for the other implementation, from the words of the specification.
struct TheirWitness {
    name: &'static str,
    id: u32,
    key: ed25519_dalek::VerifyingKey,
}

impl signed_note::Verifier for TheirWitness {
    fn name(&self) -> &str {
        self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let (time, signature) = signature.split_at(8);
        let time = u64::from_be_bytes(time.try_into().unwrap());
        let mut signed = format!("cosignature/v1\ntime {time}\n").into_bytes();
        signed.extend_from_slice(text);
        let signature = ed25519_dalek::Signature::from_slice(signature).unwrap();
        self.key.verify_strict(&signed, &signature).is_ok()
    }
}

#[test]
fn cosignatures_agree() {
    let log = SignerKey::from_seed("logs.example/demo", &[7; 32]).unwrap();
    let witness = CosignerKey::from_seed("witness.example/w", &[8; 32]).unwrap();
    let checkpoint = Checkpoint {
        origin: log.verifier().name().to_owned(),
        size: 42,
        root: [9; 32],
    };
    let (text, _) = checkpoint.sign(&log);
    let mut note = SignedNote::parse(&text).unwrap();
    note.signatures
        .push(witness.cosign(&checkpoint, 1_700_000_000));
    let text = note.to_string();

    let printed = witness.witness().to_string();
    let key = ed25519_dalek::SigningKey::from_bytes(&[8; 32]).verifying_key();
    let name = "witness.example/w";
    let id = signed_note::key_id(name, &[&[4], key.as_bytes().as_slice()].concat());
    let theirs = TheirWitness { name, id, key };
    let standard = StandardVerifier::new(&log.verifier().to_string()).unwrap();
    let known = VerifierList::new(vec![Box::new(standard), Box::new(theirs)]);
    let (valid, unknown) = Note::from_bytes(text.as_bytes())
        .unwrap()
        .verify(&known)
        .unwrap();
    assert_eq!((valid.len(), unknown.len()), (2, 0));

    // The log's own signature still verifies, and each key is of its own kind.
    assert_eq!(Checkpoint::open(&text, log.verifier()).unwrap(), checkpoint);
    let seen = printed.parse::<WitnessKey>().unwrap().open(&text).unwrap();
    assert_eq!(
        (seen.checkpoint, seen.time_s),
        (checkpoint.clone(), 1_700_000_000)
    );
    assert!(printed.parse::<dataos_proof::note::VerifierKey>().is_err());
    assert!(log.verifier().to_string().parse::<WitnessKey>().is_err());

    // Neither the time nor the checkpoint can be changed, and a cut line is no cosignature.
    let refused = |change: &dyn Fn(&mut SignedNote)| {
        let mut note = note.clone();
        change(&mut note);
        assert!(witness.witness().open(&note.to_string()).is_err());
    };
    refused(&|note| note.signatures[1].bytes[7] ^= 1);
    refused(&|note| note.text = note.text.replace("42", "43"));
    refused(&|note| note.signatures[1].bytes.truncate(71));
    refused(&|note| note.signatures[1].bytes.push(0));
    refused(&|note| note.signatures.truncate(1));
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
            .step_by(if size % 64 == 0 { 1 } else { 37 })
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
            .step_by(if new % 64 == 0 { 1 } else { 37 })
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

/// Random entries of random large trees: both accept what either proves, and neither accepts a proof
/// in which one hash, the order, the index or the root is another.
#[test]
fn proofs_of_large_trees_agree_valid_or_not() {
    let mut seed = 42_u64;
    let mut random = move |below: u64| {
        // SplitMix64 (Steele, Lea, Flood 2014).
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    };
    const LARGE: u64 = 70_000;
    let oracle = stored(LARGE);
    let mut tree = TileTree::new();
    leaves(0..LARGE)
        .into_iter()
        .for_each(|leaf| tree.push(leaf));
    for _ in 0..400 {
        let size = 1 + random(LARGE);
        let index = random(size);
        let leaf = leaf_hash(&entry(index));
        let root = tlog::tree_hash(size, &oracle).unwrap();
        assert_eq!(tree.root(size), Some(root.0));
        let proof = tree.inclusion(index, size).unwrap();
        let check = |index: u64, root: Digest, proof: &[Digest]| {
            let ours = root_of_inclusion(&leaf, index, size, proof) == Some(root);
            let other = tlog::check_record(&theirs(proof), size, Hash(root), index, Hash(leaf));
            assert_eq!(ours, other.is_ok(), "entry {index} of {size}");
            ours
        };
        assert!(check(index, root.0, &proof));
        assert!(!check(index, leaf_hash(b"other"), &proof));
        assert!(!check(index, root.0, &[proof.as_slice(), &[leaf]].concat()));
        if let Some(position) = (!proof.is_empty()).then(|| random(proof.len() as u64)) {
            let mut changed = proof.clone();
            changed[usize::try_from(position).unwrap()][usize::try_from(random(32)).unwrap()] ^= 1;
            assert!(!check(index, root.0, &changed));
            assert!(!check(index, root.0, &proof[1..]));
            assert!(!check(index ^ 1, root.0, &proof) || index ^ 1 >= size);
        }
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
