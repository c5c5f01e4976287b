//! Hostile input: every decoder answers, whatever it is given, and what it accepts it would write.

use dataos_proof::{
    checkpoint::Checkpoint,
    entry::Entry,
    frame,
    note::{SignedNote, SignerKey, VerifierKey},
    proof::TlogProof,
    receipt,
    tile::TilePath,
    tree::{is_consistent, root_of_inclusion},
    verify_segments,
};
use proptest::prelude::*;

proptest! {
    #[test]
    fn bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(entry) = Entry::decode(&bytes) {
            prop_assert_eq!(entry.encode().unwrap(), bytes.clone());
        }
        let _ = frame::read(&bytes);
        let _ = frame::read_segment_header(&bytes);
        let key = SignerKey::from_seed("logs.example/demo", &[7; 32]).unwrap();
        let mut segment = frame::segment_header(0).to_vec();
        segment.extend_from_slice(&bytes);
        let segments = [(frame::segment_name(0), segment.as_slice())];
        if let Ok(summary) = verify_segments(segments, key.verifier()) {
            prop_assert_eq!(summary.size, 0);
            prop_assert_eq!(summary.torn.is_some(), bytes.iter().any(|byte| *byte != 0));
        }
    }

    #[test]
    fn texts(text in "\\PC{0,80}|[A-Za-z0-9_-]{0,900}|(c2sp.org/tlog-proof@v1\n)?(index [0-9]{1,20}\n)?([A-Za-z0-9+/=]{0,44}\n){0,5}\n(\u{2014} [a-z]{1,3} [A-Za-z0-9+/=]{0,12}\n){0,3}") {
        if let Ok(receipt) = receipt::decode(&text) {
            prop_assert_eq!(receipt.encode(), text.clone());
        }
        if let Ok(note) = SignedNote::parse(&text) {
            prop_assert_eq!(note.to_string(), text.clone());
        }
        if let Ok(checkpoint) = Checkpoint::parse(&text) {
            prop_assert_eq!(checkpoint.text(), text.clone());
        }
        if let Ok(proof) = text.parse::<TlogProof>() {
            prop_assert_eq!(proof.to_string(), text.clone());
        }
        let _ = text.parse::<VerifierKey>();
    }

    #[test]
    fn tile_paths(path in "tile/[0-9]{1,2}/(x[0-9]{3}/){0,7}[0-9]{3}(.p/[0-9]{1,3})?") {
        if let Ok(parsed) = path.parse::<TilePath>() {
            prop_assert_eq!(parsed.to_string(), path.clone());
        }
    }

    #[test]
    fn proofs(
        index in any::<u64>(),
        size in any::<u64>(),
        proof in prop::collection::vec(any::<[u8; 32]>(), 0..80),
    ) {
        let _ = root_of_inclusion(&[1; 32], index, size, &proof);
        prop_assert!(!is_consistent(index, &[1; 32], size, &[2; 32], &proof));
    }
}
