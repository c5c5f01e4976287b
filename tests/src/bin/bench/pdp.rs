//! Decisions over growing policy sets: ours through the index, stock Cedar over the whole set beside.
//!
//! The workload is mixed: policies scoped to a user, a group, a role or nobody in particular, on a
//! dataset, a collection, a depot or a tag; some with conditions, some forbids. Groups nest six deep.

use std::{
    fs,
    io::{Error, Result},
    path::Path,
    sync::Arc,
    time::Instant,
};

use clap::Args;
use dataos_model::{
    action::Action,
    clock::{Clock, Timestamp},
    dataset::DatasetId,
    decision::Request,
    entity::{Entity, EntityChange, EntityType},
    principal::{Authentication, Principal},
    seams::EntitySink,
};
use dataos_pdp::{Pdp, PdpConfig};

use crate::report::{Figure, Goal, quantile};

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Numbers of policies.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1_000, 100_000])]
    sizes: Vec<usize>,
    /// Decisions per size.
    #[arg(long, default_value_t = 20_000)]
    decisions: usize,
    /// Stock decisions per size; each walks the whole set.
    #[arg(long, default_value_t = 20)]
    stock: usize,
}

const USERS: usize = 5_000;
const DATASETS: usize = 5_000;
const GROUP_DEPTH: usize = 6;
const POLICIES_PER_FILE: usize = 1_000;

#[derive(Debug)]
struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}

pub(crate) fn run(options: &Options) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut smallest: Option<f64> = None;
    for size in &options.sizes {
        let folder = tempfile::tempdir()?;
        write_policies(folder.path(), *size)?;
        let started = Instant::now();
        let pdp = Pdp::open(
            PdpConfig::new(folder.path().to_owned()),
            Arc::new(FixedClock),
        )
        .map_err(Error::other)?;
        let load = started.elapsed().as_secs_f64();
        pdp.apply(entities()).map_err(Error::other)?;
        let name = |what: &str| format!("{size} policies: {what}");
        figures.push(Figure::new(name("cold load, checked"), load, "s"));
        let mut indexed = time(options.decisions, |n| {
            pdp.decide_now(&request(n));
        });
        let mut stock = time(options.stock, |n| {
            pdp.decide_stock(&request(n));
        });
        for n in 0..options.stock {
            let (ours, theirs) = (pdp.decide_now(&request(n)), pdp.decide_stock(&request(n)));
            if (ours.effect, &ours.policies) != (theirs.effect, &theirs.policies) {
                return Err(Error::other(format!(
                    "decision {n} differs from stock Cedar"
                )));
            }
        }
        let (p50, p99) = (quantile(&mut indexed, 0.5), quantile(&mut indexed, 0.99));
        let stock_p50 = quantile(&mut stock, 0.5);
        figures.push(Figure::new(name("decision p50"), p50, "us"));
        figures.push(Figure::new(name("decision p99"), p99, "us"));
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

fn time(count: usize, mut run: impl FnMut(usize)) -> Vec<f64> {
    (0..count)
        .map(|n| {
            let started = Instant::now();
            run(n);
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect()
}

/// A spread that repeats itself only after very many steps, the same in every run.
fn spread(n: usize, salt: usize, modulus: usize) -> usize {
    let mixed = (n as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (salt as u64) << 17;
    (mixed.rotate_left(23).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 33) as usize % modulus
}

fn dataset(n: usize) -> DatasetId {
    DatasetId::new(
        format!("d{}", n % 50),
        format!("c{}", n / 50 % 10),
        format!("t{n}"),
    )
}

fn request(n: usize) -> Request {
    let user = spread(n, 1, USERS);
    let mut principal = Principal::new(
        EntityType::USER.id(format!("u{user}")),
        Authentication::ApiKey,
    );
    principal.groups.push(format!("g{}-0", user % 200));
    principal.roles.push(format!("r{}", user % 20));
    principal.attributes.insert(
        "region".to_owned(),
        if user.is_multiple_of(2) {
            "EMEA"
        } else {
            "AMER"
        }
        .to_owned(),
    );
    Request::new(
        &principal,
        Action::Select,
        dataset(spread(n, 2, DATASETS)).uid(),
    )
}

fn policy(n: usize) -> String {
    let principal = match n % 10 {
        0..=3 => format!("principal == DataOS::User::\"u{}\"", spread(n, 3, USERS)),
        4..=6 => {
            let depth = spread(n, 5, GROUP_DEPTH);
            format!(
                "principal in DataOS::Group::\"g{}-{depth}\"",
                spread(n, 4, 200)
            )
        }
        7 | 8 => format!("principal in DataOS::Role::\"r{}\"", spread(n, 6, 20)),
        _ => "principal".to_owned(),
    };
    let id = dataset(spread(n, 7, DATASETS));
    // A policy for everybody is on one dataset; one for many is on few.
    let resource = match (n % 10, n % 7) {
        (0..=6, 0) => format!("resource in DataOS::Depot::\"{}\"", id.depot),
        (0..=6, 1) => format!("resource in DataOS::Tag::\"t{}\"", spread(n, 8, 500)),
        _ => format!("resource == DataOS::Dataset::\"{id}\""),
    };
    let effect = if n.is_multiple_of(13) {
        "forbid"
    } else {
        "permit"
    };
    let condition = if n.is_multiple_of(3) {
        " when { principal.hasTag(\"region\") && principal.getTag(\"region\") == \"EMEA\" }"
    } else {
        ""
    };
    format!(
        "@id(\"p{n}\")\n{effect} ({principal}, action == DataOS::Action::\"select\", {resource}){condition};\n"
    )
}

fn write_policies(folder: &Path, size: usize) -> Result<()> {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/schema.cedarschema");
    fs::copy(schema, folder.join("schema.cedarschema"))?;
    let subject = folder.join("bench");
    fs::create_dir(&subject)?;
    for first in (0..size).step_by(POLICIES_PER_FILE) {
        let text: String = (first..size.min(first + POLICIES_PER_FILE))
            .map(policy)
            .collect();
        fs::write(subject.join(format!("{first:07}.cedar")), text)?;
    }
    Ok(())
}

fn entities() -> Vec<EntityChange> {
    let mut all = Vec::new();
    for group in 0..200 {
        for depth in 0..GROUP_DEPTH {
            let parent = (depth + 1 < GROUP_DEPTH)
                .then(|| EntityType::GROUP.id(format!("g{group}-{}", depth + 1)));
            let uid = EntityType::GROUP.id(format!("g{group}-{depth}"));
            all.push(Entity::new(uid).with_parents(parent));
        }
    }
    for depot in 0..50 {
        let depot_uid = EntityType::DEPOT.id(format!("d{depot}"));
        all.push(Entity::new(depot_uid.clone()));
        for collection in 0..10 {
            let uid = EntityType::COLLECTION.id(format!("d{depot}:c{collection}"));
            all.push(Entity::new(uid).with_parents([depot_uid.clone()]));
        }
    }
    for n in 0..DATASETS {
        let id = dataset(n);
        let tag = EntityType::TAG.id(format!("t{}", n % 500));
        all.push(Entity::new(id.uid()).with_parents([id.collection_uid(), tag]));
    }
    all.into_iter().map(EntityChange::Upsert).collect()
}
