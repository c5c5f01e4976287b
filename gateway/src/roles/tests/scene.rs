//! Doors and links in one process, over sockets of 127.0.0.1, with a clock that is told the time.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use dataos_model::{
    clock::{Clock, Timestamp},
    fault::Fault,
    hash::Hash,
    query::{Certificate, QueryAnswer, QueryRequest},
    record::{Entry, Receipt},
    seams::{BoxFuture, Nobody, Record, RunQuery},
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    accounts::fake_sink::FakeSink,
    certificates::Certificates,
    config::{AskedOfClients, ClientCertificate, TlsVersion},
    roles::{
        Role, deadline,
        door::Door,
        identity::{self, Identity},
        link::Link,
        remote::RemoteQuery,
        served::{Gate, Platform, Rooms, Served},
    },
    secrets::SealedSecrets,
    serve::tests::fakes,
};

const DOMAIN: &str = "dataos";

/// Time that passes when it is told to.
#[derive(Debug)]
pub(super) struct Told(AtomicI64);

impl Told {
    pub(super) fn pass(&self, time: Duration) {
        let time = i64::try_from(time.as_millis()).unwrap();
        self.0.fetch_add(time, Ordering::SeqCst);
    }
}

impl Clock for Told {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    Answer,
    Hang,
    Panic,
}

/// The query layer and the log behind the doors.
#[derive(Debug)]
struct Rear {
    behaviour: Mutex<Behaviour>,
    running: AtomicUsize,
    begun: Arc<AtomicUsize>,
    patience: Mutex<Duration>,
    rows: Vec<Bytes>,
    appended: Mutex<Vec<String>>,
    told: Mutex<Vec<&'static str>>,
}

/// A call that runs.
struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl RunQuery for Rear {
    async fn run(&self, _request: QueryRequest) -> Result<QueryAnswer, Fault> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(&self.running);
        *self.patience.lock().unwrap() = deadline::left(Duration::from_secs(3600));
        let behaviour = *self.behaviour.lock().unwrap();
        match behaviour {
            Behaviour::Answer => {}
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Panic => panic!("as told"),
        }
        Ok(QueryAnswer {
            columns: Vec::new(),
            chunks: self.rows.clone(),
            row_count: 7,
            is_truncated: false,
            certificate: Certificate {
                lent: Default::default(),
                dialect: Default::default(),
                policy_set: Hash::default(),
                entities: Hash::default(),
                statement: Hash::default(),
                governed_sql: String::new(),
                engine: String::new(),
                tables: Vec::new(),
            },
            receipt: Receipt {
                index: 1,
                text: String::new(),
            },
        })
    }
}

impl Record for Rear {
    fn append(&self, entry: Entry) -> BoxFuture<Result<Receipt, Fault>> {
        assert_eq!(entry.facts.get("role").map(String::as_str), Some("query"));
        let mut appended = self.appended.lock().unwrap();
        let index = appended.len() as u64;
        appended.push(entry.request_id);
        let text = String::new();
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok(Receipt { index, text })
        })
    }
}

struct Opened {
    stop: watch::Sender<bool>,
    door: JoinHandle<()>,
}

pub(super) struct Scene {
    certificates: Arc<Certificates>,
    pub(super) clock: Arc<Told>,
    rear: Arc<Rear>,
    pub(super) begun: Arc<AtomicUsize>,
    doors: Mutex<Vec<Opened>>,
    folders: Mutex<Vec<tempfile::TempDir>>,
}

