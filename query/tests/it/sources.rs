//! What every kind of source must do alike: the same table in each, the same statements, the same
//! answers byte for byte, also under masks and filters.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int16Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::{ipc::reader::StreamReader, util::pretty::pretty_format_batches};
use dataos_model::{
    access::CellOutcome, dataset::DatasetId, mask::Mask, predicate::Predicate, query::RowFormat,
    seams::RunQuery,
};
use dataos_query::QueryConfig;

use crate::{
    back_ends::{BackEnd, Columns, split},
    world::{World, always, equals, when},
};

const ROWS: usize = 60;

fn array<A, T>(value: impl Fn(usize) -> T) -> ArrayRef
where
    A: datafusion::arrow::array::Array + FromIterator<Option<T>> + 'static,
{
    // A NULL in each column, in rows that differ from column to column.
    let step = size_of::<T>() + size_of::<A>();
    let cells = (0..ROWS).map(|row| (!(row + step).is_multiple_of(11)).then(|| value(row)));
    Arc::new(cells.collect::<A>())
}

const TEXTS: &[&str] = &[
    "",
    "ada",
    "Ada",
    "ada ",
    "é",
    "日本😀",
    "it's",
    "back\\slash",
    "a\nb",
    "100%",
];

/// Columns that every kind of source has.
fn common() -> Columns {
    let microseconds = |row: usize| 1_000_000 + i64::try_from(row).unwrap() * 86_400_123_457;
    vec![
        (
            "id",
            "bigint",
            Arc::new(Int64Array::from_iter_values(0..ROWS as i64)),
        ),
        (
            "big",
            "bigint",
            array::<Int64Array, _>(|row| i64::MAX - row as i64 % 3),
        ),
        (
            "flag",
            "boolean",
            array::<BooleanArray, _>(|row| row % 2 == 0),
        ),
        (
            "ratio",
            "double",
            array::<Float64Array, _>(|row| [0.1, -1e300, 5e-324, 1.0 / 3.0, 2.0][row % 5]),
        ),
        (
            "name",
            "text",
            array::<StringArray, _>(|row| TEXTS[row % TEXTS.len()].to_owned()),
        ),
        (
            "region",
            "text",
            array::<StringArray, _>(|row| ["EMEA", "emea", "AMER"][row % 3].to_owned()),
        ),
        (
            "day",
            "date",
            array::<Date32Array, _>(|row| i32::try_from(row).unwrap() * 379 - 5_000),
        ),
        (
            "at",
            "timestamptz",
            Arc::new(
                (0..ROWS)
                    .map(|row| (row % 7 != 0).then(|| microseconds(row)))
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            ),
        ),
        (
            "local",
            "timestamp",
            array::<TimestampMicrosecondArray, _>(microseconds),
        ),
        (
            "bytes",
            "binary",
            array::<BinaryArray, _>(|row| vec![0, 255, row as u8]),
        ),
        (
            "uid",
            "uuid",
            array::<StringArray, _>(|row| format!("a0eebc99-9c0b-4ef8-bb6d-{row:012x}")),
        ),
    ]
}

/// Columns that SQLite has no exact form for, and of which Avro has no integers of 16 bits.
fn others() -> Columns {
    let prices = (0..ROWS).map(|row| (row % 5 != 0).then_some(row as i128 * 12_345 - 99_999));
    let prices = prices.collect::<Decimal128Array>();
    vec![
        (
            "price",
            "decimal(12,2)",
            Arc::new(prices.with_precision_and_scale(12, 2).unwrap()),
        ),
        (
            "small",
            "smallint",
            array::<Int16Array, _>(|row| i16::MIN + row as i16),
        ),
        (
            "middle",
            "integer",
            array::<Int32Array, _>(|row| i32::MAX - row as i32),
        ),
        (
            "single",
            "real",
            array::<Float32Array, _>(|row| [0.1, -1e30, 1.0 / 3.0][row % 3]),
        ),
    ]
}

const STATEMENTS: &[&str] = &[
    "SELECT * FROM t ORDER BY id",
    "SELECT id, name FROM t WHERE name = 'ada' ORDER BY id",
    "SELECT name, count(*), sum(id), min(day), max(at) FROM t GROUP BY name ORDER BY name NULLS FIRST",
    "SELECT count(*) FROM t",
    "SELECT count(*) FROM t WHERE region IS NULL OR flag",
    "SELECT a.id, b.ratio FROM t a JOIN t b ON a.id = b.id AND a.region = b.region ORDER BY 1",
    "SELECT DISTINCT region FROM t ORDER BY 1",
    "SELECT upper(name) || '!', length(bytes), day + INTERVAL '1' DAY FROM t ORDER BY id",
    "SELECT id / 7, id % 7, big - 1 FROM t WHERE big > 5 ORDER BY id",
    "SELECT id FROM t WHERE name LIKE 'a%' OR name LIKE '%\\\\%' ORDER BY id",
    "SELECT id FROM t WHERE at >= TIMESTAMP '2000-01-01 00:00:00Z' AND day < DATE '2000-01-01' ORDER BY id",
    "SELECT id, row_number() OVER (PARTITION BY region ORDER BY ratio, id) FROM t ORDER BY id",
    "SELECT id FROM t ORDER BY name, id LIMIT 7 OFFSET 3",
    "SELECT id FROM t WHERE region IN ('EMEA', 'emea', 'x') AND id > 5 AND flag ORDER BY id",
    "SELECT id FROM t WHERE NOT (id < 10 OR name = 'é') AND name IS NOT NULL ORDER BY id",
    "SELECT id FROM t WHERE big = 9223372036854775807 AND 20 >= id ORDER BY id",
    "SELECT id FROM t WHERE name = '' OR name = 'ada ' OR name = 'back\\slash' ORDER BY id",
    "SELECT id FROM t WHERE name = 'it''s' AND name <> 'ada' ORDER BY id",
    "SELECT count(*) FROM t WHERE name = 'a' AND name = 'b'",
    "SELECT 1 / (id - 100) FROM t ORDER BY id",
    "SELECT 1 / (id - 3) FROM t",
    "SELECT CAST(name AS BIGINT) FROM t",
    "EXPLAIN POLICY SELECT name FROM t",
];

