//! The catalog's tables, and how changes are written to them and read back.
//!
//! Every row is append-only: a change closes the current row (`tx_to`) and adds one, so the state at
//! any transaction is still there. Each body carries its digest; one that does not match is damage.

use std::path::Path;

use dataos_model::{clock::Timestamp, fault::Fault, hash::Hash};
use dataos_store::{Metadata, Row, Schema, Store, Transaction};

use super::{Stored, wire};
use crate::change::{Edge, Mutation};

/// The tables; the mark of a file is "DOSc".
const SCHEMA: Schema = Schema {
    name: "catalog",
    application_id: 0x444f_5363,
    migrations: &["
    CREATE TABLE tx (
        id {integer} PRIMARY KEY,
        time_ms {integer} NOT NULL,
        cause {text} NOT NULL
    ){strict};
    CREATE TABLE aspect (
        name {text} NOT NULL,
        target {text} NOT NULL,
        tx_from {integer} NOT NULL REFERENCES tx (id),
        tx_to {integer} REFERENCES tx (id),
        body {text} NOT NULL,
        hash {bytes} NOT NULL
    ){strict};
    CREATE UNIQUE INDEX aspect_current ON aspect (name, target) WHERE tx_to IS NULL;
    CREATE TABLE col_edge (
        source {text} NOT NULL,
        source_column {text} NOT NULL,
        target {text} NOT NULL,
        target_column {text} NOT NULL,
        transformation {text} NOT NULL,
        support {integer} NOT NULL,
        tx_from {integer} NOT NULL REFERENCES tx (id),
        tx_to {integer} REFERENCES tx (id),
        hash {bytes} NOT NULL
    ){strict};
    CREATE UNIQUE INDEX col_edge_current ON col_edge
        (target, target_column, source, source_column, transformation, support)
        WHERE tx_to IS NULL;
"],
};

const DEPOT: &str = "depot";
const DATASET: &str = "dataset";
const TAGS: &str = "tags";
const STAGE: &str = "stage";

/// The open tables.
#[derive(Debug)]
pub(crate) struct Tables {
    store: Store,
}

/// A transaction that is written and not yet durable; dropped, it is rolled back.
#[derive(Debug)]
pub(crate) struct Pending<'a> {
    transaction: Transaction<'a>,
}

impl Tables {
    /// Gives the lock back; later work is refused.
    pub(crate) async fn close(&self) {
        self.store.close().await;
    }

    /// Opens or creates the tables, in `file` if `metadata` is embedded.
    pub(crate) async fn open(metadata: &Metadata, file: &Path) -> Result<Self, Fault> {
        let store = Store::open(&SCHEMA, metadata, file).await?;
        Ok(Self { store })
    }

    /// Reads the current state whole. Its changes have no order: each target has one current row.
    pub(crate) async fn load(&self) -> Result<Stored, Fault> {
        let rows = self
            .store
            .query("SELECT coalesce(max(id), 0) AS newest FROM tx", &[])
            .await?;
        let transaction = match rows.first() {
            Some(row) => row.integer("newest").map_err(|text| self.damaged(text))?,
            None => 0,
        };
        let aspects = self
            .store
            .query(
                "SELECT name, target, body, hash FROM aspect WHERE tx_to IS NULL",
                &[],
            )
            .await?;
        let edges = self
            .store
            .query(
                "SELECT source, source_column, target, target_column, transformation, support, \
                 hash FROM col_edge WHERE tx_to IS NULL",
                &[],
            )
            .await?;
        let mutations = aspects.iter().map(aspect).chain(edges.iter().map(edge));
        Ok(Stored {
            transaction: transaction.unsigned_abs(),
            mutations: mutations
                .collect::<Result<_, _>>()
                .map_err(|problem| self.damaged(problem))?,
        })
    }

    /// Writes the changes as one transaction, which the caller commits or drops.
    pub(crate) async fn write(
        &self,
        number: u64,
        time: Timestamp,
        cause: &str,
        mutations: &[Mutation],
    ) -> Result<Pending<'_>, Fault> {
        let number = i64::try_from(number).map_err(|_| self.damaged("transactions ran out"))?;
        let mut pending = Pending {
            transaction: self.store.begin().await?,
        };
        pending
            .transaction
            .execute(
                "INSERT INTO tx (id, time_ms, cause) VALUES ($1, $2, $3)",
                &[number.into(), time.0.into(), cause.into()],
            )
            .await?;
        for mutation in mutations {
            pending.write_one(number, mutation).await?;
        }
        Ok(pending)
    }

    fn damaged(&self, problem: impl Into<String>) -> Fault {
        self.store.damaged(problem).into()
    }
}

