//! Rows by `dataos-ctl query`.

use super::House;

#[test]
fn the_command_line_prints_every_form_and_fetches_what_is_kept() {
    let house = House::new();
    let sql = "SELECT n, text FROM local.main.numbers WHERE n < 2 ORDER BY n";
    let prints = |arguments: &[&str]| {
        let printed = house.admin.run(arguments).unwrap();
        assert_eq!(printed.code, 0, "{arguments:?}: {}", printed.stderr);
        printed.stdout
    };
    let csv = "n,text\r\n0,row number 0\r\n1,row number 1\r\n";
    let ndjson = "{\"n\":0,\"text\":\"row number 0\"}\n{\"n\":1,\"text\":\"row number 1\"}\n";
    let table = "n  text\n0  row number 0\n1  row number 1\n";
    let id = house.admin.json(&["query", "--async", sql]).unwrap();
    let id = id["id"].as_str().unwrap().to_owned();
    prints(&["query", "fetch", &id, "--wait"]);
    for (format, expected) in [("csv", csv), ("ndjson", ndjson), ("table", table)] {
        assert_eq!(prints(&["query", sql, "--format", format]), expected);
        let fetch = ["query", "fetch", &id, "--format", format];
        assert_eq!(prints(&fetch), expected);
    }
    for arguments in [
        &["query", sql, "--format", "json"][..],
        &["query", "fetch", &id, "--format", "json"],
    ] {
        let document: serde_json::Value = serde_json::from_str(&prints(arguments)).unwrap();
        assert_eq!(document["rows"][1][1], "row number 1");
    }
    assert!(prints(&["query", sql, "--format", "arrow"]).contains("row number 1"));
    let list = prints(&["query", "list"]);
    assert!(list.contains(&id) && list.contains("succeeded"), "{list}");
    assert!(prints(&["query", "status", &id]).contains("state: succeeded"));
    // All pages, and all rows though an answer in JSON would be cut at 10 000.
    let all = "SELECT n FROM local.main.numbers";
    let kept = house.admin.json(&["query", "--async", all]).unwrap();
    let kept = kept["id"].as_str().unwrap();
    let fetched = house
        .admin
        .json(&["query", "fetch", kept, "--wait"])
        .unwrap();
    assert_eq!(fetched["rows"].as_array().unwrap().len(), 40_000);
    assert_eq!(fetched["next"], serde_json::Value::Null);
    assert_eq!(
        prints(&["query", all, "--format", "csv"]).lines().count(),
        40_001
    );
    // What is cut off is a failure.
    let fails = "SELECT n, text, 1 / (n - 39999) FROM local.main.numbers";
    let printed = house
        .admin
        .run(&["query", fails, "--format", "csv"])
        .unwrap();
    assert_eq!(printed.code, 1, "{}", printed.stderr);
    assert!(printed.stderr.contains("cut off"), "{}", printed.stderr);
    assert!(printed.stderr.contains("audit show "), "{}", printed.stderr);
}
