//! The audit log as a dataset, `system.audit` in SQL: its name and its columns. Policies filter its
//! rows and mask its columns as those of any other dataset.

use crate::{
    dataset::{Column, ColumnType, DatasetId, DatasetSchema},
    record::TRACE_ID,
};

/// The depot that holds what the platform knows of itself.
pub const DEPOT: &str = "system";
/// The dataset's collection.
pub const COLLECTION: &str = "log";
/// The dataset's name.
pub const NAME: &str = "audit";

/// The dataset's id.
pub fn id() -> DatasetId {
    DatasetId::new(DEPOT, COLLECTION, NAME)
}

/// The columns: the fields of an entry; the facts `trace_id`, `status` and `latency_us` once more
/// on their own, and all facts as one JSON object.
pub fn schema() -> DatasetSchema {
    let texts = || ColumnType::List(Box::new(ColumnType::Text));
    let columns = [
        ("index", ColumnType::Int(64), false),
        ("time", ColumnType::Timestamp, false),
        ("kind", ColumnType::Text, false),
        ("request_id", ColumnType::Text, false),
        (TRACE_ID, ColumnType::Text, true),
        ("effect", ColumnType::Text, true),
        ("action", ColumnType::Text, false),
        ("principal", ColumnType::Text, false),
        ("resource", ColumnType::Text, false),
        ("reason", ColumnType::Text, false),
        ("policies", texts(), false),
        ("obligations", texts(), false),
        ("completes", ColumnType::Int(64), true),
        ("status", ColumnType::Int(64), true),
        ("latency_us", ColumnType::Int(64), true),
        ("policy_set", ColumnType::Text, false),
        ("entities", ColumnType::Text, false),
        ("request_digest", ColumnType::Text, false),
        ("facts", ColumnType::Json, false),
    ];
    let columns = columns
        .into_iter()
        .map(|(name, column_type, is_nullable)| Column {
            name: name.to_owned(),
            column_type,
            is_nullable,
        });
    DatasetSchema {
        columns: columns.collect(),
    }
}
