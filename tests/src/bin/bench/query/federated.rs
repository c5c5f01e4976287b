//! TPC-H over three kinds of source: lineitem and orders in Parquet files, customer, nation and region in
//! PostgreSQL, part, partsupp and supplier in MariaDB. Both servers are real.
//!
//! Ours is the whole layer, with its records and its rows encoded. The peer is datafusion-federation with
//! the table providers of datafusion-table-providers on the same version of the engine, in a process of its
//! own, which measures planning and execution alone: in its default order of rules, with its rule behind all
//! others, and without it. Every answer of ours is compared with that over files alone; an answer of the
//! peer that is not the same is told, and the query left out of what ours is compared with.

mod peer;
mod sources;

use std::{fs, sync::Arc, time::Instant};

use dataos_model::{fault::Fault, query::RowFormat, seams::RunQuery as _};
use dataos_query::{Baseline, QueryConfig, QueryLayer, sample::write_tpch};
use dataos_tests::binaries::from_project;

use self::{peer::Peer, sources::filled};
use super::{
    Options, policies,
    world::{World, files, request, sorted, unwritable},
};
use crate::report::{Figure, Goal};

const FORMAT: RowFormat = RowFormat::Json;

/// A way to use the peer, and how many times as long as ours it should take.
struct Mode {
    argument: &'static str,
    name: &'static str,
    goal: Option<f64>,
}

const MODES: [Mode; 3] = [
    Mode {
        argument: "stock",
        name: "stock",
        goal: Some(3.0),
    },
    Mode {
        argument: "last",
        name: "rule last",
        goal: Some(1.0),
    },
    Mode {
        argument: "none",
        name: "no rule",
        goal: None,
    },
];

struct Contenders {
    ours: Arc<QueryLayer>,
    files: Baseline,
    peers: Vec<Peer>,
}

/// Best milliseconds of a query, and of each peer that answers it rightly, else what is wrong.
struct Times {
    query: &'static str,
    ours: f64,
    files: f64,
    peers: Vec<Result<f64, String>>,
}

pub(super) async fn run(options: &Options) -> Result<Vec<Figure>, Fault> {
    let program = from_project("federation").map_err(unwritable)?;
    let whole = World::open().await?;
    let data = whole.path().join("tpch");
    fs::create_dir(&data).map_err(unwritable)?;
    write_tpch(&data, options.scale)?;
    whole.scan("tpch", files(&data), 8).await?;
    let on_files = whole.baseline().await?;
    let sources = filled(&whole, &data, &on_files).await?;
    let world = World::open().await?;
    sources.catalogue(&world).await?;
    world.rule(policies::OPEN)?;
    let described = sources.described(QueryConfig::default().partitions);
    let peers = MODES.iter();
    let peers = peers.map(|mode| Peer::start(&program, mode.argument, &described));
    let mut contenders = Contenders {
        ours: world.layer()?,
        files: on_files,
        peers: peers.collect::<Result<_, _>>().map_err(unwritable)?,
    };
    let mut times = Vec::new();
    for (name, sql) in dataos_sql::tpch::TPCH {
        times.push(contenders.best(name, sql, options.rounds).await?);
    }
    Ok(figures(&times))
}

fn figures(times: &[Times]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for Times {
        query,
        ours,
        files,
        peers,
    } in times
    {
        figures.push(Figure::new(format!("{query} ours"), *ours, "ms"));
        figures.push(Figure::new(format!("{query} files alone"), *files, "ms"));
        for (mode, peer) in MODES.iter().zip(peers) {
            let name = mode.name;
            figures.push(match peer {
                Ok(ms) => Figure::new(format!("{query} {name}"), *ms, "ms"),
                Err(wrong) => Figure::new(format!("{query} {name}: {wrong}"), 0.0, "right"),
            });
        }
    }
    let ours: f64 = times.iter().map(|times| times.ours).sum();
    let files: f64 = times.iter().map(|times| times.files).sum();
    figures.push(Figure::new("22 queries ours", ours, "ms"));
    figures.push(Figure::new("22 queries files alone", files, "ms"));
    for (index, mode) in MODES.iter().enumerate() {
        let both = times.iter().filter_map(|times| {
            let peer = times.peers.get(index)?.as_ref().ok()?;
            Some((times.ours, *peer))
        });
        let both: Vec<(f64, f64)> = both.collect();
        let (ours, peer) = both.iter().fold((0.0, 0.0), |(ours, peer), (one, other)| {
            (ours + one, peer + other)
        });
        let least = both.iter().map(|(ours, peer)| peer / ours);
        let least = least.fold(f64::INFINITY, f64::min);
        let name = mode.name;
        let count = both.len() as f64;
        figures.push(Figure::new(
            format!("{name}, right answers"),
            count,
            "of 22",
        ));
        figures.push(Figure::new(format!("{name}, these queries"), peer, "ms"));
        figures.push(Figure::new(format!("{name}, ours of them"), ours, "ms"));
        let ratio = Figure::ratio(format!("{name} to ours"), peer / ours, name);
        figures.push(match mode.goal {
            Some(goal) => ratio.with_goal(Goal::AtLeast(goal)),
            None => ratio,
        });
        figures.push(Figure::ratio(format!("{name} to ours, least"), least, name));
    }
    figures
}

impl Contenders {
    /// Compares all answers, then measures in turn.
    async fn best(
        &mut self,
        query: &'static str,
        sql: &str,
        rounds: usize,
    ) -> Result<Times, Fault> {
        let ours = self.ours.run(request(sql, FORMAT)).await?;
        let (_, files) = self.files.run(sql, FORMAT).await?;
        let files = files.concat();
        if sorted(&ours.chunks.concat())? != sorted(&files)? {
            let message = format!("{query}: our rows are not those over files alone");
            return Err(Fault::internal(message));
        }
        let mut times = Times {
            query,
            ours: f64::INFINITY,
            files: f64::INFINITY,
            peers: Vec::new(),
        };
        for peer in &mut self.peers {
            let wrong = peer.wrong(sql, &files).map_err(unwritable)?;
            times.peers.push(wrong.map_or(Ok(f64::INFINITY), Err));
        }
        let turns = 2 + self.peers.len();
        for round in 0..rounds {
            for turn in 0..turns {
                let started = Instant::now();
                let taken = || started.elapsed().as_secs_f64() * 1e3;
                match (round + turn) % turns {
                    0 => {
                        self.ours.run(request(sql, FORMAT)).await?;
                        times.ours = times.ours.min(taken());
                    }
                    1 => {
                        self.files.run(sql, FORMAT).await?;
                        times.files = times.files.min(taken());
                    }
                    peer => {
                        let peers = self.peers.iter_mut().zip(&mut times.peers);
                        if let Some((peer, Ok(best))) = peers.into_iter().nth(peer - 2) {
                            *best = best.min(peer.run(sql).map_err(unwritable)?);
                        }
                    }
                }
            }
        }
        Ok(times)
    }
}
