//! Names the form of what roles say to each other by a digest of the sources that define it, so that
//! processes of unlike builds refuse each other instead of misreading; and packs relocations.

use std::{
    error::Error,
    fs,
    hash::{DefaultHasher, Hasher},
    path::{Path, PathBuf},
    process::Command,
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
    pack_relocations()
}

/// The loader reads the table of relocations once and never again, and a table of one word for each
/// stays resident: 4.5 MB. Packed it has a few pages, which the loader of glibc 2.36 and later reads.
fn pack_relocations() -> Result<(), Box<dyn Error>> {
    let is_native = std::env::var("HOST")? == std::env::var("TARGET")?;
    if is_native && glibc().is_some_and(|version| version >= (2, 36)) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    Ok(())
}

/// The C library of this machine, if it is that one.
fn glibc() -> Option<(u32, u32)> {
    let asked = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let text = String::from_utf8(asked.ok()?.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
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
