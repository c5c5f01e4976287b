//! A gateway whose other roles are processes of their own: its identity, the ways to them, and their door to it.

use std::{net::SocketAddr, sync::Arc};

use dataos_model::{
    clock::Clock,
    fault::Fault,
    seams::{Assets, Resources, RunQuery},
};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{AbortHandle, JoinHandle},
};

use super::{ATTACH_PAUSE, Rooms, attach, local_address};
use crate::{
    certificates::Certificates,
    config::Config,
    roles::{
        Role,
        door::Door,
        identity::Identity,
        link::Link,
        remote::{RemoteAssets, RemoteQuery, RemoteResources},
        renewal,
        served::{self, Served},
    },
    serve::Gateway,
};

/// What joins the gateway to other processes.
#[derive(Debug)]
pub(super) struct Split {
    listener: TcpListener,
    identity: Arc<Identity>,
    clock: Arc<dyn Clock>,
    links: Vec<Arc<Link>>,
}

impl Split {
    /// Nothing for a process that does everything.
    ///
    /// # Errors
    /// An address that cannot be listened on, or no identity.
    pub(super) async fn open(
        config: &Config,
        certificates: &Arc<Certificates>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Self>, Fault> {
        if config.roles.role.is_none() {
            return Ok(None);
        }
        let trust_domain = &config.asked_of_clients.trust_domain;
        let identity = match &config.roles.identity {
            Some(folder) => Identity::of_folder(Role::Gateway, trust_domain, folder, clock.now())?,
            None => Identity::built_in(Arc::clone(certificates), trust_domain, clock.now())?,
        };
        let identity = Arc::new(identity);
        let open = |(role, addresses): &(Role, Vec<String>)| {
            Link::open(*role, addresses, &identity, clock)
        };
        Ok(Some(Self {
            listener: bind(config.roles.listen).await?,
            links: config.roles.endpoints.iter().map(open).collect(),
            clock: Arc::clone(clock),
            identity,
        }))
    }

    /// The ways to roles that are processes of their own.
    pub(super) fn links(&self) -> impl Iterator<Item = Arc<Link>> {
        self.links.iter().cloned()
    }

    /// The query layer, if it is one of them.
    pub(super) fn query(&self) -> Option<Arc<dyn RunQuery>> {
        let link = self.link(Role::Query)?;
        Some(Arc::new(RemoteQuery(link)))
    }

    /// The catalog, if it is one of them.
    pub(super) fn assets(&self) -> Option<Arc<dyn Assets>> {
        let link = self.link(Role::Catalog)?;
        Some(Arc::new(RemoteAssets::new(link)))
    }

    /// The orchestrator, if it is one of them.
    pub(super) fn resources(&self) -> Option<Arc<dyn Resources>> {
        let link = self.link(Role::Orchestrator)?;
        Some(Arc::new(RemoteResources(link)))
    }

    /// Whether a role is a process of its own.
    pub(super) fn has(&self, role: Role) -> bool {
        self.link(role).is_some()
    }

    fn link(&self, role: Role) -> Option<Arc<Link>> {
        self.links.iter().find(|link| link.peer() == role).cloned()
    }

    /// Makes the audit log a dataset of a catalog that may come later.
    fn attach_system(&self, catalog: &Arc<dyn Assets>) -> Option<AbortHandle> {
        let catalog = self.has(Role::Catalog).then(|| Arc::clone(catalog))?;
        let attaching = async move {
            while let Err(fault) = attach::system(catalog.as_ref()).await {
                tracing::debug!(%fault, "the audit log is not in the catalog yet");
                tokio::time::sleep(ATTACH_PAUSE).await;
            }
        };
        Some(tokio::spawn(attaching).abort_handle())
    }

    /// Opens their door. It is open before the platform is: a role may be needed to start.
    pub(super) fn open_door(
        self,
        rooms: &Rooms,
        gateway: &Arc<Gateway>,
        config: &Config,
        background: &mut Vec<AbortHandle>,
    ) -> Result<OpenDoor, Fault> {
        background.extend(self.attach_system(&rooms.catalog));
        let address = local_address(&self.listener)?;
        let served = Served::new(Arc::clone(&self.identity), Arc::clone(&self.clock));
        served.open(served::Rooms {
            opened_for: None,
            platform: Some(Arc::new(rooms.platform())),
            assets: Some(Arc::clone(&rooms.catalog)),
            query: Some(Arc::clone(&rooms.query)),
            resources: None,
        });
        let fresh = renewal::keep_fresh(Arc::clone(&self.identity), None, Arc::clone(&self.clock));
        let gateway = Arc::clone(gateway);
        let door = Door::new(
            self.listener,
            self.identity,
            served,
            self.clock,
            Box::new(move |reason, address| gateway.note_refused(reason, address)),
            config.limits.drain_timeout,
        );
        let (stop, stopped) = watch::channel(false);
        tracing::info!(%address, "open to roles");
        Ok(OpenDoor {
            address,
            stop,
            door: tokio::spawn(door.run(stopped)),
            renewal: tokio::spawn(fresh).abort_handle(),
        })
    }
}

/// The gateway's door for roles.
#[derive(Debug)]
pub(super) struct OpenDoor {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    door: JoinHandle<()>,
    renewal: AbortHandle,
}

impl OpenDoor {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more calls, and lets open ones finish.
    pub(super) async fn close(self) {
        // The door may be gone already; then there is nothing to stop.
        let _ = self.stop.send(true);
        if let Err(error) = self.door.await {
            tracing::error!(%error, "the door for roles ended badly");
        }
        self.renewal.abort();
    }
}

/// The socket of a door for roles.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, Fault> {
    TcpListener::bind(address).await.map_err(|error| {
        Fault::unavailable(format!("{address}: {error}"))
            .with_hint("choose another address of this machine with roles.listen")
    })
}
