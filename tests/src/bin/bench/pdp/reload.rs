//! One policy of many changes; then many changes under load.

use std::{
    io::{Error, Result},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use dataos_model::{policy::PolicyText, seams::Policies};

use super::{
    Options,
    workload::{Kind, open, request},
};
use crate::report::{Figure, Goal, quantile};

const CHANGES: usize = 200;
const CHANGES_UNDER_LOAD: usize = 1_000;
const REQUESTS_UNDER_LOAD: usize = 1_000_000;

pub(super) fn run(options: &Options) -> Result<Vec<Figure>> {
    let size = options.sizes.iter().copied().max().unwrap_or(100_000);
    let (_folder, pdp) = open(Kind::Mixed, size)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let change = |n: usize| {
        let effect = if n.is_multiple_of(2) {
            "permit"
        } else {
            "forbid"
        };
        let cedar = format!(
            "@id(\"changing\") {effect} (principal == DataOS::User::\"u1\", action == DataOS::Action::\"select\", resource);"
        );
        let text = PolicyText {
            source: "policy:v1:changing".to_owned(),
            cedar,
        };
        runtime.block_on(pdp.put(text)).map_err(Error::other)
    };
    change(0)?;
    let mut samples = Vec::new();
    for n in 1..=CHANGES {
        let started = Instant::now();
        change(n)?;
        samples.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let name = |what: &str| format!("1 of {size} policies changes: {what}");
    let mut figures = vec![
        Figure::new(
            name("parse to live, p50"),
            quantile(&mut samples, 0.5),
            "ms",
        )
        .with_goal(Goal::AtMost(1.0)),
        Figure::new(
            name("parse to live, p99"),
            quantile(&mut samples, 0.99),
            "ms",
        ),
    ];
    let (asked, mixed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let asked_of = request(7);
            while !is_over.load(Ordering::Relaxed)
                || asked.load(Ordering::Relaxed) < REQUESTS_UNDER_LOAD
            {
                let decision = pdp.decide_now(&asked_of);
                asked.fetch_add(1, Ordering::Relaxed);
                mixed.fetch_add(
                    usize::from(decision.policy_set == Default::default()),
                    Ordering::Relaxed,
                );
            }
        });
        let changed = (0..CHANGES_UNDER_LOAD).try_for_each(|n| change(n).map(drop));
        is_over.store(true, Ordering::Relaxed);
        let joined = asking
            .join()
            .map_err(|_| Error::other("a decision panicked"));
        changed.and(joined)
    })?;
    figures.push(Figure::new(
        format!("requests under {CHANGES_UNDER_LOAD} reloads"),
        asked.load(Ordering::Relaxed) as f64,
        "requests",
    ));
    figures.push(
        Figure::new(
            "failed or mixed of these",
            mixed.load(Ordering::Relaxed) as f64,
            "requests",
        )
        .with_goal(Goal::AtMost(0.0)),
    );
    Ok(figures)
}
