//! Reading: search, proofs, tiles, checkpoints.

use dataos_audit::AuditLog;
use dataos_model::{
    clock::Timestamp,
    decision::Effect,
    fault::FaultKind,
    record::{EntryKind, RecordQuery},
    seams::{Record, Records},
};
use dataos_proof::{
    checkpoint::Checkpoint,
    proof::TlogProof,
    receipt,
    tile::{BundlePath, TilePath, bundle_entries},
    tree::{Frontier, leaf_hash},
};

use crate::{
    scene::{TIME_MS, entry, key, open},
    sealed::{PACK, open_sealing, wait_sealed},
};

/// A change to an empty query, and the same condition by hand.
type Case = (fn(&mut RecordQuery), fn(u64) -> bool);

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

const CASES: &[Case] = &[
    (|_| {}, |_| true),
    (|query| query.principal = text("user-3"), |n| n % 10 == 3),
    (
        |query| query.principal = text("DataOS::User::\"user-3\""),
        |n| n % 10 == 3,
    ),
    (|query| query.principal = text("user"), |_| false),
    (|query| query.action = text("insert"), |n| n % 2 == 1),
    (
        |query| query.resource = text("lake/sales/table-6"),
        |n| n % 7 == 6,
    ),
    (
        |query| query.effect = Some(Effect::Deny),
        |n| n.is_multiple_of(3),
    ),
    (|query| query.kind = Some(EntryKind::Decision), |_| true),
    (|query| query.kind = Some(EntryKind::Gap), |_| false),
    (|query| query.policy = text("policy-4"), |n| n % 5 == 4),
    (|query| query.request_id = text("request-123"), |n| n == 123),
    (|query| query.text = text("from orders"), |_| true),
    (
        |query| query.text = text("SELECT 69"),
        |n| n.to_string().starts_with("69"),
    ),
    (|query| query.before = Some(10), |n| n < 10),
    (|query| query.after = Some(10), |n| n > 10),
    (
        |query| {
            query.after = Some(300);
            query.action = text("insert");
        },
        |n| n > 300 && n % 2 == 1,
    ),
    (|query| query.after = Some(9_999), |_| false),
    (|query| query.from = Some(Timestamp(TIME_MS + 1)), |_| false),
    (|query| query.from = Some(Timestamp(TIME_MS)), |_| true),
    (|query| query.to = Some(Timestamp(TIME_MS)), |_| false),
    (
        |query| {
            query.principal = text("user-4");
            query.action = text("select");
            query.effect = Some(Effect::Deny);
            query.text = text("forbidden");
        },
        |n| n % 10 == 4 && n.is_multiple_of(3),
    ),
];

/// The indexes of all pages of a search, in order.
async fn all_pages(log: &AuditLog, mut query: RecordQuery) -> Vec<u64> {
    let mut found = Vec::new();
    loop {
        let page = log.search(&query).await.unwrap();
        assert!(page.entries.len() <= query.limit);
        for stored in page.entries {
            // The shutdown entry at the end is not one of ours.
            if stored.entry.kind != EntryKind::Shutdown {
                assert_eq!(stored.entry, entry(stored.index));
                found.push(stored.index);
            }
        }
        match page.next_before {
            Some(before) => query.before = Some(before),
            None => return found,
        }
    }
}

/// Every filter, alone and together, against the same filter done by hand; across blocks, pages and
/// a restart.
#[tokio::test]
async fn search_filters_and_pages() {
    const ENTRIES: u64 = 700;
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let waiting: Vec<_> = (0..ENTRIES)
        .map(|number| log.append(entry(number)))
        .collect();
    for receipt in waiting {
        receipt.await.unwrap();
    }
    log.close().unwrap();
    let log = open(folder.path());
    for (change, filter) in CASES {
        for limit in [7, 1000] {
            let mut query = RecordQuery {
                limit,
                ..RecordQuery::default()
            };
            change(&mut query);
            let found = all_pages(&log, query.clone()).await;
            let expected: Vec<u64> = (0..ENTRIES).rev().filter(|n| filter(*n)).collect();
            assert_eq!(found, expected, "{query:?}");
        }
    }
}

