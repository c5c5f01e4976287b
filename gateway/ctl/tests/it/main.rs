//! The command line as a shell sees it: help, usage errors, no server.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_dataos-ctl"))
        .args(arguments)
        .env("XDG_CONFIG_HOME", home.path())
        .env_remove("DATAOS_URL")
        .output()
        .unwrap()
}

fn check(arguments: &[&str], code: i32, expected: &str) {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(
        said.contains(expected),
        "{arguments:?}: `{expected}` is not in: {said}"
    );
}

#[test]
fn exit_codes_say_what_kind_of_failure_it_was() {
    check(&["applyy"], 2, "apply");
    check(&["apply"], 2, "--manifestFile");
    check(&["whoami"], 2, "dataos-ctl login");
    check(&["audit", "verify", "AAAA"], 2, "no server is known");
    check(
        &["audit", "verify", "AAAA", "--key", "/nonexistent"],
        1,
        "/nonexistent",
    );
    check(
        &["apply", "-f", "/nonexistent.yaml", "--context", "none"],
        2,
        "no context `none`",
    );
}

#[test]
fn an_address_where_nobody_listens_is_unreachable() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let output = Command::new(env!("CARGO_BIN_EXE_dataos-ctl"))
        .args(["whoami", "--json"])
        .env("XDG_CONFIG_HOME", tempfile::tempdir().unwrap().path())
        .env("DATAOS_URL", format!("https://127.0.0.1:{port}"))
        .env("DATAOS_API_KEY", "dok_none")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(output.stdout.is_empty(), "stdout is for results");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("\"exit_code\":4") && said.contains("does not answer"),
        "{said}"
    );
}
