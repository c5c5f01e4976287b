//! Where rows come from: files, objects of stores, tables of databases, the audit log.
//!
//! A source gives every column of the catalog, raw, in the catalog's order and in the Arrow types of
//! `column`. It is never handed to a session: only a governed table reads it.

mod audit;
mod files;
pub(crate) mod version;

mod avro;
mod objects;

mod batch;
mod condition;
mod decimal;
mod permits;
mod pool;
pub(crate) mod read;
pub(crate) mod remote;
mod resting;
pub(crate) mod select;
mod statement;
pub(crate) mod table;
pub(crate) mod term;
pub(crate) mod total;

mod mysql;
mod postgres;
mod sqlite;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use datafusion::{catalog::TableProvider, execution::SessionState};
use dataos_model::{
    depot::{AssetSnapshot, Dataset, DatasetSource, Depot, DepotSource},
    fault::Fault,
    predicate::Predicate,
    seams::{Records, Secrets},
    secret::{Secret, SecretName},
};
use dataos_objects::Store;
use uuid::Uuid;

use self::{
    permits::Permits,
    pool::{Address, Pool},
    table::Database,
};

/// Most depots whose connections are kept for a while.
const POOLS_MAX: usize = 1_000;

/// What sources may learn of each other while a statement runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// Values that a join compares with, as the caller sees them.
    Keys,
    /// Nothing.
    Nothing,
}

impl Exchange {
    /// Of a statement over these datasets: what carries a tag stays where it is.
    pub(crate) fn of<'a>(mut datasets: impl Iterator<Item = &'a Dataset>) -> Self {
        if datasets.all(|dataset| dataset.column_tags.values().all(BTreeSet::is_empty)) {
            Self::Keys
        } else {
            Self::Nothing
        }
    }
}

fn depot<'a>(snapshot: &'a AssetSnapshot, dataset: &Dataset) -> Result<&'a Depot, Fault> {
    let found = snapshot.depots.get(&dataset.id.depot);
    found
        .map(Arc::as_ref)
        .ok_or_else(|| Fault::not_found(format!("depot `{}` is not registered", dataset.id.depot)))
}

/// What is kept for each depot.
type ByDepot<T> = Arc<Mutex<HashMap<String, Arc<T>>>>;

/// What is kept for a depot, if it is for the depot as it is declared now; else a new one takes its place.
/// Connections to the depot's former address, or under its former password, are not used again.
fn kept<T>(
    all: &ByDepot<T>,
    depot: &str,
    is_current: impl FnOnce(&T) -> bool,
    new: impl FnOnce() -> Result<T, Fault>,
) -> Result<Arc<T>, Fault> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = all.get(depot)
        && is_current(kept)
    {
        return Ok(Arc::clone(kept));
    }
    if all.len() >= POOLS_MAX {
        all.clear();
    }
    let new = Arc::new(new()?);
    all.insert(depot.to_owned(), Arc::clone(&new));
    Ok(new)
}

/// What opening a source needs besides the dataset.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    secrets: Arc<dyn Secrets>,
    records: Option<Arc<dyn Records>>,
    permits: Permits,
    time_max: Duration,
    postgres: ByDepot<postgres::Pool>,
    mysql: ByDepot<mysql::Pool>,
    stores: ByDepot<Store>,
    opened: Arc<files::Opened>,
    /// Of the names that versions of objects have here.
    salt: Uuid,
}

impl Sources {
    /// At most `connections_max` connections to databases at a time, none read from longer than
    /// `time_max`.
    pub(crate) fn new(
        secrets: Arc<dyn Secrets>,
        records: Option<Arc<dyn Records>>,
        connections_max: usize,
        time_max: Duration,
    ) -> Self {
        Self {
            secrets,
            records,
            permits: Permits::new(connections_max),
            time_max,
            postgres: Arc::default(),
            mysql: Arc::default(),
            stores: Arc::default(),
            opened: Arc::default(),
            salt: Uuid::new_v4(),
        }
    }

