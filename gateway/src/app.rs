//! The composition root: opens every room, joins them by their seams, and starts to listen.
//!
//! This is the only file that knows all rooms. Order: what can refuse cheaply first (address, data
//! directory), then keys, the PDP, accounts and the log, then what stands on all of them.

mod attach;
mod clock;
mod first;
mod ground;
mod role;
mod split;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use dataos_audit::{AuditConfig, AuditLog};
use dataos_model::{
    clock::Clock,
    fault::{Fault, FaultKind},
    record::{Entry, EntryKind},
    seams::{Assets, Policies, Record, Resources, RunQuery},
};
use dataos_orchestrator::Orchestrator;
use dataos_pdp::{Pdp, PdpConfig};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{AbortHandle, JoinHandle},
};

pub use attach::Attached;
pub(crate) use clock::SystemClock;
pub use role::RunningRole;

use crate::{
    accept::Acceptor,
    accounts::{Accounts, SessionLife},
    applied::Applied,
    authenticate::{Authenticator, api_key::Pepper, oidc::Providers, seal::Seal, token::Tokens},
    authzen_keys::AuthzenKeys,
    certificates::{self, Certificates},
    config::Config,
    data_directory::{DataDirectory, touches_data_directory},
    history::History,
    listeners::{Door, Listeners},
    observe::spans::Spans,
    postgres::PostgresAcceptor,
    record, reload,
    roles::{
        Role,
        link::{AWAY, Link},
        served::{Gate, Platform},
    },
    secrets::SealedSecrets,
    serve::{Gateway, GatewayConfig, Seams},
    store::Store,
};
use ground::Ground;
use split::{OpenDoor, Split};

/// How often the last use of API keys and sessions is written down.
const USE_EVERY: Duration = Duration::from_secs(60);
/// How long a start waits for a catalog that is a process of its own, and how often it asks.
const ATTACH_MAX: Duration = Duration::from_secs(20);
const ATTACH_PAUSE: Duration = Duration::from_millis(500);
/// Names of the platform's own secrets.
const PEPPER: &str = "dataos/api-key-pepper";
const AUDIT_KEY: &str = "dataos/audit-key";
const METADATA_KEY: &str = "dataos/authzen-metadata-key";
const SESSION_KEY: &str = "dataos/session-key";
const PAGE_KEY: &str = "dataos/authzen-page-key";

/// Starts the platform.
#[derive(Debug)]
pub struct App;

/// A platform that listens. Dropping it without [`RunningApp::shutdown`] is like a crash: nothing
/// acknowledged is lost.
#[derive(Debug)]
pub struct RunningApp {
    address: SocketAddr,
    ca_pem: String,
    first_login: Option<(String, String)>,
    config: Config,
    rooms: Rooms,
    stop: watch::Sender<bool>,
    acceptor: JoinHandle<()>,
    /// The door for roles.
    roles: Option<OpenDoor>,
    /// Address and acceptor of the PostgreSQL door.
    postgres: Option<(SocketAddr, JoinHandle<()>)>,
    background: Vec<AbortHandle>,
    spans: Spans,
    listeners: Listeners,
    /// Last, so that the lock is given back when all else is gone.
    directory: DataDirectory,
}

/// The rooms behind the edge, and what the edge itself keeps.
#[derive(Debug)]
struct Rooms {
    secrets: Arc<SealedSecrets>,
    accounts: Arc<Accounts>,
    applied: Applied,
    pdp: Arc<Pdp>,
    log: Arc<AuditLog>,
    catalog: Arc<dyn Assets>,
    query: Arc<dyn RunQuery>,
    resources: Arc<dyn Resources>,
    /// To be closed at the end, if it is in this process.
    orchestrator: Option<Arc<Orchestrator>>,
    /// Decides for all but what looks at policies themselves.
    gate: Arc<Gate>,
    clock: Arc<dyn Clock>,
}

impl App {
    /// Opens everything in the data directory and starts to listen.
    ///
    /// `greet` sees the platform before the first call can reach it, so that the first log-in is
    /// shown before anyone can find the platform ready.
    ///
    /// # Errors
    /// The first thing that cannot be opened; the message says which, why, and what to do next.
    pub async fn start(
        config: Config,
        greet: impl FnOnce(&RunningApp),
    ) -> Result<RunningApp, Fault> {
        Self::start_on(config, Listeners::default(), greet).await
    }

