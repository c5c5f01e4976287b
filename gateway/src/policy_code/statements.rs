//! SQL of test cases, run by the query layer itself over the rows of the fixtures.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::Path,
    sync::Arc,
};

use async_trait::async_trait;
use dataos_model::{
    clock::{Clock, Timestamp},
    dataset::DatasetId,
    depot::{AssetSnapshot, Dataset, DatasetSource, Depot, DepotSource, FileFormat},
    fault::Fault,
    hash::Hash,
    lineage::WriteLineage,
    query::{Dialect, QueryAnswer, QueryRequest, RowFormat},
    record::{Entry, Receipt},
    seams::{Assets, BoxFuture, Lineage, Nobody, Record, RunQuery, ScanReport, Secrets},
    secret::{Secret, SecretName},
};
use dataos_pdp::analysis::{Answer, FixtureDataset, RunStatements, Statement};
use dataos_query::{QueryConfig, QueryLayer, QuerySeams};
use serde_json::Value;
use tokio::runtime::Handle;

/// Runs statements on a runtime from outside of it.
#[derive(Debug)]
pub(crate) struct FixtureStatements {
    runtime: Handle,
}

impl FixtureStatements {
    pub(crate) fn new(runtime: Handle) -> Self {
        Self { runtime }
    }
}

impl RunStatements for FixtureStatements {
    fn run(&self, statement: &Statement<'_>) -> Result<Answer, Fault> {
        let folder = tempfile::tempdir()
            .map_err(|error| Fault::unavailable(format!("no temporary folder: {error}")))?;
        let shelf = Shelf::of(statement.datasets, folder.path())?;
        let config = QueryConfig {
            partitions: 1,
            ..QueryConfig::default()
        };
        let seams = QuerySeams {
            decide: Arc::clone(&statement.decide),
            record: Arc::new(Unrecorded),
            records: None,
            assets: Arc::new(shelf),
            identities: Arc::new(Nobody),
            secrets: Arc::new(FixedKey),
            clock: Arc::new(Epoch),
        };
        let request = QueryRequest {
            principal: statement.principal.clone(),
            request_id: "policy-test".to_owned(),
            sql: statement.sql.to_owned(),
            dialect: Dialect::default(),
            context: statement.context.clone(),
            format: RowFormat::Json,
            rows_max: None,
        };
        let layer = QueryLayer::open(config, seams)?;
        let answer = self.runtime.block_on(layer.run(request))?;
        read(answer)
    }
}

fn read(answer: QueryAnswer) -> Result<Answer, Fault> {
    let text: Vec<u8> = answer.chunks.concat();
    let rows: Vec<Vec<Value>> = serde_json::from_slice(&text)
        .map_err(|error| Fault::internal(format!("the rows of an answer: {error}")))?;
    let tables = answer.certificate.tables.into_iter();
    Ok(Answer {
        rows,
        tables: tables
            .map(|table| Arc::unwrap_or_clone(table.access))
            .collect(),
    })
}

/// A catalog that holds the fixtures and takes nothing.
#[derive(Debug)]
struct Shelf(Arc<AssetSnapshot>);

impl Shelf {
    fn of(datasets: &[FixtureDataset], folder: &Path) -> Result<Self, Fault> {
        let mut snapshot = AssetSnapshot::default();
        for (number, fixture) in datasets.iter().enumerate() {
            let path = folder.join(format!("{number}.json"));
            write(&path, fixture)
                .map_err(|error| Fault::unavailable(format!("a temporary file: {error}")))?;
            let name = &fixture.id.depot;
            let depot = Depot {
                name: name.clone(),
                description: String::new(),
                owner: String::new(),
                tags: BTreeSet::new(),
                source: DepotSource::Files {
                    root: folder.to_owned(),
                    is_writable: false,
                },
            };
            snapshot.depots.insert(name.clone(), Arc::new(depot));
            let source = DatasetSource::Files {
                format: FileFormat::Json,
                paths: vec![path],
            };
            let schema = Arc::new(fixture.schema.clone());
            let dataset = Dataset {
                tags: fixture.tags.clone(),
                column_tags: fixture.column_tags.clone(),
                ..Dataset::new(fixture.id.clone(), schema, source)
            };
            snapshot
                .datasets
                .insert(fixture.id.clone(), Arc::new(dataset));
        }
        Ok(Self(Arc::new(snapshot)))
    }
}

fn write(path: &Path, fixture: &FixtureDataset) -> std::io::Result<()> {
    let mut file = fs::File::create(path)?;
    for row in &fixture.rows {
        let row: BTreeMap<&String, &Value> = row.iter().filter(|(_, v)| !v.is_null()).collect();
        serde_json::to_writer(&mut file, &row)?;
        file.write_all(b"\n")?;
    }
    Ok(())
}

fn refused<T>() -> Result<T, Fault> {
    Err(Fault::invalid("a test case reads; it changes nothing"))
}

#[async_trait]
impl Assets for Shelf {
    async fn snapshot(&self) -> Result<Arc<AssetSnapshot>, Fault> {
        Ok(Arc::clone(&self.0))
    }

    async fn register_depot(&self, _depot: Depot) -> Result<(), Fault> {
        refused()
    }

    async fn remove_depot(&self, _name: &str) -> Result<(), Fault> {
        refused()
    }

    async fn scan(&self, _depot: &str) -> Result<ScanReport, Fault> {
        refused()
    }

    async fn set_tags(
        &self,
        _dataset: &DatasetId,
        _column: Option<&str>,
        _tags: Vec<String>,
    ) -> Result<(), Fault> {
        refused()
    }

    async fn stage_write(&self, _target: Dataset, _lineage: WriteLineage) -> Result<u64, Fault> {
        refused()
    }

    async fn settle_write(&self, _stage: u64, _target: Dataset) -> Result<(), Fault> {
        refused()
    }

    async fn retract_write(&self, _stage: u64) -> Result<(), Fault> {
        refused()
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
        refused()
    }
}

/// A test is no access to data: nothing of it is recorded.
#[derive(Debug)]
struct Unrecorded;

impl Record for Unrecorded {
    fn append(&self, _entry: Entry) -> BoxFuture<Result<Receipt, Fault>> {
        Box::pin(std::future::ready(Ok(Receipt {
            index: 0,
            text: String::new(),
        })))
    }
}

/// One key for hash masks, so that a case can expect the hash of a fixture value.
#[derive(Debug)]
struct FixedKey;

#[async_trait]
impl Secrets for FixedKey {
    async fn get(&self, name: &SecretName) -> Result<Secret, Fault> {
        Ok(Secret::new(Hash::of(name.to_string()).0.to_vec()))
    }

    async fn put(&self, _name: &SecretName, _secret: Secret) -> Result<(), Fault> {
        refused()
    }

    async fn remove(&self, _name: &SecretName) -> Result<(), Fault> {
        refused()
    }
}

#[derive(Debug)]
struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}
