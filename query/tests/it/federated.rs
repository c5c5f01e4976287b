//! One statement over several sources: TPC-H with two tables in files, three in PostgreSQL and three in
//! MariaDB, under the same answers as with all in files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    sync::Arc,
};

use datafusion::arrow::{
    array::{ArrayRef, Int64Array, StringArray},
    compute::{cast, concat_batches},
    datatypes::DataType,
};
use dataos_model::{
    dataset::DatasetId,
    depot::{Dataset, FileFormat},
    predicate::Predicate,
    seams::RunQuery,
};
use dataos_query::{QueryConfig, sample::write_tpch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{
    back_ends::BackEnd,
    tpch::type_name,
    world::{World, equals},
};

const SCALE: f64 = 0.01;
/// Of what lies in one database alone.
const SMALL_SCALE: f64 = 0.002;
const IN_POSTGRES: &[&str] = &["customer", "nation", "region"];
const IN_MARIA_DB: &[&str] = &["part", "partsupp", "supplier"];

fn world() -> World {
    World::with(QueryConfig {
        partitions: 2,
        ..QueryConfig::default()
    })
}

/// A table of a world's folder: its columns and values.
fn table(world: &World, name: &str) -> (Vec<(String, String)>, Vec<ArrayRef>) {
    let file = File::open(world.path(&format!("{name}.parquet"))).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let rows = concat_batches(&schema, &batches).unwrap();
    let columns = schema.fields().iter();
    let columns = columns.map(|field| (field.name().clone(), type_name(field.data_type())));
    let plain = |array: &ArrayRef| match array.data_type() {
        DataType::Utf8View => cast(array, &DataType::Utf8).unwrap(),
        _ => array.clone(),
    };
    (
        columns.collect(),
        rows.columns().iter().map(plain).collect(),
    )
}

/// Catalogues the tables, each in the source that `place` gives.
fn fill<'a>(
    world: &World,
    scale: f64,
    place: impl Fn(&str) -> Option<&'a BackEnd>,
) -> Vec<DatasetId> {
    let tables = write_tpch(world.folder.path(), scale).unwrap();
    let ids = tables.iter().map(|(name, _)| {
        let (columns, arrays) = table(world, name);
        let columns: Vec<(&str, &str)> = columns
            .iter()
            .map(|(name, kind)| (name.as_str(), kind.as_str()))
            .collect();
        match place(name) {
            Some(back_end) => back_end.fill(world, "tpch", name, &columns, arrays),
            None => {
                let path = world.path(&format!("{name}.parquet"));
                world.files(name, FileFormat::Parquet, &[path], &columns)
            }
        }
    });
    ids.collect()
}

