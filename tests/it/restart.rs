//! A program that is replaced under load: nobody is refused, nothing is lost.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::process::CommandExt as _,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use dataos_tests::{
    binaries::{binary, free_port},
    ctl::Ctl,
    server::{Options, Server},
};

const CALLERS: usize = 4;
const RESTARTS: usize = 3;

fn signal(server: &Server, name: &str) {
    let pid = server.pid().to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status();
    assert!(sent.unwrap().success());
}

/// How often the log of the process says this.
fn times(server: &Server, text: &str) -> usize {
    server.printed().matches(text).count()
}

fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Callers that ask without a pause, each over connections of its own.
struct Load {
    runtime: tokio::runtime::Runtime,
    ends: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    callers: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(server: &Server, key: &str) -> Self {
        // Another test may have chosen already; all choose the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let ca = fs::read(server.ca()).unwrap();
        let mut load = Self {
            runtime: tokio::runtime::Runtime::new().unwrap(),
            ends: Arc::default(),
            answered: Arc::default(),
            callers: Vec::new(),
        };
        for caller in 0..CALLERS {
            let client = reqwest::Client::builder()
                .tls_certs_only([reqwest::Certificate::from_pem(&ca).unwrap()])
                .timeout(Duration::from_secs(60))
                .build()
                .unwrap();
            let request = client.get(format!("{}/api/v1/session", server.url));
            let request = request.bearer_auth(key);
            let (ends, answered) = (Arc::clone(&load.ends), Arc::clone(&load.answered));
            load.callers.push(load.runtime.spawn(async move {
                let mut named = Vec::new();
                while !ends.load(Ordering::Relaxed) {
                    let id = format!("restart-{caller}-{}", named.len());
                    let request = request.try_clone().unwrap().header("x-request-id", &id);
                    let answer = request.send().await;
                    assert!(answer.is_ok(), "{id}: {answer:?}");
                    let answer = answer.unwrap();
                    assert_eq!(answer.status().as_u16(), 200, "{id}");
                    assert!(answer.headers().contains_key("dataos-receipt"), "{id}");
                    named.push(id);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                named
            }));
        }
        load
    }

    /// Waits until so many calls more were answered.
    fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        until("calls go on", || {
            self.answered.load(Ordering::Relaxed) > before + 50
        });
    }

    /// The names of all calls, each of which was answered.
    fn end(self) -> Vec<String> {
        self.ends.store(true, Ordering::Relaxed);
        let callers = self.callers.into_iter();
        callers
            .flat_map(|caller| self.runtime.block_on(caller).unwrap())
            .collect()
    }
}

/// The names of all calls in the log.
fn recorded(server: &Server, key: &str) -> BTreeSet<String> {
    let (mut names, mut before) = (BTreeSet::new(), String::new());
    loop {
        let page = format!("/api/v1/audit/entries?limit=1000&action=call{before}");
        let (status, page) = server.get(key, &page).unwrap();
        assert_eq!(status, 200, "{page}");
        let entries = page["entries"].as_array().unwrap();
        let ids = entries.iter().map(|entry| &entry["request_id"]);
        names.extend(ids.map(|id| id.as_str().unwrap().to_owned()));
        let Some(last) = entries.last() else {
            return names;
        };
        before = format!("&before={}", last["index"]);
    }
}

#[test]
fn a_program_that_is_replaced_refuses_nobody_and_records_everything() {
    let server = Server::start(&Options::default()).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let key = admin.key().unwrap();
    let pid = server.pid();
    let load = Load::start(&server, &key);
    for restart in 1..=RESTARTS {
        load.goes_on();
        signal(&server, "USR2");
        until("the next start", || {
            times(&server, "DataOS kernel listens on") > restart
        });
        assert_eq!(server.pid(), pid);
    }
    load.goes_on();
    let named = load.end();
    assert_eq!(times(&server, "restarting: "), RESTARTS);
    // Each call has its record, and each program ended its log in order.
    let recorded = recorded(&server, &key);
    let missing: Vec<_> = named.iter().filter(|id| !recorded.contains(*id)).collect();
    assert!(named.len() > 200 && missing.is_empty(), "{missing:?}");
    let ends = "/api/v1/audit/entries?kind=shutdown";
    let (_, found) = server.get(&key, ends).unwrap();
    assert_eq!(
        found["entries"].as_array().unwrap().len(),
        RESTARTS,
        "{found:#}"
    );
}

#[test]
fn a_program_that_does_not_take_its_settings_is_not_started() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("dataos");
    fs::copy(binary("dataos"), &program).unwrap();
    let mut server = Server::start(&Options {
        program: Some((program.clone(), None)),
        ..Options::default()
    })
    .unwrap();
    let other = folder.path().join("other");
    fs::write(&other, "#!/bin/sh\necho 'no such setting' >&2\nexit 1\n").unwrap();
    fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::rename(&other, &program).unwrap();
    signal(&server, "USR2");
    until("a refusal", || times(&server, "no such setting") == 1);
    let (status, _, _) = server.request(&[], "/readyz").unwrap();
    assert_eq!((status, times(&server, "restarting: ")), (200, 0));
    server.stop().unwrap();
}

#[test]
fn a_socket_of_whoever_starts_us_is_listened_on() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let script = format!(
        "import os, socket, sys\n\
         s = socket.create_server(('127.0.0.1', {port}))\n\
         os.dup2(s.fileno(), 3)\n\
         os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n\
         os.execv(sys.argv[1], sys.argv[1:])\n"
    );
    let script_file = folder.path().join("start.py");
    fs::write(&script_file, script).unwrap();
    let data = folder.path().join("data");
    let log = fs::File::create(folder.path().join("log")).unwrap();
    let mut process = Command::new("python3");
    process
        .arg(&script_file)
        .arg(binary("dataos"))
        .args([
            "serve",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--data-dir",
        ])
        .arg(&data)
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .process_group(0);
    let mut process = process.spawn().unwrap();
    // Without the socket that was given, the address would be in use.
    until("a platform behind the socket that was given", || {
        let answer = Command::new("curl")
            .args(["-sf", "--max-time", "5", "--cacert"])
            .arg(data.join("ca.pem"))
            .arg(format!("https://127.0.0.1:{port}/readyz"))
            .output();
        answer.is_ok_and(|answer| answer.stdout == b"ok\n")
    });
    process.kill().unwrap();
    process.wait().unwrap();
}
