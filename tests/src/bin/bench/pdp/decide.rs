//! Decisions over growing policy sets: ours through index and programs, stock Cedar over the whole set
//! beside.

use std::{
    io::{Error, Result},
    time::Instant,
};

use dataos_model::decision::Request;
use dataos_pdp::{Engine, Pdp};

use super::{
    Options, time,
    workload::{Kind, open, request, unscoped_request},
};
use crate::report::{Figure, Goal, quantile};

/// Decisions per size that are compared with stock Cedar's.
const COMPARED_MAX: usize = 50;

/// Mixed scopes.
pub(super) fn mixed(options: &Options) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut smallest: Option<f64> = None;
    for size in &options.sizes {
        let name = |what: &str| format!("{size} policies: {what}");
        let before = resident();
        let started = Instant::now();
        let (_folder, pdp) = open(Kind::Mixed, *size)?;
        let load = started.elapsed().as_secs_f64();
        figures.push(Figure::new(name("files, cold load, entities"), load, "s"));
        let per_policy = (resident() - before) / *size as f64;
        figures.push(Figure::new(name("resident per policy"), per_policy, "B"));
        let requests: Vec<Request> = (0..options.decisions).map(request).collect();
        let [p50, p99] = decisions(&pdp, &requests);
        let is_large = *size >= 100_000;
        figures.push(goal(
            Figure::new(name("decision p50"), p50, "us"),
            is_large,
            3.0,
        ));
        figures.push(goal(
            Figure::new(name("decision p99"), p99, "us"),
            is_large,
            15.0,
        ));
        let counts = pdp.decision_counts();
        let compiled = counts.compiled as f64 / (counts.compiled + counts.fallback) as f64;
        figures.push(Figure::new(
            name("decided by programs"),
            compiled * 100.0,
            "%",
        ));
        let stock_p50 = stock(&pdp, &requests, options.stock)?;
        figures.push(Figure::new(name("stock Cedar p50"), stock_p50, "us"));
        figures.push(Figure::ratio(
            name("stock to ours, p50"),
            stock_p50 / p50,
            "stock Cedar",
        ));
        match smallest {
            None => smallest = Some(p50),
            Some(first) => figures.push(
                Figure::ratio(name("p50 to the smallest set"), p50 / first, "smallest set")
                    .with_goal(Goal::AtMost(4.0)),
            ),
        }
    }
    Ok(figures)
}

/// Nothing in the scope, an equality in the condition.
pub(super) fn unscoped(options: &Options) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for size in &options.sizes {
        let name = |what: &str| format!("{size} unscoped policies: {what}");
        let (_folder, pdp) = open(Kind::Unscoped, *size)?;
        let requests: Vec<Request> = (0..options.decisions).map(unscoped_request).collect();
        let [p50, p99] = decisions(&pdp, &requests);
        figures.push(Figure::new(name("decision p50"), p50, "us"));
        figures.push(Figure::new(name("decision p99"), p99, "us").with_goal(Goal::AtMost(20.0)));
        let stock_p50 = stock(&pdp, &requests, options.stock)?;
        figures.push(Figure::ratio(
            name("stock to ours, p50"),
            stock_p50 / p50,
            "stock Cedar",
        ));
    }
    Ok(figures)
}

fn decisions(pdp: &Pdp, requests: &[Request]) -> [f64; 2] {
    let decide = |request: &Request| {
        // As it is when it was just read from a connection: in the processor's cache.
        let request = request.clone();
        let started = Instant::now();
        let decision = pdp.decide_now(&request);
        let took = started.elapsed();
        drop(decision);
        took.as_secs_f64() * 1e6
    };
    // Once to warm up.
    requests.iter().for_each(|request| {
        decide(request);
    });
    let mut samples: Vec<f64> = requests.iter().map(decide).collect();
    [quantile(&mut samples, 0.5), quantile(&mut samples, 0.99)]
}

/// The time of stock Cedar; its answers must be ours.
fn stock(pdp: &Pdp, requests: &[Request], count: usize) -> Result<f64> {
    let requests = requests
        .get(..count.min(requests.len()))
        .unwrap_or(requests);
    if let Some(first) = requests.first() {
        // Makes Cedar's set.
        pdp.decide_stock(first);
    }
    let mut samples = time(requests.len(), |n| {
        requests.get(n).map(|request| pdp.decide_stock(request));
    });
    for request in requests.iter().take(COMPARED_MAX) {
        let ours = pdp.decide_with(request, Engine::Compiled);
        if ours != pdp.decide_stock(request) {
            return Err(Error::other(format!(
                "stock Cedar decides {request:?} otherwise"
            )));
        }
    }
    Ok(quantile(&mut samples, 0.5))
}

fn goal(figure: Figure, applies: bool, at_most: f64) -> Figure {
    if applies {
        figure.with_goal(Goal::AtMost(at_most))
    } else {
        figure
    }
}

/// Resident memory of this process, in bytes.
fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<f64>().ok());
    pages.unwrap_or(0.0) * 4096.0
}
