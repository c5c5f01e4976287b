//! Tables of a SQLite file.
//!
//! A read opens the file for itself, to read only. SQLite lets any column hold any value, so what
//! arrives is held against the type that the column is declared with, value by value: a value of
//! another storage class is a fault and never converted. A read that nobody waits for any more, or
//! that takes too long, is interrupted between two steps of SQLite's machine.

mod cell;
mod dialect;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use dataos_model::{
    dataset::ColumnType,
    fault::{Fault, FaultKind},
};
use futures::TryStreamExt;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Executor, Row, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteConnectOptions},
};

use self::{
    cell::{cell, sum},
    dialect::Sqlite,
};
use super::{
    condition::{Condition, Parameter, alias, clause},
    permits::{CONNECT_TIME_MAX, Permits},
    select::Select,
    statement::{Exact as _, Statement},
    table::{Answered, Database, Read, Rows},
};

/// Steps of SQLite's machine between two looks at whether to go on.
const STEPS_PER_LOOK: i32 = 10_000;
/// All pages have a multiple of this size.
const PAGE_BYTES_MIN: u64 = 512;
/// Rows that wait between SQLite's thread and ours.
const ROWS_WAITING_MAX: usize = 256;

/// A depot that is a file.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) depot: String,
    pub(super) path: PathBuf,
    pub(super) permits: Permits,
    pub(super) time_max: Duration,
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Stops a read when it is dropped.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Database for File {
    async fn read(&self, read: &Read, rows: &mut Rows) -> Result<(), Fault> {
        let _permit = self.permits.acquire().await?;
        let (mut connection, _stop) = self.open().await?;
        let (sql, parameters) = statement(read);
        let mut found = query(sql, parameters).fetch(&mut connection);
        while let Some(row) = found
            .try_next()
            .await
            .map_err(|error| failed(&self.depot, &error))?
        {
            rows.push(|index, column_type| {
                let value = row.try_get_raw(index).map_err(|_| "no value")?;
                cell(value, column_type)
            })?;
            drop(row);
            rows.settle().await?;
        }
        Ok(())
    }

    fn statement(&self, reads: &[Read], select: &Select) -> Option<String> {
        let statement = Statement::of(reads, select, &dialects(reads))?;
        Some(statement.sql)
    }

    async fn select(
        &self,
        reads: &[Read],
        select: &Select,
        rows: &mut Rows,
    ) -> Result<Answered, Fault> {
        let Some(Statement { sql, parameters }) = Statement::of(reads, select, &dialects(reads))
        else {
            return Ok(Answered::Declined);
        };
        let _permit = self.permits.acquire().await?;
        let (mut connection, _stop) = self.open().await?;
        let unfit = select.sent().len();
        let mut found = query(sql, parameters).fetch(&mut connection);
        while let Some(row) = found
            .try_next()
            .await
            .map_err(|error| failed(&self.depot, &error))?
        {
            // If it is true of one row then of the first, before any was handed over.
            let is_unfit: Option<bool> = row
                .try_get(unfit)
                .map_err(|error| failed(&self.depot, &error))?;
            if is_unfit == Some(true) {
                return Ok(Answered::Declined);
            }
            rows.push(|index, column_type| {
                select.cell(index, column_type, |at, sent| {
                    let value = row.try_get_raw(at).map_err(|_| "no value")?;
                    match sent {
                        ColumnType::Decimal { .. } => sum(value),
                        _ => cell(value, sent),
                    }
                })
            })?;
            drop(row);
            rows.settle().await?;
        }
        Ok(Answered::Whole)
    }
}

/// For each of the tables of a statement.
fn dialects(reads: &[Read]) -> Vec<Sqlite> {
    (0..reads.len()).map(Sqlite).collect()
}

fn query(sql: String, parameters: Vec<Parameter>) -> Query<'static, sqlx::Sqlite, SqliteArguments> {
    let query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    parameters
        .into_iter()
        .fold(query, |query, parameter| match parameter {
            Parameter::Long(number) => query.bind(number),
            Parameter::Text(text) => query.bind(text),
        })
}

