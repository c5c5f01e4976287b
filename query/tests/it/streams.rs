//! Rows that are read while they are sent: every form, bounded memory, an end that is told.

use std::{future::poll_fn, sync::Arc, time::Duration};

use datafusion::arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
        Float64Array, Int16Array, Int32Array, Int64Array, ListBuilder, RecordBatch, StringArray,
        StringBuilder, TimestampMicrosecondArray,
    },
    ipc::reader::StreamReader,
};
use dataos_model::{
    fault::{Fault, FaultKind},
    query::{QueryStream, RowFormat, RowPart, RowStream, RowsEnd},
    record::Entry,
    seams::RunQuery,
};
use dataos_query::QueryConfig;

use crate::{
    limits::numbers,
    world::{World, equals},
};

impl World {
    pub(crate) async fn stream(&self, sql: &str, format: RowFormat) -> Result<QueryStream, Fault> {
        let mut request = self.request(sql);
        request.format = format;
        self.layer.stream(request).await
    }

    /// Waits for an entry of the log.
    pub(crate) async fn recorded(&self, what: &str, is: impl Fn(&Entry) -> bool) -> Entry {
        for _ in 0..1_000 {
            if let Some(entry) = self.log.entries().into_iter().find(&is) {
                return entry;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what} was not recorded: {:#?}", self.log.entries())
    }

    /// Waits until no query runs.
    pub(crate) async fn idle(&self) {
        for _ in 0..1_000 {
            if self.layer.figures().running == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("a query runs on")
    }
}

pub(crate) async fn part(rows: &mut dyn RowStream) -> Result<RowPart, Fault> {
    poll_fn(|context| rows.poll_part(context)).await
}

/// All bytes, how many parts they came in, and the end.
pub(crate) async fn drained(rows: &mut dyn RowStream) -> Result<(Vec<u8>, usize, RowsEnd), Fault> {
    let (mut bytes, mut parts) = (Vec::new(), 0);
    loop {
        match part(rows).await? {
            RowPart::Chunk(chunk) => {
                bytes.extend_from_slice(&chunk);
                parts += 1;
            }
            RowPart::End(end) => return Ok((bytes, parts, end)),
        }
    }
}

fn status(entry: &Entry) -> Option<&str> {
    entry.facts.get("status").map(String::as_str)
}

/// A table with a column of each type, and NULL in each.
fn everything(world: &World) {
    let mut labels = ListBuilder::new(StringBuilder::new());
    labels.values().append_value("a,\"b\"");
    labels.values().append_null();
    labels.append(true);
    labels.append(false);
    let decimals = Decimal128Array::from(vec![Some(-5), None]);
    let long = Decimal128Array::from(vec![Some(12_345_678_901_234_567_890), None]);
    let times = || TimestampMicrosecondArray::from(vec![Some(-1), None]);
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![Some(true), None])),
        Arc::new(Int16Array::from(vec![Some(-1), None])),
        Arc::new(Int32Array::from(vec![Some(2), None])),
        Arc::new(Int64Array::from(vec![Some(i64::MIN), None])),
        Arc::new(Float32Array::from(vec![Some(0.5), None])),
        Arc::new(Float64Array::from(vec![Some(f64::NAN), None])),
        Arc::new(decimals.with_precision_and_scale(10, 2).unwrap()),
        Arc::new(long.with_precision_and_scale(30, 4).unwrap()),
        Arc::new(StringArray::from(vec![
            Some("a \"b\",\r\né\u{1f600}"),
            None,
        ])),
        Arc::new(StringArray::from(vec![Some(""), None])),
        Arc::new(BinaryArray::from(vec![Some(&[0_u8, 255][..]), None])),
        Arc::new(Date32Array::from(vec![Some(-1), None])),
        Arc::new(times()),
        Arc::new(times().with_timezone("UTC")),
        Arc::new(labels.finish()),
    ];
    let columns = &[
        ("b", "boolean"),
        ("i2", "smallint"),
        ("i4", "integer"),
        ("i8", "bigint"),
        ("f4", "real"),
        ("f8", "double"),
        ("d", "decimal(10,2)"),
        ("dd", "decimal(30,4)"),
        ("t", "text"),
        ("e", "text"),
        ("y", "binary"),
        ("day", "date"),
        ("at", "timestamp"),
        ("atz", "timestamptz"),
        ("l", "text[]"),
    ];
    world.parquet("everything", columns, arrays);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_form_has_the_same_values() {
    let world = World::new();
    everything(&world);
    let sql = "SELECT * FROM everything";
    let json: Vec<serde_json::Value> = serde_json::from_str(&world.rows(sql).await).unwrap();
    let stream = world.stream(sql, RowFormat::NdJson).await.unwrap();
    let names: Vec<String> = stream.columns.iter().map(|c| c.name.clone()).collect();
    let mut rows = stream.rows;
    let (lines, _, end) = drained(rows.as_mut()).await.unwrap();
    assert_eq!((end.row_count, end.is_truncated), (2, false));
    let lines = String::from_utf8(lines).unwrap();
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            names.iter().map(|name| object[name].clone()).collect()
        })
        .collect();
    assert_eq!(lines, json);
    let mut rows = world.stream(sql, RowFormat::Csv).await.unwrap().rows;
    let (csv, _, _) = drained(rows.as_mut()).await.unwrap();
    assert_eq!(
        String::from_utf8(csv).unwrap(),
        concat!(
            "b,i2,i4,i8,f4,f8,d,dd,t,e,y,day,at,atz,l\r\n",
            "true,-1,2,-9223372036854775808,0.5,NaN,-0.05,1234567890123456.7890,",
            "\"a \"\"b\"\",\r\né\u{1f600}\",\"\",00ff,1969-12-31,1969-12-31T23:59:59.999999,",
            "1969-12-31T23:59:59.999999Z,\"[\"\"a,\\\"\"b\\\"\"\"\",null]\"\r\n",
            ",,,,,,,,,,,,,,\r\n",
        )
    );
    let mut rows = world
        .stream(sql, RowFormat::ArrowStream)
        .await
        .unwrap()
        .rows;
    let (arrow, _, _) = drained(rows.as_mut()).await.unwrap();
    let mut request = world.request(sql);
    request.format = RowFormat::ArrowStream;
    let whole = world.layer.run(request).await.unwrap().chunks.concat();
    let read = |bytes: &[u8]| -> Vec<RecordBatch> {
        let reader = StreamReader::try_new(bytes, None).unwrap();
        reader.collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(read(&arrow), read(&whole));
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_one_name_are_told_apart() {
    let world = World::new();
    numbers(&world, 1);
    let sql = "SELECT a.id, b.id FROM numbers a JOIN numbers b ON a.id = b.id";
    for (format, expected) in [
        (RowFormat::NdJson, "{\"id\":0,\"id_2\":0}\n"),
        (RowFormat::Csv, "id,id_2\r\n0,0\r\n"),
    ] {
        let mut rows = world.stream(sql, format).await.unwrap().rows;
        let (text, _, _) = drained(rows.as_mut()).await.unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rows_come_though_an_answer_would_be_cut() {
    let config = QueryConfig {
        result_bytes_max: 10_000,
        rows_max: 100,
        ..QueryConfig::default()
    };
    let world = World::with(config);
    numbers(&world, 30_000);
    for format in [RowFormat::Csv, RowFormat::NdJson, RowFormat::ArrowStream] {
        let sql = "SELECT id, text FROM numbers";
        let mut stream = world.stream(sql, format).await.unwrap();
        // The record was durable before the first byte.
        let entries = world.log.take();
        assert_eq!((entries.len(), stream.receipt.index), (1, 0));
        assert_eq!(stream.rows.end(), None);
        let (_, parts, end) = drained(stream.rows.as_mut()).await.unwrap();
        assert_eq!((end.row_count, end.is_truncated), (30_000, false));
        assert!(parts > 2, "{format:?}: {parts}");
        let outcome = world.log.take().pop().unwrap();
        assert_eq!(status(&outcome), Some("ok"));
        assert_eq!(outcome.facts["complete"], "true");
        assert_eq!(
            (outcome.facts["rows"].as_str(), outcome.completes),
            ("30000", Some(0))
        );
    }
    let mut request = world.request("SELECT id FROM numbers ORDER BY id");
    request.format = RowFormat::Csv;
    request.rows_max = Some(2);
    let mut rows = world.layer.stream(request).await.unwrap().rows;
    let end = RowsEnd {
        row_count: 2,
        is_truncated: true,
    };
    assert_eq!(rows.end(), Some(end), "it is known before");
    let (csv, _, told) = drained(rows.as_mut()).await.unwrap();
    assert_eq!((csv.as_slice(), told), (&b"id\r\n0\r\n1\r\n"[..], end));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_before_the_first_row_is_a_refusal_and_later_one_is_told() {
    let world = World::new();
    numbers(&world, 60_000);
    let with = |divisor: &str| format!("SELECT id, text, 1 / ({divisor}) FROM numbers");
    // In each batch, whichever comes first.
    let sql = with("id % 1000");
    let fault = world.stream(&sql, RowFormat::Csv).await.unwrap_err();
    assert_eq!(fault.reason, "division_by_zero");
    world.log.take();
    let mut rows = world
        .stream(&with("id - 59999"), RowFormat::Csv)
        .await
        .unwrap()
        .rows;
    let fault = drained(rows.as_mut()).await.unwrap_err();
    assert_eq!(fault.reason, "division_by_zero");
    let outcome = world.log.take().pop().unwrap();
    assert_eq!(
        (status(&outcome), outcome.reason.as_str()),
        (Some("failed"), "division_by_zero")
    );
    assert_eq!(outcome.facts["complete"], "false");
    assert_ne!(outcome.facts["bytes"], "0");
    drop(rows);
    world.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_away_stops_the_query() {
    let world = World::new();
    numbers(&world, 10_000);
    let sql = "SELECT a.text, b.text FROM numbers a, numbers b";
    let mut rows = world.stream(sql, RowFormat::Csv).await.unwrap().rows;
    part(rows.as_mut()).await.unwrap();
    assert_eq!(world.layer.figures().running, 1);
    drop(rows);
    let outcome = world.log.entries().pop().unwrap();
    assert_eq!(status(&outcome), Some("cancelled"));
    assert_eq!(outcome.facts["complete"], "false");
    world.idle().await;
    assert_eq!(world.layer.figures().ended[2], ("cancelled", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_nothing_holds_no_place_for_ever() {
    let config = QueryConfig {
        time_max: Duration::from_millis(1_000),
        ..QueryConfig::default()
    };
    let world = World::with(config);
    numbers(&world, 10_000);
    let sql = "SELECT a.text, b.text FROM numbers a, numbers b";
    let mut rows = world.stream(sql, RowFormat::Csv).await.unwrap().rows;
    world.idle().await;
    let fault = drained(rows.as_mut()).await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::Timeout, "time_limit")
    );
    let outcome = world.log.entries().pop().unwrap();
    assert_eq!(
        (status(&outcome), outcome.reason.as_str()),
        (Some("failed"), "time_limit")
    );
    let bytes: u64 = outcome.facts["bytes"].parse().unwrap();
    // What was read ahead: few chunks, of a result of gigabytes.
    assert!(bytes < 16 << 20, "{bytes}");
    assert!(
        world
            .layer
            .figures()
            .bounds_hit
            .contains(&("time_limit", 1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_bounded_too() {
    let config = QueryConfig {
        stream_bytes_max: 1 << 20,
        ..QueryConfig::default()
    };
    let world = World::with(config);
    numbers(&world, 10_000);
    let sql = "SELECT a.text, b.text FROM numbers a, numbers b";
    let mut rows = world.stream(sql, RowFormat::Csv).await.unwrap().rows;
    let fault = drained(rows.as_mut()).await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.reason.as_str()),
        (FaultKind::TooLarge, "result_bytes")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_record_no_stream_begins() {
    let world = World::new();
    let id = numbers(&world, 10);
    world.desk.rows(&id, equals("id", 1));
    world.log.breaks();
    let fault = world
        .stream("SELECT id FROM numbers", RowFormat::Csv)
        .await
        .unwrap_err();
    assert_eq!(fault.reason, "not_recorded");
    world.idle().await;
}
