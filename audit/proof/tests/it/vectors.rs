//! `vectors/receipts.json`: receipts for verifiers in other languages, such as the console's.
//!
//! The file is generated from fixed seeds; `DATAOS_WRITE_VECTORS=1 cargo test -p dataos-proof` writes
//! it anew. Without the variable the test fails on any difference, and checks each vector as an
//! outside verifier would: from the text alone.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dataos_proof::{
    checkpoint::Checkpoint,
    entry::{Effect, Entry, Header, Kind, details_hash},
    note::{SignerKey, VerifierKey},
    receipt::{self, Receipt},
    tree::{Frontier, leaf_hash},
};
use serde_json::{Value, json};

const SALT: [u8; 16] = *b"0123456789abcdef";
const DETAILS: &[u8] = b"details of the first entry";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/receipts.json")
}

fn entry(number: u64) -> Entry {
    let effect = match number % 3 {
        0 => Some(Effect::Allow),
        1 => Some(Effect::Deny),
        _ => None,
    };
    let byte = u8::try_from(number % 251).unwrap();
    let (kind, action) = if effect.is_some() {
        (0, "select")
    } else {
        (8, "")
    };
    let header = Header {
        kind: Kind(kind),
        time_ms: 1_790_000_000_000 + i64::try_from(number).unwrap(),
        request_id: format!("req-{number:05}-\u{e9}"),
        effect,
        action: action.to_owned(),
        request_digest: [byte; 32],
        policy_set: [byte ^ 0xff; 32],
    };
    let details = if number == 0 {
        DETAILS.to_vec()
    } else {
        number.to_be_bytes().to_vec()
    };
    Entry {
        header,
        details_hash: details_hash(&SALT, &details),
    }
}

/// The receipt of entry `index` in a log of `size` entries whose last batch begins at `first`.
fn make(key: &SignerKey, first: u64, size: u64, index: u64) -> Receipt {
    let leaf = |number| leaf_hash(&entry(number).encode().unwrap());
    let mut frontier = Frontier::new();
    (0..first).for_each(|number| frontier.push(leaf(number)));
    let growth = frontier.grow((first..size).map(leaf).collect());
    let checkpoint = Checkpoint {
        origin: key.verifier().name().to_owned(),
        size,
        root: growth.root(),
    };
    Receipt {
        index,
        tree_size: size,
        key_id: key.verifier().id(),
        signature: checkpoint.sign(key).1,
        entry: entry(index).encode().unwrap(),
        proof: growth.inclusion(index).unwrap(),
    }
}

fn valid(key: &SignerKey, name: &str, [first, size, index]: [u64; 3]) -> Value {
    let text = make(key, first, size, index).encode();
    let verified = receipt::verify(&text, key.verifier()).unwrap();
    let header = &verified.entry.header;
    json!({
        "name": name,
        "receipt": text,
        "expect": {
            "index": verified.index,
            "tree_size": verified.checkpoint.size,
            "root": hex::encode(verified.checkpoint.root),
            "hashes": verified.proof.len(),
            "kind": header.kind.0,
            "kind_name": header.kind.name(),
            "time_ms": header.time_ms,
            "request_id": header.request_id,
            "effect": header.effect.map(Effect::name),
            "action": header.action,
            "request_digest": hex::encode(header.request_digest),
            "policy_set": hex::encode(header.policy_set),
            "details_hash": hex::encode(verified.entry.details_hash),
            "checkpoint": verified.checkpoint_note,
        },
    })
}

/// Offset of the entry in a receipt.
const ENTRY: usize = 87;

/// Offset of the effect, behind the request id.
fn effect_at(bytes: &[u8]) -> usize {
    ENTRY + 11 + usize::from(bytes[ENTRY + 10])
}

