//! Entities of types of one's own, applied over REST.

use serde_json::{Value, json};

use super::{
    items, plain,
    policy::{quoted, read},
    shown,
};
use crate::{
    arguments::Entities,
    client::{Client, segment},
    failure::Failure,
    output::Answer,
};

pub(super) async fn run(client: &Client, command: &Entities) -> Result<Answer, Failure> {
    match command {
        Entities::List { of, limit, token } => {
            let mut query = vec![("limit", limit.to_string())];
            query.extend(of.iter().map(|of| ("type", of.clone())));
            query.extend(token.iter().map(|token| ("token", token.clone())));
            list(client, &query).await
        }
        Entities::Get { of, id } => {
            let found = client.get(&address(of, id), &[]).await?;
            let entity = found.get("entity").unwrap_or(&Value::Null);
            let text = serde_json::to_string_pretty(entity);
            let lines = vec![text.unwrap_or_else(|_| plain(entity))];
            Ok(Answer::lines(lines, found))
        }
        Entities::Put { of, id, file, etag } => {
            let condition = match etag {
                Some(etag) => ("If-Match", quoted(etag)),
                None => ("If-None-Match", "*".to_owned()),
            };
            let path = address(of, id);
            let answer = client.put_json_text(&path, condition, read(file)?).await?;
            let line = format!("{} is known", shown(&answer, "uid"));
            Ok(Answer::lines(vec![line], answer))
        }
        Entities::Delete { of, id, etag } => {
            let etag = etag.as_deref().map_or_else(|| "*".to_owned(), quoted);
            client
                .delete_if(&address(of, id), ("If-Match", etag))
                .await?;
            let line = format!("{of} {id} is not known any more");
            Ok(Answer::lines(
                vec![line],
                json!({"deleted": {"type": of, "id": id}}),
            ))
        }
    }
}

async fn list(client: &Client, query: &[(&str, String)]) -> Result<Answer, Failure> {
    let page = client.get("/api/v1/entities", query).await?;
    let row = |found: &Value| {
        let named = |part: &str| {
            let part = found.pointer(&format!("/entity/uid/{part}"));
            plain(part.unwrap_or(&Value::Null))
        };
        vec![named("type"), named("id"), shown(found, "origin")]
    };
    let table = items(&page, "entities").iter().map(row).collect();
    Ok(Answer::table(&["TYPE", "ID", "ORIGIN"], table, page))
}

fn address(of: &str, id: &str) -> String {
    let id: Vec<String> = id.split('/').map(segment).collect();
    format!("/api/v1/entities/{}/{}", segment(of), id.join("/"))
}
