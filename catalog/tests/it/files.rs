//! Scanning a folder of files.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array,
        RecordBatch, StringArray, TimestampMicrosecondArray, TimestampNanosecondArray, UInt64Array,
    },
    datatypes::Int32Type,
};
use dataos_avro::test_writer::file;
use dataos_model::{
    dataset::DatasetId,
    depot::{DatasetSource, DepotSource},
    fault::FaultKind,
    seams::{Assets, ScanReport},
};
use serde_json::{Value, json};

use crate::fixtures::{House, avro, main_id, parquet_bytes, parquet_of};

fn reason(report: &ScanReport, name: &str) -> String {
    let found = report.unreadable.iter().find(|(n, _)| n == name);
    found
        .map(|(_, reason)| reason.clone())
        .unwrap_or_else(|| panic!("{name} in {report:?}"))
}

#[tokio::test]
async fn a_folder_of_parquet_csv_and_json() {
    let house = House::with_lake().await;
    house.write(
        "customers.csv",
        "id,email,zip,joined\n1,a@x.org,00123,2024-01-02\n2,,04711,\n",
    );
    house.write("crm/orders.parquet", parquet_bytes(5));
    house.write("crm/parts/part-0.parquet", parquet_bytes(2));
    house.write("crm/parts/part-1.parquet", parquet_bytes(3));
    house.write("events.PARQUET/a.parquet", parquet_bytes(1));
    house.write(
        "log lines.ndjson",
        "{\"at\":1,\"ok\":true}\n\n{\"at\":2.5,\"who\":null}\n",
    );
    house.write("README.md", "not data");
    house.write("_SUCCESS", "");
    house.write(".hidden.csv", "a\n1\n");

    let report = house.catalog.scan("lake").await.unwrap();
    let crm = |name: &str| DatasetId::new("lake", "crm", name);
    let expected = [
        crm("orders"),
        crm("parts"),
        main_id("customers"),
        main_id("events"),
        main_id("log_lines"),
    ];
    let mut added = report.added.clone();
    added.sort();
    assert_eq!(added, expected);
    assert_eq!(report.unreadable, []);

    let customers = ["id bigint?", "email text?", "zip text?", "joined date?"];
    assert_eq!(house.columns(&main_id("customers")), customers);
    assert_eq!(
        house.dataset(&main_id("customers")).unwrap().row_count,
        Some(2)
    );
    assert_eq!(house.columns(&crm("orders")), ["id bigint", "email text?"]);
    let parts = house.dataset(&crm("parts")).unwrap();
    assert_eq!(parts.row_count, Some(5));
    let DatasetSource::Files { paths, .. } = &parts.source else {
        panic!("files")
    };
    assert!(paths.len() == 2 && paths.is_sorted() && paths.iter().all(|p| p.is_absolute()));
    assert_eq!(
        house.columns(&main_id("log_lines")),
        ["at double?", "ok boolean?", "who text?"]
    );
    assert_eq!(parts.owner.as_deref(), Some("olga"));
    assert!(parts.size_bytes.unwrap() > 0);
}

#[tokio::test]
async fn types_of_parquet() {
    let house = House::with_lake().await;
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let list = arrow::array::ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]);
    let utc = TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC");
    let batch = RecordBatch::try_from_iter([
        ("b", Arc::new(BooleanArray::from(vec![true])) as ArrayRef),
        ("i", Arc::new(Int32Array::from(vec![1]))),
        ("u", Arc::new(UInt64Array::from(vec![1]))),
        ("f", Arc::new(Float64Array::from(vec![1.5]))),
        ("d", Arc::new(Date32Array::from(vec![1]))),
        ("local", Arc::new(TimestampMicrosecondArray::from(vec![1]))),
        ("utc", Arc::new(utc)),
        ("nanos", Arc::new(TimestampNanosecondArray::from(vec![1]))),
        (
            "m",
            Arc::new(
                Decimal128Array::from(vec![1])
                    .with_precision_and_scale(12, 2)
                    .unwrap(),
            ),
        ),
        ("l", Arc::new(list)),
        (
            "s",
            Arc::new(arrow::array::StructArray::from(vec![(
                Arc::new(arrow::datatypes::Field::new(
                    "t",
                    text.data_type().clone(),
                    true,
                )),
                text,
            )])),
        ),
    ]);
    house.write("types.parquet", parquet_of(&batch.unwrap()));
    house.catalog.scan("lake").await.unwrap();
    let columns = house.columns(&main_id("types"));
    let types: Vec<&str> = columns
        .iter()
        .map(|c| c.split_once(' ').unwrap().1.trim_end_matches('?'))
        .collect();
    let (last, rest) = types.split_last().unwrap();
    assert_eq!(
        rest,
        [
            "boolean",
            "integer",
            "decimal(20,0)",
            "double",
            "date",
            "timestamp",
            "timestamptz",
            "timestamp",
            "decimal(12,2)",
            "integer[]"
        ]
    );
    assert!(last.starts_with("unsupported(Struct"), "{last}");
}

