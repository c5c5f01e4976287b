//! The catalog in memory: what the store holds now, with tags derived, and the snapshot of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dataos_model::{
    dataset::DatasetId,
    depot::{AssetSnapshot, Dataset, Depot},
    hash::Hash,
};

use crate::{
    change::{Edge, Mutation, Record, Stage, Target},
    entities::Touched,
    search::Document,
    store::{Stored, depot_body, record_body},
    tags::{Disturbed, TagGraph},
};

/// All that readers see, swapped as one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published {
    /// For other rooms.
    pub(crate) snapshot: Arc<AssetSnapshot>,
    /// For search, by dataset.
    pub(crate) documents: BTreeMap<DatasetId, Arc<Document>>,
    /// For lineage.
    pub(crate) edges: Arc<Edges>,
}

/// Edges with the writes that support them; an edge exists while one does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edges {
    /// By target, then edge: numbers of the writes.
    into: BTreeMap<DatasetId, BTreeMap<Edge, BTreeSet<u64>>>,
    /// By source: the edges out of it.
    out: BTreeMap<DatasetId, BTreeSet<Edge>>,
}

impl Edges {
    /// Edges into a dataset, with their supports.
    pub(crate) fn feeding(
        &self,
        target: &DatasetId,
    ) -> impl Iterator<Item = (&Edge, &BTreeSet<u64>)> {
        self.into.get(target).into_iter().flatten()
    }

    /// Edges out of a dataset.
    pub(crate) fn fed_by(&self, source: &DatasetId) -> impl Iterator<Item = &Edge> {
        self.out.get(source).into_iter().flatten()
    }

    /// Adds a support; true if the edge is new.
    fn add(&mut self, edge: &Edge, write: u64) -> bool {
        self.out
            .entry(edge.source.clone())
            .or_default()
            .insert(edge.clone());
        let supports = self.into.entry(edge.target.clone()).or_default();
        let supports = supports.entry(edge.clone()).or_default();
        supports.insert(write) && supports.len() == 1
    }

    /// Removes a support; true if the edge is gone.
    fn remove(&mut self, edge: &Edge, write: u64) -> bool {
        let Some(edges) = self.into.get_mut(&edge.target) else {
            return false;
        };
        let Some(supports) = edges.get_mut(edge) else {
            return false;
        };
        if !supports.remove(&write) || !supports.is_empty() {
            return false;
        }
        edges.remove(edge);
        if let Some(out) = self.out.get_mut(&edge.source) {
            out.remove(edge);
        }
        true
    }
}

/// The state that the single writer owns.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Number of the newest transaction.
    pub(crate) transaction: u64,
    /// Depots by name.
    pub(crate) depots: BTreeMap<String, Arc<Depot>>,
    /// Datasets by id, without tags.
    pub(crate) records: BTreeMap<DatasetId, Arc<Record>>,
    /// Writes in progress, by number.
    pub(crate) stages: BTreeMap<u64, Arc<Stage>>,
    /// For each dataset to which a write ended since the process started: the transaction.
    pub(crate) written: BTreeMap<DatasetId, u64>,
    tags: TagGraph,
    published: Published,
    hashes: BTreeMap<DatasetId, Hash>,
}

impl State {
    /// The state of what the store holds.
    pub(crate) fn load(stored: Stored) -> Self {
        let mut state = Self {
            transaction: stored.transaction,
            ..Self::default()
        };
        state.apply(stored.transaction, &stored.mutations);
        state
    }

    /// What readers may see.
    pub(crate) fn published(&self) -> &Published {
        &self.published
    }

    /// The edges, with supports.
    pub(crate) fn edges(&self) -> &Edges {
        &self.published.edges
    }

    /// Tags set by hand on a target.
    pub(crate) fn own_tags(&self, target: &Target) -> BTreeSet<String> {
        self.tags.own(target)
    }

    /// Applies a transaction's changes, derives tags and publishes; says what differs for readers.
    pub(crate) fn apply(&mut self, transaction: u64, mutations: &[Mutation]) -> Touched {
        self.transaction = transaction;
        let mut touched = Touched::default();
        let mut disturbed = Disturbed::default();
        for mutation in mutations {
            self.apply_one(mutation, &mut touched, &mut disturbed);
        }
        let changed = self.tags.derive(disturbed);
        touched
            .datasets
            .extend(changed.into_iter().map(|target| target.dataset));
        self.publish(&touched);
        touched
    }

