//! The resource store: SQLite with write-ahead log, every commit synced to disk.
//!
//! The only place that knows SQL. Holds resources, their revisions, runs and attempts; never a
//! secret value. One writer connection, so that a transaction never waits for another one of ours.

mod run;

use std::{path::Path, str::FromStr, time::Duration};

use dataos_model::{
    clock::Timestamp,
    entity::{EntityType, EntityUid},
    fault::{Fault, FaultKind},
    hash::Hash,
    resource::ResourceId,
};
use sqlx::{
    Row, SqlitePool,
    sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
    },
};

pub(crate) use run::AttemptRow;

/// Version of the tables; a store of another one is refused.
const FORMAT: i64 = 1;
/// Wait for a lock that another process holds, before the store is said to be in use.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

const TABLES: &[&str] = &[
    "CREATE TABLE resource (
        id TEXT PRIMARY KEY, owner_type TEXT NOT NULL, owner TEXT NOT NULL, status TEXT NOT NULL,
        message TEXT NOT NULL, revision INTEGER NOT NULL, installed INTEGER NOT NULL) STRICT",
    "CREATE TABLE revision (
        id TEXT NOT NULL, number INTEGER NOT NULL, author TEXT NOT NULL, request_id TEXT NOT NULL,
        content TEXT NOT NULL, manifest TEXT NOT NULL, created_at INTEGER NOT NULL,
        PRIMARY KEY (id, number)) STRICT, WITHOUT ROWID",
    "CREATE TABLE run (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, revision INTEGER NOT NULL,
        phase TEXT NOT NULL, started_at INTEGER NOT NULL, finished_at INTEGER) STRICT",
    "CREATE INDEX run_by_id ON run (id, number)",
    "CREATE TABLE attempt (
        run INTEGER NOT NULL REFERENCES run (number) ON DELETE CASCADE, job TEXT NOT NULL,
        number INTEGER NOT NULL, phase TEXT NOT NULL, failure TEXT NOT NULL, message TEXT NOT NULL,
        process TEXT NOT NULL, started_at INTEGER NOT NULL, finished_at INTEGER,
        PRIMARY KEY (run, job, number)) STRICT, WITHOUT ROWID",
];

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

    fn named(word: &str) -> Result<Self, Fault> {
        [Self::Pending, Self::Active, Self::Error]
            .into_iter()
            .find(|status| status.name() == word)
            .ok_or_else(|| damaged(format!("status `{word}`")))
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
    pool: SqlitePool,
}