#[tokio::test]
async fn avro_says_its_columns() {
    let house = House::with_lake().await;
    let logical = |kind: &str, name: &str| json!({"type": kind, "logicalType": name});
    let schema = json!({"type": "record", "name": "row", "fields": [
        {"name": "id", "type": "int"},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "at", "type": ["null", logical("long", "timestamp-millis")]},
        {"name": "suit", "type": {"type": "enum", "name": "suit", "symbols": ["A"]}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "noon", "type": logical("int", "time-millis")},
        {"name": "more", "type": {"type": "map", "values": "string"}}]});
    let text = "x".repeat(1_000);
    let row = json!({"id": 1, "price": "1.25", "at": 7, "suit": "A", "tags": [text], "noon": 1, "more": {}});
    house.write(
        "types.AVRO",
        file(&schema, "snappy", 100, &[row.clone(), row.clone()]),
    );
    house.write(
        "large.avro",
        file(&schema, "null", 1 << 20, &vec![row; 17 << 10]),
    );
    house.write("parts/1.avro", avro(2));
    house.write("parts/2.avro", avro(3));
    let report = house.catalog.scan("lake").await.unwrap();
    assert_eq!(report.unreadable, []);
    let columns = [
        "id integer",
        "price decimal(12,2)",
        "at timestamptz?",
        "suit text",
        "tags text[]",
        "noon unsupported(time-millis)?",
        "more unsupported(map)?",
    ];
    let parts = DatasetId::new("lake", "parts", "1");
    for (id, row_count) in [(main_id("types"), Some(2)), (main_id("large"), None)] {
        assert_eq!(house.columns(&id), columns);
        assert_eq!(house.dataset(&id).unwrap().row_count, row_count);
    }
    assert_eq!(house.columns(&parts), ["id bigint", "email text?"]);
}

#[tokio::test]
async fn avro_that_is_not_whole_or_not_read_is_refused() {
    let house = House::with_lake().await;
    let whole = avro(3);
    for length in 0..whole.len() {
        house.write(&format!("cut{length}.avro"), &whole[..length]);
    }
    let record = |field: Value| json!({"type": "record", "name": "r", "fields": [{"name": "a", "type": field}]});
    house.write(
        "zip.avro",
        file(&record(json!("int")), "bzip2", 100, &[json!({"a": 1})]),
    );
    house.write(
        "list.avro",
        file(
            &record(json!(["null", "r"])),
            "null",
            100,
            &[json!({"a": null})],
        ),
    );
    house.write("number.avro", file(&json!("int"), "null", 100, &[json!(1)]));
    house.write("x/differ.avro/1.avro", &whole);
    house.write(
        "x/differ.avro/2.avro",
        file(&record(json!("int")), "null", 100, &[]),
    );
    let report = house.catalog.scan("lake").await.unwrap();
    // A file without a block is whole.
    let header = whole
        .windows(16)
        .position(|bytes| bytes == b"0123456789abcdef");
    assert_eq!(
        report.added,
        [main_id(&format!("cut{}", header.unwrap() + 16))]
    );
    for (name, expected) in [
        ("cut0.avro", "its header is cut off"),
        (
            "zip.avro",
            "its codec is `bzip2`, which is not read; write it with `null`",
        ),
        ("list.avro", "recursive: `r` holds itself"),
        ("number.avro", "not a record"),
        ("x/differ.avro", "2.avro: its columns differ"),
    ] {
        let reason = reason(&report, name);
        assert!(reason.contains(expected), "{name}: {reason}");
    }
    assert_eq!(report.unreadable.len(), whole.len() - 1 + 4);
}

