//! A process that appends to a log until something ends it, and what it said before: the test
//! binary itself, told by the environment to be the child.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use dataos_audit::{AuditConfig, AuditLog};
use dataos_model::{
    record::Entry,
    seams::{Record, Records},
    secret::Secret,
};
use dataos_proof::receipt;

use crate::scene::{SEED, SetClock, config, entry, key, try_open, verify, whole};

/// Set for the child: the folder of its log.
const FOLDER: &str = "DATAOS_AUDIT_CHILD_FOLDER";

/// How many times as many faults as usual the tests are to make: `DATAOS_FAULTS=50`.
pub(crate) fn times(count: u64) -> u64 {
    let factor = env::var("DATAOS_FAULTS").ok();
    count
        * factor
            .and_then(|factor| factor.parse::<u64>().ok())
            .unwrap_or(1)
}

/// An entry of up to 3 kB, different for each number; one in 61 has a fact that no entry has room for.
pub(crate) fn padded(number: u64) -> Entry {
    let padding = match number % 61 {
        0 => 60_000,
        _ => usize::try_from(number * 7919 % 3000).unwrap(),
    };
    entry(number).with_fact("padding", format!("{number} {}", "x".repeat(padding)))
}

/// To be called first by each test that starts children: true in the child, after its work.
pub(crate) fn is_child() -> bool {
    let Some(folder) = env::var_os(FOLDER) else {
        return false;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build();
    runtime.unwrap().block_on(append(Path::new(&folder)));
    true
}

/// One write of one line: the reader sees it whole or not at all.
fn say(line: &str) {
    std::io::stdout()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

/// Appends from 16 tasks until the log refuses, says each acknowledgement and how it ended.
async fn append(folder: &Path) {
    let config = AuditConfig {
        segment_bytes: 4 << 20,
        ..config(folder)
    };
    let log = match AuditLog::open(config, Secret::new(SEED), SetClock::new(1)) {
        Ok(log) => log,
        Err(fault) => return say(&format!("said not opened: {fault}")),
    };
    let base = log.status().size * 1_000_000;
    let tasks: Vec<_> = (0..16_u64)
        .map(|task| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for step in 0.. {
                    let number = base + step * 16 + task;
                    match log.append(padded(number)).await {
                        Ok(receipt) => say(&format!("ack {number} {}", receipt.text)),
                        Err(fault) => return say(&format!("said {}", fault.reason)),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let refused = log.append(padded(0)).await.unwrap_err();
    say(&format!("said later {}", refused.reason));
    say(&format!("said stopped {:?}", log.status().stopped));
    say(&format!("said closed {}", log.close().is_ok()));
}

/// What a child said so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// Number of the entry and receipt of each acknowledgement.
    pub(crate) acknowledged: Vec<(u64, String)>,
    /// Everything else.
    pub(crate) other: Vec<String>,
}

/// A running child.
pub(crate) struct Appender {
    child: Child,
    said: Arc<Mutex<Said>>,
    is_appending: mpsc::Receiver<()>,
    reader: JoinHandle<()>,
}

impl Appender {
    /// Starts this test binary as the child of `test`, which calls [`is_child`] first.
    pub(crate) fn start(test: &str, folder: &Path, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(FOLDER, folder)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let said = Arc::new(Mutex::new(Said::default()));
        let (first, is_appending) = mpsc::channel();
        let reader = {
            let said = Arc::clone(&said);
            thread::spawn(move || {
                for line in output.lines().map_while(Result::ok) {
                    let mut said = said.lock().unwrap();
                    if let Some(acknowledged) = parse(&line) {
                        said.acknowledged.push(acknowledged);
                        let _ = first.send(());
                    } else if let Some((_, other)) = line.split_once("said ") {
                        said.other.push(other.to_owned());
                    }
                }
            })
        };
        Self {
            child,
            said,
            is_appending,
            reader,
        }
    }

    /// Waits for the first acknowledgement.
    pub(crate) fn wait_until_appending(&self) {
        let first = self.is_appending.recv_timeout(Duration::from_secs(60));
        first.expect("the child acknowledges within a minute");
    }

    /// What it said until now.
    pub(crate) fn said(&self) -> Said {
        self.said.lock().unwrap().clone()
    }

    /// Waits for its end, and returns all it said.
    pub(crate) fn wait(mut self) -> Said {
        self.child.wait().unwrap();
        self.reader.join().unwrap();
        let said = self.said.lock().unwrap();
        said.clone()
    }

    /// Kills it, and returns all it said.
    pub(crate) fn kill(mut self) -> Said {
        self.child.kill().unwrap();
        self.wait()
    }
}

fn parse(line: &str) -> Option<(u64, String)> {
    let (number, text) = line.split_once("ack ")?.1.split_once(' ')?;
    Some((number.parse().ok()?, text.to_owned()))
}

/// All that was ever acknowledged in one folder: number of the entry at each index.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged(BTreeMap<u64, u64>);

impl Acknowledged {
    /// Adds what a child said; each receipt verifies, no index is given twice.
    pub(crate) fn add(&mut self, said: &Said) {
        for (number, text) in &said.acknowledged {
            let verified = receipt::verify(text, &key()).unwrap();
            let id = &verified.entry.header.request_id;
            assert_eq!(*id, format!("request-{number}"));
            let former = self.0.insert(verified.index, *number);
            assert_eq!(former, None, "index {} was given twice", verified.index);
        }
    }

    /// Opens the log as the next start would: each acknowledged entry is there, and the folder
    /// verifies; if not, why.
    pub(crate) fn check(&self, folder: &Path) -> Result<(), String> {
        let log = try_open(folder).map_err(|fault| fault.to_string())?;
        let size = log.status().size;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        for (index, number) in &self.0 {
            if *index >= size {
                return Err(format!(
                    "acknowledged entry {index} is lost; there are {size}"
                ));
            }
            let stored = runtime.block_on(log.get(*index));
            let stored = stored.map_err(|fault| fault.to_string())?;
            let whole = runtime.block_on(whole(&*log, stored.entry));
            if whole.map_err(|fault| fault.to_string())? != padded(*number) {
                return Err(format!(
                    "entry {index} is another than the acknowledged one"
                ));
            }
        }
        drop(log);
        let summary = verify(folder).map_err(|damage| damage.to_string())?;
        if (summary.size, &summary.torn) != (size, &None) {
            return Err(format!("an auditor finds {summary:?}; there are {size}"));
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
