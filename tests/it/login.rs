//! People who log in through a certified provider, and leave it again, as their browsers do.

mod mocks;

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command},
    time::Duration,
};

use dataos_tests::{
    browser::{Browser, End},
    ctl::Ctl,
    provider::Provider,
    server::{Options, Server, header},
};
use serde_json::Value;

/// Where the provider knows the server. No name leads there: what a browser would send there, the test
/// sends to the server.
const HOME: &str = "https://data.test";
/// A session is renewed at most every 10 seconds.
const RENEWAL: Duration = Duration::from_secs(11);

struct Scene {
    provider: Provider,
    server: Server,
    browser: Browser,
    _files: tempfile::TempDir,
}

fn config(provider: &Provider, secret: &str) -> String {
    format!(
        "[[issuers]]\nissuer = \"{}\"\ndiscovery = true\naudience = \"dataos\"\n\
         user_prefix = \"idp-\"\n\
         [issuers.login]\nname = \"corp\"\ntitle = \"Corp\"\nclient_id = \"console\"\n\
         client_secret_file = \"{secret}\"\nredirect_url = \"{HOME}/login/corp/callback\"\n\
         scopes = [\"openid\", \"offline_access\"]\n\
         command_line_client = \"ctl\"\ncommand_line_resource = \"urn:dataos:ES256\"\n\
         command_line_scopes = [\"openid\", \"offline_access\", \"read\"]\n",
        provider.issuer
    )
}

fn scene() -> Scene {
    let provider = Provider::start().unwrap();
    let files = tempfile::tempdir().unwrap();
    let secret = files.path().join("secret");
    std::fs::write(&secret, "secret-of-console\n").unwrap();
    let server = Server::start(&Options {
        config: Some(config(&provider, &secret.to_string_lossy())),
        ..Options::default()
    });
    Scene {
        provider,
        server: server.unwrap(),
        browser: Browser::new().unwrap(),
        _files: files,
    }
}

/// The value of a cookie that an answer sets.
fn cookie(headers: &str, name: &str) -> String {
    let mut lines = headers.lines();
    let found = lines.find_map(|line| {
        let (_, rest) = line.split_once(": ")?;
        rest.starts_with(name)
            .then(|| rest.split(';').next().unwrap().to_owned())
    });
    found.expect("the cookie is set")
}

impl Scene {
    fn get(&self, path: &str, cookie: &str) -> (u16, String, String) {
        let cookie = format!("Cookie: {cookie}");
        self.server.request(&["-H", &cookie], path).unwrap()
    }

    fn at_provider(&self, url: &str, person: &str) -> End {
        let home = &self.provider.issuer;
        self.browser.follow(home, url, person, &[]).unwrap()
    }

    /// Where the provider sends the browser of somebody who wants to come in, and the cookie of it.
    fn come_back(&self, person: &str) -> (String, String) {
        let (status, headers, body) = self.get("/login/corp?return=/console/", "");
        assert_eq!(status, 303, "{body}");
        let away = header(&headers, "location").unwrap();
        let back = self
            .at_provider(away, person)
            .away()
            .expect("it sends people back");
        let back = back.strip_prefix(HOME).expect("exactly as registered");
        (back.to_owned(), cookie(&headers, "__Host-dataos-login="))
    }

    /// The session cookie of somebody who logged in.
    fn log_in(&self, person: &str) -> String {
        let (back, pending) = self.come_back(person);
        let (status, headers, body) = self.get(&back, &pending);
        assert_eq!(status, 303, "{body}");
        assert_eq!(header(&headers, "location"), Some("/console/"));
        cookie(&headers, "__Host-dataos-session=")
    }

    fn who(&self, session: &str) -> (u16, Value) {
        let (status, _, body) = self.get("/api/v1/session", session);
        (status, serde_json::from_str(&body).unwrap())
    }

    fn admin(&self) -> Ctl {
        Ctl::login(
            &self.server,
            "admin",
            &self.server.first_password().unwrap(),
        )
        .unwrap()
    }
}

