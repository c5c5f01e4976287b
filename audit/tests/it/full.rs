//! A disk that is really full: a tmpfs of a few megabytes, mounted in a namespace of the child's own,
//! which needs no root where users may have namespaces.

use std::{
    env, fs,
    io::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use dataos_audit::{AuditConfig, AuditLog};
use dataos_model::{
    record::{Entry, EntryKind, RecordQuery},
    seams::{Record, Records},
    secret::Secret,
};

use crate::{
    mounts::own_mounts,
    scene::{SEED, SetClock, config, verify},
};

const TEST: &str = "full::a_full_disk_refuses_at_once_loses_nothing_and_is_left_by_itself";

/// Set for the child: where the small disk is mounted.
const DISK: &str = "DATAOS_AUDIT_SMALL_DISK";

/// Longest time that a caller may wait while the disk is full.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// How soon the log goes on once there is room: it looks every second.
const RESUME_MAX: Duration = Duration::from_secs(10);

fn large(number: u64) -> Entry {
    crate::scene::entry(number).with_fact("padding", "x".repeat(40_000))
}

fn open(folder: &Path) -> Arc<AuditLog> {
    let config = AuditConfig {
        segment_bytes: 4 << 20,
        ..config(folder)
    };
    AuditLog::open(config, Secret::new(SEED), SetClock::new(1)).unwrap()
}

/// Takes all room that is left.
fn fill(ballast: &Path) {
    let mut file = fs::File::create(ballast).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
}

#[test]
fn a_full_disk_refuses_at_once_loses_nothing_and_is_left_by_itself() {
    if let Some(disk) = env::var_os(DISK) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build();
        return runtime.unwrap().block_on(on_small_disk(Path::new(&disk)));
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(mut command) = own_mounts(TEST) else {
        return;
    };
    let output = command
        .args(["sh", "-c"])
        .arg("mount -t tmpfs -o size=40m none \"$DATAOS_AUDIT_SMALL_DISK\" && exec \"$0\" \"$@\"")
        .arg(env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env(DISK, folder.path())
        .output();
    let output = output.expect("unshare is not installed; run: apt-get install -y util-linux");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let is_empty = fs::read_dir(folder.path()).unwrap().next().is_none();
    assert!(is_empty, "the small disk was not mounted");
}

/// Appends from 16 tasks until each was refused; the entries at their indexes, and the longest wait.
async fn append_until_refused(log: &Arc<AuditLog>) -> (Vec<(u64, u64)>, Duration) {
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let log = Arc::clone(log);
            tokio::spawn(async move {
                let (mut taken, mut longest) = (Vec::new(), Duration::ZERO);
                for number in (task..).step_by(16) {
                    let started = Instant::now();
                    let answer = log.append(large(number)).await;
                    longest = longest.max(started.elapsed());
                    match answer {
                        Ok(receipt) => taken.push((receipt.index, number)),
                        Err(fault) => {
                            assert_eq!(fault.reason, "audit_disk_full");
                            return (taken, longest);
                        }
                    }
                }
                unreachable!("the disk has an end");
            })
        })
        .collect();
    let (mut taken, mut longest) = (Vec::new(), Duration::ZERO);
    for task in tasks {
        let (its, its_longest) = task.await.unwrap();
        taken.extend(its);
        longest = longest.max(its_longest);
    }
    (taken, longest)
}

async fn on_small_disk(disk: &Path) {
    let (folder, ballast) = (disk.join("audit"), disk.join("ballast"));
    let log = open(&folder);
    let mut taken = Vec::new();
    // Twice, to see that it is not a state that is entered once.
    for round in 1..=2 {
        log.append(large(0)).await.unwrap();
        fill(&ballast);
        let (its, longest) = append_until_refused(&log).await;
        assert!(
            longest < WAIT_MAX,
            "round {round}: a caller waited {longest:?}"
        );
        assert!(
            !its.is_empty(),
            "round {round}: the segments that are there are used"
        );
        taken.extend(its);
        let status = log.status();
        assert_eq!(status.stopped, None);
        assert!(status.full.is_some());
        let outcome = Entry::new(EntryKind::Outcome, "request-0");
        log.append(outcome).await.expect("what was begun can end");

        fs::remove_file(&ballast).unwrap();
        let started = Instant::now();
        while log.status().full.is_some() {
            assert!(
                started.elapsed() < RESUME_MAX,
                "round {round}: it does not go on"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // The entry that ends the second time is queued before this one.
    log.append(large(1)).await.unwrap();
    let gaps = RecordQuery {
        kind: Some(EntryKind::Gap),
        limit: 10,
        ..RecordQuery::default()
    };
    let gaps = log.search(&gaps).await.unwrap().entries;
    let refused = gaps.iter().filter_map(|gap| gap.entry.facts.get("refused"));
    assert_eq!(refused.collect::<Vec<_>>(), ["16", "16"]);
    fill(&ballast);
    append_until_refused(&log).await;
    log.close().expect("the shutdown entry fits");
    fs::remove_file(&ballast).unwrap();
    let log = open(&folder);
    assert!(log.recovery().was_closed);
    for (index, number) in taken {
        assert_eq!(log.get(index).await.unwrap().entry, large(number));
    }
    drop(log);
    assert_eq!(verify(&folder).unwrap().torn, None);
}
