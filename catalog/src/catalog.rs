//! The catalog as other rooms see it: opening, and the seam `Assets`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use dataos_model::{
    clock::Clock,
    dataset::DatasetId,
    depot::{AssetSnapshot, Dataset, DatasetSource, Depot},
    fault::{Fault, FaultKind},
    lineage::WriteLineage,
    seams::{Assets, EntitySink, Lineage, ScanReport, Secrets},
};
use dataos_store::Metadata;

use crate::{
    change::{Mutation, Target},
    depot::{check_depot, is_same_place},
    names,
    scan::{self, diff},
    search,
    state::{Published, State},
    store::Tables,
    transactions::{Planned, Transactions},
    writes,
};

/// Name of the store's file in the catalog's directory.
const STORE_FILE: &str = "catalog.db";
/// Most hits that a search returns, whatever the caller asks for.
const HITS_MAX: usize = 1000;
/// Most depots.
const DEPOTS_MAX: usize = 1000;

/// Where the catalog keeps what it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogConfig {
    /// The catalog's own folder; created if it is not there. It holds `catalog.db`, if `metadata` is
    /// embedded.
    pub directory: PathBuf,
    /// Where the tables are.
    pub metadata: Metadata,
}

impl CatalogConfig {
    /// Everything in `directory`.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            metadata: Metadata::default(),
        }
    }
}

/// What the catalog needs from other rooms.
#[derive(Clone, Debug)]
pub struct CatalogSeams {
    /// The PDP's entity snapshot; fed before any change is acknowledged.
    pub sink: Arc<dyn EntitySink>,
    /// Passwords of databases.
    pub secrets: Arc<dyn Secrets>,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
}

/// The catalog; implements [`Assets`].
#[derive(Debug)]
pub struct Catalog {
    transactions: Arc<Transactions>,
    directory: PathBuf,
    secrets: Arc<dyn Secrets>,
    clock: Arc<dyn Clock>,
    /// One lock per depot: scans of one depot wait for each other, those of others do not.
    scans: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Catalog {
    /// Opens or creates the catalog in `config.directory`, hands all entities to the sink, and closes
    /// the writes that an earlier process left open: those that left no file are voided, of the others
    /// the stricter tags stay.
    ///
    /// # Errors
    /// A store that is newer, damaged, foreign, in use or out of reach; or a sink that refuses.
    pub async fn open(config: CatalogConfig, seams: CatalogSeams) -> Result<Arc<Self>, Fault> {
        let directory = config.directory;
        tokio::fs::create_dir_all(&directory)
            .await
            .map_err(|error| {
                Fault::unavailable(format!("catalog folder {}: {error}", directory.display()))
                    .with_hint("check the path and its permissions")
            })?;
        let tables = Tables::open(&config.metadata, &directory.join(STORE_FILE)).await?;
        let CatalogSeams {
            sink,
            secrets,
            clock,
        } = seams;
        let transactions = Transactions::open(tables, sink, Arc::clone(&clock)).await?;
        let catalog = Arc::new(Self {
            transactions: Arc::new(transactions),
            directory,
            secrets,
            clock,
            scans: Mutex::default(),
        });
        catalog
            .change("open", |state| Ok((writes::close_abandoned(state), ())))
            .await?;
        Ok(catalog)
    }

    /// Runs one transaction to its end, even if the caller stops waiting: half a change must not
    /// depend on a client's patience.
    async fn change<T: Send + 'static>(
        &self,
        cause: &'static str,
        plan: impl FnOnce(&State) -> Planned<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let transactions = Arc::clone(&self.transactions);
        let task = tokio::spawn(async move { transactions.run(cause, plan).await });
        task.await
            .unwrap_or_else(|error| Err(Fault::internal(format!("catalog transaction: {error}"))))
    }

    fn scan_lock(&self, depot: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(scans.entry(depot.to_owned()).or_default())
    }

    /// Closes the store and gives its lock back; later changes are refused.
    pub async fn close(&self) {
        self.transactions.close().await;
    }

    /// The catalog as it is now.
    pub fn snapshot(&self) -> Arc<AssetSnapshot> {
        Arc::clone(&self.published().snapshot)
    }

    fn published(&self) -> Arc<Published> {
        self.transactions.published()
    }
}

#[async_trait]
impl Assets for Catalog {
    async fn snapshot(&self) -> Result<Arc<AssetSnapshot>, Fault> {
        Ok(Self::snapshot(self))
    }

    async fn register_depot(&self, depot: Depot) -> Result<(), Fault> {
        check_depot(&depot, &self.directory)?;
        self.change("register_depot", move |state| {
            if !state.depots.contains_key(&depot.name) && state.depots.len() >= DEPOTS_MAX {
                return Err(Fault::invalid(format!(
                    "there are {DEPOTS_MAX} depots already"
                )));
            }
            let known = state.depots.get(&depot.name);
            if known.is_some_and(|known| **known == depot) {
                return Ok((Vec::new(), ()));
            }
            let is_moved = known.is_some_and(|known| !is_same_place(&known.source, &depot.source));
            let gone = if is_moved {
                state.datasets_of(&depot.name)
            } else {
                Vec::new()
            };
            let mut mutations: Vec<_> = gone.into_iter().map(Mutation::RemoveDataset).collect();
            mutations.push(Mutation::PutDepot(Arc::new(depot)));
            Ok((mutations, ()))
        })
        .await
    }

