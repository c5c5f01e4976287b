//! Statements in another dialect than the engine's, through the whole server.

use std::process::Command;

use serde_json::{Value, json};

use super::House;

/// What a statement in a dialect is answered.
fn posted(house: &House, body: &Value) -> Value {
    let arguments = house.posting_body("/api/v1/query", body, &[]);
    let output = Command::new("curl").args(arguments).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_statement_is_read_and_recorded_in_its_dialect() {
    let house = House::new();
    let sql = "SELECT `n`, \"n\" FROM local.main.`numbers` WHERE `N` < 1 # all";
    let answer = posted(&house, &json!({"sql": sql, "dialect": "mysql"}));
    assert_eq!(answer["rows"], json!([[0, "n"]]), "{answer}");
    let certificate = &answer["certificate"];
    assert_eq!(certificate["dialect"], "mysql");
    let governed = certificate["governed_sql"].as_str().unwrap();
    assert!(governed.contains("\"numbers\".\"n\""), "{governed}");
    let index = certificate["index"].to_string();
    let shown = house.admin.json(&["audit", "show", &index]).unwrap();
    let facts = &shown["entries"][0]["facts"];
    assert_eq!(facts["dialect"], "mysql", "{shown}");

    let unnamed = posted(&house, &json!({"sql": sql}));
    assert_eq!(unnamed["reason"], "sql_syntax", "{unnamed}");
    let trino =
        json!({"sql": "SELECT \"N\" FROM local.main.numbers WHERE n < 1", "dialect": "trino"});
    assert_eq!(posted(&house, &trino)["certificate"]["dialect"], "ansi");
    let wrong = posted(&house, &json!({"sql": sql, "dialect": "oracle"}));
    assert_eq!(wrong["status"], 400, "{wrong}");
}

#[test]
fn the_command_line_names_its_dialect() {
    let house = House::new();
    let sql = "SELECT `n` FROM local.main.numbers LIMIT 3, 1";
    let printed = house
        .admin
        .json(&["query", "--dialect", "mysql", "--format", "json", sql])
        .unwrap();
    assert_eq!(printed["certificate"]["dialect"], "mysql", "{printed}");
    let kept = house
        .admin
        .json(&["query", "--async", "--dialect", "mysql", sql])
        .unwrap();
    assert_eq!(kept["dialect"], "mysql", "{kept}");
    let id = kept["id"].as_str().unwrap();
    let rows = house.admin.json(&["query", "fetch", id, "--wait"]).unwrap();
    assert_eq!(rows["certificate"]["dialect"], "mysql", "{rows}");
}
