//! What clients ask about the database itself, answered from what the caller may know.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use datafusion::arrow::{
    array::{
        ArrayRef, BooleanArray, Int64Array, Int64Builder, ListBuilder, RecordBatch, StringArray,
        StringBuilder,
    },
    datatypes::{Field, Schema},
};
use dataos_model::{
    access::AccessRequest,
    action::Action,
    dataset::{ColumnType, DatasetId},
    depot::{AssetSnapshot, DatasetSource},
    fault::Fault,
    hash::Hash,
    query::{QueryAnswer, QueryRequest},
};
use dataos_sql::reflect::{Question, Rows, Shown, ShownColumn, Value, World};

use super::{Inner, open::Open};
use crate::{
    certificate::{self, Basis},
    column::{arrow_type, column_type},
    grant::Grant,
    questions::Questions,
    resolve::visible,
    rights::Grants,
    wire::{
        self,
        settings::SERVER_VERSION,
        value::{modifier, postgres_type},
    },
};

impl Inner {
    /// Answers a question from the datasets that the caller may see; recorded as SHOW TABLES is.
    pub(super) async fn reflect(
        &self,
        request: &Arc<QueryRequest>,
        question: Question,
        started: Instant,
    ) -> Result<QueryAnswer, Fault> {
        let grants = Grants::default();
        let governed = ("", Hash::default());
        let certificate =
            certificate::certificate(request.dialect, &grants, governed, Basis::default());
        let questions = Questions::default();
        let told = (question.fingerprint(), &questions);
        let entry =
            certificate::allowed(request, Action::ViewAsset, "", &certificate, &grants, told);
        let mut open = Open::new(self, request, started, entry);
        let answered = async {
            // Kept until the walk ends, also if nobody waits for it any more.
            let place = self.place(self.config.queue_time_max).await?;
            let world = self.world(request, question.needs_columns()).await?;
            let walk = tokio::task::spawn_blocking(move || {
                let rows = question.answer(&world);
                drop(place);
                rows
            });
            let rows = walk
                .await
                .map_err(|_| Fault::internal("a walk over pg_catalog ended"))?;
            self.answered(request, &batch(rows?)?)
        };
        let answered = answered.await;
        let receipt = open.durable().await?;
        let performed = open.end(answered)?;
        Ok(QueryAnswer {
            columns: performed.columns,
            chunks: performed.encoded.chunks,
            row_count: performed.encoded.row_count,
            is_truncated: performed.is_truncated,
            certificate,
            receipt,
        })
    }

