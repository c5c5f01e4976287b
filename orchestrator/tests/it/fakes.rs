//! Fakes of the seams: each notes what it is asked, in one list, so that order can be checked.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use dataos_model::{
    access::{AccessRequest, DatasetAccess},
    annotation::Call,
    clock::{Clock, Timestamp},
    dataset::DatasetId,
    decision::{Decision, Effect, Reason, Request},
    depot::{AssetSnapshot, Dataset, Depot},
    entity::{EntityChange, EntityType},
    fault::Fault,
    hash::Hash,
    lineage::WriteLineage,
    policy::{PolicyInfo, PolicySetInfo, PolicyText},
    principal::{Authentication, Principal},
    query::{Certificate, QueryAnswer, QueryRequest},
    record::{Entry, Receipt},
    resource::{ApplyOutcome, ResourceId, ResourceView},
    seams::{
        Assets, BoxFuture, Decide, EntitySink, Identities, Lineage, Policies, Record, Resources,
        RunQuery, ScanReport, Secrets,
    },
    secret::{Secret, SecretName},
};
use dataos_orchestrator::{Orchestrator, OrchestratorConfig, OrchestratorSeams};
use dataos_store::Metadata;

/// All rooms in one, with switches for what fails.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// What happened, in order.
    pub(crate) events: Mutex<Vec<String>>,
    /// `action id` pairs, or `action` alone, that are denied.
    pub(crate) denied: Mutex<BTreeSet<String>>,
    /// Obligations of every permit.
    pub(crate) obligations: Mutex<Vec<Call>>,
    pub(crate) is_record_down: Mutex<bool>,
    /// Depots whose scan takes a while.
    pub(crate) slow_depots: Mutex<BTreeSet<String>>,
    pub(crate) dead_depots: Mutex<BTreeSet<String>>,
    pub(crate) policies: Mutex<BTreeMap<String, String>>,
    pub(crate) depots: Mutex<BTreeMap<String, Depot>>,
    pub(crate) secrets: Mutex<BTreeMap<String, Vec<u8>>>,
    pub(crate) users: Mutex<BTreeSet<String>>,
    pub(crate) entries: Mutex<Vec<Entry>>,
}

impl World {
    pub(crate) fn note(&self, event: impl Into<String>) {
        self.events.lock().unwrap().push(event.into());
    }

    pub(crate) fn deny(&self, what: &str) {
        self.denied.lock().unwrap().insert(what.to_owned());
    }

    pub(crate) fn permit(&self, what: &str) {
        self.denied.lock().unwrap().remove(what);
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }

    pub(crate) fn forget(&self) {
        self.events.lock().unwrap().clear();
    }
}

#[async_trait]
impl Decide for World {
    async fn decide(&self, request: &Request) -> Decision {
        let action = request.action.name();
        let asked = format!("{action} {}", request.resource.id);
        let denied = self.denied.lock().unwrap();
        let is_denied = denied.contains(action) || denied.contains(&asked);
        Decision {
            effect: if is_denied {
                Effect::Deny
            } else {
                Effect::Allow
            },
            reason: if is_denied {
                Reason::NoPermit
            } else {
                Reason::Permitted
            },
            policies: Vec::new(),
            errors: Vec::new(),
            obligations: self.obligations.lock().unwrap().clone(),
            policy_set: Hash::default(),
            entities: Hash::default(),
            detail: String::new(),
        }
    }

    async fn decide_all(&self, _: &[Request]) -> Vec<Decision> {
        unreachable!("not asked here")
    }

    async fn access_all(&self, _: &[AccessRequest]) -> Vec<Vec<Arc<DatasetAccess>>> {
        unreachable!("not asked here")
    }
}

impl Record for World {
    fn append(&self, entry: Entry) -> BoxFuture<Result<Receipt, Fault>> {
        if *self.is_record_down.lock().unwrap() {
            return Box::pin(async { Err(Fault::unavailable("the log is full")) });
        }
        let effect = entry
            .effect
            .map(|effect| format!(" {effect}"))
            .unwrap_or_default();
        self.note(format!(
            "{}{effect} {} {}",
            entry.kind.name(),
            entry.action,
            entry.resource
        ));
        let mut entries = self.entries.lock().unwrap();
        entries.push(entry);
        let index = entries.len() as u64 - 1;
        Box::pin(async move {
            Ok(Receipt {
                index,
                text: String::new(),
            })
        })
    }
}

