//! A layer over a temporary folder, with stand-ins for PDP, audit log, catalog and secrets.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use datafusion::arrow::{
    array::ArrayRef,
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use dataos_model::{
    access::{AccessRequest, CellOutcome, CellRule, ColumnAccess, DatasetAccess},
    action::Action,
    annotation::Call,
    clock::{Clock, Timestamp},
    dataset::{Column, DatasetId, DatasetSchema},
    decision::{Decision, Effect, PolicyRef, Reason, Request, SharedPolicyRef},
    depot::{AssetSnapshot, Dataset, DatasetSource, Depot, DepotSource, FileFormat},
    entity::EntityType,
    fault::Fault,
    hash::Hash,
    lineage::WriteLineage,
    mask::Mask,
    predicate::{Comparison, Expression, Predicate},
    principal::{Authentication, Principal},
    query::{Dialect, QueryAnswer, QueryRequest, RowFormat},
    record::{Entry, Receipt},
    seams::{
        Assets, BoxFuture, Decide, Identities, Lineage, Record, Records, RunQuery, ScanReport,
        Secrets,
    },
    secret::{Secret, SecretName},
    value::Value,
};
use dataos_query::{MASK_KEY, QueryConfig, QueryLayer, QuerySeams};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use tempfile::TempDir;

/// When tests take place; all files are newer.
const START: Timestamp = Timestamp(1_700_000_000_000);

