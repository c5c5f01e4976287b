//! Drives the runs of workflows: one task per run, one task per step in flight.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dataos_model::{entity::EntityUid, fault::Fault, resource::ResourceId};
use tokio::task::{Id, JoinError, JoinSet};

use crate::{
    core::{ActiveRun, Core},
    engine::{self, Ending, Files, Next},
    manifest::{Body, Workflow},
    process::{self, Exit},
    store::{AttemptRow, ResourceRow},
};

/// A run, as its driver and its steps know it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) number: u64,
    pub(crate) id: ResourceId,
    pub(crate) owner: EntityUid,
    pub(crate) tags: Vec<String>,
    pub(crate) workflow: Workflow,
    pub(crate) active: ActiveRun,
}

impl Core {
    /// Starts a run of the newest revision.
    pub(crate) async fn start_run(
        self: &Arc<Self>,
        id: &ResourceId,
        revision: u64,
        owner: &EntityUid,
    ) -> Result<(), Fault> {
        let row = self.required(id).await?;
        // A crash between starting a run and noting that leaves one behind, which has no driver.
        for left in self
            .store
            .runs(id)
            .await?
            .iter()
            .filter(|run| run.phase == "running")
        {
            self.store
                .finish_run(left.number, "failed", self.now())
                .await?;
        }
        let number = self.store.add_run(id, revision, self.now()).await?;
        self.forget_old_runs(id).await?;
        self.launch(&row, owner.clone(), number)
    }

    /// Takes up the run of a stored workflow that was under way.
    pub(crate) async fn resume_run(self: &Arc<Self>, row: &ResourceRow) -> Result<(), Fault> {
        let newest = self.store.runs(&row.id).await?.into_iter().next();
        match newest.filter(|run| run.phase == "running") {
            Some(run) if row.is_installed => self.launch(row, row.owner.clone(), run.number),
            // The revision of that run is no longer the declared one.
            Some(run) => {
                for attempt in self.store.attempts(run.number).await? {
                    self.lose(run.number, attempt).await?;
                }
                self.store
                    .finish_run(run.number, "failed", self.now())
                    .await
            }
            None => Ok(()),
        }
    }

    fn launch(
        self: &Arc<Self>,
        row: &ResourceRow,
        owner: EntityUid,
        number: u64,
    ) -> Result<(), Fault> {
        let document = Self::document(row)?;
        let Body::Workflow(workflow) = document.body else {
            return Err(Fault::internal(format!("{} is no workflow", row.id)));
        };
        let run = Arc::new(Run {
            number,
            id: row.id.clone(),
            owner,
            tags: document.tags,
            workflow,
            active: self.enter_run(&row.id),
        });
        let core = Arc::clone(self);
        self.spawn(async move {
            // Whatever happens in here, who waits for the end of this run does not wait for ever.
            let _done = run.active.done.clone().drop_guard();
            if let Err(fault) = core.drive(&run).await {
                tracing::error!(run = run.number, %fault, "a run cannot go on");
            }
            core.leave_run(&run.id, &run.active);
        });
        Ok(())
    }

    async fn drive(self: &Arc<Self>, run: &Arc<Run>) -> Result<(), Fault> {
        let mut attempts = Vec::new();
        for attempt in self.store.attempts(run.number).await? {
            attempts.push(self.lose(run.number, attempt).await?);
        }
        let mut steps: JoinSet<AttemptRow> = JoinSet::new();
        let mut in_flight: BTreeMap<String, (Id, u32)> = BTreeMap::new();
        loop {
            let now = self.now();
            let is_stopped = run.active.stop.is_cancelled();
            if is_stopped && steps.is_empty() {
                return self.stopped(run).await;
            }
            let jobs = in_flight.keys().cloned().collect();
            let wake = match engine::next(&run.workflow, &attempts, &jobs, now) {
                Next::Done(is_good) => {
                    let phase = if is_good { "succeeded" } else { "failed" };
                    return self.store.finish_run(run.number, phase, now).await;
                }
                Next::Start(list) if !is_stopped => {
                    for (job, number) in list {
                        let (core, run, name) = (Arc::clone(self), Arc::clone(run), job.clone());
                        let step = steps.spawn(async move { core.step(&run, &name, number).await });
                        in_flight.insert(job, (step.id(), number));
                    }
                    None
                }
                Next::Start(_) => None,
                Next::Wait(wake) => wake,
            };
            let pause = wake.map_or(Duration::MAX, |at| {
                Duration::from_millis(u64::try_from(at.0.saturating_sub(now.0)).unwrap_or(0))
            });
            tokio::select! {
                Some(done) = steps.join_next_with_id() => {
                    let row = match done {
                        Ok((_, row)) => row,
                        Err(error) => self.broken(run, &in_flight, &error).await?,
                    };
                    in_flight.remove(&row.job);
                    attempts.push(row);
                }
                () = tokio::time::sleep(pause) => {}
                () = run.active.stop.cancelled(), if steps.is_empty() => {}
            }
        }
    }

