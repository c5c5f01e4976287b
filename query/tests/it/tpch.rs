//! Transparency: where no policy narrows anything, TPC-H gives the plans and rows of the bare engine.

use std::{fs::File, sync::Arc};

use datafusion::arrow::datatypes::DataType;
use dataos_model::{dataset::DatasetId, depot::FileFormat, query::RowFormat, seams::RunQuery};
use dataos_query::{Baseline, QueryConfig, sample::write_tpch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::world::{World, equals};

pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Utf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        other => panic!("no type for {other}"),
    }
}

fn world() -> (World, Vec<DatasetId>) {
    let world = World::with(config());
    let tables = write_tpch(world.folder.path(), 0.01).unwrap();
    let ids = tables.iter().map(|(table, _)| {
        let path = world.path(&format!("{table}.parquet"));
        let file = File::open(&path).unwrap();
        let schema = ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .schema()
            .clone();
        let columns: Vec<(String, String)> = schema
            .fields()
            .iter()
            .map(|field| (field.name().clone(), type_name(field.data_type())))
            .collect();
        let columns: Vec<(&str, &str)> = columns
            .iter()
            .map(|(name, kind)| (name.as_str(), kind.as_str()))
            .collect();
        world.files(table, FileFormat::Parquet, &[path], &columns)
    });
    let ids = ids.collect();
    (world, ids)
}

fn config() -> QueryConfig {
    QueryConfig {
        partitions: 2,
        ..QueryConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_and_rows_are_those_of_the_bare_engine() {
    let (world, ids) = world();
    let snapshot = world.catalog.snapshot();
    let vault = Arc::clone(&world.vault);
    let bare = Baseline::open(&config(), &snapshot, &ids, vault)
        .await
        .unwrap();
    let mut same_text = 0;
    for (name, sql) in dataos_sql::tpch::TPCH {
        let governed = world
            .layer
            .physical_plan(&world.request(sql))
            .await
            .unwrap();
        let ungoverned = bare.physical_plan(sql).await.unwrap();
        same_text += usize::from(governed == ungoverned);
        assert_eq!(unnumbered(&governed), ungoverned, "{name}");
        let (row_count, chunks) = bare.run(sql, RowFormat::Json).await.unwrap();
        let answer = world.layer.run(world.request(sql)).await.unwrap();
        assert_eq!(answer.row_count, row_count, "{name}");
        assert_eq!(answer.chunks.concat(), chunks.concat(), "{name}");
    }
    assert!(same_text >= 16, "only {same_text} plans are equal as text");
}

/// A plan without the number that an alias gets if it stands in a query within a query where it stands already, so that
/// no name captures another. It is in no operator, only in the name of what one computes.
pub(crate) fn unnumbered(plan: &str) -> String {
    plan.replace("_2.", ".")
}

#[tokio::test(flavor = "multi_thread")]
async fn filtered_results_equal_the_hand_written_condition() {
    let (world, ids) = world();
    let snapshot = world.catalog.snapshot();
    let bare = Baseline::open(&config(), &snapshot, &ids, world.vault.clone())
        .await
        .unwrap();
    let lineitem = ids.iter().find(|id| id.name == "lineitem").unwrap();
    world.desk.rows(lineitem, equals("l_returnflag", "R"));
    for (sql, by_hand) in [
        (
            "SELECT l_shipmode, sum(l_extendedprice), count(*) FROM lineitem GROUP BY 1 ORDER BY 1",
            "SELECT l_shipmode, sum(l_extendedprice), count(*) FROM lineitem \
             WHERE l_returnflag = 'R' GROUP BY 1 ORDER BY 1",
        ),
        (
            "SELECT count(*) FROM orders o LEFT JOIN lineitem l ON o.o_orderkey = l.l_orderkey",
            "SELECT count(*) FROM orders o LEFT JOIN (SELECT * FROM lineitem WHERE \
             l_returnflag = 'R') l ON o.o_orderkey = l.l_orderkey",
        ),
        (
            "SELECT max(l_shipdate) FROM lineitem WHERE l_quantity < 10",
            "SELECT max(l_shipdate) FROM lineitem WHERE l_quantity < 10 AND l_returnflag = 'R'",
        ),
    ] {
        let (_, chunks) = bare.run(by_hand, RowFormat::Json).await.unwrap();
        let answer = world.layer.run(world.request(sql)).await.unwrap();
        assert_eq!(answer.chunks.concat(), chunks.concat(), "{sql}");
    }
}