const MORE_STATEMENTS: &[&str] = &[
    "SELECT id, price, small, middle, single FROM t ORDER BY id",
    "SELECT sum(price), avg(price), min(small), max(middle) FROM t",
    "SELECT id FROM t WHERE price > 100.5 OR small < -32760 ORDER BY id",
    "SELECT id FROM t WHERE price = 235.76 OR price IN (-999.99, 111.11) ORDER BY id",
    "SELECT id FROM t WHERE price >= 0 AND price < 5000.01 AND middle <= 2147483600 ORDER BY id",
    "SELECT price * 3, price / 7, single + 1 FROM t ORDER BY id",
];

/// Policies that each world has in turn.
type Governor = fn(&World, &DatasetId);

const GOVERNORS: &[Governor] = &[
    |_, _| {},
    |world, id| world.desk.rows(id, equals("region", "EMEA")),
    |world, id| world.desk.rows(id, equals("region", "EMEA").negated()),
    |world, id| {
        world.desk.rows(
            id,
            Predicate::all([equals("flag", true), equals("name", "ada ").negated()]),
        );
        let masked = |mask: &str| CellOutcome::Masked(Mask::parse(mask).unwrap());
        world.desk.cells(
            id,
            "name",
            vec![
                when(equals("region", "EMEA"), CellOutcome::Plain),
                always(masked("partial(first = 1)")),
            ],
        );
        world.desk.mask(id, "uid", "hash()");
        world
            .desk
            .mask(id, "day", "bucket_date(precision = 'year')");
        world.desk.mask(id, "big", "redact(replacement = '0')");
        world.desk.absent(id, "bytes");
    },
    |world, id| world.desk.rows(id, Predicate::NEVER),
];

/// All that a caller gets for a statement.
async fn answer(world: &World, sql: &str, format: RowFormat) -> String {
    let mut request = world.request(sql);
    request.format = format;
    match world.layer.run(request).await {
        Ok(answer) => {
            let body = answer.chunks.concat();
            let body = match format {
                RowFormat::Json | RowFormat::NdJson | RowFormat::Csv => {
                    String::from_utf8(body).unwrap()
                }
                RowFormat::ArrowStream => decoded(&body),
            };
            format!("{:?} {} {body}", answer.columns, answer.row_count)
        }
        Err(fault) => format!("{fault:?}"),
    }
}

/// Schema and values; what lies under a NULL, and where texts lie, is nobody's concern.
fn decoded(stream: &[u8]) -> String {
    let batches = StreamReader::try_new(stream, None).unwrap();
    let schema = batches.schema();
    let batches: Vec<RecordBatch> = batches.map(Result::unwrap).collect();
    format!("{schema:?}\n{}", pretty_format_batches(&batches).unwrap())
}

async fn answers(back_end: &BackEnd, columns: &Columns, statements: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    for govern in GOVERNORS {
        // One partition: ties keep the order of the rows.
        let world = World::with(QueryConfig {
            partitions: 1,
            ..QueryConfig::default()
        });
        let (columns, arrays) = split(columns);
        let space = format!("conform{}x{}", columns.len(), all.len());
        let id = back_end.fill(&world, &space, "t", &columns, arrays);
        govern(&world, &id);
        for sql in statements {
            for format in [RowFormat::Json, RowFormat::ArrowStream] {
                let answer = answer(&world, sql, format).await;
                // What a table is called is all that may differ; the names are of one length.
                all.push(answer.replace(&id.to_string(), "ID"));
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_source_answers_alike() {
    let mut wide = common();
    wide.extend(others());
    let narrow = common();
    let of_narrow = answers(&BackEnd::Files, &narrow, STATEMENTS).await;
    let of_wide = answers(&BackEnd::Files, &wide, MORE_STATEMENTS).await;
    assert!(
        of_narrow
            .iter()
            .filter(|answer| answer.contains("Fault {"))
            .count()
            < of_narrow.len() / 3
    );
    for back_end in BackEnd::all().into_iter().skip(1) {
        let name = back_end.name();
        compare(
            name,
            STATEMENTS,
            &answers(&back_end, &narrow, STATEMENTS).await,
            &of_narrow,
        );
        if !matches!(back_end, BackEnd::Sqlite(_) | BackEnd::Avro) {
            let found = answers(&back_end, &wide, MORE_STATEMENTS).await;
            compare(name, MORE_STATEMENTS, &found, &of_wide);
        }
    }
}

fn compare(name: &str, statements: &[&str], found: &[String], expected: &[String]) {
    assert_eq!(found.len(), expected.len());
    for (number, (found, expected)) in found.iter().zip(expected).enumerate() {
        let sql = statements[number / 2 % statements.len()];
        assert_eq!(found, expected, "{name}: {sql}");
    }
}
