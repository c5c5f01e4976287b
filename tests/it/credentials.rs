//! Tokens of a certified provider, bound ones, revoked ones, and API keys, as their users meet them.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use dataos_tests::{
    ctl::Ctl,
    provider::Provider,
    server::{Options, Server, header},
};
use serde_json::Value;

/// The audience of our tokens.
const US: &str = "dataos";
/// The server looks at an issuer's keys anew at most every 10 seconds.
const KEYS_TIMEOUT: Duration = Duration::from_secs(30);

struct Scene {
    provider: Provider,
    server: Server,
    admin: Ctl,
    files: tempfile::TempDir,
}

pub(crate) fn config(provider: &Provider) -> String {
    format!(
        "[[issuers]]\nissuer = \"{}\"\ndiscovery = true\naudience = \"{US}\"\n\
         clients = [\"shop\", \"bound\"]\nuser_prefix = \"idp-\"\n",
        provider.issuer
    )
}

fn scene() -> Scene {
    let provider = Provider::start().unwrap();
    let server = start(&provider);
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    Scene {
        provider,
        server,
        admin,
        files: tempfile::tempdir().unwrap(),
    }
}

fn start(provider: &Provider) -> Server {
    Server::start(&Options {
        config: Some(config(provider)),
        ..Options::default()
    })
    .unwrap()
}

impl Scene {
    /// Status, id of the call and body of "who am I" with this token and more arguments for curl.
    fn ask(&self, token: &str, arguments: &[&str]) -> (u16, String, Value) {
        let bearer = format!("Authorization: Bearer {token}");
        let all = [&["-H", bearer.as_str()], arguments].concat();
        let (status, headers, body) = self.server.request(&all, "/api/v1/session").unwrap();
        if status == 401 {
            let challenge = header(&headers, "www-authenticate");
            assert_eq!(challenge, Some("Bearer error=\"invalid_token\""));
            assert!(!body.contains(token), "{body}");
        }
        let id = header(&headers, "dataos-request-id").unwrap().to_owned();
        (status, id, serde_json::from_str(&body).unwrap())
    }

    fn who(&self, token: &str, arguments: &[&str]) -> (u16, Value) {
        let (status, _, body) = self.ask(token, arguments);
        (status, body)
    }

    fn is_taken(&self, token: &str, arguments: &[&str]) {
        let (status, body) = self.who(token, arguments);
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["authentication"], "token");
        assert_eq!(body["issuer"], self.provider.issuer);
    }

    fn is_refused(&self, token: &str, arguments: &[&str], reason: &str) {
        let (status, id, body) = self.ask(token, arguments);
        assert_eq!(status, 401, "{body}");
        assert_eq!(self.reason(&id), reason);
    }

    /// Why a call was refused, by the log.
    fn reason(&self, id: &str) -> String {
        let entry = self.admin.entry(&["--request-id", id]).unwrap();
        assert_eq!(entry["action"], "refused_pre_auth");
        entry["reason"].as_str().unwrap().to_owned()
    }

    /// A client certificate: its file, that of its key, and the text that the provider wants.
    fn certificate(&self, name: &str) -> [String; 3] {
        let folder = self.files.path().to_string_lossy().into_owned();
        let create = ["certificate", "create", "-n", name, "--out", &folder];
        let issued = self.admin.json(&create).unwrap();
        let file = |field: &str| issued[field].as_str().unwrap().to_owned();
        let pem = fs::read_to_string(file("certificate_file")).unwrap();
        let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----").unwrap();
        let (leaf, _) = rest.split_once("-----END CERTIFICATE-----").unwrap();
        let leaf: String = leaf.split_whitespace().collect();
        [
            file("certificate_file"),
            file("key_file"),
            format!("client-cert: {leaf}"),
        ]
    }
}

#[test]
fn access_tokens_of_a_certified_provider_are_taken_and_nothing_else_of_it() {
    let scene = scene();
    for alg in ["ES256", "RS256", "EdDSA"] {
        let token = scene.provider.token("shop", US, alg).unwrap();
        scene.is_taken(&token, &[]);
        let (_, who) = scene.who(&token, &[]);
        assert_eq!(who["user"], "idp-shop");
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let flipped = if signature.starts_with('A') { 'B' } else { 'A' };
        let forged = format!("{signed}.{flipped}{}", signature.get(1..).unwrap());
        scene.is_refused(&forged, &[], "token_signature_wrong");
    }
    let other = scene.provider.token("shop", "other", "ES256").unwrap();
    scene.is_refused(&other, &[], "token_audience_wrong");
    let opaque = scene.provider.ask("shop", &[]).unwrap();
    scene.is_refused(&opaque, &[], "token_malformed");
}

#[test]
fn changed_keys_are_taken_up_and_tokens_of_the_old_ones_end() {
    let mut scene = scene();
    let old = scene.provider.token("shop", US, "ES256").unwrap();
    scene.is_taken(&old, &[]);
    scene.provider.change_keys().unwrap();
    let new = scene.provider.token("shop", US, "ES256").unwrap();
    let deadline = Instant::now() + KEYS_TIMEOUT;
    loop {
        let (status, id, body) = scene.ask(&new, &[]);
        if status == 200 {
            break;
        }
        assert_eq!(scene.reason(&id), "token_key_unknown");
        assert!(Instant::now() < deadline, "{body}");
        std::thread::sleep(Duration::from_millis(500));
    }
    scene.is_refused(&old, &[], "token_key_unknown");
    scene.is_taken(&new, &[]);
}