impl File {
    /// The file, and what stops all that runs on it.
    async fn open(&self) -> Result<(SqliteConnection, Stop), Fault> {
        let failed = |error| failed(&self.depot, &error);
        check(&self.depot, &self.path).await?;
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .read_only(true)
            .create_if_missing(false)
            .busy_timeout(CONNECT_TIME_MAX)
            .row_buffer_size(ROWS_WAITING_MAX)
            // The file may come from anywhere: what its schema calls runs with no rights.
            .pragma("trusted_schema", "OFF")
            .pragma("cell_size_check", "ON")
            .pragma("query_only", "ON")
            .disable_statement_logging();
        let mut connection = options.connect().await.map_err(failed)?;
        let is_stopped = Arc::new(AtomicBool::new(false));
        let stop = Stop(Arc::clone(&is_stopped));
        let (started, time_max) = (Instant::now(), self.time_max);
        let mut handle = connection.lock_handle().await.map_err(failed)?;
        handle.set_progress_handler(STEPS_PER_LOOK, move || {
            !is_stopped.load(Ordering::Relaxed) && started.elapsed() < time_max
        });
        drop(handle);
        let row = connection
            .fetch_one("PRAGMA encoding")
            .await
            .map_err(failed)?;
        let encoding: String = row.try_get(0).map_err(failed)?;
        if encoding == "UTF-8" {
            return Ok((connection, stop));
        }
        let message = format!(
            "depot `{}`: the file keeps its texts in {encoding}",
            self.depot
        );
        Err(Fault::new(FaultKind::Unsupported, message)
            .with_reason("source")
            .with_hint("write the database again with PRAGMA encoding = 'UTF-8'"))
    }
}

/// Only files: to open a pipe or a device could wait for ever. SQLite takes what is missing of a page
/// for zeros, so a file that was cut off inside one is refused here.
async fn check(depot: &str, path: &Path) -> Result<(), Fault> {
    match tokio::fs::metadata(path).await {
        Ok(metadata) if metadata.is_file() && metadata.len() % PAGE_BYTES_MIN == 0 => Ok(()),
        Ok(metadata) if metadata.is_file() => Err(no_database(depot)),
        _ => Err(unreadable(depot, "is not there or cannot be read")),
    }
}

fn statement(read: &Read) -> (String, Vec<Parameter>) {
    let list: Vec<String> = read
        .columns
        .iter()
        .map(|column| Sqlite(0).name(column))
        .collect();
    let list = if list.is_empty() {
        "1".to_owned()
    } else {
        list.join(", ")
    };
    let condition = Condition::of(read, &Sqlite(0), Vec::new());
    let clause = clause(&condition.conjuncts);
    let sql = format!("SELECT {list} FROM {}{clause}", place(read, 0));
    (sql, condition.parameters)
}

/// The table of a read, under the name that columns are qualified with.
fn place(read: &Read, table: usize) -> String {
    let (space, name) = (identifier(&read.space), identifier(&read.table));
    format!("{space}.{name} AS {}", alias(table))
}

fn unreadable(depot: &str, problem: &str) -> Fault {
    Fault::unavailable(format!("depot `{depot}`: its file {problem}"))
        .with_reason("source")
        .with_hint("check that the file is there, whole, and readable by the server")
}

fn no_database(depot: &str) -> Fault {
    unreadable(depot, "is no whole SQLite database")
}

/// By result code; SQLite's own text can quote values and stays out.
fn failed(depot: &str, error: &sqlx::Error) -> Fault {
    let code = match error {
        sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<i32>().ok()),
        _ => None,
    };
    let Some(code) = code else {
        return unreadable(depot, "cannot be read");
    };
    // The lowest byte is the class.
    match code & 0xff {
        1 => Fault::new(
            FaultKind::Conflict,
            format!("depot `{depot}`: the table is not what the catalog knows (SQLite {code})"),
        )
        .with_hint("scan the depot again"),
        5 | 6 => Fault::unavailable(format!(
            "depot `{depot}`: another program keeps the file locked (SQLite {code})"
        ))
        .with_hint("try again later"),
        9 => Fault::new(
            FaultKind::Timeout,
            format!("depot `{depot}`: reading the file took too long (SQLite {code})"),
        )
        .with_hint("read fewer rows"),
        8 => unreadable(
            depot,
            "was left in the middle of a change, which only a program that may write can undo",
        ),
        11 | 26 => no_database(depot),
        _ => unreadable(depot, &format!("cannot be read (SQLite {code})")),
    }
    .with_reason("source")
}
