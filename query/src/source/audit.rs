//! The audit log as a table: pages of entries, newest first, as far as a statement asks for them.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    arrow::{
        array::{
            ArrayRef, Int64Builder, ListBuilder, RecordBatch, StringBuilder, StringViewBuilder,
            TimestampMicrosecondBuilder,
        },
        compute::cast,
        datatypes::SchemaRef,
    },
    catalog::{Session, TableProvider},
    common::{Result, ScalarValue},
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType},
    physical_plan::{
        ExecutionPlan,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use dataos_model::{
    clock::Timestamp,
    decision::Effect,
    record::{EntryKind, PAGE_ENTRIES_MAX, RecordQuery, StoredEntry, TRACE_ID},
    seams::Records,
};
use futures::stream;

use crate::{column::arrow_schema, engine::failure::raised};

/// The log as a table of [`dataos_model::audit_table::schema`].
pub(super) fn open(records: Arc<dyn Records>) -> Arc<dyn TableProvider> {
    let schema = arrow_schema(&dataos_model::audit_table::schema());
    Arc::new(AuditTable { records, schema })
}

#[derive(Debug)]
struct AuditTable {
    records: Arc<dyn Records>,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for AuditTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = filters.iter().map(|filter| {
            if narrow(&mut RecordQuery::default(), filter) {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        });
        Ok(support.collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let page = limit.map_or(PAGE_ENTRIES_MAX, |rows| rows.clamp(1, PAGE_ENTRIES_MAX));
        let mut query = RecordQuery {
            limit: page,
            ..RecordQuery::default()
        };
        for filter in filters {
            narrow(&mut query, filter);
        }
        let pages = Pages {
            records: Arc::clone(&self.records),
            schema: Arc::clone(&self.schema),
            query,
        };
        let scan = StreamingTableExec::try_new(
            Arc::clone(&self.schema),
            vec![Arc::new(pages)],
            projection,
            [],
            false,
            limit,
        )?;
        Ok(Arc::new(scan))
    }
}

/// Makes the query ask for no more than what can satisfy the filter; false if the filter does not
/// help. The engine filters again, so the query may give too much and never too little.
fn narrow(query: &mut RecordQuery, filter: &Expr) -> bool {
    let Expr::BinaryExpr(binary) = filter else {
        return false;
    };
    let (Expr::Column(column), Expr::Literal(literal, _)) = (&*binary.left, &*binary.right) else {
        return false;
    };
    match (column.name.as_str(), binary.op) {
        ("time", operator) => narrow_time(query, operator, literal),
        (name, Operator::Eq) => text(literal).is_some_and(|text| narrow_text(query, name, text)),
        _ => false,
    }
}

fn narrow_time(query: &mut RecordQuery, operator: Operator, literal: &ScalarValue) -> bool {
    let ScalarValue::TimestampMicrosecond(Some(at), _) = literal else {
        return false;
    };
    // Entries have milliseconds; both bounds are taken outwards.
    let at = at.div_euclid(1000);
    match operator {
        Operator::Gt | Operator::GtEq => {
            query.from = query.from.max(Some(Timestamp(at)));
        }
        Operator::Lt | Operator::LtEq => {
            let to = Timestamp(at.saturating_add(1));
            query.to = Some(query.to.map_or(to, |known| known.min(to)));
        }
        _ => return false,
    }
    true
}

fn narrow_text(query: &mut RecordQuery, column: &str, text: &str) -> bool {
    let field = match column {
        "principal" => &mut query.principal,
        "resource" => &mut query.resource,
        "action" => &mut query.action,
        "request_id" => &mut query.request_id,
        TRACE_ID => &mut query.trace,
        "effect" => {
            let named = Effect::named(text);
            query.effect = named.or(query.effect);
            return named.is_some();
        }
        "kind" => {
            let named = EntryKind::named(text);
            query.kind = named.or(query.kind);
            return named.is_some();
        }
        _ => return false,
    };
    *field = Some(text.to_owned());
    true
}

fn text(literal: &ScalarValue) -> Option<&str> {
    match literal {
        ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text) => {
            text.as_deref()
        }
        _ => None,
    }
}

/// The entries that match a query.
#[derive(Debug)]
struct Pages {
    records: Arc<dyn Records>,
    schema: SchemaRef,
    query: RecordQuery,
}

impl PartitionStream for Pages {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (records, schema) = (Arc::clone(&self.records), Arc::clone(&self.schema));
        let pages = stream::try_unfold(Some(self.query.clone()), move |query| {
            let (records, schema) = (Arc::clone(&records), Arc::clone(&schema));
            async move {
                let Some(query) = query else {
                    return Ok::<_, DataFusionError>(None);
                };
                let page = records.search(&query).await.map_err(raised)?;
                let batch = batch(&schema, &page.entries)?;
                let next = page.next_before.map(|before| RecordQuery {
                    before: Some(before),
                    limit: PAGE_ENTRIES_MAX,
                    ..query
                });
                Ok(Some((batch, next)))
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            pages,
        ))
    }
}

/// The entries as rows, in the order and the types of the schema.
fn batch(schema: &SchemaRef, entries: &[StoredEntry]) -> Result<RecordBatch> {
    let columns = schema.fields().iter().map(|field| {
        let raw = column(field.name(), entries);
        Ok(cast(&raw, field.data_type())?)
    });
    Ok(RecordBatch::try_new(
        Arc::clone(schema),
        columns.collect::<Result<Vec<_>>>()?,
    )?)
}

fn column(name: &str, entries: &[StoredEntry]) -> ArrayRef {
    match name {
        "index" => numbers(entries, |stored| i64::try_from(stored.index).ok()),
        "time" => {
            let mut times = TimestampMicrosecondBuilder::new();
            entries
                .iter()
                .for_each(|stored| times.append_value(stored.time.0.saturating_mul(1000)));
            Arc::new(times.finish().with_timezone(crate::column::UTC))
        }
        "completes" => numbers(entries, |stored| {
            stored
                .entry
                .completes
                .and_then(|index| i64::try_from(index).ok())
        }),
        "status" | "latency_us" => numbers(entries, |stored| {
            stored
                .entry
                .facts
                .get(name)
                .and_then(|text| text.parse().ok())
        }),
        "policies" => lists(entries, |stored| &stored.entry.policies),
        "obligations" => lists(entries, |stored| &stored.entry.obligations),
        _ => {
            let mut texts = StringViewBuilder::new();
            entries
                .iter()
                .for_each(|stored| texts.append_option(field(name, stored)));
            Arc::new(texts.finish())
        }
    }
}

/// A field that is one text.
fn field(name: &str, stored: &StoredEntry) -> Option<String> {
    let entry = &stored.entry;
    Some(match name {
        "kind" => entry.kind.name().to_owned(),
        "request_id" => entry.request_id.clone(),
        TRACE_ID => entry.facts.get(TRACE_ID)?.clone(),
        "effect" => entry.effect?.to_string(),
        "action" => entry.action.clone(),
        "principal" => entry.principal.clone(),
        "resource" => entry.resource.clone(),
        "reason" => entry.reason.clone(),
        "policy_set" => entry.policy_set.to_string(),
        "entities" => entry.entities.to_string(),
        "request_digest" => entry.request_digest.to_string(),
        "facts" => serde_json::json!(entry.facts).to_string(),
        _ => return None,
    })
}

fn numbers(entries: &[StoredEntry], number: impl Fn(&StoredEntry) -> Option<i64>) -> ArrayRef {
    let mut numbers = Int64Builder::new();
    entries
        .iter()
        .for_each(|stored| numbers.append_option(number(stored)));
    Arc::new(numbers.finish())
}

fn lists<'a>(
    entries: &'a [StoredEntry],
    list: impl Fn(&'a StoredEntry) -> &'a Vec<String>,
) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for stored in entries {
        lists.append_value(list(stored).iter().map(Some));
    }
    Arc::new(lists.finish())
}
