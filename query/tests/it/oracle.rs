//! The same statements here and on a real PostgreSQL.

use dataos_model::{
    query::{Dialect, QueryRequest},
    seams::RunQuery,
};

use crate::{postgres::server::Server, world::World};

/// Runs each statement on both; `tables` makes in PostgreSQL what the world has.
pub(crate) async fn same_as_postgresql(world: &World, tables: &str, statements: &[&str]) {
    let server = Server::start();
    server.psql(tables);
    let mut wrong = Vec::new();
    for sql in statements {
        let expected = server.answer(sql);
        let request = QueryRequest {
            dialect: Dialect::Postgres,
            ..world.request(sql)
        };
        let found = match world.layer.run(request).await {
            Ok(answer) => as_psql(&String::from_utf8(answer.chunks.concat()).unwrap()),
            Err(fault) => format!("{fault:?}"),
        };
        if found != expected {
            wrong.push(format!(
                "{sql}\n  expected: {expected}\n  found:    {found}"
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
}

/// Rows as psql shows them.
pub(crate) fn as_psql(rows: &str) -> String {
    let rows: Vec<Vec<serde_json::Value>> = serde_json::from_str(rows).unwrap();
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .map(|cell| match cell {
                    serde_json::Value::Null => String::new(),
                    serde_json::Value::Bool(true) => "t".to_owned(),
                    serde_json::Value::Bool(false) => "f".to_owned(),
                    serde_json::Value::String(text) => text.clone(),
                    other => other.to_string(),
                })
                .collect();
            cells.join("|") + "\n"
        })
        .collect()
}
