//! psycopg, SQLAlchemy and asyncpg.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{House, PASSWORD, drivers};

const CLOSED: &str = r#"
name: readers
version: v1
type: policy
policy:
  access:
    subjects: {tags: [["users:dataos:nobody"]]}
    predicates: [read]
    objects: {paths: ["dataos://local:main/orders"]}
    allow: true
"#;

/// Runs the script; its policy is changed when it asks for that.
fn seen(house: &House) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/it/postgres/clients.py");
    let mut python = Command::new("python3")
        .arg(script)
        .env("PYTHONPATH", drivers())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("DOOR_PORT", house.port.to_string())
        .env("DOOR_CA", house.server.ca())
        .env("DOOR_USER", "ana")
        .env("DOOR_PASSWORD", PASSWORD)
        .env("DOOR_KEY", house.ana.key().unwrap())
        .env("DOOR_OTHER_KEY", house.admin.key().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(python.stdout.take().unwrap()).lines();
    let mut stdin = python.stdin.take().unwrap();
    let mut last = String::new();
    while let Some(Ok(line)) = lines.next() {
        if line == "policy" {
            house.apply(CLOSED);
            stdin.write_all(b"done\n").unwrap();
        }
        last = line;
    }
    let status = python.wait().unwrap();
    assert!(status.success(), "{status}: {last}");
    serde_json::from_str(&last).unwrap()
}

#[test]
fn drivers_see_what_the_rest_door_shows() {
    let house = House::new();
    let rows = json!([
        [1, "(hidden)", "EMEA", 10.5, "2026-01-02"],
        [3, "(hidden)", "EMEA", 30.25, "2026-02-04"]
    ]);
    let seen = seen(&house);
    let rows_seen = ["rows", "binary", "asyncpg"];
    for name in rows_seen {
        assert_eq!(seen[name], rows, "{name}");
    }
    assert_eq!(seen["version"], 150_000);
    let first = json!([rows[0]]);
    assert_eq!(seen["prepared"], json!([first, first]));
    assert_eq!(seen["quoted"], json!([["it's; -- \\ \"x\"", null]]));
    assert_eq!((&seen["many"], &seen["cut"]), (&json!(20_000), &json!(5)));
    for (name, value) in [
        ("after_errors", json!([[1]])),
        ("after_cancel", json!([[2]])),
        ("direct", json!([[3]])),
        ("asyncpg_after", json!(4)),
        ("described", json!(vec!["version"; 12])),
        ("by_key", json!([["ana"]])),
        ("proved", json!([["ana"], ["ana"]])),
        ("purpose", json!("audit")),
        ("in_transaction", json!([["read committed"]])),
        ("asyncpg_types", json!(["int8"])),
        ("asyncpg_pages", json!([[[1], [2]], [[3], [4]]])),
        ("asyncpg_timeout", json!(true)),
        ("before", json!([["(hidden)"]])),
    ] {
        assert_eq!(seen[name], value, "{name}");
    }
    errors(&seen);
    reflection(&seen);
}

fn errors(seen: &Value) {
    for (name, state, says) in [
        ("unknown", "42703", "nothing"),
        ("denied", "42501", "local:web/events"),
        ("hidden", "42P01", "local.web.no_such"),
        ("refused", "0A000", "not supported"),
        ("setting", "22023", "TimeZone"),
        ("late", "57014", "statement_timeout"),
        ("cancelled", "57014", "cancelled"),
        ("write", "25001", "transaction"),
        ("failed", "25P02", "transaction failed"),
        ("after", "42501", "local:main/orders"),
    ] {
        let error = &seen[name];
        assert_eq!(error["state"], state, "{name}: {error}");
        assert!(
            error["message"].as_str().unwrap().contains(says),
            "{name}: {error}"
        );
    }
    assert_eq!(seen["unknown"]["position"], "14", "{}", seen["unknown"]);
    assert!(seen["cancelled_s"].as_f64().unwrap() < 20.0);
    let detail = seen["denied"]["detail"].as_str().unwrap();
    assert!(
        detail.contains("reason no_permit") && detail.contains("request "),
        "{detail}"
    );
    // libpq tells no SQLSTATE of a connection that failed.
    for (name, says) in [
        ("wrong_password", "wrong"),
        ("wrong_user", "wrong"),
        ("foreign_key", "wrong"),
        ("plain", "TLS alone"),
        ("sent", "proved here, and not sent"),
        ("not_sent", "requested SASL authentication"),
        ("database", "there is no database `postgres`"),
    ] {
        let error = &seen[name];
        assert!(
            error["message"].as_str().unwrap().contains(says),
            "{name}: {error}"
        );
    }
}

fn reflection(seen: &Value) {
    for (name, value) in [
        ("tables", json!(["numbers", "orders"])),
        ("tables_of", json!(["numbers", "orders"])),
        ("views", json!([])),
        ("keys", json!([[], [], [], [], []])),
        ("has_table", json!([true, false, false])),
        ("reflected", json!([[1, "(hidden)"], [3, "(hidden)"]])),
    ] {
        assert_eq!(seen[name], value, "{name}");
    }
    let schemas = seen["schemas"].as_array().unwrap();
    assert!(
        schemas.contains(&json!("local.main")) && !schemas.contains(&json!("local.web")),
        "{schemas:?}"
    );
    let columns = json!([
        ["id", "BIGINT", true],
        ["customer", "TEXT", true],
        ["region", "TEXT", true],
        ["amount", "DOUBLE PRECISION", true],
        ["ordered_on", "DATE", true]
    ]);
    assert_eq!(seen["columns"], columns);
}
