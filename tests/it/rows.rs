//! Rows as clients get them: the same at every door and in every form, whole or visibly not, and
//! stopped when nobody takes them.

mod cache;
mod ctl;
mod dialects;
mod stops;

use std::{fmt::Write as _, fs, process::Command};

use dataos_tests::{
    ctl::Ctl,
    server::{Options, Server, header},
    wait::until,
};
use serde_json::Value;

use crate::postgres::{drivers, port};

const EVENTS: &str = "{\"id\":1,\"tags\":[\"a,\\\"b\\\"\",\"\",\"é\"]}\n{\"id\":2}\n";

/// A server with numbers and events, and its administrator.
struct House {
    server: Server,
    admin: Ctl,
    port: u16,
    files: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        Self::with("")
    }

    /// With more settings.
    fn with(settings: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let folder = files.path().join("local");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("events.json"), EVENTS).unwrap();
        let mut numbers = String::from("n,text\n");
        for number in 0..40_000 {
            let _ = writeln!(numbers, "{number},row number {number}");
        }
        fs::write(folder.join("numbers.csv"), numbers).unwrap();
        let server = Server::start(&Options {
            data: Some(folder),
            config: Some(format!("[postgres]\nlisten = \"127.0.0.1:0\"\n{settings}")),
            ..Options::default()
        })
        .unwrap();
        let admin = Ctl::login(&server, "admin", &server.first_password().unwrap()).unwrap();
        Self {
            port: port(&server),
            server,
            admin,
            files,
        }
    }

    /// Arguments of curl that send a statement.
    fn posting(&self, path: &str, sql: &str, more: &[&str]) -> Vec<String> {
        self.posting_body(path, &serde_json::json!({"sql": sql}), more)
    }

    /// Arguments of curl that send a document.
    fn posting_body(&self, path: &str, body: &Value, more: &[&str]) -> Vec<String> {
        let key = self.admin.key().unwrap();
        let body = body.to_string();
        let fixed = [
            "-s",
            "--cacert",
            &self.server.ca().to_string_lossy(),
            "-H",
            &format!("Authorization: Bearer {key}"),
            "-H",
            "Content-Type: application/json",
            "-d",
            &body,
            &format!("{}{path}", self.server.url),
        ]
        .map(str::to_owned);
        let more = more.iter().map(|argument| (*argument).to_owned());
        fixed.into_iter().chain(more).collect()
    }

    /// The value of a figure; the sum, if it has labels.
    fn figure(&self, name: &str) -> u64 {
        let key = self.admin.key().unwrap();
        let bearer = format!("Authorization: Bearer {key}");
        let (status, _, text) = self.server.request(&["-H", &bearer], "/metrics").unwrap();
        assert_eq!(status, 200, "{text}");
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    }

    /// Entries of the log of a call, oldest first.
    fn entries(&self, request_id: &str) -> Vec<Value> {
        let query = ["audit", "search", "--request-id", request_id];
        let found = self.admin.json(&query).unwrap();
        let mut entries: Vec<Value> = found["entries"].as_array().unwrap().clone();
        entries.retain(|entry| entry["request_id"] == request_id);
        entries.reverse();
        entries
    }
}

