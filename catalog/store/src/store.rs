//! A store: one connection that is made again when it was lost.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::sync::{Mutex, MutexGuard};

use crate::{
    Metadata,
    connection::{Connection, is_lost},
    error::{Problem, StoreError},
    postgres::{self, Visit},
    schema::Schema,
    sqlite,
    url::PostgresUrl,
    value::{Row, Value},
};

/// Longest wait for a statement: a server that a network has cut off never answers. Longer than the
/// server's own limit, which gives the better message.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(90);
/// Longest wait for a sign of life before a connection is used again.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// The open tables of a room.
#[derive(Debug)]
pub struct Store {
    schema: &'static Schema,
    place: Place,
    /// Whoever works holds it; there is one writer.
    slot: Mutex<Slot>,
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    /// The database, and the name of this process in it.
    Postgres(PostgresUrl, String),
}

#[derive(Debug)]
struct Slot {
    /// None after it was lost.
    connection: Option<Connection>,
    /// Set while a transaction is open, so that one whose owner has gone is rolled back.
    has_transaction: bool,
    is_closed: bool,
}

/// Statements that take effect together: by [`Transaction::commit`], or not at all.
#[derive(Debug)]
pub struct Transaction<'a> {
    store: &'a Store,
    slot: MutexGuard<'a, Slot>,
}

impl Store {
    /// Opens or creates the tables: in `file`, or in the database that `metadata` names.
    ///
    /// # Errors
    /// What is there is of a newer format, damaged, of another program, in use by another process, or
    /// cannot be reached. It is left as it was.
    pub async fn open(
        schema: &'static Schema,
        metadata: &Metadata,
        file: &Path,
    ) -> Result<Self, StoreError> {
        let place = match metadata {
            Metadata::Embedded => Place::File(file.to_owned()),
            Metadata::Postgres(url) => {
                Place::Postgres(url.clone(), uuid::Uuid::new_v4().to_string())
            }
        };
        let connection = place
            .connect(schema, Visit::First)
            .await
            .map_err(|problem| place.error(schema, problem))?;
        Ok(Self {
            schema,
            place,
            slot: Mutex::new(Slot {
                connection: Some(connection),
                has_transaction: false,
                is_closed: false,
            }),
        })
    }

    /// Runs a statement by itself and gives its rows.
    ///
    /// # Errors
    /// The statement fails, or the database cannot be reached.
    pub async fn query(
        &self,
        statement: &'static str,
        values: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        let mut slot = self.ready().await?;
        self.run(&mut slot, statement, values).await
    }

    /// Runs a statement by itself.
    ///
    /// # Errors
    /// The statement fails, or the database cannot be reached.
    pub async fn execute(
        &self,
        statement: &'static str,
        values: &[Value],
    ) -> Result<(), StoreError> {
        self.query(statement, values).await.map(drop)
    }

    /// Begins a transaction. Other work of the store waits until it ends; dropped, it is undone.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn begin(&self) -> Result<Transaction<'_>, StoreError> {
        let mut slot = self.ready().await?;
        slot.has_transaction = true;
        let begun = match &mut slot.connection {
            Some(connection) => limited(connection.begin()).await,
            None => Err(lost()),
        };
        self.checked(&mut slot, begun)?;
        Ok(Transaction { store: self, slot })
    }

    /// Closes the connection and gives the lock back; later work is refused.
    pub async fn close(&self) {
        let mut slot = self.slot.lock().await;
        slot.is_closed = true;
        if let Some(connection) = slot.connection.take()
            && let Err(error) = connection.close().await
        {
            // All that was committed is durable; a farewell that fails changes nothing.
            tracing::warn!(store = self.schema.name, %error, "a store was not closed well");
        }
    }

    /// The error of a stored value that cannot be.
    pub fn damaged(&self, problem: impl Into<String>) -> StoreError {
        self.place
            .error(self.schema, Problem::Damaged(problem.into()))
    }

    /// The connection, alive and with no transaction on it.
    async fn ready(&self) -> Result<MutexGuard<'_, Slot>, StoreError> {
        let mut slot = self.slot.lock().await;
        if slot.is_closed {
            let problem = Problem::Failed("it is closed".to_owned());
            return Err(self.place.error(self.schema, problem));
        }
        let has_transaction = std::mem::take(&mut slot.has_transaction);
        if let Some(mut connection) = slot.connection.take() {
            let settled = tokio::time::timeout(SETTLE_TIMEOUT, connection.settle(has_transaction));
            if let Ok(Ok(())) = settled.await {
                slot.connection = Some(connection);
                return Ok(slot);
            }
            tracing::warn!(
                store = self.schema.name,
                "the connection was lost and is made again"
            );
        }
        let connection = self.place.connect(self.schema, Visit::Again).await;
        slot.connection =
            Some(connection.map_err(|problem| self.place.error(self.schema, problem))?);
        Ok(slot)
    }

    async fn run(
        &self,
        slot: &mut Slot,
        statement: &'static str,
        values: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        let rows = match &mut slot.connection {
            Some(connection) => limited(connection.query(statement, values)).await,
            None => Err(lost()),
        };
        self.checked(slot, rows)
    }

    /// Lets go of a connection that is of no more use.
    fn checked<T>(
        &self,
        slot: &mut Slot,
        outcome: Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        outcome.map_err(|error| {
            if is_lost(&error) {
                slot.connection = None;
            }
            self.place.error(self.schema, self.place.problem(&error))
        })
    }
}

impl Transaction<'_> {
    /// Runs a statement and gives its rows.
    ///
    /// # Errors
    /// The statement fails, or the connection is lost.
    pub async fn query(
        &mut self,
        statement: &'static str,
        values: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        self.store.run(&mut self.slot, statement, values).await
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// The statement fails, or the connection is lost.
    pub async fn execute(
        &mut self,
        statement: &'static str,
        values: &[Value],
    ) -> Result<(), StoreError> {
        self.query(statement, values).await.map(drop)
    }

    /// Makes the transaction durable.
    ///
    /// # Errors
    /// The commit fails. If the connection was lost, it may have happened all the same.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.end("COMMIT").await
    }

    /// Undoes the transaction.
    ///
    /// # Errors
    /// The connection is lost; the database then undoes it by itself.
    pub async fn roll_back(self) -> Result<(), StoreError> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, statement: &'static str) -> Result<(), StoreError> {
        let ended = match &mut self.slot.connection {
            Some(connection) => limited(connection.script(statement)).await,
            None => Err(lost()),
        };
        // After an error the transaction may still be open, and is undone before the next use.
        self.slot.has_transaction = ended.is_err();
        self.store.checked(&mut self.slot, ended)
    }
}

impl Place {
    async fn connect(&self, schema: &Schema, visit: Visit) -> Result<Connection, Problem> {
        match self {
            Self::File(path) => Box::pin(sqlite::connect(path, schema)).await,
            Self::Postgres(url, holder) => {
                Box::pin(postgres::connect(url, schema, holder, visit)).await
            }
        }
    }

    fn problem(&self, error: &sqlx::Error) -> Problem {
        match self {
            Self::File(_) => sqlite::problem("run", error),
            Self::Postgres(..) => postgres::problem(error),
        }
    }

    fn error(&self, schema: &Schema, problem: Problem) -> StoreError {
        let place = match self {
            Self::File(path) => path.display().to_string(),
            Self::Postgres(url, _) => url.to_string(),
        };
        StoreError {
            store: schema.name,
            place,
            problem,
        }
    }
}

async fn limited<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(STATEMENT_TIMEOUT, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

fn lost() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::NotConnected.into())
}
