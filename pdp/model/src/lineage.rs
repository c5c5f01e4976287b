//! Column lineage of a statement, in OpenLineage's terms.

use serde::{Deserialize, Serialize};

use crate::dataset::DatasetId;

/// How a value flows from a source column to a target column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Transformation {
    /// Direct, unchanged.
    Identity,
    /// Direct, through an expression.
    Transformation,
    /// Direct, through an aggregate.
    Aggregation,
    /// Indirect: decides which rows, groups or order (filter, join, group by, sort, window, case).
    Indirect,
}

impl Transformation {
    /// The word of OpenLineage.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "IDENTITY",
            Self::Transformation => "TRANSFORMATION",
            Self::Aggregation => "AGGREGATION",
            Self::Indirect => "INDIRECT",
        }
    }
}

/// One edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ColumnEdge {
    /// Source dataset.
    pub source: DatasetId,
    /// Source column.
    pub source_column: String,
    /// Column of the target.
    pub target_column: String,
    /// How.
    pub transformation: Transformation,
}

/// What a statement writes, and from what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteLineage {
    /// The dataset written.
    pub target: DatasetId,
    /// Whether the statement creates the dataset; older edges into it are then closed.
    pub creates: bool,
    /// Edges, sorted, without repetition. Where a source cannot be resolved to columns, every column
    /// of that dataset stands as a source of every target column.
    pub edges: Vec<ColumnEdge>,
    /// The statement without literals: they can be personal data.
    pub statement: String,
}
