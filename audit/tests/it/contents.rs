//! What has no room in an entry is kept beside the log, as durable and as provable as the entry.

use std::{
    fs,
    path::{Path, PathBuf},
};

use dataos_audit::{Indexes, verify_directory};
use dataos_model::{
    fault::FaultKind,
    hash::Hash,
    record::Entry,
    seams::{Record, Records},
};
use dataos_proof::log::{Damage, DamageKind};

use crate::{
    scene::{entry, key, open, whole},
    sealed::{PACK, open_sealing, wait_sealed},
};

fn large(number: u64) -> Entry {
    let body = format!("{number} {}", "\u{e9}".repeat(50_000));
    entry(number).with_fact("body", body)
}

fn path(folder: &Path, entry: &Entry) -> PathBuf {
    let digest = Hash::of(&entry.facts["body"]);
    folder.join("contents").join(digest.to_string())
}

fn verified(folder: &Path) -> Result<u64, Damage> {
    let summary = verify_directory(folder, &key(), Vec::new(), 2, Indexes::MadeAgain)?;
    Ok(summary.log.size)
}

#[tokio::test]
async fn large_facts_read_back_before_and_after_sealing() {
    let folder = tempfile::tempdir().unwrap();
    let log = open_sealing(folder.path(), PACK);
    let count = PACK + 100;
    let make = |number| match number % 100 {
        // Of the same text, and kept once.
        7 => entry(number).with_fact("body", &large(0).facts["body"]),
        0 => large(number),
        _ => entry(number),
    };
    for number in 0..count {
        drop(log.append(make(number)));
        if number % 500 == 0 {
            log.append(entry(0)).await.unwrap();
        }
    }
    log.append(entry(0)).await.unwrap();
    wait_sealed(&log, PACK);
    log.close().unwrap();
    drop(log);
    let log = open_sealing(folder.path(), PACK);
    let (mut found, mut index) = (0, 0);
    while found < count {
        let stored = log.get(index).await.unwrap().entry;
        index += 1;
        if stored.request_id != make(found).request_id {
            continue;
        }
        assert_eq!(
            stored.facts.contains_key("body@sha256"),
            matches!(found % 100, 0 | 7)
        );
        assert_eq!(whole(&*log, stored).await.unwrap(), make(found));
        found += 1;
    }
    log.close().unwrap();
    drop(log);
    let files = fs::read_dir(folder.path().join("contents"))
        .unwrap()
        .count();
    assert_eq!(files as u64, count.div_ceil(100));
    assert!(verified(folder.path()).unwrap() > count);
}

#[tokio::test]
async fn damaged_and_missing_contents_are_found_and_located() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    for number in 0..3 {
        log.append(large(number)).await.unwrap();
    }
    log.close().unwrap();
    let file = path(folder.path(), &large(1));
    let good = fs::read(&file).unwrap();
    let found = |why: &str| {
        let damage = verified(folder.path()).unwrap_err();
        assert!(matches!(damage.kind, DamageKind::Content(_)), "{damage}");
        assert!(damage.to_string().contains(why), "{damage}");
        let digest = Hash::of(&good);
        assert_eq!(
            (damage.file, damage.index),
            (format!("contents/{digest}"), 1)
        );
    };
    for position in [0, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[position] ^= 1;
        fs::write(&file, bad).unwrap();
        found("something else");
        let fault = log.content(Hash::of(&good)).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Damaged);
    }
    fs::write(&file, &good[1..]).unwrap();
    found("something else");
    fs::remove_file(&file).unwrap();
    found("there is no content");
    fs::write(&file, &good).unwrap();
    assert!(verified(folder.path()).is_ok());
    let fault = log.content(Hash::of("else")).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound);
}
