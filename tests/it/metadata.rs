//! Accounts, catalog and resources in a PostgreSQL database.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use dataos_tests::{
    binaries::binary,
    ctl::Ctl,
    peers::Postgres,
    server::{Options, Server, bytes_below},
};

/// A data directory whose metadata is in a database.
struct House {
    folder: tempfile::TempDir,
    postgres: Postgres,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let postgres = Postgres::start().unwrap();
        let url = format!(
            "postgresql://dataos:{}@127.0.0.1:{}/postgres\n",
            postgres.password, postgres.port
        );
        fs::write(folder.path().join("url"), url).unwrap();
        let lake = folder.path().join("lake");
        fs::create_dir(&lake).unwrap();
        fs::write(lake.join("orders.csv"), "id,email\n1,a@example.com\n").unwrap();
        Self { folder, postgres }
    }

    fn config(&self) -> String {
        let url = self.folder.path().join("url");
        format!("metadata_url_file = {:?}\n", url.display().to_string())
    }

    fn start(&self) -> Server {
        Server::start(&Options {
            data_dir: Some(self.data_dir()),
            config: Some(self.config()),
            ..Options::default()
        })
        .unwrap()
    }

    fn data_dir(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// A start that must fail: what it says.
    fn refusal(&self, data_dir: &Path, config: &str) -> String {
        let file = self.folder.path().join("refused.toml");
        fs::write(&file, config).unwrap();
        let output = Command::new("timeout")
            .arg("30")
            .arg(binary("dataos"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .arg("--config")
            .arg(&file)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", self.said(&output));
        self.said(&output)
    }

    /// All that a process printed, which never holds the password.
    fn said(&self, output: &Output) -> String {
        let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        let said = said.concat();
        assert!(!said.contains(&self.postgres.password), "{said}");
        said
    }

    fn has_no_password(&self, server: &Server) {
        let mut places = bytes_below(&self.data_dir()).unwrap();
        for file in ["cmdline", "environ"] {
            let path = Path::new("/proc").join(server.pid().to_string()).join(file);
            places.push((path.clone(), fs::read(path).unwrap()));
        }
        places.push((server.log.clone(), server.printed().into_bytes()));
        for (path, bytes) in places {
            let text = String::from_utf8_lossy(&bytes);
            assert!(
                !text.contains(&self.postgres.password),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn state_is_in_the_database_and_one_process_has_it() {
    let house = House::new();
    let mut server = house.start();
    let first = server.first_password().unwrap();
    let admin = Ctl::login(&server, "admin", &first).unwrap();
    let password = [("DATAOS_NEW_PASSWORD", "correct horse battery")];
    let made = admin.run_with(&["user", "create", "--id", "eve"], &password, "");
    assert_eq!(made.unwrap().code, 0);
    let depot = format!(
        "name: lake\nversion: v1\ntype: depot\ndepot:\n  type: FILES\n  spec: {{path: {:?}}}\n",
        house.folder.path().join("lake").display().to_string()
    );
    assert_eq!(admin.apply(&depot).unwrap().code, 0);
    let tag = [
        "catalog",
        "tag",
        "lake.main.orders",
        "--column",
        "email",
        "PII",
    ];
    admin.json(&tag).unwrap();
    let dataset = ["catalog", "show", "lake.main.orders"];
    let (resources, shown) = (admin.json(&["get"]).unwrap(), admin.json(&dataset).unwrap());
    assert!(shown.to_string().contains("PII"), "{shown}");
    let files = bytes_below(&house.data_dir()).unwrap();
    let is_database = |path: &Path| path.extension().is_some_and(|extension| extension == "db");
    assert!(
        !files.iter().any(|(path, _)| is_database(path)),
        "SQLite is used too"
    );
    house.has_no_password(&server);

    let said = house.refusal(&house.folder.path().join("other"), &house.config());
    assert!(said.contains("in use by another process"), "{said}");
    let place = format!("postgresql://127.0.0.1:{}/postgres", house.postgres.port);
    assert!(said.contains(&place), "{said}");

    server.kill().unwrap();
    let mut server = house.start();
    assert!(server.first_password().is_err(), "not a first start");
    let eve = Ctl::login(&server, "eve", "correct horse battery").unwrap();
    assert_eq!(eve.run(&["whoami"]).unwrap().code, 0);
    let admin = Ctl::login(&server, "admin", &first).unwrap();
    assert_eq!(admin.json(&["get"]).unwrap(), resources);
    assert_eq!(admin.json(&dataset).unwrap(), shown);
    server.stop().unwrap();

    let said = house.refusal(&house.data_dir(), "");
    assert!(said.contains("metadata_url"), "{said}");
}

#[test]
fn a_database_that_cannot_be_reached_is_named() {
    let house = House::new();
    let place = format!("postgresql://127.0.0.1:{}/", house.postgres.port);
    let wrong = format!(
        "metadata_url = \"postgresql://dataos:{}x@127.0.0.1:{}/postgres\"\n",
        house.postgres.password, house.postgres.port
    );
    let said = house.refusal(&house.data_dir(), &wrong);
    for text in ["authentication failed", &place] {
        assert!(said.contains(text), "`{text}` is not in: {said}");
    }
    house.postgres.stop().unwrap();
    let said = house.refusal(&house.data_dir(), &house.config());
    for text in ["cannot be reached", &place, "check that the server runs"] {
        assert!(said.contains(text), "`{text}` is not in: {said}");
    }
    let in_the_environment = format!("postgresql://dataos:{}@db/meta", house.postgres.password);
    let explained = Command::new(binary("dataos"))
        .args(["config", "explain"])
        .env("DATAOS_METADATA_URL", in_the_environment)
        .output()
        .unwrap();
    let said = house.said(&explained);
    assert!(
        said.contains("metadata_url = \"postgresql://db:5432/meta\""),
        "{said}"
    );
}
