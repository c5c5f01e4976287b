//! Past decisions made again: what another set of policies would have changed.

use std::ffi::OsString;

use serde_json::{Value, json};

use super::{items, local, shown, verify::key};
use crate::{arguments::AuditReplay, context::Contexts, failure::Failure, output::Answer};

pub(crate) fn replay(
    replay: &AuditReplay,
    contexts: &Contexts,
    context: Option<&str>,
) -> Result<Answer, Failure> {
    let key = key(replay.key.as_deref(), contexts, context)?.to_string();
    let mut arguments: Vec<OsString> = vec!["--verifier-key".into(), key.into()];
    for (flag, path) in [("--policies", &replay.policies), ("--flips", &replay.flips)] {
        if let Some(path) = path {
            arguments.extend([flag.into(), path.into()]);
        }
    }
    arguments.extend(["--limit".into(), replay.limit.to_string().into()]);
    let found = local::run("replay", &replay.log, arguments.iter().map(AsRef::as_ref))?;
    let count = |field: &str| shown(&found, field);
    let mut lines = vec![
        format!(
            "{} of {} decisions made again, of a verified log of {} entries",
            count("made_again"),
            count("decisions"),
            count("entries")
        ),
        format!("allow -> deny  {:>10}", count("allow_to_deny")),
        format!("deny -> allow  {:>10}", count("deny_to_allow")),
        format!("same effect    {:>10}", count("same_effect")),
        format!(
            "  of them with other policies {}, other rows or columns {}",
            count("other_policies"),
            count("other_rows_or_columns")
        ),
    ];
    lines.extend(items(&found, "not_made_again").iter().map(|reason| {
        let text = |field: &str| shown(reason, field);
        format!(
            "not made again {:>10}  {} (first: entry {})",
            text("count"),
            text("why"),
            text("first")
        )
    }));
    lines.extend(items(&found, "first").iter().map(flip));
    let is_same = ["allow_to_deny", "deny_to_allow"]
        .iter()
        .all(|field| found.get(*field) == Some(&json!(0)));
    let answer = Answer::lines(lines, found);
    Ok(if is_same {
        answer
    } else {
        answer.hint("dataos-ctl audit show INDEX")
    })
}

fn flip(flip: &Value) -> String {
    let text = |field: &str| shown(flip, field);
    format!(
        "entry {}: {} {} {}: {} -> {} ({})",
        text("index"),
        text("principal"),
        text("action"),
        text("resource"),
        text("was"),
        text("is"),
        text("is_why")
    )
}