/// Rows as JSON texts, in an order of their own: sources give rows that compare equal in any order.
async fn rows(world: &World, sql: &str) -> Vec<String> {
    let answer = world.layer.run(world.request(sql)).await.unwrap();
    let body = String::from_utf8(answer.chunks.concat()).unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap();
    let mut rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn tpch_over_three_kinds_of_source_gives_the_answers_of_one() {
    let (postgres, maria_db) = (BackEnd::postgres(), BackEnd::maria_db());
    let (embedded, federated) = (world(), world());
    fill(&embedded, SCALE, |_| None);
    let ids = fill(&federated, SCALE, |name| match name {
        name if IN_POSTGRES.contains(&name) => Some(&postgres),
        name if IN_MARIA_DB.contains(&name) => Some(&maria_db),
        _ => None,
    });
    let mut row_count = 0;
    for (name, sql) in dataos_sql::tpch::TPCH {
        let found = rows(&federated, sql).await;
        assert_eq!(found, rows(&embedded, sql).await, "{name}");
        row_count += found.len();
    }
    eprintln!(
        "federated: {} statements, {row_count} rows",
        dataos_sql::tpch::TPCH.len()
    );
    assert!(row_count > 100, "{row_count}");

    // The same under a filter and a mask in each of the databases.
    for world in [&embedded, &federated] {
        for (table, column, value, phone) in [
            ("customer", "c_mktsegment", "BUILDING", "c_phone"),
            ("supplier", "s_name", "Supplier#000000001", "s_phone"),
        ] {
            let id = ids.iter().find(|id| id.name == table).unwrap();
            let id = match world.folder.path() == embedded.folder.path() {
                true => DatasetId::new("lake", "main", table),
                false => id.clone(),
            };
            world.desk.rows(&id, equals(column, value).negated());
            world.desk.mask(&id, phone, "partial(first = 2)");
        }
    }
    for (name, sql) in dataos_sql::tpch::TPCH {
        assert_eq!(
            rows(&federated, sql).await,
            rows(&embedded, sql).await,
            "{name}"
        );
    }
}

/// Queries of which no table is read for its rows alone: what is left here is made of groups and of joined rows. The
/// others have outer joins, NOT IN, parts of texts, or join tables with groups.
const WHOLE: &[&str] = &[
    "q01", "q02", "q03", "q04", "q05", "q06", "q07", "q08", "q09", "q10", "q11", "q12", "q14",
    "q17", "q19", "q20", "q21",
];

#[tokio::test(flavor = "multi_thread")]
async fn tpch_of_one_database_is_made_there_as_far_as_that_is_exact() {
    let embedded = world();
    fill(&embedded, SMALL_SCALE, |_| None);
    for back_end in [BackEnd::postgres(), BackEnd::maria_db()] {
        let (there, kind) = (world(), back_end.name());
        let ids = fill(&there, SMALL_SCALE, |_| Some(&back_end));
        let mut whole = Vec::new();
        for (name, sql) in dataos_sql::tpch::TPCH {
            let found = rows(&there, sql).await;
            assert_eq!(found, rows(&embedded, sql).await, "{kind}: {name}");
            let plan = there
                .layer
                .physical_plan(&there.request(sql))
                .await
                .unwrap();
            if plan.contains("RemoteExec") && !plan.contains("ReadExec") {
                whole.push(name);
            }
        }
        eprintln!("TPC-H of {kind}: {} whole: {whole:?}", whole.len());
        // Its groups have texts for keys, which are no keys to MariaDB.
        let is_exact = |name: &&str| kind == "postgresql" || *name != "q01";
        let expected: Vec<&str> = WHOLE.iter().copied().filter(is_exact).collect();
        assert_eq!(whole, expected, "{kind}");
        // Whoever may not see all of a table has the same made of what he sees, and none of it of what is masked.
        let id = ids.iter().find(|id| id.name == "lineitem").unwrap();
        there.desk.rows(id, equals("l_shipmode", "AIR").negated());
        there
            .desk
            .mask(id, "l_discount", "redact(replacement = '0.00')");
        for (name, sql) in dataos_sql::tpch::TPCH {
            let made = there.made_there(sql).await.unwrap();
            assert!(!made.contains("l_discount"), "{kind}: {name}: {made}");
            for made in made.lines().filter(|made| made.contains("lineitem")) {
                assert!(made.contains("l_shipmode"), "{kind}: {name}: {made}");
            }
        }
    }
}

const EVENTS: i64 = 20_000;

/// Many rows in a database, and few keys of them in a file.
fn events(world: &World, back_end: &BackEnd) -> DatasetId {
    world.csv(
        "wanted",
        &[("id", "bigint"), ("word", "text")],
        "7,k7\n19999,k19999\n-1,x\n,\n",
    );
    let columns = [("id", "bigint"), ("word", "text"), ("tenant", "text")];
    let words = (0..EVENTS).map(|id| format!("k{id}"));
    let tenants = (0..EVENTS).map(|id| if id % 2 == 0 { "a" } else { "b" });
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..EVENTS)),
        Arc::new(StringArray::from_iter_values(words)),
        Arc::new(StringArray::from_iter_values(tenants)),
    ];
    back_end.fill(world, "joined", "events", &columns, arrays)
}

fn sent(back_end: &BackEnd) -> Option<String> {
    match back_end {
        BackEnd::Postgres(server) => Some(server.logged("\"events\"")),
        BackEnd::MySql(server) => Some(server.logged("`events`")),
        BackEnd::Files | BackEnd::Avro | BackEnd::Sqlite(_) | BackEnd::Objects(_) => None,
    }
}

fn forget(back_end: &BackEnd) {
    match back_end {
        BackEnd::Postgres(server) => server.forget_log(),
        BackEnd::MySql(server) => server.forget_log(),
        BackEnd::Files | BackEnd::Avro | BackEnd::Sqlite(_) | BackEnd::Objects(_) => {}
    }
}

