//! From a statement's text to the governed one: parse, resolve, PDP, bind, emit, check, certificate. Nothing is
//! run and nothing recorded. Every table has a row filter and up to three masks.
//!
//! New: each text has a comment of its own, so that nothing of it was seen before; what the PDP has
//! answered about a dataset it knows, as in service. Repeated: the same text, again and again.

use std::{sync::Arc, time::Instant};

use dataos_model::{fault::Fault, query::RowFormat};
use dataos_query::{QueryLayer, sample::write_tpch};

use super::{
    Options, policies,
    world::{World, files, request, unwritable},
};
use crate::report::{Figure, Goal, quantile};

/// Rewrites of each text.
const RUNS: usize = 100;

/// Bars in microseconds.
struct Bars {
    p50: Option<f64>,
    p99: f64,
}

pub(super) async fn run(options: &Options) -> Result<Vec<Figure>, Fault> {
    let texts = dataos_sql::tpch::TPCH.map(|(_, sql)| sql.to_owned());
    let tpch = World::open().await?;
    let data = tpch.path().join("tpch");
    std::fs::create_dir(&data).map_err(unwritable)?;
    write_tpch(&data, options.scale.min(0.01))?;
    tpch.scan("tpch", files(&data), 8).await?;
    tpch.rule(&policies::tpch(&tpch.snapshot()))?;
    let bars = Bars {
        p50: Some(300.0),
        p99: 1_000.0,
    };
    let mut figures = measured("TPC-H", &tpch, &texts, bars).await?;
    let folder = dataos_tests::tpcds::folder().map_err(unwritable)?;
    let texts = dataos_tests::tpcds::texts(&folder).map_err(unwritable)?;
    let tpcds = World::open().await?;
    tpcds
        .scan("tpcds", files(&folder), dataos_tests::tpcds::TABLES)
        .await?;
    tpcds.rule(&policies::any(&tpcds.snapshot()))?;
    let bars = Bars {
        p50: None,
        p99: 3_000.0,
    };
    figures.extend(measured("TPC-DS", &tpcds, &texts, bars).await?);
    Ok(figures)
}

async fn measured(
    set: &str,
    world: &World,
    texts: &[String],
    bars: Bars,
) -> Result<Vec<Figure>, Fault> {
    let layer = world.unrecorded()?;
    let (mut new, mut repeated) = (Vec::new(), Vec::new());
    for sql in texts {
        // The PDP has been asked, and code is in the cache.
        time(&layer, sql).await?;
    }
    for run in 0..RUNS {
        for sql in texts {
            new.push(time(&layer, &format!("{sql}\n-- {run}")).await?);
        }
    }
    for sql in texts {
        time(&layer, sql).await?;
        for _ in 0..RUNS {
            repeated.push(time(&layer, sql).await?);
        }
    }
    let name = |what: &str| format!("{set}, {} texts: {what}", texts.len());
    let p50 = Figure::new(name("new p50"), quantile(&mut new, 0.5), "us");
    let p50 = match bars.p50 {
        Some(bar) => p50.with_goal(Goal::AtMost(bar)),
        None => p50,
    };
    Ok(vec![
        p50,
        Figure::new(name("new p99"), quantile(&mut new, 0.99), "us")
            .with_goal(Goal::AtMost(bars.p99)),
        Figure::new(name("repeated p50"), quantile(&mut repeated, 0.5), "us")
            .with_goal(Goal::AtMost(10.0)),
        Figure::new(name("repeated p99"), quantile(&mut repeated, 0.99), "us"),
    ])
}

/// Microseconds of one rewrite.
async fn time(layer: &Arc<QueryLayer>, sql: &str) -> Result<f64, Fault> {
    let request = request(sql, RowFormat::ArrowStream);
    let started = Instant::now();
    layer.rewrite(&request).await?;
    Ok(started.elapsed().as_secs_f64() * 1e6)
}
