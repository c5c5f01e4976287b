//! A certified OpenID provider (npm `oidc-provider`) on 127.0.0.1, stopped when dropped.

use std::{
    io::{BufRead, BufReader, Error, Lines, Result, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use crate::{binaries::from_npm, peers::succeed};

const PACKAGE: &str = "oidc-provider";
/// What it prints in our script is known for this version.
const VERSION: &str = "9.13.3";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/it/credentials/provider.mjs");

/// The provider.
#[derive(Debug)]
pub struct Provider {
    /// Its address, which is the name of the issuer.
    pub issuer: String,
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Provider {
    /// Installs it into the cache, once, and starts it.
    ///
    /// # Errors
    /// npm or node is missing, the package cannot be had, or it does not start; the message says which.
    pub fn start() -> Result<Self> {
        let modules = from_npm(PACKAGE, VERSION)?;
        let mut process = Command::new("node")
            .arg(SCRIPT)
            .arg(modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| Error::other(format!("node: {error}; apt-get install -y npm")))?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(Error::other("the provider has no pipes"));
        };
        let mut provider = Self {
            issuer: String::new(),
            process,
            input,
            output: BufReader::new(output).lines(),
        };
        provider.issuer = provider.line()?;
        Ok(provider)
    }

    /// Replaces all of its keys.
    ///
    /// # Errors
    /// It has ended.
    pub fn change_keys(&mut self) -> Result<()> {
        writeln!(self.input, "keys")?;
        self.line().map(drop)
    }

    /// Tells this address when somebody logs out who logged in at the client `console`.
    ///
    /// # Errors
    /// It has ended.
    pub fn tell_log_outs_to(&mut self, url: &str) -> Result<()> {
        writeln!(self.input, "back-channel {url}")?;
        self.line().map(drop)
    }

    /// Takes back all refresh tokens that it gave.
    ///
    /// # Errors
    /// It has ended.
    pub fn revoke_refresh_tokens(&mut self) -> Result<()> {
        writeln!(self.input, "revoke")?;
        self.line().map(drop)
    }

    /// How often it gave tokens for this kind of grant.
    ///
    /// # Errors
    /// It has ended.
    pub fn grants(&mut self, kind: &str) -> Result<u64> {
        writeln!(self.input, "grants")?;
        let counts: Value = serde_json::from_str(&self.line()?)?;
        Ok(counts.get(kind).and_then(Value::as_u64).unwrap_or(0))
    }

    /// An access token for a client, by its secret: `alg` signs it, `audience` is who it is for.
    ///
    /// # Errors
    /// It gives none; the message is its answer.
    pub fn token(&self, client: &str, audience: &str, alg: &str) -> Result<String> {
        let resource = format!("resource=urn:{audience}:{alg}");
        self.ask(client, &["-d", &resource])
    }

    /// The same, with more arguments for curl; without a resource the token is opaque.
    ///
    /// # Errors
    /// It gives none; the message is its answer.
    pub fn ask(&self, client: &str, arguments: &[&str]) -> Result<String> {
        let form = format!(
            "grant_type=client_credentials&client_id={client}&client_secret=secret-of-{client}"
        );
        let answer = succeed(
            Command::new("curl")
                .args(["-s", "--max-time", "20", "-d", &form])
                .args(arguments)
                .arg(format!("{}/token", self.issuer)),
        )?;
        let parsed: Value = serde_json::from_str(&answer).unwrap_or_default();
        let token = parsed.get("access_token").and_then(Value::as_str);
        token.map(str::to_owned).ok_or_else(|| Error::other(answer))
    }

    fn line(&mut self) -> Result<String> {
        let line = self.output.next();
        line.unwrap_or_else(|| Err(Error::other("the provider ended; see what node printed")))
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
