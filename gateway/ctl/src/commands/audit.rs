//! Audit records: search, tail, figures, show, and verification without any server.

use serde_json::{Value, json};

use super::{items, plain, rows, shown};
use crate::{
    arguments::{Audit, AuditFilter, AuditSearch},
    client::{Client, segment},
    failure::Failure,
    output::{Answer, Human},
};

pub(crate) use replay::replay;
pub(crate) use tail::tail;
pub(crate) use verify::verify;

mod local;
mod replay;
mod tail;
mod verify;

pub(crate) async fn run(client: &Client, command: Audit) -> Result<Answer, Failure> {
    match command {
        Audit::Search(search) => self::search(client, search).await,
        Audit::Show { record, proof } => show(client, &record, proof).await,
        Audit::Stats(filter) => stats(client, &filter).await,
        Audit::Verify(_) | Audit::Replay(_) | Audit::Tail(_) => {
            Err(Failure::failed("this command is not a call and an answer"))
        }
    }
}

const HEADER: [&str; 8] = [
    "INDEX",
    "TIME",
    "KIND",
    "EFFECT",
    "PRINCIPAL",
    "ACTION",
    "RESOURCE",
    "REASON",
];
const FIELDS: [&str; 8] = [
    "index",
    "time",
    "kind",
    "effect",
    "principal",
    "action",
    "resource",
    "reason",
];

async fn search(client: &Client, search: AuditSearch) -> Result<Answer, Failure> {
    let mut query = parameters(&search.filter);
    query.push(("limit", search.limit.to_string()));
    query.extend(search.before.map(|index| ("before", index.to_string())));
    let answer = client.get("/api/v1/audit/entries", &query).await?;
    let table = rows(items(&answer, "entries"), &FIELDS);
    let next = shown(&answer, "next_before");
    let mut answer = Answer::table(&HEADER, table, answer);
    if let (Human::Table { notes, .. }, false) = (&mut answer.human, next.is_empty()) {
        notes.push(format!("more: --before {next}"));
    }
    Ok(answer.hint("dataos-ctl audit show INDEX"))
}

/// The query parameters of a filter.
fn parameters(filter: &AuditFilter) -> Vec<(&'static str, String)> {
    let optional = [
        ("principal", &filter.principal),
        ("action", &filter.action),
        ("resource", &filter.resource),
        ("effect", &filter.effect),
        ("kind", &filter.kind),
        ("policy", &filter.policy),
        ("request_id", &filter.request_id),
        ("trace", &filter.trace),
        ("text", &filter.text),
        ("from", &filter.from),
        ("to", &filter.to),
    ];
    let given = optional
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?)));
    given.collect()
}

/// The log's own figures, and those of the records that the filter takes.
async fn stats(client: &Client, filter: &AuditFilter) -> Result<Answer, Failure> {
    let status = client.get("/api/v1/audit/status", &[]).await?;
    let summary = client
        .get("/api/v1/audit/summary", &parameters(filter))
        .await?;
    let mut lines = fields(&status);
    lines.push(String::new());
    lines.push(format!("records: {}", shown(&summary, "total")));
    if summary.get("is_complete") == Some(&json!(false)) {
        lines.push("  of the newest alone: the filter has to read each record".to_owned());
    }
    for (title, field) in [
        ("kind", "kinds"),
        ("effect", "effects"),
        ("action", "actions"),
        ("principal", "principals"),
        ("resource", "resources"),
        ("policy", "policies"),
    ] {
        let counts = items(&summary, field).iter();
        lines.extend(counts.map(|count| {
            let (number, text) = (shown(count, "count"), shown(count, "text"));
            format!("{title}  {number:>10}  {text}")
        }));
    }
    let bars = items(&summary, "histogram").iter();
    lines.extend(
        bars.map(|bar| format!("from {}  {:>10}", shown(bar, "from"), shown(bar, "count"))),
    );
    let json = json!({"status": status, "summary": summary});
    Ok(Answer::lines(lines, json))
}

async fn show(client: &Client, record: &str, wants_proof: bool) -> Result<Answer, Failure> {
    let entries = if record.parse::<u64>().is_ok() {
        vec![
            client
                .get(&format!("/api/v1/audit/entries/{record}"), &[])
                .await?,
        ]
    } else {
        let query = [
            ("request_id", record.to_owned()),
            ("limit", "1000".to_owned()),
        ];
        let page = client.get("/api/v1/audit/entries", &query).await?;
        items(&page, "entries").iter().rev().cloned().collect()
    };
    if entries.is_empty() {
        return Err(Failure::failed(format!(
            "no record has the request id `{record}`"
        )));
    }
    let (mut lines, mut list) = (Vec::new(), Vec::new());
    for mut entry in entries {
        lines.extend(fields(&entry));
        if wants_proof {
            let path = format!(
                "/api/v1/audit/entries/{}/proof",
                segment(&shown(&entry, "index"))
            );
            let proof = client.get_text(&path).await?;
            lines.push(proof.clone());
            if let Some(fields) = entry.as_object_mut() {
                fields.insert("proof".to_owned(), json!(proof));
            }
        }
        lines.push(String::new());
        list.push(entry);
    }
    Ok(Answer::lines(lines, json!({"entries": list})))
}

/// One line per field; facts indented.
fn fields(value: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, field) in value.as_object().into_iter().flatten() {
        match field {
            Value::Null => {}
            Value::Object(facts) => {
                lines.extend(
                    facts
                        .iter()
                        .map(|(name, fact)| format!("  {name}: {}", plain(fact))),
                );
            }
            field if plain(field).is_empty() => {}
            field => lines.push(format!("{name}: {}", plain(field))),
        }
    }
    lines
}
