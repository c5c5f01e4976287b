//! Bad input of any kind gets a clear error and nothing is lost.

use std::{
    fs,
    process::{Command, Output},
};

use dataos_tests::{
    binaries::{binary, free_port},
    ctl::Ctl,
    server::{Options, Server},
};

fn serve(arguments: &[&str]) -> Output {
    Command::new("timeout")
        .arg("20")
        .arg(binary("dataos"))
        .arg("serve")
        .args(arguments)
        .output()
        .unwrap()
}

fn check(output: &Output, expected: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        matches!(output.status.code(), Some(1 | 2)),
        "{:?}: {said}",
        output.status
    );
    for text in expected {
        assert!(said.contains(text), "`{text}` is not in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_start_that_cannot_succeed_says_why() {
    let mut server = Server::start(&Options::default()).unwrap();
    let data_dir = server.data_dir.to_string_lossy().into_owned();
    let listen = format!("127.0.0.1:{}", free_port().unwrap());
    check(
        &serve(&["--listen", &listen, "--data-dir", &data_dir]),
        &["in use"],
    );

    let other = tempfile::tempdir().unwrap();
    let other_dir = other.path().join("data").to_string_lossy().into_owned();
    let taken = server.url.trim_start_matches("https://").to_owned();
    check(
        &serve(&["--listen", &taken, "--data-dir", &other_dir]),
        &["in use", &taken],
    );

    let config = other.path().join("dataos.toml");
    fs::write(&config, "listne = \"127.0.0.1:1\"\n").unwrap();
    let config = config.to_string_lossy().into_owned();
    check(
        &serve(&["--config", &config, "--data-dir", &other_dir]),
        &["listne", "dataos.toml"],
    );

    check(
        &serve(&[
            "--listen",
            &listen,
            "--data-dir",
            &other_dir,
            "--data",
            &data_dir,
        ]),
        &["data directory"],
    );

    server.stop().unwrap();
    fs::write(server.data_dir.join("format"), "9999\n").unwrap();
    check(
        &serve(&["--listen", &listen, "--data-dir", &data_dir]),
        &["9999"],
    );
}

#[test]
fn a_damaged_log_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let options = Options {
        data_dir: Some(data_dir.clone()),
        ..Options::default()
    };
    let mut server = Server::start(&options).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    for _ in 0..5 {
        assert_eq!(admin.run(&["whoami"]).unwrap().code, 0);
    }
    server.stop().unwrap();
    let segment = fs::read_dir(data_dir.join("audit"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.metadata().unwrap().len() > 4096)
        .min()
        .unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.iter().position(|byte| *byte != 0).unwrap() + 200;
    bytes[middle] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let listen = format!("127.0.0.1:{}", free_port().unwrap());
    let output = serve(&[
        "--listen",
        &listen,
        "--data-dir",
        &data_dir.to_string_lossy(),
    ]);
    check(&output, &[segment.file_name().unwrap().to_str().unwrap()]);
    assert_eq!(
        fs::read(&segment).unwrap(),
        bytes,
        "a refused log must not be changed"
    );
}

#[test]
fn malformed_manifests_policies_and_sql_name_the_place() {
    let server = Server::start(&Options::default()).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    for (manifest, expected) in [
        ("name: x\n  version: [", "line"),
        (
            "name: X_Y\nversion: v1\ntype: secret\nsecret: {type: key-value, data: {}}\n",
            "name",
        ),
        ("name: x\nversion: v1\ntype: depott\n", "depot"),
        ("name: x\nname: y\nversion: v1\ntype: depot\n", "name"),
        (
            "name: x\nversion: v1\ntype: policy\npolicy: {acess: {allow: true}}\n",
            "access",
        ),
        (
            "name: w\nversion: v1\ntype: workflow\nworkflow:\n  dag:\n    - {name: a, dependencies: [b], spec: \
             {stack: sql, compute: c, stackSpec: {sql: SELECT 1}}}\n    - {name: b, dependencies: [a], spec: \
             {stack: sql, compute: c, stackSpec: {sql: SELECT 1}}}\n",
            "a",
        ),
    ] {
        let printed = admin.apply(manifest).unwrap();
        assert_eq!(
            printed.code, 1,
            "{manifest}: {}{}",
            printed.stdout, printed.stderr
        );
        assert!(
            printed.stderr.contains(expected),
            "{manifest}: {}",
            printed.stderr
        );
    }
    let resources = admin.json(&["get"]).unwrap();
    assert_eq!(
        resources["resources"].as_array().unwrap().len(),
        0,
        "nothing was applied"
    );
    for (sql, expected) in [
        ("SELECT 1 +* 2", "line 1"),
        ("SELECT * FROM nowhere", "nowhere"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("COPY x TO '/tmp/x'", "line 1"),
        ("SELECT * FROM '/etc/passwd'", ""),
    ] {
        let printed = admin.run(&["query", sql]).unwrap();
        assert_ne!(printed.code, 0, "{sql}: {}", printed.stdout);
        assert!(
            printed.stderr.contains(expected),
            "{sql}: {}",
            printed.stderr
        );
        assert!(
            printed.stderr.contains("request:"),
            "{sql}: {}",
            printed.stderr
        );
    }
}

#[test]
fn a_bad_policy_file_is_refused_whole_and_the_old_set_stays() {
    let server = Server::start(&Options::default()).unwrap();
    let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
    let key = admin.key().unwrap();
    let hash = |expects_error: bool| {
        for _ in 0..1200 {
            let (_, set) = server.get(&key, "/api/v1/policies").unwrap();
            if set["load_error"].is_null() != expects_error {
                return set["hash"].as_str().unwrap().to_owned();
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("the folder was not read again");
    };
    let before = hash(false);
    let file = server.data_dir.join("policies/mine.cedar");
    fs::write(
        &file,
        "@id(\"mine\")\npermit (principal, action, resource) when { 1 };\n",
    )
    .unwrap();
    assert_eq!(hash(true), before, "a bad folder must not change the set");
    let (_, set) = server.get(&key, "/api/v1/policies").unwrap();
    assert!(
        set["load_error"].to_string().contains("mine.cedar"),
        "{}",
        set["load_error"]
    );
    let good = "@id(\"mine\")\nforbid (principal, action == DataOS::Action::\"query\", resource)\n\
        when { principal == DataOS::User::\"nobody\" };\n";
    fs::write(&file, good).unwrap();
    assert_ne!(hash(false), before, "a good folder is live");
}

#[test]
fn wrong_credentials_are_refused_alike() {
    let server = Server::start(&Options::default()).unwrap();
    for token in [
        "dok_x",
        "dok_aaaaaaaa_bbbbbbbbbbbbbbbb",
        "eyJhbGciOiJub25lIn0.e30.",
        "a.b.c",
        "\u{fc}",
    ] {
        let authorization = format!("Authorization: Bearer {token}");
        let (status, headers, body) = server
            .request(&["-H", &authorization], "/api/v1/session")
            .unwrap();
        assert!(status == 401 || status == 400, "{token}: {status} {body}");
        assert!(
            headers.to_lowercase().contains("application/problem+json"),
            "{token}: {headers}"
        );
        assert!(
            !body.contains(token) || token.len() < 6,
            "{token} is echoed: {body}"
        );
    }
    assert!(Ctl::login(&server, "admin", "wrong").is_err());
    assert!(Ctl::login(&server, "nobody", "wrong").is_err());
}

#[test]
fn ambiguous_requests_are_refused() {
    let server = Server::start(&Options::default()).unwrap();
    for (arguments, path, expected) in [
        (vec!["--path-as-is"], "/api/v1/../v1/session", 400),
        (vec!["--path-as-is"], "/api/v1/%2e%2e/session", 400),
        (vec!["--path-as-is"], "/api//v1/session", 400),
        (vec!["--path-as-is"], "/api/v1/session%00", 400),
        (vec!["--path-as-is"], "/api/v1%2fsession", 400),
        (vec!["-X", "TRACE"], "/api/v1/session", 405),
        (
            vec![
                "-H",
                "Authorization: Bearer a",
                "-H",
                "Authorization: Bearer b",
            ],
            "/api/v1/session",
            400,
        ),
        (vec![], "/api/v1/nothing", 404),
    ] {
        let (status, _, body) = server.request(&arguments, path).unwrap();
        assert_eq!(status, expected, "{arguments:?} {path}: {body}");
    }
}