    fn apply_one(&mut self, mutation: &Mutation, touched: &mut Touched, disturbed: &mut Disturbed) {
        match mutation {
            Mutation::PutDepot(depot) => {
                touched.depots.insert(depot.name.clone());
                touched.datasets.extend(self.datasets_of(&depot.name));
                self.depots.insert(depot.name.clone(), Arc::clone(depot));
            }
            Mutation::RemoveDepot(name) => {
                touched.depots.insert(name.clone());
                self.depots.remove(name);
            }
            Mutation::PutDataset(record) => {
                touched.datasets.insert(record.id.clone());
                self.records.insert(record.id.clone(), Arc::clone(record));
            }
            Mutation::RemoveDataset(id) => {
                touched.datasets.insert(id.clone());
                self.records.remove(id);
            }
            Mutation::PutTags(target, tags) => self.tags.set_own(target, tags.clone(), disturbed),
            Mutation::AddEdge(edge, write) => {
                if Arc::make_mut(&mut self.published.edges).add(edge, *write) {
                    self.tags.connect(edge, disturbed);
                }
            }
            Mutation::RemoveEdge(edge, write) => {
                if Arc::make_mut(&mut self.published.edges).remove(edge, *write) {
                    self.tags.disconnect(edge, disturbed);
                }
            }
            Mutation::PutStage(stage) => {
                self.stages.insert(stage.id, Arc::clone(stage));
            }
            Mutation::RemoveStage(id) => {
                if let Some(stage) = self.stages.remove(id) {
                    self.written.insert(stage.target.clone(), self.transaction);
                }
            }
        }
    }

    /// Ids of the datasets of a depot.
    pub(crate) fn datasets_of(&self, depot: &str) -> Vec<DatasetId> {
        self.records
            .range(DatasetId::new(depot, "", "")..)
            .map(|(id, _)| id)
            .take_while(|id| id.depot == depot)
            .cloned()
            .collect()
    }

    fn publish(&mut self, touched: &Touched) {
        let mut snapshot = AssetSnapshot::clone(&self.published.snapshot);
        for id in &touched.datasets {
            if let Some(dataset) = self.dataset(id) {
                let depot = self.depots.get(&id.depot);
                let document = Document::new(&dataset, depot.map(|depot| depot.as_ref()));
                self.published
                    .documents
                    .insert(id.clone(), Arc::new(document));
                self.hashes.insert(id.clone(), self.hash_of(&dataset));
                snapshot.datasets.insert(id.clone(), Arc::new(dataset));
            } else {
                self.published.documents.remove(id);
                self.hashes.remove(id);
                snapshot.datasets.remove(id);
            }
        }
        snapshot.transaction = self.transaction;
        snapshot.depots = self.depots.clone();
        snapshot.hash = self.hash();
        self.published.snapshot = Arc::new(snapshot);
    }

    fn dataset(&self, id: &DatasetId) -> Option<Dataset> {
        let record = self.records.get(id)?;
        let tags_of = |column: &str| {
            let tags = self.tags.effective(&Target::new(id, Some(column)));
            (!tags.is_empty()).then(|| (column.to_owned(), tags))
        };
        Some(Dataset {
            id: id.clone(),
            schema: Arc::new(record.schema.clone()),
            source: record.source.clone(),
            tags: self.tags.effective(&Target::new(id, None)),
            column_tags: record
                .schema
                .columns
                .iter()
                .filter_map(|c| tags_of(&c.name))
                .collect(),
            owner: record
                .owner
                .clone()
                .or_else(|| self.depots.get(&id.depot).map(|depot| depot.owner.clone())),
            row_count: record.row_count,
            size_bytes: record.size_bytes,
            scanned_at: record.scanned_at,
        })
    }

    fn hash(&self) -> Hash {
        let depots = self
            .depots
            .values()
            .map(|depot| Hash::of(body(depot_body(depot))));
        Hash::of_parts(
            depots
                .chain(self.hashes.values().copied())
                .map(|hash| hash.0),
        )
    }

    /// Digest over what a dataset shows; its record's body names it.
    fn hash_of(&self, dataset: &Dataset) -> Hash {
        let record = self
            .records
            .get(&dataset.id)
            .map(|record| body(record_body(record)));
        let own = [
            record.unwrap_or_default(),
            dataset.owner.clone().unwrap_or_default(),
        ];
        let column_tags = dataset
            .column_tags
            .iter()
            .map(|(name, tags)| digest(name, tags));
        let tags = std::iter::once(digest("", &dataset.tags)).chain(column_tags);
        Hash::of_parts(own.iter().map(Hash::of).chain(tags).map(|hash| hash.0))
    }
}

fn digest(name: &str, tags: &BTreeSet<String>) -> Hash {
    Hash::of_parts(std::iter::once(name).chain(tags.iter().map(String::as_str)))
}

/// A body for a digest. Bodies of these types always encode: names and paths are UTF-8 by the rules
/// of registration and scan.
fn body(body: Result<String, serde_json::Error>) -> String {
    body.unwrap_or_default()
}
