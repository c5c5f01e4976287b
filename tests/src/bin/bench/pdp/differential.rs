//! Decisions of generated worlds: by index and programs as in service, by programs alone or by the index
//! alone, and by stock Cedar. All must be equal: effect, reason, policies, errors, obligations, words.

use std::{
    collections::BTreeMap,
    fs,
    io::{Error, Result},
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use dataos_model::{
    decision::{Decision, Reason},
    entity::EntityChange,
    seams::EntitySink,
};
use dataos_pdp::{Engine, Pdp, PdpConfig};

use super::{generate, spread::Spread, workload::FixedClock};
use crate::report::{Figure, Goal};

/// Requests put to one world.
const PER_WORLD: usize = 2_000;
/// Of them by one caller.
const PER_CALLER: usize = 50;

/// Compares so many triples of the worlds behind the first `after`.
pub(super) fn run(after: usize, triples: usize) -> Result<Vec<Figure>> {
    let started = Instant::now();
    let worlds = triples.div_ceil(PER_WORLD);
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let compare = || -> Result<Seen> {
        let mut seen = Seen::default();
        loop {
            let world = next.fetch_add(1, Ordering::Relaxed);
            if world >= worlds {
                return Ok(seen);
            }
            compare_world((after + world) as u64, &mut seen)?;
        }
    };
    let seen = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(compare)).collect();
        let mut all = Seen::default();
        for thread in threads {
            let seen = thread.join().map_err(|_| Error::other("it panicked"))??;
            all.add(seen);
        }
        Ok::<_, Error>(all)
    })?;
    let mut figures = vec![
        Figure::new("triples", seen.triples as f64, "triples"),
        Figure::new("worlds of 40 policies", worlds as f64, "worlds"),
        Figure::new("decisions that differ", seen.differing as f64, "triples")
            .with_goal(Goal::AtMost(0.0)),
        Figure::new(
            "of all decided by programs",
            seen.compiled as f64 * 100.0 / seen.triples as f64,
            "%",
        ),
        Figure::new("time", started.elapsed().as_secs_f64(), "s"),
    ];
    figures.extend(seen.reasons.iter().map(|(reason, count)| {
        let share = *count as f64 * 100.0 / seen.triples as f64;
        Figure::new(format!("of all {reason}"), share, "%")
    }));
    let failing = seen.failing as f64 * 100.0 / seen.triples as f64;
    figures.push(Figure::new("of all with a policy that fails", failing, "%"));
    Ok(figures)
}

#[derive(Default)]
struct Seen {
    triples: usize,
    differing: usize,
    failing: usize,
    compiled: usize,
    reasons: BTreeMap<&'static str, usize>,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.triples += other.triples;
        self.differing += other.differing;
        self.failing += other.failing;
        self.compiled += other.compiled;
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
    }

    fn note(&mut self, decision: &Decision) {
        self.triples += 1;
        self.failing += usize::from(!decision.errors.is_empty());
        *self.reasons.entry(decision.reason.code()).or_default() += 1;
    }
}

fn compare_world(seed: u64, seen: &mut Seen) -> Result<()> {
    let mut spread = Spread::new(seed);
    let text = generate::policies(&mut spread);
    let folder = tempfile::tempdir()?;
    for (path, schema) in dataos_pdp::shipped_policies().take(1) {
        fs::write(folder.path().join(path), schema)?;
    }
    fs::write(folder.path().join("own.cedar"), &text)?;
    let config = PdpConfig {
        shadow_every: 0,
        ..PdpConfig::new(folder.path().to_owned())
    };
    let pdp = Pdp::open(config, Arc::new(FixedClock)).map_err(Error::other)?;
    let entities = generate::entities(&mut spread).into_iter();
    pdp.apply(entities.map(EntityChange::Upsert).collect())
        .map_err(Error::other)?;
    for _ in 0..PER_WORLD / PER_CALLER {
        let caller = generate::principal(&mut spread);
        for _ in 0..PER_CALLER {
            let request = generate::request(&mut spread, &caller);
            let stock = pdp.decide_stock(&request);
            // The two that take time of their own, in turn.
            let other = if seen.triples.is_multiple_of(2) {
                Engine::CompiledWhole
            } else {
                Engine::IndexedStock
            };
            let others = [pdp.decide_now(&request), pdp.decide_with(&request, other)];
            if stock.reason == Reason::RequestInvalid || others.iter().any(|it| *it != stock) {
                seen.differing += 1;
                println!("world {seed}: {request:?}\nstock {stock:?}\nothers {others:?}\n{text}");
            }
            seen.note(&stock);
        }
    }
    seen.compiled += usize::try_from(pdp.decision_counts().compiled).unwrap_or_default();
    Ok(())
}
