//! New records as they come: a stream of events, to which whoever is cut off comes back.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{FIELDS, items, parameters, shown};
use crate::{
    arguments::AuditTail,
    client::Client,
    events::{Event, Events},
    failure::Failure,
    output::Output,
};

/// Most records to begin with.
const LINES_MAX: u32 = 1000;
/// Longest silence of a server that lives: it says something every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Until when a server that is away is asked again.
const AWAY_MAX: Duration = Duration::from_secs(120);
/// After which time, if it does not say.
const RETRY_MS: u64 = 1000;

/// Prints the newest records, and then each new one once, oldest first, until it is interrupted or
/// nobody reads them.
pub(crate) async fn tail(
    client: &Client,
    tail: &AuditTail,
    output: &mut Output,
) -> Result<(), Failure> {
    if tail.once {
        return newest(client, tail, output).await;
    }
    let mut events = Events::default();
    let mut seen_at = Instant::now();
    loop {
        let failure = match stream(client, tail, &mut events, output).await {
            Ok(Way::NobodyReads) => return Ok(()),
            Ok(Way::ComeBack) => {
                seen_at = Instant::now();
                None
            }
            Err(failure) if is_away(&failure) && events.last_id().is_some() => Some(failure),
            Err(failure) => return Err(failure),
        };
        if let Some(failure) = failure
            && seen_at.elapsed() > AWAY_MAX
        {
            return Err(failure);
        }
        let pause = events.retry_ms().unwrap_or(RETRY_MS);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// How a stream ended.
enum Way {
    /// What is printed goes nowhere any more.
    NobodyReads,
    /// The server ended it, or is gone.
    ComeBack,
}

/// Whether it is worth asking again: there is no server, or it cannot answer now.
fn is_away(failure: &Failure) -> bool {
    match failure {
        Failure::Unreachable(_) => true,
        Failure::Problem(_) => failure.exit_code() == 4,
        _ => false,
    }
}

/// Follows the log from where `events` stands, for as long as the connection holds.
async fn stream(
    client: &Client,
    tail: &AuditTail,
    events: &mut Events,
    output: &mut Output,
) -> Result<Way, Failure> {
    let mut query = parameters(&tail.filter);
    let lines = tail.lines.min(LINES_MAX);
    if lines > 0 {
        query.push(("newest", lines.to_string()));
    }
    let path = "/api/v1/audit/stream";
    let mut answer = client.get_events(path, &query, events.last_id()).await?;
    events.begin();
    let mut print = |event: Event| match event.kind.as_str() {
        "entry" => line(&event.data, output),
        "lagged" => {
            let behind = serde_json::from_str(&event.data).unwrap_or(Value::Null);
            let behind = shown(&behind, "behind");
            output.note(&format!("{behind} records are still to come"));
            Ok(true)
        }
        // The next stream says what is wrong, if anything is.
        _ => Ok(true),
    };
    loop {
        let bytes = match tokio::time::timeout(SILENCE_MAX, answer.next()).await {
            Ok(Ok(Some(bytes))) => bytes,
            Ok(Ok(None) | Err(_)) | Err(_) => return Ok(Way::ComeBack),
        };
        if !events.read(&bytes, &mut print)? {
            return Ok(Way::NobodyReads);
        }
    }
}

/// Prints the newest records.
async fn newest(client: &Client, tail: &AuditTail, output: &mut Output) -> Result<(), Failure> {
    let mut query = parameters(&tail.filter);
    query.push(("limit", tail.lines.clamp(1, LINES_MAX).to_string()));
    let page = client.get("/api/v1/audit/entries", &query).await?;
    for entry in items(&page, "entries").iter().rev() {
        if !line(&entry.to_string(), output)? {
            break;
        }
    }
    Ok(())
}

/// Prints one record; false once nobody reads it.
fn line(entry: &str, output: &mut Output) -> Result<bool, Failure> {
    let entry: Value = serde_json::from_str(entry)
        .map_err(|error| Failure::Unreachable(format!("a record is no JSON: {error}")))?;
    let fields = FIELDS.iter().map(|field| shown(&entry, field));
    let fields: Vec<String> = fields.filter(|text| !text.is_empty()).collect();
    output.line(&fields.join("  "), &entry)
}
