//! `dataos` as it is measured: 1 000 policies and 10 000 entities beside the shipped ones, and an issuer
//! whose token everybody sends.

use std::{
    fs,
    io::{Error, Result},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dataos_tests::{
    ctl::Ctl,
    peers::succeed,
    server::{Options, Server},
};
use serde_json::{Value, json};

use crate::pdp::workload::{Kind, policy};

const POLICIES: usize = 1_000;
const ENTITIES: usize = 10_000;
const START_TIMEOUT: Duration = Duration::from_secs(60);
pub(super) const ISSUER: &str = "https://id.example.org";
pub(super) const SUBJECT: &str = "caller";

/// An issuer's key as files, the key set that it publishes, and one token of it.
#[derive(Debug)]
pub(super) struct Issuer {
    folder: tempfile::TempDir,
    pub(super) key_set: Value,
    /// The header that brings the token.
    pub(super) authorization: String,
}

impl Issuer {
    pub(super) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let key = folder.path().join("issuer.key");
        let mut made = Command::new("openssl");
        succeed(made.args(["genrsa", "-out"]).arg(&key).arg("2048"))?;
        let mut told = Command::new("openssl");
        let modulus = succeed(told.args(["rsa", "-noout", "-modulus", "-in"]).arg(&key))?;
        let modulus = modulus.trim().trim_start_matches("Modulus=");
        let key_set = json!({"keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "bench", "e": "AQAB",
            "n": URL_SAFE_NO_PAD.encode(unhex(modulus)?),
        }]});
        let token = token(folder.path(), &key)?;
        Ok(Self {
            folder,
            key_set,
            authorization: format!("Authorization: Bearer {token}"),
        })
    }

    /// The part of a configuration that takes its tokens.
    fn config(&self) -> Result<String> {
        let file = self.folder.path().join("keys.json");
        fs::write(&file, self.key_set.to_string())?;
        Ok(format!(
            "[[issuers]]\nissuer = {ISSUER:?}\naudience = \"dataos\"\njwks_file = {:?}\nuser_prefix = \"idp-\"\n",
            file.display().to_string()
        ))
    }
}

/// A token (RFC 9068) that is good for a day.
fn token(folder: &Path, key: &Path) -> Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_err(Error::other)?.as_secs();
    let head = json!({"alg": "RS256", "typ": "at+jwt", "kid": "bench"});
    let claims = json!({
        "iss": ISSUER, "aud": "dataos", "sub": SUBJECT, "client_id": "bench", "jti": "1",
        "iat": now, "exp": now + 86_400,
    });
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encoded(&head), encoded(&claims));
    let (input, output) = (folder.join("signed"), folder.join("signature"));
    fs::write(&input, &signed)?;
    let mut sign = Command::new("openssl");
    sign.args(["dgst", "-sha256", "-sign"]).arg(key);
    succeed(sign.arg("-out").arg(&output).arg(&input))?;
    Ok(format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(fs::read(output)?)
    ))
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let pair = |at: usize| {
        text.get(at..at + 2)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(pair).collect();
    bytes.ok_or_else(|| Error::other("openssl's modulus is no hexadecimal number"))
}

/// A server that takes tokens of the issuer, with so many policies and entities.
pub(super) fn start(issuer: &Issuer, program: Option<PathBuf>) -> Result<Server> {
    let limits =
        "[limits]\nconnections = 12000\nconnections_per_peer = 12000\nidle_timeout = \"10m\"\n";
    let server = Server::start(&Options {
        config: Some(issuer.config()? + limits),
        program: program.map(|program| (program, Some("unrecorded".to_owned()))),
        ..Options::default()
    })?;
    let admin = Ctl::login(&server, "admin", &server.first_password()?)?;
    let loaded = || -> Result<u64> {
        let listed = admin.json(&["policy", "list"])?;
        let count = listed.get("count").and_then(Value::as_u64);
        count.ok_or_else(|| Error::other("policy list says no count"))
    };
    let expected = loaded()? + POLICIES as u64;
    let policies = server.data_dir.join("policies");
    let entity = |n: usize| {
        let uid = json!({"type": "Bench::Record", "id": n.to_string()});
        json!({"uid": uid, "attrs": {}, "parents": []})
    };
    let entities: Vec<Value> = (0..ENTITIES).map(entity).collect();
    let text: String = (0..POLICIES).map(|n| policy(Kind::Mixed, n)).collect();
    fs::create_dir_all(policies.join("entities"))?;
    let file = policies.join("entities/bench.json");
    fs::write(file, json!(entities).to_string())?;
    let schema = "namespace Bench {\n    entity Record;\n    action read appliesTo { principal: DataOS::User, resource: Record };\n}\n";
    fs::write(policies.join("bench.cedarschema"), schema)?;
    fs::write(policies.join("bench.cedar"), text)?;
    let deadline = Instant::now() + START_TIMEOUT;
    while loaded()? != expected {
        if Instant::now() > deadline {
            return Err(Error::other(server.printed()));
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(server)
}
