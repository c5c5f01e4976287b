//! Durable, individually acknowledged appends, with a raw fdatasync probe of the same write size
//! interleaved in the same run.

use std::{
    fs::{File, OpenOptions},
    io::{Error, Result},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use dataos_audit::{AuditConfig, AuditLog};
use dataos_model::{
    clock::{Clock, Timestamp},
    decision::Effect,
    hash::Hash,
    record::{Entry, EntryKind},
    seams::Record,
    secret::Secret,
};

use tokio::runtime::Runtime;

use super::Options;
use crate::{
    load::cpu_ticks,
    report::{Figure, Goal, quantile},
};

/// The wall clock.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(since.map_or(0, |since| since.as_millis() as i64))
    }
}

pub(super) fn run(options: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir_in(&options.folder)?;
    let config = AuditConfig::new(folder.path().join("audit"), "bench");
    let log = AuditLog::open(config, Secret::new([7; 32]), Arc::new(SystemClock))
        .map_err(Error::other)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()?;
    let span = Duration::from_millis(options.milliseconds);
    let cores = std::thread::available_parallelism()?.get() as f64;
    let mut figures = Vec::new();
    for width in [1_usize, 64, 512] {
        let (mut rates, mut syncs) = (Vec::new(), Vec::new());
        let (mut waits, mut costs) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            syncs.push(probe(folder.path(), width * ENTRY_BYTES, span)?);
            let before = cpu_seconds()?;
            let (rate, mut latencies) = runtime.block_on(appends(&log, width, span))?;
            rates.push(rate);
            costs.push((cpu_seconds()? - before) / latencies.len() as f64 * 1e6);
            waits.push(quantile(&mut latencies, 0.5));
        }
        let rate = quantile(&mut rates, 0.5);
        let sync = quantile(&mut syncs, 0.5);
        let cpu = quantile(&mut costs, 0.5);
        let figure = Figure::new(format!("durable appends, {width} in flight"), rate, "1/s");
        figures.push(match width {
            512 => figure.with_goal(Goal::AtLeast(100_000.0)),
            _ => figure,
        });
        figures.push(Figure::new(
            format!("fdatasync probe of {width} entries"),
            sync,
            "1/s",
        ));
        figures.push(Figure::new(
            format!("CPU per event, callers included, {width} in flight"),
            cpu,
            "us",
        ));
        // What the disk allows, or what the cores do.
        let limit = (width as f64 * sync).min(cores / (cpu / 1e6));
        let figure = Figure::ratio(
            format!("appends to the limit, {width} in flight"),
            rate / limit,
            "the lesser of in flight x probe syncs and cores / CPU per event",
        );
        figures.push(match width {
            512 => figure.with_goal(Goal::AtLeast(0.6)),
            _ => figure,
        });
        figures.push(Figure::new(
            format!("acknowledgement p50, {width} in flight"),
            quantile(&mut waits, 0.5),
            "us",
        ));
    }
    figures.extend(paced(&log, &runtime, folder.path(), options)?);
    log.close().map_err(Error::other)?;
    Ok(figures)
}

/// Bytes that one entry of the benchmark takes on disk, roughly; the probe writes as many.
const ENTRY_BYTES: usize = 420;

const PROBE_BYTES: u64 = 64 << 20;

/// A file of zeros.
fn probe_file(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("probe");
    if !path.exists() {
        let file = File::create(&path)?;
        let zeros = vec![0; 1 << 20];
        for block in 0..(PROBE_BYTES >> 20) {
            file.write_all_at(&zeros, block << 20)?;
        }
        file.sync_all()?;
    }
    Ok(path)
}

