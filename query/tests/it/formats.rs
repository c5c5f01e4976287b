//! Parquet, CSV and JSON files: types, parts, and files that are not what the catalog says.

use std::{sync::Arc, time::Duration};

use datafusion::arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Int16Array, Int32Array,
        Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
        TimestampMillisecondArray, UInt32Array,
    },
    ipc::reader::StreamReader,
};
use dataos_model::{depot::FileFormat, fault::FaultKind, query::RowFormat, seams::RunQuery};

use crate::world::{World, equals, write_parquet};

#[tokio::test(flavor = "multi_thread")]
async fn parquet_types_read_as_the_catalog_has_them() {
    let world = World::new();
    let mut labels = ListBuilder::new(StringBuilder::new());
    labels.values().append_value("a");
    labels.append(true);
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![true])),
        Arc::new(Int16Array::from(vec![-1])),
        Arc::new(Int32Array::from(vec![2])),
        Arc::new(UInt32Array::from(vec![u32::MAX])),
        Arc::new(Float32Array::from(vec![0.5])),
        Arc::new(
            Decimal128Array::from(vec![1250])
                .with_precision_and_scale(10, 2)
                .unwrap(),
        ),
        Arc::new(StringArray::from(vec!["é"])),
        Arc::new(Date32Array::from(vec![0])),
        Arc::new(TimestampMillisecondArray::from(vec![1_500]).with_timezone("UTC")),
        Arc::new(labels.finish()),
    ];
    let columns = &[
        ("b", "boolean"),
        ("i2", "smallint"),
        ("i4", "integer"),
        ("i8", "bigint"),
        ("r", "real"),
        ("d", "decimal(10,2)"),
        ("t", "text"),
        ("day", "date"),
        ("at", "timestamptz"),
        ("l", "text[]"),
    ];
    let id = world.parquet("all", columns, arrays);
    let expected = concat!(
        r#"[[true,-1,2,4294967295,0.5,12.50,"é","1970-01-01","#,
        r#""1970-01-01T00:00:01.5Z",["a"]]]"#
    );
    world.check("SELECT * FROM all", expected).await;
    // The same through the barrier.
    world.desk.rows(&id, equals("t", "é"));
    world.check(r#"SELECT * FROM "all""#, expected).await;
    let answer = world.run(r#"SELECT * FROM "all""#).await.unwrap();
    let types: Vec<String> = answer
        .columns
        .iter()
        .map(|column| column.column_type.to_string())
        .collect();
    let catalogued: Vec<&str> = columns
        .iter()
        .map(|(_, column_type)| *column_type)
        .collect();
    assert_eq!(types, catalogued);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_form_one_table() {
    let world = World::new();
    let mut paths = Vec::new();
    for part in 0..3_i64 {
        // A name with characters that mean something in globs and URLs.
        let path = world.path(&format!("part [{part}] %*.parquet"));
        let ids = Arc::new(Int64Array::from(vec![part * 10, part * 10 + 1])) as ArrayRef;
        write_parquet(&path, &RecordBatch::try_from_iter([("id", ids)]).unwrap());
        paths.push(path);
    }
    let id = world.files("parts", FileFormat::Parquet, &paths, &[("id", "bigint")]);
    world
        .check("SELECT count(*), sum(id) FROM parts", "[[6,63]]")
        .await;
    world.desk.rows(&id, equals("id", 11));
    world.check("SELECT id FROM parts", "[[11]]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_has_quotes_line_ends_and_nulls() {
    let world = World::new();
    let columns = &[
        ("id", "bigint"),
        ("note", "text"),
        ("day", "date"),
        ("at", "timestamptz"),
    ];
    let body = "1,\"a, \"\"b\"\"\nc\",2024-02-29,2024-02-29T10:00:00Z\n2,,,\n";
    let id = world.csv("notes", columns, body);
    let expected = r#"[[1,"a, \"b\"\nc","2024-02-29","2024-02-29T10:00:00Z"],[2,null,null,null]]"#;
    world
        .check("SELECT * FROM notes ORDER BY id", expected)
        .await;
    world.desk.rows(&id, equals("id", 1));
    world.check("SELECT id FROM notes", "[[1]]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_fields_go_by_name() {
    let world = World::new();
    let path = world.path("events.ndjson");
    std::fs::write(
        &path,
        "{\"name\":\"ada\",\"id\":1,\"tags\":[\"x\",\"y\"]}\n{\"id\":2}\n{\"id\":3,\"name\":null,\"more\":{}}\n",
    )
    .unwrap();
    let columns = &[("id", "bigint"), ("name", "text"), ("tags", "text[]")];
    let id = world.files("events", FileFormat::Json, &[path], columns);
    world
        .check(
            "SELECT * FROM events ORDER BY id",
            r#"[[1,"ada",["x","y"]],[2,null,null],[3,null,null]]"#,
        )
        .await;
    world.desk.rows(&id, equals("name", "ada"));
    world.check("SELECT id FROM events", "[[1]]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_read_before_and_changed_is_looked_into_again() {
    let world = World::new();
    let words = |words: [&str; 2]| {
        let words = Arc::new(StringArray::from(words.to_vec())) as ArrayRef;
        world.parquet("typed", &[("word", "text")], vec![words]);
    };
    words(["one", "two"]);
    world.csv("headed", &[("id", "bigint"), ("word", "text")], "1,one\n");
    let both = "SELECT t.word, h.id FROM typed AS t JOIN headed AS h ON h.word = t.word";
    // Files that were written just now are looked into each time.
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    for _ in 0..2 {
        world.check(both, r#"[["one",1]]"#).await;
    }
    words(["none", "two"]);
    world.check(both, "[]").await;
    let changed = async |sql: &str| {
        let fault = world.refused(sql).await;
        assert_eq!(fault.reason.as_str(), "schema_changed", "{fault:?}");
    };
    let ids = Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef;
    let other = RecordBatch::try_from_iter([("word", ids)]).unwrap();
    write_parquet(&world.path("typed.parquet"), &other);
    changed("SELECT word FROM typed").await;
    std::fs::write(world.path("headed.csv"), "word,id\none,1\n").unwrap();
    changed("SELECT word FROM headed").await;
    std::fs::remove_file(world.path("headed.csv")).unwrap();
    let fault = world.refused("SELECT word FROM headed").await;
    assert_eq!(fault.reason.as_str(), "source", "{fault:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_is_refused_by_name() {
    let world = World::new();
    let ids = Arc::new(StringArray::from(vec!["x"])) as ArrayRef;
    world.parquet("typed", &[("id", "bigint")], vec![ids]);
    let fault = world.refused("SELECT id FROM typed").await;
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Conflict, "schema_changed")
    );
    assert!(
        fault.message.contains("column `id` is text and not bigint"),
        "{fault:?}"
    );

    world.csv("headed", &[("id", "bigint"), ("name", "text")], "1,a\n");
    std::fs::write(world.path("headed.csv"), "name,id\na,1\n").unwrap();
    let fault = world.refused("SELECT id FROM headed").await;
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Conflict, "schema_changed")
    );

    world.csv("gone", &[("id", "bigint")], "1\n");
    std::fs::remove_file(world.path("gone.csv")).unwrap();
    let fault = world.refused("SELECT id FROM gone").await;
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Unavailable, "source")
    );
    assert!(
        !fault
            .message
            .contains(world.folder.path().to_str().unwrap()),
        "{fault:?}"
    );

    world.csv("bad", &[("id", "bigint")], "1\nsecret\n");
    let fault = world.refused("SELECT id FROM bad").await;
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Unavailable, "conversion")
    );
    assert!(!format!("{fault:?}").contains("secret"), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_a_type_that_is_not_read_says_so() {
    let world = World::new();
    world.csv(
        "odd",
        &[("id", "bigint"), ("odd", "unsupported(money)")],
        "1,2\n",
    );
    world.check("SELECT id FROM odd", "[[1]]").await;
    let fault = world.refused("SELECT * FROM odd").await;
    assert_eq!(fault.kind, FaultKind::Unsupported);
    assert!(fault.message.contains("column `odd`"), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_as_arrow_if_asked() {
    let world = World::new();
    let id = world.csv(
        "people",
        &[("id", "bigint"), ("name", "text")],
        "1,ada\n2,bela\n",
    );
    world.desk.mask(&id, "name", "partial(first = 1)");
    let mut request = world.request("SELECT * FROM people ORDER BY id");
    request.format = RowFormat::ArrowStream;
    let answer = world.layer.run(request).await.unwrap();
    let bytes = answer.chunks.concat();
    let batches: Vec<RecordBatch> = StreamReader::try_new(bytes.as_slice(), None)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let names: Vec<&StringArray> = batches
        .iter()
        .map(|batch| batch.column(1).as_any().downcast_ref().unwrap())
        .collect();
    let names: Vec<Option<&str>> = names.into_iter().flatten().collect();
    assert_eq!(names, [Some("a**"), Some("b***")]);
    assert_eq!(answer.row_count, 2);
}
