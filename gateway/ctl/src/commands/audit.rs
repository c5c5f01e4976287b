//! Audit records: search, show, and verification without any server.

use serde_json::{Value, json};

use super::{items, plain, rows, shown};
use crate::{
    arguments::{Audit, AuditSearch},
    client::{Client, segment},
    failure::Failure,
    output::{Answer, Human},
};

pub(crate) use verify::verify;

mod verify;

pub(crate) async fn run(client: &Client, command: Audit) -> Result<Answer, Failure> {
    match command {
        Audit::Search(search) => self::search(client, search).await,
        Audit::Show { record, proof } => show(client, &record, proof).await,
        Audit::Stats => {
            let status = client.get("/api/v1/audit/status", &[]).await?;
            Ok(Answer::lines(fields(&status), status))
        }
        Audit::Verify(_) => Err(Failure::failed("verification needs no server")),
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
    let mut query = vec![("limit", search.limit.to_string())];
    let optional = [
        ("principal", search.principal),
        ("action", search.action),
        ("resource", search.resource),
        ("effect", search.effect),
        ("kind", search.kind),
        ("policy", search.policy),
        ("text", search.text),
        ("from", search.from),
        ("to", search.to),
        ("before", search.before.map(|index| index.to_string())),
    ];
    query.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let answer = client.get("/api/v1/audit/entries", &query).await?;
    let table = rows(items(&answer, "entries"), &FIELDS);
    let next = shown(&answer, "next_before");
    let mut answer = Answer::table(&HEADER, table, answer);
    if let (Human::Table { notes, .. }, false) = (&mut answer.human, next.is_empty()) {
        notes.push(format!("more: --before {next}"));
    }
    Ok(answer.hint("dataos-ctl audit show INDEX"))
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
