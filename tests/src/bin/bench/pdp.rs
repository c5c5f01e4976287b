//! The policy decision point: decisions, reloads and residuals over growing policy sets.

mod cerbos;
mod decide;
mod differential;
mod explore;
mod reload;
mod residual;
pub(crate) mod workload;

/// The generator of the differential test of `pdp`, and its numbers.
#[path = "../../../../pdp/tests/it/generate.rs"]
mod generate;
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    dead_code,
    reason = "shared with tests, which stop at the first surprise"
)]
#[path = "../../../../pdp/tests/it/spread.rs"]
mod spread;

use std::{io::Result, time::Instant};

use clap::{Args, ValueEnum};

use crate::report::Figure;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// One case instead of all.
    #[arg(value_enum)]
    case: Option<Case>,
    /// Numbers of policies.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 1_000, 100_000])]
    sizes: Vec<usize>,
    /// Decisions per size.
    #[arg(long, default_value_t = 20_000)]
    decisions: usize,
    /// Stock decisions per size; each walks the whole set.
    #[arg(long, default_value_t = 20)]
    stock: usize,
    /// Compares decisions of generated worlds with stock Cedar's, instead of measuring.
    #[arg(long)]
    differential: bool,
    /// Requests to compare.
    #[arg(long, default_value_t = 10_000_000, requires = "differential")]
    triples: usize,
    /// Worlds to leave out, which an earlier run has compared.
    #[arg(long, default_value_t = 0, requires = "differential")]
    after: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    /// Policies with mixed scopes.
    Decide,
    /// Policies without scope.
    Unscoped,
    /// One policy changes; then many under load.
    Reload,
    /// Rows and columns of a dataset.
    Residual,
    /// Denials explained; who can, what can.
    Explore,
    /// AuthZEN over HTTP beside Cerbos.
    Cerbos,
}

pub(crate) fn run(options: &Options) -> Result<Vec<Figure>> {
    if options.differential {
        return differential::run(options.after, options.triples);
    }
    let is_wanted = |case| options.case.is_none_or(|wanted| wanted == case);
    let mut figures = Vec::new();
    if is_wanted(Case::Decide) {
        figures.extend(decide::mixed(options)?);
    }
    if is_wanted(Case::Unscoped) {
        figures.extend(decide::unscoped(options)?);
    }
    if is_wanted(Case::Reload) {
        figures.extend(reload::run(options)?);
    }
    if is_wanted(Case::Residual) {
        figures.extend(residual::run(options)?);
    }
    if is_wanted(Case::Explore) {
        figures.extend(explore::run(options)?);
    }
    if is_wanted(Case::Cerbos) {
        figures.extend(cerbos::run()?);
    }
    Ok(figures)
}

/// Microseconds of each run.
fn time(count: usize, mut run: impl FnMut(usize)) -> Vec<f64> {
    (0..count)
        .map(|n| {
            let started = Instant::now();
            run(n);
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect()
}
