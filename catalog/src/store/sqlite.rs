//! The embedded store: one SQLite file in WAL mode, one writer, an fsync per commit.
//!
//! Every row is append-only: a change closes the current row (`tx_to`) and adds one, so the state at
//! any transaction is still there. Each body carries its digest; one that does not match is damage.

use std::path::{Path, PathBuf};

use dataos_model::{clock::Timestamp, hash::Hash};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Row, Sqlite, SqliteConnection, Transaction,
    sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteRow, SqliteSynchronous,
    },
};

use super::{StoreError, Stored, wire};
use crate::change::{Edge, Mutation};

/// The format that this program writes: `user_version` of the file.
const FORMAT: i64 = 1;
/// Marks the file as ours: `application_id`, "DOSc".
const APPLICATION: i64 = 0x444f_5363;

/// Statements that lead from each format to the next; the first from an empty file to format 1.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE tx (
        id INTEGER PRIMARY KEY,
        time_ms INTEGER NOT NULL,
        cause TEXT NOT NULL
    ) STRICT;
    CREATE TABLE aspect (
        name TEXT NOT NULL,
        target TEXT NOT NULL,
        tx_from INTEGER NOT NULL REFERENCES tx (id),
        tx_to INTEGER REFERENCES tx (id),
        body TEXT NOT NULL,
        hash BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX aspect_current ON aspect (name, target) WHERE tx_to IS NULL;
    CREATE TABLE col_edge (
        source TEXT NOT NULL,
        source_column TEXT NOT NULL,
        target TEXT NOT NULL,
        target_column TEXT NOT NULL,
        transformation TEXT NOT NULL,
        support INTEGER NOT NULL,
        tx_from INTEGER NOT NULL REFERENCES tx (id),
        tx_to INTEGER REFERENCES tx (id),
        hash BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX col_edge_current ON col_edge
        (target, target_column, source, source_column, transformation, support)
        WHERE tx_to IS NULL;
"];

const DEPOT: &str = "depot";
const DATASET: &str = "dataset";
const TAGS: &str = "tags";
const STAGE: &str = "stage";

/// The open store.
#[derive(Debug)]
pub(crate) struct SqliteStore {
    connection: SqliteConnection,
    path: PathBuf,
}

/// A transaction that is written and not yet durable; dropped, it is rolled back.
#[derive(Debug)]
pub(crate) struct Pending<'a> {
    transaction: Transaction<'a, Sqlite>,
    path: PathBuf,
}

impl SqliteStore {
    /// Opens or creates the file, refuses what is not ours, newer or damaged, and migrates.
    pub(crate) async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .locking_mode(SqliteLockingMode::Exclusive)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(std::time::Duration::from_secs(2))
            .disable_statement_logging();
        let connection = options
            .connect()
            .await
            .map_err(|error| failure(path, "open", &error))?;
        let mut store = Self {
            connection,
            path: path.to_owned(),
        };
        store.check_and_migrate().await?;
        Ok(store)
    }

    async fn check_and_migrate(&mut self) -> Result<(), StoreError> {
        let path = self.path.clone();
        let found = self.pragma("user_version").await?;
        let application = self.pragma("application_id").await?;
        let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| failure(&path, "read", &error))?;
        if tables > 0 && application != APPLICATION {
            return Err(StoreError::Foreign { path });
        }
        if found > FORMAT {
            return Err(StoreError::Newer {
                path,
                found,
                known: FORMAT,
            });
        }
        let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| failure(&path, "check", &error))?;
        if verdict != "ok" {
            return Err(StoreError::Damaged {
                path,
                problem: verdict,
            });
        }
        let fail = |error: sqlx::Error| failure(&path, "migrate", &error);
        for (index, statements) in MIGRATIONS.iter().enumerate() {
            let version = index as i64 + 1;
            if version <= found {
                continue;
            }
            let mut transaction = self
                .connection
                .begin_with("BEGIN IMMEDIATE")
                .await
                .map_err(fail)?;
            let marks = format!(
                "{statements}; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {version}"
            );
            sqlx::raw_sql(AssertSqlSafe(marks))
                .execute(&mut *transaction)
                .await
                .map_err(fail)?;
            transaction.commit().await.map_err(fail)?;
        }
        Ok(())
    }

    async fn pragma(&mut self, name: &'static str) -> Result<i64, StoreError> {
        sqlx::query_scalar(AssertSqlSafe(format!("PRAGMA {name}")))
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| failure(&self.path, "read", &error))
    }

    /// Reads the current state whole.
    pub(crate) async fn load(&mut self) -> Result<Stored, StoreError> {
        let path = self.path.clone();
        let fail = |error: sqlx::Error| failure(&path, "read", &error);
        let transaction: i64 = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM tx")
            .fetch_one(&mut self.connection)
            .await
            .map_err(fail)?;
        let rows = sqlx::query(
            "SELECT name, target, body, hash FROM aspect WHERE tx_to IS NULL ORDER BY rowid",
        )
        .fetch_all(&mut self.connection)
        .await
        .map_err(fail)?;
        let mut mutations = Vec::with_capacity(rows.len());
        for row in &rows {
            mutations.push(aspect(row).map_err(|problem| damaged(&path, problem))?);
        }
        let rows = sqlx::query(
            "SELECT source, source_column, target, target_column, transformation, support, hash \
             FROM col_edge WHERE tx_to IS NULL ORDER BY rowid",
        )
        .fetch_all(&mut self.connection)
        .await
        .map_err(fail)?;
        for row in &rows {
            mutations.push(edge(row).map_err(|problem| damaged(&path, problem))?);
        }
        Ok(Stored {
            transaction: transaction.unsigned_abs(),
            mutations,
        })
    }

    /// Writes the changes as one transaction, which the caller commits or drops.
    pub(crate) async fn write(
        &mut self,
        number: u64,
        time: Timestamp,
        cause: &str,
        mutations: &[Mutation],
    ) -> Result<Pending<'_>, StoreError> {
        let path = self.path.clone();
        let fail = |error: sqlx::Error| failure(&path, "write", &error);
        let transaction = self
            .connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(fail)?;
        let mut pending = Pending {
            transaction,
            path: path.clone(),
        };
        let number = i64::try_from(number).map_err(|_| damaged(&path, "transactions ran out"))?;
        sqlx::query("INSERT INTO tx (id, time_ms, cause) VALUES (?, ?, ?)")
            .bind(number)
            .bind(time.0)
            .bind(cause)
            .execute(&mut *pending.transaction)
            .await
            .map_err(fail)?;
        for mutation in mutations {
            pending.write_one(number, mutation).await?;
        }
        Ok(pending)
    }
}

