//! Transparency: where no policy narrows anything, TPC-DS gives the plans and rows of the bare engine.

use std::{fs::File, path::PathBuf, process::Command, sync::Arc};

use dataos_model::{dataset::DatasetId, depot::FileFormat, query::RowFormat, seams::RunQuery};
use dataos_query::{Baseline, QueryConfig};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{
    tpch::{type_name, unnamed},
    world::World,
};

/// Queries of the benchmark.
const QUERIES: u32 = 99;

/// The folder with texts and tables, made at first use.
fn folder() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"),
        PathBuf::from,
    );
    let folder = cache.join("dataos/tpcds-sf0.01");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tpcds/fetch.py");
    let made = Command::new("python3").arg(script).arg(&folder).status();
    assert!(
        made.is_ok_and(|status| status.success()),
        "`python3 {script} {}` must end well: it needs python3 with venv, and PyPI once",
        folder.display()
    );
    folder
}

fn world(folder: &std::path::Path) -> (World, Vec<DatasetId>) {
    let world = World::with(config());
    let mut ids = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "parquet"))
        .collect();
    files.sort();
    for file in files {
        let table = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let path = world.path(&format!("{table}.parquet"));
        std::fs::copy(&file, &path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
        let fields = reader.schema().fields().iter();
        let columns: Vec<(String, String)> = fields
            .map(|field| (field.name().clone(), type_name(field.data_type())))
            .collect();
        let columns: Vec<(&str, &str)> = columns
            .iter()
            .map(|(name, kind)| (name.as_str(), kind.as_str()))
            .collect();
        ids.push(world.files(&table, FileFormat::Parquet, &[path], &columns));
    }
    (world, ids)
}

fn config() -> QueryConfig {
    QueryConfig {
        partitions: 2,
        ..QueryConfig::default()
    }
}

/// Queries side by side.
const TASKS: u32 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn plans_and_rows_are_those_of_the_bare_engine() {
    let folder = folder();
    let (world, ids) = world(&folder);
    let snapshot = world.catalog.snapshot();
    let vault = Arc::clone(&world.vault);
    let bare = Baseline::open(&config(), &snapshot, &ids, vault).await;
    let (world, bare) = (Arc::new(world), Arc::new(bare.unwrap()));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (world, bare, folder) = (world.clone(), bare.clone(), folder.clone());
            tokio::spawn(async move {
                let mut plans = Vec::new();
                for number in (1..=QUERIES).filter(|number| number % TASKS == task) {
                    let file = folder.join(format!("q{number:02}.sql"));
                    let sql = std::fs::read_to_string(file).unwrap();
                    plans.push(compare(&world, &bare, number, sql.trim()).await);
                }
                plans
            })
        })
        .collect();
    let mut found = Vec::new();
    for task in tasks {
        found.extend(task.await.unwrap());
    }
    found.sort_unstable();
    let which = |wanted: Likeness| {
        let found = found.iter().filter(|(_, likeness)| *likeness == wanted);
        found.map(|(number, _)| *number).collect::<Vec<_>>()
    };
    let (text, unordered) = (which(Likeness::Text), which(Likeness::Unordered));
    eprintln!(
        "TPC-DS: {QUERIES} queries give the same rows; {} plans are the same text, {} but for names, {} but for \
         names and the order of columns of a scan",
        text.len(),
        which(Likeness::Unnamed).len(),
        unordered.len()
    );
    assert_eq!(which(Likeness::Other), [0_u32; 0], "other plans");
    assert!(text.len() >= 65, "only {text:?} are equal as text");
    assert!(unordered.len() <= 2, "more than two: {unordered:?}");
}

/// How a governed plan is that of the bare engine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    Text,
    /// All but names.
    Unnamed,
    /// That, and the order in which a scan gives its columns.
    Unordered,
    Other,
}

/// Fails where rows differ; how the plans do.
async fn compare(world: &World, bare: &Baseline, number: u32, sql: &str) -> (u32, Likeness) {
    let answer = world.layer.run(world.request(sql)).await;
    let answer = answer.unwrap_or_else(|fault| panic!("q{number}: {fault:?}"));
    let (row_count, chunks) = bare.run(sql, RowFormat::Json).await.unwrap();
    assert_eq!(answer.row_count, row_count, "q{number}");
    assert_eq!(answer.chunks.concat(), chunks.concat(), "q{number}");
    let governed = world.layer.physical_plan(&world.request(sql)).await;
    let (governed, ungoverned) = (governed.unwrap(), bare.physical_plan(sql).await.unwrap());
    let likeness = if governed == ungoverned {
        Likeness::Text
    } else if unnamed(&governed) == unnamed(&ungoverned) {
        Likeness::Unnamed
    } else if unordered(&governed) == unordered(&ungoverned) {
        Likeness::Unordered
    } else {
        Likeness::Other
    };
    (number, likeness)
}

/// A plan without names and places, with the columns of each scan in order of their names.
fn unordered(plan: &str) -> Vec<String> {
    let sorted = |line: String| {
        let parts = line
            .split_once("projection=[")
            .and_then(|(before, rest)| Some((before, rest.split_once(']')?)));
        let Some((before, (columns, after))) = parts else {
            return line.split(" [").next().unwrap().to_owned();
        };
        let mut columns: Vec<&str> = columns.split(", ").collect();
        columns.sort_unstable();
        format!("{before}projection={columns:?}{after}")
    };
    unnamed(plan).into_iter().map(sorted).collect()
}
