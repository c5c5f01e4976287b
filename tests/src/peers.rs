//! Real servers from Debian packages, started on 127.0.0.1 and stopped when dropped.

mod mariadb;

use std::{
    fs,
    io::{Error, Result},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::binaries::free_port;

pub use mariadb::MariaDb;

/// Longest wait for a peer to accept connections.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A PostgreSQL server with its own data directory.
#[derive(Debug)]
pub struct Postgres {
    /// The port on 127.0.0.1.
    pub port: u16,
    /// Password of the role `dataos`.
    pub password: String,
    process: Child,
    folder: PathBuf,
    bin: PathBuf,
}

impl Postgres {
    /// Initialises and starts a server with role and database `dataos`.
    ///
    /// # Errors
    /// PostgreSQL is not installed (the message says how to), or does not start.
    pub fn start() -> Result<Self> {
        Self::start_in(&std::env::temp_dir(), "off")
    }

    /// The same for measurements: in a folder below this one, and it syncs what it commits.
    ///
    /// # Errors
    /// See [`Postgres::start`].
    pub fn start_durable(folder: &Path) -> Result<Self> {
        Self::start_in(folder, "on")
    }

    fn start_in(folder: &Path, fsync: &str) -> Result<Self> {
        let bin = installed("postgres", "/usr/lib/postgresql")?;
        let folder = folder
            .canonicalize()?
            .join(format!("dataos-postgres-{}", free_port()?));
        fs::create_dir_all(&folder)?;
        let (data, password_file) = (folder.join("data"), folder.join("password"));
        let password = "s3cret-of-the-test".to_owned();
        fs::write(&password_file, &password)?;
        if is_root() {
            succeed(Command::new("chown").args(["-R", "postgres"]).arg(&folder))?;
        }
        succeed(
            as_postgres(&bin.join("initdb"))
                .args([
                    "-U",
                    "dataos",
                    "-A",
                    "scram-sha-256",
                    "-E",
                    "UTF8",
                    "--no-sync",
                    "--pwfile",
                ])
                .arg(&password_file)
                .arg("-D")
                .arg(&data),
        )?;
        let port = free_port()?;
        let process = as_postgres(&bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-c",
                &format!("fsync={fsync}"),
                // No socket file: everybody connects by TCP.
                "-k",
                "",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log"))?)
            .spawn()?;
        let server = Self {
            port,
            password,
            process,
            folder,
            bin,
        };
        let deadline = Instant::now() + START_TIMEOUT;
        while server.execute("SELECT 1").is_err() {
            if Instant::now() > deadline {
                return Err(Error::other("PostgreSQL did not start in time"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(server)
    }

    /// Stops it; its data stay until it is dropped.
    ///
    /// # Errors
    /// `pg_ctl` says why.
    pub fn stop(&self) -> Result<()> {
        let mut stop = as_postgres(&self.bin.join("pg_ctl"));
        stop.args(["stop", "--wait", "--silent", "-m", "fast", "-D"])
            .arg(self.folder.join("data"));
        succeed(&mut stop).map(drop)
    }

    /// Runs SQL in database `postgres` with psql.
    ///
    /// # Errors
    /// psql says why.
    pub fn execute(&self, sql: &str) -> Result<String> {
        succeed(
            Command::new(self.bin.join("psql"))
                .args([
                    "-h",
                    "127.0.0.1",
                    "-p",
                    &self.port.to_string(),
                    "-U",
                    "dataos",
                    "-d",
                    "postgres",
                ])
                .args(["-v", "ON_ERROR_STOP=1", "-At", "-c", sql])
                .env("PGPASSWORD", &self.password),
        )
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A fast shutdown by its own pid file; `runuser` does not pass signals on.
        let pid = fs::read_to_string(self.folder.join("data/postmaster.pid"))
            .ok()
            .and_then(|text| text.lines().next().map(str::to_owned));
        if let Some(pid) = pid {
            let _ = Command::new("kill").args(["-INT", &pid]).status();
        }
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn is_root() -> bool {
    succeed(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

fn as_postgres(program: &Path) -> Command {
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

/// The folder of the newest installed version that holds `program`.
fn installed(program: &str, root: &str) -> Result<PathBuf> {
    let mut versions: Vec<PathBuf> = fs::read_dir(root)
        .map(|entries| {
            entries
                .flatten()
                .map(|entry| entry.path().join("bin"))
                .collect()
        })
        .unwrap_or_default();
    versions.retain(|bin| bin.join(program).is_file());
    versions.sort();
    versions.pop().ok_or_else(|| {
        Error::other(format!(
            "{program} is not installed; run: apt-get install -y postgresql"
        ))
    })
}

/// Runs a command; its standard output, or an error with its standard error.
///
/// # Errors
/// It cannot be started, or exits with another code than 0.
pub fn succeed(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::other(format!(
        "{:?} failed: {}",
        command.get_program(),
        String::from_utf8_lossy(&output.stderr)
    )))
}
