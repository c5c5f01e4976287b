//! One fake behind each seam, with the switches that the tests need.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use dataos_model::{
    access::{AccessRequest, DatasetAccess},
    annotation::Call as AnnotationCall,
    clock::{Clock, Timestamp},
    dataset::DatasetId,
    decision::{Decision, Effect, PolicyRef, Reason, Request, SharedPolicyRef},
    depot::{AssetSnapshot, Dataset, DatasetSource, Depot, DepotSource},
    fault::Fault,
    hash::Hash,
    lineage::WriteLineage,
    policy::{PolicyInfo, PolicySetInfo, PolicyText},
    principal::Principal,
    query::{
        Certificate, KeptQuery, PageRequest, QueryAnswer, QueryPage, QueryRequest, QueryStream,
        RowPart, RowStream, RowsEnd,
    },
    record::{Entry, LogStatus, Receipt, RecordPage, RecordQuery, StoredEntry},
    resource::{ApplyOutcome, Plan, ResourceFilter, ResourceId, ResourceView},
    seams::{
        Assets, BoxFuture, Decide, KeepQueries, Lineage, Policies, Record, Records, Resources,
        RunQuery, ScanReport,
    },
    secret::Secret,
    vocabulary::Vocabulary,
};
use tokio::sync::{Notify, watch};

use crate::{
    accounts::{Accounts, SessionLife, User, Wanted, fake_sink::FakeSink},
    applied::{Applied, AppliedEntities, AppliedLinks, AppliedPolicies},
    authenticate::{Authenticator, api_key::Pepper, oidc::Providers, seal::Seal, token::Tokens},
    authzen_keys::AuthzenKeys,
    config::{AuthzenConfig, IssuerConfig, Limits, RateConfig},
    serve::{Gateway, GatewayConfig, Seams, by_decision::ByDecision},
    store::Store,
};

/// What the log does with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordMode {
    Durable,
    Stalled,
    Failing,
}

#[derive(Debug)]
pub(crate) struct FakeRecord {
    pub(crate) entries: Mutex<Vec<Entry>>,
    searches: AtomicUsize,
    mode: watch::Sender<RecordMode>,
}

impl FakeRecord {
    pub(super) fn set(&self, mode: RecordMode) {
        self.mode.send_replace(mode);
    }

    /// How often it was searched.
    pub(super) fn searches(&self) -> usize {
        self.searches.load(Ordering::SeqCst)
    }

    pub(super) async fn wait_for(&self, count: usize) {
        while self.entries.lock().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
    }
}

impl Record for FakeRecord {
    fn append(&self, entry: Entry) -> BoxFuture<Result<Receipt, Fault>> {
        let mut entries = self.entries.lock().unwrap();
        entries.push(entry);
        let index = entries.len() as u64 - 1;
        let mut mode = self.mode.subscribe();
        Box::pin(async move {
            let mode = *mode
                .wait_for(|mode| *mode != RecordMode::Stalled)
                .await
                .unwrap();
            if mode == RecordMode::Failing {
                return Err(Fault::unavailable("the disk is full"));
            }
            Ok(Receipt {
                index,
                text: format!("receipt-{index}"),
            })
        })
    }
}

#[async_trait]
impl Records for FakeRecord {
    async fn search(&self, query: &RecordQuery) -> Result<RecordPage, Fault> {
        self.searches.fetch_add(1, Ordering::SeqCst);
        let fits = |stored: &StoredEntry| {
            let entry = &stored.entry;
            query.before.is_none_or(|before| stored.index < before)
                && query.after.is_none_or(|after| stored.index > after)
                && query.kind.is_none_or(|kind| kind == entry.kind)
                && query
                    .action
                    .as_ref()
                    .is_none_or(|name| *name == entry.action)
                && query
                    .request_id
                    .as_ref()
                    .is_none_or(|id| *id == entry.request_id)
        };
        let entries = self.entries.lock().unwrap();
        let stored = (0_u64..)
            .zip(entries.iter())
            .map(|(index, entry)| StoredEntry {
                index,
                time: Timestamp(0),
                entry: entry.clone(),
            });
        let mut entries: Vec<StoredEntry> = stored.filter(fits).collect();
        entries.reverse();
        let is_cut = entries.len() > query.limit;
        entries.truncate(query.limit);
        Ok(RecordPage {
            next_before: entries.last().filter(|_| is_cut).map(|last| last.index),
            entries,
        })
    }

