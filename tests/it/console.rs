//! The console in a real browser: log-in, every page, a query, a proof verified in the page.

use std::{fs, path::Path, process::Command};

use dataos_tests::{
    ctl::Ctl,
    server::{Options, Server},
};

#[test]
fn every_page_works_in_chromium() {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path().join("local");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("orders.csv"), "id,customer\n1,ana\n2,bo\n").unwrap();
    let options = Options {
        data: Some(folder),
        // It is asked for its name alone, so it need not be there.
        config: Some(
            "[[issuers]]\nissuer = \"https://127.0.0.1:9\"\naudience = \"dataos\"\nuser_prefix = \"corp-\"\n\
             discovery = true\n[issuers.login]\nname = \"corp\"\ntitle = \"Example Corp\"\nclient_id = \"console\"\n\
             redirect_url = \"https://127.0.0.1:8443/login/corp/callback\"\n"
                .to_owned(),
        ),
        ..Options::default()
    };
    let server = Server::start(&options).unwrap();
    let password = server.first_password().unwrap();
    let admin = Ctl::login(&server, "admin", &password).unwrap();
    admin
        .json(&["query", "SELECT * FROM local.main.orders"])
        .unwrap();
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/console/web");
    let screenshots = tempfile::tempdir().unwrap();
    let output = Command::new("npm")
        .args([
            "run",
            "--silent",
            "e2e",
            "--",
            "--url",
            &server.url,
            "--user",
            "admin",
        ])
        .args(["--must", "overview,audit,query,proof"])
        .args(["--provider", "Example Corp"])
        .args(["--sql", "SELECT * FROM local.main.orders"])
        .args(["--password", &password, "--shots"])
        .arg(screenshots.path())
        .current_dir(web)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "{printed}\n{said}\n{}",
        server.printed()
    );
    assert!(
        fs::read_dir(screenshots.path()).unwrap().count() >= 4,
        "{printed}"
    );
}
