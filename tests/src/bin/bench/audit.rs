//! Durable, individually acknowledged appends, with a raw fdatasync probe of the same write size
//! interleaved in the same run.

use std::{
    fs::{File, OpenOptions},
    io::{Error, Result},
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Args;
use dataos_audit::{AuditConfig, AuditLog};
use dataos_model::{
    clock::{Clock, Timestamp},
    decision::Effect,
    hash::Hash,
    record::{Entry, EntryKind},
    seams::Record,
    secret::Secret,
};

use crate::report::{Figure, Goal, quantile};

/// How long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rounds; each runs the probe and the log once per width.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Milliseconds per measurement.
    #[arg(long, default_value_t = 1000)]
    milliseconds: u64,
    /// Folder to write in; it decides which disk is measured.
    #[arg(long, default_value = "target/bench-audit")]
    folder: std::path::PathBuf,
}

/// The wall clock.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(since.map_or(0, |since| since.as_millis() as i64))
    }
}

pub(crate) fn run(options: &Options) -> Result<Vec<Figure>> {
    std::fs::create_dir_all(&options.folder)?;
    let folder = tempfile::tempdir_in(&options.folder)?;
    let config = AuditConfig::new(folder.path().join("audit"), "bench");
    let log = AuditLog::open(config, Secret::new([7; 32]), Arc::new(SystemClock))
        .map_err(Error::other)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()?;
    let span = Duration::from_millis(options.milliseconds);
    let mut figures = Vec::new();
    for width in [1_usize, 64, 512] {
        let (mut rates, mut syncs, mut waits) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            syncs.push(probe(folder.path(), width * ENTRY_BYTES, span)?);
            let (rate, mut latencies) = runtime.block_on(appends(&log, width, span))?;
            rates.push(rate);
            waits.push(quantile(&mut latencies, 0.5));
        }
        let rate = quantile(&mut rates, 0.5);
        let sync = quantile(&mut syncs, 0.5);
        let figure = Figure::new(format!("durable appends, {width} in flight"), rate, "1/s");
        let goal = Goal::AtLeast(100_000.0);
        figures.push(if width == 512 {
            figure.with_goal(goal)
        } else {
            figure
        });
        figures.push(Figure::new(
            format!("fdatasync probe of {width} entries"),
            sync,
            "1/s",
        ));
        figures.push(Figure::ratio(
            format!("appends to {width} x probe syncs"),
            rate / (width as f64 * sync),
            "in flight x syncs of the probe",
        ));
        figures.push(Figure::new(
            format!("acknowledgement p50, {width} in flight"),
            quantile(&mut waits, 0.5),
            "us",
        ));
    }
    log.close().map_err(Error::other)?;
    Ok(figures)
}

/// Bytes that one entry of the benchmark takes on disk, roughly; the probe writes as many.
const ENTRY_BYTES: usize = 420;

/// Writes and syncs blocks over a zeroed file; syncs per second.
fn probe(folder: &Path, bytes: usize, span: Duration) -> Result<f64> {
    const FILE_BYTES: u64 = 64 << 20;
    let path = folder.join("probe");
    if !path.exists() {
        let file = File::create(&path)?;
        let zeros = vec![0; 1 << 20];
        for block in 0..(FILE_BYTES >> 20) {
            file.write_all_at(&zeros, block << 20)?;
        }
        file.sync_all()?;
    }
    let file = OpenOptions::new().write(true).open(&path)?;
    let block = vec![0xA5; bytes];
    let started = Instant::now();
    let (mut count, mut offset) = (0_u32, 0_u64);
    while started.elapsed() < span {
        file.write_all_at(&block, offset)?;
        file.sync_data()?;
        offset = (offset + bytes as u64) % (FILE_BYTES - bytes as u64);
        count += 1;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

/// `width` callers, each waiting for its own acknowledgement before it appends again.
async fn appends(log: &Arc<AuditLog>, width: usize, span: Duration) -> Result<(f64, Vec<f64>)> {
    let count = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..width {
        let (log, count) = (log.clone(), count.clone());
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while started.elapsed() < span {
                let before = Instant::now();
                log.append(entry(caller)).await.map_err(Error::other)?;
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

fn entry(caller: usize) -> Entry {
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