    async fn get(&self, _index: u64) -> Result<StoredEntry, Fault> {
        Err(Fault::not_found("no such entry"))
    }

    async fn proof(&self, _index: u64) -> Result<String, Fault> {
        Err(Fault::not_found("no such entry"))
    }

    async fn checkpoint(&self) -> Result<String, Fault> {
        Ok("checkpoint".to_owned())
    }

    async fn tile(&self, _path: &str) -> Result<Bytes, Fault> {
        Err(Fault::not_found("no such tile"))
    }

    fn status(&self) -> LogStatus {
        let is_failing = *self.mode.borrow() == RecordMode::Failing;
        LogStatus {
            size: self.entries.lock().unwrap().len() as u64,
            stopped: is_failing.then(|| "the disk is full".to_owned()),
            ..LogStatus::default()
        }
    }
}

/// Allows everything to anyone who is logged in, but what it is told to deny.
#[derive(Debug, Default)]
pub(crate) struct FakeDecide {
    denied: Mutex<(Vec<String>, String)>,
    obligations: Mutex<(Vec<String>, Vec<AnnotationCall>)>,
}

impl FakeDecide {
    pub(super) fn deny(&self, actions: &[&str]) {
        self.deny_on(actions, "");
    }

    /// Permits actions under an obligation.
    pub(super) fn oblige(&self, actions: &[&str], obligation: &str) {
        let actions = actions.iter().map(|action| (*action).to_owned()).collect();
        let call = AnnotationCall::parse(obligation).unwrap();
        *self.obligations.lock().unwrap() = (actions, vec![call]);
    }

    /// Denies actions on resources whose id contains `part`.
    pub(super) fn deny_on(&self, actions: &[&str], part: &str) {
        let actions = actions.iter().map(|action| (*action).to_owned()).collect();
        *self.denied.lock().unwrap() = (actions, part.to_owned());
    }

    fn answer(&self, request: &Request) -> Decision {
        let (actions, part) = &*self.denied.lock().unwrap();
        let is_denied = actions.iter().any(|action| action == request.action.name())
            && request.resource.id.contains(part);
        let (effect, reason) = if is_denied {
            (Effect::Deny, Reason::Forbidden)
        } else if request.principal.uid.id == "anonymous" {
            (Effect::Deny, Reason::NoPermit)
        } else {
            (Effect::Allow, Reason::Permitted)
        };
        let policies = if is_denied {
            vec![SharedPolicyRef::from(PolicyRef {
                id: "test.forbid".to_owned(),
                effect_is_permit: false,
                source: "test".to_owned(),
                description: None,
            })]
        } else {
            Vec::new()
        };
        let (actions, calls) = &*self.obligations.lock().unwrap();
        let is_bound = actions.iter().any(|action| action == request.action.name());
        Decision {
            effect,
            reason,
            policies,
            errors: Vec::new(),
            obligations: if is_bound { calls.clone() } else { Vec::new() },
            policy_set: Hash::of("set"),
            entities: Hash::of("entities"),
            detail: String::new(),
        }
    }
}

#[async_trait]
impl Decide for FakeDecide {
    async fn decide(&self, request: &Request) -> Decision {
        self.answer(request)
    }

    async fn decide_all(&self, requests: &[Request]) -> Vec<Decision> {
        requests
            .iter()
            .map(|request| self.answer(request))
            .collect()
    }

