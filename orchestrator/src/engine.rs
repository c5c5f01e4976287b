//! The state machine of a run: which jobs may start, which are lost, when it is over. No I/O.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use dataos_model::{clock::Timestamp, resource::RunNode};

use crate::{
    graph,
    manifest::{Job, RetryStrategy, Workflow},
    store::AttemptRow,
};

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Succeeded,
    /// By its own fault: an exit code, a refused statement.
    Failure,
    /// By the platform's: not started, lost, source down.
    Error,
    /// The decision was no.
    Denied,
}

impl Ending {
    /// Phase and kind of failure, as stored.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Succeeded => ("succeeded", ""),
            Self::Failure => ("failed", "failure"),
            Self::Error => ("failed", "error"),
            Self::Denied => ("denied", "denied"),
        }
    }
}

/// Where an attempt keeps its files.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// Working folder of the job, the same for all its attempts.
    pub(crate) work: PathBuf,
    /// What it wrote to standard output and standard error, in order.
    pub(crate) output: PathBuf,
    /// The committed exit record.
    pub(crate) exit: PathBuf,
    /// Secrets, gone as soon as it ended.
    pub(crate) secrets: PathBuf,
}

impl Files {
    pub(crate) fn of(run_directory: &Path, job: &str, attempt: u32) -> Self {
        // Job names hold no dot, so no job can have the folder of our own files as its own.
        let state = run_directory.join(".state");
        let name = |suffix: &str| state.join(format!("{job}.{attempt}.{suffix}"));
        Self {
            work: run_directory.join(job),
            output: name("output"),
            exit: name("exit"),
            secrets: name("secrets"),
        }
    }
}

/// What a run has to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Start these jobs with this number of attempt.
    Start(Vec<(String, u32)>),
    /// Nothing until a step ends, or until this time.
    Wait(Option<Timestamp>),
    /// Over; whether all jobs succeeded.
    Done(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Ready(u32),
    Later(Timestamp),
    Succeeded,
    Failed,
    Skipped,
}

/// What to do, given the attempts so far and the jobs that are in flight.
pub(crate) fn next(
    workflow: &Workflow,
    attempts: &[AttemptRow],
    in_flight: &BTreeSet<String>,
    now: Timestamp,
) -> Next {
    let states = states(workflow, attempts, in_flight, now);
    let mut start = Vec::new();
    let mut wake: Option<Timestamp> = None;
    let (mut is_over, mut is_good) = (true, true);
    for (job, state) in &states {
        match state {
            State::Ready(attempt) => start.push(((*job).to_owned(), *attempt)),
            State::Later(at) => wake = Some(wake.map_or(*at, |first| first.min(*at))),
            _ => {}
        }
        is_over &= matches!(state, State::Succeeded | State::Failed | State::Skipped);
        is_good &= *state == State::Succeeded;
    }
    if is_over {
        return Next::Done(is_good);
    }
    if start.is_empty() {
        Next::Wait(wake)
    } else {
        Next::Start(start)
    }
}

fn states<'a>(
    workflow: &'a Workflow,
    attempts: &[AttemptRow],
    in_flight: &BTreeSet<String>,
    now: Timestamp,
) -> BTreeMap<&'a str, State> {
    let jobs: BTreeMap<&str, &Job> = workflow
        .jobs
        .iter()
        .map(|job| (job.name.as_str(), job))
        .collect();
    let mut by_job: BTreeMap<&str, Vec<&AttemptRow>> = BTreeMap::new();
    for attempt in attempts {
        by_job.entry(&attempt.job).or_default().push(attempt);
    }
    let edges = workflow
        .jobs
        .iter()
        .map(|j| (j.name.clone(), j.dependencies.clone()))
        .collect();
    // A cycle is refused when the manifest is read; should one be stored, nothing of it runs.
    let order = graph::order(&edges).unwrap_or_default();
    let mut states: BTreeMap<&str, State> =
        jobs.keys().map(|name| (*name, State::Skipped)).collect();
    for name in &order {
        let Some((name, job)) = jobs.get_key_value(name.as_str()) else {
            continue;
        };
        let done = by_job.get(*name).map(Vec::as_slice).unwrap_or_default();
        let state = if in_flight.contains(*name) {
            State::Running
        } else {
            state(job, done, &states, now)
        };
        states.insert(*name, state);
    }
    states
}

fn state(
    job: &Job,
    attempts: &[&AttemptRow],
    states: &BTreeMap<&str, State>,
    now: Timestamp,
) -> State {
    let Some(last) = attempts.last() else {
        let of = |name: &String| states.get(name.as_str()).copied();
        let mut before = job.dependencies.iter().map(of);
        if before.any(|s| matches!(s, Some(State::Failed | State::Skipped) | None)) {
            return State::Skipped;
        }
        let is_ready = job
            .dependencies
            .iter()
            .map(of)
            .all(|s| s == Some(State::Succeeded));
        return if is_ready {
            State::Ready(1)
        } else {
            State::Waiting
        };
    };
    match last.phase.as_str() {
        "running" => State::Running,
        "succeeded" => State::Succeeded,
        _ => match retry_at(job, attempts, last) {
            None => State::Failed,
            Some(at) if at > now => State::Later(at),
            Some(_) => State::Ready(last.number + 1),
        },
    }
}

/// When a failed job is tried again, if it is.
fn retry_at(job: &Job, attempts: &[&AttemptRow], last: &AttemptRow) -> Option<Timestamp> {
    let fits = match (last.failure.as_str(), job.retry.strategy) {
        ("failure", RetryStrategy::Always | RetryStrategy::OnFailure)
        | ("error", RetryStrategy::Always | RetryStrategy::OnError) => true,
        // A denial stays one until policies change; asking again at once would be a hot loop.
        _ => false,
    };
    if !fits || attempts.len() > job.retry.count as usize {
        return None;
    }
    let ended = last.finished_at.unwrap_or(last.started_at);
    let at = after(ended, job.retry.wait);
    let first = attempts.first().map_or(ended, |first| first.started_at);
    let is_in_time = job
        .retry
        .wait_total_max
        .is_none_or(|most| at <= after(first, most));
    is_in_time.then_some(at)
}

fn after(time: Timestamp, wait: Duration) -> Timestamp {
    Timestamp(
        time.0
            .saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)),
    )
}

/// The run as callers see it, jobs in order of the text.
pub(crate) fn nodes(workflow: &Workflow, attempts: &[AttemptRow]) -> Vec<RunNode> {
    let states = states(workflow, attempts, &BTreeSet::new(), Timestamp(i64::MIN));
    let node = |job: &Job| {
        let last = attempts
            .iter()
            .rev()
            .find(|attempt| attempt.job == job.name);
        let phase = match (last, states.get(job.name.as_str())) {
            (_, Some(State::Later(_))) => "pending",
            (Some(last), _) => last.phase.as_str(),
            (None, Some(State::Skipped)) => "skipped",
            (None, _) => "pending",
        };
        RunNode {
            job: job.name.clone(),
            stack: job.stack.clone(),
            dependencies: job.dependencies.clone(),
            attempt: last.map_or(0, |last| last.number),
            phase: phase.to_owned(),
            started_at: last.map(|last| last.started_at),
            finished_at: last.and_then(|last| last.finished_at),
            message: last.map(|last| last.message.clone()).unwrap_or_default(),
        }
    };
    workflow.jobs.iter().map(node).collect()
}

#[cfg(test)]
mod tests;