/// Writes and syncs blocks over a zeroed file; syncs per second.
fn probe(folder: &Path, bytes: usize, span: Duration) -> Result<f64> {
    let file = OpenOptions::new().write(true).open(probe_file(folder)?)?;
    let block = vec![0xA5; bytes];
    let started = Instant::now();
    let (mut count, mut offset) = (0_u32, 0_u64);
    while started.elapsed() < span {
        file.write_all_at(&block, offset)?;
        file.sync_data()?;
        offset = (offset + bytes as u64) % (PROBE_BYTES - bytes as u64);
        count += 1;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

/// CPU time of this process so far, in steps of 10 ms.
pub(super) fn cpu_seconds() -> Result<f64> {
    Ok(cpu_ticks(&[std::process::id()])? as f64 / 100.0)
}

/// How long one of 1 000 entries a second waits until it is durable, in the log and in a loop that writes
/// and syncs whatever has arrived.
fn paced(
    log: &Arc<AuditLog>,
    runtime: &Runtime,
    folder: &Path,
    options: &Options,
) -> Result<Vec<Figure>> {
    let span = Duration::from_millis(options.milliseconds);
    let (mut raw, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        raw.extend(paced_probe(folder, span)?);
        ours.extend(paced_appends(log, runtime, span)?);
    }
    let mut figures = Vec::new();
    for (name, at, bar) in [("p50", 0.5, 1.3), ("p99", 0.99, 1.5)] {
        let (raw, ours) = (quantile(&mut raw, at), quantile(&mut ours, at));
        let figure = |what| format!("{what} at 1 000 a second, {name}");
        figures.push(Figure::new(figure("write and sync"), raw, "us"));
        figures.push(Figure::new(figure("acknowledgement"), ours, "us"));
        let ratio = figure("acknowledgement to write and sync");
        let ratio = Figure::ratio(ratio, ours / raw, "write and sync");
        figures.push(ratio.with_goal(Goal::AtMost(bar)));
    }
    Ok(figures)
}

/// Calls once a millisecond.
fn each_millisecond(span: Duration, mut arrive: impl FnMut(Instant)) {
    let started = Instant::now();
    for number in 0..span.as_millis() as u32 {
        let due = started + number * Duration::from_millis(1);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        arrive(Instant::now());
    }
}

fn paced_appends(log: &Arc<AuditLog>, runtime: &Runtime, span: Duration) -> Result<Vec<f64>> {
    let mut tasks = tokio::task::JoinSet::new();
    let mut caller = 0;
    each_millisecond(span, |arrived| {
        let log = Arc::clone(log);
        caller += 1;
        let append = async move {
            log.append_awaited(entry(caller))
                .await
                .map_err(Error::other)?;
            Ok::<_, Error>(arrived.elapsed().as_secs_f64() * 1e6)
        };
        tasks.spawn_on(append, runtime.handle());
    });
    runtime.block_on(async {
        let mut waits = Vec::new();
        while let Some(wait) = tasks.join_next().await {
            waits.push(wait.map_err(Error::other)??);
        }
        Ok(waits)
    })
}

pub(crate) fn paced_probe(folder: &Path, span: Duration) -> Result<Vec<f64>> {
    let file = OpenOptions::new().write(true).open(probe_file(folder)?)?;
    let (sender, receiver) = mpsc::channel::<Instant>();
    let probe = std::thread::spawn(move || {
        let (mut waits, mut offset) = (Vec::new(), 0_u64);
        while let Ok(first) = receiver.recv() {
            let arrived: Vec<_> = std::iter::once(first).chain(receiver.try_iter()).collect();
            let block = vec![0xA5; arrived.len() * ENTRY_BYTES];
            file.write_all_at(&block, offset)?;
            file.sync_data()?;
            offset = (offset + block.len() as u64) % (PROBE_BYTES / 2);
            waits.extend(arrived.iter().map(|at| at.elapsed().as_secs_f64() * 1e6));
        }
        Ok(waits)
    });
    each_millisecond(span, |arrived| _ = sender.send(arrived));
    drop(sender);
    probe.join().map_err(|_| Error::other("the probe ended"))?
}

/// `width` callers, each waiting for its own acknowledgement before it appends again.
pub(super) async fn appends(
    log: &Arc<AuditLog>,
    width: usize,
    span: Duration,
) -> Result<(f64, Vec<f64>)> {
    let count = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..width {
        let (log, count) = (log.clone(), count.clone());
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while started.elapsed() < span {
                let before = Instant::now();
                log.append_awaited(entry(caller))
                    .await
                    .map_err(Error::other)?;
                latencies.push(before.elapsed().as_secs_f64() * 1e6);
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Error>(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(result) = tasks.join_next().await {
        latencies.extend(result.map_err(Error::other)??);
    }
    let rate = count.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
    Ok((rate, latencies))
}

pub(super) fn entry(caller: usize) -> Entry {
    Entry {
        effect: Some(Effect::Allow),
        action: "select".to_owned(),
        request_digest: Hash::of(b"bench"),
        policy_set: Hash::of(b"policies"),
        entities: Hash::of(b"entities"),
        principal: format!("DataOS::User::\"user-{}\"", caller % 100),
        resource: "DataOS::Dataset::\"crm:main/customers\"".to_owned(),
        reason: "permitted".to_owned(),
        policies: vec!["policy:analysts".to_owned()],
        ..Entry::new(EntryKind::Decision, format!("bench-{caller:08}"))
    }
}
