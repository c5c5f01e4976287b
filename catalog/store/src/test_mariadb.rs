//! A MariaDB server of this machine's packages, in a temporary folder, on a free port. For tests.
#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a harness stops with what mends the situation"
)]

use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::test_server::is_root;

/// Longest wait for a server to start.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// The password of the user `dataos`.
pub const MARIADB_PASSWORD: &str = "correct horse 'battery'";

/// A running server with the user `dataos`, who may read all that others make; stopped when dropped.
#[derive(Debug)]
pub struct TestMariaDb {
    folder: TempDir,
    server: Child,
    /// The port on 127.0.0.1.
    pub port: u16,
}

impl TestMariaDb {
    /// Creates and starts a server, and waits until it answers.
    ///
    /// # Panics
    /// MariaDB is not installed, or does not start.
    pub fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// The same with more options; `{folder}` in one stands for the folder that `files` are put into.
    ///
    /// # Panics
    /// MariaDB is not installed, or does not start.
    pub fn start_with(options: &[&str], files: &[(&str, &str)]) -> Self {
        let folder = TempDir::with_prefix("dataos-mariadb-").expect("a temporary folder");
        let path = folder.path();
        for (name, content) in files {
            fs::write(path.join(name), content).expect("a file");
        }
        if is_root() {
            run(Command::new("chown").args(["-R", "mysql"]).arg(path));
        }
        let data = format!("--datadir={}", path.join("data").display());
        // Names of its temporary tables are made of process ids alone, which others have as well.
        run(Command::new(tool("mariadb-install-db"))
            .env("TMPDIR", path)
            .args(["--no-defaults", "--auth-root-authentication-method=normal"])
            .args(["--skip-test-db", "--skip-name-resolve", &data])
            .args(user()));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let place = path.display().to_string();
        let server = Command::new(tool("mariadbd"))
            .env("TMPDIR", path)
            .args(["--no-defaults", "--bind-address=127.0.0.1", &data])
            .arg(format!("--port={port}"))
            .arg(format!("--socket={place}/socket"))
            .arg(format!("--pid-file={place}/pid"))
            .arg(format!("--log-error={place}/errors"))
            .arg(format!("--general-log-file={place}/log"))
            .args(["--general-log=1", "--skip-name-resolve", "--skip-log-bin"])
            .args([
                "--innodb-buffer-pool-size=64M",
                "--innodb-flush-log-at-trx-commit=0",
            ])
            .args([
                "--innodb-use-native-aio=0",
                "--character-set-server=utf8mb4",
            ])
            .args(
                options
                    .iter()
                    .map(|option| option.replace("{folder}", &place)),
            )
            .args(user())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mariadbd starts");
        let mut started = Self {
            folder,
            server,
            port,
        };
        started.wait();
        let password = MARIADB_PASSWORD.replace('\'', "''");
        started.sql(
            "mysql",
            &format!(
                "CREATE USER dataos IDENTIFIED BY '{password}'; GRANT SELECT ON *.* TO dataos"
            ),
        );
        started
    }

    fn wait(&mut self) {
        let started = Instant::now();
        while !self
            .client("mysql")
            .args(["-e", "SELECT 1"])
            .output()
            .is_ok_and(|output| output.status.success())
        {
            let is_gone = self.server.try_wait().is_ok_and(|ended| ended.is_some());
            if is_gone || started.elapsed() > START_TIME_MAX {
                let errors = fs::read_to_string(self.folder.path().join("errors"));
                panic!("MariaDB does not start: {}", errors.unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs statements as root and gives what they print.
    ///
    /// # Panics
    /// A statement fails.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let mut client = self
            .client(database)
            .args(["--batch", "--skip-column-names"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mariadb starts");
        let mut input = client.stdin.take().expect("an input");
        input
            .write_all(sql.as_bytes())
            .expect("a client that reads");
        drop(input);
        let output = client.wait_with_output().expect("a client that ends");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {text}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What the server was sent from now on is in its log alone.
    ///
    /// # Panics
    /// The log cannot be written.
    pub fn forget_log(&self) {
        // The server appends, so a log cut to nothing grows from there.
        let log = fs::OpenOptions::new()
            .write(true)
            .open(self.folder.path().join("log"))
            .expect("a log");
        log.set_len(0).expect("a log that is cut");
    }

    /// The lines of the log that hold a text.
    ///
    /// # Panics
    /// The log cannot be read.
    pub fn logged(&self, text: &str) -> String {
        let log = fs::read(self.folder.path().join("log")).expect("a log");
        let log = String::from_utf8_lossy(&log).into_owned();
        log.lines()
            .filter(|line| line.contains(text))
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn client(&self, database: &str) -> Command {
        let mut client = Command::new(tool("mariadb"));
        client
            .args([
                "--no-defaults",
                "--user=root",
                "--default-character-set=utf8mb4",
            ])
            .arg(format!("--socket={}/socket", self.folder.path().display()))
            .arg(database);
        client
    }
}

impl Drop for TestMariaDb {
    fn drop(&mut self) {
        // Its data is of no worth: no need to wait for an orderly end.
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

/// The server refuses to run as root unless told as whom to.
fn user() -> Option<&'static str> {
    is_root().then_some("--user=mysql")
}

fn tool(name: &str) -> PathBuf {
    ["/usr/bin", "/usr/sbin", "/usr/local/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
        .expect("MariaDB is not installed; run: apt-get install -y mariadb-server")
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}
