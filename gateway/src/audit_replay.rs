//! `dataos audit replay`: the decisions of a log made again, and where they come out otherwise.
//!
//! One thread reads the log and follows what decisions were made from; the others decide. A question that
//! was asked before under the same policies and entities is not decided twice.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, BufWriter, Write as _},
    num::NonZero,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Instant,
};

use clap::Args;
use dataos_audit::Indexes;
use dataos_model::{
    annotation::Call,
    asked,
    decision::{Decision, Effect, Reason},
    fault::Fault,
    hash::Hash,
    record::{ANSWERS, ASKED, ASKED_ACCESS, ASKED_WRITE, CONTENT_SUFFIX, EntryKind, StoredEntry},
    state::StateChange,
};
use dataos_pdp::{Replay, State};
use dataos_query::carries_out;
use serde_json::{Value, json};

use crate::audit_check;

/// Entries that are handed to a thread at once.
const BATCH_ENTRIES: usize = 256;
/// Batches that wait for a thread.
const BATCHES_MAX: usize = 8;
/// Answers that a thread remembers; when full, all are dropped.
const ANSWERS_MAX: usize = 200_000;
/// Reasons why decisions were not made again that are told apart.
const REASONS_MAX: usize = 100;

/// Which log, and under which policies.
#[derive(Debug, Args)]
pub struct Replaying {
    /// Folder of the log (`audit` in the data directory); nothing may write to it meanwhile.
    #[arg(long, value_name = "FOLDER")]
    log: PathBuf,
    /// Policies folder in the place of the files that were in force; what was applied over REST or by
    /// manifest stays. Without it decisions are made as they were, which finds none that differs.
    #[arg(long, value_name = "FOLDER")]
    policies: Option<PathBuf>,
    /// The log's public key, as `/log/key` shows it: the log is verified first.
    #[arg(long, value_name = "KEY", required_unless_present = "unverified")]
    verifier_key: Option<String>,
    /// Take the log as it is.
    #[arg(long, conflicts_with = "verifier_key")]
    unverified: bool,
    /// Most decisions that differ in the result.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Write every decision that differs to this file, one line of JSON each, in no order.
    #[arg(long, value_name = "FILE")]
    flips: Option<PathBuf>,
}

/// A record and what it was decided from.
type Job = (StoredEntry, State);

/// How decisions came out.
#[derive(Debug, Default)]
struct Found {
    made_again: u64,
    allow_to_deny: u64,
    deny_to_allow: u64,
    other_policies: u64,
    other_rows_or_columns: u64,
    not_made_again: BTreeMap<String, (u64, u64)>,
    /// The first that differ, by index.
    first: BTreeMap<u64, Value>,
}

/// How a decision came out.
#[derive(Clone, Debug)]
struct Outcome {
    is_allowed: bool,
    /// Ids of policies and texts of obligations, or answers about datasets: compared with the effect.
    said: Vec<String>,
    /// Detail or reason of the first deny, for people.
    why: String,
}

impl Outcome {
    fn is(&self, other: &Self) -> bool {
        (self.is_allowed, &self.said) == (other.is_allowed, &other.said)
    }
}

/// Where differences go.
struct Results {
    found: Mutex<Found>,
    file: Option<Mutex<Output>>,
    limit: usize,
}

/// A file of lines, and the first thing that went wrong with it.
struct Output {
    lines: BufWriter<File>,
    written: io::Result<()>,
}

/// Makes the decisions again.
///
/// # Errors
/// A log that does not verify or cannot be read, policies that do not load, a file that cannot be written.
pub(crate) fn run(replaying: &Replaying) -> Result<Value, Fault> {
    let log = replaying.verifier_key.as_ref();
    let log = log.map(|key| audit_check::verify(&replaying.log, key, Indexes::AsTheyAre));
    let log = log.transpose()?;
    let replay = match &replaying.policies {
        Some(folder) => Replay::with_files(folder)?,
        None => Replay::recorded(),
    };
    let file = replaying.flips.as_deref().map(create).transpose()?;
    let results = Results {
        found: Mutex::default(),
        file,
        limit: replaying.limit,
    };
    let started = Instant::now();
    let (entries, decisions) = replay_all(&replaying.log, replay, &results)?;
    let seconds = started.elapsed().as_secs_f64();
    results.flush(replaying.flips.as_deref())?;
    let found = results.found.into_inner();
    let found = found.unwrap_or_else(PoisonError::into_inner);
    let differing = found.allow_to_deny + found.deny_to_allow;
    let why = found
        .not_made_again
        .iter()
        .map(|(why, (count, first))| json!({"why": why, "count": count, "first": first}));
    Ok(json!({
        "log": log,
        "entries": entries,
        "decisions": decisions,
        "made_again": found.made_again,
        "same_effect": found.made_again - differing,
        "allow_to_deny": found.allow_to_deny,
        "deny_to_allow": found.deny_to_allow,
        "other_policies": found.other_policies,
        "other_rows_or_columns": found.other_rows_or_columns,
        "not_made_again": why.collect::<Vec<_>>(),
        "first": found.first.values().collect::<Vec<_>>(),
        "seconds": seconds,
    }))
}

