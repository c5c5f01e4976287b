//! A running `dataos serve`, driven as an operator would.

use std::{
    fs,
    io::{self, Error, Result, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::binaries::binary;

/// Lines of a server's log that a failed test shows.
const LAST_LINES: usize = 40;

/// Longest wait until the server is ready; a debug build on a busy machine is slow.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// How to start a server.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Data directory; a fresh temporary one if `None`.
    pub data_dir: Option<PathBuf>,
    /// Folder of the user's own files (`--data`).
    pub data: Option<PathBuf>,
    /// Text of a configuration file.
    pub config: Option<String>,
    /// Another program than `dataos` with the same command line, and what comes before `serve`, if anything.
    pub program: Option<(PathBuf, Option<String>)>,
}

/// A server process with its directory; killed and removed when dropped.
#[derive(Debug)]
pub struct Server {
    /// `https://127.0.0.1:PORT`.
    pub url: String,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// What it printed to stdout and stderr.
    pub log: PathBuf,
    process: Child,
    temporary: Option<tempfile::TempDir>,
}

impl Server {
    /// Starts a server and waits until it is ready.
    ///
    /// # Errors
    /// It ends, or is not ready in time; the message holds what it printed.
    pub fn start(options: &Options) -> Result<Self> {
        let mut server = Self::begin(options)?;
        server.wait("/readyz")?;
        Ok(server)
    }

    /// Starts a server and waits until it lives: it may not be ready.
    ///
    /// # Errors
    /// It ends, or does not live in time; the message holds what it printed.
    pub fn begin(options: &Options) -> Result<Self> {
        let temporary = if options.data_dir.is_none() {
            Some(tempfile::tempdir()?)
        } else {
            None
        };
        let data_dir = match (&options.data_dir, &temporary) {
            (Some(folder), _) => folder.clone(),
            (None, Some(temporary)) => temporary.path().join("data"),
            (None, None) => return Err(Error::other("no data directory")),
        };
        let (output, log) = tempfile::Builder::new()
            .prefix("dataos-server-")
            .suffix(".log")
            .tempfile()?
            .keep()
            .map_err(Error::other)?;
        let mut command = match &options.program {
            Some((program, first)) => {
                let mut command = Command::new(program);
                command.args(first);
                command
            }
            None => Command::new(binary("dataos")),
        };
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data_dir)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        if let Some(folder) = &options.data {
            command.arg("--data").arg(folder);
        }
        if let Some(text) = &options.config {
            let file = log.with_extension("toml");
            fs::write(&file, text)?;
            command.arg("--config").arg(file);
        }
        let process = command.spawn()?;
        let mut server = Self {
            url: String::new(),
            data_dir,
            log,
            process,
            temporary,
        };
        server.wait("/healthz")?;
        Ok(server)
    }

    /// Starts it again after [`Server::kill`], on the same address and directory, and waits until it lives.
    ///
    /// # Errors
    /// As of [`Server::begin`].
    pub fn start_again(&mut self) -> Result<()> {
        let output = fs::OpenOptions::new().append(true).open(&self.log)?;
        let address = self.url.strip_prefix("https://").unwrap_or_default();
        let mut command = Command::new(binary("dataos"));
        command
            .args(["serve", "--listen", address, "--data-dir"])
            .arg(&self.data_dir)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let config = self.log.with_extension("toml");
        if config.exists() {
            command.arg("--config").arg(config);
        }
        self.process = command.spawn()?;
        self.wait("/healthz")
    }

    /// Waits until this path is answered with 200.
    fn wait(&mut self, path: &str) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Err(Error::other(format!(
                    "dataos ended with {status}:\n{}",
                    self.printed()
                )));
            }
            if let Some(url) = self.printed_url() {
                self.url = url;
                if self.answers(path) {
                    return Ok(());
                }
            }
            if Instant::now() > deadline {
                return Err(Error::other(format!(
                    "dataos is not ready:\n{}",
                    self.printed()
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The address that it took, from the first line of its greeting.
    fn printed_url(&self) -> Option<String> {
        let printed = self.printed();
        let (_, rest) = printed.split_once("listens on ")?;
        let (url, _) = rest.split_once('\n')?;
        Some(url.to_owned())
    }

    fn answers(&self, path: &str) -> bool {
        Command::new("curl")
            .args(["-sf", "--max-time", "2", "--cacert"])
            .arg(self.ca())
            .arg(format!("{}{path}", self.url))
            .output()
            .is_ok_and(|output| output.status.success())
    }

    /// The file of its certificate authority.
    pub fn ca(&self) -> PathBuf {
        self.data_dir.join("ca.pem")
    }

    /// All that it printed so far.
    pub fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The administrator's first password, as printed once at the first start.
    ///
    /// # Errors
    /// It was not printed.
    pub fn first_password(&self) -> Result<String> {
        let printed = self.printed();
        printed
            .lines()
            .find_map(|line| line.trim().strip_prefix("password:"))
            .map(|password| password.trim().to_owned())
            .ok_or_else(|| Error::other(format!("no first password was printed:\n{printed}")))
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Kills it at once (SIGKILL) and keeps the directory.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait().map(|_| ())
    }

    /// Asks it to stop (SIGTERM) and waits.
    ///
    /// # Errors
    /// It ends with another code than 0.
    pub fn stop(&mut self) -> Result<()> {
        Command::new("kill")
            .args(["-TERM", &self.pid().to_string()])
            .status()?;
        let status = self.process.wait()?;
        if status.success() {
            return Ok(());
        }
        Err(Error::other(format!(
            "dataos stopped with {status}:\n{}",
            self.printed()
        )))
    }

    /// Keeps the directory when the server is dropped, and gives its path.
    pub fn keep(&mut self) -> PathBuf {
        if let Some(temporary) = self.temporary.take() {
            let _ = temporary.keep();
        }
        self.data_dir.clone()
    }

    /// One request with curl: status, headers as sent, body.
    ///
    /// # Errors
    /// No answer.
    pub fn request(&self, arguments: &[&str], path: &str) -> Result<(u16, String, String)> {
        let folder = tempfile::tempdir()?;
        let headers = folder.path().join("headers");
        let output = Command::new("curl")
            .args(["-s", "--max-time", "120", "--cacert"])
            .arg(self.ca())
            .arg("-D")
            .arg(&headers)
            .args(arguments)
            .arg(format!("{}{path}", self.url))
            .output()?;
        if !output.status.success() {
            return Err(Error::other(format!("curl ended with {}", output.status)));
        }
        let headers = fs::read_to_string(headers)?;
        let status = headers
            .lines()
            .rfind(|line| line.starts_with("HTTP/"))
            .and_then(|line| line.split_whitespace().nth(1))
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| Error::other("no status line"))?;
        Ok((
            status,
            headers,
            String::from_utf8_lossy(&output.stdout).into_owned(),
        ))
    }

    /// The JSON answer to a GET with a key.
    ///
    /// # Errors
    /// No answer, or one that is no JSON.
    pub fn get(&self, key: &str, path: &str) -> Result<(u16, Value)> {
        let (status, _, body) =
            self.request(&["-H", &format!("Authorization: Bearer {key}")], path)?;
        Ok((status, serde_json::from_str(&body).map_err(Error::other)?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Whoever reads why a test failed wants to know what the server said last.
            let printed = self.printed();
            let from = printed.lines().count().saturating_sub(LAST_LINES);
            let last: String = printed
                .lines()
                .skip(from)
                .flat_map(|line| [line, "\n"])
                .collect();
            let ended = self.process.try_wait();
            let _ = writeln!(io::stderr(), "{}: {ended:?}\n{last}", self.url);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.log);
    }
}

/// The value of a header in the text that [`Server::request`] gives.
pub fn header<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    headers.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The file at `path`, read whole.
///
/// # Errors
/// It cannot be read.
pub fn bytes_below(path: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(bytes_below(&path)?);
        } else if path.is_file() {
            files.push((path.clone(), fs::read(&path)?));
        }
    }
    Ok(files)
}
