//! Shapes of docs/api.md that several families use.

use dataos_model::{
    clock::Timestamp,
    dataset::DatasetId,
    depot::{Dataset, DatasetSource, Depot, FileFormat},
    record::StoredEntry,
};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// RFC 3339 in UTC.
pub(super) fn time(at: Timestamp) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// `AuditEntry`.
pub(super) fn audit_entry(stored: &StoredEntry) -> Value {
    let entry = &stored.entry;
    json!({
        "index": stored.index,
        "time": time(stored.time),
        "kind": entry.kind.name(),
        "request_id": entry.request_id,
        "effect": entry.effect.map(|effect| effect.to_string()),
        "action": entry.action,
        "principal": entry.principal,
        "resource": entry.resource,
        "reason": entry.reason,
        "policies": entry.policies,
        "obligations": entry.obligations,
        "policy_set": entry.policy_set.to_string(),
        "entities": entry.entities.to_string(),
        "request_digest": entry.request_digest.to_string(),
        "completes": entry.completes,
        "facts": entry.facts,
    })
}

/// `depot.collection.name` as SQL takes it: quoted where it must be.
fn sql_name(id: &DatasetId) -> String {
    let part = |name: &str| {
        let mut bytes = name.bytes();
        let is_plain = bytes
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
            && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if is_plain {
            name.to_owned()
        } else {
            format!("\"{}\"", name.replace('"', "\"\""))
        }
    };
    format!(
        "{}.{}.{}",
        part(&id.depot),
        part(&id.collection),
        part(&id.name)
    )
}

/// `DatasetSummary`.
pub(super) fn dataset_summary(dataset: &Dataset) -> Value {
    json!({
        "address": format!("dataos://{}", dataset.id),
        "sql_name": sql_name(&dataset.id),
        "depot": dataset.id.depot,
        "collection": dataset.id.collection,
        "name": dataset.id.name,
        "tags": dataset.tags,
        "owner": dataset.owner,
        "row_count": dataset.row_count,
        "column_count": dataset.schema.columns.len(),
    })
}

/// `Dataset`.
pub(super) fn dataset(dataset: &Dataset, depot: &Depot) -> Value {
    let mut value = dataset_summary(dataset);
    let columns: Vec<Value> = dataset
        .schema
        .columns
        .iter()
        .map(|column| {
            json!({
                "name": column.name,
                "type": column.column_type.to_string(),
                "nullable": column.is_nullable,
                "tags": dataset.column_tags.get(&column.name).cloned().unwrap_or_default(),
            })
        })
        .collect();
    let format = match &dataset.source {
        DatasetSource::Files { format, .. } | DatasetSource::Objects { format, .. } => match format
        {
            FileFormat::Parquet => "parquet",
            FileFormat::Csv => "csv",
            FileFormat::Json => "json",
            FileFormat::Avro => "avro",
        },
        DatasetSource::Table { .. } => depot.source.kind(),
        DatasetSource::AuditLog => "audit_log",
        DatasetSource::View { .. } => "view",
    };
    if let Some(fields) = value.as_object_mut() {
        fields.insert("columns".to_owned(), json!(columns));
        fields.insert("format".to_owned(), json!(format));
        fields.insert("size_bytes".to_owned(), json!(dataset.size_bytes));
        fields.insert("scanned_at".to_owned(), json!(time(dataset.scanned_at)));
    }
    value
}

#[cfg(test)]
mod tests {
    use dataos_model::{clock::Timestamp, dataset::DatasetId};

    #[test]
    fn names_and_times_are_written_as_others_read_them() {
        assert_eq!(super::time(Timestamp(0)), "1970-01-01T00:00:00Z");
        assert_eq!(
            super::time(Timestamp(1_700_000_000_123)),
            "2023-11-14T22:13:20.123Z"
        );
        let name = |a, b, c| super::sql_name(&DatasetId::new(a, b, c));
        assert_eq!(name("crm", "main", "people_1"), "crm.main.people_1");
        assert_eq!(name("crm", "Main", "a\"b"), "crm.\"Main\".\"a\"\"b\"");
        assert_eq!(name("crm", "2020", "x-y"), "crm.\"2020\".\"x-y\"");
    }
}
