//! The PostgreSQL door, with the clients that analysts use and with bytes that no client sends.

mod drivers;
mod jdbc;
mod login;
mod psql;
mod raw;

use std::{fmt::Write, fs, path::PathBuf};

use dataos_tests::{
    ctl::{Ctl, PASSWORD},
    manifests::{OWN_REGION, governed_orders},
    server::{Options, Server},
};

const ORDERS: &str = "id,customer,region,amount,ordered_on\n\
    1,ana,EMEA,10.50,2026-01-02\n2,bo,AMER,20.00,2026-01-03\n3,,EMEA,30.25,2026-02-04\n";
const EVENTS: &str = "{\"id\":1,\"kind\":\"click\"}\n";

/// A server with both doors open, an administrator, and the analyst `ana`, who reads the orders of her
/// region without names.
struct House {
    server: Server,
    admin: Ctl,
    ana: Ctl,
    port: u16,
    _files: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        Self::with("")
    }

    fn with(settings: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let folder = files.path().join("local");
        fs::create_dir_all(folder.join("web")).unwrap();
        fs::write(folder.join("orders.csv"), ORDERS).unwrap();
        fs::write(folder.join("web/events.json"), EVENTS).unwrap();
        let mut numbers = String::from("n\n");
        for number in 1..=20_000 {
            let _ = writeln!(numbers, "{number}");
        }
        fs::write(folder.join("numbers.csv"), numbers).unwrap();
        let server = Server::start(&Options {
            data: Some(folder),
            config: Some(format!("[postgres]\nlisten = \"127.0.0.1:0\"\n{settings}")),
            ..Options::default()
        })
        .unwrap();
        let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
        let arguments = [
            "--tag",
            "users:dataos:analyst",
            "--attribute",
            "region=EMEA",
        ];
        let ana = admin.person(&server, "ana", &arguments).unwrap();
        let column = [
            "catalog",
            "tag",
            "local.main.orders",
            "--column",
            "customer",
            "PII.name",
        ];
        admin.json(&column).unwrap();
        let house = Self {
            port: port(&server),
            server,
            admin,
            ana,
            _files: files,
        };
        let seen = ["local:main/orders", "local:main/numbers"];
        house.apply(&governed_orders("local", &seen, OWN_REGION));
        house
    }

    fn apply(&self, manifest: &str) {
        self.admin.applied(manifest).unwrap();
    }

    /// What the REST door answers: each value as text.
    fn rest(&self, sql: &str) -> Vec<Vec<String>> {
        let query = ["query", "--dialect", "postgresql", sql];
        let answer = self.ana.json(&query).unwrap();
        let text = |value: &serde_json::Value| match value {
            serde_json::Value::Null => String::new(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let rows = answer["rows"].as_array().unwrap();
        rows.iter()
            .map(|row| row.as_array().unwrap().iter().map(text).collect())
            .collect()
    }

    /// Entries of the log about a principal, newest first.
    fn entries(&self, principal: &str) -> Vec<serde_json::Value> {
        let found = self
            .admin
            .json(&["audit", "search", "--principal", principal])
            .unwrap();
        found["entries"].as_array().unwrap().clone()
    }
}

/// The port of the PostgreSQL door, as the greeting says.
pub(crate) fn port(server: &Server) -> u16 {
    let printed = server.printed();
    let line = printed
        .lines()
        .find_map(|line| line.trim().strip_prefix("postgres: 127.0.0.1:"));
    let (port, _) = line
        .expect("a line about the door")
        .split_once(',')
        .unwrap();
    port.parse().unwrap()
}

/// The folder with drivers and readers from PyPI, made at first use.
pub(crate) fn drivers() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"),
        PathBuf::from,
    );
    let folder = cache.join("dataos/query-drivers-1");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/it/postgres/fetch.py");
    let made = std::process::Command::new("python3")
        .arg(script)
        .arg(&folder)
        .status();
    assert!(
        made.is_ok_and(|status| status.success()),
        "`python3 {script} {}` must end well: it needs python3 with venv, and PyPI once",
        folder.display()
    );
    folder
}
