//! Governed SQL.

use std::io::Read;

use serde_json::{Value, json};

use super::{items, plain, shown};
use crate::{
    arguments::Query,
    client::Client,
    failure::Failure,
    output::{Answer, Human},
};

/// Longest statement read from standard input; the server's own bound is lower.
const STATEMENT_BYTES_MAX: u64 = 1 << 20;

pub(crate) async fn run(client: &Client, query: &Query) -> Result<Answer, Failure> {
    let mut body = json!({"sql": statement(&query.sql)?});
    if let Some(fields) = body.as_object_mut() {
        if let Some(purpose) = &query.purpose {
            fields.insert("purpose".to_owned(), json!(purpose));
        }
        if let Some(rows) = query.rows {
            fields.insert("rows_max".to_owned(), json!(rows));
        }
    }
    let result = client.post("/api/v1/query", &body).await?;
    let header = items(&result, "columns")
        .iter()
        .map(|column| match column.get("masked") {
            Some(Value::Bool(true)) => format!("{} (masked)", shown(column, "name")),
            _ => shown(column, "name"),
        })
        .collect();
    let rows = items(&result, "rows")
        .iter()
        .map(|row| {
            row.as_array()
                .map(|cells| cells.iter().map(cell).collect())
                .unwrap_or_default()
        })
        .collect();
    let human = Human::Table {
        header,
        rows,
        notes: notes(&result),
    };
    Ok(Answer {
        human,
        json: result,
        hints: Vec::new(),
    })
}

fn statement(sql: &str) -> Result<String, Failure> {
    if sql != "-" {
        return Ok(sql.to_owned());
    }
    let mut text = String::new();
    std::io::stdin()
        .take(STATEMENT_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| Failure::failed(format!("cannot read standard input: {error}")))?;
    Ok(text)
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        other => plain(other),
    }
}

/// What was enforced, per table, in words.
fn notes(result: &Value) -> Vec<String> {
    let count = shown(result, "row_count");
    let more = if result.get("truncated") == Some(&Value::Bool(true)) {
        ", more left out"
    } else {
        ""
    };
    let certificate = result.get("certificate").unwrap_or(&Value::Null);
    let mut notes = vec![format!(
        "{count} rows{more}; record #{}",
        shown(certificate, "index")
    )];
    for table in items(certificate, "tables") {
        let name = shown(table, "dataset");
        let rows = shown(table, "rows");
        if rows != "TRUE" {
            let policies = shown(table, "row_policies");
            notes.push(format!("{name}: rows where {rows}  [{policies}]"));
        }
        for column in items(table, "columns") {
            let outcome = shown(column, "outcome");
            if outcome != "plain" {
                let policies = shown(column, "policies");
                notes.push(format!(
                    "{name}: {} is {outcome}  [{policies}]",
                    shown(column, "name")
                ));
            }
        }
    }
    notes
}