#[test]
fn a_person_logs_in_through_a_certified_provider_and_out_of_both() {
    let scene = scene();
    let (back, pending) = scene.come_back("alice");
    let (status, _, body) = scene.get(&back, "");
    assert_eq!(
        (status, body.contains("login_cookie_missing")),
        (400, true),
        "{body}"
    );
    let (status, headers, body) = scene.get(&back, &pending);
    assert_eq!(status, 303, "{body}");
    let session = cookie(&headers, "__Host-dataos-session=");
    let (status, who) = scene.who(&session);
    assert_eq!((status, &who["user"]), (200, &Value::from("idp-alice")));
    assert_eq!(who["issuer"], scene.provider.issuer);
    let (status, _, body) = scene.get(&back, &pending);
    assert_eq!(
        (status, body.contains("login_state_reused")),
        (400, true),
        "{body}"
    );
    let delete = ["-X", "DELETE", "-H", "X-DataOS-CSRF: 1", "-H"];
    let cookie_header = format!("Cookie: {session}");
    let arguments = [&delete[..], &[cookie_header.as_str()]].concat();
    let (status, headers, body) = scene.server.request(&arguments, "/api/v1/session").unwrap();
    assert_eq!(
        (status, body.as_str()),
        (200, "{\"continue\":\"/login/corp/logout\"}")
    );
    assert_eq!(scene.who(&session).0, 401);
    let pending = cookie(&headers, "__Host-dataos-login=");
    let (status, headers, body) = scene.get("/login/corp/logout", &pending);
    assert_eq!(status, 303, "{body}");
    let away = header(&headers, "location").unwrap();
    assert!(away.contains("id_token_hint="), "{away}");
    let back = scene
        .at_provider(away, "nobody")
        .away()
        .expect("it sends people back");
    let back = back.strip_prefix(HOME).unwrap();
    let (status, headers, body) = scene.get(back, &pending);
    assert_eq!(
        (status, header(&headers, "location")),
        (303, Some("/console/")),
        "{body}"
    );
    // The provider knows nobody any more: it asks, and another may come.
    let (_, who) = scene.who(&scene.log_in("bob"));
    assert_eq!(who["user"], "idp-bob");
}

#[test]
fn a_session_of_a_provider_outlives_the_process_and_is_decided_as_any_other() {
    let mut scene = scene();
    let session = scene.log_in("alice");
    let (status, _, body) = scene.get("/api/v1/users", &session);
    assert_eq!(status, 403, "policies give her nothing: {body}");
    let admin = scene.admin();
    let entry = admin.entry(&["--action", "view_identity"]).unwrap();
    assert_eq!(entry["principal"], "DataOS::User::\"idp-alice\"");
    assert_eq!(entry["facts"]["issuer"], scene.provider.issuer);
    let listed = admin.json(&["session", "get"]).unwrap();
    let sessions = listed["sessions"].as_array().unwrap();
    let hers = sessions
        .iter()
        .find(|session| session["user"] == "idp-alice");
    assert_eq!(hers.unwrap()["id"], entry["facts"]["credential"]);
    let other = scene.log_in("alice");
    let (_, _) = scene.who(&other);
    let newest = admin.json(&["session", "get", "--limit", "1"]).unwrap();
    let id = newest["sessions"][0]["id"].as_str().unwrap().to_owned();
    let ended = admin.run(&["session", "end", "-i", &id]).unwrap();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(scene.who(&other).0, 401);
    let log_in = admin.entry(&["--action", "log_in"]).unwrap();
    assert_eq!(
        (&log_in["reason"], &log_in["effect"]),
        (&Value::from("provider"), &Value::from("allow"))
    );
    let data_dir = scene.server.keep();
    scene.server.stop().unwrap();
    let secret = scene._files.path().join("secret");
    scene.server = Server::start(&Options {
        data_dir: Some(data_dir.clone()),
        config: Some(config(&scene.provider, &secret.to_string_lossy())),
        ..Options::default()
    })
    .unwrap();
    assert_eq!(scene.who(&session).0, 200);
    let stored = std::fs::read(data_dir.join("accounts.db")).unwrap();
    let value = session.split_once('=').unwrap().1.as_bytes();
    assert!(
        !stored.windows(value.len()).any(|part| part == value),
        "a cookie is stored"
    );
    assert!(
        !stored.windows(4).any(|part| part == b"eyJh"),
        "a token is stored"
    );
    drop(scene);
    std::fs::remove_dir_all(data_dir).unwrap();
}

#[test]
fn who_leaves_the_provider_is_out_at_once() {
    let mut scene = scene();
    let url = format!("{}/login/corp/backchannel-logout", scene.server.url);
    scene.provider.tell_log_outs_to(&url).unwrap();
    let session = scene.log_in("alice");
    assert_eq!(scene.who(&session).0, 200);
    let out = format!("{}/session/end", scene.provider.issuer);
    let page = scene
        .at_provider(&out, "alice")
        .page()
        .expect("it has a page for that");
    assert!(page.contains("Sign-out Success"), "{page}");
    assert_eq!(scene.who(&session).0, 401);
    let admin = scene.admin();
    let entry = admin.entry(&["--action", "log_out"]).unwrap();
    assert_eq!(entry["reason"], "provider");
    assert_eq!(entry["principal"], "DataOS::User::\"idp-alice\"");
    assert_eq!(entry["facts"]["sessions"], "1");
}

#[test]
fn a_session_is_renewed_by_refresh_tokens_until_the_provider_refuses() {
    let mut scene = scene();
    let session = scene.log_in("alice");
    let renewals = |scene: &mut Scene| scene.provider.grants("refresh_token").unwrap();
    assert_eq!((scene.who(&session).0, renewals(&mut scene)), (200, 0));
    for expected in [1, 2] {
        std::thread::sleep(RENEWAL);
        assert_eq!(scene.who(&session).0, 200);
        assert_eq!(scene.who(&session).0, 200, "not asked again at once");
        assert_eq!(
            renewals(&mut scene),
            expected,
            "with the token of the last one"
        );
    }
    scene.provider.revoke_refresh_tokens().unwrap();
    std::thread::sleep(RENEWAL);
    assert_eq!(scene.who(&session).0, 401);
    let admin = scene.admin();
    let refused = admin.entry(&["--action", "refused_pre_auth"]).unwrap();
    assert_eq!(refused["reason"], "session_ended_by_provider");
    assert_eq!(scene.who(&session).0, 401, "for good");
}

