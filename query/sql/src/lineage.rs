//! Where the value of a column comes from, gathered while binding.
//!
//! Direct sources give the value; indirect ones only decide which rows, groups or branches there
//! are. Masking and lineage read the same tree, so they cannot disagree.

use std::collections::{BTreeMap, BTreeSet};

use dataos_model::lineage::Transformation;

/// A column of a base table at one place of the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    /// Index of the occurrence.
    pub(crate) occurrence: usize,
    /// Index among the visible columns.
    pub(crate) column: usize,
}

/// The sources of one expression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Sources of the value.
    pub(crate) direct: BTreeMap<Source, Transformation>,
    /// Sources of the conditions under which this expression has this value.
    pub(crate) conditional: BTreeSet<Source>,
}

impl Flow {
    /// The flow of a base column.
    pub(crate) fn of(source: Source) -> Self {
        Self {
            direct: BTreeMap::from([(source, Transformation::Identity)]),
            conditional: BTreeSet::new(),
        }
    }

    /// Takes over `other`, each source at least as `how`. Identity below aggregation below indirect
    /// is the order of the model.
    pub(crate) fn absorb(&mut self, other: &Self, how: Transformation) {
        for (source, transformation) in &other.direct {
            let entry = self.direct.entry(*source).or_insert(how);
            *entry = (*entry).max(how).max(*transformation);
        }
        self.conditional.extend(&other.conditional);
    }

    /// All sources.
    pub(crate) fn sources(&self) -> impl Iterator<Item = Source> + '_ {
        self.direct.keys().chain(&self.conditional).copied()
    }

    /// Number of entries, for the limit.
    pub(crate) fn size(&self) -> usize {
        self.direct.len() + self.conditional.len()
    }
}
