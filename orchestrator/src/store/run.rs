//! Runs of workflows and the attempts of their jobs.

use dataos_model::{clock::Timestamp, fault::Fault, resource::ResourceId};
use dataos_store::Row;

use super::{Store, number, stored};

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
        let rows = self
            .tables
            .query(
                "INSERT INTO run (id, revision, phase, started_at)
                 VALUES ($1, $2, 'running', $3) RETURNING number",
                &[id.to_string().into(), stored(revision).into(), now.0.into()],
            )
            .await?;
        self.one(&rows, |row| number(row, "number"))
    }

    /// The newest runs of a resource, newest first.
    pub(crate) async fn runs(&self, id: &ResourceId) -> Result<Vec<RunRow>, Fault> {
        let rows = self
            .tables
            .query(
                "SELECT number, phase FROM run WHERE id = $1 ORDER BY number DESC",
                &[id.to_string().into()],
            )
            .await?;
        self.every(&rows, run)
    }

    pub(crate) async fn finish_run(
        &self,
        run: u64,
        phase: &str,
        now: Timestamp,
    ) -> Result<(), Fault> {
        self.execute(
            "UPDATE run SET phase = $1, finished_at = $2 WHERE number = $3",
            &[phase.into(), now.0.into(), stored(run).into()],
        )
        .await
    }

    pub(crate) async fn remove_run(&self, run: u64) -> Result<(), Fault> {
        self.execute("DELETE FROM run WHERE number = $1", &[stored(run).into()])
            .await
    }

    /// The attempts of a run, in order of job and number.
    pub(crate) async fn attempts(&self, run: u64) -> Result<Vec<AttemptRow>, Fault> {
        let rows = self
            .tables
            .query(
                "SELECT * FROM attempt WHERE run = $1 ORDER BY job, number",
                &[stored(run).into()],
            )
            .await?;
        self.every(&rows, attempt)
    }

    /// Adds or replaces an attempt.
    pub(crate) async fn put_attempt(&self, run: u64, row: &AttemptRow) -> Result<(), Fault> {
        self.execute(
            "INSERT INTO attempt
             (run, job, number, phase, failure, message, process, started_at, finished_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (run, job, number) DO UPDATE SET phase = excluded.phase,
             failure = excluded.failure, message = excluded.message,
             process = excluded.process, started_at = excluded.started_at,
             finished_at = excluded.finished_at",
            &[
                stored(run).into(),
                (&row.job).into(),
                i64::from(row.number).into(),
                (&row.phase).into(),
                (&row.failure).into(),
                (&row.message).into(),
                (&row.process).into(),
                row.started_at.0.into(),
                row.finished_at.map(|time| time.0).into(),
            ],
        )
        .await
    }
}

fn run(row: &Row) -> Result<RunRow, String> {
    Ok(RunRow {
        number: number(row, "number")?,
        phase: row.text("phase")?,
    })
}

fn attempt(row: &Row) -> Result<AttemptRow, String> {
    Ok(AttemptRow {
        job: row.text("job")?,
        number: u32::try_from(number(row, "number")?).unwrap_or(u32::MAX),
        phase: row.text("phase")?,
        failure: row.text("failure")?,
        message: row.text("message")?,
        process: row.text("process")?,
        started_at: Timestamp(row.integer("started_at")?),
        finished_at: row.integer_or_null("finished_at")?.map(Timestamp),
    })
}
