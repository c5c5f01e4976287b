//! SIGKILL at random times: what was acknowledged is there.
//!
//! A killed process loses nothing that the kernel has, so this proves the order of write, publish
//! and acknowledge, and recovery; it proves nothing about the sync itself.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use dataos_model::seams::{Record, Records};
use dataos_proof::receipt;

use crate::scene::{entry, key, open, verify};

/// Set for the child: the folder of its log.
const FOLDER: &str = "DATAOS_AUDIT_CRASH_FOLDER";

const KILLS: u64 = 60;

/// Appends from 16 tasks until it is killed, and prints each acknowledgement: number and receipt.
async fn append_until_killed(folder: &Path) {
    let log = open(folder);
    let base = log.status().size * 1_000_000;
    let tasks: Vec<_> = (0..16_u64)
        .map(|task| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for step in 0.. {
                    let number = base + step * 16 + task;
                    let receipt = log.append(entry(number)).await.unwrap();
                    // One write of one line: the reader sees it whole or not at all.
                    let line = format!("ack {number} {}\n", receipt.text);
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_sigkill() {
    if let Some(folder) = env::var_os(FOLDER) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build();
        return runtime
            .unwrap()
            .block_on(append_until_killed(Path::new(&folder)));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
    let mut kills_while_appending = 0;
    for round in 0..KILLS {
        let lines = run_and_kill(folder.path(), round);
        kills_while_appending += u64::from(!lines.is_empty());
        for (number, text) in lines {
            let verified = receipt::verify(&text, &key()).unwrap();
            assert_eq!(
                verified.entry.header.request_id,
                format!("request-{number}")
            );
            let former = acknowledged.insert(verified.index, number);
            assert_eq!(former, None, "index {} was given twice", verified.index);
        }
        if round % 6 == 5 {
            verify_all(folder.path(), &acknowledged);
        }
    }
    verify_all(folder.path(), &acknowledged);
    assert!(
        kills_while_appending >= KILLS / 2,
        "only {kills_while_appending} kills hit appends"
    );
}

/// Starts the child, kills it, and returns what it acknowledged. Odd rounds wait for the first
/// acknowledgement, so that they hit appends; even rounds hit the start and recovery too.
fn run_and_kill(folder: &Path, round: u64) -> Vec<(u64, String)> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::nothing_acknowledged_is_lost_by_sigkill",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (first, is_appending) = mpsc::channel();
    let reader = thread::spawn(move || {
        let lines = output.lines().map_while(Result::ok).filter_map(parse);
        lines.inspect(|_| _ = first.send(())).collect::<Vec<_>>()
    });
    if round % 2 == 1 {
        is_appending.recv_timeout(Duration::from_secs(60)).unwrap();
    }
    thread::sleep(Duration::from_micros(spread(round) % 100_000));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

fn parse(line: String) -> Option<(u64, String)> {
    let (number, text) = line.split_once("ack ")?.1.split_once(' ')?;
    Some((number.parse().ok()?, text.to_owned()))
}

/// Opens the log as the next start would; every acknowledged entry is there, and the folder verifies.
fn verify_all(folder: &Path, acknowledged: &BTreeMap<u64, u64>) {
    let log = open(folder);
    let size = log.status().size;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for (index, number) in acknowledged {
        assert!(*index < size, "acknowledged entry {index} is lost");
        let stored = runtime.block_on(log.get(*index)).unwrap();
        assert_eq!(stored.entry, entry(*number));
    }
    drop(log);
    let summary = verify(folder).unwrap();
    assert_eq!((summary.size, summary.torn), (size, None));
}

/// A spread-out number for each round, the same in each run.
fn spread(round: u64) -> u64 {
    round.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33
}
