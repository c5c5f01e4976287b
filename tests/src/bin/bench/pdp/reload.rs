//! One policy of many changes; then many changes under load.

use std::{
    io::{Error, Result},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use dataos_model::{
    action::Action, decision::Request, hash::Hash, policy::PolicyText, seams::Policies,
};
use dataos_pdp::Pdp;
use tokio::runtime::Runtime;

use super::{
    Options,
    workload::{Kind, dataset, open, principal},
};
use crate::report::{Figure, Goal, quantile};

const CHANGES: usize = 200;
const CHANGES_UNDER_LOAD: usize = 1_000;
const REQUESTS_UNDER_LOAD: usize = 1_000_000;

pub(super) fn run(options: &Options) -> Result<Vec<Figure>> {
    let size = options.sizes.iter().copied().max().unwrap_or(100_000);
    let (_folder, pdp) = open(Kind::Mixed, size)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    change(&runtime, &pdp, 0)?;
    let mut samples = Vec::new();
    for n in 1..=CHANGES {
        let started = Instant::now();
        change(&runtime, &pdp, n)?;
        samples.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let name = |what: &str| format!("1 of {size} policies changes: {what}");
    let mut figures = vec![
        Figure::new(name("text to live, p50"), quantile(&mut samples, 0.5), "ms")
            .with_goal(Goal::AtMost(1.0)),
        Figure::new(
            name("text to live, p99"),
            quantile(&mut samples, 0.99),
            "ms",
        ),
    ];
    figures.extend(under_load(&runtime, &pdp)?);
    Ok(figures)
}

/// Makes the one policy a permit or a forbid.
fn change(runtime: &Runtime, pdp: &Pdp, n: usize) -> Result<Hash> {
    let effect = if n.is_multiple_of(2) {
        "permit"
    } else {
        "forbid"
    };
    let text = PolicyText {
        source: "policy:v1:changing".to_owned(),
        cedar: format!(
            "@id(\"changing\") {effect} (principal == DataOS::User::\"u1\", \
             action == DataOS::Action::\"select\", resource);"
        ),
    };
    runtime.block_on(pdp.put(text)).map_err(Error::other)
}

/// Every answer must be the one of the set that it names.
fn under_load(runtime: &Runtime, pdp: &Pdp) -> Result<Vec<Figure>> {
    let request = Request::new(&principal(1), Action::Select, dataset(7).uid());
    let mut answers = Vec::new();
    for n in 0..2 {
        let hash = change(runtime, pdp, n)?;
        answers.push((hash, pdp.decide_stock(&request)));
    }
    let is_over = AtomicBool::new(false);
    let ask = || {
        let (mut asked, mut wrong) = (0_usize, 0_usize);
        while asked < REQUESTS_UNDER_LOAD || !is_over.load(Ordering::Relaxed) {
            let decision = pdp.decide_now(&request);
            let expected = answers
                .iter()
                .find(|(hash, _)| *hash == decision.policy_set);
            asked += 1;
            wrong += usize::from(expected.is_none_or(|(_, expected)| *expected != decision));
        }
        (asked, wrong)
    };
    let (asked, wrong) = thread::scope(|scope| {
        let asking = scope.spawn(ask);
        let changed = (0..CHANGES_UNDER_LOAD).try_for_each(|n| change(runtime, pdp, n).map(drop));
        is_over.store(true, Ordering::Relaxed);
        let joined = asking
            .join()
            .map_err(|_| Error::other("a decision panicked"));
        changed.and(joined)
    })?;
    Ok(vec![
        Figure::new(
            format!("requests under {CHANGES_UNDER_LOAD} reloads"),
            asked as f64,
            "requests",
        ),
        Figure::new("failed or mixed of these", wrong as f64, "requests")
            .with_goal(Goal::AtMost(0.0)),
    ])
}
