//! TPC-H through the whole query layer, against the same engine ungoverned, which is given what does the same
//! work: the plain text where policies permit all, and the text with the same filters and masks written
//! by hand where each table has a filter and up to three masks.
//!
//! Governed is: parse, bind, PDP, certificate, opening of sources, execution, encoding; recorded is the same with
//! the record durable in the audit log. Ungoverned is: the text handed to the same engine with the same
//! settings over tables that are open, execution, encoding, twice, so that the noise shows. All four run in
//! turn, several rounds; each one's best time counts. Row counts and rows are compared first.

use std::{sync::Arc, time::Instant};

use dataos_model::{fault::Fault, query::RowFormat, seams::RunQuery as _};
use dataos_query::{Baseline, QueryLayer, sample::write_tpch};

use super::{
    Options, policies,
    world::{World, files, request, sorted, unwritable},
};
use crate::report::{Figure, Goal};

pub(super) async fn run(options: &Options) -> Result<Vec<Figure>, Fault> {
    let world = World::open().await?;
    let data = world.path().join("tpch");
    std::fs::create_dir(&data).map_err(unwritable)?;
    write_tpch(&data, options.scale)?;
    world.scan("tpch", files(&data), 8).await?;
    let snapshot = world.snapshot();
    let mut figures = Vec::new();
    world.rule(policies::OPEN)?;
    let plain = |sql: &str| sql.to_owned();
    figures.extend(compared("permitted", &world, plain, options.rounds).await?);
    world.rule(&policies::tpch(&snapshot))?;
    let by_hand = |sql: &str| policies::tpch_by_hand(sql, &snapshot);
    figures.extend(compared("masked", &world, by_hand, options.rounds).await?);
    Ok(figures)
}

/// Best times in milliseconds.
#[derive(Debug)]
struct Best {
    recorded: f64,
    unrecorded: f64,
    ungoverned: f64,
    again: f64,
    /// Without execution: the governed text; the plan with sources opened; the plan of the ungoverned text.
    rewritten: f64,
    planned: f64,
    planned_ungoverned: f64,
}

struct Contenders {
    recorded: Arc<QueryLayer>,
    unrecorded: Arc<QueryLayer>,
    ungoverned: Baseline,
}

async fn compared(
    set: &str,
    world: &World,
    ungoverned: impl Fn(&str) -> String,
    rounds: usize,
) -> Result<Vec<Figure>, Fault> {
    let contenders = Contenders {
        recorded: world.layer()?,
        unrecorded: world.unrecorded()?,
        ungoverned: world.baseline().await?,
    };
    let (mut figures, mut all) = (Vec::new(), Vec::new());
    for (name, sql) in dataos_sql::tpch::TPCH {
        let by_hand = ungoverned(sql);
        contenders.check(name, sql, &by_hand).await?;
        let best = contenders.best(sql, &by_hand, rounds).await?;
        figures.push(Figure::new(
            format!("{set} {name}: governed"),
            best.unrecorded,
            "ms",
        ));
        figures.push(Figure::ratio(
            format!("{set} {name}: to ungoverned"),
            best.unrecorded / best.ungoverned,
            "DataFusion ungoverned",
        ));
        all.push(best);
    }
    figures.extend(summary(set, &all));
    Ok(figures)
}

impl Contenders {
    /// Whether both answer the same rows.
    async fn check(&self, name: &str, sql: &str, by_hand: &str) -> Result<(), Fault> {
        let ours = self.unrecorded.run(request(sql, RowFormat::Json)).await?;
        let (_, theirs) = self.ungoverned.run(by_hand, RowFormat::Json).await?;
        if sorted(&ours.chunks.concat())? == sorted(&theirs.concat())? {
            return Ok(());
        }
        Err(Fault::internal(format!(
            "{name}: governed rows are not those of {by_hand}"
        )))
    }

