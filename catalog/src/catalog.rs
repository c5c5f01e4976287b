//! The catalog as other rooms see it: opening, the one writer, and the seam `Assets`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use dataos_model::{
    clock::Clock,
    dataset::DatasetId,
    depot::{AssetSnapshot, Dataset, Depot, DepotSource},
    entity::EntityChange,
    fault::Fault,
    lineage::WriteLineage,
    seams::{Assets, EntitySink, Lineage, ScanReport, Secrets},
};

use crate::{
    change::{Mutation, Target},
    entities::{Touched, difference},
    names,
    scan::{self, diff},
    search,
    state::{Published, State},
    store::SqliteStore,
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
    /// The catalog's own folder; created if it is not there. It holds `catalog.db`.
    pub directory: PathBuf,
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
    shared: Arc<Shared>,
    /// One lock per depot: scans of one depot wait for each other, those of others do not.
    scans: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    seams: CatalogSeams,
    published: ArcSwap<Published>,
    /// Held across a whole transaction: there is one writer.
    writer: tokio::sync::Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    store: SqliteStore,
    state: State,
    /// Set when a failed transaction could not be undone; from then on only reads are answered.
    stopped: Option<Fault>,
}

/// What a transaction decided on the state it found: its changes, and what to tell the caller.
type Planned<T> = Result<(Vec<Mutation>, T), Fault>;

