//! A PostgreSQL server of this machine's packages, in a temporary folder, on a free port.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

/// The superuser's password.
pub(crate) const PASSWORD: &str = "correct horse 'battery'";

/// A running server; stopped when dropped.
pub(crate) struct Server {
    folder: TempDir,
    pub(crate) port: u16,
}

impl Server {
    /// Creates and starts a server, and waits until it answers.
    pub(crate) fn start() -> Self {
        let folder = TempDir::with_prefix("query-pg-").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let server = Self { folder, port };
        std::fs::write(server.path("password"), PASSWORD).unwrap();
        if is_root() {
            run(Command::new("chown")
                .args(["-R", "postgres"])
                .arg(server.folder.path()));
        }
        let data = server.path("data");
        run(tool("initdb")
            .args(["--no-sync", "--username=postgres", "--auth=scram-sha-256"])
            .args(["--encoding=UTF8", "--locale=C.UTF-8"])
            .arg(format!("--pwfile={}", server.path("password").display()))
            .arg("-D")
            .arg(&data));
        let options = format!(
            "-h 127.0.0.1 -p {port} -k {} -F -c log_statement=all",
            server.folder.path().display()
        );
        run(tool("pg_ctl")
            .args(["start", "--wait", "--silent", "-D"])
            .arg(&data)
            .arg("-l")
            .arg(server.path("log"))
            .args(["-o", &options]));
        server
    }

    /// Runs statements.
    pub(crate) fn psql(&self, sql: &str) {
        self.script_in("postgres", sql);
    }

    /// A database, if it is not there.
    pub(crate) fn make_database(&self, name: &str) {
        self.script_in(
            "postgres",
            &format!(
                "SELECT 'CREATE DATABASE {name}' WHERE NOT EXISTS \
                 (SELECT FROM pg_database WHERE datname = '{name}') \\gexec"
            ),
        );
    }

    /// What a statement answers: columns apart by `|`, rows by line ends, NULL is nothing.
    pub(crate) fn answer(&self, sql: &str) -> String {
        let answer = self.run_in("postgres", sql, &["--no-align", "--tuples-only"]);
        String::from_utf8(answer).unwrap()
    }

    /// Runs statements of any length.
    pub(crate) fn script_in(&self, database: &str, sql: &str) {
        self.run_in(database, sql, &[]);
    }

    fn run_in(&self, database: &str, sql: &str, options: &[&str]) -> Vec<u8> {
        let script = self.path("script.sql");
        std::fs::write(&script, sql).unwrap();
        run(tool("psql")
            .env("PGPASSWORD", PASSWORD)
            .args(["--quiet", "--no-psqlrc", "-v", "ON_ERROR_STOP=1"])
            .args(options)
            .args([
                "-h",
                "127.0.0.1",
                "-U",
                "postgres",
                "-p",
                &self.port.to_string(),
                "-f",
            ])
            .arg(&script)
            .arg(database))
        .stdout
    }

    /// What the server was sent from now on is in its log alone.
    pub(crate) fn forget_log(&self) {
        // The server appends, so a log cut to nothing grows from there.
        let log = std::fs::OpenOptions::new()
            .write(true)
            .open(self.path("log"))
            .unwrap();
        log.set_len(0).unwrap();
    }

    /// The statements in the log that read a table.
    pub(crate) fn selects(&self, table: &str) -> String {
        self.logged(&format!("FROM \"public\".\"{table}\""))
    }

    /// The lines of the log that hold a text, and those behind each that hold its parameters.
    pub(crate) fn logged(&self, text: &str) -> String {
        let log = std::fs::read(self.path("log")).unwrap();
        let log = String::from_utf8_lossy(&log).into_owned();
        let mut is_wanted = false;
        let wanted = log.lines().filter(|line| {
            is_wanted = line.contains(text) || (is_wanted && line.contains("parameters: "));
            is_wanted
        });
        wanted.collect::<Vec<_>>().join("\n")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stop = tool("pg_ctl")
            .args(["stop", "--wait", "--silent", "-m", "immediate", "-D"])
            .arg(self.path("data"))
            .output();
        if !stop.is_ok_and(|output| output.status.success()) {
            eprintln!(
                "the PostgreSQL server in {} did not stop",
                self.folder.path().display()
            );
        }
    }
}

/// A program of the server's package; PostgreSQL refuses to run as root, so then as `postgres`.
fn tool(name: &str) -> Command {
    let mut newest: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin").join(name)))
        .filter(|path| path.exists())
        .collect();
    newest.sort();
    let program = newest
        .pop()
        .expect("PostgreSQL is not installed; install it with: apt-get install postgresql-15");
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command
        .args(["-u", "postgres", "--"])
        .arg(program)
        .current_dir("/tmp");
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    Path::new("/proc/self")
        .metadata()
        .is_ok_and(|metadata| metadata.uid() == 0)
}

fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    output
}
