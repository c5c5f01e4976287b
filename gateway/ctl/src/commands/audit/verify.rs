//! Verification with the log's public key alone: no network, no server, no trust in either.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use dataos_proof::{note::VerifierKey, receipt};
use serde_json::{Value, json};

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
fn key(
    file: Option<&Path>,
    contexts: &Contexts,
    context: Option<&str>,
) -> Result<VerifierKey, Failure> {
    let text = match file {
        Some(path) => fs::read_to_string(path)
            .map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))?,
        None => contexts.choose(context)?.log_key.ok_or_else(|| {
            Failure::usage("no key is known; give --key FILE (the log's verifier key, see /log/key)")
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
        let verified = receipt::verify(text, key)
            .map_err(|error| Failure::failed(format!("receipt {number} does NOT verify: {error}")))?;
        let shown = shown(&verified);
        lines.push(format!(
            "verified: entry #{} of {}, {} {} {} at {} ms, request {}, policy set {}",
            verified.index,
            key.name(),
            shown["kind"].as_str().unwrap_or_default(),
            shown["effect"].as_str().unwrap_or_default(),
            shown["action"].as_str().unwrap_or_default(),
            shown["time_ms"],
            shown["request_id"].as_str().unwrap_or_default(),
            shown["policy_set"].as_str().unwrap_or_default(),
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
