//! Names the form of what roles say to each other by a digest of the sources that define it, so that
//! processes of unlike builds refuse each other instead of misreading.

use std::{
    error::Error,
    fs,
    hash::{DefaultHasher, Hasher},
    path::{Path, PathBuf},
};

/// Where values, messages and calls are defined.
const SOURCES: &[&str] = &["../pdp/model/src", "src/roles", "proto/dataos/role"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut hasher = DefaultHasher::new();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
        for file in files(Path::new(source))? {
            hasher.write(file.to_string_lossy().as_bytes());
            hasher.write(&fs::read(&file)?);
        }
    }
    let version = std::env::var("CARGO_PKG_VERSION")?;
    println!(
        "cargo::rustc-env=DATAOS_WIRE={version}-{:016x}",
        hasher.finish()
    );
    Ok(())
}

/// All files below a folder but tests, in one order everywhere.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            paths.extend(files(&path)?);
        } else {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