/// Everything that a test needs.
pub(crate) struct World {
    pub(crate) layer: Arc<QueryLayer>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) log: Arc<Log>,
    pub(crate) catalog: Arc<Shelf>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(QueryConfig {
            partitions: 4,
            ..QueryConfig::default()
        })
    }

    pub(crate) fn with(config: QueryConfig) -> Self {
        Self::open(config, None, START)
    }

    /// Whose results are answered again, at a time when all files are old.
    pub(crate) fn caching() -> Self {
        let config = QueryConfig {
            cache_bytes_max: 1 << 20,
            ..QueryConfig::default()
        };
        Self::open(config, None, Timestamp(4_000_000_000_000))
    }

    /// With an audit log to read.
    pub(crate) fn with_records(records: Arc<dyn Records>) -> Self {
        Self::open(QueryConfig::default(), Some(records), START)
    }

    fn open(config: QueryConfig, records: Option<Arc<dyn Records>>, now: Timestamp) -> Self {
        let folder = TempDir::with_prefix("query-").unwrap();
        let (desk, log) = (Arc::new(Desk::default()), Arc::new(Log::default()));
        let (catalog, vault) = (Arc::new(Shelf::default()), Arc::new(Vault::default()));
        let accounts = Arc::new(Accounts::default());
        vault.keep(MASK_KEY, b"key of the test");
        catalog.add_depot(
            "lake",
            DepotSource::Files {
                root: folder.path().to_owned(),
                is_writable: true,
            },
        );
        let seams = QuerySeams {
            decide: desk.clone(),
            record: log.clone(),
            records,
            assets: catalog.clone(),
            identities: accounts.clone(),
            secrets: vault.clone(),
            clock: Arc::new(Stopped(now)),
        };
        desk.0.lock().unwrap().catalog = Some(catalog.clone());
        let layer = QueryLayer::open(config, seams).unwrap();
        Self {
            layer,
            desk,
            log,
            catalog,
            vault,
            accounts,
            folder,
        }
    }

    /// What sources are asked to make for a statement, a line each; empty if nothing.
    pub(crate) async fn made_there(&self, sql: &str) -> Result<String, Fault> {
        let plan = self.layer.physical_plan(&self.request(sql)).await?;
        let made = plan.lines().filter(|line| line.contains("RemoteExec"));
        Ok(made.collect::<Vec<_>>().join("\n"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Names of the files in a folder, in order.
    pub(crate) fn names_in(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Catalogues files of the folder as `lake:main/NAME`, permitted whole.
    pub(crate) fn files(
        &self,
        name: &str,
        format: FileFormat,
        paths: &[PathBuf],
        columns: &[(&str, &str)],
    ) -> DatasetId {
        let id = DatasetId::new("lake", "main", name);
        let source = DatasetSource::Files {
            format,
            paths: paths.to_vec(),
        };
        self.catalog.add(&id, columns, source);
        id
    }

    /// Writes a Parquet file and catalogues it.
    pub(crate) fn parquet(
        &self,
        name: &str,
        columns: &[(&str, &str)],
        arrays: Vec<ArrayRef>,
    ) -> DatasetId {
        let path = self.path(&format!("{name}.parquet"));
        std::fs::write(&path, parquet(columns, arrays)).unwrap();
        self.files(name, FileFormat::Parquet, &[path], columns)
    }

    /// Writes a table as it is stored here, a folder with one part, and catalogues it.
    pub(crate) fn stored(
        &self,
        name: &str,
        columns: &[(&str, &str)],
        arrays: Vec<ArrayRef>,
    ) -> DatasetId {
        let folder = self.path(&format!("{name}.parquet"));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("part-1.parquet");
        std::fs::write(&path, parquet(columns, arrays)).unwrap();
        self.files(name, FileFormat::Parquet, &[path], columns)
    }

    /// All rows that a table has, whoever may see them, each as text.
    pub(crate) fn raw(&self, id: &DatasetId) -> Vec<String> {
        let dataset = self.catalog.dataset(id).unwrap();
        let DatasetSource::Files { paths, .. } = &dataset.source else {
            panic!("{id} is not in files")
        };
        let mut rows = Vec::new();
        for path in paths {
            let file = File::open(path).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            for batch in reader.build().unwrap() {
                let batch = batch.unwrap();
                let columns = batch.columns().iter();
                let texts: Vec<_> = columns
                    .map(|column| ArrayFormatter::try_new(column, &FormatOptions::default()))
                    .collect::<Result<_, _>>()
                    .unwrap();
                rows.extend((0..batch.num_rows()).map(|row| {
                    let cells = texts.iter().map(|text| text.value(row).to_string());
                    cells.collect::<Vec<_>>().join("|")
                }));
            }
        }
        rows
    }

    /// Writes a CSV file and catalogues it.
    pub(crate) fn csv(&self, name: &str, columns: &[(&str, &str)], body: &str) -> DatasetId {
        let path = self.path(&format!("{name}.csv"));
        let header: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        std::fs::write(&path, format!("{}\n{body}", header.join(","))).unwrap();
        self.files(name, FileFormat::Csv, &[path], columns)
    }

    pub(crate) fn request(&self, sql: &str) -> QueryRequest {
        QueryRequest {
            principal: Principal::new(EntityType::USER.id("alice"), Authentication::Token),
            request_id: "r-1".to_owned(),
            sql: sql.to_owned(),
            dialect: Dialect::default(),
            context: BTreeMap::from([("purpose".to_owned(), Value::from("test"))]),
            format: RowFormat::Json,
            rows_max: None,
        }
    }

    pub(crate) async fn run(&self, sql: &str) -> Result<QueryAnswer, Fault> {
        self.layer.run(self.request(sql)).await
    }

    /// Runs it as another user.
    pub(crate) async fn run_as(&self, user: &str, sql: &str) -> Result<QueryAnswer, Fault> {
        let uid = EntityType::USER.id(user);
        let request = QueryRequest {
            principal: Principal::new(uid, Authentication::Session),
            ..self.request(sql)
        };
        self.layer.run(request).await
    }

    /// The rows as JSON text.
    pub(crate) async fn rows(&self, sql: &str) -> String {
        let answer = self
            .run(sql)
            .await
            .unwrap_or_else(|fault| panic!("{sql}: {fault:?}"));
        String::from_utf8(answer.chunks.concat()).unwrap()
    }

    pub(crate) async fn check(&self, sql: &str, expected: &str) {
        assert_eq!(self.rows(sql).await, expected, "{sql}");
    }

    /// As `check` for each of the statements; tells of all that answer otherwise.
    pub(crate) async fn check_all(&self, statements: &[(&str, &str)]) {
        let mut wrong = Vec::new();
        for (sql, expected) in statements {
            let found = match self.run(sql).await {
                Ok(answer) => String::from_utf8(answer.chunks.concat()).unwrap(),
                Err(fault) => format!("{fault:?}"),
            };
            if found != *expected {
                wrong.push(format!(
                    "{sql}\n  expected: {expected}\n  found:    {found}"
                ));
            }
        }
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
    }

    /// Kind and reason of a refusal.
    pub(crate) async fn refused(&self, sql: &str) -> Fault {
        match self.run(sql).await {
            Err(fault) => fault,
            Ok(answer) => panic!(
                "{sql} was answered: {}",
                String::from_utf8_lossy(&answer.chunks.concat())
            ),
        }
    }
}

pub(crate) fn write_parquet(path: &Path, batch: &RecordBatch) {
    std::fs::write(path, parquet_of(batch)).unwrap();
}

/// A Parquet file of these columns, each of which may be NULL.
pub(crate) fn parquet(columns: &[(&str, &str)], arrays: Vec<ArrayRef>) -> Vec<u8> {
    let named = columns.iter().zip(arrays);
    let named = named.map(|((name, _), array)| (*name, array, true));
    parquet_of(&RecordBatch::try_from_iter_with_nullable(named).unwrap())
}

fn parquet_of(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

pub(crate) fn schema(columns: &[(&str, &str)]) -> DatasetSchema {
    let columns = columns.iter().map(|(name, column_type)| Column {
        name: (*name).to_owned(),
        column_type: column_type.parse().unwrap(),
        is_nullable: true,
    });
    DatasetSchema {
        columns: columns.collect(),
    }
}

/// `column = value`, guarded as policies guard it.
pub(crate) fn equals(column: &str, value: impl Into<Value>) -> Predicate {
    let present = Expression::Present(column.to_owned());
    let equal = Expression::Compare(
        Comparison::Equal,
        Box::new(Expression::Column(column.to_owned())),
        Box::new(Expression::Literal(value.into())),
    );
    Predicate::Satisfied(Expression::And(Box::new(present), Box::new(equal)))
}

pub(crate) fn policy(id: &str) -> SharedPolicyRef {
    SharedPolicyRef::from(PolicyRef {
        id: id.to_owned(),
        effect_is_permit: true,
        source: "test.cedar:1".to_owned(),
        description: Some(format!("what {id} is for")),
    })
}

fn decision(effect: Effect, id: &str) -> Decision {
    let is_allowed = effect == Effect::Allow;
    Decision {
        effect,
        reason: if is_allowed {
            Reason::Permitted
        } else {
            Reason::NoPermit
        },
        policies: if is_allowed {
            vec![policy(id)]
        } else {
            Vec::new()
        },
        errors: Vec::new(),
        obligations: Vec::new(),
        policy_set: Hash::of("policies"),
        entities: Hash::of("entities"),
        detail: String::new(),
    }
}

/// A PDP that permits everything but what it was told otherwise.
#[derive(Debug, Default)]
pub(crate) struct Desk(Mutex<Orders>);

/// What it was told about datasets.
#[derive(Debug, Default)]
struct Rules {
    rows: BTreeMap<DatasetId, Predicate>,
    cells: BTreeMap<(DatasetId, String), Vec<CellRule>>,
    denied: BTreeSet<(Action, String)>,
}

#[derive(Debug, Default)]
struct Orders {
    catalog: Option<Arc<Shelf>>,
    /// Of everybody.
    rules: Rules,
    /// Of one user, which go before those of everybody.
    rules_of: BTreeMap<String, Rules>,
    obligations: Vec<Call>,
    /// Those of reading one dataset.
    obligations_on: BTreeMap<String, Vec<Call>>,
    accesses: usize,
    is_stale: bool,
    /// Number of the policy set.
    policy_set: usize,
    /// Number of the entity snapshot.
    entities: usize,
}

impl Orders {
    /// The rules for a user, his own first.
    fn of(&self, user: &str) -> impl Iterator<Item = &Rules> {
        self.rules_of.get(user).into_iter().chain([&self.rules])
    }

    fn is_denied(&self, user: &str, action: Action, resource: &str) -> bool {
        let asked = (action, resource.to_owned());
        self.of(user).any(|rules| rules.denied.contains(&asked))
    }

    fn obligations_of(&self, id: &DatasetId) -> Vec<Call> {
        let of_dataset = self.obligations_on.get(&id.to_string());
        let of_dataset = of_dataset.into_iter().flatten();
        self.obligations.iter().chain(of_dataset).cloned().collect()
    }

    fn policy_set(&self) -> Hash {
        match self.policy_set {
            0 => Hash::of("policies"),
            number => Hash::of(format!("policies {number}")),
        }
    }
}

impl Orders {
    fn entities(&self) -> Hash {
        match self.entities {
            0 => Hash::of("entities"),
            number => Hash::of(format!("entities {number}")),
        }
    }
}

/// Tells the desk about everybody, or about one user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Telling<'a> {
    desk: &'a Desk,
    user: Option<&'a str>,
}

impl Telling<'_> {
    fn tell(self, change: impl FnOnce(&mut Rules)) {
        let mut orders = self.desk.0.lock().unwrap();
        change(match self.user {
            None => &mut orders.rules,
            Some(user) => orders.rules_of.entry(user.to_owned()).or_default(),
        });
    }

    pub(crate) fn rows(self, id: &DatasetId, rows: Predicate) {
        self.tell(|rules| drop(rules.rows.insert(id.clone(), rows)));
    }

    pub(crate) fn mask(self, id: &DatasetId, column: &str, mask: &str) {
        let rule = always(CellOutcome::Masked(Mask::parse(mask).unwrap()));
        self.cells(id, column, vec![rule]);
    }

    pub(crate) fn absent(self, id: &DatasetId, column: &str) {
        self.cells(id, column, vec![always(CellOutcome::Absent)]);
    }

    pub(crate) fn cells(self, id: &DatasetId, column: &str, cells: Vec<CellRule>) {
        let key = (id.clone(), column.to_owned());
        self.tell(|rules| drop(rules.cells.insert(key, cells)));
    }

    pub(crate) fn deny(self, action: Action, resource: &str) {
        let resource = resource.to_owned();
        self.tell(|rules| {
            rules.denied.insert((action, resource));
        });
    }
}

impl Desk {
    pub(crate) fn everybody(&self) -> Telling<'_> {
        Telling {
            desk: self,
            user: None,
        }
    }

    /// What is told of one user goes before what is told of everybody.
    pub(crate) fn of<'a>(&'a self, user: &'a str) -> Telling<'a> {
        Telling {
            desk: self,
            user: Some(user),
        }
    }

    /// What was told of one user counts no more.
    pub(crate) fn forget(&self, user: &str) {
        self.0.lock().unwrap().rules_of.remove(user);
    }

    pub(crate) fn rows(&self, id: &DatasetId, rows: Predicate) {
        self.everybody().rows(id, rows);
    }

    pub(crate) fn mask(&self, id: &DatasetId, column: &str, mask: &str) {
        self.everybody().mask(id, column, mask);
    }

    /// From now on the column is shown as it is.
    pub(crate) fn plain(&self, id: &DatasetId, column: &str) {
        self.cells(id, column, vec![always(CellOutcome::Plain)]);
    }

    pub(crate) fn absent(&self, id: &DatasetId, column: &str) {
        self.everybody().absent(id, column);
    }

    pub(crate) fn cells(&self, id: &DatasetId, column: &str, rules: Vec<CellRule>) {
        self.everybody().cells(id, column, rules);
    }

    pub(crate) fn deny(&self, action: Action, resource: &str) {
        self.everybody().deny(action, resource);
    }

    /// From now on everything is permitted under this obligation.
    pub(crate) fn oblige(&self, obligation: &str) {
        let call = Call::parse(obligation).unwrap();
        self.0.lock().unwrap().obligations.push(call);
    }

    /// Another policy set from now on, which says the same.
    pub(crate) fn reload(&self) {
        self.0.lock().unwrap().policy_set += 1;
    }

    /// Another entity snapshot from now on, under which all is permitted as before.
    pub(crate) fn change_entities(&self) {
        self.0.lock().unwrap().entities += 1;
    }

    /// From now on reading this dataset is permitted under this obligation.
    pub(crate) fn oblige_on(&self, dataset: &str, obligation: &str) {
        let call = Call::parse(obligation).unwrap();
        let mut orders = self.0.lock().unwrap();
        let obligations = orders.obligations_on.entry(dataset.to_owned());
        obligations.or_default().push(call);
    }

    /// How often the PDP was asked about datasets.
    pub(crate) fn accesses(&self) -> usize {
        self.0.lock().unwrap().accesses
    }

    /// From now on it answers about another schema.
    pub(crate) fn be_stale(&self) {
        self.0.lock().unwrap().is_stale = true;
    }
}

pub(crate) fn always(outcome: CellOutcome) -> CellRule {
    when(Predicate::ALWAYS, outcome)
}

pub(crate) fn when(when: Predicate, outcome: CellOutcome) -> CellRule {
    CellRule {
        when,
        outcome,
        policy: Some("cells".to_owned()),
    }
}

#[async_trait]
impl Decide for Desk {
    async fn decide(&self, request: &Request) -> Decision {
        let orders = self.0.lock().unwrap();
        let user = &request.principal.uid.id;
        let effect = if orders.is_denied(user, request.action, &request.resource.id) {
            Effect::Deny
        } else {
            Effect::Allow
        };
        Decision {
            obligations: orders.obligations.clone(),
            policy_set: orders.policy_set(),
            entities: orders.entities(),
            ..decision(effect, "desk")
        }
    }

    async fn decide_all(&self, requests: &[Request]) -> Vec<Decision> {
        let mut decisions = Vec::new();
        for request in requests {
            decisions.push(self.decide(request).await);
        }
        decisions
    }

    async fn access_all(&self, requests: &[AccessRequest]) -> Vec<Vec<Arc<DatasetAccess>>> {
        let mut orders = self.0.lock().unwrap();
        orders.accesses += 1;
        let answers = |request: &AccessRequest| orders.access(request);
        requests.iter().map(answers).collect()
    }
}

impl Orders {
    fn access(&self, request: &AccessRequest) -> Vec<Arc<DatasetAccess>> {
        let (orders, user) = (self, request.principal.uid.id.as_str());
        let snapshot = orders.catalog.as_ref().unwrap().snapshot();
        let answer = |id: &DatasetId| {
            let schema = &snapshot.datasets[id].schema;
            let is_denied = orders.is_denied(user, request.action, &id.to_string());
            let effect = if is_denied {
                Effect::Deny
            } else {
                Effect::Allow
            };
            let columns = schema.columns.iter().map(|column| ColumnAccess {
                name: column.name.clone(),
                rules: orders
                    .of(user)
                    .find_map(|rules| rules.cells.get(&(id.clone(), column.name.clone())).cloned())
                    .unwrap_or_else(|| vec![always(CellOutcome::Plain)]),
                policies: vec![policy("cells")],
            });
            Arc::new(DatasetAccess {
                dataset: id.clone(),
                decision: Decision {
                    obligations: orders.obligations_of(id),
                    policy_set: orders.policy_set(),
                    entities: orders.entities(),
                    ..decision(effect, "select")
                },
                schema_hash: if orders.is_stale {
                    Hash::of("old")
                } else {
                    schema.hash()
                },
                rows: orders
                    .of(user)
                    .find_map(|rules| rules.rows.get(id).cloned())
                    .unwrap_or(Predicate::ALWAYS),
                row_policies: vec![policy("rows")],
                columns: if is_denied {
                    Vec::new()
                } else {
                    columns.collect()
                },
            })
        };
        request.datasets.iter().map(answer).collect()
    }
}

/// An audit log in memory.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: Mutex<Vec<Entry>>,
    is_broken: AtomicBool,
}

