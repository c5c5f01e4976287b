//! One attempt of one job: ask, record, execute, record.

use std::collections::BTreeMap;

use dataos_model::{
    action::Action,
    entity::EntityType,
    fault::{Fault, FaultKind},
    principal::Principal,
    query::{Dialect, QueryRequest, RowFormat},
    record::EntryKind,
    secret::Secret,
};

use crate::{
    core::{Core, entity},
    engine::{Ending, Files},
    govern::Question,
    manifest::{Job, SecretUse, Work, secret_name},
    process::{self, Launch, Limits},
    reconcile::summary,
    run::{Run, ending},
    store::AttemptRow,
};

/// Most rows that a `sql` step takes from its statement; they are counted, never kept.
const ROWS_MAX: u64 = 1000;

/// Why a step did not come to an end of its own.
struct Refused {
    ending: Ending,
    message: String,
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        let ending = match fault.kind {
            FaultKind::Denied => Ending::Denied,
            FaultKind::Unavailable
            | FaultKind::Timeout
            | FaultKind::Internal
            | FaultKind::Conflict
            | FaultKind::Damaged => Ending::Error,
            _ => Ending::Failure,
        };
        let message = match ending {
            Ending::Denied => format!("PolicyDenied: {fault}"),
            _ => fault.to_string(),
        };
        Self { ending, message }
    }
}

impl Core {
    /// Runs one attempt to its end and stores it.
    pub(crate) async fn step(&self, run: &Run, job: &str, number: u32) -> AttemptRow {
        let mut row = AttemptRow {
            job: job.to_owned(),
            number,
            phase: "running".to_owned(),
            failure: String::new(),
            message: String::new(),
            process: String::new(),
            started_at: self.now(),
            finished_at: None,
        };
        let (ending, message) = match self.try_step(run, &mut row).await {
            Ok(end) => end,
            Err(refused) => (refused.ending, refused.message),
        };
        let (phase, failure) = ending.words();
        phase.clone_into(&mut row.phase);
        failure.clone_into(&mut row.failure);
        row.message = message;
        row.finished_at = Some(self.now());
        if let Err(fault) = self.store.put_attempt(run.number, &row).await {
            // The exit record on disk is read at the next start.
            tracing::error!(run = run.number, job, %fault, "the end of a step cannot be stored");
        }
        row
    }

    async fn try_step(&self, run: &Run, row: &mut AttemptRow) -> Result<(Ending, String), Refused> {
        let stopped = || Refused {
            ending: Ending::Error,
            message: "lost: not started".to_owned(),
        };
        let _permit = tokio::select! {
            permit = self.steps.acquire() => permit.map_err(|_| stopped())?,
            () = run.active.stop.cancelled() => return Err(stopped()),
        };
        let Some(job) = run.workflow.jobs.iter().find(|job| job.name == row.job) else {
            return Err(Refused {
                ending: Ending::Failure,
                message: "no such job".to_owned(),
            });
        };
        row.started_at = self.now();
        let request_id = format!("run-{}-{}-{}", run.number, row.job, row.number);
        let owner = self.owner(&run.owner).await?;
        let permission = self
            .governor
            .ask(Question {
                principal: &owner,
                action: Action::RunStep,
                resource: run.id.uid(),
                entity: Some(entity(&run.id, &run.owner, &run.tags)),
                request_id: &request_id,
                facts: vec![
                    ("run", run.number.to_string()),
                    ("job", row.job.clone()),
                    ("attempt", row.number.to_string()),
                    ("stack", job.stack.clone()),
                ],
            })
            .await?;
        let done = self.work(run, job, row, owner, &request_id).await;
        let result = match &done {
            Ok((ending, message)) => format!("{}: {message}", ending.words().0),
            Err(refused) => format!("{}: {}", refused.ending.words().0, refused.message),
        };
        self.governor
            .outcome(&permission, EntryKind::Outcome, &[("result", result)])
            .await;
        done
    }

    async fn work(
        &self,
        run: &Run,
        job: &Job,
        row: &mut AttemptRow,
        owner: Principal,
        request_id: &str,
    ) -> Result<(Ending, String), Refused> {
        if let Work::Process {
            command,
            environment,
            secrets,
        } = &job.work
        {
            let values = self.values(run, secrets, &owner, request_id).await?;
            let launch = self.launch_of(run, row, command, environment, values)?;
            return self.run_process(run, row, launch).await;
        }
        self.store.put_attempt(run.number, row).await?;
        let built_in = async {
            match &job.work {
                Work::Sql(sql) => self.run_sql(sql, owner, request_id).await,
                Work::Scan(depot) => self.run_scan(depot, &owner, request_id).await,
                Work::Process { .. } => Err(Fault::internal("a process is no built-in stack")),
            }
        };
        let timeout = self.config.step_timeout;
        let message = tokio::select! {
            done = tokio::time::timeout(timeout, built_in) => match done {
                Ok(done) => done?,
                Err(_) => {
                    let message = "stopped: it took too long".to_owned();
                    return Err(Refused { ending: Ending::Failure, message });
                }
            },
            () = run.active.stop.cancelled() => {
                let message = "lost: stopped while it ran".to_owned();
                return Err(Refused { ending: Ending::Error, message });
            }
        };
        Ok((Ending::Succeeded, message))
    }

