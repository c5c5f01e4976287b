//! A log of many events, filled through the real append path: what it takes on disk and in memory,
//! how fast it opens, is searched, proves and verifies. "Cold" is after the page cache was dropped, "warm"
//! after all files were read once and are open.

use std::{
    collections::VecDeque,
    fs,
    io::{self, Error, Result},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use dataos_audit::{AuditConfig, AuditLog, Indexes, verify_directory};
use dataos_model::{
    clock::Timestamp,
    decision::Effect,
    fault::Fault,
    record::RecordQuery,
    seams::{Record as _, Records as _},
    secret::Secret,
};
use dataos_proof::note::SignerKey;

use super::{
    Options,
    append::cpu_seconds,
    events::{DAY_MS, EventClock, day, event, mix, principal, request_id, resource, trace_id},
};
use crate::{
    load::resident_mib,
    report::{Figure, Goal, quantile},
};

const ORIGIN: &str = "bench.example/log";
const SEED: [u8; 32] = [7; 32];

/// Appends in flight while the log grows.
const IN_FLIGHT: usize = 2048;

/// Runs of a question, cold and warm.
const COLD_RUNS: u64 = 100;
const WARM_RUNS: u64 = 200;

pub(super) fn run(options: &Options) -> Result<Vec<Figure>> {
    let temporary = tempfile::tempdir_in(&options.folder)?;
    let kept = options.kept();
    let folder = if options.keep {
        kept.as_path()
    } else {
        temporary.path()
    };
    let clock = Arc::new(EventClock::default());
    // Four packs at least, of the usual size if there are enough events.
    let seal_entries = 1 << (options.events / 4).ilog2().min(20);
    let open = || {
        let config = AuditConfig {
            seal_entries,
            ..AuditConfig::new(folder, ORIGIN)
        };
        AuditLog::open(config, Secret::new(SEED), Arc::clone(&clock) as _).map_err(other)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut figures = Vec::new();
    let log = open()?;
    if log.status().size < options.events {
        let rate = runtime.block_on(fill(&log, &clock, options.events, seal_entries))?;
        figures.push(Figure::new("appends while sealing keeps up", rate, "1/s"));
    }
    clock.set(options.events);
    log.close().map_err(other)?;
    drop(log);
    figures.extend(sizes(folder, options.events / seal_entries * seal_entries)?);
    let heat = if drop_caches() { "cold" } else { "warm" };
    let started = Instant::now();
    let log = open()?;
    let milliseconds = started.elapsed().as_secs_f64() * 1e3;
    figures.push(
        Figure::new(format!("open, {heat}"), milliseconds, "ms").with_goal(Goal::AtMost(2000.0)),
    );
    figures.push(Figure::new(
        "resident after opening",
        resident_mib(std::process::id())?,
        "MiB",
    ));
    runtime.block_on(questions(&log, (folder, seal_entries), &mut figures))?;
    figures.push(Figure::new(
        "resident after reading",
        resident_mib(std::process::id())?,
        "MiB",
    ));
    log.close().map_err(other)?;
    drop(log);
    if options.case.is_none() {
        figures.extend(verify(folder)?);
    }
    Ok(figures)
}

fn other(fault: Fault) -> Error {
    Error::other(fault.message)
}

/// Appends all events that are not there yet, in steps of a pack, each when the packs before are almost
/// sealed. Events per second, the waits included.
async fn fill(log: &Arc<AuditLog>, clock: &EventClock, events: u64, step: u64) -> Result<f64> {
    let started = Instant::now();
    let first = log.status().size;
    let mut waiting = VecDeque::new();
    for number in first..events {
        if number.is_multiple_of(step) {
            while log.status().sealed + 2 * step < number {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        clock.set(number);
        waiting.push_back(log.append(event(number)));
        if waiting.len() >= IN_FLIGHT {
            for append in waiting.drain(..IN_FLIGHT / 2) {
                append.await.map_err(other)?;
            }
        }
    }
    for append in waiting {
        append.await.map_err(other)?;
    }
    while log.status().sealed < events / step * step {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok((events - first) as f64 / started.elapsed().as_secs_f64())
}

fn sizes(folder: &Path, sealed: u64) -> Result<Vec<Figure>> {
    let (mut files, mut indexes) = (0, 0);
    for file in fs::read_dir(folder)? {
        let file = file?;
        let length = file.metadata()?.len();
        match file.path().extension().and_then(|end| end.to_str()) {
            Some("parquet") => files += length,
            Some("index") => indexes += length,
            _ => {}
        }
    }
    let each = |bytes: u64| bytes as f64 / sealed as f64;
    let all = Figure::new("bytes of a sealed event", each(files + indexes), "B");
    Ok(vec![
        all.with_goal(Goal::AtMost(80.0)),
        Figure::new("of them index", each(indexes), "B"),
    ])
}

/// What is asked of the log, `n` the number of the run.
struct Asker<'l> {
    log: &'l AuditLog,
    sealed: u64,
    figures: &'l mut Vec<Figure>,
    is_cold: bool,
}

async fn questions(
    log: &Arc<AuditLog>,
    (folder, seal_entries): (&Path, u64),
    figures: &mut Vec<Figure>,
) -> Result<()> {
    let status = log.status();
    for is_cold in [true, false] {
        if !is_cold {
            read_all(folder)?;
            // Each sealed file is open once one of its entries was proven.
            for pack in 0..status.sealed / seal_entries {
                log.proof(pack * seal_entries).await.map_err(other)?;
            }
        }
        let mut asker = Asker {
            log,
            sealed: status.sealed,
            figures,
            is_cold,
        };
        asker.searches().await?;
        asker.counts().await?;
        asker.proofs(status.size).await?;
    }
    Ok(())
}

impl Asker<'_> {
    /// Pages of at most 100, all below what is not sealed.
    async fn searches(&mut self) -> Result<()> {
        let sealed = self.sealed;
        // A call of which both events are sealed.
        let call = |run: u64| mix(run) % (sealed / 2);
        let all = RecordQuery {
            limit: 100,
            before: Some(sealed),
            ..RecordQuery::default()
        };
        self.search("trace id", Some(50.0), 1, |run| RecordQuery {
            trace: Some(trace_id(call(run))),
            ..all.clone()
        })
        .await?;
        self.search("request id", Some(50.0), 1, |run| RecordQuery {
            request_id: Some(request_id(call(run))),
            ..all.clone()
        })
        .await?;
        for (what, first) in [("frequent", 3), ("usual", 500)] {
            let name = format!("newest 100 of a {what} principal");
            self.search(&name, Some(100.0), 1, |run| RecordQuery {
                principal: Some(principal(first + run % 30)),
                ..all.clone()
            })
            .await?;
        }
        self.search("newest 100 on a resource", Some(100.0), 1, |run| {
            RecordQuery {
                resource: Some(resource(200 + run % 30)),
                ..all.clone()
            }
        })
        .await?;
        self.search("denies in a day, a page of 100", Some(500.0), 1, |run| {
            let from = day(sealed, run);
            RecordQuery {
                effect: Some(Effect::Deny),
                from: Some(Timestamp(from)),
                to: Some(Timestamp(from + DAY_MS)),
                ..all.clone()
            }
        })
        .await
    }

    async fn search(
        &mut self,
        name: &str,
        goal: Option<f64>,
        least: usize,
        query: impl Fn(u64) -> RecordQuery,
    ) -> Result<()> {
        let log = self.log;
        self.time(name, goal, async |run| {
            let page = log.search(&query(run)).await.map_err(other)?;
            if page.entries.len() < least {
                return Err(Error::other(format!("run {run} found too little")));
            }
            Ok(())
        })
        .await
    }

    async fn counts(&mut self) -> Result<()> {
        let (log, sealed) = (self.log, self.sealed);
        self.time("denies in a day, counted", Some(500.0), async |run| {
            let from = day(sealed, run);
            let query = RecordQuery {
                effect: Some(Effect::Deny),
                from: Some(Timestamp(from)),
                to: Some(Timestamp(from + DAY_MS)),
                ..RecordQuery::default()
            };
            let summary = log.summary(&query).await.map_err(other)?;
            if summary.total == 0 || !summary.is_complete {
                return Err(Error::other(format!("run {run} counted too little")));
            }
            Ok(())
        })
        .await
    }

    async fn proofs(&mut self, size: u64) -> Result<()> {
        let (log, sealed) = (self.log, self.sealed);
        // The bar is one for a warm log.
        let goal = (!self.is_cold).then_some(2.0);
        self.time("proof of a sealed entry", goal, async |run| {
            let proof = log.proof(mix(run) % sealed).await.map_err(other)?;
            if proof.is_empty() {
                return Err(Error::other("a proof is empty"));
            }
            Ok(())
        })
        .await?;
        if size == sealed {
            return Ok(());
        }
        self.time("proof of another entry", goal, async |run| {
            let index = sealed + mix(run) % (size - sealed);
            log.proof(index).await.map_err(other).map(drop)
        })
        .await
    }

    async fn time(
        &mut self,
        name: &str,
        goal: Option<f64>,
        mut ask: impl AsyncFnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let runs = if self.is_cold { COLD_RUNS } else { WARM_RUNS };
        let (mut times, mut heat) = (Vec::new(), "warm");
        for run in 0..runs {
            if self.is_cold && drop_caches() {
                heat = "cold";
            }
            let started = Instant::now();
            // Other entries than those of the other heat.
            ask(run + if self.is_cold { 1000 } else { 0 }).await?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        let figure =
            |quantile, value| Figure::new(format!("{name}, {heat}, {quantile}"), value, "ms");
        self.figures.push(figure("p50", quantile(&mut times, 0.5)));
        let worst = figure("p99", quantile(&mut times, 0.99));
        self.figures.push(match goal {
            Some(goal) => worst.with_goal(Goal::AtMost(goal)),
            None => worst,
        });
        Ok(())
    }
}

/// Whole-log verification by one thread and by two.
pub(super) fn verify(folder: &Path) -> Result<Vec<Figure>> {
    let key = SignerKey::from_seed(ORIGIN, &SEED).map_err(Error::other)?;
    let mut figures = Vec::new();
    for (indexes, what_of) in [
        (Indexes::MadeAgain, "each index made again"),
        (Indexes::AsTheyAre, "entries only"),
    ] {
        for threads in [1, 2] {
            let (started, before) = (Instant::now(), cpu_seconds()?);
            let summary = verify_directory(folder, key.verifier(), Vec::new(), threads, indexes);
            let size = summary.map_err(Error::other)?.log.size as f64;
            let figure = |what| format!("verification, {what_of}, {threads} threads: {what}");
            let rate = size / started.elapsed().as_secs_f64();
            figures.push(Figure::new(figure("events"), rate, "1/s"));
            let rate = size / (cpu_seconds()? - before);
            let figure = Figure::new(figure("events per CPU second"), rate, "1/s");
            figures.push(figure.with_goal(Goal::AtLeast(500_000.0)));
        }
    }
    Ok(figures)
}

/// Brings the whole log into the page cache, as far as memory goes.
fn read_all(folder: &Path) -> Result<()> {
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.is_file() {
            io::copy(&mut fs::File::open(path)?, &mut io::sink())?;
        }
    }
    Ok(())
}

/// Whether that was allowed: it takes root.
fn drop_caches() -> bool {
    let _ = std::process::Command::new("sync").status();
    fs::write("/proc/sys/vm/drop_caches", "1").is_ok()
}
