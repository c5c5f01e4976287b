//! pgjdbc, as tools written in Java use it.

use std::{collections::BTreeMap, process::Command};

use dataos_store::test_maven;

use super::{House, PASSWORD};

/// What the program saw, by name.
fn seen(house: &House) -> BTreeMap<String, String> {
    let driver = test_maven::jar("org.postgresql", "postgresql", "42.7.14");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/it/postgres/Jdbc.java");
    let ran = Command::new("java")
        .arg("-cp")
        .arg(driver)
        .arg(program)
        .env("DOOR_PORT", house.port.to_string())
        .env("DOOR_CA", house.server.ca())
        .env("DOOR_USER", "ana")
        .env("DOOR_PASSWORD", PASSWORD)
        .output()
        .expect("java is not installed; run: apt-get install -y default-jdk-headless");
    let (said, failed) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    assert!(ran.status.success(), "{said}{failed}");
    let lines = said.lines().filter_map(|line| line.split_once(": "));
    lines
        .map(|(name, seen)| (name.to_owned(), seen.to_owned()))
        .collect()
}

#[test]
fn a_driver_of_java_sees_tables_columns_and_rows() {
    let house = House::new();
    let seen = seen(&house);
    for (name, expected) in [
        ("bound", "[[ana]]"),
        ("product", "PostgreSQL 15"),
        ("catalogs", "[[dataos]]"),
        ("schemas", "[[local.main, dataos]]"),
        (
            "tables",
            "[[local.main, numbers, TABLE], [local.main, orders, TABLE]]",
        ),
        (
            "columns",
            "[[id, -5, int8, null, 1, YES], [customer, 12, text, masked for you, 2, YES], \
             [region, 12, text, null, 3, YES], [amount, 8, float8, null, 4, YES], \
             [ordered_on, 91, date, null, 5, YES]]",
        ),
        ("all_columns", "6"),
        ("keys", "[]"),
        ("imported", "[]"),
        ("exported", "[]"),
        ("indexes", "[]"),
        ("best", "[]"),
        ("types", "true"),
        ("procedures", "[]"),
        ("functions", "[]"),
        ("keywords", "true"),
        (
            "rows",
            "[[1, (hidden), EMEA, 10.5, 2026-01-02], [3, (hidden), EMEA, 30.25, 2026-02-04]]",
        ),
        ("described", "int8 java.sql.Date"),
        ("prepared", "[[[1, (hidden), EMEA, 10.5, 2026-01-02]]]"),
        (
            "values",
            "[[1, t, 1.5, null, 00000000-0000-0000-0000-000000000001]]",
        ),
        ("escapes", "[[A, 2026-01-02]]"),
        ("pages", "20000"),
        ("several", "[[2]]"),
        ("most", "3"),
        ("after", "[[4]]"),
        ("valid", "true"),
        ("simple", "[[1, (hidden), EMEA, 10.5, 2026-01-02]]"),
        ("elsewhere", "[[1, 2026-01-02]]"),
    ] {
        assert_eq!(seen[name], expected, "{name}");
    }
    assert!(seen["late"].starts_with("57014 "), "{}", seen["late"]);
    assert!(seen["denied"].starts_with("42501 "), "{}", seen["denied"]);
}
