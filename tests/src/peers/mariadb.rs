//! A MariaDB server of this machine's packages.

use std::{
    fs,
    io::{Error, Result, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use super::{START_TIMEOUT, is_root, succeed};
use crate::binaries::free_port;

/// A MariaDB server with its own data directory, and the user `dataos`, who may read all databases.
#[derive(Debug)]
pub struct MariaDb {
    /// The port on 127.0.0.1.
    pub port: u16,
    /// Password of the user `dataos`.
    pub password: String,
    process: Child,
    folder: PathBuf,
}

impl MariaDb {
    /// Initialises and starts a server in a folder below this one; what it commits need not last.
    ///
    /// # Errors
    /// MariaDB is not installed (the message says how to), or does not start.
    pub fn start(folder: &Path) -> Result<Self> {
        let port = free_port()?;
        let folder = folder
            .canonicalize()?
            .join(format!("dataos-mariadb-{port}"));
        fs::create_dir_all(&folder)?;
        if is_root() {
            succeed(Command::new("chown").args(["-R", "mysql"]).arg(&folder))?;
        }
        let user = is_root().then_some("--user=mysql");
        let data = format!("--datadir={}", folder.join("data").display());
        succeed(
            Command::new(tool("mariadb-install-db")?)
                .env("TMPDIR", &folder)
                .args(["--no-defaults", "--auth-root-authentication-method=normal"])
                .args(["--skip-test-db", "--skip-name-resolve", &data])
                .args(user),
        )?;
        let place = folder.display();
        let process = Command::new(tool("mariadbd")?)
            .env("TMPDIR", &folder)
            .args(["--no-defaults", "--bind-address=127.0.0.1", &data])
            .arg(format!("--port={port}"))
            .arg(format!("--socket={place}/socket"))
            .arg(format!("--pid-file={place}/pid"))
            .arg(format!("--log-error={place}/errors"))
            .args(["--skip-name-resolve", "--skip-log-bin"])
            .args([
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-use-native-aio=0",
            ])
            .args([
                "--innodb-buffer-pool-size=512M",
                "--character-set-server=utf8mb4",
            ])
            .args(user)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self {
            port,
            password: "s3cret-of-the-test".to_owned(),
            process,
            folder,
        };
        let deadline = Instant::now() + START_TIMEOUT;
        while server.execute("SELECT 1").is_err() {
            if Instant::now() > deadline {
                let errors = fs::read_to_string(server.folder.join("errors"));
                let errors = errors.unwrap_or_default();
                return Err(Error::other(format!(
                    "MariaDB did not start in time: {errors}"
                )));
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        server.execute(&format!(
            "CREATE USER dataos IDENTIFIED BY '{}'; GRANT SELECT ON *.* TO dataos",
            server.password
        ))?;
        Ok(server)
    }

    /// Runs SQL as root.
    ///
    /// # Errors
    /// The client says why.
    pub fn execute(&self, sql: &str) -> Result<()> {
        let mut client = Command::new(tool("mariadb")?)
            .args(["--no-defaults", "--user=root"])
            .arg("--default-character-set=utf8mb4")
            .arg(format!("--socket={}/socket", self.folder.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut input) = client.stdin.take() {
            input.write_all(sql.as_bytes())?;
        }
        let output = client.wait_with_output()?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Error::other(format!("mariadb failed: {text}")))
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        // Its data are of no worth: no need to wait for an orderly end.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn tool(name: &str) -> Result<PathBuf> {
    let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin"];
    let mut found = folders.iter().map(|folder| Path::new(folder).join(name));
    found.find(|path| path.is_file()).ok_or_else(|| {
        Error::other(format!(
            "{name} is not installed; run: apt-get install -y mariadb-server"
        ))
    })
}