impl Log {
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().clone()
    }

    /// The entries so far, which are forgotten.
    pub(crate) fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut self.entries.lock().unwrap())
    }

    pub(crate) fn breaks(&self) {
        self.is_broken.store(true, Ordering::SeqCst);
    }
}

impl Record for Log {
    fn append(&self, entry: Entry) -> BoxFuture<Result<Receipt, Fault>> {
        if self.is_broken.load(Ordering::SeqCst) {
            return Box::pin(async { Err(Fault::unavailable("the disk is full")) });
        }
        let mut entries = self.entries.lock().unwrap();
        let index = entries.len() as u64;
        entries.push(entry);
        Box::pin(async move {
            Ok(Receipt {
                index,
                text: format!("receipt {index}"),
            })
        })
    }
}

/// A catalog in memory.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    snapshot: Mutex<Arc<AssetSnapshot>>,
    calls: Mutex<Vec<String>>,
    lineage: Mutex<Vec<WriteLineage>>,
    refuses_settling: AtomicBool,
    changes_at_stage: AtomicBool,
}

impl Shelf {
    fn change(&self, change: impl FnOnce(&mut AssetSnapshot)) {
        let mut snapshot = self.snapshot.lock().unwrap();
        let mut changed = (**snapshot).clone();
        change(&mut changed);
        *snapshot = Arc::new(changed);
    }