#[async_trait]
impl Policies for World {
    fn info(&self) -> PolicySetInfo {
        let policies = self.policies.lock().unwrap();
        PolicySetInfo {
            hash: Hash::of_parts(policies.values()),
            activated_at: Timestamp(0),
            count: policies.len(),
            load_error: None,
            warnings: Vec::new(),
        }
    }

    fn list(&self) -> Vec<PolicyInfo> {
        Vec::new()
    }

    fn entities(&self) -> Vec<Arc<dataos_model::entity::Entity>> {
        Vec::new()
    }

    async fn check(&self, texts: &[PolicyText]) -> Result<(), Fault> {
        if texts
            .iter()
            .any(|text| text.cedar.contains("unknown-to-the-schema"))
        {
            return Err(Fault::invalid("unexpected attribute"));
        }
        Ok(())
    }

    async fn put(&self, text: PolicyText) -> Result<Hash, Fault> {
        self.note(format!("put {}", text.source));
        self.policies
            .lock()
            .unwrap()
            .insert(text.source, text.cedar);
        Ok(Hash::default())
    }

    async fn remove(&self, source: &str) -> Result<Hash, Fault> {
        self.note(format!("remove {source}"));
        self.policies.lock().unwrap().remove(source);
        Ok(Hash::default())
    }
}

#[async_trait]
impl Assets for World {
    async fn snapshot(&self) -> Result<Arc<AssetSnapshot>, Fault> {
        Ok(Arc::default())
    }

    async fn register_depot(&self, depot: Depot) -> Result<(), Fault> {
        self.note(format!("register {}", depot.name));
        self.depots
            .lock()
            .unwrap()
            .insert(depot.name.clone(), depot);
        Ok(())
    }

    async fn remove_depot(&self, name: &str) -> Result<(), Fault> {
        self.note(format!("unregister {name}"));
        self.depots.lock().unwrap().remove(name);
        Ok(())
    }

    async fn scan(&self, depot: &str) -> Result<ScanReport, Fault> {
        self.note(format!("scan {depot}"));
        if self.slow_depots.lock().unwrap().contains(depot) {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        if self.dead_depots.lock().unwrap().contains(depot) {
            return Err(Fault::unavailable("connection refused"));
        }
        Ok(ScanReport {
            added: vec![DatasetId::new(depot, "main", "t")],
            ..ScanReport::default()
        })
    }

    async fn set_tags(&self, _: &DatasetId, _: Option<&str>, _: Vec<String>) -> Result<(), Fault> {
        unreachable!("not asked here")
    }

    async fn stage_write(&self, _: Dataset, _: WriteLineage) -> Result<u64, Fault> {
        unreachable!("not asked here")
    }

    async fn settle_write(&self, _: u64, _: Dataset) -> Result<(), Fault> {
        unreachable!("not asked here")
    }

    async fn retract_write(&self, _: u64) -> Result<(), Fault> {
        unreachable!("not asked here")
    }

    async fn search(
        &self,
        _: &str,
        _: usize,
        _: &(dyn for<'a> Fn(&'a DatasetId) -> bool + Send + Sync),
    ) -> Result<Vec<DatasetId>, Fault> {
        Ok(Vec::new())
    }

    async fn lineage(&self, _: &DatasetId) -> Result<Lineage, Fault> {
        unreachable!("not asked here")
    }
}

#[async_trait]
impl Secrets for World {
    async fn get(&self, name: &SecretName) -> Result<Secret, Fault> {
        let secrets = self.secrets.lock().unwrap();
        let value = secrets
            .get(&name.0)
            .ok_or_else(|| Fault::not_found("no such secret"))?;
        Ok(Secret::new(value.clone()))
    }

    async fn put(&self, name: &SecretName, secret: Secret) -> Result<(), Fault> {
        self.note(format!("put {name}"));
        self.secrets
            .lock()
            .unwrap()
            .insert(name.0.clone(), secret.expose().to_vec());
        Ok(())
    }

    async fn remove(&self, name: &SecretName) -> Result<(), Fault> {
        self.note(format!("remove {name}"));
        self.secrets.lock().unwrap().remove(&name.0);
        Ok(())
    }
}

#[async_trait]
impl RunQuery for World {
    async fn run(&self, request: QueryRequest) -> Result<QueryAnswer, Fault> {
        self.note(format!(
            "query {} {}",
            request.principal.uid.id, request.sql
        ));
        if request.sql.contains("forbidden") {
            return Err(Fault::denied("no_permit", "select is denied"));
        }
        Ok(QueryAnswer {
            columns: Vec::new(),
            chunks: vec![bytes::Bytes::from_static(b"[[\"governed value\"]]")],
            row_count: 1,
            is_truncated: false,
            certificate: Certificate {
                lent: Default::default(),
                dialect: Default::default(),
                policy_set: Hash::default(),
                entities: Hash::default(),
                statement: Hash::default(),
                governed_sql: String::new(),
                engine: "fake".to_owned(),
                tables: Vec::new(),
            },
            receipt: Receipt {
                index: 0,
                text: String::new(),
            },
        })
    }
}