    async fn access_all(&self, requests: &[AccessRequest]) -> Vec<Vec<Arc<DatasetAccess>>> {
        vec![Vec::new(); requests.len()]
    }
}

#[derive(Debug, Default)]
pub(crate) struct FakePolicies {
    pub(super) listed: Notify,
}

#[async_trait]
impl Policies for FakePolicies {
    fn info(&self) -> PolicySetInfo {
        PolicySetInfo {
            hash: Hash::of("set"),
            activated_at: Timestamp(0),
            count: 1,
            load_error: None,
            warnings: Vec::new(),
        }
    }

    fn list(&self) -> Vec<PolicyInfo> {
        self.listed.notify_one();
        vec![PolicyInfo {
            id: "canary".to_owned(),
            effect: "permit".to_owned(),
            source: "test".to_owned(),
            annotations: Vec::new(),
            text: String::new(),
        }]
    }

    fn entities(&self) -> Vec<Arc<dataos_model::entity::Entity>> {
        Vec::new()
    }

    async fn check(&self, _texts: &[PolicyText]) -> Result<(), Fault> {
        Ok(())
    }

    async fn put(&self, _text: PolicyText) -> Result<Hash, Fault> {
        Ok(Hash::of("set"))
    }

    async fn remove(&self, _source: &str) -> Result<Hash, Fault> {
        Ok(Hash::of("set"))
    }
}

/// Answers each query with one row, and can be held inside one.
#[derive(Debug)]
pub(crate) struct FakeQuery {
    pub(super) runs: AtomicUsize,
    pub(super) started: Notify,
    held: watch::Sender<bool>,
}

impl FakeQuery {
    pub(super) fn hold(&self) {
        self.held.send_replace(true);
    }

    pub(super) fn release(&self) {
        self.held.send_replace(false);
    }
}

#[async_trait]
impl RunQuery for FakeQuery {
    async fn run(&self, _request: QueryRequest) -> Result<QueryAnswer, Fault> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.started.notify_one();
        self.held.subscribe().wait_for(|held| !held).await.unwrap();
        let (certificate, receipt) = enforced();
        Ok(QueryAnswer {
            columns: Vec::new(),
            chunks: vec![
                Bytes::from_static(b"[["),
                Bytes::from_static(b"\"canary\"]]"),
            ],
            row_count: 1,
            is_truncated: false,
            certificate,
            receipt,
        })
    }

    async fn stream(&self, request: QueryRequest) -> Result<QueryStream, Fault> {
        let (certificate, receipt) = enforced();
        let chunk = RowPart::Chunk(Bytes::from_static(b"canary\r\n"));
        let end = match request.sql.as_str() {
            "fails" => Err(Fault::invalid("division by zero").with_reason("division_by_zero")),
            _ => Ok(RowPart::End(RowsEnd {
                row_count: 2,
                is_truncated: false,
            })),
        };
        Ok(QueryStream {
            columns: Vec::new(),
            certificate,
            receipt,
            rows: Box::new(FakeRows([Ok(chunk.clone()), Ok(chunk), end].into())),
        })
    }

    fn keeper(&self) -> Result<&dyn KeepQueries, Fault> {
        Ok(self)
    }
}

/// Takes queries, and can be held inside one.
#[async_trait]
impl KeepQueries for FakeQuery {
    async fn submit(&self, _request: QueryRequest) -> Result<KeptQuery, Fault> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.started.notify_one();
        self.held.subscribe().wait_for(|held| !held).await.unwrap();
        not_in_these_tests()
    }

    async fn first_page(&self, _request: QueryRequest) -> Result<QueryPage, Fault> {
        not_in_these_tests()
    }

    async fn page(&self, _request: PageRequest) -> Result<QueryPage, Fault> {
        not_in_these_tests()
    }

    fn kept(&self, _caller: &Principal, _id: &str) -> Result<KeptQuery, Fault> {
        not_in_these_tests()
    }

    fn list(&self, _caller: &Principal) -> Vec<KeptQuery> {
        Vec::new()
    }

    async fn discard(&self, _caller: &Principal, _id: &str) -> Result<KeptQuery, Fault> {
        not_in_these_tests()
    }
}

