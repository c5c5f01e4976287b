//! A PostgreSQL server of this machine's packages, in a temporary folder, on a free port. For tests.
#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a harness stops with what mends the situation"
)]

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{Metadata, PostgresUrl};

/// The password of the role `dataos`; a URL has to escape it.
pub const PASSWORD: &str = "correct horse/battery";

/// A server with role and database `dataos`; stopped when dropped.
#[derive(Debug)]
pub struct TestServer {
    folder: TempDir,
    /// The port on 127.0.0.1.
    pub port: u16,
}

impl TestServer {
    /// Creates and starts a server, and waits until it answers.
    ///
    /// # Panics
    /// PostgreSQL is not installed, or does not start.
    pub fn start() -> Self {
        let folder = TempDir::with_prefix("dataos-store-").expect("a temporary folder");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let server = Self { folder, port };
        fs::write(server.path("password"), PASSWORD).expect("a file");
        if is_root() {
            run(Command::new("chown")
                .args(["-R", "postgres"])
                .arg(server.folder.path()));
        }
        run(tool("initdb")
            .args(["--no-sync", "--username=dataos", "--auth=scram-sha-256"])
            .args(["--encoding=UTF8", "--locale=C.UTF-8"])
            .arg(format!("--pwfile={}", server.path("password").display()))
            .arg("-D")
            .arg(server.path("data")));
        server.resume();
        server.psql("postgres", "CREATE DATABASE dataos");
        server
    }

    /// Starts it again after [`Self::stop`].
    ///
    /// # Panics
    /// It does not start.
    pub fn resume(&self) {
        let options = format!(
            "-h 127.0.0.1 -p {} -k {} -F",
            self.port,
            self.folder.path().display()
        );
        run(tool("pg_ctl")
            .args(["start", "--wait", "--silent", "-D"])
            .arg(self.path("data"))
            .arg("-l")
            .arg(self.path("log"))
            .args(["-o", &options]));
    }

    /// Stops it; sessions are cut.
    ///
    /// # Panics
    /// It does not stop.
    pub fn stop(&self) {
        run(tool("pg_ctl")
            .args(["stop", "--wait", "--silent", "-m", "fast", "-D"])
            .arg(self.path("data")));
    }

    /// Starts it again with TLS, with this certificate and key (PEM).
    ///
    /// # Panics
    /// It does not start.
    pub fn turn_on_tls(&self, certificate: &str, key: &str) {
        self.stop();
        let data = self.path("data");
        for (name, content) in [("server.crt", certificate), ("server.key", key)] {
            let path = data.join(name);
            fs::write(&path, content).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
            if is_root() {
                run(Command::new("chown").arg("postgres").arg(&path));
            }
        }
        let settings = data.join("postgresql.auto.conf");
        fs::write(settings, "ssl = on\n").expect("a file");
        self.resume();
    }

    /// Cuts all sessions of the database `dataos`, as an operator or a network would.
    ///
    /// # Panics
    /// The server does not answer.
    pub fn cut(&self) {
        self.psql(
            "postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'dataos'",
        );
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        let password = PASSWORD.replace(' ', "%20").replace('/', "%2F");
        format!(
            "postgresql://dataos:{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// Metadata in the database `dataos`.
    ///
    /// # Panics
    /// Never: the URL is well formed.
    pub fn metadata(&self) -> Metadata {
        let url: PostgresUrl = self.url("dataos").parse().expect("a URL");
        Metadata::Postgres(url)
    }

    /// Metadata in the database `dataos`, which is made anew, empty.
    ///
    /// # Panics
    /// The database cannot be made.
    pub fn empty_metadata(&self) -> Metadata {
        self.psql("postgres", "DROP DATABASE IF EXISTS dataos WITH (FORCE)");
        self.psql("postgres", "CREATE DATABASE dataos");
        self.metadata()
    }

    /// Runs statements and gives what they print.
    ///
    /// # Panics
    /// A statement fails.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        run(tool("psql")
            .env("PGPASSWORD", PASSWORD)
            .args(["--quiet", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-At"])
            .args(["-h", "127.0.0.1", "-U", "dataos", "-p"])
            .arg(self.port.to_string())
            .args(["-c", sql, database]))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if !self.path("data/postmaster.pid").exists() {
            return;
        }
        let stop = tool("pg_ctl")
            .args(["stop", "--wait", "--silent", "-m", "immediate", "-D"])
            .arg(self.path("data"))
            .output();
        if !stop.is_ok_and(|output| output.status.success()) {
            eprintln!(
                "PostgreSQL in {} did not stop",
                self.folder.path().display()
            );
        }
    }
}

/// A program of the server's package; PostgreSQL refuses to run as root, so then as `postgres`.
fn tool(name: &str) -> Command {
    let mut newest: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin").join(name)))
        .filter(|path| path.exists())
        .collect();
    newest.sort();
    let program = newest
        .pop()
        .expect("PostgreSQL is not installed; run: apt-get install -y postgresql");
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command
        .args(["-u", "postgres", "--"])
        .arg(program)
        .current_dir("/");
    command
}

pub(crate) fn is_root() -> bool {
    Path::new("/proc/self")
        .metadata()
        .is_ok_and(|metadata| metadata.uid() == 0)
}

pub(crate) fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