#[test]
fn an_issuer_that_is_away_is_unavailable_and_health_says_why() {
    let provider = Provider::start().unwrap();
    let token = provider.token("shop", US, "ES256").unwrap();
    let server = start(&provider);
    let issuer = provider.issuer.clone();
    drop(provider);
    let bearer = format!("Authorization: Bearer {token}");
    let asked = server.request(&["-H", &bearer], "/api/v1/session");
    let (status, headers, body) = asked.unwrap();
    assert_eq!(status, 503, "{body}");
    assert!(header(&headers, "retry-after").is_some(), "{headers}");
    assert!(!body.contains(&token), "{body}");
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let health = admin.json(&["health"]).unwrap();
    let mut states = health["health"].as_array().unwrap().iter();
    let told = states.find(|state| state.to_string().contains(&issuer));
    let told = told.expect("the issuer is on the health page").to_string();
    assert!(told.contains("openid-configuration"), "{told}");
}

#[test]
fn a_bound_token_works_with_its_certificate_alone() {
    let scene = scene();
    let [ours, our_key, handed_on] = scene.certificate("ours");
    let [theirs, their_key, _] = scene.certificate("theirs");
    let resource = format!("resource=urn:{US}:ES256");
    let arguments = ["-d", &resource, "-H", &handed_on];
    let bound = scene.provider.ask("bound", &arguments).unwrap();
    let ours = ["--cert", &ours, "--key", &our_key];
    let theirs = ["--cert", &theirs, "--key", &their_key];
    scene.is_refused(&bound, &[], "token_bound_no_certificate");
    scene.is_refused(&bound, &theirs, "token_bound_to_other_certificate");
    scene.is_taken(&bound, &ours);
    // It was remembered now, and is still worth nothing elsewhere.
    scene.is_refused(&bound, &[], "token_bound_no_certificate");
    scene.is_refused(&bound, &theirs, "token_bound_to_other_certificate");
}

#[test]
fn a_revoked_subject_is_out_at_once_and_in_again_with_a_newer_token() {
    let scene = scene();
    let old = scene.provider.token("shop", US, "ES256").unwrap();
    scene.is_taken(&old, &[]);
    let issuer = scene.provider.issuer.clone();
    let revoke = ["token", "revoke", "--issuer", &issuer, "--subject", "shop"];
    scene.admin.json(&revoke).unwrap();
    scene.is_refused(&old, &[], "token_subject_revoked");
    // Tokens name the second in which they were issued.
    std::thread::sleep(Duration::from_millis(1100));
    let new = scene.provider.token("shop", US, "ES256").unwrap();
    scene.is_taken(&new, &[]);
    let listed = scene.admin.json(&["token", "get"]).unwrap();
    assert_eq!(listed["revocations"][0]["subject"], "shop");
    let other = ["token", "revoke", "--issuer", "https://other", "--jti", "a"];
    let refused = scene.admin.run(&other).unwrap();
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("https://other"),
        "{}",
        refused.stderr
    );
}

#[test]
fn api_keys_are_made_with_scopes_and_rotated_by_the_command_line() {
    let server = Server::start(&Options::default()).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let create = [
        "apikey",
        "create",
        "-n",
        "ci",
        "--scope",
        "action:view_policy",
    ];
    let made = admin.json(&create).unwrap();
    let (id, old) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let status = |key: &str, path: &str| {
        let (status, body) = server.get(key, path).unwrap();
        (status, body["reason"].as_str().unwrap_or("").to_owned())
    };
    let fine = || (200, String::new());
    assert_eq!(status(old, "/api/v1/policies"), fine());
    let beyond = status(old, "/api/v1/session");
    assert_eq!(beyond, (403, "out_of_scope".to_owned()));
    let rotated = admin.json(&["apikey", "rotate", "-i", id, "--overlap", "0s"]);
    let rotated = rotated.unwrap();
    let new = rotated["key"].as_str().unwrap();
    assert_eq!(rotated["scopes"], made["scopes"]);
    assert_eq!(status(new, "/api/v1/policies"), fine());
    assert_eq!(status(new, "/api/v1/session").0, 403);
    assert_eq!(
        status(old, "/api/v1/policies").0,
        401,
        "the overlap is over"
    );
    own_key_is_rotated_in_its_context(&admin);
}

/// The key of the context moves on without being shown.
fn own_key_is_rotated_in_its_context(admin: &Ctl) {
    let before = admin.key().unwrap();
    let own = before.split('_').nth(1).unwrap();
    let rotated = admin.run(&["apikey", "rotate", "-i", own, "--overlap", "0s"]);
    let rotated = rotated.unwrap();
    assert_eq!(rotated.code, 0, "{}", rotated.stderr);
    let after = admin.key().unwrap();
    assert_ne!(before, after);
    let shown = format!("{}{}", rotated.stdout, rotated.stderr);
    assert!(!shown.contains(&after), "{shown}");
    assert_eq!(admin.run(&["whoami"]).unwrap().code, 0, "by the new key");
    assert!(Path::new(&admin.contexts()).is_file());
    let keys = admin.json(&["apikey", "get"]).unwrap();
    let id = after.split('_').nth(1).unwrap();
    let mut listed = keys["keys"].as_array().unwrap().iter();
    let used = listed.find(|key| key["id"] == id).unwrap();
    assert!(used["last_used_at"].is_string(), "{used}");
}