/// Runs the join; whether keys were sent, if the source has a log.
async fn joined(world: &World, back_end: &BackEnd, sql: &str, expected: &str) -> Option<bool> {
    forget(back_end);
    world.check(sql, expected).await;
    let sent = sent(back_end)?;
    assert!(!sent.is_empty());
    Some(sent.contains("19999"))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_a_join_found_elsewhere_narrow_a_read_where_they_may_be_known() {
    let by_number = "SELECT e.id FROM wanted w JOIN events e ON e.id = w.id ORDER BY 1";
    let by_text = "SELECT e.id FROM wanted w JOIN events e ON e.word = w.word ORDER BY 1";
    for back_end in BackEnd::all().into_iter().skip(1) {
        let world = world();
        let id = events(&world, &back_end);
        let check = async |sql: &str, expected: &str, is_sent: bool| {
            let found = joined(&world, &back_end, sql, expected).await;
            let name = back_end.name();
            assert!(found.is_none_or(|found| found == is_sent), "{name}: {sql}");
        };
        for sql in [by_number, by_text] {
            check(sql, "[[7],[19999]]", true).await;
        }
        world.desk.rows(&id, equals("tenant", "b"));
        check(by_number, "[[7],[19999]]", true).await;
        world.desk.rows(&id, equals("tenant", "a"));
        check(by_number, "[]", true).await;
        world.desk.rows(&id, Predicate::ALWAYS);
        // An outer join needs the rows without a key too.
        let outer = "SELECT count(*) FROM events e LEFT JOIN wanted w ON e.id = w.id";
        check(outer, "[[20000]]", false).await;
        // The caller sees other words than lie there.
        world.desk.mask(&id, "word", "constant(value = 'k7')");
        let masked = "SELECT count(*) FROM wanted w JOIN events e ON e.word = w.word";
        check(masked, "[[20000]]", false).await;
        check(by_number, "[[7],[19999]]", true).await;
        // What carries a tag stays where it is.
        let mut dataset = Dataset::clone(
            &world
                .catalog
                .dataset(&DatasetId::new("lake", "main", "wanted"))
                .unwrap(),
        );
        let tags = BTreeSet::from(["PII.id".to_owned()]);
        dataset.column_tags = BTreeMap::from([("id".to_owned(), tags)]);
        world.catalog.put(dataset);
        check(by_number, "[[7],[19999]]", false).await;
    }
}

/// As if the catalog's scan had counted so many rows.
fn counted(world: &World, id: &DatasetId, rows: u64) {
    let dataset = Dataset::clone(&world.catalog.dataset(id).unwrap());
    world.catalog.put(Dataset {
        row_count: Some(rows),
        ..dataset
    });
}

/// The side that is read first tells its keys to the other.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_scan_counted_says_which_table_is_read_first_if_the_caller_sees_all_of_it() {
    let (postgres, maria_db) = (BackEnd::postgres(), BackEnd::maria_db());
    let world = world();
    let many = events(&world, &postgres);
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values([7, 19_999, -1]));
    let few = maria_db.fill(&world, "joined", "few", &[("id", "bigint")], vec![ids]);
    let read_first = async |of_many, of_few| {
        counted(&world, &many, of_many);
        counted(&world, &few, of_few);
        let mut is_few = [None; 2];
        for (from, is_few) in ["events e JOIN few w", "few w JOIN events e"]
            .iter()
            .zip(&mut is_few)
        {
            let sql = format!("SELECT e.id FROM {from} ON e.id = w.id ORDER BY 1");
            *is_few = joined(&world, &postgres, &sql, "[[7],[19999]]").await;
        }
        is_few
    };
    assert_eq!(read_first(1_000_000, 10).await, [Some(true); 2]);
    assert_eq!(read_first(10, 1_000_000).await, [Some(false); 2]);
    // The number of rows that he does not see would tell; that of those that he saw does not.
    world.desk.rows(&many, equals("tenant", "b"));
    read_first(10, 100).await;
    let found = read_first(10, 100).await;
    assert_eq!(read_first(1_000_000, 100).await, found);
}
