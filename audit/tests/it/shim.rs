//! The fault shim: compiled once for each test that needs it, into a folder of its own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Compiles `shim.c`; the library is in `folder`.
pub(crate) fn compile(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/shim.c");
    let library = folder.join("shim.so");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .args([&library, &source])
        .status();
    let status = status.expect("cc is not installed; run: apt-get install -y gcc");
    assert!(status.success(), "{} does not compile", source.display());
    library
}