#[test]
fn a_value_is_the_same_in_every_form_at_every_door() {
    let house = House::new();
    let one = |value: &str, name: &str| format!("CASE WHEN id = 1 THEN {value} END AS {name}");
    let columns = [
        one("true", "b"),
        one("CAST(-32768 AS smallint)", "i2"),
        one("CAST(2147483647 AS integer)", "i4"),
        one("CAST(9007199254740993 AS bigint)", "i8"),
        one("CAST(0.1 AS real)", "f4"),
        one("CAST('NaN' AS double)", "f8"),
        one("CAST(0.1 AS double)", "g8"),
        one("CAST(12.50 AS decimal(10,2))", "d"),
        one("CAST('-12345678901234567890.0001' AS decimal(30,4))", "dd"),
        one("'a \"b\", ''c''\r\n\té😀'", "t"),
        one("''", "e"),
        one("decode('00ff22', 'hex')", "y"),
        one("CAST('1969-12-31' AS date)", "day"),
        one("CAST('1969-12-31T23:59:59.999999' AS timestamp)", "at"),
        "tags".to_owned(),
        "r".to_owned(),
    ];
    let sql = format!(
        "SELECT {} FROM local.main.events LEFT JOIN (SELECT id AS n, '(\"é\", \\)' AS s, '' AS e, \
         nullif(1, 1) AS z FROM local.main.events WHERE id = 1) AS r ON r.n = id ORDER BY id",
        columns.join(", ")
    );
    let output = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/it/rows/values.py"))
        .env("PYTHONPATH", drivers())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("DOOR_URL", &house.server.url)
        .env("DOOR_PORT", house.port.to_string())
        .env("DOOR_CA", house.server.ca())
        .env("DOOR_KEY", house.admin.key().unwrap())
        .env("DOOR_USER", "admin")
        .env("DOOR_SQL", &sql)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = seen["json"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0][3], "9007199254740993");
    assert_eq!(rows[0][8], "-12345678901234567890.0001");
    assert!(
        rows[0]
            .as_array()
            .unwrap()
            .iter()
            .all(|value| !value.is_null())
    );
    assert!(rows[1].as_array().unwrap().iter().all(Value::is_null));
    let forms = seen.as_object().unwrap();
    assert_eq!(forms.len(), 12);
    for (form, shown) in forms.iter().filter(|(form, _)| *form != "kinds") {
        assert_eq!(shown, &seen["json"], "{form}");
    }
}

#[test]
fn an_answer_that_fails_on_its_way_is_cut_off_over_both_versions_of_http() {
    let house = House::new();
    let sql = "SELECT n, text, 1 / (n - 39999) FROM local.main.numbers";
    let whole = "SELECT n, text FROM local.main.numbers";
    for (version, cut_off) in [("--http1.1", 18), ("--http2", 92)] {
        for accept in [
            "text/csv",
            "application/x-ndjson",
            "application/vnd.apache.arrow.stream",
        ] {
            let id = format!("cut-{}-{}", version.len(), accept.len());
            let name = format!("X-Request-Id: {id}");
            let accept = format!("Accept: {accept}");
            let more = [version, "-H", &accept, "-H", &name, "-o", "/dev/null"];
            let arguments = house.posting("/api/v1/query", sql, &more);
            let status = Command::new("curl").args(arguments).status().unwrap();
            assert_eq!(status.code(), Some(cut_off), "{version} {accept}");
            // Outcomes follow what a caller gets, and nobody waits for them.
            let outcomes = || {
                let mut entries = house.entries(&id);
                entries.retain(|entry| entry["kind"] == "outcome");
                entries
            };
            until("two outcomes", || outcomes().len() == 2);
            for outcome in outcomes() {
                assert_eq!(outcome["facts"]["complete"], "false", "{outcome:#}");
            }
            let arguments = house.posting("/api/v1/query", whole, &more);
            let status = Command::new("curl").args(arguments).status().unwrap();
            assert!(status.success(), "{version} {accept}: {status}");
        }
    }
}

#[test]
fn rows_and_their_end_are_told_in_headers_or_trailers() {
    let house = House::new();
    let ask = |sql: &str, more: &[&str]| {
        let arguments = house.posting("/api/v1/query", sql, more);
        let output = Command::new("curl").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", output.status);
        String::from_utf8(output.stdout).unwrap()
    };
    let csv = ["-D", "-", "-H", "Accept: text/csv", "-o", "/dev/null"];
    let few = ask("SELECT n FROM local.main.numbers WHERE n < 3", &csv);
    assert_eq!(header(&few, "dataos-row-count"), Some("3"));
    assert_eq!(header(&few, "dataos-truncated"), Some("false"));
    assert!(header(&few, "dataos-receipt").is_some());
    for version in ["--http1.1", "--http2"] {
        let more = [csv.as_slice(), &[version, "-H", "TE: trailers"]].concat();
        let many = ask("SELECT n, text FROM local.main.numbers", &more);
        assert_eq!(
            header(&many, "trailer"),
            Some("dataos-row-count, dataos-truncated"),
            "{version}: {many}"
        );
        assert_eq!(header(&many, "dataos-row-count"), Some("40000"), "{many}");
    }
}
