//! Governed SQL.

mod kept;

use std::io::{IsTerminal, Read};

use clap::ValueEnum;
use serde_json::{Value, json};

use super::{items, plain, shown};
use crate::{
    arguments::{Format, Query, RowFormat},
    client::{Client, Rows},
    failure::Failure,
    output::{Answer, Human, Output},
};

/// Longest statement read from standard input; the server's own bound is lower.
const STATEMENT_BYTES_MAX: u64 = 1 << 20;

pub(crate) async fn run(
    client: &Client,
    query: &Query,
    output: &mut Output,
) -> Result<(), Failure> {
    if let Some(command) = &query.command {
        return kept::run(client, command, output).await;
    }
    let body = body(query)?;
    if query.is_async {
        let kept = client.post("/api/v1/queries", &body).await?;
        let (id, state) = (shown(&kept, "id"), shown(&kept, "state"));
        let answer = Answer::lines(vec![format!("{id} {state}")], kept)
            .hint(format!("dataos-ctl query fetch {id} --wait"));
        return output.answer(&answer);
    }
    match form(query.format, output) {
        Form::Document => {
            let result = client.post("/api/v1/query", &body).await?;
            output.answer(&answer(result))
        }
        Form::Stream(accept) => {
            check_terminal(accept)?;
            let rows = client.post_stream("/api/v1/query", &body, accept).await?;
            copy(rows, output).await
        }
    }
}

/// How rows are asked for.
enum Form {
    /// As a document, which is shown in the form that the output has.
    Document,
    /// In this form, which is printed as it comes.
    Stream(&'static str),
}

fn form(format: Option<RowFormat>, output: &mut Output) -> Form {
    match format {
        None => return Form::Document,
        Some(RowFormat::Table) => output.set_format(Format::Table),
        Some(RowFormat::Json) => output.set_format(Format::Json),
        Some(RowFormat::Ndjson) => return Form::Stream("application/x-ndjson"),
        Some(RowFormat::Csv) => return Form::Stream("text/csv"),
        Some(RowFormat::Arrow) => return Form::Stream(ARROW),
    }
    Form::Document
}

const ARROW: &str = "application/vnd.apache.arrow.stream";

/// Bytes that are no text are for files and pipes.
fn check_terminal(accept: &str) -> Result<(), Failure> {
    if accept == ARROW && std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "Arrow is no text\n  next: redirect the output into a file, such as `> rows.arrows`",
        ));
    }
    Ok(())
}

/// Prints rows as they come.
async fn copy(mut rows: Rows, output: &mut Output) -> Result<(), Failure> {
    while let Some(bytes) = rows.next().await? {
        if !output.bytes(&bytes)? {
            return Ok(());
        }
    }
    Ok(())
}

fn body(query: &Query) -> Result<Value, Failure> {
    let sql = query.sql.as_deref().unwrap_or_default();
    let mut body = json!({"sql": statement(sql)?});
    if let Some(fields) = body.as_object_mut() {
        if let Some(dialect) = query
            .dialect
            .and_then(|dialect| dialect.to_possible_value())
        {
            fields.insert("dialect".to_owned(), json!(dialect.get_name()));
        }
        if let Some(purpose) = &query.purpose {
            fields.insert("purpose".to_owned(), json!(purpose));
        }
        if let Some(rows) = query.rows {
            fields.insert("rows_max".to_owned(), json!(rows));
        }
    }
    Ok(body)
}

/// Rows as the document around them says.
fn answer(result: Value) -> Answer {
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
    Answer {
        human,
        json: result,
        hints: Vec::new(),
    }
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