    /// The same on sockets that may have been given, and may be handed on.
    ///
    /// # Errors
    /// See [`App::start`].
    pub async fn start_on(
        config: Config,
        listeners: Listeners,
        greet: impl FnOnce(&RunningApp),
    ) -> Result<RunningApp, Fault> {
        Self::open(config, listeners, |log| log, greet).await
    }

    /// The same as [`App::start`] with another log for calls than the one of the data directory, so that a
    /// benchmark tells what recording costs. No setting does that.
    ///
    /// # Errors
    /// See [`App::start`].
    pub async fn start_with(
        config: Config,
        calls: impl FnOnce(Arc<dyn Record>) -> Arc<dyn Record>,
        greet: impl FnOnce(&RunningApp),
    ) -> Result<RunningApp, Fault> {
        Self::open(config, Listeners::default(), calls, greet).await
    }

    async fn open(
        config: Config,
        mut listeners: Listeners,
        calls: impl FnOnce(Arc<dyn Record>) -> Arc<dyn Record>,
        greet: impl FnOnce(&RunningApp),
    ) -> Result<RunningApp, Fault> {
        // Another part of the process may have chosen already; all choose the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = bind(&mut listeners, Door::Https, config.listen).await?;
        let address = local_address(&listener)?;
        let postgres = match &config.postgres {
            Some(postgres) => Some(bind(&mut listeners, Door::Postgres, postgres.listen).await?),
            None => None,
        };
        let rest = listeners.close_rest();
        rest.map_err(|error| Fault::unavailable(format!("no file can be opened: {error}")))?;
        let directory = DataDirectory::open(&config.data_dir)?;
        check_data_folder(&config, &directory)?;
        directory.check_metadata(&config.metadata)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let secrets = Arc::new(SealedSecrets::open(directory.path())?);
        let certificates =
            open_certificates(&config, directory.path(), (&secrets, &clock), address).await?;
        let split = Split::open(&config, &certificates, &clock).await?;
        let rooms = Rooms::open(&config, directory.path(), secrets, clock, split.as_ref()).await?;
        directory.note_metadata(&config.metadata)?;
        let tls = certificates.tls();
        let record = calls(Arc::clone(&rooms.log) as _);
        let links = split.iter().flat_map(Split::links).collect();
        let gateway = rooms.gateway(&config, &certificates, record, links);
        let gateway = Arc::new(gateway.await?);
        let history = History::start(&rooms.pdp, Arc::clone(&rooms.log) as _)?;
        rooms.record_start(address).await?;
        let (stop, stopped) = watch::channel(false);
        let spans = gateway.spans.clone();
        let mut background = rooms.start_background(&config, &gateway, &certificates)?;
        let whole = history.keep_whole(Arc::clone(&rooms.pdp));
        background.push(tokio::spawn(whole).abort_handle());
        let ca_pem = certificates.ca_pem();
        // Last of all that can fail: its password is shown once, and only by a start that succeeds.
        let first_login = first::administrator(&rooms.accounts).await?;
        let (open, opened) = watch::channel(false);
        let roles = split.map(|split| split.open_door(&rooms, &gateway, &config, &mut background));
        let roles = roles.transpose()?;
        let postgres = match (postgres, &config.postgres) {
            (Some(listener), Some(config)) => {
                let address = local_address(&listener)?;
                let (tls, gateway) = (Arc::clone(&tls), Arc::clone(&gateway));
                let door = PostgresAcceptor::new(listener, tls, gateway, config.clone());
                let running = when_open(opened.clone(), door.run(stopped.clone()));
                Some((address, tokio::spawn(running)))
            }
            _ => None,
        };
        let acceptor = Acceptor::new(listener, tls, gateway, config.limits.clone());
        let acceptor = tokio::spawn(when_open(opened, acceptor.run(stopped)));
        let app = RunningApp {
            address,
            ca_pem,
            first_login,
            config,
            rooms,
            stop,
            acceptor,
            roles,
            postgres,
            background,
            spans,
            listeners,
            directory,
        };
        greet(&app);
        open.send(true)
            .map_err(|_| Fault::internal("the acceptor ended before it was opened"))?;
        tracing::info!(%address, data_dir = %app.data_dir().display(), "listening");
        Ok(app)
    }
}

