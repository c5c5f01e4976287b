//! Entries that a caller writes itself, on a quiet log.

use super::*;

/// Longer than a log is busy after a commit.
const PAUSE: Duration = Duration::from_millis(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_quiet_log_who_waits_writes() {
    let folder = tempfile::tempdir().unwrap();
    let disk = TestDisk::new();
    let log = open_on(folder.path(), &disk, 100);
    wait_for_spare(&log);
    assert_eq!(log.append_awaited(entry(0)).await.unwrap().index, 0);
    assert_eq!(disk.led(), 1);
    tokio::time::sleep(PAUSE).await;
    assert_eq!(log.append_awaited(entry(1)).await.unwrap().index, 1);
    assert_eq!(disk.led(), 2);
    // Who does other things meanwhile has it written.
    tokio::time::sleep(PAUSE).await;
    assert_eq!(log.append(entry(2)).await.unwrap().index, 2);
    assert_eq!(disk.led(), 2);
    // What nobody waits for goes with the next one, whoever writes that.
    log.append_behind(entry(3));
    assert_eq!(log.append_awaited(entry(4)).await.unwrap().index, 4);
    log.close().unwrap();
    drop(log);
    let log = open_on(folder.path(), &disk, 100);
    for number in 0..5 {
        assert_eq!(log.get(number).await.unwrap().entry, entry(number as usize));
    }
}

#[tokio::test]
async fn on_a_single_thread_nobody_is_kept_waiting_by_a_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = TestDisk::new();
    let log = open_on(folder.path(), &disk, 100);
    wait_for_spare(&log);
    assert_eq!(log.append_awaited(entry(0)).await.unwrap().index, 0);
    assert_eq!(disk.led(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_write_by_a_caller_stops_the_log() {
    for failure in [Mode::WritesFail, Mode::SyncsFail] {
        let folder = tempfile::tempdir().unwrap();
        let disk = TestDisk::new();
        let log = open_on(folder.path(), &disk, 100);
        wait_for_spare(&log);
        log.append_awaited(entry(0)).await.unwrap();
        tokio::time::sleep(PAUSE).await;
        disk.set(failure);
        let fault = log.append_awaited(entry(1)).await.unwrap_err();
        assert_eq!((disk.led(), fault.reason.as_str()), (2, "audit_stopped"));
        disk.set(Mode::Works);
        for later in [log.append(entry(2)), log.append_awaited(entry(3))] {
            assert_eq!(later.await.unwrap_err().reason, "audit_stopped");
        }
        assert!(log.close().is_err());
        drop(log);
        let log = open_on(folder.path(), &disk, 100);
        assert_eq!(log.get(0).await.unwrap().entry, entry(0));
    }
}

/// While a caller waits for the disk, others queue, the log closes behind all of them, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_comes_while_a_caller_writes_is_written_next() {
    let folder = tempfile::tempdir().unwrap();
    let disk = TestDisk::new();
    let log = open_on(folder.path(), &disk, 100);
    wait_for_spare(&log);
    disk.set(Mode::Waits);
    let leader = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.append_awaited(entry(0)).await }
    });
    let started = Instant::now();
    while disk.led() == 0 {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let waiting = [
        log.append(entry(1)),
        log.append_awaited(entry(2)),
        log.append(entry(3)),
    ];
    let closing = std::thread::spawn({
        let log = Arc::clone(&log);
        move || log.close()
    });
    assert_eq!(log.status().size, 0, "nothing is visible before its sync");
    disk.set(Mode::Works);
    assert_eq!(leader.await.unwrap().unwrap().index, 0);
    for (index, answer) in (1..).zip(waiting) {
        assert_eq!(answer.await.unwrap().index, index);
    }
    closing.join().unwrap().unwrap();
    assert_eq!(disk.led(), 1);
    assert_eq!(log.status().size, 5, "with the entry of the end");
}

/// Callers of all kinds, sometimes many at once and sometimes none: each entry has one place, in the order of
/// its caller.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_and_committer_take_turns() {
    const CALLERS: usize = 6;
    const EACH: usize = 120;
    let folder = tempfile::tempdir().unwrap();
    let disk = TestDisk::new();
    let log = open_on(folder.path(), &disk, 1000);
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let log = Arc::clone(&log);
        tasks.spawn(async move {
            let mut places = Vec::new();
            for number in 0..EACH {
                if number % 20 == caller {
                    tokio::time::sleep(PAUSE * (1 + caller as u32)).await;
                }
                let entry = entry(caller * EACH + number);
                let receipt = match (caller + number) % 3 {
                    0 => log.append(entry).await,
                    _ => log.append_awaited(entry).await,
                };
                places.push(receipt.unwrap().index);
                log.append_behind(self::entry(usize::MAX));
            }
            (caller, places)
        });
    }
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (caller, places) = done.unwrap();
        assert!(places.is_sorted());
        for (number, place) in places.iter().enumerate() {
            let stored = log.get(*place).await.unwrap();
            assert_eq!(stored.entry, entry(caller * EACH + number));
        }
        all.extend(places);
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), CALLERS * EACH);
    assert!(disk.led() > 0, "somebody led");
    log.close().unwrap();
    assert_eq!(log.status().size, 2 * (CALLERS * EACH) as u64 + 1);
}
