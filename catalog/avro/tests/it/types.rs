//! Types of Avro and of the catalog.

use dataos_avro::test_writer::file;
use serde_json::{Value, json};

use crate::fixtures::{columns, read};

/// A type that is read: its schema, its column, a value as it is written, and as it is read.
type Known = (Value, &'static str, Value, &'static str);

fn known() -> Vec<Known> {
    let decimal = |size: u8, precision: u8| {
        json!({"type": "fixed", "name": format!("f{size}"), "size": size,
            "logicalType": "decimal", "precision": precision, "scale": 2})
    };
    vec![
        (json!("boolean"), "boolean", json!(true), "true"),
        (json!("int"), "integer", json!(i32::MIN), "-2147483648"),
        (
            json!("long"),
            "bigint",
            json!(i64::MAX),
            "9223372036854775807",
        ),
        (json!("float"), "real", json!(0.5), "0.5"),
        (json!("double"), "double", json!(-1e300), "-1e300"),
        (
            json!("string"),
            "text",
            json!("日本😀 that is longer"),
            "日本😀 that is longer",
        ),
        (json!("bytes"), "binary", json!("00ff"), "00ff"),
        (
            json!({"type": "fixed", "name": "three", "size": 3}),
            "binary",
            json!("0a0b0c"),
            "0a0b0c",
        ),
        (
            json!({"type": "enum", "name": "suit", "symbols": ["A", "B"]}),
            "text",
            json!("B"),
            "B",
        ),
        (
            json!({"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 3}),
            "decimal(38,3)",
            json!("-1234567890123456789012345678901234.567"),
            "-1234567890123456789012345678901234.567",
        ),
        (decimal(4, 9), "decimal(9,2)", json!("-0.01"), "-0.01"),
        (
            decimal(20, 20),
            "decimal(20,2)",
            json!("99999.25"),
            "99999.25",
        ),
    ]
}

/// Types with a meaning of their own, in the same form.
fn known_logical() -> Vec<Known> {
    let logical = |kind: &str, name: &str| json!({"type": kind, "logicalType": name});
    vec![
        (logical("int", "date"), "date", json!(-1), "1969-12-31"),
        (
            logical("long", "timestamp-millis"),
            "timestamptz",
            json!(-1),
            "1969-12-31T23:59:59.999Z",
        ),
        (
            logical("long", "timestamp-micros"),
            "timestamptz",
            json!(1_500_000),
            "1970-01-01T00:00:01.500Z",
        ),
        (
            logical("long", "timestamp-nanos"),
            "timestamptz",
            json!(1_999),
            "1970-01-01T00:00:00.000001Z",
        ),
        (
            logical("long", "local-timestamp-micros"),
            "timestamp",
            json!(1),
            "1970-01-01T00:00:00.000001",
        ),
        (
            logical("string", "uuid"),
            "uuid",
            json!("A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        (
            json!({"type": "array", "items": "long"}),
            "bigint[]",
            json!([1, -2]),
            "[1, -2]",
        ),
        (
            json!({"type": "array", "items": ["null", "string"]}),
            "text[]",
            json!(["a", null]),
            "[a, -]",
        ),
        (logical("string", "made-up"), "text", json!("x"), "x"),
    ]
}

#[test]
fn types_are_those_of_the_catalog() {
    let known = [known(), known_logical()].concat();
    let mut fields = Vec::new();
    let (mut full, mut empty) = (serde_json::Map::new(), serde_json::Map::new());
    let (mut expected, mut values) = (Vec::new(), Vec::new());
    for (index, (schema, column, value, shown)) in known.iter().enumerate() {
        fields.push(json!({"name": format!("c{index}"), "type": schema}));
        let nullable = match schema.get("name") {
            Some(name) => name.clone(),
            None => schema.clone(),
        };
        // NULL comes first or last.
        let union = if index % 2 == 0 {
            json!(["null", nullable])
        } else {
            json!([nullable, "null"])
        };
        fields.push(json!({"name": format!("n{index}"), "type": union}));
        expected.extend([format!("c{index} {column}"), format!("n{index} {column}?")]);
        for row in [&mut full, &mut empty] {
            row.insert(format!("c{index}"), value.clone());
            row.insert(format!("n{index}"), value.clone());
        }
        empty.insert(format!("n{index}"), Value::Null);
        values.push(*shown);
    }
    let schema = json!({"type": "record", "name": "row", "namespace": "a.b", "fields": fields});
    let rows = [Value::Object(full), Value::Object(empty)];
    let pairs = |second: &dyn Fn(&str) -> String| -> String {
        let pairs = values
            .iter()
            .map(|value| format!("{value}|{}", second(value)));
        pairs.collect::<Vec<_>>().join("|")
    };
    let texts = [pairs(&str::to_owned), pairs(&|_| "-".to_owned())];
    for codec in ["null", "deflate", "snappy"] {
        let written = file(&schema, codec, 16_000, &rows);
        assert_eq!(columns(&written).unwrap(), expected);
        for chunk in [1, 100, written.len()] {
            assert_eq!(
                read(&written, chunk, None).unwrap(),
                texts,
                "{codec} {chunk}"
            );
        }
    }
}

#[test]
fn what_the_catalog_has_no_type_for_is_named_and_passed_over() {
    let point = json!({"type": "record", "name": "point", "fields": [
        {"name": "x", "type": ["null", "int"]}, {"name": "nothing", "type": "null"}]});
    let schema = json!({"type": "record", "name": "row", "fields": [
        {"name": "a", "type": point},
        {"name": "b", "type": {"type": "map", "values": "point"}},
        {"name": "c", "type": {"type": "array", "items": "point"}},
        {"name": "d", "type": ["string", "long", "null"]},
        {"name": "e", "type": {"type": "array", "items": "null"}},
        {"name": "f", "type": {"type": "int", "logicalType": "time-millis"}},
        {"name": "g", "type": {"type": "array", "items": {"type": "array", "items": "int"}}},
        {"name": "h", "type": "null"},
        {"name": "i", "type": {"type": "bytes", "logicalType": "decimal", "precision": 50, "scale": 2}},
        {"name": "id", "type": "long"}]});
    let point = json!({"x": 1, "nothing": null});
    let row = |id: i64| {
        json!({"a": point, "b": {"k": point, "l": {"x": null, "nothing": null}}, "c": [point], "d": "x",
            "e": [null, null], "f": 7, "g": [[1], []], "h": null, "i": "1.25", "id": id})
    };
    let rows: Vec<Value> = (0..500).map(row).collect();
    let written = file(&schema, "deflate", 100, &rows);
    let names = [
        "record",
        "map",
        "array",
        "union",
        "array",
        "time-millis",
        "array",
        "null",
        "decimal(50,2)",
    ];
    let mut expected: Vec<String> = names
        .iter()
        .zip('a'..)
        .map(|(kind, name)| format!("{name} unsupported({kind})?"))
        .collect();
    expected.push("id bigint".to_owned());
    assert_eq!(columns(&written).unwrap(), expected);
    let ids: Vec<String> = (0..500).map(|id| id.to_string()).collect();
    assert_eq!(read(&written, 64, Some(&["id"])).unwrap(), ids);
    let of_two = read(&written, 1_000, Some(&["id", "d"])).unwrap();
    assert_eq!(of_two.first().unwrap(), "0|-");
    assert_eq!(read(&written, 64, Some(&[])).unwrap().len(), 500);
}

#[test]
fn a_file_without_rows_has_columns() {
    let schema =
        json!({"type": "record", "name": "row", "fields": [{"name": "id", "type": "int"}]});
    let written = file(&schema, "null", 100, &[]);
    assert_eq!(columns(&written).unwrap(), ["id integer"]);
    assert_eq!(read(&written, 10, None).unwrap(), [""; 0]);
}
