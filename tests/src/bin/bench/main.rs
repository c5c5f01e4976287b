//! `bench NAME`: one name per room. Prints a table and writes `target/bench/NAME.json`.
//!
//! Peers and probes run in the same process run, in turn with us, because these machines are noisy:
//! read the ratios first.
#![expect(clippy::print_stdout, reason = "a benchmark is its printed table")]

mod audit;
mod gateway;
mod load;
mod pdp;
mod query;
mod replay;
mod report;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// That of `dataos`: what is measured in this process is to cost the same.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Benchmarks of DataOS kernel.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    room: Room,
}

#[derive(Debug, Subcommand)]
enum Room {
    /// Decisions over 1, 1 000 and 100 000 policies, with stock Cedar beside.
    Pdp(pdp::Options),
    /// Durable appends, with a raw fdatasync probe interleaved.
    Audit(audit::Options),
    /// Requests on the full path, with other proxies in turn; latency at 30 % load; idle connections.
    Gateway(gateway::Options),
    /// TPC-H governed by allow-all policies against ungoverned DataFusion.
    Query(query::Options),
    /// Past decisions made again from a log.
    Replay(replay::Options),
    /// What the gateway's benchmark starts beside `dataos`.
    #[command(hide = true, subcommand)]
    Unrecorded(gateway::unrecorded::Command),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().room {
        Room::Pdp(options) => pdp::run(&options).and_then(|figures| report::write("pdp", &figures)),
        Room::Audit(options) => {
            audit::run(&options).and_then(|figures| report::write("audit", &figures))
        }
        Room::Gateway(options) => {
            gateway::run(&options).and_then(|figures| report::write("gateway", &figures))
        }
        Room::Query(options) => {
            query::run(&options).and_then(|figures| report::write("query", &figures))
        }
        Room::Unrecorded(command) => gateway::unrecorded::run(command),
        Room::Replay(options) => {
            replay::run(&options).and_then(|figures| report::write("replay", &figures))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
