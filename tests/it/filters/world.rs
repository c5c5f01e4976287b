//! The orchestrator over a real PDP; what neither of them is stands still.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use dataos_model::{
    access::{AccessRequest, CellOutcome, DatasetAccess},
    action::Action,
    dataset::{Column, ColumnType, DatasetId, DatasetSchema},
    decision::Reason,
    entity::{Entity, EntityChange, EntityType},
    fault::Fault,
    hash::Hash,
    policy::{PolicyInfo, PolicySetInfo, PolicyText},
    principal::{Authentication, Principal},
    seams::{Decide, EntitySink, Policies, Resources},
};
use dataos_orchestrator::{Orchestrator, OrchestratorConfig, OrchestratorSeams};
use dataos_pdp::{Pdp, PdpConfig, shipped_policies};

use super::{rest::Rest, rule::Row};

/// Everything is open, until data policies narrow it.
const OPEN: &str = "@id(\"open\")\npermit (principal, action, resource);\n";

/// Caller, dataset and position of a row.
pub(super) type Seen = BTreeSet<(usize, usize, usize)>;

/// Who looks at what.
#[derive(Clone, Debug)]
pub(super) struct Gallery {
    pub(super) callers: Vec<Principal>,
    /// Each with its columns and rows.
    pub(super) datasets: Vec<(DatasetId, Vec<&'static str>, Vec<Row>)>,
}

/// The PDP, and what could be seen under each policy set that was in force since it was last asked.
#[derive(Debug)]
pub(super) struct Watched {
    pdp: Arc<Pdp>,
    gallery: Gallery,
    pub(super) moments: Mutex<Vec<Seen>>,
}

impl Watched {
    pub(super) fn open(folder: &Path, gallery: Gallery) -> Arc<Self> {
        let schema = shipped_policies()
            .find(|(path, _)| *path == "schema.cedarschema")
            .unwrap();
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(schema.0), schema.1).unwrap();
        fs::write(folder.join("open.cedar"), OPEN).unwrap();
        let pdp = Pdp::open(PdpConfig::new(folder.to_owned()), Arc::new(Rest)).unwrap();
        let datasets = gallery.datasets.iter();
        let entities = datasets.flat_map(|(id, columns, _)| entities(id, columns));
        pdp.apply(entities.map(EntityChange::Upsert).collect())
            .unwrap();
        Arc::new(Self {
            pdp,
            gallery,
            moments: Mutex::default(),
        })
    }

    pub(super) fn callers(&self) -> &[Principal] {
        &self.gallery.callers
    }

    pub(super) fn datasets(&self) -> &[(DatasetId, Vec<&'static str>, Vec<Row>)] {
        &self.gallery.datasets
    }

    pub(super) async fn access(&self, caller: &Principal) -> Vec<Arc<DatasetAccess>> {
        let request = AccessRequest {
            principal: caller.clone(),
            action: Action::Select,
            datasets: self.datasets().iter().map(|(id, ..)| id.clone()).collect(),
            context: BTreeMap::new(),
        };
        let answers = self.pdp.access(&request).await;
        for answer in &answers {
            // A dataset of which no row is left is denied as a whole.
            let is_open = answer.decision.is_allowed();
            assert!(
                is_open || answer.decision.reason == Reason::Forbidden,
                "{:?}",
                answer.decision
            );
        }
        answers
    }

    /// All rows that anyone sees now.
    pub(super) async fn seen(&self) -> Seen {
        let mut seen = Seen::new();
        for (who, caller) in self.callers().iter().enumerate() {
            for (which, answer) in self.access(caller).await.iter().enumerate() {
                let rows = self.datasets()[which].2.iter().enumerate();
                let is_open = answer.decision.is_allowed();
                let visible = rows.filter(|(_, row)| is_open && answer.rows.holds(*row));
                seen.extend(visible.map(|(row, _)| (who, which, row)));
            }
        }
        seen
    }

    async fn note<T>(&self, changed: Result<T, Fault>) -> Result<T, Fault> {
        let seen = self.seen().await;
        self.moments.lock().unwrap().push(seen);
        changed
    }
}

/// The mask of a column, if it has one in every row.
pub(super) fn mask_of(access: &DatasetAccess, column: &str) -> Option<String> {
    let found = access.columns.iter().find(|found| found.name == column);
    let rules = &found.unwrap().rules;
    assert_eq!(rules.len(), 1, "{rules:?}");
    match &rules[0].outcome {
        CellOutcome::Masked(mask) => Some(mask.to_string()),
        CellOutcome::Plain => None,
        CellOutcome::Absent => Some("absent".to_owned()),
    }
}

fn entities(id: &DatasetId, columns: &[&str]) -> Vec<Entity> {
    let column = |name: &&str| Column {
        name: (*name).to_owned(),
        column_type: if *name == "level" {
            ColumnType::Int(64)
        } else {
            ColumnType::Text
        },
        is_nullable: true,
    };
    let mut dataset = Entity::new(id.uid()).with_parents([id.collection_uid()]);
    dataset.schema = Some(DatasetSchema {
        columns: columns.iter().map(column).collect(),
    });
    let mut entities = vec![
        Entity::new(EntityType::TAG.id("PII")),
        Entity::new(id.depot_uid()),
        Entity::new(id.collection_uid()).with_parents([id.depot_uid()]),
        dataset,
    ];
    for name in columns {
        let tag = (*name == "region").then(|| EntityType::TAG.id("PII"));
        let parents = std::iter::once(id.uid()).chain(tag);
        entities.push(Entity::new(id.column_uid(name)).with_parents(parents));
    }
    entities
}

#[async_trait]
impl Policies for Watched {
    fn info(&self) -> PolicySetInfo {
        self.pdp.info()
    }