fn enforced() -> (Certificate, Receipt) {
    let certificate = Certificate {
        lent: Default::default(),
        dialect: Default::default(),
        policy_set: Hash::of("set"),
        entities: Hash::of("entities"),
        statement: Hash::of("statement"),
        governed_sql: String::new(),
        engine: "test".to_owned(),
        tables: Vec::new(),
    };
    let receipt = Receipt {
        index: 99,
        text: "receipt-99".to_owned(),
    };
    (certificate, receipt)
}

/// Parts that are at hand.
#[derive(Debug)]
struct FakeRows(VecDeque<Result<RowPart, Fault>>);

impl RowStream for FakeRows {
    fn poll_part(&mut self, _context: &mut Context<'_>) -> Poll<Result<RowPart, Fault>> {
        Poll::Ready(self.0.pop_front().unwrap())
    }
}

/// Two datasets in one depot.
#[derive(Debug)]
struct FakeAssets(Arc<AssetSnapshot>);

impl FakeAssets {
    fn new() -> Self {
        let mut snapshot = AssetSnapshot::default();
        let depot = Depot {
            name: "crm".to_owned(),
            description: String::new(),
            owner: "admin".to_owned(),
            tags: BTreeSet::new(),
            source: DepotSource::Files {
                root: "/data".into(),
                is_writable: false,
            },
        };
        snapshot.depots.insert("crm".to_owned(), Arc::new(depot));
        for name in ["people", "salaries"] {
            let id = DatasetId::new("crm", "main", name);
            let source = DatasetSource::Table {
                schema: "main".to_owned(),
                table: name.to_owned(),
            };
            let dataset = Dataset::new(id.clone(), Arc::default(), source);
            snapshot.datasets.insert(id, Arc::new(dataset));
        }
        Self(Arc::new(snapshot))
    }
}

fn not_in_these_tests<T>() -> Result<T, Fault> {
    Err(Fault::internal("not part of these tests"))
}

#[async_trait]
impl Assets for FakeAssets {
    async fn snapshot(&self) -> Result<Arc<AssetSnapshot>, Fault> {
        Ok(Arc::clone(&self.0))
    }

    async fn register_depot(&self, _depot: Depot) -> Result<(), Fault> {
        not_in_these_tests()
    }

    async fn remove_depot(&self, _name: &str) -> Result<(), Fault> {
        not_in_these_tests()
    }

    async fn scan(&self, _depot: &str) -> Result<ScanReport, Fault> {
        not_in_these_tests()
    }

    async fn set_tags(
        &self,
        _dataset: &DatasetId,
        _column: Option<&str>,
        _tags: Vec<String>,
    ) -> Result<(), Fault> {
        not_in_these_tests()
    }

    async fn stage_write(&self, _target: Dataset, _lineage: WriteLineage) -> Result<u64, Fault> {
        not_in_these_tests()
    }

    async fn settle_write(&self, _stage: u64, _target: Dataset) -> Result<(), Fault> {
        not_in_these_tests()
    }

    async fn retract_write(&self, _stage: u64) -> Result<(), Fault> {
        not_in_these_tests()
    }

    async fn search(
        &self,
        _text: &str,
        _limit: usize,
        _is_visible: &(dyn for<'a> Fn(&'a DatasetId) -> bool + Send + Sync),
    ) -> Result<Vec<DatasetId>, Fault> {
        Ok(Vec::new())
    }

    async fn lineage(&self, _dataset: &DatasetId) -> Result<Lineage, Fault> {
        Ok(Lineage::default())
    }
}

