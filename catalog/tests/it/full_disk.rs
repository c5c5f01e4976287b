//! A disk that fills up while the catalog writes.

use std::{path::Path, process::Command};

use dataos_model::{fault::FaultKind, seams::Assets};

use crate::fixtures::{House, main_id, open};

/// A file system of so small a size; unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
            .arg(at)
            .output();
        mount
            .is_ok_and(|output| output.status.success())
            .then_some(Self(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily: the store's last handle may still be open.
        Command::new("umount").arg("-l").arg(self.0).status().ok();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_changes_and_loses_none() {
    let house = House::new().await;
    let folder = house.folder.path().join("small");
    let Some(_disk) = SmallDisk::mount(&folder) else {
        eprintln!("SKIPPED: a small disk can only be mounted by root");
        return;
    };
    let catalog = open(&folder, &house.sink, &house.secrets).await.unwrap();
    catalog.register_depot(house.lake_depot()).await.unwrap();
    for number in 0..20 {
        house.write(&format!("t{number}.csv"), "x\n1\n");
    }
    catalog.scan("lake").await.unwrap();

    let mut kept = Vec::new();
    let mut refused = 0;
    for number in 0..2000 {
        let id = main_id(&format!("t{}", number % 20));
        let tags = (0..60)
            .map(|tag| format!("tag-{number}-{tag}"))
            .collect::<Vec<_>>();
        match catalog.set_tags(&id, None, tags.clone()).await {
            Ok(()) => kept.push((id, tags)),
            Err(fault) => {
                assert_eq!(fault.kind, FaultKind::Unavailable, "{fault}");
                refused += 1;
            }
        }
        if refused == 3 {
            break;
        }
    }
    assert!(
        refused == 3 && kept.len() > 20,
        "{refused} refused, {} kept",
        kept.len()
    );
    let snapshot = catalog.snapshot();
    let last = |id: &_| {
        kept.iter()
            .rev()
            .find(|(kept, _)| kept == id)
            .map(|(_, tags)| tags.clone())
    };
    for (id, dataset) in &snapshot.datasets {
        let mut expected = last(id).unwrap();
        expected.sort();
        assert!(
            dataset.tags.iter().eq(&expected),
            "{id} shows what was acknowledged"
        );
        assert_eq!(
            house.sink.tags_of(&id.uid()),
            dataset.tags,
            "{id} at the PDP"
        );
    }

    // What was acknowledged is on the disk: a copy of the files opens to the same.
    let copy = house.folder.path().join("copy");
    std::fs::create_dir_all(copy.join("catalog")).unwrap();
    for entry in std::fs::read_dir(folder.join("catalog")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.join("catalog").join(entry.file_name())).unwrap();
    }
    drop(catalog);
    let reopened = open(&copy, &house.sink, &house.secrets).await.unwrap();
    assert_eq!(reopened.snapshot().hash, snapshot.hash);
}
