use super::*;
use crate::{
    entry::{Effect, Header, Kind},
    note::SignerKey,
    tree::Frontier,
};

fn example() -> (SignerKey, String) {
    let key = SignerKey::from_seed("logs.example/demo", &[7; 32]).unwrap();
    let header = Header {
        kind: Kind(0),
        time_ms: 1_790_000_000_000,
        request_id: "request-1".to_owned(),
        effect: Some(Effect::Deny),
        action: "select".to_owned(),
        request_digest: [1; 32],
        policy_set: [2; 32],
    };
    let entry = Entry {
        header,
        details_hash: [3; 32],
    }
    .encode()
    .unwrap();
    let leaf = |number: u8| {
        if number == 5 {
            leaf_hash(&entry)
        } else {
            leaf_hash(&[number])
        }
    };
    let growth = Frontier::new().grow((0..7).map(leaf).collect());
    let checkpoint = Checkpoint {
        origin: "logs.example/demo".to_owned(),
        size: 7,
        root: growth.root(),
    };
    let receipt = Receipt {
        index: 5,
        tree_size: 7,
        key_id: key.verifier().id(),
        signature: checkpoint.sign(&key).1,
        entry,
        proof: growth.inclusion(5).unwrap(),
    };
    (key, receipt.encode())
}

#[test]
fn a_change_of_any_byte_is_found() {
    let (key, text) = example();
    let valid = verify(&text, key.verifier()).unwrap();
    assert_eq!((valid.index, valid.checkpoint.size), (5, 7));
    let bytes = BASE64URL.decode(&text).unwrap();
    for position in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[position] ^= change;
            let text = BASE64URL.encode(&changed);
            assert!(
                verify(&text, key.verifier()).is_err(),
                "byte {position} ^ {change:#x}"
            );
        }
    }
}

#[test]
fn a_change_of_any_character_is_found() {
    let (key, text) = example();
    for position in 0..text.len() {
        for character in ['A', 'B', '_', '=', '+', ' ', '\0', '\u{e9}'] {
            let mut characters: Vec<char> = text.chars().collect();
            if characters[position] == character {
                continue;
            }
            characters[position] = character;
            let changed: String = characters.into_iter().collect();
            assert!(
                verify(&changed, key.verifier()).is_err(),
                "{position} {character:?}"
            );
        }
        let shorter: String = text.chars().take(position).collect();
        assert!(verify(&shorter, key.verifier()).is_err());
    }
}

#[test]
fn bounds_hold_before_any_work() {
    let longest = "A".repeat(RECEIPT_CHARS_MAX + 1);
    assert_eq!(decode(&longest), Err(ReceiptError::TooLong(longest.len())));
    let (key, text) = example();
    let mut receipt = decode(&text).unwrap();
    receipt.proof = vec![[0; 32]; 64];
    assert_eq!(
        verify(&receipt.encode(), key.verifier()),
        Err(ReceiptError::Hashes(64))
    );
}