/// A log-in of the command line that waits for a person.
struct Waiting {
    process: Child,
    said: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Waiting {
    fn start(scene: &Scene, ctl: &Ctl, more: &[&str]) -> Self {
        let ca = scene.server.ca().to_string_lossy().into_owned();
        let login = ["login", "--url", &scene.server.url, "--ca", &ca];
        let mut process = ctl.start(&[&login[..], more].concat()).unwrap();
        let said = BufReader::new(process.stderr.take().unwrap()).lines();
        Self { process, said }
    }

    /// The address of the provider that it tells a person to open.
    fn address(&mut self, before: &str) -> String {
        let found = self.said.find_map(|line| {
            let line = line.unwrap();
            line.trim().strip_prefix(before).map(str::to_owned)
        });
        found.expect("it says what to open")
    }

    /// Its exit code, and what else it said.
    fn end(mut self) -> (i32, String) {
        let said: Vec<String> = self.said.map(Result::unwrap).collect();
        let code = self.process.wait().unwrap().code().unwrap();
        (code, said.join("\n"))
    }
}

#[test]
fn a_command_line_logs_in_by_the_browser_renews_its_token_and_logs_out() {
    let mut scene = scene();
    let ctl = Ctl::new().unwrap();
    let mut waiting = Waiting::start(&scene, &ctl, &[]);
    let address = format!("http{}", waiting.address("http"));
    let back = scene
        .at_provider(&address, "alice")
        .away()
        .expect("it sends people back");
    let visit = |url: &str| {
        let output = Command::new("curl")
            .args(["-s", "--max-time", "20", url])
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let (start, _) = back.split_once('?').unwrap();
    let stray = visit(&format!("{start}?state=guess&code=stolen"));
    assert!(stray.contains("not the log-in that is awaited"), "{stray}");
    let page = visit(&back);
    assert!(page.contains("You are logged in"), "{page}");
    let (code, said) = waiting.end();
    assert_eq!(code, 0, "{said}");
    for expected in 1..=2 {
        let who = ctl.json(&["whoami"]).unwrap();
        assert_eq!(
            (&who["user"], &who["authentication"]),
            (&Value::from("idp-alice"), &Value::from("token"))
        );
        assert_eq!(
            scene.provider.grants("refresh_token").unwrap(),
            expected,
            "it was about to end"
        );
    }
    let kept = std::fs::read_to_string(ctl.contexts()).unwrap();
    let out = ctl.run(&["logout"]).unwrap();
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert!(
        !std::fs::read_to_string(ctl.contexts())
            .unwrap()
            .contains("api_key")
    );
    // What was kept is worth nothing any more.
    std::fs::write(ctl.contexts(), kept).unwrap();
    let ended = ctl.run(&["whoami"]).unwrap();
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("has ended"), "{}", ended.stderr);
}

#[test]
fn a_command_line_without_a_browser_logs_in_by_a_code_unless_it_is_refused() {
    let scene = scene();
    let ctl = Ctl::new().unwrap();
    let device = ["--device", "--provider", "corp"];
    for (answer, code) in [(&[][..], 0), (&[("abort", "yes")], 3)] {
        let mut waiting = Waiting::start(&scene, &ctl, &device);
        let address = waiting.address("or open ");
        let home = &scene.provider.issuer;
        let end = scene.browser.follow(home, &address, "bob", answer).unwrap();
        assert!(end.page().is_some());
        let (ended, said) = waiting.end();
        assert_eq!(ended, code, "{said}");
        assert_eq!(code == 3, said.contains("refused where the code"), "{said}");
    }
    assert_eq!(ctl.json(&["whoami"]).unwrap()["user"], "idp-bob");
}

#[test]
fn a_command_line_ends_its_key_by_logging_out() {
    let server = Server::start(&Options::default()).unwrap();
    let ctl = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let key = ctl.key().unwrap();
    assert_eq!(server.get(&key, "/api/v1/session").unwrap().0, 200);
    let out = ctl.run(&["logout"]).unwrap();
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert_eq!(server.get(&key, "/api/v1/session").unwrap().0, 401);
    let again = ctl.run(&["logout"]).unwrap();
    assert_eq!(
        (again.code, again.stderr.contains("no context")),
        (2, true),
        "{}",
        again.stderr
    );
    let ca = server.ca().to_string_lossy().into_owned();
    let none = ["login", "--url", &server.url, "--ca", &ca];
    let none = ctl.run(&none).unwrap();
    assert_eq!(
        (none.code, none.stderr.contains("--user NAME")),
        (2, true),
        "{}",
        none.stderr
    );
}
