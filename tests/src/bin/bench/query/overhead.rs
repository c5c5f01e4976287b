//! TPC-H through the whole query layer with allow-all policies, against the same engine ungoverned.
//!
//! Governed is: parse, bind, PDP, certificate durable in the audit log, execution, encoding.
//! Ungoverned is: the text handed to the same engine with the same settings over the same files,
//! execution, encoding. Both run in turn, several rounds; each query's best time counts.

use std::{
    collections::BTreeMap,
    io::{Error, Result},
    path::Path,
    sync::{Arc, Mutex},
    time::Instant,
};

use async_trait::async_trait;
use clap::Args;
use dataos_audit::{AuditConfig, AuditLog};
use dataos_catalog::{Catalog, CatalogConfig, CatalogSeams};
use dataos_model::{
    clock::Clock,
    depot::{Depot, DepotSource},
    entity::EntityType,
    fault::Fault,
    principal::{Authentication, Principal},
    query::{QueryRequest, RowFormat},
    seams::{Assets, Nobody, RunQuery, Secrets},
    secret::{Secret, SecretName},
};
use dataos_pdp::{Pdp, PdpConfig};
use dataos_query::{Baseline, MASK_KEY, QueryConfig, QueryLayer, QuerySeams};

use crate::{
    audit::SystemClock,
    report::{Figure, Goal},
};

/// How much data, how often.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// TPC-H scale factor.
    #[arg(long, default_value_t = 0.1)]
    scale: f64,
    /// Rounds; the best time of each query counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// Secrets in memory.
#[derive(Debug, Default)]
struct MemorySecrets(Mutex<BTreeMap<SecretName, Secret>>);

#[async_trait]
impl Secrets for MemorySecrets {
    async fn get(&self, name: &SecretName) -> std::result::Result<Secret, Fault> {
        let secrets = self.0.lock().map_err(|_| Fault::internal("poisoned"))?;
        secrets
            .get(name)
            .cloned()
            .ok_or_else(|| Fault::not_found(format!("no secret {name}")))
    }

    async fn put(&self, name: &SecretName, secret: Secret) -> std::result::Result<(), Fault> {
        let mut secrets = self.0.lock().map_err(|_| Fault::internal("poisoned"))?;
        secrets.insert(name.clone(), secret);
        Ok(())
    }

    async fn remove(&self, name: &SecretName) -> std::result::Result<(), Fault> {
        let mut secrets = self.0.lock().map_err(|_| Fault::internal("poisoned"))?;
        secrets.remove(name);
        Ok(())
    }
}

pub(crate) fn run(options: &Options) -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(options))
}

async fn measure(options: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("tpch");
    std::fs::create_dir(&data)?;
    dataos_query::sample::write_tpch(&data, options.scale).map_err(Error::other)?;
    let (layer, baseline) = contenders(folder.path(), &data)
        .await
        .map_err(Error::other)?;
    let mut figures = Vec::new();
    let (mut sum_ours, mut sum_theirs, mut log_ratio, mut worst) = (0.0, 0.0, 0.0, 0.0_f64);
    for (name, sql) in dataos_sql::tpch::TPCH {
        let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
        let (mut our_rows, mut their_rows) = (0, 0);
        for round in 0..options.rounds {
            for turn in 0..2 {
                let started = Instant::now();
                if (round + turn) % 2 == 0 {
                    our_rows = run_governed(&layer, sql).await.map_err(Error::other)?;
                    ours = ours.min(started.elapsed().as_secs_f64() * 1e3);
                } else {
                    their_rows = run_ungoverned(&baseline, sql).await.map_err(Error::other)?;
                    theirs = theirs.min(started.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
        if our_rows != their_rows {
            return Err(Error::other(format!(
                "{name}: {our_rows} rows governed, {their_rows} not"
            )));
        }
        let ratio = ours / theirs;
        figures.push(Figure::new(format!("{name} governed"), ours, "ms"));
        figures.push(Figure::ratio(
            format!("{name} to ungoverned"),
            ratio,
            "DataFusion ungoverned",
        ));
        sum_ours += ours;
        sum_theirs += theirs;
        log_ratio += ratio.ln();
        worst = worst.max(ratio);
    }
    figures.push(Figure::new("22 queries governed", sum_ours, "ms"));
    figures.push(Figure::new("22 queries ungoverned", sum_theirs, "ms"));
    let mean = (log_ratio / 22.0).exp();
    let peer = "DataFusion ungoverned";
    figures.push(Figure::ratio(
        "total to ungoverned",
        sum_ours / sum_theirs,
        peer,
    ));
    figures.push(
        Figure::ratio("geometric mean to ungoverned", mean, peer).with_goal(Goal::AtMost(1.10)),
    );
    figures.push(Figure::ratio("worst query to ungoverned", worst, peer));
    Ok(figures)
}

/// The real rooms, joined as the gateway joins them.
async fn contenders(
    folder: &Path,
    data: &Path,
) -> std::result::Result<(Arc<QueryLayer>, Baseline), Fault> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let policies = folder.join("policies");
    dataos_pdp::write_shipped(&policies)?;
    let open = "@id(\"bench.open\")\npermit (principal, action, resource);\n";
    std::fs::write(policies.join("bench.cedar"), open)
        .map_err(|error| Fault::internal(error.to_string()))?;
    let pdp = Pdp::open(PdpConfig::new(policies), clock.clone())?;
    let secrets: Arc<dyn Secrets> = Arc::new(MemorySecrets::default());
    secrets
        .put(&SecretName(MASK_KEY.to_owned()), Secret::new([1; 32]))
        .await?;
    let log = AuditConfig::new(folder.join("audit"), "bench");
    let log = AuditLog::open(log, Secret::new([7; 32]), clock.clone())?;
    let catalog = Catalog::open(
        CatalogConfig::new(folder.join("catalog")),
        CatalogSeams {
            sink: pdp.clone(),
            secrets: secrets.clone(),
            clock: clock.clone(),
        },
    )
    .await?;
    let source = DepotSource::Files {
        root: data.to_owned(),
        is_writable: false,
    };
    catalog
        .register_depot(Depot {
            name: "tpch".to_owned(),
            description: String::new(),
            owner: "bench".to_owned(),
            tags: Default::default(),
            source,
        })
        .await?;
    let report = catalog.scan("tpch").await?;
    if report.added.len() != 8 {
        return Err(Fault::internal(format!("the scan found {report:?}")));
    }
    let snapshot = catalog.snapshot();
    let datasets: Vec<_> = snapshot.datasets.keys().cloned().collect();
    let config = QueryConfig::default();
    let baseline = Baseline::open(&config, &snapshot, &datasets, secrets.clone()).await?;
    let seams = QuerySeams {
        decide: pdp,
        record: log,
        records: None,
        assets: catalog,
        identities: Arc::new(Nobody),
        secrets,
        clock,
    };
    Ok((QueryLayer::open(config, seams)?, baseline))
}

async fn run_governed(layer: &Arc<QueryLayer>, sql: &str) -> std::result::Result<u64, Fault> {
    let principal = Principal::new(EntityType::USER.id("bench"), Authentication::ApiKey);
    let request = QueryRequest {
        principal,
        request_id: "bench".to_owned(),
        sql: sql.to_owned(),
        context: BTreeMap::new(),
        format: RowFormat::ArrowStream,
        rows_max: Some(100_000),
    };
    Ok(layer.run(request).await?.row_count)
}

async fn run_ungoverned(baseline: &Baseline, sql: &str) -> std::result::Result<u64, Fault> {
    Ok(baseline.run(sql, RowFormat::ArrowStream).await?.0)
}