    async fn run_sql(
        &self,
        sql: &str,
        principal: Principal,
        request_id: &str,
    ) -> Result<String, Fault> {
        let request = QueryRequest {
            principal,
            request_id: request_id.to_owned(),
            sql: sql.to_owned(),
            dialect: Dialect::default(),
            context: BTreeMap::new(),
            format: RowFormat::Json,
            rows_max: Some(ROWS_MAX),
        };
        let answer = self.query.run(request).await?;
        let more = if answer.is_truncated {
            "more than "
        } else {
            ""
        };
        Ok(format!("{more}{} rows", answer.row_count))
    }

    async fn run_scan(
        &self,
        depot: &str,
        owner: &Principal,
        request_id: &str,
    ) -> Result<String, Fault> {
        let question = Question {
            principal: owner,
            action: Action::ScanDepot,
            resource: EntityType::DEPOT.id(depot),
            entity: None,
            request_id,
            facts: Vec::new(),
        };
        let permission = self.governor.ask(question).await?;
        let done = self.scan(depot).await.map(|report| summary(&report));
        let result = match &done {
            Ok(text) => text.clone(),
            Err(fault) => format!("failed: {}", fault.message),
        };
        self.governor
            .outcome(&permission, EntryKind::Outcome, &[("result", result)])
            .await;
        done
    }

    /// The values that a step may use, as (secret name, key, value); each secret is asked for.
    async fn values(
        &self,
        run: &Run,
        uses: &[SecretUse],
        owner: &Principal,
        request_id: &str,
    ) -> Result<Vec<(String, String, Secret)>, Fault> {
        let mut values = Vec::new();
        for used in uses {
            let row = self
                .permit_secret(owner, request_id, &used.workspace, &used.name, &run.id)
                .await?;
            let keys = match &used.keys {
                Some(keys) => keys.clone(),
                None => Self::document(&row)?
                    .secrets
                    .iter()
                    .filter_map(|(name, _)| name.0.rsplit('/').next().map(str::to_owned))
                    .collect(),
            };
            for key in keys {
                let name = secret_name(&used.workspace, &used.name, &key);
                values.push((used.name.clone(), key, self.secrets.get(&name).await?));
            }
        }
        Ok(values)
    }

    fn launch_of(
        &self,
        run: &Run,
        row: &AttemptRow,
        command: &[String],
        environment: &BTreeMap<String, String>,
        values: Vec<(String, String, Secret)>,
    ) -> Result<Launch, Fault> {
        let files = Files::of(&self.run_directory(run.number), &row.job, row.number);
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let workspace = run.id.workspace.clone().unwrap_or_default();
        let mut variables: BTreeMap<String, String> = [
            ("PATH", self.config.path.clone()),
            ("HOME", text(&files.work)),
            ("LANG", "C.UTF-8".to_owned()),
            ("DATAOS_RUN", run.number.to_string()),
            ("DATAOS_WORKFLOW", run.id.name.clone()),
            ("DATAOS_WORKSPACE", workspace),
            ("DATAOS_JOB", row.job.clone()),
            ("DATAOS_ATTEMPT", row.number.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        variables.extend(environment.clone());
        let mut secrets = Vec::with_capacity(values.len());
        for (name, key, value) in values {
            let file = format!("{name}.{key}");
            let variable = secret_variable(&name, &key);
            let path = text(&files.secrets.join(&file));
            if variables.insert(variable.clone(), path).is_some() {
                return Err(Fault::invalid(format!(
                    "two secrets would both be {variable}"
                )));
            }
            secrets.push((file, value));
        }
        Ok(Launch {
            files,
            command: command.to_vec(),
            environment: variables.into_iter().collect(),
            secrets,
            output_bytes_max: self.config.output_bytes_max,
        })
    }

    async fn run_process(
        &self,
        run: &Run,
        row: &mut AttemptRow,
        launch: Launch,
    ) -> Result<(Ending, String), Refused> {
        // On disk before the process exists: after a crash the attempt counts, whatever it did.
        self.store.put_attempt(run.number, row).await?;
        let failed = |message: String| Refused {
            ending: Ending::Error,
            message,
        };
        let files = launch.files.clone();
        let program = launch.command.first().cloned().unwrap_or_default();
        let running = match process::start(launch) {
            Ok(running) => running,
            Err(error) => {
                process::kill_leftover("", &files);
                return Err(failed(format!("`{program}` cannot be started: {error}")));
            }
        };
        row.process.clone_from(&running.identity);
        if let Err(fault) = self.store.put_attempt(run.number, row).await {
            // It runs already, so it is seen to its end; only a crash would not know its number.
            tracing::error!(run = run.number, %fault, "the identity of a process cannot be stored");
        }
        let limits = Limits {
            timeout: self.config.step_timeout,
            stop_grace: self.config.stop_grace,
        };
        match running.finish(&run.active.stop, limits).await {
            Ok(exit) => Ok(ending(&exit)),
            Err(error) => Err(failed(format!("its end cannot be told: {error}"))),
        }
    }
}

/// The variable that names the file of a secret.
fn secret_variable(name: &str, key: &str) -> String {
    let word = |text: &str| -> String {
        let upper = text.to_ascii_uppercase();
        upper
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect()
    };
    format!("DATAOS_SECRET_{}_{}_FILE", word(name), word(key))
}
