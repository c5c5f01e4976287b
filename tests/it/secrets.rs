//! Secrets never appear in stores, logs, records, errors or process arguments: a canary is planted
//! and everything is searched for it.

use dataos_tests::{
    ctl::Ctl,
    server::{Options, Server, bytes_below},
};

#[test]
fn no_planted_secret_appears_anywhere() {
    let canary = "canary-9f2c41d7-password";
    let server = Server::start(&Options::default()).unwrap();
    let first = server.first_password().unwrap();
    let admin = Ctl::login(&server, "admin", &first).unwrap();
    let manifest = format!(
        "name: login\nversion: v1\ntype: secret\nsecret:\n  type: key-value-properties\n  \
         data: {{username: u, password: {canary}}}\n---\nname: down\nversion: v1\ntype: depot\n\
         depot:\n  type: POSTGRES\n  spec: {{host: 127.0.0.1, port: 1, database: x}}\n  \
         dataosSecrets:\n    - {{name: login, workspace: public}}\n"
    );
    let printed = admin.apply(&manifest).unwrap();
    assert!(!printed.stdout.contains(canary) && !printed.stderr.contains(canary));
    let variables = [("DATAOS_NEW_PASSWORD", canary)];
    let printed = admin
        .run_with(&["user", "create", "--id", "eve"], &variables, "")
        .unwrap();
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    let eve = Ctl::login(&server, "eve", canary).unwrap();
    let key = eve.key().unwrap();
    assert_eq!(eve.run(&["whoami"]).unwrap().code, 0);
    let shown = admin.run(&["get", "--json"]).unwrap();
    assert!(!shown.stdout.contains(canary), "get shows the secret");

    // Answers, figures and errors; the wrong password differs from the right one in its end.
    let refused = Ctl::login(&server, "eve", &format!("{canary}-wrong")).unwrap_err();
    let down = admin
        .run(&["query", "SELECT 1 FROM down.public.x"])
        .unwrap();
    assert_ne!(down.code, 0);
    let mut shown = refused.to_string() + &down.stderr + &down.stdout;
    let bearer = format!("Authorization: Bearer {}", admin.key().unwrap());
    for path in [
        "/metrics",
        "/api/v1/overview",
        "/api/v1/audit/entries",
        "/api/v1/users",
    ] {
        let (status, headers, body) = server.request(&["-H", &bearer], path).unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        shown.extend([headers, body]);
    }
    assert!(!shown.contains(canary), "an answer holds the secret");

    let pid = server.pid();
    let mut places = bytes_below(&server.data_dir).unwrap();
    for file in ["cmdline", "environ"] {
        let path = std::path::PathBuf::from(format!("/proc/{pid}/{file}"));
        places.push((path.clone(), std::fs::read(&path).unwrap()));
    }
    assert!(places.len() > 5, "found only {} files", places.len());
    let secret = key.rsplit('_').next().unwrap();
    for (path, bytes) in &places {
        for needle in [canary, secret] {
            let found = bytes
                .windows(needle.len())
                .any(|window| window == needle.as_bytes());
            assert!(!found, "{} holds a secret", path.display());
        }
    }
    let printed = server.printed();
    assert!(
        !printed.contains(canary) && !printed.contains(secret),
        "printed a secret"
    );
    assert_eq!(
        printed.matches(&first).count(),
        1,
        "the first password is printed once"
    );
}