#[tokio::test]
async fn hostile_files_are_named_and_the_others_go_on() {
    let house = House::with_lake().await;
    let good = parquet_bytes(3);
    house.write("good.parquet", &good);
    house.write("cut.parquet", &good[..good.len() - 5]);
    house.write(
        "middle.parquet",
        [&good[..20], &good[good.len() - 8..]].concat(),
    );
    house.write("tiny.parquet", "PAR1");
    house.write(
        "claims.parquet",
        [b"PAR1".as_slice(), &[0xff, 0xff, 0xff, 0x7f], b"PAR1"].concat(),
    );
    house.write(
        "noise.parquet",
        [vec![7_u8; 4096], b"\x00\x08\x00\x00PAR1".to_vec()].concat(),
    );
    house.write("ragged.csv", "a,b\n1,2\n3\n");
    house.write("empty.csv", "");
    house.write("twice.csv", "a,a\n1,2\n");
    house.write("binary.csv", b"a,b\n\xff\xfe,1\n");
    house.write("array.json", "[{\"a\":1}]");
    house.write("broken.json", "{\"a\":1}\n{\"a\":");
    house.write("sheet.xlsx", "x");
    house.write("a/delta/_delta_log/0.json", "{}");
    house.write("a/mixed/x.csv", "a\n1\n");
    house.write("a/mixed/y.json", "{}");
    house.write("a/nested/year=2024/x.csv", "a\n1\n");
    house.write("a/differ/x.csv", "a\n1\n");
    house.write("a/differ/y.csv", "b\n1\n");
    house.write("same.csv", "a\n1\n");
    house.write("same.json", "{\"a\":1}");
    house.write("--.csv", "a\n1\n");
    std::os::unix::fs::symlink("/etc/passwd", house.lake().join("link.csv")).unwrap();

    let report = house.catalog.scan("lake").await.unwrap();
    assert_eq!(report.added, [main_id("good")]);
    for (name, expected) in [
        ("cut.parquet", "cut off"),
        ("middle.parquet", ""),
        ("tiny.parquet", "too short"),
        ("claims.parquet", "footer claims 2147483647 bytes"),
        ("noise.parquet", ""),
        ("ragged.csv", "found record with 1 fields"),
        ("empty.csv", "no header"),
        ("twice.csv", "column `a` appears twice"),
        ("binary.csv", "UTF-8"),
        ("array.json", "one JSON object"),
        ("broken.json", "line 2"),
        ("sheet.xlsx", "`.xlsx` files are not read"),
        ("a/delta", "Delta Lake"),
        ("a/mixed", "holds `y.json`"),
        ("a/nested", "holds `year=2024`"),
        ("a/differ", "y.csv: its header differs"),
        ("same.csv", "`same.csv`, `same.json`"),
        ("--.csv", "no letter or digit"),
        ("link.csv", "leads out"),
    ] {
        let reason = reason(&report, name);
        assert!(reason.contains(expected), "{name}: {reason}");
    }
    assert_eq!(report.unreadable.len(), 19, "{:?}", report.unreadable);
}

#[tokio::test]
async fn every_cut_of_a_parquet_file_is_refused() {
    let house = House::with_lake().await;
    let whole = parquet_bytes(3);
    let mut cut_at = 1;
    while cut_at < whole.len() {
        house.write(&format!("cut{cut_at}.parquet"), &whole[..cut_at]);
        cut_at += 13;
    }
    let report = house.catalog.scan("lake").await.unwrap();
    assert_eq!(report.added, []);
    assert_eq!(report.unreadable.len(), (whole.len() - 1).div_ceil(13));
}

#[tokio::test]
pub(crate) async fn a_rescan_reports_what_differs() {
    let house = House::with_lake().await;
    house.write("a.csv", "x\n1\n");
    house.write("b.csv", "x\n1\n");
    house.write("c.parquet", parquet_bytes(1));
    house.catalog.scan("lake").await.unwrap();

    let report = house.catalog.scan("lake").await.unwrap();
    assert_eq!(
        report,
        ScanReport {
            unchanged: 3,
            ..ScanReport::default()
        }
    );
    let transaction = house.catalog.snapshot().transaction;

    house.write("a.csv", "x\nnow text\n");
    std::fs::remove_file(house.lake().join("b.csv")).unwrap();
    house.write("d/e.csv", "x\n1\n");
    let whole = parquet_bytes(1);
    house.write("c.parquet", &whole[..whole.len() / 2]);
    let report = house.catalog.scan("lake").await.unwrap();
    assert_eq!(report.added, [DatasetId::new("lake", "d", "e")]);
    assert_eq!(report.changed, [main_id("a")]);
    assert_eq!(report.dropped, [main_id("b")]);
    assert_eq!(report.unreadable.len(), 1);
    assert_eq!(house.columns(&main_id("a")), ["x text?"]);
    assert!(house.dataset(&main_id("b")).is_none());
    assert!(
        house.dataset(&main_id("c")).is_some(),
        "what cannot be read now is not gone"
    );
    assert_eq!(house.catalog.snapshot().transaction, transaction + 1);
}

