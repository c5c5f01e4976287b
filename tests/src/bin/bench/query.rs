//! The query layer: what rewriting a statement takes, and what governed statements take beside ungoverned ones.

mod duckdb;
mod federated;
mod overhead;
mod policies;
mod process;
mod rewrite;
mod world;

use std::{
    io::{Error, Result},
    thread,
};

use clap::{Args, ValueEnum};
use dataos_model::fault::Fault;

use crate::report::Figure;

/// What to measure, how much data, how often.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// One case instead of all.
    #[arg(value_enum)]
    case: Option<Case>,
    /// TPC-H scale factor.
    #[arg(long, default_value_t = 0.1)]
    scale: f64,
    /// Rounds; the best time of each query counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    /// From a text to a governed statement, of TPC-H and TPC-DS.
    Rewrite,
    /// TPC-H governed, against the same engine ungoverned.
    Overhead,
    /// TPC-H over files, PostgreSQL and MariaDB, against the stock crates for that.
    Federated,
    /// TPC-H governed, and on DuckDB.
    Duckdb,
}

pub(crate) fn run(options: &Options) -> Result<Vec<Figure>> {
    // As the threads of a server: where there is less room, each statement is read on a stack of its own.
    let builder = thread::Builder::new().stack_size(dataos_query::THREAD_STACK_BYTES);
    thread::scope(|scope| {
        let measuring = builder.spawn_scoped(scope, || measured(options))?;
        let ended = measuring.join();
        ended.unwrap_or_else(|_| Err(Error::other("the measuring ended in a panic")))
    })
}

fn measured(options: &Options) -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(dataos_query::THREAD_STACK_BYTES)
        .enable_all()
        .build()?;
    let is_wanted = |case| options.case.is_none_or(|wanted| wanted == case);
    let mut figures = Vec::new();
    if is_wanted(Case::Rewrite) {
        figures.extend(runtime.block_on(rewrite::run(options)).map_err(failed)?);
    }
    if is_wanted(Case::Overhead) {
        figures.extend(runtime.block_on(overhead::run(options)).map_err(failed)?);
    }
    if is_wanted(Case::Federated) {
        figures.extend(runtime.block_on(federated::run(options)).map_err(failed)?);
    }
    if is_wanted(Case::Duckdb) {
        figures.extend(runtime.block_on(duckdb::run(options)).map_err(failed)?);
    }
    Ok(figures)
}

fn failed(fault: Fault) -> Error {
    Error::other(fault.to_string())
}
