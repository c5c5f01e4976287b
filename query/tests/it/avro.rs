//! Avro files, written by fastavro: answered as the same rows in Parquet are, and refused by name where they are
//! not what the catalog says, or not what they say themselves.

use std::sync::Arc;

use datafusion::arrow::{
    array::{
        Array, ArrayRef, AsArray, Decimal128Array, Float32Array, Int32Array, Int64Array,
        ListBuilder, StringArray, StringBuilder,
    },
    datatypes::{
        Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type,
        TimestampMicrosecondType,
    },
};
use dataos_avro::test_writer;
use dataos_model::{
    dataset::{ColumnType, DatasetId},
    depot::FileFormat,
    fault::{Fault, FaultKind},
};
use serde_json::{Value, json};

use crate::{
    back_ends::hex,
    world::{World, equals},
};

/// Bytes after which a block ends, as by default.
const BLOCK_BYTES: usize = 16_000;

/// An Avro file of these columns, each of which may be NULL.
pub(crate) fn avro(columns: &[(&str, &str)], arrays: &[ArrayRef], codec: &str) -> Vec<u8> {
    let kinds: Vec<ColumnType> = columns
        .iter()
        .map(|(_, kind)| kind.parse().unwrap())
        .collect();
    let fields = columns
        .iter()
        .zip(&kinds)
        .map(|((name, _), kind)| json!({"name": name, "type": ["null", type_of(kind)]}));
    let schema = json!({"type": "record", "name": "row", "fields": fields.collect::<Vec<_>>()});
    let count = arrays.first().map_or(0, |array| array.len());
    let row = |row| {
        let cells = columns
            .iter()
            .zip(&kinds)
            .zip(arrays)
            .map(|(((name, _), kind), array)| ((*name).to_owned(), cell(kind, array, row)));
        Value::Object(cells.collect())
    };
    let rows: Vec<Value> = (0..count).map(row).collect();
    test_writer::file(&schema, codec, BLOCK_BYTES, &rows)
}

fn type_of(kind: &ColumnType) -> Value {
    let logical = |kind: &str, name: &str| json!({"type": kind, "logicalType": name});
    match kind {
        ColumnType::Bool => json!("boolean"),
        ColumnType::Int(32) => json!("int"),
        ColumnType::Int(64) => json!("long"),
        ColumnType::Float(32) => json!("float"),
        ColumnType::Float(_) => json!("double"),
        ColumnType::Decimal { precision, scale } => {
            json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
        }
        ColumnType::Text => json!("string"),
        ColumnType::Uuid => logical("string", "uuid"),
        ColumnType::Binary => json!("bytes"),
        ColumnType::Date => logical("int", "date"),
        ColumnType::Timestamp => logical("long", "timestamp-micros"),
        ColumnType::LocalTimestamp => logical("long", "local-timestamp-micros"),
        ColumnType::List(item) => json!({"type": "array", "items": ["null", type_of(item)]}),
        other => panic!("no type of Avro for {other}"),
    }
}

fn cell(kind: &ColumnType, array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match kind {
        ColumnType::Bool => json!(array.as_boolean().value(row)),
        ColumnType::Int(32) => json!(array.as_primitive::<Int32Type>().value(row)),
        ColumnType::Int(_) => json!(array.as_primitive::<Int64Type>().value(row)),
        ColumnType::Float(32) => json!(array.as_primitive::<Float32Type>().value(row)),
        ColumnType::Float(_) => json!(array.as_primitive::<Float64Type>().value(row)),
        ColumnType::Decimal { .. } => {
            json!(array.as_primitive::<Decimal128Type>().value_as_string(row))
        }
        ColumnType::Text | ColumnType::Uuid => json!(array.as_string::<i32>().value(row)),
        ColumnType::Binary => json!(hex(array.as_binary::<i32>().value(row))),
        ColumnType::Date => json!(array.as_primitive::<Date32Type>().value(row)),
        ColumnType::Timestamp | ColumnType::LocalTimestamp => {
            json!(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        ColumnType::List(item) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len())
                .map(|index| cell(item, &items, index))
                .collect()
        }
        other => panic!("no value of {other}"),
    }
}

/// Writes a file and catalogues it.
pub(crate) fn written(
    world: &World,
    name: &str,
    columns: &[(&str, &str)],
    content: &[u8],
) -> DatasetId {
    let path = world.path(&format!("{name}.avro"));
    std::fs::write(&path, content).unwrap();
    world.files(name, FileFormat::Avro, &[path], columns)
}

const COLUMNS: &[(&str, &str)] = &[
    ("id", "bigint"),
    ("price", "decimal(12,2)"),
    ("middle", "integer"),
    ("single", "real"),
    ("tenant", "text"),
    ("tags", "text[]"),
];

fn rows(count: i64) -> Vec<ArrayRef> {
    let prices = (0..count).map(|id| (id % 5 != 0).then_some(i128::from(id) * 12_345 - 99_999));
    let prices = prices.collect::<Decimal128Array>();
    let small = |id: i64| i32::try_from(id).unwrap();
    let mut tags = ListBuilder::new(StringBuilder::new());
    for id in 0..count {
        (0..id % 4).for_each(|tag| {
            tags.values()
                .append_option((tag != 2).then(|| format!("t{tag}")))
        });
        tags.append(id % 7 != 0);
    }
    vec![
        Arc::new(Int64Array::from_iter_values(0..count)),
        Arc::new(prices.with_precision_and_scale(12, 2).unwrap()),
        Arc::new(Int32Array::from_iter_values(
            (0..count).map(|id| i32::MAX - small(id)),
        )),
        Arc::new(
            (0..count)
                .map(|id| (id % 6 != 0).then(|| [0.1, -1e30, 1.0 / 3.0][id as usize % 3]))
                .collect::<Float32Array>(),
        ),
        Arc::new(StringArray::from_iter_values(
            (0..count).map(|id| if id % 3 == 0 { "b" } else { "a" }),
        )),
        Arc::new(tags.finish()),
    ]
}

