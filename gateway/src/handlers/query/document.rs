//! Answers to statements: a JSON document around the rows, or the rows alone with the rest in headers.

use std::{collections::BTreeMap, fmt::Write, future::poll_fn};

use bytes::Bytes;
use dataos_model::{
    access::{CellOutcome, ColumnAccess},
    fault::Fault,
    query::{
        Certificate, QueryAnswer, QueryPage, QueryStream, ResultColumn, RowFormat, RowPart,
        RowStream, RowsEnd, TableCertificate,
    },
    record::Receipt,
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::respond::{Answer, AnswerBody, ROW_COUNT, TRUNCATED, truncated};

const INDEX: HeaderName = HeaderName::from_static("dataos-certificate-index");
/// The trailers of rows whose end is not known when they begin.
const TRAILERS: HeaderValue = HeaderValue::from_static("dataos-row-count, dataos-truncated");

/// A page of a kept result, and where the next one is.
#[derive(Debug)]
pub(in crate::handlers) struct Page {
    id: Option<String>,
    next: Option<String>,
}

impl Page {
    /// Of pages of so many rows, if of any number.
    pub(in crate::handlers) fn of(page: &QueryPage, limit: Option<u64>) -> Self {
        let id = page.id.clone();
        let next = id.as_ref().zip(page.next.as_ref()).map(|(id, cursor)| {
            let limit = limit.map(|limit| format!("&limit={limit}"));
            let limit = limit.unwrap_or_default();
            format!("/api/v1/queries/{id}/rows?cursor={cursor}{limit}")
        });
        Self { id, next }
    }
}

/// A whole answer as a document.
pub(super) fn whole(answer: QueryAnswer) -> Result<Answer, Fault> {
    let end = RowsEnd {
        row_count: answer.row_count,
        is_truncated: answer.is_truncated,
    };
    document(
        (
            answer.columns.as_slice(),
            &answer.certificate,
            &answer.receipt,
        ),
        answer.chunks,
        end,
        None,
    )
}

/// Rows as they are asked for: as a document once all are there, else one after the other.
pub(in crate::handlers) async fn of_rows(
    mut stream: QueryStream,
    format: RowFormat,
    page: Option<Page>,
) -> Result<Answer, Fault> {
    let content_type = match format {
        RowFormat::Json => {
            let (chunks, end) = collected(stream.rows.as_mut()).await?;
            let told = (
                stream.columns.as_slice(),
                &stream.certificate,
                &stream.receipt,
            );
            return document(told, chunks, end, page);
        }
        RowFormat::NdJson => "application/x-ndjson",
        RowFormat::Csv => "text/csv; charset=utf-8; header=present",
        RowFormat::ArrowStream => "application/vnd.apache.arrow.stream",
    };
    let index = stream.receipt.index;
    let mut answer = Answer::bytes(StatusCode::OK, content_type, Bytes::new())
        .with_header(INDEX, HeaderValue::from(index))
        .with_fact("certificate", index);
    answer = match stream.rows.end() {
        Some(end) => answer
            .with_header(ROW_COUNT, HeaderValue::from(end.row_count))
            .with_header(TRUNCATED, truncated(end.is_truncated)),
        None => answer.with_header(header::TRAILER, TRAILERS),
    };
    if let Some(next) = page.and_then(|page| page.next) {
        let link = HeaderValue::from_str(&format!("<{next}>; rel=\"next\""))
            .map_err(|_| Fault::internal("a link that is no header"))?;
        answer = answer.with_header(header::LINK, link);
    }
    answer.body = AnswerBody::of_rows(stream.rows);
    Ok(answer)
}

/// All parts of rows that are few.
async fn collected(rows: &mut dyn RowStream) -> Result<(Vec<Bytes>, RowsEnd), Fault> {
    let mut chunks = Vec::new();
    loop {
        match poll_fn(|context| rows.poll_part(context)).await? {
            RowPart::Chunk(chunk) => chunks.push(chunk),
            RowPart::End(end) => return Ok((chunks, end)),
        }
    }
}

/// The rows are not touched: what is written around them makes the document.
fn document(
    (columns, enforced, receipt): (&[ResultColumn], &Certificate, &Receipt),
    chunks: Vec<Bytes>,
    end: RowsEnd,
    page: Option<Page>,
) -> Result<Answer, Fault> {
    let columns: Vec<Value> = columns
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
    let certificate = certificate(enforced, receipt);
    write!(head, "{},\"rows\":", json!(columns))
        .and_then(|()| {
            write!(
                tail,
                ",\"row_count\":{},\"truncated\":{}",
                end.row_count, end.is_truncated
            )
        })
        .and_then(|()| match page {
            Some(Page { id, next }) => {
                write!(tail, ",\"query\":{},\"next\":{}", json!(id), json!(next))
            }
            None => Ok(()),
        })
        .and_then(|()| write!(tail, ",\"certificate\":{certificate}}}"))
        .map_err(|error| Fault::internal(format!("an answer cannot be written: {error}")))?;
    let parts = std::iter::once(Bytes::from(head))
        .chain(chunks)
        .chain(std::iter::once(Bytes::from(tail)));
    let mut answer = Answer::bytes(StatusCode::OK, "application/json", Bytes::new())
        .with_fact("rows", end.row_count)
        .with_fact("certificate", receipt.index);
    answer.body = AnswerBody::new(parts);
    Ok(answer)
}

fn certificate(certificate: &Certificate, receipt: &Receipt) -> Value {
    let tables: Vec<Value> = certificate.tables.iter().map(table).collect();
    json!({
        "policy_set": certificate.policy_set.to_string(),
        "entities": certificate.entities.to_string(),
        "statement": certificate.statement.to_string(),
        "dialect": certificate.dialect.name(),
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
    let mut shown = json!({
        "dataset": table.dataset.to_string(),
        "rows": access.rows.to_string(),
        "row_policies": row_policies,
        "columns": columns,
    });
    if let (Some(definer), Some(fields)) = (&table.definer, shown.as_object_mut()) {
        fields.insert("definer".to_owned(), json!(definer));
    }
    shown
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