    async fn world(&self, request: &QueryRequest, needs_columns: bool) -> Result<World, Fault> {
        let snapshot = self.seams.assets.snapshot().await?;
        let all: Vec<DatasetId> = snapshot.datasets.keys().cloned().collect();
        let seen = visible(&all, request, self.seams.decide.as_ref()).await;
        let seen: Vec<DatasetId> = seen.into_iter().collect();
        let mut columns = BTreeMap::new();
        if needs_columns && !seen.is_empty() {
            columns = self.columns(request, &snapshot, seen.clone()).await;
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for id in &seen {
            *counts.entry(id.name.to_lowercase()).or_default() += 1;
        }
        let is_view = |id: &DatasetId| {
            let dataset = snapshot.datasets.get(id);
            dataset.is_some_and(|of| matches!(of.source, DatasetSource::View { .. }))
        };
        let datasets = seen.into_iter().map(|id| Shown {
            is_view: is_view(&id),
            schema: format!("{}.{}", id.depot, id.collection),
            is_plain: counts.get(&id.name.to_lowercase()) == Some(&1),
            columns: columns.remove(&id).unwrap_or_default(),
            name: id.name,
        });
        Ok(World {
            user: request.principal.uid.id.clone(),
            database: wire::DATABASE.to_owned(),
            version: format!(
                "PostgreSQL {SERVER_VERSION} (DataOS kernel {})",
                env!("CARGO_PKG_VERSION")
            ),
            datasets: datasets.collect(),
        })
    }

    /// The columns that statements of the caller could name; of what he may see in the catalog alone,
    /// those that the catalog shows.
    async fn columns(
        &self,
        request: &QueryRequest,
        snapshot: &AssetSnapshot,
        datasets: Vec<DatasetId>,
    ) -> BTreeMap<DatasetId, Vec<ShownColumn>> {
        let asked = AccessRequest {
            principal: request.principal.clone(),
            action: Action::Select,
            datasets,
            context: request.context.clone(),
        };
        let answers = self.seams.decide.access(&asked).await;
        let known = answers.into_iter().filter_map(|access| {
            let dataset = snapshot.datasets.get(&access.dataset)?;
            let id = access.dataset.clone();
            if !access.decision.is_allowed() {
                let columns = dataset.schema.columns.iter();
                let columns = columns.map(|column| {
                    shown(&column.name, &column.column_type, !column.is_nullable, None)
                });
                return Some((id, columns.collect()));
            }
            let grant = Grant::new(dataset, access).ok()?;
            let columns = grant.columns.iter().map(|column| {
                let comment = column.is_masked().then(|| "masked for you".to_owned());
                shown(
                    &column.name,
                    &column.shown_type,
                    !column.is_nullable,
                    comment,
                )
            });
            Some((id, columns.collect()))
        });
        known.collect()
    }
}

/// A column in PostgreSQL's terms, of the type that results have.
fn shown(
    name: &str,
    catalogued: &ColumnType,
    is_required: bool,
    comment: Option<String>,
) -> ShownColumn {
    let sent = column_type(&arrow_type(catalogued));
    ShownColumn {
        name: name.to_owned(),
        oid: postgres_type(&sent).0,
        modifier: modifier(&sent),
        is_required,
        comment,
    }
}

/// The rows as a batch; each column has the type of its values, or text.
fn batch(rows: Rows) -> Result<RecordBatch, Fault> {
    let arrays: Vec<ArrayRef> = (0..rows.columns.len())
        .map(|index| {
            let values = rows
                .rows
                .iter()
                .map(|row| row.get(index).unwrap_or(&Value::Null));
            array(&values.collect::<Vec<_>>())
        })
        .collect();
    let fields = rows.columns.iter().zip(&arrays);
    let fields: Vec<Field> = fields
        .map(|(name, array)| Field::new(name, array.data_type().clone(), true))
        .collect();
    if arrays.is_empty() {
        return Err(Fault::invalid("a question without a column").with_reason("sql_invalid"));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .map_err(|_| Fault::internal("the rows of pg_catalog"))
}

fn array(values: &[&Value]) -> ArrayRef {
    let is_all = |fits: fn(&Value) -> bool| {
        let mut present = values.iter().filter(|value| ***value != Value::Null);
        present.clone().next().is_some() && present.all(|value| fits(value))
    };
    if is_all(|value| matches!(value, Value::Bool(_))) {
        let of = |value: &&Value| match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        };
        return Arc::new(values.iter().map(of).collect::<BooleanArray>());
    }
    if is_all(|value| matches!(value, Value::Int(_))) {
        return Arc::new(
            values
                .iter()
                .map(|value| int(value))
                .collect::<Int64Array>(),
        );
    }
    let is_ints = |value: &Value| match value {
        Value::List(items) => items
            .iter()
            .all(|item| matches!(item, Value::Int(_) | Value::Null)),
        _ => false,
    };
    if is_all(is_ints) {
        let mut list = ListBuilder::new(Int64Builder::new());
        for value in values {
            let items = items(value);
            list.append_option(items.map(|items| items.iter().map(int).collect::<Vec<_>>()));
        }
        return Arc::new(list.finish());
    }
    if is_all(|value| matches!(value, Value::List(_))) {
        let mut list = ListBuilder::new(StringBuilder::new());
        for value in values {
            let items = items(value);
            list.append_option(
                items.map(|items| items.iter().map(Value::shown).collect::<Vec<_>>()),
            );
        }
        return Arc::new(list.finish());
    }
    Arc::new(
        values
            .iter()
            .map(|value| value.shown())
            .collect::<StringArray>(),
    )
}

fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Int(value) => Some(*value),
        _ => None,
    }
}

fn items(value: &Value) -> Option<&[Value]> {
    match value {
        Value::List(items) => Some(items),
        _ => None,
    }
}