/// What a change makes of a valid receipt, and how.
type Change<T> = (&'static str, fn(&mut T));

/// Changes to the bytes of a receipt with three inclusion hashes.
const BYTES: &[Change<Vec<u8>>] = &[
    ("a later version", |bytes| bytes[0] = 2),
    ("cut short by one byte", |bytes| {
        bytes.pop();
    }),
    ("one byte too many", |bytes| bytes.push(0)),
    ("allow turned into deny", |bytes| {
        let effect = effect_at(bytes);
        bytes[effect] ^= 3;
    }),
    ("an effect that does not exist", |bytes| {
        let effect = effect_at(bytes);
        bytes[effect] = 3;
    }),
    ("the time changed", |bytes| bytes[ENTRY + 9] ^= 1),
    ("the request id is not UTF-8", |bytes| {
        bytes[ENTRY + 11] = 0xff
    }),
    ("the details hash changed", |bytes| {
        let end = bytes.len() - 1 - 3 * 32;
        bytes[end - 1] ^= 1;
    }),
];

/// Changes to the fields of the same receipt.
const FIELDS: &[Change<Receipt>] = &[
    ("another index", |receipt| receipt.index = 2),
    ("an index beyond the tree", |receipt| receipt.index = 7),
    ("another tree size", |receipt| receipt.tree_size = 8),
    ("the signature changed", |receipt| receipt.signature[5] ^= 1),
    ("an inclusion hash changed", |receipt| {
        receipt.proof[0][0] ^= 1
    }),
    ("an inclusion hash missing", |receipt| {
        receipt.proof.truncate(2)
    }),
    ("an inclusion hash too many", |receipt| {
        receipt.proof.push([0; 32])
    }),
    ("two inclusion hashes swapped", |receipt| {
        receipt.proof.swap(0, 1)
    }),
];

fn invalid(key: &SignerKey) -> Vec<Value> {
    let good = make(key, 0, 7, 3);
    let other = SignerKey::from_seed("logs.example/demo", &[8; 32]).unwrap();
    let renamed = SignerKey::from_seed("logs.example/other", &[7; 32]).unwrap();
    let claiming = Receipt {
        key_id: key.verifier().id(),
        ..make(&other, 0, 7, 3)
    };
    let mut cases = vec![
        ("empty", String::new()),
        ("not base64url", "****".to_owned()),
        ("padded", format!("{}=", good.encode())),
        (
            "another key of the same name",
            make(&other, 0, 7, 3).encode(),
        ),
        (
            "the same key of another name",
            make(&renamed, 0, 7, 3).encode(),
        ),
        ("another key that claims this key's id", claiming.encode()),
    ];
    cases.extend(BYTES.iter().map(|(name, change)| {
        let mut bytes = URL_SAFE_NO_PAD.decode(good.encode()).unwrap();
        change(&mut bytes);
        (*name, URL_SAFE_NO_PAD.encode(bytes))
    }));
    cases.extend(FIELDS.iter().map(|(name, change)| {
        let mut receipt = good.clone();
        change(&mut receipt);
        (*name, receipt.encode())
    }));
    let verdict = |(name, text): (&str, String)| {
        let error = receipt::verify(&text, key.verifier()).expect_err(name);
        json!({ "name": name, "receipt": text, "error": error.to_string() })
    };
    cases.into_iter().map(verdict).collect()
}

fn generate() -> Value {
    let key = SignerKey::from_seed("logs.example/demo", &[7; 32]).unwrap();
    json!({
        "about": "Receipts for tests of verifiers; the layout is in src/receipt.rs and src/entry.rs.",
        "vkey": key.verifier().to_string(),
        "details": {
            "of_index": 0,
            "salt": hex::encode(SALT),
            "details": hex::encode(DETAILS),
            "details_hash": hex::encode(details_hash(&SALT, DETAILS)),
        },
        "valid": [
            valid(&key, "the only entry", [0, 1, 0]),
            valid(&key, "left of two", [0, 2, 0]),
            valid(&key, "right of two", [0, 2, 1]),
            valid(&key, "the last of an odd tree", [0, 5, 4]),
            valid(&key, "within a batch", [2, 7, 3]),
            valid(&key, "a tree of a power of two", [0, 256, 255]),
            valid(&key, "a second batch", [300, 513, 400]),
            valid(&key, "a lone entry at the right edge", [1023, 1025, 1024]),
        ],
        "invalid": invalid(&key),
    })
}

#[test]
fn the_file_is_what_the_code_makes() {
    let text = format!("{}\n", serde_json::to_string_pretty(&generate()).unwrap());
    if std::env::var_os("DATAOS_WRITE_VECTORS").is_some() {
        std::fs::write(path(), &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path()).unwrap(), text);
}

#[test]
fn the_file_alone_is_enough_to_verify() {
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path()).unwrap()).unwrap();
    let key: VerifierKey = file["vkey"].as_str().unwrap().parse().unwrap();
    for vector in file["valid"].as_array().unwrap() {
        let verified = receipt::verify(vector["receipt"].as_str().unwrap(), &key).unwrap();
        let header = &verified.entry.header;
        let expect = &vector["expect"];
        assert_eq!(expect["index"], verified.index, "{}", vector["name"]);
        assert_eq!(expect["request_id"], header.request_id.as_str());
        assert_eq!(expect["time_ms"], header.time_ms);
        assert_eq!(expect["effect"].as_str(), header.effect.map(Effect::name));
        assert_eq!(expect["checkpoint"], verified.checkpoint_note.as_str());
    }
    for vector in file["invalid"].as_array().unwrap() {
        let error = receipt::verify(vector["receipt"].as_str().unwrap(), &key).unwrap_err();
        assert_eq!(vector["error"], error.to_string(), "{}", vector["name"]);
    }
}
