//! Texts and tables of TPC-DS, as the tests of the query layer fetch them.

use std::{
    fs,
    io::{Error, Result},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{binaries::cache, peers::succeed};

/// Tables of the benchmark.
pub const TABLES: usize = 24;
/// Queries of the benchmark.
const QUERIES: u32 = 99;

/// The folder with `q01.sql` .. `q99.sql` and a Parquet file for each table at scale factor 0.01, made at
/// first use.
///
/// # Errors
/// No Python, or no PyPI at first use.
pub fn folder() -> Result<PathBuf> {
    let folder = cache()?.join("tpcds-sf0.01");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../query/tests/tpcds/fetch.py");
    succeed(Command::new("python3").arg(script).arg(&folder))?;
    Ok(folder)
}

/// The texts in such a folder, by their numbers.
///
/// # Errors
/// A text is missing.
pub fn texts(folder: &Path) -> Result<Vec<String>> {
    let text = |number| {
        let file = folder.join(format!("q{number:02}.sql"));
        let text = fs::read_to_string(&file);
        text.map_err(|error| Error::other(format!("{}: {error}", file.display())))
    };
    (1..=QUERIES)
        .map(|number| Ok(text(number)?.trim().to_owned()))
        .collect()
}