impl Scene {
    pub(super) async fn new() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = i64::try_from(now.unwrap().as_millis()).unwrap();
        let clock = Arc::new(Told(AtomicI64::new(now)));
        let folder = tempfile::tempdir().unwrap();
        let secrets = Arc::new(SealedSecrets::open(folder.path()).unwrap());
        let clients = AskedOfClients {
            minimum_version: TlsVersion::V13,
            certificate: ClientCertificate::Optional,
            certificate_by_name: BTreeMap::new(),
            ca_file: None,
            crl_file: None,
            trust_domain: DOMAIN.to_owned(),
        };
        let names = vec!["localhost".to_owned()];
        let certificates =
            Certificates::built_in(folder.path(), secrets, names, &clients, clock.as_ref());
        let begun = Arc::new(AtomicUsize::new(0));
        let row = |byte: u8| Bytes::from(vec![byte; 300_000]);
        Self {
            certificates: Arc::new(certificates.await.unwrap()),
            rear: Arc::new(Rear {
                behaviour: Mutex::new(Behaviour::Answer),
                running: AtomicUsize::new(0),
                begun: Arc::clone(&begun),
                patience: Mutex::default(),
                rows: (b'a'..=b'e').map(row).collect(),
                appended: Mutex::default(),
                told: Mutex::default(),
            }),
            begun,
            clock,
            doors: Mutex::default(),
            folders: Mutex::new(vec![folder]),
        }
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as _
    }

    /// The identity of a role, and its folder.
    pub(super) fn identity(&self, role: Role) -> (Arc<Identity>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let issuer = self.certificates.role_issuer().unwrap();
        let pem = issuer.issue(role, 24 * 3600, self.clock.now()).unwrap();
        identity::write(folder.path(), &pem).unwrap();
        let identity = Identity::of_folder(role, DOMAIN, folder.path(), self.clock.now());
        (Arc::new(identity.unwrap()), folder)
    }

    /// Opens a door of a role; its address.
    pub(super) async fn open(&self, role: Role) -> String {
        self.open_at(role, "127.0.0.1:0").await
    }

    pub(super) async fn open_at(&self, role: Role, address: &str) -> String {
        let rooms = self.rooms(role).await;
        self.open_with(role, address, rooms).await
    }

    /// Opens a door of a role that has these rooms.
    pub(super) async fn open_with(&self, role: Role, address: &str, rooms: Rooms) -> String {
        let identity = match role {
            Role::Gateway => {
                let certificates = Arc::clone(&self.certificates);
                Arc::new(Identity::built_in(certificates, DOMAIN, self.clock.now()).unwrap())
            }
            role => {
                let (identity, folder) = self.identity(role);
                self.folders.lock().unwrap().push(folder);
                identity
            }
        };
        self.open_as(identity, address, rooms).await
    }

    /// Opens a door of this identity.
    pub(super) async fn open_as(
        &self,
        identity: Arc<Identity>,
        address: &str,
        rooms: Rooms,
    ) -> String {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let served = Served::new(Arc::clone(&identity), self.clock());
        served.open(rooms);
        let rear = Arc::clone(&self.rear);
        let tell = move |reason, _: SocketAddr| rear.told.lock().unwrap().push(reason);
        let drain = Duration::from_millis(100);
        let door = Door::new(
            listener,
            identity,
            served,
            self.clock(),
            Box::new(tell),
            drain,
        );
        let (stop, stopped) = watch::channel(false);
        let door = tokio::spawn(door.run(stopped));
        self.doors.lock().unwrap().push(Opened { stop, door });
        address
    }

    /// What a role has for all who may call it.
    pub(super) async fn rooms(&self, role: Role) -> Rooms {
        if role == Role::Query {
            return Rooms {
                query: Some(Arc::clone(&self.rear) as _),
                ..Rooms::default()
            };
        }
        let seams = fakes::scene().await.gateway.seams.clone();
        let folder = tempfile::tempdir().unwrap();
        let platform = Platform {
            gate: Gate::new(seams.decide, true),
            policies: seams.policies,
            sink: Arc::new(FakeSink::default()),
            identities: Arc::new(Nobody),
            record: Arc::clone(&self.rear) as _,
            records: seams.records,
            secrets: Arc::new(SealedSecrets::open(folder.path()).unwrap()),
        };
        self.folders.lock().unwrap().push(folder);
        Rooms {
            platform: Some(Arc::new(platform)),
            ..Rooms::default()
        }
    }

    /// Ends the door that was opened as the `index`th, and its connections.
    pub(super) async fn close(&self, index: usize) {
        let opened = self.doors.lock().unwrap().remove(index);
        opened.stop.send(true).unwrap();
        opened.door.await.unwrap();
    }

    pub(super) fn link(&self, role: Role, peer: Role, addresses: &[String]) -> Arc<Link> {
        let (identity, folder) = self.identity(role);
        self.folders.lock().unwrap().push(folder);
        Link::open(peer, addresses, &identity, &self.clock())
    }

    pub(super) fn query(&self, addresses: &[String]) -> RemoteQuery {
        RemoteQuery(self.link(Role::Gateway, Role::Query, addresses))
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        *self.rear.behaviour.lock().unwrap() = behaviour;
    }

    pub(super) fn running(&self) -> usize {
        self.rear.running.load(Ordering::SeqCst)
    }

    pub(super) fn patience(&self) -> Duration {
        *self.rear.patience.lock().unwrap()
    }

    pub(super) fn rows(&self) -> Vec<u8> {
        self.rear.rows.concat()
    }

    pub(super) fn appended(&self) -> Vec<String> {
        self.rear.appended.lock().unwrap().clone()
    }

    pub(super) fn told(&self) -> Vec<&'static str> {
        self.rear.told.lock().unwrap().clone()
    }
}

/// Waits until it is so.
pub(super) async fn soon(what: &str, is_so: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
