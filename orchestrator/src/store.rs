//! The resource store: every commit durable.
//!
//! The only place that knows SQL. Holds resources, their revisions, runs and attempts; never a
//! secret value.

mod run;

use std::{path::Path, str::FromStr};

use dataos_model::{
    clock::Timestamp,
    entity::{EntityType, EntityUid},
    fault::Fault,
    hash::Hash,
    resource::ResourceId,
};
use dataos_store::{Metadata, Row, Schema, Value};

pub(crate) use run::AttemptRow;

const SCHEMA: Schema = Schema {
    name: "orchestrator",
    application_id: 0,
    migrations: &["
CREATE TABLE resource (
    id {text} PRIMARY KEY, owner_type {text} NOT NULL, owner {text} NOT NULL,
    status {text} NOT NULL, message {text} NOT NULL, revision {integer} NOT NULL,
    installed {integer} NOT NULL){strict};
CREATE TABLE revision (
    id {text} NOT NULL, number {integer} NOT NULL, author {text} NOT NULL,
    request_id {text} NOT NULL, content {text} NOT NULL, manifest {text} NOT NULL,
    created_at {integer} NOT NULL, PRIMARY KEY (id, number)){strict};
CREATE TABLE run (
    number {serial}, id {text} NOT NULL, revision {integer} NOT NULL, phase {text} NOT NULL,
    started_at {integer} NOT NULL, finished_at {integer}){strict};
CREATE INDEX run_by_id ON run (id, number);
CREATE TABLE attempt (
    run {integer} NOT NULL REFERENCES run (number) ON DELETE CASCADE, job {text} NOT NULL,
    number {integer} NOT NULL, phase {text} NOT NULL, failure {text} NOT NULL,
    message {text} NOT NULL, process {text} NOT NULL, started_at {integer} NOT NULL,
    finished_at {integer}, PRIMARY KEY (run, job, number)){strict};
"],
};

/// A resource and its newest revision.
#[derive(Clone, Debug)]
pub(crate) struct ResourceRow {
    pub(crate) id: ResourceId,
    pub(crate) owner: EntityUid,
    pub(crate) status: Status,
    pub(crate) message: String,
    pub(crate) revision: u64,
    /// Whether the newest revision is what the rest of the platform has been told.
    pub(crate) is_installed: bool,
    /// Digest of the content, to tell whether an apply changes anything.
    pub(crate) content: Hash,
    /// YAML, secrets blanked.
    pub(crate) manifest: String,
    pub(crate) updated_at: Timestamp,
}

/// How far a resource is from what was declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Declared, nothing done yet.
    Pending,
    /// As declared.
    Active,
    /// The newest try failed; the message says why.
    Error,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Error => "error",
        }
    }

    fn named(word: &str) -> Result<Self, String> {
        [Self::Pending, Self::Active, Self::Error]
            .into_iter()
            .find(|status| status.name() == word)
            .ok_or_else(|| format!("status `{word}`"))
    }
}

/// What a new revision holds.
#[derive(Debug)]
pub(crate) struct NewRevision<'a> {
    pub(crate) id: &'a ResourceId,
    pub(crate) owner: &'a EntityUid,
    pub(crate) request_id: &'a str,
    pub(crate) content: Hash,
    pub(crate) manifest: &'a str,
    pub(crate) now: Timestamp,
}

/// The open store.
#[derive(Debug)]
pub(crate) struct Store {
    tables: dataos_store::Store,
}

impl Store {
    /// Opens or creates the tables, in `file` if `metadata` is embedded.
    pub(crate) async fn open(metadata: &Metadata, file: &Path) -> Result<Self, Fault> {
        let tables = dataos_store::Store::open(&SCHEMA, metadata, file).await?;
        Ok(Self { tables })
    }

    pub(crate) async fn close(&self) {
        self.tables.close().await;
    }

    /// All resources, in order of their ids.
    pub(crate) async fn resources(&self) -> Result<Vec<ResourceRow>, Fault> {
        let rows = self
            .tables
            .query(
                "SELECT r.*, v.content, v.manifest, v.created_at FROM resource r
                 JOIN revision v ON v.id = r.id AND v.number = r.revision ORDER BY r.id",
                &[],
            )
            .await?;
        self.every(&rows, resource)
    }

    pub(crate) async fn resource(&self, id: &ResourceId) -> Result<Option<ResourceRow>, Fault> {
        let rows = self
            .tables
            .query(
                "SELECT r.*, v.content, v.manifest, v.created_at FROM resource r
                 JOIN revision v ON v.id = r.id AND v.number = r.revision WHERE r.id = $1",
                &[id.to_string().into()],
            )
            .await?;
        self.every(&rows, resource).map(|mut rows| rows.pop())
    }

