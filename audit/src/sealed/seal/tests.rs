//! Sealing on a disk that is full for a while.

use std::{
    fs::File,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use dataos_model::{
    record::{Entry, EntryKind},
    seams::{Record, Records},
    secret::Secret,
};

use super::*;
use crate::{AuditConfig, AuditLog, disk::SystemDisk, log::tests::FixedClock};

/// A disk on which no file can grow while it is full.
#[derive(Debug, Default)]
struct FullDisk {
    is_full: AtomicBool,
    refused: AtomicU64,
}

impl Disk for FullDisk {
    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        SystemDisk.allocate(file, bytes)
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let grows = offset + bytes.len() as u64 > file.metadata()?.len();
        if grows && self.is_full.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(io::ErrorKind::StorageFull.into());
        }
        SystemDisk.write(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        SystemDisk.sync(file)
    }

    fn rename(&self, directory: &Path, from: &str, to: &str) -> io::Result<()> {
        SystemDisk.rename(directory, from, to)
    }
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn a_full_disk_delays_sealing_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(FullDisk::default());
    let config = AuditConfig {
        seal_entries: u64::from(BLOCK_ROWS),
        ..AuditConfig::new(folder.path(), "logs.example/test")
    };
    let (key, shared) = (Secret::new([7; 32]), Arc::clone(&disk));
    let log = AuditLog::open_on(&config, &key, Arc::new(FixedClock), shared).unwrap();
    disk.is_full.store(true, Ordering::SeqCst);
    let entry = |number: u64| Entry::new(EntryKind::Config, format!("request-{number}"));
    let waiting: Vec<_> = (0..1100).map(|number| log.append(entry(number))).collect();
    for receipt in waiting {
        receipt.await.unwrap();
    }
    wait_until("sealing is tried", || {
        disk.refused.load(Ordering::SeqCst) > 0
    });
    log.append(entry(1100)).await.unwrap();
    assert_eq!(log.status().sealed, 0);
    assert_eq!(log.get(5).await.unwrap().entry, entry(5));
    disk.is_full.store(false, Ordering::SeqCst);
    wait_until("sealing is tried again", || log.status().sealed == 1024);
    assert_eq!(log.get(5).await.unwrap().entry, entry(5));
    assert_eq!(log.append(entry(1101)).await.unwrap().index, 1101);
    log.close().unwrap();
    let names = crate::directory::names(folder.path()).unwrap();
    assert!(
        !names.iter().any(|name| super::super::is_unfinished(name)),
        "{names:?}"
    );
}

#[test]
fn it_rests_the_less_the_more_of_the_next_pack_is_there() {
    let of_next = [0, 256, 512, 1024, 5000].map(|of_next| rests(1024 + of_next, 1024));
    assert_eq!(of_next, [RESTS, RESTS * 0.75, RESTS * 0.5, 0.0, 0.0]);
    assert_eq!(rests(100, 1024), RESTS, "a pack that was larger before");
}
