//! The engine beyond one machine: a PostgreSQL database, in which each store has a schema.
//!
//! The session holds an advisory lock of the database for the store; PostgreSQL gives it back when
//! the session ends, however it ends. The row of `store_state` says which process had it last.

use std::time::Duration;

use dataos_model::hash::Hash;
use sqlx::{ConnectOptions, error::DatabaseError};

use crate::{
    connection::{Connection, is_lost},
    error::Problem,
    schema::{Dialect, Schema},
    url::PostgresUrl,
    value::{Row, Value},
};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What every session says first. The lock of a process that was just killed is given back when the
/// server notices, so a start waits a little for it; a machine that vanished is noticed within a
/// minute. A commit must be on disk whatever the database's default is.
const SESSION: &str = "
    SET lock_timeout = '3s';
    SET statement_timeout = '60s';
    SET tcp_keepalives_idle = 30;
    SET tcp_keepalives_interval = 10;
    SET tcp_keepalives_count = 3;
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'";

/// SQLSTATE `lock_not_available`.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Whether a process opens the store, or comes back to it after it lost its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Visit {
    First,
    Again,
}

/// Connects, takes the store's lock, refuses what is not ours or newer, and migrates. `holder` is
/// this process.
pub(crate) async fn connect(
    url: &PostgresUrl,
    schema: &Schema,
    holder: &str,
    visit: Visit,
) -> Result<Connection, Problem> {
    let options = url
        .options()
        .map_err(|error| Problem::Unreachable(error.to_string()))?;
    let connection = tokio::time::timeout(CONNECT_TIMEOUT, options.connect())
        .await
        .map_err(|_| {
            let seconds = CONNECT_TIMEOUT.as_secs();
            Problem::Unreachable(format!("no answer within {seconds} s"))
        })?
        .map_err(|error| Problem::Unreachable(error.to_string()))?;
    let mut session = Session {
        connection: Connection::Postgres(connection),
        schema,
    };
    session.prepare().await?;
    match visit {
        Visit::First => session.open(holder).await?,
        Visit::Again => session.resume(holder).await?,
    }
    Ok(session.connection)
}

struct Session<'a> {
    connection: Connection,
    schema: &'a Schema,
}

impl Session<'_> {
    async fn prepare(&mut self) -> Result<(), Problem> {
        self.script(SESSION).await?;
        let path = format!("SET search_path = {}", self.namespace());
        self.script(&path).await?;
        let encoding = self
            .query("SELECT current_setting('server_encoding') AS encoding", &[])
            .await?;
        if text(&encoding, "encoding")? != "UTF8" {
            let message = "its encoding is not UTF8; create one with ENCODING 'UTF8'";
            return Err(Problem::Failed(message.to_owned()));
        }
        let key = lock_key(self.schema.name);
        self.query("SELECT pg_advisory_lock($1)", &[key.into()])
            .await
            .map(drop)
    }

    async fn open(&mut self, holder: &str) -> Result<(), Problem> {
        let found = self.format().await?;
        let known = self.schema.format();
        if found > known {
            return Err(Problem::Newer { found, known });
        }
        if found < known {
            self.migrate(found).await?;
        }
        self.query("UPDATE store_state SET holder = $1", &[holder.into()])
            .await
            .map(drop)
    }

    async fn resume(&mut self, holder: &str) -> Result<(), Problem> {
        let rows = self.query("SELECT holder FROM store_state", &[]).await?;
        if text(&rows, "holder")? == holder {
            Ok(())
        } else {
            Err(Problem::Superseded)
        }
    }

    /// The format of what is there, 0 if nothing is.
    async fn format(&mut self) -> Result<i64, Problem> {
        let namespace = [Value::from(self.namespace())];
        let tables = self
            .query(
                "SELECT tablename::text AS name FROM pg_catalog.pg_tables WHERE schemaname = $1",
                &namespace,
            )
            .await?;
        if tables.is_empty() {
            return Ok(0);
        }
        let is_ours = |row: &Row| row.text("name").is_ok_and(|name| name == "store_state");
        if !tables.iter().any(is_ours) {
            return Err(Problem::Foreign);
        }
        let rows = self.query("SELECT format FROM store_state", &[]).await?;
        match rows.as_slice() {
            [row] => row.integer("format").map_err(Problem::Damaged),
            _ => Err(Problem::Damaged(format!(
                "store_state has {} rows, not one",
                rows.len()
            ))),
        }
    }

    async fn migrate(&mut self, found: i64) -> Result<(), Problem> {
        let namespace = self.namespace();
        let mut script = "BEGIN; ".to_owned();
        let schemas = self
            .query(
                "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1",
                &[Value::from(namespace.as_str())],
            )
            .await?;
        if schemas.is_empty() {
            script += &format!("CREATE SCHEMA {namespace}; ");
        }
        if found == 0 {
            script += "CREATE TABLE store_state (format BIGINT NOT NULL, holder TEXT NOT NULL); \
                       INSERT INTO store_state VALUES (0, ''); ";
        }
        for (format, statements) in self.schema.missing(found, Dialect::Postgres) {
            script += &format!("{statements}; UPDATE store_state SET format = {format}; ");
        }
        script += "COMMIT";
        self.script(&script).await
    }

    fn namespace(&self) -> String {
        format!("dataos_{}", self.schema.name)
    }

    async fn script(&mut self, statements: &str) -> Result<(), Problem> {
        let done = self.connection.script(statements).await;
        done.map_err(|error| problem(&error))
    }

    async fn query(
        &mut self,
        statement: &'static str,
        values: &[Value],
    ) -> Result<Vec<Row>, Problem> {
        let rows = self.connection.query(statement, values).await;
        rows.map_err(|error| problem(&error))
    }
}

/// The database's advisory locks are numbers; this one is far from what people choose.
fn lock_key(store: &str) -> i64 {
    let Hash(digest) = Hash::of_parts(["dataos-store", store]);
    let [a, b, c, d, e, f, g, h, ..] = digest;
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn text(rows: &[Row], column: &str) -> Result<String, Problem> {
    let row = rows
        .first()
        .ok_or_else(|| Problem::Damaged(format!("no {column}")))?;
    row.text(column).map_err(Problem::Damaged)
}

/// The situation that an error of a session is.
pub(crate) fn problem(error: &sqlx::Error) -> Problem {
    let code = error.as_database_error().and_then(DatabaseError::code);
    if code.as_deref() == Some(LOCK_NOT_AVAILABLE) {
        Problem::InUse
    } else if is_lost(error) {
        Problem::Unreachable(format!("the connection was lost: {error}"))
    } else {
        Problem::Failed(error.to_string())
    }
}