    pub(crate) fn add_depot(&self, name: &str, source: DepotSource) {
        let depot = Depot {
            name: name.to_owned(),
            description: String::new(),
            owner: "alice".to_owned(),
            tags: BTreeSet::new(),
            source,
        };
        self.change(|snapshot| {
            snapshot.depots.insert(name.to_owned(), Arc::new(depot));
        });
    }

    pub(crate) fn add(&self, id: &DatasetId, columns: &[(&str, &str)], source: DatasetSource) {
        self.add_dataset(id, schema(columns), source);
    }

    pub(crate) fn add_dataset(&self, id: &DatasetId, schema: DatasetSchema, source: DatasetSource) {
        self.put(Dataset::new(id.clone(), Arc::new(schema), source));
    }

    pub(crate) fn snapshot(&self) -> Arc<AssetSnapshot> {
        self.snapshot.lock().unwrap().clone()
    }

    pub(crate) fn put(&self, dataset: Dataset) {
        self.change(|snapshot| {
            snapshot
                .datasets
                .insert(dataset.id.clone(), Arc::new(dataset));
        });
    }

    pub(crate) fn dataset(&self, id: &DatasetId) -> Option<Arc<Dataset>> {
        self.snapshot().datasets.get(id).cloned()
    }

    /// What was asked for, in order.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn lineage_of_writes(&self) -> Vec<WriteLineage> {
        self.lineage.lock().unwrap().clone()
    }

    pub(crate) fn refuse_settling(&self) {
        self.refuses_settling.store(true, Ordering::SeqCst);
    }

    /// With the next stage, what is known of the target changes, as a scan would change it.
    pub(crate) fn change_at_stage(&self) {
        self.changes_at_stage.store(true, Ordering::SeqCst);
    }

    fn note(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }
}

