//! Where the built binaries lie: beside the test binary, in the same target folder and profile.

use std::path::PathBuf;

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

/// A TCP port of 127.0.0.1 that is free now.
///
/// # Errors
/// The operating system has none.
pub fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}
