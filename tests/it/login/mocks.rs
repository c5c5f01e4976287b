//! Two more providers that others test their clients with: one of Python that knows no PKCE, and one of
//! JavaScript whose ID tokens say what the test wants.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use dataos_tests::{
    binaries::{free_port, from_npm, from_pypi},
    peers::succeed,
    server::{Options, Server, header},
};
use serde_json::{Value, json};

use super::{HOME, cookie};
use crate::load::until;

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server whose people log in there, as a public client.
fn server(issuer: &str, more: &str) -> Server {
    let config = format!(
        "[[issuers]]\nissuer = \"{issuer}\"\ndiscovery = true\naudience = \"dataos\"\nuser_prefix = \"idp-\"\n\
         [issuers.login]\nname = \"mock\"\nclient_id = \"console\"\n\
         redirect_url = \"{HOME}/login/mock/callback\"\n{more}"
    );
    let server = Server::start(&Options {
        config: Some(config),
        ..Options::default()
    });
    server.unwrap()
}

/// The answer to somebody who went to the provider and came back.
fn log_in(server: &Server, form: &[&str]) -> (u16, String, String) {
    let (status, headers, body) = server.request(&[], "/login/mock?return=/console/").unwrap();
    assert_eq!(status, 303, "{body}");
    let away = header(&headers, "location").unwrap();
    let mut visit = Command::new("curl");
    visit.args([
        "-s",
        "--max-time",
        "20",
        "-o",
        "/dev/null",
        "-w",
        "%{redirect_url}",
    ]);
    let back = succeed(visit.args(form).arg(away)).unwrap();
    let back = back.strip_prefix(HOME).expect("it sends people back");
    let pending = format!("Cookie: {}", cookie(&headers, "__Host-dataos-login="));
    server.request(&["-H", &pending], back).unwrap()
}

fn who(server: &Server, headers: &str) -> Value {
    let session = format!("Cookie: {}", cookie(headers, "__Host-dataos-session="));
    let (status, _, body) = server
        .request(&["-H", &session], "/api/v1/session")
        .unwrap();
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn a_provider_without_pkce_is_used_where_the_settings_say_so() {
    let port = free_port().unwrap();
    let program = from_pypi("oidc-provider-mock", "0.3.4").unwrap();
    let mut program = Command::new(program.join("oidc-provider-mock"));
    program.args(["-p", &port.to_string(), "--user", "alice"]);
    program.stdout(Stdio::null()).stderr(Stdio::null());
    let _running = Running(program.spawn().unwrap());
    let issuer = format!("http://127.0.0.1:{port}");
    until("the provider", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });

    let strict = server(&issuer, "");
    let (status, _, body) = strict.request(&[], "/login/mock").unwrap();
    assert_eq!((status, body.contains("pkce")), (400, true), "{body}");

    // It knows no public clients.
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "any\n").unwrap();
    let secret = format!(
        "client_secret_file = {:?}\n",
        secret.path().display().to_string()
    );
    let server = server(&issuer, &format!("assume_pkce = true\n{secret}"));
    let (status, headers, body) = log_in(&server, &["-d", "sub=alice"]);
    assert_eq!(status, 303, "{body}");
    assert_eq!(who(&server, &headers)["user"], "idp-alice");
}

struct Mock {
    issuer: String,
    input: ChildStdin,
    output: std::io::Lines<BufReader<ChildStdout>>,
    _running: Running,
}

impl Mock {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/it/login/mock.mjs");
        let mut program = Command::new("node");
        program.arg(script);
        program.arg(from_npm("oauth2-mock-server", "8.2.3").unwrap());
        program.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = program.spawn().unwrap();
        let input = process.stdin.take().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        Self {
            issuer: output.next().unwrap().unwrap(),
            input,
            output,
            _running: Running(process),
        }
    }

    /// What the next ID token says instead.
    fn tell(&mut self, told: &Value) {
        writeln!(self.input, "{told}").unwrap();
        self.output.next().unwrap().unwrap();
    }
}

#[test]
fn whatever_else_an_id_token_says_is_refused() {
    let mut mock = Mock::start();
    let server = server(&mock.issuer, "");
    let refused = [
        (json!({"claims": {"nonce": "another"}}), "nonce"),
        (json!({"claims": {"aud": "another"}}), "audience"),
        (
            json!({"claims": {"aud": ["console", "another"]}}),
            "token_party_wrong",
        ),
        (json!({"claims": {"azp": "another"}}), "token_party_wrong"),
        (
            json!({"claims": {"iss": "https://id.example.org"}}),
            "issuer",
        ),
        (json!({"claims": {"exp": 1_000_000_000}}), "token_expired"),
        (
            json!({"claims": {"exp": "tomorrow"}}),
            "token_time_malformed",
        ),
        (json!({"claims": {"exp": null}}), "token_expiry_missing"),
        (
            json!({"claims": {"iat": 4_000_000_000_i64}}),
            "token_issued_in_future",
        ),
        (json!({"claims": {"sub": null}}), "sub"),
        (json!({"claims": {"sub": 7}}), "sub"),
        (json!({"header": {"kid": "another"}}), "key"),
        (json!({"header": {"jwk": {}}}), "header"),
        (
            json!({"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}}),
            "hash",
        ),
    ];
    let mut surprises = Vec::new();
    for (told, reason) in &refused {
        mock.tell(told);
        let (status, headers, body) = log_in(&server, &[]);
        let has_session = headers.contains("__Host-dataos-session=");
        if status != 400 || has_session || !body.contains(reason) {
            surprises.push(format!("{told}: {status} {body}"));
        }
    }
    assert!(surprises.is_empty(), "{surprises:#?}");
    // The same without a lie is taken.
    let (status, headers, body) = log_in(&server, &[]);
    assert_eq!(status, 303, "{body}");
    assert_eq!(who(&server, &headers)["user"], "idp-johndoe");
}