#[async_trait]
impl Assets for Shelf {
    async fn snapshot(&self) -> Result<Arc<AssetSnapshot>, Fault> {
        Ok(Self::snapshot(self))
    }

    async fn register_depot(&self, _: Depot) -> Result<(), Fault> {
        Err(Fault::internal("not asked for by queries"))
    }

    async fn remove_depot(&self, _: &str) -> Result<(), Fault> {
        Err(Fault::internal("not asked for by queries"))
    }

    async fn scan(&self, _: &str) -> Result<ScanReport, Fault> {
        Err(Fault::internal("not asked for by queries"))
    }

    async fn set_tags(&self, _: &DatasetId, _: Option<&str>, _: Vec<String>) -> Result<(), Fault> {
        Err(Fault::internal("not asked for by queries"))
    }

    async fn stage_write(&self, target: Dataset, lineage: WriteLineage) -> Result<u64, Fault> {
        self.note(format!("stage {}", target.id));
        self.lineage.lock().unwrap().push(lineage);
        match self.dataset(&target.id) {
            None => self.put(target),
            Some(known) if self.changes_at_stage.swap(false, Ordering::SeqCst) => {
                let mut dataset = Dataset::clone(&known);
                if let DatasetSource::Files { paths, .. } = &mut dataset.source {
                    paths.extend(paths.clone());
                }
                self.put(dataset);
            }
            Some(_) => {}
        }
        Ok(7)
    }

