//! A dataset for unit tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dataos_model::{
    clock::Timestamp,
    dataset::{Column, DatasetSchema},
    depot::{Dataset, DatasetSource},
};

/// A dataset of these columns of which nothing else is known.
pub(crate) fn dataset(id: &str, columns: Vec<Column>, source: DatasetSource) -> Dataset {
    Dataset {
        id: id.parse().unwrap(),
        schema: Arc::new(DatasetSchema { columns }),
        source,
        tags: BTreeSet::new(),
        column_tags: BTreeMap::new(),
        owner: None,
        row_count: None,
        size_bytes: None,
        scanned_at: Timestamp(0),
    }
}
