//! What a transaction changes: the words that the store, the state and the writers share.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use dataos_model::{
    clock::Timestamp,
    dataset::{DatasetId, DatasetSchema},
    depot::{Dataset, DatasetSource, Depot},
    hash::Hash,
    lineage::{ColumnEdge, Transformation},
};

/// What carries tags: a dataset (`column` is `None`) or one of its columns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Target {
    /// The dataset.
    pub(crate) dataset: DatasetId,
    /// The column.
    pub(crate) column: Option<String>,
}

impl Target {
    /// A dataset or column as a carrier of tags.
    pub(crate) fn new(dataset: &DatasetId, column: Option<&str>) -> Self {
        Self {
            dataset: dataset.clone(),
            column: column.map(str::to_owned),
        }
    }
}

/// A dataset as stored: without tags, which have their own lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its name.
    pub(crate) id: DatasetId,
    /// Its columns.
    pub(crate) schema: DatasetSchema,
    /// Where its rows lie.
    pub(crate) source: DatasetSource,
    /// User id of its owner, if it has one of its own.
    pub(crate) owner: Option<String>,
    /// Rows, if the source tells.
    pub(crate) row_count: Option<u64>,
    /// Bytes, if the source tells.
    pub(crate) size_bytes: Option<u64>,
    /// When this was found.
    pub(crate) scanned_at: Timestamp,
    /// Digest of the files' identities at the scan; `None` if no scan has seen this state.
    pub(crate) fingerprint: Option<Hash>,
}

impl Record {
    /// The record of a dataset that a write brings.
    pub(crate) fn of_write(target: &Dataset, now: Timestamp) -> Self {
        Self {
            id: target.id.clone(),
            schema: target.schema.as_ref().clone(),
            source: target.source.clone(),
            owner: target.owner.clone(),
            row_count: target.row_count,
            size_bytes: target.size_bytes,
            scanned_at: now,
            fingerprint: None,
        }
    }

    /// Whether what readers see is the same.
    pub(crate) fn is_same_content(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.source == other.source
            && self.row_count == other.row_count
            && self.size_bytes == other.size_bytes
    }
}

/// The support of an edge that a scan found; writes are numbered from 1.
pub(crate) const SCAN_SUPPORT: u64 = 0;

/// A column edge from one dataset into another (or the same).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Edge {
    /// Where the value comes from.
    pub(crate) source: DatasetId,
    /// The column there.
    pub(crate) source_column: String,
    /// Where it goes.
    pub(crate) target: DatasetId,
    /// The column there.
    pub(crate) target_column: String,
    /// How.
    pub(crate) transformation: Transformation,
}

impl Edge {
    /// An edge of a statement that writes `target`.
    pub(crate) fn new(target: &DatasetId, edge: &ColumnEdge) -> Self {
        Self {
            source: edge.source.clone(),
            source_column: edge.source_column.clone(),
            target: target.clone(),
            target_column: edge.target_column.clone(),
            transformation: edge.transformation,
        }
    }

    /// As the seam shows it.
    pub(crate) fn column_edge(&self) -> ColumnEdge {
        ColumnEdge {
            source: self.source.clone(),
            source_column: self.source_column.clone(),
            target_column: self.target_column.clone(),
            transformation: self.transformation,
        }
    }

    /// Whether values flow, so that tags do.
    pub(crate) fn is_direct(&self) -> bool {
        match self.transformation {
            Transformation::Identity
            | Transformation::Transformation
            | Transformation::Aggregation => true,
            Transformation::Indirect => false,
        }
    }
}

/// A write that has begun and is neither settled nor retracted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    /// Its number; later writes have greater ones. Edges name it as their support.
    pub(crate) id: u64,
    /// The dataset written.
    pub(crate) target: DatasetId,
    /// Whether the write replaces what was there.
    pub(crate) creates: bool,
    /// Whether the dataset came into the catalog with this stage.
    pub(crate) is_new: bool,
    /// The files that the write will leave.
    pub(crate) paths: Vec<PathBuf>,
    /// The statement without literals.
    pub(crate) statement: String,
}

/// One change; a transaction is a list of them.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    /// Adds or replaces a depot.
    PutDepot(Arc<Depot>),
    /// Removes a depot.
    RemoveDepot(String),
    /// Adds or replaces a dataset.
    PutDataset(Arc<Record>),
    /// Removes a dataset. Its tags and edges stay: what was derived from it is still derived.
    RemoveDataset(DatasetId),
    /// Sets the tags set by hand.
    PutTags(Target, BTreeSet<String>),
    /// Adds a support of an edge: the write of this number.
    AddEdge(Edge, u64),
    /// Removes a support of an edge.
    RemoveEdge(Edge, u64),
    /// Adds a stage.
    PutStage(Arc<Stage>),
    /// Removes a stage.
    RemoveStage(u64),
}
