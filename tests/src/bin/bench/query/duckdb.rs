//! TPC-H governed by allow-all policies, with records, and on DuckDB (PyPI) in turn, over the same files and
//! texts and with as many threads: for scale, as DuckDB is another engine.

use std::{io::Result as IoResult, path::Path, process::Command, time::Instant};

use dataos_model::{fault::Fault, query::RowFormat, seams::RunQuery as _};
use dataos_query::{QueryConfig, sample::write_tpch};
use dataos_tests::binaries::from_pypi;
use serde::Deserialize;

use super::{
    Options, policies,
    process::Answering,
    world::{World, files, request, unwritable},
};
use crate::report::Figure;

const VERSION: &str = "1.5.5";
const PEER: &str = "DuckDB";

pub(super) async fn run(options: &Options) -> Result<Vec<Figure>, Fault> {
    let world = World::open().await?;
    let data = world.path().join("tpch");
    std::fs::create_dir(&data).map_err(unwritable)?;
    write_tpch(&data, options.scale)?;
    world.scan("tpch", files(&data), 8).await?;
    world.rule(policies::OPEN)?;
    let layer = world.layer()?;
    let mut duckdb = duckdb(&data, QueryConfig::default().partitions).map_err(unwritable)?;
    let (mut figures, mut ours, mut theirs, mut logarithms) = (Vec::new(), 0.0, 0.0, 0.0);
    for (name, sql) in dataos_sql::tpch::TPCH {
        let mut best = (f64::INFINITY, f64::INFINITY);
        for _ in 0..options.rounds {
            let started = Instant::now();
            let rows = layer.run(request(sql, RowFormat::ArrowStream)).await?;
            best.0 = best.0.min(started.elapsed().as_secs_f64() * 1e3);
            let answer: Answer = duckdb.ask(&sql).map_err(unwritable)?;
            best.1 = best.1.min(answer.ms);
            if answer.rows != rows.row_count {
                let message = format!("{name}: {} rows, {} of DuckDB", rows.row_count, answer.rows);
                return Err(Fault::internal(message));
            }
        }
        figures.push(Figure::new(format!("{name} governed"), best.0, "ms"));
        figures.push(Figure::ratio(
            format!("{name} to DuckDB"),
            best.0 / best.1,
            PEER,
        ));
        ours += best.0;
        theirs += best.1;
        logarithms += (best.0 / best.1).ln();
    }
    let mean = (logarithms / dataos_sql::tpch::TPCH.len() as f64).exp();
    figures.push(Figure::new("22 queries governed", ours, "ms"));
    figures.push(Figure::new(
        format!("22 queries on DuckDB {VERSION}"),
        theirs,
        "ms",
    ));
    figures.push(Figure::ratio("22 queries to DuckDB", ours / theirs, PEER));
    figures.push(Figure::ratio("geometric mean to DuckDB", mean, PEER));
    Ok(figures)
}

/// How long a statement took there, and how many rows it gave.
#[derive(Debug, Deserialize)]
struct Answer {
    ms: f64,
    rows: u64,
}

fn duckdb(data: &Path, threads: usize) -> IoResult<Answering> {
    let python = from_pypi("duckdb", VERSION)?.join("python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/bench/query/run_duckdb.py");
    let mut command = Command::new(python);
    command.arg(script).arg(data).arg(threads.to_string());
    Answering::start(&mut command)
}
