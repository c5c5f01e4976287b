//! Governed SQL.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use bytes::Bytes;
use dataos_model::{
    access::{CellOutcome, ColumnAccess},
    fault::Fault,
    query::{Certificate, QueryAnswer, QueryRequest, RowFormat, TableCertificate},
    record::Receipt,
    value::Value as PolicyValue,
};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body;
use crate::{
    respond::{Answer, AnswerBody},
    serve::{Call, Gateway},
};

const ARROW: &str = "application/vnd.apache.arrow.stream";
const INDEX: HeaderName = HeaderName::from_static("dataos-certificate-index");
const ROW_COUNT: HeaderName = HeaderName::from_static("dataos-row-count");
const TRUNCATED: HeaderName = HeaderName::from_static("dataos-truncated");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryBody {
    sql: String,
    purpose: Option<String>,
    rows_max: Option<u64>,
}

pub(crate) async fn run(gateway: Arc<Gateway>, call: Arc<Call>) -> Result<Answer, Fault> {
    let wire: QueryBody = body(&call)?;
    let wants_arrow = call
        .head
        .accept
        .split(',')
        .any(|part| part.split(';').next().map(str::trim) == Some(ARROW));
    let format = if wants_arrow {
        RowFormat::ArrowStream
    } else {
        RowFormat::Json
    };
    let mut context = call.context.clone();
    if let Some(purpose) = wire.purpose {
        context.insert("purpose".to_owned(), PolicyValue::String(purpose));
    }
    let answered = gateway
        .seams
        .query
        .run(QueryRequest {
            principal: (*call.principal).clone(),
            request_id: call.request_id.clone(),
            sql: wire.sql,
            context,
            format,
            rows_max: wire.rows_max,
        })
        .await?;
    let (rows, index) = (answered.row_count, answered.receipt.index);
    let answer = match format {
        RowFormat::Json => json_answer(answered)?,
        RowFormat::ArrowStream => arrow_answer(answered),
    };
    Ok(answer
        .with_fact("rows", rows)
        .with_fact("certificate", index))
}

/// The rows are not touched: what is written around them makes the document.
fn json_answer(answer: QueryAnswer) -> Result<Answer, Fault> {
    let columns: Vec<Value> = answer
        .columns
        .iter()
        .map(|column| {
            json!({
                "name": column.name,
                "type": column.column_type.to_string(),
                "masked": column.is_masked,
            })
        })
        .collect();
    let mut head = String::from("{\"columns\":");
    let mut tail = String::new();
    let certificate = certificate(&answer.certificate, &answer.receipt);
    write!(head, "{},\"rows\":", json!(columns))
        .and_then(|()| {
            write!(
                tail,
                ",\"row_count\":{},\"truncated\":{},\"certificate\":{certificate}}}",
                answer.row_count, answer.is_truncated
            )
        })
        .map_err(|error| Fault::internal(format!("an answer cannot be written: {error}")))?;
    let parts = std::iter::once(Bytes::from(head))
        .chain(answer.chunks)
        .chain(std::iter::once(Bytes::from(tail)));
    Ok(of_parts("application/json", parts))
}

fn arrow_answer(answer: QueryAnswer) -> Answer {
    let truncated = HeaderValue::from_static(if answer.is_truncated { "true" } else { "false" });
    of_parts(ARROW, answer.chunks)
        .with_header(INDEX, HeaderValue::from(answer.receipt.index))
        .with_header(ROW_COUNT, HeaderValue::from(answer.row_count))
        .with_header(TRUNCATED, truncated)
}

fn of_parts(content_type: &'static str, parts: impl IntoIterator<Item = Bytes>) -> Answer {
    let mut answer = Answer::bytes(StatusCode::OK, content_type, Bytes::new());
    answer.body = AnswerBody::new(parts);
    answer
}

fn certificate(certificate: &Certificate, receipt: &Receipt) -> Value {
    let tables: Vec<Value> = certificate.tables.iter().map(table).collect();
    json!({
        "policy_set": certificate.policy_set.to_string(),
        "entities": certificate.entities.to_string(),
        "statement": certificate.statement.to_string(),
        "governed_sql": certificate.governed_sql,
        "engine": certificate.engine,
        "receipt": receipt.text,
        "index": receipt.index,
        "tables": tables,
        "descriptions": descriptions(&certificate.tables),
    })
}

/// What the policies behind rows and columns say of themselves, by id.
fn descriptions(tables: &[TableCertificate]) -> BTreeMap<&str, &str> {
    tables
        .iter()
        .flat_map(|table| {
            let columns = table
                .access
                .columns
                .iter()
                .flat_map(|column| &column.policies);
            table.access.row_policies.iter().chain(columns)
        })
        .filter_map(|policy| Some((policy.id.as_str(), policy.description.as_deref()?)))
        .collect()
}

fn table(table: &TableCertificate) -> Value {
    let access = &table.access;
    let row_policies: Vec<&str> = access.row_policies.iter().map(|p| p.id.as_str()).collect();
    let columns: Vec<Value> = access.columns.iter().map(column).collect();
    json!({
        "dataset": table.dataset.to_string(),
        "rows": access.rows.to_string(),
        "row_policies": row_policies,
        "columns": columns,
    })
}

fn column(column: &ColumnAccess) -> Value {
    let outcome = |outcome: &CellOutcome| match outcome {
        CellOutcome::Plain => "plain".to_owned(),
        CellOutcome::Absent => "absent".to_owned(),
        CellOutcome::Masked(mask) => mask.to_string(),
    };
    let rules: Vec<Value> = column
        .rules
        .iter()
        .map(|rule| {
            json!({
                "when": rule.when.to_string(),
                "outcome": outcome(&rule.outcome),
                "policy": rule.policy,
            })
        })
        .collect();
    let policies: Vec<&str> = column.policies.iter().map(|p| p.id.as_str()).collect();
    // One word for the column as a whole: what every row gets, or what the last rule says.
    let whole = column
        .rules
        .last()
        .map_or_else(|| "absent".to_owned(), |r| outcome(&r.outcome));
    json!({"name": column.name, "outcome": whole, "rules": rules, "policies": policies})
}
