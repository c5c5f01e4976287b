//! What a role has for others: opened when the gateway is there, and again for each run of the gateway's process.
//!
//! The decision point is in the gateway's memory. Catalog and orchestrator tell it all they know when they open, so
//! a gateway that was started anew is told by opening them anew. There is one way, and no state to compare.

use std::{sync::Arc, time::Duration};

use dataos_catalog::{Catalog, CatalogSeams};
use dataos_model::{
    clock::Clock,
    fault::{Fault, FaultKind},
};
use dataos_orchestrator::{Orchestrator, OrchestratorSeams};
use dataos_query::{QueryConfig, QueryLayer, QuerySeams};
use tokio::sync::watch;

use crate::{
    app::ground::{catalog_config, orchestrator_config},
    config::Config,
    roles::{
        Role,
        link::Link,
        remote::{
            RemoteAssets, RemoteDecide, RemoteIdentities, RemotePolicies, RemoteQuery,
            RemoteRecord, RemoteRecords, RemoteSecrets, RemoteSink,
        },
        served::{Rooms, Served},
    },
};

/// How often it is looked whether the gateway is another run of its process.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Pause after a room that could not be opened because the gateway went away.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Opens the room of a role.
#[derive(Debug)]
pub(super) struct Opener {
    pub(super) role: Role,
    pub(super) config: Config,
    pub(super) gateway: Arc<Link>,
    pub(super) record: Arc<RemoteRecord>,
    pub(super) clock: Arc<dyn Clock>,
}

/// A room that is open.
enum Room {
    /// Keeps nothing, so there is nothing to close.
    Query(Arc<QueryLayer>),
    Catalog(Arc<Catalog>),
    Orchestrator(Arc<Orchestrator>),
}

impl Opener {
    /// Keeps the room open until told to close it.
    ///
    /// # Errors
    /// It cannot be opened, and not because the gateway is away.
    pub(super) async fn keep_open(
        self,
        served: Arc<Served>,
        mut closed: watch::Receiver<bool>,
    ) -> Result<(), Fault> {
        while !*closed.borrow() {
            let Some(process) = self.gateway.process() else {
                rest(LOOK_EVERY, &mut closed).await;
                continue;
            };
            let room = match self.open(process).await {
                Ok(room) => room,
                Err(fault) if is_passing(&fault) => {
                    tracing::warn!(role = %self.role, %fault, "the role is not open yet");
                    rest(RETRY_AFTER, &mut closed).await;
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            served.open(room.seams(process));
            tracing::info!(role = %self.role, "open");
            while !*closed.borrow() && !self.is_other_run(process) {
                rest(LOOK_EVERY, &mut closed).await;
            }
            served.close();
            room.close().await;
        }
        Ok(())
    }

    /// Whether the gateway is there, and was started anew since.
    fn is_other_run(&self, process: u128) -> bool {
        self.gateway.process().is_some_and(|now| now != process)
    }

    async fn open(&self, process: u128) -> Result<Room, Fault> {
        match self.role {
            Role::Gateway => Err(Fault::internal("the gateway starts otherwise")),
            Role::Query => self.query().map(Room::Query),
            Role::Catalog => self.catalog().await.map(Room::Catalog),
            Role::Orchestrator => {
                let orchestrator = self.orchestrator().await?;
                // All policies of applied resources are in force; the gateway may decide.
                let restored = RemotePolicies(self.link()).restored(process).await;
                if restored.is_err() {
                    orchestrator.close().await;
                }
                restored.map(|()| Room::Orchestrator(orchestrator))
            }
        }
    }

    fn link(&self) -> Arc<Link> {
        Arc::clone(&self.gateway)
    }

    fn query(&self) -> Result<Arc<QueryLayer>, Fault> {
        QueryLayer::open(
            QueryConfig {
                cache_bytes_max: self.config.query_cache_bytes_max,
                ..QueryConfig::default()
            },
            QuerySeams {
                decide: Arc::new(RemoteDecide(self.link())),
                record: Arc::clone(&self.record) as _,
                records: Some(Arc::new(RemoteRecords(self.link()))),
                assets: Arc::new(RemoteAssets::new(self.link())),
                identities: Arc::new(RemoteIdentities(self.link())),
                secrets: Arc::new(RemoteSecrets(self.link())),
                clock: Arc::clone(&self.clock),
            },
        )
    }

    async fn catalog(&self) -> Result<Arc<Catalog>, Fault> {
        Catalog::open(
            catalog_config(&self.config, &self.config.data_dir),
            CatalogSeams {
                sink: Arc::new(RemoteSink(self.link())),
                secrets: Arc::new(RemoteSecrets(self.link())),
                clock: Arc::clone(&self.clock),
            },
        )
        .await
    }

    async fn orchestrator(&self) -> Result<Arc<Orchestrator>, Fault> {
        Orchestrator::open(
            orchestrator_config(&self.config, &self.config.data_dir),
            OrchestratorSeams {
                decide: Arc::new(RemoteDecide(self.link())),
                record: Arc::clone(&self.record) as _,
                policies: Arc::new(RemotePolicies(self.link())),
                assets: Arc::new(RemoteAssets::new(self.link())),
                secrets: Arc::new(RemoteSecrets(self.link())),
                query: Arc::new(RemoteQuery(self.link())),
                identities: Arc::new(RemoteIdentities(self.link())),
                sink: Arc::new(RemoteSink(self.link())),
                clock: Arc::clone(&self.clock),
            },
        )
        .await
    }
}

impl Room {
    /// What it answers a run of the gateway's process with.
    fn seams(&self, process: u128) -> Rooms {
        let mut rooms = Rooms {
            opened_for: Some(process),
            ..Rooms::default()
        };
        match self {
            Self::Query(query) => rooms.query = Some(Arc::clone(query) as _),
            Self::Catalog(catalog) => rooms.assets = Some(Arc::clone(catalog) as _),
            Self::Orchestrator(orchestrator) => {
                rooms.resources = Some(Arc::clone(orchestrator) as _);
            }
        }
        rooms
    }

    async fn close(&self) {
        match self {
            Self::Query(_) => {}
            Self::Catalog(catalog) => catalog.close().await,
            Self::Orchestrator(orchestrator) => orchestrator.close().await,
        }
    }
}

/// Whether a gateway that is there may mend it.
fn is_passing(fault: &Fault) -> bool {
    matches!(fault.kind, FaultKind::Unavailable | FaultKind::Timeout)
}

/// Waits, but not for one that is told to close.
async fn rest(pause: Duration, closed: &mut watch::Receiver<bool>) {
    let told = closed.wait_for(|is_closed| *is_closed);
    // Either way there is something to look at.
    let _ = tokio::time::timeout(pause, told).await;
}
