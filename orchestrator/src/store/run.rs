//! Runs of workflows and the attempts of their jobs.

use dataos_model::{clock::Timestamp, fault::Fault, resource::ResourceId};
use sqlx::{Row, sqlite::SqliteRow};

use super::{Store, failed, get, number};

/// One run of a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunRow {
    pub(crate) number: u64,
    /// `running`, `succeeded`, `failed`.
    pub(crate) phase: String,
}

/// One attempt of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttemptRow {
    pub(crate) job: String,
    pub(crate) number: u32,
    /// `running`, `succeeded`, `failed`, `denied`.
    pub(crate) phase: String,
    /// The kind of failure, empty if there is none.
    pub(crate) failure: String,
    pub(crate) message: String,
    /// Identity of the process, empty if there is none.
    pub(crate) process: String,
    pub(crate) started_at: Timestamp,
    pub(crate) finished_at: Option<Timestamp>,
}

impl Store {
    /// Starts a run of the newest revision.
    pub(crate) async fn add_run(
        &self,
        id: &ResourceId,
        revision: u64,
        now: Timestamp,
    ) -> Result<u64, Fault> {
        let done = sqlx::query(
            "INSERT INTO run (id, revision, phase, started_at) VALUES (?, ?, 'running', ?)",
        )
        .bind(id.to_string())
        .bind(i64::try_from(revision).unwrap_or(i64::MAX))
        .bind(now.0)
        .execute(&self.pool)
        .await
        .map_err(|error| failed(&error))?;
        Ok(u64::try_from(done.last_insert_rowid()).unwrap_or(0))
    }

    /// The newest runs of a resource, newest first.
    pub(crate) async fn runs(&self, id: &ResourceId) -> Result<Vec<RunRow>, Fault> {
        sqlx::query("SELECT number, phase FROM run WHERE id = ? ORDER BY number DESC")
            .bind(id.to_string())
            .fetch_all(&self.pool)
            .await
            .map_err(|error| failed(&error))?
            .iter()
            .map(run)
            .collect()
    }

    pub(crate) async fn finish_run(
        &self,
        run: u64,
        phase: &str,
        now: Timestamp,
    ) -> Result<(), Fault> {
        sqlx::query("UPDATE run SET phase = ?, finished_at = ? WHERE number = ?")
            .bind(phase)
            .bind(now.0)
            .bind(key(run))
            .execute(&self.pool)
            .await
            .map(|_| ())
            .map_err(|error| failed(&error))
    }

    pub(crate) async fn remove_run(&self, run: u64) -> Result<(), Fault> {
        sqlx::query("DELETE FROM run WHERE number = ?")
            .bind(key(run))
            .execute(&self.pool)
            .await
            .map(|_| ())
            .map_err(|error| failed(&error))
    }

    /// The attempts of a run, in order of job and number.
    pub(crate) async fn attempts(&self, run: u64) -> Result<Vec<AttemptRow>, Fault> {
        sqlx::query("SELECT * FROM attempt WHERE run = ? ORDER BY job, number")
            .bind(key(run))
            .fetch_all(&self.pool)
            .await
            .map_err(|error| failed(&error))?
            .iter()
            .map(attempt)
            .collect()
    }

    /// Adds or replaces an attempt.
    pub(crate) async fn put_attempt(&self, run: u64, row: &AttemptRow) -> Result<(), Fault> {
        sqlx::query(
            "INSERT OR REPLACE INTO attempt
             (run, job, number, phase, failure, message, process, started_at, finished_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(key(run))
        .bind(&row.job)
        .bind(i64::from(row.number))
        .bind(&row.phase)
        .bind(&row.failure)
        .bind(&row.message)
        .bind(&row.process)
        .bind(row.started_at.0)
        .bind(row.finished_at.map(|time| time.0))
        .execute(&self.pool)
        .await
        .map(|_| ())
        .map_err(|error| failed(&error))
    }
}

fn key(run: u64) -> i64 {
    i64::try_from(run).unwrap_or(i64::MAX)
}

fn run(row: &SqliteRow) -> Result<RunRow, Fault> {
    Ok(RunRow {
        number: number(row, "number")?,
        phase: get(row, "phase")?,
    })
}

fn time(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, Fault> {
    let value: Option<i64> = row
        .try_get(column)
        .map_err(|error| super::damaged(format!("column {column}: {error}")))?;
    Ok(value.map(Timestamp))
}

fn attempt(row: &SqliteRow) -> Result<AttemptRow, Fault> {
    Ok(AttemptRow {
        job: get(row, "job")?,
        number: u32::try_from(number(row, "number")?).unwrap_or(u32::MAX),
        phase: get(row, "phase")?,
        failure: get(row, "failure")?,
        message: get(row, "message")?,
        process: get(row, "process")?,
        started_at: Timestamp(get(row, "started_at")?),
        finished_at: time(row, "finished_at")?,
    })
}
