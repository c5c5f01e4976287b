//! A process of one role, without an edge: what it has is joined to the gateway by links.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use dataos_model::{clock::Clock, fault::Fault};
use dataos_query::{QueryConfig, QueryLayer, QuerySeams};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinHandle},
};

use super::{SystemClock, local_address, split::bind};
use crate::{
    config::Config,
    roles::{
        Role,
        door::Door,
        identity::Identity,
        link::Link,
        remote::{RemoteAssets, RemoteDecide, RemoteRecord, RemoteRecords, RemoteSecrets},
        renewal,
        served::Served,
    },
};

/// How long entries of the audit log that wait get at the end.
const FLUSH_MAX: Duration = Duration::from_secs(10);

/// A role that listens.
#[derive(Debug)]
pub struct RunningRole {
    role: Role,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    door: JoinHandle<()>,
    background: Vec<AbortHandle>,
    record: Arc<RemoteRecord>,
}

impl RunningRole {
    /// Opens the role and its door. The gateway need not be there yet.
    ///
    /// # Errors
    /// No identity, an address that cannot be listened on, or what the role itself needs.
    pub async fn start(config: &Config, role: Role) -> Result<Self, Fault> {
        // Another part of the process may have chosen already; all choose the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let roles = &config.roles;
        let (Some(folder), Some(addresses)) = (&roles.identity, roles.of(Role::Gateway)) else {
            return Err(Fault::internal("a role without identity or gateway"));
        };
        let trust_domain = &config.client_certificates.trust_domain;
        let identity = Identity::of_folder(role, trust_domain, folder, clock.now())?;
        let identity = Arc::new(identity);
        let listener = bind(roles.listen).await?;
        let address = local_address(&listener)?;
        let gateway = Link::open(Role::Gateway, addresses, &identity, &clock);
        let record = Arc::new(RemoteRecord::new(Arc::clone(&gateway)));
        let mut served = Served {
            identity: Arc::clone(&identity),
            clock: Arc::clone(&clock),
            platform: None,
            assets: None,
            query: None,
        };
        match role {
            Role::Gateway => return Err(Fault::internal("the gateway starts otherwise")),
            Role::Query => served.query = Some(query(&gateway, &record, &clock)?),
        }
        let fresh = renewal::keep_fresh(Arc::clone(&identity), Some(gateway), Arc::clone(&clock));
        let background = vec![tokio::spawn(fresh).abort_handle()];
        let (stop, stopped) = watch::channel(false);
        let door = Door::new(
            listener,
            identity,
            served,
            clock,
            Box::new(|_, _| ()),
            config.limits.drain_timeout,
        );
        tracing::info!(%role, %address, "listening");
        Ok(Self {
            role,
            address,
            stop,
            door: tokio::spawn(door.run(stopped)),
            background,
            record,
        })
    }

    /// What it does.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, and lets open calls and entries of the log that wait finish.
    pub async fn shutdown(self) {
        // The door may be gone already; then there is nothing to stop.
        let _ = self.stop.send(true);
        if let Err(error) = self.door.await {
            tracing::error!(%error, "the door ended badly");
        }
        self.record.flush(FLUSH_MAX).await;
        self.background.iter().for_each(AbortHandle::abort);
        tracing::info!("stopped");
    }
}

/// The query layer over the seams of the gateway.
fn query(
    gateway: &Arc<Link>,
    record: &Arc<RemoteRecord>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<QueryLayer>, Fault> {
    QueryLayer::open(
        QueryConfig::default(),
        QuerySeams {
            decide: Arc::new(RemoteDecide(Arc::clone(gateway))),
            record: Arc::clone(record) as _,
            records: Some(Arc::new(RemoteRecords(Arc::clone(gateway)))),
            assets: Arc::new(RemoteAssets::new(Arc::clone(gateway))),
            secrets: Arc::new(RemoteSecrets(Arc::clone(gateway))),
            clock: Arc::clone(clock),
        },
    )
}