impl Pending<'_> {
    /// Makes the transaction durable.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        let Self { transaction, path } = self;
        transaction
            .commit()
            .await
            .map_err(|error| failure(&path, "commit", &error))
    }

    /// Undoes the transaction.
    pub(crate) async fn roll_back(self) -> Result<(), StoreError> {
        let Self { transaction, path } = self;
        transaction
            .rollback()
            .await
            .map_err(|error| failure(&path, "roll back", &error))
    }

    async fn write_one(&mut self, number: i64, mutation: &Mutation) -> Result<(), StoreError> {
        let path = self.path.clone();
        let body = |body: Result<String, serde_json::Error>| {
            body.map(Some).map_err(|error| StoreError::Failed {
                path: path.clone(),
                problem: format!("encode: {error}"),
            })
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
    ) -> Result<(), StoreError> {
        let fail = |error: sqlx::Error| failure(&self.path, "write", &error);
        sqlx::query("UPDATE aspect SET tx_to = ? WHERE name = ? AND target = ? AND tx_to IS NULL")
            .bind(number)
            .bind(name)
            .bind(target)
            .execute(&mut *self.transaction)
            .await
            .map_err(fail)?;
        let Some(body) = body else { return Ok(()) };
        let hash = aspect_hash(name, target, &body);
        sqlx::query(
            "INSERT INTO aspect (name, target, tx_from, body, hash) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(name)
        .bind(target)
        .bind(number)
        .bind(body)
        .bind(hash.0.to_vec())
        .execute(&mut *self.transaction)
        .await
        .map_err(fail)?;
        Ok(())
    }

    async fn add_edge(&mut self, number: i64, edge: &Edge, support: u64) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO col_edge (source, source_column, target, target_column, transformation, \
             support, tx_from, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(edge.source.to_string())
        .bind(edge.source_column.as_str())
        .bind(edge.target.to_string())
        .bind(edge.target_column.as_str())
        .bind(edge.transformation.name())
        .bind(support.cast_signed())
        .bind(number)
        .bind(edge_hash(edge, support).0.to_vec())
        .execute(&mut *self.transaction)
        .await
        .map_err(|error| failure(&self.path, "write", &error))?;
        Ok(())
    }

    async fn close_edge(
        &mut self,
        number: i64,
        edge: &Edge,
        support: u64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE col_edge SET tx_to = ? WHERE source = ? AND source_column = ? AND target = ? \
             AND target_column = ? AND transformation = ? AND support = ? AND tx_to IS NULL",
        )
        .bind(number)
        .bind(edge.source.to_string())
        .bind(edge.source_column.as_str())
        .bind(edge.target.to_string())
        .bind(edge.target_column.as_str())
        .bind(edge.transformation.name())
        .bind(support.cast_signed())
        .execute(&mut *self.transaction)
        .await
        .map_err(|error| failure(&self.path, "write", &error))?;
        Ok(())
    }
}

