//! A process of one role, without an edge: what it has is joined to the gateway by links.

mod room;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use dataos_model::{clock::Clock, fault::Fault};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinHandle},
};

use super::{SystemClock, local_address, split::bind};
use crate::{
    config::Config,
    data_directory::DataDirectory,
    roles::{
        Role, door::Door, identity::Identity, link::Link, remote::RemoteRecord, renewal,
        served::Served,
    },
};
use room::Opener;

/// How long entries of the audit log that wait get at the end.
const FLUSH_MAX: Duration = Duration::from_secs(10);

/// A role that listens.
#[derive(Debug)]
pub struct RunningRole {
    role: Role,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    door: JoinHandle<()>,
    /// Tells the room to close, when the door is.
    close: watch::Sender<bool>,
    room: JoinHandle<Result<(), Fault>>,
    background: Vec<AbortHandle>,
    record: Arc<RemoteRecord>,
    /// Last, so that the lock is given back when all else is gone.
    _directory: Option<DataDirectory>,
}

impl RunningRole {
    /// Opens the door of a role, and the role as soon as the gateway is there.
    ///
    /// # Errors
    /// No identity, or an address or a data directory that cannot be used.
    pub async fn start(config: Config, role: Role) -> Result<Self, Fault> {
        // Another part of the process may have chosen already; all choose the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let roles = &config.roles;
        let (Some(folder), Some(addresses)) = (&roles.identity, roles.of(Role::Gateway)) else {
            return Err(Fault::internal("a role without identity or gateway"));
        };
        let trust_domain = &config.asked_of_clients.trust_domain;
        let identity = Identity::of_folder(role, trust_domain, folder, clock.now())?;
        let identity = Arc::new(identity);
        let listener = bind(roles.listen).await?;
        let address = local_address(&listener)?;
        // The query layer keeps nothing.
        let directory = match role {
            Role::Gateway | Role::Query => None,
            Role::Catalog | Role::Orchestrator => Some(open_directory(&config)?),
        };
        let gateway = Link::open(Role::Gateway, addresses, &identity, &clock);
        let record = Arc::new(RemoteRecord::new(Arc::clone(&gateway)));
        let served = Served::new(Arc::clone(&identity), Arc::clone(&clock));
        let fresh = renewal::keep_fresh(
            Arc::clone(&identity),
            Some(Arc::clone(&gateway)),
            Arc::clone(&clock),
        );
        let background = vec![tokio::spawn(fresh).abort_handle()];
        let (stop, stopped) = watch::channel(false);
        let door = Door::new(
            listener,
            identity,
            Arc::clone(&served),
            Arc::clone(&clock),
            Box::new(|_, _| ()),
            config.limits.drain_timeout,
        );
        let (close, closed) = watch::channel(false);
        let opener = Opener {
            role,
            config,
            gateway,
            record: Arc::clone(&record),
            clock,
        };
        tracing::info!(%role, %address, "listening");
        Ok(Self {
            role,
            address,
            stop,
            door: tokio::spawn(door.run(stopped)),
            close,
            room: tokio::spawn(opener.keep_open(served, closed)),
            background,
            record,
            _directory: directory,
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

    /// Waits until the role cannot go on.
    ///
    /// # Errors
    /// Always: why not.
    pub async fn failed(&mut self) -> Fault {
        match (&mut self.room).await {
            Ok(Err(fault)) => fault,
            Ok(Ok(())) => Fault::internal("the role ended by itself"),
            Err(error) => Fault::internal(format!("the role ended: {error}")),
        }
    }

    /// Stops listening, and lets open calls and entries of the log that wait finish.
    pub async fn shutdown(self) {
        // Either may be gone already; then there is nothing to stop.
        let _ = self.stop.send(true);
        if let Err(error) = self.door.await {
            tracing::error!(%error, "the door ended badly");
        }
        let _ = self.close.send(true);
        match self.room.await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => tracing::error!(%fault, "the role ended badly"),
            Err(error) => tracing::error!(%error, "the role ended badly"),
        }
        self.record.flush(FLUSH_MAX).await;
        self.background.iter().for_each(AbortHandle::abort);
        tracing::info!("stopped");
    }
}

fn open_directory(config: &Config) -> Result<DataDirectory, Fault> {
    let directory = DataDirectory::open(&config.data_dir)?;
    directory.check_metadata(&config.metadata)?;
    directory.note_metadata(&config.metadata)?;
    Ok(directory)
}