/// Reads the log once; gives the number of its entries and of its decisions by policies.
fn replay_all(log: &Path, mut replay: Replay, results: &Results) -> Result<(u64, u64), Fault> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let (sender, receiver) = sync_channel::<Vec<Job>>(BATCHES_MAX);
    let receiver = Arc::new(Mutex::new(receiver));
    let mut decisions = 0;
    let entries = thread::scope(|scope| {
        for _ in 0..threads {
            let receiver = Arc::clone(&receiver);
            scope.spawn(move || decide_all(&receiver, results));
        }
        // So that sending fails if no thread is left, and does not wait for ever.
        drop(receiver);
        let mut batch = Vec::with_capacity(BATCH_ENTRIES);
        let kinds = [EntryKind::Decision, EntryKind::State];
        let entries = dataos_audit::read_directory(log, &kinds, &mut |mut stored| {
            if stored.entry.kind == EntryKind::State {
                dataos_audit::fill_in(log, &mut stored.entry)?;
                let change = StateChange::of_entry(&stored.entry);
                let change = change.map_err(|error| damaged(stored.index, &error.to_string()))?;
                return replay.learn(&change);
            }
            let facts = &stored.entry.facts;
            let is_asked = |name: &&str| {
                facts.contains_key(*name) || facts.contains_key(&format!("{name}{CONTENT_SUFFIX}"))
            };
            if ![ASKED, ASKED_ACCESS, ASKED_WRITE].iter().any(is_asked) {
                return Ok(());
            }
            decisions += 1;
            match replay.at(stored.entry.policy_set, stored.entry.entities) {
                Ok(state) => {
                    dataos_audit::fill_in(log, &mut stored.entry)?;
                    batch.push((stored, state));
                }
                Err(why) => results.not_made_again(stored.index, why.to_string()),
            }
            if batch.len() < BATCH_ENTRIES {
                return Ok(());
            }
            hand_out(
                &sender,
                std::mem::replace(&mut batch, Vec::with_capacity(BATCH_ENTRIES)),
            )
        })?;
        hand_out(&sender, batch)?;
        drop(sender);
        Ok::<_, Fault>(entries)
    })?;
    Ok((entries, decisions))
}

fn hand_out(sender: &SyncSender<Vec<Job>>, batch: Vec<Job>) -> Result<(), Fault> {
    sender
        .send(batch)
        .map_err(|_| Fault::internal("the threads that decide have ended"))
}

/// Decides until there is no more.
fn decide_all(receiver: &Mutex<Receiver<Vec<Job>>>, results: &Results) {
    let mut known: HashMap<Hash, Outcome> = HashMap::new();
    loop {
        let batch = receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(batch) = batch else { return };
        for (stored, state) in batch {
            match again(&stored, &state, &mut known) {
                Ok(outcome) => results.add(&stored, &recorded(&stored), &outcome),
                Err(why) => results.not_made_again(stored.index, why),
            }
        }
    }
}

/// How the record says that it came out, before any enforcement point refused an obligation.
fn recorded(stored: &StoredEntry) -> Outcome {
    let entry = &stored.entry;
    if let Some(answers) = entry.facts.get(ANSWERS) {
        let answers = answers.split(' ').map(str::to_owned).collect();
        return of_answers(answers, entry.reason.clone());
    }
    let is_refused = entry.reason == Reason::ObligationUnknown.code();
    Outcome {
        is_allowed: is_refused || entry.effect == Some(Effect::Allow),
        said: said(entry.policies.clone(), entry.obligations.clone()),
        why: entry.reason.clone(),
    }
}

/// How it comes out now.
fn again(
    stored: &StoredEntry,
    state: &State,
    known: &mut HashMap<Hash, Outcome>,
) -> Result<Outcome, String> {
    let entry = &stored.entry;
    let fact = |name: &str| {
        entry
            .facts
            .get(name)
            .map(String::as_str)
            .unwrap_or_default()
    };
    let questions = [fact(ASKED), fact(ASKED_WRITE), fact(ASKED_ACCESS)].map(str::as_bytes);
    let basis = [&entry.policy_set.0[..], &entry.entities.0[..]];
    let key = Hash::of_parts(basis.into_iter().chain(questions));
    if let Some(outcome) = known.get(&key) {
        return Ok(outcome.clone());
    }
    let outcome = decide(state, fact(ASKED), fact(ASKED_WRITE), fact(ASKED_ACCESS))?;
    if known.len() >= ANSWERS_MAX {
        known.clear();
    }
    known.insert(key, outcome.clone());
    Ok(outcome)
}