#[tokio::test]
async fn nothing_is_dropped_when_the_source_is_not_seen_whole() {
    let house = House::with_lake().await;
    house.write("a.csv", "x\n1\n");
    house.write("b.csv", "x\n1\n");
    house.catalog.scan("lake").await.unwrap();

    std::fs::remove_file(house.lake().join("b.csv")).unwrap();
    std::os::unix::fs::symlink(house.lake().join("nowhere"), house.lake().join("z.csv")).unwrap();
    let report = house.catalog.scan("lake").await.unwrap();
    assert_eq!((report.dropped, report.unreadable.len()), (vec![], 1));
    assert!(house.dataset(&main_id("b")).is_some());

    std::fs::rename(house.lake(), house.folder.path().join("away")).unwrap();
    let fault = house.catalog.scan("lake").await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Unavailable, "depot_unreachable")
    );
    assert!(house.dataset(&main_id("a")).is_some());
}

#[tokio::test]
pub(crate) async fn depots_are_checked_moved_and_removed() {
    let house = House::with_lake().await;
    house.write("a.csv", "x\n1\n");
    house.catalog.scan("lake").await.unwrap();
    let lake = house.lake_depot();

    for (name, root) in [
        ("Bad", house.lake()),
        ("ok", "relative/path".into()),
        ("ok", house.folder.path().to_owned()),
        ("ok", house.folder.path().join("catalog")),
    ] {
        let mut depot = lake.clone();
        depot.name = name.to_owned();
        depot.source = DepotSource::Files {
            root,
            is_writable: false,
        };
        let fault = house.catalog.register_depot(depot).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Invalid, "{fault}");
    }
    assert_eq!(
        house.catalog.scan("none").await.unwrap_err().kind,
        FaultKind::NotFound
    );
    assert_eq!(
        house.catalog.remove_depot("none").await.unwrap_err().kind,
        FaultKind::NotFound
    );

    let mut readonly = lake.clone();
    readonly.source = DepotSource::Files {
        root: house.lake(),
        is_writable: false,
    };
    house.catalog.register_depot(readonly).await.unwrap();
    assert!(
        house.dataset(&main_id("a")).is_some(),
        "the place is the same"
    );

    let mut moved = lake;
    let elsewhere = house.folder.path().join("elsewhere");
    moved.source = DepotSource::Files {
        root: elsewhere,
        is_writable: false,
    };
    house.catalog.register_depot(moved).await.unwrap();
    assert!(
        house.dataset(&main_id("a")).is_none(),
        "the old place is not this depot's"
    );

    house.catalog.remove_depot("lake").await.unwrap();
    let house = house.reopen().await;
    assert!(house.catalog.snapshot().depots.is_empty());
}

#[tokio::test]
async fn of_parts_in_generations_the_newest_are_the_dataset() {
    let house = House::with_lake().await;
    house.write("t.parquet/part-1.parquet", parquet_bytes(2));
    house.write("t.parquet/gen-9-part-1.parquet", parquet_bytes(3));
    house.write("t.parquet/.gen-11-part-1.parquet.tmp", "half");
    house.catalog.scan("lake").await.unwrap();
    let found = |name: &str| {
        let snapshot = house.catalog.snapshot();
        let dataset = snapshot.datasets[&main_id("t")].clone();
        let DatasetSource::Files { paths, .. } = &dataset.source else {
            panic!("{dataset:?}")
        };
        let names: Vec<_> = paths.iter().map(|path| path.file_name().unwrap()).collect();
        assert_eq!(names, [name]);
        dataset.row_count
    };
    assert_eq!(found("gen-9-part-1.parquet"), Some(3));
    // A change that renamed its part and was cut off before it was settled.
    house.write("t.parquet/gen-10-part-1.parquet", parquet_bytes(4));
    let report = house.catalog.scan("lake").await.unwrap();
    assert_eq!(
        (report.changed, report.unreadable),
        (vec![main_id("t")], Vec::new())
    );
    assert_eq!(found("gen-10-part-1.parquet"), Some(4));
}