impl RunningApp {
    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the PostgreSQL door, if it is open.
    pub fn postgres_address(&self) -> Option<SocketAddr> {
        self.postgres.as_ref().map(|(address, _)| *address)
    }

    /// The address of the door for roles, if it is open.
    pub fn roles_address(&self) -> Option<SocketAddr> {
        self.roles.as_ref().map(OpenDoor::address)
    }

    /// PEM of the CA that clients must trust; empty if the certificate is not the built-in CA's.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// User and password of the administrator, if this start made it.
    pub fn first_login(&self) -> Option<(&str, &str)> {
        self.first_login
            .as_ref()
            .map(|(user, password)| (user.as_str(), password.as_str()))
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        self.directory.path()
    }

    /// Registers the folder of the setting `data` as a depot and scans it, if there is one.
    ///
    /// # Errors
    /// A folder that cannot be read, or a depot that cannot be registered.
    pub async fn attach_data(&self) -> Result<Option<Attached>, Fault> {
        let Some(folder) = &self.config.data else {
            return Ok(None);
        };
        let (catalog, log) = (&self.rooms.catalog, &self.rooms.log);
        let until = tokio::time::Instant::now() + ATTACH_MAX;
        loop {
            let attached = attach::attach(folder, catalog.as_ref(), log.as_ref()).await;
            match attached {
                // A catalog that is a process of its own may come a little later.
                Err(fault) if fault.reason == AWAY && tokio::time::Instant::now() < until => {
                    tokio::time::sleep(ATTACH_PAUSE).await;
                }
                attached => return attached.map(Some),
            }
        }
    }

    /// Stops listening, lets open calls finish, and closes every room in order.
    pub async fn shutdown(mut self) {
        self.listeners = Listeners::default();
        self.end().await;
    }

    /// The same, but for the sockets: whoever connects waits for the program that gets them.
    pub async fn hand_over(mut self) -> Listeners {
        let listeners = std::mem::take(&mut self.listeners);
        self.end().await;
        listeners
    }

    async fn end(self) {
        // The acceptor may be gone already; then there is nothing to stop.
        let _ = self.stop.send(true);
        let doors = [Some(self.acceptor), self.postgres.map(|(_, door)| door)];
        for door in doors.into_iter().flatten() {
            if let Err(error) = door.await {
                tracing::error!(%error, "an acceptor ended badly");
            }
        }
        // Calls that were open until now may have needed it.
        if let Some(roles) = self.roles {
            roles.close().await;
        }
        self.spans.end().await;
        for task in &self.background {
            task.abort();
        }
        if let Some(orchestrator) = &self.rooms.orchestrator {
            orchestrator.close().await;
        }
        self.rooms.accounts.close().await;
        let log = Arc::clone(&self.rooms.log);
        match tokio::task::spawn_blocking(move || log.close()).await {
            Ok(Ok(())) => tracing::info!("stopped"),
            Ok(Err(fault)) => tracing::error!(%fault, "the audit log was not closed"),
            Err(error) => tracing::error!(%error, "the audit log was not closed"),
        }
    }
}

impl Rooms {
    async fn open(
        config: &Config,
        folder: &Path,
        secrets: Arc<SealedSecrets>,
        clock: Arc<dyn Clock>,
        split: Option<&Split>,
    ) -> Result<Self, Fault> {
        let pepper = Pepper::new(&secrets.get_or_create(PEPPER).await?);
        let (pdp, applied) = open_policies(config, folder, Arc::clone(&clock)).await?;
        let store = Store::open(&config.metadata, &folder.join("accounts.db")).await?;
        let accounts =
            Arc::new(Accounts::open(store, Arc::clone(&pdp) as _, pepper, clock.now()).await?);
        let audit = AuditConfig::new(folder.join("audit"), config.audit_origin.clone());
        let audit_key = secrets.get_or_create(AUDIT_KEY).await?;
        let log = AuditLog::open(audit, audit_key, Arc::clone(&clock))?;
        let alarm = Arc::clone(&log);
        // The entry is queued at once; nobody waits for it.
        pdp.on_divergence(move |divergence| alarm.append_behind(record::diverged(&divergence)));
        let has = |role| split.is_some_and(|split| split.has(role));
        let gate = Gate::new(Arc::clone(&pdp) as _, !has(Role::Orchestrator));
        secrets.get_or_create(dataos_query::MASK_KEY).await?;
        let ground = Ground {
            config,
            folder,
            split,
            pdp: &pdp,
            log: &log,
            gate: &gate,
            secrets: &secrets,
            clock: &clock,
        };
        let catalog = ground.catalog().await?;
        let query = ground.query(&catalog, &accounts)?;
        let (resources, orchestrator) = ground.resources(&catalog, &query, &accounts).await?;
        Ok(Self {
            secrets,
            accounts,
            applied,
            pdp,
            log,
            catalog,
            query,
            resources,
            orchestrator,
            gate,
            clock,
        })
    }

