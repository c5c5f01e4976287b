//! The real rooms around a query layer, joined as the gateway joins them, in a folder of its own.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use dataos_audit::{AuditConfig, AuditLog};
use dataos_catalog::{Catalog, CatalogConfig, CatalogSeams};
use dataos_model::{
    clock::Clock,
    depot::{AssetSnapshot, Depot, DepotSource},
    entity::EntityType,
    fault::Fault,
    principal::{Authentication, Principal},
    query::{Dialect, QueryRequest, RowFormat},
    record::{Entry, Receipt},
    seams::{Assets as _, BoxFuture, Nobody, Record, Secrets},
    secret::{Secret, SecretName},
};
use dataos_pdp::{Pdp, PdpConfig};
use dataos_query::{Baseline, MASK_KEY, QueryConfig, QueryLayer, QuerySeams};
use tempfile::TempDir;

use crate::audit::SystemClock;

/// A catalog of scanned depots with what decides about them.
pub(super) struct World {
    catalog: Arc<Catalog>,
    pdp: Arc<Pdp>,
    log: Arc<AuditLog>,
    secrets: Arc<MemorySecrets>,
    folder: TempDir,
}

impl World {
    /// Nothing but the shipped policies.
    pub(super) async fn open() -> Result<Self, Fault> {
        let folder = tempfile::tempdir().map_err(unwritable)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let policies = folder.path().join("policies");
        dataos_pdp::write_shipped(&policies)?;
        let pdp = Pdp::open(PdpConfig::new(policies), clock.clone())?;
        let secrets = Arc::new(MemorySecrets::default());
        secrets.keep(MASK_KEY, &[1; 32]).await?;
        let log = AuditConfig::new(folder.path().join("audit"), "bench");
        let log = AuditLog::open(log, Secret::new([7; 32]), clock.clone())?;
        let catalog = Catalog::open(
            CatalogConfig::new(folder.path().join("catalog")),
            CatalogSeams {
                sink: pdp.clone(),
                secrets: secrets.clone(),
                clock,
            },
        )
        .await?;
        Ok(Self {
            catalog,
            pdp,
            log,
            secrets,
            folder,
        })
    }

    /// A folder for files.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) async fn keep(&self, name: &str, secret: &[u8]) -> Result<(), Fault> {
        self.secrets.keep(name, secret).await
    }

    /// Registers a depot and catalogues what a scan finds: so many datasets.
    pub(super) async fn scan(
        &self,
        name: &str,
        source: DepotSource,
        count: usize,
    ) -> Result<(), Fault> {
        let depot = Depot {
            name: name.to_owned(),
            description: String::new(),
            owner: "bench".to_owned(),
            tags: Default::default(),
            source,
        };
        self.catalog.register_depot(depot).await?;
        let report = self.catalog.scan(name).await?;
        if report.added.len() != count {
            return Err(Fault::internal(format!("the scan found {report:?}")));
        }
        Ok(())
    }

    /// Puts policies in force beside the shipped ones.
    pub(super) fn rule(&self, policies: &str) -> Result<(), Fault> {
        let folder = self.path().join("policies");
        std::fs::write(folder.join("bench.cedar"), policies).map_err(unwritable)?;
        self.pdp.reload().map(drop)
    }

    pub(super) fn snapshot(&self) -> Arc<AssetSnapshot> {
        self.catalog.snapshot()
    }

    /// A layer whose records are durable in the audit log.
    pub(super) fn layer(&self) -> Result<Arc<QueryLayer>, Fault> {
        self.layer_with(self.log.clone())
    }

    /// A layer whose statements nobody records.
    pub(super) fn unrecorded(&self) -> Result<Arc<QueryLayer>, Fault> {
        self.layer_with(Arc::new(Nowhere))
    }

    fn layer_with(&self, record: Arc<dyn Record>) -> Result<Arc<QueryLayer>, Fault> {
        let seams = QuerySeams {
            decide: self.pdp.clone(),
            record,
            records: None,
            assets: self.catalog.clone(),
            identities: Arc::new(Nobody),
            secrets: self.secrets.clone(),
            clock: Arc::new(SystemClock),
        };
        QueryLayer::open(QueryConfig::default(), seams)
    }

    /// The same engine over all datasets, ungoverned.
    pub(super) async fn baseline(&self) -> Result<Baseline, Fault> {
        let snapshot = self.snapshot();
        let datasets: Vec<_> = snapshot.datasets.keys().cloned().collect();
        let config = QueryConfig::default();
        Baseline::open(&config, &snapshot, &datasets, self.secrets.clone()).await
    }
}

/// The statement as the benchmark's user sends it.
pub(super) fn request(sql: &str, format: RowFormat) -> QueryRequest {
    QueryRequest {
        principal: Principal::new(EntityType::USER.id("bench"), Authentication::ApiKey),
        request_id: "bench".to_owned(),
        sql: sql.to_owned(),
        dialect: Dialect::default(),
        context: BTreeMap::new(),
        format,
        rows_max: Some(100_000),
    }
}

/// A folder of files as a depot.
pub(super) fn files(root: &Path) -> DepotSource {
    DepotSource::Files {
        root: root.to_owned(),
        is_writable: false,
    }
}

/// The rows of a JSON answer, in an order of their own: rows that compare equal come in any.
pub(super) fn sorted(body: &[u8]) -> Result<Vec<String>, Fault> {
    let rows: Vec<serde_json::Value> =
        serde_json::from_slice(body).map_err(|error| Fault::internal(error.to_string()))?;
    let mut rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
    rows.sort();
    Ok(rows)
}

pub(super) fn unwritable(error: std::io::Error) -> Fault {
    Fault::internal(error.to_string())
}

/// Records that go nowhere.
#[derive(Debug)]
struct Nowhere;

impl Record for Nowhere {
    fn append(&self, _: Entry) -> BoxFuture<Result<Receipt, Fault>> {
        let text = String::new();
        Box::pin(std::future::ready(Ok(Receipt { index: 0, text })))
    }
}

/// Secrets in memory.
#[derive(Debug, Default)]
struct MemorySecrets(Mutex<BTreeMap<SecretName, Secret>>);

impl MemorySecrets {
    async fn keep(&self, name: &str, secret: &[u8]) -> Result<(), Fault> {
        let name = SecretName(name.to_owned());
        self.put(&name, Secret::new(secret.to_vec())).await
    }
}

#[async_trait]
impl Secrets for MemorySecrets {
    async fn get(&self, name: &SecretName) -> Result<Secret, Fault> {
        let secrets = self.0.lock().map_err(|_| Fault::internal("poisoned"))?;
        secrets
            .get(name)
            .cloned()
            .ok_or_else(|| Fault::not_found(format!("no secret {name}")))
    }

    async fn put(&self, name: &SecretName, secret: Secret) -> Result<(), Fault> {
        let mut secrets = self.0.lock().map_err(|_| Fault::internal("poisoned"))?;
        secrets.insert(name.clone(), secret);
        Ok(())
    }

    async fn remove(&self, name: &SecretName) -> Result<(), Fault> {
        let mut secrets = self.0.lock().map_err(|_| Fault::internal("poisoned"))?;
        secrets.remove(name);
        Ok(())
    }
}
