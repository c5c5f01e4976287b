//! A PDP over a temporary folder, a small world of entities, and short ways to ask.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use dataos_model::{
    access::{AccessRequest, DatasetAccess},
    action::Action,
    clock::{Clock, Timestamp},
    dataset::{Column, ColumnType, DatasetId, DatasetSchema},
    decision::{Decision, Request},
    entity::{Entity, EntityChange, EntityType, EntityUid},
    fault::Fault,
    principal::{Authentication, Principal},
    seams::EntitySink,
};
use dataos_pdp::{Pdp, PdpConfig, shipped_policies, write_shipped};
use tempfile::TempDir;

/// Time that stands still.
#[derive(Debug)]
pub(crate) struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp(43_200_000)
    }
}

/// A PDP and its folder.
pub(crate) struct World {
    pub(crate) pdp: Arc<Pdp>,
    pub(crate) folder: TempDir,
}

impl World {
    /// Shipped policies, and the depot `shop` with the dataset `crm.customers`.
    pub(crate) fn shipped() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_shipped(folder.path()).unwrap();
        Self::open(folder)
    }

    /// The shipped schema with these policies alone.
    pub(crate) fn with(policies: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_schema(folder.path());
        fs::write(folder.path().join("own.cedar"), policies).unwrap();
        Self::open(folder)
    }

    /// The shipped schema with these files, by path within the folder.
    pub(crate) fn of_files(files: &[(&str, &str)]) -> Result<Self, Fault> {
        let folder = tempfile::tempdir().unwrap();
        write_schema(folder.path());
        for (path, text) in files {
            write_file(folder.path(), path, text);
        }
        let pdp = Pdp::open(PdpConfig::new(folder.path().to_owned()), Arc::new(Noon))?;
        Ok(Self { pdp, folder })
    }

    /// Writes a file of the folder.
    pub(crate) fn write(&self, path: &str, text: &str) {
        write_file(self.folder.path(), path, text);
    }

    fn open(folder: TempDir) -> Self {
        let pdp = Pdp::open(PdpConfig::new(folder.path().to_owned()), Arc::new(Noon)).unwrap();
        pdp.apply(shop()).unwrap();
        Self { pdp, folder }
    }

    pub(crate) fn decide(
        &self,
        principal: &Principal,
        action: Action,
        resource: EntityUid,
    ) -> Decision {
        let request = Request::new(principal, action, resource);
        let decision = self.pdp.decide_now(&request);
        assert_eq!(
            decision,
            self.pdp.decide_stock(&request),
            "index and stock Cedar differ"
        );
        decision
    }

    /// `select` on `shop:crm/customers`.
    pub(crate) fn access(&self, principal: &Principal) -> DatasetAccess {
        let request = AccessRequest {
            principal: principal.clone(),
            action: Action::Select,
            datasets: vec![customers()],
            context: BTreeMap::new(),
        };
        let answers =
            block_on(async { dataos_model::seams::Decide::access(&*self.pdp, &request).await });
        std::sync::Arc::unwrap_or_clone(answers.into_iter().next().unwrap())
    }
}

/// Runs a future of the seams.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

/// Opens a folder that holds the shipped schema and one file.
pub(crate) fn open_with(file: &str, text: &str) -> Result<Arc<Pdp>, Fault> {
    let folder = tempfile::tempdir().unwrap();
    write_schema(folder.path());
    let path = folder.path().join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    Pdp::open(PdpConfig::new(folder.path().to_owned()), Arc::new(Noon))
}

/// Opens a folder that holds this schema alone.
pub(crate) fn open_with_schema(text: &str) -> Result<Arc<Pdp>, Fault> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("schema.cedarschema"), text).unwrap();
    Pdp::open(PdpConfig::new(folder.path().to_owned()), Arc::new(Noon))
}

fn write_file(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn write_schema(folder: &Path) {
    let schema = shipped_policies()
        .find(|(path, _)| *path == "schema.cedarschema")
        .unwrap();
    fs::write(folder.join(schema.0), schema.1).unwrap();
}

pub(crate) fn user(name: &str, roles: &[&str]) -> Principal {
    let mut principal = Principal::new(EntityType::USER.id(name), Authentication::Password);
    principal.roles = roles.iter().map(ToString::to_string).collect();
    principal
}

pub(crate) fn customers() -> DatasetId {
    DatasetId::new("shop", "crm", "customers")
}

pub(crate) fn column(name: &str, column_type: ColumnType, is_nullable: bool) -> Column {
    Column {
        name: name.to_owned(),
        column_type,
        is_nullable,
    }
}

/// Depot, collection, dataset, columns and tags.
pub(crate) fn shop() -> Vec<EntityChange> {
    let id = customers();
    let schema = DatasetSchema {
        columns: vec![
            column("id", ColumnType::Int(64), false),
            column("region", ColumnType::Text, true),
            column("email", ColumnType::Text, true),
            column("age", ColumnType::Int(32), true),
            column("score", ColumnType::Float(64), true),
        ],
    };
    let tag = |name: &str| EntityType::TAG.id(name);
    let mut entities = vec![
        Entity::new(tag("PII")),
        Entity::new(tag("PII.email")).with_parents([tag("PII")]),
        Entity::new(tag("sales")),
        Entity::new(id.depot_uid()),
        Entity::new(id.collection_uid()).with_parents([id.depot_uid()]),
        Entity::new(EntityType::WORKSPACE.id("public")),
        Entity::new(EntityType::AUDIT_LOG.id("main")),
        Entity::new(EntityType::POLICY_SET.id("active")),
        Entity::new(EntityType::API_PATH.id("/api/v1/session")),
    ];
    for column in &schema.columns {
        let tags = (column.name == "email").then(|| tag("PII.email"));
        let parents = std::iter::once(id.uid()).chain(tags);
        entities.push(Entity::new(id.column_uid(&column.name)).with_parents(parents));
    }
    let mut dataset = Entity::new(id.uid()).with_parents([id.collection_uid(), tag("sales")]);
    dataset.schema = Some(schema);
    entities.push(dataset);
    entities.into_iter().map(EntityChange::Upsert).collect()
}