#[derive(Debug)]
struct FakeResources;

#[async_trait]
impl Resources for FakeResources {
    async fn apply(
        &self,
        _principal: &Principal,
        _request_id: &str,
        _workspace: &str,
        _manifests: &str,
        _plan: Option<Hash>,
    ) -> Result<Vec<ApplyOutcome>, Fault> {
        not_in_these_tests()
    }

    async fn plan(
        &self,
        _principal: &Principal,
        _workspace: &str,
        _manifests: &str,
    ) -> Result<Plan, Fault> {
        not_in_these_tests()
    }

    async fn list(&self, _filter: &ResourceFilter) -> Result<Vec<ResourceView>, Fault> {
        // As a real one does, which has to look somewhere.
        tokio::task::yield_now().await;
        Ok(Vec::new())
    }

    async fn get(&self, _id: &ResourceId) -> Result<ResourceView, Fault> {
        Err(Fault::not_found("no such resource"))
    }

    async fn delete(
        &self,
        _principal: &Principal,
        _request_id: &str,
        _id: &ResourceId,
    ) -> Result<ApplyOutcome, Fault> {
        not_in_these_tests()
    }

    async fn log(
        &self,
        _id: &ResourceId,
        _job: Option<&str>,
        _lines: usize,
    ) -> Result<Vec<String>, Fault> {
        not_in_these_tests()
    }
}

#[derive(Debug)]
struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_800_000_000_000)
    }
}

/// A gateway with its fakes, and the API key of the user `admin`.
pub(crate) struct Scene {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) record: Arc<FakeRecord>,
    pub(crate) decide: Arc<FakeDecide>,
    pub(super) policies: Arc<FakePolicies>,
    pub(super) query: Arc<FakeQuery>,
    /// The entities that the PDP knows.
    pub(super) sink: Arc<FakeSink>,
    /// Value of `Authorization`.
    pub(crate) bearer: String,
    _folder: tempfile::TempDir,
}

async fn applied(folder: &std::path::Path, policies: Arc<FakePolicies>) -> Applied {
    let texts = AppliedPolicies::open(folder.join("applied"), Arc::clone(&policies) as _);
    let ours = Vocabulary::default();
    let links = AppliedLinks::open(folder.join("links"), policies, &ours);
    Applied {
        texts: Arc::new(texts.await.unwrap()),
        links: Arc::new(links.await.unwrap()),
        entities: applied_entities(folder),
    }
}

/// No policies and no own types.
fn applied_entities(folder: &std::path::Path) -> Arc<AppliedEntities> {
    let policies = folder.join("policies");
    std::fs::create_dir(&policies).unwrap();
    let mut shipped = dataos_pdp::shipped_policies();
    let schema = shipped.find(|(path, _)| *path == dataos_pdp::SCHEMA_FILE);
    std::fs::write(policies.join(dataos_pdp::SCHEMA_FILE), schema.unwrap().1).unwrap();
    let config = dataos_pdp::PdpConfig::new(policies);
    let pdp = dataos_pdp::Pdp::open(config, Arc::new(FixedClock)).unwrap();
    Arc::new(AppliedEntities::open(folder.join("entities"), pdp).unwrap())
}

pub(crate) fn limits() -> Limits {
    Limits {
        connections_max: 64,
        connections_per_peer_max: 64,
        calls_max: 64,
        body_bytes_max: 1 << 20,
        handshake_timeout: Duration::from_secs(5),
        head_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(5),
        send_timeout: Duration::from_secs(5),
        body_timeout: Duration::from_secs(5),
        answer_timeout: Duration::from_secs(60),
        drain_timeout: Duration::from_secs(1),
    }
}

