//! New records as they come, by asking for what is newer than the last one shown.

use std::time::Duration;

use serde_json::Value;

use super::{FIELDS, items, parameters, shown};
use crate::{arguments::AuditTail, client::Client, failure::Failure, output::Output};

/// How often the server is asked.
const PERIOD: Duration = Duration::from_secs(1);
/// Most records in one answer.
const PAGE: u32 = 1000;

/// Prints the newest records, and then each new one once, oldest first, until it is interrupted or
/// nobody reads them.
pub(crate) async fn tail(
    client: &Client,
    tail: &AuditTail,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut query = parameters(&tail.filter);
    query.push(("limit", tail.lines.clamp(1, PAGE).to_string()));
    let page = client.get("/api/v1/audit/entries", &query).await?;
    let mut found = items(&page, "entries").to_vec();
    let mut next = 0;
    loop {
        for entry in found.iter().rev() {
            let fields = FIELDS.iter().map(|field| shown(entry, field));
            let fields: Vec<String> = fields.filter(|text| !text.is_empty()).collect();
            if !output.line(&fields.join("  "), entry)? {
                return Ok(());
            }
            next = index(entry) + 1;
        }
        if tail.once {
            return Ok(());
        }
        tokio::time::sleep(PERIOD).await;
        found = newer(client, tail, next).await?;
    }
}

/// All records from index `next` on, newest first.
async fn newer(client: &Client, tail: &AuditTail, next: u64) -> Result<Vec<Value>, Failure> {
    let mut found: Vec<Value> = Vec::new();
    loop {
        let mut query = parameters(&tail.filter);
        query.push(("limit", PAGE.to_string()));
        query.extend(
            found
                .last()
                .map(|entry| ("before", index(entry).to_string())),
        );
        let page = client.get("/api/v1/audit/entries", &query).await?;
        let entries = items(&page, "entries");
        let new = entries.iter().filter(|entry| index(entry) >= next);
        let new: Vec<Value> = new.cloned().collect();
        let is_all = new.len() < entries.len() || shown(&page, "next_before").is_empty();
        found.extend(new);
        if is_all || found.is_empty() {
            return Ok(found);
        }
    }
}

fn index(entry: &Value) -> u64 {
    entry.get("index").and_then(Value::as_u64).unwrap_or(0)
}
