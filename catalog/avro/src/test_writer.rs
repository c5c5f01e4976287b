//! Files written by fastavro, an implementation that shares nothing with ours. For tests.
#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a harness stops with what mends the situation"
)]

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Of PyPI.
const FASTAVRO: &str = "fastavro==1.13.1";
/// Of PyPI; its Snappy.
const CRAMJAM: &str = "cramjam==2.14.0";

/// A file with these rows, which are JSON objects: decimals are texts, bytes texts of hexadecimal digits, dates and
/// times numbers. A block ends after about `block_bytes`.
///
/// # Panics
/// fastavro cannot be installed, or refuses the rows; the message says why.
pub fn file(schema: &Value, codec: &str, block_bytes: usize, rows: &[Value]) -> Vec<u8> {
    let order = json!({"schema": schema, "codec": codec, "block_bytes": block_bytes, "rows": rows});
    let mut python = Command::new("python3")
        .args(["-c", include_str!("test_writer/write.py")])
        .env("PYTHONPATH", packages())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 is not installed; install it with: apt-get install python3 python3-venv");
    let mut stdin = python.stdin.take().expect("a pipe");
    stdin
        .write_all(order.to_string().as_bytes())
        .expect("a reader");
    drop(stdin);
    let output = python.wait_with_output().expect("an end");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "fastavro: {text}");
    output.stdout
}

/// The folder with fastavro, installed into the cache once.
fn packages() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache"),
        PathBuf::from,
    );
    let cache = cache.join("dataos");
    let folder = cache.join(FASTAVRO);
    if folder.exists() {
        return folder;
    }
    fs::create_dir_all(&cache).expect("a folder in the cache");
    let beside = TempDir::new_in(&cache).expect("a folder in the cache");
    let path = |name: &str| beside.path().join(name);
    run(Command::new("python3")
        .args(["-m", "venv"])
        .arg(path("venv")));
    run(Command::new(path("venv/bin/pip"))
        .args(["install", "-q", FASTAVRO, CRAMJAM, "--target"])
        .arg(path("packages")));
    // Another test may have been first.
    if fs::rename(path("packages"), &folder).is_err() {
        assert!(folder.exists(), "{} cannot be made", folder.display());
    }
    folder
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}
