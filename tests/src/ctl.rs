//! `dataos-ctl` as a person uses it, with a context folder of its own.

use std::{
    io::{Error, Result},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{binaries::binary, server::Server};

/// What a command printed, and its exit code.
#[derive(Clone, Debug)]
pub struct Printed {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit code.
    pub code: i32,
}

/// The password of everybody whom [`Ctl::person`] creates.
pub const PASSWORD: &str = "a-long-enough-password";

/// Longest wait of [`Ctl::entry`].
const ENTRY_TIMEOUT: Duration = Duration::from_secs(60);

/// The command line of one person.
#[derive(Debug)]
pub struct Ctl {
    home: tempfile::TempDir,
}

impl Ctl {
    /// Knows no server yet.
    ///
    /// # Errors
    /// There is no room for its folder.
    pub fn new() -> Result<Self> {
        Ok(Self {
            home: tempfile::tempdir()?,
        })
    }

    /// Logs in to `server`.
    ///
    /// # Errors
    /// The log-in fails.
    pub fn login(server: &Server, user: &str, password: &str) -> Result<Self> {
        let ctl = Self::new()?;
        let ca = server.ca();
        let arguments = [
            "login",
            "--url",
            &server.url,
            "--user",
            user,
            "--ca",
            &ca.to_string_lossy(),
        ];
        let printed = ctl.run_with(&arguments, &[("DATAOS_PASSWORD", password)], "")?;
        if printed.code == 0 {
            Ok(ctl)
        } else {
            Err(Error::other(printed.stderr))
        }
    }

    /// Creates a user with these arguments, as an administrator, and logs in as that user.
    ///
    /// # Errors
    /// The user cannot be created, or the log-in fails.
    pub fn person(&self, server: &Server, name: &str, arguments: &[&str]) -> Result<Self> {
        let command = [&["user", "create", "--id", name], arguments].concat();
        let printed = self.run_with(&command, &[("DATAOS_NEW_PASSWORD", PASSWORD)], "")?;
        if printed.code == 0 {
            Self::login(server, name, PASSWORD)
        } else {
            Err(Error::other(printed.stderr))
        }
    }

    /// Runs a command.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Result<Printed> {
        self.run_with(arguments, &[], "")
    }

    /// Runs a command with variables and standard input.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run_with(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
        input: &str,
    ) -> Result<Printed> {
        use std::io::Write;
        let mut child = self
            .command(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that does not read its input closes the pipe first.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output()?;
        Ok(Printed {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code().unwrap_or(-1),
        })
    }

    /// A command of this person, for who reads what it prints while it runs.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("dataos-ctl"));
        command
            .args(arguments)
            .env("XDG_CONFIG_HOME", self.home.path());
        command
    }

    /// Starts a command that says on standard error what a person is to do meanwhile.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, arguments: &[&str]) -> Result<Child> {
        self.command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
    }

    /// Runs a command with `--json` and parses what it prints.
    ///
    /// # Errors
    /// It ends with another code than 0; the error is what it said.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let printed = self.run(&[arguments, &["--json"]].concat())?;
        if printed.code != 0 {
            return Err(Error::other(format!(
                "exit {}: {}",
                printed.code, printed.stderr
            )));
        }
        serde_json::from_str(&printed.stdout).map_err(Error::other)
    }

    /// The newest entry of the log that a search finds. It is waited for: nobody else waits for the entry
    /// of a refusal.
    ///
    /// # Errors
    /// The search fails, or finds nothing in time.
    pub fn entry(&self, search: &[&str]) -> Result<Value> {
        let command = [&["audit", "search", "--limit", "1"], search].concat();
        let deadline = Instant::now() + ENTRY_TIMEOUT;
        loop {
            let mut found = self.json(&command)?;
            if let Some(entry) = found.pointer_mut("/entries/0") {
                return Ok(entry.take());
            }
            if Instant::now() >= deadline {
                return Err(Error::other(format!("no entry for {search:?}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The API key of its context.
    ///
    /// # Errors
    /// There is no context file.
    pub fn key(&self) -> Result<String> {
        let text = std::fs::read_to_string(self.contexts())?;
        text.lines()
            .find_map(|line| line.strip_prefix("api_key = "))
            .map(|value| value.trim_matches('"').to_owned())
            .ok_or_else(|| Error::other("no key in the context file"))
    }

    /// Its context file.
    pub fn contexts(&self) -> std::path::PathBuf {
        self.home.path().join("dataos/contexts.toml")
    }

    /// Applies a manifest, all of it.
    ///
    /// # Errors
    /// It is refused; the error is what the command said.
    pub fn applied(&self, manifest: &str) -> Result<()> {
        let printed = self.apply(manifest)?;
        if printed.code == 0 {
            return Ok(());
        }
        Err(Error::other(printed.stdout + &printed.stderr))
    }

    /// Applies a manifest text.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn apply(&self, manifest: &str) -> Result<Printed> {
        self.run_with(&["apply", "-f", "-"], &[], manifest)
    }

    /// A folder for files of the test.
    pub fn folder(&self) -> &Path {
        self.home.path()
    }
}
