//! kill -9 at any time loses nothing acknowledged: every receipt that a client holds is in the log
//! after a restart, and the whole log verifies.

use std::{
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use dataos_tests::{
    binaries::binary,
    ctl::Ctl,
    server::{Options, Server, header},
};

const KILLS: u64 = 6;
/// Answers that a round waits for, so that each kill comes under load, however slow the machine is.
const ANSWERS_PER_ROUND: usize = 10;
/// Longest wait for them.
const ROUND_TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn no_acknowledged_record_is_lost_by_sigkill() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let options = Options {
        data_dir: Some(data_dir.clone()),
        ..Options::default()
    };
    let mut server = Server::start(&options).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let key = admin.key().unwrap();
    let verifier = folder.path().join("log.key");
    let (_, _, text) = server.request(&[], "/log/key").unwrap();
    std::fs::write(&verifier, text).unwrap();
    let receipts = Arc::new(Mutex::new(Vec::new()));
    for round in 0..KILLS {
        load_and_kill(
            &mut server,
            &key,
            &receipts,
            Duration::from_millis(150 + 130 * round),
        );
        let printed = Command::new(binary("dataos-ctl"))
            .args(["audit", "verify", "--log"])
            .arg(data_dir.join("audit"))
            .arg("--key")
            .arg(&verifier)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&printed.stderr).into_owned();
        assert!(printed.status.success(), "round {round}: {said}");
        server = Server::start(&options).unwrap();
    }
    let receipts = receipts.lock().unwrap().clone();
    assert!(
        receipts.len() > 50,
        "only {} answers under load",
        receipts.len()
    );
    for (request, receipt) in &receipts {
        let entry = present(&server, &key, request);
        assert!(
            entry,
            "request {request} was answered and is not in the log ({receipt})"
        );
    }
    let all: String = receipts
        .iter()
        .map(|(_, receipt)| format!("{receipt}\n"))
        .collect();
    let arguments = ["audit", "verify", "-", "--key", &verifier.to_string_lossy()];
    let printed = admin.run_with(&arguments, &[], &all).unwrap();
    assert_eq!(printed.code, 0, "{}", printed.stderr);
}

fn present(server: &Server, key: &str, request: &str) -> bool {
    let path = format!("/api/v1/audit/entries?request_id={request}");
    let (status, page) = server.get(key, &path).unwrap();
    status == 200
        && page["entries"]
            .as_array()
            .is_some_and(|entries| !entries.is_empty())
}

fn load_and_kill(
    server: &mut Server,
    key: &str,
    receipts: &Arc<Mutex<Vec<(String, String)>>>,
    after: Duration,
) {
    let is_over = AtomicBool::new(false);
    let wanted = receipts.lock().unwrap().len() + ANSWERS_PER_ROUND;
    std::thread::scope(|scope| {
        let (shared, is_over) = (&*server, &is_over);
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(move || {
                    let authorization = format!("Authorization: Bearer {key}");
                    while !is_over.load(Ordering::Relaxed) {
                        let Ok((200, headers, _)) =
                            shared.request(&["-H", &authorization], "/api/v1/session")
                        else {
                            continue;
                        };
                        let request = header(&headers, "DataOS-Request-Id").unwrap().to_owned();
                        let receipt = header(&headers, "DataOS-Receipt").unwrap().to_owned();
                        receipts.lock().unwrap().push((request, receipt));
                    }
                })
            })
            .collect();
        let started = Instant::now();
        std::thread::sleep(after);
        while receipts.lock().unwrap().len() < wanted && started.elapsed() < ROUND_TIMEOUT {
            std::thread::sleep(Duration::from_millis(5));
        }
        Command::new("kill")
            .args(["-KILL", &shared.pid().to_string()])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        is_over.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().unwrap();
        }
    });
    let _ = server.kill();
}
