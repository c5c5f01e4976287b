//! A catalog in a temporary folder, with fakes of the other rooms and files to scan.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::Schema,
};
use async_trait::async_trait;
use dataos_avro::test_writer;
use dataos_catalog::{Catalog, CatalogConfig, CatalogSeams};
use dataos_model::{
    clock::{Clock, Timestamp},
    dataset::{Column, DatasetId, DatasetSchema},
    depot::{Dataset, DatasetSource, Depot, DepotSource, FileFormat},
    entity::{Entity, EntityChange, EntityType, EntityUid},
    fault::Fault,
    hash::Hash,
    lineage::{ColumnEdge, Transformation, WriteLineage},
    seams::{Assets, EntitySink, Secrets},
    secret::{Secret, SecretName},
};
use dataos_store::Metadata;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The PDP's side: keeps what it is told, or refuses.
#[derive(Debug, Default)]
pub(crate) struct FakeSink {
    entities: Mutex<BTreeMap<EntityUid, Entity>>,
    refuses: AtomicBool,
    panics: AtomicBool,
    before_next: Mutex<Option<Deed>>,
}

/// What happens while a change is on its way.
struct Deed(Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Deed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deed")
    }
}

impl EntitySink for FakeSink {
    fn apply(&self, changes: Vec<EntityChange>) -> Result<Hash, Fault> {
        assert!(!self.panics.load(Ordering::SeqCst), "the sink panics");
        if let Some(Deed(act)) = self.before_next.lock().unwrap().take() {
            act();
        }
        if self.refuses.load(Ordering::SeqCst) {
            return Err(Fault::internal("the sink refuses"));
        }
        let mut entities = self.entities.lock().unwrap();
        for change in changes {
            match change {
                EntityChange::Upsert(entity) => {
                    entities.insert(entity.uid.clone(), entity);
                }
                EntityChange::Remove(uid) => {
                    entities.remove(&uid);
                }
            }
        }
        Ok(Hash::default())
    }
}

impl FakeSink {
    /// From now on, whether changes are refused.
    pub(crate) fn set_refusing(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }

    /// From now on, whether a change makes it panic.
    pub(crate) fn set_panicking(&self, panics: bool) {
        self.panics.store(panics, Ordering::SeqCst);
    }

    /// Acts before the next change is taken.
    pub(crate) fn before_next(&self, act: impl FnOnce() + Send + 'static) {
        *self.before_next.lock().unwrap() = Some(Deed(Box::new(act)));
    }

    /// All entities but tags, which stay when nothing carries them.
    pub(crate) fn without_tags(&self) -> BTreeMap<EntityUid, Entity> {
        let entities = self.entities.lock().unwrap();
        let is_kept = |uid: &&EntityUid| uid.entity_type != EntityType::TAG;
        entities
            .keys()
            .filter(is_kept)
            .map(|uid| (uid.clone(), entities[uid].clone()))
            .collect()
    }

    /// One entity.
    pub(crate) fn entity(&self, uid: &EntityUid) -> Option<Entity> {
        self.entities.lock().unwrap().get(uid).cloned()
    }

    /// Ids of the tags that an entity is directly in.
    pub(crate) fn tags_of(&self, uid: &EntityUid) -> BTreeSet<String> {
        let parents = self
            .entity(uid)
            .map(|entity| entity.parents)
            .unwrap_or_default();
        let tags = parents
            .into_iter()
            .filter(|parent| parent.entity_type == EntityType::TAG);
        tags.map(|tag| tag.id).collect()
    }
}

/// Secrets in memory.
#[derive(Debug, Default)]
pub(crate) struct FakeSecrets(pub(crate) Mutex<BTreeMap<SecretName, Secret>>);

#[async_trait]
impl Secrets for FakeSecrets {
    async fn get(&self, name: &SecretName) -> Result<Secret, Fault> {
        let secret = self.0.lock().unwrap().get(name).cloned();
        secret.ok_or_else(|| Fault::not_found(format!("no secret {name}")))
    }

    async fn put(&self, name: &SecretName, secret: Secret) -> Result<(), Fault> {
        self.0.lock().unwrap().insert(name.clone(), secret);
        Ok(())
    }

    async fn remove(&self, name: &SecretName) -> Result<(), Fault> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }
}

#[derive(Debug)]
struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000)
    }
}

/// A catalog with its folder, the fakes around it and a folder of data.
pub(crate) struct House {
    pub(crate) folder: TempDir,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) sink: Arc<FakeSink>,
    pub(crate) secrets: Arc<FakeSecrets>,
}

