//! Explanations of denials, and searches, over the largest policy set.

use std::{
    collections::BTreeMap,
    io::{Error, Result},
};

use dataos_model::{
    action::Action,
    decision::{Reason, Request},
    entity::{EntityChange, EntityType},
    explain::{PAGE_MAX, Search, Sought},
    seams::{EntitySink, Explore},
};
use dataos_pdp::Pdp;
use tokio::runtime::Runtime;

use super::{
    Options, time,
    workload::{DATASETS, Kind, USERS, dataset, open, principal, request, spread},
};
use crate::report::{Figure, Goal, quantile};

/// Searches per kind.
const SEARCHES: usize = 200;

pub(super) fn run(options: &Options) -> Result<Vec<Figure>> {
    let size = options.sizes.iter().copied().max().unwrap_or(100_000);
    let (_folder, pdp) = open(Kind::Mixed, size)?;
    pdp.apply(users()).map_err(Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut figures = explain(&runtime, &pdp, options, size);
    figures.extend(search(&runtime, &pdp, size)?);
    Ok(figures)
}

/// All users as entities, with their memberships.
fn users() -> Vec<EntityChange> {
    let users = (0..USERS).map(|user| principal(user).entity());
    users.map(EntityChange::Upsert).collect()
}

fn explain(runtime: &Runtime, pdp: &Pdp, options: &Options, size: usize) -> Vec<Figure> {
    // Few are denied: most datasets have a policy for everybody.
    let denied: Vec<Request> = (0..options.decisions * 50)
        .map(request)
        .filter(|request| pdp.decide_now(request).reason == Reason::NoPermit)
        .take(options.decisions)
        .collect();
    let mut named = 0;
    let mut run = |n: usize| {
        let explained = denied
            .get(n)
            .map(|request| runtime.block_on(pdp.explain(request)));
        named += explained.map_or(0, |explained| explained.nearest.len());
    };
    // Once to warm up: the text of a condition is made when it is first asked for.
    time(denied.len(), &mut run);
    let mut samples = time(denied.len(), &mut run);
    let name = |what: &str| format!("{size} policies, denials explained: {what}");
    vec![
        Figure::new(name("denials"), denied.len() as f64, "requests"),
        Figure::new(
            name("nearest permits named, mean"),
            named as f64 / (2 * denied.len()) as f64,
            "permits",
        ),
        Figure::new(name("p50"), quantile(&mut samples, 0.5), "us"),
        Figure::new(name("p99"), quantile(&mut samples, 0.99), "us").with_goal(Goal::AtMost(200.0)),
    ]
}

fn search(runtime: &Runtime, pdp: &Pdp, size: usize) -> Result<Vec<Figure>> {
    let who_can = |n: usize| Sought::Principals {
        of: EntityType::USER,
        action: Action::Select,
        resource: dataset(spread(n, 2, DATASETS)).uid(),
        resource_entity: None,
    };
    let what_can = |n: usize| Sought::Resources {
        of: EntityType::DATASET,
        principal: principal(spread(n, 1, USERS)),
        action: Action::Select,
    };
    let mut figures = Vec::new();
    for (name, sought) in [
        (
            format!("who can select a dataset, of {USERS} users"),
            &who_can as &dyn Fn(usize) -> Sought,
        ),
        (
            format!("what a user can select, of {DATASETS} datasets"),
            &what_can,
        ),
    ] {
        let mut found = 0;
        let mut failed = None;
        let mut samples = time(SEARCHES, |n| {
            let search = Search {
                sought: sought(n),
                context: BTreeMap::new(),
                after: None,
                limit: PAGE_MAX,
            };
            match runtime.block_on(pdp.search(&search)) {
                Ok(page) => found += page.found.len(),
                Err(fault) => failed = Some(fault),
            }
        });
        if let Some(fault) = failed {
            return Err(Error::other(fault));
        }
        let name = |what: &str| format!("{size} policies, {name}: {what}");
        figures.extend([
            Figure::new(
                name("found on the first page, mean"),
                found as f64 / SEARCHES as f64,
                "entities",
            ),
            Figure::new(name("p50"), quantile(&mut samples, 0.5) / 1e3, "ms"),
            Figure::new(name("p99"), quantile(&mut samples, 0.99) / 1e3, "ms")
                .with_goal(Goal::AtMost(100.0)),
        ]);
    }
    Ok(figures)
}
