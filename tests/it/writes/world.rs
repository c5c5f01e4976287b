//! PDP, catalog and query layer over a folder, with a log that forgets.

use std::{fs, sync::Arc};

use async_trait::async_trait;
use dataos_catalog::{Catalog, CatalogConfig, CatalogSeams};
use dataos_model::{
    clock::{Clock, Timestamp},
    depot::{Depot, DepotSource},
    entity::EntityType,
    fault::Fault,
    policy::PolicyText,
    principal::{Authentication, Principal},
    query::{Dialect, QueryRequest, RowFormat},
    record::{Entry, Receipt},
    seams::{Assets, BoxFuture, Nobody, Policies as _, Record, RunQuery, Secrets},
    secret::{Secret, SecretName},
};
use dataos_pdp::{Pdp, PdpConfig, shipped_policies};
use dataos_query::{QueryConfig, QueryLayer, QuerySeams};

use super::statement::Row;

/// The administrator sees and does everything.
const OPEN: &str =
    "@id(\"open\")\npermit (principal == DataOS::User::\"admin\", action, resource);\n";

pub(super) struct World {
    pdp: Arc<Pdp>,
    layer: Arc<QueryLayer>,
    _folder: tempfile::TempDir,
}

impl World {
    pub(super) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (policies, lake) = (folder.path().join("policies"), folder.path().join("lake"));
        fs::create_dir_all(&policies).unwrap();
        fs::create_dir_all(&lake).unwrap();
        let schema = shipped_policies().find(|(path, _)| *path == "schema.cedarschema");
        let schema = schema.unwrap();
        fs::write(policies.join(schema.0), schema.1).unwrap();
        fs::write(policies.join("open.cedar"), OPEN).unwrap();
        let clock = Arc::new(Noon);
        let pdp = Pdp::open(PdpConfig::new(policies), clock.clone()).unwrap();
        let secrets = Arc::new(NoSecrets);
        let seams = CatalogSeams {
            sink: pdp.clone(),
            secrets: secrets.clone(),
            clock: clock.clone(),
        };
        let config = CatalogConfig::new(folder.path().join("catalog"));
        let catalog = Catalog::open(config, seams).await.unwrap();
        let depot = Depot {
            name: "lake".to_owned(),
            description: String::new(),
            owner: "admin".to_owned(),
            tags: std::collections::BTreeSet::new(),
            source: DepotSource::Files {
                root: lake,
                is_writable: true,
            },
        };
        catalog.register_depot(depot).await.unwrap();
        let seams = QuerySeams {
            decide: pdp.clone(),
            record: Arc::new(Forgetting),
            records: None,
            assets: catalog,
            identities: Arc::new(Nobody),
            secrets,
            clock,
        };
        let layer = QueryLayer::open(QueryConfig::default(), seams).unwrap();
        Self {
            pdp,
            layer,
            _folder: folder,
        }
    }

    /// The policies of the caller from now on.
    pub(super) async fn put(&self, cedar: &str) {
        let text = PolicyText {
            source: "round".to_owned(),
            cedar: cedar.to_owned(),
        };
        self.pdp.put(text).await.expect(cedar);
    }

    pub(super) async fn create(&self, table: &str, rows: &[Row]) {
        let rows: Vec<String> = rows.iter().map(Row::sql).collect();
        let sql = format!(
            "CREATE TABLE lake.main.{table} AS SELECT * FROM (VALUES {}) AS v (id, region, level, note)",
            rows.join(", ")
        );
        self.run_as("admin", &sql).await.unwrap();
    }

    /// What the table holds, whoever may see it; sorted.
    pub(super) async fn rows(&self, table: &str) -> Vec<String> {
        let all = self
            .run_as("admin", &format!("SELECT * FROM lake.main.{table}"))
            .await
            .unwrap();
        sorted(&all)
    }

    /// A statement of the caller's; its rows are sorted, as parts are read in an order of chance.
    pub(super) async fn run(&self, sql: &str) -> Result<String, Fault> {
        let rows = self.run_as("ann", sql).await?;
        Ok(format!("[{}]", sorted(&rows).join(",")))
    }

    async fn run_as(&self, who: &str, sql: &str) -> Result<String, Fault> {
        let request = QueryRequest {
            principal: Principal::new(EntityType::USER.id(who), Authentication::Internal),
            request_id: "r".to_owned(),
            sql: sql.to_owned(),
            dialect: Dialect::default(),
            context: std::collections::BTreeMap::new(),
            format: RowFormat::Json,
            rows_max: None,
        };
        let answer = self.layer.run(request).await?;
        Ok(String::from_utf8(answer.chunks.concat()).unwrap())
    }
}

fn sorted(json: &str) -> Vec<String> {
    let rows: Vec<serde_json::Value> = serde_json::from_str(json).unwrap();
    let mut rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
    rows.sort();
    rows
}

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000)
    }
}

/// Acknowledges and forgets.
#[derive(Debug)]
struct Forgetting;

impl Record for Forgetting {
    fn append(&self, _: Entry) -> BoxFuture<Result<Receipt, Fault>> {
        Box::pin(async {
            Ok(Receipt {
                index: 0,
                text: String::new(),
            })
        })
    }
}

#[derive(Debug)]
struct NoSecrets;

#[async_trait]
impl Secrets for NoSecrets {
    async fn get(&self, name: &SecretName) -> Result<Secret, Fault> {
        Err(Fault::not_found(format!("no secret `{name}`")))
    }

    async fn put(&self, _: &SecretName, _: Secret) -> Result<(), Fault> {
        Err(Fault::internal("no secrets here"))
    }

    async fn remove(&self, _: &SecretName) -> Result<(), Fault> {
        Err(Fault::internal("no secrets here"))
    }
}
