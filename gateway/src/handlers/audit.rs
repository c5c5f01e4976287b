//! Reading the audit log.

pub(crate) mod follow;

use std::sync::Arc;

use bytes::Bytes;
use dataos_model::{
    clock::Timestamp,
    decision::Effect,
    fault::{Fault, Location},
    record::{Entry, EntryKind, PAGE_ENTRIES_MAX, RecordQuery, TextCount},
};
use http::StatusCode;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{bounded, wire};
use crate::{
    respond::Answer,
    serve::{Call, Gateway},
};

const ENTRIES_DEFAULT: usize = 100;
/// Most bytes of contents that one answer shows; of more it has the digests alone.
const CONTENTS_SHOWN_BYTES_MAX: usize = 4 << 20;

pub(crate) async fn search(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let page = gateway.seams.records.search(&query(&call)?).await?;
    let entries: Vec<Value> = page.entries.iter().map(wire::audit_entry).collect();
    Ok(
        Answer::ok(&json!({"entries": entries, "next_before": page.next_before}))
            .with_fact("entries", entries.len()),
    )
}

pub(crate) async fn summary(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let summary = gateway.seams.records.summary(&query(&call)?).await?;
    let bars = summary.histogram.iter();
    let bars = bars.map(|bar| json!({"from": wire::time(bar.from), "count": bar.count}));
    Ok(Answer::ok(&json!({
        "total": summary.total,
        "is_complete": summary.is_complete,
        "kinds": counts(&summary.kinds),
        "effects": counts(&summary.effects),
        "actions": counts(&summary.actions),
        "principals": counts(&summary.principals),
        "resources": counts(&summary.resources),
        "policies": counts(&summary.policies),
        "histogram": bars.collect::<Vec<_>>(),
    })))
}

fn counts(counts: &[TextCount]) -> Vec<Value> {
    let each = counts.iter();
    each.map(|count| json!({"text": count.text, "count": count.count}))
        .collect()
}

fn query(call: &Call) -> Result<RecordQuery, Fault> {
    let text = |name: &str| call.head.query.get(name).map(str::to_owned);
    let effect = match call.head.query.get("effect") {
        None => None,
        Some(name) => Some(Effect::named(name).ok_or_else(|| wrong("effect", "allow or deny"))?),
    };
    let kind = match call.head.query.get("kind") {
        None => None,
        Some(name) => Some(
            EntryKind::named(name)
                .ok_or_else(|| wrong("kind", "a kind of entry, such as decision"))?,
        ),
    };
    let before = match call.head.query.get("before") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| wrong("before", "an index"))?),
    };
    Ok(RecordQuery {
        from: time(call, "from")?,
        to: time(call, "to")?,
        principal: text("principal"),
        action: text("action"),
        resource: text("resource"),
        effect,
        kind,
        policy: text("policy"),
        request_id: text("request_id"),
        trace: text("trace"),
        text: text("text"),
        before,
        after: None,
        limit: bounded(call, "limit", ENTRIES_DEFAULT, PAGE_ENTRIES_MAX)?,
    })
}

fn time(call: &Call, name: &str) -> Result<Option<Timestamp>, Fault> {
    let Some(text) = call.head.query.get(name) else {
        return Ok(None);
    };
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| wrong(name, "a time such as 2026-01-31T12:00:00Z"))?;
    let milliseconds = time.unix_timestamp_nanos() / 1_000_000;
    let milliseconds =
        i64::try_from(milliseconds).map_err(|_| wrong(name, "a time of this era"))?;
    Ok(Some(Timestamp(milliseconds)))
}

fn wrong(name: &str, expected: &str) -> Fault {
    Fault::invalid(format!("`{name}` is not {expected}")).at(Location {
        field: Some(name.to_owned()),
        ..Location::default()
    })
}

fn index(call: &Call) -> Result<u64, Fault> {
    call.parameters
        .get("index")?
        .parse()
        .map_err(|_| Fault::invalid("the index of an entry is a number"))
}

pub(crate) async fn get(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let mut stored = gateway.seams.records.get(index(&call)?).await?;
    fill_in(&gateway, &mut stored.entry).await?;
    Ok(Answer::ok(&wire::audit_entry(&stored)))
}

/// Puts what the log keeps beside an entry in its place, unless it would be too much for an answer.
async fn fill_in(gateway: &Gateway, entry: &mut Entry) -> Result<(), Fault> {
    let mut room = CONTENTS_SHOWN_BYTES_MAX;
    for (name, digest) in entry.contents() {
        let Ok(digest) = digest.parse() else { continue };
        let content = gateway.seams.records.content(digest).await?;
        let text = std::str::from_utf8(&content).ok();
        if let Some(text) = text.filter(|text| text.len() <= room) {
            room -= text.len();
            entry.facts.insert(name, text.to_owned());
        }
    }
    Ok(())
}

pub(crate) async fn proof(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let text = gateway.seams.records.proof(index(&call)?).await?;
    Ok(Answer::bytes(
        StatusCode::OK,
        "text/plain; charset=utf-8",
        Bytes::from(text),
    ))
}

pub(crate) async fn bundle(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let path = format!("tile/entries/{}", call.parameters.get("path")?);
    let bytes = gateway.seams.records.bundle(&path).await?;
    Ok(Answer::bytes(
        StatusCode::OK,
        "application/octet-stream",
        bytes,
    ))
}

pub(crate) async fn status(gateway: Arc<Gateway>, _call: Arc<Call>) -> Result<Answer, Fault> {
    let status = gateway.seams.records.status();
    Ok(Answer::ok(&json!({
        "size": status.size,
        "sealed": status.sealed,
        "bytes": status.bytes,
        "root": status.root.to_string(),
        "checkpoint_at": wire::time(status.checkpoint_at),
        "origin": status.origin,
        "verifier_key": status.verifier_key,
        "stopped": status.stopped,
        "full": status.full,
    })))
}
