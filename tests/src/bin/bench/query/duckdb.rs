//! TPC-H governed by allow-all policies, with records, and on DuckDB (PyPI) in turn, over the same files and
//! texts and with as many threads: for scale, as DuckDB is another engine.

use std::{
    io::{BufRead as _, BufReader, Error, Result as IoResult, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

use dataos_model::{fault::Fault, query::RowFormat, seams::RunQuery as _};
use dataos_query::{QueryConfig, sample::write_tpch};
use dataos_tests::binaries::from_pypi;
use serde::Deserialize;

use super::{
    Options, policies,
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
    let mut duckdb = DuckDb::start(&data, QueryConfig::default().partitions).map_err(unwritable)?;
    let (mut figures, mut ours, mut theirs, mut logarithms) = (Vec::new(), 0.0, 0.0, 0.0);
    for (name, sql) in dataos_sql::tpch::TPCH {
        let mut best = (f64::INFINITY, f64::INFINITY);
        for _ in 0..options.rounds {
            let started = Instant::now();
            let rows = layer.run(request(sql, RowFormat::ArrowStream)).await?;
            best.0 = best.0.min(started.elapsed().as_secs_f64() * 1e3);
            let answer = duckdb.run(sql).map_err(unwritable)?;
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

/// A process that runs statements on DuckDB; stopped when dropped.
struct DuckDb {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

/// How long a statement took there, and how many rows it gave.
#[derive(Debug, Deserialize)]
struct Answer {
    ms: f64,
    rows: u64,
}

impl DuckDb {
    fn start(data: &Path, threads: usize) -> IoResult<Self> {
        let python = from_pypi("duckdb", VERSION)?.join("python");
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/bench/query/run_duckdb.py");
        let mut process = Command::new(python)
            .arg(script)
            .arg(data)
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (to, from) = (process.stdin.take(), process.stdout.take());
        let (Some(to), Some(from)) = (to, from) else {
            return Err(Error::other("python has no pipes"));
        };
        let from = BufReader::new(from);
        Ok(Self { process, to, from })
    }

    fn run(&mut self, sql: &str) -> IoResult<Answer> {
        serde_json::to_writer(&mut self.to, sql)?;
        self.to.write_all(b"\n")?;
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        serde_json::from_str(&line)
            .map_err(|_| Error::other("DuckDB stopped; its message is above"))
    }
}

impl Drop for DuckDb {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
