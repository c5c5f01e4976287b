//! Past decisions made again from a log: generated ones over a realistic set, by the command that auditors
//! run.
//!
//! The log is filled through the real append path, with the whole state first; each decision is of
//! another user and dataset, so that few are the same. Then `dataos audit replay` reads the folder twice:
//! as recorded, which must find no difference, and with one policy taken away.

use std::{
    fs,
    io::{Error, Result},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use clap::Args;
use dataos_audit::{AuditConfig, AuditLog};
use dataos_model::{
    record::{Entry, Receipt},
    seams::{BoxFuture, Record},
    secret::Secret,
};
use dataos_pdp::{Pdp, StateStep};
use serde_json::Value;

use crate::{
    audit::SystemClock,
    pdp::workload::{Kind, open, request},
    report::{Figure, Goal},
};

/// How much.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Decisions in the log.
    #[arg(long, default_value_t = 500_000)]
    decisions: usize,
    /// Policies in force.
    #[arg(long, default_value_t = 1_000)]
    policies: usize,
    /// Folder to write in.
    #[arg(long, default_value = "target/bench-audit")]
    folder: PathBuf,
}

/// Appends that are waited for at once.
const IN_FLIGHT: usize = 1_000;

type Appended = BoxFuture<std::result::Result<Receipt, dataos_model::fault::Fault>>;

pub(crate) fn run(options: &Options) -> Result<Vec<Figure>> {
    fs::create_dir_all(&options.folder)?;
    let folder = tempfile::tempdir_in(&options.folder)?;
    let directory = folder.path().join("audit");
    let (policies, pdp) = open(Kind::Mixed, options.policies)?;
    fill(options, &directory, &pdp)?;
    let mut figures = Vec::new();
    let (found, rate) = replay(&directory, None)?;
    same(&found, options)?;
    let name = |what: &str| format!("{} decisions, {what}", options.decisions);
    figures.push(Figure::new(name("as recorded"), rate, "1/s").with_goal(Goal::AtLeast(100_000.0)));
    take_one_away(policies.path())?;
    let (found, rate) = replay(&directory, Some(policies.path()))?;
    let figure = Figure::new(name("one policy less"), rate, "1/s");
    figures.push(figure.with_goal(Goal::AtLeast(100_000.0)));
    for field in ["allow_to_deny", "deny_to_allow", "other_policies"] {
        let count = found.get(field).and_then(Value::as_f64);
        figures.push(Figure::new(name(field), count.unwrap_or(f64::NAN), ""));
    }
    Ok(figures)
}

/// Writes the log.
fn fill(options: &Options, directory: &Path, pdp: &Pdp) -> Result<()> {
    let config = AuditConfig::new(directory, "bench");
    let log = AuditLog::open(config, Secret::new([7; 32]), Arc::new(SystemClock));
    let log = log.map_err(Error::other)?;
    let keeper = Arc::clone(&log);
    let keep = move |step: StateStep| {
        for change in step.into_entries() {
            // Queued by this call.
            drop(keeper.append(change.entry("state")));
        }
    };
    pdp.on_state_change(keep).map_err(Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let mut waiting: Vec<Appended> = Vec::with_capacity(IN_FLIGHT);
        for n in 0..options.decisions {
            let request = request(n);
            let decision = pdp.decide_now(&request);
            let entry = Entry::decision(format!("r{n}"), &request, &decision);
            waiting.push(log.append(entry));
            if waiting.len() == IN_FLIGHT || n + 1 == options.decisions {
                for appended in waiting.drain(..) {
                    appended.await.map_err(Error::other)?;
                }
            }
        }
        Ok::<_, Error>(())
    })?;
    log.close().map_err(Error::other)
}

/// Runs the command; what it found, and decisions per second of reading and deciding.
fn replay(directory: &Path, policies: Option<&Path>) -> Result<(Value, f64)> {
    let mut command = Command::new(dataos_tests::binaries::binary("dataos"));
    command.args(["audit", "replay", "--unverified", "--limit", "1", "--log"]);
    command.arg(directory);
    if let Some(policies) = policies {
        command.arg("--policies").arg(policies);
    }
    let output = command.output()?;
    if !output.status.success() {
        return Err(Error::other(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ));
    }
    let found: Value = serde_json::from_slice(&output.stdout)?;
    let number = |field: &str| found.get(field).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let rate = number("made_again") / number("seconds");
    Ok((found, rate))
}

fn same(found: &Value, options: &Options) -> Result<()> {
    let number = |field: &str| found.get(field).and_then(Value::as_u64);
    let is_same = number("made_again") == Some(options.decisions as u64)
        && ["allow_to_deny", "deny_to_allow", "other_policies"]
            .iter()
            .all(|field| number(field) == Some(0));
    if is_same {
        return Ok(());
    }
    Err(Error::other(format!(
        "decisions came out otherwise: {found:#}"
    )))
}

/// Takes a policy that is for everybody away.
fn take_one_away(policies: &Path) -> Result<()> {
    let file = policies.join("bench/0000000.cedar");
    let text = fs::read_to_string(&file)?;
    let cut = |mark: &str| {
        text.find(mark)
            .ok_or_else(|| Error::other("no such policy"))
    };
    let (from, to) = (cut("@id(\"p9\")")?, cut("@id(\"p10\")")?);
    let rest = [text.get(..from), text.get(to..)].map(Option::unwrap_or_default);
    fs::write(file, rest.concat())
}