impl Pending<'_> {
    /// Makes the transaction durable.
    pub(crate) async fn commit(self) -> Result<(), Fault> {
        self.transaction.commit().await.map_err(Fault::from)
    }

    /// Undoes the transaction.
    pub(crate) async fn roll_back(self) -> Result<(), Fault> {
        self.transaction.roll_back().await.map_err(Fault::from)
    }

    async fn write_one(&mut self, number: i64, mutation: &Mutation) -> Result<(), Fault> {
        let body = |body: Result<String, serde_json::Error>| {
            body.map(Some)
                .map_err(|error| Fault::internal(format!("catalog store: encode: {error}")))
        };
        match mutation {
            Mutation::PutDepot(depot) => {
                self.aspect(number, DEPOT, &depot.name, body(wire::depot_body(depot))?)
                    .await
            }
            Mutation::RemoveDepot(name) => self.aspect(number, DEPOT, name, None).await,
            Mutation::PutDataset(record) => {
                let key = record.id.to_string();
                self.aspect(number, DATASET, &key, body(wire::record_body(record))?)
                    .await
            }
            Mutation::RemoveDataset(id) => {
                self.aspect(number, DATASET, &id.to_string(), None).await
            }
            Mutation::PutTags(target, tags) => {
                let body = match tags.is_empty() {
                    true => None,
                    false => body(wire::tags_body(target, tags))?,
                };
                self.aspect(number, TAGS, &wire::target_key(target), body)
                    .await
            }
            Mutation::PutStage(stage) => {
                let key = stage.id.to_string();
                self.aspect(number, STAGE, &key, body(wire::stage_body(stage))?)
                    .await
            }
            Mutation::RemoveStage(id) => self.aspect(number, STAGE, &id.to_string(), None).await,
            Mutation::AddEdge(edge, support) => self.add_edge(number, edge, *support).await,
            Mutation::RemoveEdge(edge, support) => self.close_edge(number, edge, *support).await,
        }
    }

    /// Closes the current body of a target and adds the new one, if there is one.
    async fn aspect(
        &mut self,
        number: i64,
        name: &str,
        target: &str,
        body: Option<String>,
    ) -> Result<(), Fault> {
        self.transaction
            .execute(
                "UPDATE aspect SET tx_to = $1 WHERE name = $2 AND target = $3 AND tx_to IS NULL",
                &[number.into(), name.into(), target.into()],
            )
            .await?;
        let Some(body) = body else { return Ok(()) };
        let hash = aspect_hash(name, target, &body);
        self.transaction
            .execute(
                "INSERT INTO aspect (name, target, tx_from, body, hash) \
                 VALUES ($1, $2, $3, $4, $5)",
                &[
                    name.into(),
                    target.into(),
                    number.into(),
                    body.into(),
                    hash.0.as_slice().into(),
                ],
            )
            .await
            .map_err(Fault::from)
    }

    async fn add_edge(&mut self, number: i64, edge: &Edge, support: u64) -> Result<(), Fault> {
        let [source, source_column, target, target_column, transformation] = edge_key(edge);
        self.transaction
            .execute(
                "INSERT INTO col_edge (source, source_column, target, target_column, \
                 transformation, support, tx_from, hash) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
                &[
                    source.into(),
                    source_column.into(),
                    target.into(),
                    target_column.into(),
                    transformation.into(),
                    support.cast_signed().into(),
                    number.into(),
                    edge_hash(edge, support).0.as_slice().into(),
                ],
            )
            .await
            .map_err(Fault::from)
    }

    async fn close_edge(&mut self, number: i64, edge: &Edge, support: u64) -> Result<(), Fault> {
        let [source, source_column, target, target_column, transformation] = edge_key(edge);
        self.transaction
            .execute(
                "UPDATE col_edge SET tx_to = $1 WHERE source = $2 AND source_column = $3 \
                 AND target = $4 AND target_column = $5 AND transformation = $6 AND support = $7 \
                 AND tx_to IS NULL",
                &[
                    number.into(),
                    source.into(),
                    source_column.into(),
                    target.into(),
                    target_column.into(),
                    transformation.into(),
                    support.cast_signed().into(),
                ],
            )
            .await
            .map_err(Fault::from)
    }
}

fn aspect(row: &Row) -> Result<Mutation, String> {
    let (name, target, body) = (row.text("name")?, row.text("target")?, row.text("body")?);
    check_hash(row, aspect_hash(&name, &target, &body), &target)?;
    match name.as_str() {
        DEPOT => wire::depot(&body).map(Mutation::PutDepot),
        DATASET => wire::record(&body).map(Mutation::PutDataset),
        TAGS => wire::tags(&body).map(|(target, tags)| Mutation::PutTags(target, tags)),
        STAGE => wire::stage(&body).map(Mutation::PutStage),
        _ => Err(format!("`{name}` is not an aspect")),
    }
    .map_err(|problem| format!("{name} of `{target}`: {problem}"))
}

fn edge(row: &Row) -> Result<Mutation, String> {
    let edge = Edge {
        source: wire::dataset_id(&row.text("source")?)?,
        source_column: row.text("source_column")?,
        target: wire::dataset_id(&row.text("target")?)?,
        target_column: row.text("target_column")?,
        transformation: wire::transformation(&row.text("transformation")?)?,
    };
    let support = row.integer("support")?.cast_unsigned();
    check_hash(row, edge_hash(&edge, support), &edge.target.to_string())?;
    Ok(Mutation::AddEdge(edge, support))
}

fn check_hash(row: &Row, expected: Hash, target: &str) -> Result<(), String> {
    if row.bytes("hash")? == expected.0 {
        Ok(())
    } else {
        Err(format!("digest of `{target}` does not match"))
    }
}

fn aspect_hash(name: &str, target: &str, body: &str) -> Hash {
    Hash::of_parts([name, target, body])
}

/// What tells edges apart, beside their support.
fn edge_key(edge: &Edge) -> [String; 5] {
    [
        edge.source.to_string(),
        edge.source_column.clone(),
        edge.target.to_string(),
        edge.target_column.clone(),
        edge.transformation.name().to_owned(),
    ]
}

fn edge_hash(edge: &Edge, support: u64) -> Hash {
    Hash::of_parts(edge_key(edge).into_iter().chain([support.to_string()]))
}