    async fn settle_write(&self, stage: u64, target: Dataset) -> Result<(), Fault> {
        if self.refuses_settling.load(Ordering::SeqCst) {
            return Err(Fault::unavailable("the store is full"));
        }
        self.note(format!("settle {stage} {}", target.id));
        self.put(target);
        Ok(())
    }

    async fn retract_write(&self, stage: u64) -> Result<(), Fault> {
        self.note(format!("retract {stage}"));
        Ok(())
    }

    async fn drop_view(&self, view: &DatasetId) -> Result<(), Fault> {
        self.note(format!("drop {view}"));
        self.change(|snapshot| {
            snapshot.datasets.remove(view);
        });
        Ok(())
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
        Ok(Lineage::default())
    }
}

/// Accounts in memory.
#[derive(Debug, Default)]
pub(crate) struct Accounts(Mutex<BTreeMap<String, Result<Principal, Fault>>>);

impl Accounts {
    /// Adds an account, or puts it as it is now.
    pub(crate) fn put(&self, user: &str, roles: &[&str]) {
        let uid = EntityType::USER.id(user);
        let account = Principal {
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            ..Principal::new(uid, Authentication::Internal)
        };
        self.0.lock().unwrap().insert(user.to_owned(), Ok(account));
    }

    pub(crate) fn fail(&self, user: &str, fault: Fault) {
        self.0.lock().unwrap().insert(user.to_owned(), Err(fault));
    }

