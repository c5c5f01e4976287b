//! `dataos audit`: the folder of a log, verified and replayed without a server.

use std::{
    num::NonZero,
    path::{Path, PathBuf},
    thread,
};

use clap::{Args, Subcommand};
use dataos_audit::Indexes;
use dataos_model::{
    fault::{Fault, FaultKind},
    hash::Hash,
};
use dataos_proof::note::VerifierKey;
use serde_json::{Value, json};

use crate::audit_replay::{self, Replaying};

/// Commands over the folder of a log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Verify every entry, index and signature of a folder, or of a copy of one; prints JSON.
    Verify(Verify),
    /// Make the decisions of a folder again, as recorded or under other policies; prints JSON.
    Replay(Replaying),
}

/// Which folder, and whose.
#[derive(Debug, Args)]
pub struct Verify {
    /// Folder of the log (`audit` in the data directory); nothing may write to it meanwhile.
    #[arg(long, value_name = "FOLDER")]
    log: PathBuf,
    /// The log's public key, as `/log/key` shows it.
    #[arg(long, value_name = "KEY")]
    verifier_key: String,
    /// Leave the indexes of sealed files to their checksums: twice as fast, and finds all that is wrong
    /// with entries, but not an index that hides one from searches.
    #[arg(long)]
    entries_only: bool,
}

/// Runs one command.
///
/// # Errors
/// A key that is none, the first damage, or policies that do not load.
pub fn run(command: &AuditCommand) -> Result<Value, Fault> {
    match command {
        AuditCommand::Verify(arguments) => {
            let indexes = if arguments.entries_only {
                Indexes::AsTheyAre
            } else {
                Indexes::MadeAgain
            };
            verify(&arguments.log, &arguments.verifier_key, indexes)
        }
        AuditCommand::Replay(replaying) => audit_replay::run(replaying),
    }
}

/// Verifies a folder.
pub(crate) fn verify(log: &Path, verifier_key: &str, indexes: Indexes) -> Result<Value, Fault> {
    let key: VerifierKey = verifier_key
        .trim()
        .parse()
        .map_err(|error| Fault::invalid(format!("--verifier-key: {error}")))?;
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let verified = dataos_audit::verify_directory(log, &key, Vec::new(), threads, indexes);
    let summary = verified.map_err(|damage| {
        let message = format!("the log in {} does NOT verify: {damage}", log.display());
        Fault::new(FaultKind::Damaged, message)
            .with_hint("keep the folder as it is, and restore a copy of before the damage")
    })?;
    Ok(json!({
        "size": summary.log.size,
        "root": Hash(summary.log.root).to_string(),
        "batches": summary.log.batches,
        "segments": summary.log.segments,
        "bytes": summary.log.bytes,
        "sealed_files": summary.packs,
        "sealed_entries": summary.sealed,
        "sealed_bytes": summary.sealed_bytes,
        "torn": summary.log.torn.map(|torn| torn.to_string()),
    }))
}