fn aspect(row: &SqliteRow) -> Result<Mutation, String> {
    let text = |name: &str| {
        row.try_get::<String, _>(name)
            .map_err(|error| error.to_string())
    };
    let (name, target, body) = (text("name")?, text("target")?, text("body")?);
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

fn edge(row: &SqliteRow) -> Result<Mutation, String> {
    let text = |name: &str| {
        row.try_get::<String, _>(name)
            .map_err(|error| error.to_string())
    };
    let edge = Edge {
        source: wire::dataset_id(&text("source")?)?,
        source_column: text("source_column")?,
        target: wire::dataset_id(&text("target")?)?,
        target_column: text("target_column")?,
        transformation: wire::transformation(&text("transformation")?)?,
    };
    let support: i64 = row.try_get("support").map_err(|error| error.to_string())?;
    let support = support.cast_unsigned();
    check_hash(row, edge_hash(&edge, support), &edge.target.to_string())?;
    Ok(Mutation::AddEdge(edge, support))
}

fn check_hash(row: &SqliteRow, expected: Hash, target: &str) -> Result<(), String> {
    let stored: Vec<u8> = row.try_get("hash").map_err(|error| error.to_string())?;
    if stored == expected.0 {
        Ok(())
    } else {
        Err(format!("digest of `{target}` does not match"))
    }
}

fn aspect_hash(name: &str, target: &str, body: &str) -> Hash {
    Hash::of_parts([name, target, body])
}

fn edge_hash(edge: &Edge, support: u64) -> Hash {
    Hash::of_parts([
        edge.source.to_string().as_str(),
        &edge.source_column,
        &edge.target.to_string(),
        &edge.target_column,
        edge.transformation.name(),
        &support.to_string(),
    ])
}

fn damaged(path: &Path, problem: impl Into<String>) -> StoreError {
    StoreError::Damaged {
        path: path.to_owned(),
        problem: problem.into(),
    }
}

/// Tells damage and foreign locks from other failures by SQLite's primary result code.
fn failure(path: &Path, doing: &str, error: &sqlx::Error) -> StoreError {
    const BUSY: i32 = 5;
    const CORRUPT: i32 = 11;
    const NOT_A_DATABASE: i32 = 26;
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code
        .and_then(|code| code.parse::<i32>().ok())
        .map(|code| code & 0xff);
    let path = path.to_owned();
    match code {
        Some(BUSY) => StoreError::InUse { path },
        Some(CORRUPT | NOT_A_DATABASE) => StoreError::Damaged {
            path,
            problem: format!("{doing}: {error}"),
        },
        _ => StoreError::Failed {
            path,
            problem: format!("{doing}: {error}"),
        },
    }
}
