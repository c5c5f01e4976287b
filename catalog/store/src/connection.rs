//! One connection to either engine.

use sqlx::{AssertSqlSafe, Connection as _, Executor, PgConnection, SqliteConnection};

use crate::value::{Kind, Row, Value, bound};

/// An open connection.
#[derive(Debug)]
pub(crate) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Connection {
    /// Runs statements without parameters.
    pub(crate) async fn script(&mut self, statements: &str) -> Result<(), sqlx::Error> {
        let script = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
        match self {
            Self::Sqlite(connection) => connection.execute(script).await.map(drop),
            Self::Postgres(connection) => connection.execute(script).await.map(drop),
        }
    }

    /// Runs a statement and gives all its rows.
    pub(crate) async fn query(
        &mut self,
        statement: &'static str,
        values: &[Value],
    ) -> Result<Vec<Row>, sqlx::Error> {
        match self {
            Self::Sqlite(connection) => {
                let rows = bound(statement, values).fetch_all(connection).await?;
                Ok(rows.into_iter().map(|row| Row(Kind::Sqlite(row))).collect())
            }
            Self::Postgres(connection) => {
                let rows = bound(statement, values).fetch_all(connection).await?;
                Ok(rows
                    .into_iter()
                    .map(|row| Row(Kind::Postgres(row)))
                    .collect())
            }
        }
    }

    /// Whether the other side answers, with no transaction left open by whoever had it before.
    pub(crate) async fn settle(&mut self, has_transaction: bool) -> Result<(), sqlx::Error> {
        match (&mut *self, has_transaction) {
            (Self::Sqlite(_), false) => Ok(()),
            (Self::Sqlite(_), true) => {
                // It fails if the transaction has ended, which is as good.
                self.script("ROLLBACK").await.ok();
                Ok(())
            }
            (Self::Postgres(connection), false) => connection.ping().await,
            (Self::Postgres(_), true) => self.script("ROLLBACK").await,
        }
    }

    /// Begins a transaction that may write.
    pub(crate) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let statement = match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_) => "BEGIN",
        };
        self.script(statement).await
    }

    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
    }
}

/// Whether the connection that gave the error is of no more use.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed => true,
        // Connection exceptions, and what an operator does to a server.
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("08") || code.starts_with("57P")),
        _ => false,
    }
}
