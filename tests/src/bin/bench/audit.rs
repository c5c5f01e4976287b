//! The audit log: durable appends beside a raw probe and beside databases; a large log, searched,
//! proven and verified.

mod append;
mod events;
mod large;
mod peers;

use std::{io::Result, path::PathBuf};

use clap::{Args, ValueEnum};

pub(crate) use append::{SystemClock, paced_probe};

use crate::report::Figure;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// One case instead of all.
    #[arg(value_enum)]
    case: Option<Case>,
    /// Rounds of the appends; each runs everything once, in turn.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Milliseconds per measurement of the appends.
    #[arg(long, default_value_t = 1000)]
    milliseconds: u64,
    /// Events of the large log; 70 bytes of disk each, and twice that while it grows.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(8192..=100_000_000))]
    events: u64,
    /// Keep the large log; the next run with as many events continues or measures that one.
    #[arg(long)]
    keep: bool,
    /// Folder to write in; it decides which disk is measured.
    #[arg(long, default_value = "target/bench-audit")]
    folder: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    /// Durable appends, with a raw fdatasync probe in turn.
    Append,
    /// The same event into the log, SQLite and PostgreSQL in turn.
    Peers,
    /// A log of many events: size, search, proofs.
    Large,
    /// Verification of such a log, which must have been kept.
    Verify,
}

impl Options {
    /// Where a large log is kept.
    fn kept(&self) -> PathBuf {
        self.folder.join(format!("log-{}", self.events))
    }
}

pub(crate) fn run(options: &Options) -> Result<Vec<Figure>> {
    std::fs::create_dir_all(&options.folder)?;
    let is_wanted = |case| options.case.is_none_or(|wanted| wanted == case);
    let mut figures = Vec::new();
    if options.case == Some(Case::Verify) {
        return large::verify(&options.kept());
    }
    if is_wanted(Case::Append) {
        figures.extend(append::run(options)?);
    }
    if is_wanted(Case::Peers) {
        figures.extend(peers::run(options)?);
    }
    if is_wanted(Case::Large) {
        figures.extend(large::run(options)?);
    }
    Ok(figures)
}