#[tokio::test]
async fn proofs_checkpoint_and_tiles_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let empty = Checkpoint::open(&log.checkpoint().await.unwrap(), &key()).unwrap();
    assert_eq!((empty.size, empty.root), (0, Frontier::new().root()));
    let waiting: Vec<_> = (0..300).map(|number| log.append(entry(number))).collect();
    let mut leaves = Vec::new();
    for receipt in waiting {
        let receipt = receipt::decode(&receipt.await.unwrap().text).unwrap();
        leaves.push(leaf_hash(&receipt.entry));
    }
    let checkpoint = Checkpoint::open(&log.checkpoint().await.unwrap(), &key()).unwrap();
    assert_eq!(checkpoint.size, 300);
    assert_eq!(checkpoint.root, Frontier::new().grow(leaves.clone()).root());
    assert_eq!(checkpoint.root, log.status().root.0);
    for (index, leaf) in (0_u64..).zip(&leaves) {
        let proof: TlogProof = log.proof(index).await.unwrap().parse().unwrap();
        assert_eq!(proof.verify(leaf, &key()).unwrap(), checkpoint);
        assert_eq!(
            leaf_hash(&proof.extra.unwrap()),
            *leaf,
            "the proof carries the entry"
        );
    }
    assert_eq!(
        log.tile("tile/0/000").await.unwrap(),
        leaves[..256].concat()
    );
    assert_eq!(
        log.tile("tile/0/001.p/44").await.unwrap(),
        leaves[256..].concat()
    );
    assert_eq!(
        log.tile("tile/1/000.p/1").await.unwrap(),
        Frontier::new().grow(leaves[..256].to_vec()).root().to_vec()
    );
    for path in [
        "tile/0/001",
        "tile/0/002.p/1",
        "tile/entries/000",
        "../checkpoint",
        "",
    ] {
        assert_eq!(
            log.tile(path).await.unwrap_err().kind,
            FaultKind::NotFound,
            "{path}"
        );
    }
    assert_eq!(log.proof(300).await.unwrap_err().kind, FaultKind::NotFound);
    assert_eq!(log.get(300).await.unwrap_err().kind, FaultKind::NotFound);
    assert_eq!(
        log.get(u64::MAX).await.unwrap_err().kind,
        FaultKind::NotFound
    );
}

#[tokio::test]
async fn bundles_have_the_entries_below_the_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let log = open_sealing(folder.path(), PACK);
    let size = PACK + 300;
    for number in 0..size {
        let appended = log.append(entry(number));
        if number % 200 == 0 || number + 1 == size {
            appended.await.unwrap();
        }
    }
    wait_sealed(&log, PACK);
    for (at, width) in [(0, 256), (3, 256), (4, 256), (2, 9), (5, 44), (5, 1)] {
        let (index, width) = (at, u16::try_from(width).unwrap());
        let bundle = BundlePath { index, width }.to_string();
        let bundle = log.bundle(&bundle).await.unwrap();
        let level = 0;
        let tile = TilePath {
            level,
            index,
            width,
        }
        .to_string();
        let tile = log.tile(&tile).await.unwrap();
        let leaves = bundle_entries(&bundle).unwrap().into_iter().map(leaf_hash);
        assert_eq!(
            leaves.flatten().collect::<Vec<u8>>(),
            tile,
            "{index} {width}"
        );
    }
    for absent in [
        "tile/entries/005.p/45",
        "tile/entries/x072/x057/x594/x037/x927/935",
        "tile/entries/005",
        "tile/entries/x9/000",
        "tile/0/000",
    ] {
        let fault = log.bundle(absent).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::NotFound, "{absent}");
    }
}