    /// The raw rows of a dataset. `rows` is what the caller's rows satisfy; a source may use it to
    /// fetch less, and its rows are filtered again in any case.
    ///
    /// # Errors
    /// A source that is not there, or that no longer looks as the catalog says.
    pub(crate) async fn open(
        &self,
        session: &SessionState,
        snapshot: &AssetSnapshot,
        dataset: &Dataset,
        rows: &Predicate,
        exchange: Exchange,
    ) -> Result<Arc<dyn TableProvider>, Fault> {
        match &dataset.source {
            DatasetSource::Files { format, paths } => {
                files::open(session, &self.opened, dataset, *format, paths).await
            }
            DatasetSource::Objects { format, keys } => {
                let store = self.store(depot(snapshot, dataset)?).await?;
                objects::open(session, store, dataset, (*format, keys), &self.salt).await
            }
            DatasetSource::Table { schema, table } => {
                let depot = depot(snapshot, dataset)?;
                let database = self.database(depot).await?;
                let takes_keys = exchange == Exchange::Keys;
                Ok(table::open(
                    database,
                    dataset,
                    (schema, table),
                    rows,
                    takes_keys,
                ))
            }
            DatasetSource::View { .. } => Err(Fault::internal("a view is planned, not opened")),
            DatasetSource::AuditLog => {
                let records = self.records.as_ref().ok_or_else(|| {
                    Fault::unavailable("this query layer has no audit log to read")
                })?;
                Ok(audit::open(Arc::clone(records)))
            }
        }
    }

    async fn database(&self, depot: &Depot) -> Result<Arc<dyn Database>, Fault> {
        Ok(match &depot.source {
            DepotSource::Postgres { .. } => {
                Arc::new(postgres::Server(self.pool(&self.postgres, depot).await?))
            }
            DepotSource::MySql { .. } => {
                Arc::new(mysql::Server(self.pool(&self.mysql, depot).await?))
            }
            DepotSource::Sqlite { path } => Arc::new(sqlite::File {
                depot: depot.name.clone(),
                path: path.clone(),
                permits: self.permits.clone(),
                time_max: self.time_max,
            }),
            DepotSource::Files { .. } | DepotSource::S3(_) | DepotSource::System => {
                return Err(Fault::internal(format!("`{}` is no database", depot.name)));
            }
        })
    }

    /// The connections to the server of a depot.
    async fn pool<C>(
        &self,
        pools: &ByDepot<Pool<C>>,
        depot: &Depot,
    ) -> Result<Arc<Pool<C>>, Fault> {
        let (DepotSource::Postgres {
            host,
            port,
            database,
            user,
            password,
            tls,
        }
        | DepotSource::MySql {
            host,
            port,
            database,
            user,
            password,
            tls,
        }) = &depot.source
        else {
            return Err(Fault::internal(format!("`{}` has no server", depot.name)));
        };
        let address = Address {
            depot: depot.name.clone(),
            host: host.clone(),
            port: *port,
            database: database.clone(),
            user: user.clone(),
            password: self.password(depot, password.as_ref()).await?,
            tls: tls.clone(),
        };
        let is_current = |pool: &Pool<C>| pool.address == address;
        let (permits, time_max) = (self.permits.clone(), self.time_max);
        let new = || Ok(Pool::new(address.clone(), permits, time_max));
        kept(pools, &depot.name, is_current, new)
    }

    async fn password(
        &self,
        depot: &Depot,
        name: Option<&SecretName>,
    ) -> Result<Option<Secret>, Fault> {
        let Some(name) = name else { return Ok(None) };
        self.secret(depot, "password", name).await.map(Some)
    }

    async fn secret(&self, depot: &Depot, what: &str, name: &SecretName) -> Result<Secret, Fault> {
        self.secrets.get(name).await.map_err(|_| {
            Fault::unavailable(format!(
                "the {what} of depot `{}` cannot be read",
                depot.name
            ))
            .with_hint(format!("store the secret `{name}`"))
        })
    }

    /// The bucket of a depot, under its key of now.
    async fn store(&self, depot: &Depot) -> Result<Arc<Store>, Fault> {
        let DepotSource::S3(bucket) = &depot.source else {
            return Err(Fault::internal(format!("`{}` is no bucket", depot.name)));
        };
        let secret = self.secret(depot, "secret key", &bucket.secret_key).await?;
        let is_current = |store: &Store| store.is_of(bucket, &secret);
        let new = || Store::new(&depot.name, bucket.clone(), secret.clone());
        kept(&self.stores, &depot.name, is_current, new)
    }
}
