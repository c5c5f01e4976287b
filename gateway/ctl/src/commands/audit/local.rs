//! What needs to read sealed files or to decide is done by `dataos` on the same machine.

use std::{ffi::OsStr, path::Path, process::Command};

use serde_json::Value;

use crate::{
    commands::{LOCAL_BINARY, local_binary},
    failure::Failure,
};

/// Runs `dataos audit` on the folder of a log; the JSON that it prints.
pub(super) fn run<'a>(
    command: &str,
    log: &Path,
    arguments: impl IntoIterator<Item = &'a OsStr>,
) -> Result<Value, Failure> {
    let binary = local_binary();
    let run = Command::new(&binary)
        .args(["audit", command, "--log"])
        .arg(log)
        .args(arguments)
        .output()
        .map_err(|error| {
            Failure::failed(format!(
                "{} is read by `{LOCAL_BINARY}`, and {} cannot be run: {error}\n  next: put the binary \
                 `{LOCAL_BINARY}` beside this one or on the path",
                log.display(),
                binary.display()
            ))
        })?;
    if !run.status.success() {
        let said = String::from_utf8_lossy(&run.stderr);
        return Err(Failure::failed(said.trim().to_owned()));
    }
    serde_json::from_slice(&run.stdout)
        .map_err(|error| Failure::failed(format!("{} said no JSON: {error}", binary.display())))
}
