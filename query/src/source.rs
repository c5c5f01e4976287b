//! Where rows come from: files, and tables of a database.
//!
//! A source gives every column of the catalog, raw, in the catalog's order and in the Arrow types of
//! `column`. It is never handed to a session: only a governed table reads it.

mod audit;
mod files;
mod postgres;

use std::{sync::Arc, time::Duration};

use datafusion::{catalog::TableProvider, prelude::SessionContext};
use dataos_model::{
    depot::{AssetSnapshot, Dataset, DatasetSource, DepotSource},
    fault::Fault,
    predicate::Predicate,
    seams::{Records, Secrets},
};
use tokio::sync::Semaphore;

pub(crate) use self::postgres::Server;

/// What opening a source needs besides the dataset.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    secrets: Arc<dyn Secrets>,
    records: Option<Arc<dyn Records>>,
    connections: Arc<Semaphore>,
    time_max: Duration,
}

impl Sources {
    /// At most `connections_max` connections to databases at a time, none longer than `time_max`.
    pub(crate) fn new(
        secrets: Arc<dyn Secrets>,
        records: Option<Arc<dyn Records>>,
        connections_max: usize,
        time_max: Duration,
    ) -> Self {
        Self {
            secrets,
            records,
            connections: Arc::new(Semaphore::new(connections_max)),
            time_max,
        }
    }

    /// The raw rows of a dataset. `rows` is what the caller's rows satisfy; a source may use it to
    /// fetch less, and its rows are filtered again in any case.
    ///
    /// # Errors
    /// A source that is not there, or that no longer looks as the catalog says.
    pub(crate) async fn open(
        &self,
        context: &SessionContext,
        snapshot: &AssetSnapshot,
        dataset: &Dataset,
        rows: &Predicate,
    ) -> Result<Arc<dyn TableProvider>, Fault> {
        match &dataset.source {
            DatasetSource::Files { format, paths } => {
                files::open(context, dataset, *format, paths).await
            }
            DatasetSource::Table { schema, table } => {
                let depot = snapshot.depots.get(&dataset.id.depot).ok_or_else(|| {
                    Fault::not_found(format!("depot `{}` is not registered", dataset.id.depot))
                })?;
                let DepotSource::Postgres { .. } = &depot.source else {
                    return Err(Fault::internal(format!("`{}` is no database", depot.name)));
                };
                let server = self.server(depot).await?;
                Ok(postgres::open(server, dataset, schema, table, rows))
            }
            DatasetSource::AuditLog => {
                let records = self.records.as_ref().ok_or_else(|| {
                    Fault::unavailable("this query layer has no audit log to read")
                })?;
                Ok(audit::open(Arc::clone(records)))
            }
        }
    }

    async fn server(&self, depot: &dataos_model::depot::Depot) -> Result<Server, Fault> {
        let DepotSource::Postgres {
            host,
            port,
            database,
            user,
            password,
        } = &depot.source
        else {
            return Err(Fault::internal(format!("`{}` is no database", depot.name)));
        };
        let password = match password {
            Some(name) => Some(Arc::new(self.secrets.get(name).await.map_err(|_| {
                Fault::unavailable(format!(
                    "the password of depot `{}` cannot be read",
                    depot.name
                ))
                .with_hint(format!("store the secret `{name}`"))
            })?)),
            None => None,
        };
        Ok(Server {
            depot: depot.name.clone(),
            host: host.clone(),
            port: *port,
            database: database.clone(),
            user: user.clone(),
            password,
            connections: Arc::clone(&self.connections),
            time_max: self.time_max,
        })
    }
}
