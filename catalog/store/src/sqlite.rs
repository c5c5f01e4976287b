//! The embedded engine: one SQLite file in WAL mode, one writer, an fsync per commit.

use std::{path::Path, time::Duration};

use sqlx::{
    ConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous},
};

use crate::{
    connection::Connection,
    error::Problem,
    schema::{Dialect, Schema},
};

/// Wait for a lock that another process holds, before the file is said to be in use.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Opens or creates the file, refuses what is not ours, newer or damaged, and migrates.
pub(crate) async fn connect(path: &Path, schema: &Schema) -> Result<Connection, Problem> {
    let connection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .locking_mode(SqliteLockingMode::Exclusive)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(|error| problem("open", &error))?;
    let mut connection = Connection::Sqlite(connection);
    check(&mut connection, schema).await?;
    Ok(connection)
}

async fn check(connection: &mut Connection, schema: &Schema) -> Result<(), Problem> {
    let found = number(connection, "PRAGMA user_version", "user_version").await?;
    let application = number(connection, "PRAGMA application_id", "application_id").await?;
    let tables = number(
        connection,
        "SELECT count(*) AS tables FROM sqlite_schema",
        "tables",
    )
    .await?;
    if tables > 0 && application != schema.application_id {
        return Err(Problem::Foreign);
    }
    if found > schema.format() {
        return Err(Problem::Newer {
            found,
            known: schema.format(),
        });
    }
    let verdict = connection
        .query("PRAGMA quick_check(1)", &[])
        .await
        .map_err(|error| problem("check", &error))?;
    let verdict = verdict
        .first()
        .map_or(Ok(String::new()), |row| row.text("quick_check"))
        .unwrap_or_else(|problem| problem);
    if verdict != "ok" {
        return Err(Problem::Damaged(verdict));
    }
    for (format, statements) in schema.missing(found, Dialect::Sqlite) {
        let application = schema.application_id;
        let script = format!(
            "BEGIN IMMEDIATE; {statements}; PRAGMA application_id = {application}; \
             PRAGMA user_version = {format}; COMMIT"
        );
        connection
            .script(&script)
            .await
            .map_err(|error| problem("migrate", &error))?;
    }
    Ok(())
}

async fn number(
    connection: &mut Connection,
    statement: &'static str,
    column: &str,
) -> Result<i64, Problem> {
    let rows = connection
        .query(statement, &[])
        .await
        .map_err(|error| problem("read", &error))?;
    let number = rows.first().map_or(Ok(0), |row| row.integer(column));
    number.map_err(Problem::Damaged)
}

/// Tells damage and foreign locks from other failures by SQLite's primary result code.
pub(crate) fn problem(doing: &str, error: &sqlx::Error) -> Problem {
    const BUSY: i32 = 5;
    const CORRUPT: i32 = 11;
    const NOT_A_DATABASE: i32 = 26;
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<i32>().ok());
    match code.map(|code| code & 0xff) {
        Some(BUSY) => Problem::InUse,
        Some(CORRUPT | NOT_A_DATABASE) => Problem::Damaged(format!("{doing}: {error}")),
        _ => Problem::Failed(format!("{doing}: {error}")),
    }
}