fn config(limits: Limits, tokens: &Tokens, accounts: &Arc<Accounts>) -> GatewayConfig {
    let session_life = SessionLife {
        whole: Duration::from_secs(3600),
        idle: Duration::from_secs(600),
    };
    let seal = Seal::new(&Secret::new([3; 32])).unwrap();
    GatewayConfig {
        limits,
        rates: RateConfig::default(),
        session_life,
        providers: Arc::new(
            Providers::open(tokens, Arc::clone(accounts), seal, session_life).unwrap(),
        ),
        certificates: None,
        links: Vec::new(),
        gate: None,
        authzen: AuthzenConfig {
            context: vec!["purpose".to_owned()],
            ..AuthzenConfig::default()
        },
        authzen_keys: AuthzenKeys::new(&Secret::new([1; 32]), &Secret::new([2; 32])).unwrap(),
        spans: crate::observe::spans::Spans::default(),
    }
}

pub(crate) async fn scene() -> Scene {
    scene_with(limits()).await
}

pub(crate) async fn scene_with(limits: Limits) -> Scene {
    scene_of(limits, &[]).await
}

/// A scene that takes tokens of these issuers.
pub(crate) async fn scene_with_issuers(issuers: &[IssuerConfig]) -> Scene {
    scene_of(limits(), issuers).await
}

/// Accounts with the one user `admin`.
async fn accounts(folder: &std::path::Path, sink: Arc<FakeSink>, now: Timestamp) -> Arc<Accounts> {
    let file = folder.join("accounts.db");
    let store = Store::open(&dataos_store::Metadata::Embedded, &file).await;
    let pepper = Pepper::new(&Secret::new([7; 32]));
    let accounts = Accounts::open(store.unwrap(), sink, pepper, now).await;
    let accounts = Arc::new(accounts.unwrap());
    let user = User {
        user: "admin".to_owned(),
        ..User::default()
    };
    accounts.create(user, "correct horse").await.unwrap();
    accounts
}

async fn scene_of(limits: Limits, issuers: &[IssuerConfig]) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(FixedClock);
    let sink = Arc::new(FakeSink::default());
    let accounts = accounts(folder.path(), Arc::clone(&sink), clock.now()).await;
    let key = Wanted {
        name: "test".to_owned(),
        ..Wanted::default()
    };
    let key = accounts
        .create_key("admin", key, clock.now())
        .await
        .unwrap();
    let record = Arc::new(FakeRecord {
        entries: Mutex::default(),
        searches: AtomicUsize::new(0),
        mode: watch::Sender::new(RecordMode::Durable),
    });
    let decide = Arc::new(FakeDecide::default());
    let policies = Arc::new(FakePolicies::default());
    let applied = applied(folder.path(), Arc::clone(&policies)).await;
    let query = Arc::new(FakeQuery {
        runs: AtomicUsize::new(0),
        started: Notify::new(),
        held: watch::Sender::new(false),
    });
    let known = Arc::clone(&sink);
    let seams = Seams {
        decide: Arc::clone(&decide) as _,
        explore: Arc::new(ByDecision {
            decide: Arc::clone(&decide) as _,
            entities: Box::new(move || known.all()),
        }),
        policies: Arc::clone(&policies) as _,
        record: Arc::clone(&record) as _,
        records: Arc::clone(&record) as _,
        assets: Arc::new(FakeAssets::new()),
        resources: Arc::new(FakeResources),
        query: Arc::clone(&query) as _,
        clock: Arc::clone(&clock),
    };
    let tokens = Tokens::open(issuers, Arc::clone(&accounts), clock.now()).unwrap();
    let config = config(limits, &tokens, &accounts);
    let authenticator = Authenticator::new(
        Arc::clone(&accounts),
        tokens,
        Arc::clone(&config.providers),
        "dataos".to_owned(),
        clock,
    );
    let gateway = Gateway::new(seams, accounts, applied, authenticator, config);
    Scene {
        gateway: Arc::new(gateway),
        record,
        decide,
        policies,
        query,
        sink,
        bearer: format!("Bearer {}", key.text),
        _folder: folder,
    }
}
