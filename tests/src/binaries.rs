//! Where things are: built binaries beside the test binary, what is installed in a cache, free ports.

use std::{
    io::{Error, Result},
    path::PathBuf,
};

/// The path of a binary of the workspace.
///
/// # Panics
/// If it has not been built; the message holds the command that builds it.
#[expect(
    clippy::panic,
    reason = "a harness stops with the command that mends the situation"
)]
pub fn binary(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    let folder = exe
        .ancestors()
        .find(|folder| folder.join(name).is_file())
        .unwrap_or_else(|| {
            panic!("`{name}` is not built; run: cargo build -p dataos-gateway -p dataos-ctl")
        });
    folder.join(name)
}

/// The folder in which tests keep what they install and build.
///
/// # Errors
/// The environment names none.
pub fn cache() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = cache.or_else(home);
    let cache = cache.ok_or_else(|| Error::other("neither XDG_CACHE_HOME nor HOME is set"))?;
    Ok(cache.join("dataos"))
}

/// A TCP port of 127.0.0.1 that is free now.
///
/// # Errors
/// The operating system has none.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}