    async fn remove_depot(&self, name: &str) -> Result<(), Fault> {
        let name = name.to_owned();
        self.change("remove_depot", move |state| {
            if !state.depots.contains_key(&name) {
                return Err(no_depot(&name));
            }
            let datasets = state
                .datasets_of(&name)
                .into_iter()
                .map(Mutation::RemoveDataset);
            let mut mutations: Vec<_> = datasets.collect();
            mutations.push(Mutation::RemoveDepot(name));
            Ok((mutations, ()))
        })
        .await
    }

    async fn scan(&self, depot: &str) -> Result<ScanReport, Fault> {
        if !self.snapshot().depots.contains_key(depot) {
            return Err(no_depot(depot));
        }
        let lock = self.scan_lock(depot);
        let _turn = lock.lock().await;
        let before = self.snapshot();
        let depot = Arc::clone(before.depots.get(depot).ok_or_else(|| no_depot(depot))?);
        let known = self.change("scan", {
            let name = depot.name.clone();
            move |state| {
                let of_depot = state.datasets_of(&name).into_iter();
                let known = of_depot.filter_map(|id| Some((state.records.get(&id)?).clone()));
                Ok((
                    Vec::new(),
                    known.map(|record| (record.id.clone(), record)).collect(),
                ))
            }
        });
        let known = known.await?;
        let survey = scan::survey(&depot, known, self.secrets.as_ref(), self.clock.now()).await?;
        let started_at = before.transaction;
        self.change("scan", move |state| {
            if state.depots.get(&depot.name) != Some(&depot) {
                return Err(Fault::new(
                    FaultKind::Conflict,
                    format!("depot `{}` was changed while it was scanned", depot.name),
                )
                .with_hint("scan again"));
            }
            Ok(diff::changes(state, &depot.name, survey, started_at))
        })
        .await
    }

    async fn set_tags(
        &self,
        dataset: &DatasetId,
        column: Option<&str>,
        tags: Vec<String>,
    ) -> Result<(), Fault> {
        names::check_tags(&tags)?;
        let tags: BTreeSet<String> = tags.into_iter().collect();
        let target = Target::new(dataset, column);
        self.change("set_tags", move |state| {
            let record = state
                .records
                .get(&target.dataset)
                .ok_or_else(|| no_dataset(&target.dataset))?;
            if let Some(column) = &target.column
                && record.schema.column(column).is_none()
            {
                let column = names::shown(column);
                return Err(Fault::not_found(format!(
                    "{} has no column `{column}`",
                    record.id
                )));
            }
            let is_same = state.own_tags(&target) == tags;
            let change = (!is_same).then_some(Mutation::PutTags(target, tags));
            Ok((change.into_iter().collect(), ()))
        })
        .await
    }

    async fn stage_write(&self, target: Dataset, lineage: WriteLineage) -> Result<u64, Fault> {
        writes::check(&target, &lineage)?;
        let now = self.clock.now();
        self.change("stage_write", move |state| {
            writes::stage(state, &target, &lineage, now)
        })
        .await
    }

    async fn settle_write(&self, stage: u64, target: Dataset) -> Result<(), Fault> {
        writes::check_target(&target)?;
        let now = self.clock.now();
        self.change("settle_write", move |state| {
            Ok((writes::settle(state, stage, &target, now)?, ()))
        })
        .await
    }

    async fn retract_write(&self, stage: u64) -> Result<(), Fault> {
        self.change("retract_write", move |state| {
            Ok((writes::retract(state, stage)?, ()))
        })
        .await
    }

    async fn drop_view(&self, view: &DatasetId) -> Result<(), Fault> {
        let view = view.clone();
        self.change("drop_view", move |state| {
            let record = state.records.get(&view).ok_or_else(|| no_dataset(&view))?;
            if !matches!(record.source, DatasetSource::View { .. }) {
                return Err(Fault::invalid(format!("{view} is no view")));
            }
            let edges = state.edges().feeding(&view);
            let mut mutations: Vec<_> = edges
                .flat_map(|(edge, supports)| {
                    let supports = supports.iter();
                    supports.map(|support| Mutation::RemoveEdge(edge.clone(), *support))
                })
                .collect();
            mutations.push(Mutation::RemoveDataset(view));
            Ok((mutations, ()))
        })
        .await
    }

    async fn search(
        &self,
        text: &str,
        limit: usize,
        is_visible: &(dyn for<'a> Fn(&'a DatasetId) -> bool + Send + Sync),
    ) -> Result<Vec<DatasetId>, Fault> {
        let published = self.published();
        let documents = published
            .documents
            .iter()
            .map(|(id, document)| (id, document.as_ref()));
        Ok(search::search(
            documents,
            text,
            limit.min(HITS_MAX),
            is_visible,
        ))
    }

    async fn lineage(&self, dataset: &DatasetId) -> Result<Lineage, Fault> {
        let published = self.published();
        if !published.snapshot.datasets.contains_key(dataset) {
            return Err(no_dataset(dataset));
        }
        let edges = &published.edges;
        let downstream = edges.fed_by(dataset);
        Ok(Lineage {
            upstream: edges
                .feeding(dataset)
                .map(|(edge, _)| edge.column_edge())
                .collect(),
            downstream: downstream
                .map(|edge| (edge.target.clone(), edge.column_edge()))
                .collect(),
        })
    }
}

fn no_depot(name: &str) -> Fault {
    Fault::not_found(format!("no depot `{}`", names::shown(name)))
}

fn no_dataset(id: &DatasetId) -> Fault {
    Fault::not_found(format!("no dataset {}", names::shown(&id.to_string())))
}