impl Store {
    /// Opens or creates the store.
    pub(crate) async fn open(path: &Path) -> Result<Self, Fault> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await
            .map_err(|error| opening(path, &error))?;
        let store = Self { pool };
        store.prepare(path).await?;
        Ok(store)
    }

    async fn prepare(&self, path: &Path) -> Result<(), Fault> {
        let found: i64 = sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(&self.pool)
            .await
            .map_err(|error| opening(path, &error))?;
        match found {
            FORMAT => Ok(()),
            0 => self.create().await.map_err(|error| opening(path, &error)),
            other => Err(Fault::new(
                FaultKind::Conflict,
                format!(
                    "{} has format {other}, this program reads {FORMAT}",
                    path.display()
                ),
            )
            .with_hint("use the version of the program that wrote it")),
        }
    }

    async fn create(&self) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        for table in TABLES {
            sqlx::query(*table).execute(&mut *transaction).await?;
        }
        sqlx::query("PRAGMA user_version = 1")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    /// All resources, in order of their ids.
    pub(crate) async fn resources(&self) -> Result<Vec<ResourceRow>, Fault> {
        sqlx::query(
            "SELECT r.*, v.content, v.manifest, v.created_at FROM resource r
             JOIN revision v ON v.id = r.id AND v.number = r.revision ORDER BY r.id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|error| failed(&error))?
        .iter()
        .map(resource)
        .collect()
    }

    pub(crate) async fn resource(&self, id: &ResourceId) -> Result<Option<ResourceRow>, Fault> {
        sqlx::query(
            "SELECT r.*, v.content, v.manifest, v.created_at FROM resource r
             JOIN revision v ON v.id = r.id AND v.number = r.revision WHERE r.id = ?",
        )
        .bind(id.to_string())
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| failed(&error))?
        .as_ref()
        .map(resource)
        .transpose()
    }

    /// Adds a revision; the resource is pending from here on. Gives the number.
    pub(crate) async fn add_revision(&self, new: NewRevision<'_>) -> Result<u64, Fault> {
        self.try_add_revision(new)
            .await
            .map_err(|error| failed(&error))
    }

    async fn try_add_revision(&self, new: NewRevision<'_>) -> Result<u64, sqlx::Error> {
        let id = new.id.to_string();
        let mut transaction = self.pool.begin().await?;
        let number: i64 =
            sqlx::query_scalar("SELECT coalesce(max(number), 0) + 1 FROM revision WHERE id = ?")
                .bind(&id)
                .fetch_one(&mut *transaction)
                .await?;
        sqlx::query(
            "INSERT INTO revision (id, number, author, request_id, content, manifest, created_at)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&id)
        .bind(number)
        .bind(new.owner.to_string())
        .bind(new.request_id)
        .bind(new.content.to_string())
        .bind(new.manifest)
        .bind(new.now.0)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO resource (id, owner_type, owner, status, message, revision, installed)
             VALUES (?, ?, ?, 'pending', '', ?, 0)
             ON CONFLICT (id) DO UPDATE SET owner_type = excluded.owner_type,
             owner = excluded.owner, status = 'pending', message = '', revision = excluded.revision",
        )
        .bind(&id)
        .bind(new.owner.entity_type.name())
        .bind(&new.owner.id)
        .bind(number)
        .execute(&mut *transaction)
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
        sqlx::query("UPDATE resource SET status = ?, message = ? WHERE id = ? AND revision = ?")
            .bind(status.name())
            .bind(message)
            .bind(id.to_string())
            .bind(i64::try_from(revision).unwrap_or(i64::MAX))
            .execute(&self.pool)
            .await
            .map(|_| ())
            .map_err(|error| failed(&error))
    }

    /// Notes that the revision is what the rest of the platform has been told.
    pub(crate) async fn set_installed(&self, id: &ResourceId, revision: u64) -> Result<(), Fault> {
        sqlx::query("UPDATE resource SET installed = ? WHERE id = ?")
            .bind(i64::try_from(revision).unwrap_or(i64::MAX))
            .bind(id.to_string())
            .execute(&self.pool)
            .await
            .map(|_| ())
            .map_err(|error| failed(&error))
    }

    /// The manifest of the revision that is installed, if any is.
    pub(crate) async fn installed(&self, id: &ResourceId) -> Result<Option<String>, Fault> {
        sqlx::query_scalar(
            "SELECT v.manifest FROM resource r
             JOIN revision v ON v.id = r.id AND v.number = r.installed WHERE r.id = ?",
        )
        .bind(id.to_string())
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| failed(&error))
    }

    /// Removes the resource and its runs; its revisions stay, so that numbers are never used twice.
    pub(crate) async fn remove(&self, id: &ResourceId) -> Result<(), Fault> {
        self.try_remove(&id.to_string())
            .await
            .map_err(|error| failed(&error))
    }

    async fn try_remove(&self, id: &str) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        for statement in [
            "DELETE FROM run WHERE id = ?",
            "DELETE FROM resource WHERE id = ?",
        ] {
            sqlx::query(statement)
                .bind(id)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }
}

fn resource(row: &SqliteRow) -> Result<ResourceRow, Fault> {
    let id: String = get(row, "id")?;
    let content: String = get(row, "content")?;
    let status: String = get(row, "status")?;
    let owner_type: String = get(row, "owner_type")?;
    let owner: String = get(row, "owner")?;
    Ok(ResourceRow {
        id: ResourceId::from_str(&id).map_err(|_| damaged(format!("resource id `{id}`")))?,
        owner: EntityType::named(owner_type).id(owner),
        status: Status::named(&status)?,
        message: get(row, "message")?,
        revision: number(row, "revision")?,
        is_installed: number(row, "installed")? == number(row, "revision")?,
        content: Hash::from_str(&content).map_err(|_| damaged(format!("digest `{content}`")))?,
        manifest: get(row, "manifest")?,
        updated_at: Timestamp(get(row, "created_at")?),
    })
}

fn get<'r, T>(row: &'r SqliteRow, column: &str) -> Result<T, Fault>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(column)
        .map_err(|error| damaged(format!("column {column}: {error}")))
}

fn number(row: &SqliteRow, column: &str) -> Result<u64, Fault> {
    let value: i64 = get(row, column)?;
    u64::try_from(value).map_err(|_| damaged(format!("column {column}: {value}")))
}

fn damaged(what: String) -> Fault {
    Fault::new(
        FaultKind::Damaged,
        format!("the resource store is damaged: {what}"),
    )
    .with_hint("restore the data directory from a backup")
}

fn failed(error: &sqlx::Error) -> Fault {
    Fault::unavailable(format!("the resource store failed: {error}"))
        .with_hint("look at free space and permissions of the data directory")
}

fn opening(path: &Path, error: &sqlx::Error) -> Fault {
    Fault::unavailable(format!("{} cannot be opened: {error}", path.display()))
        .with_hint("look at its permissions, and whether another process has it open")
}
