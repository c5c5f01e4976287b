//! Transparency: where no policy narrows anything, TPC-DS gives the plans and rows of the bare engine.

use std::{fs::File, path::PathBuf, process::Command, sync::Arc};

use dataos_model::{dataset::DatasetId, depot::FileFormat, query::RowFormat, seams::RunQuery};
use dataos_query::{Baseline, QueryConfig};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{
    tpch::{type_name, unnumbered},
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
                let mut same_text = 0;
                for number in (1..=QUERIES).filter(|number| number % TASKS == task) {
                    let file = folder.join(format!("q{number:02}.sql"));
                    let sql = std::fs::read_to_string(file).unwrap();
                    let is_same = compare(&world, &bare, number, sql.trim()).await;
                    same_text += usize::from(is_same);
                }
                same_text
            })
        })
        .collect();
    let mut same_text = 0;
    for task in tasks {
        same_text += task.await.unwrap();
    }
    eprintln!(
        "TPC-DS: {QUERIES} queries give the same rows, {same_text} by plans of the same text"
    );
    assert!(same_text >= 94, "only {same_text} plans are equal as text");
}

/// Fails where rows or plans differ; whether the plans are the same without a look at numbers of aliases.
async fn compare(world: &World, bare: &Baseline, number: u32, sql: &str) -> bool {
    let answer = world.layer.run(world.request(sql)).await;
    let answer = answer.unwrap_or_else(|fault| panic!("q{number}: {fault:?}"));
    let (row_count, chunks) = bare.run(sql, RowFormat::Json).await.unwrap();
    assert_eq!(answer.row_count, row_count, "q{number}");
    assert_eq!(answer.chunks.concat(), chunks.concat(), "q{number}");
    let governed = world.layer.physical_plan(&world.request(sql)).await;
    let (governed, ungoverned) = (governed.unwrap(), bare.physical_plan(sql).await.unwrap());
    assert_eq!(unnumbered(&governed), ungoverned, "q{number}");
    governed == ungoverned
}
