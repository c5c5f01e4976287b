//! Accounts, API keys and sessions on disk: SQLite, one connection, every change durable.
//!
//! The only module here that names sqlx. What is read on the request path lives in memory
//! (`accounts`); this is its journal.

use std::path::Path;

use dataos_model::fault::{Fault, FaultKind};
use sqlx::{
    Row, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::accounts::{Account, ApiKey, Session, User};

/// Version of the tables.
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
CREATE TABLE users (
    user TEXT PRIMARY KEY,
    profile TEXT NOT NULL,
    password_hash TEXT NOT NULL
) STRICT;
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    user TEXT NOT NULL REFERENCES users (user) ON DELETE CASCADE,
    name TEXT NOT NULL,
    digest BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER
) STRICT;
CREATE TABLE sessions (
    digest TEXT PRIMARY KEY,
    user TEXT NOT NULL REFERENCES users (user) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
) STRICT;
PRAGMA user_version = 1;
";

/// Everything that is stored.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) accounts: Vec<Account>,
    pub(crate) keys: Vec<ApiKey>,
    pub(crate) sessions: Vec<Session>,
}

/// The tables.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens or creates the tables in `path`.
    ///
    /// # Errors
    /// A file that cannot be opened, is damaged, or is of a newer version.
    pub(crate) async fn open(path: &Path) -> Result<Self, Fault> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        let failed = |error: sqlx::Error| {
            Fault::new(FaultKind::Damaged, format!("{}: {error}", path.display()))
                .with_hint("nothing was changed; restore it from a backup")
        };
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await
            .map_err(failed)?;
        let version: i64 = sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(&pool)
            .await
            .map_err(failed)?;
        match version {
            0 => {
                let mut transaction = pool.begin().await.map_err(failed)?;
                sqlx::raw_sql(SCHEMA)
                    .execute(&mut *transaction)
                    .await
                    .map_err(failed)?;
                transaction.commit().await.map_err(failed)?;
            }
            SCHEMA_VERSION => {}
            newer => {
                let message = format!(
                    "{} has version {newer}, this program knows {SCHEMA_VERSION}",
                    path.display()
                );
                return Err(Fault::new(FaultKind::Unsupported, message)
                    .with_hint("nothing was changed; use the newer `dataos`"));
            }
        }
        Ok(Self { pool })
    }

    /// Reads everything; sessions that ended before `now_ms` are deleted.
    ///
    /// # Errors
    /// Damaged storage.
    pub(crate) async fn load(&self, now_ms: i64) -> Result<Stored, Fault> {
        sqlx::query("DELETE FROM sessions WHERE expires_at <= ?")
            .bind(now_ms)
            .execute(&self.pool)
            .await
            .map_err(unavailable)?;
        let mut stored = Stored::default();
        let rows = sqlx::query("SELECT profile, password_hash FROM users")
            .fetch_all(&self.pool)
            .await
            .map_err(unavailable)?;
        for row in rows {
            let profile: String = row.try_get(0).map_err(unavailable)?;
            let user: User = serde_json::from_str(&profile).map_err(|error| {
                Fault::new(
                    FaultKind::Damaged,
                    format!("a stored user cannot be read: {error}"),
                )
            })?;
            let password_hash = row.try_get(1).map_err(unavailable)?;
            stored.accounts.push(Account {
                user,
                password_hash,
            });
        }
        let rows = sqlx::query(
            "SELECT id, user, name, digest, created_at, expires_at, last_used_at FROM api_keys",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(unavailable)?;
        for row in rows {
            stored.keys.push(ApiKey {
                id: row.try_get(0).map_err(unavailable)?,
                user: row.try_get(1).map_err(unavailable)?,
                name: row.try_get(2).map_err(unavailable)?,
                digest: row.try_get(3).map_err(unavailable)?,
                created_at: row.try_get(4).map_err(unavailable)?,
                expires_at: row.try_get(5).map_err(unavailable)?,
                last_used_at: row
                    .try_get::<Option<i64>, _>(6)
                    .map_err(unavailable)?
                    .unwrap_or(0),
            });
        }
        let rows = sqlx::query("SELECT digest, user, expires_at FROM sessions")
            .fetch_all(&self.pool)
            .await
            .map_err(unavailable)?;
        for row in rows {
            stored.sessions.push(Session {
                digest: row.try_get(0).map_err(unavailable)?,
                user: row.try_get(1).map_err(unavailable)?,
                expires_at: row.try_get(2).map_err(unavailable)?,
            });
        }
        Ok(stored)
    }

    /// Adds or replaces an account. With `ends_sessions` its sessions are deleted with it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn put_account(
        &self,
        account: &Account,
        ends_sessions: bool,
    ) -> Result<(), Fault> {
        let profile = serde_json::to_string(&account.user)
            .map_err(|error| Fault::internal(format!("a user cannot be encoded: {error}")))?;
        let mut transaction = self.pool.begin().await.map_err(unavailable)?;
        sqlx::query(
            "INSERT INTO users (user, profile, password_hash) VALUES (?, ?, ?)
             ON CONFLICT (user) DO UPDATE SET
                 profile = excluded.profile, password_hash = excluded.password_hash",
        )
        .bind(&account.user.user)
        .bind(profile)
        .bind(&account.password_hash)
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
        if ends_sessions {
            sqlx::query("DELETE FROM sessions WHERE user = ?")
                .bind(&account.user.user)
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
        }
        transaction.commit().await.map_err(unavailable)
    }

    /// Deletes an account with its keys and sessions.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn delete_account(&self, user: &str) -> Result<(), Fault> {
        self.execute(sqlx::query("DELETE FROM users WHERE user = ?").bind(user))
            .await
    }

    /// Adds a key.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn put_key(&self, key: &ApiKey) -> Result<(), Fault> {
        let query = sqlx::query(
            "INSERT INTO api_keys (id, user, name, digest, created_at, expires_at)
             VALUES (?, ?, ?, ?, ?, ?)",
        );
        self.execute(
            query
                .bind(&key.id)
                .bind(&key.user)
                .bind(&key.name)
                .bind(&key.digest)
                .bind(key.created_at)
                .bind(key.expires_at),
        )
        .await
    }

    /// Notes when keys were last used.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn touch_keys(&self, used: &[(String, i64)]) -> Result<(), Fault> {
        let mut transaction = self.pool.begin().await.map_err(unavailable)?;
        for (id, at) in used {
            sqlx::query("UPDATE api_keys SET last_used_at = ? WHERE id = ?")
                .bind(at)
                .bind(id)
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
        }
        transaction.commit().await.map_err(unavailable)
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn delete_key(&self, id: &str) -> Result<(), Fault> {
        self.execute(sqlx::query("DELETE FROM api_keys WHERE id = ?").bind(id))
            .await
    }

    /// Adds a session.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn put_session(&self, session: &Session) -> Result<(), Fault> {
        let query = sqlx::query("INSERT INTO sessions (digest, user, expires_at) VALUES (?, ?, ?)");
        self.execute(
            query
                .bind(&session.digest)
                .bind(&session.user)
                .bind(session.expires_at),
        )
        .await
    }

    /// Deletes a session.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) async fn delete_session(&self, digest: &str) -> Result<(), Fault> {
        self.execute(sqlx::query("DELETE FROM sessions WHERE digest = ?").bind(digest))
            .await
    }

    /// Closes the file.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    async fn execute(
        &self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<(), Fault> {
        query
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(unavailable)
    }
}

fn unavailable(error: sqlx::Error) -> Fault {
    tracing::error!(%error, "the store of accounts failed");
    Fault::unavailable("the store of accounts cannot be used")
}
