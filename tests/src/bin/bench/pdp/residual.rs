//! Rows and columns of one dataset for one caller, new and remembered.

use std::{collections::BTreeMap, io::Result};

use dataos_model::{access::AccessRequest, action::Action};

use super::{
    Options, time,
    workload::{Kind, USERS, WITH_COLUMNS, dataset, open, principal, spread},
};
use crate::report::{Figure, Goal, quantile};

pub(super) fn run(options: &Options) -> Result<Vec<Figure>> {
    let size = options.sizes.iter().copied().max().unwrap_or(100_000);
    let (_folder, pdp) = open(Kind::MixedData, size)?;
    let request = |n: usize| AccessRequest {
        principal: principal(spread(n, 1, USERS)),
        action: Action::Select,
        datasets: vec![dataset(spread(n, 2, WITH_COLUMNS))],
        context: BTreeMap::new(),
    };
    // Callers are new each time; the policies of the datasets have been type-checked before.
    let all: Vec<AccessRequest> = (0..options.decisions).map(request).collect();
    let (warm, cold) = all.split_at(all.len() / 2);
    let ask = |request: &AccessRequest| {
        std::hint::black_box(pdp.access_now(request));
    };
    warm.iter().for_each(ask);
    let mut new = time(cold.len(), |n| cold.get(n).into_iter().for_each(ask));
    let mut known = time(cold.len(), |n| cold.get(n).into_iter().for_each(ask));
    let allowed = cold
        .iter()
        .flat_map(|request| pdp.access_now(request))
        .filter(|answer| answer.decision.is_allowed())
        .count();
    let name = |what: &str| format!("{size} policies, 12 columns: {what}");
    Ok(vec![
        Figure::new(
            name("datasets that are not denied"),
            allowed as f64 * 100.0 / cold.len() as f64,
            "%",
        ),
        Figure::new(name("new caller p50"), quantile(&mut new, 0.5), "us")
            .with_goal(Goal::AtMost(100.0)),
        Figure::new(name("new caller p99"), quantile(&mut new, 0.99), "us"),
        Figure::new(name("known p50"), quantile(&mut known, 0.5), "us")
            .with_goal(Goal::AtMost(2.0)),
        Figure::new(name("known p99"), quantile(&mut known, 0.99), "us"),
    ])
}