impl Catalog {
    /// Opens or creates the catalog in `config.directory`, hands all entities to the sink, and closes
    /// the writes that an earlier process left open: those that left no file are voided, of the others
    /// the stricter tags stay.
    ///
    /// # Errors
    /// A store that is newer, damaged, foreign or in use; or a sink that refuses.
    pub async fn open(config: CatalogConfig, seams: CatalogSeams) -> Result<Arc<Self>, Fault> {
        let directory = config.directory;
        tokio::fs::create_dir_all(&directory)
            .await
            .map_err(|error| {
                Fault::unavailable(format!("catalog folder {}: {error}", directory.display()))
                    .with_hint("check the path and its permissions")
            })?;
        let mut store = SqliteStore::open(&directory.join(STORE_FILE)).await?;
        let state = State::load(store.load().await?);
        let published = state.published().clone();
        let snapshot = &published.snapshot;
        let everything = Touched::all(snapshot);
        seams
            .sink
            .apply(difference(&AssetSnapshot::default(), snapshot, &everything))?;
        let writer = tokio::sync::Mutex::new(Writer {
            store,
            state,
            stopped: None,
        });
        let published = ArcSwap::from_pointee(published);
        let shared = Arc::new(Shared {
            directory,
            seams,
            published,
            writer,
        });
        let catalog = Arc::new(Self {
            shared,
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
        let shared = Arc::clone(&self.shared);
        let transaction = tokio::spawn(async move { shared.transact(cause, plan).await });
        transaction
            .await
            .unwrap_or_else(|error| Err(Fault::internal(format!("catalog transaction: {error}"))))
    }

    fn scan_lock(&self, depot: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(scans.entry(depot.to_owned()).or_default())
    }

    fn published(&self) -> Arc<Published> {
        self.shared.published.load_full()
    }
}

impl Shared {
    async fn transact<T>(
        &self,
        cause: &'static str,
        plan: impl FnOnce(&State) -> Planned<T>,
    ) -> Result<T, Fault> {
        let mut writer = self.writer.lock().await;
        if let Some(fault) = &writer.stopped {
            return Err(fault.clone());
        }
        let (mutations, answer) = plan(&writer.state)?;
        if mutations.is_empty() {
            return Ok(answer);
        }
        match self.commit(&mut writer, cause, &mutations).await {
            Ok(()) => Ok(answer),
            Err(fault) => {
                tracing::error!(cause, %fault, "catalog transaction failed");
                Err(fault)
            }
        }
    }

    /// Writes, lets the PDP see, makes durable, publishes. The PDP comes before durability so that
    /// what it refuses is never durable; a failure after it is undone there too.
    async fn commit(
        &self,
        writer: &mut Writer,
        cause: &str,
        mutations: &[Mutation],
    ) -> Result<(), Fault> {
        let Writer { store, state, .. } = writer;
        let number = state.transaction + 1;
        let now = self.seams.clock.now();
        let pending = store.write(number, now, cause, mutations).await?;
        let old = Arc::clone(&state.published().snapshot);
        let touched = state.apply(number, mutations);
        let new = Arc::clone(&state.published().snapshot);
        let (seen, outcome) = match self.feed(difference(&old, &new, &touched)) {
            Err(fault) => {
                let undone = pending.roll_back().await;
                (old, Err(undone.err().map_or(fault, Fault::from)))
            }
            Ok(()) => (new, pending.commit().await.map_err(Fault::from)),
        };
        match outcome {
            Ok(()) => self.published.store(Arc::new(state.published().clone())),
            Err(fault) => {
                self.recover(writer, &seen, touched).await;
                return Err(fault);
            }
        }
        Ok(())
    }

    /// After a failed transaction: what is durable counts, for us and for the PDP, which has `seen`.
    async fn recover(&self, writer: &mut Writer, seen: &AssetSnapshot, touched: Touched) {
        let stored = match writer.store.load().await {
            Ok(stored) => stored,
            Err(error) => return Self::stop(writer, error.into()),
        };
        let written = std::mem::take(&mut writer.state.written);
        writer.state = State::load(stored);
        writer.state.written = written;
        let published = writer.state.published().clone();
        let back = difference(seen, &published.snapshot, &touched);
        if let Err(fault) = self.feed(back) {
            return Self::stop(writer, fault);
        }
        self.published.store(Arc::new(published));
    }

    fn feed(&self, changes: Vec<EntityChange>) -> Result<(), Fault> {
        if changes.is_empty() {
            return Ok(());
        }
        self.seams.sink.apply(changes).map(|_| ())
    }

    fn stop(writer: &mut Writer, fault: Fault) {
        tracing::error!(%fault, "catalog stopped writing");
        let message = format!("the catalog takes no more changes: {}", fault.message);
        writer.stopped = Some(
            Fault::unavailable(message)
                .with_reason("catalog_stopped")
                .with_hint("mend the cause and restart"),
        );
    }
}

#[async_trait]
impl Assets for Catalog {
    fn snapshot(&self) -> Arc<AssetSnapshot> {
        Arc::clone(&self.shared.published.load().snapshot)
    }

    async fn register_depot(&self, depot: Depot) -> Result<(), Fault> {
        check_depot(&depot, &self.shared.directory)?;
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
        let seams = &self.shared.seams;
        let survey = scan::survey(&depot, known, seams.secrets.as_ref(), seams.clock.now()).await?;
        let started_at = before.transaction;
        self.change("scan", move |state| {
            if state.depots.get(&depot.name) != Some(&depot) {
                return Err(Fault::new(
                    dataos_model::fault::FaultKind::Conflict,
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
        let now = self.shared.seams.clock.now();
        self.change("stage_write", move |state| {
            writes::stage(state, &target, &lineage, now)
        })
        .await
    }

    async fn settle_write(&self, stage: u64, target: Dataset) -> Result<(), Fault> {
        writes::check_target(&target)?;
        let now = self.shared.seams.clock.now();
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

    async fn search(
        &self,
        text: &str,
        limit: usize,
        is_visible: &(dyn for<'a> Fn(&'a DatasetId) -> bool + Send + Sync),
    ) -> Vec<DatasetId> {
        let published = self.published();
        let documents = published
            .documents
            .iter()
            .map(|(id, document)| (id, document.as_ref()));
        search::search(documents, text, limit.min(HITS_MAX), is_visible)
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

/// Whether two sources hold the same data, so that what is catalogued of one holds for the other.
fn is_same_place(a: &DepotSource, b: &DepotSource) -> bool {
    match (a, b) {
        (DepotSource::Files { root: a, .. }, DepotSource::Files { root: b, .. }) => a == b,
        (
            DepotSource::Postgres {
                host,
                port,
                database,
                ..
            },
            DepotSource::Postgres {
                host: host_b,
                port: port_b,
                database: database_b,
                ..
            },
        ) => (host, port, database) == (host_b, port_b, database_b),
        _ => false,
    }
}

fn check_depot(depot: &Depot, own: &std::path::Path) -> Result<(), Fault> {
    names::check_depot(&depot.name)?;
    let refuse = |problem: String, hint: &str| {
        Err(Fault::invalid(format!("depot `{}`: {problem}", depot.name)).with_hint(hint))
    };
    match &depot.source {
        DepotSource::Files { root, .. } => {
            let shown = root.display();
            if !root.is_absolute() || root.to_str().is_none() {
                return refuse(
                    format!("folder {shown} is not an absolute path in UTF-8"),
                    "write the whole path",
                );
            }
            let real =
                |path: &std::path::Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
            let (root, own) = (real(root), real(own));
            if own.starts_with(&root) || root.starts_with(&own) {
                return refuse(
                    format!("folder {shown} overlaps the catalog's own folder"),
                    "use a folder that holds data only",
                );
            }
        }
        DepotSource::Postgres {
            host,
            database,
            user,
            ..
        } => {
            if [host, database, user]
                .iter()
                .any(|text| names::column_problem(text).is_some())
            {
                return refuse(
                    "host, database or user is empty or malformed".to_owned(),
                    "give all three",
                );
            }
        }
    }
    Ok(())
}