fn decide(state: &State, asked: &str, write: &str, access: &str) -> Result<Outcome, String> {
    let malformed = |error: dataos_model::Malformed| error.to_string();
    if !asked.is_empty() {
        let decision = state.decide(&asked::read(asked).map_err(malformed)?);
        let policies = decision.policies.iter().map(|policy| policy.id.clone());
        let obligations = decision.obligations.iter().map(ToString::to_string);
        return Ok(Outcome {
            is_allowed: decision.is_allowed(),
            said: said(policies.collect(), obligations.collect()),
            why: why(&decision),
        });
    }
    let (mut answers, mut denied) = (Vec::new(), String::new());
    let mut answer = |decision: &Decision, in_short: String, is_known: fn(&Call) -> bool| {
        if decision.is_allowed() && decision.obligations.iter().all(is_known) {
            answers.push(in_short);
            return;
        }
        answers.push(Effect::Deny.name().to_owned());
        if denied.is_empty() {
            denied = why(decision);
        }
    };
    for line in write.lines() {
        let decision = state.decide(&asked::read(line).map_err(malformed)?);
        // The query layer carries out no obligation of a write.
        answer(&decision, decision.effect.name().to_owned(), |_| false);
    }
    for line in access.lines() {
        let found = state.access(&asked::read_access(line).map_err(malformed)?);
        for access in found {
            answer(&access.decision, access.in_short(), carries_out);
        }
    }
    Ok(of_answers(answers, denied))
}

fn why(decision: &Decision) -> String {
    if decision.detail.is_empty() {
        return decision.reason.code().to_owned();
    }
    decision.detail.clone()
}

fn of_answers(answers: Vec<String>, why: String) -> Outcome {
    Outcome {
        is_allowed: answers.iter().all(|answer| answer != Effect::Deny.name()),
        said: answers,
        why,
    }
}

fn said(mut policies: Vec<String>, mut obligations: Vec<String>) -> Vec<String> {
    policies.sort_unstable();
    obligations.sort_unstable();
    policies.append(&mut obligations);
    policies
}

impl Results {
    fn found(&self) -> std::sync::MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_made_again(&self, index: u64, why: String) {
        let mut found = self.found();
        let reasons = &mut found.not_made_again;
        let why = if reasons.len() < REASONS_MAX || reasons.contains_key(&why) {
            why
        } else {
            "other reasons".to_owned()
        };
        let (count, first) = reasons.entry(why).or_insert((0, index));
        *count += 1;
        *first = index.min(*first);
    }

    fn add(&self, stored: &StoredEntry, was: &Outcome, is: &Outcome) {
        let mut found = self.found();
        found.made_again += 1;
        if was.is(is) {
            return;
        }
        let is_about_data = stored.entry.facts.contains_key(ANSWERS);
        let counter = match (was.is_allowed, is.is_allowed) {
            (true, false) => &mut found.allow_to_deny,
            (false, true) => &mut found.deny_to_allow,
            _ if is_about_data => &mut found.other_rows_or_columns,
            _ => &mut found.other_policies,
        };
        *counter += 1;
        let entry = &stored.entry;
        let effect = |outcome: &Outcome| {
            if outcome.is_allowed {
                Effect::Allow
            } else {
                Effect::Deny
            }
        };
        let line = json!({
            "index": stored.index,
            "time_ms": stored.time.0,
            "request_id": entry.request_id,
            "principal": entry.principal,
            "action": entry.action,
            "resource": entry.resource,
            "was": effect(was).name(),
            "is": effect(is).name(),
            "was_said": was.said,
            "is_said": is.said,
            "is_why": is.why,
        });
        if let Some(file) = &self.file {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            if file.written.is_ok() {
                file.written = writeln!(file.lines, "{line}");
            }
        }
        found.first.insert(stored.index, line);
        if found.first.len() > self.limit {
            found.first.pop_last();
        }
    }

    fn flush(&self, path: Option<&Path>) -> Result<(), Fault> {
        let Some((file, path)) = self.file.as_ref().zip(path) else {
            return Ok(());
        };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = std::mem::replace(&mut file.written, Ok(()));
        let written = written.and_then(|()| file.lines.flush());
        written.map_err(|error| {
            Fault::unavailable(format!("cannot write {}: {error}", path.display()))
        })
    }
}

fn create(path: &Path) -> Result<Mutex<Output>, Fault> {
    let created = File::create_new(path);
    let file = created.map_err(|error| {
        Fault::unavailable(format!("cannot create {}: {error}", path.display()))
            .with_hint("name a file that does not exist yet")
    })?;
    Ok(Mutex::new(Output {
        lines: BufWriter::new(file),
        written: Ok(()),
    }))
}

fn damaged(index: u64, why: &str) -> Fault {
    Fault::new(
        dataos_model::fault::FaultKind::Damaged,
        format!("entry {index}: {why}"),
    )
}