    /// The run stops here: for good if it was stopped, until the next start if the process ends.
    async fn stopped(&self, run: &Run) -> Result<(), Fault> {
        if self.closing.is_cancelled() {
            return Ok(());
        }
        self.store
            .finish_run(run.number, "failed", self.now())
            .await
    }

    /// The attempt of a step whose task broke, which is a bug of ours.
    async fn broken(
        &self,
        run: &Run,
        in_flight: &BTreeMap<String, (Id, u32)>,
        error: &JoinError,
    ) -> Result<AttemptRow, Fault> {
        let found = in_flight.iter().find(|(_, (id, _))| *id == error.id());
        let (job, (_, number)) =
            found.ok_or_else(|| Fault::internal(format!("a step broke: {error}")))?;
        let (phase, failure) = Ending::Error.words();
        let now = self.now();
        let row = AttemptRow {
            job: job.clone(),
            number: *number,
            phase: phase.to_owned(),
            failure: failure.to_owned(),
            message: format!("the step broke: {error}"),
            process: String::new(),
            started_at: now,
            finished_at: Some(now),
        };
        self.store.put_attempt(run.number, &row).await?;
        Ok(row)
    }

    /// Settles an attempt whose end nobody saw: by its committed exit if there is one, else as lost.
    async fn lose(&self, run: u64, mut attempt: AttemptRow) -> Result<AttemptRow, Fault> {
        if attempt.phase != "running" {
            return Ok(attempt);
        }
        let files = Files::of(&self.run_directory(run), &attempt.job, attempt.number);
        let (identity, lookup) = (attempt.process.clone(), files.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let exit = process::committed(&lookup);
            (exit, process::kill_leftover(&identity, &lookup))
        });
        let (exit, was_killed) = looked.await.unwrap_or((None, false));
        let (ending, message) = match exit {
            Some(exit) => ending(&exit),
            None if was_killed => (Ending::Error, "lost: killed after a restart".to_owned()),
            None => (
                Ending::Error,
                "lost: the server stopped while it ran".to_owned(),
            ),
        };
        let (phase, failure) = ending.words();
        phase.clone_into(&mut attempt.phase);
        failure.clone_into(&mut attempt.failure);
        attempt.message = message;
        attempt.finished_at = Some(self.now());
        self.store.put_attempt(run, &attempt).await?;
        Ok(attempt)
    }

    async fn forget_old_runs(&self, id: &ResourceId) -> Result<(), Fault> {
        let runs = self.store.runs(id).await?;
        for run in runs.into_iter().skip(self.config.runs_kept.max(1)) {
            self.remove_run_directory(run.number).await;
            self.store.remove_run(run.number).await?;
        }
        Ok(())
    }

    pub(crate) async fn remove_run_directory(&self, run: u64) {
        let path = self.run_directory(run);
        match tokio::fs::remove_dir_all(&path).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "a run folder cannot be removed");
            }
            _ => {}
        }
    }
}

/// What the exit of a process means for its step.
pub(crate) fn ending(exit: &Exit) -> (Ending, String) {
    match exit {
        Exit::Code(0) => (Ending::Succeeded, "exit code 0".to_owned()),
        Exit::Code(code) => (Ending::Failure, format!("exit code {code}")),
        Exit::Signal(signal) => (Ending::Failure, format!("killed by signal {signal}")),
        Exit::TimedOut => (Ending::Failure, "killed: it took too long".to_owned()),
        Exit::Stopped => (Ending::Error, "lost: stopped while it ran".to_owned()),
    }
}
