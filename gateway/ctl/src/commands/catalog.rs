//! The catalog.

use serde_json::{Value, json};

use super::{items, rows, shown};
use crate::{
    arguments::Catalog,
    client::{Client, segment},
    failure::Failure,
    output::{Answer, Human},
};

pub(crate) async fn run(client: &Client, command: Catalog) -> Result<Answer, Failure> {
    match command {
        Catalog::Search { words, depot } => search(client, &words, depot).await,
        Catalog::Show { dataset } => {
            let dataset = client.get(&path(&dataset)?, &[]).await?;
            Ok(show(dataset))
        }
        Catalog::Depots => {
            let answer = client.get("/api/v1/catalog/depots", &[]).await?;
            let fields = ["name", "kind", "dataset_count", "owner", "description"];
            let table = rows(items(&answer, "depots"), &fields);
            Ok(Answer::table(
                &["NAME", "KIND", "DATASETS", "OWNER", "DESCRIPTION"],
                table,
                answer,
            ))
        }
        Catalog::Scan { depot } => scan(client, &depot).await,
        Catalog::Tag {
            dataset,
            column,
            tags,
        } => {
            let body = json!({"column": column, "tags": tags});
            let dataset = client
                .put(&format!("{}/tags", path(&dataset)?), &body)
                .await?;
            Ok(show(dataset))
        }
        Catalog::Lineage { dataset } => {
            let answer = client
                .get(&format!("{}/lineage", path(&dataset)?), &[])
                .await?;
            let side = |name: &str| {
                items(&answer, name)
                    .iter()
                    .map(|edge| {
                        let fields = [
                            "dataset",
                            "source_column",
                            "target_column",
                            "transformation",
                        ];
                        std::iter::once(name.to_owned())
                            .chain(fields.iter().map(|field| shown(edge, field)))
                            .collect()
                    })
                    .collect::<Vec<Vec<String>>>()
            };
            let table = [side("upstream"), side("downstream")].concat();
            let header = ["SIDE", "DATASET", "SOURCE COLUMN", "TARGET COLUMN", "KIND"];
            Ok(Answer::table(&header, table, answer))
        }
    }
}

async fn search(
    client: &Client,
    words: &[String],
    depot: Option<String>,
) -> Result<Answer, Failure> {
    let mut query = vec![("q", words.join(" "))];
    query.extend(depot.map(|depot| ("depot", depot)));
    let answer = client.get("/api/v1/catalog/datasets", &query).await?;
    let fields = ["sql_name", "column_count", "row_count", "owner", "tags"];
    let table = rows(items(&answer, "datasets"), &fields);
    Ok(Answer::table(
        &["DATASET", "COLUMNS", "ROWS", "OWNER", "TAGS"],
        table,
        answer,
    )
    .hint("dataos-ctl catalog show DATASET"))
}

async fn scan(client: &Client, depot: &str) -> Result<Answer, Failure> {
    let path = format!("/api/v1/catalog/depots/{}/scan", segment(depot));
    let report = client.post_nothing(&path).await?;
    let mut table = Vec::new();
    for change in ["added", "changed", "dropped"] {
        for address in items(&report, change) {
            table.push(vec![change.to_owned(), super::plain(address)]);
        }
    }
    for item in items(&report, "unreadable") {
        table.push(vec![
            "unreadable".to_owned(),
            format!("{}: {}", shown(item, "name"), shown(item, "reason")),
        ]);
    }
    let notes = vec![format!("{} unchanged", shown(&report, "unchanged"))];
    let header = vec!["CHANGE".to_owned(), "DATASET".to_owned()];
    let human = Human::Table {
        header,
        rows: table,
        notes,
    };
    Ok(Answer {
        human,
        json: report,
        hints: Vec::new(),
    })
}

fn show(dataset: Value) -> Answer {
    let table = rows(
        items(&dataset, "columns"),
        &["name", "type", "nullable", "tags"],
    );
    let mut answer = Answer::table(&["COLUMN", "TYPE", "NULLABLE", "TAGS"], table, dataset);
    if let Human::Table { notes, .. } = &mut answer.human {
        let dataset = &answer.json;
        notes.push(format!(
            "{}  rows: {}  owner: {}  tags: {}",
            shown(dataset, "address"),
            shown(dataset, "row_count"),
            shown(dataset, "owner"),
            shown(dataset, "tags")
        ));
    }
    answer
}

/// The API path of a dataset given as `dataos://d:c/n`, `d:c/n` or `d.c.n`.
fn path(dataset: &str) -> Result<String, Failure> {
    let address = dataset.strip_prefix("dataos://").unwrap_or(dataset);
    let parts: Vec<&str> = if address.contains(':') {
        address
            .splitn(2, ':')
            .flat_map(|part| part.splitn(2, '/'))
            .collect()
    } else {
        address.splitn(3, '.').collect()
    };
    match parts.as_slice() {
        [depot, collection, name] => Ok(format!(
            "/api/v1/catalog/datasets/{}/{}/{}",
            segment(depot),
            segment(collection),
            segment(name)
        )),
        _ => Err(Failure::usage(format!(
            "`{dataset}` is no dataset; write depot.collection.dataset or dataos://depot:collection/dataset"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dataset_addresses_become_paths() {
        let check = |dataset: &str, expected: Option<&str>| {
            assert_eq!(path(dataset).ok().as_deref(), expected, "{dataset}");
        };
        let full = Some("/api/v1/catalog/datasets/crm/main/customers");
        check("dataos://crm:main/customers", full);
        check("crm:main/customers", full);
        check("crm.main.customers", full);
        check("customers", None);
    }
}
