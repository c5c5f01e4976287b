//! A dataset for unit tests.

use std::sync::Arc;

use dataos_model::{
    dataset::{Column, DatasetSchema},
    depot::{Dataset, DatasetSource},
};

/// A dataset of these columns of which nothing else is known.
pub(crate) fn dataset(id: &str, columns: Vec<Column>, source: DatasetSource) -> Dataset {
    let schema = Arc::new(DatasetSchema { columns });
    Dataset::new(id.parse().unwrap(), schema, source)
}