    fn list(&self) -> Vec<PolicyInfo> {
        self.pdp.list()
    }

    fn entities(&self) -> Vec<Arc<Entity>> {
        self.pdp.entities()
    }

    async fn check(&self, texts: &[PolicyText]) -> Result<(), Fault> {
        self.pdp.check(texts).await
    }

    async fn put(&self, text: PolicyText) -> Result<Hash, Fault> {
        let changed = self.pdp.put(text).await;
        self.note(changed).await
    }

    async fn remove(&self, source: &str) -> Result<Hash, Fault> {
        let changed = self.pdp.remove(source).await;
        self.note(changed).await
    }
}

pub(super) fn admin() -> Principal {
    Principal::new(EntityType::USER.id("admin"), Authentication::Internal)
}

/// An orchestrator with its state in a folder.
pub(super) struct World {
    pub(super) watched: Arc<Watched>,
    orchestrator: Arc<Orchestrator>,
    folder: tempfile::TempDir,
}

impl World {
    pub(super) async fn open(gallery: Gallery) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let watched = Watched::open(&folder.path().join("policies"), gallery);
        let orchestrator = orchestrator(&watched, folder.path()).await;
        Self {
            watched,
            orchestrator,
            folder,
        }
    }

    pub(super) async fn apply(&self, manifests: &str) {
        let applied = self
            .orchestrator
            .apply(&admin(), "request", "public", manifests, None)
            .await;
        for outcome in applied.expect(manifests) {
            assert!(outcome.warnings.is_empty(), "{outcome:?}\n{manifests}");
        }
    }

    pub(super) async fn delete(&self, policy: &str) {
        let id = format!("policy:v1:{policy}").parse().unwrap();
        self.orchestrator
            .delete(&admin(), "request", &id)
            .await
            .unwrap();
    }

    /// Another orchestrator over the same state, and a PDP that knows of no applied policy yet.
    pub(super) async fn restart(self) -> Self {
        self.orchestrator.close().await;
        let gallery = self.watched.gallery.clone();
        let watched = Watched::open(&self.folder.path().join("policies"), gallery);
        let orchestrator = orchestrator(&watched, self.folder.path()).await;
        Self {
            watched,
            orchestrator,
            ..self
        }
    }

    pub(super) async fn close(self) {
        self.orchestrator.close().await;
    }
}

async fn orchestrator(watched: &Arc<Watched>, folder: &Path) -> Arc<Orchestrator> {
    let pdp = &watched.pdp;
    let seams = OrchestratorSeams {
        decide: Arc::clone(pdp) as _,
        record: Arc::new(Rest),
        policies: Arc::clone(watched) as _,
        assets: Arc::new(Rest),
        secrets: Arc::new(Rest),
        query: Arc::new(Rest),
        identities: Arc::new(Rest),
        sink: Arc::clone(pdp) as _,
        clock: Arc::new(Rest),
    };
    let config = OrchestratorConfig::new(folder.join("orchestrator"));
    Orchestrator::open(config, seams).await.unwrap()
}
