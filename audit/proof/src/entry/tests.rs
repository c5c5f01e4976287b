use super::*;

fn example() -> Entry {
    let header = Header {
        kind: Kind(0),
        time_ms: 1_790_000_000_000,
        request_id: "request-1".to_owned(),
        effect: Some(Effect::Deny),
        action: "select".to_owned(),
        request_digest: [1; 32],
        policy_set: [2; 32],
    };
    Entry {
        header,
        details_hash: details_hash(&[3; 16], b"details"),
    }
}

#[test]
fn every_prefix_is_refused_and_every_encoding_is_canonical() {
    let bytes = example().encode().unwrap();
    assert_eq!(Entry::decode(&bytes).unwrap(), example());
    for length in 0..bytes.len() {
        assert!(
            matches!(Entry::decode(&bytes[..length]), Err(EntryError::Short(_))),
            "{length}"
        );
    }
    for position in 0..bytes.len() {
        for value in 0..=u8::MAX {
            let mut changed = bytes.clone();
            changed[position] = value;
            if let Ok(entry) = Entry::decode(&changed) {
                assert_eq!(entry.encode().unwrap(), changed);
            }
        }
    }
    let longer = [bytes, vec![0]].concat();
    assert_eq!(Entry::decode(&longer), Err(EntryError::Trailing(1)));
}

#[test]
fn what_cannot_be_written_is_refused() {
    let check = |change: &dyn Fn(&mut Header), expected: EntryError| {
        let mut entry = example();
        change(&mut entry.header);
        assert_eq!(entry.encode(), Err(expected));
    };
    check(
        &|header| header.request_id = "x".repeat(129),
        EntryError::TooLong {
            field: "request id",
            bytes: 129,
            max: 128,
        },
    );
    check(
        &|header| header.action = "x".repeat(300),
        EntryError::TooLong {
            field: "action",
            bytes: 300,
            max: 64,
        },
    );
    check(
        &|header| header.action = "a\u{1b}[31m".to_owned(),
        EntryError::Text("action"),
    );
    let mut longest = example();
    longest.header.request_id = "x".repeat(REQUEST_ID_BYTES_MAX);
    longest.header.action = "x".repeat(ACTION_BYTES_MAX);
    assert_eq!(longest.encode().unwrap().len(), ENTRY_BYTES_MAX);
}