    pub(crate) fn remove(&self, user: &str) {
        self.0.lock().unwrap().remove(user);
    }
}

#[async_trait]
impl Identities for Accounts {
    async fn principal(&self, user: &str) -> Result<Principal, Fault> {
        let found = self.0.lock().unwrap().get(user).cloned();
        found.unwrap_or_else(|| Err(Fault::not_found(format!("there is no user `{user}`"))))
    }
}

/// Secrets in memory.
#[derive(Debug, Default)]
pub(crate) struct Vault(Mutex<BTreeMap<String, Vec<u8>>>);

impl Vault {
    pub(crate) fn keep(&self, name: &str, secret: &[u8]) {
        self.0
            .lock()
            .unwrap()
            .insert(name.to_owned(), secret.to_vec());
    }

    pub(crate) fn forget(&self, name: &str) {
        self.0.lock().unwrap().remove(name);
    }
}

#[async_trait]
impl Secrets for Vault {
    async fn get(&self, name: &SecretName) -> Result<Secret, Fault> {
        let found = self.0.lock().unwrap().get(&name.0).cloned();
        found
            .map(Secret::new)
            .ok_or_else(|| Fault::not_found(format!("no secret `{name}`")))
    }

    async fn put(&self, name: &SecretName, secret: Secret) -> Result<(), Fault> {
        self.keep(&name.0, secret.expose());
        Ok(())
    }

    async fn remove(&self, name: &SecretName) -> Result<(), Fault> {
        self.forget(&name.0);
        Ok(())
    }
}

#[derive(Debug)]
struct Stopped(Timestamp);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }
}