    /// Adds a revision; the resource is pending from here on. Gives the number.
    pub(crate) async fn add_revision(&self, new: NewRevision<'_>) -> Result<u64, Fault> {
        let id = new.id.to_string();
        let mut transaction = self.tables.begin().await?;
        let rows = transaction
            .query(
                "SELECT coalesce(max(number), 0) + 1 AS number FROM revision WHERE id = $1",
                &[(&id).into()],
            )
            .await?;
        let number = self.one(&rows, |row| row.integer("number"))?;
        transaction
            .execute(
                "INSERT INTO revision
                 (id, number, author, request_id, content, manifest, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
                &[
                    (&id).into(),
                    number.into(),
                    new.owner.to_string().into(),
                    new.request_id.into(),
                    new.content.to_string().into(),
                    new.manifest.into(),
                    new.now.0.into(),
                ],
            )
            .await?;
        transaction
            .execute(
                "INSERT INTO resource
                 (id, owner_type, owner, status, message, revision, installed)
                 VALUES ($1, $2, $3, 'pending', '', $4, 0)
                 ON CONFLICT (id) DO UPDATE SET owner_type = excluded.owner_type,
                 owner = excluded.owner, status = 'pending', message = '',
                 revision = excluded.revision",
                &[
                    (&id).into(),
                    new.owner.entity_type.name().into(),
                    (&new.owner.id).into(),
                    number.into(),
                ],
            )
            .await?;
        transaction.commit().await?;
        Ok(u64::try_from(number).unwrap_or(0))
    }

    /// Sets the status, unless the resource has moved on to another revision.
    pub(crate) async fn set_status(
        &self,
        id: &ResourceId,
        revision: u64,
        status: Status,
        message: &str,
    ) -> Result<(), Fault> {
        self.execute(
            "UPDATE resource SET status = $1, message = $2 WHERE id = $3 AND revision = $4",
            &[
                status.name().into(),
                message.into(),
                id.to_string().into(),
                stored(revision).into(),
            ],
        )
        .await
    }

    /// Notes that the revision is what the rest of the platform has been told.
    pub(crate) async fn set_installed(&self, id: &ResourceId, revision: u64) -> Result<(), Fault> {
        self.execute(
            "UPDATE resource SET installed = $1 WHERE id = $2",
            &[stored(revision).into(), id.to_string().into()],
        )
        .await
    }

    /// The manifest of the revision that is installed, if any is.
    pub(crate) async fn installed(&self, id: &ResourceId) -> Result<Option<String>, Fault> {
        let rows = self
            .tables
            .query(
                "SELECT v.manifest FROM resource r
                 JOIN revision v ON v.id = r.id AND v.number = r.installed WHERE r.id = $1",
                &[id.to_string().into()],
            )
            .await?;
        self.every(&rows, |row| row.text("manifest"))
            .map(|mut rows| rows.pop())
    }

    /// Removes the resource and its runs; its revisions stay, so that numbers are never used twice.
    pub(crate) async fn remove(&self, id: &ResourceId) -> Result<(), Fault> {
        let id = id.to_string();
        let mut transaction = self.tables.begin().await?;
        for statement in [
            "DELETE FROM run WHERE id = $1",
            "DELETE FROM resource WHERE id = $1",
        ] {
            transaction.execute(statement, &[(&id).into()]).await?;
        }
        transaction.commit().await.map_err(Fault::from)
    }

    async fn execute(&self, statement: &'static str, values: &[Value]) -> Result<(), Fault> {
        self.tables
            .execute(statement, values)
            .await
            .map_err(Fault::from)
    }

    fn every<T>(
        &self,
        rows: &[Row],
        read: impl Fn(&Row) -> Result<T, String>,
    ) -> Result<Vec<T>, Fault> {
        let read: Result<_, String> = rows.iter().map(read).collect();
        read.map_err(|problem| self.tables.damaged(problem).into())
    }

    fn one<T>(&self, rows: &[Row], read: impl Fn(&Row) -> Result<T, String>) -> Result<T, Fault> {
        let read = rows
            .first()
            .ok_or_else(|| "no row".to_owned())
            .and_then(read);
        read.map_err(|problem| self.tables.damaged(problem).into())
    }
}

fn resource(row: &Row) -> Result<ResourceRow, String> {
    let (id, content) = (row.text("id")?, row.text("content")?);
    let (revision, installed) = (number(row, "revision")?, number(row, "installed")?);
    Ok(ResourceRow {
        id: ResourceId::from_str(&id).map_err(|_| format!("resource id `{id}`"))?,
        owner: EntityType::named(row.text("owner_type")?).id(row.text("owner")?),
        status: Status::named(&row.text("status")?)?,
        message: row.text("message")?,
        revision,
        is_installed: installed == revision,
        content: Hash::from_str(&content).map_err(|_| format!("digest `{content}`"))?,
        manifest: row.text("manifest")?,
        updated_at: Timestamp(row.integer("created_at")?),
    })
}

fn number(row: &Row, column: &str) -> Result<u64, String> {
    let value = row.integer(column)?;
    u64::try_from(value).map_err(|_| format!("column {column}: {value}"))
}

/// A number of ours as the tables have it.
fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
