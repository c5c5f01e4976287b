//! Verification with the log's public key alone: no network, no server, no trust in either.

use std::{
    ffi::OsStr,
    fmt::Display,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use dataos_proof::{
    checkpoint::Checkpoint, frame::segment_first, log::verify_segments_against, note::VerifierKey,
    receipt,
};
use serde_json::{Value, json};

use super::local;
use crate::{arguments::AuditVerify, context::Contexts, failure::Failure, output::Answer};

/// Most bytes of receipts read from standard input.
const INPUT_BYTES_MAX: u64 = 1 << 30;

pub(crate) fn verify(
    verify: &AuditVerify,
    contexts: &Contexts,
    context: Option<&str>,
) -> Result<Answer, Failure> {
    let key = key(verify.key.as_deref(), contexts, context)?;
    match (&verify.receipt, &verify.log) {
        (Some(text), _) if text == "-" => {
            let mut input = String::new();
            std::io::stdin()
                .take(INPUT_BYTES_MAX)
                .read_to_string(&mut input)
                .map_err(|error| Failure::failed(format!("cannot read standard input: {error}")))?;
            receipts(input.split_whitespace(), &key)
        }
        (Some(text), _) => receipts(std::iter::once(text.trim()), &key),
        (None, Some(folder)) => log(folder, &key),
        (None, None) => Err(Failure::usage("give a receipt or --log DIR")),
    }
}

/// The key from the file, else the one pinned at log-in.
pub(super) fn key(
    file: Option<&Path>,
    contexts: &Contexts,
    context: Option<&str>,
) -> Result<VerifierKey, Failure> {
    let text = match file {
        Some(path) => fs::read_to_string(path)
            .map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))?,
        None => contexts.choose(context)?.log_key.ok_or_else(|| {
            Failure::usage(
                "no key is known; give --key FILE (the log's verifier key, see /log/key)",
            )
        })?,
    };
    text.trim()
        .parse()
        .map_err(|error| Failure::failed(format!("the key is no note verifier key: {error}")))
}

fn receipts<'a>(
    texts: impl Iterator<Item = &'a str>,
    key: &VerifierKey,
) -> Result<Answer, Failure> {
    let (mut lines, mut list) = (Vec::new(), Vec::new());
    for (number, text) in (1..).zip(texts) {
        let verified = receipt::verify(text, key).map_err(|error| {
            Failure::failed(format!("receipt {number} does NOT verify: {error}"))
        })?;
        let shown = shown(&verified);
        let text = |field: &str| super::shown(&shown, field);
        lines.push(format!(
            "verified: entry #{} of {}, {} {} {} at {} ms, request {}, policy set {}",
            verified.index,
            key.name(),
            text("kind"),
            text("effect"),
            text("action"),
            text("time_ms"),
            text("request_id"),
            text("policy_set"),
        ));
        list.push(shown);
    }
    if list.is_empty() {
        return Err(Failure::usage("no receipt was given"));
    }
    Ok(Answer::lines(lines, json!({"verified": list})))
}

fn shown(verified: &receipt::VerifiedReceipt) -> Value {
    let header = &verified.entry.header;
    json!({
        "index": verified.index,
        "tree_size": verified.checkpoint.size,
        "kind": header.kind.name().unwrap_or("unknown"),
        "time_ms": header.time_ms,
        "request_id": header.request_id,
        "effect": header.effect.map(dataos_proof::entry::Effect::name),
        "action": header.action,
        "request_digest": hex(&header.request_digest),
        "policy_set": hex(&header.policy_set),
    })
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A whole log directory: every entry, every batch signature, and the newest checkpoint file.
fn log(folder: &Path, key: &VerifierKey) -> Result<Answer, Failure> {
    let unreadable = |path: &Path, error: std::io::Error| {
        Failure::failed(format!("cannot read {}: {error}", path.display()))
    };
    let mut names: Vec<String> = fs::read_dir(folder)
        .map_err(|error| unreadable(folder, error))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let is_more = |name: &String| name.starts_with("sealed-") || name == "contents";
    if names.iter().any(is_more) {
        return whole_log(folder, key);
    }
    names.retain(|name| segment_first(name).is_some());
    names.sort();
    if names.is_empty() {
        return Err(Failure::failed(format!(
            "{} holds no log segment",
            folder.display()
        )));
    }
    let mut segments = Vec::new();
    for name in names {
        let path: PathBuf = folder.join(&name);
        let file = fs::File::open(&path).map_err(|error| unreadable(&path, error))?;
        segments.push((name, file));
    }
    let known = known(&folder.join("checkpoint"), key)?;
    let summary = verify_segments_against(segments, key, known).map_err(|damage| {
        Failure::failed(format!(
            "the log in {} does NOT verify: {damage}",
            folder.display()
        ))
    })?;
    let mut lines = vec![format!(
        "verified: {} entries in {} batches, {} segments, {} bytes",
        summary.size, summary.batches, summary.segments, summary.bytes
    )];
    lines.push(format!("root {}", hex(&summary.root)));
    lines.extend(summary.torn.as_ref().map(cut_off));
    let json = json!({
        "size": summary.size, "root": hex(&summary.root), "batches": summary.batches,
        "segments": summary.segments, "bytes": summary.bytes,
        "torn": summary.torn.map(|torn| torn.to_string()),
    });
    Ok(Answer::lines(lines, json))
}

/// A log directory with sealed files, which are Parquet, or with contents beside it.
fn whole_log(folder: &Path, key: &VerifierKey) -> Result<Answer, Failure> {
    let key = key.to_string();
    let arguments = ["--verifier-key", &key].map(OsStr::new);
    let found = local::run("verify", folder, arguments)?;
    let text = |field: &str| super::shown(&found, field);
    let mut lines = vec![
        format!(
            "verified: {} entries, {} of them in {} sealed files of {} bytes, the others in {} \
             segments of {} bytes",
            text("size"),
            text("sealed_entries"),
            text("sealed_files"),
            text("sealed_bytes"),
            text("segments"),
            text("bytes"),
        ),
        format!("root {}", text("root")),
    ];
    lines.extend(found.get("torn").and_then(Value::as_str).map(cut_off));
    Ok(Answer::lines(lines, found))
}

fn cut_off(torn: impl Display) -> String {
    format!("the end was cut off in writing, which a crash explains: {torn}")
}

/// The log's own newest checkpoint file: a log shorter than it was cut.
fn known(path: &Path, key: &VerifierKey) -> Result<Vec<Checkpoint>, Failure> {
    let note = match fs::read_to_string(path) {
        Ok(note) => note,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Failure::failed(format!(
                "cannot read {}: {error}",
                path.display()
            )));
        }
    };
    Checkpoint::open(&note, key)
        .map(|checkpoint| vec![checkpoint])
        .map_err(|error| Failure::failed(format!("{} is not valid: {error}", path.display())))
}