    async fn gateway(
        &self,
        config: &Config,
        certificates: &Arc<Certificates>,
        record: Arc<dyn Record>,
        links: Vec<Arc<Link>>,
    ) -> Result<Gateway, Fault> {
        let accounts = Arc::clone(&self.accounts);
        let tokens = Tokens::open(&config.issuers, Arc::clone(&accounts), self.clock.now())?;
        let session_life = SessionLife {
            whole: config.session_lifetime,
            idle: config.session_idle,
        };
        let seal = Seal::new(&self.secrets.get_or_create(SESSION_KEY).await?)?;
        let providers = Providers::open(&tokens, Arc::clone(&accounts), seal, session_life)?;
        let providers = Arc::new(providers);
        let clock = Arc::clone(&self.clock);
        let trust_domain = &config.asked_of_clients.trust_domain;
        let authenticator = Authenticator::new(
            Arc::clone(&accounts),
            tokens,
            Arc::clone(&providers),
            trust_domain.clone(),
            Arc::clone(&clock),
        );
        let seams = Seams {
            decide: Arc::clone(&self.gate) as _,
            explore: Arc::clone(&self.pdp) as _,
            policies: Arc::clone(&self.pdp) as _,
            record,
            records: Arc::clone(&self.log) as _,
            assets: Arc::clone(&self.catalog),
            resources: Arc::clone(&self.resources),
            query: Arc::clone(&self.query),
            clock,
        };
        let spans = Spans::new(config.telemetry.as_ref())
            .map_err(|why| Fault::invalid(format!("telemetry.otlp cannot be used: {why}")))?;
        Ok(Gateway::new(
            seams,
            accounts,
            self.applied.clone(),
            authenticator,
            GatewayConfig {
                limits: config.limits.clone(),
                rates: config.rates.clone(),
                session_life,
                providers,
                certificates: Some(Arc::clone(certificates)),
                links,
                gate: Some(Arc::clone(&self.gate)),
                authzen: config.authzen.clone(),
                authzen_keys: AuthzenKeys::new(
                    &self.secrets.get_or_create(METADATA_KEY).await?,
                    &self.secrets.get_or_create(PAGE_KEY).await?,
                )?,
                spans,
            },
        ))
    }

    /// What the gateway alone has for roles.
    fn platform(&self) -> Platform {
        Platform {
            gate: Arc::clone(&self.gate),
            policies: Arc::clone(&self.pdp) as _,
            sink: Arc::clone(&self.pdp) as _,
            identities: Arc::clone(&self.accounts) as _,
            record: Arc::clone(&self.log) as _,
            records: Arc::clone(&self.log) as _,
            secrets: Arc::clone(&self.secrets) as _,
        }
    }

    /// The log says when the platform started, and under which policies.
    async fn record_start(&self, address: SocketAddr) -> Result<(), Fault> {
        let info = self.pdp.info();
        let mut entry = Entry::new(EntryKind::Config, crate::limits::new_request_id())
            .with_fact("version", env!("CARGO_PKG_VERSION"))
            .with_fact("address", address)
            .with_fact("policies", info.count);
        entry.action = "start".to_owned();
        entry.policy_set = info.hash;
        self.log.append(entry).await.map(drop)
    }