    async fn best(&self, sql: &str, by_hand: &str, rounds: usize) -> Result<Best, Fault> {
        let mut best = [f64::INFINITY; 4];
        for round in 0..rounds {
            for turn in 0..best.len() {
                let at = (round + turn) % best.len();
                let started = Instant::now();
                match at {
                    0 => drop(self.recorded.run(request(sql, FORMAT)).await?),
                    1 => drop(self.unrecorded.run(request(sql, FORMAT)).await?),
                    _ => drop(self.ungoverned.run(by_hand, FORMAT).await?),
                }
                let taken = started.elapsed().as_secs_f64() * 1e3;
                if let Some(best) = best.get_mut(at) {
                    *best = best.min(taken);
                }
            }
        }
        let [recorded, unrecorded, ungoverned, again] = best;
        let [rewritten, planned, planned_ungoverned] = self.steps(sql, by_hand, rounds).await?;
        Ok(Best {
            recorded,
            unrecorded,
            ungoverned,
            again,
            rewritten,
            planned,
            planned_ungoverned,
        })
    }

    /// Best times of what comes before execution, each of a text that was not seen before.
    async fn steps(&self, sql: &str, by_hand: &str, rounds: usize) -> Result<[f64; 3], Fault> {
        let mut best = [f64::INFINITY; 3];
        for round in 0..rounds {
            for turn in 0..best.len() {
                let at = (round + turn) % best.len();
                let ours = request(&format!("{sql}\n-- {at} {round}"), FORMAT);
                let started = Instant::now();
                match at {
                    0 => drop(self.unrecorded.rewrite(&ours).await?),
                    1 => drop(self.unrecorded.physical_plan(&ours).await?),
                    _ => drop(self.ungoverned.physical_plan(by_hand).await?),
                }
                let taken = started.elapsed().as_secs_f64() * 1e3;
                if let Some(best) = best.get_mut(at) {
                    *best = best.min(taken);
                }
            }
        }
        Ok(best)
    }
}

const FORMAT: RowFormat = RowFormat::ArrowStream;

fn summary(set: &str, all: &[Best]) -> Vec<Figure> {
    let peer = "DataFusion ungoverned";
    let sum = |of: fn(&Best) -> f64| all.iter().map(of).sum::<f64>();
    let mean = |of: fn(&Best) -> f64| {
        let logarithms = all.iter().map(|best| of(best).ln());
        (logarithms.sum::<f64>() / all.len() as f64).exp()
    };
    let ratio = |best: &Best| best.unrecorded / best.ungoverned;
    let worst = all.iter().map(ratio).fold(0.0, f64::max);
    let count = all.len() as f64;
    let per_statement = |of: fn(&Best) -> f64| sum(of) / count;
    let name = |what: &str| format!("{set}, 22 queries: {what}");
    vec![
        Figure::new(name("governed"), sum(|best| best.unrecorded), "ms"),
        Figure::new(name("ungoverned"), sum(|best| best.ungoverned), "ms"),
        Figure::ratio(name("geometric mean to ungoverned"), mean(ratio), peer)
            .with_goal(Goal::AtMost(1.05)),
        Figure::ratio(name("worst to ungoverned"), worst, peer).with_goal(Goal::AtMost(1.2)),
        Figure::ratio(
            name("ungoverned to itself, geometric mean"),
            mean(|best| best.again / best.ungoverned),
            peer,
        ),
        Figure::new(
            name("added per statement"),
            per_statement(|best| best.unrecorded - best.ungoverned),
            "ms",
        ),
        Figure::new(
            name("text to governed text, per statement"),
            per_statement(|best| best.rewritten),
            "ms",
        ),
        Figure::new(
            name("text to plan, per statement"),
            per_statement(|best| best.planned),
            "ms",
        ),
        Figure::new(
            name("ungoverned text to plan, per statement"),
            per_statement(|best| best.planned_ungoverned),
            "ms",
        ),
        Figure::new(
            name("added by the durable record"),
            per_statement(|best| best.recorded - best.unrecorded),
            "ms",
        ),
    ]
}