#[async_trait]
impl Identities for World {
    async fn principal(&self, user: &str) -> Result<Principal, Fault> {
        if self.users.lock().unwrap().contains(user) {
            Ok(principal(user))
        } else {
            Err(Fault::not_found(format!("no user `{user}`")))
        }
    }
}

impl EntitySink for World {
    fn apply(&self, changes: Vec<EntityChange>) -> Result<Hash, Fault> {
        for change in changes {
            match change {
                EntityChange::Upsert(entity) => self.note(format!("entity {}", entity.uid.id)),
                EntityChange::Remove(uid) => self.note(format!("no entity {}", uid.id)),
            }
        }
        Ok(Hash::default())
    }
}

#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp(i64::try_from(since.as_millis()).unwrap())
    }
}

pub(crate) fn principal(user: &str) -> Principal {
    Principal::new(EntityType::USER.id(user), Authentication::Internal)
}

/// An orchestrator in a folder of its own, with its world.
pub(crate) struct Bench {
    pub(crate) world: Arc<World>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) orchestrator: Arc<Orchestrator>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let world = Arc::new(World::default());
        world
            .users
            .lock()
            .unwrap()
            .extend(["alice", "bob"].map(str::to_owned));
        let folder = tempfile::tempdir().unwrap();
        let orchestrator = open(&world, folder.path()).await.unwrap();
        Self {
            world,
            folder,
            orchestrator,
        }
    }

    /// Ends the orchestrator and opens it again.
    pub(crate) async fn restart(&mut self) {
        self.orchestrator.close().await;
        self.orchestrator = open(&self.world, self.folder.path()).await.unwrap();
    }

    pub(crate) async fn apply(&self, manifests: &str) -> Result<Vec<ApplyOutcome>, Fault> {
        self.apply_as("alice", manifests).await
    }

    pub(crate) async fn apply_as(
        &self,
        user: &str,
        manifests: &str,
    ) -> Result<Vec<ApplyOutcome>, Fault> {
        self.orchestrator
            .apply(&principal(user), "request-1", "public", manifests, None)
            .await
    }

    pub(crate) async fn delete(&self, id: &str) -> Result<ApplyOutcome, Fault> {
        let id: ResourceId = id.parse().unwrap();
        self.orchestrator
            .delete(&principal("alice"), "request-2", &id)
            .await
    }

    pub(crate) async fn get(&self, id: &str) -> ResourceView {
        self.orchestrator.get(&id.parse().unwrap()).await.unwrap()
    }

    /// Looks until the resource is as wanted.
    pub(crate) async fn until(
        &self,
        id: &str,
        is_wanted: impl Fn(&ResourceView) -> bool,
    ) -> ResourceView {
        for _ in 0..4000 {
            let view = self.get(id).await;
            if is_wanted(&view) {
                return view;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never: {:#?}", self.get(id).await);
    }
}

thread_local! {
    /// Where orchestrators that this thread opens have their tables; a test runs on one thread.
    static METADATA: RefCell<Metadata> = RefCell::default();
}

/// Runs a test whose orchestrators have their tables in `metadata`.
pub(crate) fn keep_tables_in(metadata: Metadata, test: &dyn Fn()) {
    METADATA.set(metadata);
    test();
    METADATA.take();
}

pub(crate) async fn open(world: &Arc<World>, folder: &Path) -> Result<Arc<Orchestrator>, Fault> {
    let config = OrchestratorConfig {
        retry_wait: Duration::from_millis(20),
        retry_wait_max: Duration::from_millis(100),
        stop_grace: Duration::from_millis(500),
        metadata: METADATA.with_borrow(Clone::clone),
        ..OrchestratorConfig::new(folder.to_owned())
    };
    let seams = OrchestratorSeams {
        decide: Arc::clone(world) as _,
        record: Arc::clone(world) as _,
        policies: Arc::clone(world) as _,
        assets: Arc::clone(world) as _,
        secrets: Arc::clone(world) as _,
        query: Arc::clone(world) as _,
        identities: Arc::clone(world) as _,
        sink: Arc::clone(world) as _,
        clock: Arc::new(SystemClock),
    };
    Orchestrator::open(config, seams).await
}