    fn start_background(
        &self,
        config: &Config,
        gateway: &Arc<Gateway>,
        certificates: &Arc<Certificates>,
    ) -> Result<Vec<AbortHandle>, Fault> {
        let accounts = Arc::clone(&self.accounts);
        let watcher = reload::watch(
            &config.policies_dir,
            Arc::clone(&self.pdp),
            Arc::clone(&self.log) as Arc<dyn Record>,
        )?;
        let refusals = Arc::clone(&gateway.refusals);
        let renewal = Arc::clone(certificates).keep_fresh(Arc::clone(&self.clock));
        Ok(vec![
            tokio::spawn(watcher).abort_handle(),
            tokio::spawn(refusals.keep_writing()).abort_handle(),
            tokio::spawn(renewal).abort_handle(),
            tokio::spawn(write_use(accounts)).abort_handle(),
            tokio::spawn(gateway.spans.clone().keep_sending()).abort_handle(),
        ])
    }
}

/// Runs an acceptor from the moment on that the platform is open.
async fn when_open(mut opened: watch::Receiver<bool>, acceptor: impl Future<Output = ()>) {
    if opened.wait_for(|is_open| *is_open).await.is_ok() {
        acceptor.await;
    }
}

fn local_address(listener: &TcpListener) -> Result<SocketAddr, Fault> {
    let address = listener.local_addr();
    address.map_err(|error| Fault::unavailable(format!("no address to listen on: {error}")))
}

async fn bind(
    listeners: &mut Listeners,
    door: Door,
    address: SocketAddr,
) -> Result<TcpListener, Fault> {
    listeners
        .bind(door, address)
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => Fault::new(
                FaultKind::Conflict,
                format!("{address} is in use by another program"),
            )
            .with_hint("stop it, or choose another address with --listen or postgres.listen"),
            std::io::ErrorKind::PermissionDenied => {
                Fault::unavailable(format!("{address}: {error}"))
                    .with_hint("ports below 1024 need root; choose another with --listen")
            }
            _ => Fault::unavailable(format!("{address}: {error}"))
                .with_hint("choose an address of this machine with --listen"),
        })
}

fn check_data_folder(config: &Config, directory: &DataDirectory) -> Result<(), Fault> {
    let Some(folder) = &config.data else {
        return Ok(());
    };
    let folder = folder.canonicalize().map_err(|error| {
        Fault::invalid(format!("--data {}: {error}", folder.display()))
            .with_hint("name a folder of Parquet, CSV or JSON files")
    })?;
    if !folder.is_dir() {
        return Err(Fault::invalid(format!(
            "--data {} is not a folder",
            folder.display()
        )));
    }
    if touches_data_directory(&folder, directory.path()) {
        let message = format!(
            "--data {} is, holds or lies in a data directory",
            folder.display()
        );
        return Err(Fault::invalid(message).with_hint(
            "--data takes a folder of your own files; --data-dir says where DataOS keeps its state",
        ));
    }
    Ok(())
}

/// The PDP over the policies folder, with all that was applied over REST in force.
async fn open_policies(
    config: &Config,
    folder: &Path,
    clock: Arc<dyn Clock>,
) -> Result<(Arc<Pdp>, Applied), Fault> {
    if config.policies_dir.starts_with(&config.data_dir) && !config.policies_dir.exists() {
        dataos_pdp::write_shipped(&config.policies_dir)?;
    }
    let pdp = Pdp::open(PdpConfig::new(config.policies_dir.clone()), clock)?;
    let applied = Applied::open(folder, &pdp).await?;
    Ok((pdp, applied))
}

async fn open_certificates(
    config: &Config,
    folder: &Path,
    (secrets, clock): (&Arc<SealedSecrets>, &Arc<dyn Clock>),
    address: SocketAddr,
) -> Result<Arc<Certificates>, Fault> {
    let clients = &config.asked_of_clients;
    let certificates = match &config.certificate {
        Some(files) => Certificates::from_files(files, clients)?,
        None => {
            let names = certificates::names(&config.host_names, address.ip());
            let secrets = Arc::clone(secrets);
            Certificates::built_in(folder, secrets, names, clients, clock.as_ref()).await?
        }
    };
    Ok(Arc::new(certificates))
}

async fn write_use(accounts: Arc<Accounts>) {
    let mut tick = tokio::time::interval(USE_EVERY);
    loop {
        tick.tick().await;
        if let Err(fault) = accounts.write_use().await {
            tracing::warn!(%fault, "the last use of keys and sessions was not written down");
        }
    }
}