const STATEMENTS: &[&str] = &[
    "SELECT * FROM {t} ORDER BY id",
    "SELECT tags, id FROM {t} WHERE id < 50 ORDER BY id",
    "SELECT tenant, count(*), sum(price), avg(price), max(middle) FROM {t} GROUP BY 1 ORDER BY 1",
    "SELECT count(*) FROM {t}",
    "SELECT id FROM {t} WHERE price > 100.5 OR single < 0 ORDER BY id LIMIT 9",
    "SELECT a.id, b.price FROM {t} a JOIN {t} b ON a.id = b.id + 1 WHERE b.id < 5 ORDER BY 1",
    "SELECT 1 FROM {t} LIMIT 3",
];

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_those_of_parquet_also_under_policies() {
    for codec in ["null", "deflate", "snappy"] {
        let world = World::new();
        let parquet = world.parquet("parquet", COLUMNS, rows(3_000));
        let avro = written(&world, codec, COLUMNS, &avro(COLUMNS, &rows(3_000), codec));
        for governor in 0..3 {
            for id in [&parquet, &avro] {
                if governor > 0 {
                    world.desk.rows(id, equals("tenant", "a"));
                    world.desk.mask(id, "middle", "redact(replacement = '0')");
                }
                if governor > 1 {
                    world.desk.mask(id, "tags", "null()");
                    world.desk.absent(id, "single");
                }
            }
            for sql in STATEMENTS {
                if governor > 1 && sql.contains("single") {
                    continue;
                }
                let expected = world.rows(&sql.replace("{t}", "parquet")).await;
                let sql = sql.replace("{t}", &format!("\"{codec}\""));
                world.check(&sql, &expected).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn types_that_hold_less_are_widened_and_parts_are_one_table() {
    let world = World::new();
    let ids =
        |first: i32| vec![Arc::new(Int32Array::from_iter_values(first..first + 3)) as ArrayRef];
    let mut paths = Vec::new();
    for part in 0..3 {
        let path = world.path(&format!("part [{part}] %*.avro"));
        std::fs::write(
            &path,
            avro(&[("id", "integer")], &ids(part * 10), "deflate"),
        )
        .unwrap();
        paths.push(path);
    }
    let id = world.files("parts", FileFormat::Avro, &paths, &[("id", "bigint")]);
    world
        .check("SELECT count(*), sum(id) FROM parts", "[[9,99]]")
        .await;
    world.desk.rows(&id, equals("id", 11));
    world.check("SELECT id FROM parts", "[[11]]").await;
}

fn check(fault: &Fault, kind: FaultKind, text: &str) {
    assert_eq!(fault.kind, kind, "{fault:?}");
    assert!(fault.message.contains(text), "{fault:?}");
    assert!(!format!("{fault:?}").contains("planted"), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_what_it_was_is_refused_by_name() {
    let world = World::new();
    let columns = &[("id", "bigint"), ("name", "text")];
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..5_000)),
        Arc::new(StringArray::from_iter_values(
            (0..5_000).map(|id| format!("planted-{id}")),
        )),
    ];
    let good = avro(columns, &arrays, "null");
    written(&world, "moving", columns, &good);
    let sql = "SELECT max(name) FROM moving";
    world.check(sql, r#"[["planted-999"]]"#).await;
    let other = avro(&[("id", "bigint")], arrays.get(..1).unwrap(), "null");
    let texts = avro(
        &[("id", "text"), ("name", "text")],
        &[arrays[1].clone(), arrays[1].clone()],
        "null",
    );
    let mut flipped = good.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let zstandard = replaced(&good, b"null", b"zstd");
    for (content, kind, text) in [
        (
            other.as_slice(),
            FaultKind::Conflict,
            "column `name` is missing",
        ),
        (
            &texts,
            FaultKind::Conflict,
            "column `id` is text and not bigint",
        ),
        (
            &good[..good.len() - 20],
            FaultKind::Unavailable,
            "`moving.avro` of `lake:main/moving` cannot be read: it is cut off",
        ),
        (&good[..20], FaultKind::Unavailable, "its header is cut off"),
        (&[], FaultKind::Unavailable, "cannot be read"),
        (b"PAR1", FaultKind::Unavailable, "does not begin so"),
        (&flipped, FaultKind::Unavailable, "the sync marker"),
        (&zstandard, FaultKind::Unsupported, "its codec is `zstd`"),
    ] {
        std::fs::write(world.path("moving.avro"), content).unwrap();
        check(&world.refused(sql).await, kind, text);
    }
    std::fs::write(world.path("moving.avro"), &good).unwrap();
    world.check("SELECT count(*) FROM moving", "[[5000]]").await;
}

/// With the first place of some bytes exchanged that follows the name of the codec.
fn replaced(file: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let key = b"avro.codec";
    let at = file
        .windows(key.len())
        .position(|bytes| bytes == key)
        .unwrap();
    let at = at
        + file[at..]
            .windows(from.len())
            .position(|bytes| bytes == from)
            .unwrap();
    [&file[..at], to, &file[at + from.len()..]].concat()
}
