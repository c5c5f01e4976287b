//! Queries that go on by themselves, and their results.

use std::time::Duration;

use serde_json::Value;

use super::{Form, answer, check_terminal, copy, form};
use crate::{
    arguments::{QueryCommand, RowFormat},
    client::{Client, segment},
    commands::{items, shown},
    failure::Failure,
    output::{Answer, Output},
};

/// How often the server is asked whether a query has ended.
const PERIOD: Duration = Duration::from_millis(500);
/// Rows of one page; the server's most.
const PAGE_ROWS: &str = "10000";
/// Characters of a statement in a list.
const SQL_CHARACTERS: usize = 60;

pub(super) async fn run(
    client: &Client,
    command: &QueryCommand,
    output: &mut Output,
) -> Result<(), Failure> {
    match command {
        QueryCommand::List => {
            let kept = client.get("/api/v1/queries", &[]).await?;
            let rows = items(&kept, "queries").iter().map(row).collect();
            let header = ["ID", "STATE", "ROWS", "SUBMITTED", "SQL"];
            output.answer(&Answer::table(&header, rows, kept))
        }
        QueryCommand::Status { id } => {
            let kept = client.get(&path(id), &[]).await?;
            output.answer(&Answer::lines(lines(&kept), kept))
        }
        QueryCommand::Cancel { id } => {
            let kept = client.delete(&path(id)).await?;
            output.answer(&Answer::lines(lines(&kept), kept))
        }
        QueryCommand::Fetch {
            id,
            format,
            purpose,
            wait,
        } => {
            if *wait {
                ended(client, id).await?;
            }
            let purpose = purpose.iter().map(|purpose| ("purpose", purpose.clone()));
            fetch(client, id, *format, purpose.collect(), output).await
        }
    }
}

fn path(id: &str) -> String {
    format!("/api/v1/queries/{}", segment(id))
}

fn row(kept: &Value) -> Vec<String> {
    let rows = kept.get("progress").map(|progress| shown(progress, "rows"));
    let sql = shown(kept, "sql");
    let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    vec![
        shown(kept, "id"),
        shown(kept, "state"),
        rows.unwrap_or_default(),
        shown(kept, "submitted_at"),
        sql.chars().take(SQL_CHARACTERS).collect(),
    ]
}

fn lines(kept: &Value) -> Vec<String> {
    let fields = [
        "id",
        "state",
        "submitted_at",
        "ended_at",
        "expires_at",
        "progress",
        "certificate",
        "sql",
    ];
    let fields = fields.iter().map(|field| (field, shown(kept, field)));
    let mut lines: Vec<String> = fields
        .filter(|(_, value)| !value.is_empty())
        .map(|(field, value)| format!("{field}: {value}"))
        .collect();
    if let Some(problem) = kept.get("problem") {
        let failure = Failure::Problem(Box::new(problem.clone()));
        lines.push(format!("problem: {failure}"));
    }
    lines
}

/// Waits until it has ended.
async fn ended(client: &Client, id: &str) -> Result<(), Failure> {
    loop {
        let kept = client.get(&path(id), &[]).await?;
        if !matches!(shown(&kept, "state").as_str(), "queued" | "running") {
            return Ok(());
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// Prints all rows: page after page, or as they come.
async fn fetch(
    client: &Client,
    id: &str,
    format: Option<RowFormat>,
    mut query: Vec<(&str, String)>,
    output: &mut Output,
) -> Result<(), Failure> {
    let path = format!("{}/rows", path(id));
    if let Form::Stream(accept) = form(format, output) {
        check_terminal(accept)?;
        return copy(client.get_stream(&path, &query, accept).await?, output).await;
    }
    query.push(("limit", PAGE_ROWS.to_owned()));
    let mut all = client.get(&path, &query).await?;
    while let Some(cursor) = next(&all) {
        let cursor = [query.as_slice(), &[("cursor", cursor)]].concat();
        join(&mut all, client.get(&path, &cursor).await?);
    }
    output.answer(&answer(all))
}

/// The cursor of the next page.
fn next(page: &Value) -> Option<String> {
    let (_, query) = page.get("next")?.as_str()?.split_once('?')?;
    let mut parts = query.split('&');
    parts.find_map(|part| part.strip_prefix("cursor=").map(str::to_owned))
}

/// Adds the rows of a page; the rest of the document is that of the newest.
fn join(all: &mut Value, mut page: Value) {
    let rows = |value: &mut Value| match value.get_mut("rows").map(Value::take) {
        Some(Value::Array(rows)) => rows,
        _ => Vec::new(),
    };
    let mut joined = rows(all);
    joined.append(&mut rows(&mut page));
    if let Some(fields) = page.as_object_mut() {
        fields.insert("row_count".to_owned(), joined.len().into());
        fields.insert("rows".to_owned(), joined.into());
    }
    *all = page;
}