impl House {
    /// An empty catalog.
    pub(crate) async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("lake")).unwrap();
        let (sink, secrets) = (Arc::<FakeSink>::default(), Arc::<FakeSecrets>::default());
        let catalog = open(folder.path(), &sink, &secrets).await.unwrap();
        Self {
            folder,
            catalog,
            sink,
            secrets,
        }
    }

    /// One with the depot `lake` registered.
    pub(crate) async fn with_lake() -> Self {
        let house = Self::new().await;
        house
            .catalog
            .register_depot(house.lake_depot())
            .await
            .unwrap();
        house
    }

    /// The folder of data.
    pub(crate) fn lake(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    /// The declaration of the folder of data.
    pub(crate) fn lake_depot(&self) -> Depot {
        Depot {
            name: "lake".to_owned(),
            description: "Sales of the northern branch".to_owned(),
            owner: "olga".to_owned(),
            tags: BTreeSet::new(),
            source: DepotSource::Files {
                root: self.lake(),
                is_writable: true,
            },
        }
    }

    /// Drops the catalog as a crash would and opens it again, with a new sink.
    pub(crate) async fn reopen(mut self) -> Self {
        let path = self.folder.path().to_owned();
        drop(self.catalog);
        self.sink = Arc::default();
        self.catalog = open(&path, &self.sink, &self.secrets).await.unwrap();
        self
    }

    /// Writes a file below the folder of data.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.lake().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A dataset as the snapshot has it.
    pub(crate) fn dataset(&self, id: &DatasetId) -> Option<Arc<Dataset>> {
        self.catalog.snapshot().datasets.get(id).cloned()
    }

    /// `name type?` for each column, where `?` marks a nullable one.
    pub(crate) fn columns(&self, id: &DatasetId) -> Vec<String> {
        let dataset = self
            .dataset(id)
            .unwrap_or_else(|| panic!("no dataset {id}"));
        let shown = |column: &Column| {
            let mark = if column.is_nullable { "?" } else { "" };
            format!("{} {}{mark}", column.name, column.column_type)
        };
        dataset.schema.columns.iter().map(shown).collect()
    }

    /// Sets the tags of a column.
    pub(crate) async fn tag(&self, id: &DatasetId, column: Option<&str>, tags: &[&str]) {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        self.catalog.set_tags(id, column, tags).await.unwrap();
    }

    /// Effective tags of a column, joined by spaces.
    pub(crate) fn tags(&self, id: &DatasetId, column: &str) -> String {
        let dataset = self
            .dataset(id)
            .unwrap_or_else(|| panic!("no dataset {id}"));
        let tags = dataset.column_tags.get(column).cloned().unwrap_or_default();
        tags.into_iter().collect::<Vec<_>>().join(" ")
    }
}

thread_local! {
    /// Where catalogs that this thread opens have their tables; a test runs on one thread.
    static METADATA: RefCell<Metadata> = RefCell::default();
}

/// Runs a test whose catalogs have their tables in `metadata`.
pub(crate) fn keep_tables_in(metadata: Metadata, test: &dyn Fn()) {
    METADATA.set(metadata);
    test();
    METADATA.take();
}

/// Opens a catalog in the `catalog` folder below `folder`.
pub(crate) async fn open(
    folder: &Path,
    sink: &Arc<FakeSink>,
    secrets: &Arc<FakeSecrets>,
) -> Result<Arc<Catalog>, Fault> {
    let seams = CatalogSeams {
        sink: Arc::clone(sink) as Arc<dyn EntitySink>,
        secrets: Arc::clone(secrets) as Arc<dyn Secrets>,
        clock: Arc::new(FixedClock),
    };
    Catalog::open(
        CatalogConfig {
            metadata: METADATA.with_borrow(Clone::clone),
            ..CatalogConfig::new(folder.join("catalog"))
        },
        seams,
    )
    .await
}

/// `lake:main/name`.
pub(crate) fn main_id(name: &str) -> DatasetId {
    DatasetId::new("lake", "main", name)
}

/// A Parquet file with the columns `id` and `email`, of so many rows.
pub(crate) fn parquet_bytes(rows: i64) -> Vec<u8> {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let emails: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..rows).map(|row| format!("person{row}@example.com")),
    ));
    let batch =
        RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("email", emails, true)]);
    parquet_of(&batch.unwrap())
}

/// An Avro file with the same columns and rows.
pub(crate) fn avro(rows: i64) -> Vec<u8> {
    let schema = json!({"type": "record", "name": "person", "fields": [
        {"name": "id", "type": "long"}, {"name": "email", "type": ["null", "string"]}]});
    let row = |row| json!({"id": row, "email": format!("person{row}@example.com")});
    let rows: Vec<Value> = (0..rows).map(row).collect();
    test_writer::file(&schema, "deflate", 16_000, &rows)
}

/// A batch as a Parquet file.
pub(crate) fn parquet_of(batch: &RecordBatch) -> Vec<u8> {
    let schema: Arc<Schema> = batch.schema();
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, schema, None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// A dataset as the query layer brings it to a write: text columns, one Parquet file.
pub(crate) fn written(house: &House, name: &str, columns: &[&str]) -> Dataset {
    let column = |name: &&str| Column {
        name: (*name).to_owned(),
        column_type: "text".parse().unwrap(),
        is_nullable: true,
    };
    let schema = DatasetSchema {
        columns: columns.iter().map(column).collect(),
    };
    let source = DatasetSource::Files {
        format: FileFormat::Parquet,
        paths: vec![house.lake().join(format!("{name}.parquet"))],
    };
    Dataset {
        owner: Some("olga".to_owned()),
        ..Dataset::new(main_id(name), Arc::new(schema), source)
    }
}

/// Lineage of a write: `source.column -> column` by name.
pub(crate) fn lineage(
    target: &Dataset,
    creates: bool,
    edges: &[(&str, &str, &str)],
) -> WriteLineage {
    let edge = |(source, source_column, target_column): &(&str, &str, &str)| ColumnEdge {
        source: main_id(source),
        source_column: (*source_column).to_owned(),
        target_column: (*target_column).to_owned(),
        transformation: Transformation::Identity,
    };
    WriteLineage {
        target: target.id.clone(),
        creates,
        edges: edges.iter().map(edge).collect(),
        statement: "CREATE TABLE t AS SELECT ?".to_owned(),
    }
}
