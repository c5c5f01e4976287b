//! A program that is replaced under load: nobody is refused, nothing is lost.

use std::{fs, os::unix::process::CommandExt as _, process::Command};

use dataos_tests::{
    binaries::{binary, free_port},
    ctl::Ctl,
    server::{Options, Server},
};

use crate::load::{Held, Load, Speech, recorded, until};

const RESTARTS: usize = 3;

pub(crate) fn signal(server: &Server, name: &str) {
    let pid = server.pid().to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status();
    assert!(sent.unwrap().success());
}

/// How often the log of the process says this.
pub(crate) fn times(server: &Server, text: &str) -> usize {
    server.printed().matches(text).count()
}

#[test]
fn a_program_that_is_replaced_refuses_nobody_and_records_everything() {
    let server = Server::start(&Options::default()).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let key = admin.key().unwrap();
    let pid = server.pid();
    let held = Held {
        trusted: fs::read(server.ca()).unwrap(),
        key: key.clone(),
        identity: Vec::new(),
    };
    let speeches = [Speech::Http2, Speech::Http2, Speech::Http1, Speech::Http1];
    let load = Load::start(&server, held, &speeches);
    for restart in 1..=RESTARTS {
        load.goes_on(50);
        signal(&server, "USR2");
        until("the next start", || {
            times(&server, "DataOS kernel listens on") > restart
        });
        assert_eq!(server.pid(), pid);
    }
    load.goes_on(50);
    let answered = load.end();
    assert_eq!(times(&server, "restarting: "), RESTARTS);
    // Each call has its record, and each program ended its log in order.
    let recorded = recorded(&server, &key);
    let missing: Vec<_> = answered
        .keys()
        .filter(|id| !recorded.contains_key(*id))
        .collect();
    assert!(answered.len() > 200 && missing.is_empty(), "{missing:?}");
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
